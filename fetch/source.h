/*
 * Reading one source into one ingest. Which sources there are is fetch/origin.h;
 * which comes next is the flight's business. http_source.c reads http and https,
 * file_source.c reads file://.
 */
#ifndef FETCH_SOURCE_H
#define FETCH_SOURCE_H

#include "cas/ingest.h"
#include "fetch/cause.h"
#include "fetch/http.h"

struct fetch_job {
        struct cas_ingest *ingest;
        uint64_t bound;    /* bytes */
        uint64_t declared; /* bytes, by a catalog, or CAS_SIZE_UNKNOWN */
        const atomic_bool *cancelled;
};

/*
 * Both feed the ingest the whole body of `url`. ret->kind is FETCH_OK when it is
 * all there; whether it is right is for cas_ingest_commit() to say. They wait, so
 * they run on a flight's own thread.
 */
void fetch_http_source(const struct fetch_job *job, struct http_loop *loop, const char *url,
                       struct fetch_cause *ret);
void fetch_file_source(const struct fetch_job *job, const char *url, struct fetch_cause *ret);

/* What an ingest's error (cas/ingest.h) means for the source that was being read. */
void fetch_source_refused(const struct fetch_job *job, int error, struct fetch_cause *ret);

/* The size of a file:// source in bytes, or a cause. Does not read it. */
void fetch_file_size(const char *url, uint64_t *ret_size, struct fetch_cause *ret);

#endif
