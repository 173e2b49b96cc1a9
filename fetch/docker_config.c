/*
 * Logins of registries from docker's and podman's files. Executes no credential helper: a worker
 * may not. Sends nothing.
 */
#include "fetch/docker_config.h"

#include "fetch/auth.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* The file that the first variable names, or that is below the directory that it names; or else
 * one below the second's directory. Relative paths count for nothing. */
static int choose(struct fetch_docker_config *config, int which, const char *variable,
                  const char *name, const char *fallback, const char *fallback_name)
{
        const char *chosen = getenv(variable);
        const char *base = getenv(fallback);
        int r = 0;

        config->named[which] = chosen && *chosen == '/';
        if (config->named[which])
                r = asprintf(&config->paths[which], "%s%s", chosen, name);
        else if (base && *base == '/')
                r = asprintf(&config->paths[which], "%s%s", base, fallback_name);
        if (r >= 0)
                return 0;
        config->paths[which] = NULL;
        return -ENOMEM;
}

int fetch_docker_config_init(struct fetch_docker_config *ret)
{
        int r;

        *ret = (struct fetch_docker_config){0};
        r = choose(ret, 0, "REGISTRY_AUTH_FILE", "", "XDG_RUNTIME_DIR", "/containers/auth.json");
        if (r == 0)
                r = choose(ret, 1, "DOCKER_CONFIG", "/config.json", "HOME", "/.docker/config.json");
        if (r < 0)
                fetch_docker_config_free(ret);
        return r;
}

void fetch_docker_config_free(struct fetch_docker_config *config)
{
        for (int i = 0; i < FETCH_DOCKER_FILES; i++) {
                free(config->paths[i]);
                config->paths[i] = NULL;
        }
}

void fetch_docker_login_free(struct fetch_docker_login *login)
{
        fetch_auth_forget(login->login);
        fetch_auth_forget(login->password);
        fetch_auth_forget(login->identity);
        *login = (struct fetch_docker_login){0};
}

/* What docker's keys have behind the registry, which once were URLs of its API. */
static bool is_whole_registry(const char *rest)
{
        static const char *const forms[] = {"", "/", "/v1", "/v1/", "/v2", "/v2/"};

        for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
                if (strcmp(rest, forms[i]) == 0)
                        return true;
        return false;
}

/* Is `key` the registry, or, as podman's keys may be, the part of it that `repository` is in?
 * *ret_length: how much of the repository it names. */
static bool is_key_of(const char *key, const char *registry, const char *repository,
                      size_t *ret_length)
{
        size_t host = strlen(registry);
        const char *rest;

        if (strncasecmp(key, "https://", 8) == 0)
                key += 8;
        else if (strncasecmp(key, "http://", 7) == 0)
                key += 7;
        if (strncasecmp(key, registry, host) != 0)
                return false;
        rest = key + host;
        *ret_length = 0;
        if (is_whole_registry(rest))
                return true;
        if (*rest++ != '/')
                return false;
        *ret_length = strlen(rest);
        return strncmp(repository, rest, *ret_length) == 0 &&
               (repository[*ret_length] == '\0' || repository[*ret_length] == '/');
}

/* The value of the object's most exact key, or NULL. */
static const json_t *find_best(const json_t *object, const char *registry, const char *repository)
{
        const json_t *best = NULL;
        size_t best_length = 0;
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)object, key, value)
        {
                size_t length;

                if (is_key_of(key, registry, repository, &length) &&
                    (!best || length > best_length)) {
                        best = value;
                        best_length = length;
                }
        }
        return best;
}

/* "login:password" in Base64. False: it is none. */
static bool decode(const char *text, struct fetch_docker_login *ret)
{
        size_t length = strlen(text);
        unsigned char *pair = length > 0 ? calloc(1, length / 4 * 3 + 4) : NULL;
        bool ok = pair && length % 4 == 0 && length < FETCH_AUTH_SECRET_MAX &&
                  EVP_DecodeBlock(pair, (const unsigned char *)text, (int)length) >= 0;
        char *colon = ok ? strchr((char *)pair, ':') : NULL;

        if (colon) {
                *colon = '\0';
                ret->login = strdup((char *)pair);
                ret->password = strdup(colon + 1);
                *colon = ':';
        }
        if (pair)
                explicit_bzero(pair, length / 4 * 3 + 4);
        free(pair);
        return ret->login && ret->password;
}

