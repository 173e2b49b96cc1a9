/*
 * faulty-origin DIR REQUEST_LOG: an HTTP/1.1 origin on a loopback port of its own
 * choice (printed on stdout) that does what no honest server does. The first part of
 * the path says how to misbehave, the second is a file of DIR:
 *
 *   /ok/<sha256>             the file, with ranges (If-Range too) and a strong ETag
 *   /gen-SIZE/<any digest>   so many pseudo-random bytes (suffix K, M, G), likewise
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
 *   /signed.N/<sha256>       302 to /sig-K-N/, K counting up
 *   /sig-K-N/<sha256>        with ranges, but each answer of more than 64 KiB is cut
 *                            (closed) at half; after N answers 403 for ever
 *
 * Modes that begin with "x." are put together from tokens, with points between them, in
 * any order: /x.reset.last.2/<sha256>. Without any it is as ok.
 *
 *   reset        the body ends by RST
 *   close        … by a close, earlier than the Content-Length says
 *   chunk        … by a chunk that is none (and no Content-Length)
 *   stall        … by silence, until the client goes
 *   loris        … by a byte a second, until the client goes
 *   first        after one byte of this answer's body
 *   mid          after half of it (else)
 *   last         before its last byte; a body of one byte is always cut before it
 *   N            so often for each digest (else once); 0: every time
 *   gate         … and no more, nor odd ranges, once DIR/../gate exists
 *
 *   norange      ranges are ignored: 200, whole
 *   other        a range gets 206 with the range that begins a byte later
 *   r416         a range gets 416
 *   denied       a range gets 403
 *   other1       … the first range alone; so r4161, denied1
 *   etags        a new ETag with each answer, so that If-Range gets 200, whole
 *   etaglie      a new ETag with each answer, but If-Range is not looked at
 *   noetag       no ETag
 *   total        in Content-Range the total is 1 larger, then 2, and so on
 *
 *   wrong        one bit is another, in the first half
 *   wronglast    … in the last byte
 *   rateN        at N KiB a second
 *   gzip         says Content-Encoding: gzip, which is not true
 *   wait503      the first GET gets that status and "Retry-After: 1"
 *   wait429      likewise
 *   waitdate     likewise 503, with a date two seconds ahead
 *   gen-SIZE     the bytes of /gen-SIZE/
 *
 * "A range" is one that begins beyond the first byte; odd answers to ranges are not cut.
 * HEAD gets the headers of an honest answer, and is never counted.
 *
 * Each request is a line of REQUEST_LOG: "METHOD /path", then " bytes=F-L" and " if-range"
 * where they were asked. One thread a connection; well-behaved answers leave it open.
 *
 * faulty-origin --digest SIZE prints the SHA-256 of what /gen-SIZE/ is.
 */
#include "tests/origin/origin.h"

#include "cas/digest.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *origin_folder;
int origin_port;

static int request_log;

struct stream {
        char text[16384];
        size_t length;
};

/* Takes one request up to its empty line out of the stream. */
static bool read_request(int socket, struct stream *stream, char *ret, size_t room)
{
        char *end;

        stream->text[stream->length] = '\0';
        while (!(end = strstr(stream->text, "\r\n\r\n"))) {
                size_t left = sizeof(stream->text) - 1 - stream->length;
                ssize_t got = left ? recv(socket, stream->text + stream->length, left, 0) : 0;

                if (got <= 0)
                        return false;
                stream->length += (size_t)got;
                stream->text[stream->length] = '\0';
        }
        *end = '\0';
        snprintf(ret, room, "%s", stream->text);
        stream->length -= (size_t)(end + 4 - stream->text);
        memmove(stream->text, end + 4, stream->length);
        return true;
}

/* The value of a header line, or "". */
static void header(const char *text, const char *name, char *ret, size_t room)
{
        char line[64];

        snprintf(line, sizeof(line), "\r\n%s: ", name);

        const char *found = strcasestr(text, line);
        const char *value = found ? found + strlen(line) : "";

        snprintf(ret, room, "%.*s", (int)strcspn(value, "\r"), value);
}

static bool parse(const char *text, struct request *request)
{
        char method[16];
        char line[512];

        if (sscanf(text, "%15s /%95[^/]/%255[^? ]", method, request->mode, request->name) != 3)
                return false;
        request->head = strcmp(method, "HEAD") == 0;
        header(text, "Connection", line, sizeof(line));
        request->keep = strstr(text, "HTTP/1.1") && strcasecmp(line, "close") != 0;
        header(text, "Range", request->range, sizeof(request->range));
        header(text, "If-Range", request->if_range, sizeof(request->if_range));

        int parts = sscanf(request->range, "bytes=%ju-%ju", &request->first, &request->last);

        request->ranged = parts >= 1 && !strchr(request->range, ',');
        if (parts < 2)
                request->last = NOWHERE;

        int length = snprintf(line, sizeof(line), "%s /%s/%s%s%s%s\n", method, request->mode,
                              request->name, *request->range ? " " : "", request->range,
                              *request->if_range ? " if-range" : "");

        if (write(request_log, line, (size_t)length) < 0)
                abort();
        return true;
}

static void answer(struct request *request)
{
        if (strcmp(request->mode, "silent") == 0) {
                request->keep = false;
                wait_for_client_to_go(request->socket);
                return;
        }
        if (strncmp(request->mode, "gen-", 4) == 0) {
                content_generate(&request->content, content_size(request->mode + 4));
        } else if (!content_open(&request->content, request->name) &&
                   !strstr(request->mode, ".gen-")) {
                reply_status(request, 404, "");
                return;
        }
        if (is_script(request))
                reply_script(request);
        else if (is_signed(request))
                reply_signed(request);
        else
                reply_mode(request);
        content_close(&request->content);
}

static void *serve(void *arg)
{
        int socket = (int)(intptr_t)arg;
        struct stream stream = {.length = 0};
        struct request request = {0};
        char text[16384];

        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        do {
                request = (struct request){.socket = socket};
        } while (read_request(socket, &stream, text, sizeof(text)) && parse(text, &request) &&
                 (answer(&request), request.keep));
        if (!request.reset)
                shutdown(socket, SHUT_WR);
        close(socket);
        return NULL;
}

static int print_digest(uint64_t size)
{
        static char bytes[1 << 18];
        struct content content;
        struct cas_digest digest;
        struct cas_hash *hash;
        char hex[CAS_DIGEST_HEX + 1];

        if (cas_hash_new(&hash) < 0)
                return 1;
        content_generate(&content, size);
        for (uint64_t done = 0; done < size; done += sizeof(bytes)) {
                size_t piece = size - done < sizeof(bytes) ? (size_t)(size - done) : sizeof(bytes);

                content_read(&content, done, bytes, piece);
                cas_hash_update(hash, bytes, piece);
        }
        cas_hash_final(hash, &digest);
        cas_hash_free(hash);
        cas_digest_format(&digest, hex);
        puts(hex);
        return 0;
}

int main(int argc, char **argv)
{
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t length = sizeof(address);
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (argc != 3)
                return 2;
        if (strcmp(argv[1], "--digest") == 0)
                return print_digest(content_size(argv[2]));
        signal(SIGPIPE, SIG_IGN);
        origin_folder = argv[1];
        request_log = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (request_log < 0 || listener < 0 ||
            bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(listener, 1024) < 0 ||
            getsockname(listener, (struct sockaddr *)&address, &length) < 0) {
                perror("faulty-origin");
                return 1;
        }
        origin_port = ntohs(address.sin_port);
        printf("%d\n", origin_port);
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
