/*
 * A disk with a volatile write cache, to cut the power of: one file in a FUSE file system
 * of the test's own, for a loop device to lie on.
 *
 * It sees every write and every flush of the file system above in their order, so it knows
 * what a disk has promised: what was written before the last flush is there after a cut; of
 * what came later, any of it may be, in pieces of 4 KiB. A cut is a file with such an image.
 * Nothing above is frozen, synced or asked, as it would be by a snapshot.
 */
#ifndef TESTS_POWER_DISK_H
#define TESTS_POWER_DISK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define DISK_MARKS 64

/* What survives of the writes that no flush followed. */
enum disk_loss { DISK_KEEPS_ALL, DISK_LOSES_ALL, DISK_LOSES_SOME };

/* Shared by the disk's process, the test and its openers. */
struct disk {
        char point[512]; /* mounted here; the disk is point/disk */
        pid_t process;
        size_t size;
        atomic_bool marks[DISK_MARKS]; /* what somebody was promised */
        /* Set by disk_cut(). */
        char image[512];
        unsigned seed;
        enum disk_loss loss;
        atomic_int countdown; /* writes and flushes until the cut; below 0: none is wanted */
        atomic_bool at_once;  /* the next read is the cut */
        /* The answer. */
        bool marked[DISK_MARKS]; /* at that moment */
        unsigned unflushed;      /* writes that no flush had followed */
        unsigned lost;           /* pieces of them that are gone */
        atomic_int cuts;
};

/* Serves a copy of the image `from` at `point`, until that is unmounted. */
struct disk *disk_start(const char *point, const char *from);

/* Makes the file `image` after `requests` more writes and flushes. False: none came. */
bool disk_cut(struct disk *disk, const char *image, unsigned requests, enum disk_loss loss,
              unsigned seed);
/* The same now, whether anything is written or not. */
void disk_cut_now(struct disk *disk, const char *image, enum disk_loss loss, unsigned seed);

void disk_end(struct disk *disk);

#endif
