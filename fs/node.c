/*
 * What the kernel does with nodes: looks them up, forgets, opens, reads and releases
 * them. Knows neither FUSE nor the store; closes descriptors, opens none.
 */
#include "fs/node_table.h"

#include <errno.h>
#include <stdlib.h>

uint64_t fs_node_lookup(struct fs_nodes *nodes, const struct cas_digest *digest)
{
        struct node_leftovers left = {0};
        uint64_t nodeid = 0;

        pthread_mutex_lock(&nodes->lock);

        struct node *node = (struct node *)cas_map_find(&nodes->map, digest);

        if (node)
                node_touch(nodes, node, false);
        else
                node = node_make(nodes, digest, &left);
        if (node) {
                fs_kill_point(nodes->memory);
                node->slot->lookups++;
                fs_kill_point(nodes->memory);
                nodeid = node_id(node);
        }
        node_unlock(nodes, &left);
        return nodeid;
}

void fs_node_forget(struct fs_nodes *nodes, uint64_t nodeid, uint64_t count)
{
        struct node_leftovers left = {0};

        pthread_mutex_lock(&nodes->lock);

        struct node *node = node_find(nodes, nodeid);

        if (node) {
                uint64_t lookups = node->slot->lookups;

                node->slot->lookups = count < lookups ? lookups - count : 0;
                if (node->slot->lookups == 0 && node->opens == 0)
                        node_remove(nodes, node, &left);
        }
        node_unlock(nodes, &left);
}

bool fs_node_digest(struct fs_nodes *nodes, uint64_t nodeid, struct cas_digest *ret)
{
        pthread_mutex_lock(&nodes->lock);

        const struct node *node = node_find(nodes, nodeid);

        if (node)
                *ret = node->entry.digest;
        pthread_mutex_unlock(&nodes->lock);
        return node;
}

void fs_node_set_told(struct fs_nodes *nodes, uint64_t nodeid, bool exact)
{
        pthread_mutex_lock(&nodes->lock);

        struct node *node = node_find(nodes, nodeid);

        if (node)
                node->slot->told_wrong = !exact;
        pthread_mutex_unlock(&nodes->lock);
}

bool fs_node_send_round(struct fs_nodes *nodes, uint64_t nodeid, pid_t tid, bool ended_miss,
                        bool replay)
{
        bool round = false;

        pthread_mutex_lock(&nodes->lock);

        struct node *node = node_find(nodes, nodeid);

        if (node) {
                struct fs_node_slot *slot = node->slot;

                round = ended_miss || (slot->told_wrong && (replay || slot->sent_round != tid));
                slot->sent_round = round ? tid : 0;
        }
        pthread_mutex_unlock(&nodes->lock);
        return round;
}

bool fs_node_was_sent_round(struct fs_nodes *nodes, uint64_t nodeid, pid_t tid)
{
        pthread_mutex_lock(&nodes->lock);

        const struct node *node = node_find(nodes, nodeid);
        bool was = node && tid != 0 && node->slot->sent_round == tid;

        pthread_mutex_unlock(&nodes->lock);
        return was;
}

static bool reads(const struct node *node, const struct cas_blob *blob)
{
        return node->slot->inode == blob->inode && node->slot->mtime == blob->mtime;
}

/* From now on the digest is another node's. */
static bool supersede(struct fs_nodes *nodes, struct node *node, const struct cas_blob *blob)
{
        if (node->opens == 0 || reads(node, blob))
                return false;
        if (!node->slot->superseded) {
                node->slot->superseded = 1;
                cas_map_remove(&nodes->map, &node->entry);
        }
        return true;
}

bool fs_node_supersede(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob)
{
        pthread_mutex_lock(&nodes->lock);

        struct node *node = node_find(nodes, nodeid);
        bool superseded = node && supersede(nodes, node, blob);

        pthread_mutex_unlock(&nodes->lock);
        return superseded;
}

bool fs_node_wants_id(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob)
{
        pthread_mutex_lock(&nodes->lock);

        const struct node *node = node_find(nodes, nodeid);
        bool wants = node && (node->slot->backing_id == 0 || !reads(node, blob)) &&
                     (node->opens == 0 || node->slot->passthrough);

        pthread_mutex_unlock(&nodes->lock);
        return wants;
}

/* The first open decides what is read, and how; the others follow. */
static void decide(struct fs_nodes *nodes, struct node *node, const struct cas_blob *blob,
                   int32_t id, struct node_leftovers *left)
{
        struct fs_node_slot *slot = node->slot;

        /* A kill between these stores must not leave an id beside another file than its own. */
        if (!reads(node, blob)) {
                node_leave_id(left, slot->backing_id);
                slot->backing_id = 0;
                atomic_signal_fence(memory_order_seq_cst);
                slot->inode = blob->inode;
                slot->mtime = blob->mtime;
        }
        slot->size = blob->size;
        slot->blocks = blob->blocks;
        slot->ctime = blob->ctime;
        atomic_signal_fence(memory_order_seq_cst);
        if (slot->backing_id == 0)
                slot->backing_id = id;
        else
                node_leave_id(left, id);
        fs_kill_point(nodes->memory);
        slot->passthrough = slot->backing_id != 0;
}

/* The same file, checked anew: to note that it was opened has changed its ctime. */
static void follow(struct node *node, const struct cas_blob *blob, int32_t id,
                   struct node_leftovers *left)
{
        node->slot->ctime = blob->ctime;
        node_leave_id(left, id);
}

