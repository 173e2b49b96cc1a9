/*
 * FAULTS, network: transfers that break and go on. Each test is a table of downloads in
 * one world and one mount, opened at the same time; by one connection for each, so that
 * the histories are exact. What ends at once is in network.c, what is large in large.c.
 */
#include "tests/e2e/downloads.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(engine, .timeout = 180);

#define SIZE  700000 /* half of it, and half of the rest: 350000, 525000 */
#define BOUND "1M"

/* How patient a mount is. curl's rate is that of the last seconds: where bytes come before
 * the silence, a low floor would make it longer. */
#define PATIENCE(retries, floor)                                                                   \
        (const char *const[])                                                                      \
        {                                                                                          \
                retries, floor                                                                     \
        }
#define RETRIES(retries) PATIENCE(retries, "10K")
#define STALLS(retries)  PATIENCE(retries, "500K")

#define OPENERS 20

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void mount_catalog(struct world *world, const char *catalog, const char *const *patience)
{
        world_mount(world, "--catalog", catalog, "--connections", "1", "--retries", patience[0],
                    "--min-rate", patience[1], "--stall-timeout", "1", "--max-asset-size", BOUND);
}

/* Opens them all; each failure is one line, no more. The world stays. */
static const char *run_table(struct world *world, struct download *table, size_t count,
                             const char *const *patience)
{
        const char *catalog;
        int failures = 0;

        for (size_t i = 0; i < count; i++) {
                table[i].size = SIZE;
                /* A size that is said makes too much of it a wrong size. */
                table[i].unsized = i % 2 == 1 || table[i].error == EFBIG;
                failures += table[i].error != 0;
                world->staging_may_stay |= table[i].staging == STAGING_KEPT;
        }
        world_origin(world);
        catalog = downloads_make(world, table, count);
        mount_catalog(world, catalog, patience);
        downloads_open(world, table, count, OPENERS);
        cr_expect_eq(world_logged(world, "event=failed"), failures);
        return catalog;
}

static void expect_table(struct download *table, size_t count, const char *const *patience)
{
        struct world world;

        world_begin(&world);
        run_table(&world, table, count, patience);
        world_end(&world);
}

/*
 * The same, and then the gate opens: those whose staging was kept go on where they broke,
 * in a new daemon. All others are left alone.
 */
static void expect_table_and_rest(struct download *table, size_t count, const char *const *patience)
{
        struct world world;
        const char *catalog;

        world_begin(&world);
        catalog = run_table(&world, table, count, patience);
        world_unmount(&world);
        world_open_gate(&world);
        mount_catalog(&world, catalog, patience);
        for (size_t i = 0; i < count; i++) {
                const char *last;

                if (table[i].staging != STAGING_KEPT)
                        continue;
                cr_expect_eq(world_open(world_path(&world, table[i].hex)), 0, "%s",
                             table[i].sources[0]);
                last = strrchr(download_history(&world, &table[i]), '@');
                cr_expect(last && !strchr(last, ' '), "%s began again: %s", table[i].sources[0],
                          download_history(&world, &table[i]));
                cr_expect_neq(access(world_staging(&world, table[i].hex), F_OK), 0);
        }
        world.staging_may_stay = false;
        world_end(&world);
}

Test(engine, fault_1_slow_loris)
{
        struct download table[] = {
            RIGHT(NULL, "x.loris.mid.0", "ok"),
            RIGHT(NULL, "x.loris.first.0", "ok"),
            FAILS(ETIMEDOUT, STAGING_KEPT, "a", "x.loris.first.0.gate"),
        };

        expect_table_and_rest(table, COUNT(table), STALLS("0"));
}

/* Below the floor by one connection, and by all of them: it is left for the next source at
 * once, and not asked again and again for one part after the other. */
