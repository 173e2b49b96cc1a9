/*
 * For the build that make check-vm-negative wants to see fail: every fsync succeeds and does
 * nothing. Included before everything else by the compiler's -include, so that the code
 * that ships needs no switch.
 */
#ifndef VM_NO_FSYNC_H
#define VM_NO_FSYNC_H

#include <unistd.h>

static inline int vm_no_fsync(int fd)
{
        return fd < 0 ? -1 : 0;
}

#define fsync(fd)     vm_no_fsync(fd)
#define fdatasync(fd) vm_no_fsync(fd)

#endif
