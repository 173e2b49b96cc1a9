/*
 * FAULTS, the supervisor: what it keeps, what it refuses, how it reloads; and the mount
 * as others see it: from containers, by their privileges, in the page cache.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(supervisor, .timeout = 180);

#define SIZE 300000

Test(supervisor, fault_53_umount_with_open_files)
{
        struct world world;
        char hex[HEX];
        char byte;

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));

        int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

        cr_assert(fd >= 0);
        cr_expect_neq(world_shell("umount '%s' 2>/dev/null", world.mnt), 0);
        cr_expect_eq(umount(world.mnt), -1);
        cr_expect_eq(errno, EBUSY);
        cr_expect_eq(pread(fd, &byte, 1, 0), 1);
        cr_expect_eq(world_open(world_path(&world, hex)), 0, "goes on serving");
        close(fd);
        world_end(&world);
}

/* A copy of the binary in the world, to be replaced. */
static void install(const struct world *world, const char *from)
{
        cr_assert_eq(world_shell("cp '%1$s' '%2$s/new' && chmod 755 '%2$s/new' && "
                                 "mv -f '%2$s/new' '%2$s/assetfs'",
                                 from, world->dir),
                     0);
}

static void begin_installed(struct world *world, char hex[HEX])
{
        char path[2 * WORLD_PATH];

        world_begin(world);
        world_asset(world, SIZE, hex);
        world_origin(world);
        install(world, getenv("ASSETFS"));
        snprintf(path, sizeof(path), "%s/assetfs", world->dir);
        world_use_binary(path);
}

/* By the tests' own binary: the installed one may be anything. */
static int reload(const struct world *world, char *output, size_t size)
{
        char installed[2 * WORLD_PATH];
        int status;

        snprintf(installed, sizeof(installed), "%s/assetfs", world->dir);
        world_use_binary(getenv("ASSETFS"));
        status = world_run(output, size, "reload", world->mnt);
        world_use_binary(installed);
        return status;
}

Test(supervisor, fault_58_reload_with_parked_opens_and_open_files)
{
        struct world world;
        struct opener opener;
        char output[1024];
        char hit[HEX];
        char hex[HEX];
        char byte;
        pid_t worker;

        begin_installed(&world, hex);
        world_asset(&world, SIZE, hit);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_assert_eq(world_open(world_path(&world, hit)), 0);
        world_unmount(&world);
        world_mount(&world, "--origin", world_url(&world, "gate"));

        int fd = open(world_path(&world, hit), O_RDONLY | O_CLOEXEC);

        opener_start(&opener, world_path(&world, hex));
        opener_parked(&opener);
        worker = world_worker(&world);
        install(&world, getenv("ASSETFS"));
        cr_expect_eq(reload(&world, output, sizeof(output)), 0, "%s", output);
        cr_expect_neq(world_next_worker(&world, worker), worker);
        cr_expect_eq(world_logged(&world, "event=reloaded"), 1);
        cr_expect_eq(world_shell("test \"$(readlink /proc/%d/exe)\" = '%s/assetfs'",
                                 world_worker(&world), world.dir),
                     0, "the binary now installed");
        cr_expect_eq(pread(fd, &byte, 1, 0), 1);
        cr_expect_eq(opener_result(&opener, 200), -1);
        /* SIGHUP does the same. */
        worker = world_worker(&world);
        kill(world.daemon, SIGHUP);
        world_next_worker(&world, worker);
        world_open_gate(&world);
        cr_expect_eq(opener_result(&opener, SURELY_MS), 0);
        close(fd);
        world_end(&world);
}

/* `other` takes the place of the binary, and cannot take the place of the worker. */
static void expect_fallback(const char *other)
{
        struct world world;
        struct opener opener;
        char output[1024];
        char hex[HEX];
        char byte;

        begin_installed(&world, hex);
        world_mount(&world, "--origin", world_url(&world, "gate"));
        opener_start(&opener, world_path(&world, hex));
        opener_parked(&opener);
        install(&world, other);
        cr_expect_eq(reload(&world, output, sizeof(output)), 1);
        cr_expect(strstr(output, "the old one goes on"), "%s", output);
        cr_expect_eq(world_logged(&world, "event=reload-failed"), 1);
        cr_expect_eq(opener_result(&opener, 100), -1);
        world_open_gate(&world);
        cr_expect_eq(opener_result(&opener, SURELY_MS), 0);

        int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

        cr_expect_eq(pread(fd, &byte, 1, 0), 1);
        close(fd);
        /* And with a binary that is right again, it works again. */
        install(&world, getenv("ASSETFS"));
        cr_expect_eq(reload(&world, output, sizeof(output)), 0, "%s", output);
        world_end(&world);
}

