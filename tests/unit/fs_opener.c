/*
 * Who wants out: children that are stopped, so that what is sent to them stays
 * pending and can be looked at for as long as the test likes.
 */
#include "fs/opener.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(fs_opener, .timeout = 20);

static void ignore_quietly(int signal)
{
        (void)signal;
}

/* A child that handles every signal it can, blocks those in `blocked`, and is stopped. */
static pid_t start(const sigset_t *blocked, int groups)
{
        pid_t child = fork();
        int status = 0;

        cr_assert_geq(child, 0);
        if (child == 0) {
                gid_t many[1000];

                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (int i = 0; i < groups; i++)
                        many[i] = 4000000000u + (gid_t)i;
                if (groups && setgroups((size_t)groups, many) < 0)
                        _exit(1);
                for (int i = 1; i < SIGRTMIN; i++)
                        signal(i, ignore_quietly);
                sigprocmask(SIG_SETMASK, blocked, NULL);
                raise(SIGSTOP);
                _exit(0);
        }
        cr_assert_eq(waitpid(child, &status, WUNTRACED), child);
        return WIFSTOPPED(status) ? child : 0;
}

static pid_t start_with(int blocked_signal)
{
        sigset_t blocked;

        sigemptyset(&blocked);
        if (blocked_signal)
                sigaddset(&blocked, blocked_signal);

        pid_t child = start(&blocked, 0);

        cr_assert_gt(child, 0);
        return child;
}

static void end(pid_t child)
{
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
}

Test(fs_opener, nobody_wants_out)
{
        cr_expect(fs_opener_wants_out(0), "another PID namespace");
        cr_expect(fs_opener_wants_out(-1));
}

Test(fs_opener, gone_process_wants_out)
{
        pid_t child = start_with(0);

        end(child);
        cr_expect(fs_opener_wants_out(child));
}

Test(fs_opener, process_without_signals_waits_on)
{
        pid_t child = start_with(0);

        cr_expect_not(fs_opener_wants_out(child));
        cr_expect_not(fs_opener_wants_out(getpid()));
        end(child);
}

Test(fs_opener, fault_72_signals_that_mean_it)
{
        static const int meant[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGALRM, SIGPIPE};

        for (size_t i = 0; i < sizeof(meant) / sizeof(meant[0]); i++) {
                pid_t child = start_with(0);

                kill(child, meant[i]);
                cr_expect(fs_opener_wants_out(child), "signal %d", meant[i]);
                end(child);
        }
}

Test(fs_opener, fault_72_noise_is_no_reason)
{
        static const int noise[] = {SIGURG, SIGCHLD, SIGWINCH, SIGPROF, SIGVTALRM,
                                    SIGIO,  SIGTSTP, SIGTTIN,  SIGTTOU};
        pid_t child = start_with(0);

        for (size_t i = 0; i < sizeof(noise) / sizeof(noise[0]); i++) {
                kill(child, noise[i]);
                cr_expect_not(fs_opener_wants_out(child), "signal %d", noise[i]);
        }
        kill(child, SIGTERM);
        cr_expect(fs_opener_wants_out(child), "also after noise");
        end(child);
}

Test(fs_opener, blocked_signals_are_no_reason)
{
        pid_t child = start_with(SIGTERM);

        kill(child, SIGTERM);
        cr_expect_not(fs_opener_wants_out(child));
        kill(child, SIGINT);
        cr_expect(fs_opener_wants_out(child));
        end(child);
}

Test(fs_opener, signal_for_one_thread_counts)
{
        pid_t child = start_with(0);

        cr_assert_eq(syscall(SYS_tgkill, child, child, SIGUSR2), 0);
        cr_expect(fs_opener_wants_out(child));
        end(child);
}

Test(fs_opener, signals_of_a_user_in_many_groups_are_seen)
{
        sigset_t none;

        sigemptyset(&none);

        pid_t child = start(&none, 1000);

        if (child == 0)
                cr_skip("only root can join groups");
        cr_expect_not(fs_opener_wants_out(child));
        kill(child, SIGTERM);
        cr_expect(fs_opener_wants_out(child), "its /proc status is longer than others'");
        end(child);
}
