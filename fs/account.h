/*
 * Who the worker is: the user it becomes, and whose the cache is.
 */
#ifndef FS_ACCOUNT_H
#define FS_ACCOUNT_H

#include <stddef.h>
#include <sys/types.h>

struct fs_account {
        uid_t uid;
        gid_t gid;
};

/*
 * As root: `user` (a name or uid), else the owner of the existing directory `cache`, else
 * the system user assetfs. Not root: ourselves, and `user` can only be that. 0, or
 * -errno and a sentence in `why`; root is never the worker.
 */
int fs_account_find(const char *user, const char *cache, struct fs_account *ret, char *why,
                    size_t why_size);

/* The account of a user whose cache it is: its group is /etc/passwd's, else `gid`. */
void fs_account_of(uid_t uid, gid_t gid, struct fs_account *ret);

#endif
