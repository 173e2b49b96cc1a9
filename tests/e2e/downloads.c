/*
 * Tables of downloads: making them, opening them all at once, and reading in the origin's
 * log what each has cost.
 */
#include "tests/e2e/downloads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPEN_MS 60000

static void print_sources(FILE *catalog, const struct world *world, const struct download *download)
{
        for (int i = 0; i < DOWNLOAD_SOURCES && download->sources[i]; i++) {
                const char *mode = download->sources[i];

                if (strcmp(mode, DOWNLOAD_DEAD) == 0)
                        fprintf(catalog, "%s\"http://127.0.0.1:1/%s\"", i ? ", " : "",
                                download->hex);
                else
                        fprintf(catalog, "%s\"http://127.0.0.1:%d/%s/%s\"", i ? ", " : "",
                                world->port, mode, download->hex);
        }
}

const char *downloads_make(struct world *world, struct download *downloads, size_t count)
{
        static char path[2 * WORLD_PATH];
        FILE *catalog;

        snprintf(path, sizeof(path), "%s/catalog.json", world->dir);
        catalog = fopen(path, "we");
        cr_assert(catalog);
        fprintf(catalog, "{\"assets\": {\n");
        for (size_t i = 0; i < count; i++) {
                struct download *download = &downloads[i];

                world_asset(world, download->size, download->hex);
                fprintf(catalog, "%s\"asset-%zu\": {\"sha256\": \"%s\", \"urls\": [",
                        i ? ",\n" : "", i, download->hex);
                print_sources(catalog, world, download);
                fprintf(catalog, "]");
                if (!download->unsized)
                        fprintf(catalog, ", \"size\": %zu", download->size);
                fprintf(catalog, "}");
        }
        fprintf(catalog, "}}\n");
        fclose(catalog);
        return path;
}

/* The letter of the source that the request went to, or 0. */
static char source_of(const struct download *download, const char *line)
{
        char prefix[512];

        for (int i = 0; i < DOWNLOAD_SOURCES && download->sources[i]; i++) {
                snprintf(prefix, sizeof(prefix), "GET /%s/%s", download->sources[i], download->hex);
                if (strncmp(line, prefix, strlen(prefix)) == 0)
                        return (char)('a' + i);
        }
        return 0;
}

const char *download_history(const struct world *world, const struct download *download)
{
        static char text[8192];
        FILE *log = fopen(world->requests, "re");
        size_t length = 0;
        char *line = NULL;
        size_t room = 0;

        text[0] = '\0';
        while (log && getline(&line, &room, log) > 0 && length + 64 < sizeof(text)) {
                char source = source_of(download, line);
                const char *range = strstr(line, " bytes=");

                if (!source)
                        continue;
                length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%c",
                                           length ? " " : "", source);
                if (range && strtoull(range + 7, NULL, 10) > 0)
                        length += (size_t)snprintf(text + length, sizeof(text) - length, "@%llu%s",
                                                   strtoull(range + 7, NULL, 10),
                                                   strstr(line, " if-range") ? "?" : "");
        }
        free(line);
        if (log)
                fclose(log);
        return text;
}

int history_length(const char *history)
{
        int length = *history ? 1 : 0;

        for (; *history; history++)
                length += *history == ' ';
        return length;
}

static void name_of(const struct download *download, char *name, size_t room)
{
        char seed[32] = "";

        if (download->seed)
                snprintf(seed, sizeof(seed), "ASSETFS_SEED=%u ", download->seed);
        snprintf(name, room, "%s%s %s %s, %zu bytes%s", seed, download->sources[0],
                 download->sources[1] ? download->sources[1] : "",
                 download->sources[2] ? download->sources[2] : "", download->size,
                 download->unsized ? " (not said)" : "");
}

static bool is_kept(const struct world *world, const struct download *download)
{
        return access(world_staging(world, download->hex), F_OK) == 0;
}

static void check_staging(const struct world *world, const struct download *download,
                          const char *name)
{
        bool kept = download->staging == STAGING_KEPT;

        if (download->staging == STAGING_ANY && download->error != 0)
                return;
        /* It may be taken away when the openers know already. */
        for (int i = 0; !kept && i < 100 && is_kept(world, download); i++)
                sleep_ms(10);
        cr_expect_eq(is_kept(world, download), kept, "%s: staging is %s", name,
                     kept ? "gone" : "kept");
}

static void check(const struct world *world, const struct download *download, int error)
{
        const char *history = download_history(world, download);
        char name[512];

        name_of(download, name, sizeof(name));
        cr_expect_eq(error, download->error, "%s: %s, expected %s; the requests were: %s", name,
                     error < 0 ? "no end" : strerror(error), strerror(download->error), history);
        if (download->history)
                cr_expect_str_eq(history, download->history, "%s: the requests were: %s, not %s",
                                 name, history, download->history);
        check_staging(world, download, name);
        if (error == 0)
                cr_expect_eq(world_open(world_path(world, download->hex)), 0, "%s", name);
        else
                cr_expect_neq(access(world_blob(world, download->hex), F_OK), 0, "%s", name);
}

void downloads_open(struct world *world, struct download *downloads, size_t count, int openers)
{
        struct opener *running = calloc(count, sizeof(*running));
        bool *ended = calloc(count, sizeof(*ended));
        int64_t deadline = now_ms() + OPEN_MS;
        size_t next = 0;
        size_t left = count;
        int busy = 0;

        cr_assert(running && ended);
        while (left > 0) {
                for (; next < count && busy < openers; next++, busy++)
                        opener_start(&running[next], world_path(world, downloads[next].hex));
                for (size_t i = 0; i < next; i++) {
                        int error = ended[i] ? -1 : opener_result(&running[i], 0);

                        if (ended[i] || (error < 0 && now_ms() < deadline))
                                continue;
                        check(world, &downloads[i], error);
                        ended[i] = true;
                        busy--;
                        left--;
                }
                sleep_ms(2);
        }
        free(running);
        free(ended);
}
