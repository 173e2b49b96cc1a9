/*
 * A download from one http source. It begins as one transfer to the end of the body. While
 * that does not fill the pipeline and the reason is the connection, it goes over to several
 * lanes, each of which fetches one segment of the body after the other, ahead of the front
 * of the window; when that does not help either, it goes back.
 *
 * The flight's thread feeds the ingest and decides how many lanes there are; the transfer
 * loop's thread fills the window and gives a lane its next segment.
 */
#include "fetch/source.h"

#include "fetch/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANES_MOST FETCH_CONNECTIONS_MOST

/* One transfer, and not several, gets this much of the window: enough for the disk and the
 * hash to be busy while the next bytes come. */
#define ONE_LANE_SLOTS 32
#define SEGMENT_LEAST  4 /* slots: less is not worth a request */

/* How often it is asked whether more lanes would help, and what they have to bring. */
#define PROBE_MS      150
#define PROBE_MOST_MS 1000
#define BUSY_PERCENT  60 /* of the loop's thread: then it is not the connection */
#define GAIN_PERCENT  40

struct lane {
        struct download *download;
        struct http_transfer *transfer; /* or NULL: idle */
        uint64_t from;                  /* what was asked for */
        uint64_t asked;                 /* … up to here, or HTTP_TO_THE_END */
        uint64_t at;
        uint64_t end;    /* where it is to stop; the end of the body where that is known */
        bool cut;        /* … is before what was asked for */
        bool starved;    /* waits for a slot */
        bool retired;    /* failed: gets no more segments */
        bool over_bound; /* more bytes than there may be */
        bool delivered;  /* some bytes, in this segment or one before */
};

struct hole {
        uint64_t from;
        uint64_t to;
};

/* All of it is guarded by the window's lock, but for what is set before the first transfer. */
struct download {
        const struct fetch_job *job;
        struct fetch_window *window;
        uint64_t begin; /* where the window was */
        uint64_t limit; /* the most bytes the body may have */

        struct lane lanes[LANES_MOST];
        unsigned most;     /* lanes that there may be; 1 until there are segments */
        unsigned wanted;   /* lanes that are to run */
        unsigned running;  /* lanes that do */
        char *url;         /* where the redirects of the first answer led to, or NULL; owned */
        uint64_t size;     /* of the body, or HTTP_SIZE_UNKNOWN */
        uint64_t received; /* bytes, in whatever order */
        uint64_t segment;  /* bytes; 0: one lane, to the end */
        uint64_t next;     /* the first byte that no lane has been given */
        struct hole holes[LANES_MOST];
        unsigned hole_count;

        bool answered; /* the flight's thread is to look at the size */
        bool anew;     /* … and, before the first byte is taken, to begin from zero */
        bool guarded;  /* by an entity tag: it goes on in the body of before */
        bool stopping;
        struct fetch_outcome end; /* of the lane that failed last */

        /* The flight's thread only. */
        int64_t began_ms;
        int64_t first_answer_ms; /* after began_ms; 0: none yet */
        int64_t probed_ms;
        int64_t probed_cpu_ms;
        uint64_t probed_bytes; /* received then */
        int64_t waited_ms;     /* since then, for bytes */
        uint64_t rate;         /* bytes a second, before the last change of `wanted`; 0: none */
        bool settled;          /* no more changes */
};

/* ---- The loop's thread ---- */

static void refuse(struct download *download, bool from_zero, const char *why)
{
        fetch_cause_set(&download->end.cause, FETCH_ORIGIN_FAILED, "%s", why);
        download->end.from_zero = from_zero;
}

/* Locked. What is known of the body's size: from this time, or from a try before. */
static uint64_t known_size(const struct download *download)
{
        return download->size != HTTP_SIZE_UNKNOWN ? download->size : download->job->version->size;
}

