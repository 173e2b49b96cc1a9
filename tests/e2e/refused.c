/*
 * FAULTS, the disk: what no small file system does at the right moment, and a quota, which not
 * every kernel has. A seccomp filter answers the daemon's calls; it is this process's and so
 * the daemon's, which cannot take it off.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <seccomp.h>
#include <stdio.h>
#include <unistd.h>

TestSuite(refused, .timeout = 60);

#define SMALL 600000
#define BIG   3000000
#define LIMIT 1000000 /* bytes of a file that the quota allows */

/* One rule of a filter; without a condition where `limit` is 0. */
struct rule {
        int call;
        int error;
        unsigned argument;
        uint64_t limit; /* refused above it */
};

static void refuse(const struct rule *rules, size_t count)
{
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

        cr_assert(filter);
        cr_assert_eq(seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0), 0);
        for (size_t i = 0; i < count; i++)
                cr_assert_eq(
                    seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)rules[i].error),
                                     rules[i].call, rules[i].limit ? 1 : 0,
                                     SCMP_CMP(rules[i].argument, SCMP_CMP_GT, rules[i].limit)),
                    0);
        cr_assert_eq(seccomp_load(filter), 0);
        seccomp_release(filter);
}

/* A quota as the store meets it: no more than LIMIT bytes are reserved, or written. */
static const struct rule quota[] = {
    {SCMP_SYS(fallocate), EDQUOT, 3, LIMIT},
    {SCMP_SYS(pwrite64), EDQUOT, 3, LIMIT},
    {SCMP_SYS(pwritev), EDQUOT, 3, LIMIT},
};

static void begin(struct world *world)
{
        world_begin(world);
        world_origin(world);
}

static void expect_nothing_of(const struct world *world, const char *hex)
{
        cr_expect_lt(access(world_blob(world, hex), F_OK), 0);
        cr_expect_lt(access(world_staging(world, hex), F_OK), 0);
}

/* Blobs that together are too little stay; those that suffice go, once. */
Test(refused, fault_33_quota_at_the_start)
{
        struct world world;
        char catalog[2 * WORLD_PATH];
        char small[3][HEX];
        char big[HEX];
        char huge[HEX];

        begin(&world);
        for (int i = 0; i < 3; i++)
                world_asset(&world, SMALL, small[i]);
        world_asset(&world, LIMIT + 50000, big);
        world_asset(&world, BIG, huge);
        snprintf(catalog, sizeof(catalog), "%s/catalog.json", world.dir);
        world_text(catalog,
                   "{\"assets\": {\"big\": {\"sha256\": \"%s\", \"size\": %d},"
                   " \"huge\": {\"sha256\": \"%s\", \"size\": %d}}}",
                   big, LIMIT + 50000, huge, BIG);
        refuse(quota, 3);
        world_mount(&world, "--catalog", catalog, "--origin", world_url(&world, "ok"));
        for (int i = 0; i < 3; i++)
                cr_expect_eq(world_open(world_path(&world, small[i])), 0);
        cr_expect_eq(world_open(world_path(&world, huge)), EDQUOT);
        cr_expect_eq(world_logged(&world, "event=evicted"), 0, "they would not suffice");
        cr_expect_eq(world_open(world_path(&world, big)), EDQUOT);
        cr_expect_eq(world_logged(&world, "event=evicted"), 2, "tried once more");
        cr_expect_eq(world_requests(&world, "GET"), 3, "reserved before any GET");
        cr_expect_eq(world_logged(&world, "event=failed"), 2);
        cr_expect_eq(world_logged(&world, "errno=EDQUOT"), 2);
        expect_nothing_of(&world, big);
        expect_nothing_of(&world, huge);
        cr_expect_eq(world_open(world_path(&world, small[2])), 0);
        world_end(&world);
}

Test(refused, fault_33_quota_midway)
{
        struct world world;
        char hex[HEX];
        char small[HEX];

        begin(&world);
        world_asset(&world, BIG, hex);
        world_asset(&world, SMALL / 2, small);
        refuse(quota + 1, 2);
        world_mount(&world, "--origin", world_url(&world, "nosize"));
        cr_expect_eq(world_open(world_path(&world, hex)), EDQUOT);
        cr_expect_eq(world_requests(&world, "GET"), 1, "not asked again");
        cr_expect_eq(world_logged(&world, "event=failed"), 1);
        cr_expect_eq(world_logged(&world, "errno=EDQUOT"), 1);
        expect_nothing_of(&world, hex);
        cr_expect_eq(world_open(world_path(&world, small)), 0, "the next one opens");
        world_end(&world);
}

/* `rule` refuses one of the last steps; an older mount's blobs are there all the same. */
static void at_the_end(const struct rule *rule)
{
        struct world world;
        char cached[HEX];
        char hex[HEX];

        begin(&world);
        world_asset(&world, SMALL, cached);
        world_asset(&world, SMALL, hex);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_assert_eq(world_open(world_path(&world, cached)), 0);
        world_unmount(&world);
        refuse(rule, 1);
        world_mount(&world, "--cache-size=5000000", "--origin", world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, hex)), rule->error);
        cr_expect_eq(world_requests(&world, "GET"), 2, "not asked again");
        cr_expect_eq(world_logged(&world, "event=failed"), 1);
        expect_nothing_of(&world, hex);
        cr_expect_eq(world_open(world_path(&world, cached)), 0);
        world_end(&world);
}

/* A name, in a directory that would have to grow. */
Test(refused, fault_32_no_room_at_the_name)
{
        at_the_end(&(const struct rule){SCMP_SYS(renameat2), ENOSPC, 4, RENAME_NOREPLACE - 1});
}

Test(refused, fault_32_no_room_at_fsync)
{
        at_the_end(&(const struct rule){.call = SCMP_SYS(fsync), .error = ENOSPC});
}

Test(refused, fault_35_error_at_fsync)
{
        at_the_end(&(const struct rule){.call = SCMP_SYS(fsync), .error = EIO});
}
