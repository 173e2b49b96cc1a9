/*
 * Requests in the session memory. Knows the kernel's request header and which requests
 * there are; what they mean is libfuse's and fs/ops.c's business.
 */
#include "fs/journal.h"

#include "fetch/clock.h"
#include "fs/fuse_abi.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct fs_journal {
        struct fs_memory *memory;
        pthread_mutex_t lock;
        uint32_t free[FS_PARKED_MAX]; /* lock; a stack of slots below parked_used */
        uint32_t free_count;          /* lock */
};

/* The request that this thread handles. Reached from deep inside libfuse, which hands its
 * callers' context on to nobody, so it belongs to the thread. */
static _Thread_local struct {
        const void *request;
        struct fs_parked_slot *parked; /* NULL: not parked (yet) */
        bool replay;
        bool kept; /* parked again, or for the first time */
} current;

static struct fuse_in_header *header_of(void *request)
{
        return request;
}

/* The compiler must not move the stores of a slot over the one that makes it valid. */
static void set_length(void *request, uint32_t length)
{
        __atomic_store_n(&header_of(request)->len, length, __ATOMIC_RELEASE);
}

static uint32_t get_length(const void *request)
{
        return __atomic_load_n(&((const struct fuse_in_header *)request)->len, __ATOMIC_ACQUIRE);
}

int fs_journal_new(struct fs_memory *memory, struct fs_journal **ret)
{
        struct fs_journal *journal = calloc(1, sizeof(*journal));

        if (!journal)
                return -ENOMEM;
        journal->memory = memory;
        /* A page that is touched for the first time while we are being killed would fail the
         * kernel's copy, and the request with it. */
        for (unsigned thread = 0; thread < FS_THREADS; thread++)
                for (size_t at = 0; at < sizeof(memory->requests[thread]); at += 4096)
                        __atomic_fetch_or((uint8_t *)&memory->requests[thread] + at, 0,
                                          __ATOMIC_RELAXED);
        pthread_mutex_init(&journal->lock, NULL);
        *ret = journal;
        return 0;
}

void fs_journal_free(struct fs_journal *journal)
{
        if (!journal)
                return;
        pthread_mutex_destroy(&journal->lock);
        free(journal);
}

void *fs_journal_slot(struct fs_journal *journal, unsigned thread)
{
        return journal->memory->requests[thread].bytes;
}

static void take_out(void *request)
{
        set_length(request, 0);
}

static bool is_forget(const void *request)
{
        uint32_t opcode = ((const struct fuse_in_header *)request)->opcode;

        return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET;
}

static void handle_current(fs_journal_handler *handle, void *arg, void *request, uint32_t length)
{
        current.request = request;
        current.kept = false;
        handle(arg, request, length);
        current.request = NULL;
}

void fs_journal_handle(struct fs_journal *journal, unsigned thread, fs_journal_handler *handle,
                       void *arg)
{
        struct fs_memory *memory = journal->memory;
        void *request = memory->requests[thread].bytes;
        uint32_t length = get_length(request);

        if (length == 0)
                return;
        atomic_store(&memory->busy_since_ms[thread], fetch_now_ms());
        fs_kill_point(memory);
        if (is_forget(request))
                take_out(request); /* libfuse goes by `length` */
        fs_kill_point(memory);
        current.parked = NULL;
        current.replay = false;
        handle_current(handle, arg, request, length);
        fs_kill_point(memory);
        take_out(request);
        fs_kill_point(memory);
        atomic_store(&memory->busy_since_ms[thread], 0);
}

uint64_t fs_journal_unique(void)
{
        return ((const struct fuse_in_header *)current.request)->unique;
}

bool fs_journal_is_replay(void)
{
        return current.replay;
}

/* Under the lock. */
static struct fs_parked_slot *free_slot(struct fs_journal *journal)
{
        struct fs_memory *memory = journal->memory;
        uint32_t used = atomic_load(&memory->parked_used);

