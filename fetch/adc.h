/*
 * Application default credentials: the file that the provider's tools and libraries share,
 *   $GOOGLE_APPLICATION_CREDENTIALS, else $CLOUDSDK_CONFIG/application_default_credentials.json,
 *   else ~/.config/gcloud/application_default_credentials.json,
 * and what a token endpoint is asked with it. A service account's key signs a JWT (RFC 7523); an
 * authorized user's refresh token is sent as it is (RFC 6749, 6). Other types would have to run a
 * program or to ask a third party, and are refused.
 *
 * Reads that file; asks nobody.
 */
#ifndef FETCH_ADC_H
#define FETCH_ADC_H

#include "fetch/auth.h"
#include "fetch/cause.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* What a mount may do with a token of it. */
#define FETCH_ADC_SCOPE "https://www.googleapis.com/auth/devstorage.read_only"

struct fetch_adc {
        char *token_uri; /* https, or of this machine */
        /* A service account's: */
        char *email;
        char *key;    /* PEM */
        char *key_id; /* or NULL */
        /* An authorized user's: */
        char *client_id;
        char *client_secret;
        char *refresh_token;
};

/* Where the file is, be it there or not; NULL where the environment names no place for it, or
 * without memory. *ret_named: by $GOOGLE_APPLICATION_CREDENTIALS, so it has to be there. The
 * caller frees it. */
char *fetch_adc_path(bool *ret_named);

/* -EINVAL and in *ret_why (a fixed string) what is wrong with the text; -ENOMEM. Then there is
 * nothing to be freed. */
int fetch_adc_parse(const char *text, struct fetch_adc *ret, const char **ret_why);

/* Reads and parses; false after the cause was set to FETCH_DENIED. *ret_seen is the file's stat.
 * `opener` may be NULL. */
bool fetch_adc_load(const struct fetch_auth_opener *opener, const char *path, struct fetch_adc *ret,
                    struct stat *ret_seen, struct fetch_cause *cause);

/* The body of the POST to token_uri (application/x-www-form-urlencoded), a secret; the caller
 * frees it. `now_s` is the time of day. -ENOMEM; -EINVAL and why (a fixed string): a bad key. */
int fetch_adc_question(const struct fetch_adc *adc, int64_t now_s, char **ret,
                       const char **ret_why);

/*
 * The answer of a token endpoint (RFC 6749, 5.1), of the metadata server too: its bearer token, a
 * secret that the caller frees, and for how long it lives. -EINVAL: it holds none, or one that is
 * no word of a header line; -ENOMEM.
 */
int fetch_adc_answer(const char *body, char **ret_token, int64_t *ret_life_s);

/* What an endpoint says is wrong (RFC 6749, 5.2), for people; "" where it says nothing. */
void fetch_adc_complaint(const char *body, char *ret, size_t size);

void fetch_adc_free(struct fetch_adc *adc); /* wipes; accepts one of zeroes */

#endif
