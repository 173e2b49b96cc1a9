/*
 * The facade: one transfer loop, the flights, the size questions, and the order in
 * which they start and stop.
 */
#include "fetch/fetch.h"

#include "fetch/flight.h"
#include "fetch/size.h"

#include <errno.h>
#include <stdlib.h>

struct fetch {
        struct fetch_config config;
        struct http_loop *loop;
        struct fetch_locator *locator;
        struct fetch_flights *flights;
        struct fetch_sizes *sizes;
        struct fetch_refresh *refresh; /* or NULL: no catalog comes by URL */
};

static bool has_urls(const struct fetch_refresh_config *config)
{
        for (size_t i = 0; i < config->count; i++)
                if (config->texts[i].url)
                        return true;
        return false;
}

int fetch_new(const struct fetch_config *config, struct fetch **ret)
{
        struct fetch *fetch = calloc(1, sizeof(*fetch));

        if (!fetch)
                return -ENOMEM;
        fetch->config = *config;

        const struct fetch_settings settings = {config->origins.list, config->origins.count,
                                                config->refresh.origins, config->refresh.count,
                                                config->opener};
        int r = http_loop_new(&config->http, &fetch->loop);

        if (r == 0)
                r = fetch_locator_new(&settings, fetch->loop, &fetch->locator);
        fetch->config.origins.locator = fetch->locator;
        if (r == 0)
                r = fetch_flights_new(&fetch->config, fetch->loop, &fetch->flights);
        if (r == 0)
                r = fetch_sizes_new(&fetch->config, fetch->loop, &fetch->sizes);
        if (r == 0 && has_urls(&config->refresh))
                r = fetch_refresh_new(&config->refresh, fetch->loop, fetch->locator,
                                      &fetch->refresh);
        if (r < 0) {
                fetch_free(fetch);
                return r;
        }
        *ret = fetch;
        return 0;
}

void fetch_stop(struct fetch *fetch)
{
        fetch_flights_stop(fetch->flights);
        http_loop_cancel_all(fetch->loop);
        fetch_sizes_stop(fetch->sizes);
        fetch_refresh_stop(fetch->refresh);
}

void fetch_free(struct fetch *fetch)
{
        if (!fetch)
                return;
        http_loop_free(fetch->loop); /* first: its thread calls into the other two */
        fetch_flights_free(fetch->flights);
        fetch_sizes_free(fetch->sizes);
        fetch_refresh_free(fetch->refresh);
        fetch_locator_free(fetch->locator);
        free(fetch);
}

void fetch_blob(struct fetch *fetch, const struct cas_digest *digest, struct fetch_waiter *waiter)
{
        fetch_flights_join(fetch->flights, digest, waiter);
}

void fetch_size(struct fetch *fetch, const struct cas_digest *digest, struct fetch_waiter *waiter)
{
        fetch_sizes_ask(fetch->sizes, digest, waiter);
}

uint64_t fetch_known_size(struct fetch *fetch, const struct cas_digest *digest)
{
        uint64_t size = fetch_catalogs_size(fetch->config.origins.catalogs, digest);

        return size != CAS_SIZE_UNKNOWN ? size : fetch_sizes_known(fetch->sizes, digest);
}

bool fetch_leave_blob(struct fetch *fetch, struct fetch_waiter *waiter)
{
        return fetch_flights_leave(fetch->flights, waiter);
}

bool fetch_leave_size(struct fetch *fetch, struct fetch_waiter *waiter)
{
        return fetch_sizes_leave(fetch->sizes, waiter);
}

void fetch_look_catalogs(struct fetch *fetch,
                         void (*each)(void *arg, const struct fetch_refresh_view *view), void *arg)
{
        fetch_refresh_look(fetch->refresh, each, arg);
}

void fetch_look(struct fetch *fetch, bool (*each)(void *arg, const struct fetch_view *view),
                void *arg)
{
        fetch_flights_look(fetch->flights, each, arg);
}

bool fetch_cancel(struct fetch *fetch, const struct cas_digest *digest)
{
        return fetch_flights_cancel(fetch->flights, digest);
}

bool fetch_in_flight(struct fetch *fetch, const struct cas_digest *digest)
{
        return fetch_flights_has(fetch->flights, digest);
}

bool fetch_last_failure(struct fetch *fetch, const struct cas_digest *digest,
                        struct fetch_cause *ret)
{
        return fetch_flights_last_failure(fetch->flights, digest, ret);
}
