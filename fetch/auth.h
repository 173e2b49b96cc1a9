/*
 * Credentials of an origin. One object for each configured origin, shared by all of its
 * flights and size questions; asked before a transfer for a pass, which is what the transfer
 * carries and is not changed any more.
 *
 *   fetch_auth_take -> http_request.pass -> (401, 403: fetch_auth_renew) -> pass_unref
 *
 * A pass goes to the scheme, host and port it was made for and nowhere else, whatever
 * redirects say (fetch_auth_pass_is_for). Where a pass comes from is a kind's matter:
 * auth_file.c knows files. Only one thread at a time makes one, the others wait for it.
 *
 * A missing or bad credential is FETCH_DENIED with a line that says what to mend; asking
 * again after it was mended goes well. Secrets are wiped when they are freed, and are in no
 * cause. Does not log.
 */
#ifndef FETCH_AUTH_H
#define FETCH_AUTH_H

#include "fetch/cause.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define FETCH_AUTH_SECRET_MAX (64u * 1024) /* bytes of a credential's file */

struct fetch_auth_pass {
        atomic_uint refs;
        char *url;           /* its scheme, host and port are whom it is for */
        char *authorization; /* a header line, or NULL */
        char *certificate;   /* PEM, or NULL */
        char *key;           /* PEM; NULL: in the certificate's text */
};

struct fetch_auth;

struct fetch_auth_kind {
        /* Is the pass still as good as a new one? May wait. */
        bool (*is_fresh)(struct fetch_auth *auth, const struct fetch_auth_pass *pass);
        /* Fills in an empty pass; false after the cause was set. May wait. */
        bool (*make)(struct fetch_auth *auth, struct fetch_auth_pass *pass,
                     struct fetch_cause *cause);
        void (*destroy)(struct fetch_auth *auth); /* frees it */
};

/* A kind embeds this as its first member. */
struct fetch_auth {
        const struct fetch_auth_kind *kind;
        const char *url; /* the origin's template; lives as long as the fetch */
        pthread_mutex_t lock;
        pthread_cond_t made;
        bool making;                  /* lock */
        struct fetch_auth_pass *pass; /* lock; the last one made, or NULL */
};

void fetch_auth_init(struct fetch_auth *auth, const struct fetch_auth_kind *kind, const char *url);
void fetch_auth_free(struct fetch_auth *auth); /* accepts NULL */

/* A pass, to be given back by unref; NULL after the cause was set. May wait for a disk or a
 * server: never on the transfer loop's thread. */
struct fetch_auth_pass *fetch_auth_take(struct fetch_auth *auth, struct fetch_cause *cause);

/* 401 or 403 in spite of the pass: another one, if there is one by now that says something else;
 * else NULL. May wait, as take. */
struct fetch_auth_pass *fetch_auth_renew(struct fetch_auth *auth,
                                         const struct fetch_auth_pass *pass);

/* The same, without the other one: the pass is not used for new transfers. From any thread. */
void fetch_auth_refused(struct fetch_auth *auth, const struct fetch_auth_pass *pass);

struct fetch_auth_pass *fetch_auth_pass_ref(struct fetch_auth_pass *pass); /* accepts NULL */
void fetch_auth_pass_unref(struct fetch_auth_pass *pass);                  /* accepts NULL */
bool fetch_auth_pass_is_for(const struct fetch_auth_pass *pass, const char *url);

/* May a secret be sent there: by https, or to this machine itself? */
bool fetch_auth_is_private(const char *url);

/* Files; each a path or NULL. The strings live as long as the fetch. */
struct fetch_auth_files {
        const char *token_file;  /* one line: a bearer token */
        const char *netrc_file;  /* machine, login, password: basic authentication */
        const char *client_cert; /* PEM */
        const char *client_key;  /* PEM, without a passphrase; NULL: in client_cert */
};

/* 0 and NULL where no file is named; -ENOMEM. Opens nothing. */
int fetch_auth_of_files(const char *url, const struct fetch_auth_files *files,
                        struct fetch_auth **ret);

#endif
