/*
 * The node table: slots in the session memory, and what this process knows about
 * them. Knows neither FUSE nor the store; closes descriptors, opens none.
 */
#include "fs/node.h"

#include "fs/handle.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

/*
 * nodeid = generation << 32 | slot + 1. Generations start at 1, so every nodeid of
 * an asset is above 2^32 and never one of the fixed ones (fs/view.h); they end at
 * 2^30, below the bit of the links.
 */
#define GENERATION_MAX (1u << 30)

#define IDS_KEPT 512 /* backing ids of nodes that nobody has open */

struct node {
        struct cas_map_entry entry; /* in the map unless superseded */
        struct fs_node_slot *slot;
        uint64_t opens;
        struct fs_backing *backing; /* NULL: nobody reads through us */
        bool regular;               /* in that list: it was open once */
        bool keeps_id;              /* in that list */
        TAILQ_ENTRY(node) age;
        TAILQ_ENTRY(node) kept;
};

TAILQ_HEAD(node_list, node);

/* All under the lock. */
struct fs_nodes {
        pthread_mutex_t lock;
        struct fs_memory *memory;
        struct fs_handles *handles;
        struct cas_map map;
        struct node *by_slot[FS_NODES_MAX]; /* NULL: the slot is free */
        uint32_t free[FS_NODES_MAX];        /* a stack of slots below nodes_used */
        uint32_t free_count;
        struct node_list strangers; /* never opened; oldest first */
        struct node_list regulars;  /* oldest first */
        struct node_list kept;      /* closed, with a backing id; oldest first */
        unsigned kept_count;
        void (*drop_id)(void *arg, int32_t id);
        void *drop_arg;
};

/* What has to be given up after the lock was released. */
struct leftovers {
        int fds[2];
        int32_t ids[4];
        unsigned fd_count;
        unsigned id_count;
};

static void leave_fd(struct leftovers *left, int fd)
{
        if (fd >= 0)
                left->fds[left->fd_count++] = fd;
}

static void leave_id(struct leftovers *left, int32_t id)
{
        if (id > 0)
                left->ids[left->id_count++] = id;
}

static void unlock(struct fs_nodes *nodes, const struct leftovers *left)
{
        pthread_mutex_unlock(&nodes->lock);
        for (unsigned i = 0; i < left->fd_count; i++)
                close(left->fds[i]);
        for (unsigned i = 0; i < left->id_count; i++)
                nodes->drop_id(nodes->drop_arg, left->ids[i]);
}

static struct node_list *age_list(struct fs_nodes *nodes, const struct node *node)
{
        return node->regular ? &nodes->regulars : &nodes->strangers;
}

static void touch(struct fs_nodes *nodes, struct node *node, bool regular)
{
        TAILQ_REMOVE(age_list(nodes, node), node, age);
        node->regular |= regular;
        TAILQ_INSERT_TAIL(age_list(nodes, node), node, age);
}

static void stop_keeping(struct fs_nodes *nodes, struct node *node)
{
        if (!node->keeps_id)
                return;
        TAILQ_REMOVE(&nodes->kept, node, kept);
        nodes->kept_count--;
        node->keeps_id = false;
}

/* The id of a node that was closed is kept for its next open, within a bound. */
static void keep_id(struct fs_nodes *nodes, struct node *node, struct leftovers *left)
{
        if (node->slot->backing_id == 0 || node->keeps_id)
                return;
        node->keeps_id = true;
        TAILQ_INSERT_TAIL(&nodes->kept, node, kept);
        if (++nodes->kept_count <= IDS_KEPT)
                return;

        struct node *oldest = TAILQ_FIRST(&nodes->kept);

        stop_keeping(nodes, oldest);
        leave_id(left, oldest->slot->backing_id);
        oldest->slot->backing_id = 0;
}

/* Returns the descriptor to close, or -1. */
static int drop(struct fs_backing *backing)
{
        if (!backing || --backing->references > 0)
                return -1;

        int fd = backing->blob.fd;

        free(backing);
        return fd;
}

