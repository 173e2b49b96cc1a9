/*
 * Size questions: how large is an asset that is not here? Asked of the sources in
 * order, by HEAD, or by a range of one byte where HEAD tells nothing. Neither who
 * asks nor the loop waits: a question is a chain of transfers and, for files, of looks
 * by a helper (fetch/helper.h). It is bounded in time, questions are in number, and
 * answers are remembered.
 */
#ifndef FETCH_SIZE_H
#define FETCH_SIZE_H

#include "fetch/crowd.h"

struct fetch_sizes;

int fetch_sizes_new(const struct fetch_config *config, struct http_loop *loop,
                    struct fetch_sizes **ret);
/* The caller has told the loop to cancel all transfers. Returns when no question is open: a
 * file that is just being opened is waited for. */
void fetch_sizes_stop(struct fetch_sizes *sizes);
void fetch_sizes_free(struct fetch_sizes *sizes); /* accepts NULL */

/* As fetch_size(). Beyond a bound there is no new question: FETCH_STALLED, and for asking
 * ahead the bound is much lower. */
void fetch_sizes_ask(struct fetch_sizes *sizes, const struct cas_digest *digest,
                     struct fetch_waiter *waiter);
uint64_t fetch_sizes_known(struct fetch_sizes *sizes, const struct cas_digest *digest);
bool fetch_sizes_leave(struct fetch_sizes *sizes, struct fetch_waiter *waiter);

#endif
