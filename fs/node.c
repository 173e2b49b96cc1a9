/*
 * The node table: slots found by nodeid, and by digest through a map. Knows
 * neither FUSE nor the store; closes descriptors, opens none.
 */
#include "fs/node.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * nodeid = generation << 32 | slot + 1. Generations start at 1, so every nodeid of
 * an asset is above 2^32 and never one of the fixed ones (fs/view.h); they end at
 * 2^30, below the bit of the links.
 */
#define GENERATION_MAX (1u << 30)

struct node {
        struct cas_map_entry entry;
        uint32_t slot;
        uint32_t generation;
        uint64_t lookups; /* 0: the slot is free */
        uint64_t opens;
        struct fs_backing *backing; /* NULL when nothing is open */
        bool told_wrong;            /* the kernel believes a size that is not the blob's */
        pid_t sent_round;           /* the last opener that was to look again */
        bool read_before;           /* the next two are set */
        uint64_t last_inode;        /* which file the page cache is of */
        int64_t last_mtime;
        struct node *next_free;
};

struct fs_nodes {
        pthread_mutex_t lock;
        struct cas_map map;  /* lock */
        struct node **slots; /* lock */
        size_t slot_count;   /* lock */
        size_t slot_room;    /* lock */
        struct node *free;   /* lock */
};

int fs_nodes_new(struct fs_nodes **ret)
{
        struct fs_nodes *nodes = calloc(1, sizeof(*nodes));

        if (!nodes)
                return -ENOMEM;
        pthread_mutex_init(&nodes->lock, NULL);
        if (cas_map_init(&nodes->map) < 0) {
                free(nodes);
                return -ENOMEM;
        }
        *ret = nodes;
        return 0;
}

/* Under the lock. Returns what the caller has to close after it, or -1. */
static int drop(struct fs_backing *backing)
{
        if (!backing || --backing->references > 0)
                return -1;

        int fd = backing->blob.fd;

        free(backing);
        return fd;
}

static void close_dropped(int fd)
{
        if (fd >= 0)
                close(fd);
}

void fs_nodes_free(struct fs_nodes *nodes)
{
        if (!nodes)
                return;
        for (size_t i = 0; i < nodes->slot_count; i++) {
                close_dropped(drop(nodes->slots[i]->backing));
                free(nodes->slots[i]);
        }
        free(nodes->slots);
        cas_map_destroy(&nodes->map);
        pthread_mutex_destroy(&nodes->lock);
        free(nodes);
}

static uint64_t nodeid_of(const struct node *node)
{
        return (uint64_t)node->generation << 32 | (node->slot + 1);
}

/* Under the lock. */
static struct node *find(struct fs_nodes *nodes, uint64_t nodeid)
{
        uint64_t slot = (nodeid & UINT32_MAX) - 1;

        if (slot >= nodes->slot_count)
                return NULL;

        struct node *node = nodes->slots[slot];

        return node->lookups > 0 && node->generation == nodeid >> 32 ? node : NULL;
}

/* Under the lock. A slot nobody uses, of a generation nobody has seen. */
static struct node *take_slot(struct fs_nodes *nodes)
{
        struct node *node = nodes->free;

        if (node) {
                nodes->free = node->next_free;
        } else {
                if (nodes->slot_count == nodes->slot_room) {
                        size_t room = nodes->slot_room ? 2 * nodes->slot_room : 64;
                        struct node **slots = reallocarray(nodes->slots, room, sizeof(*slots));

                        if (!slots)
                                return NULL;
                        nodes->slots = slots;
                        nodes->slot_room = room;
                }
                node = calloc(1, sizeof(*node));
                if (!node)
                        return NULL;
                node->slot = (uint32_t)nodes->slot_count;
                nodes->slots[nodes->slot_count++] = node;
        }

        uint32_t generation = node->generation % GENERATION_MAX + 1;

