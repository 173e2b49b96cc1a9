/*
 * When catalogs by URL are asked for, and what becomes of what came. One thread; it parses and
 * writes the copies, so that the transfer loop need not.
 */
#include "fetch/refresh.h"

#include "cas/io.h"
#include "cas/kept.h"
#include "fetch/clock.h"
#include "fetch/refresh_get.h"
#include "fetch/thread.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FIRST_PAUSE_MS 1000
#define LONGEST_PAUSE  300 /* seconds, where there is no interval */

/* A catalog that comes by URL. The thread's, but for what is under the lock. */
struct source {
        struct fetch_refresh *refresh;
        struct fetch_catalog_text *text; /* with the bytes in force */
        struct cas_digest name;          /* of its copy */
        const struct fetch_origin *origin;
        struct fetch_location location; /* while it is asked for */
        bool renewed;                   /* the credential was refused, and another one is tried */
        struct cas_kept known;          /* etag and date of the bytes in force; no bytes */
        struct refresh_get get;
        struct cas_kept came;        /* another version, with bytes, that is not in force (yet) */
        bool is_news;                /* … and was not looked at */
        bool is_copy;                /* … and is what was kept */
        char why[FETCH_CATALOG_WHY]; /* … and was refused for this */
        int64_t due_ms;
        unsigned failures;

        bool running;                    /* lock */
        bool ended;                      /* lock; get is ours again */
        bool here;                       /* lock */
        int64_t checked_ms;              /* lock */
        char failure[FETCH_CATALOG_WHY]; /* lock; or "" */
};

struct fetch_refresh {
        struct fetch_refresh_config config;
        struct http_loop *loop;
        struct fetch_locator *locator;
        int dir;
        struct source *sources;
        size_t count;
        bool started;
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool stopping; /* lock */
};

static void tell(struct fetch_refresh *refresh, const struct source *source,
                 enum fetch_refresh_event event, const char *why)
{
        _cleanup_catalog_ struct fetch_catalog *now = fetch_catalogs_now(refresh->config.catalogs);
        struct fetch_refresh_report report = {event, source->text->path, why,
                                              fetch_catalog_asset_count(now), source->here};

        refresh->config.report(refresh->config.arg, &report);
}

/* From half of it to all of it, by chance. */
static int64_t spread(int64_t ms)
{
        uint32_t random;

        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
                random = (uint32_t)fetch_now_us();
        return ms - (int64_t)(random % (uint64_t)(ms / 2 + 1));
}

static void wait_after_success(struct source *source)
{
        unsigned interval_s = source->refresh->config.interval_s;

        source->failures = 0;
        source->due_ms =
            interval_s ? fetch_now_ms() + spread((int64_t)interval_s * 1000) : INT64_MAX;
}

static void wait_after_failure(struct source *source)
{
        unsigned interval_s = source->refresh->config.interval_s;
        int64_t most = (int64_t)(interval_s ? interval_s : LONGEST_PAUSE) * 1000;
        int64_t pause = FIRST_PAUSE_MS << (source->failures < 20 ? source->failures : 20);

        source->failures++;
        source->due_ms = fetch_now_ms() + spread(pause < most ? pause : most);
}

/* Says it, unless it was said of the try before. */
static void fail(struct source *source, enum fetch_refresh_event event, const char *why)
{
        struct fetch_refresh *refresh = source->refresh;

        pthread_mutex_lock(&refresh->lock);

        bool same = fetch_cause_is_same_text(source->failure, why);

        snprintf(source->failure, sizeof(source->failure), "%s", why);
        pthread_mutex_unlock(&refresh->lock);
        if (!same)
                tell(refresh, source, event, why);
        wait_after_failure(source);
}

/* Nothing came. Where the loop cancels all, that is nobody's failure; but until we are stopped
 * too, we need not try again and again. */
static void fail_to_reach(struct source *source, const struct fetch_cause *cause)
{
        if (cause->kind == FETCH_CANCELLED)
                wait_after_failure(source);
        else
                fail(source, FETCH_CATALOG_UNREACHABLE, cause->text);
}

/* true: it had failed before. */
static bool succeed(struct source *source, bool checked)
{
        struct fetch_refresh *refresh = source->refresh;
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        pthread_mutex_lock(&refresh->lock);

        bool had_failed = source->failure[0];

        source->failure[0] = '\0';
        source->here = true;
        if (checked)
                source->checked_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
        pthread_mutex_unlock(&refresh->lock);
        wait_after_success(source);
        return had_failed;
}

static void drop_pass(struct source *source)
{
        fetch_auth_pass_unref(source->get.pass);
        source->get.pass = NULL;
        free(source->location.url);
        source->location = (struct fetch_location){0};
}

