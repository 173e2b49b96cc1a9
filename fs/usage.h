/*
 * What the cache takes of its disk, counted in the background: at the start, and again when
 * somebody has asked and the last count is old. Who asks gets the last count at once.
 *
 * Threads: one of its own; look from any.
 */
#ifndef FS_USAGE_H
#define FS_USAGE_H

#include "cas/usage.h"

struct fs_usage;

/* `store` outlives it. 0 or -errno. */
int fs_usage_new(const struct cas_store *store, struct fs_usage **ret);
void fs_usage_free(struct fs_usage *usage); /* joins; accepts NULL */

/* What there is has changed: a count is due. */
void fs_usage_ask(struct fs_usage *usage);

/* false: it has not been counted yet. */
bool fs_usage_look(struct fs_usage *usage, struct cas_usage *ret);

#endif
