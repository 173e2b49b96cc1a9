/*
 * Parked requests and their watcher. How an answer is given is in fs/ops.h; this
 * file knows who still waits.
 */
#include "fs/parked.h"

#include "fetch/clock.h"
#include "fetch/thread.h"
#include "fs/log_open.h"
#include "fs/opener.h"
#include "fs/ops.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* The kernel sends no second INTERRUPT, so one that was noise has to be watched for a real
 * one. Half of the 100 ms in which a killed opener is to be gone. */
#define WATCH_MS 50

enum kind {
        PARKED_OPEN,
        PARKED_GETATTR,
};

struct parked {
        struct fetch_waiter waiter; /* first: fetch hands this back */
        struct fs_server *server;
        fuse_req_t req;
        enum kind kind;
        struct fs_hit hit; /* of a GETATTR: ino and digest */
        struct fs_parked_slot *slot;
        pid_t tid;
        int64_t since_ms;
        int64_t deadline_ms;

        /* The set's lock. */
        struct parked *next;
        struct parked *prev;
        struct parked *due_next; /* the watcher's list of those to look at */
        unsigned references;
        bool interrupted;
        bool answered; /* and out of the list */
};

struct fs_parked_set {
        struct fs_server *server;
        pthread_t watcher;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct parked *first; /* lock */
        int64_t wakes_ms;     /* lock; when the watcher looks next by itself */
        bool stopping;        /* lock */
};

static void unref(struct fs_parked_set *set, struct parked *parked)
{
        pthread_mutex_lock(&set->lock);

        bool last = --parked->references == 0;

        pthread_mutex_unlock(&set->lock);
        if (last)
                free(parked);
}

/* true: the caller is the one to answer. */
static bool claim(struct fs_parked_set *set, struct parked *parked)
{
        pthread_mutex_lock(&set->lock);

        bool mine = !parked->answered;

        if (mine) {
                parked->answered = true;
                if (parked->prev)
                        parked->prev->next = parked->next;
                else
                        set->first = parked->next;
                if (parked->next)
                        parked->next->prev = parked->prev;
        }
        pthread_mutex_unlock(&set->lock);
        /* Waits for an interrupt callback that is running; none comes after it. */
        if (mine)
                fuse_req_interrupt_func(parked->req, NULL, NULL);
        return mine;
}

static void on_interrupt(fuse_req_t req, void *arg)
{
        struct parked *parked = arg;
        struct fs_parked_set *set = parked->server->parked;

        (void)req;
        parked->slot->interrupted = 1;
        pthread_mutex_lock(&set->lock);
        parked->interrupted = true;
        pthread_cond_signal(&set->changed);
        pthread_mutex_unlock(&set->lock);
}

static void note_wait(const struct parked *parked)
{
        if (parked->kind == PARKED_OPEN)
                fs_metrics_observe(&parked->server->memory->metrics.open_wait,
                                   (fetch_now_ms() - parked->since_ms) * 1000);
}

/* fetch's answer. fetch's reference ends here. */
static void on_answer(struct fetch_waiter *waiter, const struct fetch_cause *cause, uint64_t size)
{
        struct parked *parked = (struct parked *)waiter;
        struct fs_parked_set *set = parked->server->parked;

        if (claim(set, parked)) {
                note_wait(parked);
                if (parked->kind == PARKED_OPEN)
                        fs_answer_open(parked->req, &parked->hit, cause);
                else
                        fs_answer_getattr(parked->req, parked->hit.ino, &parked->hit.digest, cause,
                                          size);
                fs_journal_unpark(parked->server->journal, parked->slot);
        }
        unref(set, parked);
}

/* The watcher lets the request go with an errno, and fetch forgets it. */
static void let_go(struct fs_parked_set *set, struct parked *parked, int error)
{
        struct fetch *fetch = set->server->fetch;

        if (!claim(set, parked))
                return;
        note_wait(parked);
        if (parked->kind == PARKED_OPEN) {
                fs_log_open_refused(parked->req, &parked->hit.digest, error,
                                    error == EINTR ? "interrupted, or the opener is gone"
                                                   : "--open-timeout has passed");
                fs_hit_refuse(parked->req, &parked->hit, error);
        } else {
                fuse_reply_err(parked->req, error);
        }
        fs_journal_unpark(parked->server->journal, parked->slot);

        bool left = parked->kind == PARKED_OPEN ? fetch_leave_blob(fetch, &parked->waiter)
                                                : fetch_leave_size(fetch, &parked->waiter);

        if (left)
                unref(set, parked); /* fetch's reference */
}

/* Under the lock. Those to be looked at, with a reference each; and when to look again. */
static struct parked *find_due(struct fs_parked_set *set, int64_t now, int64_t *ret_next_ms)
{
        struct parked *due = NULL;

        *ret_next_ms = INT64_MAX;
        for (struct parked *parked = set->first; parked; parked = parked->next) {
                int64_t look_ms = parked->deadline_ms;

                if (parked->interrupted || look_ms <= now) {
                        parked->references++;
                        parked->due_next = due;
                        due = parked;
                        look_ms = now + WATCH_MS;
                }
                if (look_ms < *ret_next_ms)
                        *ret_next_ms = look_ms;
        }
        return due;
}

static void look_at(struct fs_parked_set *set, struct parked *due, int64_t now)
{
        while (due) {
                struct parked *parked = due;

                due = parked->due_next;
                if (parked->deadline_ms <= now)
                        let_go(set, parked, ETIMEDOUT);
                else if (fs_opener_wants_out(parked->tid))
                        let_go(set, parked, EINTR);
                unref(set, parked);
        }
}

