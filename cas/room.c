/*
 * The bounds: what is claimed, what is missing, and when it is worth evicting. Who goes, and
 * how, is cas/evict.c's.
 */
#include "cas/room.h"

#include "cas/evict.h"
#include "cas/index.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define MIN_ROOM      65536 /* bytes: what a directory or an attribute may want */
#define GIVEN_BACK_MS 500   /* within which a disk has what was deleted, on any load */
#define LOOK_MS       1     /* between two looks at it */

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
        bool counts_inodes;
        uint64_t free_inodes;
};

static int look_at_disk(const struct cas_store *store, struct disk *ret)
{
        struct statvfs disk;
        int r = cas_store_statvfs(store, &disk);

        if (r < 0)
                return r;
        ret->all = disk.f_blocks * disk.f_frsize;
        ret->free = disk.f_bavail * disk.f_frsize;
        ret->counts_inodes = disk.f_files > 0;
        ret->free_inodes = disk.f_favail;
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
        return cas_index_total(cas_store_index(store)).bytes + claimed +
               cas_evict_idle_bytes(store);
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
                over = cas_evict_excess(cas_room_used(store) + more, bounds->cache_size);
        if (keeps_free(bounds) && look_at_disk(store, &disk) == 0)
                below = cas_evict_excess(more + promised + free_wanted(bounds, &disk), disk.free);
        return over > below ? over : below;
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
        return bytes > 0 && cas_evict_bytes(store, bytes, freed) < 0 ? -ENOSPC : 0;
}

int cas_room_claim(struct cas_store *store, uint64_t *claim, uint64_t bytes)
{
        struct cas_room *room = cas_store_room(store);
        uint64_t more = cas_evict_excess(bytes, *claim);
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
        uint64_t less = cas_evict_excess(*claim, bytes);

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

/*
 * Whoever closed a file a moment ago may still hold its inode, and xfs frees in the background:
 * what was deleted comes to the disk a little later. What others take meanwhile never comes.
 */
static void wait_for_disk(const struct cas_store *store, uint64_t free, uint64_t inodes)
{
        const struct timespec moment = {.tv_nsec = LOOK_MS * 1000000L};
        struct disk disk;

        for (int ms = 0; ms < GIVEN_BACK_MS; ms += LOOK_MS) {
                if (look_at_disk(store, &disk) < 0 ||
                    (disk.free >= free && (!disk.counts_inodes || disk.free_inodes >= inodes)))
                        return;
                nanosleep(&moment, NULL);
        }
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
        wanted = error == -ENOSPC ? cas_evict_excess(bytes, disk.free) : bytes;
        if (wanted < MIN_ROOM)
                wanted = MIN_ROOM;
        if (wanted > disk.all ||
            (!gives_way(&room->bounds, &disk) && wanted > cas_evict_idle_bytes(store))) {
                r = error;
        } else {
                wait_for_index(store);
                r = cas_evict_bytes(store, wanted, &freed);
                if (r == 0 && error == -ENOSPC)
                        wait_for_disk(store, disk.free + wanted, disk.free_inodes + 1);
        }
        pthread_mutex_unlock(&room->evicting);
        return r < 0 ? error : 0;
}

/* Downloads may claim room between two helpings. How much has to go is asked once: what went
 * may come back to the disk later. */
static int trim(struct cas_store *store, const struct cas_bounds *bounds,
                const atomic_bool *cancelled, struct cas_freed *freed)
{
        struct cas_room *room = cas_store_room(store);
        uint64_t begun = freed->bytes;
        uint64_t bytes = missing(store, bounds ? bounds : &room->bounds, 0);
        struct cas_evict_walk walk = {0};
        int r = 1;

        while (r == 1 && freed->bytes - begun < bytes) {
                if (atomic_load(cancelled))
                        return -ECANCELED;
                pthread_mutex_lock(&room->evicting);
                r = cas_evict_some(store, bytes - (freed->bytes - begun), &walk, freed);
                pthread_mutex_unlock(&room->evicting);
        }
        return r < 0 ? r : 0;
}

int cas_room_trim(struct cas_store *store, const struct cas_bounds *bounds,
                  const atomic_bool *cancelled, struct cas_freed *ret)
{
        *ret = (struct cas_freed){0};
        return trim(store, bounds, cancelled, ret);
}

int cas_room_collect(struct cas_store *store, const struct cas_bounds *bounds,
                     const atomic_bool *cancelled, struct cas_freed *ret)
{
        int r = cas_store_scan(store, cancelled);

        *ret = (struct cas_freed){0};
        if (r < 0)
                return r;
        cas_evict_idle(store, UINT64_MAX, ret);
        return trim(store, bounds, cancelled, ret);
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
                 cas_evict_excess(cas_room_used(store) + bytes, bounds->cache_size) > 0)
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
