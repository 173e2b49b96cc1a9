/*
 * Catalogs: read the files, check every entry, merge them into two sorted tables.
 * The two text forms are in catalog_json.c and catalog_sums.c. No network.
 */
#include "fetch/catalog.h"

#include "cas/io.h"
#include "fetch/catalog_entry.h"
#include "fetch/cause.h"
#include "fetch/url.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fetch_catalog {
        atomic_uint references;
        uint32_t epoch;
        struct fetch_asset *assets; /* by digest */
        size_t asset_count;
        struct fetch_name *names; /* by bytes */
        size_t name_count;
};

/* An entry as it was read; merged away by the end of the load. */
struct entry {
        char *name;
        struct cas_digest digest;
        uint64_t size;
        char **urls;
        const char *path;
        unsigned line;
        size_t order;
        const struct fetch_asset *asset; /* once the digests are merged */
};

struct catalog_builder {
        bool remote;      /* it came by URL */
        const char *path; /* of the file being read */
        struct entry *entries;
        size_t count;
        size_t room;
        char *why;
};

static int complain_at(struct catalog_builder *builder, const char *path, unsigned line,
                       const char *format, va_list args)
{
        int head = line ? snprintf(builder->why, FETCH_CATALOG_WHY, "%s:%u: ", path, line)
                        : snprintf(builder->why, FETCH_CATALOG_WHY, "%s: ", path);

        if (head < FETCH_CATALOG_WHY)
                vsnprintf(builder->why + head, (size_t)(FETCH_CATALOG_WHY - head), format, args);
        fetch_make_quotable(builder->why);
        return -EINVAL;
}

int catalog_complain(struct catalog_builder *builder, unsigned line, const char *format, ...)
{
        va_list args;

        va_start(args, format);

        int r = complain_at(builder, builder->path, line, format, args);

        va_end(args);
        return r;
}

__attribute__((format(printf, 3, 4))) static int
complain_entry(struct catalog_builder *builder, const struct entry *entry, const char *format, ...)
{
        va_list args;

        va_start(args, format);

        int r = complain_at(builder, entry->path, entry->line, format, args);

        va_end(args);
        return r;
}

static const char *name_complaint(const char *name)
{
        if (!*name)
                return "an empty name";
        if (strlen(name) > NAME_MAX)
                return "the name is longer than 255 bytes";
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strchr(name, '/'))
                return "the name is no file name";
        for (const char *c = name; *c; c++)
                if (iscntrl((unsigned char)*c))
                        return "the name contains a control byte";
        return NULL;
}

static void free_urls(char **urls)
{
        for (char **url = urls; url && *url; url++)
                free(*url);
        free(urls);
}

static bool has_url(char *const *urls, const char *url)
{
        for (; urls && *urls; urls++)
                if (strcmp(*urls, url) == 0)
                        return true;
        return false;
}

