/*
 * What the headers of an answer mean for a download: the whole body, the part that was asked
 * for, or something else that must not be joined on to what is there. Pure.
 */
#include "fetch/download.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void refuse(struct fetch_download *download, const char *why)
{
        download->end.cause.status = 0;
        fetch_cause_set(&download->end.cause, FETCH_ORIGIN_FAILED, "%s", why);
        download->end.from_zero = true;
}

/* Locked. What is known of the body's size: from this time, or from a try before. */
static uint64_t known_size(const struct fetch_download *download)
{
        return download->size != HTTP_SIZE_UNKNOWN ? download->size : download->job->version->size;
}

/* Locked. Is it the part that was asked for, of the body of which we have the beginning? */
static bool is_continuation(struct fetch_download *download, const struct fetch_lane *lane,
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
                refuse(download, why);
        return !why;
}

/* Locked. The whole body in answer to a range: good as well, where the flight can begin anew. */
static bool is_new_beginning(const struct fetch_download *download, const struct fetch_lane *lane,
                             const struct http_response *response)
{
        return lane->asked == HTTP_TO_THE_END && !response->partial &&
               download->job->may_begin_anew;
}

/* Locked. Can a body of this size be the asset? */
static bool is_acceptable(struct fetch_download *download, uint64_t size)
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
static void note_version(struct fetch_download *download, const struct http_response *response)
{
        struct fetch_version *version = download->job->version;
        const char *etag = response->etag ? response->etag : "";

        download->guarded = response->partial && version->etag[0] && response->etag;
        if (!response->partial || !version->etag[0])
                snprintf(version->etag, sizeof(version->etag), "%s", etag);
        version->takes_ranges = response->takes_ranges;
        if (response->size != HTTP_SIZE_UNKNOWN || !response->partial)
                version->size = response->size;
        if (version->size != CAS_SIZE_UNKNOWN)
                atomic_store(download->job->size_told, version->size);
        download->size = version->size;
        download->answered = true;
        if (strcmp(response->url, download->job->source->url) != 0)
                download->url = strdup(response->url); /* without memory: by the chain again */
}

bool fetch_download_answer(struct fetch_lane *lane, const struct http_response *response)
{
        struct fetch_download *download = lane->download;
        bool first = lane->asked == HTTP_TO_THE_END;
        bool anew = lane->from > 0 && is_new_beginning(download, lane, response);

        if (!(first && lane->from == 0) && !anew && !is_continuation(download, lane, response))
                return false;
        if (!is_acceptable(download, response->size))
                return false;
        if (first) {
                note_version(download, response);
                download->anew = anew;
                lane->at = anew ? 0 : lane->from;
                lane->end = download->size;
        }
        return true;
}
