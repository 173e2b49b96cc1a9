/*
 * What holds of every catalog, and of every refusal of one. For the fuzzers of the two
 * forms of text.
 */
#ifndef TESTS_FUZZ_CATALOG_H
#define TESTS_FUZZ_CATALOG_H

#include "fetch/catalog.h"
#include "fetch/url.h"
#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>

#define FUZZ_FOLDER "/srv/assets"

static inline void fuzz_check_urls(const struct fetch_asset *asset)
{
        size_t count = 0;

        for (char **url = asset->urls; url && *url; url++, count++) {
                enum fetch_scheme scheme;
                const char *why;

                fuzz_expect(fetch_url_check(*url, &scheme, &why) == 0);
                for (char **other = asset->urls; other < url; other++)
                        fuzz_expect(strcmp(*other, *url) != 0);
        }
        fuzz_expect(count <= FETCH_ASSET_URLS);
}

static inline void fuzz_check_assets(const struct fetch_catalog *catalog)
{
        for (size_t i = 0; i < fetch_catalog_asset_count(catalog); i++) {
                const struct fetch_asset *asset = fetch_catalog_asset(catalog, i);
                char hex[CAS_DIGEST_HEX + 1];
                struct cas_digest back;

                cas_digest_format(&asset->digest, hex);
                fuzz_expect(cas_digest_parse(hex, strlen(hex), &back) == 0);
                fuzz_expect(fetch_catalog_find(catalog, &back) == asset);
                fuzz_expect(i == 0 || cas_digest_compare(&asset[-1].digest, &asset->digest) < 0);
                fuzz_expect(asset->size <= INT64_MAX || asset->size == CAS_SIZE_UNKNOWN);
                fuzz_check_urls(asset);
        }
}

static inline void fuzz_check_names(const struct fetch_catalog *catalog)
{
        size_t count = fetch_catalog_name_count(catalog);

        fuzz_expect(count >= fetch_catalog_asset_count(catalog)); /* no asset without one */
        for (size_t i = 0; i < count; i++) {
                const struct fetch_name *name = fetch_catalog_name(catalog, i);

                fuzz_expect(*name->name && strlen(name->name) <= NAME_MAX);
                fuzz_expect(strcmp(name->name, ".") != 0 && strcmp(name->name, "..") != 0);
                for (const char *c = name->name; *c; c++)
                        fuzz_expect(*c != '/' && !iscntrl((unsigned char)*c));
                fuzz_expect(fetch_catalog_find_name(catalog, name->name) == (int)i);
                fuzz_expect(i == 0 || strcmp(name[-1].name, name->name) < 0);
                fuzz_expect(fetch_catalog_find(catalog, &name->asset->digest) == name->asset);
        }
}

/* "file:line: what is wrong", or "file: what is wrong", on one line that can be quoted. */
static inline void fuzz_check_why(const struct fetch_catalog_text *text, const char *why)
{
        unsigned long lines = 1;
        size_t head = strlen(text->path);
        char *end;

        for (size_t i = 0; i < text->length; i++)
                lines += text->bytes[i] == '\n';
        fuzz_expect(strncmp(why, text->path, head) == 0 && why[head] == ':');
        if (isdigit((unsigned char)why[head + 1])) {
                fuzz_expect(strtoul(why + head + 1, &end, 10) <= lines);
                fuzz_expect(end[0] == ':' && end[1] == ' ' && end[2]);
        } else {
                fuzz_expect(why[head + 1] == ' ' && why[head + 2]);
        }
        for (const char *c = why; *c; c++)
                fuzz_expect(*c >= ' ' && *c <= '~' && *c != '"' && *c != '\\');
}

/* The same text once more says nothing new: every line of it is known. */
static inline void fuzz_check_twice(const struct fetch_catalog_text *text,
                                    const struct fetch_catalog *once)
{
        const struct fetch_catalog_text texts[] = {*text, *text};
        char why[FETCH_CATALOG_WHY];
        struct fetch_catalog *twice = NULL;

        fuzz_expect(fetch_catalog_parse(texts, 2, &twice, why) == 0);
        fuzz_expect(fetch_catalog_asset_count(twice) == fetch_catalog_asset_count(once));
        fuzz_expect(fetch_catalog_name_count(twice) == fetch_catalog_name_count(once));
        for (size_t i = 0; i < fetch_catalog_asset_count(once); i++) {
                const struct fetch_asset *a = fetch_catalog_asset(once, i);
                const struct fetch_asset *b = fetch_catalog_asset(twice, i);

                fuzz_expect(cas_digest_equal(&a->digest, &b->digest) && a->size == b->size);
                for (size_t u = 0; a->urls && (u == 0 || a->urls[u - 1]); u++)
                        fuzz_expect(a->urls[u] ? strcmp(a->urls[u], b->urls[u]) == 0 : !b->urls[u]);
        }
        fetch_catalog_free(twice);
}

/* The catalog, which the caller frees; NULL where it is refused as it should be. */
static inline struct fetch_catalog *fuzz_parse_catalog(const uint8_t *data, size_t size)
{
        char path[] = "catalog";
        char folder[] = FUZZ_FOLDER;
        char *bytes = fuzz_bytes(data, size);
        struct fetch_catalog_text text = {path, folder, bytes, size, NULL};
        struct fetch_catalog *catalog = NULL;
        char why[FETCH_CATALOG_WHY];
        int r = fetch_catalog_parse(&text, 1, &catalog, why);

        if (r == 0) {
                fuzz_expect(catalog && !why[0]);
                fuzz_check_assets(catalog);
                fuzz_check_names(catalog);
                fuzz_check_twice(&text, catalog);
        } else {
                fuzz_expect(r == -EINVAL && !catalog);
                fuzz_check_why(&text, why);
        }
        free(bytes);
        return catalog;
}

/* Which form fetch_catalog_parse() takes the text for. */
static inline bool fuzz_is_json(const uint8_t *data, size_t size)
{
        size_t first = 0;

        while (first < size && isspace(data[first]))
                first++;
        return first < size && (data[first] == '{' || data[first] == '[');
}

#endif
