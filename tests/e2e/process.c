/*
 * FAULTS, processes: who mounts, who opens, who is killed.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(process, .timeout = 180);

#define SIZE 300000

static const char nothing[] = "0000000000000000000000000000000000000000000000000000000000000000";

Test(process, fault_52_two_daemons_one_cache)
{
        struct world world;
        char output[1024];
        char other[2 * WORLD_PATH];

        world_begin(&world);
        world_mount(&world, "--origin", "file:///{sha256}");
        snprintf(other, sizeof(other), "%s/other", world.dir);
        mkdir(other, 0755);
        cr_expect_eq(world_run(output, sizeof(output), "mount", "--user", WORKER_USER, "--cache",
                               world.cache, "--origin", "file:///{sha256}", other),
                     1);
        cr_expect(strstr(output, "another assetfs (pid "), "%s", output);
        cr_expect_eq(strchr(output, '\n') - output + 1, (long)strlen(output), "one line");
        world_end(&world);
}

Test(process, fault_52_mount_points)
{
        struct world world;
        char output[1024];
        char path[2 * WORLD_PATH];
        char cache[2 * WORLD_PATH];

        world_begin(&world);
        world_mount(&world, "--origin", "file:///{sha256}");
        snprintf(cache, sizeof(cache), "%s/cache2", world.dir);
#define TRY(where)                                                                                 \
        world_run(output, sizeof(output), "mount", "--user", WORKER_USER, "--cache", cache,        \
                  "--origin", "file:///{sha256}", where)
        cr_expect_eq(TRY(world.mnt), 1);
        cr_expect(strstr(output, "busy"), "%s", output);
        snprintf(path, sizeof(path), "%s/missing", world.dir);
        cr_expect_eq(TRY(path), 1);
        cr_expect(strstr(output, "No such file"), "%s", output);
        world_text(path, "a file");
        cr_expect_eq(TRY(path), 1);
        cr_expect(strstr(output, "Not a directory"), "%s", output);
        snprintf(path, sizeof(path), "%s/cache2/below", world.dir);
        cr_assert_eq(mkdir(path, 0700), 0);
        cr_expect_eq(TRY(path), 1);
        cr_expect(strstr(output, "inside the cache"), "%s", output);
#undef TRY
        world_end(&world);
}

Test(process, fault_52_stale_mount_is_replaced)
{
        struct world world;
        struct stat st;

        world_begin(&world);
        world_mount(&world, "--origin", "file:///{sha256}");
        kill(world.daemon, SIGKILL);
        waitpid(world.daemon, NULL, 0);
        world.daemon = 0;
        for (int i = 0; i < SURELY_MS / 5 && stat(world.mnt, &st) == 0; i++)
                sleep_ms(5); /* the worker is being ended by the kernel */
        cr_expect_eq(stat(world.mnt, &st), -1);
        cr_expect_eq(errno, ENOTCONN);
        world_mount(&world, "--origin", "file:///{sha256}");
        cr_expect_eq(stat(world.mnt, &st), 0);
        world_end(&world);
}

/* The kernel keeps the root's attributes: a stat does not tell that the daemon is dead. */
Test(process, fault_52_stale_mount_that_was_looked_at)
{
        struct world world;
        struct stat st;

        world_begin(&world);
        world_mount(&world, "--origin", "file:///{sha256}");
        cr_expect_eq(stat(world.mnt, &st), 0);
        kill(world.daemon, SIGKILL);
        waitpid(world.daemon, NULL, 0);
        world.daemon = 0;
        world_mount(&world, "--origin", "file:///{sha256}");
        cr_expect_eq(world_shell("ls %s >/dev/null", world.mnt), 0);
        world_end(&world);
}

/* A dead mount that is not ours is not touched. */
Test(process, fault_52_foreign_dead_mount_stays)
{
        struct world world;
        char output[1024];
        char options[128];
        struct stat st;
        int fd;

        world_begin(&world);
        fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        cr_assert(fd >= 0);
        snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
        cr_assert_eq(mount("foreign", world.mnt, "fuse.foreign", 0, options), 0);
        close(fd);
        cr_expect_eq(stat(world.mnt, &st), -1);
        cr_expect_eq(world_run(output, sizeof(output), "mount", "--user", WORKER_USER, "--cache",
                               world.cache, "--origin", "file:///{sha256}", world.mnt),
                     1);
        cr_expect(strstr(output, "not an assetfs"), "%s", output);
        cr_expect_eq(umount2(world.mnt, MNT_DETACH), 0, "it is still there");
        world_end(&world);
}

