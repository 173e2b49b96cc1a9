/*
 * Size questions about files, through the facade: they hold up neither who asks nor
 * the transfers, however long a file takes to open, and however many sources there are.
 */
#include "fetch/clock.h"
#include "fetch/fetch.h"
#include "tests/unit/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/fanotify.h>

#define HEX      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LOTS     (SLOW_BUILD ? 2000 : 20000)
#define NO_ROUTE "http://127.0.0.1:1/{sha256}"

TestSuite(fetch_size, .init = scratch_make, .fini = scratch_remove, .timeout = 60);

static atomic_uint beats;

static void on_beat(void *arg)
{
        (void)arg;
        atomic_fetch_add(&beats, 1);
}

static void on_report(void *arg, const struct fetch_report *report)
{
        (void)arg;
        (void)report;
}

/* Nothing is fetched here, so there is no store. */
static struct fetch *new_fetch(const char *const *templates, size_t count)
{
        static struct fetch_origin list[LOTS];
        static struct fetch_catalogs *catalogs;
        struct fetch_catalog *empty;
        char why[FETCH_CATALOG_WHY];
        struct fetch *fetch = NULL;

        cr_assert_eq(fetch_catalog_parse(NULL, 0, &empty, why), 0);
        cr_assert_eq(fetch_catalogs_new(empty, &catalogs), 0);

        cr_assert_leq(count, LOTS);
        for (size_t i = 0; i < count; i++)
                list[i] = (struct fetch_origin){.url = templates[i]};

        struct fetch_config config = {
            .origins = {catalogs, list, count, NULL},
            .http = {.stall_seconds = 30,
                     .min_rate = 1,
                     .connect_seconds = 10,
                     .buffer_bytes = 16384,
                     .beat = on_beat},
            .bound = 1 << 20,
            .memory = 1 << 20,
            .max_downloads = 1,
            .connections = 1,
            .size_timeout_ms = 30000,
            .report = on_report,
        };

        cr_assert_eq(fetch_new(&config, &fetch), 0);
        return fetch;
}

static void end_fetch(struct fetch *fetch)
{
        fetch_stop(fetch);
        fetch_free(fetch);
}

struct asker {
        struct fetch_waiter waiter; /* first */
        struct fetch_cause cause;
        uint64_t size;
        atomic_bool answered;
};

static void on_answer(struct fetch_waiter *waiter, const struct fetch_cause *cause, uint64_t size)
{
        struct asker *asker = (struct asker *)waiter;

        asker->cause = *cause;
        asker->size = size;
        atomic_store(&asker->answered, true);
}

static void ask(struct fetch *fetch, char digit, struct asker *asker)
{
        char hex[CAS_DIGEST_HEX + 1] = HEX;
        struct cas_digest digest;

        hex[0] = digit;
        cr_assert_eq(cas_digest_parse(hex, CAS_DIGEST_HEX, &digest), 0);
        *asker = (struct asker){.waiter.done = on_answer};
        fetch_size(fetch, &digest, &asker->waiter);
}

static bool is_answered(struct asker *asker, int within_ms)
{
        int64_t deadline = fetch_now_ms() + within_ms;

        while (!atomic_load(&asker->answered) && fetch_now_ms() < deadline)
                usleep(2000);
        return atomic_load(&asker->answered);
}

/* A file whose open hangs, even with O_NONBLOCK, until it is let go: as on a dead NFS server. */
struct hang {
        char template[600];
        int events;
        pthread_t rescue;
        atomic_bool over;
};

static void let_one_go(const struct hang *hang)
{
        struct fanotify_event_metadata event;
        struct fanotify_response response = {.response = FAN_ALLOW};

        if (read(hang->events, &event, sizeof(event)) != sizeof(event))
                return;
        response.fd = event.fd;
        cr_assert_eq(write(hang->events, &response, sizeof(response)), sizeof(response));
        close(event.fd);
}

/* Lets the test go on (and fail) where the code waits for the file that the test holds. */
static void *rescue(void *arg)
{
        struct hang *hang = arg;

        for (int i = 0; i < 500 && !atomic_load(&hang->over); i++)
                usleep(10000);
        while (!atomic_load(&hang->over)) {
                struct pollfd poll_events = {hang->events, POLLIN, 0};

                if (poll(&poll_events, 1, 10) > 0)
                        let_one_go(hang);
        }
        return NULL;
}

static void hang_begin(struct hang *hang)
{
        scratch_write(HEX, "content", 7);
        *hang = (struct hang){.events = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY)};
        if (hang->events < 0 || fanotify_mark(hang->events, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD,
                                              scratch_at(HEX).text) < 0)
                cr_skip_test("no fanotify here: %s", strerror(errno));
        snprintf(hang->template, sizeof(hang->template), "file://%s/{sha256}", scratch_dir);
        pthread_create(&hang->rescue, NULL, rescue, hang);
}

static void hang_wait_for_opener(const struct hang *hang)
{
        struct pollfd events = {hang->events, POLLIN, 0};

        cr_assert_eq(poll(&events, 1, 4000), 1, "nobody opens the file");
}

