/*
 * metrics.prom: Prometheus' text format 0.0.4. Names and units are a promise (assetfs(8)).
 */
#include "fs/report.h"

#include "cas/room.h"
#include "fs/keeper.h"
#include "fs/version.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const results[] = {
    [FETCH_OK] = "ok",
    [FETCH_WRONG_BYTES] = "wrong_bytes",
    [FETCH_TOO_BIG] = "too_big",
    [FETCH_DENIED] = "denied",
    [FETCH_STALLED] = "stalled",
    [FETCH_UNREACHABLE] = "unreachable",
    [FETCH_ORIGIN_FAILED] = "origin_failed",
    [FETCH_NOT_FOUND] = "not_found",
    [FETCH_DISK] = "disk",
    [FETCH_CANCELLED] = "cancelled",
};

static const char *const phases[FETCH_PHASES] = {
    [FETCH_PHASE_DNS] = "dns",           [FETCH_PHASE_CONNECT] = "connect",
    [FETCH_PHASE_TLS] = "tls",           [FETCH_PHASE_FIRST_BYTE] = "first_byte",
    [FETCH_PHASE_TRANSFER] = "transfer", [FETCH_PHASE_PUBLISH] = "publish",
};

static void head(FILE *out, const char *name, const char *type, const char *help)
{
        fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
        head(out, name, type, help);
        fprintf(out, "%s %" PRIu64 "\n", name, value);
}

/* As the format wants a label's value. A worker before us may have written it. */
static void label_value(FILE *out, const char *value, size_t most)
{
        for (size_t i = 0; i < most && value[i]; i++) {
                if (value[i] == '"' || value[i] == '\\')
                        fputc('\\', out);
                fputc(value[i] >= ' ' && value[i] < 127 ? value[i] : '?', out);
        }
}

/* `label` is `key="value"`, or "". */
static void histogram(FILE *out, const char *name, const char *label,
                      const struct fs_histogram *histogram)
{
        const char *comma = *label ? "," : "";
        uint64_t count = 0;

        for (unsigned i = 0; i < FS_BUCKETS; i++) {
                count += atomic_load(&histogram->counts[i]);
                fprintf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, label, comma,
                        (double)fs_metrics_bounds[i] / 1e6, count);
        }
        count += atomic_load(&histogram->counts[FS_BUCKETS]);
        fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, label, comma, count);

        const char *open = *label ? "{" : "";
        const char *close = *label ? "}" : "";

        fprintf(out, "%s_sum%s%s%s %.6f\n", name, open, label, close,
                (double)atomic_load(&histogram->sum_us) / 1e6);
        fprintf(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, label, close, count);
}

static void put_downloads(FILE *out, const struct fs_metrics *metrics)
{
        head(out, "assetfs_downloads_total", "counter", "Downloads that ended, by their result.");
        for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
                fprintf(out, "assetfs_downloads_total{result=\"%s\"} %" PRIu64 "\n", results[i],
                        atomic_load(&metrics->downloads[i]));

        uint32_t servers = atomic_load(&metrics->server_count);

        head(out, "assetfs_download_bytes_total", "counter",
             "Bytes of bodies received, by the server that was asked first.");
        for (uint32_t i = 0; i < servers && i < FS_SERVERS_COUNTED; i++) {
                fputs("assetfs_download_bytes_total{origin=\"", out);
                label_value(out, metrics->servers[i].server, FETCH_SERVER_MAX);
                fprintf(out, "\"} %" PRIu64 "\n", atomic_load(&metrics->servers[i].bytes));
        }
        fprintf(out, "assetfs_download_bytes_total{origin=\"other\"} %" PRIu64 "\n",
                atomic_load(&metrics->servers[FS_SERVERS_COUNTED].bytes));
        head(out, "assetfs_download_duration_seconds", "histogram",
             "From the start of a download to its end, whatever its result.");
        histogram(out, "assetfs_download_duration_seconds", "", &metrics->download);
        head(out, "assetfs_download_phase_seconds", "histogram",
             "What the time of downloads goes to.");
        for (size_t i = 0; i < FETCH_PHASES; i++) {
                char label[32];

                snprintf(label, sizeof(label), "phase=\"%s\"", phases[i]);
                histogram(out, "assetfs_download_phase_seconds", label, &metrics->phases[i]);
        }
}