/* Locked. Is it the part that was asked for, of the body of which we have the beginning? */
static bool is_continuation(struct download *download, const struct lane *lane,
                            const struct http_response *response)
{
        const struct fetch_version *version = download->job->version;
        uint64_t size = known_size(download);
        const char *why = NULL;

        if (!response->partial)
                why = "answers a range with the whole body";
        else if (response->first != lane->from || response->end > lane->asked)
                why = "answers with another range than asked for";
        else if (size != HTTP_SIZE_UNKNOWN && response->size != HTTP_SIZE_UNKNOWN &&
                 size != response->size)
                why = "the size has changed meanwhile";
        else if (version->etag[0] && response->etag && strcmp(version->etag, response->etag) != 0)
                why = "the entity tag has changed meanwhile";
        if (why)
                refuse(download, true, why);
        return !why;
}

/* Locked. The whole body in answer to a range: good as well, where the flight can begin anew. */
static bool is_new_beginning(const struct download *download, const struct lane *lane,
                             const struct http_response *response)
{
        return lane->asked == HTTP_TO_THE_END && !response->partial &&
               download->job->may_begin_anew;
}

/* Locked. Can a body of this size be the asset? */
static bool is_acceptable(struct download *download, uint64_t size)
{
        const struct fetch_job *job = download->job;
        int error = 0;

        if (size == HTTP_SIZE_UNKNOWN)
                return true;
        if (size > job->bound)
                error = -EFBIG;
        else if (job->declared != CAS_SIZE_UNKNOWN && size != job->declared)
                error = -EBADMSG;
        if (error)
                fetch_source_refused(job, error, &download->end.cause);
        return !error;
}

/* Locked: the answer to the first transfer. */
static void note_version(struct download *download, const struct http_response *response)
{
        struct fetch_version *version = download->job->version;
        const char *etag = response->etag ? response->etag : "";

        download->guarded = response->partial && version->etag[0] && response->etag;
        if (!response->partial || !version->etag[0])
                snprintf(version->etag, sizeof(version->etag), "%s", etag);
        version->takes_ranges = response->takes_ranges;
        if (response->size != HTTP_SIZE_UNKNOWN || !response->partial)
                version->size = response->size;
        download->size = version->size;
        download->answered = true;
        if (strcmp(response->url, download->job->source->url) != 0)
                download->url = strdup(response->url); /* without memory: by the chain again */
}

static bool on_response(void *arg, const struct http_response *response)
{
        struct lane *lane = arg;
        struct download *download = lane->download;
        struct fetch_window *window = download->window;
        bool first = lane->asked == HTTP_TO_THE_END;

        pthread_mutex_lock(&window->lock);

        bool anew = lane->from > 0 && is_new_beginning(download, lane, response);
        bool good =
            ((first && lane->from == 0) || anew || is_continuation(download, lane, response)) &&
            is_acceptable(download, response->size);

        if (good && first) {
                note_version(download, response);
                download->anew = anew;
                lane->at = anew ? 0 : lane->from;
                lane->end = download->size;
                pthread_cond_broadcast(&window->changed);
        }
        pthread_mutex_unlock(&window->lock);
        return good;
}

/* Locked: how many of the bytes are to be taken. */
static size_t wanted_of(struct lane *lane, size_t length)
{
        size_t take = lane->end - lane->at < length ? (size_t)(lane->end - lane->at) : length;

        lane->over_bound = lane->at + take > lane->download->limit;
        return lane->over_bound ? 0 : take;
}

/* Locked. A lane that was given all the rest has filled the window, and what misses at its
 * front is nobody's: true, it leaves the rest for later. */
static bool give_up_rest(struct lane *lane)
{
        struct download *download = lane->download;

        if (download->hole_count == 0 || lane->end != download->next)
                return false;
        download->next = lane->end = lane->at;
        return true;
}

static enum http_took on_bytes(void *arg, const void *bytes, size_t length)
{
        struct lane *lane = arg;
        struct download *download = lane->download;
        struct fetch_window *window = download->window;
        uint64_t at = lane->at;

        pthread_mutex_lock(&window->lock);

        size_t take = wanted_of(lane, length);
        bool starved =
            !lane->over_bound && (download->anew || !fetch_window_reserve(window, at, at + take));
        bool over = lane->over_bound || (starved && give_up_rest(lane));

        lane->starved = starved && !over;
        pthread_mutex_unlock(&window->lock);
        if (over || starved)
                return over ? HTTP_ENOUGH : HTTP_NO_ROOM;

        fetch_window_copy(window, at, bytes, take);

