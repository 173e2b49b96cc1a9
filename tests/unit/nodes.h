/*
 * A node table over a session memory of the test's own, and what it gave back. A suite
 * names nodes_make and nodes_remove as its init and fini.
 */
#ifndef TESTS_UNIT_NODES_H
#define TESTS_UNIT_NODES_H

#include "fs/node.h"
#include "tests/unit/scratch.h"

static struct fs_memory *memory;
static struct fs_nodes *nodes;
static int memory_fd;

/* Backing ids that were given back, in order. */
static int32_t dropped[FS_NODES_MAX];
static _Atomic unsigned dropped_count;

static inline void record_drop(void *arg, int32_t id)
{
        cr_assert_eq(arg, &dropped_count);
        dropped[atomic_fetch_add(&dropped_count, 1)] = id;
}

static inline bool was_dropped(int32_t id)
{
        for (unsigned i = 0; i < dropped_count; i++)
                if (dropped[i] == id)
                        return true;
        return false;
}

static inline void nodes_make(void)
{
        scratch_make();
        cr_assert_eq(fs_memory_make(&memory_fd, &memory), 0);
        cr_assert_eq(fs_nodes_new(memory, record_drop, &dropped_count, &nodes), 0);
}

/* The worker is killed; the next one takes up what it left. */
static inline void restart(void)
{
        fs_nodes_free(nodes);
        cr_assert_eq(fs_nodes_new(memory, record_drop, &dropped_count, &nodes), 0);
}

static inline void nodes_remove(void)
{
        fs_nodes_free(nodes);
        fs_memory_detach(memory);
        close(memory_fd);
        scratch_remove();
}

static inline struct cas_digest numbered(unsigned number)
{
        struct cas_digest digest = {{0}};

        memcpy(digest.bytes, &number, sizeof(number));
        return digest;
}

static inline uint64_t lookup(unsigned number)
{
        struct cas_digest digest = numbered(number);

        return fs_node_lookup(nodes, &digest);
}

static inline bool is_there(uint64_t nodeid)
{
        struct cas_digest digest;

        return fs_node_digest(nodes, nodeid, &digest);
}

/* The slot in the memory that the nodeid is of. */
static inline struct fs_node_slot *slot_of(uint64_t nodeid)
{
        return &memory->nodes[(uint32_t)nodeid - 1];
}

/* A blob for those tests that read nothing from it. */
static inline struct cas_blob blob_of(unsigned number)
{
        return (struct cas_blob){
            .fd = -1, .size = 10 * number, .blocks = number, .inode = number, .mtime = 1000};
}

/* What the next OPEN is called by the kernel. */
static inline uint64_t next_unique(void)
{
        static _Atomic uint64_t last = 100;

        return atomic_fetch_add(&last, 2);
}

/* Opens the node on blob `number`; `id` was fetched for it, or is 0. */
static inline struct fs_node_opened open_node(uint64_t nodeid, unsigned number, int32_t id)
{
        struct cas_blob blob = blob_of(number);
        struct fs_node_opened opened = {0};

        cr_assert_eq(fs_node_open(nodes, nodeid, &blob, id, next_unique(), false, &opened), 0);
        return opened;
}

static inline int replay_open(uint64_t nodeid, unsigned number, uint64_t unique,
                              struct fs_node_opened *ret)
{
        struct cas_blob blob = blob_of(number);

        return fs_node_open(nodes, nodeid, &blob, 0, unique, true, ret);
}

static inline int try_open(uint64_t nodeid, unsigned number, int32_t id)
{
        struct cas_blob blob = blob_of(number);
        struct fs_node_opened opened;

        return fs_node_open(nodes, nodeid, &blob, id, next_unique(), false, &opened);
}

static inline bool wants_id(uint64_t nodeid, unsigned number)
{
        struct cas_blob blob = blob_of(number);

        return fs_node_wants_id(nodes, nodeid, &blob);
}

static inline bool is_open_node(uint64_t nodeid)
{
        struct cas_blob blob;

        return fs_node_reads(nodes, nodeid, &blob);
}

#endif
