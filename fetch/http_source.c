/*
 * A download: the transfer thread puts bytes into a pipe, this thread takes them
 * out and feeds the ingest.
 */
#include "fetch/source.h"

#include "fetch/pipe.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct download {
        struct fetch_pipe pipe;
        struct http_transfer *transfer;
        struct fetch_cause end; /* set before the pipe is finished */
};

static bool on_response(void *arg, const struct http_response *response)
{
        struct download *download = arg;

        fetch_pipe_announce(&download->pipe, response->size);
        return true;
}

static bool on_bytes(void *arg, const void *bytes, size_t length)
{
        struct download *download = arg;

        return fetch_pipe_put(&download->pipe, bytes, length);
}

static void on_done(void *arg, const struct fetch_cause *cause)
{
        struct download *download = arg;

        download->end = *cause;
        fetch_pipe_finish(&download->pipe);
}

static void resume(void *arg)
{
        http_resume(arg);
}

static void cancel(void *arg)
{
        http_cancel(arg);
}

/* Takes what comes until the transfer ends; an error of the ingest ends it. */
static int feed(struct download *download, struct cas_ingest *ingest)
{
        uint64_t size;
        const void *bytes;
        size_t length;
        int r = 0;

        if (fetch_pipe_wait_answer(&download->pipe, &size) && size != HTTP_SIZE_UNKNOWN)
                r = cas_ingest_expect(ingest, size);
        if (r < 0)
                fetch_pipe_unless_finished(&download->pipe, cancel, download->transfer);
        while ((length = fetch_pipe_wait(&download->pipe, &bytes)) > 0) {
                if (r == 0) {
                        r = cas_ingest_write(ingest, bytes, length);
                        if (r < 0)
                                fetch_pipe_unless_finished(&download->pipe, cancel,
                                                           download->transfer);
                }
                fetch_pipe_consume(&download->pipe, length, resume, download->transfer);
        }
        return r;
}

void fetch_source_refused(const struct fetch_job *job, int error, struct fetch_cause *ret)
{
        if (error == -EFBIG)
                fetch_cause_set(ret, FETCH_TOO_BIG, "larger than the bound of %" PRIu64 " bytes",
                                job->bound);
        else if (error == -EBADMSG)
                fetch_cause_set(ret, FETCH_WRONG_BYTES,
                                "not the %" PRIu64 " bytes that the catalog says", job->declared);
        else
                fetch_cause_set_disk(ret, -error, "the cache's disk");
        /* With not a byte written it was the size for which there is no room. */
        ret->claimed = (error == -ENOSPC || error == -EDQUOT) && job->ingest &&
                       job->declared == CAS_SIZE_UNKNOWN && cas_ingest_offset(job->ingest) == 0;
}

void fetch_http_source(const struct fetch_job *job, struct http_loop *loop, const char *url,
                       struct fetch_cause *ret)
{
        static const struct http_handler handler = {on_response, on_bytes, on_done};
        struct download download = {0};

        if (fetch_pipe_init(&download.pipe) < 0) {
                fetch_cause_set_disk(ret, ENOMEM, "download");
                return;
        }
        download.transfer = http_start(loop, HTTP_GET, url, 0, &handler, &download);
        if (!download.transfer) {
                fetch_cause_set_disk(ret, ENOMEM, "download");
        } else {
                int r = feed(&download, job->ingest);

                *ret = download.end;
                if (r < 0)
                        fetch_source_refused(job, r, ret);
        }
        fetch_pipe_destroy(&download.pipe);
}
