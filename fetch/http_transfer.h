/*
 * One transfer as http.c (the loop), http_transfer.c (what curl is told) and
 * http_answer.c (what its answers mean) share it. Nobody else includes this.
 */
#ifndef FETCH_HTTP_TRANSFER_H
#define FETCH_HTTP_TRANSFER_H

#include "fetch/http.h"

#include <curl/curl.h>

struct http_transfer {
        struct http_loop *loop;
        CURL *easy;
        const struct http_config *config; /* the loop's */
        enum http_method method;
        bool ranged;      /* a part was asked for */
        bool conditional; /* … or only another version */
        uint64_t first;   /* … from this byte on */
        bool is_origins;  /* as the request says */
        bool any_status;  /* likewise */
        char *proxy;      /* likewise */
        char *body;       /* of the request; or NULL */
        bool denied;      /* by deny_nets, in this hop */
        bool enough;      /* the handler wants no more */
        int socket_error; /* errno: there could be no socket, for which no server is to blame */
        struct http_handler handler;
        void *arg;
        struct curl_slist *headers;   /* that are sent to everybody */
        struct curl_slist *secret;    /* … and after them to whom the pass is for; or NULL */
        struct fetch_auth_pass *pass; /* or NULL */
        int64_t deadline_ms;          /* of all hops together; 0: none */
        int hops;                     /* redirects followed so far */
        bool answered;                /* handler.response was called */
        bool refused;                 /* … and returned false */
        size_t discarded;             /* bytes of bodies that nobody wants */
        char refusal[512];            /* how such a body begins, where requests are signed */
        size_t headers_taken;         /* bytes of this hop's headers and trailers */
        char error[CURL_ERROR_SIZE];

        /* The loop's lock. */
        struct http_transfer *next; /* among those with a command, or starting */
        bool queued;
        bool wants_start;
        bool wants_resume;
        bool wants_cancel;

        /* The loop's thread only. */
        struct http_transfer *active_next;
        struct http_transfer *active_prev;
        bool active;
};

/* A transfer with its curl handle set up; NULL without memory. */
struct http_transfer *http_transfer_new(const struct http_config *config,
                                        const struct http_request *request,
                                        const struct http_handler *handler, void *arg);
void http_transfer_free(struct http_transfer *transfer);

/* Where the next hop goes to, and by which proxy. */
CURLcode http_transfer_set_url(struct http_transfer *transfer, const char *url);

/* http_answer.c: curl's callbacks, with the transfer as their argument. */
size_t http_transfer_on_bytes(char *bytes, size_t one, size_t length, void *arg);
size_t http_transfer_on_header(char *bytes, size_t one, size_t length, void *arg);

/* http_refusal.c: keeps how the body of a refusal begins, before it is counted as discarded. */
void http_refusal_keep(struct http_transfer *transfer, const char *bytes, size_t length);

/* Is it refused, or redirected, because the bucket is in another region? Then *ret says so. What
 * was signed for the one is of no use to the other, so that is not followed. */
bool http_refusal_is_region(const struct http_transfer *transfer, bool to_nowhere,
                            struct fetch_cause *ret);

/* A better word than the status, where there is one; ret->status is set. */
void http_refusal_judge(const struct http_transfer *transfer, struct fetch_cause *ret);

/* http_answer.c: notes what its time went to, if it brought a body. */
void http_transfer_note_phases(struct http_transfer *transfer);

/*
 * http_answer.c: curl is done with the handle. true: a redirect was accepted and the handle is
 * ready to be added again; false: *ret says how it ended.
 */
bool http_transfer_finish(struct http_transfer *transfer, CURLcode code, struct fetch_cause *ret);

#endif
