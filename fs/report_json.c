/*
 * status.json. What it looks like is a promise (assetfs(8), tests/schema); more keys may
 * come, none goes. Locks are held to copy, never to write text.
 */
#include "fs/report.h"

#include "cas/room.h"
#include "fetch/clock.h"
#include "fs/keeper.h"
#include "fs/opener.h"
#include "fs/parked.h"
#include "fs/version.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLIGHTS_MOST   1000
#define WAITING_MOST   100 /* shown of a flight */
#define WAITS_MOST     FS_PARKED_MAX
#define PROCESSES_MOST 1000 /* looked up; of more the thread is shown */
#define JSON_VERSION   1

/* What is under way, copied and sorted. */
struct picture {
        struct fetch_view *flights;
        size_t flight_count;
        size_t running; /* of all, also those that are not shown */
        size_t all;
        struct fs_wait *waits; /* by digest */
        size_t wait_count;
        struct fetch_catalog *catalog; /* whose the names are */
        const char **names;            /* of each flight, or NULL */
        unsigned looked;               /* processes */
};

static bool add_flight(void *arg, const struct fetch_view *view)
{
        struct picture *picture = arg;

        picture->running += view->running;
        picture->all++;
        if (picture->flight_count < FLIGHTS_MOST)
                picture->flights[picture->flight_count++] = *view;
        return true;
}

static int compare_waits(const void *a, const void *b)
{
        const struct fs_wait *one = a;
        const struct fs_wait *other = b;
        int order = cas_digest_compare(&one->digest, &other->digest);

        return order ? order
                     : (one->since_ms > other->since_ms) - (one->since_ms < other->since_ms);
}

static int compare_with_flight(const void *digest, const void *flight)
{
        return cas_digest_compare(digest, &(*(const struct fetch_view *const *)flight)->digest);
}

static int compare_flights(const void *a, const void *b)
{
        return cas_digest_compare(&(*(const struct fetch_view *const *)a)->digest,
                                  &(*(const struct fetch_view *const *)b)->digest);
}

/* One walk over the catalog's names for all flights: there may be many of both. */
static void name_flights(const struct fetch_catalog *catalog, struct picture *picture)
{
        const struct fetch_view **sorted = calloc(picture->flight_count + 1, sizeof(*sorted));

        if (!sorted)
                return;
        for (size_t i = 0; i < picture->flight_count; i++)
                sorted[i] = &picture->flights[i];
        qsort(sorted, picture->flight_count, sizeof(*sorted), compare_flights);
        for (size_t i = fetch_catalog_name_count(catalog); picture->flight_count && i-- > 0;) {
                const struct fetch_name *name = fetch_catalog_name(catalog, i);
                const struct fetch_view **flight =
                    bsearch(&name->asset->digest, sorted, picture->flight_count, sizeof(*sorted),
                            compare_with_flight);

                if (flight)
                        picture->names[*flight - picture->flights] = name->name;
        }
        free(sorted);
}

static void picture_free(struct picture *picture)
{
        free(picture->flights);
        free(picture->waits);
        free(picture->names);
        fetch_catalog_free(picture->catalog);
}

static bool take_picture(const struct fs_server *server, struct picture *ret)
{
        *ret = (struct picture){.flights = calloc(FLIGHTS_MOST, sizeof(*ret->flights)),
                                .waits = calloc(WAITS_MOST, sizeof(*ret->waits)),
                                .names = calloc(FLIGHTS_MOST, sizeof(*ret->names))};
        if (!ret->flights || !ret->waits || !ret->names) {
                picture_free(ret);
                return false;
        }
        fetch_look(server->fetch, add_flight, ret);
        ret->wait_count = fs_parked_list(server->parked, ret->waits, WAITS_MOST);
        qsort(ret->waits, ret->wait_count, sizeof(*ret->waits), compare_waits);
        ret->catalog = fetch_catalogs_now(server->catalogs);
        name_flights(ret->catalog, ret);
        return true;
}

/* Text as JSON can carry it: what is not UTF-8 is shown with '?'. */
static json_t *text(const char *bytes)
{
        json_t *value;

        if (!bytes)
                return json_null();
        value = json_string(bytes);
        if (!value) {
                char *shown = strdup(bytes);

                if (shown) {
                        fetch_make_printable(shown);
                        value = json_string(shown);
                }
                free(shown);
        }
        return value;
}