Test(supervisor, fault_58_reload_to_another_session_memory)
{
        cr_assert(getenv("ASSETFS_NEXT"));
        expect_fallback(getenv("ASSETFS_NEXT"));
}

Test(supervisor, fault_58_reload_to_what_cannot_start)
{
        expect_fallback("/bin/false");
        expect_fallback("/bin/true");
        expect_fallback("/etc/passwd");
}

Test(supervisor, fault_58_reload_to_what_never_serves)
{
        expect_fallback("/bin/sleep");
}

Test(supervisor, reload_of_what_is_no_mount)
{
        struct world world;
        char output[1024];

        world_begin(&world);
        cr_expect_eq(world_run(output, sizeof(output), "reload", world.mnt), 1);
        cr_expect(strstr(output, "not the mount point of an assetfs"), "%s", output);
        cr_expect_eq(world_run(output, sizeof(output), "reload"), 2);
        world_end(&world);
}

/* Catalogs are read anew; a broken one is refused and the last good one stays, also over the
 * death of the worker. */
Test(supervisor, fault_63_catalogs_at_a_reload)
{
        struct world world;
        struct stat st;
        char output[1024];
        char hex[HEX];
        char path[2 * WORLD_PATH];
        pid_t worker;

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        snprintf(path, sizeof(path), "%s/catalog.json", world.dir);
        world_text(path, "{\"assets\": {\"one\": {\"sha256\": \"%s\"}}}", hex);
        world_mount(&world, "--origin", "file:///{sha256}", "--catalog", path);
        cr_expect_eq(lstat(world_path(&world, "by-name/one"), &st), 0);

        world_text(path, "{\"assets\": {\"two\": {\"sha256\": \"%s\"}}}", hex);
        cr_expect_eq(world_run(output, sizeof(output), "reload", world.mnt), 0, "%s", output);
        cr_expect_eq(lstat(world_path(&world, "by-name/two"), &st), 0);

        world_text(path, "{\"assets\": {\n\"three\": 7}}");
        cr_expect_eq(world_run(output, sizeof(output), "reload", world.mnt), 1);
        cr_expect(strstr(output, "a catalog was refused"), "%s", output);
        cr_expect_eq(world_logged(&world, "catalog.json:2: three"), 1);
        cr_expect_eq(lstat(world_path(&world, "by-name/two"), &st), 0, "the last good one");

        worker = world_worker(&world);
        kill(worker, SIGKILL);
        world_next_worker(&world, worker);
        cr_expect_eq(lstat(world_path(&world, "by-name/two"), &st), 0);
        unlink(path);
        worker = world_worker(&world);
        kill(worker, SIGKILL);
        world_next_worker(&world, worker);
        cr_expect_eq(lstat(world_path(&world, "by-name/two"), &st), 0);
        world_end(&world);
}

/* A link says what its name means now, however the catalog was ordered before. */
Test(supervisor, links_after_a_reload)
{
        struct world world;
        struct stat st;
        char one[HEX];
        char two[HEX];
        char path[2 * WORLD_PATH];
        char target[128];
        pid_t worker;

        world_begin(&world);
        world_asset(&world, SIZE, one);
        world_asset(&world, SIZE, two);
        world_origin(&world);
        snprintf(path, sizeof(path), "%s/catalog.json", world.dir);
        world_text(path,
                   "{\"assets\": {\"bbb\": {\"sha256\": \"%s\"}, \"ccc\": {\"sha256\": \"%s\"}}}",
                   one, two);
        world_mount(&world, "--origin", world_url(&world, "ok"), "--catalog", path);
        cr_expect_eq(world_open(world_path(&world, one)), 0);
        cr_expect_eq(world_open(world_path(&world, two)), 0);
        cr_expect_eq(
            world_shell("sha256sum <'%s' | grep -q %s", world_path(&world, "by-name/bbb"), one), 0);
        world_text(path,
                   "{\"assets\": {\"aaa\": {\"sha256\": \"%s\"}, \"bbb\": {\"sha256\": \"%s\"}}}",
                   two, one);
        worker = world_worker(&world);
        kill(worker, SIGKILL);
        world_next_worker(&world, worker);
        cr_expect_eq(
            world_shell("sha256sum <'%s' | grep -q %s", world_path(&world, "by-name/bbb"), one), 0,
            "another asset under the name");
        cr_expect_gt(readlink(world_path(&world, "by-name/bbb"), target, sizeof(target) - 1), 0);
        cr_expect_eq(strncmp(target + 3, one, HEX - 1), 0);
        cr_expect_eq(lstat(world_path(&world, "by-name/ccc"), &st), -1);
        cr_expect_eq(errno, ENOENT, "%s", strerror(errno));
        world_end(&world);
}

