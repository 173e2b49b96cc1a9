/*
 * One question: its callbacks run on the transfer loop's thread and copy, while the caller
 * waits here. Knows nothing of what is asked.
 */
#include "fetch/ask.h"

#include "fetch/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 100 /* between two looks at whether the caller still wants to know */

struct asking {
        struct fetch_answer *answer;
        bool too_big;
        bool no_memory;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool done; /* lock */
};

static bool on_response(void *arg, const struct http_response *response)
{
        struct asking *asking = arg;
        struct fetch_answer *answer = asking->answer;

        answer->status = (int)response->status;
        answer->body = calloc(1, 1);
        if (response->challenges)
                answer->challenges = strdup(response->challenges);
        asking->no_memory = !answer->body || (response->challenges && !answer->challenges);
        return !asking->no_memory;
}

static enum http_took on_bytes(void *arg, const void *bytes, size_t length)
{
        struct asking *asking = arg;
        struct fetch_answer *answer = asking->answer;
        char *longer;

        asking->too_big = length > FETCH_ASK_BYTES - answer->length;
        if (asking->too_big)
                return HTTP_ENOUGH;
        longer = malloc(answer->length + length + 1);
        asking->no_memory = !longer;
        if (!longer)
                return HTTP_ENOUGH;
        memcpy(longer, answer->body, answer->length);
        memcpy(longer + answer->length, bytes, length);
        explicit_bzero(answer->body, answer->length);
        free(answer->body);
        answer->body = longer;
        answer->length += length;
        answer->body[answer->length] = '\0';
        return HTTP_TOOK;
}

static void on_done(void *arg, const struct fetch_cause *cause)
{
        struct asking *asking = arg;

        pthread_mutex_lock(&asking->lock);
        asking->answer->cause = *cause;
        asking->done = true;
        pthread_cond_signal(&asking->changed);
        pthread_mutex_unlock(&asking->lock);
}

static void wait_for(struct asking *asking, struct http_transfer *transfer,
                     const atomic_bool *cancelled)
{
        bool told = false;

        pthread_mutex_lock(&asking->lock);
        while (!asking->done) {
                int64_t until_ms = fetch_now_ms() + LOOK_MS;
                struct timespec until = {.tv_sec = until_ms / 1000,
                                         .tv_nsec = until_ms % 1000 * 1000000};

                pthread_cond_timedwait(&asking->changed, &asking->lock, &until);
                if (!asking->done && !told && cancelled && atomic_load(cancelled)) {
                        http_cancel(transfer);
                        told = true;
                }
        }
        pthread_mutex_unlock(&asking->lock);
}

/* What ended before its end is no answer. */
static void judge(const struct asking *asking, struct fetch_answer *answer)
{
        if (asking->too_big)
                fetch_cause_set(&answer->cause, FETCH_ORIGIN_FAILED,
                                "an answer of more than %u KiB", FETCH_ASK_BYTES / 1024);
        else if (asking->no_memory)
                fetch_cause_set(&answer->cause, FETCH_ORIGIN_FAILED, "out of memory");
        if (answer->cause.kind != FETCH_OK) {
                struct fetch_cause cause = answer->cause;

                fetch_answer_free(answer);
                answer->cause = cause;
        }
}

void fetch_ask(struct http_loop *loop, const struct fetch_ask *ask, const atomic_bool *cancelled,
               struct fetch_answer *ret)
{
        static const struct http_handler handler = {
            .response = on_response, .bytes = on_bytes, .done = on_done};
        struct http_request request = {
            .method = ask->method,
            .url = ask->url,
            .is_origins = !ask->is_foreign,
            .proxy = ask->proxy,
            .any_status = true,
            .lines = ask->headers,
            .body = ask->body,
            .timeout_ms = ask->timeout_ms ? ask->timeout_ms : FETCH_ASK_TIMEOUT_MS,
            .end = HTTP_TO_THE_END,
        };
        struct asking asking = {.answer = ret};
        struct http_transfer *transfer;
        pthread_condattr_t clock;

        *ret = (struct fetch_answer){0};
        pthread_mutex_init(&asking.lock, NULL);
        pthread_condattr_init(&clock);
        pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
        pthread_cond_init(&asking.changed, &clock);
        pthread_condattr_destroy(&clock);
        transfer = http_start(loop, &request, &handler, &asking);
        if (transfer)
                wait_for(&asking, transfer, cancelled);
        else
                asking.no_memory = true;
        pthread_cond_destroy(&asking.changed);
        pthread_mutex_destroy(&asking.lock);
        judge(&asking, ret);
}

void fetch_answer_free(struct fetch_answer *answer)
{
        if (answer->body)
                explicit_bzero(answer->body, answer->length);
        free(answer->body);
        free(answer->challenges);
        *answer = (struct fetch_answer){0};
}