        pthread_mutex_lock(&window->lock);
        fetch_window_count(window, at, take);
        lane->at = at + take;
        lane->delivered = true;
        download->received += take;

        const struct cas_slot *front = fetch_window_slot(window, window->head);
        bool ended = lane->at == lane->end && (lane->cut || take < length);

        if (front && front->filled == CAS_SLOT_BYTES)
                pthread_cond_broadcast(&window->changed);
        pthread_mutex_unlock(&window->lock);
        return ended ? HTTP_ENOUGH : HTTP_TOOK;
}

static void start_lane(struct lane *lane, uint64_t from, uint64_t to);

/* Locked: more work for a lane that is idle, if there is some and slots for it. */
static void give_work(struct lane *lane)
{
        struct download *download = lane->download;
        uint64_t from = download->next;
        uint64_t to;

        if (download->stopping || !download->segment || lane->retired || lane->transfer)
                return;
        if (download->hole_count > 0) {
                struct hole hole = download->holes[--download->hole_count];

                start_lane(lane, hole.from, hole.to);
                return;
        }
        if (from >= download->size || lane - download->lanes >= download->wanted)
                return;
        if (download->wanted == 1) {
                to = download->size; /* all the rest, by one again */
        } else {
                to = download->size - from < download->segment ? download->size
                                                               : from + download->segment;
                if (!fetch_window_reserve(download->window, from, to))
                        return;
        }
        download->next = to;
        start_lane(lane, from, to);
}

static void give_all_work(struct download *download)
{
        for (unsigned i = 0; i < download->most; i++)
                give_work(&download->lanes[i]);
}

/* Locked: those who wait for a slot try again. */
static void resume_starved(struct download *download)
{
        for (unsigned i = 0; i < download->most; i++) {
                struct lane *lane = &download->lanes[i];

                if (lane->starved && lane->transfer) {
                        lane->starved = false;
                        http_resume(lane->transfer);
                }
        }
}

/* Locked. An origin that promised ranges and then refuses them: as long as nothing of the
 * others' is in the window, the first transfer simply goes on to the end. */
static void undo_segments(struct download *download)
{
        struct lane *first = &download->lanes[0];

        download->job->version->takes_ranges = false;
        for (unsigned i = 1; i < download->most; i++)
                if (download->lanes[i].delivered)
                        return;
        if (!first->transfer || !first->cut)
                return;
        first->cut = false;
        first->end = download->size;
        download->segment = 0;
        download->hole_count = 0;
        download->wanted = download->most = 1;
        download->end = (struct fetch_outcome){0};
}

/* Locked: what became of the lane's transfer. */
static void judge_end(struct lane *lane, const struct fetch_cause *cause)
{
        struct download *download = lane->download;
        struct fetch_outcome *end = &download->end;
        bool all = lane->end == HTTP_SIZE_UNKNOWN || lane->at == lane->end;

        if (cause->kind == FETCH_OK && all && !lane->over_bound)
                return;
        lane->retired = true;
        if (download->segment && lane->at < lane->end)
                download->holes[download->hole_count++] = (struct hole){lane->at, lane->end};
        if (lane->over_bound) {
                fetch_source_refused(
                    download->job, download->job->declared != CAS_SIZE_UNKNOWN ? -EBADMSG : -EFBIG,
                    &end->cause);
        } else if (cause->kind == FETCH_OK) {
                fetch_cause_set(&end->cause, FETCH_ORIGIN_FAILED,
                                "closed with %" PRIu64 " bytes missing", lane->end - lane->at);
        } else if (cause->kind != FETCH_CANCELLED || end->cause.kind == FETCH_OK) {
                end->cause = *cause;
                end->from_zero = cause->status == 416;
        }
        if (lane != &download->lanes[0] && !lane->delivered && end->from_zero)
                undo_segments(download);
}

static void on_done(void *arg, const struct fetch_cause *cause)
{
        struct lane *lane = arg;
        struct download *download = lane->download;
        struct fetch_window *window = download->window;

        pthread_mutex_lock(&window->lock);
        lane->transfer = NULL;
        download->running--;
        judge_end(lane, cause);
        if (lane->retired) {
                give_all_work(download);
                resume_starved(download);
        } else {
                give_work(lane);
        }
        pthread_cond_broadcast(&window->changed);
        pthread_mutex_unlock(&window->lock);
}

