/*
 * What the sandbox refuses. Most calls that are refused here are open to every user
 * outside, so that it is the sandbox that refuses them; the rest takes root as well.
 */
#include "tests/unit/confined.h"

#include <grp.h>
#include <linux/kcmp.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/xattr.h>

TestSuite(fs_sandbox, .init = world_make, .fini = scratch_remove, .timeout = 60);

static void look_at_status(void)
{
        static const gid_t groups[] = {0, 4, 27};

        expect(setgroups(3, groups) == 0);
        enter();
        expect(status_says("Uid:\t65534\t65534\t65534\t65534"));
        expect(status_says("Gid:\t65534\t65534\t65534\t65534"));
        expect(status_says("Groups:\t "));
        expect(status_says("CapInh:\t0000000000000000"));
        expect(status_says("CapPrm:\t0000000000000000"));
        expect(status_says("CapEff:\t0000000000000000"));
        expect(status_says("CapBnd:\t0000000000000000"));
        expect(status_says("CapAmb:\t0000000000000000"));
        expect(status_says("NoNewPrivs:\t1"));
        expect(status_says("Seccomp:\t2"));
}

Test(fs_sandbox, fault_66_status_shows_a_user_without_privileges)
{
        in_child(look_at_status);
}

static void keep_capabilities(void)
{
        /* Securebits with which a change of user takes no capability away. */
        expect(prctl(PR_SET_SECUREBITS, 1 << 2, 0, 0, 0) == 0);
        enter();
        expect(status_says("CapPrm:\t0000000000000000"));
        expect(status_says("CapEff:\t0000000000000000"));
}

Test(fs_sandbox, fault_66_capabilities_go_whatever_securebits_say)
{
        in_child(keep_capabilities);
}

static void write_outside(void)
{
        int cache = open(scratch_at("cache").text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct scratch_path elsewhere = scratch_at("elsewhere/open");
        int abi = enter_with_landlock(2);

        expect(open_at("cache/a/x", O_WRONLY | O_CREAT) >= 0);
        expect_refused(open("/tmp", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600), EACCES);
        expect_refused(open_at("elsewhere/new", O_WRONLY | O_CREAT), EACCES);
        expect_refused(open_at("elsewhere/open", O_WRONLY), EACCES);
        expect_refused(open_at("elsewhere/open", O_RDONLY | O_TRUNC), EACCES);
        expect_refused(open_at("readable/writable", O_RDWR), EACCES);
        expect_refused(openat(cache, "../elsewhere/open", O_WRONLY | O_CLOEXEC), EACCES);
        if (abi >= 3)
                expect_refused(truncate(elsewhere.text, 0), EACCES);
        expect_refused(unlink(elsewhere.text), EACCES);
        expect_refused(mkdir(scratch_at("elsewhere/new").text, 0700), EACCES);
        expect_refused(symlink("x", scratch_at("elsewhere/new").text), EACCES);
        expect_refused(symlink("x", scratch_at("cache/a/symlink").text), EACCES);
        expect_refused(renameat(cache, "a/x", AT_FDCWD, scratch_at("elsewhere/new").text), EACCES);
        expect_refused(renameat(AT_FDCWD, elsewhere.text, cache, "a/stolen"), EACCES);
}

Test(fs_sandbox, fault_66_nothing_is_written_outside_the_cache)
{
        in_child(write_outside);
}

static void read_around(void)
{
        char path[64];

        snprintf(path, sizeof(path), "/proc/%d/status", getppid());
        enter_with_landlock(2);
        expect(open_at("readable/open", O_RDONLY) >= 0);
        expect(open_at("readable", O_RDONLY | O_DIRECTORY) >= 0);
        expect(open_at("cache", O_RDONLY | O_DIRECTORY) >= 0);
        expect(open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0);
        expect(open("/dev/urandom", O_RDONLY | O_CLOEXEC) >= 0);
        expect(open("/dev/null", O_RDWR | O_CLOEXEC) >= 0);
        expect(open(path, O_RDONLY | O_CLOEXEC) >= 0);
        expect_refused(open_at("elsewhere/open", O_RDONLY), EACCES);
        expect_refused(open_at("elsewhere", O_RDONLY | O_DIRECTORY), EACCES);
        expect_refused(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), EACCES);
        expect_refused(open("/dev/zero", O_RDWR | O_CLOEXEC), EACCES);
}

Test(fs_sandbox, fault_66_only_what_is_listed_is_read)
{
        in_child(read_around);
}