Test(process, fault_54_a_thousand_openers_one_get)
{
        enum { OPENERS = 1000 };
        struct world world;
        struct opener *openers = calloc(OPENERS, sizeof(*openers));
        char hex[HEX];
        int opened = 0;

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        /* A thousand processes may take longer to start than a transfer may stand still. */
        world_mount(&world, "--origin", world_url(&world, "gate"), "--stall-timeout", "300");
        for (int i = 0; i < OPENERS; i++)
                opener_start(&openers[i], world_path(&world, hex));
        opener_parked(&openers[OPENERS - 1]);
        world_open_gate(&world);
        for (int i = 0; i < OPENERS; i++)
                opened += opener_result(&openers[i], SURELY_MS) == 0;
        cr_expect_eq(opened, OPENERS);
        cr_expect_eq(world_requests(&world, "GET"), 1);
        free(openers);
        world_end(&world);
}

static void on_signal(int number)
{
        (void)number;
}

/* An opener with a handler for SIGINT and SIGURG and the like, without SA_RESTART. */
static void handling_opener(struct opener *opener, const char *path)
{
        struct sigaction action = {.sa_handler = on_signal};
        struct sigaction before[3];

        sigaction(SIGINT, &action, &before[0]);
        sigaction(SIGURG, &action, &before[1]);
        sigaction(SIGCHLD, &action, &before[2]);
        opener_start(opener, path);
        sigaction(SIGINT, &before[0], NULL);
        sigaction(SIGURG, &before[1], NULL);
        sigaction(SIGCHLD, &before[2], NULL);
}

/* What does not interrupt an opener; it waits on. */
static void make_noise(struct opener *opener)
{
        kill(opener->pid, SIGURG);
        kill(opener->pid, SIGCHLD);
        kill(opener->pid, SIGSTOP);
        sleep_ms(50);
        kill(opener->pid, SIGCONT);
        cr_expect_eq(opener_result(opener, 300), -1, "noise goes by");
}

/* An opener that gets the signal, perhaps after some noise, is gone; and promptly. */
static void expect_prompt_end(struct world *world, const char *hex, int signal, bool noise)
{
        int64_t took = INT64_MAX;

        for (int i = 0; i < TRIES && took > PROMPT_MS; i++) {
                struct opener opener;

                handling_opener(&opener, world_path(world, hex));
                opener_parked(&opener);
                if (noise)
                        make_noise(&opener);

                int64_t start = now_ms();

                kill(opener.pid, signal);
                if (signal == SIGINT)
                        cr_expect_eq(opener_result(&opener, SURELY_MS), EINTR);
                else
                        cr_expect(opener_gone(&opener, SURELY_MS), "signal %d, state %c", signal,
                                  process_state(opener.pid));
                took = now_ms() - start;
        }
        cr_expect_leq(took, PROMPT_MS, "signal %d: %jd ms", signal, (intmax_t)took);
}

Test(process, fault_56_openers_are_killed)
{
        struct world world;
        struct opener first;
        struct opener second;
        struct opener third;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "gate"));
        opener_start(&first, world_path(&world, hex));
        opener_parked(&first);
        opener_start(&second, world_path(&world, hex));
        opener_parked(&second);
        kill(first.pid, SIGKILL);
        cr_expect(opener_gone(&first, SURELY_MS), "state %c", process_state(first.pid));
        cr_expect_eq(opener_result(&second, 200), -1, "the other one goes on waiting");
        kill(second.pid, SIGKILL);
        cr_expect(opener_gone(&second, SURELY_MS), "state %c", process_state(second.pid));
        expect_prompt_end(&world, hex, SIGKILL, false);
        /* Nobody waits, and the flight goes on: who comes later joins it. */
        opener_start(&third, world_path(&world, hex));
        opener_parked(&third);
        world_open_gate(&world);
        cr_expect_eq(opener_result(&third, SURELY_MS), 0);
        cr_expect_eq(world_requests(&world, "GET"), 1);
        world_end(&world);
}