/* Under the lock. */
static void wait_until(struct fs_parked_set *set, int64_t until_ms)
{
        if (until_ms == INT64_MAX) {
                pthread_cond_wait(&set->changed, &set->lock);
        } else {
                struct timespec until = {.tv_sec = until_ms / 1000,
                                         .tv_nsec = until_ms % 1000 * 1000000};

                pthread_cond_timedwait(&set->changed, &set->lock, &until);
        }
}

static void *watch(void *arg)
{
        struct fs_parked_set *set = arg;

        pthread_setname_np(pthread_self(), "watcher");
        pthread_mutex_lock(&set->lock);
        while (!set->stopping) {
                int64_t now = fetch_now_ms();
                struct parked *due = find_due(set, now, &set->wakes_ms);

                if (due) {
                        pthread_mutex_unlock(&set->lock);
                        look_at(set, due, now);
                        pthread_mutex_lock(&set->lock);
                        /* A signal of `changed` may have been missed meanwhile, but
                         * wakes_ms is then no more than WATCH_MS away. */
                }
                wait_until(set, set->wakes_ms);
        }
        pthread_mutex_unlock(&set->lock);
        return NULL;
}

int fs_parked_new(struct fs_server *server, struct fs_parked_set **ret)
{
        struct fs_parked_set *set = calloc(1, sizeof(*set));
        pthread_condattr_t monotonic;

        if (!set)
                return -ENOMEM;
        set->server = server;
        set->wakes_ms = INT64_MAX;
        pthread_mutex_init(&set->lock, NULL);
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&set->changed, &monotonic);
        pthread_condattr_destroy(&monotonic);

        int r = fetch_thread_start(&set->watcher, watch, set);

        if (r < 0) {
                free(set);
                return r;
        }
        *ret = set;
        return 0;
}

void fs_parked_free(struct fs_parked_set *set)
{
        if (!set)
                return;
        pthread_mutex_lock(&set->lock);
        set->stopping = true;
        pthread_cond_signal(&set->changed);
        pthread_mutex_unlock(&set->lock);
        pthread_join(set->watcher, NULL);
        pthread_cond_destroy(&set->changed);
        pthread_mutex_destroy(&set->lock);
        free(set);
}

/* Takes `req` over. NULL: no memory or no slot, and it was answered. */
static struct parked *new_parked(fuse_req_t req, enum kind kind, const struct fs_hit *hit,
                                 unsigned timeout_ms)
{
        struct fs_server *server = fuse_req_userdata(req);
        int64_t now_ms = fetch_now_ms();
        int64_t latest_ms = now_ms + timeout_ms;
        struct parked *parked = malloc(sizeof(*parked));
        struct fs_parked_slot *slot =
            parked ? fs_journal_park(server->journal, now_ms, latest_ms) : NULL;

        if (!slot) {
                free(parked);
                fuse_reply_err(req, ENOMEM);
                return NULL;
        }
        *parked = (struct parked){
            .waiter.done = on_answer,
            .server = server,
            .req = req,
            .kind = kind,
            .hit = *hit,
            .slot = slot,
            .tid = fuse_req_ctx(req)->pid,
            .since_ms = slot->since_ms,
            .deadline_ms = slot->deadline_ms < latest_ms ? slot->deadline_ms : latest_ms,
            .references = 1, /* fetch's */
            /* An interruption may have died with the worker that was told of it. */
            .interrupted = slot->interrupted || fs_journal_is_replay(),
        };
        parked->hit.ended_miss = true;
        return parked;
}

/* From here on the watcher may answer: the request is not ours any more. */
static void park(struct parked *parked)
{
        struct fs_parked_set *set = parked->server->parked;

        fuse_req_interrupt_func(parked->req, on_interrupt, parked);

        pthread_mutex_lock(&set->lock);
        parked->next = set->first;
        if (set->first)
                set->first->prev = parked;
        set->first = parked;
        if (parked->interrupted || parked->deadline_ms < set->wakes_ms)
                pthread_cond_signal(&set->changed);
        pthread_mutex_unlock(&set->lock);
}

void fs_park_open(fuse_req_t req, const struct fs_hit *hit)
{
        const struct fs_server *server = fuse_req_userdata(req);
        struct parked *parked = new_parked(req, PARKED_OPEN, hit, server->open_timeout_ms);

        if (!parked)
                return;
        park(parked);
        fetch_blob(server->fetch, &hit->digest, &parked->waiter);
}

void fs_park_getattr(fuse_req_t req, fuse_ino_t ino, const struct cas_digest *digest)
{
        const struct fs_server *server = fuse_req_userdata(req);
        struct fs_hit asked = {.ino = ino, .digest = *digest};
        struct parked *parked = new_parked(req, PARKED_GETATTR, &asked, server->size_timeout_ms);

        if (!parked)
                return;
        park(parked);
        fetch_size(server->fetch, digest, &parked->waiter);
}

size_t fs_parked_list(struct fs_parked_set *set, struct fs_wait *ret, size_t most)
{
        size_t count = 0;

        pthread_mutex_lock(&set->lock);
        for (const struct parked *p = set->first; p && count < most; p = p->next)
                if (p->kind == PARKED_OPEN)
                        ret[count++] = (struct fs_wait){p->hit.digest, p->tid, p->since_ms};
        pthread_mutex_unlock(&set->lock);
        return count;
}
