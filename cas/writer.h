/*
 * Writes slots to a file, one after the other, in a thread of its own, so that the one
 * who hashes them does not wait for the disk.
 *
 * From CAS_DIRECT_BYTES on a file is written past the page cache (O_DIRECT), where the
 * file system can: it is several times as fast, and most of a large image is never read.
 * What is smaller is read at once and whole, and stays in the page cache.
 *
 * Errors: the first one is sticky; later slots are given back unwritten.
 * Threads: one owner; the writer's own. Lock: the writer's, outside the pool's.
 */
#ifndef CAS_WRITER_H
#define CAS_WRITER_H

#include "cas/slots.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef CAS_DIRECT_BYTES
#define CAS_DIRECT_BYTES (512ull << 20) /* measured: README, "Cold opens, measured" */
#endif

struct cas_writer {
        int fd; /* not owned */
        pthread_t thread;
        bool started; /* the owner's */

        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct cas_slot *first; /* lock; not written yet */
        struct cas_slot *last;  /* lock */
        bool busy;              /* lock; the thread has slots in its hands */
        bool stopping;          /* lock */
        bool large;             /* lock; at least CAS_DIRECT_BYTES are expected */
        int error;              /* lock; negative errno or 0 */

        /* Whoever writes. */
        uint64_t offset; /* of the next slot in the file */
        bool direct;     /* O_DIRECT is set */
        bool refused;    /* … cannot be */
};

void cas_writer_init(struct cas_writer *writer, int fd);
void cas_writer_destroy(struct cas_writer *writer); /* ends the thread; what waits is dropped */

/* The file will have so many bytes. */
void cas_writer_expect(struct cas_writer *writer, uint64_t size);

/*
 * Queues the slot. It has two users from now on, the writer and the caller, who ends his
 * use by cas_writer_done(); the last one gives it back to its pool. An error of before.
 */
int cas_writer_put(struct cas_writer *writer, struct cas_slot *slot);
void cas_writer_done(struct cas_writer *writer, struct cas_slot *slot);

/* Waits until all is in the file; 0 or the error. */
int cas_writer_drain(struct cas_writer *writer);

/* After a drain: go on at `offset`, and forget an error. */
void cas_writer_seek(struct cas_writer *writer, uint64_t offset);

#endif
