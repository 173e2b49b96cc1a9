/*
 * HTTP transfers, all of them driven by one thread on one curl multi handle. That
 * thread never touches the disk, never hashes and never waits for anybody: what
 * it has for the caller it says in callbacks, which must not block either.
 *
 * Policy, the same for every transfer: http and https only; certificates are
 * verified; at most HTTP_REDIRECTS redirects, followed here, hop by hop, never to
 * another scheme, never from https to http and never with a name and a password of
 * their own; nothing is decoded; the headers of a
 * hop are bounded; a transfer that stays below the rate floor ends.
 */
#ifndef FETCH_HTTP_H
#define FETCH_HTTP_H

#include "fetch/cause.h"

#define HTTP_REDIRECTS    5
#define HTTP_SIZE_UNKNOWN UINT64_MAX
#define HTTP_SIZE_MAX     INT64_MAX /* what claims to be larger is of unknown size */
#define HTTP_BEAT_MS      1000

struct http_loop;
struct http_transfer;

struct http_config {
        const char *ca_file;    /* PEM; NULL: the system's CAs */
        const char *proxy;      /* NULL: the usual environment variables */
        unsigned stall_seconds; /* below min_rate for so long: stalled */
        unsigned min_rate;      /* bytes a second */
        unsigned connect_seconds;
        /* Called at every turn of the loop, at least once in HTTP_BEAT_MS: it is alive. */
        void (*beat)(void *arg); /* or NULL */
        void *beat_arg;
};

/* Starts the loop's thread. `config` is copied, its strings are not. 0, -ENOMEM, -EAGAIN. */
int http_loop_new(const struct http_config *config, struct http_loop **ret);

/* Ends every transfer with FETCH_CANCELLED; later ones end so at once. The thread goes on. */
void http_loop_cancel_all(struct http_loop *loop);

/* Joins the thread. No transfer may be left. Accepts NULL. */
void http_loop_free(struct http_loop *loop);

enum http_method {
        HTTP_GET,
        HTTP_HEAD,
        HTTP_GET_FIRST_BYTE, /* a range of one byte: tells the size where HEAD is refused */
};

struct http_response {
        uint64_t size; /* of the whole body, at most HTTP_SIZE_MAX, or HTTP_SIZE_UNKNOWN */
};

/* Called on the loop's thread, `arg` as given to http_start(). */
struct http_handler {
        /* The final answer's headers are here, and it is a good one. false ends the transfer. */
        bool (*response)(void *arg, const struct http_response *response);
        /* Bytes of the body (HTTP_GET only). false: no room now; the same bytes come again
         * after http_resume(). */
        bool (*bytes)(void *arg, const void *bytes, size_t length);
        /* Once, and the last call: FETCH_OK when the whole body was handed over. */
        void (*done)(void *arg, const struct fetch_cause *cause);
};

/*
 * Starts a transfer. `timeout_ms` bounds all of it, redirects too, 0: only the rate floor does.
 * `url` is copied. The transfer belongs to the loop and is gone once done() was
 * called; done() may be called before http_start() returns. NULL without memory,
 * and then no callback is called.
 */
struct http_transfer *http_start(struct http_loop *loop, enum http_method method, const char *url,
                                 unsigned timeout_ms, const struct http_handler *handler,
                                 void *arg);

/* From any thread, but not after done() was called: the caller's own lock keeps them apart. */
void http_resume(struct http_transfer *transfer);
void http_cancel(struct http_transfer *transfer); /* done() follows, with FETCH_CANCELLED */

#endif
