/*
 * A thread for what may hang, such as opening a file on a dead NFS server: it does
 * errands one after the other and exists only while there are any. What hangs then
 * holds up the errands behind it, and nobody else. Several helpers, where errands wait for several
 * others: those of one owner stand behind each other, and hold up no other owner's, as long as not
 * as many owners hang as there are helpers.
 *
 * Threads: give from any, wait from one that is not the helper's.
 */
#ifndef FETCH_HELPER_H
#define FETCH_HELPER_H

#include <pthread.h>
#include <stdbool.h>

/* Embedded in what is to be done. The giver sets `run`; the rest is the helper's. */
struct fetch_errand {
        void (*run)(struct fetch_errand *errand); /* once, on the helper's thread */
        struct fetch_errand *next;
};

struct fetch_helper {
        pthread_mutex_t lock;
        pthread_cond_t idle;
        struct fetch_errand *first; /* lock */
        struct fetch_errand *last;  /* lock */
        bool running;               /* lock; there is a thread */
};

void fetch_helper_init(struct fetch_helper *helper);
void fetch_helper_destroy(struct fetch_helper *helper); /* idle */

/* false: there can be no thread now, and nothing will be done. */
bool fetch_helper_give(struct fetch_helper *helper, struct fetch_errand *errand);

/* Until all that was given is done. */
void fetch_helper_wait(struct fetch_helper *helper);

#define FETCH_HELPERS 4

struct fetch_helpers {
        pthread_mutex_t lock; /* before that of a helper */
        struct fetch_helper all[FETCH_HELPERS];
        const void *owners[FETCH_HELPERS]; /* lock; whose errands it has, while it has any */
};

/* As of one. */
void fetch_helpers_init(struct fetch_helpers *helpers);
void fetch_helpers_destroy(struct fetch_helpers *helpers);
bool fetch_helpers_give(struct fetch_helpers *helpers, const void *owner,
                        struct fetch_errand *errand);
void fetch_helpers_wait(struct fetch_helpers *helpers);

#endif
