/*
 * FAULTS, the worker: it is killed, stopped, wedged and replaced, and nobody who waits
 * or reads is told. The tests that kill run with and without passthrough.
 */
#include "tests/e2e/world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(worker, .timeout = 240);

#define SIZE 300000

#define SMALL 50000 /* one READ, where there are any */

#define ON  "-opassthrough=auto"
#define OFF "-opassthrough=off"

/* Load: processes that open, read and stat assets as fast as they can, and end with 1 at the
 * first error or wrong byte. */

enum { READERS = 4, ASSETS = 400 };

struct load {
        struct world *world;
        char hex[ASSETS][HEX];
        pid_t readers[READERS];
};

static int count_entries(const char *path)
{
        DIR *dir = opendir(path);
        int count = 0;

        errno = 0;
        while (dir && readdir(dir))
                count++;
        if (dir)
                closedir(dir);
        return errno ? -1 : count;
}

static void read_for_ever(const struct load *load, unsigned seed)
{
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (unsigned turn = 0;; turn++) {
                struct stat st;
                const char *path =
                    world_path(load->world, load->hex[(unsigned)rand_r(&seed) % ASSETS]);

                if (world_open(path) != 0 || stat(path, &st) < 0 || st.st_size == 0 ||
                    (turn % 16 == 0 && count_entries(load->world->mnt) < 3)) {
                        fprintf(stderr, "reader: %s: %s\n", path, strerror(errno));
                        _exit(1);
                }
        }
}

static void load_start(struct load *load, struct world *world)
{
        load->world = world;
        for (int i = 0; i < READERS; i++) {
                load->readers[i] = fork();
                if (load->readers[i] == 0)
                        read_for_ever(load, (unsigned)i + 1);
        }
}

static void load_end(struct load *load)
{
        for (int i = 0; i < READERS; i++) {
                int status = 0;

                cr_expect_eq(waitpid(load->readers[i], &status, WNOHANG), 0,
                             "reader %d saw an error", i);
                kill(load->readers[i], SIGKILL);
                waitpid(load->readers[i], &status, 0);
        }
        /* A reader may have been killed while the worker that downloaded for it was: what that one
         * had written is for the next open, which leaves nothing. */
        for (int i = 0; i < ASSETS; i++)
                cr_expect_eq(world_open(world_path(load->world, load->hex[i])), 0);
}

/* Kills the worker `times` times at random moments under load. */
static void kill_under_load(const char *passthrough, int times)
{
        static struct load load;
        static char content[SIZE];
        struct world world;
        char held[HEX];
        unsigned seed = (unsigned)getpid();
        pid_t worker;

        world_begin(&world);
        for (int i = 0; i < ASSETS; i++)
                world_asset(&world, 4096 + (size_t)i * 100, load.hex[i]);
        world_asset(&world, SIZE, held);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"), passthrough);

        int fd = open(world_path(&world, held), O_RDONLY | O_CLOEXEC);
        char *map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);

        cr_assert(fd >= 0 && map != MAP_FAILED);
        cr_assert_eq(pread(fd, content, SIZE, 0), SIZE);
        load_start(&load, &world);
        worker = world_worker(&world);
        for (int i = 0; i < (SLOW_BUILD ? times / 5 : times); i++) {
                sleep_ms((int)((unsigned)rand_r(&seed) % 40));
                cr_expect_eq(memcmp(map, content, SIZE), 0);
                kill(worker, SIGKILL);
                worker = world_next_worker(&world, worker);
                cr_expect_eq(pread(fd, content, 4096, 0), 4096, "an open file: %s",
                             strerror(errno));
        }
        load_end(&load);
        munmap(map, SIZE);
        close(fd);
        world_end(&world);
}

Test(worker, fault_47_killed_200_times_under_load)
{
        kill_under_load(ON, 200);
}

Test(worker, fault_47_killed_100_times_under_load_without_passthrough)
{
        kill_under_load(OFF, 100);
}

Test(worker, fault_47_a_hundred_blocked_openers_do_not_notice)
{
        enum { OPENERS = 100 };
        struct world world;
        struct opener openers[OPENERS];
        char hex[HEX];
        pid_t worker;

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "gate"));
        for (int i = 0; i < OPENERS; i++)
                opener_start(&openers[i], world_path(&world, hex));
        opener_parked(&openers[OPENERS - 1]);
        worker = world_worker(&world);
        for (int i = 0; i < 5; i++) {
                kill(worker, SIGKILL);
                worker = world_next_worker(&world, worker);
        }
        /* They can still be killed and interrupted. */
        kill(openers[0].pid, SIGKILL);
        cr_expect(opener_gone(&openers[0], SURELY_MS));
        world_open_gate(&world);
        for (int i = 1; i < OPENERS; i++)
                cr_expect_eq(opener_result(&openers[i], SURELY_MS), 0);
        world_end(&world);
}

