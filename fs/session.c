/*
 * libfuse's session over the descriptor that the supervisor mounted, with threads of our
 * own: libfuse's loop would cancel them where they are, ours are woken and leave. And
 * requests are read into the journal, which libfuse's loop knows nothing of.
 */
#include "fs/session.h"

#include "cas/io.h"
#include "fs/fuse_abi.h"
#include "fs/log.h"
#include "fs/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define WAKE_SIGNAL SIGUSR1
#define TICK_MS     1000

static const struct fuse_in_header *init_header(const struct fs_memory *memory)
{
        return (const struct fuse_in_header *)memory->init;
}

/* What the kernel offers beside the flags that libfuse knows. */
static uint32_t offered(const struct fs_memory *memory)
{
        const struct fuse_init_in *in = (const struct fuse_init_in *)(init_header(memory) + 1);

        if (memory->init_length < sizeof(struct fuse_in_header) + sizeof(*in) ||
            !(in->flags & FS_ABI_INIT_EXT))
                return 0;
        return in->flags2;
}

/*
 * The reply to INIT, with what an older libfuse cannot ask for. A worker that takes over
 * replies too; the kernel has had its answer and says ENOENT, which is fine with us.
 */
static ssize_t reply_to_init(struct fs_server *server, int fd, const struct iovec iov[2])
{
        struct fs_abi_init_out out;
        struct iovec amended[] = {iov[0], {&out, sizeof(out)}};
        uint32_t flags2 = 0;

        memcpy(&out, iov[1].iov_base, sizeof(out));
        if (server->passthrough)
                flags2 |= FS_ABI_PASSTHROUGH;
        if (server->restricted)
                flags2 |= FS_ABI_ALLOW_IDMAP; /* the kernel wants default_permissions with it */
        flags2 &= offered(server->memory);
        if (flags2) {
                out.flags |= FS_ABI_INIT_EXT;
                out.flags2 |= flags2;
        }
        if (flags2 & FS_ABI_PASSTHROUGH)
                out.max_stack_depth = 1;

        ssize_t length = (ssize_t)(amended[0].iov_len + amended[1].iov_len);

        /* Before the kernel has it: a worker that takes over goes by this. */
        if (!server->memory->init_answered)
                server->memory->passthrough = (flags2 & FS_ABI_PASSTHROUGH) != 0;

        ssize_t written = writev(fd, amended, 2);

        server->memory->init_answered = 1;
        return written < 0 && errno == ENOENT ? length : written;
}

static ssize_t write_reply(int fd, struct iovec *iov, int count, void *userdata)
{
        struct fs_server *server = userdata;
        const struct fuse_out_header *header = iov[0].iov_base;
        ssize_t written;

        fs_kill_point(server->memory);
        if (header->unique == init_header(server->memory)->unique && header->error == 0 &&
            count == 2 && iov[1].iov_len == sizeof(struct fs_abi_init_out))
                written = reply_to_init(server, fd, iov);
        else
                written = writev(fd, iov, count);
        fs_kill_point(server->memory);
        return written;
}

static ssize_t read_request(int fd, void *buffer, size_t size, void *userdata)
{
        (void)userdata;
        return read(fd, buffer, size);
}

static ssize_t splice_reply(int from, off_t *from_offset, int to, off_t *to_offset, size_t length,
                            unsigned flags, void *userdata)
{
        (void)userdata;
        return splice(from, from_offset, to, to_offset, length, flags);
}

int fs_session_open(struct fs_server *server, const struct fs_options *options, int fd, char *why,
                    size_t why_size)
{
        static const struct fuse_custom_io io = {
            .writev = write_reply, .read = read_request, .splice_send = splice_reply};
        struct fuse_session *session =
            fs_mount_session(options, &fs_ops, sizeof(fs_ops), server, why, why_size);

        if (!session)
                return -EINVAL;

        int flags = fcntl(fd, F_GETFL);
        int r = fuse_session_custom_io(session, &io, fd);

        /* Whatever a worker before us made of it: our threads wait in read(). */
        if (flags >= 0 && (flags & O_NONBLOCK))
                fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);

        if (r < 0) {
                fuse_session_destroy(session);
                snprintf(why, why_size, "%s", strerror(-r));
                return r;
        }
        server->session = session;
        return 0;
}

/* 0: nothing was read, try again. -ENODEV: unmounted. */
static int read_next(struct fs_server *server, unsigned thread)
{
        struct fuse_in_header *header = fs_journal_slot(server->journal, thread);
        ssize_t got = read(fuse_session_fd(server->session), header, FS_REQUEST_BYTES);

        if (got >= 0)
                return (int)got;
        header->len = 0; /* the kernel may have begun */
        return errno == EINTR || errno == EAGAIN || errno == ENOENT ? 0 : -errno;
}