static json_t *text_or_null(const char *bytes)
{
        return text(bytes && *bytes ? bytes : NULL);
}

static json_t *count_or_null(bool known, uint64_t value)
{
        return known ? json_integer((json_int_t)value) : json_null();
}

static json_t *seconds(int64_t ms)
{
        return json_real((double)ms / 1000);
}

static json_t *digest_text(const struct cas_digest *digest)
{
        char hex[CAS_DIGEST_HEX + 1];

        cas_digest_format(digest, hex);
        return json_string(hex);
}

static int64_t wall_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Those who wait for the digest; those who have waited longest first. */
static json_t *waiting(struct picture *picture, const struct cas_digest *digest, int64_t now_ms)
{
        json_t *list = json_array();
        size_t low = 0;
        size_t high = picture->wait_count;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (cas_digest_compare(&picture->waits[middle].digest, digest) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        for (size_t i = low; i < picture->wait_count && json_array_size(list) < WAITING_MOST &&
                             cas_digest_equal(&picture->waits[i].digest, digest);
             i++) {
                pid_t tid = picture->waits[i].tid;
                bool look = picture->looked++ < PROCESSES_MOST;

                json_array_append_new(
                    list, json_pack("{s:i, s:o}", "pid", (int)(look ? fs_opener_process(tid) : tid),
                                    "seconds", seconds(now_ms - picture->waits[i].since_ms)));
        }
        return list;
}

static json_t *eta(const struct fetch_view *view)
{
        bool known = view->rate > 0 && view->size != CAS_SIZE_UNKNOWN && view->size >= view->bytes;

        return count_or_null(known, known ? (view->size - view->bytes) / view->rate : 0);
}

static json_t *flights(struct picture *picture)
{
        json_t *list = json_array();
        int64_t now_ms = fetch_now_ms();

        for (size_t i = 0; i < picture->flight_count; i++) {
                const struct fetch_view *view = &picture->flights[i];
                unsigned retries = view->tries > view->sources ? view->tries - view->sources : 0;

                json_array_append_new(
                    list,
                    json_pack("{s:o, s:o, s:s, s:I, s:o, s:I, s:o, s:o, s:i, s:i, s:o, s:i, s:o}",
                              "digest", digest_text(&view->digest), "name", text(picture->names[i]),
                              "state", view->running ? "running" : "queued", "bytes",
                              (json_int_t)view->bytes, "size",
                              count_or_null(view->size != CAS_SIZE_UNKNOWN, view->size), "rate",
                              (json_int_t)view->rate, "eta", eta(view), "source",
                              text_or_null(view->source), "tries", (int)view->tries, "retries",
                              (int)retries, "seconds", seconds(now_ms - view->since_ms), "waiters",
                              (int)view->waiters, "waiting",
                              waiting(picture, &view->digest, now_ms)));
        }
        return list;
}

static const char *name_of(const struct fetch_catalog *catalog, const struct cas_digest *digest)
{
        const struct fetch_asset *asset = fetch_catalog_find(catalog, digest);

        for (size_t i = 0; asset && i < fetch_catalog_name_count(catalog); i++)
                if (fetch_catalog_name(catalog, i)->asset == asset)
                        return fetch_catalog_name(catalog, i)->name;
        return NULL;
}

static json_t *failures(const struct fs_server *server)
{
        _cleanup_catalog_ struct fetch_catalog *catalog = fetch_catalogs_now(server->catalogs);
        json_t *list = json_array();
        struct fs_failure failure;

        for (unsigned i = 0; fs_metrics_failure(&server->memory->metrics, i, &failure); i++) {
                const char *name = strerrorname_np(failure.error);

                json_array_append_new(
                    list,
                    json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:I, s:o}", "digest",
                              digest_text(&failure.digest), "name",
                              text(name_of(catalog, &failure.digest)), "time",
                              seconds(failure.time_ms), "errno", name ? name : "EIO", "cause",
                              text(failure.cause), "source", text_or_null(failure.source), "bytes",
                              (json_int_t)failure.bytes, "seconds", seconds(failure.duration_ms)));
        }
        return list;
}

