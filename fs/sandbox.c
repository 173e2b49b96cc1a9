/*
 * Confining this process. The order is the order in which privileges are needed: the
 * bounding set and the groups while we are root, then the user, then what anyone may
 * do to himself, and last the filter, which refuses the calls made before it.
 */
#include "fs/sandbox.h"

#include "cas/io.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * LeakSanitizer looks at the process from a helper that it clones and that ptraces it.
 * So builds with a sanitizer stay dumpable and may trace; they are not shipped.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MAY_TRACE 1
#else
#define MAY_TRACE 0
#endif

/* Landlock, for headers older than the kernel (Debian 12's end at ABI 2). */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (UINT64_C(1) << 14) /* ABI 3 */
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (UINT64_C(1) << 15) /* ABI 5 */
#endif
#ifndef LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0) /* ABI 6 */
#define LANDLOCK_SCOPE_SIGNAL               (UINT64_C(1) << 1)
#endif

#define LOOK (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define KEEP                                                                                       \
        (LOOK | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |                      \
         LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |                               \
         LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                          \
         LANDLOCK_ACCESS_FS_REFER)

/* struct landlock_ruleset_attr as of ABI 6. Smaller kernels take it while the rest is 0. */
struct ruleset_attr {
        uint64_t handled_access_fs;
        uint64_t handled_access_net; /* ABI 4; 0: we do not narrow the network */
        uint64_t scoped;             /* ABI 6 */
};

/* A ruleset in the making. */
struct ruleset {
        int fd;
        uint64_t handled; /* a right outside of it is refused by the kernel as unknown */
};

/* What libc, the resolver and OpenSSL read. */
static const char *const system_directories[] = {"/etc",  "/usr", "/lib", "/lib64",
                                                 "/proc", "/run", "/dev", NULL};

/*
 * What a worker can never need. Names, not numbers: one that this libseccomp or this
 * architecture does not know is left out, and is left to the missing capabilities.
 */
static const char *const refused[] = {
    /* the tree of mounts */
    "mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree",
    "open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
/* other processes */
#if !MAY_TRACE
    "ptrace", "process_vm_readv", "process_vm_writev",
#endif
    "kcmp", "pidfd_getfd",
    /* other programs, other namespaces, another user */
    "execve", "execveat", "uselib", "unshare", "setns", "personality", "setuid", "setuid32",
    "setgid", "setgid32", "setreuid", "setreuid32", "setregid", "setregid32", "setresuid",
    "setresuid32", "setresgid", "setresgid32", "setfsuid", "setfsuid32", "setfsgid", "setfsgid32",
    "setgroups", "setgroups32", "capset",
    /* code in the kernel, and its observers */
    "bpf", "perf_event_open", "init_module", "finit_module", "delete_module", "create_module",
    "kexec_load", "kexec_file_load", "lookup_dcookie", "fanotify_init", "fanotify_mark",
    /* wide doors that had many holes */
    "keyctl", "add_key", "request_key", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "userfaultfd", "name_to_handle_at", "open_by_handle_at",
    /* the machine */
    "swapon", "swapoff", "reboot", "sethostname", "setdomainname", "syslog", "acct", "quotactl",
    "quotactl_fd", "nfsservctl", "settimeofday", "stime", "clock_settime", "clock_settime64",
    "adjtimex", "clock_adjtime", "clock_adjtime64", "mknod", "mknodat", "iopl", "ioperm", "vhangup",
    "vm86", "vm86old", "modify_ldt", NULL};

/* CLONE_NEWTIME is not among them: clone() has no room for it. */
static const unsigned new_namespaces[] = {CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
                                          CLONE_NEWIPC, CLONE_NEWUSER,   CLONE_NEWPID,
                                          CLONE_NEWNET};

/* Input for the terminal that we were started from: TIOCSTI types, TIOCLINUX pastes. */
static const unsigned typing[] = {TIOCSTI, TIOCLINUX};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* "<words>: <the error's text>" */
__attribute__((format(printf, 4, 5))) static int complain(int error, char *why, size_t size,
                                                          const char *format, ...)
{
        char words[192];
        va_list args;

        va_start(args, format);
        vsnprintf(words, sizeof(words), format, args);
        va_end(args);
        snprintf(why, size, "%s: %s", words, strerror(-error));
        return error;
}

