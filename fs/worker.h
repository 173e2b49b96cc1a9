/*
 * The worker: downloads, verifies, publishes and answers the kernel. Started by the
 * supervisor (fs/launch.c) with its descriptors in place; it gives up every privilege
 * before it reads anything that is not the command line. The exit status is in
 * fs/channel.h.
 */
#ifndef FS_WORKER_H
#define FS_WORKER_H

/* argv[0] is "worker", the rest as for `assetfs mount`. */
int fs_worker(int argc, char **argv);

#endif
