/*
 * gs://bucket/object: Google Cloud Storage by its XML API, and who may have it. Pure but for
 * the kind's make().
 */
#ifndef FETCH_GS_H
#define FETCH_GS_H

#include "fetch/locate.h"

/* 0, or -EINVAL and why (a fixed string): no bucket, no object. */
int fetch_gs_check(const char *url, const char **ret_why);

/* The object's URL at settings->endpoint, $STORAGE_EMULATOR_HOST or the provider; its name as
 * fetch_url_encode_name() has it. The caller frees it. NULL without memory. */
char *fetch_gs_url(const struct fetch_origin *settings, const char *url);

/* The credential of the bucket that `http_url`, by fetch_gs_url(), is in. `opener` opens what
 * $GOOGLE_APPLICATION_CREDENTIALS names; or NULL. */
int fetch_auth_of_gs(struct http_loop *loop, const struct fetch_auth_opener *opener,
                     const char *url, const char *http_url, struct fetch_auth **ret);

#endif
