/*
 * Who may have the objects of a gs:// bucket. The first passes are anonymous, since public
 * buckets need no more, and what a machine's credentials are is none of theirs. Where one is
 * refused, a token is asked for: with the application default credentials (fetch/adc.h), or of
 * the metadata server where there are none; and from then on the bucket's passes carry one.
 *
 * Asks these two by HTTP and reads that file; never speaks to the storage itself.
 */
#include "fetch/gs.h"

#include "cas/io.h"
#include "fetch/adc.h"
#include "fetch/ask.h"
#include "fetch/clock.h"
#include "fetch/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define METADATA_HOST "169.254.169.254"
#define METADATA_PATH "/computeMetadata/v1/instance/service-accounts/default/token"
/* It is one hop away, or not there at all. */
#define METADATA_TIMEOUT_MS 3000
/* Without credentials for now, public objects of the bucket still come. */
#define ANONYMOUS_S 10

/* Fields without a word: whoever makes a pass. */
struct auth_gs {
        struct fetch_auth auth;
        struct http_loop *loop;
        const struct fetch_auth_opener *opener; /* or NULL */
        bool wants_token;   /* an anonymous pass was refused, and there was a token */
        int64_t expires_ms; /* of the last token */
        bool by_file;       /* that was asked for with a file, … */
        struct stat seen;   /* … which was this one */
};

/* Is the credentials' file still the one that was used, or is there still none? */
static bool is_same_file(const struct auth_gs *gs)
{
        bool named;
        _cleanup_free_ char *path = fetch_adc_path(&named);
        struct stat st;

        if (gs->by_file)
                return path &&
                       !fetch_auth_has_changed_by(named ? gs->opener : NULL, path, &gs->seen);
        return !path || stat(path, &st) < 0;
}

static bool is_fresh(struct fetch_auth *auth, const struct fetch_auth_pass *pass)
{
        return !pass->authorization || is_same_file((struct auth_gs *)auth);
}

/* What a token endpoint that is there says, or fails to: whether another try may be worth it. */
static enum fetch_kind kind_of(const struct fetch_answer *answer)
{
        if (answer->status == 0)
                return answer->cause.kind;
        return answer->status >= 500 || answer->status == 429 ? FETCH_ORIGIN_FAILED : FETCH_DENIED;
}

/* Takes the token out of an answer; false after the cause was set. `whose` says who answered. */
static bool take_answer(const struct fetch_answer *answer, const char *whose, char **ret_token,
                        int64_t *ret_life_s, struct fetch_cause *cause)
{
        char words[FETCH_TEXT_MAX];
        char more[128] = "";

        if (answer->cause.kind == FETCH_CANCELLED) {
                *cause = answer->cause;
                return false;
        }
        if (answer->status == 200 && fetch_adc_answer(answer->body, ret_token, ret_life_s) == 0)
                return true;
        if (answer->status == 0)
                snprintf(words, sizeof(words), "%s", answer->cause.text);
        else if (answer->status == 200)
                snprintf(words, sizeof(words), "no token in the answer");
        else
                snprintf(words, sizeof(words), "HTTP %d", answer->status);
        if (answer->status > 200)
                fetch_adc_complaint(answer->body, more, sizeof(more));
        fetch_cause_set(cause, FETCH_DENIED, "%s: %s%s%s", whose, words, *more ? ", " : "", more);
        return false;
}

/* Asks the token endpoint that the file names. */
static bool ask_endpoint(struct auth_gs *gs, const struct fetch_adc *adc, const char *path,
                         const atomic_bool *cancelled, char **ret_token, int64_t *ret_life_s,
                         struct fetch_cause *cause)
{
        static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
                                              NULL};
        struct fetch_ask ask = {.method = HTTP_POST,
                                .url = adc->token_uri,
                                .headers = headers,
                                .proxy = gs->auth.proxy};
        struct fetch_answer answer = {0};
        const char *why = "out of memory";
        char whose[FETCH_TEXT_MAX];
        char *body;
        bool ok;

        if (fetch_adc_question(adc, time(NULL), &body, &why) < 0) {
                fetch_cause_set(cause, FETCH_DENIED, "credentials %s: %s", path, why);
                return false;
        }
        ask.body = body;
        fetch_ask(gs->loop, &ask, cancelled, &answer);
        fetch_auth_forget(body);
        snprintf(whose, sizeof(whose), "credentials %s: token", path);
        ok = take_answer(&answer, whose, ret_token, ret_life_s, cause);
        if (!ok)
                cause->kind = kind_of(&answer);
        fetch_answer_free(&answer);
        return ok;
}

