/*
 * Directories and links. Asks the store and the catalog, never the network: `ls`
 * waits for nobody.
 */
#include "fs/view.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODE 0555 /* less the umask; never a setuid or write bit */

/*
 * What the root shows: taken when somebody begins to read it, shared by all who go on.
 * An entry's offset is made of its digest, in whose order it comes, so that whoever goes on
 * with another snapshot, even another worker's, neither misses nor doubles what was there
 * all the time.
 */
struct snapshot {
        unsigned references; /* the view's lock */
        size_t count;
        size_t room;
        struct cas_digest *digests; /* sorted, each once */
};

struct fs_view {
        pthread_mutex_t lock;
        struct snapshot *latest; /* lock */
};

static void stat_common(const struct fs_server *server, mode_t type, struct stat *ret)
{
        *ret = (struct stat){
            .st_mode = type | (MODE & ~server->umask),
            .st_nlink = 1,
            .st_uid = server->uid,
            .st_gid = server->gid,
            .st_blksize = 128 * 1024,
        };
        /* All times are the epoch: an asset has no history, before or after its download. */
}

/* From the digest or name, so that it is the same on every node and after every restart.
 * Small numbers are left to what is no asset. */
static ino_t inode_number(const uint8_t *bytes)
{
        uint64_t number;

        memcpy(&number, bytes, sizeof(number));
        return number > FS_METRICS ? number : number + FS_METRICS + 1;
}

#define FNV_BASIS UINT64_C(0xcbf29ce484222325) /* FNV-1a */
#define FNV_PRIME UINT64_C(0x100000001b3)

static uint64_t mix(uint64_t hash, const void *bytes, size_t length)
{
        for (const uint8_t *byte = bytes; length > 0; byte++, length--)
                hash = (hash ^ *byte) * FNV_PRIME;
        return hash;
}

static ino_t link_inode_number(const struct fetch_name *name)
{
        uint64_t hash = mix(FNV_BASIS, name->name, strlen(name->name));

        return inode_number((const uint8_t *)&hash);
}

/* NULL: no link, or one of another catalog. */
static const struct fetch_name *link_name(const struct fetch_catalog *catalog, fuse_ino_t ino)
{
        uint64_t index = ino & UINT32_MAX;

        if (!(ino & FS_LINK) || (ino >> 32 & INT32_MAX) != fetch_catalog_epoch(catalog) ||
            index >= fetch_catalog_name_count(catalog))
                return NULL;
        return fetch_catalog_name(catalog, index);
}

static bool is_directory(fuse_ino_t ino)
{
        return ino == FUSE_ROOT_ID || ino == FS_BY_NAME || ino == FS_ABOUT;
}

bool fs_view_stat(const struct fs_server *server, fuse_ino_t ino, struct stat *ret)
{
        _cleanup_catalog_ struct fetch_catalog *catalog = fetch_catalogs_now(server->catalogs);
        const struct fetch_name *name = link_name(catalog, ino);

        if (is_directory(ino)) {
                stat_common(server, S_IFDIR, ret);
                ret->st_ino = ino;
                ret->st_nlink = ino == FUSE_ROOT_ID ? 4 : 2;
                return true;
        }
        if (fs_is_report(ino)) {
                stat_common(server, S_IFREG, ret);
                ret->st_mode &= ~(mode_t)0111;
                ret->st_ino = ino;
                return true;
        }
        if (!name)
                return false;
        stat_common(server, S_IFLNK, ret);
        ret->st_mode = S_IFLNK | 0777;
        ret->st_ino = link_inode_number(name);
        ret->st_size = strlen("../") + CAS_DIGEST_HEX;
        return true;
}

void fs_view_stat_asset(const struct fs_server *server, const struct cas_digest *digest,
                        uint64_t size, uint64_t blocks, struct stat *ret)
{
        stat_common(server, S_IFREG, ret);
        ret->st_ino = inode_number(digest->bytes);
        ret->st_size = (off_t)size;
        ret->st_blocks = (blkcnt_t)blocks;
}

/* What is always there. */
static const struct {
        fuse_ino_t parent;
        const char *name;
        fuse_ino_t ino;
        mode_t type;
} fixed[] = {
    {FUSE_ROOT_ID, "by-name", FS_BY_NAME, S_IFDIR},
    {FUSE_ROOT_ID, ".assetfs", FS_ABOUT, S_IFDIR},
    {FS_ABOUT, "status.json", FS_STATUS, S_IFREG},
    {FS_ABOUT, "metrics.prom", FS_METRICS, S_IFREG},
};

#define FIXED_COUNT (sizeof(fixed) / sizeof(fixed[0]))

