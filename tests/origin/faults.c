/*
 * The modes that are put together from tokens: an honest answer is planned, and then each
 * token spoils one thing about it. How often each has struck is counted per mode and
 * digest, over all connections.
 */
#include "tests/origin/origin.h"

#include <ctype.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum fault { FAULT_NONE, FAULT_RESET, FAULT_CLOSE, FAULT_CHUNK, FAULT_STALL, FAULT_LORIS };

enum where { WHERE_MID, WHERE_FIRST, WHERE_LAST };

/* What a range that does not begin at the first byte gets. */
enum ranges { RANGES_GOOD, RANGES_OTHER, RANGES_416, RANGES_DENIED };

enum tags { TAGS_GOOD, TAGS_NONE, TAGS_NEW, TAGS_LIE };

struct script {
        int fault;
        int where;
        int strikes; /* 0: at every answer */
        int ranges;
        int ranges_once;
        int no_ranges;
        int tags;
        int total;
        int wrong; /* 1: in the first half, 2: the last byte */
        int gzip;
        int gate;
        int wait; /* the first answer is this status */
        int wait_date;
        unsigned kib;
        uint64_t generated;
};

enum counted { COUNT_STRIKES, COUNT_RANGES, COUNT_TAGS, COUNT_TOTALS, COUNT_WAITS, COUNT_SIGNED };

struct tally {
        struct tally *next;
        char key[sizeof(((struct request *)0)->mode) + sizeof(((struct request *)0)->name)];
        unsigned counts[COUNT_SIGNED + 1];
};

/* What it was before, for this mode and digest. */
static unsigned count(const struct request *request, enum counted what)
{
        static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
        static struct tally *tallies[1024];
        char key[sizeof(tallies[0]->key)];
        unsigned hash = 5381;

        snprintf(key, sizeof(key), "%s/%s", request->mode, request->name);
        for (const char *next = key; *next; next++)
                hash = hash * 33 + (unsigned char)*next;
        pthread_mutex_lock(&lock);

        struct tally *tally = tallies[hash % 1024];

        while (tally && strcmp(tally->key, key) != 0)
                tally = tally->next;
        if (!tally) {
                tally = calloc(1, sizeof(*tally));
                if (!tally)
                        abort();
                strcpy(tally->key, key);
                tally->next = tallies[hash % 1024];
                tallies[hash % 1024] = tally;
        }

        unsigned before = tally->counts[what]++;

        pthread_mutex_unlock(&lock);
        return before;
}

static bool read_number(const char *token, struct script *script)
{
        if (isdigit((unsigned char)token[0]))
                script->strikes = atoi(token);
        else if (strncmp(token, "rate", 4) == 0)
                script->kib = (unsigned)atoi(token + 4);
        else if (strncmp(token, "gen-", 4) == 0)
                script->generated = content_size(token + 4);
        else
                return false;
        return true;
}

static bool read_token(const char *token, struct script *script)
{
        const struct {
                const char *word;
                int *field;
                int value;
        } words[] = {
            {"reset", &script->fault, FAULT_RESET},
            {"close", &script->fault, FAULT_CLOSE},
            {"chunk", &script->fault, FAULT_CHUNK},
            {"stall", &script->fault, FAULT_STALL},
            {"loris", &script->fault, FAULT_LORIS},
            {"first", &script->where, WHERE_FIRST},
            {"mid", &script->where, WHERE_MID},
            {"last", &script->where, WHERE_LAST},
            {"norange", &script->no_ranges, 1},
            {"other", &script->ranges, RANGES_OTHER},
            {"other1", &script->ranges_once, 1},
            {"other1", &script->ranges, RANGES_OTHER},
            {"r416", &script->ranges, RANGES_416},
            {"r4161", &script->ranges, RANGES_416},
            {"r4161", &script->ranges_once, 1},
            {"denied", &script->ranges, RANGES_DENIED},
            {"denied1", &script->ranges_once, 1},
            {"denied1", &script->ranges, RANGES_DENIED},
            {"etags", &script->tags, TAGS_NEW},
            {"etaglie", &script->tags, TAGS_LIE},
            {"noetag", &script->tags, TAGS_NONE},
            {"total", &script->total, 1},
            {"wrong", &script->wrong, 1},
            {"wronglast", &script->wrong, 2},
            {"gzip", &script->gzip, 1},
            {"gate", &script->gate, 1},
            {"wait503", &script->wait, 503},
            {"wait429", &script->wait, 429},
            {"waitdate", &script->wait, 503},
            {"waitdate", &script->wait_date, 1},
        };
        bool known = false;

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (strcmp(token, words[i].word) == 0) {
                        *words[i].field = words[i].value;
                        known = true;
                }
        return known || read_number(token, script);
}

