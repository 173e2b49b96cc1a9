/*
 * Threads that open, one that draws and reports, one that waits for signals. An open that
 * is parked in the mount cannot be called back, so to leave is to end the process, from
 * the thread that does nothing else.
 */
#include "fs/prefetch.h"

#include "cas/io.h"
#include "fetch/cause.h"
#include "fetch/clock.h"
#include "fetch/thread.h"
#include "fs/log.h"
#include "fs/status_print.h"
#include "fs/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define ERROR "user.assetfs.error"

#define FRAME_MS  250
#define TOTAL_BAR 40

struct run {
        struct fs_prefetch *prefetch;
        bool terminal;
        struct fs_screen screen;

        pthread_mutex_t lock;
        pthread_cond_t finished_one;
        size_t next;                        /* lock */
        struct fs_prefetch_item **finished; /* lock; in that order */
        size_t finished_count;              /* lock */

        /* The main thread's. */
        size_t reported;
        size_t failures;
};

int fs_prefetch_add(struct fs_prefetch *prefetch, const struct cas_digest *digest, const char *name)
{
        if (prefetch->count == prefetch->room) {
                size_t room = prefetch->room ? 2 * prefetch->room : 64;
                struct fs_prefetch_item *grown =
                    reallocarray(prefetch->items, room, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                prefetch->items = grown;
                prefetch->room = room;
        }

        struct fs_prefetch_item *item = &prefetch->items[prefetch->count];

        *item = (struct fs_prefetch_item){.nameless = !digest, .turn = prefetch->count};
        if (digest)
                item->digest = *digest;
        if (name) {
                item->name = strdup(name);
                if (!item->name)
                        return -ENOMEM;
        }
        prefetch->count++;
        return 0;
}

void fs_prefetch_free(struct fs_prefetch *prefetch)
{
        for (size_t i = 0; i < prefetch->count; i++) {
                free(prefetch->items[i].name);
                free(prefetch->items[i].words);
        }
        free(prefetch->items);
        prefetch->items = NULL;
        prefetch->count = prefetch->room = 0;
}

static int by_digest(const void *left, const void *right)
{
        const struct fs_prefetch_item *a = left;
        const struct fs_prefetch_item *b = right;
        int order = cas_digest_compare(&a->digest, &b->digest);

        return order ? order : (a->turn > b->turn) - (a->turn < b->turn);
}

static int by_turn(const void *left, const void *right)
{
        const struct fs_prefetch_item *a = left;
        const struct fs_prefetch_item *b = right;

        return (a->turn > b->turn) - (a->turn < b->turn);
}

/* Each digest once, at its first place. */
static void drop_doubles(struct fs_prefetch *prefetch)
{
        struct fs_prefetch_item *items = prefetch->items;
        size_t kept = 0;

        if (prefetch->count == 0)
                return;
        qsort(items, prefetch->count, sizeof(*items), by_digest);
        for (size_t i = 0; i < prefetch->count; i++) {
                if (kept > 0 && !items[i].nameless && !items[kept - 1].nameless &&
                    cas_digest_equal(&items[kept - 1].digest, &items[i].digest))
                        free(items[i].name);
                else
                        items[kept++] = items[i];
        }
        prefetch->count = kept;
        qsort(items, kept, sizeof(*items), by_turn);
}

/* The mount's words for what went wrong, if it has any. */
static char *words_of(const char *path)
{
        char words[FETCH_TEXT_MAX];
        ssize_t length = getxattr(path, ERROR, words, sizeof(words) - 1);

        if (length <= 0)
                return NULL;
        words[length] = '\0';
        return strdup(words);
}

/* By nobody but the thread that took the item. */
static void open_item(const struct fs_prefetch *prefetch, struct fs_prefetch_item *item)
{
        char hex[CAS_DIGEST_HEX + 1];
        char path[PATH_MAX];
        struct stat st;
        int64_t began = fetch_now_ms();

        if (item->nameless) {
                item->error = ENOENT;
                return;
        }
        cas_digest_format(&item->digest, hex);
        snprintf(path, sizeof(path), "%s/%s", prefetch->mountpoint, hex);

        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || fstat(fd, &st) < 0) {
                item->error = errno;
                item->words = words_of(path);
        } else {
                item->bytes = (uint64_t)st.st_size;
        }
        item->seconds = (double)(fetch_now_ms() - began) / 1000;
}

