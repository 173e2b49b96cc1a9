/*
 * Catalogs by URL: they come, change, break and go away while the mount serves.
 */
#include "tests/e2e/world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(catalog_url, .timeout = 90);

/* Becomes a listing within some seconds: of /by-name, its names in order, a space behind each. */
static void expect_names(const struct world *world, const char *expected)
{
        char output[4096] = "";
        int status = -1;

        for (int64_t end = now_ms() + SURELY_MS; now_ms() < end; sleep_ms(50)) {
                status = world_shell("test \"$(ls '%s/by-name' | tr '\\n' ' ')\" = '%s'",
                                     world->mnt, expected);
                if (status == 0)
                        return;
        }
        world_run(output, sizeof(output), "status", "--json", world->mnt);
        cr_assert_fail("not '%s': %s", expected, output);
}

/* One thread more than a mount without catalogs by URL (world_mount() may have counted before it
 * had begun). */
#define IDLE_THREADS 11

static void expect_logged(const struct world *world, const char *words)
{
        for (int64_t end = now_ms() + SURELY_MS; now_ms() < end; sleep_ms(50))
                if (world_logged(world, words) > 0)
                        return;
        cr_assert_fail("no '%s' in the log", words);
}

/* The catalog at the origin, replaced at once, of these names and one digest. */
static void publish(const struct world *world, const char *hex, const char *first,
                    const char *second)
{
        char path[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/new.json", world->files);
        /* nginx tells versions by second and size, so each has another size. */
        if (second)
                world_text(path,
                           "{\"assets\": {\"%s\": {\"sha256\": \"%s\"}, \"%s\": "
                           "{\"sha256\": \"%s\"}}}",
                           first, hex, second, hex);
        else
                world_text(path, "{\"assets\": {\"%s\": {\"sha256\": \"%s\"}}}", first, hex);
        cr_assert_eq(world_shell("cd '%s' && mv new.json c.json", world->files), 0);
}

static const char *url_of(const struct world *world, const char *name)
{
        static char url[256];

        snprintf(url, sizeof(url), "http://127.0.0.1:%d/%s", world->http_port, name);
        return url;
}

static int nginx_logged(const struct world *world, const char *words)
{
        return world_shell("grep -q '%s' '%s/nginx.log'", words, world->dir) == 0;
}

/* From now on. */
static void expect_asked(const struct world *world, int status)
{
        char words[64];

        snprintf(words, sizeof(words), "c.json HTTP/1.1\" %d", status);
        cr_assert_eq(world_shell(": >'%s/nginx.log'", world->dir), 0);
        for (int64_t end = now_ms() + SURELY_MS; !nginx_logged(world, words) && now_ms() < end;)
                sleep_ms(50);
        cr_expect(nginx_logged(world, words), "%s", words);
}

/* FAULTS row 80. */
Test(catalog_url, fault_80_broken_smaller_rolled_back)
{
        struct world world;
        struct opener opener;
        char hex[HEX];
        char other[HEX];

        world_begin(&world);
        world_asset(&world, 300000, hex);
        world_asset(&world, 300000, other);
        world_origin(&world);
        world_nginx(&world);
        publish(&world, hex, "a", "b");
        world_mount(&world, "--catalog", url_of(&world, "c.json"), "--catalog-refresh", "1",
                    "--origin", world_url(&world, "half-gate"));
        expect_names(&world, "a b ");
        opener_start(&opener, world_path(&world, hex));
        opener_parked(&opener);

        publish(&world, hex, "a", NULL); /* smaller */
        expect_names(&world, "a ");
        cr_assert_eq(
            world_shell("cd '%s' && echo '{\"assets\": 1}' >x && mv x c.json", world.files), 0);
        expect_logged(&world, "event=catalog-refused");
        expect_names(&world, "a ");
        publish(&world, hex, "a", "b"); /* rolled back */
        expect_names(&world, "a b ");
        world_open_gate(&world);
        cr_expect_eq(opener_result(&opener, SURELY_MS), 0);
        cr_expect_eq(world_logged(&world, "event=catalog-refused"), 1);
        /* The same bytes by another tag come once. */
        cr_assert_eq(world_shell("touch -d 2030-01-01 '%s/c.json'", world.files), 0);
        expect_asked(&world, 200);
        expect_asked(&world, 304);
        world.threads = IDLE_THREADS;
        world_end(&world);
}

/* What is open and mapped reads on, though no catalog names it any more. */
Test(catalog_url, fault_80_open_and_mapped_are_untouched)
{
        struct world world;
        char hex[HEX];
        char other[HEX];
        char origin[256];
        char *kept;
        char *mapped;
        int fd;

        world_begin(&world);
        world_asset(&world, 300000, hex);
        world_asset(&world, 1000, other);
        world_nginx(&world);
        publish(&world, hex, "a", "b");
        snprintf(origin, sizeof(origin), "%s", url_of(&world, "{sha256}"));
        world_mount(&world, "--catalog", url_of(&world, "c.json"), "--catalog-refresh", "1",
                    "--origin", origin);
        expect_names(&world, "a b ");
        fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);
        cr_assert_geq(fd, 0);
        mapped = mmap(NULL, 300000, PROT_READ, MAP_SHARED, fd, 0);
        kept = malloc(300000);
        cr_assert(mapped != MAP_FAILED && kept);
        memcpy(kept, mapped, 4096);

        publish(&world, other, "c", NULL);
        expect_names(&world, "c ");
        cr_assert_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        cr_expect_eq(memcmp(kept, mapped, 4096), 0);
        cr_expect_eq(pread(fd, kept, 300000, 0), 300000);
        cr_expect_eq(memcmp(kept, mapped, 300000), 0);
        cr_expect_eq(world_open(world_path(&world, hex)), 0, "and it is still in the cache");
        munmap(mapped, 300000);
        free(kept);
        close(fd);
        world.threads = IDLE_THREADS;
        world_end(&world);
}

