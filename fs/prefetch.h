/*
 * Opens assets of a mount, several at once, each in a thread of its own, and tells how it
 * went. The mount does the rest.
 */
#ifndef FS_PREFETCH_H
#define FS_PREFETCH_H

#include "cas/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_PREFETCH_JOBS_MAX 256

enum fs_prefetch_state {
        FS_PREFETCH_WANTED,
        FS_PREFETCH_OPENING,
        FS_PREFETCH_CACHED,
        FS_PREFETCH_FAILED,
};

struct fs_prefetch_item {
        struct cas_digest digest;
        char *name;     /* as it was asked for, or NULL; owned */
        bool nameless;  /* nothing has this name: failed from the start, without a digest */
        size_t turn;    /* the place it was asked for at */
        uint64_t bytes; /* of the asset */
        double seconds; /* that the open took */
        int error;      /* FS_PREFETCH_FAILED: a positive errno */
        char *words;    /* and the cause, or NULL; owned */
        enum fs_prefetch_state state;
};

struct fs_prefetch {
        const char *mountpoint;
        unsigned jobs; /* 1 to FS_PREFETCH_JOBS_MAX */
        bool quiet;    /* only what failed is told */
        struct fs_prefetch_item *items;
        size_t count;
        size_t room;
};

/* Takes one more; `name` may be NULL, `digest` too where `name` means nothing. 0 or -ENOMEM. */
int fs_prefetch_add(struct fs_prefetch *prefetch, const struct cas_digest *digest,
                    const char *name);

/*
 * Opens all of them, each digest once, and returns the exit status: 0 where all are cached.
 * On a terminal with progress bars. SIGINT, SIGTERM and SIGHUP end the process at once, with
 * one line: its opens go with it, the downloads go on.
 */
int fs_prefetch_run(struct fs_prefetch *prefetch);

void fs_prefetch_free(struct fs_prefetch *prefetch);

#endif
