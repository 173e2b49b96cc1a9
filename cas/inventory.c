/*
 * The blobs of a cache that somebody else has. Opens nothing for writing, takes no lock,
 * makes no directory; follows no link in the cache.
 */
#include "cas/inventory.h"

#include "cas/io.h"
#include "cas/pins.h"
#include "cas/record.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

int cas_inventory_open(const char *cache, struct cas_inventory *ret)
{
        _cleanup_close_ int root = open(cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int parent = root < 0 ? -1 : openat(root, "blobs", DIRECTORY);
        _cleanup_close_ int blobs = parent < 0 ? -1 : openat(parent, "sha256", DIRECTORY);
        struct stat st;

        if (blobs < 0 || fstat(root, &st) < 0)
                return -errno;
        ret->owner = st.st_uid;
        ret->blobs = cas_io_steal_fd(&blobs);
        ret->pins = openat(root, "pins", DIRECTORY);
        return 0;
}

void cas_inventory_close(struct cas_inventory *inventory)
{
        cas_io_close_at(&inventory->blobs);
        cas_io_close_at(&inventory->pins);
        *inventory = (struct cas_inventory){-1, -1, 0};
}

static bool is_blob(const struct cas_inventory *inventory, const struct stat *st)
{
        return S_ISREG(st->st_mode) && st->st_uid == inventory->owner;
}

int cas_inventory_look(const struct cas_inventory *inventory, const struct cas_digest *digest,
                       struct cas_inventory_blob *ret)
{
        char hex[CAS_DIGEST_HEX + 1];
        struct stat st;

        cas_digest_format(digest, hex);
        *ret = (struct cas_inventory_blob){.pinned = inventory->pins >= 0 &&
                                                     cas_pins_has(inventory->pins, digest) == 1};
        if (fstatat(inventory->blobs, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!is_blob(inventory, &st))
                return 0;

        _cleanup_close_ int fd =
            openat(inventory->blobs, hex, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0 || fstat(fd, &st) < 0)
                return errno == ENOENT || errno == ELOOP ? 0 : -errno;
        if (!is_blob(inventory, &st))
                return 0;
        ret->presence = cas_record_valid(fd, digest, &st) ? CAS_VERIFIED : CAS_UNVERIFIED;
        ret->size = (uint64_t)st.st_size;
        ret->opened = (int64_t)st.st_atim.tv_sec;
        return 0;
}

int cas_inventory_list(const struct cas_inventory *inventory,
                       int (*each)(void *arg, const struct cas_digest *), void *arg)
{
        return cas_store_list_dir(inventory->blobs, each, arg);
}
