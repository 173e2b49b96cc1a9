/*
 * Which catalogs a worker starts with. It never waits for a network: those that come by URL are
 * brought later (fetch/refresh.h), and until then are as empty as at the first start.
 */
#include "fs/catalogs.h"

#include "fs/log.h"
#include "fs/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Parses the texts, which stay where something is to be brought into them. `snapshot` keeps them,
 * unless it is -1. */
static int put_in_force(struct fs_catalogs *catalogs, int snapshot, char why[FETCH_CATALOG_WHY])
{
        size_t count = catalogs->count;
        struct fetch_catalog *catalog;
        bool by_url = false;
        int r = fetch_catalog_parse(catalogs->texts, count, &catalog, why);

        if (r == 0 && (r = fetch_catalogs_new(catalog, &catalogs->now)) < 0) {
                fetch_catalog_free(catalog);
                snprintf(why, FETCH_CATALOG_WHY, "%s", strerror(-r));
        }
        if (r == 0 && snapshot >= 0 && fs_snapshot_write(snapshot, catalogs->texts, count) < 0)
                fs_log(LOG_WARNING, "event=snapshot cause=\"the catalogs could not be kept\"");
        for (size_t i = 0; i < count; i++)
                by_url |= catalogs->texts[i].url != NULL;
        if (r < 0 || !by_url)
                fetch_catalog_texts_free(catalogs->texts, count);
        return r;
}

/* The last good texts of the same files: a reload to others, which are broken, is not to be half
 * of one. */
static int read_snapshot(struct fs_catalogs *catalogs, const char *const *paths, int snapshot)
{
        size_t count = catalogs->count;
        char why[FETCH_CATALOG_WHY];
        int r = fs_snapshot_read(snapshot, count, catalogs->texts);

        for (size_t i = 0; r == 0 && i < count; i++) {
                struct fetch_catalog_text *text = &catalogs->texts[i];

                if (fetch_catalog_is_url(paths[i])) {
                        fetch_catalog_texts_free(text, 1);
                        r = fetch_catalog_read(&paths[i], 1, text, why);
                } else if (strcmp(text->path, paths[i]) != 0) {
                        r = -ENODATA;
                }
        }
        if (r < 0)
                fetch_catalog_texts_free(catalogs->texts, count);
        return r;
}

static int take_snapshot(struct fs_catalogs *catalogs, const char *const *paths, int snapshot,
                         const char *broken)
{
        char why[FETCH_CATALOG_WHY];

        if (read_snapshot(catalogs, paths, snapshot) < 0 || put_in_force(catalogs, -1, why) < 0)
                return fs_fail("--catalog %s", broken);
        catalogs->stale = true;
        fs_log(LOG_ERR, "event=catalog-refused cause=%s kept=\"the last good one\"",
               fs_log_value(broken).text);
        return 0;
}

int fs_catalogs_load(struct fs_catalogs *catalogs, const struct fs_options *options, int snapshot)
{
        const char *const *paths = options->catalogs;
        char why[FETCH_CATALOG_WHY];
        int r;

        catalogs->count = options->catalog_count;
        r = fetch_catalog_read(paths, catalogs->count, catalogs->texts, why);
        if (r == 0)
                r = put_in_force(catalogs, snapshot, why);
        return r < 0 ? take_snapshot(catalogs, paths, snapshot, why) : 0;
}

void fs_catalogs_free(struct fs_catalogs *catalogs)
{
        fetch_catalogs_free(catalogs->now);
        fetch_catalog_texts_free(catalogs->texts, catalogs->count);
        *catalogs = (struct fs_catalogs){0};
}

void fs_catalogs_log(void *arg, const struct fetch_refresh_report *report)
{
        const char *why = report->why;
        const char *url = report->url;

        (void)arg;
        switch (report->event) {
        case FETCH_CATALOG_FRESH:
                fs_log(LOG_INFO, "event=catalog-refreshed url=%s assets=%zu",
                       fs_log_value(url).text, report->assets);
                break;
        case FETCH_CATALOG_REFUSED:
                fs_log(LOG_ERR, "event=catalog-refused url=%s cause=%s kept=%s",
                       fs_log_value(url).text, fs_log_value(why).text,
                       report->here ? "\"the last good one\"" : "none");
                break;
        case FETCH_CATALOG_UNREACHABLE:
                fs_log(LOG_WARNING, "event=catalog-unreachable url=%s cause=%s",
                       fs_log_value(url).text, fs_log_value(why).text);
                break;
        case FETCH_CATALOG_GOOD:
                fs_log(LOG_INFO, "event=catalog-good url=%s", fs_log_value(url).text);
                break;
        case FETCH_CATALOG_NOT_KEPT:
                fs_log(LOG_WARNING, "event=catalog-not-kept url=%s cause=%s",
                       fs_log_value(url).text, fs_log_value(why).text);
                break;
        }
}
