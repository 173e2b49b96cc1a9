/*
 * The journal: what was read from the kernel is in the session memory until it is
 * answered, and the next worker is handed all of it.
 */
#include "fs/journal.h"

#include "tests/unit/requests.h"
#include "tests/unit/scratch.h"

#include <pthread.h>

static struct fs_memory *memory;
static struct fs_journal *journal;
static int memory_fd;

static void make(void)
{
        cr_assert_eq(fs_memory_make(&memory_fd, &memory), 0);
        cr_assert_eq(fs_journal_new(memory, &journal), 0);
}

/* The worker is killed; the next one has nothing but the memory. */
static void restart(void)
{
        fs_journal_free(journal);
        cr_assert_eq(fs_journal_new(memory, &journal), 0);
}

static void clear(void)
{
        fs_journal_free(journal);
        fs_memory_detach(memory);
        close(memory_fd);
}

TestSuite(fs_journal, .init = make, .fini = clear, .timeout = 60);

/* What was handled, and how it looked from inside. */
struct handled {
        uint64_t unique;
        size_t length;
        const void *request;
        uint32_t in_slot; /* its length there, meanwhile */
        bool replay;
        struct fs_parked_slot *parked;
};

static struct handled handled[64];
static unsigned handled_count;

/* The uniques that were refused. */
static uint64_t refused[64];
static unsigned refused_count;

#define TO_PARK ((void *)1) /* the handler's argument: park everything */

static void handle(void *arg, const void *request, size_t length)
{
        cr_assert_lt(handled_count, 64);
        handled[handled_count++] = (struct handled){
            .unique = fs_journal_unique(),
            .length = length,
            .request = request,
            .in_slot = length_of(request),
            .replay = fs_journal_is_replay(),
            .parked = arg == TO_PARK ? fs_journal_park(journal, 1000, 5000) : NULL};
}

static void refuse(void *arg, uint64_t unique)
{
        (void)arg;
        cr_assert_lt(refused_count, 64);
        refused[refused_count++] = unique;
}

/* Thread `thread` reads a request. */
static void *arrive(unsigned thread, uint32_t opcode, uint64_t unique, size_t body)
{
        return write_request(fs_journal_slot(journal, thread), opcode, unique, body);
}

/* A request that waits for fetch since before. */
static struct fs_parked_slot *park(uint64_t unique)
{
        arrive(0, FUSE_OPEN, unique, sizeof(struct fuse_open_in));
        fs_journal_handle(journal, 0, handle, TO_PARK);

        struct fs_parked_slot *slot = handled[--handled_count].parked;

        cr_assert_not_null(slot);
        return slot;
}

static unsigned replay(void *arg)
{
        restart();
        handled_count = refused_count = 0;
        return fs_journal_replay(journal, handle, refuse, arg);
}

/* Nothing that another replay would handle. */
static bool is_empty(void)
{
        bool empty = true;

        for (unsigned i = 0; i < FS_THREADS; i++)
                empty &= length_of(memory->requests[i].bytes) == 0;
        for (unsigned i = 0; i < FS_PARKED_MAX; i++)
                empty &= length_of(memory->parked[i].bytes) == 0;
        return empty;
}

Test(fs_journal, request_is_handled_and_taken_out)
{
        void *request = arrive(2, FUSE_STATFS, 51, 0);

        fs_journal_handle(journal, 1, handle, NULL);
        cr_expect_eq(handled_count, 0, "it is another thread's");
        fs_journal_handle(journal, 2, handle, NULL);
        cr_assert_eq(handled_count, 1);
        cr_expect_eq(handled[0].unique, 51);
        cr_expect_eq(handled[0].length, HEADER);
        cr_expect_eq(handled[0].request, request);
        cr_expect_eq(handled[0].in_slot, HEADER, "taken out before it was answered");
        cr_expect_not(handled[0].replay);
        cr_expect(is_empty());
        fs_journal_handle(journal, 2, handle, NULL);
        cr_expect_eq(handled_count, 1);
        fs_journal_free(NULL);
}

