/*
 * What the parts of the power-cut tests share: the load on the cache (load.c), the cuts (power.c)
 * and what has to hold of an image that was cut (replay.c). tests/power/disk.h is the disk.
 */
#ifndef TESTS_POWER_RUN_H
#define TESTS_POWER_RUN_H

#include "tests/e2e/world.h"
#include "tests/power/disk.h"

#define OPENERS 6
#define EACH    7                      /* assets of each opener, and of the test */
#define OWN     (OPENERS * EACH)       /* the first of the test's */
#define ASSETS  ((OPENERS + 1) * EACH) /* each has a mark */

_Static_assert(ASSETS <= DISK_MARKS, "a mark for each asset");

struct file_system {
        const char *size;
        const char *make;
        const char *options;
};

struct tally {
        unsigned blobs, unanswered, answered, staged, empty, sealed, resumed, broken;
};

struct run {
        struct world world;
        const struct file_system *kind;
        struct disk *disk;
        pid_t children[OPENERS + 1];
        char hex[ASSETS][HEX];
        off_t sizes[ASSETS];
        unsigned seed;
        pid_t killed; /* the last worker that was, or 0 */
        struct tally tally;
};

void load_make_assets(struct run *run);
/* Openers, and somebody else who uses the disk; until load_stop(), or as long as the test lives. */
void load_start(struct run *run);
void load_stop(struct run *run);
/* SIGSTOP or SIGCONT for all of them: a replay has the machine to itself. */
void load_signal(const struct run *run, int signal);
/* Waits until the daemon has evicted something. */
void load_wait_for_eviction(const struct run *run);
/* The daemon's worker dies and is replaced, as soon as there is one. */
void load_kill_worker(struct run *run);

/* Mounts the image and counts in the tally what is found, and which promises are broken. */
void replay_image(struct run *run, const char *image);
/* Unmounts a cache whose daemon has ended. */
void replay_unmount(const char *cache);

#endif
