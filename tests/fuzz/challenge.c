/*
 * WWW-Authenticate, one line or several.
 */
#include "fetch/challenge.h"
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>

static char *put_quoted(char *end, const char *name, const char *value)
{
        end += sprintf(end, "%s=\"", name);
        for (; *value; value++) {
                if (*value == '"' || *value == '\\')
                        *end++ = '\\';
                *end++ = *value;
        }
        *end++ = '"';
        *end = '\0';
        return end;
}

static void check_value(const char *value, size_t room)
{
        fuzz_expect(strnlen(value, room) < room);
        for (; *value; value++)
                fuzz_expect((unsigned char)*value >= ' ' && *value != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static char plain[2 * (FETCH_CHALLENGE_REALM_MAX + FETCH_CHALLENGE_SERVICE_MAX) + 64];
        char *text = fuzz_text(data, size);
        struct fetch_challenge found;
        struct fetch_challenge again;
        bool is = fetch_challenge_find(text, &found);

        free(text);
        fuzz_expect(is == (found.scheme != FETCH_CHALLENGE_NONE));
        fuzz_expect(found.scheme != FETCH_CHALLENGE_BEARER || *found.realm);
        check_value(found.realm, sizeof(found.realm));
        check_value(found.service, sizeof(found.service));
        if (!is)
                return 0;

        /* What is said again in other words is the same challenge. */
        char *end = stpcpy(plain, found.scheme == FETCH_CHALLENGE_BASIC ? "basic " : "bearer ");

        end = put_quoted(end, "realm", found.realm);
        end = stpcpy(end, " ,\t, ");
        put_quoted(end, "service", found.service);
        fuzz_expect(fetch_challenge_find(plain, &again));
        fuzz_expect(again.scheme == found.scheme && strcmp(again.realm, found.realm) == 0);
        fuzz_expect(strcmp(again.service, found.service) == 0);
        return 0;
}
