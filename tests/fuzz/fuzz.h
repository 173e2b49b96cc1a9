/*
 * What the fuzzers share. Each feeds one parser through LLVMFuzzerTestOneInput(), and
 * says with fuzz_expect() what has to hold whatever came in. Built by clang they search
 * for new inputs (make fuzz); built like everything else they replay the corpus in the
 * tree (replay.c, make check).
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The entry that libFuzzer calls; 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): no build leaves it out. */
#define fuzz_expect(condition)                                                                     \
        do {                                                                                       \
                if (!(condition)) {                                                                \
                        fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
                        abort();                                                                   \
                }                                                                                  \
        } while (0)

/*
 * A copy of exactly `size` bytes, so that a sanitizer sees one read too many. The caller
 * frees it.
 */
static inline char *fuzz_bytes(const uint8_t *data, size_t size)
{
        char *bytes = malloc(size ? size : 1);

        fuzz_expect(bytes);
        if (size)
                memcpy(bytes, data, size);
        return bytes;
}

/* The same as a string: it ends at the first NUL of the input. The caller frees it. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
        char *text = strndup((const char *)data, size);

        fuzz_expect(text);
        return text;
}

#endif
