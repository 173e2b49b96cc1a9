/*
 * System calls the way the rest of the store wants them: an interrupted call is
 * made again, a short write goes on, an error is a negative errno, and cleanup
 * keeps errno. Also the cleanup attributes for descriptors and memory.
 */
#ifndef CAS_IO_H
#define CAS_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Releases the variable at the end of its scope; hand over with the *_steal. */
#define _cleanup_close_ __attribute__((cleanup(cas_io_close_at)))
#define _cleanup_free_  __attribute__((cleanup(cas_io_free_at)))

/* Closes *fd unless it is negative; errno stays as it was. */
void cas_io_close_at(const int *fd);
/* Frees *(void **)memory. */
void cas_io_free_at(void *memory);

/* Returns the descriptor and leaves -1 behind: the caller owns it now. */
int cas_io_steal_fd(int *fd);

/* Writes all `length` bytes at `offset`; 0 or -errno. */
int cas_io_write_at(int fd, const void *bytes, size_t length, uint64_t offset);

/* Reads up to `length` bytes at `offset`; the number read, 0 at the end, or -errno. */
ssize_t cas_io_read_at(int fd, void *bytes, size_t length, uint64_t offset);

#endif
