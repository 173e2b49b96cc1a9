/*
 * What a service manager is told (sd_notify(3): one datagram to $NOTIFY_SOCKET). The
 * protocol is a promise of systemd's, and a library would be loaded for one sendto().
 */
#ifndef FS_NOTIFY_H
#define FS_NOTIFY_H

/* "READY=1", "STOPPING=1", "STATUS=…". Nothing where nobody listens. */
void fs_notify(const char *state);

#endif
