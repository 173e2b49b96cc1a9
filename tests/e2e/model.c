/*
 * A model of the cache: random operations on a small universe of assets, three times as large
 * as the cache may be, and after each of them what is on disk against what may be there. The
 * model does not foretell which blobs go; it knows what must not happen:
 *
 *   a wrong byte, in what is opened, held open or mapped, whatever was killed meanwhile
 *   an error that nothing explains; ENOSPC while there is something to evict
 *   the eviction of what is pinned, open or mapped, or of one more recently opened than one that
 *   stays, or any while there was room
 *   more on disk than --cache-size, or than gc was told; a blob that nobody asked for
 *
 * Within the life of a worker the order of opens is exact. What is older is ordered by the
 * blobs' times, which are exact to a minute, and so is all one here, unless the clock was
 * set: what that leaves behind are blobs opened hours ago, or in the future.
 *
 * ASSETFS_SEED=N repeats a run, ASSETFS_MODEL_OPS=N makes it longer. A failure shows its
 * seed and the last operations.
 */
#include "tests/e2e/model.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OPERATIONS (SLOW_BUILD ? 40 : 120)
#define CROWD      4

static struct model model;

static void print_history(void)
{
        unsigned first = model.step > MODEL_HISTORY ? model.step - MODEL_HISTORY : 0;

        if (model.done || model.step == 0)
                return;
        fprintf(stderr, "model: ASSETFS_SEED=%u failed; the last operations:\n", model.seed);
        for (unsigned i = first; i < model.step; i++)
                fprintf(stderr, "%5u %s\n", i, model.history[i % MODEL_HISTORY]);
}

TestSuite(model, .timeout = 600, .fini = print_history);

/* One that `fits`; or NULL, after some tries. */
static struct asset *choose(bool (*fits)(const struct asset *))
{
        for (int tries = 0; tries < 50; tries++) {
                struct asset *asset = &model.assets[model_dice(&model, MODEL_ASSETS)];

                if (!fits || fits(asset))
                        return asset;
        }
        return NULL;
}

static bool is_absent(const struct asset *asset)
{
        return !asset->cached && asset->download->error == 0;
}

static bool is_idle(const struct asset *asset)
{
        return asset->cached && asset->holds == 0;
}

