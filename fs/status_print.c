/*
 * The lines of `assetfs status`. Writes to the stream it is given and asks nobody.
 */
#include "fs/status_print.h"

#include "fetch/cause.h"
#include "fs/terminal.h"

#include <inttypes.h>
#include <string.h>

#define LABEL        24 /* columns of a name … */
#define LABEL_NARROW 20 /* … below WIDE */
#define WIDE         100
#define NARROW       60 /* below, no bar */
#define SHORT_DIGEST 12 /* hex digits: enough to tell two apart, and to find one */
#define REST         54 /* columns of what is beside name and bar */
#define BAR_MAX      40
#define BAR_MIN      8
#define PIDS_SHOWN   8

struct clean {
        char text[1024];
};

/* As much of the file's text as a line takes, without what a terminal would obey. */
static struct clean clean(const char *text)
{
        struct clean ret;

        snprintf(ret.text, sizeof(ret.text), "%s", text ? text : "");
        fetch_make_printable(ret.text);
        return ret;
}

static const char *size_or(int64_t bytes, const char *otherwise, char ret[FS_HUMAN])
{
        if (bytes >= 0)
                return fs_human_size((uint64_t)bytes, ret);
        snprintf(ret, FS_HUMAN, "%s", otherwise);
        return ret;
}

static int label_width(unsigned columns)
{
        return columns < WIDE ? LABEL_NARROW : LABEL;
}

static void print_label(FILE *out, const char *digest, const char *name, unsigned columns)
{
        struct clean shown = clean(name);
        int width = label_width(columns);

        if (columns == 0)
                fprintf(out, "%s%s%s:", digest, *shown.text ? " " : "", shown.text);
        else if (*shown.text)
                fprintf(out, "%-*.*s", width, width, shown.text);
        else
                fprintf(out, "%-*.*s", width, SHORT_DIGEST, digest);
}

static void print_bar(FILE *out, const struct fs_status_flight *flight, unsigned columns)
{
        int width = (int)columns - label_width(columns) - REST;

        if (columns < NARROW)
                return;
        if (width < BAR_MIN)
                width = BAR_MIN;
        fs_bar(out, width < BAR_MAX ? (unsigned)width : BAR_MAX, (uint64_t)flight->bytes,
               (uint64_t)flight->size);
        putc(' ', out);
}

void fs_status_print_progress(FILE *out, const struct fs_status_flight *given, unsigned columns)
{
        struct fs_status_flight flight = *given;
        const char *between = columns ? "  " : ", ";
        char number[FS_HUMAN];

        if (flight.bytes < 0)
                flight.bytes = 0;
        print_label(out, flight.digest, flight.name, columns);
        if (!flight.running) {
                fputs(columns ? "  queued\n" : " queued\n", out);
                return;
        }
        fputs(columns ? "  " : " ", out);
        if (flight.size > 0) {
                print_bar(out, &flight, columns);
                fprintf(out, columns ? "%3u %%%s" : "%u %%%s",
                        fs_percent((uint64_t)flight.bytes, (uint64_t)flight.size), between);
        }
        fputs(fs_human_size((uint64_t)flight.bytes, number), out);
        if (flight.size >= 0)
                fprintf(out, "%s%s", columns ? "/" : " of ",
                        fs_human_size((uint64_t)flight.size, number));
        if (flight.rate >= 0)
                fprintf(out, "%s%s/s", between, fs_human_size((uint64_t)flight.rate, number));
        if (flight.eta >= 0)
                fprintf(out, "%s%s left", between, fs_human_seconds((uint64_t)flight.eta, number));
        putc('\n', out);
}

static void print_waiting(FILE *out, const struct fs_status_flight *flight)
{
        char number[FS_HUMAN];
        size_t shown = flight->waiting_count < PIDS_SHOWN ? flight->waiting_count : PIDS_SHOWN;

        if (flight->waiters <= 0)
                return;
        fprintf(out, "    %" PRId64 " waiting:", flight->waiters);
        for (size_t i = 0; i < shown; i++)
                fprintf(out, "%s pid %" PRId64 " for %s", i > 0 ? "," : "", flight->waiting[i].pid,
                        fs_human_seconds((uint64_t)flight->waiting[i].seconds, number));
        if (flight->waiters > (int64_t)shown)
                fprintf(out, "%s %" PRId64 " more", shown > 0 ? " and" : "",
                        flight->waiters - (int64_t)shown);
        putc('\n', out);
}

