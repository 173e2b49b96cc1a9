/*
 * Idle staging: bounded in every way, trimmed, the first to go when there is no room;
 * and what somebody is writing is never touched.
 */
#include "cas/staging.h"

#include "tests/unit/staging.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mount.h>

#define DAY 86400

TestSuite(cas_staging, .init = scratch_make, .fini = scratch_remove, .timeout = 30);

static struct cas_digest numbered(unsigned number)
{
        return digest_of(&number, sizeof(number));
}

static bool has_part(const struct cas_digest *digest)
{
        return scratch_has(part_of(digest).text);
}

static void sweep(struct bench *bench, uint64_t keep_bytes)
{
        cas_staging_sweep(cas_store_ingest_dir(bench->store), keep_bytes);
}

Test(cas_staging, fault_41_too_old_and_empty_goes)
{
        struct cas_digest old = numbered(1);
        struct cas_digest young = numbered(2);
        struct cas_digest empty = numbered(3);
        struct cas_digest read_only = numbered(4);
        struct bench bench;

        open_bench(&bench);
        leave_staging(&old, 10, CAS_STAGING_KEEP_DAYS * DAY + 60);
        leave_staging(&young, 10, CAS_STAGING_KEEP_DAYS * DAY - 60);
        leave_staging(&empty, 0, 60);
        leave_staging(&read_only, 10, CAS_STAGING_KEEP_DAYS * DAY + 60);
        cr_assert_eq(chmod(scratch_at(part_of(&read_only).text).text, 0444), 0);
        sweep(&bench, CAS_STAGING_KEEP_BYTES);
        cr_expect_not(has_part(&old));
        cr_expect(has_part(&young));
        cr_expect_not(has_part(&empty));
        cr_expect_not(has_part(&read_only));
        close_bench(&bench);
}

Test(cas_staging, fault_41_what_is_no_staging_goes_and_what_is_not_ours_stays)
{
        struct cas_digest digest = numbered(1);
        struct scratch_path other = in_cache("ingest", &digest, ".tmp");
        struct scratch_path fifo = in_cache("ingest", &digest, ".fifo");
        struct scratch_path link = in_cache("ingest", &digest, ".link");
        struct scratch_path directory = in_cache("ingest", &digest, ".dir");
        struct scratch_path bare = in_cache("ingest", &digest, "");
        struct bench bench;

        open_bench(&bench);
        scratch_write(other.text, "bytes", 5);
        scratch_write(bare.text, "bytes", 5);
        scratch_write("outside", "bytes", 5);
        scratch_write("cache/ingest/README.part", "bytes", 5);
        cr_assert_eq(mkfifo(scratch_at(fifo.text).text, 0600), 0);
        cr_assert_eq(symlink(scratch_at("outside").text, scratch_at(link.text).text), 0);
        cr_assert_eq(mkdir(scratch_at(directory.text).text, 0700), 0);
        sweep(&bench, CAS_STAGING_KEEP_BYTES);
        cr_expect_not(scratch_has(other.text));
        cr_expect_not(scratch_has(fifo.text));
        cr_expect_not(scratch_has(link.text));
        cr_expect(scratch_has("outside"));
        cr_expect(scratch_has(directory.text));
        cr_expect(scratch_has(bare.text));
        cr_expect(scratch_has("cache/ingest/README.part"));
        close_bench(&bench);
}

Test(cas_staging, fault_76_the_newest_stay_up_to_their_number)
{
        const unsigned more = 5;
        struct bench bench;

        open_bench(&bench);
        for (unsigned i = 0; i < CAS_STAGING_KEEP_FILES + more; i++) {
                struct cas_digest digest = numbered(i);

                leave_staging(&digest, 1, 100 + i);
        }
        sweep(&bench, CAS_STAGING_KEEP_BYTES);
        cr_expect_eq(scratch_count("cache/ingest"), CAS_STAGING_KEEP_FILES);
        for (unsigned i = 0; i < CAS_STAGING_KEEP_FILES + more; i++) {
                struct cas_digest digest = numbered(i);

                cr_expect_eq(has_part(&digest), i < CAS_STAGING_KEEP_FILES, "%u", i);
        }
        close_bench(&bench);
}

