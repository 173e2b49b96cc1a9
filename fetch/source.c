/*
 * What the sources have in common: from the window into the ingest, and what an error of
 * the ingest says about a source.
 */
#include "fetch/source.h"

#include <errno.h>
#include <inttypes.h>

uint64_t fetch_source_position(const struct fetch_job *job)
{
        struct fetch_window *window = job->window;

        pthread_mutex_lock(&window->lock);

        uint64_t position = fetch_window_position(window);

        pthread_mutex_unlock(&window->lock);
        return position;
}

int fetch_source_feed(const struct fetch_job *job, bool all)
{
        struct fetch_window *window = job->window;
        struct cas_slot *slot;
        int r = 0;

        do {
                pthread_mutex_lock(&window->lock);
                slot = fetch_window_take(window);
                if (!slot && all)
                        slot = fetch_window_take_part(window);
                pthread_mutex_unlock(&window->lock);
                if (slot)
                        r = cas_ingest_write(job->ingest, slot);
        } while (slot && r == 0);
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