/* An entry of "auths": 1, 0 (docker leaves empty ones where a helper has the login), -EINVAL. */
static int read_entry(const json_t *entry, struct fetch_docker_login *ret, const char **ret_why)
{
        const char *pair = json_string_value(json_object_get(entry, "auth"));
        const char *login = json_string_value(json_object_get(entry, "username"));
        const char *password = json_string_value(json_object_get(entry, "password"));
        const char *identity = json_string_value(json_object_get(entry, "identitytoken"));

        if (identity && *identity) {
                ret->identity = strdup(identity);
                return ret->identity ? 1 : -ENOMEM;
        }
        if (pair && *pair) {
                if (decode(pair, ret))
                        return 1;
                *ret_why = "the registry's \"auth\" is not login:password in Base64";
                return -EINVAL;
        }
        if (!login || !*login || !password)
                return 0;
        ret->login = strdup(login);
        ret->password = strdup(password);
        return ret->login && ret->password ? 1 : -ENOMEM;
}

static int read_login(const json_t *root, const char *registry, const char *repository,
                      struct fetch_docker_login *ret, const char **ret_why)
{
        const json_t *entry = find_best(json_object_get(root, "auths"), registry, repository);
        const char *store = json_string_value(json_object_get(root, "credsStore"));
        int r = read_entry(entry, ret, ret_why);

        if (r != 0)
                return r;
        if ((entry && store && *store) ||
            find_best(json_object_get(root, "credHelpers"), registry, repository)) {
                *ret_why = "a credential helper has this registry's login, and no helper is "
                           "executed here: the login has to be in \"auths\"";
                return -EINVAL;
        }
        return 0;
}

int fetch_docker_login_parse(const char *text, const char *registry, const char *repository,
                             struct fetch_docker_login *ret, const char **ret_why)
{
        json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        int r = -EINVAL;

        *ret = (struct fetch_docker_login){0};
        if (json_is_object(root))
                r = read_login(root, registry, repository, ret, ret_why);
        else
                *ret_why = "not a JSON object";
        if (r == -ENOMEM) {
                *ret_why = "out of memory";
                r = -EINVAL;
        }
        if (r <= 0)
                fetch_docker_login_free(ret);
        json_decref(root);
        return r;
}

/* Is it to be read? Else it is remembered as one that is not there. */
static bool is_there(struct fetch_docker_config *config, int which)
{
        const char *path = config->paths[which];
        struct stat *seen = &config->seen[which];

        if (!path)
                return false;
        if (stat(path, seen) < 0) {
                *seen = (struct stat){0};
                return config->named[which] && errno != ENOENT && errno != ENOTDIR;
        }
        return config->named[which] || access(path, R_OK) == 0;
}

bool fetch_docker_config_find(struct fetch_docker_config *config, const char *registry,
                              const char *repository, struct fetch_docker_login *ret,
                              struct fetch_cause *cause)
{
        int r = 0;

        *ret = (struct fetch_docker_login){0};
        for (int i = 0; r == 0 && i < FETCH_DOCKER_FILES; i++) {
                const char *why;
                char *text;

                config->looked = i + 1;
                if (!is_there(config, i))
                        continue;
                text = fetch_auth_read_file("registry logins", config->paths[i], &config->seen[i],
                                            cause);
                if (!text)
                        return false;
                r = fetch_docker_login_parse(text, registry, repository, ret, &why);
                if (r < 0)
                        fetch_cause_set(cause, FETCH_DENIED, "%s: %s: %s", config->paths[i],
                                        registry, why);
                else if (r == 1)
                        ret->path = config->paths[i];
                fetch_auth_forget(text);
        }
        return r >= 0;
}

bool fetch_docker_config_is_fresh(const struct fetch_docker_config *config)
{
        for (int i = 0; i < config->looked; i++) {
                const struct stat *seen = &config->seen[i];
                const char *path = config->paths[i];
                struct stat st;

                if (path &&
                    (seen->st_ino ? fetch_auth_has_changed(path, seen) : stat(path, &st) == 0))
                        return false;
        }
        return true;
}

void fetch_docker_config_name(const struct fetch_docker_config *config, char *ret, size_t size)
{
        const char *first = config->paths[0];
        const char *second = config->paths[1];

        if (!first && !second)
                snprintf(ret, size, "REGISTRY_AUTH_FILE, which is not set");
        else
                snprintf(ret, size, "%s%s%s%s%s", first ? first : "",
                         first ? fetch_auth_unseen(first) : "", first && second ? " or " : "",
                         second ? second : "", second ? fetch_auth_unseen(second) : "");
}
