/*
 * The session memory: what can be attached to, and that a worker survives whatever its
 * predecessor left in it.
 */
#include "fs/memory.h"

#include "fs/journal.h"
#include "fs/node.h"
#include "tests/unit/requests.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <time.h>

TestSuite(fs_memory, .timeout = 120);

static struct fs_memory *memory;
static int memory_fd = -1;

static void make(void)
{
        cr_assert_eq(fs_memory_make(&memory_fd, &memory), 0);
}

static void clear(void)
{
        fs_memory_detach(memory);
        close(memory_fd);
}

/* Another worker's mapping is not made of this. */
static void expect_no_attach(int fd, int error)
{
        struct fs_memory *none = NULL;

        cr_expect_eq(fs_memory_attach(fd, &none), error);
        cr_expect_null(none);
}

/* A memfd of `length` bytes that starts as ours does. */
static int forge(off_t length)
{
        int fd = memfd_create("forged", MFD_CLOEXEC);
        uint32_t head[2] = {memory->magic, memory->version};

        cr_assert(fd >= 0 && ftruncate(fd, length) == 0);
        if (length >= (off_t)sizeof(head))
                cr_assert_eq(pwrite(fd, head, sizeof(head), 0), (ssize_t)sizeof(head));
        return fd;
}

Test(fs_memory, both_see_the_same, .init = make, .fini = clear)
{
        struct fs_memory *other = NULL;

        cr_assert_eq(fs_memory_attach(memory_fd, &other), 0);
        cr_expect_neq(other, memory);
        memory->init_length = 7;
        atomic_store(&other->loop_beat_ms, 8);
        other->handles[FS_HANDLES_MAX - 1].nodeid = 9;
        cr_expect_eq(other->init_length, 7);
        cr_expect_eq(memory->loop_beat_ms, 8);
        cr_expect_eq(memory->handles[FS_HANDLES_MAX - 1].nodeid, 9);
        fs_memory_detach(other);
        fs_memory_detach(NULL);
        cr_expect_eq(memory->init_length, 7, "one mapping's end is not the other's");
}

Test(fs_memory, nobody_can_resize_it, .init = make, .fini = clear)
{
        cr_expect(ftruncate(memory_fd, sizeof(*memory) - 1) < 0 && errno == EPERM);
        cr_expect(ftruncate(memory_fd, sizeof(*memory) + 1) < 0 && errno == EPERM);
        cr_expect(ftruncate(memory_fd, 0) < 0 && errno == EPERM);
        cr_expect(fcntl(memory_fd, F_ADD_SEALS, F_SEAL_WRITE) < 0 && errno == EPERM);
}

Test(fs_memory, it_is_not_inherited_by_accident, .init = make, .fini = clear)
{
        cr_expect_eq(fcntl(memory_fd, F_GETFD), FD_CLOEXEC);
}

Test(fs_memory, fault_58_another_version_is_refused, .init = make, .fini = clear)
{
        memory->version++;
        expect_no_attach(memory_fd, -EPROTO);
        memory->version -= 2;
        expect_no_attach(memory_fd, -EPROTO);
}

Test(fs_memory, fault_58_another_size_is_refused, .init = make, .fini = clear)
{
        off_t sizes[] = {2 * sizeof(uint32_t), sizeof(*memory) - 1, sizeof(*memory) + 1};

        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                int fd = forge(sizes[i]);

                expect_no_attach(fd, -EPROTO);
                close(fd);
        }
}

Test(fs_memory, fault_65_what_is_no_session_memory_is_refused, .init = make, .fini = clear)
{
        int empty = forge(0);
        int half = forge(7);
        int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        expect_no_attach(empty, -EINVAL);
        expect_no_attach(half, -EINVAL);
        expect_no_attach(directory, -EINVAL);
        expect_no_attach(null, -EINVAL);
        expect_no_attach(-1, -EBADF);
        memory->magic ^= 1;
        expect_no_attach(memory_fd, -EINVAL);
        close(empty);
        close(half);
        close(directory);
        close(null);
}

/*
 * The fuzzer: something is left in the memory; a worker takes it up, replays, serves for
 * a while and ends. ASSETFS_SEED repeats a run.
 */