Test(cas_staging, fault_76_the_newest_stay_up_to_their_bytes)
{
        const size_t size = 64 * 1024;
        struct cas_digest digests[8];
        uint64_t each;
        struct bench bench;

        open_bench(&bench);
        for (unsigned i = 0; i < 8; i++) {
                digests[i] = numbered(i);
                leave_staging(&digests[i], size, 100 + (i + 3) % 8); /* in no order of names */
        }
        each = (uint64_t)stat_part(&digests[0]).st_blocks * 512;
        cr_assert_geq(each, size);
        sweep(&bench, 8 * each);
        cr_expect_eq(scratch_count("cache/ingest"), 8);
        sweep(&bench, 3 * each + each / 2);
        for (unsigned i = 0; i < 8; i++)
                cr_expect_eq(has_part(&digests[i]), (i + 3) % 8 < 3, "%u", i);
        sweep(&bench, 0);
        cr_expect_eq(scratch_count("cache/ingest"), 0);
        close_bench(&bench);
}

Test(cas_staging, what_is_in_use_is_never_swept)
{
        struct cas_digest digest = digest_of_body(1000);
        struct cas_digest idle = numbered(1);
        struct bench bench;

        open_bench(&bench);
        leave_staging(&digest, 400, 100 * DAY);
        leave_staging(&idle, 400, 60);

        static const atomic_bool going;
        struct cas_ingest *ingest = begin_ingest(&bench, &digest, 1000, CAS_SIZE_UNKNOWN);
        struct cas_slot *slot = take_slot(&bench.client);

        cr_expect_eq(cas_ingest_recover(ingest, slot, &going), 0);
        cr_expect_eq(slot->filled, 400);
        sweep(&bench, 0);
        cr_expect(has_part(&digest));
        cr_expect_not(has_part(&idle));
        cr_expect_eq(ingest_body(&bench, ingest, slot, 1000), 0);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), 0);
        cas_ingest_free(ingest);
        expect_blob(&bench, &digest, 1000);
        close_bench(&bench);
}

/* One that was killed has reserved room for all of a large asset. */
Test(cas_staging, room_reserved_by_the_dead_is_given_back)
{
        struct cas_digest digest = numbered(1);
        struct bench bench;

        open_bench(&bench);
        leave_staging(&digest, 5000, 1000);

        struct stat before = stat_part(&digest);
        int fd = open(scratch_at(part_of(&digest).text).text, O_WRONLY | O_CLOEXEC);
        bool reserved = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 16 << 20) == 0;
        const struct timespec times[] = {before.st_atim, before.st_mtim};

        futimens(fd, times);
        close(fd);
        if (reserved)
                cr_assert_geq(stat_part(&digest).st_blocks * 512, 16 << 20);
        sweep(&bench, CAS_STAGING_KEEP_BYTES);

        struct stat after = stat_part(&digest);

        cr_expect_leq(after.st_blocks * 512, CAS_SLOT_BYTES);
        cr_expect_eq(after.st_size, 5000);
        cr_expect_eq(after.st_mtim.tv_sec, before.st_mtim.tv_sec, "its age is that of its bytes");
        cr_expect_eq(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
        close_bench(&bench);
}

static void have_small_disk(const char *size)
{
        char options[64];

        if (geteuid() != 0) {
                scratch_remove();
                cr_skip_test("only root can mount");
        }
        cr_assert_eq(unshare(CLONE_NEWNS), 0);
        cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        cr_assert_eq(mkdir(scratch_at("cache").text, 0700), 0);
        snprintf(options, sizeof(options), "mode=0700,size=%s", size);
        cr_assert_eq(mount("none", scratch_at("cache").text, "tmpfs", 0, options), 0);
}