Test(fs_journal, fault_47_forget_is_taken_out_before_it_is_handled)
{
        arrive(0, FUSE_FORGET, 0, sizeof(struct fuse_forget_in));
        fs_journal_handle(journal, 0, handle, NULL);
        arrive(0, FUSE_BATCH_FORGET, 0, sizeof(struct fuse_batch_forget_in));
        fs_journal_handle(journal, 0, handle, NULL);
        arrive(0, FUSE_FORGET, 0, sizeof(struct fuse_forget_in));
        cr_expect_eq(replay(NULL), 1);
        cr_expect_eq(handled[0].in_slot, 0);
        cr_expect_eq(handled[0].length, HEADER + sizeof(struct fuse_forget_in));
        arrive(0, FUSE_FORGET, 0, sizeof(struct fuse_forget_in));
        fs_journal_handle(journal, 0, handle, NULL);
        cr_expect_eq(handled[1].in_slot, 0, "a worker that dies now would count it twice");
        cr_expect_eq(handled[1].length, HEADER + sizeof(struct fuse_forget_in));
}

static int64_t busy_inside;

static void look_at_busy(void *arg, const void *request, size_t length)
{
        (void)request;
        (void)length;
        busy_inside = atomic_load((_Atomic int64_t *)arg);
}

Test(fs_journal, thread_is_busy_while_it_handles)
{
        arrive(3, FUSE_STATFS, 51, 0);
        fs_journal_handle(journal, 3, look_at_busy, &memory->busy_since_ms[3]);
        cr_expect_gt(busy_inside, 0);
        cr_expect_eq(memory->busy_since_ms[3], 0);
}

Test(fs_journal, parked_request_stays_until_it_is_answered)
{
        struct fs_parked_slot *first = park(51);
        struct fs_parked_slot *second = park(53);
        struct fuse_in_header header;

        cr_expect_neq(first, second);
        cr_expect_eq(length_of(memory->requests[0].bytes), 0);
        memcpy(&header, second->bytes, sizeof(header));
        cr_expect_eq(header.unique, 53);
        cr_expect_eq(header.opcode, FUSE_OPEN);
        cr_expect_eq(header.len, HEADER + sizeof(struct fuse_open_in));
        cr_expect_eq(second->deadline_ms, 5000);
        cr_expect_eq(second->interrupted, 0);
        fs_journal_unpark(journal, first);
        cr_expect_eq(length_of(first->bytes), 0);
        cr_expect_eq(park(55), first, "the slot is lost");
        fs_journal_unpark(journal, first);
        fs_journal_unpark(journal, second);
        cr_expect(is_empty());
}

Test(fs_journal, request_that_is_parked_in_a_used_slot_is_not_interrupted)
{
        struct fs_parked_slot *slot = park(51);

        slot->interrupted = 1;
        fs_journal_unpark(journal, slot);
        cr_assert_eq(park(53), slot);
        cr_expect_eq(slot->interrupted, 0);
}

Test(fs_journal, request_that_is_too_long_is_not_parked)
{
        arrive(0, FUSE_OPEN, 51, FS_PARKED_BYTES - HEADER);
        fs_journal_handle(journal, 0, handle, TO_PARK);
        arrive(0, FUSE_OPEN, 53, FS_PARKED_BYTES - HEADER + 1);
        fs_journal_handle(journal, 0, handle, TO_PARK);
        cr_expect_not_null(handled[0].parked);
        cr_expect_null(handled[1].parked);
}

Test(fs_journal, too_many_parked)
{
        struct fs_parked_slot *last = NULL;

        for (unsigned i = 0; i < FS_PARKED_MAX; i++)
                last = park(2 * i);
        arrive(0, FUSE_OPEN, 1000001, sizeof(struct fuse_open_in));
        fs_journal_handle(journal, 0, handle, TO_PARK);
        cr_expect_null(handled[0].parked);
        fs_journal_unpark(journal, last);
        cr_expect_eq(park(1000003), last);
}

/* Replay */

Test(fs_journal, nothing_to_replay)
{
        cr_expect_eq(replay(NULL), 0);
        cr_expect_eq(handled_count + refused_count, 0);
}

