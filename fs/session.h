/*
 * The worker's FUSE session, over the descriptor that the supervisor mounted: several
 * threads that read requests and never block, so that their number bounds nothing but
 * parallelism.
 *
 *   open -> greet -> take_over -> serve -> end
 */
#ifndef FS_SESSION_H
#define FS_SESSION_H

#include "fs/options.h"
#include "fs/server.h"

/* Takes `fd` over and sets server->session. 0, or -errno and a sentence in `why`. */
int fs_session_open(struct fs_server *server, const struct fs_options *options, int fd, char *why,
                    size_t why_size);

/* Answers the kernel's INIT, or goes through it again in another worker's place. Before, asks
 * for passthrough if server->passthrough. 0; -ENODEV: unmounted; -errno. */
int fs_session_greet(struct fs_server *server);

/* Handles what the worker before us left unanswered. */
void fs_session_take_over(struct fs_server *server);

/*
 * Serves until somebody unmounts (-ENODEV), or SIGTERM or SIGINT comes (0); these are
 * blocked in every thread. `before_end` is called in both cases while requests are still
 * being served: it ends what is parked. -errno where no thread could start.
 */
int fs_session_serve(struct fs_server *server, void (*before_end)(struct fs_server *server));

void fs_session_end(struct fs_server *server); /* leaves the mount to the supervisor */

/* Blocks the signals that fs_session_serve() waits for; before any thread is started. */
void fs_session_block_signals(void);

#endif
