/*
 * What curl is told for one transfer, and what its answers mean: redirects,
 * statuses, error codes. Runs on the loop's thread; no disk, no waiting.
 */
#include "fetch/http_transfer.h"

#include "fetch/clock.h"
#include "fetch/header.h"
#include "fetch/url.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

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

/* A part that nobody asked for is no answer. */
static bool is_good(const struct http_transfer *transfer, long status)
{
        return status == 200 || (status == 206 && transfer->ranged);
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

        *ret = (struct http_response){.size = HTTP_SIZE_UNKNOWN};
        curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
        ret->url = url;
        ret->etag = etag && fetch_etag_is_strong(etag) ? etag : NULL;
        ret->takes_ranges = ranges && strcasecmp(ranges, "bytes") == 0;
        if (status_of(transfer) == 206) {
                read_range(easy, ret);
                return;
        }
        if (status_of(transfer) == 416) {
                ret->partial = ret->takes_ranges = true;
                ret->size = ret->first = ret->end = transfer->first;
                return;
        }
        curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        if (length >= 0)
                ret->size = (uint64_t)length;
}

/* Tells the caller of a good answer, once; false when the caller has no use for it. */
static bool answer(struct http_transfer *transfer)
{
        if (!transfer->answered) {
                struct http_response response;

                read_response(transfer, &response);
                transfer->answered = true;
                transfer->refused = !transfer->handler.response(transfer->arg, &response);
        }
        return !transfer->refused;
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

static size_t on_bytes(char *bytes, size_t one, size_t length, void *arg)
{
        struct http_transfer *transfer = arg;

        (void)one;
        if (is_good(transfer, status_of(transfer))) {
                if (!answer(transfer))
                        return CURL_WRITEFUNC_ERROR;
                if (transfer->method == HTTP_GET)
                        return hand_over(transfer, bytes, length);
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

/* Only the first hop, of a URL that holds the address, was chosen by the operator. */
static bool is_operators_choice(const struct http_transfer *transfer, const char *url)
{
        return transfer->is_origins && transfer->hops == 0 && fetch_url_host_is_address(url);
}

static const char *proxy_of(const struct http_transfer *transfer, const char *url)
{
        const struct fetch_proxies *proxies = transfer->config->proxies;

        return proxies ? fetch_proxy_for(proxies, url) : NULL;
}

/* Is it for us to say which address this hop goes to, and may it not? */
static bool is_denied(const struct http_transfer *transfer, const struct sockaddr *address)
{
        const struct http_config *config = transfer->config;
        char *url = NULL;

        if (!fetch_net_list_has(config->deny_nets, config->deny_net_count, address))
                return false;
        curl_easy_getinfo(transfer->easy, CURLINFO_EFFECTIVE_URL, &url);
        return !url || (!proxy_of(transfer, url) && !is_operators_choice(transfer, url));
}

/* Before any address of the host is connected to. Another one may still do. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
        struct http_transfer *transfer = arg;

        (void)purpose;
        if (is_denied(transfer, &address->addr)) {
                transfer->denied = true;
                return CURL_SOCKET_BAD;
        }
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool parse_address(const char *text, struct sockaddr_storage *ret)
{
        struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

        *ret = (struct sockaddr_storage){0};
        if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
                ret->ss_family = AF_INET;
        else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
                ret->ss_family = AF_INET6;
        return ret->ss_family != 0;
}

/* Before a request is sent: a connection that was made for somebody else is used again. */
static int on_request(void *arg, char *peer, char *local, int peer_port, int local_port)
{
        struct http_transfer *transfer = arg;
        struct sockaddr_storage address;

        (void)local;
        (void)peer_port;
        (void)local_port;
        if (!parse_address(peer, &address) || !is_denied(transfer, (struct sockaddr *)&address))
                return CURL_PREREQFUNC_OK;
        transfer->denied = true;
        return CURL_PREREQFUNC_ABORT;
}

/* What is the same for all transfers. curl's long options want exactly long, and a failure
 * of any is lack of memory. */
static CURLcode set_policy(struct http_transfer *transfer)
{
        const struct http_config *config = transfer->config;
        CURL *easy = transfer->easy;
        CURLcode code = CURLE_OK;

#define SET(option, value) code = code ? code : curl_easy_setopt(easy, option, value)
        SET(CURLOPT_PRIVATE, transfer);
        SET(CURLOPT_ERRORBUFFER, transfer->error);
        SET(CURLOPT_WRITEFUNCTION, on_bytes);
        SET(CURLOPT_WRITEDATA, transfer);
        SET(CURLOPT_HEADERFUNCTION, on_header);
        SET(CURLOPT_HEADERDATA, transfer);
        SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
        SET(CURLOPT_OPENSOCKETDATA, transfer);
        SET(CURLOPT_PREREQFUNCTION, on_request);
        SET(CURLOPT_PREREQDATA, transfer);
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
        SET(CURLOPT_NOPROXY, ""); /* set_url() decides */
        if (config->ca_file) {
                SET(CURLOPT_CAINFO, config->ca_file);
                SET(CURLOPT_CAPATH, NULL);
        }
        return code;
}

/* Where this hop goes to. */
static CURLcode set_url(struct http_transfer *transfer, const char *url)
{
        const char *proxy = proxy_of(transfer, url);
        CURL *easy = transfer->easy;
        CURLcode code = CURLE_OK;

        SET(CURLOPT_URL, url);
        SET(CURLOPT_PROXY, proxy ? proxy : "");
        return code;
}

static CURLcode set_request(struct http_transfer *transfer, const struct http_request *request)
{
        CURL *easy = transfer->easy;
        CURLcode code = set_url(transfer, request->url);
        char range[64] = "0-0";

        if (request->method == HTTP_GET && request->end != HTTP_TO_THE_END)
                snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, request->first,
                         request->end - 1);
        else if (request->method == HTTP_GET)
                snprintf(range, sizeof(range), "%" PRIu64 "-", request->first);
        SET(CURLOPT_HTTPHEADER, transfer->headers);
        SET(CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
        if (request->method == HTTP_HEAD)
                SET(CURLOPT_NOBODY, 1L);
        if (transfer->ranged)
                SET(CURLOPT_RANGE, range);
        return code;
}
#undef SET

static struct curl_slist *make_headers(const struct http_request *request)
{
        char line[FETCH_ETAG_MAX + 16];
        struct curl_slist *headers = curl_slist_append(NULL, "Accept-Encoding: identity");
        struct curl_slist *longer = headers;

        if (request->if_range && headers) {
                snprintf(line, sizeof(line), "If-Range: %s", request->if_range);
                longer = curl_slist_append(headers, line);
        }
        if (!longer)
                curl_slist_free_all(headers);
        return longer;
}

struct http_transfer *http_transfer_new(const struct http_config *config,
                                        const struct http_request *request,
                                        const struct http_handler *handler, void *arg)
{
        struct http_transfer *transfer = calloc(1, sizeof(*transfer));

        if (!transfer)
                return NULL;
        transfer->config = config;
        transfer->method = request->method;
        transfer->ranged = request->method == HTTP_GET_FIRST_BYTE ||
                           (request->method == HTTP_GET &&
                            (request->first > 0 || request->end != HTTP_TO_THE_END));
        transfer->first = request->first;
        transfer->is_origins = request->is_origins;
        transfer->handler = *handler;
        transfer->arg = arg;
        transfer->deadline_ms = request->timeout_ms ? fetch_now_ms() + request->timeout_ms : 0;
        transfer->easy = curl_easy_init();
        transfer->headers = make_headers(request);
        if (!transfer->easy || !transfer->headers || set_policy(transfer) != CURLE_OK ||
            set_request(transfer, request) != CURLE_OK) {
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
                code = set_url(transfer, url);
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
        } else if (transfer->denied && code != CURLE_OK)
                judge_denied(transfer, ret);
        else if (code != CURLE_OK && !ended_here && status < 400)
                judge_code(transfer, code, ret);
        else if (is_redirect(status))
                return follow(transfer, ret);
        else if (!is_good(transfer, status) && !is_at_the_end(transfer, status))
                judge_status(transfer, ret, status);
        else if (!answer(transfer))
                fetch_cause_set(ret, FETCH_CANCELLED, "not wanted");
        else if (ended_here && transfer->method == HTTP_GET && status != 416)
                fetch_cause_set(ret, FETCH_ORIGIN_FAILED, "the body could not be taken");
        return false;
}