static void process(void *arg, const void *request, size_t length)
{
        struct fs_server *server = arg;
        struct fuse_buf buffer = {.mem = (void *)request, .size = length};

        fs_kill_point(server->memory);
        fuse_session_process_buf(server->session, &buffer);
        fs_kill_point(server->memory);
}

static void refuse(void *arg, uint64_t unique)
{
        const struct fs_server *server = arg;
        struct fuse_out_header out = {.len = sizeof(out), .error = -EIO, .unique = unique};

        if (write(fuse_session_fd(server->session), &out, sizeof(out)) < 0 && errno != ENOENT)
                fs_log(LOG_WARNING, "event=refuse cause=%s", fs_log_value(strerror(errno)).text);
}

/* The kernel's first request, into the memory; it may be there from a worker before us. */
static int save_init(struct fs_server *server)
{
        struct fs_memory *memory = server->memory;
        struct fuse_in_header *header = fs_journal_slot(server->journal, 0);
        int got = (int)header->len;

        while (got == 0)
                got = read_next(server, 0);
        if (got < 0)
                return got;
        if (header->opcode != FUSE_INIT || (size_t)got > sizeof(memory->init))
                return -EPROTO;
        memcpy(memory->init, header, (size_t)got);
        atomic_signal_fence(memory_order_seq_cst);
        memory->init_length = (uint32_t)got;
        atomic_signal_fence(memory_order_seq_cst);
        header->len = 0;
        return 0;
}

int fs_session_greet(struct fs_server *server)
{
        struct fs_memory *memory = server->memory;
        int r = memory->init_length == 0 ? save_init(server) : 0;

        if (r < 0)
                return r;
        if (memory->init_length > sizeof(memory->init) || init_header(memory)->opcode != FUSE_INIT)
                return -EPROTO;
        process(server, memory->init, memory->init_length);
        return fuse_session_exited(server->session) ? -EPROTO : 0;
}

void fs_session_take_over(struct fs_server *server)
{
        unsigned count = fs_journal_replay(server->journal, process, refuse, server);

        if (count > 0)
                fs_log(LOG_INFO, "event=taken-over requests=%u", count);
}

struct serving {
        struct fs_server *server;
        int ended; /* eventfd: a thread left */
        atomic_uint numbers;
        atomic_int error;
        pthread_t threads[FS_THREADS];
        unsigned count;
};

static void *serve(void *arg)
{
        struct serving *serving = arg;
        struct fs_server *server = serving->server;
        unsigned thread = atomic_fetch_add(&serving->numbers, 1);
        uint64_t one = 1;

        pthread_setname_np(pthread_self(), "requests");
        while (!fuse_session_exited(server->session)) {
                int got = read_next(server, thread);

                if (got < 0) {
                        atomic_store(&serving->error, got);
                        break;
                }
                if (got > 0)
                        fs_journal_handle(server->journal, thread, process, server);
        }
        fuse_session_exit(server->session);
        if (write(serving->ended, &one, sizeof(one)) < 0)
                fs_log(LOG_ERR, "event=eventfd cause=%s", fs_log_value(strerror(errno)).text);
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
        while (serving->count < FS_THREADS) {
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
        fuse_session_exit(serving->server->session);
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

/* Until a signal comes or a thread leaves. */
static void wait_for_end(int signals, int ended)
{
        struct pollfd events[] = {{.fd = signals, .events = POLLIN},
                                  {.fd = ended, .events = POLLIN}};
        int count;

        while ((count = poll(events, 2, TICK_MS)) == 0 || (count < 0 && errno == EINTR))
                fs_log_tick();
}

int fs_session_serve(struct fs_server *server, void (*before_end)(struct fs_server *server))
{
        struct serving serving = {.server = server};
        sigset_t set;

        watched_signals(&set);

        int signals = signalfd(-1, &set, SFD_CLOEXEC);

        serving.ended = eventfd(0, EFD_CLOEXEC);

        int r = signals < 0 || serving.ended < 0 ? -errno : start_threads(&serving);

        if (r == 0)
                wait_for_end(signals, serving.ended);
        before_end(server);
        join_threads(&serving);
        cas_io_close_at(&signals);
        cas_io_close_at(&serving.ended);
        return r < 0 ? r : atomic_load(&serving.error);
}

void fs_session_end(struct fs_server *server)
{
        if (!server->session)
                return;
        fuse_session_destroy(server->session);
        server->session = NULL;
}