static void put_opens(FILE *out, const struct fs_server *server)
{
        const struct fs_metrics *metrics = &server->memory->metrics;

        one(out, "assetfs_hits_total", "counter", "Opens of assets that were cached.",
            atomic_load(&metrics->hits));
        one(out, "assetfs_misses_total", "counter", "Opens that had to wait for a download.",
            atomic_load(&metrics->misses));
        head(out, "assetfs_open_wait_seconds", "histogram",
             "How long opens waited that had to, whatever became of them.");
        histogram(out, "assetfs_open_wait_seconds", "", &metrics->open_wait);
        one(out, "assetfs_open_assets", "gauge", "Opens of assets that are not closed yet.",
            fs_report_open_assets(server));
}

static void put_cache(FILE *out, const struct fs_server *server)
{
        const struct fs_metrics *metrics = &server->memory->metrics;
        struct statvfs disk;
        struct cas_usage usage;

        if (fs_keeper_look(server->keeper, &usage)) {
                one(out, "assetfs_cache_bytes", "gauge",
                    "Bytes of its disk that the cache takes, of blobs and of unfinished downloads.",
                    usage.bytes);
                one(out, "assetfs_cache_blobs", "gauge", "Assets in the cache.", usage.blobs);
                one(out, "assetfs_cache_pins", "gauge", "Pinned digests.", usage.pins);
        }
        if (cas_room_cache_size(server->store) != CAS_SIZE_UNLIMITED)
                one(out, "assetfs_cache_limit_bytes", "gauge",
                    "The most that the cache may take of its disk.",
                    cas_room_cache_size(server->store));
        one(out, "assetfs_evictions_total", "counter", "Assets that made room for others.",
            atomic_load(&metrics->evictions));
        one(out, "assetfs_evicted_bytes_total", "counter",
            "Bytes of the disk that evicted assets took.", atomic_load(&metrics->evicted_bytes));
        if (cas_store_statvfs(server->store, &disk) == 0)
                one(out, "assetfs_cache_free_bytes", "gauge", "Free bytes of the cache's disk.",
                    (uint64_t)disk.f_bavail * disk.f_frsize);
        one(out, "assetfs_revalidated_total", "counter",
            "Cached files that were hashed before they were served, and found right.",
            atomic_load(&metrics->revalidated));
        one(out, "assetfs_refused_total", "counter",
            "Cached files that were found wrong and taken away.", atomic_load(&metrics->refused));
        one(out, "assetfs_scrub_blobs_total", "counter", "Blobs hashed in the background.",
            atomic_load(&metrics->scrub_blobs));
        one(out, "assetfs_scrub_bytes_total", "counter", "Their bytes.",
            atomic_load(&metrics->scrub_bytes));
        one(out, "assetfs_scrub_bad_total", "counter", "Those of them that were wrong.",
            atomic_load(&metrics->scrub_bad));
}

struct tally {
        uint64_t running;
        uint64_t queued;
};

static bool tally(void *arg, const struct fetch_view *view)
{
        struct tally *tally = arg;

        *(view->running ? &tally->running : &tally->queued) += 1;
        return true;
}

static void put_now(FILE *out, const struct fs_server *server)
{
        const struct fs_memory *memory = server->memory;
        struct tally now = {0};

        fetch_look(server->fetch, tally, &now);
        one(out, "assetfs_downloads_running", "gauge", "Downloads that run.", now.running);
        one(out, "assetfs_downloads_queued", "gauge", "Downloads that wait for a place.",
            now.queued);
        one(out, "assetfs_passthrough", "gauge", "1 where the kernel reads cached assets itself.",
            server->passthrough);
        one(out, "assetfs_catalog_stale", "gauge",
            "1 while the last good catalogs serve because newer ones were refused or did not come.",
            fs_report_catalogs_stale(server));
        one(out, "assetfs_worker_restarts_total", "counter",
            "Workers that were replaced, after a death or for a reload.",
            atomic_load(&memory->restarts));
        head(out, "assetfs_start_time_seconds", "gauge", "When the mount began, in Unix time.");
        fprintf(out, "assetfs_start_time_seconds %.3f\n", (double)memory->started_ms / 1000);
        head(out, "assetfs_build_info", "gauge", "Always 1; the label is the version.");
        fprintf(out, "assetfs_build_info{version=\"%s\"} 1\n", ASSETFS_VERSION);
}

char *fs_report_prom(const struct fs_server *server, size_t *ret_length)
{
        char *text = NULL;
        FILE *out = open_memstream(&text, ret_length);

        if (!out)
                return NULL;
        put_downloads(out, &server->memory->metrics);
        put_opens(out, server);
        put_cache(out, server);
        put_now(out, server);
        if (fclose(out) == 0)
                return text;
        free(text);
        return NULL;
}
