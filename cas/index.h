/*
 * Which blobs there are, in memory: what each takes of the disk, and the order in which
 * they were opened last. Eviction asks it, and so looks at no directory.
 *
 * Filled by a scan, in the background of whoever serves; an open or a publication meanwhile
 * is noted at once. What the index says may be behind the disk (a blob that somebody removed
 * by hand), never the other way round for longer than the next open or scan.
 *
 * Opens are stamped: nanoseconds of the wall clock, but never less than the stamp before, so
 * that a clock that is set back does not make what was opened last look old. Stamps are
 * written to the blobs' atimes, each blob's once a minute at most; that is the order that
 * the next start finds. Times in the future, of a clock that was wrong, are taken for now,
 * in their order.
 *
 * Threads: all functions from any. Lock: the index's, held for no I/O.
 */
#ifndef CAS_INDEX_H
#define CAS_INDEX_H

#include "cas/digest.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define CAS_INDEX_WRITE_SECONDS 60 /* how lazily stamps are written */

struct cas_index;

int cas_index_new(struct cas_index **ret);
void cas_index_free(struct cas_index *index); /* accepts NULL */

/*
 * Looks at every file of the directory that is named like a blob and belongs to our user: what
 * is new is added in its place, what is gone is dropped. 0 or -errno; -ECANCELED soon after
 * *cancelled becomes true. A second one waits for the first.
 */
int cas_index_scan(struct cas_index *index, int blobs_dir, const atomic_bool *cancelled);

/* Has a scan ended? */
bool cas_index_is_loaded(struct cas_index *index);

/* The blob whose stat is *st is opened, or was published. true: *ret_stamp_ns should become
 * its atime, and cas_index_wrote() be told. */
bool cas_index_opened(struct cas_index *index, const struct cas_digest *digest,
                      const struct stat *st, int64_t *ret_stamp_ns);
void cas_index_wrote(struct cas_index *index, const struct cas_digest *digest);

void cas_index_gone(struct cas_index *index, const struct cas_digest *digest);

struct cas_index_totals {
        uint64_t blobs;
        uint64_t bytes; /* of the disk */
};

struct cas_index_totals cas_index_total(struct cas_index *index);

struct cas_index_blob {
        struct cas_digest digest;
        uint64_t bytes;    /* of the disk */
        int64_t opened_ns; /* its stamp */
};

/* Up to `most` blobs, in the order in which they were opened last: the oldest first, or the
 * next ones after *after. Their number. */
size_t cas_index_oldest(struct cas_index *index, const struct cas_index_blob *after,
                        struct cas_index_blob *ret, size_t most);

/* Is it there, and has nobody opened it since cas_index_oldest() said that? */
bool cas_index_is_as_before(struct cas_index *index, const struct cas_index_blob *blob);

#endif