static json_t *daemon_state(const struct fs_server *server)
{
        const struct fs_memory *memory = server->memory;
        int error = atomic_load(&memory->passthrough_error);
        const char *cause = error == -ECANCELED ? "by option" : strerror(-error);

        return json_pack("{s:s, s:o, s:i, s:{s:i, s:o, s:i}, s:b, s:o, s:b}", "version",
                         ASSETFS_VERSION, "started", seconds(memory->started_ms), "user",
                         (int)getuid(), "worker", "pid", (int)getpid(), "started",
                         seconds(server->started_ms), "restarts",
                         (int)atomic_load(&memory->restarts), "passthrough", server->passthrough,
                         "passthrough_cause", text(server->passthrough ? NULL : cause),
                         "catalog_stale", fs_report_catalogs_stale(server));
}

static json_t *cache_state(const struct fs_server *server)
{
        struct statvfs disk = {0};
        struct cas_usage usage;
        bool counted = fs_keeper_look(server->keeper, &usage);
        uint64_t limit = cas_room_cache_size(server->store);
        uint64_t keep_free = cas_room_keep_free(server->store);
        bool looked = cas_store_statvfs(server->store, &disk) == 0;

        return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "path", text(server->cache),
                         "used", count_or_null(counted, usage.bytes), "limit",
                         count_or_null(limit != CAS_SIZE_UNLIMITED, limit), "keep_free",
                         count_or_null(keep_free > 0, keep_free), "free",
                         count_or_null(looked, (uint64_t)disk.f_bavail * disk.f_frsize), "blobs",
                         count_or_null(counted, usage.blobs), "pinned",
                         count_or_null(counted, usage.pins), "open",
                         (json_int_t)fs_report_open_assets(server));
}

static json_t *scrub_state(const struct fs_server *server)
{
        const struct fs_metrics *metrics = &server->memory->metrics;

        return json_pack("{s:o, s:I, s:I, s:I}", "interval",
                         count_or_null(server->scrub_interval > 0, server->scrub_interval), "blobs",
                         (json_int_t)atomic_load(&metrics->scrub_blobs), "bytes",
                         (json_int_t)atomic_load(&metrics->scrub_bytes), "bad",
                         (json_int_t)atomic_load(&metrics->scrub_bad));
}

static void add_catalog(void *arg, const struct fetch_refresh_view *view)
{
        json_array_append_new(
            arg, json_pack("{s:o, s:b, s:o, s:o}", "url", text(view->url), "here", view->here,
                           "checked", view->checked_ms ? seconds(view->checked_ms) : json_null(),
                           "failure", text_or_null(view->failure)));
}

/* Those that come by URL. */
static json_t *catalogs(const struct fs_server *server)
{
        json_t *list = json_array();

        fetch_look_catalogs(server->fetch, add_catalog, list);
        return list;
}

static json_t *downloads(const struct fs_server *server, const struct picture *picture)
{
        return json_pack("{s:i, s:i, s:i}", "running", (int)picture->running, "queued",
                         (int)(picture->all - picture->running), "most",
                         (int)server->max_downloads);
}

char *fs_report_json(const struct fs_server *server, size_t *ret_length)
{
        struct picture picture;

        if (!take_picture(server, &picture))
                return NULL;

        json_t *status = json_pack(
            "{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version", JSON_VERSION, "time",
            seconds(wall_ms()), "mountpoint", text(server->mountpoint), "daemon",
            daemon_state(server), "cache", cache_state(server), "scrub", scrub_state(server),
            "catalogs", catalogs(server), "downloads", downloads(server, &picture), "flights",
            flights(&picture), "failures", failures(server));
        char *lines = status ? json_dumps(status, JSON_INDENT(1) | JSON_REAL_PRECISION(15)) : NULL;
        char *ended = NULL;

        json_decref(status);
        picture_free(&picture);
        if (lines && asprintf(&ended, "%s\n", lines) < 0)
                ended = NULL;
        free(lines);
        *ret_length = ended ? strlen(ended) : 0;
        return ended;
}
