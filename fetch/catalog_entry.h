/*
 * What a catalog parser hands over, one call for each asset it read. Between
 * fetch/catalog.c and the two parsers only.
 */
#ifndef FETCH_CATALOG_ENTRY_H
#define FETCH_CATALOG_ENTRY_H

#include "fetch/catalog.h"

#define FETCH_URLS_MAX 16 /* of one entry */

struct catalog_builder;

/*
 * Adds an asset. The strings are copied; `urls` has `url_count` of them. -EINVAL
 * with the complaint in the builder where the digest, the name or a URL is bad.
 */
int catalog_add(struct catalog_builder *builder, unsigned line, const char *name,
                const char *sha256, uint64_t size, const char *const *urls, size_t url_count);

/* Sets the builder's complaint, "file:line: …"; returns -EINVAL. */
__attribute__((format(printf, 3, 4))) int catalog_complain(struct catalog_builder *builder,
                                                           unsigned line, const char *format, ...);

/* The parsers. 0, -EINVAL after a complaint, -ENOMEM. */
int catalog_parse_json(struct catalog_builder *builder, const struct fetch_catalog_text *text);
int catalog_parse_sums(struct catalog_builder *builder, const struct fetch_catalog_text *text);

#endif
