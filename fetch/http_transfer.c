/*
 * What curl is told for one transfer: the policy that holds for all, and what this one asks
 * for. Also which addresses it may go to, since curl asks that while it connects.
 */
#include "fetch/http_transfer.h"

#include "fetch/clock.h"
#include "fetch/header.h"
#include "fetch/url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Only the first hop, of a URL that holds the address, was chosen by the operator. */
static bool is_operators_choice(const struct http_transfer *transfer, const char *url)
{
        return transfer->is_origins && transfer->hops == 0 && fetch_url_host_is_address(url);
}

/* May it carry a secret that is not encrypted, since it goes to this machine alone? To the proxy of
 * everybody that would be another one. Questions (fetch/ask.h) may, be it in a line or the body. */
static bool is_for_here(const struct http_transfer *transfer, const char *url)
{
        return fetch_url_scheme(url) == FETCH_SCHEME_HTTP && fetch_auth_is_private(url) &&
               (transfer->any_status ||
                (transfer->secret && fetch_auth_pass_is_for(transfer->pass, url)));
}

static const char *proxy_of(const struct http_transfer *transfer, const char *url)
{
        const struct fetch_proxies *proxies = transfer->config->proxies;
        const char *proxy;

        if (transfer->proxy)
                return *transfer->proxy ? transfer->proxy : NULL;
        proxy = proxies ? fetch_proxy_for(proxies, url) : NULL;
        return proxy && is_for_here(transfer, url) ? NULL : proxy;
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

        int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
                transfer->socket_error = errno;
        return fd < 0 ? CURL_SOCKET_BAD : fd;
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
        SET(CURLOPT_WRITEFUNCTION, http_transfer_on_bytes);
        SET(CURLOPT_WRITEDATA, transfer);
        SET(CURLOPT_HEADERFUNCTION, http_transfer_on_header);
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
        SET(CURLOPT_BUFFERSIZE, (long)config->buffer_bytes);
        SET(CURLOPT_CONNECTTIMEOUT, (long)config->connect_seconds);
        SET(CURLOPT_LOW_SPEED_LIMIT, (long)config->min_rate);
        SET(CURLOPT_LOW_SPEED_TIME, (long)config->stall_seconds);
        SET(CURLOPT_NOPROXY, ""); /* http_transfer_set_url() decides */
        if (config->ca_file) {
                SET(CURLOPT_CAINFO, config->ca_file);
                SET(CURLOPT_CAPATH, NULL);
        }
        return code;
}

/* The credential is for one server: what goes to any other gets nothing of it. */
static CURLcode set_pass(struct http_transfer *transfer, const char *url)
{
        const struct fetch_auth_pass *pass = transfer->pass;
        bool ours = pass && fetch_auth_pass_is_for(pass, url);
        CURL *easy = transfer->easy;
        CURLcode code = CURLE_OK;

        SET(CURLOPT_HTTPHEADER, ours && transfer->secret ? transfer->secret : transfer->headers);
        SET(CURLOPT_SSLCERT_BLOB, NULL);
        SET(CURLOPT_SSLKEY_BLOB, NULL);
        if (pass && pass->sigv4) {
                SET(CURLOPT_AWS_SIGV4, ours ? pass->sigv4 : NULL);
                SET(CURLOPT_USERNAME, ours ? pass->access_key : NULL);
                SET(CURLOPT_PASSWORD, ours ? pass->secret_key : NULL);
                /* AWS_SIGV4 sets this, but does not take it back. */
                SET(CURLOPT_HTTPAUTH, ours ? CURLAUTH_AWS_SIGV4 : CURLAUTH_BASIC);
        }
        if (ours && pass->certificate) {
                const char *key = pass->key ? pass->key : pass->certificate;
                struct curl_blob certificate = {pass->certificate, strlen(pass->certificate),
                                                CURL_BLOB_NOCOPY};
                struct curl_blob private_key = {(void *)key, strlen(key), CURL_BLOB_NOCOPY};

                SET(CURLOPT_SSLCERT_BLOB, &certificate);
                SET(CURLOPT_SSLKEY_BLOB, &private_key);
        }
        return code;
}

CURLcode http_transfer_set_url(struct http_transfer *transfer, const char *url)
{
        const char *proxy = proxy_of(transfer, url);
        CURL *easy = transfer->easy;
        CURLcode code = set_pass(transfer, url);

        SET(CURLOPT_URL, url);
        SET(CURLOPT_PROXY, proxy ? proxy : "");
        return code;
}

