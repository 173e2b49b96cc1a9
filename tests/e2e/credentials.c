/*
 * Origins that want to know who asks: tokens, passwords and certificates in files. And where
 * none of it may turn up.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(credentials, .timeout = 120);

#define TOKEN "the-token"

static char config[2 * WORLD_PATH];
static char secret[2 * WORLD_PATH];

/* A mount of one origin of nginx's, with lines in its section. */
static void mount_origin(struct world *world, const char *scheme, int port, const char *where,
                         const char *keys)
{
        snprintf(config, sizeof(config), "%s/node.conf", world->dir);
        snprintf(secret, sizeof(secret), "%s/secret", world->dir);
        world_text(config, "[origin \"main\"]\nurl = %s://127.0.0.1:%d/%s/{sha256}\n%s\n", scheme,
                   port, where, keys);
        chmod(config, 0600);
        world_mount(world, "-c", config, "--ca", world->ca, "--log-level", "debug");
}

/* world.dir/name; until the next call. */
static const char *path_in(const struct world *world, const char *name)
{
        static char path[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/%s", world->dir, name);
        return path;
}

static void replace_secret(const char *text)
{
        char next[sizeof(secret) + 8];

        snprintf(next, sizeof(next), "%s.next", secret);
        world_text(next, "%s", text);
        cr_assert_eq(rename(next, secret), 0);
}

/* Nowhere that others can see it: the processes, what the mount says, the log. */
static void expect_nowhere(const struct world *world, const char *hex, const char *word)
{
        static const char *const names[] = {"state", "source", "error"};
        char output[65536];

        for (pid_t pid = world->daemon; pid; pid = pid == world->daemon ? world_worker(world) : 0)
                cr_expect_neq(world_shell("cat /proc/%d/cmdline /proc/%d/environ | grep -qaF '%s'",
                                          pid, pid, word),
                              0, "%s: in process %d", word, pid);
        cr_expect_neq(world_shell("cat '%s/.assetfs/'* | grep -qF '%s'", world->mnt, word), 0);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                char name[64];

                snprintf(name, sizeof(name), "user.assetfs.%s", names[i]);
                cr_expect_null(strstr(world_xattr(world_path(world, hex), name), word));
        }
        world_run(output, sizeof(output), "status", world->mnt);
        cr_expect_null(strstr(output, word));
        world_run(output, sizeof(output), "ls", world->mnt);
        cr_expect_null(strstr(output, word));
        cr_expect_eq(world_logged(world, word), 0, "%s: in the log", word);
}

/* Tokens that the server takes: files of its own. */
static void allow_token(const struct world *world, const char *token)
{
        cr_assert_eq(world_shell("mkdir -p '%1$s/tokens' && : >'%1$s/tokens/Bearer %2$s'",
                                 world->dir, token),
                     0);
}

static void forbid_tokens(const struct world *world)
{
        cr_assert_eq(world_shell("rm -f '%s/tokens/'*", world->dir), 0);
}

/* A mount of the faulty origin behind a server that asks for a token. */
static void mount_tokens(struct world *world, const char *mode)
{
        char where[128];

        snprintf(secret, sizeof(secret), "%s/secret", world->dir);
        replace_secret("first");
        allow_token(world, "first");
        snprintf(where, sizeof(where), "tokens/%s", mode);
        mount_origin(world, "http", world->http_port, where, "token-file = secret");
}

/* The failure of an open is remembered for two seconds. */
static int open_until(const char *path, int wanted)
{
        int64_t deadline = now_ms() + SURELY_MS;
        int error;

        while ((error = world_open(path)) != wanted && now_ms() < deadline)
                sleep_ms(100);
        return error;
}

Test(credentials, fault_20_token_file_is_read_again)
{
        struct world world;
        char hex[HEX];
        char other[HEX];

        world_begin(&world);
        world_nginx(&world);
        world_asset(&world, 100000, hex);
        world_asset(&world, 5000, other);
        mount_origin(&world, "http", world.http_port, "bearer", "token-file = secret");
        cr_expect_eq(world_open(world_path(&world, hex)), EACCES);
        cr_expect_eq(world_logged(&world, "event=failed"), 1);
        cr_expect(world_logged(&world, "secret: No such file") > 0, "it says what is missing");
        replace_secret("not-" TOKEN "\n");
        cr_expect_eq(world_open(world_path(&world, other)), EACCES);
        cr_expect(world_logged(&world, "HTTP 401") > 0);
        replace_secret(TOKEN "\n");
        cr_expect_eq(open_until(world_path(&world, hex), 0), 0);
        cr_expect_eq(open_until(world_path(&world, other), 0), 0);
        expect_nowhere(&world, hex, TOKEN);
        world_end(&world);
}

Test(credentials, fault_17_token_stays_with_its_host)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_nginx(&world);
        world_asset(&world, 100000, hex);
        snprintf(secret, sizeof(secret), "%s/secret", world.dir);
        replace_secret(TOKEN);
        mount_origin(&world, "http", world.http_port, "away", "token-file = secret");
        struct stat st;

        cr_expect_eq(stat(world_path(&world, hex), &st), 0, "the size is asked with it too");
        cr_expect_eq(st.st_size, 100000);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_end(&world);
}