/* Locked. From any thread. */
static void start_lane(struct lane *lane, uint64_t from, uint64_t to)
{
        static const struct http_handler handler = {on_response, on_bytes, on_done};
        struct download *download = lane->download;
        const struct fetch_version *version = download->job->version;
        const struct fetch_source *source = download->job->source;
        bool part = from > 0 || to != HTTP_TO_THE_END;
        struct http_request request = {
            .method = HTTP_GET,
            .url = download->url ? download->url : source->url,
            .is_origins = !download->url && source->is_origins,
            .first = from,
            .end = to,
            .if_range = part && version->etag[0] ? version->etag : NULL,
        };

        lane->from = lane->at = from;
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
                download->holes[download->hole_count++] = (struct hole){from, to};
}

/* Locked, by whoever gave a slot back. */
static void on_freed(void *arg)
{
        struct download *download = arg;
        unsigned used;
        unsigned room = cas_slots_room(&download->window->client, &used);

        /* Some room at once, so that a fast origin is not woken for every slot. */
        if (room >= 4 || used <= 1)
                resume_starved(download);
        give_all_work(download);
}

/* ---- The flight's thread ---- */

/* Locked. Nothing comes any more. */
static bool is_over(const struct download *download)
{
        bool left = download->segment && (download->next < download->size || download->hole_count);
        bool able = false;

        if (download->running > 0 || download->anew)
                return false;
        for (unsigned i = 0; i < download->most; i++)
                able |= !download->lanes[i].retired;
        return download->stopping || !left || !able;
}

static void stop(struct download *download)
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

/*
 * Locked: from one transfer to segments, of which a lane has one at a time and one more is
 * complete but for those before it. The first transfer ends where its segment does.
 */
static bool begin_segments(struct download *download)
{
        struct fetch_window *window = download->window;
        struct lane *first = &download->lanes[0];
        unsigned used;
        unsigned slots;

        window->client.most = FETCH_WINDOW_SLOTS;
        slots = cas_slots_room(&window->client, &used);
        slots += used;
        if (slots / SEGMENT_LEAST < 3 || !first->transfer)
                return false;

        unsigned most = slots / SEGMENT_LEAST - 1;

        if (most > download->job->connections)
                most = download->job->connections;

        uint64_t segment = (uint64_t)(slots / (most + 1)) * CAS_SLOT_BYTES;
        uint64_t end = (first->at + segment) - (first->at + segment) % CAS_SLOT_BYTES;

        if (end + segment >= download->size || !fetch_window_reserve(window, first->at, end))
                return false;
        download->most = most;
        first->end = end;
        first->cut = true;
        download->next = end;
        download->segment = segment;
        return true;
}

/* Locked. */
static bool may_widen(const struct download *download)
{
        return !download->settled && download->job->connections > 1 &&
               download->size != HTTP_SIZE_UNKNOWN && download->job->version->takes_ranges;
}

/* Locked: more lanes, or fewer again. */
static void set_wanted(struct download *download, unsigned wanted)
{
        if (!download->segment && !begin_segments(download)) {
                download->settled = true;
                return;
        }
        download->wanted = wanted < download->most ? wanted : download->most;
        give_all_work(download);
}

/* Locked: measure anew from here on. */
static void begin_probe(struct download *download, int64_t now)
{
        download->probed_ms = now;
        download->probed_cpu_ms = http_loop_cpu_ms(download->job->loop);
        download->probed_bytes = download->received;
        download->waited_ms = 0;
}

/* Locked: has every lane brought something? What they bring is not known before. */
static bool all_deliver(const struct download *download)
{
        bool all = true;

        for (unsigned i = 0; i < download->wanted; i++)
                all &= download->lanes[i].delivered || download->lanes[i].retired;
        return all;
}

