/*
 * A bounded pipe of bytes between the transfer thread, which must never wait, and
 * the thread that hashes and writes, which does. One producer, one consumer. The
 * memory of a download is this pipe, however large the asset is.
 *
 *   producer: announce? -> put* -> finish
 *   consumer: wait_answer -> (wait -> consume)* until wait returns 0
 */
#ifndef FETCH_PIPE_H
#define FETCH_PIPE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FETCH_PIPE_BYTES (1024u * 1024) /* of the ring; a power of two */
#define FETCH_PIPE_CHUNK (256u * 1024)  /* what the consumer likes to take at a time */

struct fetch_pipe {
        pthread_mutex_t lock;
        pthread_cond_t moved;
        char *ring;
        uint64_t written; /* lock; bytes ever put */
        uint64_t read;    /* lock; bytes ever consumed */
        bool announced;   /* lock */
        uint64_t announced_size;
        bool starved;  /* lock; the producer was refused and waits to be resumed */
        bool finished; /* lock */
};

int fetch_pipe_init(struct fetch_pipe *pipe); /* 0 or -ENOMEM */
void fetch_pipe_destroy(struct fetch_pipe *pipe);

/* The answer's headers are here; `size` of the body, or UINT64_MAX. */
void fetch_pipe_announce(struct fetch_pipe *pipe, uint64_t size);

/* All of the bytes or, without room, none of them and false; then consume() says when. */
bool fetch_pipe_put(struct fetch_pipe *pipe, const void *bytes, size_t length);

/* No more bytes come. The producer's last call. */
void fetch_pipe_finish(struct fetch_pipe *pipe);

/* Waits for announce (true, and the size) or finish (false). */
bool fetch_pipe_wait_answer(struct fetch_pipe *pipe, uint64_t *ret_size);

/* Waits for a chunk, or what is left at the end; 0 at the end. *ret stays valid until consume. */
size_t fetch_pipe_wait(struct fetch_pipe *pipe, const void **ret);

/*
 * Gives the bytes' room back. Where the producer waits for it, calls `resume` under
 * the pipe's lock, which keeps the producer from finishing meanwhile.
 */
void fetch_pipe_consume(struct fetch_pipe *pipe, size_t length, void (*resume)(void *arg),
                        void *arg);

/* Calls `call` under the pipe's lock unless the producer has finished. */
void fetch_pipe_unless_finished(struct fetch_pipe *pipe, void (*call)(void *arg), void *arg);

#endif
