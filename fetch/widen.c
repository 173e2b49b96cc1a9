/*
 * How many lanes a download has. More only where the flight waits for bytes and it is not our
 * own thread that is too slow; and they have to bring something.
 */
#include "fetch/download.h"

#include "fetch/clock.h"

#define SEGMENT_LEAST 4 /* slots: less is not worth a request */

/* How often it is asked whether more lanes would help, and what they have to bring. */
#define PROBE_MOST_MS 1000
#define BUSY_PERCENT  40 /* of the loop's thread: then it is not the connection */
#define IDLE_PERCENT  75 /* of the flight's: below that it is not either */
#define GAIN_PERCENT  40
#define WORTH_MS      500 /* of transfer that are left */

/*
 * Locked: from one transfer to segments, of which a lane has one at a time and one more is
 * complete but for those before it. The first transfer ends where its segment does.
 */
static bool begin_segments(struct fetch_download *download)
{
        struct fetch_window *window = download->window;
        struct fetch_lane *first = &download->lanes[0];
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
bool fetch_download_may_widen(const struct fetch_download *download)
{
        const struct fetch_version *version = download->job->version;

        return download->first_answer_ms > 0 && !download->settled &&
               download->job->connections > 1 && download->size != HTTP_SIZE_UNKNOWN &&
               version->takes_ranges && !version->no_segments;
}

/* Locked: more lanes, or fewer again. */
static void set_wanted(struct fetch_download *download, unsigned wanted)
{
        if (!download->segment && !begin_segments(download)) {
                download->settled = true;
                return;
        }
        download->wanted = wanted < download->most ? wanted : download->most;
        fetch_download_give_work(download);
}

/* Locked: measure anew from here on. */
void fetch_download_begin_probe(struct fetch_download *download, int64_t now)
{
        download->probed_ms = now;
        download->probed_cpu_ms = http_loop_cpu_ms(download->job->loop);
        download->probed_bytes = download->received;
        download->starved = false;
        for (unsigned i = 0; i < download->most; i++)
                download->starved |= download->lanes[i].starved;
        download->waited_ms = 0;
}

/* Locked: has every lane brought something? What they bring is not known before. */
static bool all_deliver(const struct fetch_download *download)
{
        bool all = true;

        for (unsigned i = 0; i < download->most; i++)
                all &= download->lanes[i].delivered || !download->lanes[i].transfer;
        return all;
}

/* Locked: is it the connection that all wait for, and do more of them help? */
void fetch_download_probe(struct fetch_download *download)
{
        int64_t now = fetch_now_ms();
        int64_t passed = now - download->probed_ms;
        int64_t interval = 2 * download->first_answer_ms;

        if (!fetch_download_may_widen(download))
                return;
        if (!all_deliver(download)) {
                fetch_download_begin_probe(download, now);
                return;
        }
        interval = interval < FETCH_PROBE_MS ? FETCH_PROBE_MS : interval;
        if (passed < (interval < PROBE_MOST_MS ? interval : PROBE_MOST_MS))
                return;

        int64_t cpu = http_loop_cpu_ms(download->job->loop) - download->probed_cpu_ms;
        uint64_t rate = (download->received - download->probed_bytes) * 1000 / (uint64_t)passed;
        bool connection = !download->starved && download->waited_ms * 100 > passed * IDLE_PERCENT &&
                          cpu * 100 < passed * BUSY_PERCENT;
        uint64_t bytes = download->begin + download->received;
        bool helped = rate * 100 > download->rate * (100 + GAIN_PERCENT);

        if (rate > 0 && (download->size - bytes) * 1000 / rate < WORTH_MS) {
                download->settled = true; /* it is over before more lanes could bring anything */
        } else if (download->rate && !helped) {
                set_wanted(download, download->wanted / 2);
                download->settled = true;
        } else if (connection && (!download->segment || download->wanted < download->most)) {
                download->rate = rate;
                set_wanted(download, download->wanted * 2);
        }
        fetch_download_begin_probe(download, now);
}

void fetch_download_undo_segments(struct fetch_download *download)
{
        struct fetch_lane *first = &download->lanes[0];

        download->job->version->no_segments = true;
        download->settled = true;
        download->wanted = download->running > 1 ? download->running : 1;
        for (unsigned i = 1; i < download->most; i++)
                if (download->lanes[i].delivered || download->lanes[i].transfer)
                        return;
        if (!first->transfer || !first->cut)
                return;
        first->cut = false;
        first->end = download->size;
        download->segment = 0;
        download->hole_count = 0;
        download->wanted = download->most = 1;
        download->end = (struct fetch_outcome){.anew = download->end.anew};
}

void fetch_download_hurry(struct fetch_download *download)
{
        uint64_t position = fetch_window_position(download->window);
        struct fetch_lane *front = NULL;
        int64_t now = fetch_now_ms();
        bool idle = false;

        if (now - download->hurried_ms < LOOK_AROUND_MS)
                return;
        download->hurried_ms = now;

        for (unsigned i = 0; i < download->most && download->segment; i++) {
                struct fetch_lane *lane = &download->lanes[i];
                uint64_t came = lane->at - lane->looked_at;

                lane->looked_at = lane->at;
                idle |= !lane->transfer && !lane->retired;
                if (lane->transfer && !lane->replaced && lane->at == position &&
                    now - lane->began_ms > LOOK_AROUND_MS && came * 8 < download->best)
                        front = lane;
        }
        /* One that has all the rest is as slow as it is. */
        if (!front || !idle || (download->wanted == 1 && front->end == download->size))
                return;
        front->replaced = true;
        http_cancel(front->transfer);
}