/* A mount whose catalog cannot be asked for has the names it had, and without them it mounts. */
Test(catalog_url, start_without_network)
{
        struct world world;
        char hex[HEX];
        char url[256];

        world_begin(&world);
        world_asset(&world, 1000, hex);
        world_nginx(&world);
        publish(&world, hex, "a", "b");
        snprintf(url, sizeof(url), "%s", url_of(&world, "c.json"));
        world_mount(&world, "--catalog", url, "--origin", url_of(&world, "{sha256}"));
        expect_names(&world, "a b ");
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_unmount(&world);
        kill(world.nginx, SIGKILL);
        world_mount(&world, "--catalog", url, "--catalog", "http://127.0.0.1:1/SHA256SUMS",
                    "--origin", "http://127.0.0.1:1/{sha256}");
        cr_expect_eq(world_shell("test \"$(ls '%s/by-name' | tr '\\n' ' ')\" = 'a b '", world.mnt),
                     0);
        cr_expect_eq(world_open(world_path(&world, hex)), 0, "what is cached opens");
        expect_logged(&world, "event=catalog-unreachable");
        cr_expect_eq(
            world_shell("grep -q '\"catalog_stale\": true' '%s/.assetfs/status.json'", world.mnt),
            0);
        cr_expect_eq(world_shell("tests/schema/validate tests/schema/status.schema.json "
                                 "'%s/.assetfs/status.json' >&2",
                                 world.mnt),
                     0);
        world.threads = IDLE_THREADS;
        world_end(&world);
}

/* https by our CA, through a redirect; the siblings are those of the URL that was given. */
Test(catalog_url, sums_by_https_and_redirect)
{
        struct world world;
        char hex[HEX];
        char url[256];

        world_begin(&world);
        world_asset(&world, 1000, hex);
        world_nginx(&world);
        cr_assert_eq(world_shell("cd '%1$s' && mv %2$s 'a b' && sha256sum 'a b' >SHA256SUMS",
                                 world.files, hex),
                     0);
        snprintf(url, sizeof(url), "https://127.0.0.1:%d/moved/SHA256SUMS", world.https_port);
        world_mount(&world, "--catalog", url, "--ca", world.ca);
        expect_names(&world, "a b ");
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect(nginx_logged(&world, "GET /moved/a%20b"));
        world.threads = IDLE_THREADS;
        world_end(&world);
}

