/*
 * Pins: made and ended beside a store that is open; what else may lie there; and the lock
 * that eviction and they agree on.
 */
#include "cas/pins.h"

#include "tests/unit/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/fsuid.h>

TestSuite(cas_pins, .init = scratch_make, .fini = scratch_remove, .timeout = 30);

struct tally {
        int changed;
        int same;
        int failed;
        int error; /* the last one */
};

static void tell(void *arg, const struct cas_digest *digest, int result)
{
        struct tally *tally = arg;

        (void)digest;
        tally->changed += result == 1;
        tally->same += result == 0;
        tally->failed += result < 0;
        tally->error = result < 0 ? result : tally->error;
}

static int open_pins(void)
{
        char why[CAS_WHY] = "";
        int pins;

        cas_store_free(open_cache());
        pins = cas_pins_open(scratch_at("cache").text, why);
        cr_assert_geq(pins, 0, "%s", why);
        return pins;
}

static struct tally add(int pins, const struct cas_digest *digests, size_t count)
{
        struct tally tally = {0};
        struct cas_pins_work work = {digests, count, tell, &tally};

        cr_assert_eq(cas_pins_add(pins, &work), 0);
        return tally;
}

static struct tally take(int pins, const struct cas_digest *digests, size_t count)
{
        struct tally tally = {0};
        struct cas_pins_work work = {digests, count, tell, &tally};

        cr_assert_eq(cas_pins_remove(pins, &work), 0);
        return tally;
}

static int count_one(void *arg, const struct cas_digest *digest)
{
        (void)digest;
        ++*(int *)arg;
        return 0;
}

Test(cas_pins, are_made_ended_and_listed)
{
        struct cas_digest digests[] = {digest_of_text("one"), digest_of_text("two")};
        int pins = open_pins();
        struct stat st;
        int count = 0;

        cr_expect_eq(cas_pins_has(pins, &digests[0]), 0);
        cr_expect_eq(add(pins, digests, 1).changed, 1);
        cr_expect_eq(add(pins, digests, 2).same, 1, "again is no error");
        cr_expect_eq(cas_pins_has(pins, &digests[0]), 1);
        cr_expect_eq(cas_pins_has(pins, &digests[1]), 1);
        cr_assert_eq(stat(scratch_at(in_cache("pins", &digests[0], "").text).text, &st), 0);
        cr_expect_eq(st.st_mode & 07777, 0600);
        cr_expect_eq(st.st_size, 0);
        scratch_write("cache/pins/stray", "", 0);
        cr_assert_eq(cas_pins_list(pins, count_one, &count), 0);
        cr_expect_eq(count, 2);
        cr_expect_eq(take(pins, digests, 1).changed, 1);
        cr_expect_eq(take(pins, digests, 1).same, 1);
        cr_expect_eq(cas_pins_has(pins, &digests[0]), 0);
        cr_expect_eq(cas_pins_has(pins, &digests[1]), 1);
        close(pins);
}

Test(cas_pins, what_has_their_name_is_not_followed)
{
        struct cas_digest link = digest_of_text("a link");
        struct cas_digest folder = digest_of_text("a folder");
        int pins = open_pins();
        struct tally tally;

        scratch_write("elsewhere", "kept", 4);
        cr_assert_eq(symlink(scratch_at("elsewhere").text,
                             scratch_at(in_cache("pins", &link, "").text).text),
                     0);
        cr_assert_eq(mkdir(scratch_at(in_cache("pins", &folder, "").text).text, 0700), 0);
        cr_expect_eq(cas_pins_has(pins, &link), 0);
        cr_expect_eq(cas_pins_has(pins, &folder), 0);
        cr_expect_eq(take(pins, &link, 1).same, 1, "it is none");
        cr_expect(scratch_has(in_cache("pins", &link, "").text));
        cr_expect_eq(add(pins, &link, 1).changed, 1);
        cr_expect_eq(cas_pins_has(pins, &link), 1);
        cr_expect(scratch_has("elsewhere"));
        tally = add(pins, &folder, 1);
        cr_expect_eq(tally.failed, 1);
        cr_expect_eq(tally.error, -EISDIR);
        close(pins);
}

Test(cas_pins, are_a_caches)
{
        char why[CAS_WHY] = "";
        int pins;

        cr_expect_eq(cas_pins_open(scratch_at("nothing").text, why), -ENOENT);
        cr_expect_eq(cas_pins_open(scratch_dir, why), -ENOENT);
        cr_expect_str_eq(why, "not a cache");
        cr_expect_eq(scratch_count(""), 0);
        close(open_pins());
        cr_assert_eq(rmdir(scratch_at("cache/pins").text), 0);
        pins = cas_pins_open(scratch_at("cache").text, why);
        cr_expect_geq(pins, 0, "made again");
        close(pins);
        cr_assert_eq(rmdir(scratch_at("cache/pins").text), 0);
        cr_assert_eq(symlink("..", scratch_at("cache/pins").text), 0);
        cr_expect_lt(cas_pins_open(scratch_at("cache").text, why), 0);
}

Test(cas_pins, of_root_are_the_owners)
{
        struct cas_digest digest = digest_of_text("one");
        struct stat st;
        char why[CAS_WHY] = "";
        int pins;

        if (geteuid() != 0)
                cr_skip_test("root alone can give a cache away");
        cas_store_free(open_cache());
        cr_assert_eq(chown(scratch_at("cache").text, 12345, 12346), 0);
        cr_assert_eq(chown(scratch_at("cache/blobs").text, 12345, 12346), 0);
        cr_assert_eq(rmdir(scratch_at("cache/pins").text), 0);
        cr_assert_eq(chmod(scratch_dir, 0700), 0, "what is above the cache is root's");
        pins = cas_pins_open(scratch_at("cache").text, why);
        cr_assert_geq(pins, 0, "%s", why);
        cr_expect_eq(add(pins, &digest, 1).changed, 1);
        cr_assert_eq(fstat(pins, &st), 0);
        cr_expect_eq(st.st_uid, 12345);
        cr_assert_eq(fstatat(pins, in_cache("pins", &digest, "").text + strlen("cache/pins/"), &st,
                             AT_SYMLINK_NOFOLLOW),
                     0);
        cr_expect_eq(st.st_uid, 12345);
        cr_expect_eq(st.st_gid, 12346);
        close(pins);
        setfsuid(0);
}

Test(cas_pins, eviction_and_they_exclude_each_other)
{
        struct cas_digest digest = digest_of_text("one");
        int pins = open_pins();
        int other = openat(pins, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct tally tally = {0};
        struct cas_pins_work work = {&digest, 1, tell, &tally};
        int first = cas_pins_lock_shared(pins);
        int second = cas_pins_lock_shared(pins);

        cr_assert_geq(first, 0);
        cr_assert_geq(second, 0, "evictors do not exclude each other");
        cr_expect_lt(flock(other, LOCK_EX | LOCK_NB), 0);
        close(first);
        close(second);
        cr_expect_eq(flock(other, LOCK_EX | LOCK_NB), 0);
        cr_expect_eq(cas_pins_lock_shared(pins), -EBUSY, "a pin that hangs");
        cr_expect_eq(flock(other, LOCK_SH), 0);
        cr_expect_eq(cas_pins_add(pins, &work), -EBUSY, "a daemon that hangs");
        cr_expect_eq(tally.changed, 0);
        close(other);
        cr_expect_eq(add(pins, &digest, 1).changed, 1);
        first = cas_pins_lock_shared(pins);
        cr_expect_geq(first, 0, "it is let go when it is done");
        close(first);
        close(pins);
}
