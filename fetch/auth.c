/*
 * What all credentials have in common: one thread makes a pass, the others wait; whom a pass
 * is for; and that secrets are wiped. Reads no file and speaks to no network.
 */
#include "fetch/auth.h"

#include "fetch/clock.h"
#include "fetch/url.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#define LOOK_MS 100 /* between two looks at whether who waits is still wanted */

void fetch_auth_forget(char *secret)
{
        if (secret)
                explicit_bzero(secret, strlen(secret));
        free(secret);
}

struct fetch_auth_pass *fetch_auth_pass_ref(struct fetch_auth_pass *pass)
{
        if (pass)
                atomic_fetch_add(&pass->refs, 1);
        return pass;
}

void fetch_auth_pass_unref(struct fetch_auth_pass *pass)
{
        if (!pass || atomic_fetch_sub(&pass->refs, 1) > 1)
                return;
        fetch_auth_forget(pass->authorization);
        fetch_auth_forget(pass->certificate);
        fetch_auth_forget(pass->key);
        fetch_auth_forget(pass->access_key);
        fetch_auth_forget(pass->secret_key);
        fetch_auth_forget(pass->session_token);
        free(pass->sigv4);
        free(pass->url);
        free(pass);
}

/* The same part of both URLs, by libcurl's rules, ports by default too? */
static bool is_same(CURLU *one, CURLU *other, CURLUPart part)
{
        char *first = NULL;
        char *second = NULL;
        bool same = curl_url_get(one, part, &first, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                    curl_url_get(other, part, &second, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                    strcasecmp(first, second) == 0;

        curl_free(first);
        curl_free(second);
        return same;
}

bool fetch_auth_pass_is_for(const struct fetch_auth_pass *pass, const char *url)
{
        CURLU *one = curl_url();
        CURLU *other = curl_url();
        bool same = one && other && curl_url_set(one, CURLUPART_URL, pass->url, 0) == CURLUE_OK &&
                    curl_url_set(other, CURLUPART_URL, url, 0) == CURLUE_OK &&
                    is_same(one, other, CURLUPART_SCHEME) && is_same(one, other, CURLUPART_HOST) &&
                    is_same(one, other, CURLUPART_PORT);

        curl_url_cleanup(one);
        curl_url_cleanup(other);
        return same;
}

bool fetch_auth_is_private(const char *url)
{
        static const char *const here[] = {"127.0.0.1", "[::1]", "localhost"};
        CURLU *parsed = curl_url();
        char *host = NULL;
        bool is = fetch_url_scheme(url) == FETCH_SCHEME_HTTPS;

        if (parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
            curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK)
                for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++)
                        is |= strcasecmp(host, here[i]) == 0;
        curl_free(host);
        curl_url_cleanup(parsed);
        return is;
}

bool fetch_auth_is_token(const char *text)
{
        for (const char *at = text; *at; at++)
                if (*at <= ' ' || *at > '~')
                        return false;
        return *text;
}

char *fetch_auth_basic(const char *login, const char *password)
{
        static const char head[] = "Authorization: Basic ";
        char *pair;
        char *line;
        int length = asprintf(&pair, "%s:%s", login, password);

        if (length < 0)
                return NULL;
        line = malloc(sizeof(head) + (size_t)(length + 2) / 3 * 4 + 1);
        if (line)
                EVP_EncodeBlock((unsigned char *)stpcpy(line, head), (unsigned char *)pair, length);
        fetch_auth_forget(pair);
        return line;
}

int fetch_auth_init(struct fetch_auth *auth, const struct fetch_auth_kind *kind, const char *url)
{
        pthread_condattr_t clock;

        auth->kind = kind;
        auth->making = false;
        auth->pass = NULL;
        auth->failure = auth->bad_luck = (struct fetch_cause){0};
        auth->renewed_ms = auth->failed_ms = INT64_MIN / 2;
        auth->url = strdup(url);
        if (!auth->url)
                return -ENOMEM;
        pthread_mutex_init(&auth->lock, NULL);
        pthread_condattr_init(&clock);
        pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
        pthread_cond_init(&auth->made, &clock);
        pthread_condattr_destroy(&clock);
        return 0;
}

void fetch_auth_free(struct fetch_auth *auth)
{
        if (!auth)
                return;
        fetch_auth_pass_unref(auth->pass);
        pthread_cond_destroy(&auth->made);
        pthread_mutex_destroy(&auth->lock);
        free(auth->url);
        auth->kind->destroy(auth);
}

void fetch_auth_set_life(struct fetch_auth_pass *pass, int64_t life_s)
{
        int64_t life_ms = (life_s > 0 ? life_s : 0) * 1000;
        uint32_t random;

        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
                random = (uint32_t)fetch_now_us();
        pass->expires_ms = fetch_now_ms() + life_ms;
        pass->renew_ms =
            pass->expires_ms - life_ms / 10 - (int64_t)(random % 1001) * life_ms / 10000;
}

static struct fetch_auth_pass *make(struct fetch_auth *auth, const struct fetch_auth_call *call,
                                    struct fetch_cause *cause)
{
        struct fetch_auth_pass *pass = calloc(1, sizeof(*pass));

        if (pass) {
                atomic_init(&pass->refs, 1);
                pass->renew_ms = pass->expires_ms = INT64_MAX;
                pass->url = strdup(auth->url);
        }
        if (pass && pass->url && auth->kind->make(auth, call, pass, cause))
                return pass;
        if (!pass || !pass->url)
                fetch_cause_set(cause, FETCH_DENIED, "out of memory for the credential");
        fetch_auth_pass_unref(pass);
        return NULL;
}

static bool is_cancelled(const struct fetch_auth_call *call)
{
        return call->cancelled && atomic_load(call->cancelled);
}

/* Under the lock, which is let go meanwhile. */
static void wait_a_moment(struct fetch_auth *auth)
{
        int64_t until_ms = fetch_now_ms() + LOOK_MS;
        struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};

        pthread_cond_timedwait(&auth->made, &auth->lock, &until);
}

