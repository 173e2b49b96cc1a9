/*
 * Keeps the cache, in the background: finds out at the start which blobs there are
 * (cas/index.h), counts what it takes of its disk when somebody has asked and the last count
 * is old, and sees to its bounds once a minute: what others write may take the space that is
 * to stay free.
 *
 * Threads: one of its own; look from any.
 */
#ifndef FS_KEEPER_H
#define FS_KEEPER_H

#include "cas/usage.h"

struct fs_keeper;

/* `store` outlives it, and has its bounds. 0 or -errno. */
int fs_keeper_new(struct cas_store *store, struct fs_keeper **ret);
void fs_keeper_free(struct fs_keeper *keeper); /* joins; accepts NULL */

/* What there is has changed: a count is due. */
void fs_keeper_ask(struct fs_keeper *keeper);

/* false: it has not been counted yet. */
bool fs_keeper_look(struct fs_keeper *keeper, struct cas_usage *ret);

#endif
