/*
 * Notes about digests: a map for finding, a list by age for the bound.
 */
#include "fetch/memory.h"

#include <stdlib.h>

int fetch_memory_init(struct fetch_memory *memory, size_t most)
{
        *memory = (struct fetch_memory){.most = most};
        return cas_map_init(&memory->map);
}

static void unlink_note(struct fetch_memory *memory, struct fetch_note *note)
{
        if (note->older)
                note->older->newer = note->newer;
        else
                memory->oldest = note->newer;
        if (note->newer)
                note->newer->older = note->older;
        else
                memory->newest = note->older;
        cas_map_remove(&memory->map, &note->entry);
        free(note->cause);
        free(note);
}

void fetch_memory_destroy(struct fetch_memory *memory)
{
        while (memory->oldest)
                unlink_note(memory, memory->oldest);
        cas_map_destroy(&memory->map);
}

const struct fetch_note *fetch_memory_last(const struct fetch_memory *memory,
                                           const struct cas_digest *digest)
{
        return (const struct fetch_note *)cas_map_find(&memory->map, digest);
}

const struct fetch_note *fetch_memory_recall(const struct fetch_memory *memory,
                                             const struct cas_digest *digest, int64_t now_ms)
{
        const struct fetch_note *note = fetch_memory_last(memory, digest);

        return note && note->expires_ms > now_ms ? note : NULL;
}

void fetch_memory_note(struct fetch_memory *memory, const struct cas_digest *digest, uint64_t size,
                       const struct fetch_cause *cause, int64_t expires_ms)
{
        struct fetch_note *note = calloc(1, sizeof(*note));

        fetch_memory_forget(memory, digest);
        if (!note)
                return;
        note->entry.digest = *digest;
        note->expires_ms = expires_ms;
        note->size = size;
        if (cause) {
                note->cause = malloc(sizeof(*note->cause));
                if (!note->cause) {
                        free(note);
                        return;
                }
                *note->cause = *cause;
        }
        if (memory->map.count >= memory->most)
                unlink_note(memory, memory->oldest);
        note->older = memory->newest;
        if (memory->newest)
                memory->newest->newer = note;
        else
                memory->oldest = note;
        memory->newest = note;
        cas_map_insert(&memory->map, &note->entry);
}

void fetch_memory_forget(struct fetch_memory *memory, const struct cas_digest *digest)
{
        struct fetch_note *note = (struct fetch_note *)cas_map_find(&memory->map, digest);

        if (note)
                unlink_note(memory, note);
}
