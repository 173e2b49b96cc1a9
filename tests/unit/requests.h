/*
 * Requests as the kernel writes them, for tests of what keeps them.
 */
#ifndef TESTS_UNIT_REQUESTS_H
#define TESTS_UNIT_REQUESTS_H

#include "fs/fuse_abi.h"

#include <stddef.h>
#include <string.h>

#define HEADER sizeof(struct fuse_in_header)

/* Writes a request with a body of zeros. */
static inline void *write_request(void *to, uint32_t opcode, uint64_t unique, size_t body)
{
        struct fuse_in_header header = {
            .len = (uint32_t)(HEADER + body), .opcode = opcode, .unique = unique};

        memset(to, 0, HEADER + body);
        return memcpy(to, &header, sizeof(header));
}

static inline uint32_t length_of(const void *request)
{
        uint32_t length;

        memcpy(&length, request, sizeof(length));
        return length;
}

#endif
