/*
 * Who we are at a registry: first nobody; and once it has refused, whom it then asks for. What a
 * refusal says (a password, or where tokens are given out) holds for the repository from then
 * on, for as long as it leads to anything. Logins are those of docker's files
 * (fetch/docker_config.h). May not follow a redirect with a secret, nor send one by plain http to
 * another machine, unless the registry itself is spoken to like that.
 */
#include "fetch/oci.h"

#include "cas/io.h"
#include "fetch/ask.h"
#include "fetch/challenge.h"
#include "fetch/clock.h"
#include "fetch/docker_config.h"
#include "fetch/url.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_LIFE_S     60 /* of a token that does not say (distribution's token specification) */
#define TOKEN_LIFE_MAX_S (30 * 24 * 3600)

struct auth_oci {
        struct fetch_auth auth;
        struct http_loop *loop;
        char *registry; /* host or host:port, as the files of logins have it */
        char *repository;
        /* Whoever makes a pass: */
        struct fetch_challenge challenge; /* that the registry's last refusal came with */
        struct fetch_docker_config config;
        bool has_read;              /* … the config, for the last pass */
        char *good;                 /* a password's header that the registry took, or NULL */
        struct fetch_cause failure; /* of the last pass, or FETCH_OK */
        int64_t failed_ms;
};

static bool is_fresh(struct fetch_auth *auth, const struct fetch_auth_pass *pass)
{
        const struct auth_oci *oci = (const struct auth_oci *)auth;

        (void)pass;
        return !oci->has_read || fetch_docker_config_is_fresh(&oci->config);
}

/* The cause is the answer's, where there was none; or what its status says. */
static void set_cause(struct fetch_cause *cause, const struct fetch_answer *answer, const char *url)
{
        enum fetch_kind kind =
            answer->status >= 500 || answer->status == 429 ? FETCH_ORIGIN_FAILED : FETCH_DENIED;
        char server[FETCH_TEXT_MAX];

        if (answer->status == 0) {
                *cause = answer->cause;
                return;
        }
        fetch_url_server(url, server, sizeof(server));
        fetch_cause_set(cause, kind, "%s answers HTTP %d when asked for a token", server,
                        answer->status);
        cause->status = answer->status;
}

/* Asks as nobody what was refused, to be told whom it is for. */
static bool learn(struct auth_oci *oci, const struct fetch_auth_call *call,
                  struct fetch_cause *cause)
{
        static const char *const headers[] = {"Range: bytes=0-0", NULL};
        struct fetch_ask ask = {
            .method = HTTP_GET, .url = call->refused, .headers = headers, .proxy = oci->auth.proxy};
        struct fetch_answer answer;
        bool ok = false;

        fetch_ask(oci->loop, &ask, call->cancelled, &answer);
        if (answer.status == 0 || answer.status >= 500 || answer.status == 429)
                set_cause(cause, &answer, call->refused);
        else if (answer.status == 403)
                fetch_cause_set(cause, FETCH_DENIED, "%s refuses %s by HTTP 403", oci->registry,
                                oci->repository);
        else if (answer.status == 401 &&
                 !fetch_challenge_find(answer.challenges ? answer.challenges : "", &oci->challenge))
                fetch_cause_set(cause, FETCH_DENIED,
                                "%s refuses %s by HTTP 401, and neither Bearer nor Basic is "
                                "what it asks for",
                                oci->registry, oci->repository);
        else
                ok = true;
        if (ok && answer.status != 401)
                oci->challenge = (struct fetch_challenge){0}; /* nobody is welcome again */
        fetch_answer_free(&answer);
        return ok;
}

static bool find_login(struct auth_oci *oci, struct fetch_docker_login *ret,
                       struct fetch_cause *cause)
{
        oci->has_read = true;
        return fetch_docker_config_find(&oci->config, oci->registry, oci->repository, ret, cause);
}

static void set_no_login(const struct auth_oci *oci, struct fetch_cause *cause)
{
        char where[FETCH_TEXT_MAX];

        fetch_docker_config_name(&oci->config, where, sizeof(where));
        fetch_cause_set(cause, FETCH_DENIED, "%s wants a login for %s, and there is none in %s",
                        oci->registry, oci->repository, where);
}

static void set_wrong_login(const char *server, const struct fetch_docker_login *login,
                            struct fetch_cause *cause)
{
        fetch_cause_set(cause, FETCH_DENIED, "%s refuses the %s%s of %s", server,
                        login->login ? "login " : "identity token",
                        login->login ? login->login : "", login->path);
}

/* A token that was given, but not for this. */
static void set_not_for(const struct auth_oci *oci, const struct fetch_docker_login *login,
                        struct fetch_cause *cause)
{
        if (login->path)
                fetch_cause_set(cause, FETCH_DENIED, "%s refuses %s to the login of %s",
                                oci->registry, oci->repository, login->path);
        else
                set_no_login(oci, cause);
}

