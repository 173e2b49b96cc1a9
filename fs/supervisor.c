/*
 * The supervisor's loop, and its workers' lives. What it does for a worker is in fs/backing.c,
 * how it starts one in fs/launch.c, how it knows that one is stuck in fs/watchdog.c.
 */
#include "fs/supervisor.h"

#include "cas/io.h"
#include "fetch/clock.h"
#include "fs/launch.h"
#include "fs/log.h"
#include "fs/notify.h"
#include "fs/supervisor_state.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVE_MS   20000 /* a worker serves by then, or it is not going to */
#define RELOAD_MS  5000  /* the same, while the binary before it could go on */
#define STOP_MS    5000  /* a worker that was asked to end has ended by then */
#define SETTLED_MS 10000 /* a worker that served for so long was all right */
#define GIVE_UP    8     /* failed workers in a row */
#define PAUSE_MS   50    /* before the third failure's successor; doubled each time */
#define SOON_FREE  16    /* such deaths before there is a pause after each */
#define TICK_MS    1000

static void end(struct supervisor *s, int status)
{
        s->ended = true;
        s->status = status;
}

/* Starting */

/* The sockets to a worker: ours are kept, theirs are in *ret_channel and *ret_commands. */
static int make_sockets(struct supervisor *s, int *ret_channel, int *ret_commands)
{
        int channel[2];
        int commands[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0)
                return -errno;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, commands) < 0) {
                int r = -errno;

                close(channel[0]);
                close(channel[1]);
                return r;
        }
        s->channel = channel[0];
        s->commands = commands[0];
        *ret_channel = channel[1];
        *ret_commands = commands[1];
        return 0;
}

void fs_supervisor_close_sockets(struct supervisor *s)
{
        cas_io_close_at(&s->channel);
        cas_io_close_at(&s->commands);
        s->channel = -1;
        s->commands = -1;
}

static void start_worker(struct supervisor *s)
{
        int fds[FS_FD_END - FS_FD_FUSE] = {
            s->mount.fd,   s->memory_fd,   -1,           s->claim.root,
            s->claim.lock, s->catalogs_fd, s->config.fd, -1};
        int *channel = &fds[FS_FD_CHANNEL - FS_FD_FUSE];
        int *commands = &fds[FS_FD_COMMANDS - FS_FD_FUSE];
        pid_t child = make_sockets(s, channel, commands);

        atomic_store(&s->memory->trying, s->fallback >= 0);
        if (child == 0) {
                child = fs_secrets_read(&s->secrets, s->options, s->config.fd);
                if (child == 0)
                        child = fs_launch(s->binary, s->options, fds);
                close(*channel);
                close(*commands);
        }
        if (child < 0) {
                fs_log(LOG_ERR, "event=fork cause=%s", fs_log_value(strerror((int)-child)).text);
                fs_supervisor_close_sockets(s);
                s->start_ms = fetch_now_ms() + TICK_MS;
                return;
        }
        fs_log(LOG_DEBUG, "event=started worker=%d", (int)child);
        s->worker = child;
        s->serving = false;
        s->garbled = false;
        s->condemned = false;
        s->trying = s->fallback >= 0;
        s->deadline_ms = fetch_now_ms() + (s->fallback >= 0 ? RELOAD_MS : SERVE_MS);
}

void fs_supervisor_kill_worker(struct supervisor *s, int signal)
{
        if (s->worker > 0)
                kill(s->worker, signal);
}

