/*
 * The window: a ring of slots, a lock, a condition. Knows nothing of who fills it.
 */
#include "fetch/window.h"

#include "fetch/clock.h"

#include <string.h>
#include <time.h>

/* The client's callback; the slot is the pool's already. */
static void on_freed(void *arg)
{
        struct fetch_window *window = arg;

        pthread_mutex_lock(&window->lock);
        if (window->freed)
                window->freed(window->arg);
        pthread_cond_broadcast(&window->changed);
        pthread_mutex_unlock(&window->lock);
}

int fetch_window_init(struct fetch_window *window, struct cas_slots *pool)
{
        pthread_condattr_t monotonic;

        *window = (struct fetch_window){
            .client = {.most = FETCH_WINDOW_SLOTS, .freed = on_freed, .arg = window}};
        pthread_mutex_init(&window->lock, NULL);
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&window->changed, &monotonic);
        pthread_condattr_destroy(&monotonic);
        cas_slots_join(pool, &window->client);
        return 0;
}

void fetch_window_destroy(struct fetch_window *window)
{
        fetch_window_reset(window, 0, NULL);
        cas_slots_leave(&window->client);
        pthread_cond_destroy(&window->changed);
        pthread_mutex_destroy(&window->lock);
}

void fetch_window_wish(struct fetch_window *window, enum fetch_wish wish)
{
        pthread_mutex_lock(&window->lock);
        if (window->wish != FETCH_STOP)
                window->wish = wish;
        pthread_cond_broadcast(&window->changed);
        pthread_mutex_unlock(&window->lock);
}

void fetch_window_wait(struct fetch_window *window, int64_t until_ms)
{
        struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};

        if (until_ms == INT64_MAX)
                pthread_cond_wait(&window->changed, &window->lock);
        else
                pthread_cond_timedwait(&window->changed, &window->lock, &until);
}

enum fetch_wish fetch_window_sleep(struct fetch_window *window, int64_t until_ms)
{
        pthread_mutex_lock(&window->lock);
        while (window->wish == FETCH_GO_ON && fetch_now_ms() < until_ms)
                fetch_window_wait(window, until_ms);

        enum fetch_wish wish = window->wish;

        pthread_mutex_unlock(&window->lock);
        return wish;
}

static struct cas_slot **place_of(struct fetch_window *window, uint64_t at)
{
        return &window->ring[at / CAS_SLOT_BYTES % FETCH_WINDOW_SLOTS];
}

struct cas_slot *fetch_window_slot(const struct fetch_window *window, uint64_t at)
{
        return window->ring[at / CAS_SLOT_BYTES % FETCH_WINDOW_SLOTS];
}

uint64_t fetch_window_position(const struct fetch_window *window)
{
        uint64_t at = window->head;

        for (unsigned i = 0; i < FETCH_WINDOW_SLOTS; i++) {
                const struct cas_slot *slot = fetch_window_slot(window, at);

                if (!slot)
                        break;
                at += slot->filled;
                if (slot->filled < CAS_SLOT_BYTES)
                        break;
        }
        return at;
}

bool fetch_window_reserve(struct fetch_window *window, uint64_t from, uint64_t to)
{
        uint64_t first = from - from % CAS_SLOT_BYTES;
        unsigned missing = 0;
        unsigned used;

        if (to > window->head + (uint64_t)FETCH_WINDOW_SLOTS * CAS_SLOT_BYTES)
                return false;
        for (uint64_t at = first; at < to; at += CAS_SLOT_BYTES)
                missing += !*place_of(window, at);
        if (missing > cas_slots_room(&window->client, &used))
                return false;
        for (uint64_t at = first; at < to; at += CAS_SLOT_BYTES) {
                struct cas_slot **place = place_of(window, at);

                if (!*place)
                        *place = cas_slot_take(&window->client);
                if (!*place)
                        return false; /* somebody was quicker; what was had is used later */
        }
        return true;
}

void fetch_window_copy(struct fetch_window *window, uint64_t at, const void *bytes, size_t length)
{
        const char *next = bytes;

        while (length > 0) {
                size_t inside = (size_t)(at % CAS_SLOT_BYTES);
                size_t part = CAS_SLOT_BYTES - inside < length ? CAS_SLOT_BYTES - inside : length;

                memcpy((*place_of(window, at))->bytes + inside, next, part);
                next += part;
                at += part;
                length -= part;
        }
}

void fetch_window_count(struct fetch_window *window, uint64_t at, size_t length)
{
        while (length > 0) {
                size_t inside = (size_t)(at % CAS_SLOT_BYTES);
                size_t part = CAS_SLOT_BYTES - inside < length ? CAS_SLOT_BYTES - inside : length;

                (*place_of(window, at))->filled = inside + part;
                at += part;
                length -= part;
        }
}

struct cas_slot *fetch_window_take_part(struct fetch_window *window)
{
        struct cas_slot **place = place_of(window, window->head);
        struct cas_slot *slot = *place;

        if (!slot)
                return NULL;
        *place = NULL;
        window->head += slot->filled;
        return slot;
}

struct cas_slot *fetch_window_take(struct fetch_window *window)
{
        const struct cas_slot *slot = *place_of(window, window->head);

        return slot && slot->filled == CAS_SLOT_BYTES ? fetch_window_take_part(window) : NULL;
}

/* The slots from the one that holds `from` on. Not locked; nobody is filling. */
static void give_back(struct fetch_window *window, uint64_t from)
{
        struct cas_slot *loose[FETCH_WINDOW_SLOTS];
        unsigned count = 0;

        pthread_mutex_lock(&window->lock);
        for (unsigned i = 0; i < FETCH_WINDOW_SLOTS; i++) {
                uint64_t at = window->head + (uint64_t)i * CAS_SLOT_BYTES;
                struct cas_slot **place = place_of(window, at);

                if (*place && at >= from) {
                        loose[count++] = *place;
                        *place = NULL;
                }
        }
        pthread_mutex_unlock(&window->lock);
        while (count > 0)
                cas_slot_give(loose[--count]);
}

void fetch_window_drop_loose(struct fetch_window *window)
{
        pthread_mutex_lock(&window->lock);

        uint64_t position = fetch_window_position(window);

        pthread_mutex_unlock(&window->lock);
        give_back(window, position);
}

void fetch_window_reset(struct fetch_window *window, uint64_t head, struct cas_slot *part)
{
        give_back(window, 0);
        pthread_mutex_lock(&window->lock);
        window->head = head;
        if (part)
                *place_of(window, head) = part;
        pthread_mutex_unlock(&window->lock);
}
