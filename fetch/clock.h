/*
 * The clock that every bound in time is measured with: monotonic, so that a jump
 * of the wall clock ends nobody's wait.
 */
#ifndef FETCH_CLOCK_H
#define FETCH_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t fetch_now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline int64_t fetch_now_ms(void)
{
        return fetch_now_us() / 1000;
}

#endif
