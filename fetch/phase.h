/*
 * What the time of a download goes to, for whoever measures.
 */
#ifndef FETCH_PHASE_H
#define FETCH_PHASE_H

#include <stdint.h>

enum fetch_phase {
        /* Of a connection that was made for a transfer; not where one was used again. */
        FETCH_PHASE_DNS,
        FETCH_PHASE_CONNECT,
        FETCH_PHASE_TLS,
        /* Of each transfer that was answered well. */
        FETCH_PHASE_FIRST_BYTE, /* from the request to the answer */
        FETCH_PHASE_TRANSFER,   /* the body, with the waiting for disk and hash */
        /* Of each asset whose bytes were right. */
        FETCH_PHASE_PUBLISH, /* flushed and named */
        FETCH_PHASES,
};

/* Called from the transfer loop's and the flights' threads; must not block. */
typedef void fetch_phase_note(void *arg, enum fetch_phase phase, int64_t microseconds);

#endif
