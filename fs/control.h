/*
 * The control socket, CACHE/control: an operator's commands to a running mount. A word
 * in, a line out ("ok", or what went wrong). Only root and the worker's user may speak.
 *
 * Threads: the supervisor's only one; nothing here waits.
 */
#ifndef FS_CONTROL_H
#define FS_CONTROL_H

#include "fs/account.h"

#include <stdint.h>

#define FS_CONTROL_LINE 128

struct fs_control {
        int listener;
        int client;        /* who is being answered; -1: nobody */
        int64_t silent_ms; /* until then it has to say something; 0: it has */
        uid_t user;
        char line[FS_CONTROL_LINE]; /* what was asked */
};

/* Makes the socket below the directory `root`, which is the user's, with the user's own
 * rights. Without one (a read-only cache) there is only SIGHUP: -errno. */
int fs_control_open(struct fs_control *control, int root, const struct fs_account *account);
void fs_control_close(struct fs_control *control, int root, const struct fs_account *account);

enum fs_command {
        FS_COMMAND_NONE, /* nothing to do (yet); an unknown word was refused */
        FS_COMMAND_RELOAD,
        FS_COMMAND_WORKERS, /* the worker knows: fs_control_hand_over() */
};

/* After poll(2) said that one of the two descriptors is readable. While a client waits for
 * the answer to its command, others are told that we are busy. */
enum fs_command fs_control_take(struct fs_control *control);

/* Hangs up on a client that says nothing. To be called every second or so. */
void fs_control_tick(struct fs_control *control);

/* Ends the wait of the client, if there is one. `line` is without a newline. */
void fs_control_answer(struct fs_control *control, const char *line);

/* Leaves the client to the worker behind the socket (fs/command.h), who answers it. */
void fs_control_hand_over(struct fs_control *control, int worker);

/* An answer that begins so is a success with something to be said. */
#define FS_CONTROL_APPLIED "applied"

/* How long an answer takes at most: most words are done at once. */
#define FS_CONTROL_SOON_MS 30000
#define FS_CONTROL_LONG_MS 3600000

/* The other end: says `word` to the mount whose cache is `cache`, and reads its line. 0, or
 * -errno: -ENOENT, -ECONNREFUSED where there is nobody; -ETIMEDOUT, … */
int fs_control_ask(const char *cache, const char *word, int timeout_ms, char *ret, size_t size);

#endif
