/*
 * A real registry (docker-registry) on loopback, and nginx before and beside it: slow, as the
 * one who gives out tokens, and as the storage that blobs are redirected to. Everything of theirs
 * is in the world's directory, and dies with the test's process.
 */
#ifndef TESTS_REGISTRY_H
#define TESTS_REGISTRY_H

#include "tests/e2e/real.h"

#define REPOSITORY "team/models"
#define GATE       "127.0.0.2" /* this machine, but https is for it as for others */

struct registry {
        pid_t pid;
        int port; /* http, on every IPv4 address of this machine */
        char config[WORLD_PATH];
        char log[WORLD_PATH];
};

/* `more`: lines of its configuration, or "". All registries of a world have the same storage. */
void registry_start(struct registry *registry, const struct world *world, const char *more);
void registry_stop(struct registry *registry);
/* On the same port, with other lines. */
void registry_again(struct registry *registry, const struct world *world, const char *more);

/* Moves an asset from the world's files into the storage, as a blob of the repository. */
void registry_put(const struct world *world, const char *hex);
/* Its file there; valid until the next call. */
const char *registry_blob(const struct world *world, const char *hex);

/*
 * nginx by https, one port for all of it: /v2/ is the registry, at 600 kB/s; /token is
 * dir/token.json for joe with the password hunter2, and for a POST; /free that for everybody;
 * /docker/ is the storage.
 */
struct gate {
        pid_t pid;
        int port;
        char server[32]; /* GATE:port */
        char ca[WORLD_PATH];
        char config[WORLD_PATH];
        char log[WORLD_PATH]; /* "GET /v2/… 200 range=… auth=… body" */
};

/* Its port is chosen; it is started by the second, once the registry's port is known too, and
 * again. */
void gate_choose(struct gate *gate, const struct world *world);
void gate_start(struct gate *gate, const struct world *world, const struct registry *registry);
void gate_stop(struct gate *gate);
int gate_logged(const struct gate *gate, const char *words);

/* A token of a signer NAME, whose certificate is dir/NAME.crt, good for the repository. */
void registry_sign(const struct world *world, const char *name, int expires_in);
/* What /token and /free answer from now on. */
void registry_give(const struct world *world, const char *name);

#endif
