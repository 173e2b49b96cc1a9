/*
 * Buckets: a real S3 server, which checks signatures, and in front of it those who give out keys
 * (tests/origin/s3_server). It takes seconds to start, so one test has it for all.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(s3, .timeout = 180);

enum { PUBLIC = 16, ASSETS = 21, LARGE = 3000000, SMALL = 1000 };

static struct world world;
static char hex[ASSETS][HEX]; /* the first two are large */
static unsigned used;
static pid_t server;
static int port;

static const char *in_world(const char *name)
{
        static char paths[4][WORLD_PATH + 64];
        static unsigned turn;
        char *path = paths[turn++ % 4];

        snprintf(path, sizeof(paths[0]), "%s/%s", world.dir, name);
        return path;
}

/* An asset that nobody has asked for yet. */
static const char *next_asset(void)
{
        cr_assert_lt(used, ASSETS);
        return world_path(&world, hex[used++]);
}

static void start_server(void)
{
        char text[16] = "";
        int pipes[2];

        cr_assert_eq(mkdir(in_world("s3"), 0755), 0);
        cr_assert_eq(pipe(pipes), 0);
        server = fork();
        if (server == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                dup2(pipes[1], STDOUT_FILENO);
                close(pipes[0]);
                close(pipes[1]);
                execl("tests/origin/s3_server", "s3_server", in_world("s3"), (char *)NULL);
                _exit(127);
        }
        close(pipes[1]);
        cr_assert_gt(read(pipes[0], text, sizeof(text) - 1), 0, "s3_server does not start");
        close(pipes[0]);
        port = atoi(text);
}

/* The first ones, and then those that everybody may have. */
static void fill(const char *bucket, int first, int end)
{
        char list[ASSETS * (HEX + 1)] = "";

        for (int i = first; i < end; i++) {
                world_asset(&world, i < 2 ? LARGE : SMALL, hex[i]);
                sprintf(list + strlen(list), "%s%s", i > first ? "," : "", hex[i]);
        }
        cr_assert_eq(world_shell("cd '%s' && curl -fsS -X PUT http://127.0.0.1:%d/-/put/%s &&"
                                 " curl -fsS -T '{%s}' http://127.0.0.1:%d/-/put/%s/",
                                 world.files, port, bucket, list, port, bucket),
                     0);
}

static void fill_buckets(void)
{
        fill("bucket", 0, PUBLIC);
        fill("public", PUBLIC, ASSETS);
        cr_assert_eq(world_shell("curl -fsS -T '%s/%s' "
                                 "'http://127.0.0.1:%d/-/put/bucket/a+b~%%28%%25%%26%%20%%C3%%BC/'",
                                 world.files, hex[2], port),
                     0);
}

static void tell_server(const char *word)
{
        cr_assert_eq(world_shell("curl -fsS http://127.0.0.1:%d/-/%s", port, word), 0);
}

/* Lines of the server's log with the words in them. */
static int asked(const char *words)
{
        char command[WORLD_PATH + 128];
        char number[16] = "";
        FILE *pipe;

        snprintf(command, sizeof(command), "grep -cF -- '%s' '%s'", words, in_world("s3/requests"));
        pipe = popen(command, "r");
        cr_assert(pipe && fgets(number, sizeof(number), pipe));
        pclose(pipe);
        return atoi(number);
}

/* NAME=VALUE of the next mount. "{}" in it is the server. */
static void set(const char *name, const char *value)
{
        char text[2 * WORLD_PATH];
        const char *mark = strstr(value, "{}");

        if (mark)
                snprintf(text, sizeof(text), "%.*shttp://127.0.0.1:%d%s", (int)(mark - value),
                         value, port, mark + 2);
        setenv(name, mark ? text : value, 1);
}

static void forget_all(void)
{
        static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                            "AWS_SECRET_ACCESS_KEY",
                                            "AWS_SESSION_TOKEN",
                                            "AWS_PROFILE",
                                            "AWS_REGION",
                                            "AWS_DEFAULT_REGION",
                                            "AWS_CONFIG_FILE",
                                            "AWS_SHARED_CREDENTIALS_FILE",
                                            "AWS_ENDPOINT_URL",
                                            "AWS_ENDPOINT_URL_S3",
                                            "AWS_ENDPOINT_URL_STS",
                                            "AWS_ROLE_ARN",
                                            "AWS_ROLE_SESSION_NAME",
                                            "AWS_WEB_IDENTITY_TOKEN_FILE",
                                            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                            "AWS_EC2_METADATA_DISABLED"};

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                unsetenv(names[i]);
        setenv("HOME", world.dir, 1);
}