Test(process, fault_56_the_flight_ends_without_openers)
{
        struct world world;
        struct opener opener;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "half-gate"));
        opener_start(&opener, world_path(&world, hex));
        opener_parked(&opener);
        /* What nobody waits for before it has begun is not begun. */
        for (int i = 0; i < SURELY_MS / 10 && world_requests(&world, "GET") == 0; i++)
                sleep_ms(10);
        kill(opener.pid, SIGKILL);
        cr_expect(opener_gone(&opener, SURELY_MS));
        world_open_gate(&world);
        for (int i = 0; i < SURELY_MS / 10 && access(world_blob(&world, hex), F_OK) != 0; i++)
                sleep_ms(10);
        cr_expect_eq(access(world_blob(&world, hex), F_OK), 0);
        world_end(&world);
}

Test(process, fault_57_hits_beside_500_parked_opens)
{
        enum { OPENERS = 500 };
        struct world world;
        struct opener *openers = calloc(OPENERS, sizeof(*openers));
        char hit[HEX];
        char name[HEX];
        int late = 0;

        world_begin(&world);
        world_asset(&world, SIZE, hit);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_assert_eq(world_open(world_path(&world, hit)), 0);
        world_unmount(&world);
        world_mount(&world, "--origin", world_url(&world, "silent"), "--stall-timeout", "300");
        for (int i = 0; i < OPENERS; i++) {
                snprintf(name, sizeof(name), "%064x", i + 1);
                opener_start(&openers[i], world_path(&world, name));
        }
        opener_parked(&openers[OPENERS - 1]);
        for (int i = 0; i < 20; i++) {
                int64_t start = now_ms();

                cr_expect_eq(world_open(world_path(&world, hit)), 0);
                late += now_ms() - start >= 200;
        }
        cr_expect_leq(late, 10, "%d of 20 hits were late", late);
        cr_expect_eq(world_shell("timeout 30 ls '%s' >/dev/null && timeout 30 df '%s' >/dev/null",
                                 world.mnt, world.mnt),
                     0);
        for (int i = 0; i < OPENERS; i++)
                kill(openers[i].pid, SIGKILL);
        for (int i = 0; i < OPENERS; i++)
                cr_expect(opener_gone(&openers[i], SURELY_MS));
        free(openers);
        /* The silent origin's flights go on; they end with the daemon. */
        world_unmount(&world);
        world_end(&world);
}

/* A child that stats, for a stat that may wait. */
static pid_t stat_in_child(const char *path)
{
        pid_t child = fork();

        if (child == 0) {
                struct stat st;

                _exit(stat(path, &st) == 0 ? 0 : errno);
        }
        return child;
}