static uint64_t seed;
static uint64_t state;

static uint64_t number(uint64_t below)
{
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state % below;
}

static void start_fuzzing(const char *what)
{
        const char *given = getenv("ASSETFS_SEED");

        seed = given ? strtoull(given, NULL, 0) : (uint64_t)getpid() << 32 ^ (uint64_t)time(NULL);
        state = seed * 2 + 1;
        fprintf(stderr, "fs_memory: %s: ASSETFS_SEED=%" PRIu64 "\n", what, seed);
}

static struct fs_nodes *nodes;
static struct fs_journal *journal;

/* Those that are there after this worker's handlers parked them. */
static struct fs_parked_slot *parked[FS_PARKED_MAX];
static unsigned parked_count;

static void drop_id(void *arg, int32_t id)
{
        (void)arg;
        cr_assert_gt(id, 0, "seed %" PRIu64, seed);
}

static struct cas_digest any_digest(void)
{
        struct cas_digest digest = {{(uint8_t)number(256), (uint8_t)number(2)}};

        return digest;
}

static struct cas_blob any_blob(void)
{
        return (struct cas_blob){.fd = -1, .size = number(100), .inode = number(8) + 1};
}

/* A nodeid of the table, or what is none. */
static uint64_t any_nodeid(void)
{
        uint32_t used = atomic_load(&memory->nodes_used);

        return used && number(8) ? atomic_load(&memory->nodes[number(used)].nodeid) : number(1000);
}

static uint64_t any_handle(void)
{
        return number(8) ? atomic_load(&memory->handles[number(FS_HANDLES_MAX)].fh) : number(1000);
}

static void look_up_one(void)
{
        struct cas_digest digest = any_digest();
        struct cas_digest found;
        uint64_t nodeid = fs_node_lookup(nodes, &digest);

        cr_assert(nodeid == 0 ||
                      (fs_node_digest(nodes, nodeid, &found) && cas_digest_equal(&found, &digest)),
                  "seed %" PRIu64, seed);
}

static void open_one(uint64_t nodeid, uint64_t unique, bool replay)
{
        struct cas_blob blob = any_blob();
        struct fs_node_opened opened;
        bool wants = fs_node_wants_id(nodes, nodeid, &blob);

        if (fs_node_open(nodes, nodeid, &blob, wants ? (int32_t)number(1000) + 1 : 0, unique,
                         replay, &opened) == 0)
                fs_node_give_backing(nodes, nodeid, &blob);
}

static void do_something(void)
{
        struct cas_blob blob = any_blob();

        switch (number(8)) {
        case 0:
        case 1:
                look_up_one();
                break;
        case 2:
                open_one(any_nodeid(), number(UINT64_MAX), false);
                break;
        case 3:
                fs_node_release(nodes, any_handle());
                break;
        case 4:
                fs_node_forget(nodes, any_nodeid(), number(3));
                break;
        case 5:
                fs_node_supersede(nodes, any_nodeid(), &blob);
                break;
        case 6:
                fs_node_set_told(nodes, any_nodeid(), number(2));
                fs_node_send_round(nodes, any_nodeid(), (pid_t)number(100), false, false);
                break;
        case 7:
                fs_node_reads(nodes, any_nodeid(), &blob);
                fs_backing_unref(nodes, fs_node_backing(nodes, any_nodeid()));
                break;
        }
}