static void hang_end(struct hang *hang)
{
        atomic_store(&hang->over, true);
        pthread_join(hang->rescue, NULL);
        close(hang->events); /* allows what waits */
}

Test(fetch_size, asking_of_a_file_that_hangs_waits_for_nobody)
{
        struct hang hang;
        struct asker first;
        struct asker second;

        hang_begin(&hang);

        const char *templates[] = {hang.template};
        struct fetch *fetch = new_fetch(templates, 1);
        int64_t start = fetch_now_ms();

        ask(fetch, 'a', &first);
        cr_expect_lt(fetch_now_ms() - start, 4500, "who asks waits for the file");
        hang_wait_for_opener(&hang);
        ask(fetch, 'b', &second);
        cr_expect(fetch_leave_size(fetch, &second.waiter));
        cr_expect_not(is_answered(&first, 50));
        let_one_go(&hang);
        cr_expect(is_answered(&first, 20000));
        cr_expect_eq(first.cause.kind, FETCH_OK);
        cr_expect_eq(first.size, 7);
        hang_end(&hang);
        end_fetch(fetch);
}

Test(fetch_size, transfers_go_on_while_a_file_hangs)
{
        struct hang hang;
        struct asker asker;

        hang_begin(&hang);

        const char *templates[] = {NO_ROUTE, hang.template};
        struct fetch *fetch = new_fetch(templates, 2);

        ask(fetch, 'a', &asker);
        hang_wait_for_opener(&hang);

        unsigned before = atomic_load(&beats);

        /* Before it is let go by the rescue, after 5 s. */
        for (int i = 0; i < 400 && atomic_load(&beats) <= before + 1; i++)
                usleep(10000);
        cr_expect_gt(atomic_load(&beats), before + 1, "the transfer loop waits for the file");
        let_one_go(&hang);
        cr_expect(is_answered(&asker, 20000));
        cr_expect_eq(asker.size, 7);
        hang_end(&hang);
        end_fetch(fetch);
}

Test(fetch_size, a_stop_waits_no_longer_than_for_the_open)
{
        struct hang hang;
        struct asker askers[2];

        hang_begin(&hang);

        const char *templates[] = {hang.template};
        struct fetch *fetch = new_fetch(templates, 1);

        ask(fetch, 'a', &askers[0]);
        hang_wait_for_opener(&hang);
        ask(fetch, 'b', &askers[1]); /* stands behind it */
        hang_end(&hang);

        int64_t start = fetch_now_ms();

        end_fetch(fetch);
        cr_expect_lt(fetch_now_ms() - start, 4500);
        cr_expect(atomic_load(&askers[0].answered));
        cr_expect(atomic_load(&askers[1].answered));
}

/* Each source that has not got it used to be one more frame on the stack. */
Test(fetch_size, sources_in_any_number)
{
        static char texts[LOTS][100];
        static const char *templates[LOTS];
        struct asker asker;

        for (unsigned i = 0; i < LOTS; i++) {
                snprintf(texts[i], sizeof(texts[i]),
                         i % 2 ? "file:///nowhere/%u/{sha256}" : "gopher://nowhere/%u/{sha256}", i);
                templates[i] = texts[i];
        }

        struct fetch *fetch = new_fetch(templates, LOTS);

        ask(fetch, 'a', &asker);
        cr_expect(is_answered(&asker, 30000));
        cr_expect_eq(asker.cause.kind, FETCH_ORIGIN_FAILED);
        end_fetch(fetch);
}

/* Questions that nobody waits for, asked at each `ls -l` of a large catalog. */
Test(fetch_size, looking_ahead_is_bounded)
{
        struct hang hang;
        struct asker asker;
        char name[CAS_DIGEST_HEX + 1];

        for (unsigned i = 0; i < 2000; i++) {
                snprintf(name, sizeof(name), "%064x", i);
                scratch_write(name, "ahead", 5);
        }
        hang_begin(&hang);

        const char *templates[] = {hang.template};
        struct fetch *fetch = new_fetch(templates, 1);
        struct cas_digest digest;

        ask(fetch, 'a', &asker);
        hang_wait_for_opener(&hang);
        for (unsigned i = 0; i < 2000; i++) {
                snprintf(name, sizeof(name), "%064x", i);
                cr_assert_eq(cas_digest_parse(name, CAS_DIGEST_HEX, &digest), 0);
                fetch_size(fetch, &digest, NULL);
        }
        let_one_go(&hang);
        cr_expect(is_answered(&asker, 20000));
        ask(fetch, 'f', &asker); /* behind all of them */
        cr_expect(is_answered(&asker, 20000));

        unsigned known = 0;

        for (unsigned i = 0; i < 2000; i++) {
                snprintf(name, sizeof(name), "%064x", i);
                cr_assert_eq(cas_digest_parse(name, CAS_DIGEST_HEX, &digest), 0);
                known += fetch_known_size(fetch, &digest) == 5;
        }
        cr_expect_gt(known, 0);
        cr_expect_lt(known, 1000);
        hang_end(&hang);
        end_fetch(fetch);
}
