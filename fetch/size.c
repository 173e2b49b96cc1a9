/*
 * Size questions as chains of transfers. Each callback of the loop takes the chain
 * one step further or ends it.
 */
#include "fetch/size.h"

#include "fetch/clock.h"
#include "fetch/memory.h"
#include "fetch/source.h"
#include "fetch/url.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define REMEMBERED_SIZES    16384
#define REMEMBER_SIZE_MS    600000 /* a digest's size does not change; its source may learn better */
#define REMEMBER_FAILURE_MS 1000
#define QUESTIONS_AT_ONCE   32

struct question {
        struct cas_map_entry entry;
        struct fetch_crowd crowd; /* the lock */
        struct fetch_sizes *sizes;
        struct question *queue_next; /* the lock */
        int64_t deadline_ms;
        char **sources;
        size_t at;                /* the source being asked */
        enum http_method method;  /* by which it is asked */
        uint64_t size;            /* what it answered */
        bool exists;              /* some source has it, but tells no size */
        struct fetch_cause worst; /* of the sources before */
};

struct fetch_sizes {
        struct fetch_config config;
        struct http_loop *loop;

        pthread_mutex_t lock;
        pthread_cond_t ended;
        struct cas_map map;           /* lock; of struct question, open ones */
        struct fetch_memory known;    /* lock */
        struct question *queue_first; /* lock */
        struct question *queue_last;  /* lock */
        unsigned running;             /* lock */
        bool starting;                /* lock; a thread is in start_queued() */
        bool cancelled;               /* lock */
};

int fetch_sizes_new(const struct fetch_config *config, struct http_loop *loop,
                    struct fetch_sizes **ret)
{
        struct fetch_sizes *sizes = calloc(1, sizeof(*sizes));

        if (!sizes)
                return -ENOMEM;
        sizes->config = *config;
        sizes->loop = loop;
        pthread_mutex_init(&sizes->lock, NULL);
        pthread_cond_init(&sizes->ended, NULL);
        if (cas_map_init(&sizes->map) < 0 ||
            fetch_memory_init(&sizes->known, REMEMBERED_SIZES) < 0) {
                fetch_sizes_free(sizes);
                return -ENOMEM;
        }
        *ret = sizes;
        return 0;
}

void fetch_sizes_free(struct fetch_sizes *sizes)
{
        if (!sizes)
                return;
        cas_map_destroy(&sizes->map);
        if (sizes->known.map.buckets)
                fetch_memory_destroy(&sizes->known);
        pthread_cond_destroy(&sizes->ended);
        pthread_mutex_destroy(&sizes->lock);
        free(sizes);
}

static void ask_next(struct question *question);

/*
 * Starts what queues, as far as it may. A question may end while it is being
 * started (a file answers at once) and come back here: then the caller that is
 * already in the loop goes on with the queue, and the stack stays flat.
 */
static void start_queued(struct fetch_sizes *sizes)
{
        pthread_mutex_lock(&sizes->lock);
        if (!sizes->starting) {
                sizes->starting = true;
                while (sizes->queue_first && sizes->running < QUESTIONS_AT_ONCE) {
                        struct question *question = sizes->queue_first;

                        sizes->queue_first = question->queue_next;
                        if (!sizes->queue_first)
                                sizes->queue_last = NULL;
                        sizes->running++;
                        pthread_mutex_unlock(&sizes->lock);
                        ask_next(question);
                        pthread_mutex_lock(&sizes->lock);
                }
                sizes->starting = false;
                pthread_cond_broadcast(&sizes->ended);
        }
        pthread_mutex_unlock(&sizes->lock);
}

