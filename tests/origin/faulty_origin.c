/*
 * faulty-origin DIR REQUEST_LOG: an HTTP/1.1 origin on a loopback port of its own
 * choice (printed on stdout) that does what no honest server does. The first part of
 * the path says how to misbehave, the second is a file of DIR:
 *
 *   /ok/<sha256>             the file, with ranges of one byte
 *   /gate/<sha256>           as ok, but the answer waits until DIR/../gate exists
 *   /half-gate/<sha256>      headers and half of the body, then waits for the gate
 *   /silent/<sha256>         reads the request and never answers
 *   /wrong/<sha256>          one bit is another
 *   /html/<sha256>           200 with a login page
 *   /endless/<sha256>        no length, bytes without end
 *   /one-more/<sha256>       no length, one byte more than the file
 *   /announce-more/<sha256>  as one-more, with a Content-Length
 *   /cut/<sha256>            no length, closed at half
 *   /short/<sha256>          a Content-Length, closed at half
 *   /status-503/<sha256>     that status; 429 and 503 with a Retry-After
 *   /cut-404/<sha256>        that status, and an error page that is cut
 *   /ancient/<sha256>        the file without any header, as HTTP/0.9
 *   /stall-again/<sha256>    404, and silence to the next request on the connection
 *   /nohead-405/<sha256>     HEAD is refused with that status; GET and ranges work
 *   /norange-405/<sha256>    … and ranges are ignored
 *   /nosize/<sha256>         neither HEAD nor GET tell a length; ranges are ignored
 *   /total-77/<sha256>       HEAD is refused; a range of one byte is of that many
 *   /length-77/<sha256>      a Content-Length of that many, closed after the file
 *   /redirects-6/<sha256>    that many redirects, then ok
 *   /loop/<sha256>           redirects to itself
 *   /slow-loop/<sha256>      … after two seconds
 *   /to-user/<sha256>        a redirect to ok, with a name and a password in the URL
 *   /to-ftp/<sha256>         a redirect to that scheme (file, ftp, gopher)
 *   /control/<sha256>        a redirect whose Location holds control bytes and quotes
 *   /headers-100/<sha256>    ok after that many KiB of headers
 *   /interim-100/<sha256>    … of 103 answers
 *   /trailers-100/<sha256>   … and after a chunked body, of trailers
 *
 * Each request is a line of REQUEST_LOG: "METHOD /path". One thread a connection.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *folder;
static int request_log;
static int port;

struct request {
        int socket;
        bool head;
        bool first_byte; /* Range: bytes=0-0 */
        char mode[64];
        char name[256];
        char *body;
        size_t size;
};

static bool send_all(int socket, const void *bytes, size_t length)
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

__attribute__((format(printf, 2, 3))) static bool say(int socket, const char *format, ...)
{
        char text[4096];
        va_list args;

        va_start(args, format);

        int length = vsnprintf(text, sizeof(text), format, args);

        va_end(args);
        return send_all(socket, text, (size_t)length);
}

static bool load(struct request *request)
{
        char path[4096];
        struct stat st;

        snprintf(path, sizeof(path), "%s/%s", folder, request->name);

        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return false;
        if (fstat(fd, &st) == 0) {
                request->size = (size_t)st.st_size;
                request->body = malloc(request->size + 1);
                if (!request->body || read(fd, request->body, request->size) != st.st_size)
                        abort();
        }
        close(fd);
        return true;
}

static void wait_for_gate(void)
{
        char path[4096];

        snprintf(path, sizeof(path), "%s/../gate", folder);
        while (access(path, F_OK) != 0)
                usleep(5000);
}

static void wait_for_client_to_go(int socket)
{
        char byte;

        while (recv(socket, &byte, 1, 0) > 0)
                ;
}

