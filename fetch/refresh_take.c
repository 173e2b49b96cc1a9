/*
 * What becomes of what came: parsed with all other catalogs, put in force, kept, or refused; and
 * when the next is due. On the refresh's thread; asks nobody.
 */
#include "fetch/refresh_source.h"

#include "cas/io.h"
#include "fetch/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define FIRST_PAUSE_MS 1000
#define LONGEST_PAUSE  300 /* seconds, where there is no interval */

static void tell(struct fetch_refresh *refresh, const struct refresh_source *source,
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

static void wait_after_success(struct refresh_source *source)
{
        unsigned interval_s = source->refresh->config.interval_s;

        source->failures = 0;
        source->due_ms =
            interval_s ? fetch_now_ms() + spread((int64_t)interval_s * 1000) : INT64_MAX;
}

static void wait_after_failure(struct refresh_source *source)
{
        unsigned interval_s = source->refresh->config.interval_s;
        int64_t most = (int64_t)(interval_s ? interval_s : LONGEST_PAUSE) * 1000;
        int64_t pause = FIRST_PAUSE_MS << (source->failures < 20 ? source->failures : 20);

        source->failures++;
        source->due_ms = fetch_now_ms() + spread(pause < most ? pause : most);
}

/* Says it, unless it was said of the try before. */
static void fail(struct refresh_source *source, enum fetch_refresh_event event, const char *why)
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
void refresh_fail_to_reach(struct refresh_source *source, const struct fetch_cause *cause)
{
        if (cause->kind == FETCH_CANCELLED)
                wait_after_failure(source);
        else
                fail(source, FETCH_CATALOG_UNREACHABLE, cause->text);
}

/* true: it had failed before. */
static bool succeed(struct refresh_source *source, bool checked)
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

void refresh_drop_came(struct refresh_source *source)
{
        free(source->came.bytes);
        source->came = (struct cas_kept){0};
        source->is_news = false;
}

/* Puts a catalog in force that has what came of `only`, or of all where that is NULL. */
static int try_came(struct fetch_refresh *refresh, const struct refresh_source *only,
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
                const struct refresh_source *source = &refresh->sources[i];
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
static int keep_copy(const struct refresh_source *source)
{
        const struct fetch_refresh *refresh = source->refresh;

        if (source->is_copy || refresh->config.root < 0)
                return 0;
        return refresh->dir < 0 ? refresh->dir
                                : cas_kept_write(refresh->dir, &source->name, &source->came);
}

/* What came is in force: its bytes take the place of those before. */
static void put_in_place(struct refresh_source *source)
{
        struct fetch_refresh *refresh = source->refresh;
        int r = keep_copy(source);

        free(source->text->bytes);
        source->text->bytes = source->came.bytes;
        source->text->length = source->came.length;
        source->came.bytes = NULL;
        source->known = source->came;
        refresh_drop_came(source);
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
                struct refresh_source *source = &refresh->sources[i];

                if (!source->came.bytes || try_came(refresh, source, source->why) < 0)
                        continue;
                put_in_place(source);
                return true;
        }
        return false;
}

/* One that is right in itself waits for others that will come, since several that changed together
 * may fit only so, and do not come at once. */
static void refuse(struct refresh_source *source)
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
                refresh_drop_came(source);
}

/* What came: all together, else one by one. */
void refresh_take_news(struct fetch_refresh *refresh)
{
        struct refresh_source *last = NULL;
        size_t came = 0;
        bool news = false;

        for (size_t i = 0; i < refresh->count; i++) {
                struct refresh_source *source = &refresh->sources[i];

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

static bool is_body(const struct refresh_source *source, const char *bytes, size_t length)
{
        const struct cas_kept *body = &source->get.body;

        return body->bytes && bytes && body->length == length &&
               memcmp(body->bytes, bytes, length) == 0;
}

static bool same_as_before(const struct refresh_source *source)
{
        return source->here && is_body(source, source->text->bytes, source->text->length);
}

/* The same bytes by another tag: else all of them would come again and again. */
static void keep_version(struct refresh_source *source, const struct cas_kept *body)
{
        source->known = *body;
        source->known.bytes = NULL;
        source->known.length = 0;
}

static bool same_as_refused(const struct refresh_source *source)
{
        return is_body(source, source->came.bytes, source->came.length);
}

static void take_body(struct refresh_source *source)
{
        refresh_drop_came(source);
        source->came = source->get.body;
        source->get.body = (struct cas_kept){0};
        source->is_news = true;
        source->is_copy = false;
}

void refresh_take(struct refresh_source *source)
{
        struct refresh_get *get = &source->get;

        if (get->cause.kind == FETCH_TOO_BIG) {
                fail(source, FETCH_CATALOG_REFUSED, get->cause.text);
        } else if (get->cause.kind != FETCH_OK) {
                refresh_fail_to_reach(source, &get->cause);
        } else if (get->unchanged || same_as_before(source)) {
                refresh_drop_came(source);
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