/* The worker that was just started serves. */
static void announce(struct supervisor *s)
{
        s->passthrough = s->options->passthrough == FS_PASSTHROUGH_OFF
                             ? -ECANCELED
                             : fs_backings_probe(s->backings, s->claim.lock);
        if (s->passthrough < 0 && s->options->passthrough == FS_PASSTHROUGH_ON) {
                fs_fail("-o passthrough=on: %s", strerror(-s->passthrough));
                s->status = 1;
                s->stopping = true;
                fs_supervisor_kill_worker(s, SIGKILL);
                return;
        }
        atomic_store(&s->memory->passthrough_error, s->passthrough);
        s->announced = true;
        fs_mountpoint_device(s->options->mountpoint, s->device);
        s->on_ready(s->ready_arg);
        if (s->passthrough == 0)
                fs_log(LOG_INFO, "event=mounted mountpoint=%s user=%u passthrough=on",
                       fs_log_value(s->options->mountpoint).text, s->account.uid);
        else
                fs_log(LOG_INFO, "event=mounted mountpoint=%s user=%u passthrough=off cause=%s",
                       fs_log_value(s->options->mountpoint).text, s->account.uid,
                       fs_log_value(s->passthrough == -ECANCELED ? "by option"
                                                                 : strerror(-s->passthrough))
                           .text);
        fs_notify("READY=1");
}

static void on_ready(struct supervisor *s, bool stale)
{
        s->serving = true;
        s->served_ms = fetch_now_ms();
        fs_watchdog_start(&s->watchdog, s->served_ms);
        if (!s->announced) {
                announce(s);
                return;
        }
        fs_log(LOG_INFO, "event=serving worker=%d restarts=%u", s->worker, s->restarts);
        if (s->fallback < 0)
                return;
        close(s->fallback);
        s->fallback = -1;
        fs_supervisor_accept_reload(s, stale);
}

/* What a worker asks for */

static void answer(struct supervisor *s, const struct fs_ask *ask)
{
        _cleanup_close_ int secret = -1;
        struct fs_answer reply = {0};

        switch (ask->kind) {
        case FS_ASK_READY:
                /* Not one that is being killed for a reload. */
                if (!s->serving && (s->fallback < 0 || s->trying))
                        on_ready(s, ask->id);
                reply.error = s->passthrough;
                break;
        case FS_ASK_BACKING:
                reply.error = s->passthrough < 0 ? s->passthrough
                                                 : fs_backings_get(s->backings, &ask->digest,
                                                                   &reply.id, &reply.inode);
                break;
        case FS_ASK_DROP:
                fs_backings_drop(s->backings, ask->id);
                return;
        case FS_ASK_SECRET:
                secret = fs_secrets_open(&s->secrets, &ask->digest);
                reply.error = secret < 0 ? secret : 0;
                break;
        default:
                reply.error = -EINVAL;
                break;
        }
        fs_channel_reply(s->channel, &reply, secret);
}

static void listen_to_worker(struct supervisor *s)
{
        struct fs_ask ask;
        ssize_t got = recv(s->channel, &ask, sizeof(ask), MSG_DONTWAIT | MSG_TRUNC);

        if (got == sizeof(ask)) {
                answer(s, &ask);
        } else if (got == 0) {
                close(s->channel); /* it is ending; SIGCHLD tells how */
                s->channel = -1;
        } else if (got > 0 && !s->garbled) {
                s->garbled = true;
                fs_log(LOG_ERR, "event=garbled worker=%d cause=\"a message of %zd bytes\"",
                       s->worker, got);
        }
}

/* What it had said before it died: ids that are not used any more. */
static void hear_out(struct supervisor *s)
{
        struct fs_ask ask;

        while (s->channel >= 0 && recv(s->channel, &ask, sizeof(ask), MSG_DONTWAIT) == sizeof(ask))
                if (ask.kind == FS_ASK_DROP)
                        fs_backings_drop(s->backings, ask.id);
        fs_supervisor_close_sockets(s);
}

/* Death */

static void give_up(struct supervisor *s)
{
        fs_log(LOG_CRIT, "event=given-up cause=\"%u workers in a row did not live; see above\"",
               s->failures);
        end(s, 1);
}

/* The worker has lost the connection. If the mount is still there, somebody broke it: the
 * kernel, when a request took longer than its request timeout, or an administrator. */
static void on_unmount(struct supervisor *s)
{
        if (!fs_mountpoint_has(s->options->mountpoint, s->device)) {
                fs_log(LOG_INFO, "event=unmounted");
                end(s, 0);
                return;
        }
        fs_log(LOG_CRIT, "event=aborted cause=\"the kernel has ended the connection\"");
        fs_mountpoint_take_away(s->options->mountpoint);
        end(s, 1);
}

