/*
 * Which reports are open. What is in them is fs/report_json.c's and fs/report_prom.c's.
 */
#include "fs/report.h"

#include "fs/view.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define OPEN_MOST 64 /* kept at once; who holds more open loses the oldest */

struct report {
        uint64_t fh;   /* 0: unused */
        uint64_t turn; /* larger: made later */
        char *text;
        size_t length;
};

struct fs_reports {
        pthread_mutex_t lock;
        uint64_t last_fh; /* lock */
        uint64_t turns;   /* lock */
        struct report open[OPEN_MOST];
};

int fs_reports_new(struct fs_reports **ret)
{
        struct fs_reports *reports = calloc(1, sizeof(*reports));

        if (!reports)
                return -ENOMEM;
        /* A handle of a worker before us is none of ours. */
        reports->last_fh = (uint64_t)getpid() << 32;
        pthread_mutex_init(&reports->lock, NULL);
        *ret = reports;
        return 0;
}

void fs_reports_free(struct fs_reports *reports)
{
        if (!reports)
                return;
        for (unsigned i = 0; i < OPEN_MOST; i++)
                free(reports->open[i].text);
        pthread_mutex_destroy(&reports->lock);
        free(reports);
}

/* Locked. */
static struct report *find(struct fs_reports *reports, uint64_t fh)
{
        for (unsigned i = 0; i < OPEN_MOST; i++)
                if (reports->open[i].fh == fh)
                        return &reports->open[i];
        return NULL;
}

/* Locked: a place for one more. */
static struct report *find_place(struct fs_reports *reports)
{
        struct report *oldest = &reports->open[0];

        for (unsigned i = 0; i < OPEN_MOST; i++)
                if (reports->open[i].turn < oldest->turn)
                        oldest = &reports->open[i];
        return oldest;
}

/* Makes the report, for the handle `fh`, or for a new one where that is 0. The handle, or 0
 * without memory. */
static uint64_t make(struct fs_server *server, fuse_ino_t ino, uint64_t fh)
{
        struct fs_reports *reports = server->reports;
        size_t length = 0;
        char *text =
            ino == FS_STATUS ? fs_report_json(server, &length) : fs_report_prom(server, &length);

        if (!text)
                return 0;
        pthread_mutex_lock(&reports->lock);

        struct report *report = find_place(reports);
        char *lost = report->text;

        fh = fh ? fh : ++reports->last_fh;
        *report = (struct report){fh, ++reports->turns, text, length};
        pthread_mutex_unlock(&reports->lock);
        free(lost);
        return fh;
}

static void drop(struct fs_reports *reports, uint64_t fh)
{
        pthread_mutex_lock(&reports->lock);

        struct report *report = fh ? find(reports, fh) : NULL;
        char *text = report ? report->text : NULL;

        if (report)
                *report = (struct report){0};
        pthread_mutex_unlock(&reports->lock);
        free(text);
}

void fs_report_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        struct fs_server *server = fuse_req_userdata(req);

        fi->fh = make(server, ino, 0);
        fi->direct_io = 1; /* its size is known only now */
        fi->noflush = 1;
        if (!fi->fh)
                fuse_reply_err(req, ENOMEM);
        else if (fuse_reply_open(req, fi) == -ENOENT)
                drop(server->reports, fi->fh);
}

/* Opened in a worker before us, perhaps, but not read yet: as good as opened now. */
static void renew(struct fs_server *server, fuse_ino_t ino, uint64_t fh)
{
        struct fs_reports *reports = server->reports;

        pthread_mutex_lock(&reports->lock);

        bool there = find(reports, fh);

        pthread_mutex_unlock(&reports->lock);
        if (!there && fh)
                make(server, ino, fh);
}

void fs_report_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    const struct fuse_file_info *fi)
{
        struct fs_server *server = fuse_req_userdata(req);
        struct fs_reports *reports = server->reports;
        size_t at = (size_t)offset;

        if (offset == 0)
                renew(server, ino, fi->fh);
        /* The lock is held while the answer is copied into the kernel: it waits for nobody, and
         * the text cannot go away. */
        pthread_mutex_lock(&reports->lock);

        const struct report *report = fi->fh ? find(reports, fi->fh) : NULL;

        if (!report)
                fuse_reply_err(req, ESTALE);
        else if (at >= report->length)
                fuse_reply_buf(req, NULL, 0);
        else
                fuse_reply_buf(req, report->text + at,
                               size < report->length - at ? size : report->length - at);
        pthread_mutex_unlock(&reports->lock);
}

void fs_report_release(fuse_req_t req, const struct fuse_file_info *fi)
{
        struct fs_server *server = fuse_req_userdata(req);

        drop(server->reports, fi->fh);
        fuse_reply_err(req, 0);
}

static void note_failure(void *arg, const struct fetch_refresh_view *view)
{
        *(bool *)arg |= view->failure != NULL;
}

bool fs_report_catalogs_stale(const struct fs_server *server)
{
        bool stale = server->stale;

        fetch_look_catalogs(server->fetch, note_failure, &stale);
        return stale;
}

uint64_t fs_report_open_assets(const struct fs_server *server)
{
        const struct fs_memory *memory = server->memory;
        uint32_t used = atomic_load(&memory->handles_used);
        uint64_t count = 0;

        for (uint32_t i = 0; i < used && i < FS_HANDLES_MAX; i++)
                count += atomic_load(&memory->handles[i].fh) != 0;
        return count;
}
