/*
 * Parked requests: an OPEN or GETATTR that waits for fetch. It holds no thread, and is
 * in the journal, so that it waits on in the next worker if this one dies.
 * It ends, exactly once, by whichever comes first: fetch's answer, its deadline,
 * or an interruption that its process meant (fs/opener.h). One watcher thread
 * looks after deadlines and interruptions.
 *
 * Threads: park from any. Locks: the set's lock is taken inside libfuse's request
 * lock (interrupts arrive under it), so no reply happens under the set's lock.
 */
#ifndef FS_PARKED_H
#define FS_PARKED_H

#include "fs/hit.h"

struct fs_parked_set;

/* Starts the watcher. `server` must outlive the set. 0 or -errno. */
int fs_parked_new(struct fs_server *server, struct fs_parked_set **ret);

/* After fetch_stop(), which has ended every wait; joins the watcher. Accepts NULL. */
void fs_parked_free(struct fs_parked_set *set);

/* Park the request until the blob is there, or the asset's size is known. Takes `req` over. */
void fs_park_open(fuse_req_t req, const struct fs_hit *hit);
void fs_park_getattr(fuse_req_t req, fuse_ino_t ino, const struct cas_digest *digest);

/* An open that waits. */
struct fs_wait {
        struct cas_digest digest;
        pid_t tid;        /* of the thread that opens */
        int64_t since_ms; /* monotonic */
};

/* Copies those that wait, at most `most`, in no order. Returns how many. */
size_t fs_parked_list(struct fs_parked_set *set, struct fs_wait *ret, size_t most);

#endif
