/*
 * fh = unique << 16 | slot: 2^48 requests are more than a kernel makes in a lifetime.
 */
#include "fs/handle.h"

#include <errno.h>
#include <stdlib.h>

#define SLOT_BITS 16

_Static_assert(FS_HANDLES_MAX == 1 << SLOT_BITS, "every slot has a number");

struct fs_handles {
        struct fs_memory *memory;
        uint32_t free[FS_HANDLES_MAX]; /* a stack of slots below handles_used */
        uint32_t free_count;
};

static struct fs_handle_slot *slot_of(const struct fs_handles *handles, uint64_t fh)
{
        return &handles->memory->handles[fh & (FS_HANDLES_MAX - 1)];
}

int fs_handles_new(struct fs_memory *memory, bool (*is_node)(void *arg, uint64_t nodeid), void *arg,
                   struct fs_handles **ret)
{
        struct fs_handles *handles = calloc(1, sizeof(*handles));
        uint32_t used = atomic_load(&memory->handles_used);

        if (!handles)
                return -ENOMEM;
        handles->memory = memory;
        if (used > FS_HANDLES_MAX)
                used = FS_HANDLES_MAX;
        atomic_store(&memory->handles_used, used);
        for (uint32_t i = 0; i < used; i++) {
                struct fs_handle_slot *slot = &memory->handles[i];
                uint64_t fh = atomic_load(&slot->fh);

                if (fh != 0 && slot_of(handles, fh) == slot && is_node(arg, slot->nodeid))
                        continue;
                atomic_store(&slot->fh, 0);
                handles->free[handles->free_count++] = i;
        }
        *ret = handles;
        return 0;
}

void fs_handles_free(struct fs_handles *handles)
{
        free(handles);
}

bool fs_handle_find(const struct fs_handles *handles, uint64_t unique, uint64_t nodeid,
                    struct fs_handle *ret)
{
        uint32_t used = atomic_load(&handles->memory->handles_used);

        for (uint32_t i = 0; i < used; i++) {
                const struct fs_handle_slot *slot = &handles->memory->handles[i];
                uint64_t fh = atomic_load(&slot->fh);

                if (fh == (unique << SLOT_BITS | i) && slot->nodeid == nodeid) {
                        *ret = (struct fs_handle){fh, true};
                        return true;
                }
        }
        return false;
}

static bool take_slot(struct fs_handles *handles, uint32_t *ret)
{
        uint32_t used = atomic_load(&handles->memory->handles_used);

        if (handles->free_count > 0) {
                *ret = handles->free[--handles->free_count];
                return true;
        }
        if (used == FS_HANDLES_MAX)
                return false;
        atomic_store(&handles->memory->handles_used, used + 1);
        *ret = used;
        return true;
}

int fs_handle_take(struct fs_handles *handles, uint64_t unique, uint64_t nodeid, bool replay,
                   struct fs_handle *ret)
{
        uint32_t index;

        if (replay && fs_handle_find(handles, unique, nodeid, ret))
                return 0;
        if (!take_slot(handles, &index))
                return -ENFILE;

        struct fs_handle_slot *slot = &handles->memory->handles[index];

        *ret = (struct fs_handle){unique << SLOT_BITS | index, false};
        slot->nodeid = nodeid;
        fs_kill_point(handles->memory);
        atomic_store(&slot->fh, ret->fh);
        fs_kill_point(handles->memory);
        return 0;
}

uint64_t fs_handle_give_back(struct fs_handles *handles, uint64_t fh)
{
        struct fs_handle_slot *slot = slot_of(handles, fh);

        if (fh == 0 || atomic_load(&slot->fh) != fh)
                return 0;

        uint64_t nodeid = slot->nodeid;

        fs_kill_point(handles->memory);
        atomic_store(&slot->fh, 0);
        fs_kill_point(handles->memory);
        handles->free[handles->free_count++] = (uint32_t)(slot - handles->memory->handles);
        return nodeid;
}