Test(engine, fault_1_slow_however_many_connections)
{
        struct download slow = RIGHT(NULL, "x.rate1", "ok");
        struct world world;

        slow.size = 8 << 20;
        world_begin(&world);
        world_origin(&world);
        world_mount(&world, "--catalog", downloads_make(&world, &slow, 1), "--retries", "2",
                    "--stall-timeout", "2", "--min-rate", "16K");
        downloads_open(&world, &slow, 1, 1);

        const char *history = download_history(&world, &slow);

        cr_expect_not_null(strstr(history, "b@"), "%s", history);
        cr_expect_leq(history_length(history), 1 + 8 + 1, "%s", history);
        world_end(&world);
}

Test(engine, fault_2_silence_after_headers_and_in_the_body)
{
        struct download table[] = {
            RIGHT("a a@1?", "x.stall.first"),
            RIGHT("a a@350000?", "x.stall.mid"),
            RIGHT("a a@699999?", "x.stall.last"),
            RIGHT("a b@350000", "x.stall.mid.0", "ok"),
            RIGHT("a b", "silent", "ok"),
            FAILS(ETIMEDOUT, STAGING_ANY, "a a", "silent"),
            FAILS(ETIMEDOUT, STAGING_KEPT, NULL, "x.stall.first.0.gate"),
        };

        expect_table_and_rest(table, COUNT(table), STALLS("1"));
}

/* Everywhere in the body, once and twice; and without end, where it has to end after the
 * tries: the one that brought nearly all is none of them. */
static void expect_broken_bodies(const char *const *faults)
{
        static const struct {
                const char *where;
                const char *history;
        } places[] = {
            {"first", "a a@1?"},
            {"mid", "a a@350000?"},
            {"last", "a a@699999?"},
            {"first.2", "a a@1? a@2?"},
            {"mid.2", "a a@350000? a@525000?"},
            {"last.2", "a a@699999? a@699999?"},
        };
        struct download table[2 * (COUNT(places) + 3)] = {0};
        char modes[COUNT(table)][64];
        size_t count = 0;

        for (; *faults; faults++) {
                for (size_t i = 0; i < COUNT(places); i++, count++) {
                        snprintf(modes[count], sizeof(modes[0]), "x.%s.%s", *faults,
                                 places[i].where);
                        table[count].history = places[i].history;
                }
                for (int i = 0; i < 2; i++, count++) {
                        snprintf(modes[count], sizeof(modes[0]), "x.%s.%s.0.gate", *faults,
                                 i ? "last" : "first");
                        table[count].error = EREMOTEIO;
                        table[count].staging = STAGING_KEPT;
                        if (i)
                                table[count].history = "a a@699999? a@699999? a@699999?";
                }
                snprintf(modes[count++], sizeof(modes[0]), "x.%s.noetag", *faults);
                table[count - 1].history = "a a@350000";
        }
        for (size_t i = 0; i < count; i++)
                table[i].sources[0] = modes[i];
        expect_table_and_rest(table, count, RETRIES("2"));
}

Test(engine, fault_3_reset_in_the_body)
{
        expect_broken_bodies((const char *const[]){"reset", NULL});
}

Test(engine, fault_4_short_body_and_broken_chunk)
{
        expect_broken_bodies((const char *const[]){"close", "chunk", NULL});
}

static int requests_of(const struct world *world, const struct download *download)
{
        return history_length(download_history(world, download));
}

/* The origin's own mistake with ranges never ends in a loop of restarts. */
static void expect_bounded(const struct world *world, const struct download *download, int most)
{
        int length = requests_of(world, download);

        cr_expect_leq(length, most, "%s: %d requests: %s", download->sources[0], length,
                      download_history(world, download));
}

