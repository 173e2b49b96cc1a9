/*
 * The node table from the inside: what this process knows of the slots, and how one is
 * found, made, kept and removed. Between fs/node_table.c and fs/node.c only; all of it
 * under the table's lock.
 */
#ifndef FS_NODE_TABLE_H
#define FS_NODE_TABLE_H

#include "fs/handle.h"
#include "fs/node.h"

#include <pthread.h>
#include <sys/queue.h>

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
struct node_leftovers {
        int fds[2];
        int32_t ids[4];
        unsigned fd_count;
        unsigned id_count;
};

void node_leave_fd(struct node_leftovers *left, int fd);     /* a negative one is nothing */
void node_leave_id(struct node_leftovers *left, int32_t id); /* 0 is nothing */

/* Unlocks, and then gives up what was left. */
void node_unlock(struct fs_nodes *nodes, const struct node_leftovers *left);

uint64_t node_id(const struct node *node);
struct node *node_find(const struct fs_nodes *nodes, uint64_t nodeid); /* or NULL */

/* A node for the digest, which has none. NULL without memory or with every node open. */
struct node *node_make(struct fs_nodes *nodes, const struct cas_digest *digest,
                       struct node_leftovers *left);

/* Frees the slot; nobody has it open. */
void node_remove(struct fs_nodes *nodes, struct node *node, struct node_leftovers *left);

/* It was used now. `regular`: it is opened, so that others make room before it does. */
void node_touch(struct fs_nodes *nodes, struct node *node, bool regular);

/* The id of a node that was closed is kept for its next open, within a bound. */
void node_keep_id(struct fs_nodes *nodes, struct node *node, struct node_leftovers *left);
void node_stop_keeping(struct fs_nodes *nodes, struct node *node);

/* One reference less; returns the descriptor to close, or -1. */
int node_drop(struct fs_backing *backing);

#endif
