/*
 * What curl is told for one transfer, and what its answers mean: redirects,
 * statuses, error codes. Runs on the loop's thread; no disk, no waiting.
 */
#include "fetch/http_transfer.h"

#include "fetch/clock.h"
#include "fetch/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BUFFER_BYTES  (256L * 1024) /* what curl hands over at a time, at most */
#define DISCARD_BYTES (64u * 1024)  /* of an error page or a redirect's body */

/* curl keeps all headers of a hop, trailers and 1xx answers too, and bounds only each line. */
#define HEADERS_KIB 256u

static long status_of(const struct http_transfer *transfer)
{
        long status = 0;

        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        return status;
}

static bool is_good(const struct http_transfer *transfer, long status)
{
        return status == 200 || (status == 206 && transfer->method == HTTP_GET_FIRST_BYTE);
}

/* The N of "Content-Range: bytes 0-0/N" (RFC 9110, 14.4), digits and nothing else. */
static uint64_t range_total(CURL *easy)
{
        static const char head[] = "bytes 0-0/";
        struct curl_header *header;

        if (curl_easy_header(easy, "Content-Range", 0, CURLH_HEADER, -1, &header) != CURLHE_OK ||
            strncmp(header->value, head, strlen(head)) != 0)
                return HTTP_SIZE_UNKNOWN;

        const char *digits = header->value + strlen(head);

        if (!*digits || digits[strspn(digits, "0123456789")])
                return HTTP_SIZE_UNKNOWN;
        errno = 0;

        unsigned long long total = strtoull(digits, NULL, 10);

        return errno || total > HTTP_SIZE_MAX ? HTTP_SIZE_UNKNOWN : total;
}

static uint64_t body_size(const struct http_transfer *transfer, long status)
{
        curl_off_t length = -1;

        if (status == 206)
                return range_total(transfer->easy);
        curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        return length < 0 ? HTTP_SIZE_UNKNOWN : (uint64_t)length;
}

/* Tells the caller of a good answer, once; false when the caller has no use for it. */
static bool answer(struct http_transfer *transfer)
{
        if (!transfer->answered) {
                struct http_response response = {body_size(transfer, status_of(transfer))};

                transfer->answered = true;
                transfer->refused = !transfer->handler.response(transfer->arg, &response);
        }
        return !transfer->refused;
}

static size_t on_bytes(char *bytes, size_t one, size_t length, void *arg)
{
        struct http_transfer *transfer = arg;

        (void)one;
        if (is_good(transfer, status_of(transfer))) {
                if (!answer(transfer))
                        return CURL_WRITEFUNC_ERROR;
                if (transfer->method == HTTP_GET)
                        return transfer->handler.bytes(transfer->arg, bytes, length)
                                   ? length
                                   : CURL_WRITEFUNC_PAUSE;
        }
        transfer->discarded += length;
        return transfer->discarded > DISCARD_BYTES ? CURL_WRITEFUNC_ERROR : length;
}

static bool headers_are_too_much(const struct http_transfer *transfer)
{
        return transfer->headers_taken > HEADERS_KIB * 1024;
}

static size_t on_header(char *bytes, size_t one, size_t length, void *arg)
{
        struct http_transfer *transfer = arg;

        (void)bytes;
        (void)one;
        transfer->headers_taken += length;
        return headers_are_too_much(transfer) ? CURL_WRITEFUNC_ERROR : length;
}