static uint64_t nodeid_of(const struct node *node)
{
        return atomic_load(&node->slot->nodeid);
}

static struct node *find(const struct fs_nodes *nodes, uint64_t nodeid)
{
        uint64_t index = (nodeid & UINT32_MAX) - 1;
        struct node *node = index < FS_NODES_MAX ? nodes->by_slot[index] : NULL;

        return node && nodeid_of(node) == nodeid ? node : NULL;
}

static uint32_t index_of(const struct fs_nodes *nodes, const struct node *node)
{
        return (uint32_t)(node->slot - nodes->memory->nodes);
}

/* Frees the slot; nobody has it open. */
static void remove_node(struct fs_nodes *nodes, struct node *node, struct leftovers *left)
{
        uint32_t index = index_of(nodes, node);

        fs_kill_point(nodes->memory);
        atomic_store(&node->slot->nodeid, 0);
        fs_kill_point(nodes->memory);
        leave_id(left, node->slot->backing_id);
        node->slot->backing_id = 0;
        leave_fd(left, drop(node->backing));
        stop_keeping(nodes, node);
        TAILQ_REMOVE(age_list(nodes, node), node, age);
        if (!node->slot->superseded)
                cas_map_remove(&nodes->map, &node->entry);
        nodes->by_slot[index] = NULL;
        nodes->free[nodes->free_count++] = index;
        free(node);
}

static struct node *oldest_closed(const struct node_list *list)
{
        struct node *node = TAILQ_FIRST(list);

        while (node && node->opens > 0)
                node = TAILQ_NEXT(node, age);
        return node;
}

static bool make_room(struct fs_nodes *nodes, struct leftovers *left)
{
        struct node *victim = oldest_closed(&nodes->strangers);

        if (!victim)
                victim = oldest_closed(&nodes->regulars);
        if (victim)
                remove_node(nodes, victim, left);
        return victim;
}

static bool take_slot(struct fs_nodes *nodes, uint32_t *ret, struct leftovers *left)
{
        uint32_t used = atomic_load(&nodes->memory->nodes_used);

        if (nodes->free_count == 0 && used < FS_NODES_MAX) {
                atomic_store(&nodes->memory->nodes_used, used + 1);
                *ret = used;
                return true;
        }
        if (nodes->free_count == 0 && !make_room(nodes, left))
                return false;
        *ret = nodes->free[--nodes->free_count];
        return true;
}

/* Makes this process know the slot, which holds a node. */
static struct node *know(struct fs_nodes *nodes, uint32_t index)
{
        struct node *node = calloc(1, sizeof(*node));

        if (!node)
                return NULL;
        node->slot = &nodes->memory->nodes[index];
        node->entry.digest = node->slot->digest;
        node->regular = node->slot->inode != 0;
        nodes->by_slot[index] = node;
        if (!node->slot->superseded)
                cas_map_insert(&nodes->map, &node->entry);
        TAILQ_INSERT_TAIL(age_list(nodes, node), node, age);
        return node;
}

static struct node *new_node(struct fs_nodes *nodes, const struct cas_digest *digest,
                             struct leftovers *left)
{
        uint32_t index;

        if (!take_slot(nodes, &index, left))
                return NULL;

        struct fs_node_slot *slot = &nodes->memory->nodes[index];
        uint32_t generation = slot->generation % GENERATION_MAX + 1;

        /* Everything before the nodeid, and the generation before everything. It is not part
         * of a struct that is assigned, which a compiler may fill with zeros first. */
        slot->generation = generation;
        atomic_signal_fence(memory_order_seq_cst);
        fs_kill_point(nodes->memory);
        slot->lookups = 0;
        slot->digest = *digest;
        slot->backing_id = 0;
        slot->inode = 0;
        slot->mtime = 0;
        slot->ctime = 0;
        slot->size = 0;
        slot->blocks = 0;
        slot->sent_round = 0;
        slot->told_wrong = 0;
        slot->superseded = 0;
        slot->passthrough = 0;

