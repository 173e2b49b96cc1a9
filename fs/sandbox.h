/*
 * The worker's confinement: its own user, no capability, and of the kernel only what
 * fetching, hashing and answering need. Entered once, right after exec, by the only
 * thread, before anything foreign is parsed; there is no way back.
 *
 * Afterwards the process CAN
 *   - read, write, create, rename and remove below the cache;
 *   - read below `readable`, and below /etc /usr /lib /lib64 /proc /run /dev (resolver,
 *     certificates, time zones), and write to /dev/null;
 *   - use every descriptor it holds already, with all that it was opened for;
 *   - start threads, map memory, speak to the network and to unix sockets with a path.
 * It CANNOT, whatever runs in it
 *   - open anything else, or anything else for writing, whatever its mode (Landlock);
 *   - exec, mount, trace, make namespaces, load modules or BPF, use keyrings or io_uring,
 *     set clocks, change its user (seccomp: EPERM);
 *   - signal a process outside, or connect to an abstract socket (Landlock ABI 6).
 * Its limits: chmod, chown, utimes and setxattr are the file's owner's business, which
 * Landlock does not touch; so the user must own nothing but the cache. Nor is the
 * network narrowed. Landlock rules follow inodes: a cache directory that is removed and
 * made anew needs a new worker, a file replaced by rename below `readable` does not.
 *
 * It cannot be traced or dumped from here on, and its /proc files belong to root; status
 * and stat in there remain readable by all.
 */
#ifndef FS_SANDBOX_H
#define FS_SANDBOX_H

#include <stddef.h>
#include <sys/types.h>

struct fs_sandbox {
        uid_t uid; /* taken on, with gid and no other group, where we are root; never 0 */
        gid_t gid; /* where we are not root, both must be ours already */
        int cache; /* a directory, open (O_PATH will do); stays the caller's */
        const char *const *readable; /* directories, absolute, NULL at the end; or NULL */
};

struct fs_sandbox_report {
        int landlock_abi; /* of the kernel; 0: none that helps, only the user and seccomp hold */
};

/*
 * 0, or -errno and a sentence in `why`. After an error the process is confined in part
 * and has to exit. Directories in `readable` that are missing, or that the worker's user
 * cannot reach, are skipped. -EPERM: uid 0, or another user than ours where we are not
 * root; -EINVAL: a path that is not absolute; else what the kernel said, e.g. -ENOTDIR.
 */
int fs_sandbox_enter(const struct fs_sandbox *sandbox, struct fs_sandbox_report *ret, char *why,
                     size_t why_size);

#endif