/* Appends copies of those of `more` that are not there yet, as far as there may be more. */
static int add_urls(char ***urls, const char *const *more, size_t count)
{
        size_t have = 0;

        while (*urls && (*urls)[have])
                have++;
        if (have == FETCH_ASSET_URLS)
                return 0;

        char **grown = reallocarray(*urls, have + count + 1, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        grown[have] = NULL;
        *urls = grown;
        for (size_t i = 0; i < count && have < FETCH_ASSET_URLS; i++) {
                if (has_url(grown, more[i]))
                        continue;
                grown[have] = strdup(more[i]);
                if (!grown[have])
                        return -ENOMEM;
                grown[++have] = NULL;
        }
        return 0;
}

static int check_urls(struct catalog_builder *builder, unsigned line, const char *const *urls,
                      size_t count)
{
        for (size_t i = 0; i < count; i++) {
                enum fetch_scheme scheme;
                const char *why;

                if (fetch_url_check(urls[i], &scheme, &why) < 0)
                        return catalog_complain(builder, line, "%s", why);
                if (builder->remote && scheme == FETCH_SCHEME_FILE)
                        return catalog_complain(builder, line,
                                                "a file:// URL in a catalog that came by URL");
        }
        return 0;
}

static struct entry *new_entry(struct catalog_builder *builder)
{
        if (builder->count == builder->room) {
                size_t room = builder->room ? 2 * builder->room : 64;
                struct entry *grown = reallocarray(builder->entries, room, sizeof(*grown));

                if (!grown)
                        return NULL;
                builder->entries = grown;
                builder->room = room;
        }

        struct entry *entry = &builder->entries[builder->count];

        *entry = (struct entry){.path = builder->path, .order = builder->count};
        builder->count++;
        return entry;
}

int catalog_add(struct catalog_builder *builder, unsigned line, const char *name,
                const char *sha256, uint64_t size, const char *const *urls, size_t url_count)
{
        const char *why = name_complaint(name);
        struct cas_digest digest;

        if (why)
                return catalog_complain(builder, line, "%s", why);
        if (cas_digest_parse(sha256, strlen(sha256), &digest) < 0)
                return catalog_complain(builder, line,
                                        "%s: the digest is not 64 lowercase hex digits", name);
        if (builder->count == FETCH_CATALOG_ASSETS)
                return catalog_complain(builder, line, "more than %u assets", FETCH_CATALOG_ASSETS);

        int r = check_urls(builder, line, urls, url_count);

        if (r < 0)
                return r;

        struct entry *entry = new_entry(builder);

        if (!entry)
                return -ENOMEM;
        entry->digest = digest;
        entry->size = size;
        entry->line = line;
        entry->name = strdup(name);
        return entry->name ? add_urls(&entry->urls, urls, url_count) : -ENOMEM;
}

__attribute__((format(printf, 4, 5))) static int
complain_of_file(const char *path, int error, char why[FETCH_CATALOG_WHY], const char *format, ...)
{
        struct catalog_builder builder = {.path = path, .why = why};
        va_list args;

        va_start(args, format);
        complain_at(&builder, path, 0, format, args);
        va_end(args);
        return error;
}

static int read_bytes(const char *path, struct fetch_catalog_text *ret, char why[FETCH_CATALOG_WHY])
{
        struct stat st;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

        if (fd < 0 || fstat(fd, &st) < 0)
                return complain_of_file(path, -errno, why, "%s", strerror(errno));
        if (!S_ISREG(st.st_mode))
                return complain_of_file(path, -EINVAL, why, "not a regular file");
        if (st.st_size > FETCH_CATALOG_TEXT)
                return complain_of_file(path, -EINVAL, why, "larger than %u MiB",
                                        FETCH_CATALOG_TEXT / 1024 / 1024);

        size_t room = (size_t)st.st_size;

        ret->bytes = malloc(room + 1);
        if (!ret->bytes)
                return -ENOMEM;
        while (ret->length < room) {
                ssize_t got =
                    cas_io_read_at(fd, ret->bytes + ret->length, room - ret->length, ret->length);

                if (got < 0)
                        return complain_of_file(path, (int)got, why, "%s", strerror((int)-got));
                if (got == 0)
                        break;
                ret->length += (size_t)got;
        }
        return 0;
}

bool fetch_catalog_is_url(const char *path)
{
        size_t scheme = strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789+.-");

        return scheme > 0 && strncmp(path + scheme, "://", 3) == 0;
}

/* The siblings are those of the URL that was given, and not of where a redirect leads: that
 * may be signed for one object alone. */
static int name_url(const char *url, struct fetch_catalog_text *ret)
{
        const char *path = fetch_url_behind_authority(url);
        size_t length = (size_t)(path - url);

        for (size_t i = 0; path[i] && !strchr("?#", path[i]); i++)
                if (path[i] == '/')
                        length = (size_t)(path - url) + i;
        ret->url = strdup(url);
        ret->folder = strndup(url, length);
        ret->path = malloc(FETCH_SOURCE_MAX);
        ret->bytes = strdup("");
        if (!ret->url || !ret->folder || !ret->path || !ret->bytes)
                return -ENOMEM;
        fetch_url_redact(url, ret->path, FETCH_SOURCE_MAX);
        return 0;
}

static int read_text(const char *path, struct fetch_catalog_text *ret, char why[FETCH_CATALOG_WHY])
{
        if (fetch_catalog_is_url(path))
                return name_url(path, ret);

        int r = read_bytes(path, ret, why);

        if (r < 0)
                return r;
        ret->path = strdup(path);
        ret->folder = realpath(path, NULL);
        if (!ret->path || !ret->folder)
                return complain_of_file(path, -errno, why, "%s", strerror(errno));
        *strrchr(ret->folder, '/') = '\0';
        return 0;
}

void fetch_catalog_texts_free(struct fetch_catalog_text *texts, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                free(texts[i].url);
                free(texts[i].path);
                free(texts[i].folder);
                free(texts[i].bytes);
                texts[i] = (struct fetch_catalog_text){0};
        }
}

