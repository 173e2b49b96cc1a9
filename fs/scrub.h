/*
 * The scrub: a thread of the worker that hashes each blob again once in an interval, the one
 * hashed longest ago first. That time is kept with the blob, so a restart goes on where the
 * worker before was. Logs what is wrong and the end of each pass, and counts.
 */
#ifndef FS_SCRUB_H
#define FS_SCRUB_H

#include "fs/server.h"

/* Starts the thread if server->scrub_interval is not 0 (else *ret is NULL). `server` outlives
 * it. 0 or -errno. */
int fs_scrub_new(struct fs_server *server, struct fs_scrub **ret);
void fs_scrub_free(struct fs_scrub *scrub); /* ends it soon and joins; accepts NULL */

#endif