        if (journal->free_count > 0)
                return &memory->parked[journal->free[--journal->free_count]];
        if (used >= FS_PARKED_MAX)
                return NULL;
        atomic_store(&memory->parked_used, used + 1);
        return &memory->parked[used];
}

struct fs_parked_slot *fs_journal_park(struct fs_journal *journal, int64_t now_ms,
                                       int64_t deadline_ms)
{
        uint32_t length = get_length(current.request);

        current.kept = true;
        if (current.parked)
                return current.parked; /* replayed: it is where it was */
        if (length > FS_PARKED_BYTES)
                return NULL;
        pthread_mutex_lock(&journal->lock);

        struct fs_parked_slot *slot = free_slot(journal);

        pthread_mutex_unlock(&journal->lock);
        if (!slot)
                return NULL;
        fs_kill_point(journal->memory);
        memcpy(slot->bytes + sizeof(uint32_t), (const uint8_t *)current.request + sizeof(uint32_t),
               length - sizeof(uint32_t));
        slot->since_ms = now_ms;
        slot->deadline_ms = deadline_ms;
        slot->interrupted = 0;
        fs_kill_point(journal->memory);
        set_length(slot->bytes, length); /* the first field: the rest is there */
        fs_kill_point(journal->memory);
        return slot;
}

void fs_journal_unpark(struct fs_journal *journal, struct fs_parked_slot *slot)
{
        fs_kill_point(journal->memory);
        take_out(slot->bytes);
        fs_kill_point(journal->memory);
        pthread_mutex_lock(&journal->lock);
        journal->free[journal->free_count++] = (uint32_t)(slot - journal->memory->parked);
        pthread_mutex_unlock(&journal->lock);
}

/* Replay */

/*
 * Could the kernel have written this request? libfuse trusts the kernel, and not every
 * worker deserves that trust: what it left is looked at as far as libfuse will look.
 */
static bool is_sound(const struct fs_request_slot *slot)
{
        const struct fuse_in_header *header = (const void *)slot->bytes;
        uint32_t length = get_length(slot->bytes);
        const uint8_t *end = slot->bytes + length;
        size_t body;

        if (length < sizeof(*header) || length > FS_REQUEST_BYTES)
                return false;
        body = length - sizeof(*header);
        switch (header->opcode) {
        case FUSE_LOOKUP:
                return body > 0 && end[-1] == '\0';
        case FUSE_FORGET:
                return body >= sizeof(struct fuse_forget_in);
        case FUSE_BATCH_FORGET: {
                const struct fuse_batch_forget_in *forget = (const void *)(header + 1);

                return body >= sizeof(*forget) &&
                       forget->count <= (body - sizeof(*forget)) / sizeof(struct fuse_forget_one);
        }
        case FUSE_GETATTR:
                return body >= sizeof(struct fuse_getattr_in);
        case FUSE_OPEN:
        case FUSE_OPENDIR:
                return body >= sizeof(struct fuse_open_in);
        case FUSE_READ:
        case FUSE_READDIR:
                return body >= sizeof(struct fuse_read_in);
        case FUSE_RELEASE:
        case FUSE_RELEASEDIR:
                return body >= sizeof(struct fuse_release_in);
        case FUSE_GETXATTR:
        case FUSE_LISTXATTR:
                return body >= sizeof(struct fuse_getxattr_in) &&
                       (header->opcode == FUSE_LISTXATTR || end[-1] == '\0');
        case FUSE_INTERRUPT:
                return body >= sizeof(struct fuse_interrupt_in);
        case FUSE_READLINK:
        case FUSE_STATFS:
        case FUSE_DESTROY:
                return true;
        default:
                return false;
        }
}

