/*
 * A claim on a cache directory: it exists, belongs to the user who will work in it, is
 * safe to work in, and nobody else does. May be made by root on behalf of that user,
 * who then opens the store with it; the lock is held as long as any copy of the
 * claim's descriptors is open, over the deaths of those who work.
 *
 * Errors: -errno, and in `why` what a person has to know, without the path.
 */
#ifndef CAS_CLAIM_H
#define CAS_CLAIM_H

#include <stdbool.h>
#include <sys/types.h>

#define CAS_WHY 256 /* bytes of an explanation, with its NUL */

/* Fills `why`, cut to its size; returns `error`. */
__attribute__((format(printf, 3, 4))) int cas_why(int error, char why[CAS_WHY], const char *format,
                                                  ...);

struct cas_claim {
        int root; /* the directory, O_RDONLY */
        int lock; /* the locked file in it */
};

/*
 * Claims the cache at `path` for the user `uid`. Makes what is missing, the directory
 * itself 0700 and the user's; as root it also gives an empty directory of root's to
 * the user, unless a symbolic link is on the way to it. -EBUSY (another process holds the lock),
 * -EPERM (writable by others, or another user's), -EOPNOTSUPP (no extended attributes), -ENOTDIR, …
 */
int cas_claim_make(const char *path, uid_t uid, gid_t gid, struct cas_claim *ret,
                   char why[CAS_WHY]);

void cas_claim_release(struct cas_claim *claim); /* closes what is open; -1 is nothing */

#endif
