/*
 * file:// sources, read without curl, which would deliver a whole file in one
 * call. The file may be anything a person put there: only a regular one is read.
 */
#include "fetch/source.h"

#include "cas/io.h"
#include "fetch/url.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK (256 * 1024) /* bytes */

static void judge_error(struct fetch_cause *ret, int error)
{
        enum fetch_kind kind = FETCH_ORIGIN_FAILED;

        if (error == EMFILE || error == ENFILE || error == ENOMEM) {
                fetch_cause_set_disk(ret, error, "open");
                return;
        }
        if (error == ENOENT || error == ENOTDIR)
                kind = FETCH_NOT_FOUND;
        else if (error == EACCES || error == EPERM)
                kind = FETCH_DENIED;
        fetch_cause_set(ret, kind, "%s", strerror(error));
}

static int open_source(const char *url, uint64_t *ret_size, struct fetch_cause *ret)
{
        _cleanup_free_ char *path = NULL;
        struct stat st;
        int r = fetch_url_to_path(url, &path);

        if (r < 0) {
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "the URL holds no path");
                return r;
        }

        /* O_NONBLOCK: a fifo must not hold the flight. */
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0 || fstat(fd, &st) < 0) {
                r = -errno;
                judge_error(ret, -r);
                return r;
        }
        if (!S_ISREG(st.st_mode)) {
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "not a regular file");
                return -EINVAL;
        }
        *ret_size = (uint64_t)st.st_size;
        return cas_io_steal_fd(&fd);
}

/* The slot that the next bytes go into; waits for one. NULL: a wish came first. */
static struct cas_slot *next_slot(struct fetch_window *window, uint64_t *ret_at)
{
        struct cas_slot *slot = NULL;

        pthread_mutex_lock(&window->lock);

        uint64_t at = fetch_window_position(window);

        while (window->wish == FETCH_GO_ON && !fetch_window_reserve(window, at, at + 1))
                fetch_window_wait(window, INT64_MAX);
        if (window->wish == FETCH_GO_ON)
                slot = fetch_window_slot(window, at);
        pthread_mutex_unlock(&window->lock);
        *ret_at = at;
        return slot;
}

static void copy(const struct fetch_job *job, int fd, struct fetch_cause *ret)
{
        struct fetch_window *window = job->window;
        struct cas_slot *slot;
        uint64_t at;
        int r = 0;

        while (r == 0 && (slot = next_slot(window, &at))) {
                ssize_t got = cas_io_read_at(fd, slot->bytes + slot->filled,
                                             CAS_SLOT_BYTES - slot->filled, at);

                if (got < 0) {
                        judge_error(ret, (int)-got);
                        return;
                }
                slot->filled += (size_t)got;
                atomic_fetch_add(job->brought, (uint64_t)got);
                r = fetch_source_feed(job, got == 0);
                if (got == 0)
                        break;
        }
        if (r < 0)
                fetch_source_refused(job, r, ret);
        else if (!slot)
                fetch_cause_set(ret, FETCH_CANCELLED, "stopping");
}

void fetch_file_source(const struct fetch_job *job, struct fetch_outcome *ret)
{
        uint64_t size = 0;
        _cleanup_close_ int fd = open_source(job->source->url, &size, &ret->cause);

        if (fd < 0)
                return;
        job->version->size = size;
        atomic_store(job->size_told, size);

        int r = cas_ingest_expect(job->ingest, size);

        if (r < 0)
                fetch_source_refused(job, r, &ret->cause);
        else if (size >= fetch_source_position(job))
                copy(job, fd, &ret->cause);
        else {
                fetch_cause_set(&ret->cause, FETCH_ORIGIN_FAILED, "shorter than what is there");
                ret->from_zero = true;
        }
}

void fetch_file_size(const char *url, uint64_t *ret_size, struct fetch_cause *ret)
{
        _cleanup_close_ int fd = open_source(url, ret_size, ret);
}