/* The copy was damaged while nobody looked: it is as if there were none, and a good one comes. */
Test(catalog_url, kept_copy_that_is_broken)
{
        struct world world;
        char hex[HEX];
        char url[256];

        world_begin(&world);
        world_asset(&world, 1000, hex);
        world_nginx(&world);
        publish(&world, hex, "a", "b");
        snprintf(url, sizeof(url), "%s", url_of(&world, "c.json"));
        world_mount(&world, "--catalog", url);
        expect_names(&world, "a b ");
        world_unmount(&world);
        cr_assert_eq(world_shell("cd '%s/catalogs' && for f in *; do printf '{\"assets\": {' >$f;"
                                 " done",
                                 world.cache),
                     0);
        world_mount(&world, "--catalog", url);
        expect_names(&world, "a b ");
        cr_expect_eq(world_logged(&world, "event=catalog-refused"), 1);
        cr_expect_eq(world_logged(&world, "event=catalog-refreshed"), 2, "not taken for unchanged");
        world.threads = IDLE_THREADS;
        world_end(&world);
}

/* Files and URLs in one list: their order counts for an asset's URLs, and what contradicts the
 * others is refused, by itself, until it does not. One that is refused (401) or missing (404) keeps
 * nobody from the rest. With --catalog-refresh 0 a reload asks anew. */
Test(catalog_url, beside_files_and_others_that_fail)
{
        struct world world;
        char hex[HEX];
        char other[HEX];
        char file[2 * WORLD_PATH];
        char url[4][256];
        char output[4096];
        static const char *const names[] = {"c.json", "SHA256SUMS", "private/c.json", "none.json"};

        world_begin(&world);
        world_asset(&world, 1000, hex);
        world_asset(&world, 2000, other);
        world_nginx(&world);
        for (size_t i = 0; i < 4; i++)
                snprintf(url[i], sizeof(url[i]), "%s", url_of(&world, names[i]));
        snprintf(file, sizeof(file), "%s/local.json", world.dir);
        world_text(file, "{\"assets\": {\"a\": {\"sha256\": \"%s\", \"url\": \"%s\"}}}", hex,
                   url_of(&world, hex));
        cr_assert_eq(world_shell("cd '%1$s' && cp %2$s first && sha256sum first >SHA256SUMS",
                                 world.files, hex),
                     0);
        publish(&world, other, "a", NULL);
        world_mount(&world, "--catalog", url[1], "--catalog", file, "--catalog", url[0],
                    "--catalog", url[2], "--catalog", url[3], "--catalog-refresh", "0");
        expect_names(&world, "a first ");
        expect_logged(&world, "event=catalog-refused");
        expect_logged(&world, "HTTP 401");
        expect_logged(&world, "HTTP 404");
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_str_eq(world_xattr(world_path(&world, hex), "user.assetfs.source"),
                         url_of(&world, "first"), "the first in the order");
        publish(&world, other, "longer", NULL);
        cr_expect_eq(world_run(output, sizeof(output), "reload", world.mnt), 0, "%s", output);
        expect_names(&world, "a first longer ");
        cr_expect_eq(
            world_shell("test \"$(grep -c 'GET /SHA256SUMS' '%s/nginx.log')\" = 2", world.dir), 0,
            "once at the start, once at the reload");
        world.threads = IDLE_THREADS;
        world_end(&world);
}

/* A name that gets another digest in two catalogs at once: each of them alone contradicts what the
 * other one said before, and they do not come at the same moment. */
Test(catalog_url, two_that_change_together)
{
        struct world world;
        char hex[HEX];
        char other[HEX];
        char url[2][256];

        world_begin(&world);
        world_asset(&world, 1000, hex);
        world_asset(&world, 2000, other);
        world_nginx(&world);
        cr_assert_eq(world_shell("cd '%s' && echo '%s  a' | tee A.SUMS >B.SUMS", world.files, hex),
                     0);
        snprintf(url[0], sizeof(url[0]), "%s", url_of(&world, "A.SUMS"));
        snprintf(url[1], sizeof(url[1]), "%s", url_of(&world, "B.SUMS"));
        world_mount(&world, "--catalog", url[0], "--catalog", url[1], "--catalog-refresh", "1");
        expect_names(&world, "a ");
        cr_assert_eq(world_shell("cd '%s' && echo '%s  a' >next && echo >>next && mv next A.SUMS",
                                 world.files, other),
                     0);
        expect_logged(&world, "event=catalog-refused");
        cr_assert_eq(world_shell("cd '%1$s' && cp A.SUMS next && mv next B.SUMS && touch B.SUMS",
                                 world.files),
                     0);
        for (int64_t end = now_ms() + SURELY_MS; now_ms() < end; sleep_ms(50))
                if (world_shell("readlink '%s/by-name/a' | grep -q %s", world.mnt, other) == 0)
                        break;
        cr_expect_eq(world_shell("readlink '%s/by-name/a' | grep -q %s", world.mnt, other), 0);
        cr_expect_eq(
            world_shell("grep -q '\"catalog_stale\": false' '%s/.assetfs/status.json'", world.mnt),
            0);
        world.threads = IDLE_THREADS;
        world_end(&world);
}