static int is_ours(uid_t uid, gid_t gid)
{
        uid_t uids[3];
        gid_t gids[3];

        if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 ||
            getresgid(&gids[0], &gids[1], &gids[2]) < 0)
                return -errno;
        for (int i = 0; i < 3; i++)
                if (uids[i] != uid || gids[i] != gid)
                        return -EPERM;
        return 0;
}

/* Without CAP_SETPCAP it stays; nothing can be gained from it without an exec. */
static int empty_bounding_set(void)
{
        for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
                if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
                        return errno == EPERM ? 0 : -errno;
        return 0;
}

/* The change of user has emptied these sets, unless securebits said otherwise. */
static int empty_capabilities(void)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};

        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
            syscall(SYS_capset, &header, sets) < 0 || syscall(SYS_capget, &header, sets) < 0)
                return -errno;
        for (size_t i = 0; i < COUNT(sets); i++)
                if (sets[i].effective || sets[i].permitted || sets[i].inheritable)
                        return -EPERM;
        return 0;
}

/* gid and no other group, then uid: the other way round, there is no right left for it. */
static int take_on(uid_t uid, gid_t gid)
{
        if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
                return -errno;

        int groups = getgroups(0, NULL);

        if (groups != 0)
                return groups < 0 ? -errno : -EPERM;
        return is_ours(uid, gid);
}

static int become_user(uid_t uid, gid_t gid, char *why, size_t size)
{
        int r = 0;

        if (geteuid() != 0) {
                r = is_ours(uid, gid);
                if (r < 0)
                        return complain(r, why, size, "only root can start a worker as user %u:%u",
                                        uid, gid);
        } else if (uid == 0) {
                snprintf(why, size,
                         "a worker as uid 0 could change root's files even without a "
                         "capability; it needs a user of its own");
                return -EPERM;
        } else {
                r = empty_bounding_set();
                if (r < 0)
                        return complain(r, why, size, "cannot empty the bounding set");
                r = take_on(uid, gid);
                if (r < 0)
                        return complain(r, why, size, "cannot become user %u:%u", uid, gid);
        }
        r = empty_capabilities();
        return r < 0 ? complain(r, why, size, "cannot give up every capability") : 0;
}

/*
 * Nothing gained by exec, and no core: tokens and keys would be in it. The limit does
 * not count where core_pattern is a pipe, dumpable does. Comes after the change of user,
 * which sets dumpable as the system likes (fs.suid_dumpable).
 */
static int give_up_privileges(void)
{
        static const struct rlimit none = {0, 0};

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_DUMPABLE, MAY_TRACE, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
                return -errno;
        return 0;
}

/*
 * The kernel's Landlock ABI; 0 where it has none, or one that is of no use. ABI 1 cannot
 * allow a rename from one directory to another: every blob is published by one.
 */
static int landlock_abi(void)
{
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

        if (abi < 0)
                return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
        return abi < 2 ? 0 : (int)abi;
}

/* Everything that the ABI knows, and so, without a rule, nothing. */
static int new_ruleset(int abi, struct ruleset *ret)
{
        struct ruleset_attr attr = {.handled_access_fs = (LANDLOCK_ACCESS_FS_REFER << 1) - 1};

        if (abi >= 3)
                attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
        if (abi >= 5)
                attr.handled_access_fs |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
        if (abi >= 6)
                attr.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;

        long fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

        if (fd < 0)
                return -errno;
        ret->fd = (int)fd;
        ret->handled = attr.handled_access_fs;
        return 0;
}

static int allow(const struct ruleset *ruleset, int fd, uint64_t rights)
{
        struct landlock_path_beneath_attr rule = {
            .allowed_access = rights & ruleset->handled,
            .parent_fd = fd,
        };

        return syscall(SYS_landlock_add_rule, ruleset->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
                   ? -errno
                   : 0;
}

/* A path that our user does not get to is none to be allowed. `flags`: O_DIRECTORY or 0. */
static int allow_path(const struct ruleset *ruleset, const char *path, int flags, uint64_t rights)
{
        if (path[0] != '/')
                return -EINVAL;

        _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC | flags);

        if (fd < 0)
                return errno == ENOENT || errno == EACCES ? 0 : -errno;
        return allow(ruleset, fd, rights);
}