/* As libfuse and fs/ops.c would, which trust what they are given. */
static void handle(void *arg, const void *request, size_t length)
{
        const struct fuse_in_header *header = request;
        const uint8_t *body = (const uint8_t *)request + HEADER;
        static volatile size_t sum;

        (void)arg;
        cr_assert(length >= HEADER && length <= FS_REQUEST_BYTES, "seed %" PRIu64, seed);
        for (size_t i = 0; i < length; i++)
                sum = sum + ((const uint8_t *)request)[i];
        switch (header->opcode) {
        case FUSE_LOOKUP:
                cr_assert_lt(strlen((const char *)body), length - HEADER, "seed %" PRIu64, seed);
                look_up_one();
                break;
        case FUSE_GETXATTR:
                cr_assert_leq(strlen((const char *)body + sizeof(struct fuse_getxattr_in)),
                              FS_REQUEST_BYTES, "seed %" PRIu64, seed);
                break;
        case FUSE_FORGET:
                fs_node_forget(nodes, header->nodeid,
                               ((const struct fuse_forget_in *)body)->nlookup);
                break;
        case FUSE_BATCH_FORGET: {
                const struct fuse_batch_forget_in *batch = (const void *)body;
                const struct fuse_forget_one *one = (const void *)(batch + 1);

                for (uint32_t i = 0; i < batch->count; i++)
                        fs_node_forget(nodes, one[i].nodeid, one[i].nlookup);
                break;
        }
        case FUSE_OPEN:
        case FUSE_GETATTR:
                if (number(3) == 0) {
                        struct fs_parked_slot *slot = fs_journal_park(journal, 1, 1);

                        if (slot)
                                parked[parked_count++] = slot;
                } else if (header->opcode == FUSE_OPEN) {
                        open_one(header->nodeid, fs_journal_unique(), fs_journal_is_replay());
                }
                break;
        case FUSE_RELEASE:
                fs_node_release(nodes, ((const struct fuse_release_in *)body)->fh);
                break;
        }
}

static void refuse(void *arg, uint64_t unique)
{
        (void)arg;
        (void)unique;
}

static unsigned parked_in_memory(void)
{
        unsigned count = 0;

        for (unsigned i = 0; i < memory->parked_used; i++)
                count += length_of(memory->parked[i].bytes) != 0;
        return count;
}

/* A worker's life over what is there. */
static void live(void)
{
        int64_t start = processor_ms();

        parked_count = 0;
        cr_assert_eq(fs_nodes_new(memory, drop_id, NULL, &nodes), 0);
        cr_assert_eq(fs_journal_new(memory, &journal), 0);
        fs_journal_replay(journal, handle, refuse, NULL);
        for (unsigned thread = 0; thread < FS_THREADS; thread++) {
                cr_assert_eq(length_of(memory->requests[thread].bytes), 0, "seed %" PRIu64, seed);
                write_request(fs_journal_slot(journal, thread), FUSE_OPEN, number(1000),
                              sizeof(struct fuse_open_in));
                fs_journal_handle(journal, thread, handle, NULL);
        }
        for (int i = 0; i < 200; i++)
                do_something();
        while (parked_count > 0)
                fs_journal_unpark(journal, parked[--parked_count]);
        fs_journal_free(journal);
        fs_nodes_free(nodes);
        cr_expect(SLOW_BUILD || processor_ms() - start < 1000, "seed %" PRIu64 ": %ld ms", seed,
                  (long)(processor_ms() - start));
}

static void fill_with_noise(void *at, size_t length)
{
        uint64_t *words = at;

        for (size_t i = 0; i < length / sizeof(*words); i++)
                words[i] = number(UINT64_MAX);
}

static void fill_memory_with_noise(void)
{
        fill_with_noise(&memory->init_length,
                        sizeof(*memory) - offsetof(struct fs_memory, init_length));
}

Test(fs_memory, fault_65_session_memory_of_noise, .init = make, .fini = clear)
{
        start_fuzzing("noise");
        for (int round = 0; round < (SLOW_BUILD ? 10 : 50); round++) {
                fill_memory_with_noise();
                live();
                cr_expect_eq(parked_in_memory(), 0, "seed %" PRIu64, seed);
        }
}

static const uint32_t opcodes[] = {
    FUSE_LOOKUP,   FUSE_FORGET,    FUSE_BATCH_FORGET, FUSE_GETATTR,  FUSE_OPEN,
    FUSE_OPENDIR,  FUSE_READ,      FUSE_READDIR,      FUSE_RELEASE,  FUSE_RELEASEDIR,
    FUSE_GETXATTR, FUSE_LISTXATTR, FUSE_INTERRUPT,    FUSE_READLINK, FUSE_STATFS};

#define ANY_OPCODE opcodes[number(sizeof(opcodes) / sizeof(opcodes[0]))]