static void print_flight(FILE *out, const struct fs_status_flight *flight, unsigned columns)
{
        char number[FS_HUMAN];

        fs_status_print_progress(out, flight, columns);
        if (flight->running) {
                fprintf(out, "    for %s", fs_human_seconds((uint64_t)flight->seconds, number));
                if (flight->source)
                        fprintf(out, ", from %s", clean(flight->source).text);
                if (flight->retries > 0)
                        fprintf(out, ", %" PRId64 " %s", flight->retries,
                                flight->retries == 1 ? "retry" : "retries");
                putc('\n', out);
        }
        print_waiting(out, flight);
}

static void print_daemon(FILE *out, const struct fs_status *status)
{
        char number[FS_HUMAN];

        fprintf(out, "%s: assetfs %s", clean(status->mountpoint).text, clean(status->version).text);
        if (status->started > 0 && status->time >= status->started)
                fprintf(out, ", up %s",
                        fs_human_seconds((uint64_t)(status->time - status->started), number));
        if (status->worker_pid >= 0)
                fprintf(out, ", worker %" PRId64, status->worker_pid);
        if (status->worker_started > 0 && status->time >= status->worker_started)
                fprintf(
                    out, " for %s",
                    fs_human_seconds((uint64_t)(status->time - status->worker_started), number));
        if (status->worker_restarts > 0)
                fprintf(out, " after %" PRId64 " %s", status->worker_restarts,
                        status->worker_restarts == 1 ? "restart" : "restarts");
        putc('\n', out);
        if (status->passthrough)
                fputs("passthrough: yes\n", out);
        else
                fprintf(out, "passthrough: no%s%s\n", status->passthrough_cause ? ", " : "",
                        clean(status->passthrough_cause).text);
        for (size_t i = 0; i < status->catalog_count; i++)
                fprintf(out, "catalog: %s, %s: %s\n", clean(status->catalogs[i].url).text,
                        status->catalogs[i].here ? "the last good one" : "none yet",
                        clean(status->catalogs[i].failure).text);
        if (status->catalog_stale && status->catalog_count == 0)
                fputs("catalogs: the last good ones, newer ones are broken or do not come\n", out);
}

static void print_cache(FILE *out, const struct fs_status *status)
{
        char used[FS_HUMAN];
        char limit[FS_HUMAN];
        char left[FS_HUMAN];

        fprintf(out, "cache: %s, %s used%s%s, %s free", clean(status->cache).text,
                size_or(status->used, "(being counted)", used),
                status->limit >= 0 ? " of " : ", no limit",
                status->limit >= 0 ? size_or(status->limit, "", limit) : "",
                size_or(status->free, "?", left));
        if (status->blobs >= 0)
                fprintf(out, ", %" PRId64 " %s", status->blobs,
                        status->blobs == 1 ? "blob" : "blobs");
        if (status->pinned >= 0)
                fprintf(out, ", %" PRId64 " pinned", status->pinned);
        if (status->open >= 0)
                fprintf(out, ", %" PRId64 " open", status->open);
        putc('\n', out);
}

void fs_status_print_downloads(FILE *out, const struct fs_status *status)
{
        int64_t running = status->running < 0 ? 0 : status->running;
        int64_t queued = status->queued < 0 ? 0 : status->queued;

        fprintf(out, "downloads: %" PRId64 " running, %" PRId64 " queued", running, queued);
        if (status->most >= 0)
                fprintf(out, ", at most %" PRId64 " at once", status->most);
        putc('\n', out);
}

static void print_failure(FILE *out, const struct fs_status_failure *failure, unsigned columns)
{
        struct clean name = clean(failure->name);
        char when[FS_HUMAN];

        fprintf(out, "  %s  ", fs_human_time((int64_t)failure->time, when));
        if (columns == 0 || !*name.text)
                fprintf(out, "%.*s ", columns ? SHORT_DIGEST : CAS_DIGEST_HEX, failure->digest);
        if (*name.text)
                fprintf(out, "%s ", name.text);
        fprintf(out, "%s: %s", clean(failure->error).text, clean(failure->cause).text);
        if (failure->source)
                fprintf(out, " (%s)", clean(failure->source).text);
        putc('\n', out);
}

void fs_status_print(FILE *out, const struct fs_status *status, unsigned columns)
{
        print_daemon(out, status);
        print_cache(out, status);
        fs_status_print_downloads(out, status);
        for (size_t i = 0; i < status->flight_count; i++)
                print_flight(out, &status->flights[i], columns);
        if (status->failure_count > 0)
                fputs("failed lately:\n", out);
        for (size_t i = 0; i < status->failure_count; i++)
                print_failure(out, &status->failures[i], columns);
}
