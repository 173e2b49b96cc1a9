/*
 * oci://registry/repository: blobs of a registry that speaks the OCI distribution protocol
 * (/v2/…/blobs/), and who may have them. Pure but for the kind's make().
 */
#ifndef FETCH_OCI_H
#define FETCH_OCI_H

#include "cas/digest.h"
#include "fetch/locate.h"

/* 0, or -EINVAL and why (a fixed string): no registry, no repository, or not a name of one. */
int fetch_oci_check(const char *url, const char **ret_why);

/* The blob's URL: https, or http for loopback and where plain_http asks for it. The caller frees
 * it. NULL without memory. */
char *fetch_oci_url(const struct fetch_origin *settings, const char *url,
                    const struct cas_digest *digest);

/* "host" or "host:port", and the repository, of a URL that is good; the caller frees both.
 * -ENOMEM. */
int fetch_oci_split(const char *url, char **ret_registry, char **ret_repository);

/* The credential of the repository that `http_url`, by fetch_oci_url(), is in; `url` is copied. */
int fetch_auth_of_oci(struct http_loop *loop, const char *url, const char *http_url,
                      struct fetch_auth **ret);

#endif
