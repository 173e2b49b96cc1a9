/*
 * Is the worker alive, or does it only exist? It reads the beats of the session memory:
 * since when each thread has had its request, and when the transfer loop turned last.
 * The clock does not run while the machine sleeps.
 */
#ifndef FS_WATCHDOG_H
#define FS_WATCHDOG_H

#include "fs/memory.h"

#define FS_WATCHDOG_MS 20000

struct fs_watchdog {
        int64_t looked_ms; /* the last look */
        int64_t since_ms;  /* nothing before this counts */
};

/* A worker starts to serve. */
void fs_watchdog_start(struct fs_watchdog *watchdog, int64_t now_ms);

/* What is stuck, in words, or NULL. To be called every second or so: after a longer pause we
 * may have been stopped ourselves, and the worker with us, so it gets its time again. */
const char *fs_watchdog_look(struct fs_watchdog *watchdog, const struct fs_memory *memory,
                             int64_t now_ms);

#endif