static CURLcode set_request(struct http_transfer *transfer, const struct http_request *request)
{
        CURL *easy = transfer->easy;
        CURLcode code = http_transfer_set_url(transfer, request->url);
        char range[64] = "0-0";

        if (request->method == HTTP_GET && request->end != HTTP_TO_THE_END)
                snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, request->first,
                         request->end - 1);
        else if (request->method == HTTP_GET)
                snprintf(range, sizeof(range), "%" PRIu64 "-", request->first);
        SET(CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
        if (request->method == HTTP_HEAD)
                SET(CURLOPT_NOBODY, 1L);
        if (request->method == HTTP_POST || request->method == HTTP_PUT) {
                SET(CURLOPT_POST, 1L);
                SET(CURLOPT_POSTFIELDSIZE, (long)strlen(transfer->body));
                SET(CURLOPT_POSTFIELDS, transfer->body);
        }
        if (request->method == HTTP_PUT)
                SET(CURLOPT_CUSTOMREQUEST, "PUT");
        if (request->beside)
                SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        if (transfer->ranged)
                SET(CURLOPT_RANGE, range);
        return code;
}
#undef SET

/* NULL without memory, and then the list is gone; a value of NULL adds nothing. */
static struct curl_slist *add_header(struct curl_slist *headers, const char *name,
                                     const char *value)
{
        char line[FETCH_ETAG_MAX + 32];

        if (!headers || !value)
                return headers;
        snprintf(line, sizeof(line), "%s: %s", name, value);

        struct curl_slist *longer = curl_slist_append(headers, line);

        if (!longer)
                curl_slist_free_all(headers);
        return longer;
}

static void wipe_headers(struct curl_slist *headers)
{
        for (struct curl_slist *line = headers; line; line = line->next)
                explicit_bzero(line->data, strlen(line->data));
        curl_slist_free_all(headers);
}

static struct curl_slist *add_line(struct curl_slist *headers, const char *line)
{
        struct curl_slist *longer = headers && line ? curl_slist_append(headers, line) : headers;

        if (!longer)
                wipe_headers(headers);
        return longer;
}

static struct curl_slist *make_headers(const struct http_request *request)
{
        bool gzip = request->pass && request->pass->takes_gzip;
        struct curl_slist *headers =
            curl_slist_append(NULL, gzip ? "Accept-Encoding: gzip" : "Accept-Encoding: identity");

        headers = add_header(headers, "If-Range", request->if_range);
        headers = add_header(headers, "If-None-Match", request->if_none_match);
        headers = add_header(headers, "If-Modified-Since", request->if_modified_since);
        for (size_t i = 0; request->lines && request->lines[i]; i++)
                headers = add_line(headers, request->lines[i]);
        return headers;
}

/* Do more headers go to whom the pass is for? A signature is made of the headers that are there,
 * and S3 wants one that says that the body, which is none, is not signed. */
static bool has_secret(const struct fetch_auth_pass *pass)
{
        return pass && (pass->authorization || pass->sigv4);
}

static struct curl_slist *make_secret(const struct http_request *request)
{
        const struct fetch_auth_pass *pass = request->pass;
        struct curl_slist *headers = add_line(make_headers(request), pass->authorization);
        char *token = NULL;

        if (pass->sigv4)
                headers = add_line(headers, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
        if (pass->session_token && headers) {
                if (asprintf(&token, "x-amz-security-token: %s", pass->session_token) < 0) {
                        wipe_headers(headers);
                        return NULL;
                }
                headers = add_line(headers, token);
                fetch_auth_forget(token);
        }
        return headers;
}

/* What the request is made of, but for curl's handle; false without memory. */
static bool copy_request(struct http_transfer *transfer, const struct http_request *request)
{
        bool has_body = request->method == HTTP_POST || request->method == HTTP_PUT;

        transfer->headers = make_headers(request);
        if (request->proxy)
                transfer->proxy = strdup(request->proxy);
        transfer->pass = fetch_auth_pass_ref(request->pass);
        if (has_secret(request->pass))
                transfer->secret = make_secret(request);
        if (has_body)
                transfer->body = strdup(request->body ? request->body : "");
        return transfer->headers && (!has_secret(request->pass) || transfer->secret) &&
               (!has_body || transfer->body) && (!request->proxy || transfer->proxy);
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
        transfer->conditional = request->if_none_match || request->if_modified_since;
        transfer->is_origins = request->is_origins;
        transfer->any_status = request->any_status;
        transfer->handler = *handler;
        transfer->arg = arg;
        transfer->deadline_ms = request->timeout_ms ? fetch_now_ms() + request->timeout_ms : 0;
        transfer->easy = curl_easy_init();
        if (!copy_request(transfer, request) || !transfer->easy ||
            set_policy(transfer) != CURLE_OK || set_request(transfer, request) != CURLE_OK) {
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
        wipe_headers(transfer->headers);
        wipe_headers(transfer->secret);
        fetch_auth_forget(transfer->body);
        fetch_auth_forget(transfer->proxy);
        fetch_auth_pass_unref(transfer->pass);
        free(transfer);
}
