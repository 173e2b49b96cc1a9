/*
 * Credentials. One object for each origin, or bucket, or repository, shared by all of its
 * flights and size questions; asked before a transfer for a pass, which is what the transfer
 * carries and is not changed any more.
 *
 *   fetch_auth_take -> http_request.pass -> (401, 403: fetch_auth_renew) -> pass_unref
 *
 * A pass goes to the scheme, host and port it was made for and nowhere else, whatever
 * redirects say (fetch_auth_pass_is_for). Where a pass comes from is a kind's matter:
 * auth_file.c knows files, auth_gs.c, auth_s3.c and auth_oci.c whom to ask for one. One thread
 * at a time makes one. While the last one is still good the others go on with that; else they
 * wait for the new one.
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
#include <stdint.h>
#include <sys/stat.h>

#define FETCH_AUTH_SECRET_MAX (64u * 1024) /* bytes of a credential's file */
#define FETCH_AUTH_PAUSE_MS   1000

struct fetch_auth_pass {
        atomic_uint refs;
        char *url;           /* its scheme, host and port are whom it is for */
        char *authorization; /* a header line, or NULL */
        char *certificate;   /* PEM, or NULL */
        char *key;           /* PEM; NULL: in the certificate's text */
        char *sigv4;         /* how libcurl signs each request (CURLOPT_AWS_SIGV4), or NULL */
        char *access_key;    /* … with these */
        char *secret_key;
        char *session_token; /* … or NULL */
        bool takes_gzip;     /* bodies are stored compressed, and wanted as they are stored */
        int64_t renew_ms;    /* fetch_now_ms() at which another one should be made; INT64_MAX */
        int64_t expires_ms;  /* … and from which on this one is of no use; INT64_MAX */
};

struct fetch_auth;

/* For whom a pass is made. */
struct fetch_auth_call {
        /* The URL that the last pass was taken to and that answered 401 or 403; NULL: none. */
        const char *refused;
        /* Becomes true when nobody wants the pass any more; or NULL. */
        const atomic_bool *cancelled;
        /* The last pass is still good, and stays where no other one can be made. */
        bool is_early;
};

struct fetch_auth_kind {
        /* Is the pass, which has not expired, still as good as a new one? May wait. NULL: it is. */
        bool (*is_fresh)(struct fetch_auth *auth, const struct fetch_auth_pass *pass);
        /* Fills in an empty pass, which holds its url and never expires; false after the cause was
         * set. May wait, fetch/ask.h included. One thread at a time. */
        bool (*make)(struct fetch_auth *auth, const struct fetch_auth_call *call,
                     struct fetch_auth_pass *pass, struct fetch_cause *cause);
        void (*destroy)(struct fetch_auth *auth); /* frees it */
};

/* A kind embeds this as its first member. */
struct fetch_auth {
        const struct fetch_auth_kind *kind;
        char *url; /* whom its passes are for: scheme, host and port count */
        /* For its questions, as of struct fetch_origin. Set by whoever has made it; not for what
         * answers on this machine or beside it alone, as a cloud's metadata. */
        const char *proxy;
        pthread_mutex_t lock;
        pthread_cond_t made;
        bool making;                  /* lock */
        struct fetch_auth_pass *pass; /* lock; the last one made, or NULL */
        struct fetch_cause bad_luck;  /* lock; why the last one could not be made, or FETCH_OK */
        /* Of whoever makes one: */
        int64_t renewed_ms;         /* when a refused one was last replaced, or tried to */
        struct fetch_cause failure; /* why that failed, or FETCH_OK */
        int64_t failed_ms;          /* when one that was to be renewed could not be */
};

/* `url` is copied. -ENOMEM: nothing is to be destroyed. */
int fetch_auth_init(struct fetch_auth *auth, const struct fetch_auth_kind *kind, const char *url);
void fetch_auth_free(struct fetch_auth *auth); /* accepts NULL */

/* A pass, to be given back by unref; NULL after the cause was set: FETCH_DENIED; what it is where
 * whoever gives it out cannot be reached, or has trouble of its own, which is worth another try;
 * FETCH_CANCELLED soon after *cancelled (may be NULL) became true. May wait for a disk or a
 * server: never on the transfer loop's thread. */
