/*
 * gs:// origins and catalogs. nginx is the storage: public buckets, and private ones that want
 * a token. tests/origin/tokens gives these, as an OAuth endpoint that checks signatures and as
 * a metadata server.
 */
#include "tests/e2e/real.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(gs, .timeout = 90);

struct storage {
        struct world world;
        pid_t tokens;
        pid_t nginx;
        int port;
        int tokens_port;
        char host[64]; /* of nginx */
        char metadata[64];
        char key[2 * WORLD_PATH]; /* the credentials' file */
};

static void start_tokens(struct storage *it)
{
        char text[16] = "";
        int pipes[2];

        cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
        it->tokens = fork();
        if (it->tokens == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                dup2(pipes[1], STDOUT_FILENO);
                execl("tests/origin/tokens", "tokens", it->world.dir, (char *)NULL);
                _exit(127);
        }
        close(pipes[1]);
        cr_assert(read(pipes[0], text, sizeof(text) - 1) > 0, "no endpoint for tokens");
        close(pipes[0]);
        it->tokens_port = atoi(text);
}

/*
 * Buckets: public; private and other; zipped, whose objects are stored compressed and come so
 * to whoever takes that; torn, which is so too and cuts each object once; short, which is
 * private and cuts each object once.
 */
static void write_config(const struct storage *it, const char *path)
{
        world_text(
            path,
            "daemon off; master_process off; pid %1$s/gs.pid; error_log %1$s/gs.err;\n"
            "events { }\n"
            "http {\n"
            "  log_format seen '$request_method $request_uri $status auth=$http_authorization.'\n"
            "    ' range=$http_range';\n"
            "  access_log %1$s/gs.log seen; root %1$s/files;\n"
            "  client_body_temp_path %1$s/g1; proxy_temp_path %1$s/g2;\n"
            "  fastcgi_temp_path %1$s/g3; uwsgi_temp_path %1$s/g4; scgi_temp_path %1$s/g5;\n"
            "  default_type application/octet-stream; proxy_http_version 1.1;\n"
            "  server { listen 127.0.0.1:%2$d;\n"
            "    location ~ ^/(private|other)/ { auth_request /check;\n"
            "      rewrite ^/[a-z]*/(.*)$ /$1 break; }\n"
            "    location /zipped/ { gzip_static always; gunzip on; }\n"
            "    location /torn/ { gunzip on;\n"
            "      proxy_pass http://127.0.0.1:%3$d/x.close.gzip/; }\n"
            "    location /short/ { auth_request /check;\n"
            "      proxy_pass http://127.0.0.1:%3$d/x.close/; }\n"
            "    location = /check { internal; proxy_pass_request_body off;\n"
            "      proxy_pass http://127.0.0.1:%4$d; } }\n"
            "}\n",
            it->world.dir, it->port, it->world.port, it->tokens_port);
}

static bool try_nginx(struct storage *it, const char *config)
{
        int64_t deadline = now_ms() + SURELY_MS;

        it->port = world_free_port();
        write_config(it, config);
        it->nginx = fork();
        if (it->nginx == 0) {
                prctl(PR_SET_PDEATHSIG, SIGTERM);
                setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
                execlp("nginx", "nginx", "-e", "stderr", "-c", config, (char *)NULL);
                _exit(127);
        }
        while (!world_answers(it->port)) {
                if (waitpid(it->nginx, NULL, WNOHANG) != 0)
                        return false;
                cr_assert(now_ms() < deadline, "nginx does not start");
                sleep_ms(5);
        }
        return true;
}

