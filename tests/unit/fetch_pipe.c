/*
 * The pipe: every byte once and in order, never more memory than its ring, and a
 * producer that was refused is resumed exactly when there is room.
 */
#include "fetch/pipe.h"

#include "tests/unit/scratch.h"

#include <pthread.h>
#include <semaphore.h>

#define STREAM (SLOW_BUILD ? 8u << 20 : 64u << 20) /* bytes */

TestSuite(fetch_pipe, .timeout = 60);

static char blank[FETCH_PIPE_BYTES + 1];

static void count_call(void *arg)
{
        ++*(int *)arg;
}

static char byte_at(uint64_t offset)
{
        return (char)(offset * 131 ^ offset >> 9);
}

Test(fetch_pipe, holds_its_ring_and_not_a_byte_more)
{
        struct fetch_pipe pipe;

        cr_assert_eq(fetch_pipe_init(&pipe), 0);
        cr_expect_not(fetch_pipe_put(&pipe, blank, FETCH_PIPE_BYTES + 1));
        cr_expect(fetch_pipe_put(&pipe, blank, FETCH_PIPE_BYTES - 1));
        cr_expect_not(fetch_pipe_put(&pipe, blank, 2), "all of the bytes or none");
        cr_expect(fetch_pipe_put(&pipe, blank, 1));
        cr_expect_not(fetch_pipe_put(&pipe, blank, 1));
        cr_expect(fetch_pipe_put(&pipe, blank, 0));
        fetch_pipe_destroy(&pipe);
}

Test(fetch_pipe, refused_producer_is_resumed_once_when_half_is_free)
{
        struct fetch_pipe pipe;
        const void *bytes;
        int resumed = 0;

        cr_assert_eq(fetch_pipe_init(&pipe), 0);
        cr_assert(fetch_pipe_put(&pipe, blank, FETCH_PIPE_BYTES));
        cr_assert_not(fetch_pipe_put(&pipe, blank, 1));
        for (unsigned freed = 0; freed < FETCH_PIPE_BYTES; freed += FETCH_PIPE_CHUNK) {
                cr_expect_eq(resumed, freed > FETCH_PIPE_BYTES / 2 ? 1 : resumed);
                cr_assert_eq(fetch_pipe_wait(&pipe, &bytes), FETCH_PIPE_CHUNK);
                fetch_pipe_consume(&pipe, FETCH_PIPE_CHUNK, count_call, &resumed);
                cr_expect_eq(resumed, freed + FETCH_PIPE_CHUNK >= FETCH_PIPE_BYTES / 2);
        }
        fetch_pipe_destroy(&pipe);
}

Test(fetch_pipe, producer_that_was_not_refused_is_not_resumed)
{
        struct fetch_pipe pipe;
        const void *bytes;
        int resumed = 0;

        cr_assert_eq(fetch_pipe_init(&pipe), 0);
        cr_assert(fetch_pipe_put(&pipe, blank, FETCH_PIPE_BYTES));
        for (int i = 0; i < 4; i++) {
                cr_assert_eq(fetch_pipe_wait(&pipe, &bytes), FETCH_PIPE_CHUNK);
                fetch_pipe_consume(&pipe, FETCH_PIPE_CHUNK, count_call, &resumed);
        }
        cr_expect_eq(resumed, 0);
        fetch_pipe_destroy(&pipe);
}

Test(fetch_pipe, finished_producer_is_never_called)
{
        struct fetch_pipe pipe;
        const void *bytes;
        int called = 0;

        cr_assert_eq(fetch_pipe_init(&pipe), 0);
        fetch_pipe_unless_finished(&pipe, count_call, &called);
        cr_expect_eq(called, 1);
        cr_assert(fetch_pipe_put(&pipe, blank, FETCH_PIPE_BYTES));
        cr_assert_not(fetch_pipe_put(&pipe, blank, 1));
        fetch_pipe_finish(&pipe);
        for (size_t length; (length = fetch_pipe_wait(&pipe, &bytes)) > 0;)
                fetch_pipe_consume(&pipe, length, count_call, &called);
        fetch_pipe_unless_finished(&pipe, count_call, &called);
        cr_expect_eq(called, 1);
        fetch_pipe_destroy(&pipe);
}

