/*
 * What a worker may say to its supervisor, over a SOCK_SEQPACKET socket, one struct a
 * message; and the descriptors it starts with. Never a descriptor and never a path: a
 * worker that was taken over can ask for blobs of its own cache and for the credentials that the
 * configuration names, and for nothing else.
 */
#ifndef FS_CHANNEL_H
#define FS_CHANNEL_H

#include "cas/digest.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* The worker's descriptors when it is started. */
enum {
        FS_FD_FUSE = 3,
        FS_FD_MEMORY,  /* fs/memory.h */
        FS_FD_CHANNEL, /* this */
        FS_FD_ROOT,    /* cas/claim.h */
        FS_FD_LOCK,
        FS_FD_CATALOGS, /* fs/snapshot.h */
        FS_FD_CONFIG,   /* fs/kept_config.h */
        FS_FD_COMMANDS, /* fs/command.h */
        FS_FD_END,
};

/* A worker's exit status when somebody unmounted. 0: it was told to end. */
#define FS_EXIT_UNMOUNTED 3
#define FS_EXIT_NO_EXEC   127

enum fs_ask_kind {
        FS_ASK_READY = 1, /* the mount answers; the reply says whether passthrough works.
                           * id: 1 where a catalog was refused and the last good one serves */
        FS_ASK_BACKING,   /* the blob's backing id: one more user of it */
        FS_ASK_DROP,      /* one user less of `id`; no reply */
        FS_ASK_SECRET,    /* a credential by the digest of its path (fs/secrets.h); if error is 0,
                           * its descriptor comes beside the reply */
};

struct fs_ask {
        uint32_t kind;
        int32_t id;
        struct cas_digest digest;
};

struct fs_answer {
        int32_t error; /* 0 or -errno */
        int32_t id;
        uint64_t inode; /* of the file that was opened */
};

/* The worker's end. All functions from any thread; a broken channel ends the process, since
 * nobody watches over it any more. */
struct fs_channel {
        int fd;
        pthread_mutex_t lock; /* one question at a time: an answer names nobody */
};

void fs_channel_init(struct fs_channel *channel, int fd);

/* Is the kernel going to take backing ids? `stale`: we serve the last good catalogs. */
bool fs_channel_ready(struct fs_channel *channel, bool stale);

/* The id and the inode of the file it stands for. 0 or -errno. */
int fs_channel_backing(struct fs_channel *channel, const struct cas_digest *digest, int32_t *ret_id,
                       uint64_t *ret_inode);

void fs_channel_drop(struct fs_channel *channel, int32_t id);

/* A credential's file, to read from, which our user may not open. A descriptor or -errno:
 * fs/secrets.h tells them. */
int fs_channel_secret(struct fs_channel *channel, const char *path);

/* The supervisor's end: a reply with a descriptor beside it, or none where that is -1. It waits
 * for nobody. */
void fs_channel_reply(int fd, const struct fs_answer *answer, int handed);

#endif
