/*
 * Origins that want to know who asks: tokens, passwords and certificates in files. And where
 * none of it may turn up.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <stdio.h>
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
        world_mount(world, "-c", config, "--ca", world->ca);
}

static void replace_secret(const char *text)
{
        char next[sizeof(secret) + 8];

        snprintf(next, sizeof(next), "%s.next", secret);
        world_text(next, "%s", text);
        cr_assert_eq(rename(next, secret), 0);
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
        cr_expect_eq(world_logged(&world, "token-file"), 1, "it says what is missing");
        replace_secret("not-" TOKEN "\n");
        cr_expect_eq(world_open(world_path(&world, other)), EACCES);
        cr_expect(world_logged(&world, "HTTP 401") > 0);
        replace_secret(TOKEN "\n");
        cr_expect_eq(open_until(world_path(&world, hex), 0), 0);
        cr_expect_eq(open_until(world_path(&world, other), 0), 0);
        cr_expect_eq(world_logged(&world, TOKEN), 0, "no token in the log");
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

/* A catalog's credential is asked for, missed, and taken once it is there. */
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
        world_end(&world);
}

Test(credentials, client_certificate)
{
        struct world world;
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
        world_end(&world);
}
