/*
 * Criterion under ThreadSanitizer. Criterion maps the memory it shares with its test
 * processes at a random fixed address, and ThreadSanitizer lets a program map only what
 * lies in its own ranges, so that no test ever ran. These two calls move such a request
 * into the range of the program's image, and do nothing else. Linked into the test
 * binaries; empty in every other build.
 */
#if defined(__SANITIZE_THREAD__)
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* x86-64: where Criterion draws from, and a part of what ThreadSanitizer takes as a program's. */
#define DRAWN_FROM UINT64_C(0x200000000000)
#define DRAWN_TO   UINT64_C(0x7b0000000000)
#define ROOM       UINT64_C(0x560000000000)
#define ROOM_MASK  UINT64_C(0x007fffffffff)

static uint64_t moved(uint64_t address)
{
        return address >= DRAWN_FROM && address < DRAWN_TO ? ROOM | (address & ROOM_MASK) : address;
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
        uint64_t at = (uint64_t)(uintptr_t)address;

        if ((flags & MAP_FIXED) && fd >= 0)
                at = moved(at);
        return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}

/* Criterion asks whether the place is taken before it maps it. */
int mincore(void *address, size_t length, unsigned char *ret)
{
        return (int)syscall(SYS_mincore, moved((uint64_t)(uintptr_t)address), length, ret);
}
#else
typedef int tests_tsan_arena_is_empty;
#endif
