/*
 * libfuse's session with threads of our own: libfuse's loop would cancel them
 * where they are, ours are woken and leave.
 */
#include "fs/session.h"

#include "fs/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define THREADS     4
#define WAKE_SIGNAL SIGUSR1

/* What libfuse said last: its reasons become our one line. */
static char last_words[256];

static void keep_words(enum fuse_log_level level, const char *format, va_list args)
{
        if (level > FUSE_LOG_ERR)
                return;
        vsnprintf(last_words, sizeof(last_words), format, args);
        last_words[strcspn(last_words, "\n")] = '\0';
}

int fs_session_mount(struct fs_server *server, const struct fs_options *options, char *why,
                     size_t why_size)
{
        bool root = geteuid() == 0;
        char list[1024];
        char *argv[] = {"assetfs", "-o", list, NULL};
        struct fuse_args args = FUSE_ARGS_INIT(3, argv);

        /*
         * default_permissions only where there is something to check: with it the kernel
         * sends a GETATTR before every OPEN of what is not cached (its attributes are not
         * to be believed), so that a first open would cost a HEAD and end with its answer.
         */
        snprintf(list, sizeof(list), "ro,nosuid,nodev,subtype=assetfs%s%s%s%s",
                 options->restricted ? ",default_permissions" : "",
                 strstr(options->fuse_options, ",fsname=") ? "" : ",fsname=assetfs",
                 root ? ",allow_other" : "", options->fuse_options);
        fuse_set_log_func(keep_words);
        server->session = fuse_session_new(&args, &fs_ops, sizeof(fs_ops), server);
        fuse_opt_free_args(&args);
        if (!server->session) {
                snprintf(why, why_size, "%s", last_words[0] ? last_words : "libfuse refused");
                return -EINVAL;
        }
        if (fuse_session_mount(server->session, options->mountpoint) != 0) {
                snprintf(why, why_size, "%s", last_words[0] ? last_words : "libfuse cannot mount");
                fuse_session_destroy(server->session);
                server->session = NULL;
                return -EIO;
        }
        return 0;
}

struct serving {
        struct fuse_session *session;
        int ended; /* eventfd: a thread left */
        pthread_t threads[THREADS];
        unsigned count;
};

static void *serve(void *arg)
{
        struct serving *serving = arg;
        struct fuse_buf buffer = {0};
        uint64_t one = 1;

        while (!fuse_session_exited(serving->session)) {
                int got = fuse_session_receive_buf(serving->session, &buffer);

                if (got == -EINTR)
                        continue;
                if (got <= 0)
                        break;
                fuse_session_process_buf(serving->session, &buffer);
        }
        free(buffer.mem);
        fuse_session_exit(serving->session);
        if (write(serving->ended, &one, sizeof(one)) < 0)
                fs_log(LOG_ERR, "event=eventfd cause=\"%s\"", strerror(errno));
        return NULL;
}

static void on_wake(int number)
{
        (void)number;
}

static void watched_signals(sigset_t *ret)
{
        sigemptyset(ret);
        sigaddset(ret, SIGTERM);
        sigaddset(ret, SIGINT);
}

void fs_session_block_signals(void)
{
        struct sigaction wake = {.sa_handler = on_wake}; /* no SA_RESTART: it ends a read */
        sigset_t set;

        watched_signals(&set);
        sigaddset(&set, SIGHUP);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        sigaction(WAKE_SIGNAL, &wake, NULL);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of write(2), not a death */
}

static int start_threads(struct serving *serving)
{
        while (serving->count < THREADS) {
                int r = pthread_create(&serving->threads[serving->count], NULL, serve, serving);

                if (r != 0)
                        return serving->count > 0 ? 0 : -r;
                serving->count++;
        }
        return 0;
}

/* A thread may be on its way into the read when the signal comes, so it is sent until the
 * thread is gone. */
static void join_threads(struct serving *serving)
{
        fuse_session_exit(serving->session);
        for (unsigned i = 0; i < serving->count; i++) {
                for (;;) {
                        struct timespec soon;

                        pthread_kill(serving->threads[i], WAKE_SIGNAL);
                        clock_gettime(CLOCK_REALTIME, &soon);
                        soon.tv_nsec += 10 * 1000 * 1000;
                        if (soon.tv_nsec >= 1000000000) {
                                soon.tv_nsec -= 1000000000;
                                soon.tv_sec++;
                        }
                        if (pthread_timedjoin_np(serving->threads[i], NULL, &soon) == 0)
                                break;
                }
        }
}

static void wait_for_end(int signals, int ended)
{
        struct pollfd events[] = {{.fd = signals, .events = POLLIN},
                                  {.fd = ended, .events = POLLIN}};
        struct signalfd_siginfo info;

        while (poll(events, 2, -1) < 0 && errno == EINTR)
                ;
        if ((events[0].revents & POLLIN) && read(signals, &info, sizeof(info)) == sizeof(info))
                fs_log(LOG_INFO, "event=stopping signal=%u", info.ssi_signo);
        else
                fs_log(LOG_INFO, "event=unmounted");
}

int fs_session_serve(struct fs_server *server, void (*before_end)(struct fs_server *server))
{
        struct serving serving = {.session = server->session};
        sigset_t set;

        watched_signals(&set);

        int signals = signalfd(-1, &set, SFD_CLOEXEC);

        serving.ended = eventfd(0, EFD_CLOEXEC);

        int r = signals < 0 || serving.ended < 0 ? -errno : start_threads(&serving);

        if (r == 0)
                wait_for_end(signals, serving.ended);
        before_end(server);
        join_threads(&serving);
        if (signals >= 0)
                close(signals);
        if (serving.ended >= 0)
                close(serving.ended);
        return r;
}

void fs_session_end(struct fs_server *server)
{
        if (!server->session)
                return;
        fuse_session_unmount(server->session);
        fuse_session_destroy(server->session);
        server->session = NULL;
}