Test(supervisor, silent_client_does_not_hold_the_control_socket)
{
        struct world world;
        char connected[2 * WORLD_PATH];
        char output[1024];
        int64_t deadline = now_ms() + SURELY_MS;
        int status;
        pid_t silent;

        world_begin(&world);
        world_mount(&world, "--origin", "file:///{sha256}");
        silent = fork();
        if (silent == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                world_shell("exec perl -MIO::Socket::UNIX -e '"
                            "$s = IO::Socket::UNIX->new(Peer => \"%s/control\");"
                            "mkdir \"%s/connected\"; sleep 20'",
                            world.cache, world.dir);
                _exit(0);
        }
        snprintf(connected, sizeof(connected), "%s/connected", world.dir);
        while (access(connected, F_OK) != 0 && now_ms() < deadline)
                sleep_ms(5);
        cr_expect_eq(world_run(output, sizeof(output), "reload", world.mnt), 1);
        cr_expect(strstr(output, "busy"), "%s", output);
        /* It is let go after a few seconds. */
        while ((status = world_run(output, sizeof(output), "reload", world.mnt)) == 1 &&
               strstr(output, "busy") && now_ms() < deadline)
                sleep_ms(100);
        cr_expect_eq(status, 0, "%s", output);
        kill(silent, SIGKILL);
        waitpid(silent, NULL, 0);
        world_end(&world);
}

/* Somebody ends the connection under us: that is no umount, and not left lying there. */
Test(supervisor, aborted_connection_is_a_failure)
{
        struct world world;
        struct stat st;
        int status = 0;

        world_begin(&world);
        world_mount(&world, "--origin", "file:///{sha256}");
        cr_assert_eq(stat(world.mnt, &st), 0);
        cr_assert_eq(world_shell("mkdir '%s/ctl' && mount -t fusectl none '%s/ctl' && "
                                 "echo 1 >'%s/ctl/%u/abort'; umount '%s/ctl'",
                                 world.dir, world.dir, world.dir, minor(st.st_dev), world.dir),
                     0);
        for (int i = 0; i < 500 && waitpid(world.daemon, &status, WNOHANG) == 0; i++)
                sleep_ms(10);
        world.daemon = 0;
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status %d", status);
        cr_expect_eq(world_logged(&world, "event=aborted"), 1);
        cr_expect_eq(world_shell("grep -q ' %s ' /proc/self/mountinfo", world.mnt), 1);
        world_end(&world);
}

/* As some daemons start their children: with SIGCHLD ignored. */
Test(supervisor, sigchld_may_be_ignored_by_whoever_starts_it)
{
        struct world world;
        pid_t worker;

        world_begin(&world);
        signal(SIGCHLD, SIG_IGN);
        world_mount(&world, "--origin", "file:///{sha256}");
        signal(SIGCHLD, SIG_DFL);
        worker = world_worker(&world);
        kill(worker, SIGKILL);
        world_next_worker(&world, worker);
        world_end(&world);
}

/* The cache is what was claimed, whatever its path leads to by now. */
Test(supervisor, cache_that_is_moved_is_still_the_cache)
{
        struct world world;
        char hex[HEX];
        char output[1024];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        cr_assert_eq(world_shell("install -d -m 700 -o nobody '%s'", world.cache), 0);
        world_origin(&world);
        cr_expect_eq(world_run(output, sizeof(output), "mount", "--cache", world.cache, "--origin",
                               world_url(&world, "ok"), world.mnt),
                     0, "%s", output);
        cr_assert_eq(world_shell("mv '%s' '%s/moved'; kill -KILL $(p=$(cat '%s/moved/lock'); cat "
                                 "/proc/$p/task/$p/children)",
                                 world.cache, world.dir, world.dir),
                     0);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(
            world_shell("umount '%s' && flock -w 5 '%s/moved/lock' true", world.mnt, world.dir), 0);
        world_end(&world);
}

