/*
 * The FUSE session: mount, serve with several threads, unmount. Operations never
 * block, so the number of threads bounds nothing but parallelism.
 */
#ifndef FS_SESSION_H
#define FS_SESSION_H

#include "fs/options.h"
#include "fs/server.h"

/*
 * Mounts on options->mountpoint (as root directly, else through fusermount3) and
 * sets server->session. 0, or -errno and a sentence in `why`.
 */
int fs_session_mount(struct fs_server *server, const struct fs_options *options, char *why,
                     size_t why_size);

/*
 * Serves until somebody unmounts, or SIGTERM or SIGINT comes; these are blocked in
 * every thread. `before_end` is called in both cases while requests are still being
 * served: it ends what is parked. Returns 0, or -errno where no thread could start.
 */
int fs_session_serve(struct fs_server *server, void (*before_end)(struct fs_server *server));

/* Unmounts, lazily where files are open, and frees the session. */
void fs_session_end(struct fs_server *server);

/* Blocks the signals that fs_session_serve() waits for; before any thread is started. */
void fs_session_block_signals(void);

#endif
