/*
 * The file of the application default credentials, and the questions and answers of token
 * endpoints, as texts. Sends nothing: fetch/auth_gs.c does.
 */
#include "fetch/adc.h"

#include "cas/io.h"
#include "fetch/jwt.h"
#include "fetch/url.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME      "application_default_credentials.json"
#define TOKEN_URI      "https://oauth2.googleapis.com/token"
#define ASSERTION_S    3600 /* the most that the provider takes */
#define CLOCK_SLACK_S  10   /* our clock may be a little ahead of the endpoint's */
#define LIFE_UNKNOWN_S 300  /* expires_in is only recommended */
#define LIFE_MAX_S     86400

char *fetch_adc_path(bool *ret_named)
{
        const char *file = getenv("GOOGLE_APPLICATION_CREDENTIALS");
        const char *folder = getenv("CLOUDSDK_CONFIG");
        const char *home = getenv("HOME");
        char *path = NULL;

        *ret_named = file && *file;
        if (*ret_named)
                return strdup(file);
        if (folder && *folder)
                return asprintf(&path, "%s/" FILE_NAME, folder) < 0 ? NULL : path;
        if (home && *home)
                return asprintf(&path, "%s/.config/gcloud/" FILE_NAME, home) < 0 ? NULL : path;
        return NULL;
}

/* A copy of the member, or NULL; without memory *failed is set. */
static char *take(const json_t *object, const char *name, bool *failed)
{
        const char *value = json_string_value(json_object_get(object, name));
        char *copy = value && *value ? strdup(value) : NULL;

        *failed |= value && *value && !copy;
        return copy;
}

/* jansson frees without wiping. */
static void forget_json(json_t *object)
{
        const char *name;
        json_t *value;

        json_object_foreach(object, name, value) if (json_is_string(value))
            explicit_bzero((char *)json_string_value(value), json_string_length(value));
        json_decref(object);
}

static const char *complaint(const char *type, const struct fetch_adc *adc)
{
        if (!type)
                return "no \"type\" of credentials in it";
        if (strcmp(type, "service_account") == 0) {
                if (!adc->email || !adc->key)
                        return "no \"client_email\" or no \"private_key\" in it";
        } else if (strcmp(type, "authorized_user") == 0) {
                if (!adc->client_id || !adc->client_secret || !adc->refresh_token)
                        return "no \"client_id\", \"client_secret\" or \"refresh_token\" in it";
        } else if (strcmp(type, "external_account") == 0) {
                return "the type external_account is not supported, only service_account and "
                       "authorized_user";
        } else {
                return "its type is not supported, only service_account and authorized_user";
        }
        if (fetch_url_scheme(adc->token_uri) > FETCH_SCHEME_HTTPS ||
            !fetch_auth_is_private(adc->token_uri))
                return "its \"token_uri\" is neither https nor of this machine";
        return NULL;
}

static int take_all(const json_t *object, struct fetch_adc *adc)
{
        bool failed = false;

        adc->token_uri = take(object, "token_uri", &failed);
        adc->email = take(object, "client_email", &failed);
        adc->key = take(object, "private_key", &failed);
        adc->key_id = take(object, "private_key_id", &failed);
        adc->client_id = take(object, "client_id", &failed);
        adc->client_secret = take(object, "client_secret", &failed);
        adc->refresh_token = take(object, "refresh_token", &failed);
        if (!failed && !adc->token_uri)
                failed = !(adc->token_uri = strdup(TOKEN_URI));
        return failed ? -ENOMEM : 0;
}

int fetch_adc_parse(const char *text, struct fetch_adc *ret, const char **ret_why)
{
        json_t *object = json_loads(text, 0, NULL);
        struct fetch_adc adc = {0};
        const char *why = NULL;
        int r;

        if (!json_is_object(object)) {
                json_decref(object);
                *ret_why = "it is no JSON object";
                return -EINVAL;
        }
        r = take_all(object, &adc);
        if (r == 0)
                why = complaint(json_string_value(json_object_get(object, "type")), &adc);
        /* Each type has its own: else the question would be the other one's. */
        if (r == 0 && !why &&
            strcmp(json_string_value(json_object_get(object, "type")), "authorized_user") == 0) {
                fetch_auth_forget(adc.key);
                adc.key = NULL;
        }
        forget_json(object);
        if (r == 0 && !why) {
                *ret = adc;
                return 0;
        }
        fetch_adc_free(&adc);
        if (why)
                *ret_why = why;
        return why ? -EINVAL : r;
}

