/*
 * Why bytes did not come, in one struct that the caller owns and that travels
 * from where it went wrong to where people read it. fs maps the kind to an errno;
 * nothing below fs knows errnos of the mount.
 */
#ifndef FETCH_CAUSE_H
#define FETCH_CAUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* With several sources the first of these that occurred is the one reported. */
enum fetch_kind {
        FETCH_OK,
        FETCH_WRONG_BYTES,   /* another digest, or another size than the catalog's */
        FETCH_TOO_BIG,       /* declared or received size over the bound */
        FETCH_DENIED,        /* 401, 403, 407; TLS; a redirect or scheme that policy forbids */
        FETCH_STALLED,       /* below the rate floor, or past a deadline */
        FETCH_UNREACHABLE,   /* not resolved, or not connected to */
        FETCH_ORIGIN_FAILED, /* anything else the origin did */
        FETCH_NOT_FOUND,     /* 404, 410, no such file, no source at all */
        /* Not a source's fault: these end a flight at once (but see `claimed`). */
        FETCH_DISK,      /* the cache's disk; `error` says what */
        FETCH_CANCELLED, /* we are stopping */
};

#define FETCH_TEXT_MAX   256 /* bytes, with the NUL */
#define FETCH_SOURCE_MAX 512

struct fetch_cause {
        enum fetch_kind kind;
        int error;                 /* FETCH_DISK: a positive errno; else 0 */
        bool claimed;              /* FETCH_DISK: no room for a size that only the source claims */
        bool final;                /* asking this source again would not help */
        int status;                /* the last HTTP status, or 0 */
        int64_t retry_after_ms;    /* the origin asks not to be asked for so long; or 0 */
        char text[FETCH_TEXT_MAX]; /* the cause in words, quotable, one line */
        char source[FETCH_SOURCE_MAX]; /* the URL without its secrets, or "" */
};

/* Sets kind and text; source, status and retry_after_ms stay. The text is cut to size and made
 * quotable. */
__attribute__((format(printf, 3, 4))) void
fetch_cause_set(struct fetch_cause *cause, enum fetch_kind kind, const char *format, ...);

/* FETCH_DISK with `error` (positive) and its words. */
void fetch_cause_set_disk(struct fetch_cause *cause, int error, const char *doing);

struct cas_verdict;

/* FETCH_WRONG_BYTES and what was wrong with the file in the cache. */
void fetch_cause_set_verdict(struct fetch_cause *cause, const struct cas_verdict *verdict);

/* Keeps in *worst what is to be reported of the two. */
void fetch_cause_merge(struct fetch_cause *worst, const struct fetch_cause *other);

/* Do both say the same, whatever times and amounts they name? */
bool fetch_cause_is_same_text(const char *one, const char *other);

/* Is the source to blame, so that the next source may do better? */
bool fetch_cause_is_sources(const struct fetch_cause *cause);

/* Replaces bytes that are not printable ASCII by '?' so that foreign text cannot forge lines. */
void fetch_make_printable(char *text);

/* Makes it printable, and replaces what would end or escape a "..." that it is put into. */
void fetch_make_quotable(char *text);

#endif
