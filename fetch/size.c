/*
 * Size questions as chains of steps. A step is a transfer, whose callback on the loop's
 * thread takes the chain further or ends it; or a look at a file, which may hang and is
 * the helper's; or a credential, for which a server may have to be asked, and which is one of
 * several helpers'. Whoever asks only puts the question into a queue.
 */
#include "fetch/size.h"

#include "fetch/clock.h"
#include "fetch/helper.h"
#include "fetch/memory.h"
#include "fetch/source.h"
#include "fetch/url.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#define REMEMBERED_SIZES  16384
#define REMEMBER_SIZE_MS  600000 /* a digest's size does not change; its source may learn better */
#define REMEMBER_DOUBT_MS 1000   /* a failure, no size, or one over the bound */
#define TRANSFERS_AT_ONCE 32
#define QUESTIONS_MOST    8192 /* open at once; a question that is given up stays until its turn */
#define QUESTIONS_AHEAD   256  /* with so many open nobody asks ahead */

struct question {
        struct cas_map_entry entry;
        struct fetch_errand errand;
        struct fetch_crowd crowd; /* the lock */
        struct fetch_sizes *sizes;
        struct question *queue_next; /* the lock */
        int64_t deadline_ms;
        struct fetch_source *sources;
        struct fetch_auth_pass *pass; /* for it, or NULL: none is needed, or not taken yet */
        bool refused;                 /* … is, by the source being asked */
        bool renewed;                 /* … was, and this is another one */
        size_t at;                    /* the source being asked */
        enum http_method method;      /* by which it is asked */
        uint64_t size;                /* what it answered */
        bool exists;                  /* some source has it, but tells no size */
        struct fetch_cause worst;     /* of the sources before */
        struct fetch_cause refusal;   /* where `refused` */
};

struct fetch_sizes {
        struct fetch_config config;
        struct http_loop *loop;
        struct fetch_helper helper;   /* of files */
        struct fetch_helpers helpers; /* of credentials */

        pthread_mutex_t lock;
        pthread_cond_t ended;
        struct cas_map map;           /* lock; of struct question, those that can be joined */
        struct fetch_memory known;    /* lock */
        struct question *queue_first; /* lock; those that wait for a transfer */
        struct question *queue_last;  /* lock */
        unsigned open;                /* lock; questions that there are */
        unsigned transfers;           /* lock */
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
        fetch_helper_init(&sizes->helper);
        fetch_helpers_init(&sizes->helpers);
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
        fetch_helper_destroy(&sizes->helper);
        fetch_helpers_destroy(&sizes->helpers);
        pthread_cond_destroy(&sizes->ended);
        pthread_mutex_destroy(&sizes->lock);
        free(sizes);
}

/* Remembers the answer over all sources, tells it, and ends the question. */
static void conclude(struct question *question)
{
        static const struct fetch_cause good;
        struct fetch_sizes *sizes = question->sizes;
        const struct fetch_cause *cause = question->exists ? &good : &question->worst;
        uint64_t size = question->exists ? question->size : 0;
        /* What is over the bound may be a lie that the next source would not tell. */
        bool believed = question->exists && size <= sizes->config.bound;

        pthread_mutex_lock(&sizes->lock);
        if (cause->kind != FETCH_CANCELLED)
                fetch_memory_note(
                    &sizes->known, &question->entry.digest, size, question->exists ? NULL : cause,
                    fetch_now_ms() + (believed ? REMEMBER_SIZE_MS : REMEMBER_DOUBT_MS));

        struct fetch_waiter *waiters = fetch_crowd_dissolve(&question->crowd);

        cas_map_remove(&sizes->map, &question->entry);
        pthread_mutex_unlock(&sizes->lock);

        fetch_crowd_tell(waiters, cause, size);
        fetch_auth_pass_unref(question->pass);
        fetch_sources_free(question->sources);
        free(question);

        pthread_mutex_lock(&sizes->lock);
        sizes->open--;
        pthread_cond_broadcast(&sizes->ended);
        pthread_mutex_unlock(&sizes->lock);
}

static void go_on(struct question *question);

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

static void drop_pass(struct question *question)
{
        fetch_auth_pass_unref(question->pass);
        question->pass = NULL;
        question->refused = question->renewed = false;
}

/* What the source at hand said, and so who is to be asked next and how. */
static void take_answer(struct question *question, const struct fetch_cause *cause)
{
        if (question->exists && question->size != CAS_SIZE_UNKNOWN)
                return;
        question->refused =
            !question->renewed && fetch_auth_has_refused(question->pass, cause->status);
        if (question->refused) {
                question->refusal = *cause;
                return;
        }
        if (worth_a_range(question, cause)) {
                question->method = HTTP_GET_FIRST_BYTE;
                return;
        }
        if (!question->exists)
                fetch_cause_merge(&question->worst, cause);
        drop_pass(question);
        question->method = HTTP_HEAD;
        question->at++;
}

static void start_queued(struct fetch_sizes *sizes);