        struct node *node = know(nodes, index);

        fs_kill_point(nodes->memory);
        if (node)
                atomic_store(&slot->nodeid, (uint64_t)generation << 32 | (index + 1));
        else
                nodes->free[nodes->free_count++] = index;
        return node;
}

uint64_t fs_node_lookup(struct fs_nodes *nodes, const struct cas_digest *digest)
{
        struct leftovers left = {0};
        uint64_t nodeid = 0;

        pthread_mutex_lock(&nodes->lock);

        struct node *node = (struct node *)cas_map_find(&nodes->map, digest);

        if (node)
                touch(nodes, node, false);
        else
                node = new_node(nodes, digest, &left);
        if (node) {
                fs_kill_point(nodes->memory);
                node->slot->lookups++;
                fs_kill_point(nodes->memory);
                nodeid = nodeid_of(node);
        }
        unlock(nodes, &left);
        return nodeid;
}

void fs_node_forget(struct fs_nodes *nodes, uint64_t nodeid, uint64_t count)
{
        struct leftovers left = {0};

        pthread_mutex_lock(&nodes->lock);

        struct node *node = find(nodes, nodeid);

        if (node) {
                uint64_t lookups = node->slot->lookups;

                node->slot->lookups = count < lookups ? lookups - count : 0;
                if (node->slot->lookups == 0 && node->opens == 0)
                        remove_node(nodes, node, &left);
        }
        unlock(nodes, &left);
}

bool fs_node_digest(struct fs_nodes *nodes, uint64_t nodeid, struct cas_digest *ret)
{
        pthread_mutex_lock(&nodes->lock);

        const struct node *node = find(nodes, nodeid);

        if (node)
                *ret = node->entry.digest;
        pthread_mutex_unlock(&nodes->lock);
        return node;
}

void fs_node_set_told(struct fs_nodes *nodes, uint64_t nodeid, bool exact)
{
        pthread_mutex_lock(&nodes->lock);

        struct node *node = find(nodes, nodeid);

        if (node)
                node->slot->told_wrong = !exact;
        pthread_mutex_unlock(&nodes->lock);
}

bool fs_node_send_round(struct fs_nodes *nodes, uint64_t nodeid, pid_t tid, bool ended_miss)
{
        bool round = false;

        pthread_mutex_lock(&nodes->lock);

        struct node *node = find(nodes, nodeid);

        if (node) {
                struct fs_node_slot *slot = node->slot;

                round = ended_miss || (slot->told_wrong && slot->sent_round != tid);
                slot->sent_round = round ? tid : 0;
        }
        pthread_mutex_unlock(&nodes->lock);
        return round;
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

        struct node *node = find(nodes, nodeid);
        bool superseded = node && supersede(nodes, node, blob);

        pthread_mutex_unlock(&nodes->lock);
        return superseded;
}

bool fs_node_wants_id(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob)
{
        pthread_mutex_lock(&nodes->lock);

        const struct node *node = find(nodes, nodeid);
        bool wants = node && (node->slot->backing_id == 0 || !reads(node, blob)) &&
                     (node->opens == 0 || node->slot->passthrough);

        pthread_mutex_unlock(&nodes->lock);
        return wants;
}

/* The first open decides what is read, and how; the others follow. */
static void decide(struct fs_nodes *nodes, struct node *node, const struct cas_blob *blob,
                   int32_t id, struct leftovers *left)
{
        struct fs_node_slot *slot = node->slot;

        if (!reads(node, blob)) {
                leave_id(left, slot->backing_id);
                slot->backing_id = 0;
                slot->inode = blob->inode;
                slot->mtime = blob->mtime;
        }
        slot->size = blob->size;
        slot->blocks = blob->blocks;
        slot->ctime = blob->ctime;
        if (slot->backing_id == 0)
                slot->backing_id = id;
        else
                leave_id(left, id);
        fs_kill_point(nodes->memory);
        slot->passthrough = slot->backing_id != 0;
}

