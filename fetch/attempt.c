/*
 * Design section 4, steps 5 to 8, in order: what is already there, then each
 * source into a new ingest, commit, and the verdict when no source was right.
 */
#include "fetch/attempt.h"

#include "fetch/clock.h"
#include "fetch/source.h"
#include "fetch/url.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void report(const struct fetch_attempt *attempt, enum fetch_event event,
                   const struct fetch_cause *cause)
{
        struct fetch_report report = {
            .event = event,
            .digest = attempt->digest,
            .cause = cause,
            .bytes = attempt->received,
            .duration_ms = fetch_now_ms() - attempt->started_ms,
            .sources = attempt->sources,
        };

        attempt->config->report(attempt->config->report_arg, &report);
}

/*
 * What stands under the digest's name already: true when that settles the flight.
 * Something without a record is hashed; what is wrong is taken away here, and then
 * the digest is fetched as if nothing had been there.
 */
static bool settle_cached(struct fetch_attempt *attempt)
{
        const struct fetch_config *config = attempt->config;
        struct cas_blob blob;
        int r = cas_store_open_blob(config->store, &attempt->digest, &blob);
        bool revalidated = false;

        if (r == -EUCLEAN) {
                r = cas_store_revalidate(config->store, &attempt->digest, attempt->cancelled);
                revalidated = r == 0;
                if (r == 0)
                        r = cas_store_open_blob(config->store, &attempt->digest, &blob);
        }
        if (r == -EBADMSG) {
                struct fetch_cause refused = {0};

                fetch_cause_set(&refused, FETCH_WRONG_BYTES,
                                "what stood in the cache was not this asset; removed");
                report(attempt, FETCH_EVENT_REFUSED, &refused);
                return false;
        }
        if (r == -ENOENT)
                return false;
        if (r == -ECANCELED) {
                fetch_cause_set(&attempt->cause, FETCH_CANCELLED, "stopping");
        } else if (r < 0) {
                fetch_cause_set_disk(&attempt->cause, -r, "the cached blob");
        } else {
                attempt->size = blob.size;
                close(blob.fd);
                if (revalidated)
                        report(attempt, FETCH_EVENT_REVALIDATED, &attempt->cause);
        }
        return true;
}

static void read_source(struct fetch_attempt *attempt, const struct fetch_job *job, const char *url,
                        struct fetch_cause *ret)
{
        switch (fetch_url_scheme(url)) {
        case FETCH_SCHEME_FILE:
                fetch_file_source(job, url, ret);
                break;
        case FETCH_SCHEME_HTTP:
        case FETCH_SCHEME_HTTPS:
                fetch_http_source(job, attempt->loop, url, ret);
                break;
        case FETCH_SCHEME_OTHER:
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "this scheme cannot be read");
                break;
        }
}

/* The bytes of one source are all there: verify and publish them. */
static void commit(const struct fetch_job *job, struct fetch_cause *ret)
{
        uint64_t received = cas_ingest_offset(job->ingest);
        int r = cas_ingest_commit(job->ingest, ret->source);

        if (r == -EBADMSG && job->declared != CAS_SIZE_UNKNOWN && received != job->declared)
                fetch_cause_set(ret, FETCH_WRONG_BYTES,
                                "%" PRIu64 " bytes, but the catalog says %" PRIu64, received,
                                job->declared);
        else if (r == -EBADMSG)
                fetch_cause_set(ret, FETCH_WRONG_BYTES,
                                "the %" PRIu64 " bytes have another SHA-256", received);
        else if (r < 0)
                fetch_cause_set_disk(ret, -r, "publishing");
}

static void try_source(struct fetch_attempt *attempt, const char *url, uint64_t declared,
                       struct fetch_cause *ret)
{
        const struct fetch_config *config = attempt->config;
        struct fetch_job job = {
            .bound = config->bound, .declared = declared, .cancelled = attempt->cancelled};

        *ret = (struct fetch_cause){0};
        fetch_url_redact(url, ret->source, sizeof(ret->source));

        int r =
            cas_ingest_begin(config->store, &attempt->digest, config->bound, declared, &job.ingest);

        if (r < 0) {
                fetch_source_refused(&job, r, ret);
                return;
        }

        struct fetch_cause outcome = {0};

        read_source(attempt, &job, url, &outcome);
        memcpy(outcome.source, ret->source, sizeof(outcome.source));
        *ret = outcome;
        if (ret->kind == FETCH_OK)
                commit(&job, ret);
        attempt->size = cas_ingest_offset(job.ingest);
        attempt->received += attempt->size;
        cas_ingest_free(job.ingest);
}

static void try_sources(struct fetch_attempt *attempt, char **sources)
{
        const struct fetch_config *config = attempt->config;
        const struct fetch_asset *asset =
            fetch_catalog_find(config->origins.catalog, &attempt->digest);
        uint64_t declared = asset ? asset->size : CAS_SIZE_UNKNOWN;

        if (!sources[0])
                fetch_cause_set(&attempt->cause, FETCH_NOT_FOUND, "no source for it");
        for (char **source = sources; *source; source++) {
                struct fetch_cause outcome;

                if (atomic_load(attempt->cancelled)) {
                        fetch_cause_set(&attempt->cause, FETCH_CANCELLED, "stopping");
                        return;
                }
                attempt->sources++;
                try_source(attempt, *source, declared, &outcome);
                if (outcome.kind == FETCH_OK) {
                        attempt->cause = outcome;
                        return;
                }
                fetch_cause_merge(&attempt->cause, &outcome);
                if (!fetch_cause_is_sources(&outcome))
                        return;
        }
}

void fetch_attempt_run(struct fetch_attempt *attempt)
{
        if (settle_cached(attempt)) {
                if (attempt->cause.kind != FETCH_OK)
                        report(attempt, FETCH_EVENT_FAILED, &attempt->cause);
                return;
        }

        char **sources = fetch_sources(&attempt->config->origins, &attempt->digest);

        if (sources)
                try_sources(attempt, sources);
        else
                fetch_cause_set_disk(&attempt->cause, ENOMEM, "flight");
        fetch_sources_free(sources);
        report(attempt, attempt->cause.kind == FETCH_OK ? FETCH_EVENT_FETCHED : FETCH_EVENT_FAILED,
               &attempt->cause);
}
