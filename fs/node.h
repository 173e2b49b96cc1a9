/*
 * Nodes: what the kernel calls assets by. A nodeid
 *
 *   CAN    be turned into a digest, as long as the kernel may use it
 *   CANNOT be kept over a forget: the slot is used again, with another generation,
 *          so that a stale nodeid is found out (ESTALE, at which the kernel looks the
 *          name up again by itself) and not mistaken
 *   is NOT st_ino, which comes from the digest and never changes
 *   CANNOT change the blob it reads while it is open: if another blob comes under the
 *          digest, the old opens keep the old one, and the digest gets another nodeid
 *
 * Nodes and open handles are in the session memory and outlive the worker; what is
 * found from them (the map, the counts, descriptors) is made again at its start. The
 * table is bounded: when it is full, whoever was never opened and was looked up the
 * longest time ago makes room; never one that is open.
 *
 * Threads: all functions from any thread. One lock, held for no I/O.
 */
#ifndef FS_NODE_H
#define FS_NODE_H

#include "cas/map.h"
#include "cas/store.h"
#include "fs/memory.h"

#include <sys/types.h>

struct fs_nodes;

/* An open blob that this process reads for the kernel. Read while holding a reference. */
struct fs_backing {
        struct cas_blob blob;
        unsigned references; /* the nodes' lock */
};

/*
 * Takes up what the memory holds, dropping what makes no sense in it. `drop_id` gives a
 * backing id back to the supervisor; it is called without the lock. 0 or -ENOMEM.
 */
int fs_nodes_new(struct fs_memory *memory, void (*drop_id)(void *arg, int32_t id), void *arg,
                 struct fs_nodes **ret);
void fs_nodes_free(struct fs_nodes *nodes); /* accepts NULL; closes descriptors */

/* The nodeid of the digest, looked up once more. 0 without memory or with every node open
 * (0 is no nodeid). */
uint64_t fs_node_lookup(struct fs_nodes *nodes, const struct cas_digest *digest);
void fs_node_forget(struct fs_nodes *nodes, uint64_t nodeid, uint64_t count);

/* false: no such node, -ESTALE for the kernel. */
bool fs_node_digest(struct fs_nodes *nodes, uint64_t nodeid, struct cas_digest *ret);

/*
 * What the kernel was told of the asset's size: exact, or not because the blob was
 * not here. While it is not, an open has to make the kernel look again (fs/hit.c).
 */
void fs_node_set_told(struct fs_nodes *nodes, uint64_t nodeid, bool exact);

/*
 * Should this open, by thread `tid`, be sent round for another lookup? false where
 * the kernel knows the size, or where the same thread was sent round and came back
 * without one (a path that needs no lookup, such as /proc/self/fd/N). `replay`: it may
 * be the very open that was sent round, and not have been told.
 */
bool fs_node_send_round(struct fs_nodes *nodes, uint64_t nodeid, pid_t tid, bool ended_miss,
                        bool replay);

/* Is this open the thread's second, after it was sent round? */
bool fs_node_was_sent_round(struct fs_nodes *nodes, uint64_t nodeid, pid_t tid);

/* Opening */

/* The blob that the node reads, or read last, and whose backing id is kept: an open may do
 * without opening it. false where there is none. Its fd is -1. */
bool fs_node_kept(struct fs_nodes *nodes, uint64_t nodeid, struct cas_blob *ret);

/* The blob is to be removed: keep nothing of it for a next open. Does nothing to opens. */
void fs_node_let_go(struct fs_nodes *nodes, const struct cas_digest *digest);

/* Would an open of `blob` do better with a backing id than with what the node has? */
bool fs_node_wants_id(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob);

struct fs_node_opened {
        uint64_t fh;
        int32_t backing_id; /* the kernel reads the blob by this; 0: through us */
        bool same;          /* the kernel's page cache is of this very file */
        bool fresh;         /* false: this open was taken before, by a worker that died */
};

/*
 * One more open, by the request `unique`, of a node that reads `blob` from now on.
 * `id` is a backing id that was fetched for it, or 0; it is the node's from here on.
 * -ESTALE: no such node, or it is open and reads another blob, and takes no more
 * lookups; -ENFILE: too many opens. `replay`: it may have been taken before.
 */
int fs_node_open(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob, int32_t id,
                 uint64_t unique, bool replay, struct fs_node_opened *ret);
/* The open that the request `unique` has had already, of a worker that died; false where it
 * has had none. */
bool fs_node_reopen(struct fs_nodes *nodes, uint64_t nodeid, uint64_t unique,
                    struct fs_node_opened *ret);
void fs_node_release(struct fs_nodes *nodes, uint64_t fh); /* of one that is gone: nothing */

/* The request `unique` opened nothing after all: gives back the handle that it may have. */
void fs_node_abandon(struct fs_nodes *nodes, uint64_t nodeid, uint64_t unique);

/* Ends lookups of a node that is open and reads another blob than this. true: it was one. */
bool fs_node_supersede(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob);

/* What is read by the opens that there are; false where there are none. Its fd is -1. */
bool fs_node_reads(struct fs_nodes *nodes, uint64_t nodeid, struct cas_blob *ret);

/* Reading through us */

/* The descriptor of what the node's opens read, to be given back with unref; NULL where
 * this process has none (yet). */
struct fs_backing *fs_node_backing(struct fs_nodes *nodes, uint64_t nodeid);
void fs_backing_unref(struct fs_nodes *nodes, struct fs_backing *backing); /* accepts NULL */

/* Hands over the descriptor of an open blob, if the node is open, reads that very blob and
 * needs one; else closes it. */
void fs_node_give_backing(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob);

#endif