static bool has_expired(const struct fetch_auth_pass *pass)
{
        return fetch_now_ms() >= pass->expires_ms;
}

/* Under the lock. A pass that others may go on with while one thread makes another. */
static bool is_usable(const struct fetch_auth_pass *pass, const struct fetch_auth_pass *refused)
{
        return pass && pass != refused && !has_expired(pass);
}

/*
 * true: it is the caller's to make one. false: *ret is what there is, or NULL after the cause was
 * set: nobody wants it, or who has just tried had no luck, and a queue of those that try one after
 * the other would be of no use to anybody.
 */
static bool become_maker(struct fetch_auth *auth, const struct fetch_auth_call *call,
                         const struct fetch_auth_pass *refused, struct fetch_auth_pass **ret,
                         struct fetch_cause *cause)
{
        bool mine = false;
        bool waited = false;

        *ret = NULL;
        pthread_mutex_lock(&auth->lock);
        while (auth->making && !is_usable(auth->pass, refused) && !is_cancelled(call)) {
                wait_a_moment(auth);
                waited = true;
        }
        if (is_cancelled(call)) {
                fetch_cause_set(cause, FETCH_CANCELLED, "cancelled");
        } else if (waited && !auth->making && !auth->pass && auth->bad_luck.kind != FETCH_OK) {
                *cause = auth->bad_luck;
        } else if (auth->making) {
                *ret = fetch_auth_pass_ref(auth->pass);
        } else {
                mine = auth->making = true;
                *ret = fetch_auth_pass_ref(auth->pass);
        }
        pthread_mutex_unlock(&auth->lock);
        return mine;
}

/* Of the one who makes it: the pass that counts from now on, or NULL. That its own caller has gone
 * is no failure. */
static void end_making(struct fetch_auth *auth, struct fetch_auth_pass *pass,
                       const struct fetch_cause *cause)
{
        pthread_mutex_lock(&auth->lock);
        auth->bad_luck = (struct fetch_cause){0};
        if (!pass && cause->kind != FETCH_CANCELLED)
                auth->bad_luck = *cause;
        if (auth->pass != pass) {
                fetch_auth_pass_unref(auth->pass);
                auth->pass = fetch_auth_pass_ref(pass);
        }
        auth->making = false;
        pthread_cond_broadcast(&auth->made);
        pthread_mutex_unlock(&auth->lock);
}

