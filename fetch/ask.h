/*
 * One small question by HTTP, answered whole while the caller waits: for tokens, challenges,
 * roles. It goes by the transfer loop and its policy (fetch/http.h); redirects are not followed.
 * Never on the loop's thread.
 */
#ifndef FETCH_ASK_H
#define FETCH_ASK_H

#include "fetch/http.h"

#define FETCH_ASK_BYTES (256u * 1024) /* of an answer */

struct fetch_ask {
        enum http_method method;    /* HTTP_GET, HTTP_POST, HTTP_PUT */
        const char *url;            /* http or https */
        const char *const *headers; /* lines ("Name: value"), then NULL; or NULL. May be secret */
        const char *body;           /* of POST and PUT, may be secret; NULL: empty */
        const char *proxy;          /* as of struct fetch_origin */
        unsigned timeout_ms;        /* 0: FETCH_ASK_TIMEOUT_MS */
        bool is_foreign;            /* a server named the URL, not the operator: as for deny_nets */
};

#define FETCH_ASK_TIMEOUT_MS 30000

struct fetch_answer {
        int status;       /* HTTP's; 0: there was no answer, and the cause says why */
        char *body;       /* a text, never NULL where there is a status */
        size_t length;    /* of it, without the NUL at its end */
        char *challenges; /* the WWW-Authenticate lines' values, each ends with '\n'; or NULL */
        struct fetch_cause cause;
};

/* Asks once. FETCH_CANCELLED soon after *cancelled (may be NULL) became true. Whatever came is
 * to be freed. */
void fetch_ask(struct http_loop *loop, const struct fetch_ask *ask, const atomic_bool *cancelled,
               struct fetch_answer *ret);

/* Wipes and frees: answers hold tokens. */
void fetch_answer_free(struct fetch_answer *answer);

#endif