/* An interruption that came before the worker died is not forgotten: no other is sent. */
Test(worker, fault_72_noise_then_a_kill_of_the_worker_then_a_signal)
{
        struct world world;
        struct opener opener;
        char hex[HEX];
        pid_t worker;

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "gate"));
        opener_start(&opener, world_path(&world, hex));
        opener_parked(&opener);
        kill(opener.pid, SIGSTOP);
        kill(opener.pid, SIGCONT);
        sleep_ms(100);
        worker = world_worker(&world);
        kill(worker, SIGKILL);
        world_next_worker(&world, worker);
        cr_expect_eq(opener_result(&opener, 300), -1, "it waits on");
        kill(opener.pid, SIGTERM);
        cr_expect(opener_gone(&opener, SURELY_MS), "state %c", process_state(opener.pid));
        world_open_gate(&world);
        world_end(&world);
}

/* The open's deadline is its own, not the worker's. */
Test(worker, open_timeout_runs_on_in_the_next_worker)
{
        struct world world;
        char hex[HEX];
        int64_t took = INT64_MAX;

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "gate"), "--open-timeout", "2");
        for (int i = 0; i < TRIES && took >= 2900; i++) {
                struct opener opener;
                int64_t start = now_ms();

                opener_start(&opener, world_path(&world, hex));
                opener_parked(&opener);
                sleep_ms(1000);

                pid_t worker = world_worker(&world);

                kill(worker, SIGKILL);
                world_next_worker(&world, worker);
                cr_expect_eq(opener_result(&opener, SURELY_MS), ETIMEDOUT);
                took = now_ms() - start;
        }
        cr_expect_lt(took, 2900, "one that begins anew takes 3 s");
        world_open_gate(&world);
        world_end(&world);
}

/* What is done to a mount, each kind of request once or twice; an error ends with its line. */
static int use_everything(const struct world *world, const char *first, const char *second)
{
        const char *path = world_path(world, first);
        struct opener opener;
        struct stat st;
        char byte;
        int entries = 0;
        DIR *dir;

        /* The first open ends a miss; whoever looks at no size must get bytes all the same. */
        int first_fd = open(path, O_RDONLY | O_CLOEXEC);
        int copy = memfd_create("copy", MFD_CLOEXEC);
        ssize_t copied = sendfile(copy, first_fd, NULL, SMALL);

        close(first_fd);
        close(copy);
        if (copied != SMALL)
                return __LINE__;
        opener_start(&opener, path);
        if (opener_result(&opener, SURELY_MS) != 0)
                return __LINE__;
        if (stat(path, &st) < 0 || st.st_size != SMALL || world_open(path) != 0)
                return __LINE__;

        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || pread(fd, &byte, 1, SMALL - 1) != 1 || fstat(fd, &st) < 0)
                return __LINE__;
        dir = opendir(world->mnt);
        while (dir && readdir(dir))
                entries++;
        if (!dir || closedir(dir) < 0 || entries != 5)
                return __LINE__;
        if (pread(fd, &byte, 1, 4096) != 1)
                return __LINE__;
        close(fd);
        if (world_open(world_path(world, second)) != 0)
                return __LINE__;
        return strcmp(world_xattr(path, "user.assetfs.state"), "cached") == 0 ? 0 : __LINE__;
}

/* Far more than the points that a request passes once more after a death. */
#define EVERY 57

/* A worker is killed at each point at which one may be: every 57th of them in one daemon's life,
 * beginning with the first, the second and so on in the next ones', or each `step`th of these from
 * a random one on. */
static void kill_at_points(const char *passthrough, int step)
{
        const char *killable = getenv("ASSETFS_KILLABLE");
        struct world world;
        char first[HEX];
        char second[HEX];
        char number[16];
        int lives = 0;
        int deaths;

        cr_assert(killable, "ASSETFS_KILLABLE names the binary");
        world_use_binary(killable);
        world_begin(&world);
        world_asset(&world, SMALL, first);
        world_asset(&world, 1000, second);
        world_origin(&world);
        snprintf(number, sizeof(number), "%d", EVERY);
        setenv("ASSETFS_KILL_EVERY", number, 1);
        for (int point = 1 + getpid() % step; point <= EVERY; point += step) {
                int line;

                snprintf(number, sizeof(number), "%d", point);
                setenv("ASSETFS_KILL_AT", number, 1);
                world_mount(&world, "--origin", world_url(&world, "ok"), passthrough);
                line = use_everything(&world, first, second);
                cr_assert_eq(line, 0, "killed from point %d on: line %d", point, line);
                world_unmount(&world);
                cr_assert_eq(world_shell("rm -rf '%s'", world.cache), 0);
                lives++;
        }
        deaths = world_logged(&world, "signal=KILL");
        cr_expect_gt(deaths, 2 * lives, "only %d deaths in %d lives", deaths, lives);
        cr_log_info("%d deaths in %d lives", deaths, lives);
        world_end(&world);
}

