/*
 * The modes of one word: what servers do wrong at their first byte, or never get right.
 * Those that are no well-behaved answer end their connection.
 */
#include "tests/origin/origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool send_body(struct request *request)
{
        return send_part(request, 0, request->content.size, 0);
}

/* Without a word about ranges. */
static void answer_whole(struct request *request, bool length)
{
        if (length)
                say(request->socket,
                    "HTTP/1.1 200 OK\r\nContent-Length: %ju\r\nConnection: close\r\n\r\n",
                    request->content.size);
        else
                say(request->socket, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        if (!request->head)
                send_body(request);
}

static void answer_status(struct request *request, int status)
{
        reply_status(request, status,
                     status == 429   ? "Retry-After: 1\r\n"
                     : status == 503 ? "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n"
                                     : "");
}

static void answer_half(struct request *request, bool length)
{
        if (length)
                say(request->socket, "HTTP/1.1 200 OK\r\nContent-Length: %ju\r\n\r\n",
                    request->content.size);
        else
                say(request->socket, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        if (!request->head)
                send_part(request, 0, request->content.size / 2, 0);
}

static void answer_endless(struct request *request)
{
        static const char noise[65536] = "endless";

        say(request->socket, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        /* Bounded here too, far above every bound that a test sets. */
        for (int i = 0; !request->head && i < 16384; i++)
                if (!send_all(request->socket, noise, sizeof(noise)))
                        return;
}

static void answer_one_more(struct request *request, bool length)
{
        if (length)
                say(request->socket,
                    "HTTP/1.1 200 OK\r\nContent-Length: %ju\r\nConnection: close\r\n\r\n",
                    request->content.size + 1);
        else
                say(request->socket, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        if (!request->head) {
                send_body(request);
                send_all(request->socket, "x", 1);
        }
}

static void answer_cut(struct request *request, int status)
{
        say(request->socket, "HTTP/1.1 %d Status\r\nContent-Length: 5000\r\n\r\nsorry", status);
}

static void answer_once(struct request *request)
{
        char text[4096];

        say(request->socket, "HTTP/1.1 404 Status\r\nContent-Length: 0\r\n\r\n");
        while (recv(request->socket, text, sizeof(text), 0) > 0)
                ;
}

/* The number is text, to be larger than any integer. */
static void answer_total(struct request *request, const char *total)
{
        if (request->head)
                answer_status(request, 405);
        else if (request->ranged)
                say(request->socket,
                    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/%s\r\n"
                    "Content-Length: 1\r\nConnection: close\r\n\r\nx",
                    total);
        else
                answer_whole(request, true);
}

static void answer_length(struct request *request, const char *length)
{
        say(request->socket,
            "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n"
            "Connection: close\r\n\r\n",
            length);
        if (!request->head)
                send_body(request);
}

/* The number after the prefix, or -1. */
static int numbered(const char *mode, const char *prefix)
{
        size_t length = strlen(prefix);

        return strncmp(mode, prefix, length) == 0 ? atoi(mode + length) : -1;
}

static void answer_redirects(struct request *request, int left)
{
        char location[512];

        if (left > 0)
                snprintf(location, sizeof(location), "/redirects-%d/%s", left, request->name);
        else
                snprintf(location, sizeof(location), "http://127.0.0.1:%d/ok/%s", origin_port,
                         request->name);
        reply_redirect(request, location);
}

static void answer_to_scheme(struct request *request, const char *scheme)
{
        char location[8192];

        if (strcmp(scheme, "user") == 0)
                snprintf(location, sizeof(location), "http://joe:hunter2@127.0.0.1:%d/ok/%s",
                         origin_port, request->name);
        else if (strcmp(scheme, "file") == 0)
                snprintf(location, sizeof(location), "file://%s/%s", origin_folder, request->name);
        else
                snprintf(location, sizeof(location), "%s://127.0.0.1:%d/%s", scheme, origin_port,
                         request->name);
        reply_redirect(request, location);
}

/* About that many KiB; false when the client has had enough. */
static bool send_headers(struct request *request, int kib, const char *before, const char *after)
{
        static const char filler[] = "0123456789abcdef0123456789abcdef0123456789abcdef012345678";
        bool taken = true;

        for (int i = 0; taken && i < 16 * kib; i++)
                taken = say(request->socket, "%sX: %s\r\n%s", before, filler, after);
        return taken;
}

static void answer_interim(struct request *request, int kib)
{
        if (send_headers(request, kib, "HTTP/1.1 103 Early\r\n", "\r\n"))
                reply_honestly(request);
}

static void answer_headers(struct request *request, int kib)
{
        say(request->socket, "HTTP/1.1 200 OK\r\nContent-Length: %ju\r\n", request->content.size);
        if (!send_headers(request, kib, "", ""))
                return;
        say(request->socket, "Connection: close\r\n\r\n");
        if (!request->head)
                send_body(request);
}

static void answer_trailers(struct request *request, int kib)
{
        say(request->socket, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                             "Connection: close\r\n\r\n");
        if (request->head)
                return;
        say(request->socket, "%jx\r\n", request->content.size);
        send_body(request);
        say(request->socket, "\r\n0\r\n");
        if (send_headers(request, kib, "", ""))
                say(request->socket, "\r\n");
}

static void answer_half_and_wait(struct request *request)
{
        uint64_t half = request->content.size / 2;

        answer_half(request, true);
        if (request->head)
                return;
        wait_for_gate();
        send_part(request, half, request->content.size - half, 0);
}

static void answer_html(struct request *request)
{
        say(request->socket, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
                             "Content-Length: 19\r\nConnection: close\r\n\r\n"
                             "<html>login</html>\n");
}

static void answer_loop(struct request *request)
{
        char location[512];

        if (request->mode[0] == 's')
                sleep(2);
        snprintf(location, sizeof(location), "/%s/%s", request->mode, request->name);
        reply_redirect(request, location);
}

/* HEAD gets that status; GET is answered, with or without ranges. */
static void answer_nohead(struct request *request, int status, bool ranges)
{
        if (request->head)
                answer_status(request, status);
        else if (ranges)
                reply_honestly(request);
        else
                answer_whole(request, true);
}

/* The modes without a number; false: it is none of them. */
static bool reply_word(struct request *request)
{
        const char *mode = request->mode;

        if (strcmp(mode, "half-gate") == 0)
                answer_half_and_wait(request);
        else if (strcmp(mode, "html") == 0)
                answer_html(request);
        else if (strcmp(mode, "endless") == 0)
                answer_endless(request);
        else if (strcmp(mode, "one-more") == 0)
                answer_one_more(request, false);
        else if (strcmp(mode, "announce-more") == 0)
                answer_one_more(request, true);
        else if (strcmp(mode, "cut") == 0)
                answer_half(request, false);
        else if (strcmp(mode, "short") == 0)
                answer_half(request, true);
        else if (strcmp(mode, "nosize") == 0)
                answer_whole(request, false);
        else if (strcmp(mode, "ancient") == 0)
                send_body(request);
        else if (strcmp(mode, "stall-again") == 0)
                answer_once(request);
        else if (strcmp(mode, "loop") == 0 || strcmp(mode, "slow-loop") == 0)
                answer_loop(request);
        else if (strcmp(mode, "control") == 0)
                reply_redirect(request, "ftp://127.0.0.1/\x1b[31m\x07red\"=\\");
        else if (strncmp(mode, "to-", 3) == 0)
                answer_to_scheme(request, mode + 3);
        else
                return false;
        return true;
}

static void reply_number(struct request *request)
{
        const char *mode = request->mode;
        int number;

        if ((number = numbered(mode, "redirects-")) >= 0)
                answer_redirects(request, number - 1);
        else if (strncmp(mode, "total-", 6) == 0)
                answer_total(request, mode + 6);
        else if (strncmp(mode, "length-", 7) == 0)
                answer_length(request, mode + 7);
        else if ((number = numbered(mode, "headers-")) >= 0)
                answer_headers(request, number);
        else if ((number = numbered(mode, "interim-")) >= 0)
                answer_interim(request, number);
        else if ((number = numbered(mode, "trailers-")) >= 0)
                answer_trailers(request, number);
        else if ((number = numbered(mode, "cut-")) >= 0)
                answer_cut(request, number);
        else if ((number = numbered(mode, "status-")) >= 0)
                answer_status(request, number);
        else if ((number = numbered(mode, "nohead-")) >= 0)
                answer_nohead(request, number, true);
        else if ((number = numbered(mode, "norange-")) >= 0)
                answer_nohead(request, number, false);
        else
                answer_status(request, 404);
}

void reply_mode(struct request *request)
{
        const char *mode = request->mode;

        if (strcmp(mode, "wrong") == 0 && request->content.size > 0)
                request->content.wrong = request->content.size / 2;
        if (strcmp(mode, "gate") == 0)
                wait_for_gate();
        if (strcmp(mode, "ok") == 0 || strcmp(mode, "wrong") == 0 || strcmp(mode, "gate") == 0 ||
            strncmp(mode, "gen-", 4) == 0) {
                reply_honestly(request);
                return;
        }
        request->keep = false;
        if (!reply_word(request))
                reply_number(request);
}