int fetch_catalog_read(const char *const *paths, size_t count, struct fetch_catalog_text *ret,
                       char why[FETCH_CATALOG_WHY])
{
        int r = 0;

        why[0] = '\0';
        for (size_t i = 0; i < count; i++)
                ret[i] = (struct fetch_catalog_text){0};
        for (size_t i = 0; r == 0 && i < count; i++)
                r = read_text(paths[i], &ret[i], why);
        if (r == -ENOMEM && !why[0])
                snprintf(why, FETCH_CATALOG_WHY, "%s", strerror(ENOMEM));
        if (r < 0)
                fetch_catalog_texts_free(ret, count);
        return r;
}

static int parse_text(struct catalog_builder *builder, const struct fetch_catalog_text *text)
{
        size_t first = 0;

        while (first < text->length && isspace((unsigned char)text->bytes[first]))
                first++;
        if (first < text->length && (text->bytes[first] == '{' || text->bytes[first] == '['))
                return catalog_parse_json(builder, text);
        return catalog_parse_sums(builder, text);
}

static int by_digest(const void *left, const void *right)
{
        const struct entry *a = left;
        const struct entry *b = right;
        int order = cas_digest_compare(&a->digest, &b->digest);

        return order ? order : (a->order > b->order) - (a->order < b->order);
}

static int by_name(const void *left, const void *right)
{
        const struct entry *a = left;
        const struct entry *b = right;
        int order = strcmp(a->name, b->name);

        return order ? order : (a->order > b->order) - (a->order < b->order);
}

static int merge_size(struct catalog_builder *builder, struct fetch_asset *asset,
                      const struct entry *entry)
{
        if (entry->size == CAS_SIZE_UNKNOWN || entry->size == asset->size)
                return 0;
        if (asset->size != CAS_SIZE_UNKNOWN)
                return complain_entry(builder, entry, "%s: the digest has another size elsewhere",
                                      entry->name);
        asset->size = entry->size;
        return 0;
}

/* Entries sorted by digest become one asset a digest. */
static int merge_assets(struct catalog_builder *builder, struct fetch_catalog *catalog)
{
        for (size_t i = 0; i < builder->count; i++) {
                struct entry *entry = &builder->entries[i];
                struct fetch_asset *asset = &catalog->assets[catalog->asset_count];
                bool more = i > 0 && cas_digest_equal(&entry[-1].digest, &entry->digest);

                if (more) {
                        asset--;
                } else {
                        *asset = (struct fetch_asset){entry->digest, CAS_SIZE_UNKNOWN, NULL};
                        catalog->asset_count++;
                }

                size_t count = 0;

                while (entry->urls && entry->urls[count])
                        count++;

                int r = merge_size(builder, asset, entry);

                if (r == 0)
                        r = add_urls(&asset->urls, (const char *const *)entry->urls, count);
                if (r < 0)
                        return r;
                entry->asset = asset;
        }
        return 0;
}

/* Entries sorted by name: the same name twice is one name, if it means the same asset. */
static int merge_names(struct catalog_builder *builder, struct fetch_catalog *catalog)
{
        for (size_t i = 0; i < builder->count; i++) {
                struct entry *entry = &builder->entries[i];
                const struct fetch_name *last =
                    i > 0 ? &catalog->names[catalog->name_count - 1] : NULL;

                if (!last || strcmp(last->name, entry->name) != 0) {
                        catalog->names[catalog->name_count++] =
                            (struct fetch_name){entry->name, entry->asset};
                        entry->name = NULL; /* the catalog's now */
                } else if (last->asset != entry->asset) {
                        return complain_entry(builder, entry,
                                              "the name %s has another digest elsewhere",
                                              entry->name);
                }
        }
        return 0;
}

static int merge(struct catalog_builder *builder, struct fetch_catalog *catalog)
{
        if (builder->count == 0)
                return 0;
        catalog->assets = calloc(builder->count, sizeof(*catalog->assets));
        catalog->names = calloc(builder->count, sizeof(*catalog->names));
        if (!catalog->assets || !catalog->names)
                return -ENOMEM;
        qsort(builder->entries, builder->count, sizeof(*builder->entries), by_digest);

        int r = merge_assets(builder, catalog);

        if (r < 0)
                return r;
        qsort(builder->entries, builder->count, sizeof(*builder->entries), by_name);
        return merge_names(builder, catalog);
}

