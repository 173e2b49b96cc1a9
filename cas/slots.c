/*
 * The pool: counting, a list of free slots, mmap. Knows nothing of what is in a slot.
 */
#include "cas/slots.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MAPPED (offsetof(struct cas_slot, bytes) + CAS_SLOT_BYTES)

struct cas_slots {
        unsigned lendable; /* beyond what is reserved for the clients that may come */

        pthread_mutex_t lock;
        unsigned clients;      /* lock */
        unsigned lent;         /* lock */
        struct cas_slot *free; /* lock */
};

int cas_slots_new(size_t budget_bytes, unsigned clients, struct cas_slots **ret)
{
        size_t slots = budget_bytes / CAS_SLOT_BYTES;
        size_t reserved = (size_t)clients * CAS_SLOTS_RESERVED;

        if (reserved > slots)
                return -EINVAL;

        struct cas_slots *pool = calloc(1, sizeof(*pool));

        if (!pool)
                return -ENOMEM;
        pool->lendable = (unsigned)(slots - reserved);
        pthread_mutex_init(&pool->lock, NULL);
        *ret = pool;
        return 0;
}

/* Under the lock, or alone. */
static void unmap_free(struct cas_slots *pool)
{
        while (pool->free) {
                struct cas_slot *slot = pool->free;

                pool->free = slot->next;
                munmap(slot, MAPPED);
        }
}

void cas_slots_free(struct cas_slots *pool)
{
        if (!pool)
                return;
        unmap_free(pool);
        pthread_mutex_destroy(&pool->lock);
        free(pool);
}

void cas_slots_join(struct cas_slots *pool, struct cas_slots_client *client)
{
        client->pool = pool;
        client->used = 0;
        pthread_mutex_lock(&pool->lock);
        pool->clients++;
        pthread_mutex_unlock(&pool->lock);
}

void cas_slots_leave(struct cas_slots_client *client)
{
        struct cas_slots *pool = client->pool;

        pthread_mutex_lock(&pool->lock);
        if (--pool->clients == 0)
                unmap_free(pool);
        pthread_mutex_unlock(&pool->lock);
}

/* Under the lock. */
static unsigned room_for(const struct cas_slots_client *client)
{
        const struct cas_slots *pool = client->pool;
        unsigned share = CAS_SLOTS_RESERVED + pool->lendable / pool->clients;
        unsigned most = client->most < share ? client->most : share;
        unsigned own = client->used < CAS_SLOTS_RESERVED ? CAS_SLOTS_RESERVED - client->used : 0;
        unsigned room = client->used < most ? most - client->used : 0;
        unsigned there = own + pool->lendable - pool->lent;

        return room < there ? room : there;
}

unsigned cas_slots_room(struct cas_slots_client *client, unsigned *ret_used)
{
        pthread_mutex_lock(&client->pool->lock);

        unsigned room = room_for(client);

        *ret_used = client->used;
        pthread_mutex_unlock(&client->pool->lock);
        return room;
}

static struct cas_slot *map_slot(void)
{
        void *mapped =
            mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        return mapped == MAP_FAILED ? NULL : mapped;
}

struct cas_slot *cas_slot_take(struct cas_slots_client *client)
{
        struct cas_slots *pool = client->pool;
        struct cas_slot *slot = NULL;

        pthread_mutex_lock(&pool->lock);
        if (room_for(client) > 0) {
                slot = pool->free;
                if (slot)
                        pool->free = slot->next;
                else
                        slot = map_slot();
        }
        if (slot && client->used++ >= CAS_SLOTS_RESERVED)
                pool->lent++;
        pthread_mutex_unlock(&pool->lock);
        if (slot) {
                slot->client = client;
                slot->next = NULL;
                slot->filled = 0;
                slot->users = 0;
        }
        return slot;
}

void cas_slot_give(struct cas_slot *slot)
{
        if (!slot)
                return;

        struct cas_slots_client *client = slot->client;
        struct cas_slots *pool = client->pool;

        pthread_mutex_lock(&pool->lock);
        slot->next = pool->free;
        pool->free = slot;
        if (client->used-- > CAS_SLOTS_RESERVED)
                pool->lent--;
        pthread_mutex_unlock(&pool->lock);
        if (client->freed)
                client->freed(client->arg);
}
