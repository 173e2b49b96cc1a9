/*
 * Pins, as people and scripts make them: beside a daemon and without one, by digest and by
 * catalog, as root and as the cache's owner; and who must not.
 */
#include "tests/e2e/world.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(pins, .timeout = 60);

#define SIZE 4000

static const char nothing[] = "0000000000000000000000000000000000000000000000000000000000000000";

static const char *pin(const struct world *world, const char *hex)
{
        static char path[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/pins/%s", world->cache, hex);
        return path;
}

/* What root makes in there is the owner's, and of nobody else's interest. */
static void expect_pin(const struct world *world, const char *hex)
{
        struct stat st;

        cr_assert_eq(lstat(pin(world, hex), &st), 0, "%s is not pinned", hex);
        cr_expect_eq(st.st_mode, S_IFREG | 0600);
        cr_expect_eq(st.st_uid, WORKER_UID);
}

static void mount_with_one(struct world *world, char hex[HEX])
{
        world_begin(world);
        world_asset(world, SIZE, hex);
        world_origin(world);
        world_mount(world, "--origin", world_url(world, "ok"));
        cr_assert_eq(world_open(world_path(world, hex)), 0);
}

Test(pins, are_made_beside_a_daemon_and_outlive_it)
{
        struct world world;
        char output[8192];
        char hex[HEX];

        mount_with_one(&world, hex);
        cr_expect_eq(world_run(output, sizeof(output), "pin", "--cache", world.cache, hex), 0);
        cr_expect_str_eq(output, "pinned 1 asset\n");
        cr_expect_eq(
            world_run(output, sizeof(output), "pin", "--cache", world.cache, hex, nothing, nothing),
            0);
        cr_expect_str_eq(output, "pinned 2 assets, 1 of them is not here yet: "
                                 "assetfs prefetch brings them\n");
        expect_pin(&world, hex);
        expect_pin(&world, nothing);
        cr_expect_eq(world_shell("for i in $(seq 100); do grep -q '^assetfs_cache_pins 2$' "
                                 "'%s/.assetfs/metrics.prom' && exit 0; sleep 0.1; done; exit 1",
                                 world.mnt),
                     0, "the daemon sees them");
        world_unmount(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_expect_eq(
            world_shell("\"$ASSETFS\" ls '%s' | grep -q '^%s  cached .*  pinned'", world.mnt, hex),
            0);
        cr_expect_eq(world_run(output, sizeof(output), "unpin", "--cache", world.cache, hex), 0);
        cr_expect_str_eq(output, "unpinned 1 asset\n");
        cr_expect_lt(access(pin(&world, hex), F_OK), 0);
        world_unmount(&world);
        cr_expect_eq(
            world_run(output, sizeof(output), "unpin", "--cache", world.cache, hex, nothing), 0,
            "without a daemon");
        cr_expect_str_eq(output, "unpinned 1 asset, 1 was not pinned\n");
        cr_expect_eq(world_open(world_blob(&world, hex)), 0, "to unpin is not to remove");
        world_end(&world);
}

Test(pins, by_a_catalog_are_all_that_it_names)
{
        struct world world;
        char path[2 * WORLD_PATH];
        char output[8192];
        char hex[HEX];

        mount_with_one(&world, hex);
        snprintf(path, sizeof(path), "%s/catalog.json", world.dir);
        world_text(
            path,
            "{\"assets\": {\"kernel\": {\"sha256\": \"%s\"}, \"alias\": {\"sha256\": \"%s\"},"
            " \"absent\": {\"sha256\": \"%s\"}}}",
            hex, hex, nothing);
        cr_assert_eq(chmod(path, 0600), 0, "root reads it, as itself");
        cr_expect_eq(
            world_run(output, sizeof(output), "pin", "--cache", world.cache, "--catalog", path), 0,
            "%s", output);
        cr_expect(strncmp(output, "pinned 2 assets, 1 of", 21) == 0, "%s", output);
        expect_pin(&world, hex);
        expect_pin(&world, nothing);
        cr_expect_eq(world_run(output, sizeof(output), "unpin", "--cache", world.cache, "--catalog",
                               path, nothing),
                     0);
        cr_expect_str_eq(output, "unpinned 2 assets\n");
        world_text(path, "{\"assets\": {\"kernel\": {\"sha256\": \"short\"}}}");
        cr_expect_eq(world_run(output, sizeof(output), "pin", "--cache", world.cache, "--catalog",
                               path, hex),
                     1);
        cr_expect(strstr(output, "catalog.json:1: "), "%s", output);
        cr_expect_lt(access(pin(&world, hex), F_OK), 0, "all of it or nothing of it");
        world_end(&world);
}

Test(pins, that_cannot_be_made_are_told)
{
        struct world world;
        char output[8192];
        char hex[HEX];
        char wrong[HEX];

        mount_with_one(&world, hex);
        cr_assert_eq(mkdir(pin(&world, nothing), 0700), 0);
        cr_expect_eq(world_run(output, sizeof(output), "pin", "--cache", world.cache, nothing, hex),
                     1);
        cr_expect(strstr(output, "0000: cannot pin: Is a directory\n"), "%s", output);
        cr_expect(strstr(output, "pinned 1 asset\n"), "%s", output);
        expect_pin(&world, hex);
        snprintf(wrong, sizeof(wrong), "%s", hex);
        wrong[0] = 'G';
        cr_assert_eq(unlink(pin(&world, hex)), 0);
        cr_expect_eq(world_run(output, sizeof(output), "pin", "--cache", world.cache, hex, wrong),
                     2);
        cr_expect(strstr(output, "is not 64 lowercase hex digits"), "%s", output);
        cr_expect_lt(access(pin(&world, hex), F_OK), 0, "words are looked at first");
        cr_expect_eq(world_run(output, sizeof(output), "pin", "--cache", world.cache, "--catalog",
                               "http://127.0.0.1:1/c.json", hex),
                     2);
        cr_expect(strstr(output, "--catalog takes a file"), "%s", output);
        cr_expect_eq(world_run(output, sizeof(output), "pin", hex), 2);
        cr_expect_eq(world_run(output, sizeof(output), "pin", "--cache", world.cache), 2);
        cr_expect_eq(world_run(output, sizeof(output), "pin", "--cache", world.files, hex), 1);
        cr_expect(strstr(output, ": not a cache\n"), "%s", output);
        cr_expect_eq(world_run(output, sizeof(output), "pin", "--cache", "/nowhere", hex), 1);
        cr_expect(strstr(output, "/nowhere: No such file or directory\n"), "%s", output);
        world_end(&world);
}

/* As `uid`: an unprivileged shell in which the binary is run. */
static int run_as(unsigned uid, const struct world *world, const char *verb, const char *hex)
{
        return world_shell("setpriv --reuid %u --regid %u --clear-groups \"$ASSETFS\" %s "
                           "--cache '%s' %s >'%s/said' 2>&1",
                           uid, uid, verb, world->cache, hex, world->dir);
}

Test(pins, are_roots_and_the_owners)
{
        struct world world;
        char hex[HEX];

        mount_with_one(&world, hex);
        cr_expect_eq(run_as(12345, &world, "pin", hex), 1);
        cr_expect_eq(world_shell("grep -q 'by root and by its owner' '%s/said'", world.dir), 0);
        cr_expect_lt(access(pin(&world, hex), F_OK), 0);
        cr_expect_eq(run_as(WORKER_UID, &world, "pin", hex), 0);
        expect_pin(&world, hex);
        cr_expect_eq(run_as(12345, &world, "unpin", hex), 1);
        expect_pin(&world, hex);
        cr_expect_eq(run_as(WORKER_UID, &world, "unpin", hex), 0);
        world_end(&world);
}

/* Root must not write where the cache's owner has put a link to. */
Test(pins, lead_root_nowhere)
{
        struct world world;
        char path[2 * WORLD_PATH];
        char victim[2 * WORLD_PATH];
        char output[8192];
        char hex[HEX];

        mount_with_one(&world, hex);
        snprintf(victim, sizeof(victim), "%s/victim", world.dir);
        cr_assert_eq(symlink(victim, pin(&world, hex)), 0);
        cr_expect_eq(world_run(output, sizeof(output), "pin", "--cache", world.cache, hex), 0);
        expect_pin(&world, hex);
        cr_expect_lt(access(victim, F_OK), 0);
        snprintf(path, sizeof(path), "%s/pins", world.cache);
        cr_assert_eq(unlink(pin(&world, hex)), 0);
        cr_assert_eq(rmdir(path), 0);
        cr_assert_eq(mkdir(victim, 0700), 0);
        cr_assert_eq(symlink(victim, path), 0);
        cr_expect_eq(world_run(output, sizeof(output), "pin", "--cache", world.cache, hex), 1);
        cr_expect_eq(rmdir(victim), 0, "nothing is in it");
        world_end(&world);
}