/* curl's long options want exactly long, and a failure of any is lack of memory. */
static CURLcode set_options(struct http_transfer *transfer, const struct http_config *config,
                            const char *url, unsigned timeout_ms)
{
        CURL *easy = transfer->easy;
        CURLcode code = CURLE_OK;

#define SET(option, value) code = code ? code : curl_easy_setopt(easy, option, value)
        SET(CURLOPT_URL, url);
        SET(CURLOPT_PRIVATE, transfer);
        SET(CURLOPT_ERRORBUFFER, transfer->error);
        SET(CURLOPT_WRITEFUNCTION, on_bytes);
        SET(CURLOPT_WRITEDATA, transfer);
        SET(CURLOPT_HEADERFUNCTION, on_header);
        SET(CURLOPT_HEADERDATA, transfer);
        SET(CURLOPT_HTTPHEADER, transfer->headers);
        SET(CURLOPT_USERAGENT, "assetfs");
        SET(CURLOPT_PROTOCOLS_STR, "http,https");
        SET(CURLOPT_FOLLOWLOCATION, 0L);
        SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
        SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
        SET(CURLOPT_SSL_VERIFYPEER, 1L);
        SET(CURLOPT_SSL_VERIFYHOST, 2L);
        SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_QUICK_EXIT, 1L); /* else curl joins its resolver's thread, on the loop's */
        SET(CURLOPT_BUFFERSIZE, BUFFER_BYTES);
        SET(CURLOPT_CONNECTTIMEOUT, (long)config->connect_seconds);
        SET(CURLOPT_LOW_SPEED_LIMIT, (long)config->min_rate);
        SET(CURLOPT_LOW_SPEED_TIME, (long)config->stall_seconds);
        SET(CURLOPT_TIMEOUT_MS, (long)timeout_ms);
        if (config->ca_file) {
                SET(CURLOPT_CAINFO, config->ca_file);
                SET(CURLOPT_CAPATH, NULL);
        }
        if (config->proxy)
                SET(CURLOPT_PROXY, config->proxy);
        if (transfer->method == HTTP_HEAD)
                SET(CURLOPT_NOBODY, 1L);
        if (transfer->method == HTTP_GET_FIRST_BYTE)
                SET(CURLOPT_RANGE, "0-0");
#undef SET
        return code;
}

struct http_transfer *http_transfer_new(const struct http_config *config, enum http_method method,
                                        const char *url, unsigned timeout_ms,
                                        const struct http_handler *handler, void *arg)
{
        struct http_transfer *transfer = calloc(1, sizeof(*transfer));

        if (!transfer)
                return NULL;
        transfer->method = method;
        transfer->handler = *handler;
        transfer->arg = arg;
        transfer->deadline_ms = timeout_ms ? fetch_now_ms() + timeout_ms : 0;
        transfer->easy = curl_easy_init();
        transfer->headers = curl_slist_append(NULL, "Accept-Encoding: identity");
        if (!transfer->easy || !transfer->headers ||
            set_options(transfer, config, url, timeout_ms) != CURLE_OK) {
                http_transfer_free(transfer);
                return NULL;
        }
        return transfer;
}

void http_transfer_free(struct http_transfer *transfer)
{
        if (!transfer)
                return;
        curl_easy_cleanup(transfer->easy);
        curl_slist_free_all(transfer->headers);
        free(transfer);
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
                code = curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
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
        if (!from || !to) {
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "HTTP %d without a Location",
                                ret->status);
                return false;
        }
        if (!is_allowed(from, to, ret))
                return false;
        if (transfer->hops == HTTP_REDIRECTS) {
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "more than %d redirects", HTTP_REDIRECTS);
                return false;
        }
        transfer->hops++;
        transfer->discarded = 0;
        transfer->headers_taken = 0;
        transfer->error[0] = '\0';
        return set_hop(transfer, to, ret);
}

static void judge_status(struct fetch_cause *ret, long status)
{
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
                break;
        }
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

bool http_transfer_finish(struct http_transfer *transfer, CURLcode code, struct fetch_cause *ret)
{
        long status = status_of(transfer);
        /* We ended it ourselves: an endless error page, a body that is not wanted. */
        bool ended_here = code == CURLE_WRITE_ERROR;

        *ret = (struct fetch_cause){.status = (int)status};
        if (headers_are_too_much(transfer))
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "more than %u KiB of headers",
                                HEADERS_KIB);
        else if (code != CURLE_OK && !ended_here && status < 400)
                judge_code(transfer, code, ret);
        else if (is_redirect(status))
                return follow(transfer, ret);
        else if (!is_good(transfer, status))
                judge_status(ret, status);
        else if (!answer(transfer))
                fetch_cause_set(ret, FETCH_CANCELLED, "not wanted");
        else if (ended_here && transfer->method == HTTP_GET)
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "the body could not be taken");
        return false;
}
