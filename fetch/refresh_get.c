/*
 * A catalog's request. Its callbacks run on the transfer loop's thread: they copy, and wait for
 * nothing.
 */
#include "fetch/refresh_get.h"

#include "fetch/catalog.h"

#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 600000 /* for all of it: the rate floor alone would allow two hours */

static void copy_word(char ret[CAS_KEPT_WORD], const char *word)
{
        size_t length = word ? strlen(word) : 0;

        if (length >= CAS_KEPT_WORD) /* half of one would be another one */
                length = 0;
        memcpy(ret, word ? word : "", length);
        ret[length] = '\0';
}

static bool on_response(void *arg, const struct http_response *response)
{
        struct refresh_get *get = arg;

        get->unchanged = response->unchanged;
        copy_word(get->body.etag, response->tag);
        copy_word(get->body.modified, response->modified);
        get->too_big = !response->unchanged && response->size != HTTP_SIZE_UNKNOWN &&
                       response->size > FETCH_CATALOG_TEXT;
        return !get->too_big;
}

static bool make_room(struct refresh_get *get, size_t length)
{
        size_t room = get->room ? get->room : 65536;
        char *grown;

        while (room < length)
                room *= 2;
        if (room == get->room)
                return true;
        grown = realloc(get->body.bytes, room);
        if (!grown)
                return false;
        get->body.bytes = grown;
        get->room = room;
        return true;
}

static enum http_took on_bytes(void *arg, const void *bytes, size_t length)
{
        struct refresh_get *get = arg;

        get->too_big = length > FETCH_CATALOG_TEXT - get->body.length;
        get->no_memory = !get->too_big && !make_room(get, get->body.length + length);
        if (get->too_big || get->no_memory)
                return HTTP_ENOUGH;
        memcpy(get->body.bytes + get->body.length, bytes, length);
        get->body.length += length;
        return HTTP_TOOK;
}

static void on_done(void *arg, const struct fetch_cause *cause)
{
        struct refresh_get *get = arg;

        get->cause = *cause;
        if (get->too_big)
                fetch_cause_set(&get->cause, FETCH_TOO_BIG, "larger than %u MiB",
                                FETCH_CATALOG_TEXT / 1024 / 1024);
        else if (get->no_memory)
                fetch_cause_set(&get->cause, FETCH_ORIGIN_FAILED, "out of memory");
        if (get->cause.kind != FETCH_OK || get->unchanged) {
                free(get->body.bytes);
                get->body.bytes = NULL;
                get->body.length = 0;
        }
        get->done(get);
}

bool refresh_get_start(struct refresh_get *get, struct http_loop *loop, const char *url,
                       const struct cas_kept *known)
{
        static const struct http_handler handler = {
            .response = on_response, .bytes = on_bytes, .done = on_done};
        struct http_request request = {
            .method = HTTP_GET,
            .url = url,
            .is_origins = true,
            .proxy = get->proxy,
            .pass = get->pass,
            .timeout_ms = TIMEOUT_MS,
            .end = HTTP_TO_THE_END,
            .if_none_match = known->etag[0] ? known->etag : NULL,
            .if_modified_since = known->modified[0] ? known->modified : NULL,
        };

        *get = (struct refresh_get){.done = get->done, .pass = get->pass, .proxy = get->proxy};
        return http_start(loop, &request, &handler, get);
}