/* Does the registry take it? So that a wrong password, or one that may not read this, is told
 * as that. Where there is no answer, the download itself will see. */
static bool is_taken(struct auth_oci *oci, const struct fetch_auth_call *call,
                     const char *authorization)
{
        const char *headers[] = {"Range: bytes=0-0", authorization, NULL};
        struct fetch_ask ask = {.method = HTTP_GET,
                                .url = call->refused ? call->refused : oci->auth.url,
                                .headers = headers,
                                .proxy = oci->auth.proxy};
        struct fetch_answer answer;
        int status;

        fetch_ask(oci->loop, &ask, call->cancelled, &answer);
        status = answer.status;
        fetch_answer_free(&answer);
        return status != 401 && status != 403;
}

/* The password itself, with every request. */
static bool take_basic(struct auth_oci *oci, const struct fetch_auth_call *call,
                       struct fetch_auth_pass *pass, struct fetch_cause *cause)
{
        struct fetch_docker_login login;
        char *line;
        bool known;

        if (!find_login(oci, &login, cause))
                return false;
        line = login.login ? fetch_auth_basic(login.login, login.password) : NULL;
        known = line && !call->refused && oci->good && strcmp(line, oci->good) == 0;
        if (!login.login) {
                set_no_login(oci, cause);
        } else if (line && !known && !is_taken(oci, call, line)) {
                set_wrong_login(oci->registry, &login, cause);
        } else if (line) {
                pass->authorization = strdup(line);
                fetch_auth_forget(oci->good);
                oci->good = line;
                line = NULL;
        }
        fetch_auth_forget(line);
        fetch_docker_login_free(&login);
        return pass->authorization;
}

static bool may_ask_realm(const struct auth_oci *oci, struct fetch_cause *cause)
{
        const char *realm = oci->challenge.realm;
        const char *why;
        char server[FETCH_TEXT_MAX];

        if (fetch_challenge_check_realm(realm, oci->auth.url, &why) == 0)
                return true;
        fetch_url_server(realm, server, sizeof(server));
        fetch_cause_set(cause, FETCH_DENIED, "%s sends us for a token to %.100s: %s", oci->registry,
                        server, why);
        return false;
}

/* "service=…&scope=…", and for an identity token the rest of its form; NULL without memory. */
static char *make_query(const struct auth_oci *oci, const struct fetch_docker_login *login)
{
        char *service = curl_easy_escape(NULL, oci->challenge.service, 0);
        char *name = curl_easy_escape(NULL, oci->repository, 0);
        char *identity = login->identity ? curl_easy_escape(NULL, login->identity, 0) : NULL;
        char *ret = NULL;
        int r = -1;

        if (service && name && identity)
                r = asprintf(&ret,
                             "grant_type=refresh_token&client_id=assetfs&service=%s"
                             "&scope=repository%%3A%s%%3Apull&refresh_token=%s",
                             service, name, identity);
        else if (service && name && !login->identity)
                r = asprintf(&ret, "service=%s&scope=repository%%3A%s%%3Apull", service, name);
        if (identity)
                explicit_bzero(identity, strlen(identity));
        curl_free(identity);
        curl_free(service);
        curl_free(name);
        return r < 0 ? NULL : ret;
}

