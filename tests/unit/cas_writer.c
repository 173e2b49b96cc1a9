/*
 * The writer: every byte at its place, whatever the slots are like; the first error
 * stays; and every slot comes back, however it ends.
 */
#include "cas/writer.h"

#include "tests/unit/scratch.h"
#include "tests/unit/slot.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>

TestSuite(cas_writer, .init = scratch_make, .fini = scratch_remove, .timeout = 30);

/* A writer, its file and its slots. */
struct desk {
        int fd;
        struct cas_slots *pool;
        struct cas_slots_client client;
        struct cas_writer writer;
        uint64_t at; /* of the next slot */
};

static void open_desk(struct desk *desk, const char *path, int flags, unsigned slots)
{
        *desk = (struct desk){.fd = open(path, flags | O_CLOEXEC, 0600)};
        cr_assert_geq(desk->fd, 0);
        desk->pool = pool_of(slots, &desk->client);
        cas_writer_init(&desk->writer, desk->fd);
}

static void open_file(struct desk *desk, unsigned slots)
{
        open_desk(desk, scratch_at("file").text, O_RDWR | O_CREAT, slots);
}

static void close_desk(struct desk *desk)
{
        cas_writer_destroy(&desk->writer);
        drain_pool(desk->pool, &desk->client);
        close(desk->fd);
}

/* The next `length` bytes of the body; what the writer said. */
static int put(struct desk *desk, size_t length)
{
        struct cas_slot *slot = slot_of(&desk->client, desk->at, length);
        int r = cas_writer_put(&desk->writer, slot);

        cas_writer_done(&desk->writer, slot);
        desk->at += length;
        return r;
}

static uint64_t size_of(const struct desk *desk)
{
        struct stat st;

        cr_assert_eq(fstat(desk->fd, &st), 0);
        return (uint64_t)st.st_size;
}

static bool is_direct(const struct desk *desk)
{
        return fcntl(desk->fd, F_GETFL) & O_DIRECT;
}

/* All that was put is in the file, in order, and nothing else. */
static void expect_body(struct desk *desk)
{
        cr_expect_eq(cas_writer_drain(&desk->writer), 0);
        cr_expect_eq(used_by(&desk->client), 0);
        cr_expect_eq(size_of(desk), desk->at);
        cr_expect_eq(body_until(desk->fd, desk->at), desk->at);
}

Test(cas_writer, many_slots_and_a_part_at_the_end)
{
        struct desk desk;

        open_file(&desk, 12);
        for (int i = 0; i < 45; i++)
                cr_expect_eq(put(&desk, CAS_SLOT_BYTES), 0);
        cr_expect_eq(put(&desk, 4711), 0);
        expect_body(&desk);
        cr_expect(desk.writer.started);
        close_desk(&desk);
}

Test(cas_writer, less_than_a_slot_needs_no_thread)
{
        struct desk desk;

        open_file(&desk, 2);
        cr_expect_eq(put(&desk, 4711), 0);
        cr_expect_not(desk.writer.started);
        cr_expect_eq(size_of(&desk), 4711, "before any drain");
        cr_expect_eq(put(&desk, 12), 0);
        cr_expect_not(desk.writer.started);
        expect_body(&desk);
        close_desk(&desk);
}

Test(cas_writer, nothing_at_all)
{
        struct desk desk;

        open_file(&desk, 2);
        cr_expect_eq(cas_writer_drain(&desk.writer), 0);
        cr_expect_eq(put(&desk, 0), 0);
        expect_body(&desk);
        close_desk(&desk);
}

static void put_uneven(struct desk *desk)
{
        static const size_t lengths[] = {CAS_SLOT_BYTES,
                                         1000,
                                         CAS_SLOT_BYTES,
                                         CAS_SLOT_BYTES,
                                         0,
                                         5,
                                         CAS_SLOT_BYTES - 5,
                                         CAS_SLOT_BYTES,
                                         4096,
                                         1,
                                         CAS_SLOT_BYTES,
                                         77};

        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
                cr_expect_eq(put(desk, lengths[i]), 0);
        expect_body(desk);
}

Test(cas_writer, parts_in_the_middle)
{
        struct desk desk;

        open_file(&desk, 12);
        put_uneven(&desk);
        close_desk(&desk);
}

Test(cas_writer, parts_in_the_middle_of_a_large_file)
{
        struct desk desk;

        open_file(&desk, 12);
        cas_writer_expect(&desk.writer, CAS_DIRECT_BYTES);
        put_uneven(&desk);
        close_desk(&desk);
}

/* Put after put, until the writer says what it met. */
static int put_until_error(struct desk *desk)
{
        int r = 0;

        for (int i = 0; i < 1000 && r == 0; i++) {
                r = put(desk, CAS_SLOT_BYTES);
                usleep(r == 0 ? 100 : 0);
        }
        return r;
}