static void answer_file(struct request *request, bool ranges, bool length)
{
        if (ranges && request->first_byte && request->size > 0) {
                say(request->socket,
                    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/%zu\r\n"
                    "Content-Length: 1\r\nConnection: close\r\n\r\n",
                    request->size);
                send_all(request->socket, request->body, 1);
                return;
        }
        if (length)
                say(request->socket,
                    "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                    request->size);
        else
                say(request->socket, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        if (!request->head)
                send_all(request->socket, request->body, request->size);
}

static void answer_status(struct request *request, int status)
{
        const char *retry = status == 429   ? "Retry-After: 1\r\n"
                            : status == 503 ? "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n"
                                            : "";

        say(request->socket,
            "HTTP/1.1 %d Status\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n", status,
            retry, request->head ? 0 : 5);
        if (!request->head)
                say(request->socket, "sorry");
}

static void redirect(struct request *request, const char *location)
{
        say(request->socket,
            "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            location);
}

static void answer_half(struct request *request, bool length)
{
        if (length)
                say(request->socket, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                    request->size);
        else
                say(request->socket, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        if (!request->head)
                send_all(request->socket, request->body, request->size / 2);
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
                    "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                    request->size + 1);
        else
                say(request->socket, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        if (!request->head) {
                send_all(request->socket, request->body, request->size);
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
        else if (request->first_byte)
                say(request->socket,
                    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/%s\r\n"
                    "Content-Length: 1\r\nConnection: close\r\n\r\nx",
                    total);
        else
                answer_file(request, false, true);
}

static void answer_length(struct request *request, const char *length)
{
        say(request->socket,
            "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n"
            "Connection: close\r\n\r\n",
            length);
        if (!request->head)
                send_all(request->socket, request->body, request->size);
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
                snprintf(location, sizeof(location), "http://127.0.0.1:%d/ok/%s", port,
                         request->name);
        redirect(request, location);
}

static void answer_to_scheme(struct request *request, const char *scheme)
{
        char location[8192];

        if (strcmp(scheme, "user") == 0)
                snprintf(location, sizeof(location), "http://joe:hunter2@127.0.0.1:%d/ok/%s", port,
                         request->name);
        else if (strcmp(scheme, "file") == 0)
                snprintf(location, sizeof(location), "file://%s/%s", folder, request->name);
        else
                snprintf(location, sizeof(location), "%s://127.0.0.1:%d/%s", scheme, port,
                         request->name);
        redirect(request, location);
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
                answer_file(request, true, true);
}

static void answer_headers(struct request *request, int kib)
{
        say(request->socket, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n", request->size);
        if (!send_headers(request, kib, "", ""))
                return;
        say(request->socket, "Connection: close\r\n\r\n");
        if (!request->head)
                send_all(request->socket, request->body, request->size);
}

static void answer_trailers(struct request *request, int kib)
{
        say(request->socket, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                             "Connection: close\r\n\r\n");
        if (request->head)
                return;
        say(request->socket, "%zx\r\n", request->size);
        send_all(request->socket, request->body, request->size);
        say(request->socket, "\r\n0\r\n");
        if (send_headers(request, kib, "", ""))
                say(request->socket, "\r\n");
}

static void answer(struct request *request)
{
        const char *mode = request->mode;
        int number;

        if (strcmp(mode, "wrong") == 0 && request->size > 0)
                request->body[request->size / 2] ^= 1;
        if (strcmp(mode, "gate") == 0)
                wait_for_gate();

        if (strcmp(mode, "ok") == 0 || strcmp(mode, "wrong") == 0 || strcmp(mode, "gate") == 0)
                answer_file(request, true, true);
        else if (strcmp(mode, "half-gate") == 0) {
                answer_half(request, true);
                if (!request->head) {
                        wait_for_gate();
                        send_all(request->socket, request->body + request->size / 2,
                                 request->size - request->size / 2);
                }
        } else if (strcmp(mode, "silent") == 0)
                for (char byte; recv(request->socket, &byte, 1, 0) > 0;)
                        ;
        else if (strcmp(mode, "html") == 0)
                say(request->socket, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
                                     "Content-Length: 19\r\nConnection: close\r\n\r\n"
                                     "<html>login</html>\n");
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
                answer_file(request, false, false);
        else if (strcmp(mode, "ancient") == 0)
                send_all(request->socket, request->body, request->size);
        else if (strcmp(mode, "stall-again") == 0)
                answer_once(request);
        else if (strcmp(mode, "loop") == 0 || strcmp(mode, "slow-loop") == 0) {
                char location[512];

                if (mode[0] == 's')
                        sleep(2);
                snprintf(location, sizeof(location), "/%s/%s", mode, request->name);
                redirect(request, location);
        } else if (strcmp(mode, "control") == 0)
                redirect(request, "ftp://127.0.0.1/\x1b[31m\x07red\"=\\");
        else if (strncmp(mode, "to-", 3) == 0)
                answer_to_scheme(request, mode + 3);
        else if ((number = numbered(mode, "redirects-")) >= 0)
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
        else if ((number = numbered(mode, "nohead-")) >= 0 ||
                 (number = numbered(mode, "norange-")) >= 0) {
                if (request->head)
                        answer_status(request, number);
                else
                        answer_file(request, strncmp(mode, "nohead", 6) == 0, true);
        } else
                answer_status(request, 404);
}

/* Reads up to the empty line; the whole request is in `text`. */
static bool read_request(int socket, char *text, size_t room)
{
        size_t length = 0;

        while (length + 1 < room) {
                ssize_t got = recv(socket, text + length, room - 1 - length, 0);

                if (got <= 0)
                        return false;
                length += (size_t)got;
                text[length] = '\0';
                if (strstr(text, "\r\n\r\n"))
                        return true;
        }
        return false;
}

static void *serve(void *arg)
{
        struct request request = {.socket = (int)(intptr_t)arg};
        char text[16384];
        char method[16];
        char line[512];

        if (read_request(request.socket, text, sizeof(text)) &&
            sscanf(text, "%15s /%63[^/]/%255[^ ]", method, request.mode, request.name) == 3) {
                int length =
                    snprintf(line, sizeof(line), "%s /%s/%s\n", method, request.mode, request.name);

                if (write(request_log, line, (size_t)length) < 0)
                        abort();
                request.head = strcmp(method, "HEAD") == 0;
                request.first_byte = strstr(text, "Range: bytes=0-0");
                if (strcmp(request.mode, "silent") == 0)
                        wait_for_client_to_go(request.socket);
                else if (load(&request))
                        answer(&request);
                else
                        answer_status(&request, 404);
        }
        free(request.body);
        shutdown(request.socket, SHUT_WR);
        close(request.socket);
        return NULL;
}

int main(int argc, char **argv)
{
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t length = sizeof(address);
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (argc != 3)
                return 2;
        signal(SIGPIPE, SIG_IGN);
        folder = argv[1];
        request_log = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (request_log < 0 || listener < 0 ||
            bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(listener, 1024) < 0 ||
            getsockname(listener, (struct sockaddr *)&address, &length) < 0) {
                perror("faulty-origin");
                return 1;
        }
        port = ntohs(address.sin_port);
        printf("%d\n", port);
        fflush(stdout);
        for (;;) {
                int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                pthread_t thread;

                if (socket < 0)
                        continue;
                if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)socket) != 0)
                        close(socket);
                else
                        pthread_detach(thread);
        }
}