/* As docker asks: a login by GET, an identity token by POST (OAuth 2). False without memory. */
static bool ask_realm(struct auth_oci *oci, const struct fetch_auth_call *call,
                      const struct fetch_docker_login *login, struct fetch_answer *ret)
{
        const char *form[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
        const char *realm = oci->challenge.realm;
        const struct fetch_auth_pass here = {.url = oci->auth.url};
        char *query = make_query(oci, login);
        char *basic = login->login ? fetch_auth_basic(login->login, login->password) : NULL;
        const char *headers[] = {basic, NULL};
        struct fetch_ask ask = {.is_foreign = !fetch_auth_pass_is_for(&here, realm),
                                .proxy = oci->auth.proxy};
        _cleanup_free_ char *url = NULL;
        bool ok = query && (basic || !login->login);

        if (ok && login->identity) {
                ask.method = HTTP_POST;
                ask.url = realm;
                ask.headers = form;
                ask.body = query;
        } else if (ok) {
                if (asprintf(&url, "%.*s%c%s", (int)strcspn(realm, "#"), realm,
                             strchr(realm, '?') ? '&' : '?', query) < 0)
                        ok = (url = NULL);
                ask.method = HTTP_GET;
                ask.url = url;
                ask.headers = headers;
        }
        if (ok)
                fetch_ask(oci->loop, &ask, call->cancelled, ret);
        fetch_auth_forget(query);
        fetch_auth_forget(basic);
        return ok;
}

/* The pass out of a good answer. */
static bool read_token(const struct fetch_answer *answer, struct fetch_auth_pass *pass)
{
        json_t *root = json_loads(answer->body, 0, NULL);
        const char *token = json_string_value(json_object_get(root, "token"));
        int64_t life = json_integer_value(json_object_get(root, "expires_in"));

        if (!token || !*token)
                token = json_string_value(json_object_get(root, "access_token"));
        if (life <= 0)
                life = TOKEN_LIFE_S;
        if (token && *token && fetch_auth_is_token(token) &&
            asprintf(&pass->authorization, "Authorization: Bearer %s", token) < 0)
                pass->authorization = NULL;
        fetch_auth_set_life(pass, life < TOKEN_LIFE_MAX_S ? life : TOKEN_LIFE_MAX_S);
        json_decref(root);
        return pass->authorization;
}

static bool take_token(struct auth_oci *oci, const struct fetch_auth_call *call,
                       struct fetch_auth_pass *pass, struct fetch_cause *cause)
{
        struct fetch_docker_login login;
        struct fetch_answer answer = {0};
        char server[FETCH_TEXT_MAX];
        bool ok = false;

        if (!may_ask_realm(oci, cause) || !find_login(oci, &login, cause))
                return false;
        fetch_url_server(oci->challenge.realm, server, sizeof(server));
        if (!ask_realm(oci, call, &login, &answer))
                ; /* without memory: the cause says so already */
        else if (answer.status == 200 && !read_token(&answer, pass))
                fetch_cause_set(cause, FETCH_ORIGIN_FAILED, "%s answers without a token", server);
        else if (answer.status == 200 &&
                 (!call->refused || is_taken(oci, call, pass->authorization)))
                ok = true;
        else if (answer.status == 200)
                set_not_for(oci, &login, cause);
        else if (answer.status != 401 && answer.status != 403)
                set_cause(cause, &answer, oci->challenge.realm);
        else if (login.login || login.identity)
                set_wrong_login(server, &login, cause);
        else
                set_no_login(oci, cause);
        fetch_answer_free(&answer);
        fetch_docker_login_free(&login);
        return ok;
}

static bool make_pass(struct auth_oci *oci, const struct fetch_auth_call *call,
                      struct fetch_auth_pass *pass, struct fetch_cause *cause)
{
        bool ok = true;

        oci->has_read = false;
        if (call->refused)
                ok = learn(oci, call, cause);
        if (ok && oci->challenge.scheme == FETCH_CHALLENGE_BASIC)
                ok = take_basic(oci, call, pass, cause);
        else if (ok && oci->challenge.scheme == FETCH_CHALLENGE_BEARER)
                ok = take_token(oci, call, pass, cause);
        return ok;
}

/* A wrong password is not sent again and again, by each of many flights: whoever counts such
 * tries would lock the login. And what has failed is not tried for ever: the registry may ask for
 * something else by now, which who sends it nothing would never hear. */
static bool make(struct fetch_auth *auth, const struct fetch_auth_call *call,
                 struct fetch_auth_pass *pass, struct fetch_cause *cause)
{
        struct auth_oci *oci = (struct auth_oci *)auth;

        if (!call->refused && oci->failure.kind != FETCH_OK && is_fresh(auth, NULL)) {
                if (fetch_now_ms() < oci->failed_ms + FETCH_AUTH_PAUSE_MS) {
                        *cause = oci->failure;
                        return false;
                }
                if (!call->is_early)
                        oci->challenge = (struct fetch_challenge){0};
        }
        fetch_cause_set(cause, FETCH_DENIED, "out of memory for the credential");
        oci->failure = (struct fetch_cause){0};
        if (make_pass(oci, call, pass, cause)) {
                *cause = (struct fetch_cause){0};
                return true;
        }
        if (cause->kind != FETCH_CANCELLED)
                oci->failure = *cause;
        oci->failed_ms = fetch_now_ms();
        return false;
}

static void destroy(struct fetch_auth *auth)
{
        struct auth_oci *oci = (struct auth_oci *)auth;

        fetch_docker_config_free(&oci->config);
        fetch_auth_forget(oci->good);
        free(oci->registry);
        free(oci->repository);
        free(oci);
}

int fetch_auth_of_oci(struct http_loop *loop, const char *url, const char *http_url,
                      struct fetch_auth **ret)
{
        static const struct fetch_auth_kind kind = {is_fresh, make, destroy};
        struct auth_oci *oci = calloc(1, sizeof(*oci));

        if (!oci)
                return -ENOMEM;
        oci->loop = loop;
        if (fetch_docker_config_init(&oci->config) < 0 ||
            fetch_oci_split(url, &oci->registry, &oci->repository) < 0 ||
            fetch_auth_init(&oci->auth, &kind, http_url) < 0) {
                destroy(&oci->auth);
                return -ENOMEM;
        }
        *ret = &oci->auth;
        return 0;
}