Test(fs_journal, fault_47_replay_hands_out_the_parked_then_the_read_then_interrupts)
{
        park(51);
        park(53);
        arrive(0, FUSE_INTERRUPT, 54, sizeof(struct fuse_interrupt_in));
        arrive(1, FUSE_OPEN, 55, sizeof(struct fuse_open_in));
        arrive(2, FUSE_INTERRUPT, 56, sizeof(struct fuse_interrupt_in));
        arrive(3, FUSE_READ, 57, sizeof(struct fuse_read_in));
        cr_expect_eq(replay(NULL), 6);
        cr_assert_eq(handled_count, 6);

        static const uint64_t order[] = {51, 53, 55, 57, 54, 56};

        for (unsigned i = 0; i < 6; i++) {
                cr_expect_eq(handled[i].unique, order[i]);
                cr_expect(handled[i].replay);
                cr_expect_eq(handled[i].length, handled[i].in_slot);
        }
        cr_expect_eq(refused_count, 0);
        cr_expect(is_empty(), "everything was answered");
        arrive(0, FUSE_STATFS, 59, 0);
        fs_journal_handle(journal, 0, handle, NULL);
        cr_expect_not(handled[6].replay);
}

Test(fs_journal, fault_47_parked_again_is_parked_as_it_was)
{
        struct fs_parked_slot *slot = park(51);

        slot->deadline_ms = 111;
        slot->interrupted = 1;
        for (int i = 0; i < 3; i++) {
                cr_expect_eq(replay(TO_PARK), 1);
                cr_expect_eq(handled[0].parked, slot);
                cr_expect_eq(slot->deadline_ms, 111, "each restart would add to its time");
                cr_expect_eq(slot->interrupted, 1);
        }
        cr_expect_neq(park(53), slot);
        fs_journal_unpark(journal, slot);
        cr_expect_eq(park(55), slot);
}

Test(fs_journal, fault_47_read_request_is_parked_in_replay)
{
        arrive(1, FUSE_GETATTR, 51, sizeof(struct fuse_getattr_in));
        cr_expect_eq(replay(TO_PARK), 1);
        cr_assert_not_null(handled[0].parked);
        cr_expect_eq(handled[0].parked->deadline_ms, 5000);
        cr_expect_eq(length_of(memory->requests[1].bytes), 0);
        cr_expect_eq(replay(NULL), 1);
        cr_expect_eq(handled[0].unique, 51);
        cr_expect(is_empty());
}

Test(fs_journal, parked_slot_that_was_answered_in_replay_is_used_again)
{
        struct fs_parked_slot *first = park(51);
        struct fs_parked_slot *second = park(53);

        cr_expect_eq(replay(NULL), 2);

        const struct fs_parked_slot *slots[] = {park(55), park(57)};

        cr_expect((slots[0] == first && slots[1] == second) ||
                  (slots[0] == second && slots[1] == first));
        cr_expect_eq(memory->parked_used, 2);
}

/* Killed between parking a request and being done with it. */
static void park_and_die(uint64_t unique)
{
        park(unique);
        arrive(0, FUSE_OPEN, unique, sizeof(struct fuse_open_in));
}

Test(fs_journal, fault_47_request_that_is_in_both_places_is_handled_once)
{
        park_and_die(51);
        cr_expect_eq(replay(TO_PARK), 1);
        cr_expect_eq(handled_count, 1);
        cr_expect_eq(length_of(memory->requests[0].bytes), 0);
}

Test(fs_journal, fault_47_request_that_is_in_both_places_is_answered_once)
{
        park_and_die(51);
        cr_expect_eq(replay(NULL), 1);
        cr_expect_eq(handled_count, 1);
        cr_expect(is_empty());
}

/* Answered by fetch's thread before fs_journal_park() returned to its caller. */
static void park_and_answer(void *arg, const void *request, size_t length)
{
        (void)arg;
        (void)request;
        (void)length;
        fs_journal_unpark(journal, fs_journal_park(journal, 1000, 1));
}

Test(fs_journal, parked_request_that_is_answered_at_once_is_unparked_once)
{
        struct fs_parked_slot *slot = park(51);

        restart();
        cr_expect_eq(fs_journal_replay(journal, park_and_answer, refuse, NULL), 1);
        cr_expect_eq(park(53), slot);
        cr_expect_neq(park(55), slot, "two requests in one slot");
}

Test(fs_journal, nobody_is_busy_after_a_replay)
{
        arrive(1, FUSE_STATFS, 51, 0);
        atomic_store(&memory->busy_since_ms[1], 1000);
        atomic_store(&memory->busy_since_ms[2], 1000);
        replay(NULL);
        for (unsigned i = 0; i < FS_THREADS; i++)
                cr_expect_eq(memory->busy_since_ms[i], 0);
}