struct fetch_auth_pass *fetch_auth_take(struct fetch_auth *auth, const atomic_bool *cancelled,
                                        struct fetch_cause *cause);

/*
 * `url` answered 401 or 403 in spite of the pass: another one, if there is one by now that says
 * something else. Else NULL, and *cause is set where it could not be made. A source that refuses
 * every pass gets a new one once in FETCH_AUTH_PAUSE_MS; who comes meanwhile hears why there was
 * none. May wait, as take.
 */
struct fetch_auth_pass *fetch_auth_renew(struct fetch_auth *auth,
                                         const struct fetch_auth_pass *pass, const char *url,
                                         const atomic_bool *cancelled, struct fetch_cause *cause);

/* Did the answer, or what became of it, refuse the pass? 401, 403; and 400, by which S3 says that
 * keys have run out. Of no pass: no. */
bool fetch_auth_has_refused(const struct fetch_auth_pass *pass, int status);

/* Times of a pass that lives for so long from now: it is renewed when a tenth to a fifth of its
 * life is left, by chance, so that a fleet that booted at once does not renew at once. */
void fetch_auth_set_life(struct fetch_auth_pass *pass, int64_t life_s);

struct fetch_auth_pass *fetch_auth_pass_ref(struct fetch_auth_pass *pass); /* accepts NULL */
void fetch_auth_pass_unref(struct fetch_auth_pass *pass);                  /* accepts NULL */
bool fetch_auth_pass_is_for(const struct fetch_auth_pass *pass, const char *url);

/* May a secret be sent there: by https, or to this machine itself? */
bool fetch_auth_is_private(const char *url);

/* Wipes it and frees it; accepts NULL. */
void fetch_auth_forget(char *secret);

/* One word of what a header line may hold? Else it could forge a second line. */
bool fetch_auth_is_token(const char *text);

/*
 * A credential's text file, its trailing blanks cut off, to be forgotten (fetch_auth_forget());
 * NULL after the cause was set to FETCH_DENIED: it begins with `what` and the path. *ret_seen
 * (may be NULL) is its stat.
 */
char *fetch_auth_read_file(const char *what, const char *path, struct stat *ret_seen,
                           struct fetch_cause *cause);

/* " (Permission denied)" of a file that our user cannot look at, else "": to stand behind its path
 * where it was looked for and not found. */
const char *fetch_auth_unseen(const char *path);

/* Is the file another one than it was, or gone? May wait, for its disk. */
bool fetch_auth_has_changed(const char *path, const struct stat *seen);

/* Opens for reading what our own user may not. A descriptor, or -errno; -EPERM: it will not, since
 * somebody could have put another file there. From any thread. */
struct fetch_auth_opener {
        int (*open)(void *arg, const char *path);
        void *arg;
};

/* The same two, for files which perhaps an opener has to open; it may be NULL. */
char *fetch_auth_read_file_by(const struct fetch_auth_opener *opener, const char *what,
                              const char *path, struct stat *ret_seen, struct fetch_cause *cause);
bool fetch_auth_has_changed_by(const struct fetch_auth_opener *opener, const char *path,
                               const struct stat *seen);

/* "Authorization: Basic …"; NULL without memory. */
char *fetch_auth_basic(const char *login, const char *password);

/* Files; each a path or NULL. The strings live as long as the fetch. */
struct fetch_auth_files {
        const char *token_file;  /* one line: a bearer token */
        const char *netrc_file;  /* machine, login, password: basic authentication */
        const char *client_cert; /* PEM */
        const char *client_key;  /* PEM, without a passphrase; NULL: in client_cert */
        const struct fetch_auth_opener *opener; /* or NULL */
};

bool fetch_auth_files_has(const struct fetch_auth_files *files); /* is any named? */

/* 0 and NULL where no file is named; -ENOMEM. Opens nothing. */
int fetch_auth_of_files(const char *url, const struct fetch_auth_files *files,
                        struct fetch_auth **ret);

#endif
