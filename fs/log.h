/*
 * The log: one line an event, of key=value pairs. Before the mount answers (and
 * always with -f) on stderr, with journald's priority prefix where stderr is no
 * terminal; after that to syslog.
 */
#ifndef FS_LOG_H
#define FS_LOG_H

#include <syslog.h>

/* `priority` is syslog's. Bytes that are not printable ASCII are shown as '?'. */
__attribute__((format(printf, 2, 3))) void fs_log(int priority, const char *format, ...);

/* From now on to syslog. Once, before other threads log. */
void fs_log_to_syslog(void);

/*
 * The one line of a command that fails: "assetfs: …" on stderr (to syslog where the log
 * goes there). Returns 1, the exit status.
 */
__attribute__((format(printf, 1, 2))) int fs_fail(const char *format, ...);

#endif
