/*
 * FAULTS 55: more assets are missing than may be downloaded at once, from origins of which
 * some do not answer. All come in the end, memory and connections stay within bounds, and
 * nobody waits who need not.
 */
#include "tests/e2e/real.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(many, .timeout = 240);

#define SMALL       4000
#define RSS_MAX_KIB (64L * 1024)

static void start_all(const struct world *world, struct opener *openers, char (*hex)[HEX],
                      int count)
{
        for (int i = 0; i < count; i++)
                opener_start(&openers[i], world_path(world, hex[i]));
}

static int good_ones(struct opener *openers, int count, int timeout_ms)
{
        int64_t deadline = now_ms() + timeout_ms;
        int good = 0;

        for (int i = 0; i < count; i++) {
                int64_t left = deadline - now_ms();

                good += opener_result(&openers[i], left > 0 ? (int)left : 0) == 0;
        }
        return good;
}

/* A thousand processes would cost more than what is measured: here each is a thread. */
struct reader {
        pthread_t thread;
        char path[2 * WORLD_PATH];
        int error;
};

static void *read_one(void *arg)
{
        struct reader *reader = arg;
        int fd = open(reader->path, O_RDONLY | O_CLOEXEC);

        reader->error = fd < 0 ? errno : 0;
        if (fd >= 0)
                close(fd);
        return NULL;
}

static void start_readers(const struct world *world, struct reader *readers, char (*hex)[HEX],
                          int count)
{
        pthread_attr_t small;

        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 256 * 1024);
        for (int i = 0; i < count; i++) {
                snprintf(readers[i].path, sizeof(readers[i].path), "%s", world_path(world, hex[i]));
                cr_assert_eq(pthread_create(&readers[i].thread, &small, read_one, &readers[i]), 0);
        }
        pthread_attr_destroy(&small);
}

/* All end without an error; the largest RSS of the daemon meanwhile, in KiB. */
static long join_readers(const struct world *world, struct reader *readers, int count)
{
        long largest = 0;

        for (int i = 0; i < count; i++) {
                if (i % 50 == 0) {
                        long rss = world_rss_kib(world);

                        largest = rss > largest ? rss : largest;
                }
                cr_assert_eq(pthread_join(readers[i].thread, NULL), 0);
                cr_expect_eq(readers[i].error, 0, "%s: %s", readers[i].path,
                             strerror(readers[i].error));
        }
        return largest;
}

Test(many, fault_55_a_thousand_at_once)
{
        enum { ASSETS = SLOW_BUILD ? 300 : 1000 };
        struct world world;
        struct nginx nginx;
        struct reader *readers = calloc(ASSETS, sizeof(*readers));
        char(*hex)[HEX] = calloc(ASSETS, sizeof(*hex));
        char url[WORLD_PATH];

        cr_assert(readers && hex);
        world_begin(&world);
        for (int i = 0; i < ASSETS; i++)
                world_asset(&world, SMALL, hex[i]);
        nginx_start(&nginx, &world);
        snprintf(url, sizeof(url), "http://127.0.0.1:%d/few/{sha256}", nginx.port);
        world_mount(&world, "--origin", url, "--max-downloads", "16");
        start_readers(&world, readers, hex, ASSETS);

        long rss = join_readers(&world, readers, ASSETS);

        cr_expect_eq(nginx_logged(&nginx, " 200 "), ASSETS);
        cr_expect_eq(nginx_logged(&nginx, " 509 "), 0, "more than 16 at once");
        if (!SLOW_BUILD)
                cr_expect_lt(rss, RSS_MAX_KIB, "%ld KiB", rss);
        cr_expect_eq(world_logged(&world, "event=failed"), 0);
        world_unmount(&world);
        free(readers);
        free(hex);
        nginx_stop(&nginx);
        world_end(&world);
}

static int listed(const struct world *world)
{
        DIR *dir = opendir(world->mnt);
        int count = 0;

        cr_assert_not_null(dir);
        while (readdir(dir))
                count++;
        closedir(dir);
        return count;
}

