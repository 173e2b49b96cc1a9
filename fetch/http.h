/*
 * HTTP transfers, all of them driven by one thread on one curl multi handle. That
 * thread never touches the disk, never hashes and never waits for anybody: what
 * it has for the caller it says in callbacks, which must not block either.
 *
 * Policy, the same for every transfer: http and https only; certificates are
 * verified; at most HTTP_REDIRECTS redirects, followed here, hop by hop, never to
 * another scheme, never from https to http and never with a name and a password of
 * their own, never to an address that is denied; nothing is decoded; the headers of a
 * hop are bounded; a transfer that stays below the rate floor ends.
 */
#ifndef FETCH_HTTP_H
#define FETCH_HTTP_H

#include "fetch/auth.h"
#include "fetch/cause.h"
#include "fetch/net.h"
#include "fetch/phase.h"
#include "fetch/proxy.h"

#define HTTP_REDIRECTS    5
#define HTTP_SIZE_UNKNOWN UINT64_MAX
#define HTTP_SIZE_MAX     INT64_MAX /* what claims to be larger is of unknown size */
#define HTTP_BEAT_MS      1000

struct http_loop;
struct http_transfer;

struct http_config {
        const char *ca_file; /* PEM; NULL: the system's CAs */
        const struct fetch_proxies *proxies;
        /* Addresses that no redirect and no catalog leads to, and no origin but one that names
         * the address itself. Behind a proxy it is the proxy who resolves, and decides. */
        const struct fetch_net *deny_nets;
        size_t deny_net_count;
        unsigned stall_seconds; /* below min_rate for so long: stalled */
        unsigned min_rate;      /* bytes a second */
        unsigned connect_seconds;
        unsigned buffer_bytes; /* that are handed over at a time; kept for each transfer; at most
                                * CAS_SLOT_BYTES */
        /* Called at every turn of the loop, at least once in HTTP_BEAT_MS: it is alive. */
        void (*beat)(void *arg); /* or NULL */
        void *beat_arg;
        fetch_phase_note *phase; /* or NULL */
        void *phase_arg;
};

/* Starts the loop's thread. `config` is copied, its strings are not. 0, -ENOMEM, -EAGAIN. */
int http_loop_new(const struct http_config *config, struct http_loop **ret);

/* Ends every transfer with FETCH_CANCELLED; later ones end so at once. The thread goes on. */
void http_loop_cancel_all(struct http_loop *loop);

/* CPU time that the loop's thread has used, in ms. */
int64_t http_loop_cpu_ms(struct http_loop *loop);

/* Joins the thread. No transfer may be left. Accepts NULL. */
void http_loop_free(struct http_loop *loop);

enum http_method {
        HTTP_GET,
        HTTP_HEAD,
        HTTP_GET_FIRST_BYTE, /* a range of one byte: tells the size where HEAD is refused */
        HTTP_POST,           /* a form, if no header says otherwise */
        HTTP_PUT,
};

#define HTTP_TO_THE_END UINT64_MAX

struct http_request {
        enum http_method method;
        const char *url;
        unsigned timeout_ms; /* bounds all of it, redirects too; 0: only the rate floor does */
        bool is_origins;     /* the operator named it: as for deny_nets */
        /* For all hops, whatever no_proxy says; "": none; NULL: by config, but none to this machine
         * where a secret goes by plain http. */
        const char *proxy;
        /* For the hops that it is meant for, and for no other; or NULL. A reference is taken. */
        struct fetch_auth_pass *pass;
        /* Every answer is a good one, redirects too, which are not followed. */
        bool any_status;
        const char *const *lines; /* more headers, then NULL; or NULL. To the first hop alone */
        const char *body;         /* HTTP_POST, HTTP_PUT: a text, or NULL */
        bool beside;              /* by another connection than what runs already, not only another
                                   * HTTP/2 stream: what limits one connection limits its streams */
        /* HTTP_GET: the bytes [first, end) of the body. */
        uint64_t first;
        uint64_t end;         /* or HTTP_TO_THE_END */
        const char *if_range; /* the strong entity tag that the range belongs to, or NULL */
        /* HTTP_GET of the whole body: the version that is known already, or NULL. */
        const char *if_none_match;
        const char *if_modified_since;
};

struct http_response {
        long status;
        uint64_t size; /* of the whole body, at most HTTP_SIZE_MAX, or HTTP_SIZE_UNKNOWN */
        bool partial;  /* 206; then the body is [first, end) of it */
        uint64_t first;
        uint64_t end;
        bool takes_ranges; /* it said so, or did */
        bool unchanged;    /* 304: the version that is known already is the latest */
        const char *tag;   /* an entity tag, strong or weak, and Last-Modified as they were sent, */
        const char *modified; /* or NULL; valid during the call */
        const char *etag;     /* a strong entity tag, or NULL; valid during the call */
        const char *url;      /* that of the last hop; likewise */
        /* any_status: the values of the WWW-Authenticate lines, each ends with '\n'; or NULL */
        const char *challenges;
};

enum http_took {
        HTTP_TOOK,
        HTTP_NO_ROOM, /* the same bytes come again after http_resume() */
        HTTP_ENOUGH,  /* taken, and no more is wanted: the transfer ends well */
};

/* Called on the loop's thread, `arg` as given to http_start(). */
struct http_handler {
        /* The final answer's headers are here, and it is a good one. false ends the transfer. */
        bool (*response)(void *arg, const struct http_response *response);
        /* Bytes of the body (HTTP_GET, HTTP_POST, HTTP_PUT). */
        enum http_took (*bytes)(void *arg, const void *bytes, size_t length);
        /* Once, and the last call: FETCH_OK when the whole body was handed over. */
        void (*done)(void *arg, const struct fetch_cause *cause);
};

/*
 * Starts a transfer. What `request` points to is copied. The transfer belongs to the loop and is
 * gone once done() was called; done() may be called before http_start() returns. NULL without
 * memory, and then no callback is called.
 */
struct http_transfer *http_start(struct http_loop *loop, const struct http_request *request,
                                 const struct http_handler *handler, void *arg);

/* From any thread, but not after done() was called: the caller's own lock keeps them apart. */
void http_resume(struct http_transfer *transfer);
void http_cancel(struct http_transfer *transfer); /* done() follows, with FETCH_CANCELLED */

#endif
