/*
 * Room for downloads: how much of its disk a cache may take, and which blobs go when there
 * is not enough.
 *
 *   claim -> settled -> ... -> publish, or shrink to 0      a download, before it writes
 *
 * Who goes: unfinished downloads that nobody is writing and the quarantine first, then blobs,
 * the least recently opened first (cas/index.h). Never a blob that is pinned, or that anybody
 * has open or mapped, in whatever process: its file is asked (a lease, fcntl(2)), which a file
 * system without leases answers with no. What has to go is chosen first; where that would not
 * suffice, nothing is deleted. Each claim evicts once and for what it needs, whatever the disk
 * says afterwards: the space of a file may come back later.
 *
 * Without a bound the cache may take what the disk has, and gives way to its own downloads
 * when that is full. With a size, it keeps what it was granted: a disk that others have
 * filled below it is no reason to evict, unless there is free space to be kept as well.
 *
 * Errors: -ENOSPC, -EDQUOT: there is no room. Threads: all functions from any, but only one
 * evicts at a time.
 */
#ifndef CAS_ROOM_H
#define CAS_ROOM_H

#include "cas/store.h"

#include <pthread.h>
#include <sys/stat.h>

#define CAS_SIZE_UNLIMITED UINT64_MAX

struct cas_bounds {
        uint64_t cache_size;        /* bytes of the disk, or CAS_SIZE_UNLIMITED */
        uint64_t keep_free;         /* bytes that stay free; 0 */
        unsigned keep_free_percent; /* of the disk, instead */
};

struct cas_room_hooks {
        /* Whoever keeps the blob for its next open should not. */
        void (*let_go)(void *arg, const struct cas_digest *digest);
        /* It was evicted: bytes of the disk, and the unix seconds of its last open. */
        void (*evicted)(void *arg, const struct cas_digest *digest, uint64_t bytes, int64_t opened);
        void *arg;
};

/* A store's own; cas_store_room(). */
struct cas_room {
        pthread_mutex_t
            evicting; /* held by who makes room; outside of the lock, and of the index's */
        pthread_mutex_t lock;
        struct cas_bounds bounds;    /* set before there are threads */
        struct cas_room_hooks hooks; /* likewise */
        uint64_t claimed;            /* lock; bytes, of all downloads */
        uint64_t promised;           /* lock; … of them, not yet taken from the disk */
};

void cas_room_init(struct cas_room *room);
void cas_room_destroy(struct cas_room *room);

/* Before the store has other threads. Without: no bounds. */
void cas_room_set(struct cas_store *store, const struct cas_bounds *bounds,
                  const struct cas_room_hooks *hooks);

/* What is kept free, in bytes. */
uint64_t cas_room_keep_free(const struct cas_store *store);
uint64_t cas_room_cache_size(const struct cas_store *store);

/*
 * Makes *claim, which begins as 0, at least `bytes`; evicts for it. Waits for the first scan
 * of the index where there are bounds; -ECANCELED never. -ENOSPC: nothing was claimed.
 * cas_room_settled() follows when the disk has given the room, or will not.
 */
int cas_room_claim(struct cas_store *store, uint64_t *claim, uint64_t bytes);
void cas_room_settled(struct cas_store *store, uint64_t bytes);
void cas_room_shrink(struct cas_store *store, uint64_t *claim, uint64_t bytes);

/* What was claimed is a blob now: *st is its stat. */
void cas_room_publish(struct cas_store *store, uint64_t *claim, const struct cas_digest *digest,
                      const struct stat *st);

/*
 * The disk has no room for `bytes` more of a download (`error` is what it said): evicts for
 * it, where that is allowed. 0: it is worth another try. Else `error`.
 */
int cas_room_give_way(struct cas_store *store, uint64_t bytes, int error);

struct cas_freed {
        uint64_t blobs;
        uint64_t bytes; /* of the disk, all that went */
};

/* Back within the bounds, as far as can be. `bounds`: others than the store's own, or NULL.
 * -ECANCELED soon after *cancelled becomes true. */
int cas_room_trim(struct cas_store *store, const struct cas_bounds *bounds,
                  const atomic_bool *cancelled, struct cas_freed *ret);

/* The same after a look at the disk, and without unfinished downloads and the quarantine. */
int cas_room_collect(struct cas_store *store, const struct cas_bounds *bounds,
                     const atomic_bool *cancelled, struct cas_freed *ret);

/* What the cache takes of its disk. */
uint64_t cas_room_used(struct cas_store *store);

/* Why there is no room for `bytes` more, for people; "" where the errno says it. */
void cas_room_words(struct cas_store *store, uint64_t bytes, char why[CAS_WHY]);

#endif
