/*
 * The reader of status.json. A daemon of ours wrote it, perhaps an older or a newer one:
 * what is missing is unknown, what has another type is as good as missing, and only what
 * makes no sense at all is refused.
 */
#include "fs/status.h"

#include "cas/io.h"
#include "fetch/cause.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fs_status_read(const char *path, char **ret, size_t *ret_length)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        _cleanup_free_ char *bytes = NULL;
        size_t room = 64 * 1024;
        size_t length = 0;

        if (fd < 0)
                return -errno;
        for (;;) {
                char *grown = realloc(bytes, room + 1);
                ssize_t got;

                if (!grown)
                        return -ENOMEM;
                bytes = grown;
                got = cas_io_read_at(fd, bytes + length, room - length, length);
                if (got < 0)
                        return (int)got;
                if (got == 0)
                        break;
                length += (size_t)got;
                if (length > FS_STATUS_TEXT)
                        return -EFBIG;
                if (length == room)
                        room *= 2;
        }
        bytes[length] = '\0';
        *ret = bytes;
        *ret_length = length;
        bytes = NULL;
        return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
        return json_string_value(json_object_get(object, key));
}

/* A count; nothing of ours is negative. */
static int64_t number_of(const json_t *object, const char *key)
{
        double value = json_number_value(json_object_get(object, key));

        if (!json_is_number(json_object_get(object, key)) || value < 0 || value >= 0x1p62)
                return FS_STATUS_UNKNOWN;
        return json_is_integer(json_object_get(object, key))
                   ? (int64_t)json_integer_value(json_object_get(object, key))
                   : (int64_t)value;
}

/* Seconds, or a time; 0 where there is none. */
static double real_of(const json_t *object, const char *key)
{
        double value = json_number_value(json_object_get(object, key));

        return value >= 0 && value < 0x1p53 ? value : 0;
}

static bool digest_of(const json_t *object, char ret[CAS_DIGEST_HEX + 1])
{
        const char *text = text_of(object, "digest");
        struct cas_digest digest;

        if (!text || cas_digest_parse(text, strlen(text), &digest) < 0)
                return false;
        cas_digest_format(&digest, ret);
        return true;
}

static int read_waiting(const json_t *array, struct fs_status_flight *flight)
{
        size_t count = json_array_size(array);

        if (count == 0)
                return 0;
        flight->waiting = calloc(count, sizeof(*flight->waiting));
        if (!flight->waiting)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++) {
                const json_t *waiter = json_array_get(array, i);

                flight->waiting[i].pid = number_of(waiter, "pid");
                flight->waiting[i].seconds = real_of(waiter, "seconds");
        }
        flight->waiting_count = count;
        return 0;
}

static int read_flight(const json_t *object, struct fs_status_flight *ret)
{
        const char *state = text_of(object, "state");

        if (!digest_of(object, ret->digest))
                return -EINVAL;
        ret->name = text_of(object, "name");
        ret->source = text_of(object, "source");
        ret->running = !state || strcmp(state, "queued") != 0;
        ret->bytes = number_of(object, "bytes");
        ret->size = number_of(object, "size");
        ret->rate = number_of(object, "rate");
        ret->eta = number_of(object, "eta");
        ret->retries = number_of(object, "retries");
        ret->seconds = real_of(object, "seconds");
        ret->waiters = number_of(object, "waiters");
        return read_waiting(json_object_get(object, "waiting"), ret);
}

static int read_failure(const json_t *object, struct fs_status_failure *ret)
{
        if (!digest_of(object, ret->digest))
                return -EINVAL;
        ret->name = text_of(object, "name");
        ret->error = text_of(object, "errno");
        ret->cause = text_of(object, "cause");
        ret->source = text_of(object, "source");
        ret->time = real_of(object, "time");
        return 0;
}

static int read_lists(const json_t *flights, const json_t *failures, struct fs_status *ret)
{
        int r = 0;

        ret->flights = calloc(json_array_size(flights) + 1, sizeof(*ret->flights));
        ret->failures = calloc(json_array_size(failures) + 1, sizeof(*ret->failures));
        if (!ret->flights || !ret->failures)
                return -ENOMEM;
        /* Counted before they are read, so that a broken one is freed as well. */
        while (r == 0 && ret->flight_count < json_array_size(flights)) {
                size_t i = ret->flight_count++;

                r = read_flight(json_array_get(flights, i), &ret->flights[i]);
        }
        while (r == 0 && ret->failure_count < json_array_size(failures)) {
                size_t i = ret->failure_count++;

                r = read_failure(json_array_get(failures, i), &ret->failures[i]);
        }
        return r;
}

