/*
 * Quarantine: blobs that failed a re-hash, kept for a look as quarantine/<64 hex>.<n>. It is
 * bounded, and nothing depends on it: what does not fit or cannot be moved is removed.
 *
 * Errors: 0 or -errno. Threads, and other processes: all functions may run at once.
 */
#ifndef CAS_QUARANTINE_H
#define CAS_QUARANTINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/* The oldest go first. */
#define CAS_QUARANTINE_FILES   16
#define CAS_QUARANTINE_BYTES   (UINT64_C(1) << 30) /* of the disk */
#define CAS_QUARANTINE_SECONDS (7 * 24 * 3600)

/*
 * Takes the file `which`, and no other, away from `name` in `dir`, for good (flushed).
 * *ret_kept: it is in quarantine; else it is gone. -ENOENT: something else stands there by
 * now, or nothing, and stays. -EROFS, -EIO, …: it could be neither moved nor removed.
 */
int cas_quarantine_take(int quarantine, int dir, const char *name, const struct stat *which,
                        bool *ret_kept);

/* Removes what is too old or too much, `keep_bytes` being the most that may stay. What is there
 * but is no file of ours that was taken so stays. */
void cas_quarantine_sweep(int quarantine, uint64_t keep_bytes, time_t now);

/* Of the disk, by what a sweep could remove. */
uint64_t cas_quarantine_bytes(int quarantine);

#endif
