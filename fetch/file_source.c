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

static void copy(const struct fetch_job *job, int fd, struct fetch_cause *ret)
{
        _cleanup_free_ char *chunk = malloc(CHUNK);
        uint64_t offset = 0;
        ssize_t got;

        if (!chunk) {
                fetch_cause_set_disk(ret, ENOMEM, "copy");
                return;
        }
        while ((got = cas_io_read_at(fd, chunk, CHUNK, offset)) > 0) {
                int r = cas_ingest_write(job->ingest, chunk, (size_t)got);

                if (r < 0) {
                        fetch_source_refused(job, r, ret);
                        return;
                }
                offset += (uint64_t)got;
                if (atomic_load(job->cancelled)) {
                        fetch_cause_set(ret, FETCH_CANCELLED, "cancelled");
                        return;
                }
        }
        if (got < 0)
                judge_error(ret, (int)-got);
}

void fetch_file_source(const struct fetch_job *job, const char *url, struct fetch_cause *ret)
{
        uint64_t size = 0;
        _cleanup_close_ int fd = open_source(url, &size, ret);

        if (fd < 0)
                return;

        int r = cas_ingest_expect(job->ingest, size);

        if (r < 0)
                fetch_source_refused(job, r, ret);
        else
                copy(job, fd, ret);
}

void fetch_file_size(const char *url, uint64_t *ret_size, struct fetch_cause *ret)
{
        _cleanup_close_ int fd = open_source(url, ret_size, ret);
}