Test(worker, fault_47_killed_at_every_point, .timeout = 300)
{
        kill_at_points(ON, SLOW_BUILD ? 5 : 1);
}

/* Most of them are the same here: a third, another one each time. */
Test(worker, fault_47_killed_at_points_without_passthrough, .timeout = 300)
{
        kill_at_points(OFF, SLOW_BUILD ? 5 : 3);
}

Test(worker, fault_49_supervisor_killed)
{
        static char content[4 << 20];
        struct world world;
        struct stat st;
        char hex[HEX];
        pid_t worker;

        world_begin(&world);
        world_asset(&world, sizeof(content), hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        worker = world_worker(&world);

        int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);
        char *map = mmap(NULL, sizeof(content), PROT_READ, MAP_SHARED, fd, 0);

        cr_assert(fd >= 0 && map != MAP_FAILED);
        cr_expect_eq(stat(world.mnt, &st), 0, "the kernel knows the root's attributes");
        kill(world.daemon, SIGKILL);
        waitpid(world.daemon, NULL, 0);
        world.daemon = 0;
        for (int i = 0; i < 400 && process_state(worker) != '?'; i++)
                sleep_ms(5);
        cr_expect_eq(process_state(worker), '?', "the worker ends too");
        /* By passthrough the kernel needs nobody for what is open. */
        cr_expect_eq(pread(fd, content, sizeof(content), 0), (ssize_t)sizeof(content));
        cr_expect_eq(memcmp(map, content, sizeof(content)), 0);
        munmap(map, sizeof(content));
        close(fd);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_end(&world);
}

static pid_t thread_named(pid_t pid, const char *name)
{
        char command[256];
        char text[32] = "";

        snprintf(command, sizeof(command),
                 "grep -lx '%s' /proc/%d/task/*/comm | head -1 | cut -d/ -f5", name, pid);

        FILE *pipe = popen(command, "re");

        cr_assert(pipe && fgets(text, sizeof(text), pipe));
        pclose(pipe);
        return atoi(text);
}

/* A worker that is made useless in some way, while somebody waits. */
struct wedged {
        void (*wedge)(struct wedged *wedged, pid_t worker);
        const char *words; /* of the supervisor, when it sees it */
        struct world world;
        struct opener before;
        struct opener after;
        pid_t worker;
        pid_t holder; /* the strace that holds a thread; 0: none */
};

static void wedge_it(struct wedged *wedged)
{
        struct world *world = &wedged->world;
        char hex[HEX];
        char other[HEX];

        world_begin(world);
        world_asset(world, SIZE, hex);
        world_asset(world, SIZE, other);
        world_origin(world);
        world_mount(world, "--origin", world_url(world, "gate"));
        opener_start(&wedged->before, world_path(world, hex));
        opener_parked(&wedged->before);
        wedged->worker = world_worker(world);
        wedged->wedge(wedged, wedged->worker);
        sleep_ms(200);
        opener_start(&wedged->after, world_path(world, other));
}

/* Another one serves. An opener that was parked before and one that came after get their file. */
static void expect_replaced(struct wedged *wedged)
{
        struct world *world = &wedged->world;

        for (int i = 0; i < 1200 && !world_logged(world, wedged->words); i++)
                sleep_ms(50);
        cr_expect_eq(world_logged(world, wedged->words), 1, "no '%s'", wedged->words);
        if (wedged->holder) {
                /* It would also hold the dead thread back. */
                kill(wedged->holder, SIGKILL);
                waitpid(wedged->holder, NULL, 0);
        }
        world_next_worker(world, wedged->worker);
        world_open_gate(world);
        cr_expect_eq(opener_result(&wedged->before, SURELY_MS), 0);
        cr_expect_eq(opener_result(&wedged->after, SURELY_MS), 0);
        world_end(world);
}

static void stop_it(struct wedged *wedged, pid_t worker)
{
        (void)wedged;
        kill(worker, SIGSTOP);
}

/* strace holds the thread in a system call. */
static void hold(struct wedged *wedged, pid_t thread, const char *call)
{
        char number[16];
        char inject[64];

        wedged->holder = fork();
        if (wedged->holder == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                snprintf(number, sizeof(number), "%d", thread);
                snprintf(inject, sizeof(inject), "inject=%s:delay_enter=60s", call);
                execlp("strace", "strace", "-qq", "-o", "/dev/null", "-p", number, "-e", inject,
                       (char *)NULL);
                _exit(127);
        }
        cr_assert_gt(wedged->holder, 0);
        sleep_ms(500);
        cr_assert_eq(waitpid(wedged->holder, NULL, WNOHANG), 0, "strace does not hold it");
}