/* Remembers the answer over all sources, tells it, and ends the question. */
static void conclude(struct question *question, const struct fetch_cause *failure)
{
        static const struct fetch_cause good;
        struct fetch_sizes *sizes = question->sizes;
        const struct fetch_cause *cause = question->exists ? &good : failure;
        uint64_t size = question->exists ? question->size : 0;
        bool known = question->exists && size != CAS_SIZE_UNKNOWN;

        pthread_mutex_lock(&sizes->lock);
        if (cause->kind != FETCH_CANCELLED)
                fetch_memory_note(
                    &sizes->known, &question->entry.digest, size, question->exists ? NULL : cause,
                    fetch_now_ms() + (known ? REMEMBER_SIZE_MS : REMEMBER_FAILURE_MS));

        struct fetch_waiter *waiters = fetch_crowd_dissolve(&question->crowd);

        cas_map_remove(&sizes->map, &question->entry);
        pthread_mutex_unlock(&sizes->lock);

        fetch_crowd_tell(waiters, cause, size);
        fetch_sources_free(question->sources);
        free(question);

        pthread_mutex_lock(&sizes->lock);
        sizes->running--;
        pthread_cond_broadcast(&sizes->ended);
        pthread_mutex_unlock(&sizes->lock);
        start_queued(sizes);
}

static bool on_response(void *arg, const struct http_response *response)
{
        struct question *question = arg;

        question->exists = true;
        question->size = response->size;
        return question->method == HTTP_HEAD; /* a body, if one comes, is not wanted */
}

/* HEAD that is refused, or that tells no length, says nothing about GET. */
static bool worth_a_range(const struct question *question, const struct fetch_cause *cause)
{
        if (question->method != HTTP_HEAD)
                return false;
        return cause->kind == FETCH_OK || (cause->status >= 400 && cause->status != 404 &&
                                           cause->status != 410 && cause->status != 407);
}

static void on_done(void *arg, const struct fetch_cause *cause)
{
        struct question *question = arg;
        bool stopping = cause->kind == FETCH_CANCELLED && !question->exists;

        if (stopping || (question->exists && question->size != CAS_SIZE_UNKNOWN)) {
                conclude(question, cause);
                return;
        }
        if (worth_a_range(question, cause)) {
                question->method = HTTP_GET_FIRST_BYTE;
        } else {
                if (!question->exists)
                        fetch_cause_merge(&question->worst, cause);
                question->method = HTTP_HEAD;
                question->at++;
        }
        ask_next(question);
}

static void ask_file(struct question *question, const char *url)
{
        struct fetch_cause cause = {0};
        uint64_t size = 0;

        fetch_file_size(url, &size, &cause);
        if (cause.kind == FETCH_OK) {
                question->exists = true;
                question->size = size;
        }
        question->method = HTTP_GET_FIRST_BYTE; /* nothing further to ask of a file */
        on_done(question, &cause);
}

static bool ask_http(struct question *question, const char *url, int64_t left_ms)
{
        static const struct http_handler handler = {.response = on_response, .done = on_done};

        return http_start(question->sizes->loop, question->method, url, (unsigned)left_ms, &handler,
                          question);
}

/* Asks the next source, or ends: the sources or the time are used up. */
static void ask_next(struct question *question)
{
        const char *url = question->sources[question->at];
        int64_t left_ms = question->deadline_ms - fetch_now_ms();
        enum fetch_scheme scheme = url ? fetch_url_scheme(url) : FETCH_SCHEME_OTHER;

        if (question->exists && question->method == HTTP_HEAD) {
                /* It is there, and whether the next source tells its size is not worth a wait. */
                conclude(question, NULL);
        } else if (!url) {
                if (question->worst.kind == FETCH_OK)
                        fetch_cause_set(&question->worst, FETCH_NOT_FOUND, "no source for it");
                conclude(question, &question->worst);
        } else if (left_ms <= 0) {
                fetch_cause_set(&question->worst, FETCH_STALLED, "no answer about the size");
                conclude(question, &question->worst);
        } else if (scheme == FETCH_SCHEME_FILE) {
                ask_file(question, url);
        } else if (scheme == FETCH_SCHEME_OTHER) {
                struct fetch_cause cause = {0};

                fetch_cause_set(&cause, FETCH_ORIGIN_FAILED, "this scheme cannot be read");
                question->method = HTTP_GET_FIRST_BYTE;
                on_done(question, &cause);
        } else if (!ask_http(question, url, left_ms)) {
                fetch_cause_set_disk(&question->worst, ENOMEM, "size");
                conclude(question, &question->worst);
        }
}