static int allow_reading(const struct ruleset *ruleset, const char *const *paths, char *why,
                         size_t size)
{
        for (; paths && *paths; paths++) {
                int r = allow_path(ruleset, *paths, O_DIRECTORY, LOOK);

                if (r < 0)
                        return complain(r, why, size, "cannot allow reading in %s", *paths);
        }
        return 0;
}

static int restrict_files(const struct fs_sandbox *sandbox, int abi, char *why, size_t size)
{
        struct ruleset ruleset = {.fd = -1};
        int r = new_ruleset(abi, &ruleset);

        if (r < 0)
                return complain(r, why, size, "Landlock (ABI %d) takes no rules", abi);

        _cleanup_close_ int fd = ruleset.fd;

        r = allow(&ruleset, sandbox->cache, KEEP);
        if (r < 0)
                return complain(r, why, size, "cannot allow the cache");
        r = allow_path(&ruleset, "/dev/null", 0, LANDLOCK_ACCESS_FS_WRITE_FILE);
        if (r < 0)
                return complain(r, why, size, "cannot allow /dev/null");
        r = allow_reading(&ruleset, system_directories, why, size);
        if (r < 0)
                return r;
        r = allow_reading(&ruleset, sandbox->readable, why, size);
        if (r < 0)
                return r;
        if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
                return complain(-errno, why, size, "Landlock (ABI %d) cannot be entered", abi);
        return 0;
}

/* One rule more, for the call `name`, if there is such a call. */
static int refuse(scmp_filter_ctx filter, int error, const char *name, unsigned conditions,
                  const struct scmp_arg_cmp *condition)
{
        int number = seccomp_syscall_resolve_name(name);

        if (number < 0) /* unknown, or of another architecture */
                return 0;
        return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((unsigned)error), number, conditions,
                                      condition);
}

static int fill(scmp_filter_ctx filter)
{
        /* Its flags are behind a pointer, so it must not be; libc then takes clone(). */
        int r = refuse(filter, ENOSYS, "clone3", 0, NULL);

        for (size_t i = 0; r == 0 && refused[i]; i++)
                r = refuse(filter, EPERM, refused[i], 0, NULL);
        for (size_t i = 0; r == 0 && i < COUNT(new_namespaces); i++) {
                struct scmp_arg_cmp has_flag = {0, SCMP_CMP_MASKED_EQ, new_namespaces[i],
                                                new_namespaces[i]};

                r = refuse(filter, EPERM, "clone", 1, &has_flag);
        }
        for (size_t i = 0; r == 0 && i < COUNT(typing); i++) {
                /* The kernel looks at the lower half only. */
                struct scmp_arg_cmp is = {1, SCMP_CMP_MASKED_EQ, UINT32_MAX, typing[i]};

                r = refuse(filter, EPERM, "ioctl", 1, &is);
        }
        return r;
}

static int filter_calls(void)
{
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        int r;

        if (!filter)
                return -ENOMEM;
        r = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1); /* the kernel's errno */
        /* Calls of another architecture have other numbers. */
        if (r == 0)
                r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r == 0)
                r = fill(filter);
        if (r == 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r;
}

int fs_sandbox_enter(const struct fs_sandbox *sandbox, struct fs_sandbox_report *ret, char *why,
                     size_t why_size)
{
        int r = become_user(sandbox->uid, sandbox->gid, why, why_size);

        if (r < 0)
                return r;
        r = give_up_privileges();
        if (r < 0)
                return complain(r, why, why_size, "cannot give up privileges for good");

        int abi = landlock_abi();

        if (abi < 0)
                return complain(abi, why, why_size, "cannot ask for Landlock");
        if (abi > 0) {
                r = restrict_files(sandbox, abi, why, why_size);
                if (r < 0)
                        return r;
        }
        r = filter_calls();
        if (r < 0)
                return complain(r, why, why_size, "cannot filter system calls");
        ret->landlock_abi = abi;
        return 0;
}