/* Opens and reads the asset in a child that prepares itself by `command`, a shell line. */
static int read_in(const char *command, const char *path)
{
        return world_shell("P='%s'; cat_it() { sha256sum <\"$1\" | grep -q \"^${P##*/}\"; }; %s",
                           path, command);
}

Test(supervisor, fault_59_containers_bind_mounts_and_chroots)
{
        static const char *const ways[] = {
            "unshare -m sh -c \"sha256sum <$P | grep -q ${P##*/}\"",
            "unshare -Urm sh -c \"sha256sum <$P | grep -q ${P##*/}\"",
            "unshare -p -f --mount-proc sh -c \"sha256sum <$P | grep -q ${P##*/}\"",
            "unshare -m sh -c \"touch ${P%/*}/../bound && mount --bind $P ${P%/*}/../bound && "
            "sha256sum <${P%/*}/../bound | grep -q ${P##*/}\"",
        };
        struct world world;
        char busybox[HEX];
        char path[2 * WORLD_PATH];

        world_begin(&world);
        cr_assert_eq(world_shell("cd '%s' && cp \"$(command -v busybox)\" x && "
                                 "mv x \"$(sha256sum <x | cut -c1-64)\" && ls >../name",
                                 world.files),
                     0);
        snprintf(path, sizeof(path), "%s/name", world.dir);

        FILE *file = fopen(path, "re");

        cr_assert_eq(fscanf(file, "%64s", busybox), 1);
        fclose(file);
        world_origin(&world);
        /* Each way as the first opener of a cache that is empty, and as a later one. */
        for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
                if (strstr(ways[i], "-Urm") && world_shell("unshare -Ur true 2>/dev/null") != 0)
                        continue; /* no user namespaces here, as in a chroot */
                world_mount(&world, "--origin", world_url(&world, "ok"));
                cr_expect_eq(read_in(ways[i], world_path(&world, busybox)), 0, "%s", ways[i]);
                cr_expect_eq(read_in(ways[i], world_path(&world, busybox)), 0, "%s", ways[i]);
                world_unmount(&world);
                cr_assert_eq(world_shell("rm -rf '%s'", world.cache), 0);
        }
        /* Its root is the mount itself, and all there is to execute in it is the asset. */
        world_mount(&world, "--origin", world_url(&world, "ok"));

        pid_t child = fork();
        int status = -1;

        if (child == 0) {
                char program[HEX + 1];

                snprintf(program, sizeof(program), "/%s", busybox);
                if (chroot(world.mnt) == 0 && chdir("/") == 0)
                        execl(program, "true", (char *)NULL);
                _exit(1);
        }
        cr_expect_eq(waitpid(child, &status, 0), child);
        cr_expect_eq(status, 0, "chroot");
        world_end(&world);
}

/* What is bound to a path has no name of ours to be looked up by: it outlives the worker. */
Test(supervisor, fault_59_bound_asset_over_the_death_of_the_worker)
{
        struct world world;
        char hex[HEX];
        char bound[2 * WORLD_PATH];
        char byte;
        pid_t worker;

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_assert_eq(world_open(world_path(&world, hex)), 0);
        snprintf(bound, sizeof(bound), "%s/bound", world.dir);
        world_text(bound, "something to mount on");
        cr_assert_eq(mount(world_path(&world, hex), bound, NULL, MS_BIND, NULL), 0);
        for (int i = 0; i < 3; i++) {
                int fd = open(bound, O_RDONLY | O_CLOEXEC);

                cr_expect(fd >= 0, "%s", strerror(errno));
                cr_expect_eq(pread(fd, &byte, 1, SIZE - 1), 1);
                close(fd);
                worker = world_worker(&world);
                kill(worker, SIGKILL);
                world_next_worker(&world, worker);
        }
        cr_expect_eq(umount(bound), 0);
        world_end(&world);
}

static void expect_status(pid_t pid, const char *line)
{
        cr_expect_eq(world_shell("grep -qE '^%s$' /proc/%d/status", line, pid), 0, "no '%s'", line);
}

