/*
 * Threads that do the process's work: signals are for the thread that waits for them.
 */
#ifndef FETCH_THREAD_H
#define FETCH_THREAD_H

#include <pthread.h>

/* Runs run(arg) with every signal blocked. To be joined; or, where `ret` is NULL, detached.
 * 0 or -errno. */
int fetch_thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg);

#endif
