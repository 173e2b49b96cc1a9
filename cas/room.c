/*
 * Making room. Deletes blobs, and nothing else of its own: staging and quarantine are swept
 * by those who know them.
 */
#include "cas/room.h"

#include "cas/index.h"
#include "cas/io.h"
#include "cas/pins.h"
#include "cas/quarantine.h"
#include "cas/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH    64    /* blobs that are looked at between two looks at the index */
#define AT_ONCE  256   /* blobs that are evicted under one hold of the locks */
#define ROUNDS   8     /* victims that were opened meanwhile are replaced so many times */
#define MIN_ROOM 65536 /* bytes: what a directory or an attribute may want */

void cas_room_init(struct cas_room *room)
{
        pthread_mutex_init(&room->evicting, NULL);
        pthread_mutex_init(&room->lock, NULL);
        room->bounds = (struct cas_bounds){.cache_size = CAS_SIZE_UNLIMITED};
}

void cas_room_destroy(struct cas_room *room)
{
        pthread_mutex_destroy(&room->lock);
        pthread_mutex_destroy(&room->evicting);
}

void cas_room_set(struct cas_store *store, const struct cas_bounds *bounds,
                  const struct cas_room_hooks *hooks)
{
        struct cas_room *room = cas_store_room(store);

        room->bounds = *bounds;
        if (hooks)
                room->hooks = *hooks;
}

struct disk {
        uint64_t all;
        uint64_t free; /* for us */
};

static int look_at_disk(const struct cas_store *store, struct disk *ret)
{
        struct statvfs disk;
        int r = cas_store_statvfs(store, &disk);

        if (r < 0)
                return r;
        ret->all = disk.f_blocks * disk.f_frsize;
        ret->free = disk.f_bavail * disk.f_frsize;
        return 0;
}

static bool keeps_free(const struct cas_bounds *bounds)
{
        return bounds->keep_free > 0 || bounds->keep_free_percent > 0;
}

static bool is_bound(const struct cas_bounds *bounds)
{
        return bounds->cache_size != CAS_SIZE_UNLIMITED || keeps_free(bounds);
}

static uint64_t free_wanted(const struct cas_bounds *bounds, const struct disk *disk)
{
        return bounds->keep_free_percent > 0 ? disk->all / 100 * bounds->keep_free_percent
                                             : bounds->keep_free;
}

uint64_t cas_room_keep_free(const struct cas_store *store)
{
        const struct cas_bounds *bounds = &cas_store_room_of(store)->bounds;
        struct disk disk;

        return keeps_free(bounds) && look_at_disk(store, &disk) == 0 ? free_wanted(bounds, &disk)
                                                                     : 0;
}

uint64_t cas_room_cache_size(const struct cas_store *store)
{
        return cas_store_room_of(store)->bounds.cache_size;
}

/* What lies there without being a blob, or being written. */
static uint64_t idle_bytes(const struct cas_store *store)
{
        return cas_staging_idle_bytes(cas_store_ingest_dir(store)) +
               cas_quarantine_bytes(cas_store_quarantine_dir(store));
}

static void look_at_claims(struct cas_room *room, uint64_t *ret_claimed, uint64_t *ret_promised)
{
        pthread_mutex_lock(&room->lock);
        *ret_claimed = room->claimed;
        *ret_promised = room->promised;
        pthread_mutex_unlock(&room->lock);
}

uint64_t cas_room_used(struct cas_store *store)
{
        uint64_t claimed;
        uint64_t promised;

        look_at_claims(cas_store_room(store), &claimed, &promised);
        return cas_index_total(cas_store_index(store)).bytes + claimed + idle_bytes(store);
}

static uint64_t excess(uint64_t want, uint64_t have)
{
        return want > have ? want - have : 0;
}

