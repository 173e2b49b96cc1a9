/*
 * The bounded pipe: a ring, a lock, a condition. Knows nothing of what flows.
 */
#include "fetch/pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int fetch_pipe_init(struct fetch_pipe *pipe)
{
        *pipe = (struct fetch_pipe){.ring = malloc(FETCH_PIPE_BYTES)};
        if (!pipe->ring)
                return -ENOMEM;
        pthread_mutex_init(&pipe->lock, NULL);
        pthread_cond_init(&pipe->moved, NULL);
        return 0;
}

void fetch_pipe_destroy(struct fetch_pipe *pipe)
{
        pthread_cond_destroy(&pipe->moved);
        pthread_mutex_destroy(&pipe->lock);
        free(pipe->ring);
}

void fetch_pipe_announce(struct fetch_pipe *pipe, uint64_t size)
{
        pthread_mutex_lock(&pipe->lock);
        pipe->announced = true;
        pipe->announced_size = size;
        pthread_cond_signal(&pipe->moved);
        pthread_mutex_unlock(&pipe->lock);
}

/* Copies into the ring from `at` on, wrapping once. Only the producer's part is touched. */
static void copy_in(struct fetch_pipe *pipe, uint64_t at, const void *bytes, size_t length)
{
        size_t start = (size_t)(at % FETCH_PIPE_BYTES);
        size_t first = FETCH_PIPE_BYTES - start < length ? FETCH_PIPE_BYTES - start : length;

        memcpy(pipe->ring + start, bytes, first);
        memcpy(pipe->ring, (const char *)bytes + first, length - first);
}

bool fetch_pipe_put(struct fetch_pipe *pipe, const void *bytes, size_t length)
{
        pthread_mutex_lock(&pipe->lock);

        uint64_t at = pipe->written;
        bool fits = length <= FETCH_PIPE_BYTES - (at - pipe->read);

        if (!fits)
                pipe->starved = true;
        pthread_mutex_unlock(&pipe->lock);
        if (!fits)
                return false;

        copy_in(pipe, at, bytes, length);

        pthread_mutex_lock(&pipe->lock);
        pipe->written += length;
        if (pipe->written - pipe->read >= FETCH_PIPE_CHUNK)
                pthread_cond_signal(&pipe->moved);
        pthread_mutex_unlock(&pipe->lock);
        return true;
}

void fetch_pipe_finish(struct fetch_pipe *pipe)
{
        pthread_mutex_lock(&pipe->lock);
        pipe->finished = true;
        pthread_cond_signal(&pipe->moved);
        pthread_mutex_unlock(&pipe->lock);
}

bool fetch_pipe_wait_answer(struct fetch_pipe *pipe, uint64_t *ret_size)
{
        pthread_mutex_lock(&pipe->lock);
        while (!pipe->announced && !pipe->finished)
                pthread_cond_wait(&pipe->moved, &pipe->lock);

        bool announced = pipe->announced;

        *ret_size = pipe->announced_size;
        pthread_mutex_unlock(&pipe->lock);
        return announced;
}

size_t fetch_pipe_wait(struct fetch_pipe *pipe, const void **ret)
{
        pthread_mutex_lock(&pipe->lock);
        while (pipe->written - pipe->read < FETCH_PIPE_CHUNK && !pipe->finished)
                pthread_cond_wait(&pipe->moved, &pipe->lock);

        size_t start = (size_t)(pipe->read % FETCH_PIPE_BYTES);
        size_t length = (size_t)(pipe->written - pipe->read);

        pthread_mutex_unlock(&pipe->lock);
        if (length > FETCH_PIPE_CHUNK)
                length = FETCH_PIPE_CHUNK;
        if (length > FETCH_PIPE_BYTES - start)
                length = FETCH_PIPE_BYTES - start;
        *ret = pipe->ring + start;
        return length;
}

void fetch_pipe_consume(struct fetch_pipe *pipe, size_t length, void (*resume)(void *arg),
                        void *arg)
{
        pthread_mutex_lock(&pipe->lock);
        pipe->read += length;

        /* Half empty, so that a fast producer is not woken for every chunk. */
        if (pipe->starved && pipe->written - pipe->read <= FETCH_PIPE_BYTES / 2) {
                pipe->starved = false;
                if (!pipe->finished)
                        resume(arg);
        }
        pthread_mutex_unlock(&pipe->lock);
}

void fetch_pipe_unless_finished(struct fetch_pipe *pipe, void (*call)(void *arg), void *arg)
{
        pthread_mutex_lock(&pipe->lock);
        if (!pipe->finished)
                call(arg);
        pthread_mutex_unlock(&pipe->lock);
}