/* It was ours to see it serve for a while, unless somebody killed it. */
static bool counts_as_failure(const struct supervisor *s, int status)
{
        if (!s->serving)
                return true;
        return !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) &&
               fetch_now_ms() - s->served_ms < SETTLED_MS;
}

static void log_death(const struct supervisor *s, int status)
{
        if (s->fallback >= 0 && !s->trying)
                fs_log(LOG_INFO, "event=worker-replaced worker=%d", s->worker);
        else if (WIFSIGNALED(status))
                fs_log(LOG_WARNING, "event=worker-died worker=%d signal=%s failures=%u", s->worker,
                       sigabbrev_np(WTERMSIG(status)), s->failures);
        else
                fs_log(LOG_WARNING, "event=worker-died worker=%d exit=%d failures=%u", s->worker,
                       WEXITSTATUS(status), s->failures);
}

/* Before the next one. Whoever is killed again and again, for memory perhaps, is not started in
 * a circle without a breath. */
static int64_t pause_ms(struct supervisor *s)
{
        bool soon = s->serving && fetch_now_ms() - s->served_ms < SETTLED_MS;

        s->soon = soon ? s->soon + 1 : 0;
        if (s->failures >= 2)
                return PAUSE_MS << (s->failures - 2);
        return s->soon > SOON_FREE ? PAUSE_MS : 0;
}

static void on_death(struct supervisor *s, int status)
{
        if (s->stopping) {
                end(s, s->status);
        } else if (WIFEXITED(status) && WEXITSTATUS(status) == FS_EXIT_UNMOUNTED) {
                on_unmount(s);
        } else if (!s->announced && WIFEXITED(status)) {
                /* It has said why, in one line; unless it did not get so far. */
                if (WEXITSTATUS(status) == FS_EXIT_NO_EXEC)
                        fs_fail("the worker cannot be executed");
                end(s, WEXITSTATUS(status) == FS_EXIT_NO_EXEC ? 1 : WEXITSTATUS(status));
        } else {
                s->failures = counts_as_failure(s, status) ? s->failures + 1 : 0;
                log_death(s, status);
                atomic_store(&s->memory->restarts, ++s->restarts);
                if (s->failures >= GIVE_UP)
                        give_up(s);
                else
                        s->start_ms = fetch_now_ms() + pause_ms(s);
        }
}

static void reap(struct supervisor *s)
{
        int status = W_EXITCODE(1, 0); /* where nobody can say any more */

        if (s->worker == 0 || waitpid(s->worker, &status, WNOHANG) == 0)
                return;
        hear_out(s);

        on_death(s, status);
        s->worker = 0;
        s->serving = false;
        if (!s->ended && s->fallback >= 0 && s->trying)
                fs_supervisor_fall_back(s);
}

static void stop(struct supervisor *s, int signal)
{
        if (s->stopping)
                return;
        fs_log(LOG_INFO, "event=stopping signal=%d", signal);
        fs_notify("STOPPING=1");
        s->stopping = true;
        s->deadline_ms = fetch_now_ms() + STOP_MS;
        if (s->worker == 0)
                end(s, 0);
        fs_supervisor_kill_worker(s, SIGTERM);
}

static void on_signal(struct supervisor *s)
{
        struct signalfd_siginfo info;

        if (read(s->signals, &info, sizeof(info)) != sizeof(info))
                return;
        switch (info.ssi_signo) {
        case SIGCHLD:
                reap(s);
                break;
        case SIGHUP:
                fs_supervisor_reload(s);
                break;
        default:
                stop(s, (int)info.ssi_signo);
                break;
        }
}

/*
 * Somebody removed the cache's directory. What is open stays readable, but the worker may write
 * nowhere else (Landlock knows the directory by its inode): a new one is made, and the next
 * worker gets that, with all who wait.
 */