static void drop_came(struct source *source)
{
        free(source->came.bytes);
        source->came = (struct cas_kept){0};
        source->is_news = false;
}

/* Puts a catalog in force that has what came of `only`, or of all where that is NULL. */
static int try_came(struct fetch_refresh *refresh, const struct source *only,
                    char why[FETCH_CATALOG_WHY])
{
        size_t count = refresh->config.count;
        _cleanup_free_ struct fetch_catalog_text *texts = calloc(count, sizeof(*texts));
        struct fetch_catalog *catalog = NULL;
        int r;

        snprintf(why, FETCH_CATALOG_WHY, "%s", strerror(ENOMEM));
        if (!texts)
                return -ENOMEM;
        memcpy(texts, refresh->config.texts, count * sizeof(*texts));
        for (size_t i = 0; i < refresh->count; i++) {
                const struct source *source = &refresh->sources[i];
                struct fetch_catalog_text *text = &texts[source->text - refresh->config.texts];

                if (!source->came.bytes || (only && only != source))
                        continue;
                text->bytes = source->came.bytes;
                text->length = source->came.length;
        }
        r = fetch_catalog_parse(texts, count, &catalog, why);
        if (r == 0)
                fetch_catalogs_swap(refresh->config.catalogs, catalog);
        return r;
}

/* 0; -errno: the cache's disk did not take it. */
static int keep_copy(const struct source *source)
{
        const struct fetch_refresh *refresh = source->refresh;

        if (source->is_copy || refresh->config.root < 0)
                return 0;
        return refresh->dir < 0 ? refresh->dir
                                : cas_kept_write(refresh->dir, &source->name, &source->came);
}

/* What came is in force: its bytes take the place of those before. */
static void put_in_place(struct source *source)
{
        struct fetch_refresh *refresh = source->refresh;
        int r = keep_copy(source);

        free(source->text->bytes);
        source->text->bytes = source->came.bytes;
        source->text->length = source->came.length;
        source->came.bytes = NULL;
        source->known = source->came;
        drop_came(source);
        succeed(source, !source->is_copy);
        if (!source->is_copy)
                tell(refresh, source, FETCH_CATALOG_FRESH, "");
        if (r < 0)
                tell(refresh, source, FETCH_CATALOG_NOT_KEPT, strerror(-r));
}

/* Of several that came, one that fits to what is in force; false: none does, each knows why. */
static bool place_one(struct fetch_refresh *refresh)
{
        for (size_t i = 0; i < refresh->count; i++) {
                struct source *source = &refresh->sources[i];

                if (!source->came.bytes || try_came(refresh, source, source->why) < 0)
                        continue;
                put_in_place(source);
                return true;
        }
        return false;
}

/* One that is right in itself waits for others that will come, since several that changed together
 * may fit only so, and do not come at once. */
static void refuse(struct source *source)
{
        struct fetch_catalog_text text = *source->text;
        struct fetch_catalog *catalog = NULL;
        char why[FETCH_CATALOG_WHY];

        source->is_news = false;
        fail(source, FETCH_CATALOG_REFUSED, source->why);
        text.bytes = source->came.bytes;
        text.length = source->came.length;
        if (source->refresh->count > 1 && fetch_catalog_parse(&text, 1, &catalog, why) == 0)
                fetch_catalog_free(catalog);
        else
                drop_came(source);
}

/* What came: all together, else one by one. */
static void take_news(struct fetch_refresh *refresh)
{
        struct source *last = NULL;
        size_t came = 0;
        bool news = false;

        for (size_t i = 0; i < refresh->count; i++) {
                struct source *source = &refresh->sources[i];

                news |= source->is_news;
                came += source->came.bytes != NULL;
                last = source->came.bytes ? source : last;
        }
        if (!news || !last)
                return;

        bool all = try_came(refresh, NULL, last->why) == 0;

        for (size_t i = 0; all && i < refresh->count; i++)
                if (refresh->sources[i].came.bytes)
                        put_in_place(&refresh->sources[i]);
        while (!all && came > 1 && place_one(refresh))
                ;
        for (size_t i = 0; i < refresh->count; i++)
                if (refresh->sources[i].is_news)
                        refuse(&refresh->sources[i]);
}

static bool is_body(const struct source *source, const char *bytes, size_t length)
{
        const struct cas_kept *body = &source->get.body;

        return body->bytes && bytes && body->length == length &&
               memcmp(body->bytes, bytes, length) == 0;
}

static bool same_as_before(const struct source *source)
{
        return source->here && is_body(source, source->text->bytes, source->text->length);
}