/* Noise in slots that look as if they were in use, so that it gets past the first look. */
static void dress_noise(void)
{
        static const uint32_t parked_opcodes[] = {FUSE_OPEN, FUSE_GETATTR};

        atomic_store(&memory->nodes_used, (uint32_t)number(FS_NODES_MAX + 1));
        for (uint32_t i = 0; i < memory->nodes_used; i++) {
                struct fs_node_slot *slot = &memory->nodes[i];

                slot->generation = (slot->generation & 0xffff) + 1;
                slot->backing_id &= INT32_MAX;
                atomic_store(&slot->nodeid, (uint64_t)slot->generation << 32 | (i + 1));
                if (number(2))
                        slot->digest = any_digest();
                if (number(2))
                        slot->superseded = 0;
                slot->lookups = number(3);
        }
        for (uint32_t i = 0; i < FS_HANDLES_MAX; i++) {
                struct fs_handle_slot *slot = &memory->handles[i];

                atomic_store(&slot->fh, number(1000) << 16 | i);
                slot->nodeid = any_nodeid();
        }
        for (uint32_t i = 0; i < FS_PARKED_MAX; i++)
                write_request(memory->parked[i].bytes, parked_opcodes[number(2)], number(100000),
                              number(FS_PARKED_BYTES - HEADER + 1));
        for (unsigned i = 0; i < FS_THREADS; i++) {
                struct fuse_in_header *header = (void *)memory->requests[i].bytes;

                header->len = (uint32_t)number(FS_REQUEST_BYTES + 2);
                header->opcode = ANY_OPCODE;
                header->nodeid = any_nodeid();
        }
}

Test(fs_memory, fault_65_session_memory_of_noise_in_shape, .init = make, .fini = clear)
{
        start_fuzzing("noise in shape");
        for (int round = 0; round < (SLOW_BUILD ? 4 : 25); round++) {
                fill_memory_with_noise();
                dress_noise();
                live();
                cr_expect_eq(parked_in_memory(), 0, "seed %" PRIu64, seed);
        }
}

/* What a worker that served for a while leaves when it is killed. */
static void leave_something(void)
{
        parked_count = 0;
        cr_assert_eq(fs_nodes_new(memory, drop_id, NULL, &nodes), 0);
        cr_assert_eq(fs_journal_new(memory, &journal), 0);
        for (int i = 0; i < 400; i++)
                do_something();
        for (unsigned i = 0; i < 40; i++) {
                write_request(fs_journal_slot(journal, i % FS_THREADS), FUSE_OPEN, 2 * i,
                              sizeof(struct fuse_open_in));
                fs_journal_handle(journal, i % FS_THREADS, handle, NULL);
        }
        for (unsigned i = 0; i < FS_THREADS; i++)
                write_request(fs_journal_slot(journal, i), ANY_OPCODE, 1000 + 2 * i, number(100));
        fs_journal_free(journal);
        fs_nodes_free(nodes);
}

/* One to sixteen bits or bytes, where something is. */
static void mutate(void)
{
        const struct {
                void *start;
                size_t length;
        } parts[] = {
            {&memory->init_length,
             offsetof(struct fs_memory, requests) - offsetof(struct fs_memory, init_length)},
            {memory->requests, sizeof(memory->requests)},
            {memory->parked, memory->parked_used * sizeof(memory->parked[0])},
            {memory->nodes, memory->nodes_used * sizeof(memory->nodes[0])},
            {memory->handles, memory->handles_used * sizeof(memory->handles[0])},
        };

        for (uint64_t left = number(16) + 1; left > 0; left--) {
                size_t part = number(5);

                if (parts[part].length == 0)
                        continue;

                uint8_t *byte = (uint8_t *)parts[part].start + number(parts[part].length);

                if (part == 1) /* most of a slot is beyond the request in it */
                        byte = memory->requests[number(FS_THREADS)].bytes + number(64);
                if (number(2))
                        *byte = (uint8_t)number(256);
                else
                        *byte ^= (uint8_t)(1 << number(8));
        }
}

Test(fs_memory, fault_65_session_memory_mutated, .timeout = 120)
{
        start_fuzzing("mutated");
        for (int round = 0; round < (SLOW_BUILD ? 30 : 300); round++) {
                make();
                leave_something();
                mutate();
                live();
                cr_expect_eq(parked_in_memory(), 0, "seed %" PRIu64 ", round %d", seed, round);
                clear();
        }
}