fuse_ino_t fs_view_find(const struct fs_server *server, fuse_ino_t parent, const char *name)
{
        for (size_t i = 0; i < FIXED_COUNT; i++)
                if (fixed[i].parent == parent && strcmp(fixed[i].name, name) == 0)
                        return fixed[i].ino;
        if (parent != FS_BY_NAME)
                return 0;

        _cleanup_catalog_ struct fetch_catalog *catalog = fetch_catalogs_now(server->catalogs);
        int index = fetch_catalog_find_name(catalog, name);

        if (index < 0)
                return 0;
        return FS_LINK | (fuse_ino_t)fetch_catalog_epoch(catalog) << 32 | (fuse_ino_t)index;
}

void fs_view_readlink(fuse_req_t req, fuse_ino_t ino)
{
        const struct fs_server *server = fuse_req_userdata(req);
        _cleanup_catalog_ struct fetch_catalog *catalog = fetch_catalogs_now(server->catalogs);
        const struct fetch_name *name = link_name(catalog, ino);
        char target[sizeof("../") + CAS_DIGEST_HEX] = "../";

        if (!name) {
                fuse_reply_err(req, ino & FS_LINK ? ESTALE : EINVAL);
                return;
        }
        cas_digest_format(&name->asset->digest, target + strlen("../"));
        fuse_reply_readlink(req, target);
}

int fs_view_new(struct fs_view **ret)
{
        struct fs_view *view = calloc(1, sizeof(*view));

        if (!view)
                return -ENOMEM;
        pthread_mutex_init(&view->lock, NULL);
        *ret = view;
        return 0;
}

static void unref(struct fs_view *view, struct snapshot *snapshot)
{
        if (!snapshot)
                return;
        pthread_mutex_lock(&view->lock);

        bool last = --snapshot->references == 0;

        pthread_mutex_unlock(&view->lock);
        if (last) {
                free(snapshot->digests);
                free(snapshot);
        }
}

void fs_view_free(struct fs_view *view)
{
        if (!view)
                return;
        unref(view, view->latest);
        pthread_mutex_destroy(&view->lock);
        free(view);
}

static int add_digest(void *arg, const struct cas_digest *digest)
{
        struct snapshot *snapshot = arg;

        if (snapshot->count == snapshot->room) {
                size_t room = snapshot->room ? 2 * snapshot->room : 256;
                struct cas_digest *digests =
                    reallocarray(snapshot->digests, room, sizeof(*digests));

                if (!digests)
                        return -ENOMEM;
                snapshot->digests = digests;
                snapshot->room = room;
        }
        snapshot->digests[snapshot->count++] = *digest;
        return 0;
}

static int compare_digests(const void *a, const void *b)
{
        return cas_digest_compare(a, b);
}

/* Cached and catalogued, each once. */
static int fill_snapshot(const struct fs_server *server, struct snapshot *snapshot)
{
        _cleanup_catalog_ struct fetch_catalog *catalog = fetch_catalogs_now(server->catalogs);
        size_t kept = 0;
        int r = cas_store_list(server->store, add_digest, snapshot);

        for (size_t i = 0; r == 0 && i < fetch_catalog_asset_count(catalog); i++)
                r = add_digest(snapshot, &fetch_catalog_asset(catalog, i)->digest);
        if (r < 0)
                return r;
        if (snapshot->count > 0)
                qsort(snapshot->digests, snapshot->count, sizeof(*snapshot->digests),
                      compare_digests);
        for (size_t i = 0; i < snapshot->count; i++)
                if (kept == 0 ||
                    !cas_digest_equal(&snapshot->digests[kept - 1], &snapshot->digests[i]))
                        snapshot->digests[kept++] = snapshot->digests[i];
        snapshot->count = kept;
        return 0;
}

/* A new one for who begins, the latest for who goes on; the caller's reference. */
static int take_snapshot(struct fs_server *server, bool begins, struct snapshot **ret)
{
        struct fs_view *view = server->view;
        struct snapshot *old = NULL;

        pthread_mutex_lock(&view->lock);
        if (!begins && view->latest) {
                view->latest->references++;
                *ret = view->latest;
                pthread_mutex_unlock(&view->lock);
                return 0;
        }
        pthread_mutex_unlock(&view->lock);

        struct snapshot *fresh = calloc(1, sizeof(*fresh));
        int r = fresh ? fill_snapshot(server, fresh) : -ENOMEM;

        if (r < 0) {
                if (fresh)
                        free(fresh->digests);
                free(fresh);
                return r;
        }
        fresh->references = 2; /* the view's and the caller's */
        pthread_mutex_lock(&view->lock);
        old = view->latest;
        view->latest = fresh;
        pthread_mutex_unlock(&view->lock);
        unref(view, old);
        *ret = fresh;
        return 0;
}