static int open_asset(const struct asset *asset)
{
        int fd = open(world_path(&model.world, asset->download->hex), O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

/* Opens it and says what came of it; the descriptor, or -1. */
static int open_checked(struct asset *asset, const char *what)
{
        int fd;

        model_say(&model, "%s %s", what, model_name(&model, asset));
        fd = open_asset(asset);
        /* A failure is remembered for a moment, at most two seconds. */
        for (int64_t until = now_ms() + 3000; fd == -ENOSPC && now_ms() < until; sleep_ms(100)) {
                if (!model_fits(&model, asset->download->size))
                        break;
                fd = open_asset(asset);
        }
        model_opened(&model, asset, fd < 0 ? -fd : 0, 0);
        model_observe(&model, asset->download->size, fd == -ENOSPC);
        return fd < 0 ? -1 : fd;
}

static void read_all(const struct asset *asset, int fd)
{
        static unsigned char chunk[MODEL_LARGEST + 1];
        ssize_t got = 0;
        size_t length = 0;

        while ((got = read(fd, chunk + length, sizeof(chunk) - length)) > 0)
                length += (size_t)got;
        cr_assert_eq(got, 0, "read: %s", strerror(errno));
        cr_assert_eq(length, asset->download->size);
        cr_assert_eq(memcmp(chunk, asset->bytes, length), 0, "a wrong byte");
}

static void do_open(void)
{
        struct asset *asset = choose(NULL);
        int fd = open_checked(asset, "open");

        if (fd >= 0) {
                read_all(asset, fd);
                close(fd);
        }
}

static struct hold *free_hold(void)
{
        for (int i = 0; i < MODEL_HOLDS; i++)
                if (!model.holds[i].asset)
                        return &model.holds[i];
        return NULL;
}

static void do_hold(void)
{
        struct hold *hold = free_hold();
        struct asset *asset = choose(NULL);
        int fd = hold ? open_checked(asset, "hold") : -1;

        if (fd < 0)
                return;
        *hold = (struct hold){asset, fd, NULL};
        asset->holds++;
}

/* Closed at once: the mapping alone keeps it. */
static void do_map(void)
{
        struct hold *hold = free_hold();
        struct asset *asset = choose(NULL);
        int fd = hold ? open_checked(asset, "map") : -1;

        if (fd < 0)
                return;
        if (asset->download->size > 0) {
                void *map = mmap(NULL, asset->download->size, PROT_READ, MAP_SHARED, fd, 0);

                cr_assert_neq(map, MAP_FAILED);
                *hold = (struct hold){asset, -1, map};
                asset->holds++;
        }
        close(fd);
}

static void compare_some(const struct hold *hold)
{
        static unsigned char chunk[65536];
        size_t size = hold->asset->download->size;
        size_t from = size ? model_dice(&model, (unsigned)size) : 0;
        size_t length = size - from < sizeof(chunk) ? size - from : sizeof(chunk);
        const unsigned char *found = hold->map ? hold->map + from : chunk;

        if (!hold->map)
                cr_assert_eq(pread(hold->fd, chunk, length, (off_t)from), (ssize_t)length);
        cr_assert_eq(memcmp(found, hold->asset->bytes + from, length), 0, "a wrong byte in %s",
                     hold->map ? "a mapping" : "an open file");
}

static void do_read(void)
{
        model_say(&model, "read what is held");
        for (int i = 0; i < MODEL_HOLDS; i++)
                if (model.holds[i].asset)
                        compare_some(&model.holds[i]);
}

static void release(struct hold *hold)
{
        struct asset *asset = hold->asset;

        if (!asset)
                return;
        model_say(&model, "let go of %s", model_name(&model, asset));
        if (hold->map)
                munmap(hold->map, asset->download->size);
        else
                close(hold->fd);
        asset->holds--;
        *hold = (struct hold){0};
}

static void do_release(void)
{
        release(&model.holds[model_dice(&model, MODEL_HOLDS)]);
}

/* Several at once; which of them is the last one nobody can say. */
static void do_crowd(void)
{
        struct opener openers[CROWD];
        struct asset *assets[CROWD];
        size_t sum = 0;

        for (int i = 0; i < CROWD; i++) {
                assets[i] = choose(NULL);
                sum += assets[i]->download->size;
                model_say(&model, "in a crowd: %s", model_name(&model, assets[i]));
                opener_start(&openers[i], world_path(&model.world, assets[i]->download->hex));
        }
        model.turn++;
        for (int i = 0; i < CROWD; i++) {
                model_opened(&model, assets[i], opener_result(&openers[i], SURELY_MS), sum);
                opener_gone(&openers[i], SURELY_MS);
        }
        model_settle(&model);
        model_observe(&model, sum, false);
}

static void do_kill_opener(void)
{
        struct asset *asset = choose(is_absent);
        struct opener opener;

        if (!asset)
                return;
        model_say(&model, "kill an opener of %s", model_name(&model, asset));
        opener_start(&opener, world_path(&model.world, asset->download->hex));
        sleep_ms((int)model_dice(&model, 20));
        kill(opener.pid, SIGKILL);
        cr_assert(opener_gone(&opener, SURELY_MS), "an opener that was killed is still there");
        model_settle(&model);
        asset->asked = true;
        model_touched(&model, asset);
        model_observe(&model, asset->download->size, false);
}

static void do_kill_worker(void)
{
        struct asset *asset = choose(is_absent);
        pid_t worker = world_worker(&model.world);
        struct opener opener;

        if (!asset)
                return;
        model_say(&model, "kill the worker below an opener of %s", model_name(&model, asset));
        opener_start(&opener, world_path(&model.world, asset->download->hex));
        sleep_ms((int)model_dice(&model, 20));
        kill(worker, SIGKILL);
        world_next_worker(&model.world, worker);
        model_forget_order(&model);
        model_opened(&model, asset, opener_result(&opener, SURELY_MS), 0);
        opener_gone(&opener, SURELY_MS);
        model_settle(&model);
        /* Either of the two workers may have made the room, each by what it knew. */
        model.two_orders = true;
        model_observe(&model, asset->download->size, false);
        model.two_orders = false;
}

static void release_all(void)
{
        for (int i = 0; i < MODEL_HOLDS; i++)
                release(&model.holds[i]);
}

static void do_restart(void)
{
        bool crash = model_dice(&model, 2);

        release_all();
        model_say(&model, crash ? "kill the supervisor, mount again" : "unmount, mount again");
        if (crash) {
                kill(model.world.daemon, SIGKILL);
                waitpid(model.world.daemon, NULL, 0);
        } else {
                world_unmount(&model.world);
        }
        model_mount(&model);
        model_forget_order(&model);
        model_observe(&model, 0, false);
}

static void do_reload(void)
{
        char output[4096];

        model_say(&model, "reload");
        cr_assert_eq(world_run(output, sizeof(output), "reload", model.world.mnt), 0, "%s", output);
        model_forget_order(&model);
        model_observe(&model, 0, false);
}

static void do_pin(void)
{
        struct asset *asset = choose(NULL);
        const char *verb = asset->pinned || model_pinned(&model) > MODEL_PINS ? "unpin" : "pin";
        char output[4096];

        model_say(&model, "%s %s", verb, model_name(&model, asset));
        cr_assert_eq(world_run(output, sizeof(output), verb, "--cache", model.world.cache,
                               asset->download->hex),
                     0, "%s", output);
        asset->pinned = strcmp(verb, "pin") == 0;
}

/* Within the daemon's bounds (then nothing goes), within others, or nothing that may go stays. */
static void do_gc(void)
{
        const unsigned sizes[] = {MODEL_CACHE, model_dice(&model, MODEL_CACHE), 0};
        unsigned size = sizes[model_dice(&model, 3)];
        char output[4096];
        char text[32];

        snprintf(text, sizeof(text), "%u", size);
        model_say(&model, "gc --cache-size %s", text);
        cr_assert_eq(world_run(output, sizeof(output), "gc", "--cache", model.world.cache,
                               size < MODEL_CACHE ? "--cache-size" : NULL, text),
                     0, "%s", output);
        model.bound = size;
        model_observe(&model, 0, false);
        model.bound = MODEL_CACHE;
}

/* Of what is open the times change when it is read, so those are left alone. */
static void do_set_clock(void)
{
        struct asset *asset = choose(is_idle);
        int hours = 2 + (int)model_dice(&model, 20);
        struct timespec times[2] = {{.tv_sec = time(NULL)}, {.tv_nsec = UTIME_OMIT}};

        if (!asset)
                return;
        asset->stale = false;
        asset->future = model_dice(&model, 4) == 0;
        asset->hours = hours;
        model_say(&model, "%s was opened %d hours %s", model_name(&model, asset), hours,
                  asset->future ? "from now" : "ago");
        times[0].tv_sec += (asset->future ? 1 : -1) * hours * 3600;
        cr_assert_eq(utimensat(AT_FDCWD, world_blob(&model.world, asset->download->hex), times, 0),
                     0);
}

static const struct {
        void (*run)(void);
        unsigned weight;
} operations[] = {
    {do_open, 90},  {do_hold, 25},      {do_map, 15},         {do_read, 25},       {do_release, 40},
    {do_pin, 15},   {do_crowd, 15},     {do_kill_opener, 10}, {do_kill_worker, 8}, {do_restart, 6},
    {do_reload, 3}, {do_set_clock, 20}, {do_gc, 6},
};

static void step(void)
{
        const size_t count = sizeof(operations) / sizeof(operations[0]);
        unsigned sum = 0;
        unsigned ticket;

        for (size_t i = 0; i < count; i++)
                sum += operations[i].weight;
        ticket = model_dice(&model, sum);
        for (size_t i = 0; i < count; i++) {
                if (ticket < operations[i].weight) {
                        operations[i].run();
                        return;
                }
                ticket -= operations[i].weight;
        }
}

Test(model, random_operations_keep_what_was_promised)
{
        const char *chosen = getenv("ASSETFS_SEED");
        const char *wanted = getenv("ASSETFS_MODEL_OPS");
        int count = wanted ? atoi(wanted) : OPERATIONS;

        model.seed = chosen ? (unsigned)strtoul(chosen, NULL, 10) : (unsigned)time(NULL);
        fprintf(stderr, "model: ASSETFS_SEED=%u\n", model.seed);
        model_begin(&model);
        for (int i = 0; i < count; i++)
                step();
        do_read();
        release_all();
        world_end(&model.world);
        model.done = true;
}
