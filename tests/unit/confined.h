/*
 * Life in the sandbox, for its tests: a case enters it in a child of its own, as user
 * 65534 with a cache of its own, and tells the test through a pipe what is not as it
 * should be. A suite names world_make as its init and scratch_remove as its fini.
 */
#ifndef TESTS_UNIT_CONFINED_H
#define TESTS_UNIT_CONFINED_H

#include "fs/sandbox.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define NOBODY 65534

/* cache/{a,b}: the worker's; readable/: root's, allowed; elsewhere/: anyone's, not allowed. */
static inline void world_make(void)
{
        static const char *const directories[] = {"cache", "cache/a", "cache/b", "readable",
                                                  "elsewhere"};

        umask(0022);
        scratch_make();
        if (geteuid() != 0)
                return;
        chmod(scratch_dir, 0755);
        for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
                cr_assert_eq(mkdir(scratch_at(directories[i]).text, 0755), 0);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(chown(scratch_at(directories[i]).text, NOBODY, NOBODY), 0);
        chmod(scratch_at("cache").text, 0700);
        chmod(scratch_at("elsewhere").text, 0777);
        scratch_write("readable/open", "open", 4);
        scratch_write("readable/writable", "open", 4);
        scratch_write("readable/secret", "secret", 6);
        scratch_write("elsewhere/open", "open", 4);
        chmod(scratch_at("readable/writable").text, 0666);
        chmod(scratch_at("readable/secret").text, 0600);
        chmod(scratch_at("elsewhere/open").text, 0666);
}

/* A test that is skipped does without its fini. */
#define skip(reason)                                                                               \
        do {                                                                                       \
                scratch_remove();                                                                  \
                cr_skip_test(reason);                                                              \
        } while (0)

static int pipe_to_test; /* in the child */

__attribute__((format(printf, 1, 2))) static inline void tell(const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vdprintf(pipe_to_test, format, args);
        va_end(args);
}

#define expect(condition)                                                                          \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        tell("%d: not %s (%s)\n", __LINE__, #condition, strerror(errno));          \
        } while (0)

#define expect_refused(call, error)                                                                \
        do {                                                                                       \
                errno = 0;                                                                         \
                if ((call) >= 0)                                                                   \
                        tell("%d: allowed: %s\n", __LINE__, #call);                                \
                else if (errno != (error))                                                         \
                        tell("%d: %s: %s, not %s\n", __LINE__, #call, strerror(errno), #error);    \
        } while (0)

/*
 * Runs `act` in a child; what it told is a failure. The child's mounts are its own: what
 * a broken sandbox lets through must not reach the machine that the tests run on. So is
 * every call that a case wants refused one that does no harm where it is allowed.
 */
static inline void in_child(void (*act)(void))
{
        char told[4096] = "";
        size_t length = 0;
        ssize_t got;
        int ends[2];

        if (geteuid() != 0)
                skip("only root can start a worker as another user");
        cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);

        pid_t child = fork();

        cr_assert_geq(child, 0);
        if (child == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                pipe_to_test = ends[1];
                if (unshare(CLONE_NEWNS) < 0 ||
                    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                        tell("no mounts of its own: %s\n", strerror(errno));
                else
                        act();
                tell("done");
                _exit(0);
        }
        close(ends[1]);
        while ((got = read(ends[0], told + length, sizeof(told) - 1 - length)) > 0)
                length += (size_t)got;
        close(ends[0]);
        waitpid(child, NULL, 0);
        if (strcmp(told, "no Landlock") == 0)
                skip("this kernel has no Landlock, or not the ABI for it");
        cr_expect_str_eq(told, "done");
}

/* Enters as NOBODY, with readable/ and a directory that is missing. */
static inline int enter(void)
{
        struct scratch_path readable = scratch_at("readable");
        struct scratch_path missing = scratch_at("missing/too");
        const char *const paths[] = {missing.text, readable.text, NULL};
        struct fs_sandbox_report report = {.landlock_abi = -1};
        struct fs_sandbox sandbox = {.uid = NOBODY, .gid = NOBODY, .readable = paths};
        char why[256] = "";

        sandbox.cache = open(scratch_at("cache").text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        int r = fs_sandbox_enter(&sandbox, &report, why, sizeof(why));

        if (r < 0 || why[0]) {
                tell("not entered: %d %s\n", r, why);
                _exit(1);
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* the change of user has cleared it */
        expect(report.landlock_abi >= 0);
        return report.landlock_abi;
}

static inline int enter_with_landlock(int least_abi)
{
        int abi = enter();

        if (abi < least_abi) {
                tell("no Landlock");
                _exit(0);
        }
        return abi;
}

static inline int open_at(const char *name, int flags)
{
        int fd = open(scratch_at(name).text, flags | O_CLOEXEC, 0644);

        if (fd >= 0)
                close(fd);
        return fd;
}

static inline bool status_says(const char *line)
{
        char status[8192] = "\n";
        int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        char wanted[128];

        expect(fd >= 0 && read(fd, status + 1, sizeof(status) - 2) > 0);
        close(fd);
        snprintf(wanted, sizeof(wanted), "\n%s\n", line);
        return strstr(status, wanted) != NULL;
}

/* Listens on `path`, which for an abstract socket begins with a NUL. */
static inline void listen_at(const char *path, size_t length, struct sockaddr_un *ret)
{
        int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ret->sun_family = AF_UNIX;
        memcpy(ret->sun_path, path, length);
        expect(bind(listener, (struct sockaddr *)ret, sizeof(*ret)) == 0);
        expect(listen(listener, 1) == 0);
}

#endif