Test(cas_staging, fault_31_idle_staging_goes_where_there_is_no_room)
{
        struct cas_digest idle = numbered(1);
        struct cas_digest digest = numbered(2);
        struct cas_digest busy = numbered(3);
        struct cas_ingest *ingest = NULL;
        struct bench bench;

        have_small_disk("8M");
        open_bench(&bench);
        leave_staging(&idle, 5 << 20, 60);

        struct cas_ingest *other = begin_ingest(&bench, &busy, 1 << 20, 1 << 20);

        cr_expect_eq(cas_ingest_begin(bench.store, &digest, 64 << 20, 1 << 20, &ingest), 0);
        cas_ingest_free(ingest);
        cr_expect(has_part(&idle), "there was room");

        cr_expect_eq(cas_ingest_begin(bench.store, &digest, 64 << 20, 6 << 20, &ingest), 0);
        cr_expect_not(has_part(&idle));
        cr_expect(has_part(&busy));
        cr_expect(has_part(&digest));
        cas_ingest_free(ingest);

        /* The same for a size that only the origin tells. */
        leave_staging(&idle, 5 << 20, 60);
        ingest = begin_ingest(&bench, &digest, 64 << 20, CAS_SIZE_UNKNOWN);
        cr_expect_eq(cas_ingest_expect(ingest, 6 << 20), 0);
        cr_expect_not(has_part(&idle));
        cas_ingest_free(ingest);

        /* And what has no room even so begins not at all. */
        ingest = NULL;
        cr_expect_eq(cas_ingest_begin(bench.store, &digest, 64 << 20, 9 << 20, &ingest), -ENOSPC);
        cr_expect_null(ingest);
        cr_expect(has_part(&busy));
        cas_ingest_free(other);
        cr_expect_eq(scratch_count("cache/ingest"), 0);
        close_bench(&bench);
        cr_expect_eq(umount(scratch_at("cache").text), 0);
}

struct storm {
        struct cas_store *store;
        struct cas_slots *pool;
        atomic_bool over;
        atomic_uint lost;
        atomic_uint published;
};

static void *sweep_all_the_time(void *arg)
{
        struct storm *storm = arg;

        while (!atomic_load(&storm->over))
                cas_staging_sweep(cas_store_ingest_dir(storm->store), 0);
        return NULL;
}

/* Each asset is begun, left, and begun again; whatever the sweeps took, it is published. */
static void publish_one(struct storm *storm, struct cas_slots_client *client, uint64_t size)
{
        static const atomic_bool going;
        struct cas_digest digest = digest_of_body(size);
        struct cas_ingest *ingest = NULL;
        bool good = true;

        for (int i = 0; i < 2 && good; i++) {
                struct cas_slot *slot = take_slot(client);

                good = cas_ingest_begin(storm->store, &digest, size, size, &ingest) == 0 &&
                       cas_ingest_recover(ingest, slot, &going) == 0;
                body(0, slot->bytes, size);
                slot->filled = i == 0 ? (size_t)size / 2 : (size_t)size;
                if (i == 0 && good) {
                        cas_ingest_keep(ingest, slot);
                } else if (good) {
                        good = cas_ingest_write(ingest, slot) == 0 &&
                               cas_ingest_commit(ingest, NULL) == 0;
                } else {
                        cas_slot_give(slot);
                }
                cas_ingest_free(ingest);
                ingest = NULL;
        }
        atomic_fetch_add(good ? &storm->published : &storm->lost, 1);
}

static void *publish_all_the_time(void *arg)
{
        struct storm *storm = arg;
        struct cas_slots_client client = {.most = 2};
        uint64_t size = 1000 + (uint64_t)gettid() % 1000 * 20;

        cas_slots_join(storm->pool, &client);
        while (!atomic_load(&storm->over))
                publish_one(storm, &client, size++);
        cas_slots_leave(&client);
        return NULL;
}

static void rage(struct storm *storm, void *(*const acts[4])(void *))
{
        pthread_t threads[4];

        for (int i = 0; i < 4; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, acts[i], storm), 0);
        usleep(SLOW_BUILD ? 1000000 : 400000);
        atomic_store(&storm->over, true);
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        cr_expect_gt(atomic_load(&storm->published), 3, "the test tested something");
        cr_expect_eq(atomic_load(&storm->lost), 0);
}

Test(cas_staging, sweeps_never_lose_what_is_being_written)
{
        struct storm storm = {.store = open_cache()};

        cr_assert_eq(cas_slots_new(8 * CAS_SLOT_BYTES, 4, &storm.pool), 0);
        rage(&storm, (void *(*const[])(void *)){publish_all_the_time, publish_all_the_time,
                                                sweep_all_the_time, sweep_all_the_time});
        cas_slots_free(storm.pool);
        cas_store_free(storm.store);
}