/* The worker of the shipped binary, as /proc shows it; the same from the inside is in
 * tests/unit/fs_sandbox.c. */
Test(supervisor, fault_66_worker_holds_no_privilege)
{
        struct world world;
        char hex[HEX];
        pid_t worker;

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        worker = world_worker(&world);
        expect_status(worker, "Uid:\t65534\t65534\t65534\t65534");
        expect_status(worker, "Gid:\t65534\t65534\t65534\t65534");
        expect_status(worker, "Groups:[\t ]*");
        expect_status(worker, "CapEff:\t0+");
        expect_status(worker, "CapPrm:\t0+");
        expect_status(worker, "CapBnd:\t0+");
        expect_status(worker, "NoNewPrivs:\t1");
        expect_status(worker, "Seccomp:\t2");
        /* Nothing is inherited but what fs/channel.h lists. */
        cr_expect_eq(world_shell("test -z \"$(ls -l /proc/%d/fd | grep -E '%s/(log|requests)' | "
                                 "grep -vE ' [12] -> ')\"",
                                 worker, world.dir),
                     0);
        world_end(&world);
}

Test(supervisor, fault_66_root_is_no_user_to_download_as)
{
        struct world world;
        char output[1024];

        world_begin(&world);
        cr_expect_eq(world_run(output, sizeof(output), "mount", "--user", "root", "--cache",
                               world.cache, "--origin", "file:///{sha256}", world.mnt),
                     2);
        cr_expect(strstr(output, "downloads are not made as root"), "%s", output);
        cr_expect_eq(strchr(output, '\n') - output + 1, (long)strlen(output), "one line");
        cr_expect_neq(access(world.cache, F_OK), 0, "nothing was made");
        world_end(&world);
}

static int hostile_result(const char *report, const char *what)
{
        FILE *file = fopen(report, "re");
        char name[64];
        int error;
        int found = -1;

        while (file && fscanf(file, "%63s %d", name, &error) == 2)
                if (strcmp(name, what) == 0)
                        found = error;
        if (file)
                fclose(file);
        return found;
}

/* Whoever has taken a worker over asks the supervisor for what is not its own. */
Test(supervisor, fault_74_hostile_worker)
{
        struct world world;
        char output[1024];
        char own[HEX];
        char report[2 * WORLD_PATH];

        cr_assert(getenv("HOSTILE_WORKER"));
        begin_installed(&world, own);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_assert_eq(world_open(world_path(&world, own)), 0);
        cr_assert_eq(
            world_shell("set -e; cd '%s/blobs/sha256'; d() { printf \"%%064d\" 0 | tr 0 $1; }; "
                        "ln -s /etc/shadow $(d 1); echo secret >$(d 2); mkfifo $(d 3); "
                        "mkdir $(d 4); mknod $(d 6) c 1 3; chown nobody: $(d 3) $(d 4) $(d 6)",
                        world.cache),
            0);
        snprintf(report, sizeof(report), "%s/report", world.dir);
        /* The supervisor's environment is the worker's: it was given at the start. */
        world_unmount(&world);
        setenv("HOSTILE_REPORT", report, 1);
        setenv("HOSTILE_OWN", own, 1);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        install(&world, getenv("HOSTILE_WORKER"));
        cr_expect_eq(reload(&world, output, sizeof(output)), 1);
        cr_expect(strstr(output, "the old one goes on"), "%s", output);
        cr_expect_eq(hostile_result(report, "symlink"), EPERM);
        cr_expect_eq(hostile_result(report, "foreign"), EPERM);
        cr_expect_eq(hostile_result(report, "fifo"), EPERM);
        cr_expect_eq(hostile_result(report, "directory"), EPERM);
        cr_expect_eq(hostile_result(report, "missing"), ENOENT);
        cr_expect_eq(hostile_result(report, "device"), EPERM);
        cr_expect_eq(hostile_result(report, "secret"), EPERM);
        cr_expect_eq(hostile_result(report, "own"), 0, "a blob of its own it may have");
        cr_expect_eq(hostile_result(report, "end"), 0);
        cr_expect_eq(world_open(world_path(&world, own)), 0, "the supervisor is unharmed");
        world_shell("cd '%s/blobs/sha256' && for d in 1 2 3 4 6; do rm -rf $(printf \"%%064d\" 0 | "
                    "tr 0 $d); done",
                    world.cache);
        world_end(&world);
}