static void on_done(void *arg, const struct fetch_cause *cause)
{
        struct question *question = arg;
        struct fetch_sizes *sizes = question->sizes;

        take_answer(question, cause);
        go_on(question);

        pthread_mutex_lock(&sizes->lock);
        sizes->transfers--;
        pthread_cond_broadcast(&sizes->ended);
        pthread_mutex_unlock(&sizes->lock);
        start_queued(sizes);
}

static void ask_http(struct question *question)
{
        static const struct http_handler handler = {.response = on_response, .done = on_done};
        struct fetch_sizes *sizes = question->sizes;
        int64_t left_ms = question->deadline_ms - fetch_now_ms();

        if (left_ms <= 0) {
                fetch_cause_set(&question->worst, FETCH_STALLED, "no answer about the size");
        } else {
                const struct fetch_source *source = &question->sources[question->at];
                struct http_request request = {
                    .method = question->method,
                    .url = source->url,
                    .is_origins = source->is_origins,
                    .proxy = source->proxy,
                    .pass = question->pass,
                    .timeout_ms = (unsigned)left_ms,
                };

                if (http_start(sizes->loop, &request, &handler, question))
                        return;
                fetch_cause_set_disk(&question->worst, ENOMEM, "size");
        }
        conclude(question);
        pthread_mutex_lock(&sizes->lock);
        sizes->transfers--;
        pthread_mutex_unlock(&sizes->lock);
}

/* Starts what queues, as far as it may. One thread at a time: another one that comes here
 * meanwhile leaves its question to it. */
static void start_queued(struct fetch_sizes *sizes)
{
        pthread_mutex_lock(&sizes->lock);
        if (!sizes->starting) {
                sizes->starting = true;
                while (sizes->queue_first && sizes->transfers < TRANSFERS_AT_ONCE) {
                        struct question *question = sizes->queue_first;

                        sizes->queue_first = question->queue_next;
                        sizes->transfers++;
                        pthread_mutex_unlock(&sizes->lock);
                        ask_http(question);
                        pthread_mutex_lock(&sizes->lock);
                }
                sizes->starting = false;
                pthread_cond_broadcast(&sizes->ended);
        }
        pthread_mutex_unlock(&sizes->lock);
}

static void queue(struct question *question)
{
        struct fetch_sizes *sizes = question->sizes;

        question->queue_next = NULL;
        pthread_mutex_lock(&sizes->lock);
        if (sizes->queue_first)
                sizes->queue_last->queue_next = question;
        else
                sizes->queue_first = question;
        sizes->queue_last = question;
        pthread_mutex_unlock(&sizes->lock);
        start_queued(sizes);
}

/* Its time may have passed while it stood behind a file that hung. */
static bool is_worth_a_look(struct question *question)
{
        struct fetch_sizes *sizes = question->sizes;

        pthread_mutex_lock(&sizes->lock);

        bool cancelled = sizes->cancelled;

        pthread_mutex_unlock(&sizes->lock);
        if (cancelled)
                fetch_cause_set(&question->worst, FETCH_CANCELLED, "stopping");
        return !cancelled && question->deadline_ms > fetch_now_ms();
}

/* On the helper's thread. */
static void look_at_file(struct fetch_errand *errand)
{
        struct question *question =
            (struct question *)((char *)errand - offsetof(struct question, errand));
        struct fetch_cause cause = {0};
        uint64_t size = 0;

        if (is_worth_a_look(question)) {
                fetch_file_size(question->sources[question->at].url, &size, &cause);
                if (cause.kind == FETCH_OK) {
                        question->exists = true;
                        question->size = size;
                }
                question->method = HTTP_GET_FIRST_BYTE; /* nothing further to ask of a file */
                take_answer(question, &cause);
        }
        go_on(question);
}

/* On the thread of one of the helpers: a credential's file may hang, or who gives it out. */
static void take_pass(struct fetch_errand *errand)
{
        struct question *question =
            (struct question *)((char *)errand - offsetof(struct question, errand));
        struct fetch_cause cause = {0};

        if (is_worth_a_look(question)) {
                question->pass =
                    fetch_auth_take(question->sources[question->at].auth, NULL, &cause);
                if (!question->pass) {
                        question->method = HTTP_GET_FIRST_BYTE; /* nothing further to ask here */
                        take_answer(question, &cause);
                }
        }
        go_on(question);
}

/* Likewise: another one, or what was refused stays so. */
static void renew_pass(struct fetch_errand *errand)
{
        struct question *question =
            (struct question *)((char *)errand - offsetof(struct question, errand));
        const struct fetch_source *source = &question->sources[question->at];
        struct fetch_cause refusal = question->refusal;
        struct fetch_cause cause = {0};

        question->refused = false;
        question->renewed = true;
        if (is_worth_a_look(question)) {
                struct fetch_auth_pass *next =
                    fetch_auth_renew(source->auth, question->pass, source->url, NULL, &cause);

                if (next) {
                        fetch_auth_pass_unref(question->pass);
                        question->pass = next;
                } else {
                        take_answer(question, cause.kind == FETCH_OK ? &refusal : &cause);
                }
        }
        go_on(question);
}

