/*
 * Nodes: what the kernel calls assets by. A nodeid
 *
 *   CAN    be turned into a digest, as long as the kernel may use it
 *   CANNOT be kept over a forget: the slot is used again, with another generation,
 *          so that a stale nodeid is found out and not mistaken
 *   is NOT st_ino, which comes from the digest and never changes
 *
 * A node also holds what is open of it: one descriptor of the blob for all opens,
 * shared and counted, because an asset's bytes are the same whoever reads them.
 *
 * Threads: all functions from any thread. One lock, held for no I/O.
 */
#ifndef FS_NODE_H
#define FS_NODE_H

#include "cas/map.h"
#include "cas/store.h"

#include <sys/types.h>

struct fs_nodes;

/* An open blob. Read from blob.fd while holding a reference. */
struct fs_backing {
        struct cas_blob blob;
        unsigned references; /* the nodes' lock */
};

int fs_nodes_new(struct fs_nodes **ret);
void fs_nodes_free(struct fs_nodes *nodes); /* accepts NULL; closes what is open */

/* The nodeid of the digest, looked up once more. 0 without memory (0 is no nodeid). */
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
 * without one (a path that needs no lookup, such as /proc/self/fd/N).
 */
bool fs_node_send_round(struct fs_nodes *nodes, uint64_t nodeid, pid_t tid, bool ended_miss);

/*
 * One more open of the node, which reads `blob` from now on, as do the opens before
 * it; takes blob->fd over, also on failure. *ret_same: the kernel's page cache is of
 * this very file. 0 or -ESTALE, -ENOMEM.
 */
int fs_node_open(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob,
                 bool *ret_same);
void fs_node_release(struct fs_nodes *nodes, uint64_t nodeid);

/* What the node's opens read, to be given back with unref; NULL where nothing is open. */
struct fs_backing *fs_node_backing(struct fs_nodes *nodes, uint64_t nodeid);
void fs_backing_unref(struct fs_nodes *nodes, struct fs_backing *backing); /* accepts NULL */

#endif