static void set_keys(const char *user, const char *secret)
{
        set("AWS_ACCESS_KEY_ID", user);
        set("AWS_SECRET_ACCESS_KEY", secret);
}

/* The server is the endpoint of the environment. */
static void mount_bucket(const char *url)
{
        set("AWS_ENDPOINT_URL_S3", "{}");
        world_mount(&world, "--origin", url, "--retries", "2");
}

/* The server is the endpoint of the section, with more keys. */
static void mount_section(const char *keys)
{
        world_text(in_world("node.conf"),
                   "[origin \"a\"]\nurl = s3://bucket/{sha256}\n"
                   "endpoint = http://127.0.0.1:%d\n%s",
                   port, keys);
        chmod(in_world("node.conf"), 0600);
        world_mount(&world, "-c", in_world("node.conf"));
}

static void unmount(void)
{
        world_unmount(&world);
        forget_all();
}

/* Sizes by HEAD, bodies by GET, a key with what has to be encoded, the endpoint of a section. */
static void keys_of_the_environment(void)
{
        struct stat st;
        const char *path;

        set_keys("test:tester", "testing");
        mount_section("region = us-east-1\n");
        path = next_asset();
        cr_expect_eq(stat(path, &st), 0);
        cr_expect_eq(st.st_size, LARGE);
        cr_expect_eq(world_open(path), 0);
        unmount();
        used++; /* the second large one is for later */
        set_keys("test:tester", "testing");
        mount_bucket("s3://bucket/a+b~(%25&%20%C3%BC/{sha256}");
        cr_expect_eq(world_open(next_asset()), 0);
        unmount();
}

/* A catalog in a bucket, by its own credential, and in it an asset in one: there is no origin. */
static void catalog(void)
{
        const char *asset = next_asset();
        int64_t end = now_ms() + SURELY_MS;

        world_text(in_world("catalog.json"),
                   "{\"assets\": {\"a\": {\"sha256\": \"%s\", \"urls\": [\"s3://bucket/%s\"]}}}",
                   strrchr(asset, '/') + 1, strrchr(asset, '/') + 1);
        cr_assert_eq(world_shell("curl -fsS -T '%s' http://127.0.0.1:%d/-/put/bucket/",
                                 in_world("catalog.json"), port),
                     0);
        set_keys("test:tester", "testing");
        set("AWS_ENDPOINT_URL", "{}");
        world_mount(&world, "--catalog", "s3://bucket/catalog.json", "--catalog-refresh", "1");
        while (world_shell("test -L '%s/by-name/a'", world.mnt) != 0 && now_ms() < end)
                sleep_ms(20);
        cr_expect_eq(world_open(asset), 0);
        while (asked("GET /bucket/catalog.json 304") == 0 && now_ms() < end)
                sleep_ms(20);
        cr_expect_gt(asked("GET /bucket/catalog.json 304"), 0, "a condition is signed as well");
        unmount();
}

/* A wrong secret, the right one, and what a worker cannot do: no reload between. */
static void profile_that_is_mended(void)
{
        set("AWS_EC2_METADATA_DISABLED", "true");
        cr_assert_eq(mkdir(in_world(".aws"), 0755), 0);
        mount_bucket("s3://bucket/{sha256}");
        cr_expect_eq(world_logged(&world, "HTTP"), 0, "nobody is asked at the start");
        world_text(in_world(".aws/credentials"), "[default]\naws_access_key_id = test:tester\n"
                                                 "aws_secret_access_key = wrong\n");
        cr_expect_eq(world_open(next_asset()), EACCES);
        cr_expect_eq(world_logged(&world, "HTTP 403 SignatureDoesNotMatch"), 1);
        world_text(in_world(".aws/credentials"), "[default]\naws_access_key_id = test:tester\n"
                                                 "aws_secret_access_key = testing\n");
        cr_expect_eq(world_open(next_asset()), 0);
        world_text(in_world(".aws/credentials"), "[default]\ncredential_process = /bin/keys\n");
        cr_expect_eq(world_open(next_asset()), EACCES);
        cr_expect_eq(world_logged(&world, "credential_process is not supported"), 1);
        cr_expect_eq(world_logged(&world, "testing"), 0, "no secret in the log");
        cr_assert_eq(unlink(in_world(".aws/credentials")), 0);
        unmount();
}