/* What is to be renewed early, and cannot be, goes on until it expires. Takes `pass` over. */
static struct fetch_auth_pass *renew_early(struct fetch_auth *auth,
                                           const struct fetch_auth_call *call,
                                           struct fetch_auth_pass *pass)
{
        const struct fetch_auth_call early = {.cancelled = call->cancelled, .is_early = true};
        struct fetch_cause cause = {0};
        struct fetch_auth_pass *next;

        if (fetch_now_ms() < auth->failed_ms + FETCH_AUTH_PAUSE_MS)
                return pass;
        next = make(auth, &early, &cause);
        if (!next) {
                auth->failed_ms = fetch_now_ms();
                return pass;
        }
        fetch_auth_pass_unref(pass);
        return next;
}

/* By who makes it: takes the last pass over and returns the one to go on with. */
static struct fetch_auth_pass *look_after(struct fetch_auth *auth,
                                          const struct fetch_auth_call *call,
                                          struct fetch_auth_pass *pass, struct fetch_cause *cause)
{
        if (pass && !has_expired(pass) &&
            (!auth->kind->is_fresh || auth->kind->is_fresh(auth, pass)))
                return fetch_now_ms() < pass->renew_ms ? pass : renew_early(auth, call, pass);
        fetch_auth_pass_unref(pass);
        return make(auth, call, cause);
}

struct fetch_auth_pass *fetch_auth_take(struct fetch_auth *auth, const atomic_bool *cancelled,
                                        struct fetch_cause *cause)
{
        const struct fetch_auth_call call = {.cancelled = cancelled};
        struct fetch_auth_pass *pass;

        if (become_maker(auth, &call, NULL, &pass, cause)) {
                pass = look_after(auth, &call, pass, cause);
                end_making(auth, pass, cause);
        }
        return pass;
}

static bool differ(const char *one, const char *other)
{
        return strcmp(one ? one : "", other ? other : "") != 0;
}

static bool says_the_same(const struct fetch_auth_pass *one, const struct fetch_auth_pass *other)
{
        return !differ(one->authorization, other->authorization) &&
               !differ(one->certificate, other->certificate) && !differ(one->key, other->key) &&
               !differ(one->sigv4, other->sigv4) && !differ(one->access_key, other->access_key) &&
               !differ(one->secret_key, other->secret_key) &&
               !differ(one->session_token, other->session_token);
}

bool fetch_auth_has_refused(const struct fetch_auth_pass *pass, int status)
{
        return pass && (status == 401 || status == 403 || (status == 400 && pass->sigv4));
}

/* By who makes it: takes over the pass that there is, which is or is not the refused one. */
static struct fetch_auth_pass *replace(struct fetch_auth *auth, const struct fetch_auth_call *call,
                                       const struct fetch_auth_pass *refused,
                                       struct fetch_auth_pass *pass, struct fetch_cause *cause)
{
        if (pass && pass != refused && !has_expired(pass))
                return pass; /* another one has been before us */
        if (fetch_now_ms() < auth->renewed_ms + FETCH_AUTH_PAUSE_MS) {
                if (auth->failure.kind != FETCH_OK && (!pass || says_the_same(pass, refused)))
                        *cause = auth->failure;
                return pass;
        }
        fetch_auth_pass_unref(pass);
        pass = make(auth, call, cause);
        if (!pass && cause->kind == FETCH_CANCELLED)
                return NULL; /* that was the caller's matter, and nobody else's */
        auth->renewed_ms = fetch_now_ms();
        auth->failure = (struct fetch_cause){0};
        if (!pass)
                auth->failure = *cause;
        return pass;
}

struct fetch_auth_pass *fetch_auth_renew(struct fetch_auth *auth,
                                         const struct fetch_auth_pass *pass, const char *url,
                                         const atomic_bool *cancelled, struct fetch_cause *cause)
{
        const struct fetch_auth_call call = {.refused = url, .cancelled = cancelled};
        struct fetch_auth_pass *next;
        struct fetch_cause why = {0}; /* what the caller knows already is not ours to tell */

        if (become_maker(auth, &call, pass, &next, &why)) {
                next = replace(auth, &call, pass, next, &why);
                end_making(auth, next, &why);
        }
        if (why.kind != FETCH_OK)
                *cause = why;
        if (next && !says_the_same(next, pass))
                return next;
        fetch_auth_pass_unref(next);
        return NULL;
}
