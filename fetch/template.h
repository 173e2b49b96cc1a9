/*
 * Origins are URL templates: "https://host/assets/{sha256}". Every {sha256} is
 * replaced by the 64 hex digits of the asset. Or they are repositories of a registry,
 * "oci://registry/repository", which need no mark.
 */
#ifndef FETCH_TEMPLATE_H
#define FETCH_TEMPLATE_H

#include "cas/digest.h"

/*
 * 0, or -EINVAL and in *ret_why (a fixed string) what is wrong: no URL, a scheme that
 * cannot be read, or no {sha256} where it names a file: in the path, or in the query of an
 * HTTP URL; and never in the host.
 */
int fetch_template_check(const char *template_url, const char **ret_why);

/* The URL of one asset; the caller frees it. NULL without memory. */
char *fetch_template_expand(const char *template_url, const struct cas_digest *digest);

#endif
