/*
 * FAULTS row 42: the power is cut at any moment of a download, of a publication and of an
 * eviction, and the blob is absent or whole. Real ext4 and xfs on the disk of
 * tests/power/disk.c; the load of load.c goes on while the cuts are taken.
 *
 * After each cut the journal is replayed by a mount of the image, and replay.c says what has
 * to hold: names, promises, and a daemon that starts by itself and goes on.
 */
#include "tests/power/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CUTS 5

/* A commit each second is what a busy machine does anyway. */
static const struct file_system ext4 = {"128M", "mkfs.ext4 -q -E lazy_itable_init=0,nodiscard",
                                        "commit=1"};
static const struct file_system xfs = {"320M", "mkfs.xfs -q -K", "nouuid"};

static void begin(struct run *run, const struct file_system *kind)
{
        const char *chosen = getenv("POWER_SEED");
        char image[2 * WORLD_PATH];
        char point[2 * WORLD_PATH];
        char slow[WORLD_PATH];

        run->seed = chosen ? (unsigned)strtoul(chosen, NULL, 10) : (unsigned)time(NULL);
        run->kind = kind;
        world_begin(&run->world);
        load_make_assets(run);
        snprintf(image, sizeof(image), "%s/image", run->world.dir);
        snprintf(point, sizeof(point), "%s/power", run->world.dir);
        cr_assert_eq(world_shell("PATH=$PATH:/usr/sbin; truncate -s %s '%s' && %s '%s'", kind->size,
                                 image, kind->make, image),
                     0);
        run->disk = disk_start(point, image);
        unlink(image);
        cr_assert_eq(world_shell("mkdir '%s' && mount -o loop,%s '%s/disk' '%s'", run->world.cache,
                                 kind->options, point, run->world.cache),
                     0);
        world_give_cache(&run->world);
        world_origin(&run->world);
        snprintf(slow, sizeof(slow), "%s", world_url(&run->world, "x.rate2048.reset.mid.0"));
        world_mount(&run->world, "--cache-size", "8M", "--origin", slow, "--origin",
                    world_url(&run->world, "x.rate4096"));
        load_start(run);
}

static void end(struct run *run)
{
        load_stop(run);
        world_unmount(&run->world);
        replay_unmount(run->world.cache);
        disk_end(run->disk);
        run->world.staging_may_stay = true;
        world_end(&run->world);
}

/* As anybody may: then there is staging with bytes in it. */
static void flush_all(const struct run *run)
{
        int fd = open(run->world.cache, O_RDONLY | O_CLOEXEC);

        syncfs(fd);
        close(fd);
}

/* The moment that an open of ours returns: whoever had the answer has it now. */
static void cut_at_answer(struct run *run, const char *image, unsigned *seed)
{
        unsigned own = OWN + (unsigned)rand_r(seed) % EACH;
        int64_t deadline = now_ms() + SURELY_MS;
        int fd;

        unlink(world_blob(&run->world, run->hex[own]));
        /* All that the cache may be can be open, or under way. */
        while ((fd = open(world_path(&run->world, run->hex[own]), O_RDONLY | O_CLOEXEC)) < 0) {
                cr_assert(now_ms() < deadline, "%s: %s", run->hex[own], strerror(errno));
                sleep_ms(5);
        }
        atomic_store(&run->disk->marks[own], true);
        disk_cut_now(run->disk, image, (enum disk_loss)(rand_r(seed) % 3), (unsigned)rand_r(seed));
        atomic_store(&run->disk->marks[own], false);
        close(fd);
        run->tally.answered++;
}

static void cut_once(struct run *run, unsigned number, unsigned *seed)
{
        char image[2 * WORLD_PATH];
        const struct tally before = run->tally;

        snprintf(image, sizeof(image), "%s/cut", run->world.dir);
        /* The first cut may come while the cache is being made. */
        if (number > 0)
                load_wait_for_eviction(run);
        sleep_ms(20 + rand_r(seed) % 200);
        if (rand_r(seed) % 4 == 0)
                load_kill_worker(run);
        if (rand_r(seed) % 3 == 0)
                flush_all(run);
        if (number % 2)
                cut_at_answer(run, image, seed);
        else
                cr_assert(disk_cut(run->disk, image, (unsigned)rand_r(seed) % 40,
                                   (enum disk_loss)(rand_r(seed) % 3), (unsigned)rand_r(seed)),
                          "nothing is written");
        load_signal(run, SIGSTOP);
        replay_image(run, image);
        load_signal(run, SIGCONT);

        const struct tally *now = &run->tally;

        printf("power: cut %u: %u of %u unflushed writes' pieces lost; %u published, %u of them "
               "before an open had it, %u staged (%u sealed), %u empty\n",
               number, run->disk->lost, run->disk->unflushed, now->blobs - before.blobs,
               now->unanswered - before.unanswered, now->staged - before.staged,
               now->sealed - before.sealed, now->empty - before.empty);
}

static void cut_often(const struct file_system *kind)
{
        static struct run run;
        const char *cuts = getenv("POWER_CUTS");
        unsigned count = cuts && *cuts ? (unsigned)strtoul(cuts, NULL, 10) : CUTS;

        begin(&run, kind);
        printf("power: POWER_SEED=%u\n", run.seed);

        unsigned seed = run.seed;

        for (unsigned i = 0; i < count && !run.tally.broken; i++)
                cut_once(&run, i, &seed);

        const struct tally *tally = &run.tally;
        int evicted = world_logged(&run.world, "event=evicted");

        end(&run);
        printf("power: %u cuts: %u published, %u without an opener, %u at an answer, %u staged, "
               "%u sealed, %u empty, %u resumed; %d evictions logged\n",
               count, tally->blobs, tally->unanswered, tally->answered, tally->staged,
               tally->sealed, tally->empty, tally->resumed, evicted);
        cr_assert_eq(tally->broken, 0, "POWER_SEED=%u", run.seed);
        /* A run that saw neither proves nothing. */
        cr_assert_gt(tally->blobs, 0);
        cr_assert_gt(tally->staged + tally->empty, 0);
}

TestSuite(power, .timeout = 1200);

Test(power, fault_42_ext4)
{
        cut_often(&ext4);
}

Test(power, fault_42_xfs)
{
        cut_often(&xfs);
}
