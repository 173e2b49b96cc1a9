/*
 * WWW-Authenticate, read strictly and into bounded buffers. What a comma divides, the
 * parameters of one challenge or two challenges, shows only behind the next word. Pure.
 */
#include "fetch/challenge.h"

#include "fetch/auth.h"
#include "fetch/url.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

static bool is_token_byte(char c)
{
        static const char marks[] = "!#$%&'*+-.^_`|~"; /* RFC 9110, 5.6.2 */

        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               (c && strchr(marks, c));
}

static bool is_end(char c)
{
        return c == '\0' || c == '\n' || c == '\r';
}

static const char *skip_blanks(const char *at)
{
        return at + strspn(at, " \t");
}

static size_t token_length(const char *at)
{
        size_t length = 0;

        while (is_token_byte(at[length]))
                length++;
        return length;
}

/* Where the "=" of a parameter is whose name begins here; NULL: this is none. */
static const char *find_equals(const char *at)
{
        const char *behind = skip_blanks(at + token_length(at));

        return token_length(at) > 0 && *behind == '=' ? behind : NULL;
}

/* A quoted string behind its first quote; where it ends, or NULL: malformed or too long. */
static const char *read_quoted(const char *at, char *ret, size_t room)
{
        size_t length = 0;

        for (; *at != '"'; at++) {
                if (*at == '\\')
                        at++;
                if ((unsigned char)*at < ' ' || *at == 0x7f || length + 1 >= room)
                        return NULL;
                ret[length++] = *at;
        }
        ret[length] = '\0';
        return at + 1;
}

/* A parameter's value; likewise. */
static const char *read_value(const char *at, char *ret, size_t room)
{
        size_t length = token_length(at);

        if (*at == '"')
                return read_quoted(at + 1, ret, room);
        if (length == 0 || length >= room)
                return NULL;
        memcpy(ret, at, length);
        ret[length] = '\0';
        return at + length;
}

static bool is_named(const char *at, size_t length, const char *name)
{
        return length == strlen(name) && strncasecmp(at, name, length) == 0;
}

/* One parameter: what counts is kept, once. Where it ends, or NULL: malformed. */
static const char *read_parameter(const char *at, const char *equals, struct fetch_challenge *ret)
{
        char other[FETCH_CHALLENGE_REALM_MAX];
        size_t length = token_length(at);
        const char *value = skip_blanks(equals + 1);

        if (is_named(at, length, "realm"))
                return *ret->realm ? NULL : read_value(value, ret->realm, sizeof(ret->realm));
        if (is_named(at, length, "service"))
                return *ret->service ? NULL : read_value(value, ret->service, sizeof(ret->service));
        return read_value(value, other, sizeof(other));
}

/* A token68, as Negotiate has it: what it says is nothing to us. NULL: this is none. */
static const char *skip_token68(const char *at)
{
        static const char marks[] = "-._~+/";
        const char *start = at;

        while ((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') ||
               (*at >= 'A' && *at <= 'Z') || (*at && strchr(marks, *at)))
                at++;
        if (at == start)
                return NULL;
        at = skip_blanks(at + strspn(at, "="));
        return *at == ',' || is_end(*at) ? at : NULL;
}

/* One challenge, behind its scheme; where the next one begins, or NULL: malformed. */
static const char *read_parameters(const char *at, struct fetch_challenge *ret)
{
        const char *behind = *at == ' ' ? skip_token68(skip_blanks(at)) : NULL;
        bool first = true;

        if (behind)
                return behind;
        if (*at != ' ' && *at != ',' && *at != '\t' && !is_end(*at))
                return NULL;
        for (at = skip_blanks(at); !is_end(*at); first = false) {
                const char *equals;

                if (!first && *at != ',')
                        return NULL;
                at += strspn(at, ", \t"); /* empty elements count for nothing (5.6.1.2) */
                equals = find_equals(at);
                if (!equals)
                        return at;
                at = read_parameter(at, equals, ret);
                if (!at)
                        return NULL;
                at = skip_blanks(at);
        }
        return at;
}

static enum fetch_challenge_scheme scheme_of(const char *at, size_t length)
{
        if (is_named(at, length, "Bearer"))
                return FETCH_CHALLENGE_BEARER;
        return is_named(at, length, "Basic") ? FETCH_CHALLENGE_BASIC : FETCH_CHALLENGE_NONE;
}

static void keep_better(struct fetch_challenge *best, const struct fetch_challenge *found)
{
        if (found->scheme == FETCH_CHALLENGE_BEARER && !*found->realm)
                return; /* it does not say where tokens are */
        if (found->scheme > best->scheme)
                *best = *found;
}

/* The challenges of a line, as far as they are well-formed; behind it. */
static const char *read_line(const char *at, struct fetch_challenge *best)
{
        at += strspn(at, ", \t");
        while (!is_end(*at)) {
                struct fetch_challenge found = {0};
                size_t length = token_length(at);

                found.scheme = scheme_of(at, length);
                at = length > 0 ? read_parameters(at + length, &found) : NULL;
                if (!at)
                        return NULL;
                keep_better(best, &found);
                at += strspn(at, ", \t");
        }
        return at;
}

bool fetch_challenge_find(const char *lines, struct fetch_challenge *ret)
{
        *ret = (struct fetch_challenge){0};
        while (*lines) {
                read_line(lines, ret);
                lines += strcspn(lines, "\n");
                lines += *lines == '\n';
        }
        return ret->scheme != FETCH_CHALLENGE_NONE;
}

int fetch_challenge_check_realm(const char *realm, const char *url, const char **ret_why)
{
        bool is_plain = fetch_url_scheme(url) == FETCH_SCHEME_HTTP;
        enum fetch_scheme scheme;

        if (fetch_url_check(realm, &scheme, ret_why) < 0)
                return -EINVAL;
        if (scheme == FETCH_SCHEME_HTTPS)
                return 0;
        if (scheme == FETCH_SCHEME_HTTP && is_plain &&
            (fetch_auth_is_private(realm) || !fetch_auth_is_private(url)))
                return 0;
        *ret_why = "no https";
        return -EINVAL;
}
