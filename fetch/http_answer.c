/*
 * What the answers to a transfer mean: headers, redirects, statuses, error codes. Runs on
 * the loop's thread; no disk, no waiting.
 */
#include "fetch/http_transfer.h"

#include "fetch/clock.h"
#include "fetch/header.h"
#include "fetch/url.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define DISCARD_BYTES (64u * 1024) /* of an error page or a redirect's body */

/* curl keeps all headers of a hop, trailers and 1xx answers too, and bounds only each line. */
#define HEADERS_KIB 256u

static long status_of(const struct http_transfer *transfer)
{
        long status = 0;

        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        return status;
}

/* A part that nobody asked for is no answer. */
static bool is_good(const struct http_transfer *transfer, long status)
{
        return transfer->any_status || status == 200 || (status == 206 && transfer->ranged) ||
               (status == 304 && transfer->conditional);
}

/* A header's value, or NULL. Valid until the next hop. */
static const char *header_of(CURL *easy, const char *name)
{
        struct curl_header *header;
        CURLHcode code = curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header);

        return code == CURLHE_OK ? header->value : NULL;
}

static void read_range(CURL *easy, struct http_response *ret)
{
        const char *text = header_of(easy, "Content-Range");
        struct fetch_range range;

        ret->partial = true;
        ret->takes_ranges = true;
        if (!text || !fetch_content_range_parse(text, &range))
                return; /* an empty range: nobody asked for that */
        ret->size = range.total;
        ret->first = range.first;
        ret->end = range.last + 1;
}

/* A range that begins where the body ends: there is nothing more, and nothing is wrong. */
static bool is_at_the_end(const struct http_transfer *transfer, long status)
{
        const char *text = status == 416 ? header_of(transfer->easy, "Content-Range") : NULL;
        uint64_t total;

        return text && transfer->first > 0 && fetch_unsatisfied_range_parse(text, &total) &&
               total == transfer->first;
}

static void read_response(const struct http_transfer *transfer, struct http_response *ret)
{
        CURL *easy = transfer->easy;
        const char *etag = header_of(easy, "ETag");
        const char *ranges = header_of(easy, "Accept-Ranges");
        curl_off_t length = -1;
        char *url = NULL;

        *ret = (struct http_response){.status = status_of(transfer), .size = HTTP_SIZE_UNKNOWN};
        curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
        ret->url = url;
        ret->unchanged = ret->status == 304;
        ret->tag = etag;
        ret->modified = header_of(easy, "Last-Modified");
        ret->etag = etag && fetch_etag_is_strong(etag) ? etag : NULL;
        ret->takes_ranges = ranges && strcasecmp(ranges, "bytes") == 0;
        if (ret->status == 206) {
                read_range(easy, ret);
                return;
        }
        if (ret->status == 416) {
                ret->partial = ret->takes_ranges = true;
                ret->size = ret->first = ret->end = transfer->first;
                return;
        }
        curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        if (length >= 0)
                ret->size = (uint64_t)length;
}

/* NULL: there are none, or no memory for them. */
static char *challenges_of(CURL *easy)
{
        struct curl_header *header;
        char *all = NULL;

        for (size_t i = 0;
             curl_easy_header(easy, "WWW-Authenticate", i, CURLH_HEADER, -1, &header) == CURLHE_OK;
             i++) {
                char *longer;

                if (asprintf(&longer, "%s%s\n", all ? all : "", header->value) < 0)
                        break;
                free(all);
                all = longer;
        }
        return all;
}

/* Tells the caller of a good answer, once; false when the caller has no use for it. */
static bool answer(struct http_transfer *transfer)
{
        if (!transfer->answered) {
                struct http_response response;
                char *challenges = transfer->any_status ? challenges_of(transfer->easy) : NULL;

                read_response(transfer, &response);
                response.challenges = challenges;
                transfer->answered = true;
                transfer->refused = !transfer->handler.response(transfer->arg, &response);
                free(challenges);
        }
        return !transfer->refused;
}

/* Is the body what was asked for, or only what has to come before the connection is free? */
static bool wants_body(const struct http_transfer *transfer)
{
        return transfer->method == HTTP_GET || transfer->method == HTTP_POST ||
               transfer->method == HTTP_PUT;
}

static size_t hand_over(struct http_transfer *transfer, const char *bytes, size_t length)
{
        switch (transfer->handler.bytes(transfer->arg, bytes, length)) {
        case HTTP_TOOK:
                return length;
        case HTTP_NO_ROOM:
                return CURL_WRITEFUNC_PAUSE;
        case HTTP_ENOUGH:
                transfer->enough = true;
                break;
        }
        return CURL_WRITEFUNC_ERROR;
}