/* An ordinary user looks up as many names as it likes: several times what the table of nodes
 * holds, or ASSETFS_LOOKUPS (with 2000000 it takes minutes). */
Test(supervisor, fault_76_lookups_without_end, .timeout = 600)
{
        enum { PROCESSES = 2 };
        const char *number = getenv("ASSETFS_LOOKUPS");
        int lookups = number ? atoi(number) : SLOW_BUILD ? 80000 : 200000;
        struct world world;
        struct opener parked;
        char hit[HEX];
        char slow[HEX];
        long before;
        long after;
        pid_t children[PROCESSES];
        char byte;
        int hits = 0;
        int late = 0;

        world_begin(&world);
        world_asset(&world, SIZE, hit);
        world_asset(&world, SIZE, slow);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_assert_eq(world_open(world_path(&world, hit)), 0);
        world_unmount(&world);
        world_mount(&world, "--origin", world_url(&world, "gate"), "--stall-timeout", "300");

        int fd = open(world_path(&world, hit), O_RDONLY | O_CLOEXEC);

        opener_start(&parked, world_path(&world, slow));
        opener_parked(&parked);
        before = world_rss_kib(&world);
        for (int i = 0; i < PROCESSES; i++) {
                children[i] = fork();
                if (children[i] == 0) {
                        if (setgid(WORKER_UID) < 0 || setuid(12345) < 0 || chdir(world.mnt) < 0)
                                _exit(2);
                        for (int n = 0; n < lookups / PROCESSES; n++) {
                                char name[HEX];
                                int path;

                                snprintf(name, sizeof(name), "%016x%016x%032x", i + 1, n, 7);
                                path = open(name, O_PATH | O_CLOEXEC);
                                if (path < 0)
                                        _exit(1);
                                close(path);
                        }
                        _exit(0);
                }
        }
        for (int i = 0; i < PROCESSES; i++) {
                int status = 0;

                while (waitpid(children[i], &status, WNOHANG) == 0) {
                        int64_t start = now_ms();

                        cr_expect_eq(world_open(world_path(&world, hit)), 0);
                        hits++;
                        late += now_ms() - start >= 1000;
                        sleep_ms(200);
                }
                cr_expect_eq(status, 0, "status %d", status);
        }
        cr_expect_leq(late, hits / 2, "%d of %d hits were late", late, hits);
        after = world_rss_kib(&world);
        cr_expect_lt(after - before, SLOW_BUILD ? 400000 : 40000, "%ld KiB more", after - before);
        cr_expect_eq(pread(fd, &byte, 1, 0), 1, "an open file");
        world_open_gate(&world);
        cr_expect_eq(opener_result(&parked, SURELY_MS), 0);
        close(fd);
        world_end(&world);
}

/* Reads and executes through an idmapped mount of the mount, as pods with user namespaces do. */
Test(supervisor, fault_78_idmapped_mount)
{
        struct world world;
        char hex[HEX];
        char target[2 * WORLD_PATH];
        char path[2 * WORLD_PATH + HEX];
        struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP};
        pid_t holder;
        int tree;

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"), "-o", "default_permissions");
        snprintf(target, sizeof(target), "%s/idmapped", world.dir);
        cr_assert_eq(mkdir(target, 0755), 0);
        holder = fork();
        if (holder == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (unshare(CLONE_NEWUSER) == 0)
                        pause();
                _exit(0);
        }
        sleep_ms(100);
        if (waitpid(holder, NULL, WNOHANG) != 0)
                cr_skip_test("no user namespaces here, as in a chroot");
        cr_assert_eq(world_shell("echo '0 100000 65536' >/proc/%d/uid_map && "
                                 "echo '0 100000 65536' >/proc/%d/gid_map",
                                 holder, holder),
                     0);
        snprintf(path, sizeof(path), "/proc/%d/ns/user", holder);

        int names = open(path, O_RDONLY | O_CLOEXEC);

        cr_assert(names >= 0);
        attributes.userns_fd = (uint64_t)names;
        tree = (int)syscall(SYS_open_tree, AT_FDCWD, world.mnt, OPEN_TREE_CLONE | O_CLOEXEC);
        cr_assert(tree >= 0);

        int r = (int)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes,
                             sizeof(attributes));

        kill(holder, SIGKILL);
        waitpid(holder, NULL, 0);
        if (r < 0 && errno == EINVAL &&
            world_shell("uname -r | awk -F. '{exit !($1<6||$2<12)}'") == 0)
                cr_skip_test("this kernel cannot idmap FUSE (before 6.12)");
        cr_assert_eq(r, 0, "%s", strerror(errno));
        cr_assert_eq(syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH),
                     0);
        snprintf(path, sizeof(path), "%s/%s", target, hex);
        cr_expect_eq(world_open(path), 0);

        struct stat st;

        cr_expect_eq(stat(path, &st), 0);
        cr_expect_eq(st.st_uid, 100000, "the owner is mapped");
        close(tree);
        close(names);
        cr_expect_eq(umount(target), 0, "%s", strerror(errno));
        world_end(&world);
}

