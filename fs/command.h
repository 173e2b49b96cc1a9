/*
 * An operator's command that only the worker can carry out. The supervisor has checked who
 * asks (fs/control.h), and passes the line on together with the client's socket, over a
 * socket of its own; the worker answers the client itself.
 *
 *   cancel <64 hex>    ends the download: "ok", or why not
 *   gc [SIZE|- [FREE|-]]   brings the cache back within its bounds, or these:
 *                      "ok blobs=N freed=BYTES used=BYTES", or why not
 *
 * Threads: the worker has one for it.
 */
#ifndef FS_COMMAND_H
#define FS_COMMAND_H

#include "fs/server.h"

struct fs_commands;

/* The supervisor's side: does not wait. 0 or -errno; the client stays the caller's. */
int fs_command_send(int worker, const char *line, int client);

/* The worker's side, reading from `fd`. 0 or -errno. */
int fs_commands_new(struct fs_server *server, int fd, struct fs_commands **ret);
void fs_commands_free(struct fs_commands *commands); /* joins; accepts NULL */

#endif
