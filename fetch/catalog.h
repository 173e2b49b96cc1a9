/*
 * Catalogs: names, sizes and URLs of assets, from files of two kinds.
 *
 *   {"assets": {"NAME": {"sha256": HEX, "url": URL, "urls": [URL…], "size": BYTES}}}
 *       sha256 is required; unknown keys are ignored at every level
 *   SHA256SUMS as sha256sum writes and distributions publish it ("HEX  NAME",
 *       "HEX *NAME", or the BSD form "SHA256 (NAME) = HEX"): the asset's URL is the
 *       sibling of the file; in its name a '/' becomes '-'
 *
 * One that comes by URL names no file:// URL: it is not for who can change it to say what of
 * this machine is read.
 *
 * A file is taken whole or refused whole. Bounds: FETCH_CATALOG_TEXT bytes of text
 * a file, FETCH_CATALOG_ASSETS assets altogether, FETCH_ASSET_URLS URLs an asset: what
 * entries of the same digest have beyond that is left out, because one file under many
 * names is no mistake. Immutable after load, so any thread may read it, and counted.
 */
#ifndef FETCH_CATALOG_H
#define FETCH_CATALOG_H

#include "cas/ingest.h"

#define FETCH_CATALOG_TEXT   (64u * 1024 * 1024)
#define FETCH_CATALOG_ASSETS 100000u
#define FETCH_ASSET_URLS     64u
#define FETCH_CATALOG_WHY    512 /* bytes of an explanation, with its NUL */

struct fetch_catalog;

struct fetch_asset {
        struct cas_digest digest;
        uint64_t size; /* bytes, or CAS_SIZE_UNKNOWN */
        char **urls;   /* NULL-terminated, in the catalogs' order, no doubles, bounded */
};

struct fetch_name {
        const char *name; /* 1 to 255 bytes, no '/', no control byte, not "." or ".." */
        const struct fetch_asset *asset;
};

/*
 * The text of one catalog, read but not looked into. `path` is for messages, `folder`
 * is where the siblings of a SHA256SUMS lie: an absolute path, or for one that comes by URL
 * that URL up to its last '/'. All are owned.
 */
struct fetch_catalog_text {
        char *path;
        char *folder;
        char *bytes;
        size_t length;
        char *url; /* or NULL: a file. Its `path` is without secrets */
};

/* Is it a URL, and no path? */
bool fetch_catalog_is_url(const char *path);

/*
 * Reads the files into `ret`, an array of `count`; what is a URL gets a text without
 * bytes, for fetch/refresh.h to bring. -errno, or -EINVAL, with "file: what
 * is wrong" in `why`; then nothing is left allocated.
 */
int fetch_catalog_read(const char *const *paths, size_t count, struct fetch_catalog_text *ret,
                       char why[FETCH_CATALOG_WHY]);
void fetch_catalog_texts_free(struct fetch_catalog_text *texts, size_t count);

/*
 * Makes one catalog of the texts, in order; they may go afterwards. -EINVAL with
 * "file:line: what is wrong" in `why`: broken text, a bad digest, name or URL, one name
 * with two digests, one digest with two sizes, too much of anything.
 */
int fetch_catalog_parse(const struct fetch_catalog_text *texts, size_t count,
                        struct fetch_catalog **ret, char why[FETCH_CATALOG_WHY]);
/* One more reference; returned. From any thread. */
struct fetch_catalog *fetch_catalog_ref(struct fetch_catalog *catalog);
/* One less, and with the last one it is gone. Accepts NULL. */
void fetch_catalog_free(struct fetch_catalog *catalog);

/* 31 bits of what all names mean: a catalog that changes any of them has others. */
uint32_t fetch_catalog_epoch(const struct fetch_catalog *catalog);

/* NULL where no catalog lists the digest. Valid as long as the catalog. */
const struct fetch_asset *fetch_catalog_find(const struct fetch_catalog *catalog,
                                             const struct cas_digest *digest);

/* Index of the name, or -ENOENT. */
int fetch_catalog_find_name(const struct fetch_catalog *catalog, const char *name);

/* Assets in the order of their digests, names in the order of their bytes. */
size_t fetch_catalog_asset_count(const struct fetch_catalog *catalog);
const struct fetch_asset *fetch_catalog_asset(const struct fetch_catalog *catalog, size_t index);
size_t fetch_catalog_name_count(const struct fetch_catalog *catalog);
const struct fetch_name *fetch_catalog_name(const struct fetch_catalog *catalog, size_t index);

#endif
