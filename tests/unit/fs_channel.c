/*
 * The worker's end of the channel. The test is the supervisor, in a thread of its own.
 */
#include "fs/channel.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ASKS_MAX 64

static struct fs_channel channel;
static int ends[2];
static pthread_t supervisor;

/* What the supervisor was asked, to be read after it ended; and what it answers. */
static struct fs_ask asks[ASKS_MAX];
static unsigned ask_count;
static struct fs_answer to_say;

static void make(void)
{
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        fs_channel_init(&channel, ends[0]);
}

TestSuite(fs_channel, .init = make, .timeout = 30);

/* Says the same to everybody, until the worker hangs up. */
static void *supervise(void *arg)
{
        struct fs_ask ask;
        ssize_t got;

        while ((got = recv(ends[1], &ask, sizeof(ask), MSG_TRUNC)) > 0) {
                cr_assert_eq(got, sizeof(ask));
                cr_assert_lt(ask_count, ASKS_MAX);
                asks[ask_count++] = ask;
                if (ask.kind != FS_ASK_DROP)
                        cr_assert_eq(send(ends[1], &to_say, sizeof(to_say), 0), sizeof(to_say));
        }
        return arg;
}

/* As one whose answers depend on the question: id and inode are the digest's first bytes. */
static void *answer_each(void *arg)
{
        struct fs_ask ask;

        while (recv(ends[1], &ask, sizeof(ask), 0) == sizeof(ask)) {
                struct fs_answer answer = {0};
                uint32_t number;

                memcpy(&number, ask.digest.bytes, sizeof(number));
                answer.id = (int32_t)number;
                answer.inode = 3 * (uint64_t)number;
                answer.error = number % 5 ? 0 : -ENOENT;
                sched_yield();
                if (ask.kind == FS_ASK_BACKING)
                        cr_assert_eq(send(ends[1], &answer, sizeof(answer), 0), sizeof(answer));
        }
        return arg;
}

static void start(void *(*as)(void *))
{
        cr_assert_eq(pthread_create(&supervisor, NULL, as, NULL), 0);
}

/* The worker ends; nothing was left unread. */
static void end(void)
{
        shutdown(ends[0], SHUT_RDWR);
        pthread_join(supervisor, NULL);
        close(ends[0]);
        close(ends[1]);
}

static struct cas_digest numbered(uint32_t number)
{
        struct cas_digest digest = {{0}};

        memcpy(digest.bytes, &number, sizeof(number));
        return digest;
}

Test(fs_channel, worker_is_ready_and_learns_of_passthrough)
{
        start(supervise);
        cr_expect(fs_channel_ready(&channel, false));
        end();
        cr_assert_eq(ask_count, 1);
        cr_expect_eq(asks[0].kind, FS_ASK_READY);
        cr_expect_eq(asks[0].id, 0);
}

Test(fs_channel, worker_with_the_last_good_catalogs_says_so)
{
        to_say.error = -EOPNOTSUPP;
        start(supervise);
        cr_expect_not(fs_channel_ready(&channel, true), "no passthrough");
        end();
        cr_assert_eq(ask_count, 1);
        cr_expect_eq(asks[0].id, 1);
}

Test(fs_channel, backing_id_of_a_digest)
{
        struct cas_digest digest = numbered(0x12345678);
        uint64_t inode = 0;
        int32_t id = 0;

        digest.bytes[CAS_DIGEST_SIZE - 1] = 0xff;
        to_say = (struct fs_answer){.id = 7, .inode = UINT64_C(1) << 40};
        start(supervise);
        cr_expect_eq(fs_channel_backing(&channel, &digest, &id, &inode), 0);
        end();
        cr_expect_eq(id, 7);
        cr_expect_eq(inode, UINT64_C(1) << 40);
        cr_assert_eq(ask_count, 1);
        cr_expect_eq(asks[0].kind, FS_ASK_BACKING);
        cr_expect(cas_digest_equal(&asks[0].digest, &digest));
}

Test(fs_channel, backing_id_that_is_refused)
{
        struct cas_digest digest = numbered(1);
        uint64_t inode = 42;
        int32_t id = 42;

        to_say = (struct fs_answer){.error = -EPERM, .id = 7, .inode = 7};
        start(supervise);
        cr_expect_eq(fs_channel_backing(&channel, &digest, &id, &inode), -EPERM);
        end();
        cr_expect(id == 42 && inode == 42, "a refusal changed the result");
}