Test(engine, fault_6_another_range_than_asked)
{
        struct download table[] = {
            RIGHT("a a@350000? a", "x.reset.other1"),
            RIGHT("a a@350000? a", "x.reset.other"),
            RIGHT("a a@699999? a", "x.close.last.other"),
            RIGHT("a a@1? a", "x.chunk.first.other"),
            RIGHT("a b@350000 a@350000?", "x.reset", "x.other"),
            RIGHT(NULL, "x.close.last.0", "x.other"),
            FAILS(EREMOTEIO, STAGING_ANY, NULL, "x.reset.mid.0.other"),
        };
        struct world world;

        world_begin(&world);
        world.staging_may_stay = true;
        run_table(&world, table, COUNT(table), RETRIES("2"));
        expect_bounded(&world, &table[COUNT(table) - 1], 12);
        cr_expect_eq(world_logged(&world, "SHA-256"), 0, "its bytes were taken");
        world_end(&world);
}

/* The body of an origin that knows no ranges counts against the tries, however much it is. */
Test(engine, fault_7_whole_answer_to_a_range)
{
        struct download table[] = {
            RIGHT("a a@350000?", "x.reset.norange"),
            RIGHT("a a@1?", "x.close.first.norange"),
            RIGHT("a a@699999?", "x.chunk.last.norange"),
            RIGHT("a a@350000? a@350000?", "x.reset.mid.2.norange"),
            RIGHT("a b@350000", "x.reset.norange", "ok"),
            RIGHT("a b@350000 a@350000?", "x.reset", "x.norange"),
            RIGHT(NULL, "x.close.last.0", "x.norange"),
            FAILS(EREMOTEIO, STAGING_ANY, NULL, "x.reset.mid.0.norange"),
        };
        struct world world;

        world_begin(&world);
        world.staging_may_stay = true;
        run_table(&world, table, COUNT(table), RETRIES("2"));
        expect_bounded(&world, &table[COUNT(table) - 1], 12);
        world_end(&world);
}

Test(engine, fault_8_range_not_satisfiable)
{
        struct download table[] = {
            RIGHT("a a@350000? a", "x.reset.r4161"),
            RIGHT("a a@350000? a", "x.reset.r416"),
            RIGHT("a a@699999? a", "x.close.last.r416"),
            RIGHT("a b@350000 a@350000?", "x.reset", "x.r416"),
            FAILS(EREMOTEIO, STAGING_ANY, NULL, "x.reset.mid.0.r416"),
        };
        struct world world;

        world_begin(&world);
        world.staging_may_stay = true;
        run_table(&world, table, COUNT(table), RETRIES("2"));
        expect_bounded(&world, &table[COUNT(table) - 1], 12);
        world_end(&world);
}

/* What another asset, a bug or a crash left under the digest's name. */
static void plant_staging(const struct world *world, const char *hex, size_t size)
{
        char *junk = calloc(1, size);

        cr_assert(junk);
        world_file(world_staging(world, hex), junk, size);
        free(junk);
        cr_assert_eq(world_shell("chown %s: '%s' && chmod 600 '%s'", WORKER_USER,
                                 world_staging(world, hex), world_staging(world, hex)),
                     0);
}

static void expect_planted(size_t one, size_t other)
{
        static const struct download kinds[] = {
            RIGHT(NULL, "ok"),
            RIGHT(NULL, "x.reset"),
            RIGHT(NULL, "x.r416"),
            RIGHT(NULL, "x.norange"),
            FAILS(EBADMSG, STAGING_GONE, NULL, "x.wrong"),
            FAILS(ENOENT, STAGING_GONE, NULL, "status-404"),
        };
        struct download table[2 * COUNT(kinds)];
        struct world world;
        const char *catalog;

        world_begin(&world);
        world_origin(&world);
        for (size_t i = 0; i < COUNT(table); i++) {
                table[i] = kinds[i / 2];
                table[i].size = SIZE;
        }
        catalog = downloads_make(&world, table, COUNT(table));
        cr_assert_eq(world_shell("mkdir -p -m 700 '%s/ingest' && chmod 700 '%s' && "
                                 "chown -R " WORKER_USER ": '%s'",
                                 world.cache, world.cache, world.cache),
                     0);
        for (size_t i = 0; i < COUNT(table); i++)
                plant_staging(&world, table[i].hex, i % 2 ? one : other);
        mount_catalog(&world, catalog, RETRIES("1"));
        downloads_open(&world, table, COUNT(table), OPENERS);
        world_end(&world);
}

