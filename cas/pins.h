/*
 * Pins: digests that are never evicted, whether their blobs are here yet or not. A pin is a
 * regular file CACHE/pins/<64 hex>, empty, of whatever owner; anything else that has such a
 * name is no pin, is not followed, and makes way for one unless it is a directory.
 *
 * They are made beside a running daemon, so eviction and they agree on a lock, flock(2) of
 * the pins directory:
 *
 *   who pins     LOCK_EX while files are made, CAS_PINS_BATCH of them at once
 *   who evicts   LOCK_SH from the look at a blob's pin to the end of its unlink
 *
 * A pin that was acknowledged is therefore never followed by the eviction of its blob. Both
 * sides wait for a bounded time: a process that was stopped with the lock hangs nobody.
 *
 * Errors: 0 or -errno. Threads: any. Does not log.
 */
#ifndef CAS_PINS_H
#define CAS_PINS_H

#include "cas/claim.h"
#include "cas/digest.h"

#include <stdbool.h>
#include <stddef.h>

#define CAS_PINS_SHARED_MS    2000 /* how long an evictor waits for the lock */
#define CAS_PINS_EXCLUSIVE_MS 5000 /* how long a command does */
#define CAS_PINS_BATCH        1000 /* a catalog of 100 000 must not keep evictors waiting */

/*
 * The pins directory of a cache, made where it is missing; the caller owns the descriptor.
 * As root, the calling thread goes on with the rights of the cache's owner, for good: links
 * in there lead nowhere he cannot go. -ENOENT where nothing is or what is there is no cache.
 */
int cas_pins_open(const char *cache, char why[CAS_WHY]);

/* Digests, and who is told of each: 1 it was changed, 0 there was nothing to do, -errno it
 * could not be. */
struct cas_pins_work {
        const struct cas_digest *digests;
        size_t count;
        void (*told)(void *arg, const struct cas_digest *digest, int result);
        void *arg;
};

/*
 * Pins, or ends the pins of, all that can be. 0: what was told stays so whatever happens to
 * the machine. Else nothing is acknowledged: -EBUSY (the lock), -EIO, …
 */
int cas_pins_add(int pins_dir, const struct cas_pins_work *work);
int cas_pins_remove(int pins_dir, const struct cas_pins_work *work);

/* 1, 0, or -errno: it cannot be told, so who evicts lets the blob be. */
int cas_pins_has(int pins_dir, const struct cas_digest *digest);

/* Calls `each` for every pin, in no order; stops at the first that returns non-zero and
 * returns it. */
int cas_pins_list(int pins_dir, int (*each)(void *arg, const struct cas_digest *), void *arg);

/* For who evicts: a descriptor that holds the lock until it is closed. -EBUSY after
 * CAS_PINS_SHARED_MS. */
int cas_pins_lock_shared(int pins_dir);

#endif