/* A token that nobody knows is a mistake of the test, which must not go unseen. */
static void read_script(const char *mode, struct script *script)
{
        char text[sizeof(((struct request *)0)->mode)];
        char *rest = NULL;

        *script = (struct script){.strikes = 1};
        snprintf(text, sizeof(text), "%s", mode);
        for (char *token = strtok_r(text, ".", &rest); token; token = strtok_r(NULL, ".", &rest))
                if (strcmp(token, "x") != 0 && !read_token(token, script)) {
                        fprintf(stderr, "faulty-origin: %s: what is '%s'?\n", mode, token);
                        _exit(3);
                }
}

/* A client gets all that was sent before the RST, which would overtake it; also one whose
 * disk is busy, for a minute. */
static void reset(struct request *request)
{
        struct linger linger = {.l_onoff = 1};
        int unsent = 1;
        char byte;

        for (int i = 0; i < 60000; i++) {
                if (ioctl(request->socket, SIOCOUTQ, &unsent) < 0 || unsent == 0 ||
                    recv(request->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
                        break;
                usleep(1000);
        }
        setsockopt(request->socket, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        request->reset = true;
}

static void loris(struct request *request, uint64_t first, uint64_t length)
{
        while (length-- > 0 && send_part(request, first++, 1, 0))
                sleep(1);
}

static uint64_t cut_of(const struct script *script, uint64_t length)
{
        switch (script->where) {
        case WHERE_FIRST:
                return length > 1 ? 1 : 0;
        case WHERE_LAST:
                return length - 1;
        default:
                return length / 2;
        }
}

/* The answer as far as the fault lets it, and the fault. */
static void strike(struct request *request, const struct script *script, struct answer *answer)
{
        uint64_t cut = cut_of(script, answer->length);

        request->keep = false;
        answer->chunked = script->fault == FAULT_CHUNK;
        answer_head(request, answer);
        if (answer->chunked && cut > 0)
                say(request->socket, "%jx\r\n", cut);
        if (!send_part(request, answer->first, cut, script->kib))
                return;
        switch (script->fault) {
        case FAULT_RESET:
                reset(request);
                break;
        case FAULT_CHUNK:
                say(request->socket, "%snonsense\r\n", cut > 0 ? "\r\n" : "");
                break;
        case FAULT_STALL:
                wait_for_client_to_go(request->socket);
                break;
        case FAULT_LORIS:
                loris(request, answer->first + cut, answer->length - cut);
                break;
        default:
                break; /* closed */
        }
}

static void wait_please(struct request *request, const struct script *script)
{
        char header[128] = "Retry-After: 1\r\n";
        time_t then = time(NULL) + 2;
        struct tm tm;

        if (script->wait_date)
                strftime(header, sizeof(header), "Retry-After: %a, %d %b %Y %T GMT\r\n",
                         gmtime_r(&then, &tm));
        reply_status(request, script->wait, header);
}

/* One byte further than it was asked for, or nearer where there is none. */
static void shift(struct answer *answer)
{
        if (answer->first + answer->length < answer->total)
                answer->first++;
        else if (answer->length > 1)
                answer->first++, answer->length--;
        else
                answer->first--;
}

/* Refuses a range that begins further on, or plans another; false: it was answered. */
static bool spoil_range(struct request *request, const struct script *script, struct answer *answer)
{
        switch (script->ranges) {
        case RANGES_OTHER:
                if (answer->status == 206)
                        shift(answer);
                return true;
        case RANGES_416:
                answer->status = 416;
                answer->length = 0;
                return true;
        default:
                reply_status(request, 403, "");
                return false;
        }
}

static void plan(struct request *request, const struct script *script, struct answer *answer)
{
        char etag[64] = "";

        if (script->tags == TAGS_GOOD)
                snprintf(etag, sizeof(etag), "\"%.16s\"", request->name);
        else if (script->tags != TAGS_NONE)
                snprintf(etag, sizeof(etag), "\"%.16s-%u\"", request->name,
                         count(request, COUNT_TAGS));
        if (script->tags == TAGS_LIE)
                request->if_range[0] = '\0';
        answer_plan(request, etag, !script->no_ranges, answer);
        if (script->gzip)
                answer->extra = "Content-Encoding: gzip\r\n";
        if (script->total && answer->status == 206)
                answer->total += 1 + count(request, COUNT_TOTALS);
}

static bool strikes_now(const struct request *request, const struct script *script,
                        const struct answer *answer)
{
        if (!script->fault || request->head || answer->length == 0 ||
            (script->gate && gate_is_open()))
                return false;
        return !script->strikes || count(request, COUNT_STRIKES) < (unsigned)script->strikes;
}

static void follow_script(struct request *request, const struct script *script)
{
        bool further = !request->head && request->ranged && request->first > 0;
        bool odd = further && script->ranges != RANGES_GOOD && !(script->gate && gate_is_open()) &&
                   (!script->ranges_once || count(request, COUNT_RANGES) == 0);
        struct answer answer;

        if (script->wait && !request->head && count(request, COUNT_WAITS) == 0) {
                wait_please(request, script);
                return;
        }
        plan(request, script, &answer);
        if (odd && !spoil_range(request, script, &answer))
                return;
        if (!odd && strikes_now(request, script, &answer)) {
                strike(request, script, &answer);
                return;
        }
        answer_head(request, &answer);
        if (!request->head && !send_part(request, answer.first, answer.length, script->kib))
                request->keep = false;
}

bool is_script(const struct request *request)
{
        return strncmp(request->mode, "x.", 2) == 0;
}

void reply_script(struct request *request)
{
        struct script script;
        uint64_t size;

        read_script(request->mode, &script);
        if (script.generated) {
                content_close(&request->content);
                content_generate(&request->content, script.generated);
        }
        size = request->content.size;
        if (script.wrong && size > 0)
                request->content.wrong = script.wrong == 1 ? size / 4 : size - 1;
        follow_script(request, &script);
}

bool is_signed(const struct request *request)
{
        return strncmp(request->mode, "signed.", 7) == 0 || strncmp(request->mode, "sig-", 4) == 0;
}

/* The signature that expires says for how many answers it is good. */
void reply_signed(struct request *request)
{
        struct script script = {.fault = FAULT_CLOSE, .where = WHERE_MID};
        struct answer answer;
        char location[512];
        unsigned good = 0;

        if (sscanf(request->mode, "signed.%u", &good) == 1) {
                snprintf(location, sizeof(location), "/sig-%u-%u/%s",
                         request->head ? 0 : count(request, COUNT_SIGNED) + 1, good, request->name);
                reply_redirect(request, location);
                return;
        }
        sscanf(request->mode, "sig-%*u-%u", &good);
        if (!request->head && count(request, COUNT_SIGNED) >= good) {
                reply_status(request, 403, "");
                return;
        }
        plan(request, &script, &answer);
        /* Halves of halves would never end. */
        if (!request->head && answer.length > 65536) {
                strike(request, &script, &answer);
                return;
        }
        answer_head(request, &answer);
        if (!request->head)
                send_part(request, answer.first, answer.length, 0);
}