Test(engine, fault_8_partial_larger_than_the_asset)
{
        expect_planted(1 << 20, SIZE);
}

Test(engine, fault_9_etag_or_total_changes)
{
        struct download table[] = {
            RIGHT("a a@350000?", "x.reset.etags"),
            RIGHT("a a@350000? a@350000?", "x.reset.mid.2.etags"),
            RIGHT("a a@350000? a", "x.reset.etaglie"),
            RIGHT("a a@699999? a", "x.close.last.etaglie"),
            RIGHT("a a@350000? a", "x.reset.total"),
            RIGHT(NULL, "x.reset", "x.total"), /* who is right about it is not known */
            RIGHT("a a@350000", "x.reset.noetag"),
            /* Each source has ETags of its own: no reason to doubt the other. */
            RIGHT("a b@350000", "x.reset.etags", "x.etags"),
        };

        expect_table(table, COUNT(table), RETRIES("2"));
}

/* Whatever bytes came before: in the end it is the whole of one right source. */
Test(engine, fault_10_no_append_to_old_bytes)
{
        struct download table[] = {
            RIGHT(NULL, "x.wrong.reset.mid.0", "ok"),
            RIGHT(NULL, "x.wrong.close.last.0", "x.reset"),
            RIGHT(NULL, "x.reset", "x.wronglast"),
            RIGHT(NULL, "x.wrong.reset", "x.close.norange"),
            RIGHT(NULL, "x.wrong.reset.last.0", "x.wronglast", "ok"),
            FAILS(EBADMSG, STAGING_GONE, NULL, "x.wrong.reset"),
            FAILS(EBADMSG, STAGING_GONE, NULL, "x.wrong.reset.norange"),
            FAILS(EBADMSG, STAGING_GONE, NULL, "x.reset.wrong", "x.close.wronglast"),
        };

        expect_table(table, COUNT(table), RETRIES("2"));
}

Test(engine, fault_10_staging_that_is_another)
{
        expect_planted(256 << 10, 300 << 10);
}

Test(engine, fault_18_content_encoding_is_not_decoded)
{
        struct download table[] = {
            RIGHT("a", "x.gzip"),
            RIGHT("a a@350000?", "x.gzip.reset"),
            FAILS(EBADMSG, STAGING_GONE, "a", "x.gzip.wrong"),
        };

        expect_table(table, COUNT(table), RETRIES("2"));
}

Test(engine, fault_20_refused_in_the_middle)
{
        struct download table[] = {
            RIGHT("a a@350000? a@350000?", "x.reset.denied1"),
            RIGHT("a b@350000", "x.reset.denied", "ok"),
            RIGHT("a b@350000 a@350000?", "x.reset", "x.denied"),
            FAILS(EACCES, STAGING_KEPT, "a a@350000? a@350000?", "x.reset.denied.gate"),
        };

        expect_table_and_rest(table, COUNT(table), RETRIES("2"));
}

/* 700000, 350000, 175000 and 87500 bytes are cut, the rest is not: the first URL is asked
 * again each time the signature of the second has expired. */
Test(engine, fault_20_signed_url_expires)
{
        struct download table[] = {RIGHT(NULL, "signed.1"), RIGHT(NULL, "signed.2"),
                                   RIGHT(NULL, "signed.9")};
        struct world world;

        world_begin(&world);
        run_table(&world, table, COUNT(table), RETRIES("2"));
        cr_expect_str_eq(download_history(&world, &table[0]),
                         "a a@350000? a@525000? a@612500? a@656250?");
        cr_expect_geq(requests_of(&world, &table[1]), 3);
        world_end(&world);
}

