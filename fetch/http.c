/*
 * The transfer loop: one thread, one curl multi handle. Other threads leave
 * commands (start, resume, cancel) in a list and wake it.
 */
#include "fetch/http.h"

#include "fetch/http_transfer.h"
#include "fetch/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct http_loop {
        struct http_config config;
        CURLM *multi;
        pthread_t thread;

        pthread_mutex_t lock;
        struct http_transfer *commands; /* lock; newest first */
        bool cancelling;                /* lock */
        bool stopping;                  /* lock */

        struct http_transfer *active; /* the loop's thread only */
};

static void activate(struct http_loop *loop, struct http_transfer *transfer)
{
        transfer->active = true;
        transfer->active_prev = NULL;
        transfer->active_next = loop->active;
        if (loop->active)
                loop->active->active_prev = transfer;
        loop->active = transfer;
}

static void deactivate(struct http_loop *loop, struct http_transfer *transfer)
{
        if (transfer->active_prev)
                transfer->active_prev->active_next = transfer->active_next;
        else
                loop->active = transfer->active_next;
        if (transfer->active_next)
                transfer->active_next->active_prev = transfer->active_prev;
        transfer->active = false;
}

/* After done() nobody else may name the transfer, so it can leave the command list and go. */
static void end(struct http_loop *loop, struct http_transfer *transfer,
                const struct fetch_cause *cause)
{
        http_transfer_note_phases(transfer);
        if (transfer->active) {
                curl_multi_remove_handle(loop->multi, transfer->easy);
                deactivate(loop, transfer);
        }
        transfer->handler.done(transfer->arg, cause);

        pthread_mutex_lock(&loop->lock);
        for (struct http_transfer **link = &loop->commands; *link; link = &(*link)->next) {
                if (*link == transfer) {
                        *link = transfer->next;
                        break;
                }
        }
        pthread_mutex_unlock(&loop->lock);
        http_transfer_free(transfer);
}

static void end_cancelled(struct http_loop *loop, struct http_transfer *transfer)
{
        struct fetch_cause cause = {0};

        fetch_cause_set(&cause, FETCH_CANCELLED, "cancelled");
        end(loop, transfer, &cause);
}

static void start(struct http_loop *loop, struct http_transfer *transfer)
{
        struct fetch_cause cause = {0};

        if (curl_multi_add_handle(loop->multi, transfer->easy) == CURLM_OK) {
                activate(loop, transfer);
                return;
        }
        fetch_cause_set(&cause, FETCH_ORIGIN_FAILED, "out of memory");
        end(loop, transfer, &cause);
}

/* The next command of the list, or NULL; the flags say which. */
static struct http_transfer *next_command(struct http_loop *loop, bool *starts, bool *resumes,
                                          bool *cancels)
{
        pthread_mutex_lock(&loop->lock);

        struct http_transfer *transfer = loop->commands;

        if (transfer) {
                loop->commands = transfer->next;
                transfer->queued = false;
                *starts = transfer->wants_start;
                *resumes = transfer->wants_resume;
                *cancels = transfer->wants_cancel || loop->cancelling;
                transfer->wants_start = transfer->wants_resume = false;
        }
        pthread_mutex_unlock(&loop->lock);
        return transfer;
}

/* curl is done with the transfer's handle. */
static void conclude(struct http_loop *loop, struct http_transfer *transfer, CURLcode code)
{
        struct fetch_cause cause;

        if (!http_transfer_finish(transfer, code, &cause)) {
                end(loop, transfer, &cause);
                return;
        }
        curl_multi_remove_handle(loop->multi, transfer->easy);
        deactivate(loop, transfer);
        start(loop, transfer);
}

/* curl hands over what it had kept; a handler that wants no more of it ends only this call. */
static void resume(struct http_loop *loop, struct http_transfer *transfer)
{
        CURLcode code = curl_easy_pause(transfer->easy, CURLPAUSE_CONT);

        if (code != CURLE_OK)
                conclude(loop, transfer, code);
}

static void obey(struct http_loop *loop)
{
        struct http_transfer *transfer;
        bool starts;
        bool resumes;
        bool cancels;

        while ((transfer = next_command(loop, &starts, &resumes, &cancels))) {
                if (cancels)
                        end_cancelled(loop, transfer);
                else if (starts)
                        start(loop, transfer);
                else if (resumes)
                        resume(loop, transfer);
        }
}