size_t http_transfer_on_bytes(char *bytes, size_t one, size_t length, void *arg)
{
        struct http_transfer *transfer = arg;

        (void)one;
        if (is_good(transfer, status_of(transfer))) {
                if (!answer(transfer))
                        return CURL_WRITEFUNC_ERROR;
                if (wants_body(transfer))
                        return hand_over(transfer, bytes, length);
        }
        http_refusal_keep(transfer, bytes, length);
        transfer->discarded += length;
        return transfer->discarded > DISCARD_BYTES ? CURL_WRITEFUNC_ERROR : length;
}

static bool headers_are_too_much(const struct http_transfer *transfer)
{
        return transfer->headers_taken > HEADERS_KIB * 1024;
}

size_t http_transfer_on_header(char *bytes, size_t one, size_t length, void *arg)
{
        struct http_transfer *transfer = arg;

        (void)bytes;
        (void)one;
        transfer->headers_taken += length;
        return headers_are_too_much(transfer) ? CURL_WRITEFUNC_ERROR : length;
}

static bool is_redirect(long status)
{
        return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* May the redirect lead from the one URL to the other? Says why not. */
static bool is_allowed(const char *from, const char *to, struct fetch_cause *ret)
{
        enum fetch_scheme scheme = fetch_url_scheme(to);
        const char *why = NULL;
        char shown[FETCH_TEXT_MAX / 2];

        if (scheme != FETCH_SCHEME_HTTP && scheme != FETCH_SCHEME_HTTPS)
                why = "redirect to a forbidden scheme";
        else if (scheme == FETCH_SCHEME_HTTP && fetch_url_scheme(from) == FETCH_SCHEME_HTTPS)
                why = "redirect from https to http";
        else if (fetch_url_has_user(to))
                why = "redirect with credentials";
        if (!why)
                return true;
        fetch_url_redact(to, shown, sizeof(shown));
        fetch_cause_set(ret, FETCH_DENIED, "%s: %s", why, shown);
        return false;
}

/* The next hop gets what is left of the time. */
static bool set_hop(struct http_transfer *transfer, const char *url, struct fetch_cause *ret)
{
        int64_t left_ms = transfer->deadline_ms - fetch_now_ms();
        CURLcode code = CURLE_OK;

        if (transfer->deadline_ms && left_ms <= 0) {
                fetch_cause_set(ret, FETCH_STALLED, "too slow: redirects used up the time");
                return false;
        }
        if (transfer->deadline_ms)
                code = curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
        if (code == CURLE_OK)
                code = http_transfer_set_url(transfer, url);
        if (code != CURLE_OK)
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "redirect: %s", curl_easy_strerror(code));
        return code == CURLE_OK;
}

/* true: go there. The next hop is checked here, and curl sends nothing along that belongs
 * to the host before it. */
static bool follow(struct http_transfer *transfer, struct fetch_cause *ret)
{
        const char *from = NULL;
        const char *to = NULL;

        curl_easy_getinfo(transfer->easy, CURLINFO_EFFECTIVE_URL, &from);
        curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &to);
        if (http_refusal_is_region(transfer, !to, ret))
                return false;
        if (!from || !to) {
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "HTTP %d without a Location",
                                ret->status);
                ret->final = true;
                return false;
        }
        if (!is_allowed(from, to, ret))
                return false;
        if (transfer->hops == HTTP_REDIRECTS) {
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "more than %d redirects", HTTP_REDIRECTS);
                ret->final = true;
                return false;
        }
        transfer->hops++;
        transfer->denied = false;
        transfer->discarded = 0;
        transfer->headers_taken = 0;
        transfer->error[0] = '\0';
        return set_hop(transfer, to, ret);
}

/* What the client got wrong stays wrong; but not what was only too early, or too much. */
static bool is_final(long status)
{
        return status >= 400 && status < 500 && status != 408 && status != 416 && status != 421 &&
               status != 425 && status != 429;
}

static void judge_status(const struct http_transfer *transfer, struct fetch_cause *ret, long status)
{
        const char *retry_after = header_of(transfer->easy, "Retry-After");

        switch (status) {
        case 401:
        case 403:
        case 407:
                fetch_cause_set(ret, FETCH_DENIED, "HTTP %ld", status);
                break;
        case 404:
        case 410:
                fetch_cause_set(ret, FETCH_NOT_FOUND, "HTTP %ld", status);
                break;
        default:
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "HTTP %ld", status);
                ret->final = is_final(status);
                break;
        }
        http_refusal_judge(transfer, ret);
        if (retry_after)
                fetch_retry_after_parse(retry_after, time(NULL), &ret->retry_after_ms);
}

/* A connection that is used again has no time of connecting, only one of being ready. */
static bool was_connected(CURL *easy)
{
        curl_off_t connected = 0;
        curl_off_t ready = 0;

        curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connected);
        curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
        return connected > 0 || ready > 0;
}