static int read_catalogs(const json_t *catalogs, struct fs_status *ret)
{
        ret->catalogs = calloc(json_array_size(catalogs) + 1, sizeof(*ret->catalogs));
        if (!ret->catalogs)
                return -ENOMEM;
        for (size_t i = 0; i < json_array_size(catalogs); i++) {
                const json_t *object = json_array_get(catalogs, i);
                const struct fs_status_catalog catalog = {
                    text_of(object, "url"), text_of(object, "failure"),
                    json_is_true(json_object_get(object, "here"))};

                if (catalog.url && catalog.failure)
                        ret->catalogs[ret->catalog_count++] = catalog;
        }
        return 0;
}

static void read_daemon(const json_t *daemon, struct fs_status *ret)
{
        const json_t *worker = json_object_get(daemon, "worker");

        ret->version = text_of(daemon, "version");
        ret->started = real_of(daemon, "started");
        ret->worker_pid = number_of(worker, "pid");
        ret->worker_started = real_of(worker, "started");
        ret->worker_restarts = number_of(worker, "restarts");
        ret->passthrough = json_is_true(json_object_get(daemon, "passthrough"));
        ret->passthrough_cause = text_of(daemon, "passthrough_cause");
        ret->catalog_stale = json_is_true(json_object_get(daemon, "catalog_stale"));
}

static void read_cache(const json_t *cache, struct fs_status *ret)
{
        ret->cache = text_of(cache, "path");
        ret->used = number_of(cache, "used");
        ret->limit = number_of(cache, "limit");
        ret->free = number_of(cache, "free");
        ret->blobs = number_of(cache, "blobs");
        ret->pinned = number_of(cache, "pinned");
        ret->open = number_of(cache, "open");
}

static int read_document(const json_t *root, struct fs_status *ret, char why[FS_STATUS_WHY])
{
        const json_t *downloads = json_object_get(root, "downloads");

        if (number_of(root, "version") != FS_STATUS_VERSION) {
                snprintf(why, FS_STATUS_WHY, "not a status of version %d", FS_STATUS_VERSION);
                return -EINVAL;
        }
        ret->time = real_of(root, "time");
        ret->mountpoint = text_of(root, "mountpoint");
        read_daemon(json_object_get(root, "daemon"), ret);
        read_cache(json_object_get(root, "cache"), ret);
        ret->running = number_of(downloads, "running");
        ret->queued = number_of(downloads, "queued");
        ret->most = number_of(downloads, "most");

        int r =
            read_lists(json_object_get(root, "flights"), json_object_get(root, "failures"), ret);

        if (r == 0)
                r = read_catalogs(json_object_get(root, "catalogs"), ret);
        if (r == -EINVAL)
                snprintf(why, FS_STATUS_WHY, "a flight or failure without a digest");
        return r;
}

int fs_status_parse(const char *text, size_t length, struct fs_status *ret, char why[FS_STATUS_WHY])
{
        struct fs_status status = {0};
        json_error_t error;
        json_t *root = json_loadb(text, length, 0, &error);
        int r;

        why[0] = '\0';
        if (!root) {
                snprintf(why, FS_STATUS_WHY, "line %d: %s", error.line, error.text);
                fetch_make_printable(why);
                return -EINVAL;
        }
        status.document = root;
        r = read_document(root, &status, why);
        if (r < 0)
                fs_status_free(&status);
        else
                *ret = status;
        return r;
}

int fs_status_load(const char *path, struct fs_status *ret, char why[FS_STATUS_WHY])
{
        _cleanup_free_ char *text = NULL;
        size_t length = 0;
        int r = fs_status_read(path, &text, &length);

        why[0] = '\0';
        return r < 0 ? r : fs_status_parse(text, length, ret, why);
}

void fs_status_free(struct fs_status *status)
{
        for (size_t i = 0; i < status->flight_count; i++)
                free(status->flights[i].waiting);
        free(status->flights);
        free(status->failures);
        free(status->catalogs);
        json_decref(status->document);
        *status = (struct fs_status){0};
}
