/*
 * Open handles in the session memory. A handle's number, the fh of the kernel, is made
 * of the number of the OPEN that it answered, so that an OPEN that is replayed finds its
 * handle again, and a RELEASE that is seen twice finds it only once.
 *
 * Part of fs/node.c, whose lock guards it.
 */
#ifndef FS_HANDLE_H
#define FS_HANDLE_H

#include "fs/memory.h"

#include <stdbool.h>

struct fs_handles;

/* Calls is_node(arg, nodeid) for each handle that there is; one of no node is dropped. */
int fs_handles_new(struct fs_memory *memory, bool (*is_node)(void *arg, uint64_t nodeid), void *arg,
                   struct fs_handles **ret);
void fs_handles_free(struct fs_handles *handles); /* accepts NULL */

struct fs_handle {
        uint64_t fh;
        bool old; /* this OPEN has had it before */
};

/* The handle that the OPEN has had before; false where it has none. */
bool fs_handle_find(const struct fs_handles *handles, uint64_t unique, uint64_t nodeid,
                    struct fs_handle *ret);

/* -ENFILE: too many. `replay`: look whether the OPEN has one. */
int fs_handle_take(struct fs_handles *handles, uint64_t unique, uint64_t nodeid, bool replay,
                   struct fs_handle *ret);

/* The node it was of, or 0 for one that is gone. */
uint64_t fs_handle_give_back(struct fs_handles *handles, uint64_t fh);

#endif