Test(engine, fault_21_retry_after)
{
        struct download table[] = {
            RIGHT("a a", "x.wait503"),
            RIGHT("a a", "x.wait429"),
            RIGHT("a a", "x.waitdate"),
        };
        struct world world;
        int64_t start;

        world_begin(&world);
        start = now_ms();
        run_table(&world, table, COUNT(table), RETRIES("1"));
        cr_expect_geq(now_ms() - start, 1000);
        cr_expect_lt(now_ms() - start, SURELY_MS);
        world_end(&world);
}

Test(engine, fault_21_what_is_tried_again)
{
        struct download table[] = {
            FAILS(ENOENT, STAGING_GONE, "a", "status-404"),
            FAILS(ENOENT, STAGING_GONE, "a", "status-410"),
            FAILS(EACCES, STAGING_ANY, "a", "status-401"),
            FAILS(EACCES, STAGING_ANY, "a", "status-403"),
            FAILS(EBADMSG, STAGING_GONE, "a", "x.wrong"),
            FAILS(EBADMSG, STAGING_GONE, "a", "html"),
            FAILS(EFBIG, STAGING_GONE, "a", "endless"),
            FAILS(EREMOTEIO, STAGING_ANY, "a a a", "status-500"),
            FAILS(EREMOTEIO, STAGING_ANY, "a b b b", "status-404", "status-500"),
            RIGHT("a b b@350000?", "status-403", "x.reset"),
            FAILS(EHOSTUNREACH, STAGING_ANY, NULL, DOWNLOAD_DEAD),
            RIGHT("b", DOWNLOAD_DEAD, "ok"),
        };

        expect_table(table, COUNT(table), RETRIES("2"));
}

/* A failed source is left at once, and the round of all of them goes on at the byte. */
Test(engine, fault_29_next_mirror_goes_on)
{
        struct download table[] = {
            RIGHT("a b@350000", "x.reset.mid.0", "ok"),
            RIGHT("a b@1 c@350000", "x.close.first.0", "x.chunk.mid.0", "ok"),
            RIGHT("a b@699999 c@699999", "x.chunk.last.0", "x.reset.last.0", "ok"),
            RIGHT(NULL, "x.reset", "x.close"),
            RIGHT(NULL, "x.reset.mid.2", "x.close.last.0", "status-404"),
            FAILS(EACCES, STAGING_KEPT, NULL, "x.reset.mid.0", "status-404", "status-403"),
        };

        expect_table(table, COUNT(table), RETRIES("2"));
}

/* Not its connection breaks but the origin itself. */
Test(engine, fault_29_origin_dies_in_the_middle)
{
        struct world world;
        struct world mirror;
        struct opener opener;
        char hex[HEX];
        char first[WORLD_PATH];
        char prefix[HEX + 64];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        snprintf(first, sizeof(first), "%s", world_url(&world, "x.stall"));
        mirror = world;
        world_origin(&mirror);
        world_mount(&world, "--origin", first, "--origin", world_url(&mirror, "ok"));
        opener_start(&opener, world_path(&world, hex));
        for (int i = 0; i < SURELY_MS / 2 && world_requests(&world, "GET /x.stall/") == 0; i++)
                sleep_ms(2);
        sleep_ms(100);
        kill(world.origin, SIGKILL);
        cr_expect_eq(opener_result(&opener, SURELY_MS), 0);
        snprintf(prefix, sizeof(prefix), "GET /ok/%s bytes=350000-", hex);
        cr_expect_eq(world_requests(&world, prefix), 1);
        world_end(&world);
        kill(mirror.origin, SIGKILL);
}

