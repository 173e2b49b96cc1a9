/*
 * s3://bucket/key: S3 and what speaks its protocol, and who may have it. Pure but for the
 * kind's make().
 */
#ifndef FETCH_S3_H
#define FETCH_S3_H

#include "fetch/locate.h"

/* 0, or -EINVAL and why (a fixed string): no bucket, no key. */
int fetch_s3_check(const char *url, const char **ret_why);

/* The object's URL; the key as fetch_url_encode_name() has it. The caller frees
 * it. NULL without memory. */
char *fetch_s3_url(const struct fetch_origin *settings, const char *url);

/* The credential of the bucket that `http_url`, by fetch_s3_url(), is in; `url` is copied. */
int fetch_auth_of_s3(const struct fetch_origin *settings, struct http_loop *loop, const char *url,
                     const char *http_url, struct fetch_auth **ret);

#endif
