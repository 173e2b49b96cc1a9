/*
 * The writing half of an ingest: a queue, a thread, O_DIRECT on and off. It knows only
 * slots and a descriptor.
 */
#include "cas/writer.h"

#include "cas/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/uio.h>

#define BATCH 8 /* slots in one system call */

void cas_writer_init(struct cas_writer *writer, int fd)
{
        *writer = (struct cas_writer){.fd = fd};
        pthread_mutex_init(&writer->lock, NULL);
        pthread_cond_init(&writer->changed, NULL);
}

/* Best effort both ways: without O_DIRECT it is only slower. */
static void set_direct(struct cas_writer *writer, bool direct)
{
        int flags = fcntl(writer->fd, F_GETFL);

        if (flags < 0 || writer->direct == direct || (direct && writer->refused))
                return;
        if (fcntl(writer->fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0)
                writer->direct = direct;
        else
                writer->refused = true;
}

static int write_one(struct cas_writer *writer, const struct cas_slot *slot)
{
        int r;

        if (slot->filled % CAS_SLOT_BYTES || writer->offset % CAS_SLOT_BYTES)
                set_direct(writer, false);
        r = cas_io_write_at(writer->fd, slot->bytes, slot->filled, writer->offset);
        if (r == -EINVAL && writer->direct) {
                set_direct(writer, false);
                writer->refused = true;
                r = cas_io_write_at(writer->fd, slot->bytes, slot->filled, writer->offset);
        }
        return r;
}

/* One system call for all of them where that works, else each by itself. */
static int write_batch(struct cas_writer *writer, struct cas_slot *const *slots, unsigned count)
{
        struct iovec parts[BATCH];
        size_t total = 0;
        bool whole = writer->offset % CAS_SLOT_BYTES == 0;
        int r = 0;

        for (unsigned i = 0; i < count; i++) {
                parts[i] = (struct iovec){slots[i]->bytes, slots[i]->filled};
                total += slots[i]->filled;
                whole = whole && slots[i]->filled == CAS_SLOT_BYTES;
        }
        if (whole &&
            pwritev(writer->fd, parts, (int)count, (off_t)writer->offset) == (ssize_t)total) {
                writer->offset += total;
                return 0;
        }
        for (unsigned i = 0; i < count && r == 0; i++) {
                r = write_one(writer, slots[i]);
                writer->offset += slots[i]->filled;
        }
        return r;
}

/* Under the lock; true: the caller gives it back. */
static bool end_use(struct cas_slot *slot)
{
        return --slot->users == 0;
}

void cas_writer_done(struct cas_writer *writer, struct cas_slot *slot)
{
        pthread_mutex_lock(&writer->lock);

        bool last = end_use(slot);

        pthread_mutex_unlock(&writer->lock);
        if (last)
                cas_slot_give(slot);
}

/* Under the lock. */
static unsigned take_batch(struct cas_writer *writer, struct cas_slot **ret)
{
        unsigned count = 0;

        while (count < BATCH && writer->first) {
                ret[count++] = writer->first;
                writer->first = writer->first->next;
        }
        return count;
}

/* Under the lock, which it leaves while it writes. */
static void work_off(struct cas_writer *writer)
{
        struct cas_slot *batch[BATCH];
        unsigned count = take_batch(writer, batch);
        bool direct = writer->large;
        int r = writer->error;

        writer->busy = true;
        pthread_mutex_unlock(&writer->lock);
        if (r == 0) {
                set_direct(writer, direct || writer->offset >= CAS_DIRECT_BYTES);
                r = write_batch(writer, batch, count);
        }
        for (unsigned i = 0; i < count; i++)
                cas_writer_done(writer, batch[i]);
        pthread_mutex_lock(&writer->lock);
        if (writer->error == 0)
                writer->error = r;
        writer->busy = false;
        pthread_cond_broadcast(&writer->changed);
}

static void *run(void *arg)
{
        struct cas_writer *writer = arg;

        pthread_setname_np(pthread_self(), "writer");
        pthread_mutex_lock(&writer->lock);
        for (;;) {
                if (writer->first)
                        work_off(writer);
                else if (writer->stopping)
                        break;
                else
                        pthread_cond_wait(&writer->changed, &writer->lock);
        }
        pthread_mutex_unlock(&writer->lock);
        return NULL;
}

/* Signals are for the thread that waits for them. */
static int start(struct cas_writer *writer)
{
        sigset_t all;
        sigset_t before;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);

        int r = -pthread_create(&writer->thread, NULL, run, writer);

        pthread_sigmask(SIG_SETMASK, &before, NULL);
        writer->started = r == 0;
        return r;
}

void cas_writer_expect(struct cas_writer *writer, uint64_t size)
{
        pthread_mutex_lock(&writer->lock);
        writer->large = size >= CAS_DIRECT_BYTES;
        pthread_mutex_unlock(&writer->lock);
}

int cas_writer_put(struct cas_writer *writer, struct cas_slot *slot)
{
        /* What fits into one slot is not worth a thread. */
        bool alone = !writer->started && (slot->filled < CAS_SLOT_BYTES || start(writer) < 0);

        pthread_mutex_lock(&writer->lock);

        int r = writer->error;

        slot->users = 2;
        slot->next = NULL;
        if (writer->first)
                writer->last->next = slot;
        else
                writer->first = slot;
        writer->last = slot;
        if (alone) {
                work_off(writer);
                r = writer->error;
        } else {
                pthread_cond_broadcast(&writer->changed);
        }
        pthread_mutex_unlock(&writer->lock);
        return r;
}

int cas_writer_drain(struct cas_writer *writer)
{
        pthread_mutex_lock(&writer->lock);
        while (writer->first || writer->busy)
                pthread_cond_wait(&writer->changed, &writer->lock);

        int r = writer->error;

        pthread_mutex_unlock(&writer->lock);
        return r;
}

void cas_writer_seek(struct cas_writer *writer, uint64_t offset)
{
        pthread_mutex_lock(&writer->lock);
        writer->error = 0;
        writer->offset = offset;
        pthread_mutex_unlock(&writer->lock);
}

void cas_writer_destroy(struct cas_writer *writer)
{
        pthread_mutex_lock(&writer->lock);
        writer->stopping = true;
        if (writer->error == 0)
                writer->error = -ECANCELED; /* what waits is not wanted any more */
        pthread_cond_broadcast(&writer->changed);
        pthread_mutex_unlock(&writer->lock);
        if (writer->started)
                pthread_join(writer->thread, NULL);
        pthread_cond_destroy(&writer->changed);
        pthread_mutex_destroy(&writer->lock);
}
