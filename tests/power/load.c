/*
 * The load under which the power is cut: opens, broken transfers, evictions, removals, killed
 * workers, and somebody else's writes to the same disk. The cuts are not its business.
 */
#include "tests/power/run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELD 2

void load_make_assets(struct run *run)
{
        unsigned seed = run->seed;

        for (unsigned i = 0; i < ASSETS; i++) {
                run->sizes[i] = 30000 + rand_r(&seed) % (i % 4 ? 300000 : 1000000);
                world_asset(&run->world, (size_t)run->sizes[i], run->hex[i]);
        }
}

/* What is promised of an asset that is open: it is durable, and nobody removes it. So the mark
 * is set once open has returned, and taken away before the close. */
static void keep_opening(struct run *run, unsigned me)
{
        unsigned seed = run->seed + me;
        int held[HELD];
        unsigned asset[HELD];

        memset(held, -1, sizeof(held));
        for (unsigned turn = 0;; turn = (turn + 1) % HELD) {
                if (held[turn] >= 0) {
                        atomic_store(&run->disk->marks[asset[turn]], false);
                        close(held[turn]);
                        /* The others are for the daemon to evict. */
                        if (rand_r(&seed) % 4 == 0)
                                unlink(world_blob(&run->world, run->hex[asset[turn]]));
                }
                asset[turn] = me * EACH + (unsigned)rand_r(&seed) % EACH;
                for (unsigned i = 0; i < HELD; i++)
                        if (i != turn && held[i] >= 0 && asset[i] == asset[turn])
                                asset[turn] = ASSETS;
                held[turn] = -1;
                if (asset[turn] == ASSETS)
                        continue;
                held[turn] =
                    open(world_path(&run->world, run->hex[asset[turn]]), O_RDONLY | O_CLOEXEC);
                if (held[turn] >= 0)
                        atomic_store(&run->disk->marks[asset[turn]], true);
                sleep_ms(5);
        }
}

/* Somebody else on the same file system, who commits its journal all the time: with a rename
 * in it, and without the bytes of the file that nobody flushed. */
static void keep_committing(const struct run *run)
{
        char path[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/somebody", run->world.cache);

        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        for (unsigned i = 0;; i++) {
                if (pwrite(fd, &i, sizeof(i), i % 64 * 4096) < 0 ||
                    ftruncate(fd, i % 64 * 4096 + 1) || fsync(fd) < 0)
                        sleep_ms(5);
                sleep_ms(10);
        }
}

static void start_child(struct run *run, unsigned i)
{
        run->children[i] = fork();
        cr_assert(run->children[i] >= 0);
        if (run->children[i] > 0)
                return;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (i < OPENERS)
                keep_opening(run, i);
        else
                keep_committing(run);
        _exit(0);
}

void load_start(struct run *run)
{
        for (unsigned i = 0; i <= OPENERS; i++)
                start_child(run, i);
}

void load_stop(struct run *run)
{
        for (unsigned i = 0; i <= OPENERS; i++) {
                kill(run->children[i], SIGKILL);
                waitpid(run->children[i], NULL, 0);
        }
}

void load_signal(const struct run *run, int signal)
{
        for (unsigned i = 0; i <= OPENERS; i++)
                kill(run->children[i], signal);
}

void load_wait_for_eviction(const struct run *run)
{
        int64_t deadline = now_ms() + SURELY_MS;

        while (world_logged(&run->world, "event=evicted") == 0) {
                cr_assert(now_ms() < deadline, "nothing is evicted; see %s", run->world.log);
                sleep_ms(20);
        }
}

/* The daemon's first worker serves since the mount answers, and no line of the log names it. */
void load_kill_worker(struct run *run)
{
        pid_t worker =
            run->killed ? world_next_worker(&run->world, run->killed) : world_worker(&run->world);

        cr_assert_gt(worker, 0);
        kill(worker, SIGKILL);
        run->killed = worker;
}