static void expect_sticky(struct desk *desk, int error)
{
        cr_expect_eq(put_until_error(desk), error);
        for (int i = 0; i < 20; i++)
                cr_expect_eq(put(desk, i % 2 ? CAS_SLOT_BYTES : 100), error);
        cr_expect_eq(cas_writer_drain(&desk->writer), error);
        cr_expect_eq(cas_writer_drain(&desk->writer), error, "drain does not forget it");
        cr_expect_eq(used_by(&desk->client), 0);
}

Test(cas_writer, first_error_stays)
{
        struct desk desk;

        scratch_write("file", "as it was", 9);
        open_desk(&desk, scratch_at("file").text, O_RDONLY, 12);
        expect_sticky(&desk, -EBADF);
        cr_expect_eq(size_of(&desk), 9);
        close_desk(&desk);
}

Test(cas_writer, fault_32_full_device)
{
        struct desk desk;

        open_desk(&desk, "/dev/full", O_WRONLY, 12);
        expect_sticky(&desk, -ENOSPC);
        close_desk(&desk);
}

Test(cas_writer, error_without_a_thread)
{
        struct desk desk;

        open_desk(&desk, "/dev/full", O_WRONLY, 2);
        cr_expect_eq(put(&desk, 100), -ENOSPC, "it is known at once");
        cr_expect_not(desk.writer.started);
        cr_expect_eq(put(&desk, 100), -ENOSPC);
        cr_expect_eq(cas_writer_drain(&desk.writer), -ENOSPC);
        close_desk(&desk);
}

static struct rlimit limit_file(rlim_t bytes)
{
        struct rlimit before;

        signal(SIGXFSZ, SIG_IGN);
        cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);

        struct rlimit limit = {.rlim_cur = bytes, .rlim_max = before.rlim_max};

        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        return before;
}

/* The disk takes the first slots and a piece of one, then no more; later it does again. */
Test(cas_writer, seek_begins_anew_after_an_error)
{
        const rlim_t limit = 3 * CAS_SLOT_BYTES + 5000;
        struct desk desk;

        open_file(&desk, 12);

        struct rlimit before = limit_file(limit);
        int r = put_until_error(&desk);
        int drained = cas_writer_drain(&desk.writer);

        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        cr_expect_eq(r, -EFBIG);
        cr_expect_eq(drained, -EFBIG);
        cr_expect_eq(used_by(&desk.client), 0);
        cr_expect_geq(body_until(desk.fd, size_of(&desk)), 3 * CAS_SLOT_BYTES);
        cr_expect_eq(put(&desk, CAS_SLOT_BYTES), -EFBIG, "though there would be room now");
        cr_expect_eq(cas_writer_drain(&desk.writer), -EFBIG);
        cr_expect_eq(size_of(&desk), limit);

        cas_writer_seek(&desk.writer, 0);
        cr_assert_eq(ftruncate(desk.fd, 0), 0);
        desk.at = 0;
        for (int i = 0; i < 10; i++)
                cr_expect_eq(put(&desk, CAS_SLOT_BYTES), 0);
        cr_expect_eq(put(&desk, 3), 0);
        expect_body(&desk);
        close_desk(&desk);
}

Test(cas_writer, seek_goes_on_behind_what_is_there)
{
        static char there[2 * CAS_SLOT_BYTES + 33];
        struct desk desk;

        body(0, there, sizeof(there));
        scratch_write("file", there, sizeof(there));
        open_file(&desk, 12);
        desk.at = CAS_SLOT_BYTES;
        cas_writer_seek(&desk.writer, desk.at);
        for (int i = 0; i < 4; i++)
                cr_expect_eq(put(&desk, CAS_SLOT_BYTES), 0);
        expect_body(&desk);

        desk.at = sizeof(there); /* on no border of anything */
        cas_writer_seek(&desk.writer, desk.at);
        for (int i = 0; i < 4; i++)
                cr_expect_eq(put(&desk, CAS_SLOT_BYTES), 0);
        expect_body(&desk);
        close_desk(&desk);
}

static bool can_be_direct(const struct desk *desk)
{
        int flags = fcntl(desk->fd, F_GETFL);
        bool can = fcntl(desk->fd, F_SETFL, flags | O_DIRECT) == 0;

        fcntl(desk->fd, F_SETFL, flags);
        return can;
}