static int wait_status(pid_t child, int timeout_ms)
{
        int64_t deadline = now_ms() + timeout_ms;
        int status = 0;

        while (waitpid(child, &status, WNOHANG) == 0) {
                if (now_ms() > deadline)
                        return -1;
                sleep_ms(2);
        }
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Test(process, fault_71_dead_origin_disturbs_nobody_else)
{
        struct world world;
        char hit[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hit);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_assert_eq(world_open(world_path(&world, hit)), 0);
        world_unmount(&world);
        world_mount(&world, "--origin", world_url(&world, "silent"));

        pid_t one = stat_in_child(world_path(&world, nothing));
        pid_t two = stat_in_child(world_path(&world, nothing));
        pid_t killed = stat_in_child(world_path(&world, nothing));

        sleep_ms(100);

        int64_t start = now_ms();

        cr_expect_eq(world_shell("touch '%s/new' 2>/dev/null", world.mnt), 1);
        cr_expect_eq(
            world_shell("ls '%s' >/dev/null && find '%s' >/dev/null", world.mnt, world.mnt), 0);
        cr_expect_eq(world_open(world_path(&world, hit)), 0);
        cr_expect_lt(now_ms() - start, 4000, "what waits for the origin takes 5 s");
        cr_expect_neq(process_state(one), 'D');
        cr_expect_neq(process_state(two), 'D');
        kill(killed, SIGKILL);
        cr_expect_eq(wait_status(killed, SURELY_MS), 128 + SIGKILL);
        cr_expect_eq(waitpid(one, NULL, WNOHANG), 0, "it was gone before the others had an answer");
        cr_expect_eq(wait_status(one, SURELY_MS), ETIMEDOUT);
        cr_expect_eq(wait_status(two, SURELY_MS), ETIMEDOUT);
        cr_expect_lt(now_ms() - start, 15000, "5 s, and what the machine adds");
        world_end(&world);
}

Test(process, fault_72_noise_does_not_interrupt)
{
        static const int ends[] = {SIGINT, SIGTERM, SIGKILL};
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "gate"));
        for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
                expect_prompt_end(&world, hex, ends[i], true);

        /* And the one that only ever saw noise gets its file. */
        struct opener patient;

        handling_opener(&patient, world_path(&world, hex));
        opener_parked(&patient);
        for (int i = 0; i < 20; i++) {
                kill(patient.pid, SIGURG);
                sleep_ms(5);
        }
        world_open_gate(&world);
        cr_expect_eq(opener_result(&patient, SURELY_MS), 0);
        world_end(&world);
}

Test(process, fault_48_sigterm_gives_waiters_an_errno)
{
        struct world world;
        struct opener opener;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world.staging_may_stay = true;
        world_mount(&world, "--origin", world_url(&world, "half-gate"));
        opener_start(&opener, world_path(&world, hex));
        opener_parked(&opener);
        world_unmount(&world);
        cr_expect_eq(opener_result(&opener, SURELY_MS), ECANCELED);
        world_end(&world);
}

Test(process, fault_48_sigterm_with_open_files_ends_too)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));

        int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

        cr_assert(fd >= 0);
        world_unmount(&world);
        close(fd);
        world_end(&world);
}

static void expect_end(struct world *world)
{
        int status = -1;
        int64_t deadline = now_ms() + SURELY_MS;

        while (waitpid(world->daemon, &status, WNOHANG) == 0 && now_ms() < deadline)
                sleep_ms(5);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
        world->daemon = 0;
}

Test(process, umount_sigint_and_fusermount_end_it)
{
        struct world world;

        world_begin(&world);
        world_mount(&world, "--origin", "file:///{sha256}");
        cr_expect_eq(world_shell("umount '%s'", world.mnt), 0);
        expect_end(&world);
        world_mount(&world, "--origin", "file:///{sha256}");
        cr_expect_eq(world_shell("fusermount3 -u '%s'", world.mnt), 0);
        expect_end(&world);
        world_mount(&world, "--origin", "file:///{sha256}");
        kill(world.daemon, SIGINT);
        expect_end(&world);
        world_end(&world);
}

/* In the background: returns when the mount answers, says nothing, holds no descriptor. */
Test(process, background)
{
        struct world world;
        char output[1024];
        char catalog[2 * WORLD_PATH];
        struct stat st;

        world_begin(&world);
        snprintf(catalog, sizeof(catalog), "%s/SHA256SUMS", world.dir);
        world_text(catalog, "%s  nothing\n", nothing);
        /* world_run() reads until every holder of the pipe is gone: this would hang. */
        cr_expect_eq(world_run(output, sizeof(output), "mount", "--user", WORKER_USER, "--cache",
                               world.cache, "--origin", "file:///{sha256}", "--catalog", catalog,
                               world.mnt),
                     0);
        cr_expect_str_eq(output, "");
        cr_expect_eq(stat(world_path(&world, "by-name"), &st), 0);
        cr_expect_eq(world_shell("test $(readlink '%s') = ../%s",
                                 world_path(&world, "by-name/nothing"), nothing),
                     0);
        cr_expect_eq(world_shell("umount '%s'", world.mnt), 0);
        /* Its lock is free again: it is gone. */
        cr_expect_eq(world_shell("flock -w 30 '%s/lock' true", world.cache), 0);
        world_end(&world);
}

