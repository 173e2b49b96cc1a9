/*
 * When to hash what. The hashing, and what becomes of a bad blob, is cas/scrub.c's. After each
 * blob the thread rests as long as that took: not every disk knows idle priorities.
 */
#include "fs/scrub.h"

#include "fetch/clock.h"
#include "fetch/thread.h"
#include "fs/idle.h"
#include "fs/keeper.h"
#include "fs/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_SECONDS 60   /* at least so long after the start; with a short interval sooner */
#define LOOK_SECONDS  3600 /* at least so often it is looked what is due */
#define REST_MS       60000

struct fs_scrub {
        struct fs_server *server;
        pthread_t thread;
        atomic_bool stopping;
        pthread_mutex_t lock;
        pthread_cond_t changed; /* monotonic */
};

struct pass {
        uint64_t blobs;
        uint64_t bad;
        uint64_t bytes;
        bool unnoted; /* a time could not be kept: it would be due at once again */
};

static void rest(struct fs_scrub *scrub, int64_t ms)
{
        int64_t until_ms = fetch_now_ms() + ms;
        struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};

        pthread_mutex_lock(&scrub->lock);
        while (!atomic_load(&scrub->stopping) &&
               pthread_cond_timedwait(&scrub->changed, &scrub->lock, &until) != ETIMEDOUT)
                ;
        pthread_mutex_unlock(&scrub->lock);
}

static void on_progress(void *arg, uint64_t bytes)
{
        struct fs_server *server = arg;

        atomic_fetch_add(&server->memory->metrics.scrub_bytes, bytes);
}

static void tell(struct fs_server *server, const struct cas_digest *digest, int r,
                 const struct cas_verdict *verdict)
{
        struct fetch_cause cause = {0};
        char hex[CAS_DIGEST_HEX + 1];

        cas_digest_format(digest, hex);
        if (r == -EBADMSG) {
                fetch_cause_set_verdict(&cause, verdict);
                fs_log(LOG_WARNING, "event=refused digest=%s size=%" PRIu64 " by=scrub cause=%s",
                       hex, verdict->size, fs_log_value(cause.text).text);
                atomic_fetch_add(&server->memory->metrics.scrub_bad, 1);
                fs_keeper_ask(server->keeper);
        } else {
                fs_log(LOG_WARNING, "event=scrub-failed digest=%s cause=%s", hex,
                       fs_log_value(strerror(-r)).text);
        }
}

static void scrub_one(struct fs_scrub *scrub, const struct cas_scrub *how,
                      const struct cas_digest *digest, struct pass *pass)
{
        struct fs_server *server = scrub->server;
        int64_t began_ms = fetch_now_ms();
        struct cas_verdict verdict;
        int r = cas_store_scrub_blob(server->store, how, digest, &verdict);

        if (r == -ENOENT || r == -EUCLEAN || r == -ECANCELED)
                return; /* evicted meanwhile, an open's to settle, or the end */
        atomic_fetch_add(&server->memory->metrics.scrub_blobs, 1);
        pass->blobs++;
        pass->bad += r == -EBADMSG;
        pass->bytes += verdict.hashed;
        pass->unnoted |= r != -EBADMSG && !verdict.noted;
        if (r < 0)
                tell(server, digest, r, &verdict);

        int64_t took_ms = fetch_now_ms() - began_ms;

        rest(scrub, took_ms < REST_MS ? took_ms : REST_MS);
}

/* Everything that is due. Seconds until it is worth looking again. */
static int64_t run_pass(struct fs_scrub *scrub)
{
        struct cas_scrub how = cas_store_scrub(scrub->server->store);
        int64_t interval = scrub->server->scrub_interval;
        int64_t began_ms = fetch_now_ms();
        int64_t next = interval < LOOK_SECONDS ? interval : LOOK_SECONDS;
        struct cas_scrub_item *items = NULL;
        struct pass pass = {0};
        size_t count = 0;

        how.direct = true;
        how.cancelled = &scrub->stopping;
        how.progress = on_progress;
        how.arg = scrub->server;
        if (cas_scrub_list(&how, &items, &count) < 0)
                return next;
        for (size_t i = 0; i < count && !atomic_load(&scrub->stopping); i++) {
                if (items[i].verified + interval > (int64_t)time(NULL))
                        break; /* and all behind it */
                scrub_one(scrub, &how, &items[i].digest, &pass);
        }
        free(items);
        if (pass.blobs > 0)
                fs_log(LOG_INFO,
                       "event=scrubbed blobs=%" PRIu64 " bytes=%" PRIu64 " bad=%" PRIu64
                       " seconds=%.3f",
                       pass.blobs, pass.bytes, pass.bad,
                       (double)(fetch_now_ms() - began_ms) / 1000);
        return pass.unnoted ? interval : next;
}

static void *run(void *arg)
{
        struct fs_scrub *scrub = arg;
        int64_t next = scrub->server->scrub_interval;

        pthread_setname_np(pthread_self(), "scrub");
        fs_idle_thread();
        if (next > FIRST_SECONDS)
                next = FIRST_SECONDS;
        while (!atomic_load(&scrub->stopping)) {
                rest(scrub, next * 1000);
                if (!atomic_load(&scrub->stopping))
                        next = run_pass(scrub);
        }
        return NULL;
}

int fs_scrub_new(struct fs_server *server, struct fs_scrub **ret)
{
        pthread_condattr_t monotonic;

        *ret = NULL;
        if (server->scrub_interval == 0)
                return 0;

        struct fs_scrub *scrub = calloc(1, sizeof(*scrub));

        if (!scrub)
                return -ENOMEM;
        scrub->server = server;
        pthread_mutex_init(&scrub->lock, NULL);
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&scrub->changed, &monotonic);
        pthread_condattr_destroy(&monotonic);

        int r = fetch_thread_start(&scrub->thread, run, scrub);

        if (r < 0) {
                free(scrub);
                return r;
        }
        *ret = scrub;
        return 0;
}

void fs_scrub_free(struct fs_scrub *scrub)
{
        if (!scrub)
                return;
        pthread_mutex_lock(&scrub->lock);
        atomic_store(&scrub->stopping, true);
        pthread_cond_signal(&scrub->changed);
        pthread_mutex_unlock(&scrub->lock);
        pthread_join(scrub->thread, NULL);
        pthread_cond_destroy(&scrub->changed);
        pthread_mutex_destroy(&scrub->lock);
        free(scrub);
}
