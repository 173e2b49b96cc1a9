/*
 * Damage at rest, for the tests of those who look for it.
 */
#ifndef TESTS_SCRUB_H
#define TESTS_SCRUB_H

#include "tests/e2e/world.h"

#include <sys/xattr.h>

/* Mounts, fetches an asset of `size` bytes, and unmounts: it is in the cache, by one GET. */
static inline void fill_cache(struct world *world, size_t size, char hex[HEX])
{
        world_begin(world);
        world_asset(world, size, hex);
        world_origin(world);
        world_mount(world, "--origin", world_url(world, "ok"), "--connections", "1");
        cr_assert_eq(world_open(world_path(world, hex)), 0);
        world_unmount(world);
}

/* The last byte becomes another, on the disk too; nothing else of the file says so. */
static inline void flip(const struct world *world, const char *hex)
{
        cr_assert_eq(world_shell("set -e; cd '%s'; B='%s'; touch -r $B times; "
                                 "tail -c 1 $B | tr '\\000-\\377' '\\001-\\377\\000' | "
                                 "dd of=$B bs=1 seek=$(($(stat -c %%s $B) - 1)) "
                                 "conv=notrunc,fsync status=none; touch -r times $B",
                                 world->dir, world_blob(world, hex)),
                     0);
}

/* As if the machine had booted since. */
static inline void boot(const struct world *world, const char *hex)
{
        cr_assert_eq(setxattr(world_blob(world, hex), "user.assetfs.verified", "1000 x", 6, 0), 0);
}

static inline int quarantined(const struct world *world, const char *hex)
{
        return world_shell("exit $(ls '%s/quarantine' | grep -c '^%s[.]')", world->cache, hex);
}

/* It was found, and right bytes came. */
static inline void expect_mended(struct world *world, const char *hex)
{
        cr_expect_eq(world_open(world_path(world, hex)), 0);
        cr_expect_eq(world_requests(world, "GET /ok/"), 2);
        cr_expect_eq(quarantined(world, hex), 1);
}

static inline bool logged_in_time(const struct world *world, const char *words)
{
        for (int i = 0; i < SURELY_MS / 20 && world_logged(world, words) == 0; i++)
                sleep_ms(20);
        return world_logged(world, words) > 0;
}

#define VERIFY(world, output, ...)                                                                 \
        world_run(output, sizeof(output), "verify", "--cache", (world)->cache, __VA_ARGS__)

#endif
