/*
 * The publication record: what a blob looked like when it was verified, kept in
 * an extended attribute of the blob itself. A blob whose record matches has been
 * hashed by us and has not been touched since; anything else (restored from a
 * backup, copied in, truncated, written to) has to be hashed before it is served.
 *
 *   user.assetfs.record   "1 <64 hex> <size> <inode> <mtime>"
 *   user.assetfs.verified "<seconds> <boot id>": when all bytes were hashed last and were
 *                         right, and in which boot of the machine
 *   user.assetfs.source   where the bytes came from, for people; never trusted
 *
 * The digest is part of it because a record travels with a hard link: without
 * it, one blob linked to another's name would pass. The time is a whole second
 * (publication rounds it) so that file systems that keep coarse times do not
 * lose it at the next mount. A blob that is hashed again keeps its time, since whoever
 * has it open takes another time for another file; what is noted of it then is in an
 * attribute of its own. The boot is known by the kernel's id and not by a time: clocks jump.
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

/*
 * Notes that the bytes of `fd`, whose record is valid, were hashed again just now and are right.
 * Record, size, mtime and atime stay as they are. Not flushed: what is lost is hashed once more
 * than needed. 0 or -errno, which harms nobody.
 */
int cas_record_note(int fd);

/* When the bytes were hashed last, unix seconds, of a file whose record is valid. */
int64_t cas_record_verified_at(int fd, const struct stat *st);

#define CAS_BOOT_ID 40 /* bytes of the kernel's id of a boot, with its NUL */

/* Of this boot; "" where it cannot be told. */
void cas_record_boot(char ret[CAS_BOOT_ID]);

/* Were the bytes hashed in the boot `boot`? Never true of "". */
bool cas_record_is_of_boot(int fd, const char boot[CAS_BOOT_ID]);

/* Does the record of `fd` match `digest` and *st, the file's own stat? */
bool cas_record_valid(int fd, const struct cas_digest *digest, const struct stat *st);

/* 0 where the file system of `fd` keeps user attributes, else -errno (-EOPNOTSUPP). */
int cas_record_probe(int fd);

/* Copies the source (NUL-terminated, cut to `size` bytes); -ENODATA where none is known. */
int cas_record_source(int fd, char *ret, size_t size);

#endif
