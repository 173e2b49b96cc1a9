/*
 * A worker killed at each single instruction of what it does to its session memory: not
 * only between the lines, but where the compiler put the stores.
 */
#include "tests/unit/steps.h"

#include "fs/journal.h"
#include "tests/unit/nodes.h"
#include "tests/unit/requests.h"

#include <errno.h>
#include <sys/mman.h>

static struct fs_memory *worker_memory;
static int worker_fd;

/* The test's own tables are over a copy, which is taken before each look. */
static struct fs_nodes *worker_nodes;
static struct fs_journal *worker_journal;

/* In memory that both see: how often the worker gave id 7 back; did it answer? */
static struct {
        unsigned dropped;
        bool answered;
} * worker;

static void record_of_worker(void *arg, int32_t id)
{
        (void)arg;
        worker->dropped += id == 7;
}

static void make(void)
{
        if (SLOW_BUILD)
                cr_skip("a sanitizer's instructions are many, and none of them is ours");
        nodes_make();
        worker =
            mmap(NULL, sizeof(*worker), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        cr_assert_neq(worker, MAP_FAILED);
        cr_assert_eq(fs_memory_make(&worker_fd, &worker_memory), 0);
}

/* What was done to `nodes` so far is what the worker has. */
static void become_worker(void)
{
        copy_memory(worker_memory, memory);
        cr_assert_eq(fs_nodes_new(worker_memory, record_of_worker, NULL, &worker_nodes), 0);
        cr_assert_eq(fs_journal_new(worker_memory, &worker_journal), 0);
}

static void clear(void)
{
        fs_nodes_free(worker_nodes);
        fs_journal_free(worker_journal);
        fs_memory_detach(worker_memory);
        close(worker_fd);
        nodes_remove();
}

TestSuite(fs_step, .init = make, .fini = clear, .timeout = 60);

/* The worker is killed here; `nodes` are the successor's. */
static void succeed(void)
{
        copy_memory(memory, worker_memory);
        dropped_count = 0;
        restart();
}

/* Before the first and after the last instruction. */
static unsigned begun;
static unsigned done;

static uint64_t nodeid;
static uint64_t other;
static uint64_t fh;

static void look_up_another(void)
{
        struct cas_digest digest = numbered(2);

        fs_node_lookup(worker_nodes, &digest);
}

static void expect_stale(void)
{
        succeed();
        cr_assert_not(is_there(nodeid));
        for (unsigned i = 0; i < 2; i++)
                cr_assert_neq(lookup(i + 2), nodeid, "a nodeid that was given up came back");
        done += memory->nodes[0].generation == 2;
}

Test(fs_step, fault_47_killed_while_a_slot_is_used_again)
{
        nodeid = lookup(1);
        fs_node_forget(nodes, nodeid, 1);
        become_worker();
        at_each_step(PTRACE_SINGLESTEP, look_up_another, expect_stale);
        cr_expect_gt(done, 0);
}

static void forget_it(void)
{
        fs_node_forget(worker_nodes, nodeid, 1);
}

static void expect_all_or_nothing(void)
{
        struct cas_digest expected = numbered(1);
        struct cas_digest found;

        succeed();
        if (fs_node_digest(nodes, nodeid, &found)) {
                begun++;
                cr_assert(cas_digest_equal(&found, &expected));
                cr_assert_eq(lookup(1), nodeid);
                cr_assert_eq(open_node(nodeid, 1, 0).backing_id, 7);
        } else {
                done++;
                cr_assert_neq(lookup(1), nodeid);
        }
        cr_assert_leq(worker->dropped + dropped_count, 1, "the id was given back twice");
        cr_assert(worker->dropped == 0 || !is_there(nodeid), "an id that was given back is used");
}

Test(fs_step, fault_47_killed_while_a_node_is_forgotten)
{
        nodeid = lookup(1);
        fs_node_release(nodes, open_node(nodeid, 1, 7).fh);
        become_worker();
        at_each_step(PTRACE_SINGLESTEP, forget_it, expect_all_or_nothing);
        cr_expect(begun > 0 && done > 0);
        cr_expect_eq(worker->dropped, 1);
}

static void open_it(void)
{
        struct cas_blob blob = blob_of(1);
        struct fs_node_opened opened;

        fs_node_open(worker_nodes, nodeid, &blob, 7, 51, false, &opened);
}

/* The OPEN is replayed: then there is one handle of it, and no other. */
static void expect_one_open(void)
{
        struct fs_node_opened opened;

        succeed();
        cr_assert_not(is_open_node(other), "opened by a handle that was another's");
        begun += !is_open_node(nodeid);
        cr_assert_eq(replay_open(nodeid, 1, 51, &opened), 0);
        done += !opened.fresh && opened.backing_id == 7;
        cr_assert(opened.fresh || opened.backing_id == 7, "open, but the id is not known");
        fs_node_release(nodes, opened.fh);
        cr_assert_not(is_open_node(nodeid));
        cr_assert(is_there(nodeid));
        cr_assert_eq(worker->dropped + dropped_count, 0);
}

Test(fs_step, fault_47_killed_while_a_node_is_opened)
{
        nodeid = lookup(1);
        other = lookup(2);
        fs_node_release(nodes, open_node(other, 2, 0).fh); /* its slot is used again */
        become_worker();
        at_each_step(PTRACE_SINGLESTEP, open_it, expect_one_open);
        cr_expect(begun > 0 && done > 0);
}

static void release_it(void)
{
        fs_node_release(worker_nodes, fh);
}

static void expect_closed_after_another_release(void)
{
        succeed();
        begun += is_open_node(nodeid);
        done += !is_open_node(nodeid);
        fs_node_release(nodes, fh);
        cr_assert(is_there(nodeid));
        cr_assert_not(is_open_node(nodeid));
        cr_assert_eq(open_node(nodeid, 1, 0).backing_id, 7);
}

Test(fs_step, fault_47_killed_while_a_handle_is_released)
{
        nodeid = lookup(1);
        fh = open_node(nodeid, 1, 7).fh;
        become_worker();
        at_each_step(PTRACE_SINGLESTEP, release_it, expect_closed_after_another_release);
        cr_expect(begun > 0 && done > 0);
}

/* Requests */

static unsigned replayed;

static void park_it(void *arg, const void *request, size_t length)
{
        struct fs_parked_slot **ret = arg;

        (void)request;
        (void)length;
        *ret = fs_journal_park(worker_journal, 1000, 5000);
}

static void handle_it(void)
{
        struct fs_parked_slot *slot = NULL;

        fs_journal_handle(worker_journal, 1, park_it, &slot);
        worker->answered = true;
        fs_journal_unpark(worker_journal, slot);
}

static void expect_whole(void *arg, const void *request, size_t length)
{
        const struct fuse_in_header *header = request;
        const uint8_t *body = (const uint8_t *)request + HEADER;

        (void)arg;
        replayed++;
        cr_assert_eq(fs_journal_unique(), 51);
        cr_assert(length == HEADER + sizeof(struct fuse_open_in) && header->len == length);
        cr_assert_eq(header->opcode, FUSE_OPEN);
        cr_assert_eq(header->nodeid, 0x1122334455667788);
        cr_assert_eq(header->pid, 4711);
        for (size_t i = 0; i < sizeof(struct fuse_open_in); i++)
                cr_assert_eq(body[i], 'b');
}

static void refuse(void *arg, uint64_t unique)
{
        (void)arg;
        cr_assert_fail("%llu was refused", (unsigned long long)unique);
}

static void expect_it_once_until_it_is_answered(void)
{
        struct fs_journal *journal;
        unsigned before = replayed;

        copy_memory(memory, worker_memory);
        cr_assert(memory->parked_used == 0 || memory->parked[0].deadline_ms == 5000 ||
                  length_of(memory->parked[0].bytes) == 0);
        cr_assert_eq(fs_journal_new(memory, &journal), 0);

        unsigned count = fs_journal_replay(journal, expect_whole, refuse, NULL);

        fs_journal_free(journal);
        cr_assert_eq(count, replayed - before);
        cr_assert_leq(count, 1);
        done += count == 0;
        cr_assert(count == 1 || worker->answered, "it is lost");
        cr_assert(count == 0 || done == 0, "it was answered, and came back");
}

Test(fs_step, fault_47_killed_while_a_request_is_parked_and_answered)
{
        struct fuse_in_header *header;

        become_worker();
        header = write_request(fs_journal_slot(worker_journal, 1), FUSE_OPEN, 51,
                               sizeof(struct fuse_open_in));
        header->nodeid = 0x1122334455667788;
        header->pid = 4711;
        memset(header + 1, 'b', sizeof(struct fuse_open_in));
        at_each_step(PTRACE_SINGLESTEP, handle_it, expect_it_once_until_it_is_answered);
        cr_expect_gt(done, 0);
}