Test(cas_writer, large_files_go_past_the_page_cache)
{
        struct desk desk;

        open_file(&desk, 12);
        if (!can_be_direct(&desk)) {
                close_desk(&desk);
                scratch_remove();
                cr_skip_test("no O_DIRECT on this file system");
        }
        cas_writer_expect(&desk.writer, CAS_DIRECT_BYTES - 1);
        cr_expect_eq(put(&desk, CAS_SLOT_BYTES), 0);
        expect_body(&desk);
        cr_expect_not(is_direct(&desk), "a byte less is not large");

        cas_writer_expect(&desk.writer, CAS_DIRECT_BYTES);
        for (int i = 0; i < 10; i++)
                cr_expect_eq(put(&desk, CAS_SLOT_BYTES), 0);
        expect_body(&desk);
        cr_expect(is_direct(&desk));

        cr_expect_eq(put(&desk, 700), 0);
        expect_body(&desk);
        cr_expect_not(is_direct(&desk), "the end fills no sector");
        cr_expect_eq(put(&desk, CAS_SLOT_BYTES - 700), 0);
        expect_body(&desk);
        cr_expect_eq(put(&desk, CAS_SLOT_BYTES), 0);
        expect_body(&desk);
        cr_expect(is_direct(&desk), "a part does not end it for ever");

        cas_writer_expect(&desk.writer, CAS_SLOT_BYTES);
        cas_writer_seek(&desk.writer, 0);
        desk.at = 0;
        for (int i = 0; i < 13; i++)
                cr_expect_eq(put(&desk, CAS_SLOT_BYTES), 0);
        expect_body(&desk);
        cr_expect_not(is_direct(&desk), "another source says that it is small");
        close_desk(&desk);
}

Test(cas_writer, file_of_unknown_size_is_large_once_it_has_grown)
{
        struct desk desk;

        open_file(&desk, 12);
        if (!can_be_direct(&desk)) {
                close_desk(&desk);
                scratch_remove();
                cr_skip_test("no O_DIRECT on this file system");
        }
        desk.at = CAS_DIRECT_BYTES - CAS_SLOT_BYTES;
        cas_writer_seek(&desk.writer, desk.at);
        cr_expect_eq(put(&desk, CAS_SLOT_BYTES), 0);
        cr_expect_eq(cas_writer_drain(&desk.writer), 0);
        cr_expect_not(is_direct(&desk));
        cr_expect_eq(put(&desk, CAS_SLOT_BYTES), 0);
        cr_expect_eq(cas_writer_drain(&desk.writer), 0);
        cr_expect(is_direct(&desk));
        close_desk(&desk);
}

Test(cas_writer, file_system_that_cannot_go_past_the_page_cache)
{
        struct desk desk;

        if (geteuid() != 0) {
                scratch_remove();
                cr_skip_test("only root can mount");
        }
        cr_assert_eq(unshare(CLONE_NEWNS), 0);
        cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        cr_assert_eq(mkdir(scratch_at("mnt").text, 0700), 0);
        cr_assert_eq(mount("none", scratch_at("mnt").text, "ramfs", 0, NULL), 0);
        open_desk(&desk, scratch_at("mnt/file").text, O_RDWR | O_CREAT, 12);
        cr_expect_not(can_be_direct(&desk), "the test tests something");
        cas_writer_expect(&desk.writer, CAS_DIRECT_BYTES);
        put_uneven(&desk);
        cr_expect_not(is_direct(&desk));
        close_desk(&desk);
        cr_expect_eq(umount(scratch_at("mnt").text), 0);
}

static pthread_t owner;
static atomic_bool held;

/* Holds the writer's thread, after it has written something, until it is told to stop. */
static void hold_until_stopping(void *arg)
{
        struct cas_writer *writer = arg;
        bool stopping = pthread_equal(pthread_self(), owner);

        while (!stopping) {
                pthread_mutex_lock(&writer->lock);
                stopping = writer->stopping;
                pthread_mutex_unlock(&writer->lock);
                atomic_store(&held, true);
                usleep(100);
        }
}

/* The writer has written some of them, and the others wait. */
static void put_held(struct desk *desk, unsigned count)
{
        struct cas_slot *slots[64];

        owner = pthread_self();
        desk->client.freed = hold_until_stopping;
        desk->client.arg = &desk->writer;
        for (unsigned i = 0; i < count; i++)
                slots[i] = slot_of(&desk->client, i * (uint64_t)CAS_SLOT_BYTES, CAS_SLOT_BYTES);
        for (unsigned i = 0; i < count; i++) {
                cr_expect_eq(cas_writer_put(&desk->writer, slots[i]), 0);
                cas_writer_done(&desk->writer, slots[i]);
        }
        while (!atomic_load(&held))
                usleep(100);
        cr_expect_gt(size_of(desk), 0);
}

Test(cas_writer, destroy_with_a_full_queue_gives_all_back)
{
        struct desk desk;

        open_file(&desk, 64);
        put_held(&desk, 64);
        close_desk(&desk);
}

/* Who ends a download does not want to wait for 30 MiB that nobody needs any more. */
Test(cas_writer, destroy_drops_what_waits)
{
        struct desk desk;

        open_file(&desk, 64);
        put_held(&desk, 64);
        cas_writer_destroy(&desk.writer);
        cr_expect_lt(size_of(&desk), 64 * CAS_SLOT_BYTES);
        drain_pool(desk.pool, &desk.client);
        close(desk.fd);
}