static void renew_cache(struct supervisor *s)
{
        char why[CAS_WHY] = "";

        if (fs_supervisor_renew_cache(s, why) < 0) {
                if (!s->cacheless)
                        fs_log(LOG_ERR, "event=cache-gone cache=%s cause=%s",
                               fs_log_value(s->options->cache).text, fs_log_value(why).text);
                s->cacheless = true;
                return;
        }
        fs_log(LOG_WARNING, "event=cache-renewed cache=%s cause=\"its directory was removed\"",
               fs_log_value(s->options->cache).text);
        s->cacheless = false;
        s->condemned = true;
        fs_supervisor_kill_worker(s, SIGKILL);
}

/* What time brings. */
static void tick(struct supervisor *s)
{
        int64_t now = fetch_now_ms();
        const char *stuck;

        reap(s); /* signals can be lost; this cannot */
        fs_control_tick(&s->control);
        fs_log_tick();
        if (s->ended)
                return;
        if (s->worker == 0) {
                if (now >= s->start_ms)
                        start_worker(s);
        } else if (s->stopping || !s->serving) {
                if (now >= s->deadline_ms) {
                        s->deadline_ms = now + TICK_MS;
                        fs_supervisor_kill_worker(s, SIGKILL);
                }
        } else if (!s->condemned && (stuck = fs_watchdog_look(&s->watchdog, s->memory, now))) {
                fs_log(LOG_ERR, "event=stuck worker=%d cause=\"%s for %d s\"", s->worker, stuck,
                       FS_WATCHDOG_MS / 1000);
                s->condemned = true;
                fs_supervisor_kill_worker(s, SIGKILL);
        } else if (!s->condemned && s->fallback < 0 && fs_supervisor_cache_is_gone(s)) {
                renew_cache(s);
        }
}

static int wait_ms(const struct supervisor *s)
{
        int64_t now = fetch_now_ms();
        int64_t until = now + TICK_MS;

        if (s->worker == 0 && s->start_ms < until)
                until = s->start_ms;
        if (s->worker != 0 && (s->stopping || !s->serving) && s->deadline_ms < until)
                until = s->deadline_ms;
        return until > now ? (int)(until - now) : 0;
}

static void obey(struct supervisor *s)
{
        switch (fs_control_take(&s->control)) {
        case FS_COMMAND_NONE:
                break;
        case FS_COMMAND_RELOAD:
                fs_supervisor_reload(s);
                break;
        case FS_COMMAND_WORKERS:
                fs_control_hand_over(&s->control, s->serving ? s->commands : -1);
                break;
        }
}

static void loop(struct supervisor *s)
{
        for (tick(s); !s->ended; tick(s)) {
                struct pollfd events[] = {
                    {.fd = s->signals, .events = POLLIN},
                    {.fd = s->channel, .events = POLLIN},
                    {.fd = s->control.listener, .events = POLLIN},
                    {.fd = s->control.client, .events = POLLIN},
                };

                poll(events, sizeof(events) / sizeof(events[0]), wait_ms(s));
                if (events[0].revents)
                        on_signal(s);
                if (events[1].revents && s->channel == events[1].fd)
                        listen_to_worker(s);
                if (events[2].revents || events[3].revents)
                        obey(s);
        }
}

int fs_supervise(struct fs_options *options, void (*ready)(void *arg), void *arg)
{
        static struct supervisor state;
        struct supervisor *s = &state;

        *s = (struct supervisor){.options = options,
                                 .on_ready = ready,
                                 .ready_arg = arg,
                                 .mount = {NULL, -1},
                                 .memory_fd = -1,
                                 .claim = {-1, -1},
                                 .catalogs_fd = -1,
                                 .catalogs_before = -1,
                                 .config = {.fd = -1, .before = -1},
                                 .control = {.listener = -1, .client = -1},
                                 .signals = -1,
                                 .binary = -1,
                                 .fallback = -1,
                                 .channel = -1,
                                 .commands = -1};
        s->status = fs_supervisor_set_up(s);
        if (s->status == 0) {
                if (chdir("/") < 0)
                        fs_log(LOG_WARNING, "event=chdir cause=%s",
                               fs_log_value(strerror(errno)).text);
                loop(s);
        }
        fs_supervisor_tear_down(s);
        fs_log_end();
        return s->status;
}
