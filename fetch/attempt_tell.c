/*
 * What a flight tells others: its events to whoever reports them, its servers' doings to
 * the health that all flights share, and how far it is to whoever looks.
 */
#include "fetch/attempt.h"

#include "fetch/clock.h"
#include "fetch/url.h"

void fetch_attempt_tell(const struct fetch_attempt *attempt, enum fetch_event event,
                        const struct fetch_cause *cause)
{
        struct fetch_report report = {
            .event = event,
            .digest = attempt->digest,
            .cause = cause,
            .verdict = &attempt->verdict,
            .bytes = attempt->received,
            .duration_ms = fetch_now_ms() - attempt->started_ms,
            .taken_up = attempt->taken_up,
            .sources = atomic_load(&attempt->sources),
            .tries = atomic_load(&attempt->tries),
        };

        attempt->config->report(attempt->config->report_arg, &report);
}

/* Remembers that the source's server was bad, or good again, and says so once. */
void fetch_attempt_note_health(struct fetch_attempt *attempt,
                               const struct fetch_candidate *candidate,
                               const struct fetch_cause *cause)
{
        char server[FETCH_SERVER_MAX];
        struct fetch_report report = {.digest = attempt->digest, .server = server, .cause = cause};

        fetch_url_server(candidate->source.url, server, sizeof(server));
        if (cause->kind == FETCH_OK) {
                report.event = FETCH_EVENT_SERVER_GOOD;
                if (!fetch_health_note_good(attempt->health, server))
                        return;
        } else {
                report.event = FETCH_EVENT_SERVER_BAD;
                if (!fetch_health_note_bad(attempt->health, server, fetch_now_ms(),
                                           &report.duration_ms))
                        return;
        }
        attempt->config->report(attempt->config->report_arg, &report);
}

void fetch_attempt_view(struct fetch_attempt *attempt, struct fetch_view *ret)
{
        const struct fetch_candidate *reads = atomic_load(&attempt->reads);
        struct fetch_window *window = &attempt->window;

        pthread_mutex_lock(&window->lock);
        ret->bytes = fetch_window_position(window);
        pthread_mutex_unlock(&window->lock);
        ret->size = atomic_load(&attempt->size_told);
        ret->sources = atomic_load(&attempt->sources);
        ret->tries = atomic_load(&attempt->tries);
        ret->since_ms = attempt->started_ms;
        if (reads)
                fetch_url_redact(reads->source.url, ret->source, sizeof(ret->source));
}