static void hold_a_request(struct wedged *wedged, pid_t worker)
{
        struct opener victim;

        hold(wedged, thread_named(worker, "requests"), "writev");
        /* One of the threads takes one of these. */
        for (int i = 0; i < 20; i++)
                opener_start(&victim, world_path(&wedged->world, "by-name"));
}

static void hold_the_loop(struct wedged *wedged, pid_t worker)
{
        hold(wedged, thread_named(worker, "transfers"), "poll");
}

/* Beside each other: each takes the time after which a worker counts as stuck. */
Test(worker, fault_50_stopped_a_request_stuck_the_transfers_stuck)
{
        static struct wedged wedged[] = {
            {.wedge = stop_it, .words = "event=stuck"},
            {.wedge = hold_a_request, .words = "a request was neither answered nor parked"},
            {.wedge = hold_the_loop, .words = "the transfer loop does not turn"},
        };

        for (size_t i = 0; i < 3; i++)
                wedge_it(&wedged[i]);
        for (size_t i = 0; i < 3; i++)
                expect_replaced(&wedged[i]);
}

/* A limit of memory that is shared with somebody greedy: the kernel picks the worker. */
static void out_of_memory(const char *passthrough)
{
        static const char group[] = "/sys/fs/cgroup/memory/assetfs-test";
        static struct load load;
        struct world world;
        pid_t worker;
        int deaths = 0;

        if (SLOW_BUILD)
                cr_skip_test("a sanitizer needs more memory than is given here");
        if (access("/sys/fs/cgroup/memory/memory.limit_in_bytes", F_OK) != 0 &&
            world_shell("mkdir -p /sys/fs/cgroup/memory && "
                        "mount -t cgroup -o memory none /sys/fs/cgroup/memory 2>/dev/null") != 0)
                cr_skip_test("no memory cgroup of version 1 here");
        world_begin(&world);
        for (int i = 0; i < ASSETS; i++)
                world_asset(&world, 4096, load.hex[i]);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"), passthrough);
        cr_assert_eq(world_shell("mkdir -p %s-%d && cd %s-%d && echo 64M >memory.limit_in_bytes && "
                                 "echo %d >cgroup.procs && echo %d >cgroup.procs",
                                 group, getpid(), group, getpid(), world.daemon,
                                 world_worker(&world)),
                     0);
        load_start(&load, &world);
        for (int i = 0; i < 5 && deaths < 2; i++) {
                worker = world_worker(&world);
                /* Four of them, in step, so that none is as large as what the worker counts for;
                 * they take what there is until it is gone. */
                world_shell("echo $$ >%s-%d/cgroup.procs\n"
                            "for i in 1 2 3 4; do timeout 10 perl -e 'my @a; while (kill 0, %d) { "
                            "push @a, \"x\" x 500000; last if @a > 100; "
                            "select undef, undef, undef, 0.02 }' & done; wait",
                            group, getpid(), worker);
                if (world_worker(&world) == worker)
                        continue; /* somebody else was picked */
                deaths++;
                world_next_worker(&world, worker);
        }
        cr_expect_geq(deaths, 1, "nobody was killed for memory");
        load_end(&load);
        world_unmount(&world);
        cr_expect_eq(world_shell("rmdir %s-%d", group, getpid()), 0);
        world_end(&world);
}

Test(worker, fault_51_over_its_memory_limit)
{
        out_of_memory(ON);
}

Test(worker, fault_51_over_its_memory_limit_without_passthrough)
{
        out_of_memory(OFF);
}

/* No worker can start: the supervisor says so, ends, and nobody hangs. */
Test(worker, fault_75_no_worker_can_start)
{
        struct world world;
        struct opener opener;
        char hex[HEX];
        pid_t worker;
        int status = 0;
        int64_t deadline = now_ms() + SURELY_MS;

        world_begin(&world);
        world.staging_may_stay = true;
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "gate"));
        opener_start(&opener, world_path(&world, hex));
        opener_parked(&opener);
        worker = world_worker(&world);
        /* One that runs may make anew what is removed, and the supervisor the cache itself. */
        kill(worker, SIGSTOP);
        cr_assert_eq(world_shell("rm -rf '%s/blobs' && touch '%s/blobs'", world.cache, world.cache),
                     0);
        kill(worker, SIGKILL);
        while (waitpid(world.daemon, &status, WNOHANG) == 0 && now_ms() < deadline)
                sleep_ms(20);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status %d", status);
        world.daemon = 0;
        cr_expect_neq(opener_result(&opener, SURELY_MS), 0);
        cr_expect_eq(world_logged(&world, "event=given-up"), 1);
        cr_expect_geq(world_logged(&world, "in the cache: Not a directory"), 1, "it says why");
        world_end(&world);
}