static void *open_items(void *arg)
{
        struct run *run = arg;

        pthread_mutex_lock(&run->lock);
        while (run->next < run->prefetch->count) {
                struct fs_prefetch_item *item = &run->prefetch->items[run->next++];

                item->state = FS_PREFETCH_OPENING;
                pthread_mutex_unlock(&run->lock);
                open_item(run->prefetch, item);
                pthread_mutex_lock(&run->lock);
                item->state = item->error ? FS_PREFETCH_FAILED : FS_PREFETCH_CACHED;
                run->finished[run->finished_count++] = item;
                pthread_cond_signal(&run->finished_one);
        }
        pthread_mutex_unlock(&run->lock);
        return NULL;
}

/* Those that our caller does not want us to ignore (nohup, a shell's background job). */
static sigset_t ending_signals(void)
{
        static const int all[] = {SIGINT, SIGTERM, SIGHUP};
        sigset_t set;

        sigemptyset(&set);
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
                struct sigaction now;

                if (sigaction(all[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
                        sigaddset(&set, all[i]);
        }
        return set;
}

/* Ends the process, whatever the other threads wait for. A terminal's ^C goes first, which is
 * `arg`, or NULL. */
static void *wait_for_signal(void *arg)
{
        static const char line[] = "assetfs: left; downloads under way go on in the mount\n";
        const char *erase = arg;
        sigset_t set = ending_signals();
        int signal = 0;

        while (sigwait(&set, &signal) != 0)
                ;
        if ((erase && write(STDOUT_FILENO, erase, strlen(erase)) < 0) ||
            write(STDERR_FILENO, line, strlen(line)) < 0)
                _exit(1);
        _exit(128 + signal);
}

static void print_finished(const struct run *run, const struct fs_prefetch_item *item)
{
        char hex[CAS_DIGEST_HEX + 1] = "-";
        char name[NAME_MAX + 1];
        char words[FETCH_TEXT_MAX];

        if (!item->nameless)
                cas_digest_format(&item->digest, hex);
        snprintf(name, sizeof(name), "%s", item->name ? item->name : "-");
        fetch_make_printable(name);
        if (item->state == FS_PREFETCH_FAILED) {
                snprintf(words, sizeof(words), "%s",
                         item->nameless ? "neither a digest nor a name of the mount's catalogs"
                         : item->words  ? item->words
                                        : strerror(item->error));
                fetch_make_printable(words);
                fprintf(stderr, "failed %s %s %s: %s\n", hex, name, strerrorname_np(item->error),
                        words);
        } else if (!run->terminal && !run->prefetch->quiet) {
                printf("cached %s %s %" PRIu64 " %.1f\n", hex, name, item->bytes, item->seconds);
                fflush(stdout);
        }
}

/* What has ended since the last time. */
static void report(struct run *run)
{
        pthread_mutex_lock(&run->lock);

        size_t count = run->finished_count;

        pthread_mutex_unlock(&run->lock);
        for (; run->reported < count; run->reported++) {
                const struct fs_prefetch_item *item = run->finished[run->reported];

                if (item->state == FS_PREFETCH_FAILED) {
                        run->failures++;
                        if (run->terminal)
                                fs_screen_erase(&run->screen);
                }
                print_finished(run, item);
        }
}

static const struct fs_status_flight *find_flight(const struct fs_status *status, const char *hex)
{
        for (size_t i = 0; i < status->flight_count; i++)
                if (strcmp(status->flights[i].digest, hex) == 0)
                        return &status->flights[i];
        return NULL;
}

/* A line of each asset that is being opened; its rate is added to *rate. */
static void print_opening(const struct run *run, FILE *out, const struct fs_status *status,
                          const struct fs_prefetch_item *item, uint64_t *rate)
{
        struct fs_status_flight shown = {.name = item->name, .size = FS_STATUS_UNKNOWN};
        const struct fs_status_flight *flight;

        cas_digest_format(&item->digest, shown.digest);
        flight = find_flight(status, shown.digest);
        if (flight) {
                const char *name = flight->name ? flight->name : item->name;

                shown = *flight;
                shown.name = name;
                *rate += shown.rate > 0 ? (uint64_t)shown.rate : 0;
        } else {
                shown.running = true;
                shown.rate = shown.eta = FS_STATUS_UNKNOWN;
        }
        fs_status_print_progress(out, &shown, run->screen.columns);
}

static void print_total(const struct run *run, FILE *out, uint64_t rate)
{
        char number[FS_HUMAN];

        fs_bar(out, TOTAL_BAR, run->reported, run->prefetch->count);
        fprintf(out, " %zu of %zu cached", run->reported - run->failures, run->prefetch->count);
        if (run->failures > 0)
                fprintf(out, ", %zu failed", run->failures);
        if (rate > 0)
                fprintf(out, ", %s/s", fs_human_size(rate, number));
        putc('\n', out);
}

/* The items that were begun: only these can be under way. */
static size_t list_opening(struct run *run, struct fs_prefetch_item **ret)
{
        size_t count = 0;

        pthread_mutex_lock(&run->lock);
        for (size_t i = 0; i < run->next && count < run->prefetch->jobs; i++)
                if (run->prefetch->items[i].state == FS_PREFETCH_OPENING &&
                    !run->prefetch->items[i].nameless)
                        ret[count++] = &run->prefetch->items[i];
        pthread_mutex_unlock(&run->lock);
        return count;
}

static void draw(struct run *run)
{
        struct fs_prefetch_item *opening[FS_PREFETCH_JOBS_MAX];
        _cleanup_free_ char *frame = NULL;
        struct fs_status status = {0};
        char why[FS_STATUS_WHY];
        char path[PATH_MAX];
        uint64_t rate = 0;
        size_t length = 0;
        size_t count = list_opening(run, opening);
        FILE *out = open_memstream(&frame, &length);

        if (!out)
                return;
        snprintf(path, sizeof(path), "%s/" FS_STATUS_FILE, run->prefetch->mountpoint);
        if (count > 0)
                (void)fs_status_load(path, &status, why); /* or there are no numbers */
        fs_screen_measure(&run->screen);
        for (size_t i = 0; i < count; i++)
                print_opening(run, out, &status, opening[i], &rate);
        print_total(run, out, rate);
        fs_status_free(&status);
        if (fclose(out) == 0)
                fs_screen_draw(&run->screen, frame);
}

/* Waits for an item to end; on a terminal no longer than a frame. */
static void wait_for_news(struct run *run)
{
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += FRAME_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_mutex_lock(&run->lock);
        if (run->finished_count == run->reported && run->terminal)
                pthread_cond_timedwait(&run->finished_one, &run->lock, &until);
        while (run->finished_count == run->reported && !run->terminal)
                pthread_cond_wait(&run->finished_one, &run->lock);
        pthread_mutex_unlock(&run->lock);
}

static int start_threads(struct run *run, pthread_t *threads, unsigned *ret_count)
{
        static char erase[] = "\r\033[K";
        int r = fetch_thread_start(NULL, wait_for_signal, run->terminal ? erase : NULL);

        *ret_count = 0;
        for (unsigned i = 0; r == 0 && i < run->prefetch->jobs && i < run->prefetch->count; i++) {
                r = fetch_thread_start(&threads[i], open_items, run);
                *ret_count += r == 0;
        }
        return *ret_count > 0 || run->prefetch->count == 0 ? 0 : r;
}

int fs_prefetch_run(struct fs_prefetch *prefetch)
{
        struct run run = {.prefetch = prefetch,
                          .terminal = !prefetch->quiet && fs_is_terminal(STDOUT_FILENO),
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .finished_one = PTHREAD_COND_INITIALIZER};
        pthread_t threads[FS_PREFETCH_JOBS_MAX];
        sigset_t ending = ending_signals();
        unsigned count;

        drop_doubles(prefetch);
        run.finished = calloc(prefetch->count + 1, sizeof(struct fs_prefetch_item *));
        pthread_sigmask(SIG_BLOCK, &ending, NULL); /* one thread waits for them */
        fs_screen_open(&run.screen, STDOUT_FILENO);

        int r = run.finished ? start_threads(&run, threads, &count) : -ENOMEM;

        if (r < 0) {
                free(run.finished);
                return fs_fail("%s", strerror(-r));
        }
        while (run.reported < prefetch->count) {
                wait_for_news(&run);
                report(&run);
                if (run.terminal)
                        draw(&run);
        }
        for (unsigned i = 0; i < count; i++)
                pthread_join(threads[i], NULL);
        free(run.finished);
        return run.failures > 0;
}
