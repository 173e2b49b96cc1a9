/*
 * The parts of the faulty origin. faulty_origin.c tells what it does; here is what its
 * files share: a request, its content, and an answer that is planned honestly first, so
 * that a mode only has to spoil it.
 */
#ifndef TESTS_ORIGIN_H
#define TESTS_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOWHERE UINT64_MAX

/* What is served: never held in memory, for it may be larger. */
struct content {
        int fd;         /* -1 when it is generated */
        uint64_t size;  /* bytes */
        uint64_t wrong; /* the offset of a byte with another bit, or NOWHERE */
};

struct request {
        int socket;
        bool head;
        bool keep;   /* the connection is good for another request after this one */
        bool reset;  /* it ends by RST */
        bool ranged; /* Range: bytes=first-last; last is NOWHERE where it is not said */
        uint64_t first;
        uint64_t last;
        char range[64]; /* as it was asked */
        char if_range[64];
        char mode[96];
        char name[256];
        struct content content;
};

struct answer {
        int status; /* 200, 206 or 416 */
        uint64_t first;
        uint64_t length;
        uint64_t total;
        char etag[64];     /* with its quotes; "" for none */
        const char *extra; /* whole header lines */
        bool ranges;       /* and it says so */
        bool chunked;
};

extern const char *origin_folder;
extern int origin_port;

/* content.c */
bool content_open(struct content *content, const char *name);
void content_generate(struct content *content, uint64_t size);
void content_close(struct content *content);
void content_read(const struct content *content, uint64_t offset, void *bytes, size_t length);
/* A number with K, M or G behind it; 0 where it is none. */
uint64_t content_size(const char *text);

/* reply.c: what is false says that the client has gone. */
bool send_all(int socket, const void *bytes, size_t length);
__attribute__((format(printf, 2, 3))) bool say(int socket, const char *format, ...);
/* At that many KiB a second, or as fast as it goes (0). */
bool send_part(struct request *request, uint64_t first, uint64_t length, unsigned kib);
void reply_status(struct request *request, int status, const char *headers);
void reply_redirect(struct request *request, const char *location);
/* What an honest server with this ETag answers. */
void answer_plan(const struct request *request, const char *etag, bool ranges,
                 struct answer *answer);
void answer_head(const struct request *request, const struct answer *answer);
void reply_honestly(struct request *request);
bool gate_is_open(void);
void wait_for_gate(void);
void wait_for_client_to_go(int socket);

/* modes.c: those without a point in their name. */
void reply_mode(struct request *request);

/* faults.c: /x.TOKENS/, /signed.N/ and /sig-K-N/. */
bool is_script(const struct request *request);
void reply_script(struct request *request);
bool is_signed(const struct request *request);
void reply_signed(struct request *request);

#endif