Test(engine, fault_30_headers_without_end_in_the_middle)
{
        struct download table[] = {
            RIGHT("a b@350000 c@350000", "x.reset", "headers-1024", "ok"),
            RIGHT("a b@350000 a@350000?", "x.reset", "headers-1024"),
            RIGHT("a b@350000 c@350000", "x.close", "control", "ok"),
        };
        struct world world;

        world_begin(&world);
        run_table(&world, table, COUNT(table), RETRIES("2"));
        cr_expect_eq(world_shell("LC_ALL=C grep -q '[[:cntrl:]]' '%s'", world.log), 1);
        world_end(&world);
}

#define LONG_SIZE 4000000
#define BLOCK     (256u << 10) /* what staging is kept in, after a crash */

/* A transfer whose first half is there, and which stands still until the gate opens. */
static void begin_long(struct world *world, char hex[HEX], struct opener *opener)
{
        world_begin(world);
        world_asset(world, LONG_SIZE, hex);
        world_origin(world);
        world_mount(world, "--origin", world_url(world, "x.stall.mid.0.gate"), "--connections",
                    "1");
        opener_start(opener, world_path(world, hex));
        for (int i = 0; i < SURELY_MS / 2 && world_requests(world, "GET ") == 0; i++)
                sleep_ms(2);
        sleep_ms(SLOW_BUILD ? 1000 : 300);
        cr_expect_eq(access(world_staging(world, hex), F_OK), 0);
        world_open_gate(world);
}

/* The GET after the first: where does it begin? */
static void expect_continued(const struct world *world, const char *hex, bool crashed)
{
        struct download download = {.sources = {"x.stall.mid.0.gate"}};
        const char *at;
        unsigned long long from;

        memcpy(download.hex, hex, HEX);

        const char *history = download_history(world, &download);

        cr_expect_eq(history_length(history), 2, "%s", history);
        at = strrchr(history, '@');
        from = at ? strtoull(at + 1, NULL, 10) : 0;
        cr_expect(from > 0 && from <= LONG_SIZE / 2, "%s", history);
        cr_expect(!crashed || from % BLOCK == 0, "%s", history);
        cr_expect_geq(from, LONG_SIZE / 2 - 4 * BLOCK, "much was lost: %s", history);
}

Test(engine, staging_survives_the_workers_crash)
{
        struct world world;
        struct opener opener;
        char hex[HEX];

        begin_long(&world, hex, &opener);

        pid_t worker = world_worker(&world);

        kill(worker, SIGKILL);
        world_next_worker(&world, worker);
        cr_expect_eq(opener_result(&opener, SURELY_MS), 0);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        expect_continued(&world, hex, true);
        world_end(&world);
}

Test(engine, fault_48_staging_survives_the_end)
{
        struct world world;
        struct opener opener;
        char hex[HEX];

        begin_long(&world, hex, &opener);
        world_unmount(&world);
        cr_expect_eq(opener_result(&opener, SURELY_MS), ECANCELED);
        cr_expect_eq(access(world_staging(&world, hex), F_OK), 0);
        world_mount(&world, "--origin", world_url(&world, "x.stall.mid.0.gate"), "--connections",
                    "1");
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        expect_continued(&world, hex, false);
        world_end(&world);
}

/* Continued bytes are hashed first: one wrong byte among them costs a restart, no more. */
Test(engine, staging_that_was_changed)
{
        struct world world;
        struct opener opener;
        char hex[HEX];
        int failures;

        begin_long(&world, hex, &opener);
        world_unmount(&world);
        cr_expect_eq(opener_result(&opener, SURELY_MS), ECANCELED);
        cr_assert_eq(world_shell("printf x | dd of='%s' bs=1 seek=1000 conv=notrunc status=none",
                                 world_staging(&world, hex)),
                     0);
        world_mount(&world, "--origin", world_url(&world, "x.stall.mid.0.gate"), "--connections",
                    "1");
        failures = world_logged(&world, "event=failed"); /* the one that was cancelled */
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_logged(&world, "event=failed"), failures);
        world_end(&world);
}
