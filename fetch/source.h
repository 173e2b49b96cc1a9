/*
 * Reading one source for a flight: the bytes that its window misses, from the first one
 * on, into its ingest. Which sources there are is fetch/origin.h; which comes next is
 * fetch/plan.h. http_source.c reads http and https, file_source.c reads file://.
 */
#ifndef FETCH_SOURCE_H
#define FETCH_SOURCE_H

#include "cas/ingest.h"
#include "fetch/cause.h"
#include "fetch/header.h"
#include "fetch/http.h"
#include "fetch/origin.h"
#include "fetch/window.h"

#define FETCH_CONNECTIONS_MOST 64

/* What a source has told about its body, so that a later try notices another one. */
struct fetch_version {
        uint64_t size;             /* or CAS_SIZE_UNKNOWN */
        char etag[FETCH_ETAG_MAX]; /* a strong one, or "" */
        bool takes_ranges;         /* it said so, or did */
        bool no_segments;          /* … but refused one: one connection at a time from now on */
};

struct fetch_job {
        struct cas_ingest *ingest;
        struct fetch_window *window;
        struct http_loop *loop;
        const struct fetch_source *source;
        struct fetch_auth_pass *pass;  /* that goes along, or NULL */
        struct fetch_version *version; /* of the source; kept up to date */
        uint64_t bound;                /* bytes */
        uint64_t declared;             /* bytes, by a catalog, or CAS_SIZE_UNKNOWN */
        unsigned connections;          /* at most, side by side */
        _Atomic uint64_t *size_told;   /* the body's size, as soon as it is known */
        _Atomic uint64_t *brought;     /* grows by the bytes of the body, as they come */
        bool may_begin_anew;           /* from zero, if the source has only the whole to give */
};

struct fetch_outcome {
        struct fetch_cause cause; /* FETCH_OK: the body is all there, and in the ingest */
        bool from_zero;           /* the source cannot go on where the window is */
        bool anew;                /* it began from zero: what was there before is gone */
        bool cut;                 /* it ended early, without having said how long it is */
        bool no_length;           /* it ended, but had not said where: it may have been cut */
        bool joined; /* what it brought may belong to another body than what was there */
};

/*
 * Both wait, so they run on a flight's own thread; a wish (fetch/window.h) ends them soon,
 * with FETCH_CANCELLED. On return nobody fills the window any more. Whether the bytes are
 * right is for cas_ingest_commit() to say.
 */
void fetch_http_source(const struct fetch_job *job, struct fetch_outcome *ret);

/* The same with the credential that the source needs, if any: where that is refused, it goes on at
 * its byte with a new one. */
void fetch_http_source_as(struct fetch_job *job, const atomic_bool *cancelled,
                          struct fetch_outcome *ret);
void fetch_file_source(const struct fetch_job *job, struct fetch_outcome *ret);

/* The first byte of the asset that the flight does not have. */
uint64_t fetch_source_position(const struct fetch_job *job);

/* Hands what is full over to the ingest; with `all`, the part at the end too. 0 or the
 * ingest's error. */
int fetch_source_feed(const struct fetch_job *job, bool all);

/* What an ingest's error (cas/ingest.h) means for the source that was being read. */
void fetch_source_refused(const struct fetch_job *job, int error, struct fetch_cause *ret);

/* The size of a file:// source in bytes, or a cause. Does not read it. */
void fetch_file_size(const char *url, uint64_t *ret_size, struct fetch_cause *ret);

#endif
