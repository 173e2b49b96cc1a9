/*
 * The JSON form of a catalog. jansson reads it (well kept, bounded in depth, names
 * the line of broken text); it does not remember where a value stood, so the line
 * of a bad asset is found by looking for its key in the text.
 */
#include "fetch/catalog_entry.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

/*
 * Walks forward through text that jansson has taken, from key to key. jansson keeps
 * the order of the keys, so the n-th key here is the n-th key there, however it is
 * spelt, and all lookups together are one pass.
 */
struct key_walk {
        const char *at;
        const char *end;
        unsigned line;
        unsigned depth; /* of objects and arrays that are open */
};

/* From the opening quote to behind the closing one. */
static void skip_string(struct key_walk *walk)
{
        for (walk->at++; walk->at < walk->end && *walk->at != '"'; walk->at++)
                if (*walk->at == '\\')
                        walk->at++;
        walk->at++;
}

/* A string is a key if a colon follows; the space between may hold newlines, which stay
 * to be counted. */
static bool colon_follows(const struct key_walk *walk)
{
        const char *c = walk->at;

        while (c < walk->end && strchr(" \t\r\n", *c))
                c++;
        return c < walk->end && *c == ':';
}

/* The line of the next key of an object at `depth`. */
static unsigned next_key(struct key_walk *walk, unsigned depth)
{
        while (walk->at < walk->end) {
                switch (*walk->at) {
                case '"':
                        skip_string(walk);
                        if (walk->depth == depth && colon_follows(walk))
                                return walk->line;
                        continue;
                case '{':
                case '[':
                        walk->depth++;
                        break;
                case '}':
                case ']':
                        walk->depth--;
                        break;
                case '\n':
                        walk->line++;
                        break;
                default:
                        break;
                }
                walk->at++;
        }
        return walk->line;
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

static int add_assets(struct catalog_builder *builder, const struct fetch_catalog_text *text,
                      json_t *root)
{
        struct key_walk walk = {text->bytes, text->bytes + text->length, 1, 0};
        json_t *assets = json_object_get(root, "assets");
        const char *name;
        json_t *value;

        if (!json_is_object(root))
                return catalog_complain(builder, 1, "not an object");
        if (!json_is_object(assets))
                return catalog_complain(builder, 1, "no object \"assets\"");
        if (json_object_size(assets) > FETCH_CATALOG_ASSETS)
                return catalog_complain(builder, 1, "more than %u assets", FETCH_CATALOG_ASSETS);
        json_object_foreach(root, name, value)
        {
                next_key(&walk, 1);
                if (value == assets)
                        break;
        }
        json_object_foreach(assets, name, value)
        {
                int r = add_asset(builder, next_key(&walk, 2), name, value);

                if (r < 0)
                        return r;
        }
        return 0;
}

int catalog_parse_json(struct catalog_builder *builder, const struct fetch_catalog_text *text)
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