/* curl's own words, but not where they quote the proxy's URL, which may hold a password. */
static const char *words_of(const struct http_transfer *transfer, CURLcode code)
{
        const char *words = transfer->error;

        if (strncmp(words, "Unsupported proxy", strlen("Unsupported proxy")) == 0)
                return "the proxy's URL is not one";
        if (!*words || code == CURLE_COULDNT_RESOLVE_PROXY || strchr(words, '@'))
                return curl_easy_strerror(code);
        return words;
}

static void judge_code(const struct http_transfer *transfer, CURLcode code, struct fetch_cause *ret)
{
        const char *words = words_of(transfer, code);
        long proxy_status = 0;

        switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
        case CURLE_COULDNT_CONNECT:
                fetch_cause_set(ret, FETCH_UNREACHABLE, "%s", words);
                return;
        case CURLE_OPERATION_TIMEDOUT:
                fetch_cause_set(ret,
                                was_connected(transfer->easy) ? FETCH_STALLED : FETCH_UNREACHABLE,
                                "%s", words);
                return;
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_INVALIDCERTSTATUS:
                fetch_cause_set(ret, FETCH_DENIED, "%s", words);
                return;
        default:
                curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
                if (proxy_status == 401 || proxy_status == 403 || proxy_status == 407)
                        fetch_cause_set(ret, FETCH_DENIED, "the proxy answers HTTP %ld",
                                        proxy_status);
                else
                        fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "%s", words);
                return;
        }
}

static void judge_denied(const struct http_transfer *transfer, struct fetch_cause *ret)
{
        char shown[FETCH_TEXT_MAX / 2] = "";
        char *url = NULL;

        curl_easy_getinfo(transfer->easy, CURLINFO_EFFECTIVE_URL, &url);
        if (url)
                fetch_url_redact(url, shown, sizeof(shown));
        fetch_cause_set(ret, FETCH_DENIED, "%sto an address that is denied (--deny-net): %s",
                        transfer->hops > 0 ? "redirect " : "leads ", shown);
}

bool http_transfer_finish(struct http_transfer *transfer, CURLcode code, struct fetch_cause *ret)
{
        long status = status_of(transfer);
        /* We ended it ourselves: an endless error page, a body that is not wanted. */
        bool ended_here = code == CURLE_WRITE_ERROR;

        *ret = (struct fetch_cause){.status = (int)status};
        if (transfer->enough)
                return false;
        if (headers_are_too_much(transfer)) {
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "more than %u KiB of headers",
                                HEADERS_KIB);
                ret->final = true;
        } else if (transfer->socket_error && code != CURLE_OK)
                fetch_cause_set_disk(ret, transfer->socket_error, "socket");
        else if (transfer->denied && code != CURLE_OK)
                judge_denied(transfer, ret);
        else if (code != CURLE_OK && !ended_here && (status < 400 || transfer->any_status))
                judge_code(transfer, code, ret);
        else if (is_redirect(status) && !transfer->any_status)
                return follow(transfer, ret);
        else if (!is_good(transfer, status) && !is_at_the_end(transfer, status))
                judge_status(transfer, ret, status);
        else if (!answer(transfer))
                fetch_cause_set(ret, FETCH_CANCELLED, "not wanted");
        else if (ended_here && wants_body(transfer) && status != 416)
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "the body could not be taken");
        return false;
}

static int64_t time_of(CURL *easy, CURLINFO which)
{
        curl_off_t microseconds = 0;

        curl_easy_getinfo(easy, which, &microseconds);
        return microseconds;
}

static void note(const struct http_transfer *transfer, enum fetch_phase phase, int64_t from,
                 int64_t to)
{
        if (to > from)
                transfer->config->phase(transfer->config->phase_arg, phase, to - from);
}

void http_transfer_note_phases(struct http_transfer *transfer)
{
        CURL *easy = transfer->easy;
        int64_t resolved = time_of(easy, CURLINFO_NAMELOOKUP_TIME_T);
        int64_t connected = time_of(easy, CURLINFO_CONNECT_TIME_T);
        int64_t secured = time_of(easy, CURLINFO_APPCONNECT_TIME_T);
        int64_t began = time_of(easy, CURLINFO_STARTTRANSFER_TIME_T);
        long connections = 0;

        if (!transfer->config->phase || transfer->method != HTTP_GET || !transfer->answered)
                return;
        curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connections);
        if (connections > 0) {
                note(transfer, FETCH_PHASE_DNS, 0, resolved);
                note(transfer, FETCH_PHASE_CONNECT, resolved, connected);
                note(transfer, FETCH_PHASE_TLS, connected, secured);
        }
        note(transfer, FETCH_PHASE_FIRST_BYTE, time_of(easy, CURLINFO_PRETRANSFER_TIME_T), began);
        note(transfer, FETCH_PHASE_TRANSFER, began, time_of(easy, CURLINFO_TOTAL_TIME_T));
}
