/*
 * The node table: slots in the session memory, the lists of who makes room first, and
 * taking up what the last worker left. What the kernel does with nodes is in fs/node.c.
 */
#include "fs/node_table.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * nodeid = generation << 32 | slot + 1. Generations start at 1, so every nodeid of
 * an asset is above 2^32 and never one of the fixed ones (fs/view.h); they end at
 * 2^30, below the bit of the links.
 */
#define GENERATION_MAX (1u << 30)

#define IDS_KEPT 512 /* backing ids of nodes that nobody has open */

void node_leave_fd(struct node_leftovers *left, int fd)
{
        if (fd >= 0)
                left->fds[left->fd_count++] = fd;
}

void node_leave_id(struct node_leftovers *left, int32_t id)
{
        if (id > 0)
                left->ids[left->id_count++] = id;
}

void node_unlock(struct fs_nodes *nodes, const struct node_leftovers *left)
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

void node_touch(struct fs_nodes *nodes, struct node *node, bool regular)
{
        TAILQ_REMOVE(age_list(nodes, node), node, age);
        node->regular |= regular;
        TAILQ_INSERT_TAIL(age_list(nodes, node), node, age);
}

void node_stop_keeping(struct fs_nodes *nodes, struct node *node)
{
        if (!node->keeps_id)
                return;
        TAILQ_REMOVE(&nodes->kept, node, kept);
        nodes->kept_count--;
        node->keeps_id = false;
}

/* The id of a node that was closed is kept for its next open, within a bound. */
void node_keep_id(struct fs_nodes *nodes, struct node *node, struct node_leftovers *left)
{
        if (node->slot->backing_id == 0 || node->keeps_id)
                return;
        node->keeps_id = true;
        TAILQ_INSERT_TAIL(&nodes->kept, node, kept);
        if (++nodes->kept_count <= IDS_KEPT)
                return;

        struct node *oldest = TAILQ_FIRST(&nodes->kept);

        node_stop_keeping(nodes, oldest);
        node_leave_id(left, oldest->slot->backing_id);
        oldest->slot->backing_id = 0;
}

/* Returns the descriptor to close, or -1. */
int node_drop(struct fs_backing *backing)
{
        if (!backing || --backing->references > 0)
                return -1;

        int fd = backing->blob.fd;

        free(backing);
        return fd;
}

uint64_t node_id(const struct node *node)
{
        return atomic_load(&node->slot->nodeid);
}

struct node *node_find(const struct fs_nodes *nodes, uint64_t nodeid)
{
        uint64_t index = (nodeid & UINT32_MAX) - 1;
        struct node *node = index < FS_NODES_MAX ? nodes->by_slot[index] : NULL;

        return node && node_id(node) == nodeid ? node : NULL;
}

static uint32_t index_of(const struct fs_nodes *nodes, const struct node *node)
{
        return (uint32_t)(node->slot - nodes->memory->nodes);
}

/* Frees the slot; nobody has it open. */
void node_remove(struct fs_nodes *nodes, struct node *node, struct node_leftovers *left)
{
        uint32_t index = index_of(nodes, node);

        fs_kill_point(nodes->memory);
        atomic_store(&node->slot->nodeid, 0);
        fs_kill_point(nodes->memory);
        node_leave_id(left, node->slot->backing_id);
        node->slot->backing_id = 0;
        node_leave_fd(left, node_drop(node->backing));
        node_stop_keeping(nodes, node);
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

static bool make_room(struct fs_nodes *nodes, struct node_leftovers *left)
{
        struct node *victim = oldest_closed(&nodes->strangers);

        if (!victim)
                victim = oldest_closed(&nodes->regulars);
        if (victim)
                node_remove(nodes, victim, left);
        return victim;
}

static bool take_slot(struct fs_nodes *nodes, uint32_t *ret, struct node_leftovers *left)
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

struct node *node_make(struct fs_nodes *nodes, const struct cas_digest *digest,
                       struct node_leftovers *left)
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
        struct node *node = node_find(nodes, nodeid);

        if (node)
                node->opens++;
        return node;
}

/* Nobody has them open, and nobody will ask for them again; or their ids are kept. Goes on
 * from slot *index up to the first that leaves an id. */
static void settle_closed(struct fs_nodes *nodes, uint32_t *index, struct node_leftovers *left)
{
        uint32_t used = atomic_load(&nodes->memory->nodes_used);

        for (; *index < used && left->id_count == 0; (*index)++) {
                struct fs_node_slot *slot = &nodes->memory->nodes[*index];
                struct node *node = nodes->by_slot[*index];

                if (node && node->opens > 0)
                        continue;
                if (!node) {
                        /* It was being removed. */
                        node_leave_id(left, slot->backing_id);
                        slot->backing_id = 0;
                } else if (slot->superseded || slot->lookups == 0) {
                        node_remove(nodes, node, left);
                } else {
                        node_keep_id(nodes, node, left);
                }
        }
}

int fs_nodes_new(struct fs_memory *memory, void (*drop_id)(void *arg, int32_t id), void *arg,
                 struct fs_nodes **ret)
{
        struct fs_nodes *nodes = calloc(1, sizeof(*nodes));
        struct node_leftovers left;
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
                left = (struct node_leftovers){0};
                pthread_mutex_lock(&nodes->lock);
                settle_closed(nodes, &index, &left);
                node_unlock(nodes, &left);
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
                int fd = node ? node_drop(node->backing) : -1;

                if (fd >= 0)
                        close(fd);
                free(node);
        }
        fs_handles_free(nodes->handles);
        cas_map_destroy(&nodes->map);
        pthread_mutex_destroy(&nodes->lock);
        free(nodes);
}
