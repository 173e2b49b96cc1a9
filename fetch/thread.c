/*
 * pthread_create with the caller's signal mask put aside.
 */
#include "fetch/thread.h"

#include <signal.h>

int fetch_thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg)
{
        pthread_attr_t attributes;
        pthread_t thread;
        sigset_t before;
        sigset_t all;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        pthread_attr_init(&attributes);
        if (!ret)
                pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);

        int r = -pthread_create(ret ? ret : &thread, &attributes, run, arg);

        pthread_attr_destroy(&attributes);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return r;
}
