/*
 * Sections, keys and values of AWS's shared files. Lines are split here and not by inih, which
 * cuts them at 200 bytes, as Debian builds it: session tokens are longer. Asks no server.
 */
#include "fetch/aws_profile.h"

#include "fetch/auth.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
        const char *key;
        size_t place;
} keys[] = {
    {"aws_access_key_id", offsetof(struct aws_profile, access_key)},
    {"aws_secret_access_key", offsetof(struct aws_profile, secret_key)},
    {"aws_session_token", offsetof(struct aws_profile, session_token)},
    {"region", offsetof(struct aws_profile, region)},
    {"role_arn", offsetof(struct aws_profile, role_arn)},
    {"role_session_name", offsetof(struct aws_profile, role_session_name)},
    {"web_identity_token_file", offsetof(struct aws_profile, token_file)},
};

/* To run a program, to ask another profile first, to log in by a browser. */
static const char *const refused[] = {"credential_process", "source_profile", "credential_source",
                                      "sso_session",        "sso_start_url",  "sso_account_id"};

static char **place_of(struct aws_profile *profile, size_t i)
{
        return (char **)((char *)profile + keys[i].place);
}

void aws_profile_clear(struct aws_profile *profile)
{
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
                fetch_auth_forget(*place_of(profile, i));
        *profile = (struct aws_profile){0};
}

static char *trim(char *text)
{
        char *end;

        text += strspn(text, " \t\r");
        end = text + strlen(text);
        while (end > text && strchr(" \t\r", end[-1]))
                *--end = '\0';
        return text;
}

/* "name]" or "profile name]", as it stands in a line behind its '['. */
static bool is_section(char *text, bool is_config, const char *name)
{
        size_t word = strlen("profile");
        char *end = strchr(text, ']');

        if (!end)
                return false;
        *end = '\0';
        text = trim(text);
        if (!is_config || (strcmp(name, "default") == 0 && strcmp(text, name) == 0))
                return strcmp(text, name) == 0;
        return strncmp(text, "profile", word) == 0 && (text[word] == ' ' || text[word] == '\t') &&
               strcmp(trim(text + word), name) == 0;
}

static int take_value(struct aws_profile *profile, const char *key, const char *value)
{
        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
                if (strcmp(key, refused[i]) == 0)
                        profile->cannot = refused[i];
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
                char **place = place_of(profile, i);

                if (strcmp(key, keys[i].key) != 0 || !*value)
                        continue;
                fetch_auth_forget(*place);
                *place = strdup(value);
                return *place ? 0 : -ENOMEM;
        }
        return 0;
}

/* A comment is a line of its own, or stands behind a blank. */
static void cut_comment(char *value)
{
        for (char *c = value; *c; c++) {
                if ((*c == '#' || *c == ';') && c > value && strchr(" \t", c[-1])) {
                        *c = '\0';
                        return;
                }
        }
}

int aws_profile_parse(char *text, bool is_config, const char *name, struct aws_profile *profile)
{
        bool ours = false;
        char *rest;
        int r = 0;

        for (char *line = strtok_r(text, "\n", &rest); r == 0 && line;
             line = strtok_r(NULL, "\n", &rest)) {
                char *equals = strchr(line, '=');

                if (*line == '[') {
                        ours = is_section(line + 1, is_config, name);
                        profile->found |= ours;
                        continue;
                }
                /* What is indented belongs to the key above it: none of ours. */
                if (!ours || !equals || strchr(" \t#;", *line))
                        continue;
                *equals = '\0';
                cut_comment(equals + 1);
                r = take_value(profile, trim(line), trim(equals + 1));
        }
        return r;
}

const char *aws_profile_name(bool *ret_asked)
{
        const char *name = getenv("AWS_PROFILE");

        *ret_asked = name && *name;
        return *ret_asked ? name : "default";
}

char *aws_profile_path(bool is_config, bool *ret_named)
{
        const char *named = getenv(is_config ? "AWS_CONFIG_FILE" : "AWS_SHARED_CREDENTIALS_FILE");
        const char *home = getenv("HOME");
        char *path = NULL;

        *ret_named = named && *named;
        if (*ret_named)
                return strdup(named);
        if (!home || *home != '/' ||
            asprintf(&path, "%s/.aws/%s", home, is_config ? "config" : "credentials") < 0)
                return NULL;
        return path;
}

static bool is_readable(const char *path)
{
        return access(path, R_OK) == 0;
}

/* false after the cause was set. */
static bool read_file(bool is_config, const char *name, struct aws_profile *profile,
                      struct fetch_cause *cause)
{
        bool named;
        char *path = aws_profile_path(is_config, &named);
        char *text = NULL;
        bool ok = true;

        if (path && (named || is_readable(path))) {
                text = fetch_auth_read_file(is_config ? "AWS_CONFIG_FILE"
                                                      : "AWS_SHARED_CREDENTIALS_FILE",
                                            path, NULL, cause);
                ok = text;
        }
        /* strtok() has put NULs into it: wiped by its length, which is of before. */
        if (text) {
                size_t length = strlen(text);

                ok = aws_profile_parse(text, is_config, name, profile) == 0;
                if (!ok)
                        fetch_cause_set(cause, FETCH_DENIED, "out of memory for the credential");
                explicit_bzero(text, length);
        }
        free(text);
        free(path);
        return ok;
}

/* Keys that belong together come from one file, the credentials' where both have some. */
static void add_config(struct aws_profile *profile, struct aws_profile *config)
{
        bool has_keys = profile->access_key || profile->secret_key;

        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
                char **place = place_of(profile, i);
                char **other = place_of(config, i);
                bool is_key = strncmp(keys[i].key, "aws_", 4) == 0;

                if (*place || (is_key && has_keys))
                        continue;
                *place = *other;
                *other = NULL;
        }
        profile->found |= config->found;
        if (!profile->cannot)
                profile->cannot = config->cannot;
        aws_profile_clear(config);
}

bool aws_profile_read(struct aws_profile *ret, struct fetch_cause *cause)
{
        struct aws_profile config = {0};
        bool asked;
        const char *name = aws_profile_name(&asked);
        bool ok;

        *ret = (struct aws_profile){0};
        ok = read_file(false, name, ret, cause) && read_file(true, name, &config, cause);
        add_config(ret, &config);
        if (ok && asked && !ret->found) {
                fetch_cause_set(cause, FETCH_DENIED, "AWS_PROFILE %s: no file has this profile",
                                name);
                ok = false;
        }
        if (!ok)
                aws_profile_clear(ret);
        return ok;
}