/* The name is free one moment and taken the next; only what has no owner may go. */
static void begin_again(struct storm *storm, unsigned number)
{
        struct cas_digest digest = numbered(number);

        while (!atomic_load(&storm->over)) {
                struct cas_ingest *ingest = NULL;
                int r = cas_ingest_begin(storm->store, &digest, 100, CAS_SIZE_UNKNOWN, &ingest);

                sched_yield();
                atomic_fetch_add(r == 0 && has_part(&digest) ? &storm->published : &storm->lost, 1);
                cas_ingest_free(ingest);
        }
}

static void *begin_one_again(void *storm)
{
        begin_again(storm, 1);
        return NULL;
}

static void *begin_other_again(void *storm)
{
        begin_again(storm, 2);
        return NULL;
}

Test(cas_staging, sweeps_never_lose_what_is_begun_again)
{
        struct storm storm = {.store = open_cache()};

        rage(&storm, (void *(*const[])(void *)){begin_one_again, begin_other_again,
                                                sweep_all_the_time, sweep_all_the_time});
        cas_store_free(storm.store);
}

/* How many of this process's descriptors are the staging file's. */
static unsigned open_parts(const struct cas_digest *digest)
{
        struct stat wanted = stat_part(digest);
        unsigned count = 0;

        for (int fd = 3; fd < 100; fd++) {
                struct stat st;
                char path[32];

                snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
                count += stat(path, &st) == 0 && st.st_ino == wanted.st_ino &&
                         st.st_dev == wanted.st_dev;
        }
        return count;
}

struct second {
        struct cas_store *store;
        struct cas_digest digest;
        struct cas_ingest *ingest;
        int result;
};

static void *begin_second(void *arg)
{
        struct second *second = arg;

        second->result = cas_ingest_begin(second->store, &second->digest, 1000, CAS_SIZE_UNKNOWN,
                                          &second->ingest);
        return NULL;
}

/* It waited for the lock of staging that is a blob by now. */
Test(cas_staging, fault_40_who_waited_for_the_lock_does_not_write_to_the_blob)
{
        struct cas_digest digest = digest_of_body(1000);
        struct second second = {.digest = digest};
        pthread_t thread;
        struct bench bench;

        open_bench(&bench);
        second.store = bench.store;

        struct cas_ingest *ingest = begin_ingest(&bench, &digest, 1000, CAS_SIZE_UNKNOWN);

        cr_assert_eq(ingest_body(&bench, ingest, NULL, 1000), 0);
        cr_assert_eq(pthread_create(&thread, NULL, begin_second, &second), 0);
        while (open_parts(&digest) < 2)
                usleep(100);
        cr_expect_eq(cas_ingest_commit(ingest, NULL), 0);
        cas_ingest_free(ingest);
        pthread_join(thread, NULL);
        cr_assert_eq(second.result, 0);
        cr_expect_eq(cas_ingest_restart(second.ingest), 0);
        cr_expect_eq(ingest_body(&bench, second.ingest, NULL, 10), 0);
        cas_ingest_free(second.ingest);
        expect_blob(&bench, &digest, 1000);
        close_bench(&bench);
}

/* Of those that were left in the same second too: seconds are long, and flights many. */
Test(cas_staging, the_newest_stay_within_one_second)
{
        const size_t size = 64 * 1024;
        struct timespec times[2] = {{.tv_sec = time(NULL) - 60}, {.tv_sec = time(NULL) - 60}};
        struct bench bench;

        open_bench(&bench);
        for (unsigned i = 0; i < 8; i++) {
                struct cas_digest digest = numbered(i);

                leave_staging(&digest, size, 60);
                times[1].tv_nsec = 10000000 * i;
                cr_assert_eq(utimensat(AT_FDCWD, scratch_at(part_of(&digest).text).text, times, 0),
                             0);
        }
        sweep(&bench, 3 * size);
        for (unsigned i = 0; i < 8; i++) {
                struct cas_digest digest = numbered(i);

                cr_expect_eq(has_part(&digest), i >= 5, "%u", i);
        }
        close_bench(&bench);
}
