/*
 * Bytes to the client, and the answers of an honest server: whole, by range, refused.
 */
#include "tests/origin/origin.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE (256u << 10)

bool send_all(int socket, const void *bytes, size_t length)
{
        const char *next = bytes;

        while (length > 0) {
                ssize_t sent = send(socket, next, length, MSG_NOSIGNAL);

                if (sent <= 0)
                        return false;
                next += sent;
                length -= (size_t)sent;
        }
        return true;
}

bool say(int socket, const char *format, ...)
{
        char text[4096];
        va_list args;

        va_start(args, format);

        int length = vsnprintf(text, sizeof(text), format, args);

        va_end(args);
        return send_all(socket, text, (size_t)length);
}

bool send_part(struct request *request, uint64_t first, uint64_t length, unsigned kib)
{
        char bytes[PIECE];
        size_t most = kib ? kib * 1024 / 20 : PIECE; /* twenty pieces a second */

        if (most > PIECE)
                most = PIECE;
        while (length > 0) {
                size_t piece = length < most ? (size_t)length : most;

                content_read(&request->content, first, bytes, piece);
                if (!send_all(request->socket, bytes, piece))
                        return false;
                first += piece;
                length -= piece;
                if (kib)
                        usleep((useconds_t)(piece * 1000000 / (kib * 1024)));
        }
        return true;
}

static const char *connection(const struct request *request)
{
        return request->keep ? "" : "Connection: close\r\n";
}

void reply_status(struct request *request, int status, const char *headers)
{
        say(request->socket, "HTTP/1.1 %d Status\r\n%sContent-Length: 5\r\n%s\r\n%s", status,
            headers, connection(request), request->head ? "" : "sorry");
}

void reply_redirect(struct request *request, const char *location)
{
        say(request->socket, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n%s\r\n",
            location, connection(request));
}

void answer_plan(const struct request *request, const char *etag, bool ranges,
                 struct answer *answer)
{
        uint64_t total = request->content.size;

        *answer = (struct answer){.status = 200, .length = total, .total = total, .extra = ""};
        answer->ranges = ranges;
        snprintf(answer->etag, sizeof(answer->etag), "%s", etag);
        if (!ranges || !request->ranged || request->head ||
            (request->if_range[0] && strcmp(request->if_range, etag) != 0))
                return;
        if (request->first >= total) {
                answer->status = 416;
                answer->length = 0;
                return;
        }
        answer->status = 206;
        answer->first = request->first;
        answer->length = total - request->first;
        if (request->last - request->first < answer->length)
                answer->length = request->last - request->first + 1;
}

void answer_head(const struct request *request, const struct answer *answer)
{
        char text[2048];
        int length = 0;

#define ADD(...) length += snprintf(text + length, sizeof(text) - (size_t)length, __VA_ARGS__)
        ADD("HTTP/1.1 %d %s\r\n", answer->status,
            answer->status == 200   ? "OK"
            : answer->status == 206 ? "Partial Content"
                                    : "Range Not Satisfiable");
        if (answer->status == 206)
                ADD("Content-Range: bytes %ju-%ju/%ju\r\n", answer->first,
                    answer->first + answer->length - 1, answer->total);
        if (answer->status == 416)
                ADD("Content-Range: bytes */%ju\r\n", answer->total);
        if (answer->etag[0])
                ADD("ETag: %s\r\n", answer->etag);
        if (answer->ranges)
                ADD("Accept-Ranges: bytes\r\n");
        if (answer->chunked)
                ADD("Transfer-Encoding: chunked\r\n");
        else
                ADD("Content-Length: %ju\r\n", answer->length);
        ADD("%s%s\r\n", answer->extra, connection(request));
#undef ADD
        send_all(request->socket, text, (size_t)length);
}

void reply_honestly(struct request *request)
{
        struct answer answer;
        char etag[32];

        snprintf(etag, sizeof(etag), "\"%.16s\"", request->name);
        answer_plan(request, etag, true, &answer);
        answer_head(request, &answer);
        if (!request->head && !send_part(request, answer.first, answer.length, 0))
                request->keep = false;
}

bool gate_is_open(void)
{
        char path[4096];

        snprintf(path, sizeof(path), "%s/../gate", origin_folder);
        return access(path, F_OK) == 0;
}

void wait_for_gate(void)
{
        while (!gate_is_open())
                usleep(5000);
}

void wait_for_client_to_go(int socket)
{
        char byte;

        while (recv(socket, &byte, 1, 0) > 0)
                ;
}