static void begin(struct storage *it)
{
        char config[2 * WORLD_PATH];
        bool started = false;

        *it = (struct storage){0};
        world_begin(&it->world);
        world_origin(&it->world);
        start_tokens(it);
        snprintf(config, sizeof(config), "%s/gs.conf", it->world.dir);
        for (int tries = 0; !started && tries < 5; tries++)
                started = try_nginx(it, config);
        cr_assert(started, "nginx does not start");
        snprintf(it->host, sizeof(it->host), "127.0.0.1:%d", it->port);
        snprintf(it->metadata, sizeof(it->metadata), "127.0.0.1:%d", it->tokens_port);
        snprintf(it->key, sizeof(it->key), "%s/adc.json", it->world.dir);
        unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
        unsetenv("CLOUDSDK_CONFIG");
        setenv("HOME", it->world.dir, 1);
        setenv("STORAGE_EMULATOR_HOST", it->host, 1);
        setenv("GCE_METADATA_HOST", "127.0.0.1:1", 1);
}

static void stop(pid_t pid)
{
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

static void end(struct storage *it)
{
        stop(it->nginx);
        stop(it->tokens);
        world_end(&it->world);
}

/* Lines of the log of nginx, or of the endpoint, that match. */
static int lines(const struct storage *it, const char *log, const char *pattern)
{
        char command[4 * WORLD_PATH];
        char text[16] = "";
        FILE *pipe;

        snprintf(command, sizeof(command), "grep -cE -e '%s' '%s/%s' 2>&1", pattern, it->world.dir,
                 log);
        pipe = popen(command, "re");
        cr_assert(pipe);
        if (!fgets(text, sizeof(text), pipe))
                text[0] = '\0';
        pclose(pipe);
        return atoi(text);
}

#define REFUSED " 401 auth=-\\. " /* anonymous */

static void knob(const struct storage *it, const char *name, int value)
{
        char path[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/%s", it->world.dir, name);
        world_text(path, "%d", value);
}

/* Random bytes that gzip has packed: the file is named by the digest of what it is. */
static void zipped_asset(struct storage *it, char hex[HEX])
{
        char plain[HEX];
        char command[2 * WORLD_PATH];
        FILE *pipe;

        world_asset(&it->world, 300000, plain);
        snprintf(command, sizeof(command),
                 "cd '%s' && gzip -n %s && sum=$(sha256sum <%s.gz | cut -c1-64) &&"
                 " mv %s.gz $sum && echo $sum",
                 it->world.files, plain, plain, plain);
        pipe = popen(command, "re");
        cr_assert(pipe && fread(hex, 1, HEX, pipe) == HEX);
        hex[HEX - 1] = '\0';
        cr_assert_eq(pclose(pipe), 0);
}

static void expect_name(const struct world *world, const char *name)
{
        int64_t deadline = now_ms() + SURELY_MS;

        while (world_shell("test -L '%s/by-name/%s'", world->mnt, name) != 0) {
                cr_assert(now_ms() < deadline, "no %s", name);
                sleep_ms(50);
        }
}

/* Nobody is asked for a token, and stored gzip stays gzip, also behind a resume. */
Test(gs, public_and_stored_compressed)
{
        struct storage it;
        char plain[HEX];
        char zipped[HEX];
        char torn[HEX];
        char odd[HEX];
        char path[2 * WORLD_PATH];

        begin(&it);
        world_asset(&it.world, 100000, plain);
        world_asset(&it.world, 1000, odd);
        zipped_asset(&it, zipped);
        zipped_asset(&it, torn);
        cr_assert_eq(world_shell("cd '%s' && mkdir public zipped && mv %s public &&"
                                 " mv %s 'public/a b?c' && mv %s zipped/%s.gz",
                                 it.world.files, plain, odd, zipped, zipped),
                     0);
        snprintf(path, sizeof(path), "%s/public/c.json", it.world.files);
        world_text(path,
                   "{\"assets\": {\"plain\": {\"sha256\": \"%1$s\", \"url\": \"gs://public/%1$s\"},"
                   "\"odd\": {\"sha256\": \"%2$s\", \"url\": \"gs://public/a%%20b?c\"},"
                   "\"zipped\": {\"sha256\": \"%3$s\", \"url\": \"gs://zipped/%3$s\"},"
                   "\"torn\": {\"sha256\": \"%4$s\", \"url\": \"gs://torn/%4$s\"}}}",
                   plain, odd, zipped, torn);
        cr_assert_eq(world_shell("curl -s 'http://%s/zipped/%s' | sha256sum | grep -q %s", it.host,
                                 zipped, zipped),
                     1, "who does not take gzip gets other bytes");
        world_mount(&it.world, "--catalog", "gs://public/c.json", "--retries=2");
        expect_name(&it.world, "odd");
        cr_expect_eq(world_open(world_path(&it.world, plain)), 0);
        cr_expect_eq(world_open(world_path(&it.world, odd)), 0);
        cr_expect_eq(world_open(world_path(&it.world, zipped)), 0);
        cr_expect_eq(world_open(world_path(&it.world, torn)), 0);
        cr_expect_eq(lines(&it, "gs.log", "/torn/.* 206 auth=-\\. range=bytes=[1-9]"), 1);
        cr_expect_eq(lines(&it, "tokens.log", "."), 0);
        it.world.threads = 11; /* one for catalogs by URL */
        end(&it);
}

static void make_key(const struct storage *it, const char *name)
{
        cr_assert_eq(
            world_shell("cd '%1$s' && openssl genrsa -out %2$s.pem 2048 2>/dev/null && {\n"
                        "printf '{\"type\": \"service_account\", \"private_key_id\": \"1\", "
                        "\"client_email\": \"node@project.example\", \"token_uri\": "
                        "\"http://%3$s/token\", \"private_key\": \"'\n"
                        "awk '{ printf \"%%s\\\\n\", $0 }' %2$s.pem; printf '\"}'; } >%2$s.json",
                        it->world.dir, name, it->metadata),
            0);
}

/* Becomes the credentials' file. */
static void use_key(const struct storage *it, const char *name)
{
        cr_assert_eq(world_shell("cd '%s' && mv %s adc.json", it->world.dir, name), 0);
}

static void write_other_keys(const struct storage *it)
{
        char path[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/user.json", it->world.dir);
        world_text(path,
                   "{\"type\": \"authorized_user\", \"client_id\": \"an id\", \"client_secret\": "
                   "\"a&b\", \"refresh_token\": \"1//c\", \"token_uri\": \"http://%s/token\"}",
                   it->metadata);
        cr_assert_eq(chmod(path, 0400), 0, "root's alone");
        snprintf(path, sizeof(path), "%s/foreign.json", it->world.dir);
        world_text(path, "{\"type\": \"external_account\"}");
}

/* Who was refused and has had no credential is refused for a moment more. */
static void open_one_of(const struct storage *it, const char hex[][HEX], size_t count)
{
        for (size_t i = 0; i < count; i++) {
                if (world_open(world_path(&it->world, hex[i])) == 0)
                        return;
                sleep_ms(300);
        }
        cr_assert_fail("EACCES for ever");
}

enum { SPARE = 16 };

/* One file after the other, each read when it is there; and no request that is not needed. */
Test(gs, fault_20_credentials_of_a_file)
{
        struct storage it;
        char hex[5 + SPARE][HEX];
        struct stat st;
        int refused;

        begin(&it);
        for (int i = 0; i < 5 + SPARE; i++)
                world_asset(&it.world, 1000, hex[i]);
        make_key(&it, "wrong");
        make_key(&it, "right");
        cr_assert_eq(world_shell("cd '%s' && openssl rsa -in right.pem -pubout -out public.pem "
                                 "2>/dev/null",
                                 it.world.dir),
                     0);
        write_other_keys(&it);
        setenv("GOOGLE_APPLICATION_CREDENTIALS", it.key, 1);
        world_mount(&it.world, "--origin", "gs://private/{sha256}");

        cr_expect_eq(world_open(world_path(&it.world, hex[0])), EACCES);
        cr_expect_eq(world_logged(&it.world, "adc.json: No such file"), 1);
        use_key(&it, "right.json");
        open_one_of(&it, hex + 5, SPARE);
        refused = lines(&it, "gs.log", REFUSED);
        cr_expect_eq(stat(world_path(&it.world, hex[1]), &st), 0, "the size is asked with it too");
        cr_expect_eq(st.st_size, 1000);
        cr_expect_eq(world_open(world_path(&it.world, hex[1])), 0);
        cr_expect_eq(lines(&it, "tokens.log", "^gave jwt"), 1, "one for all");
        use_key(&it, "user.json");
        cr_expect_eq(world_open(world_path(&it.world, hex[2])), 0);
        cr_expect_eq(lines(&it, "tokens.log", "^gave refresh"), 1);
        cr_expect_eq(lines(&it, "gs.log", "^GET .* 200 auth=Bearer token-[0-9]+\\. "), 3);
        use_key(&it, "foreign.json");
        cr_expect_eq(world_open(world_path(&it.world, hex[3])), EACCES);
        cr_expect_eq(world_logged(&it.world, "external_account is not supported"), 1);
        use_key(&it, "wrong.json");
        cr_expect_eq(world_open(world_path(&it.world, hex[4])), EACCES);
        cr_expect_eq(world_logged(&it.world, "invalid_grant: Invalid JWT Signature"), 1);
        cr_expect_eq(lines(&it, "gs.log", REFUSED), refused, "the bucket is known to be private");
        cr_expect_eq(world_logged(&it.world, "token-"), 0, "no token in the log");
        end(&it);
}

Test(gs, no_credentials)
{
        struct storage it;
        char hex[HEX];

        begin(&it);
        world_asset(&it.world, 1000, hex);
        world_mount(&it.world, "--origin", "gs://private/{sha256}");
        cr_expect_eq(world_open(world_path(&it.world, hex)), EACCES);
        cr_expect_eq(world_logged(&it.world, "no credentials: none in"), 1);
        cr_expect_eq(world_logged(&it.world, "metadata server 127.0.0.1:1: "), 1);
        end(&it);
}

static void mount_by_proxy(struct storage *it, const struct squid *squid)
{
        char path[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/node.conf", it->world.dir);
        world_text(path, "[origin \"bucket\"]\nurl = gs://private/{sha256}\nproxy = %s\n",
                   squid->url);
        world_mount(&it->world, "-c", path, "--proxy", "http://127.0.0.1:1", "--retries=3");
}

/* The bucket and the token endpoint; but not the metadata server, whatever proxies there are. */
Test(gs, by_a_proxy)
{
        struct storage it;
        struct squid squid;
        char hex[2][HEX];

        begin(&it);
        squid_start(&squid, &it.world, false);
        for (int i = 0; i < 2; i++)
                world_asset(&it.world, 1000, hex[i]);
        setenv("GCE_METADATA_HOST", it.metadata, 1);
        mount_by_proxy(&it, &squid);
        cr_expect_eq(world_open(world_path(&it.world, hex[0])), 0);
        cr_expect_eq(lines(&it, "tokens.log", "^gave metadata"), 1);
        cr_expect_eq(squid_logged(&squid, it.metadata), 0);
        world_unmount(&it.world);

        make_key(&it, "right");
        cr_assert_eq(world_shell("cd '%s' && openssl rsa -in right.pem -pubout -out public.pem "
                                 "2>/dev/null",
                                 it.world.dir),
                     0);
        use_key(&it, "right.json");
        setenv("GOOGLE_APPLICATION_CREDENTIALS", it.key, 1);
        knob(&it, "busy", 2); /* which is no credential's fault */
        mount_by_proxy(&it, &squid);
        cr_expect_eq(world_open(world_path(&it.world, hex[1])), 0);
        cr_expect_eq(lines(&it, "tokens.log", "^busy"), 2);
        cr_expect_eq(lines(&it, "tokens.log", "^gave jwt"), 1);
        cr_expect_geq(squid_logged(&squid, "POST http://127.0.0.1"), 1);
        cr_expect_geq(squid_logged(&squid, "/private/"), 3);
        world_unmount(&it.world);
        squid_stop(&squid);
        end(&it);
}

enum { MANY = 8, SHORT_LIVED = 20, ALL = MANY + 2 + SHORT_LIVED };

/* The first of the bucket private, two of short, the others of other. */
static void write_catalog(const char *path, const char hex[ALL][HEX])
{
        FILE *file = fopen(path, "we");

        cr_assert(file);
        fputs("{\"assets\": {", file);
        for (size_t i = 0; i < ALL; i++)
                fprintf(file, "%s\"%zu\": {\"sha256\": \"%s\", \"url\": \"gs://%s/%s\"}",
                        i ? ", " : "", i, hex[i],
                        i < MANY       ? "private"
                        : i < MANY + 2 ? "short"
                                       : "other",
                        hex[i]);
        fputs("}}", file);
        fclose(file);
}

/* One token for all that open at once. */
static void expect_one_for_all(struct storage *it, const char hex[MANY][HEX])
{
        struct opener openers[MANY];

        for (int i = 0; i < MANY; i++)
                opener_start(&openers[i], world_path(&it->world, hex[i]));
        for (int i = 0; i < MANY; i++)
                cr_expect_eq(opener_result(&openers[i], SURELY_MS), 0);
        cr_expect_eq(lines(it, "tokens.log", "^gave metadata"), 1);
}

/* Renewed before it is refused; and nobody goes back to asking without. */
static void expect_renewed(struct storage *it, const char hex[][HEX], size_t count)
{
        size_t opened = 0;

        knob(it, "life", 1);
        for (; opened < count && lines(it, "tokens.log", "^gave metadata") < 4; opened++) {
                cr_expect_eq(world_open(world_path(&it->world, hex[opened])), 0);
                sleep_ms(100);
        }
        cr_expect_lt(opened, count, "its second has passed");
        cr_expect_eq(lines(it, "gs.log", " 401 auth=Bearer"), 0);
        cr_expect_eq(lines(it, "gs.log", "/other/.*" REFUSED), 1);
        knob(it, "life", 3600);
}

/* What the metadata server gave holds for a bucket, for as long as it lives. */
Test(gs, fault_20_tokens_of_the_metadata_server)
{
        struct storage it;
        char hex[ALL][HEX];
        char catalog[2 * WORLD_PATH];

        begin(&it);
        for (int i = 0; i < ALL; i++)
                world_asset(&it.world, i == MANY + 1 ? 600000 : 1000, hex[i]);
        snprintf(catalog, sizeof(catalog), "%s/c.json", it.world.files);
        write_catalog(catalog, hex);
        setenv("GCE_METADATA_HOST", it.metadata, 1);
        world_mount(&it.world, "--catalog", "gs://private/c.json", "--retries=2");
        expect_name(&it.world, "0");
        expect_one_for_all(&it, hex);
        cr_expect_eq(world_open(world_path(&it.world, hex[MANY])), 0);
        expect_renewed(&it, hex + MANY + 2, SHORT_LIVED);

        cr_expect_eq(lines(&it, "gs.log", "/private/.*" REFUSED), 1, "of the catalog");

        /* Good for one more request, which is cut. */
        knob(&it, "uses", lines(&it, "gs.log", "/short/.* 20[06] auth=Bearer") + 1);
        cr_expect_eq(world_open(world_path(&it.world, hex[MANY + 1])), 0);
        cr_expect_eq(lines(&it, "gs.log", "/short/.* 401 auth=Bearer.* range=bytes=[1-9]"), 1);
        cr_expect_eq(lines(&it, "gs.log", "/short/.* 200 auth=Bearer"), 2);
        cr_expect_eq(lines(&it, "gs.log", "/short/.* 206 auth=Bearer.* range=bytes=[1-9]"), 2);
        cr_expect_eq(world_logged(&it.world, "token-"), 0, "no token in the log");
        it.world.threads = 11; /* one for catalogs by URL */
        end(&it);
}