int fs_node_open(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob, int32_t id,
                 uint64_t unique, bool replay, struct fs_node_opened *ret)
{
        struct leftovers left = {0};
        struct fs_handle handle = {0};

        pthread_mutex_lock(&nodes->lock);

        struct node *node = find(nodes, nodeid);

        if (!node || supersede(nodes, node, blob)) {
                leave_id(&left, id);
                unlock(nodes, &left);
                return -ESTALE;
        }
        ret->same = node->slot->inode != 0 && reads(node, blob);
        /* Before there is a handle: a handle that is found again must not decide anew. */
        if (node->opens == 0)
                decide(nodes, node, blob, id, &left);
        else
                leave_id(&left, id);

        int r = fs_handle_take(nodes->handles, unique, nodeid, replay, &handle);

        if (r == 0) {
                ret->fh = handle.fh;
                ret->fresh = !handle.old;
                ret->backing_id = node->slot->passthrough ? node->slot->backing_id : 0;
                node->opens += ret->fresh;
                stop_keeping(nodes, node);
                touch(nodes, node, true);
        } else if (node->opens == 0) {
                keep_id(nodes, node, &left);
        }
        unlock(nodes, &left);
        return r;
}

void fs_node_release(struct fs_nodes *nodes, uint64_t fh)
{
        struct leftovers left = {0};

        pthread_mutex_lock(&nodes->lock);

        struct node *node = find(nodes, fs_handle_give_back(nodes->handles, fh));

        if (node && node->opens > 0 && --node->opens == 0) {
                leave_fd(&left, drop(node->backing));
                node->backing = NULL;
                if (node->slot->lookups == 0)
                        remove_node(nodes, node, &left);
                else
                        keep_id(nodes, node, &left);
        }
        unlock(nodes, &left);
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

        const struct node *node = find(nodes, nodeid);
        bool open = node && node->opens > 0;

        if (open)
                *ret = blob_of(node);
        pthread_mutex_unlock(&nodes->lock);
        return open;
}

bool fs_node_kept(struct fs_nodes *nodes, uint64_t nodeid, struct cas_blob *ret)
{
        pthread_mutex_lock(&nodes->lock);

        const struct node *node = find(nodes, nodeid);
        bool kept = node && node->slot->backing_id != 0 && node->slot->passthrough;

        if (kept)
                *ret = blob_of(node);
        pthread_mutex_unlock(&nodes->lock);
        return kept;
}

struct fs_backing *fs_node_backing(struct fs_nodes *nodes, uint64_t nodeid)
{
        pthread_mutex_lock(&nodes->lock);

        const struct node *node = find(nodes, nodeid);
        struct fs_backing *backing = node ? node->backing : NULL;

        if (backing)
                backing->references++;
        pthread_mutex_unlock(&nodes->lock);
        return backing;
}

void fs_backing_unref(struct fs_nodes *nodes, struct fs_backing *backing)
{
        struct leftovers left = {0};

        pthread_mutex_lock(&nodes->lock);
        leave_fd(&left, drop(backing));
        unlock(nodes, &left);
}

void fs_node_give_backing(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob)
{
        struct fs_backing *backing = calloc(1, sizeof(*backing));
        struct leftovers left = {0};

        pthread_mutex_lock(&nodes->lock);

        struct node *node = find(nodes, nodeid);

        if (backing && node && node->opens > 0 && !node->backing && reads(node, blob)) {
                *backing = (struct fs_backing){*blob, 1};
                node->backing = backing;
        } else {
                free(backing);
                leave_fd(&left, blob->fd);
        }
        unlock(nodes, &left);
}

/* Taking up what the last worker left */