static void collect(struct http_loop *loop)
{
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(loop->multi, &left))) {
                struct http_transfer *transfer = NULL;

                if (message->msg != CURLMSG_DONE)
                        continue;

                CURLcode code = message->data.result;

                curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
                conclude(loop, transfer, code);
        }
}

static void *run(void *arg)
{
        struct http_loop *loop = arg;

        pthread_setname_np(pthread_self(), "transfers");
        for (;;) {
                int running;

                pthread_mutex_lock(&loop->lock);

                bool stopping = loop->stopping;
                bool cancelling = loop->cancelling;

                pthread_mutex_unlock(&loop->lock);
                if (loop->config.beat)
                        loop->config.beat(loop->config.beat_arg);
                obey(loop);
                while (cancelling && loop->active)
                        end_cancelled(loop, loop->active);
                if (stopping)
                        return NULL;
                curl_multi_perform(loop->multi, &running);
                collect(loop);
                curl_multi_poll(loop->multi, NULL, 0, HTTP_BEAT_MS, NULL);
        }
}

int http_loop_new(const struct http_config *config, struct http_loop **ret)
{
        struct http_loop *loop = calloc(1, sizeof(*loop));

        if (!loop)
                return -ENOMEM;
        loop->config = *config;
        pthread_mutex_init(&loop->lock, NULL);
        loop->multi = curl_multi_init();
        if (!loop->multi) {
                free(loop);
                return -ENOMEM;
        }

        int r = fetch_thread_start(&loop->thread, run, loop);

        if (r < 0) {
                curl_multi_cleanup(loop->multi);
                free(loop);
                return r;
        }
        *ret = loop;
        return 0;
}

int64_t http_loop_cpu_ms(struct http_loop *loop)
{
        struct timespec used;
        clockid_t clock;

        if (pthread_getcpuclockid(loop->thread, &clock) != 0 || clock_gettime(clock, &used) < 0)
                return 0;
        return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

void http_loop_cancel_all(struct http_loop *loop)
{
        pthread_mutex_lock(&loop->lock);
        loop->cancelling = true;
        pthread_mutex_unlock(&loop->lock);
        curl_multi_wakeup(loop->multi);
}

void http_loop_free(struct http_loop *loop)
{
        if (!loop)
                return;
        pthread_mutex_lock(&loop->lock);
        loop->cancelling = true;
        loop->stopping = true;
        pthread_mutex_unlock(&loop->lock);
        curl_multi_wakeup(loop->multi);
        pthread_join(loop->thread, NULL);
        curl_multi_cleanup(loop->multi);
        pthread_mutex_destroy(&loop->lock);
        free(loop);
}

/* Under the loop's lock. */
static void queue(struct http_loop *loop, struct http_transfer *transfer)
{
        if (transfer->queued)
                return;
        transfer->queued = true;
        transfer->next = loop->commands;
        loop->commands = transfer;
}

struct http_transfer *http_start(struct http_loop *loop, const struct http_request *request,
                                 const struct http_handler *handler, void *arg)
{
        struct http_transfer *transfer = http_transfer_new(&loop->config, request, handler, arg);

        if (!transfer)
                return NULL;
        transfer->loop = loop;
        pthread_mutex_lock(&loop->lock);
        transfer->wants_start = true;
        queue(loop, transfer);
        pthread_mutex_unlock(&loop->lock);
        curl_multi_wakeup(loop->multi);
        return transfer;
}

void http_resume(struct http_transfer *transfer)
{
        struct http_loop *loop = transfer->loop;

        pthread_mutex_lock(&loop->lock);
        transfer->wants_resume = true;
        queue(loop, transfer);
        pthread_mutex_unlock(&loop->lock);
        curl_multi_wakeup(loop->multi);
}

void http_cancel(struct http_transfer *transfer)
{
        struct http_loop *loop = transfer->loop;

        pthread_mutex_lock(&loop->lock);
        transfer->wants_cancel = true;
        queue(loop, transfer);
        pthread_mutex_unlock(&loop->lock);
        curl_multi_wakeup(loop->multi);
}
