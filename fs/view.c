/*
 * Directories and links. Asks the store and the catalog, never the network: `ls`
 * waits for nobody.
 */
#include "fs/view.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODE 0555 /* less the umask; never a setuid or write bit */

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
 * Small numbers are left to the root and /by-name. */
static ino_t inode_number(const uint8_t *bytes)
{
        uint64_t number;

        memcpy(&number, bytes, sizeof(number));
        return number > FS_BY_NAME ? number : number + FS_BY_NAME + 1;
}

static ino_t link_inode_number(const struct fetch_name *name)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

        for (const char *c = name->name; *c; c++)
                hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
        return inode_number((const uint8_t *)&hash);
}

static const struct fetch_name *link_name(const struct fs_server *server, fuse_ino_t ino)
{
        uint64_t index = ino & ~FS_LINK;

        if (!(ino & FS_LINK) || index >= fetch_catalog_name_count(server->catalog))
                return NULL;
        return fetch_catalog_name(server->catalog, index);
}

bool fs_view_stat(const struct fs_server *server, fuse_ino_t ino, struct stat *ret)
{
        const struct fetch_name *name = link_name(server, ino);

        if (ino == FUSE_ROOT_ID || ino == FS_BY_NAME) {
                stat_common(server, S_IFDIR, ret);
                ret->st_ino = ino;
                ret->st_nlink = ino == FUSE_ROOT_ID ? 3 : 2;
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

fuse_ino_t fs_view_find_name(const struct fs_server *server, const char *name)
{
        int index = fetch_catalog_find_name(server->catalog, name);

        return index < 0 ? 0 : FS_LINK | (fuse_ino_t)index;
}

void fs_view_readlink(fuse_req_t req, fuse_ino_t ino)
{
        const struct fetch_name *name = link_name(fuse_req_userdata(req), ino);
        char target[sizeof("../") + CAS_DIGEST_HEX] = "../";

        if (!name) {
                fuse_reply_err(req, EINVAL);
                return;
        }
        cas_digest_format(&name->asset->digest, target + strlen("../"));
        fuse_reply_readlink(req, target);
}

/* What one open directory shows: taken at its opening and again at a rewind, so that a
 * listing neither skips nor doubles anything while assets arrive. */
struct listing {
        pthread_mutex_t lock;
        struct cas_digest *digests; /* lock; sorted; the root's only */
        size_t count;               /* lock */
        size_t room;
};

static int add_digest(void *arg, const struct cas_digest *digest)
{
        struct listing *listing = arg;

        if (listing->count == listing->room) {
                size_t room = listing->room ? 2 * listing->room : 256;
                struct cas_digest *digests = reallocarray(listing->digests, room, sizeof(*digests));

                if (!digests)
                        return -ENOMEM;
                listing->digests = digests;
                listing->room = room;
        }
        listing->digests[listing->count++] = *digest;
        return 0;
}

static int compare_digests(const void *a, const void *b)
{
        return cas_digest_compare(a, b);
}

/* Cached and catalogued, each once. */
static int take_listing(const struct fs_server *server, struct listing *listing)
{
        size_t kept = 0;

        listing->count = 0;

        int r = cas_store_list(server->store, add_digest, listing);

        for (size_t i = 0; r == 0 && i < fetch_catalog_asset_count(server->catalog); i++)
                r = add_digest(listing, &fetch_catalog_asset(server->catalog, i)->digest);
        if (r < 0)
                return r;
        if (listing->count > 0)
                qsort(listing->digests, listing->count, sizeof(*listing->digests), compare_digests);
        for (size_t i = 0; i < listing->count; i++)
                if (kept == 0 ||
                    !cas_digest_equal(&listing->digests[kept - 1], &listing->digests[i]))
                        listing->digests[kept++] = listing->digests[i];
        listing->count = kept;
        return 0;
}

static void free_listing(struct listing *listing)
{
        pthread_mutex_destroy(&listing->lock);
        free(listing->digests);
        free(listing);
}

void fs_view_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        struct listing *listing;

        if (ino != FUSE_ROOT_ID && ino != FS_BY_NAME) {
                fuse_reply_err(req, ENOTDIR);
                return;
        }
        listing = calloc(1, sizeof(*listing));
        if (!listing) {
                fuse_reply_err(req, ENOMEM);
                return;
        }
        pthread_mutex_init(&listing->lock, NULL);
        fi->fh = (uintptr_t)listing;
        if (fuse_reply_open(req, fi) == -ENOENT)
                free_listing(listing);
}

/* Entry number `index` of the directory; false after the last one. */
static bool entry_at(const struct fs_server *server, fuse_ino_t ino, const struct listing *listing,
                     size_t index, char name[NAME_MAX + 1], struct stat *ret)
{
        static const char *const dots[] = {".", ".."};

        *ret = (struct stat){.st_mode = S_IFDIR, .st_ino = FUSE_ROOT_ID};
        if (index < 2) {
                snprintf(name, NAME_MAX + 1, "%s", dots[index]);
                if (index == 0)
                        ret->st_ino = ino;
                return true;
        }
        index -= 2;
        if (ino == FS_BY_NAME) {
                if (index >= fetch_catalog_name_count(server->catalog))
                        return false;

                const struct fetch_name *found = fetch_catalog_name(server->catalog, index);

                snprintf(name, NAME_MAX + 1, "%s", found->name);
                *ret = (struct stat){.st_mode = S_IFLNK, .st_ino = link_inode_number(found)};
                return true;
        }
        if (index == 0) {
                snprintf(name, NAME_MAX + 1, "by-name");
                ret->st_ino = FS_BY_NAME;
                return true;
        }
        index--;
        if (index >= listing->count)
                return false;
        cas_digest_format(&listing->digests[index], name);
        *ret = (struct stat){.st_mode = S_IFREG,
                             .st_ino = inode_number(listing->digests[index].bytes)};
        return true;
}

/* Fills `buffer` from entry `index` on; the number of bytes. */
static size_t fill(fuse_req_t req, fuse_ino_t ino, const struct listing *listing, size_t index,
                   char *buffer, size_t size)
{
        const struct fs_server *server = fuse_req_userdata(req);
        char name[NAME_MAX + 1];
        struct stat st;
        size_t used = 0;

        while (entry_at(server, ino, listing, index, name, &st)) {
                size_t needed =
                    fuse_add_direntry(req, buffer + used, size - used, name, &st, (off_t)index + 1);

                if (needed > size - used)
                        break;
                used += needed;
                index++;
        }
        return used;
}

void fs_view_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
        const struct fs_server *server = fuse_req_userdata(req);
        struct listing *listing = (struct listing *)(uintptr_t)fi->fh;
        char *buffer = malloc(size);
        size_t used = 0;
        int r = buffer ? 0 : -ENOMEM;

        pthread_mutex_lock(&listing->lock);
        if (r == 0 && offset == 0 && ino == FUSE_ROOT_ID)
                r = take_listing(server, listing);
        if (r == 0)
                used = fill(req, ino, listing, (size_t)offset, buffer, size);
        pthread_mutex_unlock(&listing->lock);

        if (r < 0)
                fuse_reply_err(req, fs_errno_of_disk(r));
        else
                fuse_reply_buf(req, buffer, used);
        free(buffer);
}

void fs_view_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        (void)ino;
        free_listing((struct listing *)(uintptr_t)fi->fh);
        fuse_reply_err(req, 0);
}
