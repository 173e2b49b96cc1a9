/*
 * The publication record: what a blob looked like when it was verified, kept in
 * an extended attribute of the blob itself. A blob whose record matches has been
 * hashed by us and has not been touched since; anything else (restored from a
 * backup, copied in, truncated, written to) has to be hashed before it is served.
 *
 *   user.assetfs.record   "1 <64 hex> <size> <inode> <mtime>"
 *   user.assetfs.source   where the bytes came from, for people; never trusted
 *
 * The digest is part of it because a record travels with a hard link: without
 * it, one blob linked to another's name would pass. The time is a whole second
 * (publication rounds it) so that file systems that keep coarse times do not
 * lose it at the next mount. It is the wall clock's when the record was written:
 * while the record is valid, the file's mtime is when its bytes were verified last,
 * at publication or when it was hashed again.
 */
#ifndef CAS_RECORD_H
#define CAS_RECORD_H

#include "cas/digest.h"

#include <stdbool.h>
#include <sys/stat.h>

/*
 * Makes the open file `fd` look like a published blob: mode 0444, mtime a whole
 * second, the record, and `source` if not NULL. Durable only after the caller's
 * fsync. 0 or -errno.
 */
int cas_record_write(int fd, const struct cas_digest *digest, const char *source);

/* Does the record of `fd` match `digest` and *st, the file's own stat? */
bool cas_record_valid(int fd, const struct cas_digest *digest, const struct stat *st);

/* 0 where the file system of `fd` keeps user attributes, else -errno (-EOPNOTSUPP). */
int cas_record_probe(int fd);

/* Copies the source (NUL-terminated, cut to `size` bytes); -ENODATA where none is known. */
int cas_record_source(int fd, char *ret, size_t size);

#endif