/* Locked: is it the connection that all wait for, and do more of them help? */
static void probe(struct download *download)
{
        int64_t now = fetch_now_ms();
        int64_t passed = now - download->probed_ms;
        int64_t interval = 2 * download->first_answer_ms;

        if (!may_widen(download))
                return;
        if (!all_deliver(download)) {
                begin_probe(download, now);
                return;
        }
        interval = interval < PROBE_MS ? PROBE_MS : interval;
        if (passed < (interval < PROBE_MOST_MS ? interval : PROBE_MOST_MS))
                return;

        int64_t cpu = http_loop_cpu_ms(download->job->loop) - download->probed_cpu_ms;
        uint64_t rate = (download->received - download->probed_bytes) * 1000 / (uint64_t)passed;
        bool connection = download->waited_ms * 2 > passed && cpu * 100 < passed * BUSY_PERCENT;
        bool helped = rate * 100 > download->rate * (100 + GAIN_PERCENT);

        if (download->rate && !helped) {
                set_wanted(download, download->wanted / 2);
                download->settled = true;
        } else if (connection && (!download->segment || download->wanted < download->most)) {
                download->rate = rate;
                set_wanted(download, download->wanted * 2);
        }
        begin_probe(download, now);
}

/* Waits for a full slot at the front, a size to look at, a wish, or the end. */
static struct cas_slot *next_full(struct download *download, bool *ret_over, bool *ret_answered)
{
        struct fetch_window *window = download->window;
        struct cas_slot *slot = NULL;

        pthread_mutex_lock(&window->lock);
        while (!download->answered && !download->anew && !(slot = fetch_window_take(window)) &&
               !is_over(download) && window->wish == FETCH_GO_ON) {
                int64_t began = fetch_now_ms();

                fetch_window_wait(window, may_widen(download) ? began + PROBE_MS : INT64_MAX);
                download->waited_ms += fetch_now_ms() - began;
                probe(download);
        }
        if (download->answered)
                download->first_answer_ms = fetch_now_ms() - download->began_ms;
        *ret_answered = download->answered;
        *ret_over = !slot && !download->answered && !download->anew &&
                    (is_over(download) || window->wish != FETCH_GO_ON);
        download->answered = false;
        pthread_mutex_unlock(&window->lock);
        return slot;
}

/* The transfer waits with its first byte until nothing of before is left. */
static int begin_anew(struct download *download)
{
        struct fetch_window *window = download->window;
        int r = cas_ingest_restart(download->job->ingest);

        fetch_window_reset(window, 0, NULL);
        pthread_mutex_lock(&window->lock);
        download->begin = 0;
        download->anew = false;
        download->end.anew = true;
        resume_starved(download);
        pthread_mutex_unlock(&window->lock);
        return r;
}

/* Until the transfers end. 0, or the ingest's error. */
static int feed(struct download *download)
{
        struct cas_ingest *ingest = download->job->ingest;
        bool over = false;
        bool answered;
        int r = 0;

        while (r == 0 && !over) {
                struct cas_slot *slot = next_full(download, &over, &answered);

                if (download->anew)
                        r = begin_anew(download);
                if (r == 0 && answered && download->size != HTTP_SIZE_UNKNOWN)
                        r = cas_ingest_expect(ingest, download->size);
                if (slot)
                        r = cas_ingest_write(ingest, slot);
        }
        return r;
}

/* Whatever became of a transfer that had brought everything: the digest decides. */
static bool is_whole(const struct download *download)
{
        if (download->size == HTTP_SIZE_UNKNOWN)
                return download->end.cause.kind == FETCH_OK;
        return fetch_source_position(download->job) == download->size;
}

static void conclude(struct download *download, int error)
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
        end->joined = (download->begin > 0 && !download->guarded) ||
                      (download->segment && !download->job->version->etag[0]);
}

static void run(struct download *download)
{
        struct fetch_window *window = download->window;

        for (unsigned i = 0; i < LANES_MOST; i++)
                download->lanes[i].download = download;
        pthread_mutex_lock(&window->lock);
        window->client.most = ONE_LANE_SLOTS;
        window->freed = on_freed;
        window->arg = download;
        download->began_ms = fetch_now_ms();
        begin_probe(download, download->began_ms);
        start_lane(&download->lanes[0], download->begin, HTTP_TO_THE_END);
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
        struct download *download = calloc(1, sizeof(*download));

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
