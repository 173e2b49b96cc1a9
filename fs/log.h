/*
 * The log: one line an event, of key=value pairs, "event=NAME" first. Before the mount
 * answers (and always with -f) on stderr, with journald's priority prefix where stderr
 * is no terminal; after that to syslog.
 *
 *   fs_log(LOG_ERR, "event=failed digest=%s cause=%s", hex, fs_log_value(cause).text);
 *
 * Text that is not ours, or that may have a space in it, goes through fs_log_value():
 * only so does a line have the fields it should have. No more lines of one event are
 * written than fs/log_limit.h says, but for LOG_CRIT and for those that tell when the
 * mount came and went and which worker serves.
 *
 * Threads: any, but where said otherwise.
 */
#ifndef FS_LOG_H
#define FS_LOG_H

#include <stdbool.h>
#include <syslog.h>

/* `priority` is syslog's. Bytes that are not printable ASCII are shown as '?'. */
__attribute__((format(printf, 2, 3))) void fs_log(int priority, const char *format, ...);

#define FS_LOG_VALUE_MAX 1280 /* bytes, with the NUL: a source and some to escape */

struct fs_log_value {
        char text[FS_LOG_VALUE_MAX];
};

/*
 * The text as a value: as it is, or in double quotes with \" and \\ where it is empty or has a
 * space, a quote, a backslash or a '=' in it. What does not fit is cut, and ends with "...".
 * Lives to the end of the full expression it is used in.
 */
struct fs_log_value fs_log_value(const char *text);

/* Less important lines than `priority` are not written; LOG_INFO at first. */
void fs_log_set_level(int priority);
/* Is such a line written? For what costs something to find out. */
bool fs_log_wants(int priority);

/* Says how many lines were left out of the events that have calmed down. To be called about
 * once a second by a thread that may wait for the log. */
void fs_log_tick(void);
/* The same of all events, before the process ends. */
void fs_log_end(void);

/* From now on to syslog. Once, before other threads log. */
void fs_log_to_syslog(void);

/*
 * The one line of a command that fails: "assetfs: …" on stderr (where the log goes to syslog,
 * there, as event=error). Returns 1, the exit status.
 */
__attribute__((format(printf, 1, 2))) int fs_fail(const char *format, ...);

#endif
