/*
 * Lists of assets. What the cache tells is not asked of the mount, which would answer one
 * question at a time: a hundred thousand cached assets are listed in a second or two.
 */
#include "fs/asset_list.h"

#include "cas/inventory.h"
#include "cas/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define STATE "user.assetfs.state"

void fs_asset_list_free(struct fs_asset_list *list)
{
        for (size_t i = 0; i < list->count; i++)
                free(list->assets[i].name);
        free(list->assets);
        *list = (struct fs_asset_list){0};
}

static int add_asset(void *arg, const struct cas_digest *digest)
{
        struct fs_asset_list *list = arg;

        if (list->count == list->room) {
                size_t room = list->room ? 2 * list->room : 256;
                struct fs_asset *grown = reallocarray(list->assets, room, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                list->assets = grown;
                list->room = room;
        }
        list->assets[list->count++] = (struct fs_asset){.digest = *digest,
                                                        .size = FS_ASSET_UNKNOWN,
                                                        .opened = FS_ASSET_UNKNOWN,
                                                        .pinned = FS_ASSET_UNKNOWN,
                                                        .state = "unknown"};
        return 0;
}

static int by_digest(const void *left, const void *right)
{
        const struct fs_asset *a = left;
        const struct fs_asset *b = right;

        return cas_digest_compare(&a->digest, &b->digest);
}

static void sort(struct fs_asset_list *list)
{
        if (list->count > 0)
                qsort(list->assets, list->count, sizeof(*list->assets), by_digest);
}

/* What the cache says; the presence, or -errno. */
static int look_at_cache(const struct cas_inventory *inventory, struct fs_asset *asset)
{
        struct cas_inventory_blob blob;
        int r = cas_inventory_look(inventory, &asset->digest, &blob);

        if (r < 0)
                return r;
        asset->pinned = blob.pinned;
        if (blob.presence == CAS_ABSENT)
                return CAS_ABSENT;
        asset->size = (int64_t)blob.size;
        asset->opened = blob.opened;
        snprintf(asset->state, sizeof(asset->state), "%s",
                 blob.presence == CAS_VERIFIED ? "cached" : "unverified");
        return (int)blob.presence;
}

int fs_asset_list_cache(const char *cache, struct fs_asset_list *ret)
{
        struct cas_inventory inventory;
        size_t kept = 0;
        int r = cas_inventory_open(cache, &inventory);

        *ret = (struct fs_asset_list){0};
        if (r < 0)
                return r;
        r = cas_inventory_list(&inventory, add_asset, ret);
        sort(ret);
        for (size_t i = 0; r == 0 && i < ret->count; i++) {
                int presence = look_at_cache(&inventory, &ret->assets[i]);

                if (presence < 0)
                        r = presence;
                else if (presence != CAS_ABSENT) /* or it went meanwhile, or is none of ours */
                        ret->assets[kept++] = ret->assets[i];
        }
        if (r == 0)
                ret->count = kept;
        cas_inventory_close(&inventory);
        return r;
}

/* What the mount says. The size is the one that its lookup brings: to ask for more might ask
 * an origin. -ENOENT: it is no longer there. */
static int look_at_mount(int root, struct fs_asset *asset)
{
        char hex[CAS_DIGEST_HEX + 1];
        char path[64];
        struct statx stx;

        cas_digest_format(&asset->digest, hex);

        _cleanup_close_ int fd = openat(root, hex, O_PATH | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

        ssize_t length = getxattr(path, STATE, asset->state, sizeof(asset->state) - 1);

        if (length < 0)
                return -errno;
        asset->state[length] = '\0';
        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE, &stx) < 0)
                return -errno;
        /* 0 of what is not there: nobody knows yet. */
        if (stx.stx_size > 0 || strcmp(asset->state, "cached") == 0)
                asset->size = (int64_t)stx.stx_size;
        return 0;
}

/* Calls `each` for the entries of the directory `name` below `root`. */
static int read_entries(int root, const char *name, struct fs_asset_list *list,
                        int (*each)(struct fs_asset_list *, int dir, const char *entry))
{
        int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        int r = 0;

        if (!dir) {
                r = -errno;
                cas_io_close_at(&fd);
                return r;
        }
        for (;;) {
                errno = 0;

                const struct dirent *entry = readdir(dir);

                if (!entry) {
                        r = -errno;
                        break;
                }
                r = each(list, fd, entry->d_name);
                if (r < 0)
                        break;
        }
        closedir(dir);
        return r;
}

static int add_entry(struct fs_asset_list *list, int dir, const char *entry)
{
        struct cas_digest digest;

        (void)dir;
        return cas_digest_parse(entry, strlen(entry), &digest) < 0 ? 0 : add_asset(list, &digest);
}

/* /by-name is in the order of the names: the first one of a digest stays. */
static int add_name(struct fs_asset_list *list, int dir, const char *entry)
{
        char target[CAS_DIGEST_HEX + 16];
        ssize_t length = readlinkat(dir, entry, target, sizeof(target));
        struct fs_asset key = {.size = FS_ASSET_UNKNOWN};
        struct fs_asset *asset;

        if (length <= 3 || list->count == 0 ||
            cas_digest_parse(target + 3, (size_t)length - 3, &key.digest) < 0)
                return 0;
        asset = bsearch(&key, list->assets, list->count, sizeof(*list->assets), by_digest);
        if (!asset || asset->name)
                return 0;
        asset->name = strdup(entry);
        return asset->name ? 0 : -ENOMEM;
}

static void look_at_all(struct fs_asset_list *list, int root, const struct cas_inventory *inventory)
{
        size_t kept = 0;

        for (size_t i = 0; i < list->count; i++) {
                struct fs_asset *asset = &list->assets[i];
                bool cached = inventory && look_at_cache(inventory, asset) == CAS_VERIFIED;
                int r = cached ? 0 : look_at_mount(root, asset);

                if (r == -ENOENT) {
                        free(asset->name);
                        continue;
                }
                if (r < 0)
                        snprintf(asset->state, sizeof(asset->state), "unknown");
                list->assets[kept++] = *asset;
        }
        list->count = kept;
}

int fs_asset_list_mount(const char *mountpoint, const char *cache, struct fs_asset_list *ret)
{
        struct cas_inventory inventory;
        _cleanup_close_ int root = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = root < 0 ? -errno : 0;

        *ret = (struct fs_asset_list){0};
        if (r == 0)
                r = read_entries(root, ".", ret, add_entry);
        sort(ret);
        if (r == 0)
                r = read_entries(root, "by-name", ret, add_name);
        if (r < 0)
                return r;

        bool readable = cas_inventory_open(cache, &inventory) == 0;

        look_at_all(ret, root, readable ? &inventory : NULL);
        if (readable)
                cas_inventory_close(&inventory);
        return 0;
}