static void touch_files_of_root(void)
{
        struct scratch_path file = scratch_at("readable/open");

        enter();
        expect_refused(open_at("readable/secret", O_RDONLY), EACCES);
        expect_refused(open("/etc/shadow", O_RDONLY | O_CLOEXEC), EACCES);
        expect_refused(open_at("readable/open", O_WRONLY), EACCES);
        expect_refused(truncate(file.text, 0), EACCES);
        expect_refused(chmod(file.text, 0666), EPERM);
        expect_refused(chown(file.text, NOBODY, NOBODY), EPERM);
        expect_refused(setxattr(file.text, "user.x", "x", 1, 0), EACCES);
        expect_refused(setxattr(file.text, "trusted.x", "x", 1, 0), EPERM);
        expect_refused(utimensat(AT_FDCWD, file.text, NULL, 0), EACCES);
        expect_refused(unlink(file.text), EACCES);
}

Test(fs_sandbox, fault_66_files_of_root_stay_as_they_are)
{
        in_child(touch_files_of_root);
}

static void change_system(void)
{
        struct timex timex = {0};
        char byte = 0;
        struct iovec here = {&byte, 1};
        char handle[128] = {8}; /* struct file_handle: room for 8 bytes */
        int mount_id;
        pid_t self = getpid();

        enter();
        expect_refused(mount("none", scratch_at("cache").text, "tmpfs", 0, NULL), EPERM);
        expect_refused(umount2(scratch_at("cache").text, MNT_DETACH), EPERM);
        expect_refused(syscall(SYS_fsopen, "tmpfs", 0), EPERM);
        expect_refused(syscall(SYS_open_tree, -1, "", 0), EPERM);
        expect_refused(chroot("."), EPERM);
        if (!SLOW_BUILD) {
                expect_refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL), EPERM);
                expect_refused(process_vm_readv(self, &here, 1, &here, 1, 0), EPERM);
        }
        expect_refused(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL), EPERM);
        expect_refused(syscall(SYS_kcmp, self, self, KCMP_FILE, 0, 0), EPERM);
        expect_refused(syscall(SYS_init_module, &byte, 1, ""), EPERM);
        expect_refused(syscall(SYS_finit_module, 0, "", 0), EPERM);
        expect_refused(syscall(SYS_bpf, 0, NULL, 0), EPERM);
        expect_refused(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0), EPERM);
        expect_refused(syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, -2 /* the process's */, 1),
                       EPERM);
        expect_refused(syscall(SYS_add_key, "user", "x", "x", 1, -2), EPERM);
        expect_refused(syscall(SYS_io_uring_setup, 1, NULL), EPERM);
        expect_refused(syscall(SYS_userfaultfd, 1 /* USER_MODE_ONLY */), EPERM);
        expect_refused(
            name_to_handle_at(AT_FDCWD, "/etc", (struct file_handle *)(void *)handle, &mount_id, 0),
            EPERM);
        expect_refused(adjtimex(&timex), EPERM);
        expect_refused(syscall(SYS_personality, 0xffffffff), EPERM);
        expect_refused(ioctl(-1, TIOCSTI, &byte), EPERM);
        expect_refused(syscall(SYS_ioctl, -1, TIOCSTI | 1L << 32, &byte), EPERM);
        expect_refused(ioctl(-1, TIOCGWINSZ, &byte), EBADF);
}

Test(fs_sandbox, fault_66_system_is_out_of_reach)
{
        in_child(change_system);
}

/* A child that ends at once, where there is one at all. */
static long clone_with(int flags)
{
        long child = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

        if (child == 0)
                _exit(0);
        return child;
}

static void become_more(void)
{
        static const int flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
                                    CLONE_NEWIPC,  CLONE_NEWPID, CLONE_NEWNET};
        char *const argv[] = {"true", NULL};

        enter();
        expect_refused(execve("/bin/true", argv, NULL), EPERM);
        expect_refused(syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, NULL, 0), EPERM);
        expect_refused(syscall(SYS_setresuid, -1, -1, -1), EPERM);
        expect_refused(syscall(SYS_setresgid, -1, -1, -1), EPERM);
        expect_refused(syscall(SYS_setgroups, 0, NULL), EPERM);
        expect_refused(unshare(CLONE_NEWUSER), EPERM);
        expect_refused(unshare(CLONE_NEWUSER | CLONE_NEWNS), EPERM);
        expect_refused(setns(-1, 0), EPERM);
        for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
                expect_refused(clone_with(flags[i]), EPERM);
        expect_refused(clone_with(CLONE_NEWUSER | CLONE_NEWNET), EPERM);
        expect_refused(syscall(SYS_clone3, NULL, 0), ENOSYS);
}

Test(fs_sandbox, fault_66_no_exec_namespace_or_other_user)
{
        in_child(become_more);
}