static void free_builder(struct catalog_builder *builder)
{
        for (size_t i = 0; i < builder->count; i++) {
                free(builder->entries[i].name);
                free_urls(builder->entries[i].urls);
        }
        free(builder->entries);
}

static void destroy(struct fetch_catalog *catalog)
{
        if (!catalog)
                return;
        for (size_t i = 0; i < catalog->name_count; i++)
                free((char *)catalog->names[i].name);
        for (size_t i = 0; i < catalog->asset_count; i++)
                free_urls(catalog->assets[i].urls);
        free(catalog->names);
        free(catalog->assets);
        free(catalog);
}

#define FNV_BASIS UINT64_C(0xcbf29ce484222325) /* FNV-1a */
#define FNV_PRIME UINT64_C(0x100000001b3)

static uint64_t mix(uint64_t hash, const void *bytes, size_t length)
{
        for (const uint8_t *byte = bytes; length > 0; byte++, length--)
                hash = (hash ^ *byte) * FNV_PRIME;
        return hash;
}

static uint32_t epoch_of(const struct fetch_catalog *catalog)
{
        uint64_t hash = FNV_BASIS;

        for (size_t i = 0; i < catalog->name_count; i++) {
                const struct fetch_name *name = &catalog->names[i];

                hash = mix(hash, name->name, strlen(name->name) + 1);
                hash = mix(hash, name->asset->digest.bytes, CAS_DIGEST_SIZE);
        }
        return (hash ^ hash >> 32) & INT32_MAX;
}

int fetch_catalog_parse(const struct fetch_catalog_text *texts, size_t count,
                        struct fetch_catalog **ret, char why[FETCH_CATALOG_WHY])
{
        struct catalog_builder builder = {.why = why};
        struct fetch_catalog *catalog = calloc(1, sizeof(*catalog));
        int r = catalog ? 0 : -ENOMEM;

        why[0] = '\0';
        for (size_t i = 0; r == 0 && i < count; i++) {
                builder.path = texts[i].path;
                builder.remote = texts[i].url;
                r = parse_text(&builder, &texts[i]);
        }
        if (r == 0)
                r = merge(&builder, catalog);
        free_builder(&builder);
        malloc_trim(0); /* a JSON tree is many times its text */
        if (r < 0) {
                if (!why[0])
                        snprintf(why, FETCH_CATALOG_WHY, "%s", strerror(-r));
                destroy(catalog);
                return r;
        }
        atomic_init(&catalog->references, 1);
        catalog->epoch = epoch_of(catalog);
        *ret = catalog;
        return 0;
}

struct fetch_catalog *fetch_catalog_ref(struct fetch_catalog *catalog)
{
        atomic_fetch_add(&catalog->references, 1);
        return catalog;
}

uint32_t fetch_catalog_epoch(const struct fetch_catalog *catalog)
{
        return catalog->epoch;
}

void fetch_catalog_free(struct fetch_catalog *catalog)
{
        if (catalog && atomic_fetch_sub(&catalog->references, 1) == 1)
                destroy(catalog);
}

static int asset_order(const void *key, const void *element)
{
        const struct fetch_asset *asset = element;

        return cas_digest_compare(key, &asset->digest);
}

static int name_order(const void *key, const void *element)
{
        const struct fetch_name *name = element;

        return strcmp(key, name->name);
}

const struct fetch_asset *fetch_catalog_find(const struct fetch_catalog *catalog,
                                             const struct cas_digest *digest)
{
        if (catalog->asset_count == 0)
                return NULL;
        return bsearch(digest, catalog->assets, catalog->asset_count, sizeof(*catalog->assets),
                       asset_order);
}

int fetch_catalog_find_name(const struct fetch_catalog *catalog, const char *name)
{
        const struct fetch_name *found = NULL;

        if (catalog->name_count > 0)
                found = bsearch(name, catalog->names, catalog->name_count, sizeof(*catalog->names),
                                name_order);
        return found ? (int)(found - catalog->names) : -ENOENT;
}

size_t fetch_catalog_asset_count(const struct fetch_catalog *catalog)
{
        return catalog->asset_count;
}

const struct fetch_asset *fetch_catalog_asset(const struct fetch_catalog *catalog, size_t index)
{
        return &catalog->assets[index];
}

size_t fetch_catalog_name_count(const struct fetch_catalog *catalog)
{
        return catalog->name_count;
}

const struct fetch_name *fetch_catalog_name(const struct fetch_catalog *catalog, size_t index)
{
        return &catalog->names[index];
}