static bool is_sound(const struct fs_nodes *nodes, uint32_t index)
{
        const struct fs_node_slot *slot = &nodes->memory->nodes[index];
        uint64_t nodeid = atomic_load(&slot->nodeid);

        return nodeid != 0 && slot->generation > 0 && slot->generation <= GENERATION_MAX &&
               nodeid == ((uint64_t)slot->generation << 32 | (index + 1)) &&
               slot->backing_id >= 0 &&
               (slot->superseded || !cas_map_find(&nodes->map, &slot->digest));
}

static int take_up_nodes(struct fs_nodes *nodes)
{
        uint32_t used = atomic_load(&nodes->memory->nodes_used);

        if (used > FS_NODES_MAX)
                used = FS_NODES_MAX;
        atomic_store(&nodes->memory->nodes_used, used);
        for (uint32_t index = 0; index < used; index++) {
                if (!is_sound(nodes, index)) {
                        atomic_store(&nodes->memory->nodes[index].nodeid, 0);
                        nodes->free[nodes->free_count++] = index;
                } else if (!know(nodes, index)) {
                        return -ENOMEM;
                }
        }
        return 0;
}

static bool count_open(void *arg, uint64_t nodeid)
{
        struct fs_nodes *nodes = arg;
        struct node *node = find(nodes, nodeid);

        if (node)
                node->opens++;
        return node;
}

/* Nobody has them open, and nobody will ask for them again; or their ids are kept. Goes on
 * from slot *index up to the first that leaves an id. */
static void settle_closed(struct fs_nodes *nodes, uint32_t *index, struct leftovers *left)
{
        uint32_t used = atomic_load(&nodes->memory->nodes_used);

        for (; *index < used && left->id_count == 0; (*index)++) {
                struct fs_node_slot *slot = &nodes->memory->nodes[*index];
                struct node *node = nodes->by_slot[*index];

                if (node && node->opens > 0)
                        continue;
                if (!node) {
                        /* It was being removed. */
                        leave_id(left, slot->backing_id);
                        slot->backing_id = 0;
                } else if (slot->superseded || slot->lookups == 0) {
                        remove_node(nodes, node, left);
                } else {
                        keep_id(nodes, node, left);
                }
        }
}

int fs_nodes_new(struct fs_memory *memory, void (*drop_id)(void *arg, int32_t id), void *arg,
                 struct fs_nodes **ret)
{
        struct fs_nodes *nodes = calloc(1, sizeof(*nodes));
        struct leftovers left;
        uint32_t index = 0;
        int r;

        if (!nodes)
                return -ENOMEM;
        nodes->memory = memory;
        nodes->drop_id = drop_id;
        nodes->drop_arg = arg;
        pthread_mutex_init(&nodes->lock, NULL);
        TAILQ_INIT(&nodes->strangers);
        TAILQ_INIT(&nodes->regulars);
        TAILQ_INIT(&nodes->kept);
        r = cas_map_init(&nodes->map);
        if (r == 0)
                r = take_up_nodes(nodes);
        if (r == 0)
                r = fs_handles_new(memory, count_open, nodes, &nodes->handles);
        if (r < 0) {
                fs_nodes_free(nodes);
                return r;
        }
        do {
                left = (struct leftovers){0};
                pthread_mutex_lock(&nodes->lock);
                settle_closed(nodes, &index, &left);
                unlock(nodes, &left);
        } while (left.id_count > 0);
        *ret = nodes;
        return 0;
}

void fs_nodes_free(struct fs_nodes *nodes)
{
        if (!nodes)
                return;
        for (size_t i = 0; i < atomic_load(&nodes->memory->nodes_used); i++) {
                struct node *node = nodes->by_slot[i];
                int fd = node ? drop(node->backing) : -1;

                if (fd >= 0)
                        close(fd);
                free(node);
        }
        fs_handles_free(nodes->handles);
        cas_map_destroy(&nodes->map);
        pthread_mutex_destroy(&nodes->lock);
        free(nodes);
}
