/*
 * The JSON form of a catalog. jansson reads it (well kept, bounded in depth, names
 * the line of broken text); it does not remember where a value stood, so the line
 * of a bad asset is found by looking for its key in the text.
 */
#include "fetch/catalog_entry.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

/* Walks the text forward, in step with the keys, so that all lookups together are one pass. */
struct line_finder {
        const char *at;
        const char *end;
        unsigned line;
};

static void find_key(struct line_finder *finder, const char *key)
{
        size_t length = strlen(key);
        unsigned line = finder->line;

        for (const char *c = finder->at; c + length + 2 <= finder->end; c++) {
                if (*c == '\n')
                        line++;
                if (*c == '"' && memcmp(c + 1, key, length) == 0 && c[length + 1] == '"') {
                        finder->at = c + 1;
                        finder->line = line;
                        return;
                }
        }
}

static int add_urls(struct catalog_builder *builder, unsigned line, const char *name,
                    const json_t *asset, const char *urls[FETCH_URLS_MAX], size_t *count)
{
        const json_t *one = json_object_get(asset, "url");
        const json_t *many = json_object_get(asset, "urls");
        const json_t *item;
        size_t i;

        if (one) {
                if (!json_is_string(one))
                        return catalog_complain(builder, line, "%s: \"url\" is no string", name);
                urls[(*count)++] = json_string_value(one);
        }
        if (many && !json_is_array(many))
                return catalog_complain(builder, line, "%s: \"urls\" is no array", name);
        json_array_foreach(many, i, item)
        {
                if (!json_is_string(item))
                        return catalog_complain(builder, line, "%s: \"urls\" holds no string",
                                                name);
                if (*count == FETCH_URLS_MAX)
                        return catalog_complain(builder, line, "%s: more than %d URLs", name,
                                                FETCH_URLS_MAX);
                urls[(*count)++] = json_string_value(item);
        }
        return 0;
}

static int add_asset(struct catalog_builder *builder, unsigned line, const char *name,
                     const json_t *asset)
{
        const json_t *sha256 = json_object_get(asset, "sha256");
        const json_t *size = json_object_get(asset, "size");
        const char *urls[FETCH_URLS_MAX];
        size_t count = 0;

        if (!json_is_object(asset))
                return catalog_complain(builder, line, "%s: not an object", name);
        if (!json_is_string(sha256))
                return catalog_complain(builder, line, "%s: no \"sha256\"", name);
        if (size && (!json_is_integer(size) || json_integer_value(size) < 0))
                return catalog_complain(builder, line, "%s: \"size\" is no number of bytes", name);

        int r = add_urls(builder, line, name, asset, urls, &count);

        if (r < 0)
                return r;
        return catalog_add(builder, line, name, json_string_value(sha256),
                           size ? (uint64_t)json_integer_value(size) : CAS_SIZE_UNKNOWN, urls,
                           count);
}

static int add_assets(struct catalog_builder *builder, const struct catalog_text *text,
                      json_t *root)
{
        struct line_finder finder = {text->bytes, text->bytes + text->length, 1};
        json_t *assets = json_object_get(root, "assets");
        const char *name;
        json_t *asset;

        if (!json_is_object(root))
                return catalog_complain(builder, 1, "not an object");
        if (!json_is_object(assets))
                return catalog_complain(builder, 1, "no object \"assets\"");
        if (json_object_size(assets) > FETCH_CATALOG_ASSETS)
                return catalog_complain(builder, 1, "more than %u assets", FETCH_CATALOG_ASSETS);
        find_key(&finder, "assets");
        json_object_foreach(assets, name, asset)
        {
                find_key(&finder, name);

                int r = add_asset(builder, finder.line, name, asset);

                if (r < 0)
                        return r;
        }
        return 0;
}

int catalog_parse_json(struct catalog_builder *builder, const struct catalog_text *text)
{
        json_error_t error;
        json_t *root = json_loadb(text->bytes, text->length, JSON_REJECT_DUPLICATES, &error);

        if (!root && json_error_code(&error) == json_error_out_of_memory)
                return -ENOMEM;
        if (!root)
                return catalog_complain(builder, (unsigned)error.line, "%s", error.text);

        int r = add_assets(builder, text, root);

        json_decref(root);
        return r;
}
