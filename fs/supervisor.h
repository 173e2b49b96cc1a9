/*
 * The supervisor: mounts, keeps what must not die with a worker, and sees to it that
 * there is one. It has one thread, speaks to no network and parses nothing foreign: from
 * a worker it takes fixed structs (fs/channel.h), from an operator one word
 * (fs/control.h) and, at the start and at a reload, the configuration file.
 *
 *   start -> serving <-> restarting -> ended
 *              |  ^
 *              v  |          killed, crashed, stuck: the next one at once, or after a pause
 *           reloading        the binary now installed and the file as it is now; if that
 *                            does not serve, the old ones
 *
 * A worker is never started before the one before it is reaped.
 */
#ifndef FS_SUPERVISOR_H
#define FS_SUPERVISOR_H

#include "fs/options.h"

/*
 * Mounts and serves until somebody unmounts, SIGTERM or SIGINT comes, or no worker can be
 * kept alive. `ready` is called once, when the mount answers. SIGHUP reloads. The exit
 * status: 0, or 1 (2: the command line) after one line on stderr or in the log.
 */
int fs_supervise(struct fs_options *options, void (*ready)(void *arg), void *arg);

#endif