static size_t resident_pages(const char *path)
{
        static unsigned char pages[1024];
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t length = sizeof(pages) * 4096;
        void *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
        size_t count = 0;

        cr_assert(fd >= 0 && map != MAP_FAILED);
        cr_assert_eq(mincore(map, length, pages), 0);
        for (size_t i = 0; i < sizeof(pages); i++)
                count += pages[i] & 1;
        munmap(map, length);
        close(fd);
        return count;
}

/* Pages read through the mount are the cache file's pages: there is one copy. */
Test(supervisor, passthrough_shares_the_page_cache)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, 4 << 20, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        if (!world_logged(&world, "passthrough=on"))
                cr_skip_test("no passthrough here");
        cr_assert_eq(world_open(world_path(&world, hex)), 0);

        int fd = open(world_blob(&world, hex), O_RDONLY | O_CLOEXEC);

        cr_assert_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        close(fd);
        cr_expect_lt(resident_pages(world_blob(&world, hex)), 64, "dropped");
        cr_assert_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(resident_pages(world_blob(&world, hex)), 1024, "the file's own pages");
        cr_expect_eq(resident_pages(world_path(&world, hex)), 1024, "seen through the mount");
        world_end(&world);
}

Test(supervisor, passthrough_by_option)
{
        struct world world;
        char output[1024];

        world_begin(&world);
        world_mount(&world, "--origin", "file:///{sha256}", "-o", "passthrough=off");
        cr_expect_eq(world_logged(&world, "passthrough=off cause=\"by option\""), 1);
        world_unmount(&world);
        /* Where it cannot be had, `on` is not content with less: a file of tmpfs has no backing
         * through an overlay. */
        cr_assert_eq(world_shell("cd '%s' && rm -rf cache && mkdir lower upper work cache && "
                                 "mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work "
                                 "none cache && chmod 700 cache",
                                 world.dir),
                     0);
        if (world_run(output, sizeof(output), "mount", "--user", WORKER_USER, "--cache",
                      world.cache, "--origin", "file:///{sha256}", "-o", "passthrough=on",
                      world.mnt) == 0)
                world_shell("umount '%s'", world.mnt);
        else
                cr_expect(strstr(output, "passthrough=on"), "%s", output);
        world_shell("flock -w 5 '%s/lock' true", world.cache);
        world_mount(&world, "--origin", "file:///{sha256}");
        world_unmount(&world);
        cr_expect_eq(world_shell("umount '%s'", world.cache), 0);
        world_end(&world);
}

/* Two mounts after each other on one cache: root claims it for the user it already has. */
Test(supervisor, user_is_the_owner_of_the_cache)
{
        struct world world;
        char output[1024];
        struct stat st;

        world_begin(&world);
        cr_assert_eq(world_shell("install -d -m 700 -o daemon -g daemon '%s'", world.cache), 0);
        cr_expect_eq(world_run(output, sizeof(output), "mount", "--cache", world.cache, "--origin",
                               "file:///{sha256}", world.mnt),
                     0, "%s", output);
        cr_expect_eq(
            world_shell("umount '%s' && flock -w 5 '%s/lock' true", world.mnt, world.cache), 0);
        cr_expect_eq(world_shell("test $(stat -c %%U '%s/blobs') = daemon", world.cache), 0);
        cr_expect_eq(stat(world.cache, &st), 0);
        cr_expect_eq(world_run(output, sizeof(output), "mount", "--user", "nobody", "--cache",
                               world.cache, "--origin", "file:///{sha256}", world.mnt),
                     1);
        cr_expect(strstr(output, "the cache directory belongs to uid"), "%s", output);
        world_end(&world);
}