static bool is_sound_parked(const struct fs_parked_slot *slot)
{
        const struct fuse_in_header *header = (const void *)slot->bytes;
        uint32_t length = get_length(slot->bytes);

        if (length > FS_PARKED_BYTES)
                return false;
        return (header->opcode == FUSE_OPEN &&
                length >= sizeof(*header) + sizeof(struct fuse_open_in)) ||
               (header->opcode == FUSE_GETATTR &&
                length >= sizeof(*header) + sizeof(struct fuse_getattr_in));
}

static bool is_parked(const struct fs_journal *journal, const void *request)
{
        const struct fs_memory *memory = journal->memory;
        uint64_t unique = ((const struct fuse_in_header *)request)->unique;
        uint32_t used = atomic_load(&memory->parked_used);

        for (uint32_t i = 0; i < used; i++) {
                const struct fuse_in_header *header = (const void *)memory->parked[i].bytes;

                if (get_length(header) != 0 && header->unique == unique)
                        return true;
        }
        return false;
}

/* A worker can die between parking a request and being done with it. */
static void take_out_doubles(struct fs_journal *journal)
{
        for (unsigned thread = 0; thread < FS_THREADS; thread++) {
                void *request = journal->memory->requests[thread].bytes;

                if (get_length(request) != 0 && is_parked(journal, request))
                        take_out(request);
        }
}

struct replay {
        struct fs_journal *journal;
        fs_journal_handler *handle;
        void (*refuse)(void *arg, uint64_t unique);
        void *arg;
        unsigned count;
};

static void replay_parked(struct replay *replay)
{
        struct fs_journal *journal = replay->journal;
        struct fs_memory *memory = journal->memory;
        uint32_t used = atomic_load(&memory->parked_used);

        for (uint32_t i = 0; i < used; i++) {
                struct fs_parked_slot *slot = &memory->parked[i];
                uint32_t length = get_length(slot->bytes);

                current.parked = slot;
                current.kept = false;
                replay->count += length != 0;
                if (length != 0 && is_sound_parked(slot))
                        handle_current(replay->handle, replay->arg, slot->bytes, length);
                else if (length != 0)
                        replay->refuse(replay->arg, header_of(slot->bytes)->unique);
                if (!current.kept)
                        fs_journal_unpark(journal, slot);
        }
        current.parked = NULL;
}

static void replay_one(struct replay *replay, struct fs_request_slot *slot)
{
        uint32_t length = get_length(slot->bytes);

        memset(slot->guard, 0, sizeof(slot->guard));
        replay->count++;
        if (!is_sound(slot)) {
                replay->refuse(replay->arg, header_of(slot->bytes)->unique);
                return;
        }
        if (is_forget(slot->bytes))
                take_out(slot->bytes);
        handle_current(replay->handle, replay->arg, slot->bytes, length);
}

/* What the threads had read. INTERRUPTs last: what they interrupt has to be there. */
static void replay_read(struct replay *replay, bool interrupts)
{
        for (unsigned thread = 0; thread < FS_THREADS; thread++) {
                struct fs_request_slot *slot = &replay->journal->memory->requests[thread];

                if (get_length(slot->bytes) == 0 ||
                    (header_of(slot->bytes)->opcode == FUSE_INTERRUPT) != interrupts)
                        continue;
                replay_one(replay, slot);
                take_out(slot->bytes);
        }
}

unsigned fs_journal_replay(struct fs_journal *journal, fs_journal_handler *handle,
                           void (*refuse)(void *arg, uint64_t unique), void *arg)
{
        struct replay replay = {journal, handle, refuse, arg, 0};

        if (atomic_load(&journal->memory->parked_used) > FS_PARKED_MAX)
                atomic_store(&journal->memory->parked_used, FS_PARKED_MAX);
        take_out_doubles(journal);
        current.replay = true;
        replay_parked(&replay);
        replay_read(&replay, false);
        replay_read(&replay, true);
        current.replay = false;
        for (unsigned thread = 0; thread < FS_THREADS; thread++)
                atomic_store(&journal->memory->busy_since_ms[thread], 0);
        return replay.count;
}