/* What the last worker left may be no request */

static void expect_handled(uint32_t opcode, size_t body)
{
        arrive(1, opcode, 51, body);
        cr_expect_eq(replay(NULL), 1);
        cr_expect(handled_count == 1 && refused_count == 0, "opcode %u of %zu", opcode, body);
        cr_expect_eq(length_of(memory->requests[1].bytes), 0);
}

static void expect_refused(uint32_t opcode, size_t body)
{
        arrive(1, opcode, 51, body);
        cr_expect_eq(replay(NULL), 1);
        cr_expect(handled_count == 0 && refused_count == 1, "opcode %u of %zu", opcode, body);
        cr_expect_eq(refused[0], 51);
        cr_expect_eq(length_of(memory->requests[1].bytes), 0);
}

Test(fs_journal, fault_65_requests_that_are_too_short_are_refused)
{
        static const struct {
                uint32_t opcode;
                size_t body;
        } least[] = {
            {FUSE_LOOKUP, 1},
            {FUSE_FORGET, sizeof(struct fuse_forget_in)},
            {FUSE_BATCH_FORGET, sizeof(struct fuse_batch_forget_in)},
            {FUSE_GETATTR, sizeof(struct fuse_getattr_in)},
            {FUSE_OPEN, sizeof(struct fuse_open_in)},
            {FUSE_OPENDIR, sizeof(struct fuse_open_in)},
            {FUSE_READ, sizeof(struct fuse_read_in)},
            {FUSE_READDIR, sizeof(struct fuse_read_in)},
            {FUSE_RELEASE, sizeof(struct fuse_release_in)},
            {FUSE_RELEASEDIR, sizeof(struct fuse_release_in)},
            {FUSE_GETXATTR, sizeof(struct fuse_getxattr_in)},
            {FUSE_LISTXATTR, sizeof(struct fuse_getxattr_in)},
            {FUSE_INTERRUPT, sizeof(struct fuse_interrupt_in)},
        };

        for (size_t i = 0; i < sizeof(least) / sizeof(least[0]); i++) {
                expect_handled(least[i].opcode, least[i].body);
                expect_refused(least[i].opcode, least[i].body - 1);
        }
        expect_handled(FUSE_READLINK, 0);
        expect_handled(FUSE_STATFS, 0);
        expect_handled(FUSE_DESTROY, 0);
}

Test(fs_journal, fault_65_requests_of_other_kinds_are_refused)
{
        expect_refused(0, 64);
        expect_refused(FUSE_SETATTR, 256);
        expect_refused(FUSE_WRITE, 256);
        expect_refused(FUSE_INIT, 256);
        expect_refused(FUSE_IOCTL, 256);
        expect_refused(UINT32_MAX, 64);
}

Test(fs_journal, fault_65_impossible_lengths_are_refused)
{
        static const uint32_t lengths[] = {1, HEADER - 1, FS_REQUEST_BYTES + 1, UINT32_MAX};

        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
                memcpy(arrive(1, FUSE_STATFS, 51, 0), &lengths[i], sizeof(lengths[i]));
                cr_expect_eq(replay(NULL), 1);
                cr_expect(handled_count == 0 && refused_count == 1 && refused[0] == 51);
                cr_expect(is_empty());
        }
        expect_handled(FUSE_STATFS, FS_REQUEST_BYTES - HEADER);
}

Test(fs_journal, fault_65_names_without_an_end_are_refused)
{
        static const uint32_t opcodes[] = {FUSE_LOOKUP, FUSE_GETXATTR};

        for (size_t i = 0; i < 2; i++) {
                uint8_t *request = arrive(1, opcodes[i], 51, 20);

                request[HEADER + 19] = 'x';
                replay(NULL);
                cr_expect(handled_count == 0 && refused_count == 1);
        }
}