/* The cache takes no copy: it is said, and the catalog serves. */
Test(catalog_url, not_kept)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, 1000, hex);
        world_nginx(&world);
        publish(&world, hex, "a", NULL);
        cr_assert_eq(world_shell("mkdir -p '%1$s' && : >'%1$s/catalogs'", world.cache), 0);
        world_give_cache(&world);
        world_mount(&world, "--catalog", url_of(&world, "c.json"));
        expect_names(&world, "a ");
        expect_logged(&world, "event=catalog-not-kept");
        world.threads = IDLE_THREADS;
        world_end(&world);
}

/* Without an end, and slow: neither keeps the mount, and the first is cut at the bound. */
Test(catalog_url, endless_and_slow)
{
        struct world world;
        char hex[HEX];
        char endless[256];
        char slow[256];
        char output[4096];

        world_begin(&world);
        world_asset(&world, 300000, hex);
        world_origin(&world);
        snprintf(endless, sizeof(endless), "http://127.0.0.1:%d/endless/%s", world.port, hex);
        snprintf(slow, sizeof(slow), "http://127.0.0.1:%d/half-gate/%s", world.port, hex);
        world_mount(&world, "--catalog", slow, "--catalog", endless, "--origin",
                    world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        expect_logged(&world, "larger than 64 MiB");
        cr_expect_eq(world_run(output, sizeof(output), "reload", world.mnt), 0, "%s", output);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world.threads = IDLE_THREADS;
        world_end(&world);
}

/* Who gives out AWS's keys takes connections and says nothing. */
static struct pollfd begin_silence(void)
{
        struct sockaddr_in here = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct pollfd silent = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), POLLIN, 0};
        socklen_t length = sizeof(here);
        char url[64];

        cr_assert_eq(bind(silent.fd, (struct sockaddr *)&here, length), 0);
        cr_assert_eq(listen(silent.fd, 8), 0);
        cr_assert_eq(getsockname(silent.fd, (struct sockaddr *)&here, &length), 0);
        snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(here.sin_port));
        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
        setenv("AWS_ENDPOINT_URL_S3", url, 1);
        return silent;
}

/* A credential that is still being asked for when the mount ends is no failure to tell. */
Test(catalog_url, ends_while_a_credential_is_asked_for)
{
        struct pollfd silent = begin_silence();
        struct world world;

        world_begin(&world);
        world_mount(&world, "--catalog", "s3://bucket/c.json");
        cr_assert_eq(poll(&silent, 1, SURELY_MS), 1, "nobody asks");
        world_unmount(&world);
        cr_expect_eq(world_logged(&world, "event=catalog-unreachable"), 0);
        close(silent.fd);
        world.threads = IDLE_THREADS;
        world_end(&world);
}

/* … nor does it hold up the sizes of what others have. */
Test(catalog_url, sizes_beside_a_credential_that_hangs)
{
        struct pollfd silent = begin_silence();
        struct world world;
        char catalog[2 * WORLD_PATH];
        char origin[2 * WORLD_PATH];
        char hex[2][HEX];
        struct stat st;
        int64_t began;
        pid_t child;

        world_begin(&world);
        for (int i = 0; i < 2; i++)
                world_asset(&world, 1000, hex[i]);
        snprintf(catalog, sizeof(catalog), "%s/c.json", world.dir);
        snprintf(origin, sizeof(origin), "file://%s/{sha256}", world.files);
        world_text(catalog,
                   "{\"assets\": {\"a\": {\"sha256\": \"%s\", \"urls\": [\"s3://bucket/a\"]}}}",
                   hex[0]);
        world_mount(&world, "--catalog", catalog, "--origin", origin);
        child = fork();
        if (child == 0)
                _exit(stat(world_path(&world, hex[0]), &st) < 0);
        cr_assert_eq(poll(&silent, 1, SURELY_MS), 1, "nobody asks");
        began = now_ms();
        cr_expect_eq(stat(world_path(&world, hex[1]), &st), 0);
        cr_expect_lt(now_ms() - began, 3000, "of the 5 s that the other one may take");
        world_unmount(&world);
        waitpid(child, NULL, 0);
        close(silent.fd);
        world_end(&world);
}
