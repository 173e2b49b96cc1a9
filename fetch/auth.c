/*
 * What all credentials have in common: one thread makes a pass, the others wait; whom a pass
 * is for; and that secrets are wiped. Reads no file and speaks to no network.
 */
#include "fetch/auth.h"

#include "fetch/url.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void wipe(char *text)
{
        if (text)
                explicit_bzero(text, strlen(text));
        free(text);
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
        wipe(pass->authorization);
        wipe(pass->certificate);
        wipe(pass->key);
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

void fetch_auth_init(struct fetch_auth *auth, const struct fetch_auth_kind *kind, const char *url)
{
        auth->kind = kind;
        auth->url = url;
        auth->making = false;
        auth->pass = NULL;
        pthread_mutex_init(&auth->lock, NULL);
        pthread_cond_init(&auth->made, NULL);
}

void fetch_auth_free(struct fetch_auth *auth)
{
        if (!auth)
                return;
        fetch_auth_pass_unref(auth->pass);
        pthread_cond_destroy(&auth->made);
        pthread_mutex_destroy(&auth->lock);
        auth->kind->destroy(auth);
}

static struct fetch_auth_pass *make(struct fetch_auth *auth, struct fetch_cause *cause)
{
        struct fetch_auth_pass *pass = calloc(1, sizeof(*pass));

        if (pass) {
                atomic_init(&pass->refs, 1);
                pass->url = strdup(auth->url);
        }
        if (pass && pass->url && auth->kind->make(auth, pass, cause))
                return pass;
        if (!pass || !pass->url)
                fetch_cause_set(cause, FETCH_DENIED, "out of memory for the credential");
        fetch_auth_pass_unref(pass);
        return NULL;
}

struct fetch_auth_pass *fetch_auth_take(struct fetch_auth *auth, struct fetch_cause *cause)
{
        struct fetch_auth_pass *pass;

        pthread_mutex_lock(&auth->lock);
        while (auth->making)
                pthread_cond_wait(&auth->made, &auth->lock);
        auth->making = true;
        pass = fetch_auth_pass_ref(auth->pass);
        pthread_mutex_unlock(&auth->lock);

        if (!pass || !auth->kind->is_fresh(auth, pass)) {
                fetch_auth_pass_unref(pass);
                pass = make(auth, cause);
        }

        pthread_mutex_lock(&auth->lock);
        fetch_auth_pass_unref(auth->pass);
        auth->pass = fetch_auth_pass_ref(pass);
        auth->making = false;
        pthread_cond_signal(&auth->made);
        pthread_mutex_unlock(&auth->lock);
        return pass;
}

void fetch_auth_refused(struct fetch_auth *auth, const struct fetch_auth_pass *pass)
{
        pthread_mutex_lock(&auth->lock);
        if (auth->pass == pass && !auth->making) {
                fetch_auth_pass_unref(auth->pass);
                auth->pass = NULL;
        }
        pthread_mutex_unlock(&auth->lock);
}

static bool differ(const char *one, const char *other)
{
        return strcmp(one ? one : "", other ? other : "") != 0;
}

struct fetch_auth_pass *fetch_auth_renew(struct fetch_auth *auth,
                                         const struct fetch_auth_pass *pass)
{
        struct fetch_cause cause = {0};
        struct fetch_auth_pass *next;

        fetch_auth_refused(auth, pass);
        next = fetch_auth_take(auth, &cause);
        if (next && (differ(next->authorization, pass->authorization) ||
                     differ(next->certificate, pass->certificate) || differ(next->key, pass->key)))
                return next;
        fetch_auth_pass_unref(next);
        return NULL;
}