/* The same bytes by another tag: else all of them would come again and again. */
static void keep_version(struct source *source, const struct cas_kept *body)
{
        source->known = *body;
        source->known.bytes = NULL;
        source->known.length = 0;
}

static bool same_as_refused(const struct source *source)
{
        return is_body(source, source->came.bytes, source->came.length);
}

static void take_body(struct source *source)
{
        drop_came(source);
        source->came = source->get.body;
        source->get.body = (struct cas_kept){0};
        source->is_news = true;
        source->is_copy = false;
}

/* Was the credential refused, and is there another one? It will be tried at once, once. Where one
 * could not be made, that is the cause; where there is no other, the refusal stays it. */
static bool renew(struct source *source)
{
        struct refresh_get *get = &source->get;
        struct fetch_auth_pass *next;
        struct fetch_cause cause = {0};

        if (!fetch_auth_has_refused(get->pass, get->cause.status) || source->renewed)
                return false;
        next =
            fetch_auth_renew(source->location.auth, get->pass, source->location.url, NULL, &cause);
        fetch_auth_pass_unref(next);
        if (cause.kind != FETCH_OK)
                get->cause = cause;
        source->renewed = next;
        source->due_ms = next ? 0 : source->due_ms;
        return next;
}

/* A request has ended. */
static void take_answer(struct source *source)
{
        struct refresh_get *get = &source->get;
        bool again = renew(source);

        drop_pass(source);
        if (again)
                return;
        source->renewed = false;
        if (get->cause.kind == FETCH_TOO_BIG) {
                fail(source, FETCH_CATALOG_REFUSED, get->cause.text);
        } else if (get->cause.kind != FETCH_OK) {
                fail_to_reach(source, &get->cause);
        } else if (get->unchanged || same_as_before(source)) {
                drop_came(source);
                if (!get->unchanged)
                        keep_version(source, &get->body);
                if (succeed(source, true))
                        tell(source->refresh, source, FETCH_CATALOG_GOOD, "");
        } else if (!get->body.bytes) {
                /* An empty SHA256SUMS lists nothing, but an empty answer is rather a mistake. */
                fail(source, FETCH_CATALOG_REFUSED, "empty");
        } else if (same_as_refused(source)) {
                fail(source, FETCH_CATALOG_REFUSED, source->why);
        } else {
                take_body(source);
        }
        free(get->body.bytes);
        get->body = (struct cas_kept){0};
}

static void on_get_done(struct refresh_get *get)
{
        struct source *source = (struct source *)((char *)get - offsetof(struct source, get));
        struct fetch_refresh *refresh = source->refresh;

        pthread_mutex_lock(&refresh->lock);
        source->ended = true;
        pthread_cond_signal(&refresh->changed);
        pthread_mutex_unlock(&refresh->lock);
}

/* With the credential that there is now; false: *ret says why not. */
static bool locate(struct source *source, struct fetch_cause *ret)
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
static bool start(struct source *source)
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
        fail_to_reach(source, &cause);
        return false;
}

/* Under the lock, which is let go meanwhile. */
static void start_due(struct fetch_refresh *refresh)
{
        for (size_t i = 0; i < refresh->count && !refresh->stopping; i++) {
                struct source *source = &refresh->sources[i];

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
                struct source *source = &refresh->sources[i];

                if (source->ended) {
                        source->ended = source->running = false;
                        pthread_mutex_unlock(&refresh->lock);
                        take_answer(source);
                        pthread_mutex_lock(&refresh->lock);
                }
                running += source->running;
        }
        pthread_mutex_unlock(&refresh->lock);
        take_news(refresh);
        pthread_mutex_lock(&refresh->lock);
        return running;
}

/* Under the lock: until the next is due, a request ends, or it is to stop. */
static void wait_for_something(struct fetch_refresh *refresh)
{
        int64_t due_ms = INT64_MAX;
        bool ended = false;

        for (size_t i = 0; i < refresh->count; i++) {
                const struct source *source = &refresh->sources[i];

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

static int name_copy(struct source *source)
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
                struct source *source = &refresh->sources[refresh->count];

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
                struct source *source = &refresh->sources[i];

                source->is_copy = source->is_news =
                    cas_kept_read(refresh->dir, &source->name, FETCH_CATALOG_TEXT, &source->came) ==
                    0;
        }
        take_news(refresh);
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
                drop_came(&refresh->sources[i]);
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
                const struct source *source = &refresh->sources[i];
                struct fetch_refresh_view view = {source->text->path, source->here,
                                                  source->checked_ms,
                                                  source->failure[0]   ? source->failure
                                                  : source->checked_ms ? NULL
                                                                       : "not asked yet"};

                each(arg, &view);
        }
        pthread_mutex_unlock(&refresh->lock);
}
