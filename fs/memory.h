/*
 * The session memory: what outlives a worker. The supervisor makes it, every worker
 * maps it, and a worker may die at any instruction: each part below says how it can
 * still be read then. Nothing in it is a pointer.
 *
 * It is as trustworthy as the worker that wrote it. The supervisor reads nothing but
 * the beats, and writes what workers and people want to know of it; the next worker checks whatever
 * it takes from here.
 */
#ifndef FS_MEMORY_H
#define FS_MEMORY_H

#include "cas/digest.h"
#include "fs/metrics.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Of everything below. A worker of another version does not serve (the old binary goes on). */
#ifndef FS_MEMORY_VERSION
#define FS_MEMORY_VERSION 3
#endif

#define FS_THREADS       4    /* that read requests; none of them ever blocks */
#define FS_REQUEST_BYTES 8192 /* the kernel's FUSE_MIN_READ_BUFFER; holds any request of ours */
#define FS_INIT_BYTES    256
#define FS_PARKED_BYTES  64 /* an OPEN has 48, a GETATTR 56 */
#define FS_PARKED_MAX    32768
#define FS_NODES_MAX     65536
#define FS_HANDLES_MAX   65536

/*
 * The request that a thread has read and not finished. in_header.len tells whether
 * there is one: it is 0 before the read, and the kernel writes it first.
 */
struct fs_request_slot {
        _Alignas(8) uint8_t bytes[FS_REQUEST_BYTES];
        uint8_t guard[8]; /* zero: a name ends here at the latest */
};

/* A request that waits for fetch. It is there while its in_header.len is not 0, which is
 * written last and cleared first. */
struct fs_parked_slot {
        _Alignas(8) uint8_t bytes[FS_PARKED_BYTES];
        int64_t since_ms;     /* CLOCK_MONOTONIC */
        int64_t deadline_ms;  /* likewise */
        uint32_t interrupted; /* the kernel tells it once; its process is watched from then on */
};

/*
 * What the kernel calls an asset by. It is there while nodeid is not 0, which is written
 * last and cleared first. lookups errs upwards when a worker dies between counting and
 * answering: the slot is kept longer than needed, never shorter.
 */
struct fs_node_slot {
        _Atomic uint64_t nodeid;
        uint64_t lookups;
        struct cas_digest digest;
        uint32_t generation; /* of the last nodeid from this slot */
        int32_t backing_id;  /* kept for the next open; 0: none */
        uint64_t inode;      /* the blob it reads, or read last: 0 for none */
        int64_t mtime;       /* s */
        int64_t ctime;       /* ns, when it was checked last */
        uint64_t size;       /* bytes */
        uint64_t blocks;     /* of 512 bytes */
        int32_t sent_round;  /* the last opener that was to look again */
        uint8_t told_wrong;  /* the kernel believes a size that is not the blob's */
        uint8_t superseded;  /* another blob came while this one was open: no more lookups */
        uint8_t passthrough; /* how the opens that there are read */
};

/* An open file. It is there while fh is not 0. */
struct fs_handle_slot {
        _Atomic uint64_t fh; /* the OPEN's unique << 16 | the slot */
        uint64_t nodeid;
};

struct fs_memory {
        uint32_t magic;
        uint32_t version;

        /* The session's INIT, saved before it was answered. */
        uint32_t init_length;         /* 0: none yet */
        uint32_t passthrough;         /* what was answered to it first */
        uint32_t init_answered;       /* it was, once */
        _Atomic uint32_t kill_points; /* passed by all workers; only in builds for tests */
        _Alignas(8) uint8_t init[FS_INIT_BYTES];

        /* CLOCK_MONOTONIC, ms. */
        _Atomic int64_t loop_beat_ms;              /* the transfer loop's last turn */
        _Atomic int64_t busy_since_ms[FS_THREADS]; /* with one request; 0: idle */

        /* Written by the supervisor, for the status. */
        int64_t started_ms;                /* of the wall clock */
        _Atomic int32_t passthrough_error; /* 0; -errno; -ECANCELED: by option */
        _Atomic uint32_t restarts;
        _Atomic uint32_t
            trying; /* the worker of a reload: if it does not serve, the one before does */

        struct fs_metrics metrics;

        /* How much of the tables was ever used, so that nobody touches the rest. */
        _Atomic uint32_t parked_used;
        _Atomic uint32_t nodes_used;
        _Atomic uint32_t handles_used;

        struct fs_request_slot requests[FS_THREADS];
        struct fs_parked_slot parked[FS_PARKED_MAX];
        struct fs_node_slot nodes[FS_NODES_MAX];
        struct fs_handle_slot handles[FS_HANDLES_MAX];
};

/*
 * Where a test kills the worker, in builds for tests: once, at the ASSETFS_KILL_AT-th of
 * these points since the session began. Elsewhere nothing.
 */
#ifdef ASSETFS_KILL_POINTS
void fs_kill_point(struct fs_memory *memory);
#else
static inline void fs_kill_point(struct fs_memory *memory)
{
        (void)memory;
}
#endif

/* Makes it: a memfd that nobody can resize (the caller's), and its mapping. 0 or -errno. */
int fs_memory_make(int *ret_fd, struct fs_memory **ret);

/* Maps what was made. -EPROTO: another version's; -EINVAL: no session memory. */
int fs_memory_attach(int fd, struct fs_memory **ret);

void fs_memory_detach(struct fs_memory *memory); /* accepts NULL */

#endif
