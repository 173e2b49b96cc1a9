/*
 * Priorities. Changes the calling thread alone, and needs no privilege.
 */
#include "fs/idle.h"

#include <linux/ioprio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* SCHED_IDLE would be lower, but a thread that holds a lock for a moment must get on. */
#define NICEST 19

void fs_idle_thread(void)
{
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
        setpriority(PRIO_PROCESS, 0, NICEST); /* Linux: 0 is this thread */
}