/* libfuse takes what follows a GETXATTR's head for a name, be it in the request or not. */
Test(fs_journal, fault_65_names_end_where_the_slot_ends)
{
        uint8_t *request = arrive(1, FUSE_GETXATTR, 51, sizeof(struct fuse_getxattr_in));

        memset(request + HEADER + sizeof(struct fuse_getxattr_in), 'x',
               FS_REQUEST_BYTES - HEADER - sizeof(struct fuse_getxattr_in));
        memset(memory->requests[1].guard, 'x', sizeof(memory->requests[1].guard));
        cr_expect_eq(replay(NULL), 1);
        cr_expect_eq(memory->requests[1].guard[0], 0);
}

Test(fs_journal, fault_65_batch_of_more_forgets_than_it_holds_is_refused)
{
        static const uint32_t counts[] = {2, 3, 0x10000002, UINT32_MAX};

        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
                uint8_t *request = arrive(1, FUSE_BATCH_FORGET, 51,
                                          sizeof(struct fuse_batch_forget_in) +
                                              2 * sizeof(struct fuse_forget_one));

                memcpy(request + HEADER, &counts[i], sizeof(counts[i]));
                replay(NULL);
                cr_expect_eq(handled_count, counts[i] == 2);
                cr_expect_eq(refused_count, counts[i] != 2);
        }
}

Test(fs_journal, fault_65_parked_that_could_not_have_been_are_refused)
{
        static const struct {
                uint32_t opcode;
                size_t body;
        } bad[] = {
            {FUSE_READ, sizeof(struct fuse_getattr_in)},
            {FUSE_LOOKUP, sizeof(struct fuse_getattr_in)},
            {FUSE_OPEN, sizeof(struct fuse_open_in) - 1},
            {FUSE_GETATTR, sizeof(struct fuse_getattr_in) - 1},
        };
        static const uint32_t lengths[] = {1, FS_PARKED_BYTES + 1, UINT32_MAX};
        struct fs_parked_slot *slot;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                slot = park(51);
                write_request(slot->bytes, bad[i].opcode, 53, bad[i].body);
                cr_expect_eq(replay(TO_PARK), 1, "of a refused one nobody is told");
                cr_expect(handled_count == 0 && refused_count == 1 && refused[0] == 53);
                cr_expect(is_empty());
        }
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
                slot = park(51);
                memcpy(slot->bytes, &lengths[i], sizeof(lengths[i]));
                replay(TO_PARK);
                cr_expect(handled_count == 0 && refused_count == 1 && refused[0] == 51);
                cr_expect(is_empty());
        }
        cr_expect_eq(memory->parked_used, 1, "their slots are lost");
}

Test(fs_journal, fault_65_more_parked_than_there_can_be)
{
        write_request(memory->parked[FS_PARKED_MAX - 1].bytes, FUSE_OPEN, 51,
                      sizeof(struct fuse_open_in));
        atomic_store(&memory->parked_used, UINT32_MAX);
        cr_expect_eq(replay(TO_PARK), 1);
        cr_expect_eq(handled[0].parked, &memory->parked[FS_PARKED_MAX - 1]);
        cr_expect_neq(park(53), &memory->parked[FS_PARKED_MAX - 1]);
}

/* Threads: each parks, another gives it up; no two of them have one slot */

static _Atomic unsigned collisions;

static void park_for_a_while(void *arg, const void *request, size_t length)
{
        struct fs_parked_slot *slot = fs_journal_park(journal, 1000, (intptr_t)arg);

        (void)request;
        (void)length;
        cr_assert_not_null(slot);
        sched_yield();
        collisions += slot->deadline_ms != (intptr_t)arg;
        fs_journal_unpark(journal, slot);
}

static void *use_journal(void *arg)
{
        unsigned thread = (unsigned)(intptr_t)arg;

        for (unsigned i = 0; i < (SLOW_BUILD ? 1000 : 10000); i++) {
                arrive(thread, FUSE_OPEN, i * FS_THREADS + thread, sizeof(struct fuse_open_in));
                fs_journal_handle(journal, thread, park_for_a_while, arg);
        }
        return NULL;
}

Test(fs_journal, threads_never_share_a_slot)
{
        pthread_t threads[FS_THREADS];

        for (intptr_t i = 0; i < FS_THREADS; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, use_journal, (void *)i), 0);
        for (int i = 0; i < FS_THREADS; i++)
                pthread_join(threads[i], NULL);
        cr_expect_eq(collisions, 0);
        cr_expect_leq(memory->parked_used, FS_THREADS);
        cr_expect(is_empty());
}
