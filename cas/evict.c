/*
 * Evicting. Deletes blobs, and nothing else of its own: staging and quarantine are swept by
 * those who know them.
 */
#include "cas/evict.h"

#include "cas/index.h"
#include "cas/io.h"
#include "cas/pins.h"
#include "cas/quarantine.h"
#include "cas/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BATCH   64  /* blobs that are looked at between two looks at the index */
#define AT_ONCE 256 /* blobs that are evicted under one hold of the lock of the pins */
#define ROUNDS  8   /* victims that were opened meanwhile are replaced so many times */

uint64_t cas_evict_idle_bytes(const struct cas_store *store)
{
        return cas_staging_idle_bytes(cas_store_ingest_dir(store)) +
               cas_quarantine_bytes(cas_store_quarantine_dir(store));
}

/*
 * Has anybody the file open, or mapped? The kernel knows: a write lease is had only by who is
 * alone with a file. It is given back at once; whoever opens the file meanwhile waits for that,
 * and the signal that tells us so is one that is ignored.
 */
static bool is_in_use(int dir, const char *hex)
{
        _cleanup_close_ int fd =
            openat(dir, hex, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC);

        if (fd < 0)
                return errno != ENOENT;
        if (fcntl(fd, F_SETSIG, SIGURG) < 0 || fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
                return errno == EAGAIN;
        fcntl(fd, F_SETLEASE, F_UNLCK);
        return false;
}

static bool may_go(const struct cas_store *store, const struct cas_digest *digest)
{
        char hex[CAS_DIGEST_HEX + 1];

        cas_digest_format(digest, hex);
        return cas_pins_has(cas_store_pins_dir(store), digest) == 0 &&
               !is_in_use(cas_store_blobs_dir(store), hex);
}

struct victims {
        struct cas_index_blob *blobs;
        size_t count;
        size_t room;
        uint64_t bytes;
};

static int add_victim(struct victims *victims, const struct cas_index_blob *blob)
{
        if (victims->count == victims->room) {
                size_t room = victims->room ? victims->room * 2 : BATCH;
                struct cas_index_blob *blobs = reallocarray(victims->blobs, room, sizeof(*blobs));

                if (!blobs)
                        return -ENOMEM;
                victims->blobs = blobs;
                victims->room = room;
        }
        victims->blobs[victims->count++] = *blob;
        victims->bytes += blob->bytes;
        return 0;
}

/* The oldest that may go, `most` of them, until they make `bytes` or there are no more. */
static int choose(struct cas_store *store, uint64_t bytes, size_t most, struct cas_evict_walk *walk,
                  struct victims *ret)
{
        struct cas_index_blob batch[BATCH];
        size_t count = BATCH;
        int r = 0;

        while (r == 0 && count == BATCH && ret->bytes < bytes && ret->count < most) {
                count = cas_index_oldest(cas_store_index(store), walk->begun ? &walk->last : NULL,
                                         batch, BATCH);
                for (size_t i = 0; r == 0 && i < count && ret->bytes < bytes && ret->count < most;
                     i++) {
                        walk->last = batch[i];
                        walk->begun = true;
                        /* One that takes nothing makes no room. */
                        if (batch[i].bytes > 0 && may_go(store, &batch[i].digest))
                                r = add_victim(ret, &batch[i]);
                }
        }
        return r;
}

/* false: it stays, somebody wants it after all. */
static bool evict(struct cas_store *store, const struct cas_index_blob *blob,
                  struct cas_freed *freed)
{
        const struct cas_room_hooks *hooks = &cas_store_room(store)->hooks;
        char hex[CAS_DIGEST_HEX + 1];

        if (hooks->let_go)
                hooks->let_go(hooks->arg, &blob->digest);
        /* In this order: who is no more in use has been noted by the index. */
        if (!may_go(store, &blob->digest) || !cas_index_is_as_before(cas_store_index(store), blob))
                return false;
        cas_digest_format(&blob->digest, hex);
        if (unlinkat(cas_store_blobs_dir(store), hex, 0) < 0 && errno != ENOENT)
                return false;
        cas_index_gone(cas_store_index(store), &blob->digest);
        freed->blobs++;
        freed->bytes += blob->bytes;
        if (hooks->evicted)
                hooks->evicted(hooks->arg, &blob->digest, blob->bytes,
                               blob->opened_ns / 1000000000);
        return true;
}

/* All of them, under the lock that pins are made under: not for longer than pins can wait. */
static int evict_all(struct cas_store *store, const struct victims *victims,
                     struct cas_freed *freed)
{
        for (size_t done = 0; done < victims->count;) {
                size_t end = done + AT_ONCE < victims->count ? done + AT_ONCE : victims->count;
                _cleanup_close_ int pins = cas_pins_lock_shared(cas_store_pins_dir(store));

                if (pins < 0)
                        return pins;
                for (; done < end; done++)
                        evict(store, &victims->blobs[done], freed);
        }
        return 0;
}

void cas_evict_idle(const struct cas_store *store, uint64_t bytes, struct cas_freed *freed)
{
        uint64_t before = cas_evict_idle_bytes(store);
        uint64_t quarantine = cas_quarantine_bytes(cas_store_quarantine_dir(store));
        uint64_t staging = before - quarantine;

        if (before == 0)
                return;
        cas_quarantine_sweep(cas_store_quarantine_dir(store), cas_evict_excess(quarantine, bytes),
                             time(NULL));
        if (bytes > quarantine)
                cas_staging_sweep(cas_store_ingest_dir(store),
                                  cas_evict_excess(staging, bytes - quarantine));
        freed->bytes += cas_evict_excess(before, cas_evict_idle_bytes(store));
}

int cas_evict_bytes(struct cas_store *store, uint64_t bytes, struct cas_freed *freed)
{
        uint64_t begun = freed->bytes;
        uint64_t idle = cas_evict_idle_bytes(store);
        int r = 0;

        for (int round = 0; r == 0 && freed->bytes - begun < bytes && round < ROUNDS; round++) {
                uint64_t left = bytes - (freed->bytes - begun);
                struct victims victims = {0};
                struct cas_evict_walk walk = {0};

                r = choose(store, cas_evict_excess(left, idle), SIZE_MAX, &walk, &victims);
                if (r == 0 && victims.bytes + idle < left)
                        r = -ENOSPC;
                if (r == 0 && idle > 0)
                        cas_evict_idle(store, left, freed);
                if (r == 0)
                        r = evict_all(store, &victims, freed);
                free(victims.blobs);
                idle = 0;
        }
        return freed->bytes - begun >= bytes ? 0 : r ? r : -ENOSPC;
}

int cas_evict_some(struct cas_store *store, uint64_t bytes, struct cas_evict_walk *walk,
                   struct cas_freed *freed)
{
        struct victims victims = {0};
        uint64_t idle = cas_evict_idle_bytes(store);
        int r = choose(store, cas_evict_excess(bytes, idle), AT_ONCE, walk, &victims);

        if (r == 0 && idle > 0)
                cas_evict_idle(store, bytes, freed);
        if (r == 0)
                r = evict_all(store, &victims, freed);
        if (r == 0)
                r = victims.count > 0;
        free(victims.blobs);
        return r;
}