/* Under the lock. */
static struct question *new_question(struct fetch_sizes *sizes, const struct cas_digest *digest)
{
        struct question *question = calloc(1, sizeof(*question));

        if (!question)
                return NULL;
        question->sources = fetch_sources(&sizes->config.origins, digest);
        if (!question->sources) {
                free(question);
                return NULL;
        }
        question->sizes = sizes;
        question->entry.digest = *digest;
        question->method = HTTP_HEAD;
        question->size = CAS_SIZE_UNKNOWN;
        question->deadline_ms = fetch_now_ms() + sizes->config.size_timeout_ms;
        cas_map_insert(&sizes->map, &question->entry);
        return question;
}

/* Under the lock. */
static void queue(struct fetch_sizes *sizes, struct question *question)
{
        if (sizes->queue_last)
                sizes->queue_last->queue_next = question;
        else
                sizes->queue_first = question;
        sizes->queue_last = question;
}

/* Under the lock. Joins the open or a new question (true), or has the answer already. */
static bool join(struct fetch_sizes *sizes, const struct cas_digest *digest,
                 struct fetch_waiter *waiter, struct fetch_cause *ret, uint64_t *ret_size)
{
        const struct fetch_note *note = fetch_memory_recall(&sizes->known, digest, fetch_now_ms());
        struct question *question = (struct question *)cas_map_find(&sizes->map, digest);

        if (sizes->cancelled) {
                fetch_cause_set(ret, FETCH_CANCELLED, "stopping");
                return false;
        }
        if (note) {
                *ret_size = note->size;
                if (note->cause)
                        *ret = *note->cause;
                return false;
        }
        if (!question) {
                question = new_question(sizes, digest);
                if (!question) {
                        fetch_cause_set_disk(ret, ENOMEM, "size");
                        return false;
                }
                queue(sizes, question);
        }
        if (waiter)
                fetch_crowd_join(&question->crowd, waiter);
        return true;
}

void fetch_sizes_ask(struct fetch_sizes *sizes, const struct cas_digest *digest,
                     struct fetch_waiter *waiter)
{
        struct fetch_cause cause = {0};
        uint64_t size = 0;

        pthread_mutex_lock(&sizes->lock);

        bool joined = join(sizes, digest, waiter, &cause, &size);

        pthread_mutex_unlock(&sizes->lock);
        if (joined)
                start_queued(sizes);
        else if (waiter)
                waiter->done(waiter, &cause, size);
}

uint64_t fetch_sizes_known(struct fetch_sizes *sizes, const struct cas_digest *digest)
{
        pthread_mutex_lock(&sizes->lock);

        const struct fetch_note *note = fetch_memory_recall(&sizes->known, digest, fetch_now_ms());
        uint64_t size = note && !note->cause ? note->size : CAS_SIZE_UNKNOWN;

        pthread_mutex_unlock(&sizes->lock);
        return size;
}

bool fetch_sizes_leave(struct fetch_sizes *sizes, struct fetch_waiter *waiter)
{
        pthread_mutex_lock(&sizes->lock);

        bool waits = waiter->crowd;

        if (waits)
                fetch_crowd_leave(waiter->crowd, waiter);
        pthread_mutex_unlock(&sizes->lock);
        return waits;
}

void fetch_sizes_stop(struct fetch_sizes *sizes)
{
        pthread_mutex_lock(&sizes->lock);
        sizes->cancelled = true;
        while (sizes->map.count > 0 || sizes->running > 0 || sizes->starting)
                pthread_cond_wait(&sizes->ended, &sizes->lock);
        pthread_mutex_unlock(&sizes->lock);
}