static void be_silent(void)
{
        struct rlimit limit;

        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        enter();
        expect(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == SLOW_BUILD);
        expect(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0);
}

Test(fs_sandbox, fault_66_no_core_is_dumped)
{
        in_child(be_silent);
}

#ifdef __x86_64__
/* An x32 call has another architecture's number, also in a kernel without x32. */
static void call_foreign(void)
{
        enter();

        pid_t child = fork();
        int status = 0;

        if (child == 0)
                _exit((int)(syscall(0x40000000L | SYS_getppid) & 1));
        expect(waitpid(child, &status, 0) == child);
        expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

Test(fs_sandbox, fault_66_call_of_another_architecture_kills)
{
        in_child(call_foreign);
}
#endif

/*
 * An unconfined process of the same user, which lives as long as ours: until the end of
 * a pipe, since no signal will lead from us to it, not even that of PR_SET_PDEATHSIG.
 */
static pid_t start_neighbour(void)
{
        int ends[2];
        char byte;

        expect(pipe2(ends, O_CLOEXEC) == 0);

        pid_t child = fork();

        if (child == 0) {
                close(pipe_to_test);
                close(ends[1]);
                if (setresuid(NOBODY, NOBODY, NOBODY) < 0)
                        _exit(1);
                _exit((int)read(ends[0], &byte, 1));
        }
        close(ends[0]);
        return child;
}

static void reach_out(void)
{
        pid_t neighbour = start_neighbour();
        struct sockaddr_un address = {0};
        char name[32] = "";

        snprintf(name + 1, sizeof(name) - 1, "assetfs-%d", getpid());
        listen_at(name, sizeof(name), &address);
        enter_with_landlock(6);

        int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        expect_refused(connect(client, (struct sockaddr *)&address, sizeof(address)), EPERM);
        expect_refused(kill(neighbour, 0), EPERM);
        expect_refused(kill(neighbour, SIGKILL), EPERM);
        expect_refused(kill(getppid(), 0), EPERM);
        expect(kill(getpid(), 0) == 0);
}

Test(fs_sandbox, fault_66_no_signal_or_abstract_socket_leads_outside)
{
        in_child(reach_out);
}

/* Tries to enter, in a child of a child, and expects `error` and a sentence with `word`. */
static void expect_error(const struct fs_sandbox *sandbox, int error, const char *word)
{
        pid_t child = fork();

        if (child == 0) {
                struct fs_sandbox_report report = {.landlock_abi = -1};
                char why[256] = "";
                int r = fs_sandbox_enter(sandbox, &report, why, sizeof(why));

                if (r != error || !strstr(why, word) || report.landlock_abi != -1)
                        tell("for %s: %d \"%s\"\n", word, r, why);
                _exit(0);
        }
        waitpid(child, NULL, 0);
}

static void enter_wrongly(void)
{
        static const char *const relative[] = {"etc", NULL};
        struct scratch_path file = scratch_at("readable/open");
        const char *const no_directory[] = {file.text, NULL};
        int cache = open(scratch_at("cache").text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct fs_sandbox sandbox = {.uid = NOBODY, .gid = NOBODY, .cache = -1};

        if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* VERSION */) < 2) {
                tell("no Landlock");
                _exit(0);
        }
        expect_error(&sandbox, -EBADF, "the cache");
        sandbox.cache = cache;
        sandbox.readable = relative;
        expect_error(&sandbox, -EINVAL, "reading in etc");
        sandbox.readable = no_directory;
        expect_error(&sandbox, -ENOTDIR, file.text);
        sandbox.uid = (uid_t)-1;
        expect_error(&sandbox, -EPERM, "become user");
}

Test(fs_sandbox, what_cannot_be_entered_is_said)
{
        in_child(enter_wrongly);
}

static void enter_as_root(void)
{
        struct fs_sandbox sandbox = {.uid = 0, .gid = 0, .cache = -1};

        expect_error(&sandbox, -EPERM, "uid 0");
        expect(setresuid(0, NOBODY, NOBODY) == 0);
        expect_error(&sandbox, -EPERM, "only root can start a worker as user 0:0");
        sandbox.uid = NOBODY;
        expect_error(&sandbox, -EPERM, "only root");
}

Test(fs_sandbox, fault_66_uid_0_is_refused)
{
        in_child(enter_as_root);
}

static void enter_as_user(void)
{
        struct fs_sandbox sandbox = {.uid = NOBODY, .gid = NOBODY, .cache = -1};

        expect(setresgid(1000, 1000, 1000) == 0 && setresuid(1000, 1000, 1000) == 0);
        expect_error(&sandbox, -EPERM, "only root");
}

Test(fs_sandbox, another_user_is_not_for_a_user)
{
        in_child(enter_as_user);
}