/* One question for all; another one when the keys have run out in the middle. */
static void web_identity(void)
{
        enum { OPENERS = 6 };
        struct opener openers[OPENERS];

        world_text(in_world("identity"), "identity+word\n");
        set("AWS_WEB_IDENTITY_TOKEN_FILE", in_world("identity"));
        set("AWS_ROLE_ARN", "arn:a/b");
        set("AWS_ENDPOINT_URL_STS", "{}/-/sts");
        mount_bucket("s3://bucket/{sha256}");
        for (int i = 0; i < OPENERS; i++)
                opener_start(&openers[i], next_asset());
        for (int i = 0; i < OPENERS; i++)
                cr_expect_eq(opener_result(&openers[i], SURELY_MS), 0);
        cr_expect_eq(asked("POST /-/sts 200"), 1);
        tell_server("cut");
        cr_expect_eq(world_open(world_path(&world, hex[1])), 0);
        cr_expect_eq(asked("POST /-/sts 200"), 2);
        cr_expect_eq(asked("206 range=bytes=1500000-"), 1, "it went on at its byte");
        unmount();
}

/* The instance is asked directly, whatever proxy there is. */
static void container_and_instance(void)
{
        world_text(in_world("agent"), "Bearer agent\n");
        set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "{}/-/container");
        set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", in_world("agent"));
        mount_bucket("s3://bucket/{sha256}");
        cr_expect_eq(world_open(next_asset()), 0);
        cr_expect_eq(asked("GET /-/container 200"), 1);
        unmount();
        set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "{}/-/instance/");
        set("http_proxy", "http://127.0.0.1:1"); /* nobody's */
        mount_section("region = us-east-1\nproxy = none\n");
        unsetenv("http_proxy");
        cr_expect_eq(world_open(next_asset()), 0);
        cr_expect_eq(world_open(next_asset()), 0);
        cr_expect_eq(asked("security-credentials/the%20role 200"), 1);
        unmount();
}

/* Nobody has keys; that is found out once. */
static void public_bucket(void)
{
        cr_assert_eq(used, PUBLIC);
        set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "{}/-/nothing");
        mount_bucket("s3://public/{sha256}");
        cr_expect_eq(world_open(next_asset()), 0);
        cr_expect_eq(world_open(next_asset()), 0);
        cr_expect_eq(asked("PUT /-/nothing/latest/api/token 404"), 1);
        unmount();
        set("AWS_EC2_METADATA_DISABLED", "true");
        mount_bucket("s3://bucket/{sha256}");
        cr_expect_eq(world_open(next_asset()), EACCES);
        cr_expect_eq(world_logged(&world, "without credentials, and there are none"), 1);
        unmount();
}

/* Who may not list a bucket is told 403 where there is no such key; and another region is named. */
static void missing_key_and_another_region(void)
{
        char other[64];

        snprintf(other, sizeof(other), "http://127.0.0.1:%d/public/{sha256}", port);
        set_keys("test:reader", "reading");
        set("AWS_ENDPOINT_URL_S3", "{}");
        world_mount(&world, "--origin", "s3://bucket/missing/{sha256}", "--origin", other);
        cr_expect_eq(world_open(next_asset()), 0);
        unmount();
        set_keys("test:tester", "testing");
        mount_bucket("s3://elsewhere/{sha256}");
        cr_expect_eq(world_open(next_asset()), EACCES);
        cr_expect_eq(world_logged(&world, "the bucket is in the region eu-elsewhere-1"), 1);
        unmount();
}

Test(s3, buckets)
{
        world_begin(&world);
        forget_all();
        start_server();
        fill_buckets();
        keys_of_the_environment();
        catalog();
        profile_that_is_mended();
        web_identity();
        container_and_instance();
        public_bucket();
        missing_key_and_another_region();
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
        world_end(&world);
}