/* What needs no download does not wait for one. */
static void expect_prompt(const struct world *world, const char *hit)
{
        int64_t took = INT64_MAX;
        struct stat st;

        for (int i = 0; i < TRIES && took > 2 * PROMPT_MS; i++) {
                int64_t start = now_ms();

                cr_expect_eq(world_open(world_path(world, hit)), 0);
                cr_expect_eq(stat(world_path(world, hit), &st), 0);
                cr_expect_eq(st.st_size, SMALL);
                cr_expect_geq(listed(world), 3);
                took = now_ms() - start;
        }
        cr_expect_leq(took, 2 * PROMPT_MS);
}

/* An origin that does not answer, asked for far more than may be downloaded at once. */
Test(many, fault_55_no_more_than_may_be_are_asked_for)
{
        enum { ASSETS = 40 };
        struct world world;
        struct opener openers[ASSETS];
        char hex[ASSETS][HEX];
        char hit[HEX];

        world_begin(&world);
        for (int i = 0; i < ASSETS; i++)
                world_asset(&world, SMALL, hex[i]);
        world_asset(&world, SMALL, hit);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, hit)), 0);
        world_unmount(&world);
        world_mount(&world, "--origin", world_url(&world, "gate"), "--max-downloads", "4");
        start_all(&world, openers, hex, ASSETS);
        opener_parked(&openers[ASSETS - 1]);
        sleep_ms(300);
        cr_expect_leq(world_requests(&world, "GET /gate/"), 4);
        cr_expect_geq(world_requests(&world, "GET /gate/"), 2);
        expect_prompt(&world, hit);
        world_open_gate(&world);
        cr_expect_eq(good_ones(openers, ASSETS, SURELY_MS), ASSETS);
        cr_expect_eq(world_requests(&world, "GET /gate/"), ASSETS);
        world_end(&world);
}

/* A catalog: the first assets are at one origin, the others at another. */
static void write_catalog(const char *path, const struct world *world, const struct nginx *nginx,
                          const char *mode, char (*hex)[HEX], int here, int there)
{
        FILE *file = fopen(path, "we");

        cr_assert_not_null(file);
        fprintf(file, "{\"assets\": {");
        for (int i = 0; i < here + there; i++) {
                fprintf(file, "%s\n\"a%d\": {\"sha256\": \"%s\", \"size\": %d, \"urls\": [\"",
                        i ? "," : "", i, hex[i], SMALL);
                if (i < here)
                        fprintf(file, "http://127.0.0.1:%d/%s/%s\"]}", world->port, mode, hex[i]);
                else
                        fprintf(file, "http://127.0.0.1:%d/%s\"]}", nginx->port, hex[i]);
        }
        fprintf(file, "}}\n");
        cr_assert_eq(fclose(file), 0);
}

/* One origin does not answer and holds the places that it got; another's assets come. */
static void expect_fair(const char *mode, bool ends)
{
        enum { DEAD = 40, GOOD = 5 };
        struct world world;
        struct nginx nginx;
        struct opener openers[DEAD + GOOD];
        char hex[DEAD + GOOD][HEX];
        char catalog[2 * WORLD_PATH];

        world_begin(&world);
        for (int i = 0; i < DEAD + GOOD; i++)
                world_asset(&world, SMALL, hex[i]);
        world_origin(&world);
        nginx_start(&nginx, &world);
        snprintf(catalog, sizeof(catalog), "%s/catalog.json", world.dir);
        write_catalog(catalog, &world, &nginx, mode, hex, DEAD, GOOD);
        /* The dead ones hold their places for longer than anything here takes. */
        world_mount(&world, "--catalog", catalog, "--max-downloads", "16", "--stall-timeout",
                    "300");
        start_all(&world, openers, hex, DEAD);
        opener_parked(&openers[DEAD - 1]);
        sleep_ms(300);
        start_all(&world, openers + DEAD, hex + DEAD, GOOD);
        cr_assert_eq(good_ones(openers + DEAD, GOOD, SURELY_MS), GOOD);
        expect_prompt(&world, hex[DEAD]);
        if (ends) {
                world_open_gate(&world);
                cr_expect_eq(good_ones(openers, DEAD, SURELY_MS), DEAD);
        }
        world_unmount(&world);
        nginx_stop(&nginx);
        world_end(&world);
}

Test(many, fault_55_an_origin_that_waits_does_not_hold_up_another)
{
        expect_fair("gate", true);
}

/* Their openers are told when assetfs is stopped, by the end of the test. */
Test(many, fault_55_a_dead_origin_does_not_hold_up_another)
{
        expect_fair("silent", false);
}
