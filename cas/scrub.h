/*
 * Re-hashing a blob, and what becomes of it: what is right is noted so (cas/record.h), what
 * is wrong or cannot be read goes into quarantine (cas/quarantine.h). Works on directories,
 * so that it can be done beside the daemon that has the store.
 *
 * Errors: negative errno. Threads: any number at once, on one blob too. Does not log.
 */
#ifndef CAS_SCRUB_H
#define CAS_SCRUB_H

#include "cas/digest.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct cas_scrub {
        int blobs;
        int quarantine; /* or -1: what is wrong is removed */
        /* Past the page cache, where the file system can: what is read is what the disk has, and
         * nothing that others need is pushed out for it. */
        bool direct;
        const atomic_bool *cancelled;
        /* So many bytes more have been hashed; or NULL. */
        void (*progress)(void *arg, uint64_t bytes);
        void *arg;
};

struct cas_verdict {
        struct cas_digest found; /* what the bytes hash to, where error is 0 */
        uint64_t size;           /* bytes of the file */
        uint64_t hashed;         /* bytes */
        int error;               /* -errno: the disk could not read it to the end */
        bool recorded;           /* it had a valid record */
        bool kept;               /* it is in quarantine */
        bool noted;              /* it is right, and the time of that is kept */
};

/*
 * Hashes the digest's blob to its end. 0: it is right, and what can be noted of it is noted.
 *   -EBADMSG    it was not, or could not be read, and is gone from its name
 *   -ENOENT     nothing is there, or another file came while this one was hashed
 *   -EUCLEAN    no regular file of our user: stays, unread
 *   -ECANCELED  soon after *cancelled became true; nothing was changed
 *   else        it cannot be told now (-EMFILE, …), or it was wrong and stays (-EROFS, …)
 */
int cas_scrub_blob(const struct cas_scrub *scrub, const struct cas_digest *digest,
                   struct cas_verdict *ret);

/* A blob, and when it was hashed last (unix seconds; 0: never, or in the future). */
struct cas_scrub_item {
        struct cas_digest digest;
        int64_t verified;
        uint64_t size; /* bytes */
};

/* Every blob of ours, the one hashed longest ago first. To be freed. 0 or -errno; -ECANCELED. */
int cas_scrub_list(const struct cas_scrub *scrub, struct cas_scrub_item **ret, size_t *ret_count);

/* One of them; -ENOENT, -EUCLEAN. */
int cas_scrub_look(const struct cas_scrub *scrub, const struct cas_digest *digest,
                   struct cas_scrub_item *ret);

#endif
