/*
 * The directories of a claimed cache: make what is missing, sweep staging and
 * quarantine that are stale. May touch only what the layout names; other things that lie in the
 * cache (lost+found, a stray file) are left alone.
 */
#include "cas/layout.h"

#include "cas/io.h"
#include "cas/quarantine.h"
#include "cas/record.h"
#include "cas/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_directory(int root, const char *name, char why[CAS_WHY])
{
        int fd = -1;

        if (mkdirat(root, name, 0700) == 0 || errno == EEXIST || errno == EROFS)
                fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return cas_why(-errno, why, "cannot open %s in the cache: %s", name,
                               strerror(errno));
        return fd;
}

/* Does the file system keep the attributes that records are? Read-only, nothing is written. */
static int probe(int lock, char why[CAS_WHY])
{
        int r = cas_record_probe(lock);

        if (r == 0 || r == -ENOSPC || r == -EDQUOT || r == -EROFS || r == -EBADF)
                return 0;
        return cas_why(
            r, why, "the cache's file system keeps no extended attributes (%s); choose another one",
            strerror(-r));
}

static int open_all(const struct cas_claim *claim, struct cas_layout *layout, char why[CAS_WHY])
{
        int r = probe(claim->lock, why);
        _cleanup_close_ int parent = r < 0 ? r : open_directory(claim->root, "blobs", why);

        if (parent < 0)
                return parent;
        if ((layout->pins = open_directory(claim->root, "pins", why)) < 0)
                return layout->pins;
        if ((layout->blobs = open_directory(parent, "sha256", why)) < 0)
                return layout->blobs;
        if ((layout->ingest = open_directory(claim->root, "ingest", why)) < 0)
                return layout->ingest;
        if ((layout->quarantine = open_directory(claim->root, "quarantine", why)) < 0)
                return layout->quarantine;
        cas_staging_sweep(layout->ingest, CAS_STAGING_KEEP_BYTES);
        cas_quarantine_sweep(layout->quarantine, CAS_QUARANTINE_BYTES, time(NULL));
        return 0;
}

/* Under its name, in `parent`: the very directory that `fd` is? */
static bool stands(int parent, const char *name, int fd)
{
        struct stat held;
        struct stat named;

        return fstat(fd, &held) == 0 && fstatat(parent, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
               held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

/* The new directory takes the descriptor's number: who uses it meanwhile has one or the other. */
static int mend_one(int parent, const char *name, int fd)
{
        char why[CAS_WHY];

        if (stands(parent, name, fd))
                return 0;

        _cleanup_close_ int made = open_directory(parent, name, why);

        if (made < 0)
                return made;
        return dup3(made, fd, O_CLOEXEC) < 0 ? -errno : 0;
}

int cas_layout_mend(const struct cas_layout *layout)
{
        int root = layout->claim.root;
        char why[CAS_WHY];
        _cleanup_close_ int parent = open_directory(root, "blobs", why);
        int r = parent < 0 ? parent : mend_one(parent, "sha256", layout->blobs);

        if (r == 0)
                r = mend_one(root, "ingest", layout->ingest);
        if (r == 0)
                r = mend_one(root, "pins", layout->pins);
        if (r == 0)
                r = mend_one(root, "quarantine", layout->quarantine);
        return r;
}

int cas_layout_open(const struct cas_claim *claim, struct cas_layout *ret, char why[CAS_WHY])
{
        struct cas_layout layout = {*claim, -1, -1, -1, -1};
        int r = open_all(claim, &layout, why);

        if (r < 0) {
                layout.claim = (struct cas_claim){-1, -1}; /* stays the caller's */
                cas_layout_close(&layout);
                return r;
        }
        *ret = layout;
        return 0;
}

void cas_layout_close(struct cas_layout *layout)
{
        cas_io_close_at(&layout->pins);
        cas_io_close_at(&layout->quarantine);
        cas_io_close_at(&layout->ingest);
        cas_io_close_at(&layout->blobs);
        cas_claim_release(&layout->claim);
}