        *node = (struct node){.slot = node->slot, .generation = generation};
        return node;
}

uint64_t fs_node_lookup(struct fs_nodes *nodes, const struct cas_digest *digest)
{
        uint64_t nodeid = 0;

        pthread_mutex_lock(&nodes->lock);

        struct node *node = (struct node *)cas_map_find(&nodes->map, digest);

        if (!node && (node = take_slot(nodes))) {
                node->entry.digest = *digest;
                cas_map_insert(&nodes->map, &node->entry);
        }
        if (node) {
                node->lookups++;
                nodeid = nodeid_of(node);
        }
        pthread_mutex_unlock(&nodes->lock);
        return nodeid;
}

void fs_node_forget(struct fs_nodes *nodes, uint64_t nodeid, uint64_t count)
{
        int fd = -1;

        pthread_mutex_lock(&nodes->lock);

        struct node *node = find(nodes, nodeid);

        if (node) {
                node->lookups -= count < node->lookups ? count : node->lookups;
                if (node->lookups == 0) {
                        cas_map_remove(&nodes->map, &node->entry);
                        fd = drop(node->backing);
                        node->backing = NULL;
                        node->next_free = nodes->free;
                        nodes->free = node;
                }
        }
        pthread_mutex_unlock(&nodes->lock);
        close_dropped(fd);
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
                node->told_wrong = !exact;
        pthread_mutex_unlock(&nodes->lock);
}

bool fs_node_send_round(struct fs_nodes *nodes, uint64_t nodeid, pid_t tid, bool ended_miss)
{
        bool round = false;

        pthread_mutex_lock(&nodes->lock);

        struct node *node = find(nodes, nodeid);

        if (node) {
                round = ended_miss || (node->told_wrong && node->sent_round != tid);
                node->sent_round = round ? tid : 0;
        }
        pthread_mutex_unlock(&nodes->lock);
        return round;
}

static bool same_file(const struct cas_blob *a, const struct cas_blob *b)
{
        return a->inode == b->inode && a->mtime == b->mtime;
}

/* Under the lock. Makes `fresh` what the node reads, unless it reads that file already.
 * Returns what the caller has to close. */
static int install(struct node *node, struct fs_backing *fresh)
{
        struct fs_backing *unneeded = node->backing;

        if (unneeded && same_file(&unneeded->blob, &fresh->blob))
                unneeded = fresh;
        else
                node->backing = fresh;
        return drop(unneeded);
}

int fs_node_open(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob,
                 bool *ret_same)
{
        struct fs_backing *fresh = calloc(1, sizeof(*fresh));

        if (!fresh) {
                close(blob->fd);
                return -ENOMEM;
        }
        *fresh = (struct fs_backing){*blob, 1};

        pthread_mutex_lock(&nodes->lock);

        struct node *node = find(nodes, nodeid);
        int fd;

        if (node) {
                *ret_same = node->read_before && node->last_inode == blob->inode &&
                            node->last_mtime == blob->mtime;
                node->read_before = true;
                node->last_inode = blob->inode;
                node->last_mtime = blob->mtime;
                node->opens++;
                fd = install(node, fresh);
        } else {
                fd = drop(fresh);
        }
        pthread_mutex_unlock(&nodes->lock);
        close_dropped(fd);
        return node ? 0 : -ESTALE;
}

void fs_node_release(struct fs_nodes *nodes, uint64_t nodeid)
{
        int fd = -1;

        pthread_mutex_lock(&nodes->lock);

        struct node *node = find(nodes, nodeid);

        if (node && node->opens > 0 && --node->opens == 0) {
                fd = drop(node->backing);
                node->backing = NULL;
        }
        pthread_mutex_unlock(&nodes->lock);
        close_dropped(fd);
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
        pthread_mutex_lock(&nodes->lock);

        int fd = drop(backing);

        pthread_mutex_unlock(&nodes->lock);
        close_dropped(fd);
}
