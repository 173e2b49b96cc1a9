/*
 * What the supervisor has before the first worker, and how it goes after the last.
 */
#include "fs/supervisor_state.h"

#include "cas/io.h"
#include "fs/launch.h"
#include "fs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int make_memfds(struct supervisor *s)
{
        int r = fs_memory_make(&s->memory_fd, &s->memory);

        if (r < 0)
                return r;
        s->memory->started_ms = (int64_t)time(NULL) * 1000;
        s->catalogs_fd = memfd_create("assetfs-catalogs", MFD_CLOEXEC);
        return s->catalogs_fd < 0 ? -errno : fs_kept_config_make(s->options, &s->config);
}

/* An open asset that is read through the worker is a descriptor of it. */
static void raise_descriptor_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
                return;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                fs_log(LOG_WARNING, "event=rlimit cause=%s", fs_log_value(strerror(errno)).text);
}

static int watch_signals(struct supervisor *s)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_BLOCK, &set, NULL);
        signal(SIGPIPE, SIG_IGN);
        s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return s->signals < 0 ? -errno : 0;
}

static int find_binary(struct supervisor *s)
{
        ssize_t length = readlink("/proc/self/exe", s->path, sizeof(s->path) - 1);

        if (length < 0)
                return -errno;
        s->path[length] = '\0';
        s->binary = fs_launch_open(NULL);
        return s->binary < 0 ? s->binary : 0;
}

static int claim_cache(struct supervisor *s)
{
        const struct fs_options *options = s->options;
        char why[CAS_WHY];
        struct stat st;

        if (fs_account_find(options->user, options->cache, &s->account, why, sizeof(why)) < 0) {
                fs_fail("%s", why);
                return options->user ? 2 : 1;
        }
        if (cas_claim_make(options->cache, s->account.uid, s->account.gid, &s->claim, why) < 0)
                return fs_fail("--cache %s: %s", options->cache, why);
        if (fstat(s->claim.root, &st) == 0 && (st.st_mode & 077))
                fs_log(LOG_WARNING,
                       "event=cache-readable cache=%s "
                       "cause=\"others can read the cache; 0700 keeps them out\"",
                       fs_log_value(options->cache).text);
        return 0;
}

/* In the order in which it can fail. 0, or the exit status after one line on stderr. */
int fs_supervisor_set_up(struct supervisor *s)
{
        struct fs_options *options = s->options;
        char why[CAS_WHY];
        int r = claim_cache(s);

        if (r)
                return r;
        raise_descriptor_limit();
        if (fs_mountpoint_prepare(options->mountpoint, sizeof(options->mountpoint), options->cache,
                                  why, sizeof(why)) < 0)
                return fs_fail("%s: %s", options->mountpoint, why);
        if ((r = make_memfds(s)) < 0 || (r = watch_signals(s)) < 0 || (r = find_binary(s)) < 0)
                return fs_fail("cannot start: %s", strerror(-r));
        if (fs_mount_make(options, &s->mount, why, sizeof(why)) < 0)
                return fs_fail("cannot mount on %s: %s", options->mountpoint, why);
        r = fs_backings_new(s->mount.fd, s->claim.root, s->account.uid, &s->backings);
        if (r < 0)
                return fs_fail("cannot start: %s", strerror(-r));
        r = fs_control_open(&s->control, s->claim.root, &s->account);
        if (r < 0)
                fs_log(LOG_WARNING, "event=no-control cause=\"%s; SIGHUP reloads\"", strerror(-r));
        return 0;
}

bool fs_supervisor_cache_is_gone(const struct supervisor *s)
{
        struct stat st;

        return fstat(s->claim.root, &st) == 0 && st.st_nlink == 0;
}

int fs_supervisor_renew_cache(struct supervisor *s, char why[CAS_WHY])
{
        struct cas_claim claim;
        int r = cas_claim_make(s->options->cache, s->account.uid, s->account.gid, &claim, why);

        if (r < 0)
                return r;
        fs_control_close(&s->control, s->claim.root, &s->account);
        /* Under their numbers, which the backing ids' maker knows. */
        if (dup3(claim.root, s->claim.root, O_CLOEXEC) < 0 ||
            dup3(claim.lock, s->claim.lock, O_CLOEXEC) < 0)
                r = cas_why(-errno, why, "%s", strerror(errno));
        cas_claim_release(&claim);
        if (fs_control_open(&s->control, s->claim.root, &s->account) < 0)
                fs_log(LOG_WARNING, "event=no-control cause=\"SIGHUP reloads\"");
        return r;
}

void fs_supervisor_tear_down(struct supervisor *s)
{
        fs_supervisor_kill_worker(s, SIGKILL);
        /* It may not be able to die, on a sick disk; those who wait for it must not wait on. */
        for (int i = 0; i < 200 && s->worker > 0 && waitpid(s->worker, NULL, WNOHANG) == 0; i++)
                usleep(10000);
        fs_control_answer(&s->control, "stopping");
        fs_control_close(&s->control, s->claim.root, &s->account);
        fs_mount_end(&s->mount);
        fs_backings_free(s->backings);
        fs_memory_detach(s->memory);
        cas_claim_release(&s->claim);
        fs_kept_config_end(&s->config);
        fs_secrets_free(&s->secrets);

        fs_supervisor_close_sockets(s);

        const int fds[] = {s->memory_fd, s->catalogs_fd, s->catalogs_before,
                           s->signals,   s->binary,      s->fallback};

        for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
                cas_io_close_at(&fds[i]);
}