/* What goes to this machine alone, since it is not encrypted, does not go by everybody's proxy: to
 * that, it would be another machine. */
Test(credentials, fault_17_token_for_loopback_goes_by_no_proxy)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_nginx(&world);
        world_asset(&world, 1000, hex);
        snprintf(config, sizeof(config), "%s/node.conf", world.dir);
        snprintf(secret, sizeof(secret), "%s/secret", world.dir);
        world_text(config, "[origin \"o\"]\nurl = http://127.0.0.1:%d/bearer/{sha256}\n%s",
                   world.http_port, "token-file = secret\n");
        chmod(config, 0600);
        replace_secret(TOKEN "\n");
        world_mount(&world, "-c", config, "--proxy", "http://127.0.0.1:1", "--retries", "0");
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_end(&world);
}

/* A catalog's credential is asked for, missed, refused, and taken once it is the right one. */
Test(credentials, of_a_catalog)
{
        struct world world;
        char hex[HEX];
        int64_t end = now_ms() + SURELY_MS;

        world_begin(&world);
        world_nginx(&world);
        world_asset(&world, 1000, hex);
        snprintf(config, sizeof(config), "%s/c.json", world.files);
        world_text(config, "{\"assets\": {\"a\": {\"sha256\": \"%s\"}}}", hex);
        snprintf(config, sizeof(config), "%s/node.conf", world.dir);
        snprintf(secret, sizeof(secret), "%s/secret", world.dir);
        world_text(config,
                   "[catalog \"c\"]\nfile = http://127.0.0.1:%d/bearer/c.json\n"
                   "token-file = secret\n[limits]\ncatalog-refresh = 1\n",
                   world.http_port);
        chmod(config, 0600);
        world_mount(&world, "-c", config);
        while (world_logged(&world, "event=catalog-unreachable") == 0 && now_ms() < end)
                sleep_ms(50);
        cr_expect(world_logged(&world, "token-file") > 0);
        replace_secret("not-" TOKEN "\n");
        while (world_shell("grep -qF 'HTTP 401' '%s/.assetfs/status.json'", world.mnt) != 0 &&
               now_ms() < end)
                sleep_ms(50);
        cr_expect(now_ms() < end, "what is wrong is said");
        cr_expect_eq(world_logged(&world, "event=catalog-refused"), 0, "none has come");
        replace_secret(TOKEN "\n");
        while (world_shell("test -L '%s/by-name/a'", world.mnt) != 0 && now_ms() < end)
                sleep_ms(50);
        cr_expect_eq(world_shell("test -L '%s/by-name/a'", world.mnt), 0);
        cr_expect_eq(world_logged(&world, TOKEN), 0);
        world.threads = 11; /* one for catalogs by URL */
        world_end(&world);
}

Test(credentials, netrc)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_nginx(&world);
        world_asset(&world, 100000, hex);
        snprintf(secret, sizeof(secret), "%s/secret", world.dir);
        replace_secret("machine elsewhere login a password b\n"
                       "machine 127.0.0.1\n  login user\n  password secret\n"
                       "default login c password d\n");
        mount_origin(&world, "http", world.http_port, "basic", "netrc-file = secret");
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        expect_nowhere(&world, hex, "dXNlcjpzZWNyZXQ="); /* user:secret */
        world_end(&world);
}

/* What is in the middle when its token runs out goes on at its byte: at once where there is a new
 * one by then, else when there is. One flight, two requests. */
Test(credentials, fault_20_token_runs_out_in_the_middle)
{
        static const char mode[] = "x.rate200.reset.mid.1";
        struct world world;
        struct opener opener;
        char hex[2][HEX];
        char half[256];

        world_begin(&world);
        world_asset(&world, 200000, hex[0]);
        world_asset(&world, 200000, hex[1]);
        world_origin(&world);
        world_nginx(&world);
        mount_tokens(&world, mode);
        for (int late = 0; late < 2; late++) {
                snprintf(half, sizeof(half), "GET /%s/%s", mode, hex[late]);
                opener_start(&opener, world_path(&world, hex[late]));
                for (int64_t end = now_ms() + SURELY_MS;
                     world_requests(&world, half) == 0 && now_ms() < end;)
                        sleep_ms(10);
                if (!late)
                        replace_secret("second");
                forbid_tokens(&world);
                allow_token(&world, late ? "third" : "second");
                cr_expect_eq(opener_result(&opener, SURELY_MS), late ? EACCES : 0);
                if (late) {
                        replace_secret("third");
                        cr_expect_eq(open_until(world_path(&world, hex[late]), 0), 0);
                }
                cr_expect_eq(world_requests(&world, half), 2);
                snprintf(half, sizeof(half), "GET /%s/%s bytes=100000-", mode, hex[late]);
                cr_expect_eq(world_requests(&world, half), 1, "it goes on at its byte");
        }
        cr_expect_eq(world_logged(&world, "event=fetched"), 2);
        world_end(&world);
}