Test(process, failures_are_one_line)
{
        struct world world;
        char output[1024];
        static const char *const bad[][8] = {
            {"mount"},
            {"mount", "/tmp"},
            {"mount", "--origin", "http://host/no-mark", "/tmp"},
            {"mount", "--origin", "gs://bucket", "/tmp"},
            {"mount", "--origin", "http://user:secret@host/{sha256}", "/tmp"},
            {"mount", "--origin", "file:///{sha256}", "--max-asset-size", "8X", "/tmp"},
            {"mount", "--origin", "file:///{sha256}", "-o", "nonsense", "/tmp"},
            {"mount", "--nonsense", "/tmp"},
            {"nonsense"},
            {"help", "worker"},
            {"status"},
            {"status", "--json", "--watch", "/tmp"},
            {"status", "--watch=0", "/tmp"},
            {"ls"},
            {"ls", "--cache", "/tmp", "/tmp"},
            {"prefetch", "/tmp"},
            {"prefetch", "--jobs", "0", "/tmp", "name"},
            {"cancel", "/tmp"},
        };

        world_begin(&world);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                cr_expect_eq((world_run)(output, sizeof(output), bad[i]), 2, "case %zu", i);
                cr_expect(strstr(output, "assetfs"), "case %zu: %s", i, output);
        }
        cr_expect_eq(world_run(output, sizeof(output), "mount", "--user", WORKER_USER, "--cache",
                               world.cache, "--origin", "file:///{sha256}", "--ca", "/nonexistent",
                               world.mnt),
                     1);
        cr_expect_eq(world_run(output, sizeof(output), "mount", "--user", WORKER_USER, "--cache",
                               world.cache, "--origin", "file:///{sha256}", "--catalog",
                               "/nonexistent", world.mnt),
                     1);
        cr_expect_eq(strchr(output, '\n') - output + 1, (long)strlen(output), "%s", output);
        world_end(&world);
}

Test(process, help_is_asked_for_and_succeeds)
{
        static const struct {
                const char *const asked[4];
                const char *told;
        } cases[] = {
            {{"--help"}, "  prefetch "},
            {{"-h"}, "  status "},
            {{"help"}, "  ls "},
            {{"mount", "--help"}, "--max-asset-size SIZE"},
            {{"mount", "-h"}, "--max-asset-size SIZE"},
            {{"help", "mount"}, "--max-asset-size SIZE"},
            {{"prefetch", "--help"}, "--jobs N"},
            {{"status", "-h"}, "--watch"},
            {{"cancel", "--help"}, "ECANCELED"},
            {{"reload", "--help"}, "usage: assetfs reload"},
            {{"ls", "--help"}, "--cache DIR"},
        };
        char output[8192];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cr_expect_eq((world_run)(output, sizeof(output), cases[i].asked), 0);
                cr_expect(strstr(output, cases[i].told), "%zu: %s", i, output);
        }
}

/* Not root: the same binary, by way of fusermount3, for a user of its own. */
Test(process, not_root)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        cr_assert_eq(chown(world.mnt, 65534, 65534), 0);
        cr_assert_eq(world_shell("mkdir '%1$s/user' && chown 65534:65534 '%1$s/user' && "
                                 "cp \"$ASSETFS\" '%1$s/assetfs'",
                                 world.dir),
                     0);

        /* A device of its own, for machines where /dev/fuse is root's alone. */
        int status =
            world_shell("unshare -m sh -c '\n"
                        "  mknod %1$s/fuse c 10 229 && chmod 666 %1$s/fuse || exit 2\n"
                        "  mount --bind %1$s/fuse /dev/fuse || exit 2\n"
                        "  exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c \"\n"
                        "    cd / && %1$s/assetfs mount --cache %1$s/user/cache"
                        " --origin file://%2$s/{sha256} %3$s || exit 3\n"
                        "    sha256sum <%3$s/%4$s | grep -q %4$s || exit 4\n"
                        "    fusermount3 -u %3$s || exit 5\"'",
                        world.dir, world.files, world.mnt, hex);

        cr_expect_eq(status, 0, "step %d", status);
        cr_expect_eq(world_shell("flock -w 30 '%s/user/cache/lock' true", world.dir), 0);
        world_end(&world);
}
