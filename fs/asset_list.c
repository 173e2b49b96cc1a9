/*
 * Lists of assets. What the cache tells is not asked of the mount: a hundred thousand cached
 * assets are listed in seconds. The rest is asked several at once, because each question
 * waits for an answer of another process.
 */
#include "fs/asset_list.h"

#include "cas/inventory.h"
#include "cas/io.h"
#include "fetch/thread.h"

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

#define THREADS 8
#define CHUNK   64 /* questions that a thread takes at a time */

struct questions {
        size_t count;
        atomic_size_t next;
        void (*ask)(void *arg, size_t index);
        void *arg;
};

static void *ask_some(void *arg)
{
        struct questions *questions = arg;
        size_t first;

        while ((first = atomic_fetch_add(&questions->next, CHUNK)) < questions->count)
                for (size_t i = first; i < first + CHUNK && i < questions->count; i++)
                        questions->ask(questions->arg, i);
        return NULL;
}

/* ask(arg, index) for all up to `count`, by as many threads as there are to be had. */
static void ask_all(size_t count, void (*ask)(void *arg, size_t index), void *arg)
{
        struct questions questions = {.count = count, .ask = ask, .arg = arg};
        pthread_t threads[THREADS];
        size_t started = 0;

        while (started < THREADS && started * CHUNK < count &&
               fetch_thread_start(&threads[started], ask_some, &questions) == 0)
                started++;
        ask_some(&questions);
        while (started > 0)
                pthread_join(threads[--started], NULL);
}

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

/* Calls each(arg, entry) for the entries of the open directory. */
static int read_entries(int dir_fd, int (*each)(void *arg, const char *entry), void *arg)
{
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
                r = each(arg, entry->d_name);
                if (r < 0)
                        break;
        }
        closedir(dir);
        return r;
}

static int add_entry(void *list, const char *entry)
{
        struct cas_digest digest;

        return cas_digest_parse(entry, strlen(entry), &digest) < 0 ? 0 : add_asset(list, &digest);
}

/* /by-name, in the order of the names. */
struct names {
        int dir;
        struct name {
                char *name;
                struct cas_digest digest;
                bool resolved;
        } * names;
        size_t count;
        size_t room;
};

static int add_name(void *arg, const char *entry)
{
        struct names *names = arg;

        if (entry[0] == '.' && strspn(entry, ".") == strlen(entry) && strlen(entry) <= 2)
                return 0;
        if (names->count == names->room) {
                size_t room = names->room ? 2 * names->room : 256;
                struct name *grown = reallocarray(names->names, room, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                names->names = grown;
                names->room = room;
        }
        names->names[names->count] = (struct name){.name = strdup(entry)};
        if (!names->names[names->count].name)
                return -ENOMEM;
        names->count++;
        return 0;
}

static void resolve_name(void *arg, size_t index)
{
        const struct names *names = arg;
        struct name *name = &names->names[index];
        char target[CAS_DIGEST_HEX + 16];
        ssize_t length = readlinkat(names->dir, name->name, target, sizeof(target));

        name->resolved =
            length > 3 && cas_digest_parse(target + 3, (size_t)length - 3, &name->digest) == 0;
}

/* The first name of a digest is the one that is shown. */
static void give_names(struct fs_asset_list *list, struct names *names)
{
        for (size_t i = 0; list->count > 0 && i < names->count; i++) {
                struct name *name = &names->names[i];
                struct fs_asset key = {.digest = name->digest};
                struct fs_asset *asset = name->resolved ? bsearch(&key, list->assets, list->count,
                                                                  sizeof(key), by_digest)
                                                        : NULL;

                if (asset && !asset->name) {
                        asset->name = name->name;
                        name->name = NULL;
                }
        }
}

static int look_up_names(struct fs_asset_list *list, int root)
{
        _cleanup_close_ int dir = openat(root, "by-name", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct names names = {.dir = dir};
        int r = dir < 0 ? -errno : read_entries(dir, add_name, &names);

        if (r == 0) {
                ask_all(names.count, resolve_name, &names);
                give_names(list, &names);
        }
        for (size_t i = 0; i < names.count; i++)
                free(names.names[i].name);
        free(names.names);
        return r;
}

struct look {
        struct fs_asset_list *list;
        int root;
        const struct cas_inventory *inventory; /* or NULL */
};

static void look_at(void *arg, size_t index)
{
        const struct look *look = arg;
        struct fs_asset *asset = &look->list->assets[index];
        int r = 0;

        if (!look->inventory || look_at_cache(look->inventory, asset) != CAS_VERIFIED)
                r = look_at_mount(look->root, asset);
        if (r < 0)
                snprintf(asset->state, sizeof(asset->state), "%s", r == -ENOENT ? "" : "unknown");
}

static void drop_gone(struct fs_asset_list *list)
{
        size_t kept = 0;

        for (size_t i = 0; i < list->count; i++) {
                if (list->assets[i].state[0])
                        list->assets[kept++] = list->assets[i];
                else
                        free(list->assets[i].name);
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
                r = read_entries(root, add_entry, ret);
        sort(ret);
        if (r == 0)
                r = look_up_names(ret, root);
        if (r < 0)
                return r;

        bool readable = cas_inventory_open(cache, &inventory) == 0;
        struct look look = {ret, root, readable ? &inventory : NULL};

        ask_all(ret->count, look_at, &look);
        drop_gone(ret);
        if (readable)
                cas_inventory_close(&inventory);
        return 0;
}