int fs_node_open(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob, int32_t id,
                 uint64_t unique, bool replay, struct fs_node_opened *ret)
{
        struct node_leftovers left = {0};
        struct fs_handle handle = {0};

        pthread_mutex_lock(&nodes->lock);

        struct node *node = node_find(nodes, nodeid);

        if (!node || supersede(nodes, node, blob)) {
                node_leave_id(&left, id);
                node_unlock(nodes, &left);
                return -ESTALE;
        }
        ret->same = node->slot->inode != 0 && reads(node, blob);
        /* Before there is a handle: a handle that is found again must not decide anew. */
        if (node->opens == 0)
                decide(nodes, node, blob, id, &left);
        else
                follow(node, blob, id, &left);

        int r = fs_handle_take(nodes->handles, unique, nodeid, replay, &handle);

        if (r == 0) {
                ret->fh = handle.fh;
                ret->fresh = !handle.old;
                ret->backing_id = node->slot->passthrough ? node->slot->backing_id : 0;
                node->opens += ret->fresh;
                node_stop_keeping(nodes, node);
                node_touch(nodes, node, true);
        } else if (node->opens == 0) {
                node_keep_id(nodes, node, &left);
        }
        node_unlock(nodes, &left);
        return r;
}

bool fs_node_reopen(struct fs_nodes *nodes, uint64_t nodeid, uint64_t unique,
                    struct fs_node_opened *ret)
{
        struct fs_handle handle;

        pthread_mutex_lock(&nodes->lock);

        const struct node *node = node_find(nodes, nodeid);
        bool found = node && fs_handle_find(nodes->handles, unique, nodeid, &handle);

        if (found)
                *ret = (struct fs_node_opened){
                    .fh = handle.fh,
                    .backing_id = node->slot->passthrough ? node->slot->backing_id : 0};
        pthread_mutex_unlock(&nodes->lock);
        return found;
}

void fs_node_release(struct fs_nodes *nodes, uint64_t fh)
{
        struct node_leftovers left = {0};

        pthread_mutex_lock(&nodes->lock);

        struct node *node = node_find(nodes, fs_handle_give_back(nodes->handles, fh));

        if (node && node->opens > 0 && --node->opens == 0) {
                node_leave_fd(&left, node_drop(node->backing));
                node->backing = NULL;
                if (node->slot->lookups == 0)
                        node_remove(nodes, node, &left);
                else
                        node_keep_id(nodes, node, &left);
        }
        node_unlock(nodes, &left);
}

void fs_node_abandon(struct fs_nodes *nodes, uint64_t nodeid, uint64_t unique)
{
        struct fs_handle handle;

        pthread_mutex_lock(&nodes->lock);

        bool found = fs_handle_find(nodes->handles, unique, nodeid, &handle);

        pthread_mutex_unlock(&nodes->lock);
        if (found)
                fs_node_release(nodes, handle.fh);
}

static struct cas_blob blob_of(const struct node *node)
{
        const struct fs_node_slot *slot = node->slot;

        return (struct cas_blob){.fd = -1,
                                 .size = slot->size,
                                 .blocks = slot->blocks,
                                 .inode = slot->inode,
                                 .mtime = slot->mtime,
                                 .ctime = slot->ctime};
}

bool fs_node_reads(struct fs_nodes *nodes, uint64_t nodeid, struct cas_blob *ret)
{
        pthread_mutex_lock(&nodes->lock);

        const struct node *node = node_find(nodes, nodeid);
        bool open = node && node->opens > 0;

        if (open)
                *ret = blob_of(node);
        pthread_mutex_unlock(&nodes->lock);
        return open;
}

bool fs_node_kept(struct fs_nodes *nodes, uint64_t nodeid, struct cas_blob *ret)
{
        pthread_mutex_lock(&nodes->lock);

        const struct node *node = node_find(nodes, nodeid);
        bool kept = node && node->slot->backing_id != 0 && node->slot->passthrough;

        if (kept)
                *ret = blob_of(node);
        pthread_mutex_unlock(&nodes->lock);
        return kept;
}

void fs_node_let_go(struct fs_nodes *nodes, const struct cas_digest *digest)
{
        struct node_leftovers left = {0};

        pthread_mutex_lock(&nodes->lock);

        struct node *node = (struct node *)cas_map_find(&nodes->map, digest);

        if (node && node->keeps_id) {
                node_stop_keeping(nodes, node);
                node_leave_id(&left, node->slot->backing_id);
                node->slot->backing_id = 0;
        }
        node_unlock(nodes, &left);
}

struct fs_backing *fs_node_backing(struct fs_nodes *nodes, uint64_t nodeid)
{
        pthread_mutex_lock(&nodes->lock);

        const struct node *node = node_find(nodes, nodeid);
        struct fs_backing *backing = node ? node->backing : NULL;

        if (backing)
                backing->references++;
        pthread_mutex_unlock(&nodes->lock);
        return backing;
}

void fs_backing_unref(struct fs_nodes *nodes, struct fs_backing *backing)
{
        struct node_leftovers left = {0};

        pthread_mutex_lock(&nodes->lock);
        node_leave_fd(&left, node_drop(backing));
        node_unlock(nodes, &left);
}

void fs_node_give_backing(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob)
{
        struct fs_backing *backing = calloc(1, sizeof(*backing));
        struct node_leftovers left = {0};

        pthread_mutex_lock(&nodes->lock);

        struct node *node = node_find(nodes, nodeid);

        if (backing && node && node->opens > 0 && !node->backing && reads(node, blob)) {
                *backing = (struct fs_backing){*blob, 1};
                node->backing = backing;
        } else {
                free(backing);
                node_leave_fd(&left, blob->fd);
        }
        node_unlock(nodes, &left);
}
