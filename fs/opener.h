/*
 * Looking at a process that waits in open() or stat(), to tell whether it should
 * be let go. The kernel says INTERRUPT once, for any signal, also for those that
 * a waiting program never meant to be disturbed by.
 */
#ifndef FS_OPENER_H
#define FS_OPENER_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Is thread `tid` gone, out of sight (0, another PID namespace), or has it a signal
 * pending that is not mere noise? Noise: URG (Go runtimes), CHLD, CONT, STOP, TSTP,
 * TTIN, TTOU, WINCH, PROF, VTALRM, IO.
 */
bool fs_opener_wants_out(pid_t tid);

/* The process that thread `tid` is of; `tid` itself where that cannot be seen. */
pid_t fs_opener_process(pid_t tid);

#endif