/* What has to go so that `more` bytes are within the bounds. */
static uint64_t missing(struct cas_store *store, const struct cas_bounds *bounds, uint64_t more)
{
        uint64_t claimed;
        uint64_t promised;
        uint64_t over = 0;
        uint64_t below = 0;
        struct disk disk;

        look_at_claims(cas_store_room(store), &claimed, &promised);
        if (bounds->cache_size != CAS_SIZE_UNLIMITED)
                over = excess(cas_room_used(store) + more, bounds->cache_size);
        if (keeps_free(bounds) && look_at_disk(store, &disk) == 0)
                below = excess(more + promised + free_wanted(bounds, &disk), disk.free);
        return over > below ? over : below;
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

/* Where a look at the index has got to. */
struct walk {
        struct cas_index_blob last;
        bool begun;
};

/* The oldest that may go, `most` of them, until they make `bytes` or there are no more. */
static int choose(struct cas_store *store, uint64_t bytes, size_t most, struct walk *walk,
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

/* What nobody is writing, as much of it as is needed. */
static void sweep(const struct cas_store *store, uint64_t bytes, struct cas_freed *freed)
{
        uint64_t before = idle_bytes(store);
        uint64_t quarantine = cas_quarantine_bytes(cas_store_quarantine_dir(store));
        uint64_t staging = before - quarantine;

        if (before == 0)
                return;
        cas_quarantine_sweep(cas_store_quarantine_dir(store), excess(quarantine, bytes),
                             time(NULL));
        if (bytes > quarantine)
                cas_staging_sweep(cas_store_ingest_dir(store), excess(staging, bytes - quarantine));
        freed->bytes += excess(before, idle_bytes(store));
}

/* So many bytes, or nothing. Evicting is held. */
static int free_bytes(struct cas_store *store, uint64_t bytes, struct cas_freed *freed)
{
        uint64_t begun = freed->bytes;
        uint64_t idle = idle_bytes(store);
        int r = 0;

        for (int round = 0; r == 0 && freed->bytes - begun < bytes && round < ROUNDS; round++) {
                uint64_t left = bytes - (freed->bytes - begun);
                struct victims victims = {0};
                struct walk walk = {0};

                r = choose(store, excess(left, idle), SIZE_MAX, &walk, &victims);
                if (r == 0 && victims.bytes + idle < left)
                        r = -ENOSPC;
                if (r == 0 && idle > 0)
                        sweep(store, left, freed);
                if (r == 0)
                        r = evict_all(store, &victims, freed);
                free(victims.blobs);
                idle = 0;
        }
        return freed->bytes - begun >= bytes ? 0 : r ? r : -ENOSPC;
}

/* Whose scan it is does not matter: before it ends nobody knows what is old. */
static void wait_for_index(struct cas_store *store)
{
        const struct timespec moment = {.tv_nsec = 5000000};

        while (!cas_index_is_loaded(cas_store_index(store)) && cas_store_has_keeper(store))
                nanosleep(&moment, NULL);
}

static int make_room(struct cas_store *store, uint64_t more, struct cas_freed *freed)
{
        const struct cas_bounds *bounds = &cas_store_room(store)->bounds;
        uint64_t bytes;

        if (more > bounds->cache_size)
                return -ENOSPC;
        wait_for_index(store);
        bytes = missing(store, bounds, more);
        /* Whatever kept it from going: there is no room. */
        return bytes > 0 && free_bytes(store, bytes, freed) < 0 ? -ENOSPC : 0;
}

int cas_room_claim(struct cas_store *store, uint64_t *claim, uint64_t bytes)
{
        struct cas_room *room = cas_store_room(store);
        uint64_t more = excess(bytes, *claim);
        struct cas_freed freed = {0};
        int r = 0;

        if (more == 0)
                return 0;
        pthread_mutex_lock(&room->evicting);
        if (is_bound(&room->bounds))
                r = make_room(store, more, &freed);
        if (r == 0) {
                pthread_mutex_lock(&room->lock);
                room->claimed += more;
                room->promised += more;
                pthread_mutex_unlock(&room->lock);
                *claim += more;
        }
        pthread_mutex_unlock(&room->evicting);
        return r;
}

void cas_room_settled(struct cas_store *store, uint64_t bytes)
{
        struct cas_room *room = cas_store_room(store);

        pthread_mutex_lock(&room->lock);
        room->promised -= bytes;
        pthread_mutex_unlock(&room->lock);
}

void cas_room_shrink(struct cas_store *store, uint64_t *claim, uint64_t bytes)
{
        struct cas_room *room = cas_store_room(store);
        uint64_t less = excess(*claim, bytes);

        pthread_mutex_lock(&room->lock);
        room->claimed -= less;
        pthread_mutex_unlock(&room->lock);
        *claim -= less;
}

void cas_room_publish(struct cas_store *store, uint64_t *claim, const struct cas_digest *digest,
                      const struct stat *st)
{
        struct cas_room *room = cas_store_room(store);
        int64_t stamp_ns;

        /* Who makes room must not see it twice, or not at all. */
        pthread_mutex_lock(&room->evicting);
        cas_index_opened(cas_store_index(store), digest, st, &stamp_ns);
        cas_room_shrink(store, claim, 0);
        pthread_mutex_unlock(&room->evicting);
}

/* May blobs go for a disk that is full although the cache is within its size? */
static bool gives_way(const struct cas_bounds *bounds, const struct disk *disk)
{
        return bounds->cache_size >= disk->all || keeps_free(bounds);
}

int cas_room_give_way(struct cas_store *store, uint64_t bytes, int error)
{
        struct cas_room *room = cas_store_room(store);
        struct cas_freed freed = {0};
        struct disk disk;
        uint64_t wanted;
        int r;

        if (look_at_disk(store, &disk) < 0)
                return error;
        pthread_mutex_lock(&room->evicting);
        /* Of a quota, or of what is no data, the disk's free blocks tell nothing. */
        wanted = error == -ENOSPC ? excess(bytes, disk.free) : bytes;
        if (wanted < MIN_ROOM)
                wanted = MIN_ROOM;
        if (wanted > disk.all || (!gives_way(&room->bounds, &disk) && wanted > idle_bytes(store))) {
                r = error;
        } else {
                wait_for_index(store);
                r = free_bytes(store, wanted, &freed);
        }
        pthread_mutex_unlock(&room->evicting);
        return r < 0 ? error : 0;
}

/* One helping of `bytes`. 1: there may be more to go, 0: there is not, or -errno. */
static int trim_some(struct cas_store *store, uint64_t bytes, struct walk *walk,
                     struct cas_freed *freed)
{
        struct victims victims = {0};
        uint64_t idle = idle_bytes(store);
        int r = choose(store, excess(bytes, idle), AT_ONCE, walk, &victims);

        if (r == 0 && idle > 0)
                sweep(store, bytes, freed);
        if (r == 0)
                r = evict_all(store, &victims, freed);
        if (r == 0)
                r = victims.count > 0;
        free(victims.blobs);
        return r;
}

/* Downloads may claim room between two helpings. How much has to go is asked once: what went
 * may come back to the disk later. */
static int trim(struct cas_store *store, const struct cas_bounds *bounds, struct cas_freed *freed)
{
        struct cas_room *room = cas_store_room(store);
        uint64_t begun = freed->bytes;
        uint64_t bytes = missing(store, bounds ? bounds : &room->bounds, 0);
        struct walk walk = {0};
        int r = 1;

        while (r == 1 && freed->bytes - begun < bytes) {
                pthread_mutex_lock(&room->evicting);
                r = trim_some(store, bytes - (freed->bytes - begun), &walk, freed);
                pthread_mutex_unlock(&room->evicting);
        }
        return r < 0 ? r : 0;
}

int cas_room_trim(struct cas_store *store, const struct cas_bounds *bounds, struct cas_freed *ret)
{
        *ret = (struct cas_freed){0};
        return trim(store, bounds, ret);
}

int cas_room_collect(struct cas_store *store, const struct cas_bounds *bounds,
                     const atomic_bool *cancelled, struct cas_freed *ret)
{
        int r = cas_store_scan(store, cancelled);

        *ret = (struct cas_freed){0};
        if (r < 0)
                return r;
        sweep(store, UINT64_MAX, ret);
        return trim(store, bounds, ret);
}

void cas_room_words(struct cas_store *store, uint64_t bytes, char why[CAS_WHY])
{
        const struct cas_bounds *bounds = &cas_store_room(store)->bounds;
        struct disk disk;

        why[0] = '\0';
        if (look_at_disk(store, &disk) < 0)
                return;
        if (bytes > bounds->cache_size)
                snprintf(why, CAS_WHY,
                         "the asset is larger than the cache may be (%" PRIu64 " bytes)",
                         bounds->cache_size);
        else if (bounds->cache_size != CAS_SIZE_UNLIMITED &&
                 excess(cas_room_used(store) + bytes, bounds->cache_size) > 0)
                snprintf(why, CAS_WHY,
                         "of the %" PRIu64 " bytes that the cache may be, what is pinned, open or "
                         "being downloaded leaves too few",
                         bounds->cache_size);
        else if (keeps_free(bounds))
                snprintf(why, CAS_WHY,
                         "%" PRIu64 " bytes of the disk are to stay free, and what is left of the "
                         "cache is pinned or open",
                         free_wanted(bounds, &disk));
        else if (!gives_way(bounds, &disk))
                snprintf(why, CAS_WHY,
                         "others fill the disk: the cache keeps what its size allows, for lack of "
                         "--keep-free");
}
