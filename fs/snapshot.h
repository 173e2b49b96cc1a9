/*
 * The last good catalogs, in a memfd that every worker gets: a worker that finds a
 * broken file at its start goes on with them.
 *
 * Written by a worker, and as trustworthy as that one was. A worker that dies while it
 * writes leaves none, and then the files that it had just read were good.
 */
#ifndef FS_SNAPSHOT_H
#define FS_SNAPSHOT_H

#include "fetch/catalog.h"

/* Replaces what is there. 0 or -errno. */
int fs_snapshot_write(int fd, const struct fetch_catalog_text *texts, size_t count);

/* A new memfd with the same in it, for a worker that is only tried: what it writes is dropped
 * together with it. -errno; -EFBIG where it is larger than catalogs should be. */
int fs_snapshot_copy(int fd);

/* Exactly `count` texts into `ret`, to be freed with fetch_catalog_texts_free(). -ENODATA:
 * there are none, or not so many. */
int fs_snapshot_read(int fd, size_t count, struct fetch_catalog_text *ret);

#endif