/* Several connections, and the token is another one before the last of them is made. */
Test(credentials, many_connections)
{
        struct world world;
        struct opener opener;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, 24 << 20, hex);
        world_origin(&world);
        world_nginx(&world);
        mount_tokens(&world, "x.rate8192");
        opener_start(&opener, world_path(&world, hex));
        for (int64_t end = now_ms() + SURELY_MS;
             world_requests(&world, "GET ") < 2 && now_ms() < end;)
                sleep_ms(5);
        cr_expect_geq(world_requests(&world, "GET "), 2);
        replace_secret("second");
        allow_token(&world, "second");
        cr_expect_eq(unlink(path_in(&world, "tokens/Bearer first")), 0);
        cr_expect_eq(opener_result(&opener, SURELY_MS), 0);
        cr_expect_eq(world_logged(&world, "event=fetched"), 1);
        world_end(&world);
}

/* What root alone may read the supervisor opens, and again when it is another file; but nothing
 * where somebody else could have put it. */
Test(credentials, of_root_alone)
{
        struct world world;
        char hex[3][HEX];

        world_begin(&world);
        world_nginx(&world);
        for (int i = 0; i < 3; i++)
                world_asset(&world, 1000 + (size_t)i, hex[i]);
        cr_assert_eq(world_shell("mkdir -m 700 '%1$s/vault' && umask 277 &&"
                                 " printf not-" TOKEN " >'%1$s/vault/token'",
                                 world.dir),
                     0);
        mount_origin(&world, "http", world.http_port, "bearer", "token-file = vault/token");
        cr_expect_eq(world_open(world_path(&world, hex[0])), EACCES);
        cr_expect(world_logged(&world, "HTTP 401") > 0, "it was read");
        cr_assert_eq(world_shell("cd '%s/vault' && umask 277 && printf " TOKEN " >next &&"
                                 " mv next token",
                                 world.dir),
                     0);
        cr_expect_eq(world_open(world_path(&world, hex[1])), 0);
        cr_assert_eq(world_shell("cd '%s/vault' && mv token real && ln -s real token", world.dir),
                     0);
        cr_expect_eq(world_open(world_path(&world, hex[2])), EACCES);
        cr_expect(world_logged(&world, "is a link") > 0);
        cr_assert_eq(world_shell("cd '%s/vault' && rm token && mv real token", world.dir), 0);
        cr_expect_eq(open_until(world_path(&world, hex[2]), 0), 0);
        expect_nowhere(&world, hex[2], TOKEN);
        world_end(&world);
}

/* A line that says what is wrong; once it is mended, the next open goes well. */
Test(credentials, client_certificates_that_are_none)
{
        static const struct {
                const char *pair[2];
                const char *words;
        } bad[] = {{{"none.crt", "good.key"}, "client.crt: no certificate"},
                   {{"good.crt", "none.crt"}, "client.key: no private key"},
                   {{"good.crt", "foreign.key"}, "client.key: not the key of"},
                   {{"expired.crt", "expired.key"}, "client.crt: the certificate has expired"}};
        struct world world;
        char hex[5][HEX];

        world_begin(&world);
        world_nginx(&world);
        cr_assert_eq(world_shell("cd '%s' && cp tls/*.crt tls/*.key . && chmod 644 *.crt *.key &&"
                                 " echo nonsense >none.crt",
                                 world.dir),
                     0);
        mount_origin(&world, "https", world.https_port, "mutual",
                     "client-cert = client.crt\nclient-key = client.key");
        for (size_t i = 0; i < 5; i++) {
                bool is_good = i == 4;

                world_asset(&world, 2000 + i, hex[i]);
                cr_assert_eq(world_shell("cd '%s' && cp %s client.crt && cp %s client.key",
                                         world.dir, is_good ? "good.crt" : bad[i].pair[0],
                                         is_good ? "good.key" : bad[i].pair[1]),
                             0);
                cr_expect_eq(world_open(world_path(&world, hex[i])), is_good ? 0 : EACCES);
                if (!is_good)
                        cr_expect(world_logged(&world, bad[i].words) > 0, "%s", bad[i].words);
        }
        cr_expect_eq(world_logged(&world, "event=failed"), 4);
        world_end(&world);
}

Test(credentials, client_certificate)
{
        struct world world;
        char line[256];
        char hex[HEX];

        world_begin(&world);
        world_nginx(&world);
        world_asset(&world, 100000, hex);
        cr_assert_eq(
            world_shell("cd '%s' && cp tls/good.crt tls/good.key . && chmod 644 good.*", world.dir),
            0);
        mount_origin(&world, "https", world.https_port, "mutual",
                     "client-cert = good.crt\nclient-key = good.key");
        cr_expect_eq(world_open(world_path(&world, hex)), 0);

        FILE *key = fopen(path_in(&world, "good.key"), "re");

        cr_assert(key && fgets(line, sizeof(line), key) && fgets(line, sizeof(line), key));
        fclose(key);
        line[strcspn(line, "\n")] = '\0';
        cr_assert_gt(strlen(line), 40);
        expect_nowhere(&world, hex, line);
        world_end(&world);
}
