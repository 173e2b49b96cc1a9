/*
 * docker-registry and nginx for one test: their configurations. Tokens are signed by openssl, as
 * distribution's specification of its token authentication has it.
 */
#include "tests/e2e/registry.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIR_MAX (WORLD_PATH - 64) /* room for a name behind a world's directory */

static void path_of(char path[WORLD_PATH], const struct world *world, const char *name)
{
        snprintf(path, WORLD_PATH, "%.*s/%s", DIR_MAX, world->dir, name);
}

static bool try_registry(struct registry *registry, const struct world *world, const char *more)
{
        /* It takes variables that are named like this for its own configuration. */
        const char *const argv[] = {
            "env", "-u", "REGISTRY_AUTH_FILE", "docker-registry", "serve", registry->config, NULL};

        world_text(registry->config,
                   "version: 0.1\n"
                   "log: {level: error, accesslog: {disabled: false}}\n"
                   "storage: {filesystem: {rootdirectory: %s/store}}\n"
                   "http: {addr: \":%d\"}\n%s\n",
                   world->dir, registry->port, more);
        return real_start(&registry->pid, registry->log, registry->port, NULL, SIGKILL, argv);
}

void registry_start(struct registry *registry, const struct world *world, const char *more)
{
        static unsigned number;
        bool started = false;
        char name[32];

        *registry = (struct registry){0};
        snprintf(name, sizeof(name), "registry%u.yml", number);
        path_of(registry->config, world, name);
        snprintf(name, sizeof(name), "registry%u.log", number++);
        path_of(registry->log, world, name);
        cr_assert_eq(world_shell("mkdir -p '%s/store'", world->dir), 0);
        for (int tries = 0; !started && tries < 5; tries++) {
                registry->port = world_free_port();
                started = try_registry(registry, world, more);
        }
        cr_assert(started, "docker-registry does not start; see %s", registry->log);
}

void registry_stop(struct registry *registry)
{
        real_stop(&registry->pid, SIGKILL);
}

void registry_again(struct registry *registry, const struct world *world, const char *more)
{
        cr_assert(try_registry(registry, world, more), "see %s", registry->log);
}

const char *registry_blob(const struct world *world, const char *hex)
{
        static char path[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/store/docker/registry/v2/blobs/sha256/%.2s/%s/data",
                 world->dir, hex, hex);
        return path;
}

void registry_put(const struct world *world, const char *hex)
{
        const char *data = registry_blob(world, hex);

        cr_assert_eq(world_shell("cd '%1$s/store' && l=docker/registry/v2/repositories/" REPOSITORY
                                 "/_layers/sha256/%2$s && mkdir -p $l '%4$.*3$s' &&"
                                 " printf sha256:%2$s >$l/link && mv '%1$s/files/%2$s' '%4$s'",
                                 world->dir, hex, (int)(strrchr(data, '/') - data), data),
                     0);
}

void gate_choose(struct gate *gate, const struct world *world)
{
        *gate = (struct gate){.port = world_free_port()};
        path_of(gate->config, world, "gate.conf");
        path_of(gate->log, world, "gate.log");
        path_of(gate->ca, world, "gate.crt");
        snprintf(gate->server, sizeof(gate->server), GATE ":%d", gate->port);
        cr_assert_eq(
            world_shell("cd '%s' && printf 'joe:%%s\n' \"$(openssl passwd -apr1 hunter2)\""
                        " >gate.users && openssl req -x509 -newkey ec -nodes -days 20"
                        " -pkeyopt ec_paramgen_curve:prime256v1 -keyout gate.key -out gate.crt"
                        " -subj /CN=gate -addext subjectAltName=IP:" GATE " 2>gate.err",
                        world->dir),
            0);
}

void gate_start(struct gate *gate, const struct world *world, const struct registry *registry)
{
        const char *const argv[] = {"nginx", "-e", "stderr", "-c", gate->config, NULL};
        char errors[WORLD_PATH];

        path_of(errors, world, "gate.err");
        world_text(gate->config,
                   "daemon off; master_process off; pid %1$s/gate.pid; error_log %1$s/gate.err;\n"
                   "events { worker_connections 512; }\n"
                   "http {\n"
                   "  log_format seen '$request_method $request_uri $status range=$http_range '\n"
                   "    'auth=$http_authorization $request_body';\n"
                   "  access_log %1$s/gate.log seen; root %1$s/store;\n"
                   "  client_body_temp_path %1$s/g1; proxy_temp_path %1$s/g2;\n"
                   "  fastcgi_temp_path %1$s/g3; uwsgi_temp_path %1$s/g4; scgi_temp_path %1$s/g5;\n"
                   "  server { listen %2$d ssl;\n"
                   "    ssl_certificate %1$s/gate.crt; ssl_certificate_key %1$s/gate.key;\n"
                   "    location /v2/ { proxy_pass http://127.0.0.1:%3$d; limit_rate 600k;\n"
                   "      proxy_set_header Host $http_host; proxy_max_temp_file_size 0;\n"
                   "      proxy_buffers 4 32k; }\n"
                   "    location /free { alias %1$s/token.json; }\n"
                   "    location /token { proxy_pass https://127.0.0.1:%2$d/free;\n"
                   "      proxy_method GET; limit_except POST { auth_basic tokens;\n"
                   "        auth_basic_user_file %1$s/gate.users; } }\n"
                   "  } }\n",
                   world->dir, gate->port, registry->port);
        cr_assert(real_start(&gate->pid, errors, gate->port, NULL, SIGTERM, argv),
                  "nginx does not start; see %s", errors);
}

void gate_stop(struct gate *gate)
{
        real_stop(&gate->pid, SIGTERM);
}

int gate_logged(const struct gate *gate, const char *words)
{
        return real_logged(gate->log, words, NULL);
}

/* A short key is made quickly, and protects nothing here. */
void registry_sign(const struct world *world, const char *name, int expires_in)
{
        cr_assert_eq(
            world_shell(
                "cd '%1$s' && b64() { openssl base64 -A | tr '+/' '-_' | tr -d =; } &&"
                " { [ -e %2$s.crt ] || openssl req -x509 -newkey rsa:1024 -nodes -keyout %2$s.key"
                "   -out %2$s.crt -subj /CN=%2$s -days 20 2>%2$s.log; } &&"
                " x5c=$(openssl x509 -in %2$s.crt -outform DER | openssl base64 -A) &&"
                " head=$(printf '{\"alg\":\"RS256\",\"typ\":\"JWT\",\"x5c\":[\"%%s\"]}' $x5c | "
                "b64) &&"
                " now=$(date +%%s) &&"
                " body=$(printf '{\"iss\":\"signer\",\"aud\":\"registry\",\"exp\":%%d,\"nbf\":%%d,"
                "\"access\":[{\"type\":\"repository\",\"name\":\"" REPOSITORY "\","
                "\"actions\":[\"pull\"]}]}' $((now + 3600)) $((now - 60)) | b64) &&"
                " sign=$(printf %%s.%%s $head $body | openssl dgst -sha256 -sign %2$s.key | b64) &&"
                " printf '{\"token\":\"%%s.%%s.%%s\",\"expires_in\":%3$d}' $head $body $sign"
                " >%2$s.json",
                world->dir, name, expires_in),
            0);
}

void registry_give(const struct world *world, const char *name)
{
        cr_assert_eq(world_shell("cd '%1$s' && cp %2$s.json token.new && mv token.new token.json",
                                 world->dir, name),
                     0);
}
