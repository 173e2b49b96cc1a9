/*
 * Killing a worker at any instruction. What it shares is the same before and after it is
 * killed, so it need not be: a child does one thing a step at a time, and between them
 * the test looks at what is there, as a successor would.
 */
#ifndef TESTS_UNIT_STEPS_H
#define TESTS_UNIT_STEPS_H

#include "fs/memory.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS_MAX 100000

/* What is used of the session memory, which is little in these tests. */
static inline void copy_memory(struct fs_memory *to, const struct fs_memory *from)
{
        memcpy(to, from, offsetof(struct fs_memory, requests));
        for (unsigned i = 0; i < FS_THREADS; i++)
                memcpy(to->requests[i].bytes, from->requests[i].bytes, 256);
        memcpy(to->parked, from->parked, 16 * sizeof(from->parked[0]));
        memcpy((void *)to->nodes, (const void *)from->nodes, 16 * sizeof(from->nodes[0]));
        memcpy((void *)to->handles, (const void *)from->handles, 16 * sizeof(from->handles[0]));
}

/* Lets a child act(), and calls look() before each of its steps and at the end. `step`:
 * PTRACE_SINGLESTEP, an instruction, or PTRACE_SYSCALL. */
static inline void at_each_step(enum __ptrace_request step, void (*act)(void), void (*look)(void))
{
        pid_t child = fork();
        int status = 0;
        unsigned steps = 0;

        cr_assert_geq(child, 0);
        if (child == 0) {
                ptrace(PTRACE_TRACEME, 0, NULL, NULL);
                raise(SIGSTOP);
                act();
                _exit(0);
        }
        cr_assert(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
        for (; WIFSTOPPED(status) && steps < STEPS_MAX; steps++) {
                look();
                cr_assert_eq(ptrace(step, child, NULL, NULL), 0);
                cr_assert_eq(waitpid(child, &status, 0), child);
        }
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "after %u steps", steps);
        cr_assert_gt(steps, 10);
        look();
}

#endif
