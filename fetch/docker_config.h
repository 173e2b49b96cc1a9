/*
 * The logins of registries that docker, podman and Kubernetes keep in a JSON file: who we are
 * at one of them. Found by the environment, read when one is needed.
 *
 *   $REGISTRY_AUTH_FILE, or else $XDG_RUNTIME_DIR/containers/auth.json;
 *   then $DOCKER_CONFIG/config.json, or else $HOME/.docker/config.json
 *
 * The first that knows the registry counts. A file that is not there is none, nor is one that
 * nobody named and that may not be read.
 */
#ifndef FETCH_DOCKER_CONFIG_H
#define FETCH_DOCKER_CONFIG_H

#include "fetch/cause.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define FETCH_DOCKER_FILES 2

struct fetch_docker_config {
        char *paths[FETCH_DOCKER_FILES];      /* absolute, or NULL */
        bool named[FETCH_DOCKER_FILES];       /* by a variable that is there for nothing else */
        struct stat seen[FETCH_DOCKER_FILES]; /* when it was read; zeroes: it was not there */
        int looked; /* at so many, the last time: what stands behind the login does not count */
};

/* Looks at the environment and opens nothing. -ENOMEM. */
int fetch_docker_config_init(struct fetch_docker_config *ret);
void fetch_docker_config_free(struct fetch_docker_config *config);

/* Secrets; to be freed. */
struct fetch_docker_login {
        char *login;      /* both, */
        char *password;   /* or NULL: nobody */
        char *identity;   /* a token that is exchanged for others, instead of them; or NULL */
        const char *path; /* of the file that it is in, the config's */
};

void fetch_docker_login_free(struct fetch_docker_login *login);

/*
 * `registry` (host or host:port) and `repository` in the text of such a file: 1 and the login, 0
 * where it has none, -EINVAL and in *ret_why (a fixed string) what is to be mended: not such
 * a file, or a login that a helper would have to be executed for. Pure.
 */
int fetch_docker_login_parse(const char *text, const char *registry, const char *repository,
                             struct fetch_docker_login *ret, const char **ret_why);

/* The same in the files. False after the cause was set. One thread at a time, as the next. */
bool fetch_docker_config_find(struct fetch_docker_config *config, const char *registry,
                              const char *repository, struct fetch_docker_login *ret,
                              struct fetch_cause *cause);

/* Are the files as they were when they were read? */
bool fetch_docker_config_is_fresh(const struct fetch_docker_config *config);

/* Where a login was looked for, in words; cut to `size` bytes. */
void fetch_docker_config_name(const struct fetch_docker_config *config, char *ret, size_t size);

#endif
