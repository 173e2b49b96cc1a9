/*
 * A cache seen from outside: what is there, without its lock, beside the daemon that has
 * it, and without a write. For people and their lists; nothing is served by it.
 *
 *   open -> (look | list)* -> close
 *
 * Errors: 0 or -errno. Threads: one owner at a time. Does not log.
 */
#ifndef CAS_INVENTORY_H
#define CAS_INVENTORY_H

#include "cas/store.h"

struct cas_inventory {
        int blobs; /* directories, or -1 */
        int pins;
        uid_t owner; /* the cache's: whose files are blobs */
};

struct cas_inventory_blob {
        enum cas_presence presence; /* as cas_store_look() says; the rest is of a file only */
        uint64_t size;              /* bytes */
        int64_t opened;             /* unix seconds, a minute more or less (cas_store_open_blob) */
        bool pinned;                /* whether there is a blob or not */
};

/* -ENOENT where nothing is or what is there is no cache; -EACCES, … */
int cas_inventory_open(const char *cache, struct cas_inventory *ret);
void cas_inventory_close(struct cas_inventory *inventory);

/* 0, or -errno: it cannot be told. */
int cas_inventory_look(const struct cas_inventory *inventory, const struct cas_digest *digest,
                       struct cas_inventory_blob *ret);

/* As cas_store_list(). */
int cas_inventory_list(const struct cas_inventory *inventory,
                       int (*each)(void *arg, const struct cas_digest *), void *arg);

#endif
