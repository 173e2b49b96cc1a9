/*
 * The journal: every request that was read from the kernel and not answered yet, in
 * the session memory, so that the next worker can answer it.
 *
 *   a thread:   read into the slot -> handle (answer, or park) -> done
 *   parked:     park -> ... answer -> unpark
 *   a restart:  replay, before the first read
 *
 * A worker may be killed between answering and `done` or `unpark`: then the request is
 * replayed and answered a second time, which the kernel refuses with ENOENT. So what
 * handling a request does must be harmless when it is done twice. FORGET has no answer,
 * and is therefore taken out before it is handled.
 *
 * Threads: each of the FS_THREADS reading threads has a number and a slot of its own;
 * park and unpark from any thread. One lock.
 */
#ifndef FS_JOURNAL_H
#define FS_JOURNAL_H

#include "fs/memory.h"

#include <stdbool.h>

struct fs_journal;

int fs_journal_new(struct fs_memory *memory, struct fs_journal **ret); /* 0 or -ENOMEM */
void fs_journal_free(struct fs_journal *journal);                      /* accepts NULL */

/* Where thread `thread` reads its next request to: FS_REQUEST_BYTES. Empty until then. */
void *fs_journal_slot(struct fs_journal *journal, unsigned thread);

/*
 * Handles the request in the slot, or nothing where there is none: calls handle() with
 * it, and takes it out. Marks the thread busy meanwhile.
 */
typedef void fs_journal_handler(void *arg, const void *request, size_t length);
void fs_journal_handle(struct fs_journal *journal, unsigned thread, fs_journal_handler *handle,
                       void *arg);

/*
 * Handles, in the calling thread, what the last worker left. refuse() is called for what
 * libfuse had better not see: it may be no request, or of a kind that is rare and refused
 * anyway. Returns how many requests there were.
 */
unsigned fs_journal_replay(struct fs_journal *journal, fs_journal_handler *handle,
                           void (*refuse)(void *arg, uint64_t unique), void *arg);

/* Inside handle(): the request's number, and whether it is replayed, so that it may have
 * been handled before. */
uint64_t fs_journal_unique(void);
bool fs_journal_is_replay(void);

/*
 * Inside handle(): the request, an OPEN or GETATTR, will be answered later. NULL where
 * too many are parked. Its since_ms and deadline_ms are `now_ms` and `deadline_ms`, or what they
 * were when it was parked first.
 */
struct fs_parked_slot *fs_journal_park(struct fs_journal *journal, int64_t now_ms,
                                       int64_t deadline_ms);

/* It was answered. */
void fs_journal_unpark(struct fs_journal *journal, struct fs_parked_slot *slot);

#endif
