/*
 * The lanes of a download, mostly on the transfer loop's thread: bytes into the window, and
 * the next segment for whoever has finished one. May not block.
 */
#include "fetch/download.h"

#include "fetch/clock.h"

#include <errno.h>
#include <inttypes.h>

static bool on_response(void *arg, const struct http_response *response)
{
        struct fetch_lane *lane = arg;
        struct fetch_window *window = lane->download->window;

        pthread_mutex_lock(&window->lock);

        bool good = fetch_download_answer(lane, response);

        pthread_cond_broadcast(&window->changed);
        pthread_mutex_unlock(&window->lock);
        return good;
}

/* Locked: how many of the bytes are to be taken. */
static size_t wanted_of(struct fetch_lane *lane, size_t length)
{
        size_t take = lane->end - lane->at < length ? (size_t)(lane->end - lane->at) : length;

        lane->over_bound = lane->at + take > lane->download->limit;
        return lane->over_bound ? 0 : take;
}

/* Locked. A lane that was given all the rest has filled the window, and what misses at its
 * front is nobody's: true, it leaves the rest for later. */
static bool give_up_rest(struct fetch_lane *lane)
{
        struct fetch_download *download = lane->download;

        if (download->hole_count == 0 || lane->end != download->next)
                return false;
        download->next = lane->end = lane->at;
        return true;
}

static enum http_took on_bytes(void *arg, const void *bytes, size_t length)
{
        struct fetch_lane *lane = arg;
        struct fetch_download *download = lane->download;
        struct fetch_window *window = download->window;
        uint64_t at = lane->at;

        pthread_mutex_lock(&window->lock);

        size_t take = wanted_of(lane, length);
        bool starved =
            !lane->over_bound && (download->anew || !fetch_window_reserve(window, at, at + take));
        bool over = lane->over_bound || (starved && give_up_rest(lane));

        lane->starved = starved && !over;
        download->starved |= lane->starved;
        pthread_mutex_unlock(&window->lock);
        if (over || starved)
                return over ? HTTP_ENOUGH : HTTP_NO_ROOM;

        fetch_window_copy(window, at, bytes, take);

        pthread_mutex_lock(&window->lock);
        fetch_window_count(window, at, take);
        lane->at = at + take;
        lane->delivered = true;
        download->received += take;
        atomic_fetch_add(download->job->brought, take);

        const struct cas_slot *front = fetch_window_slot(window, window->head);
        bool ended = lane->at == lane->end && (lane->cut || take < length);

        if (front && front->filled == CAS_SLOT_BYTES)
                pthread_cond_broadcast(&window->changed);
        pthread_mutex_unlock(&window->lock);
        return ended ? HTTP_ENOUGH : HTTP_TOOK;
}

/* Locked: more work for a lane that is idle, if there is some and slots for it. */
static void give_work(struct fetch_lane *lane)
{
        struct fetch_download *download = lane->download;
        uint64_t from = download->next;
        uint64_t to = from + download->segment;

        if (download->stopping || !download->segment || lane->retired || lane->transfer)
                return;
        if (download->running >= download->wanted)
                return;
        if (download->hole_count > 0) {
                struct fetch_hole hole = download->holes[--download->hole_count];

                fetch_download_start(lane, hole.from, hole.to);
                return;
        }
        if (from >= download->size)
                return;
        if (to > download->size)
                to = download->size;
        if (download->wanted > 1 && !fetch_window_reserve(download->window, from, to)) {
                if (download->running > 0)
                        return;
                /* Others have come, and our share of the slots suffices for no segment. */
                download->wanted = 1;
                download->settled = true;
        }
        if (download->wanted == 1)
                to = download->size; /* all the rest, by one, into slots as they can be had */
        download->next = to;
        fetch_download_start(lane, from, to);
}

void fetch_download_give_work(struct fetch_download *download)
{
        for (unsigned i = 0; i < download->most; i++)
                give_work(&download->lanes[i]);
}

/* Locked: those who wait for a slot try again. */
void fetch_download_resume(struct fetch_download *download)
{
        for (unsigned i = 0; i < download->most; i++) {
                struct fetch_lane *lane = &download->lanes[i];

                if (lane->starved && lane->transfer) {
                        lane->starved = false;
                        http_resume(lane->transfer);
                }
        }
}

/* Locked. Its rest is for another lane; it may have more work itself where something came, and
 * not below the rate floor: with every lane there, the source is left. */
static void leave_rest(struct fetch_lane *lane, enum fetch_kind kind)
{
        struct fetch_download *download = lane->download;
        bool useless = lane->at == lane->from || kind == FETCH_STALLED;

        lane->retired = !lane->replaced && (useless || ++download->breaks > 4 * download->most);
        lane->replaced = false;
        if (download->segment && lane->at < lane->end)
                download->holes[download->hole_count++] = (struct fetch_hole){lane->at, lane->end};
}

