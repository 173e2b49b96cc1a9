/*
 * What those who give out AWS's keys answer, taken apart. Pure.
 */
#include "fetch/aws_keys.h"

#include "fetch/auth.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void aws_keys_clear(struct aws_keys *keys)
{
        fetch_auth_forget(keys->access_key);
        fetch_auth_forget(keys->secret_key);
        fetch_auth_forget(keys->session_token);
        *keys = (struct aws_keys){0};
}

/* Until "2026-01-31T12:34:56Z", or with a fraction, which does not count. A life of nothing or
 * less where it is over, or not understood; no text: forever. */
static int64_t life_until(const char *text, int64_t now)
{
        struct tm tm = {0};

        if (!text)
                return AWS_KEYS_FOREVER;
        if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                   &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
                return 0;
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        return (int64_t)timegm(&tm) - now;
}

/* All of them are words that may stand in a header? */
static bool take(const char *access, const char *secret, const char *token, const char *until,
                 int64_t now, struct aws_keys *ret)
{
        struct aws_keys keys = {.life_s = life_until(until, now)};

        if (!access || !*access || !secret || !*secret || keys.life_s <= 0 ||
            !fetch_auth_is_token(access) || !fetch_auth_is_token(secret) ||
            (token && !fetch_auth_is_token(token)))
                return false;
        keys.access_key = strdup(access);
        keys.secret_key = strdup(secret);
        keys.session_token = token && *token ? strdup(token) : NULL;
        if (!keys.access_key || !keys.secret_key || (token && *token && !keys.session_token)) {
                aws_keys_clear(&keys);
                return false;
        }
        *ret = keys;
        return true;
}

bool aws_xml_value(const char *text, const char *name, char *ret, size_t size)
{
        char mark[64];
        const char *begin;
        const char *end;

        snprintf(mark, sizeof(mark), "<%s>", name);
        begin = strstr(text, mark);
        if (!begin)
                return false;
        begin += strlen(mark);
        snprintf(mark, sizeof(mark), "</%s>", name);
        end = strstr(begin, mark);
        if (!end || (size_t)(end - begin) >= size)
                return false;
        memcpy(ret, begin, (size_t)(end - begin));
        ret[end - begin] = '\0';
        return true;
}

bool aws_keys_parse_xml(const char *text, int64_t now, struct aws_keys *ret)
{
        char access[256];
        char secret[256];
        char token[16384];
        char until[64];
        bool ok = aws_xml_value(text, "AccessKeyId", access, sizeof(access)) &&
                  aws_xml_value(text, "SecretAccessKey", secret, sizeof(secret)) &&
                  aws_xml_value(text, "SessionToken", token, sizeof(token)) &&
                  aws_xml_value(text, "Expiration", until, sizeof(until)) &&
                  take(access, secret, token, until, now, ret);

        explicit_bzero(secret, sizeof(secret));
        explicit_bzero(token, sizeof(token));
        return ok;
}

bool aws_keys_parse_json(const char *text, size_t length, int64_t now, struct aws_keys *ret)
{
        json_t *root = json_loadb(text, length, 0, NULL);
        bool ok = take(json_string_value(json_object_get(root, "AccessKeyId")),
                       json_string_value(json_object_get(root, "SecretAccessKey")),
                       json_string_value(json_object_get(root, "Token")),
                       json_string_value(json_object_get(root, "Expiration")), now, ret);

        json_decref(root);
        return ok;
}
