/*
 * A download from one http source: the flight's thread, which starts it, feeds the ingest
 * with what the lanes bring, and says in the end what became of it.
 */
#include "fetch/download.h"

#include "fetch/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* One transfer, and not several, gets this much of the window: enough for the disk and the
 * hash to be busy while the next bytes come. */
#define ONE_LANE_SLOTS 32

/* Locked. Nothing comes any more. */
static bool is_over(const struct fetch_download *download)
{
        bool left = download->segment && (download->next < download->size || download->hole_count);
        bool able = false;

        if (download->running > 0 || download->anew)
                return false;
        for (unsigned i = 0; i < download->most; i++)
                able |= !download->lanes[i].retired;
        return download->stopping || !left || !able;
}

static void stop(struct fetch_download *download)
{
        struct fetch_window *window = download->window;

        pthread_mutex_lock(&window->lock);
        download->stopping = true;
        for (unsigned i = 0; i < LANES_MOST; i++)
                if (download->lanes[i].transfer)
                        http_cancel(download->lanes[i].transfer);
        while (download->running > 0)
                fetch_window_wait(window, INT64_MAX);
        pthread_mutex_unlock(&window->lock);
}

/* What the flight's thread has waited for. */
struct news {
        struct cas_slot *slot; /* the first one, full; or NULL */
        bool answered;         /* there is a size to look at */
        bool anew;             /* the flight is to begin from zero */
        bool over;             /* nothing comes any more, or a wish has come */
};

/* Locked. */
static bool take_news(struct fetch_download *download, struct news *ret)
{
        struct fetch_window *window = download->window;

        *ret = (struct news){.over = window->wish != FETCH_GO_ON};
        if (ret->over)
                return true;
        ret->anew = download->anew;
        ret->answered = download->answered;
        download->answered = false;
        if (ret->answered) {
                download->first_answer_ms = fetch_now_ms() - download->began_ms + 1;
                fetch_download_begin_probe(download, fetch_now_ms());
        }
        if (ret->anew || ret->answered)
                return true;
        ret->slot = fetch_window_take(window);
        ret->over = !ret->slot && is_over(download);
        return ret->slot || ret->over;
}

/* Locked, now and then: slots that others gave back are nobody's news. */
static void look_around(struct fetch_download *download)
{
        fetch_download_probe(download);
        fetch_download_hurry(download);
        fetch_download_give_work(download);
        fetch_download_resume(download);
}

static void wait_for_news(struct fetch_download *download, struct news *ret)
{
        struct fetch_window *window = download->window;

        pthread_mutex_lock(&window->lock);
        while (!take_news(download, ret)) {
                int64_t began = fetch_now_ms();
                int64_t wait = fetch_download_may_widen(download) ? FETCH_PROBE_MS : LOOK_AROUND_MS;

                fetch_window_wait(window, began + wait);
                download->waited_ms += fetch_now_ms() - began;
                if (fetch_now_ms() >= began + wait)
                        look_around(download);
                else
                        fetch_download_probe(download);
        }
        pthread_mutex_unlock(&window->lock);
}

/* The transfer waits with its first byte until nothing of before is left. */
static int begin_anew(struct fetch_download *download)
{
        struct fetch_window *window = download->window;
        int r = cas_ingest_restart(download->job->ingest);

        fetch_window_reset(window, 0, NULL);
        pthread_mutex_lock(&window->lock);
        download->begin = 0;
        download->anew = false;
        download->end.anew = true;
        fetch_download_resume(download);
        pthread_mutex_unlock(&window->lock);
        return r;
}

/* Until the transfers end. 0, or the ingest's error. */
static int feed(struct fetch_download *download)
{
        struct cas_ingest *ingest = download->job->ingest;
        struct news news = {0};
        int r = 0;

        while (r == 0 && !news.over) {
                wait_for_news(download, &news);
                if (news.anew)
                        r = begin_anew(download);
                if (r == 0 && news.answered && download->size != HTTP_SIZE_UNKNOWN)
                        r = cas_ingest_expect(ingest, download->size);
                if (news.slot)
                        r = cas_ingest_write(ingest, news.slot);
        }
        return r;
}

/* Whatever became of a transfer that had brought everything: the digest decides. */
static bool is_whole(const struct fetch_download *download)
{
        if (download->anew)
                return false; /* what is there is not of this body */
        if (download->size == HTTP_SIZE_UNKNOWN)
                return download->end.cause.kind == FETCH_OK;
        return fetch_source_position(download->job) == download->size;
}

static void conclude(struct fetch_download *download, int error)
{
        struct fetch_outcome *end = &download->end;
        const struct fetch_job *job = download->job;
        uint64_t position = fetch_source_position(job);
        bool anew = end->anew;
        bool whole = is_whole(download);

        if (whole && job->declared != CAS_SIZE_UNKNOWN && position < job->declared) {
                fetch_cause_set(&end->cause, FETCH_WRONG_BYTES,
                                "%" PRIu64 " bytes, but the catalog says %" PRIu64, position,
                                job->declared);
                end->cut = true;
                whole = false;
        }
        if (error == 0)
                error = fetch_source_feed(download->job, whole);
        if (error < 0)
                fetch_source_refused(download->job, error, &end->cause);
        else if (whole)
                *end = (struct fetch_outcome){.no_length = download->size == HTTP_SIZE_UNKNOWN};
        else if (end->cause.kind == FETCH_OK)
                fetch_cause_set(&end->cause, FETCH_CANCELLED, "stopping");
        end->anew = anew;
        end->joined = (download->begin > 0 && !download->guarded) || download->segment;
}

static void run(struct fetch_download *download)
{
        struct fetch_window *window = download->window;

        for (unsigned i = 0; i < LANES_MOST; i++)
                download->lanes[i].download = download;
        pthread_mutex_lock(&window->lock);
        window->client.most = ONE_LANE_SLOTS;
        window->freed = fetch_download_freed;
        window->arg = download;
        download->began_ms = fetch_now_ms();
        fetch_download_begin_probe(download, download->began_ms);
        fetch_download_start(&download->lanes[0], download->begin, HTTP_TO_THE_END);
        pthread_mutex_unlock(&window->lock);

        int r = feed(download);

        stop(download);
        pthread_mutex_lock(&window->lock);
        window->freed = NULL;
        pthread_mutex_unlock(&window->lock);
        fetch_window_drop_loose(window);
        conclude(download, r);
}

void fetch_http_source(const struct fetch_job *job, struct fetch_outcome *ret)
{
        struct fetch_download *download = calloc(1, sizeof(*download));

        if (!download) {
                fetch_cause_set_disk(&ret->cause, ENOMEM, "download");
                return;
        }
        download->job = job;
        download->window = job->window;
        download->begin = fetch_source_position(job);
        download->limit = job->declared != CAS_SIZE_UNKNOWN ? job->declared : job->bound;
        download->size = HTTP_SIZE_UNKNOWN;
        download->wanted = download->most = 1;
        run(download);
        *ret = download->end;
        free(download->url);
        free(download);
}