bool fetch_adc_load(const struct fetch_auth_opener *opener, const char *path, struct fetch_adc *ret,
                    struct stat *ret_seen, struct fetch_cause *cause)
{
        const char *why = "out of memory";
        char *text;
        int r;

        if (*path != '/') {
                fetch_cause_set(cause, FETCH_DENIED, "credentials %s: not an absolute path", path);
                return false;
        }
        text = fetch_auth_read_file_by(opener, "credentials", path, ret_seen, cause);
        if (!text)
                return false;
        r = fetch_adc_parse(text, ret, &why);
        fetch_auth_forget(text);
        if (r < 0)
                fetch_cause_set(cause, FETCH_DENIED, "credentials %s: %s", path, why);
        return r == 0;
}

static char *claims_of(const struct fetch_adc *adc, int64_t now_s)
{
        json_int_t issued = now_s - CLOCK_SLACK_S;
        json_t *claims =
            json_pack("{s:s, s:s, s:s, s:I, s:I}", "iss", adc->email, "scope", FETCH_ADC_SCOPE,
                      "aud", adc->token_uri, "iat", issued, "exp", issued + ASSERTION_S);
        char *text = json_dumps(claims, JSON_COMPACT);

        json_decref(claims);
        return text;
}

static int ask_by_key(const struct fetch_adc *adc, int64_t now_s, char **ret, const char **ret_why)
{
        _cleanup_free_ char *claims = claims_of(adc, now_s);
        char *assertion = NULL;
        char *body = NULL;
        int r =
            claims ? fetch_jwt_sign(adc->key, adc->key_id, claims, &assertion, ret_why) : -ENOMEM;

        if (r < 0)
                return r;
        /* Nothing in a JWT is to be encoded. */
        if (asprintf(&body,
                     "grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Ajwt-bearer"
                     "&assertion=%s",
                     assertion) < 0)
                r = -ENOMEM;
        fetch_auth_forget(assertion);
        if (r == 0)
                *ret = body;
        return r;
}

static int ask_by_refresh_token(const struct fetch_adc *adc, char **ret)
{
        char *id = curl_easy_escape(NULL, adc->client_id, 0);
        char *secret = curl_easy_escape(NULL, adc->client_secret, 0);
        char *token = curl_easy_escape(NULL, adc->refresh_token, 0);
        char *body = NULL;
        int r = -ENOMEM;

        if (id && secret && token &&
            asprintf(&body,
                     "grant_type=refresh_token&client_id=%s&client_secret=%s"
                     "&refresh_token=%s",
                     id, secret, token) >= 0) {
                *ret = body;
                r = 0;
        }
        if (secret)
                explicit_bzero(secret, strlen(secret));
        if (token)
                explicit_bzero(token, strlen(token));
        curl_free(id);
        curl_free(secret);
        curl_free(token);
        return r;
}

int fetch_adc_question(const struct fetch_adc *adc, int64_t now_s, char **ret, const char **ret_why)
{
        return adc->key ? ask_by_key(adc, now_s, ret, ret_why) : ask_by_refresh_token(adc, ret);
}

int fetch_adc_answer(const char *body, char **ret_token, int64_t *ret_life_s)
{
        json_t *object = json_loads(body, 0, NULL);
        const char *token = json_string_value(json_object_get(object, "access_token"));
        const json_t *life = json_object_get(object, "expires_in");
        int64_t seconds = json_is_integer(life) ? json_integer_value(life) : LIFE_UNKNOWN_S;
        char *copy = NULL;
        int r = -EINVAL;

        if (token && *token && fetch_auth_is_token(token) && seconds > 0) {
                copy = strdup(token);
                r = copy ? 0 : -ENOMEM;
        }
        forget_json(object);
        if (r < 0)
                return r;
        *ret_token = copy;
        *ret_life_s = seconds < LIFE_MAX_S ? seconds : LIFE_MAX_S;
        return 0;
}

void fetch_adc_complaint(const char *body, char *ret, size_t size)
{
        json_t *object = json_loads(body, 0, NULL);
        const char *error = json_string_value(json_object_get(object, "error"));
        const char *more = json_string_value(json_object_get(object, "error_description"));

        snprintf(ret, size, "%s%s%s", error ? error : "", error && more ? ": " : "",
                 more ? more : "");
        json_decref(object);
}

void fetch_adc_free(struct fetch_adc *adc)
{
        char *const texts[] = {adc->token_uri, adc->email,         adc->key,          adc->key_id,
                               adc->client_id, adc->client_secret, adc->refresh_token};

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (texts[i])
                        fetch_auth_forget(texts[i]);
        *adc = (struct fetch_adc){0};
}