Test(fetch_pipe, what_is_left_comes_at_the_end)
{
        struct fetch_pipe pipe;
        const void *bytes;
        int resumed = 0;

        cr_assert_eq(fetch_pipe_init(&pipe), 0);
        cr_assert(fetch_pipe_put(&pipe, "the rest", 8));
        fetch_pipe_finish(&pipe);
        cr_assert_eq(fetch_pipe_wait(&pipe, &bytes), 8);
        cr_expect_eq(memcmp(bytes, "the rest", 8), 0);
        fetch_pipe_consume(&pipe, 8, count_call, &resumed);
        cr_expect_eq(fetch_pipe_wait(&pipe, &bytes), 0);
        cr_expect_eq(fetch_pipe_wait(&pipe, &bytes), 0);
        fetch_pipe_destroy(&pipe);
}

Test(fetch_pipe, answer_is_announced_or_there_is_none)
{
        struct fetch_pipe pipe;
        uint64_t size = 0;

        cr_assert_eq(fetch_pipe_init(&pipe), 0);
        fetch_pipe_announce(&pipe, 12345);
        cr_expect(fetch_pipe_wait_answer(&pipe, &size));
        cr_expect_eq(size, 12345);
        fetch_pipe_finish(&pipe);
        cr_expect(fetch_pipe_wait_answer(&pipe, &size), "also after the end");
        fetch_pipe_destroy(&pipe);

        cr_assert_eq(fetch_pipe_init(&pipe), 0);
        fetch_pipe_finish(&pipe);
        cr_expect_not(fetch_pipe_wait_answer(&pipe, &size));
        fetch_pipe_destroy(&pipe);
}

struct stream {
        struct fetch_pipe pipe;
        sem_t room;
        unsigned resumed;
        bool slow_producer;
};

static void post_room(void *arg)
{
        struct stream *stream = arg;

        stream->resumed++;
        sem_post(&stream->room);
}

/* As curl does: pieces of all lengths, a refused one again after the resume. */
static void *produce(void *arg)
{
        static char piece[16384];
        struct stream *stream = arg;
        uint64_t sent = 0;

        usleep(1000);
        fetch_pipe_announce(&stream->pipe, STREAM);
        for (unsigned i = 1; sent < STREAM; i++) {
                size_t length = 1 + i * 2654435761u % sizeof(piece);

                if (length > STREAM - sent)
                        length = (size_t)(STREAM - sent);
                for (size_t b = 0; b < length; b++)
                        piece[b] = byte_at(sent + b);
                while (!fetch_pipe_put(&stream->pipe, piece, length))
                        sem_wait(&stream->room);
                sent += length;
                if (stream->slow_producer && i % 64 == 0)
                        usleep(100);
        }
        fetch_pipe_finish(&stream->pipe);
        return NULL;
}

static bool right_bytes(uint64_t offset, const char *bytes, size_t length)
{
        for (size_t b = 0; b < length; b++)
                if (bytes[b] != byte_at(offset + b))
                        return false;
        return true;
}

static bool is_starved(struct fetch_pipe *pipe)
{
        pthread_mutex_lock(&pipe->lock);

        bool starved = pipe->starved;

        pthread_mutex_unlock(&pipe->lock);
        return starved;
}

static void run(struct stream *stream)
{
        pthread_t thread;
        const void *bytes;
        uint64_t size;
        uint64_t got = 0;
        unsigned turns = 0;

        cr_assert(fetch_pipe_init(&stream->pipe) == 0 && sem_init(&stream->room, 0, 0) == 0);
        cr_assert_eq(pthread_create(&thread, NULL, produce, stream), 0);
        cr_expect(fetch_pipe_wait_answer(&stream->pipe, &size));
        cr_expect_eq(size, STREAM);
        /* However slow this machine makes the producer, it is refused once. */
        while (!stream->slow_producer && !is_starved(&stream->pipe))
                usleep(1000);
        for (size_t length; (length = fetch_pipe_wait(&stream->pipe, &bytes)) > 0;) {
                cr_assert_leq(length, FETCH_PIPE_CHUNK);
                cr_assert(right_bytes(got, bytes, length), "wrong bytes from %lu on",
                          (unsigned long)got);
                got += length;
                if (!stream->slow_producer && ++turns % 4 == 0)
                        usleep(2000);
                fetch_pipe_consume(&stream->pipe, length, post_room, stream);
        }
        pthread_join(thread, NULL);
        cr_expect_eq(got, STREAM);
        fetch_pipe_destroy(&stream->pipe);
        sem_destroy(&stream->room);
}

Test(fetch_pipe, slow_consumer_gets_every_byte_in_order)
{
        static struct stream stream;

        run(&stream);
        cr_expect_gt(stream.resumed, 0, "the producer was never refused: nothing was tested");
}

Test(fetch_pipe, slow_producer_is_waited_for)
{
        static struct stream stream = {.slow_producer = true};

        run(&stream);
}