static bool ask_by_file(struct auth_gs *gs, const struct fetch_auth_opener *opener,
                        const char *path, const atomic_bool *cancelled, char **ret_token,
                        int64_t *ret_life_s, struct fetch_cause *cause)
{
        struct fetch_adc adc;
        bool ok;

        gs->by_file = true;
        gs->seen = (struct stat){0};
        if (!fetch_adc_load(opener, path, &adc, &gs->seen, cause))
                return false;
        ok = ask_endpoint(gs, &adc, path, cancelled, ret_token, ret_life_s, cause);
        fetch_adc_free(&adc);
        return ok;
}

/* `path`: where a file would have been; or NULL. */
static bool ask_metadata(struct auth_gs *gs, const char *path, const atomic_bool *cancelled,
                         char **ret_token, int64_t *ret_life_s, struct fetch_cause *cause)
{
        static const char *const headers[] = {"Metadata-Flavor: Google", NULL};
        const char *named = getenv("GCE_METADATA_HOST");
        const char *host = named && *named ? named : METADATA_HOST;
        struct fetch_answer answer = {0};
        _cleanup_free_ char *url = NULL;
        char whose[FETCH_TEXT_MAX];
        bool ok;

        gs->by_file = false;
        if (asprintf(&url, "http://%s" METADATA_PATH, host) < 0) {
                url = NULL;
                fetch_cause_set(cause, FETCH_DENIED, "out of memory for the credential");
                return false;
        }

        struct fetch_ask ask = {.method = HTTP_GET,
                                .url = url,
                                .headers = headers,
                                .proxy = "", /* another machine's would be whoever the proxy is */
                                .timeout_ms = METADATA_TIMEOUT_MS};

        fetch_ask(gs->loop, &ask, cancelled, &answer);
        snprintf(whose, sizeof(whose),
                 "not public, and no credentials: none in %s%s, and metadata server %s",
                 path ? path : "the environment", path ? fetch_auth_unseen(path) : "", host);
        ok = take_answer(&answer, whose, ret_token, ret_life_s, cause);
        fetch_answer_free(&answer);
        return ok;
}

static bool ask_token(struct auth_gs *gs, const atomic_bool *cancelled, char **ret_token,
                      int64_t *ret_life_s, struct fetch_cause *cause)
{
        bool named;
        _cleanup_free_ char *path = fetch_adc_path(&named);
        struct stat st;

        /* What the worker's user cannot even look for is, as a rule, another user's. */
        if (path && (named || stat(path, &st) == 0))
                return ask_by_file(gs, named ? gs->opener : NULL, path, cancelled, ret_token,
                                   ret_life_s, cause);
        return ask_metadata(gs, path, cancelled, ret_token, ret_life_s, cause);
}

static bool make_with_token(struct auth_gs *gs, const struct fetch_auth_call *call,
                            struct fetch_auth_pass *pass, struct fetch_cause *cause)
{
        int64_t life_s = 0;
        char *token = NULL;

        if (!fetch_auth_is_private(gs->auth.url)) {
                fetch_cause_set(cause, FETCH_DENIED,
                                "not public, and credentials are not sent by http to others");
                return false;
        }
        if (!ask_token(gs, call->cancelled, &token, &life_s, cause))
                return false;
        if (asprintf(&pass->authorization, "Authorization: Bearer %s", token) < 0)
                pass->authorization = NULL;
        fetch_auth_forget(token);
        if (!pass->authorization) {
                fetch_cause_set(cause, FETCH_DENIED, "out of memory for the credential");
                return false;
        }
        fetch_auth_set_life(pass, life_s);
        gs->expires_ms = pass->expires_ms;
        return true;
}

static bool make(struct fetch_auth *auth, const struct fetch_auth_call *call,
                 struct fetch_auth_pass *pass, struct fetch_cause *cause)
{
        struct auth_gs *gs = (struct auth_gs *)auth;

        pass->takes_gzip = true;
        if (!call->refused && !gs->wants_token)
                return true;
        if (make_with_token(gs, call, pass, cause)) {
                gs->wants_token = true;
                return true;
        }
        /* The last token is still good, or it is the answer to who was refused. */
        if (call->refused || fetch_now_ms() < gs->expires_ms || cause->kind == FETCH_CANCELLED)
                return false;
        fetch_auth_set_life(pass, ANONYMOUS_S);
        *cause = (struct fetch_cause){0};
        return true;
}

static void destroy(struct fetch_auth *auth)
{
        free(auth);
}

int fetch_auth_of_gs(struct http_loop *loop, const struct fetch_auth_opener *opener,
                     const char *url, const char *http_url, struct fetch_auth **ret)
{
        static const struct fetch_auth_kind kind = {is_fresh, make, destroy};
        struct auth_gs *gs = calloc(1, sizeof(*gs));

        (void)url;
        if (!gs || fetch_auth_init(&gs->auth, &kind, http_url) < 0) {
                free(gs);
                return -ENOMEM;
        }
        gs->loop = loop;
        gs->opener = opener;
        *ret = &gs->auth;
        return 0;
}