/* Were an answer expected, the test would hang. */
Test(fs_channel, dropped_id_has_no_answer)
{
        start(supervise);
        fs_channel_drop(&channel, 7);
        fs_channel_drop(&channel, 8);
        cr_expect(fs_channel_ready(&channel, false));
        end();
        cr_assert_eq(ask_count, 3);
        cr_expect(asks[0].kind == FS_ASK_DROP && asks[0].id == 7);
        cr_expect(asks[1].kind == FS_ASK_DROP && asks[1].id == 8);
}

static void *ask_much(void *arg)
{
        uint32_t thread = (uint32_t)(intptr_t)arg;

        for (uint32_t i = 0; i < 500; i++) {
                uint32_t number = thread << 16 | (i + 1);
                struct cas_digest digest = numbered(number);
                uint64_t inode = 0;
                int32_t id = 0;
                int r = fs_channel_backing(&channel, &digest, &id, &inode);

                cr_assert_eq(r, number % 5 ? 0 : -ENOENT);
                cr_assert(r < 0 || (id == (int32_t)number && inode == 3 * (uint64_t)number),
                          "another thread's answer");
                if (i % 3 == 0)
                        fs_channel_drop(&channel, id);
        }
        return NULL;
}

Test(fs_channel, each_thread_gets_its_own_answer)
{
        pthread_t threads[6];

        start(answer_each);
        for (intptr_t i = 0; i < 6; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, ask_much, (void *)i), 0);
        for (int i = 0; i < 6; i++)
                pthread_join(threads[i], NULL);
        end();
}

static pthread_t asker;

static void notice(int signal)
{
        (void)signal;
}

/* Disturbs the asker, who waits for an answer, and then gives it. */
static void *disturb(void *arg)
{
        struct fs_ask ask;

        cr_assert_eq(recv(ends[1], &ask, sizeof(ask), 0), sizeof(ask));
        for (int i = 0; i < 5; i++) {
                usleep(10000);
                pthread_kill(asker, SIGUSR1);
        }
        usleep(10000);
        cr_assert_eq(send(ends[1], &to_say, sizeof(to_say), 0), sizeof(to_say));
        return arg;
}

Test(fs_channel, signal_is_no_answer)
{
        struct sigaction action = {.sa_handler = notice}; /* without SA_RESTART */

        asker = pthread_self();
        sigaction(SIGUSR1, &action, NULL);
        start(disturb);
        cr_expect(fs_channel_ready(&channel, false));
        end();
}

/* How a worker ends that talks to `supervisor_end` in a process of its own. */
static int status_of_worker(void (*talk)(void))
{
        pid_t child = fork();
        int status = 0;

        cr_assert_geq(child, 0);
        if (child == 0) {
                int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

                dup2(null, STDERR_FILENO); /* what it logs */
                close(ends[1]);
                talk();
                _exit(42);
        }
        close(ends[0]);
        cr_assert_eq(waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void say_ready(void)
{
        fs_channel_ready(&channel, false);
}

static void say_drop(void)
{
        fs_channel_drop(&channel, 1);
}

static void ask_backing(void)
{
        struct cas_digest digest = numbered(1);
        uint64_t inode;
        int32_t id;

        fs_channel_backing(&channel, &digest, &id, &inode);
}

Test(fs_channel, worker_ends_where_the_supervisor_is_gone)
{
        void (*const talks[])(void) = {say_ready, say_drop, ask_backing};

        for (int i = 0; i < 3; i++) {
                close(ends[1]);
                cr_expect_eq(status_of_worker(talks[i]), 1);
                make();
        }
}

static void *listen_and_leave(void *arg)
{
        struct fs_ask ask;

        cr_assert_eq(recv(ends[1], &ask, sizeof(ask), 0), sizeof(ask));
        close(ends[1]);
        return arg;
}

Test(fs_channel, worker_ends_where_the_supervisor_goes_while_it_waits)
{
        int kept = ends[1];

        start(listen_and_leave);
        cr_expect_eq(status_of_worker(ask_backing), 1);
        pthread_join(supervisor, NULL);
        cr_expect_lt(fcntl(kept, F_GETFD), 0);
}

static void *say_half(void *arg)
{
        struct fs_ask ask;

        cr_assert_eq(recv(ends[1], &ask, sizeof(ask), 0), sizeof(ask));
        send(ends[1], &to_say, sizeof(to_say) - 1, 0);
        return arg;
}

Test(fs_channel, worker_ends_where_the_supervisor_talks_nonsense)
{
        start(say_half);
        cr_expect_eq(status_of_worker(ask_backing), 1);
        pthread_join(supervisor, NULL);
        close(ends[1]);
}
