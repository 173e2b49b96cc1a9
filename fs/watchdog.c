/*
 * Beats against the clock. Pure.
 */
#include "fs/watchdog.h"

#define OWN_PAUSE_MS 5000

void fs_watchdog_start(struct fs_watchdog *watchdog, int64_t now_ms)
{
        *watchdog = (struct fs_watchdog){now_ms, now_ms};
}

static int64_t later(int64_t a, int64_t b)
{
        return a > b ? a : b;
}

const char *fs_watchdog_look(struct fs_watchdog *watchdog, const struct fs_memory *memory,
                             int64_t now_ms)
{
        if (now_ms - watchdog->looked_ms > OWN_PAUSE_MS)
                watchdog->since_ms = now_ms;
        watchdog->looked_ms = now_ms;

        for (unsigned thread = 0; thread < FS_THREADS; thread++) {
                int64_t busy_ms = atomic_load(&memory->busy_since_ms[thread]);

                if (busy_ms != 0 && now_ms - later(busy_ms, watchdog->since_ms) > FS_WATCHDOG_MS)
                        return "a request was neither answered nor parked";
        }
        if (now_ms - later(atomic_load(&memory->loop_beat_ms), watchdog->since_ms) > FS_WATCHDOG_MS)
                return "the transfer loop does not turn";
        return NULL;
}
