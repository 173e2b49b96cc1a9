/*
 * Values of HTTP response headers that steer a download: which bytes came, how long
 * to wait, whether a tag may guard a range. They are the origin's words, so each is
 * taken strictly or not at all; what follows from a refusal is the caller's to say.
 *
 * `text` is the field's value without its name and line end. Spaces and tabs after
 * it are no part of it (OWS; RFC 9110, 5.6.3), except after an entity tag, which is
 * sent back as it is. Pure; any thread.
 */
#ifndef FETCH_HEADER_H
#define FETCH_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#define FETCH_ETAG_MAX           256                            /* bytes, with the NUL */
#define FETCH_RETRY_AFTER_MAX_MS (INT64_C(24) * 60 * 60 * 1000) /* a day */

/* Bytes first..last, both included, first <= last < total. */
struct fetch_range {
        uint64_t first;
        uint64_t last;
        uint64_t total; /* UINT64_MAX where the origin says "*" */
};

/*
 * The Content-Range of a 206: "bytes FIRST-LAST/TOTAL" or "bytes FIRST-LAST/\*" (RFC
 * 9110, 14.4), no number beyond INT64_MAX. False leaves *ret alone.
 */
bool fetch_content_range_parse(const char *text, struct fetch_range *ret);

/* That of a 416, which has the size alone: "bytes *\/TOTAL". False leaves *ret_total alone. */
bool fetch_unsatisfied_range_parse(const char *text, uint64_t *ret_total);

/*
 * Retry-After (RFC 9110, 10.2.3): seconds, or a date in one of the three forms of HTTP
 * (5.6.7), as milliseconds from `now`, which is in seconds since 1970. A date that has
 * passed is 0, and nothing is more than FETCH_RETRY_AFTER_MAX_MS. Anything else is
 * -EINVAL and leaves *ret_ms alone.
 */
int fetch_retry_after_parse(const char *text, int64_t now, int64_t *ret_ms);

/*
 * Is it a strong entity tag (RFC 9110, 8.8.3) of less than FETCH_ETAG_MAX bytes? Only a
 * strong one may stand in If-Range (13.1.5).
 */
bool fetch_etag_is_strong(const char *text);

#endif
