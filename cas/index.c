/*
 * The index of blobs: a map, and a list sorted by stamp. Reads one directory when it is told
 * to scan it, and touches nothing on the disk.
 */
#include "cas/index.h"

#include "cas/io.h"
#include "cas/map.h"
#include "cas/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

struct entry {
        struct cas_map_entry in_map;
        TAILQ_ENTRY(entry) in_order;
        int64_t opened_ns;
        uint64_t bytes;
        int64_t written_s; /* monotonic; when the stamp went to the disk last, as far as we know */
        uint32_t scan;     /* the last one that saw it, or that it was added under */
};

TAILQ_HEAD(order, entry);

struct cas_index {
        pthread_mutex_t scanning; /* held by who scans; outside of the lock */
        pthread_mutex_t lock;
        struct cas_map map; /* lock */
        struct order order; /* lock; the oldest first */
        uint64_t bytes;     /* lock */
        int64_t newest_ns;  /* lock */
        uint32_t scan;      /* lock; the number of the last scan that began */
        bool loaded;        /* lock */
};

static int64_t nanoseconds(const struct timespec *time)
{
        return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

static int64_t wall_ns(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return nanoseconds(&now);
}

static int64_t monotonic_s(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        return (int64_t)now.tv_sec;
}

/* Is what the disk says of it far from its stamp, or too long ago? (A clock that was set back
 * lets stamps hardly move.) */
static bool is_due(const struct entry *entry, int64_t atime_ns)
{
        int64_t behind_s = (entry->opened_ns - atime_ns) / 1000000000;

        return behind_s >= CAS_INDEX_WRITE_SECONDS || behind_s <= -CAS_INDEX_WRITE_SECONDS ||
               monotonic_s() - entry->written_s >= CAS_INDEX_WRITE_SECONDS;
}

/* When a blob with this atime would have been written by ourselves. */
static int64_t written_when(int64_t atime_ns, int64_t now_ns)
{
        int64_t ago_s = (now_ns - atime_ns) / 1000000000;

        return monotonic_s() -
               (ago_s < 0 || ago_s > CAS_INDEX_WRITE_SECONDS ? CAS_INDEX_WRITE_SECONDS : ago_s);
}

int cas_index_new(struct cas_index **ret)
{
        struct cas_index *index = calloc(1, sizeof(*index));

        if (!index || cas_map_init(&index->map) < 0) {
                free(index);
                return -ENOMEM;
        }
        pthread_mutex_init(&index->scanning, NULL);
        pthread_mutex_init(&index->lock, NULL);
        TAILQ_INIT(&index->order);
        *ret = index;
        return 0;
}

static struct entry *entry_of(struct cas_map_entry *in_map)
{
        return (struct entry *)(void *)((char *)in_map - offsetof(struct entry, in_map));
}

void cas_index_free(struct cas_index *index)
{
        struct cas_map_entry *in_map;

        if (!index)
                return;
        while ((in_map = cas_map_pop(&index->map)))
                free(entry_of(in_map));
        cas_map_destroy(&index->map);
        pthread_mutex_destroy(&index->lock);
        pthread_mutex_destroy(&index->scanning);
        free(index);
}

/* Locked. */
static struct entry *find(const struct cas_index *index, const struct cas_digest *digest)
{
        struct cas_map_entry *in_map = cas_map_find(&index->map, digest);

        return in_map ? entry_of(in_map) : NULL;
}

/* Locked. Where it stands in the order is the caller's. */
static void count_in(struct cas_index *index, struct entry *entry)
{
        cas_map_insert(&index->map, &entry->in_map);
        entry->scan = index->scan;
        index->bytes += entry->bytes;
        if (entry->opened_ns > index->newest_ns)
                index->newest_ns = entry->opened_ns;
}

/* Locked. */
static void set_bytes(struct cas_index *index, struct entry *entry, uint64_t bytes)
{
        index->bytes += bytes - entry->bytes;
        entry->bytes = bytes;
}

static uint64_t bytes_of(const struct stat *st)
{
        return (uint64_t)st->st_blocks * 512;
}

bool cas_index_opened(struct cas_index *index, const struct cas_digest *digest,
                      const struct stat *st, int64_t *ret_stamp_ns)
{
        int64_t now_ns = wall_ns();
        bool due = true;

        pthread_mutex_lock(&index->lock);

        struct entry *entry = find(index, digest);
        int64_t stamp_ns = now_ns > index->newest_ns ? now_ns : index->newest_ns + 1;

        if (entry) {
                TAILQ_REMOVE(&index->order, entry, in_order);
                set_bytes(index, entry, bytes_of(st));
        } else if ((entry = calloc(1, sizeof(*entry)))) {
                entry->in_map.digest = *digest;
                entry->bytes = bytes_of(st);
                entry->written_s = written_when(nanoseconds(&st->st_atim), now_ns);
                count_in(index, entry);
        }
        if (entry) {
                entry->opened_ns = stamp_ns;
                TAILQ_INSERT_TAIL(&index->order, entry, in_order);
                due = is_due(entry, nanoseconds(&st->st_atim));
        }
        index->newest_ns = stamp_ns;
        pthread_mutex_unlock(&index->lock);
        *ret_stamp_ns = stamp_ns;
        return due;
}

void cas_index_wrote(struct cas_index *index, const struct cas_digest *digest)
{
        pthread_mutex_lock(&index->lock);

        struct entry *entry = find(index, digest);

        if (entry)
                entry->written_s = monotonic_s();
        pthread_mutex_unlock(&index->lock);
}

/* Locked. */
static void drop(struct cas_index *index, struct entry *entry)
{
        cas_map_remove(&index->map, &entry->in_map);
        TAILQ_REMOVE(&index->order, entry, in_order);
        index->bytes -= entry->bytes;
        free(entry);
}

void cas_index_gone(struct cas_index *index, const struct cas_digest *digest)
{
        pthread_mutex_lock(&index->lock);

        struct entry *entry = find(index, digest);

        if (entry)
                drop(index, entry);
        pthread_mutex_unlock(&index->lock);
}

bool cas_index_is_loaded(struct cas_index *index)
{
        pthread_mutex_lock(&index->lock);

        bool loaded = index->loaded;

        pthread_mutex_unlock(&index->lock);
        return loaded;
}

struct cas_index_totals cas_index_total(struct cas_index *index)
{
        pthread_mutex_lock(&index->lock);

        struct cas_index_totals totals = {index->map.count, index->bytes};

        pthread_mutex_unlock(&index->lock);
        return totals;
}

/* Locked. The first in order that is newer than *after. */
static struct entry *first_after(const struct cas_index *index, const struct cas_index_blob *after)
{
        struct entry *entry;

        if (!after)
                return TAILQ_FIRST(&index->order);
        entry = find(index, &after->digest);
        if (entry && entry->opened_ns == after->opened_ns)
                return TAILQ_NEXT(entry, in_order);
        /* It was opened or dropped meanwhile. */
        TAILQ_FOREACH(entry, &index->order, in_order)
        if (entry->opened_ns > after->opened_ns)
                break;
        return entry;
}

size_t cas_index_oldest(struct cas_index *index, const struct cas_index_blob *after,
                        struct cas_index_blob *ret, size_t most)
{
        size_t count = 0;

        pthread_mutex_lock(&index->lock);
        for (const struct entry *entry = first_after(index, after); entry && count < most;
             entry = TAILQ_NEXT(entry, in_order))
                ret[count++] =
                    (struct cas_index_blob){entry->in_map.digest, entry->bytes, entry->opened_ns};
        pthread_mutex_unlock(&index->lock);
        return count;
}

bool cas_index_is_as_before(struct cas_index *index, const struct cas_index_blob *blob)
{
        pthread_mutex_lock(&index->lock);

        const struct entry *entry = find(index, &blob->digest);
        bool same = entry && entry->opened_ns == blob->opened_ns;

        pthread_mutex_unlock(&index->lock);
        return same;
}

/* What a scan has found, and not yet told the index. */
struct found {
        struct cas_index *index;
        int dir;
        const atomic_bool *cancelled;
        int64_t began_ns;
        struct entry **entries;
        size_t count;
        size_t room;
};

/* Is it in the index already? Then its size is brought up to date. */
static bool is_known(const struct found *found, const struct cas_digest *digest,
                     const struct stat *st)
{
        struct cas_index *index = found->index;

        pthread_mutex_lock(&index->lock);

        struct entry *entry = find(index, digest);

        if (entry) {
                entry->scan = index->scan;
                set_bytes(index, entry, bytes_of(st));
        }
        pthread_mutex_unlock(&index->lock);
        return entry;
}

static int make_space(struct found *found)
{
        size_t room = found->room ? found->room * 2 : 256;
        struct entry **entries;

        if (found->count < found->room)
                return 0;
        entries = reallocarray(found->entries, room, sizeof(*entries));
        if (!entries)
                return -ENOMEM;
        found->entries = entries;
        found->room = room;
        return 0;
}

static int find_file(void *arg, const struct cas_digest *digest)
{
        struct found *found = arg;
        char hex[CAS_DIGEST_HEX + 1];
        struct stat st;

        if (atomic_load(found->cancelled))
                return -ECANCELED;
        cas_digest_format(digest, hex);
        /* What went away meanwhile is not there. */
        if (fstatat(found->dir, hex, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
            st.st_uid != geteuid() || is_known(found, digest, &st))
                return 0;

        struct entry *entry = make_space(found) < 0 ? NULL : calloc(1, sizeof(*entry));

        if (!entry)
                return -ENOMEM;
        entry->in_map.digest = *digest;
        entry->bytes = bytes_of(&st);
        entry->opened_ns = nanoseconds(&st.st_atim);
        entry->written_s = written_when(entry->opened_ns, found->began_ns);
        found->entries[found->count++] = entry;
        return 0;
}

static int oldest_first(const void *a, const void *b)
{
        const struct entry *one = *(const struct entry *const *)a;
        const struct entry *other = *(const struct entry *const *)b;

        if (one->opened_ns != other->opened_ns)
                return one->opened_ns < other->opened_ns ? -1 : 1;
        return cas_digest_compare(&one->in_map.digest, &other->in_map.digest);
}

/* Sorted, and none of them in the future: those that are become the last moments before now. */
static void put_in_order(const struct found *found)
{
        qsort(found->entries, found->count, sizeof(struct entry *), oldest_first);
        for (size_t i = found->count; i-- > 0 && found->entries[i]->opened_ns > found->began_ns;)
                found->entries[i]->opened_ns = found->began_ns - (int64_t)(found->count - i);
}

/* Both are sorted: one walk. */
static void merge(const struct found *found)
{
        struct cas_index *index = found->index;

        pthread_mutex_lock(&index->lock);

        struct entry *next = TAILQ_FIRST(&index->order);

        for (size_t i = 0; i < found->count; i++) {
                struct entry *entry = found->entries[i];

                found->entries[i] = NULL;
                if (find(index, &entry->in_map.digest)) {
                        free(entry); /* opened while we scanned */
                        continue;
                }
                while (next && next->opened_ns < entry->opened_ns)
                        next = TAILQ_NEXT(next, in_order);
                if (next)
                        TAILQ_INSERT_BEFORE(next, entry, in_order);
                else
                        TAILQ_INSERT_TAIL(&index->order, entry, in_order);
                count_in(index, entry);
        }
        pthread_mutex_unlock(&index->lock);
}

/* The blobs that the scan has not seen, as far as there is memory. */
static size_t list_unseen(struct cas_index *index, struct cas_digest **ret)
{
        struct entry *entry;
        size_t count = 0;
        size_t filled = 0;

        pthread_mutex_lock(&index->lock);
        TAILQ_FOREACH(entry, &index->order, in_order)
        count += entry->scan != index->scan;
        *ret = count > 0 ? calloc(count, sizeof(**ret)) : NULL;
        TAILQ_FOREACH(entry, &index->order, in_order)
        if (*ret && entry->scan != index->scan)
                (*ret)[filled++] = entry->in_map.digest;
        pthread_mutex_unlock(&index->lock);
        return filled;
}

static void drop_what_is_gone(struct cas_index *index, int dir)
{
        struct cas_digest *unseen;
        size_t count = list_unseen(index, &unseen);

        for (size_t i = 0; i < count; i++) {
                char hex[CAS_DIGEST_HEX + 1];

                cas_digest_format(&unseen[i], hex);
                if (faccessat(dir, hex, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
                        cas_index_gone(index, &unseen[i]);
        }
        free(unseen);
}

int cas_index_scan(struct cas_index *index, int blobs_dir, const atomic_bool *cancelled)
{
        struct found found = {
            .index = index, .dir = blobs_dir, .cancelled = cancelled, .began_ns = wall_ns()};

        pthread_mutex_lock(&index->scanning);
        pthread_mutex_lock(&index->lock);
        index->scan++;
        pthread_mutex_unlock(&index->lock);

        int r = cas_store_list_dir(blobs_dir, find_file, &found);

        if (found.count > 0)
                put_in_order(&found);
        merge(&found); /* half a scan is better than none */
        free(found.entries);
        if (r == 0)
                drop_what_is_gone(index, blobs_dir);
        pthread_mutex_lock(&index->lock);
        index->loaded |= r != -ECANCELED;
        pthread_mutex_unlock(&index->lock);
        pthread_mutex_unlock(&index->scanning);
        return r;
}