void fs_view_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        if (!is_directory(ino))
                fuse_reply_err(req, ENOTDIR);
        else
                fuse_reply_open(req, fi); /* nothing is kept for it */
}

void fs_view_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        (void)ino, (void)fi;
        fuse_reply_err(req, 0);
}

/* Offsets: up to 6 they are behind ".", ".." and what is always there, or the first names. */
#define OFFSET_FIRST 7

/* Where reading goes on behind the entry: the first 63 bits of the digest, big-endian, so that
 * the order is the digests'. Two digests that share them may not be told apart; SHA-256 does
 * not make such pairs. */
static off_t offset_behind(const struct cas_digest *digest)
{
        uint64_t number = 0;

        for (size_t i = 0; i < sizeof(number); i++)
                number = number << 8 | digest->bytes[i];
        number >>= 1;
        return (off_t)(number < OFFSET_FIRST ? OFFSET_FIRST : number);
}

struct listing {
        fuse_req_t req;
        char *buffer;
        size_t size;
        size_t used;
};

/* false: it did not fit. */
static bool add_entry(struct listing *listing, const char *name, mode_t type, ino_t inode,
                      off_t behind)
{
        struct stat st = {.st_mode = type, .st_ino = inode};
        size_t room = listing->size - listing->used;
        size_t needed = fuse_add_direntry(listing->req, listing->buffer + listing->used, room, name,
                                          &st, behind);

        if (needed > room)
                return false;
        listing->used += needed;
        return true;
}

static bool add_dots(struct listing *listing, fuse_ino_t ino, off_t offset)
{
        return (offset >= 1 || add_entry(listing, ".", S_IFDIR, ino, 1)) &&
               (offset >= 2 || add_entry(listing, "..", S_IFDIR, FUSE_ROOT_ID, 2));
}

/* The entry behind offset i + 3 is fixed[i], in whichever directory it is. */
static bool add_fixed(struct listing *listing, fuse_ino_t ino, off_t offset)
{
        if (!add_dots(listing, ino, offset))
                return false;
        for (size_t i = 0; i < FIXED_COUNT; i++)
                if (fixed[i].parent == ino && offset < (off_t)i + 3 &&
                    !add_entry(listing, fixed[i].name, fixed[i].type, fixed[i].ino, (off_t)i + 3))
                        return false;
        return true;
}

static void list_names(const struct fs_server *server, struct listing *listing, off_t offset)
{
        _cleanup_catalog_ struct fetch_catalog *catalog = fetch_catalogs_now(server->catalogs);
        size_t count = fetch_catalog_name_count(catalog);

        if (!add_dots(listing, FS_BY_NAME, offset))
                return;
        for (size_t i = offset > 2 ? (size_t)offset - 2 : 0; i < count; i++) {
                const struct fetch_name *name = fetch_catalog_name(catalog, i);

                if (!add_entry(listing, name->name, S_IFLNK, link_inode_number(name), (off_t)i + 3))
                        return;
        }
}

/* The index of the first digest behind the offset. */
static size_t first_behind(const struct snapshot *snapshot, off_t offset)
{
        size_t low = 0;
        size_t high = snapshot->count;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (offset_behind(&snapshot->digests[middle]) <= offset)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static void list_root(const struct snapshot *snapshot, struct listing *listing, off_t offset)
{
        if (!add_fixed(listing, FUSE_ROOT_ID, offset))
                return;
        for (size_t i = offset < OFFSET_FIRST ? 0 : first_behind(snapshot, offset);
             i < snapshot->count; i++) {
                const struct cas_digest *digest = &snapshot->digests[i];
                char name[CAS_DIGEST_HEX + 1];

                cas_digest_format(digest, name);
                if (!add_entry(listing, name, S_IFREG, inode_number(digest->bytes),
                               offset_behind(digest)))
                        return;
        }
}

void fs_view_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
        struct fs_server *server = fuse_req_userdata(req);
        struct listing listing = {.req = req, .buffer = malloc(size), .size = size};
        struct snapshot *snapshot = NULL;
        int r = listing.buffer ? 0 : -ENOMEM;

        (void)fi;
        if (r == 0 && ino == FUSE_ROOT_ID)
                r = take_snapshot(server, offset == 0, &snapshot);
        if (r < 0)
                fuse_reply_err(req, fs_errno_of_disk(r));
        else if (ino == FUSE_ROOT_ID)
                list_root(snapshot, &listing, offset);
        else if (ino == FS_BY_NAME)
                list_names(server, &listing, offset);
        else
                add_fixed(&listing, ino, offset);
        if (r == 0)
                fuse_reply_buf(req, listing.buffer, listing.used);
        unref(server->view, snapshot);
        free(listing.buffer);
}