/*
 * Locked. The refusal of a segment is no verdict on the asset, nor on the bytes that are
 * there: it was our idea to ask for one. From now on by one connection at a time, unless it
 * is a permission that ran out.
 */
static void judge_segment(struct fetch_lane *lane)
{
        struct fetch_download *download = lane->download;
        struct fetch_outcome *end = &download->end;
        bool refused = end->from_zero || end->cause.status >= 400;
        bool ran_out = end->cause.kind == FETCH_DENIED && lane->delivered;

        end->from_zero = false;
        end->cause.final = false;
        if (end->cause.kind == FETCH_NOT_FOUND || end->cause.kind == FETCH_DENIED)
                end->cause.kind = FETCH_ORIGIN_FAILED;
        if (refused && !ran_out)
                fetch_download_undo_segments(download);
}

/* Locked: what became of the lane's transfer. */
static void judge_end(struct fetch_lane *lane, const struct fetch_cause *cause)
{
        struct fetch_download *download = lane->download;
        const struct fetch_job *job = download->job;
        struct fetch_outcome *end = &download->end;
        bool all = lane->end == HTTP_SIZE_UNKNOWN || lane->at == lane->end;
        bool segment = lane->asked != HTTP_TO_THE_END;

        if (cause->kind == FETCH_OK && all && !lane->over_bound)
                return;

        bool replaced = lane->replaced;

        leave_rest(lane, cause->kind);
        if (replaced && cause->kind == FETCH_CANCELLED)
                return;
        if (lane->over_bound) {
                fetch_source_refused(job, job->declared != CAS_SIZE_UNKNOWN ? -EBADMSG : -EFBIG,
                                     &end->cause);
                return;
        }
        if (cause->kind == FETCH_OK) {
                end->cause.status = 0;
                fetch_cause_set(&end->cause, FETCH_ORIGIN_FAILED,
                                "closed with %" PRIu64 " bytes missing", lane->end - lane->at);
        } else if (cause->kind != FETCH_CANCELLED || end->cause.kind == FETCH_OK) {
                end->cause = *cause;
                /* Of a range that is refused after segments were, only the whole is to be had. */
                end->from_zero = cause->status == 416 ||
                                 (job->version->no_segments && lane->from > 0 && !segment &&
                                  cause->status >= 400 && cause->status < 500);
        }
        if (segment)
                judge_segment(lane);
}

/* Locked. */
static void note_rate(const struct fetch_lane *lane)
{
        int64_t passed = fetch_now_ms() - lane->began_ms;
        uint64_t rate = (lane->at - lane->from) * 1000 / (uint64_t)(passed > 0 ? passed : 1);

        if (lane->at == lane->end && rate > lane->download->best)
                lane->download->best = rate;
}

static void on_done(void *arg, const struct fetch_cause *cause)
{
        struct fetch_lane *lane = arg;
        struct fetch_download *download = lane->download;
        struct fetch_window *window = download->window;

        pthread_mutex_lock(&window->lock);
        lane->transfer = NULL;
        download->running--;
        note_rate(lane);
        judge_end(lane, cause);
        give_work(lane); /* itself first: its connection is warm */
        fetch_download_give_work(download);
        if (lane->retired)
                fetch_download_resume(download);
        pthread_cond_broadcast(&window->changed);
        pthread_mutex_unlock(&window->lock);
}

/* Locked. From any thread. */
void fetch_download_start(struct fetch_lane *lane, uint64_t from, uint64_t to)
{
        static const struct http_handler handler = {on_response, on_bytes, on_done};
        struct fetch_download *download = lane->download;
        const struct fetch_version *version = download->job->version;
        const struct fetch_source *source = download->job->source;
        bool part = from > 0 || to != HTTP_TO_THE_END;
        struct http_request request = {
            .method = HTTP_GET,
            .url = download->url ? download->url : source->url,
            .is_origins = !download->url && source->is_origins,
            .proxy = source->proxy,
            .pass = download->job->pass,
            .beside = to != HTTP_TO_THE_END,
            .first = from,
            .end = to,
            .if_range = part && version->etag[0] ? version->etag : NULL,
        };

        lane->from = lane->at = lane->looked_at = from;
        lane->began_ms = fetch_now_ms();
        lane->asked = lane->end = to;
        lane->cut = lane->starved = false;
        lane->transfer = http_start(download->job->loop, &request, &handler, lane);
        if (lane->transfer) {
                download->running++;
                return;
        }
        fetch_cause_set_disk(&download->end.cause, ENOMEM, "download");
        lane->retired = true;
        if (download->segment)
                download->holes[download->hole_count++] = (struct fetch_hole){from, to};
}

/* Locked, by whoever gave a slot back. */
void fetch_download_freed(void *arg)
{
        struct fetch_download *download = arg;
        unsigned used;
        unsigned room = cas_slots_room(&download->window->client, &used);

        /* Some room at once, so that a fast origin is not woken for every slot. */
        if (room >= 4 || used <= 1)
                fetch_download_resume(download);
        fetch_download_give_work(download);
}
