/*
 * When catalogs by URL are asked for. One thread, which also looks at what came
 * (fetch/refresh_take.c) and writes the copies, so that the transfer loop need not.
 */
#include "fetch/refresh_source.h"

#include "cas/io.h"
#include "fetch/clock.h"
#include "fetch/thread.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static void drop_pass(struct refresh_source *source)
{
        fetch_auth_pass_unref(source->get.pass);
        source->get.pass = NULL;
        free(source->location.url);
        source->location = (struct fetch_location){0};
}

/* Was the credential refused, and is there another one? It will be tried at once, once. Where one
 * could not be made, that is the cause; where there is no other, the refusal stays it. */
static bool renew(struct refresh_source *source)
{
        struct refresh_get *get = &source->get;
        struct fetch_auth_pass *next;

        if (!fetch_auth_has_refused(get->pass, get->cause.status) || source->renewed)
                return false;
        next = fetch_auth_renew(source->location.auth, get->pass, source->location.url, NULL,
                                &get->cause);
        fetch_auth_pass_unref(next);
        source->renewed = next;
        source->due_ms = next ? 0 : source->due_ms;
        return next;
}

/* A request has ended. */
static void take_answer(struct refresh_source *source)
{
        bool again = renew(source);

        drop_pass(source);
        if (again)
                return;
        source->renewed = false;
        refresh_take(source);
}

static void on_get_done(struct refresh_get *get)
{
        struct refresh_source *source =
            (struct refresh_source *)((char *)get - offsetof(struct refresh_source, get));
        struct fetch_refresh *refresh = source->refresh;

        pthread_mutex_lock(&refresh->lock);
        source->ended = true;
        pthread_cond_signal(&refresh->changed);
        pthread_mutex_unlock(&refresh->lock);
}

/* With the credential that there is now; false: *ret says why not. */
static bool locate(struct refresh_source *source, struct fetch_cause *ret)
{
        const char *why = strerror(ENOMEM);
        int r = fetch_locate(source->refresh->locator, source->origin, source->text->url, NULL,
                             &source->location, &why);

        if (r < 0)
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "%s", why);
        source->get.proxy = source->location.proxy;
        if (r == 0 && source->location.auth)
                source->get.pass = fetch_auth_take(source->location.auth, NULL, ret);
        return r == 0 && (!source->location.auth || source->get.pass);
}

/* false: it was said why not. */
static bool start(struct refresh_source *source)
{
        struct fetch_cause cause = {0};

        source->get.done = on_get_done;
        if (locate(source, &cause)) {
                if (refresh_get_start(&source->get, source->refresh->loop, source->location.url,
                                      &source->known))
                        return true;
                fetch_cause_set(&cause, FETCH_ORIGIN_FAILED, "%s", strerror(ENOMEM));
        }
        drop_pass(source);
        refresh_fail_to_reach(source, &cause);
        return false;
}

/* Under the lock, which is let go meanwhile. */
static void start_due(struct fetch_refresh *refresh)
{
        for (size_t i = 0; i < refresh->count && !refresh->stopping; i++) {
                struct refresh_source *source = &refresh->sources[i];

                if (source->running || source->due_ms > fetch_now_ms())
                        continue;
                source->running = true;
                pthread_mutex_unlock(&refresh->lock);

                bool started = start(source);

                pthread_mutex_lock(&refresh->lock);
                if (!started)
                        source->running = false;
        }
}

/* Under the lock, which is let go meanwhile. How many still run. */
static size_t take_ended(struct fetch_refresh *refresh)
{
        size_t running = 0;

        for (size_t i = 0; i < refresh->count; i++) {
                struct refresh_source *source = &refresh->sources[i];

                if (source->ended) {
                        source->ended = source->running = false;
                        pthread_mutex_unlock(&refresh->lock);
                        take_answer(source);
                        pthread_mutex_lock(&refresh->lock);
                }
                running += source->running;
        }
        pthread_mutex_unlock(&refresh->lock);
        refresh_take_news(refresh);
        pthread_mutex_lock(&refresh->lock);
        return running;
}

/* Under the lock: until the next is due, a request ends, or it is to stop. */
static void wait_for_something(struct fetch_refresh *refresh)
{
        int64_t due_ms = INT64_MAX;
        bool ended = false;

        for (size_t i = 0; i < refresh->count; i++) {
                const struct refresh_source *source = &refresh->sources[i];

                ended |= source->ended;
                if (!source->running && source->due_ms < due_ms)
                        due_ms = source->due_ms;
        }
        if (ended)
                return;
        if (due_ms == INT64_MAX || refresh->stopping) {
                pthread_cond_wait(&refresh->changed, &refresh->lock);
        } else {
                struct timespec until = {.tv_sec = due_ms / 1000,
                                         .tv_nsec = due_ms % 1000 * 1000000};

                pthread_cond_timedwait(&refresh->changed, &refresh->lock, &until);
        }
}