/* `auth`: for whose credential; NULL: for a file. */
static void ask_helper(struct question *question, void (*run)(struct fetch_errand *errand),
                       const struct fetch_auth *auth)
{
        struct fetch_sizes *sizes = question->sizes;

        question->errand.run = run;
        if (auth ? fetch_helpers_give(&sizes->helpers, auth, &question->errand)
                 : fetch_helper_give(&sizes->helper, &question->errand))
                return;
        fetch_cause_set_disk(&question->worst, ENOMEM, "size");
        conclude(question);
}

enum step {
        STEP_NONE,
        STEP_FILE,
        STEP_PASS,
        STEP_RENEW,
        STEP_TRANSFER,
};

/* STEP_NONE: the answer is there, or the sources or the time are used up. */
static enum step next_step(struct question *question)
{
        /* It is there, and whether the next source tells its size is not worth a wait. */
        if (question->exists &&
            (question->size != CAS_SIZE_UNKNOWN || question->method == HTTP_HEAD))
                return STEP_NONE;
        if (question->worst.kind == FETCH_CANCELLED)
                return STEP_NONE;
        if (question->deadline_ms <= fetch_now_ms()) {
                fetch_cause_set(&question->worst, FETCH_STALLED, "no answer about the size");
                return STEP_NONE;
        }
        for (; question->sources[question->at].url; question->at++) {
                const struct fetch_source *source = &question->sources[question->at];
                struct fetch_cause cause = {0};

                if (!source->why && fetch_url_scheme(source->url) == FETCH_SCHEME_FILE)
                        return STEP_FILE;
                if (question->refused)
                        return STEP_RENEW;
                if (!source->why)
                        return source->auth && !question->pass ? STEP_PASS : STEP_TRANSFER;
                fetch_cause_set(&cause, FETCH_ORIGIN_FAILED, "%s", source->why);
                fetch_cause_merge(&question->worst, &cause);
        }
        if (question->worst.kind == FETCH_OK)
                fetch_cause_set(&question->worst, FETCH_NOT_FOUND, "no source for it");
        return STEP_NONE;
}

/* The question is nobody's but the caller's, who gives it away here. */
static void go_on(struct question *question)
{
        switch (next_step(question)) {
        case STEP_NONE:
                conclude(question);
                break;
        case STEP_FILE:
                ask_helper(question, look_at_file, NULL);
                break;
        case STEP_PASS:
                ask_helper(question, take_pass, question->sources[question->at].auth);
                break;
        case STEP_RENEW:
                ask_helper(question, renew_pass, question->sources[question->at].auth);
                break;
        case STEP_TRANSFER:
                queue(question);
                break;
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
        sizes->open++;
        return question;
}

/* What join() came to. */
enum joined {
        JOINED_NONE, /* the answer is there already */
        JOINED_OPEN,
        JOINED_NEW, /* the caller has to let it go on */
};

/* Under the lock. Joins the open or a new question, or has the answer already. */
static enum joined join(struct fetch_sizes *sizes, const struct cas_digest *digest,
                        struct fetch_waiter *waiter, struct question **ret_question,
                        struct fetch_cause *ret, uint64_t *ret_size)
{
        const struct fetch_note *note = fetch_memory_recall(&sizes->known, digest, fetch_now_ms());
        struct question *question = (struct question *)cas_map_find(&sizes->map, digest);
        bool is_new = !question;

        if (sizes->cancelled) {
                fetch_cause_set(ret, FETCH_CANCELLED, "stopping");
                return JOINED_NONE;
        }
        if (note) {
                *ret_size = note->size;
                if (note->cause)
                        *ret = *note->cause;
                return JOINED_NONE;
        }
        if (is_new && sizes->open >= (waiter ? QUESTIONS_MOST : QUESTIONS_AHEAD)) {
                fetch_cause_set(ret, FETCH_STALLED, "too many sizes are being asked for");
                return JOINED_NONE;
        }
        if (is_new)
                question = new_question(sizes, digest);
        if (!question) {
                fetch_cause_set_disk(ret, ENOMEM, "size");
                return JOINED_NONE;
        }
        if (waiter)
                fetch_crowd_join(&question->crowd, waiter);
        *ret_question = question;
        return is_new ? JOINED_NEW : JOINED_OPEN;
}

void fetch_sizes_ask(struct fetch_sizes *sizes, const struct cas_digest *digest,
                     struct fetch_waiter *waiter)
{
        struct fetch_cause cause = {0};
        struct question *question;
        uint64_t size = 0;

        pthread_mutex_lock(&sizes->lock);

        enum joined joined = join(sizes, digest, waiter, &question, &cause, &size);

        pthread_mutex_unlock(&sizes->lock);
        if (joined == JOINED_NEW)
                go_on(question);
        else if (joined == JOINED_NONE && waiter)
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
        while (sizes->open > 0 || sizes->transfers > 0 || sizes->starting)
                pthread_cond_wait(&sizes->ended, &sizes->lock);
        pthread_mutex_unlock(&sizes->lock);
        fetch_helper_wait(&sizes->helper);
        fetch_helpers_wait(&sizes->helpers);
}