static void *run(void *arg)
{
        struct fetch_refresh *refresh = arg;

        pthread_setname_np(pthread_self(), "catalogs");
        pthread_mutex_lock(&refresh->lock);
        for (;;) {
                start_due(refresh);
                if (take_ended(refresh) == 0 && refresh->stopping)
                        break;
                wait_for_something(refresh);
        }
        pthread_mutex_unlock(&refresh->lock);
        return NULL;
}

static int name_copy(struct refresh_source *source)
{
        struct cas_hash *hash;
        int r = cas_hash_new(&hash);

        if (r < 0)
                return r;
        cas_hash_update(hash, source->text->url, strlen(source->text->url));
        r = cas_hash_final(hash, &source->name);
        cas_hash_free(hash);
        return r;
}

static int make_sources(struct fetch_refresh *refresh)
{
        int r = 0;

        /* No calloc(): clang-tidy would take what is set by a variable index for NULL still. */
        refresh->sources = reallocarray(NULL, refresh->config.count + 1, sizeof(*refresh->sources));
        if (!refresh->sources)
                return -ENOMEM;
        memset(refresh->sources, 0, (refresh->config.count + 1) * sizeof(*refresh->sources));
        for (size_t i = 0; r == 0 && i < refresh->config.count; i++) {
                struct refresh_source *source = &refresh->sources[refresh->count];

                if (!refresh->config.texts[i].url)
                        continue;
                source->refresh = refresh;
                source->text = &refresh->config.texts[i];
                source->origin = &refresh->config.origins[i];
                refresh->count++;
                r = name_copy(source);
        }
        return r;
}

/* What cannot be read, or is broken, is as if it were not there: it will be brought. */
static void take_copies(struct fetch_refresh *refresh)
{
        for (size_t i = 0; i < refresh->count; i++) {
                struct refresh_source *source = &refresh->sources[i];

                source->is_copy = source->is_news =
                    cas_kept_read(refresh->dir, &source->name, FETCH_CATALOG_TEXT, &source->came) ==
                    0;
        }
        refresh_take_news(refresh);
        for (size_t i = 0; i < refresh->count; i++)
                refresh->sources[i].due_ms = 0;
}

static void prune(const struct fetch_refresh *refresh)
{
        _cleanup_free_ struct cas_digest *names = calloc(refresh->count, sizeof(*names));

        for (size_t i = 0; names && i < refresh->count; i++)
                names[i] = refresh->sources[i].name;
        if (names)
                cas_kept_prune(refresh->dir, names, refresh->count);
}

int fetch_refresh_new(const struct fetch_refresh_config *config, struct http_loop *loop,
                      struct fetch_locator *locator, struct fetch_refresh **ret)
{
        struct fetch_refresh *refresh = calloc(1, sizeof(*refresh));
        pthread_condattr_t clock;
        int r;

        if (!refresh)
                return -ENOMEM;
        refresh->config = *config;
        refresh->loop = loop;
        refresh->locator = locator;
        pthread_mutex_init(&refresh->lock, NULL);
        pthread_condattr_init(&clock);
        pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
        pthread_cond_init(&refresh->changed, &clock);
        pthread_condattr_destroy(&clock);
        refresh->dir = config->root < 0 ? -1 : cas_kept_open(config->root);
        r = make_sources(refresh);
        if (r == 0 && refresh->dir >= 0) {
                take_copies(refresh);
                if (config->may_prune)
                        prune(refresh);
        }
        if (r == 0)
                r = fetch_thread_start(&refresh->thread, run, refresh);
        refresh->started = r == 0;
        if (r < 0) {
                fetch_refresh_free(refresh);
                return r;
        }
        *ret = refresh;
        return 0;
}

void fetch_refresh_stop(struct fetch_refresh *refresh)
{
        if (!refresh || !refresh->started)
                return;
        pthread_mutex_lock(&refresh->lock);
        refresh->stopping = true;
        pthread_cond_signal(&refresh->changed);
        pthread_mutex_unlock(&refresh->lock);
        pthread_join(refresh->thread, NULL);
        refresh->started = false;
}

void fetch_refresh_free(struct fetch_refresh *refresh)
{
        if (!refresh)
                return;
        for (size_t i = 0; i < refresh->count; i++)
                refresh_drop_came(&refresh->sources[i]);
        free(refresh->sources);
        cas_io_close_at(&refresh->dir);
        pthread_cond_destroy(&refresh->changed);
        pthread_mutex_destroy(&refresh->lock);
        free(refresh);
}

void fetch_refresh_look(struct fetch_refresh *refresh,
                        void (*each)(void *arg, const struct fetch_refresh_view *view), void *arg)
{
        if (!refresh)
                return;
        pthread_mutex_lock(&refresh->lock);
        for (size_t i = 0; i < refresh->count; i++) {
                const struct refresh_source *source = &refresh->sources[i];
                struct fetch_refresh_view view = {source->text->path, source->here,
                                                  source->checked_ms,
                                                  source->failure[0]   ? source->failure
                                                  : source->checked_ms ? NULL
                                                                       : "not asked yet"};

                each(arg, &view);
        }
        pthread_mutex_unlock(&refresh->lock);
}
