/*
 * Registries (oci://): a real docker-registry that is open, that wants a password, or tokens of
 * somebody else; that redirects to a storage; whose blobs rot; that is not there.
 */
#include "tests/e2e/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(oci, .timeout = 120);

static char logins[2 * WORLD_PATH];

/* Logins of the kind that `docker login` writes; none yet. */
static void choose_logins(const struct world *world)
{
        snprintf(logins, sizeof(logins), "%s/logins", world->dir);
        cr_assert_eq(mkdir(logins, 0755), 0);
        strcat(logins, "/auth.json");
        setenv("REGISTRY_AUTH_FILE", logins, 1);
}

/* joe with a password, at a registry. */
static void log_in(const char *server, const char *password)
{
        char next[sizeof(logins) + 8];

        snprintf(next, sizeof(next), "%s.next", logins);
        cr_assert_eq(world_shell("printf '{\"auths\": {\"%s\": {\"auth\": \"%%s\"}}}'"
                                 " \"$(printf 'joe:%s' | openssl base64 -A)\" >'%s'",
                                 server, password, next),
                     0);
        cr_assert_eq(rename(next, logins), 0);
}

static const char *origin(const char *server)
{
        static char url[128];

        snprintf(url, sizeof(url), "oci://%s/" REPOSITORY, server);
        return url;
}

static void put_asset(struct world *world, size_t size, char hex[HEX])
{
        world_asset(world, size, hex);
        registry_put(world, hex);
}

/* Pushes a file of the world's as a client does: POST, then PUT to where it says. */
static void push(const struct world *world, const struct registry *registry, const char *repository,
                 const char *hex)
{
        cr_assert_eq(
            world_shell("cd '%1$s' && to=$(curl -sS -D- -o /dev/null -X POST"
                        " http://127.0.0.1:%2$d/v2/%4$s/blobs/uploads/ | tr -d '\\r' |"
                        " sed -n 's/^Location: //p') && curl -sSf -X PUT \"$to&digest=sha256:%3$s\""
                        " -H 'Content-Type: application/octet-stream' --data-binary @%3$s",
                        world->files, registry->port, hex, repository),
            0);
}

/* Of an image with two layers. */
static void push_manifest(const struct world *world, const struct registry *registry,
                          const char *config, char (*layers)[HEX])
{
        static const char media[] = "application/vnd.oci.image";
        char path[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/manifest", world->files);
        world_text(path,
                   "{\"schemaVersion\":2,\"mediaType\":\"%1$s.manifest.v1+json\",\"config\":"
                   "{\"mediaType\":\"%1$s.config.v1+json\",\"digest\":\"sha256:%2$s\",\"size\":2},"
                   "\"layers\":[{\"mediaType\":\"%1$s.layer.v1.tar\",\"digest\":\"sha256:%3$s\","
                   "\"size\":300000},{\"mediaType\":\"%1$s.layer.v1.tar\",\"digest\":"
                   "\"sha256:%4$s\",\"size\":5000}]}",
                   media, config, layers[0], layers[1]);
        cr_assert_eq(world_shell("curl -sSf -X PUT -H 'Content-Type: %s.manifest.v1+json'"
                                 " --data-binary @'%s'"
                                 " http://127.0.0.1:%d/v2/" REPOSITORY "/manifests/latest",
                                 media, path, registry->port),
                     0);
}

/*
 * Every part of an image is an asset at once; the mirror that comes first is down. A catalog names
 * another repository. What rotted in the registry, which says 200 and the old
 * Docker-Content-Digest to it, is not taken (FAULTS 12).
 */
Test(oci, fault_12_layers_of_an_image_by_the_second_mirror)
{
        struct world world;
        struct registry registry;
        char parts[4][HEX];
        char catalog[2 * WORLD_PATH];
        char config[2 * WORLD_PATH];
        struct stat st;

        world_begin(&world);
        choose_logins(&world);
        registry_start(&registry, &world, "");
        for (int i = 0; i < 4; i++) {
                world_asset(&world, i == 0 ? 300000 : i == 1 ? 5000 : 2 + i, parts[i]);
                if (i == 1 || i == 2)
                        registry_put(&world, parts[i]);
        }
        push(&world, &registry, REPOSITORY, parts[0]);
        push(&world, &registry, "other", parts[3]);
        push_manifest(&world, &registry, parts[2], parts);
        snprintf(catalog, sizeof(catalog), "%s/c.json", world.dir);
        world_text(catalog,
                   "{\"assets\": {\"a\": {\"sha256\": \"%s\", \"urls\": ["
                   "\"oci://127.0.0.1:%d/other\"]}}}",
                   parts[3], registry.port);
        snprintf(config, sizeof(config), "%s/node.conf", world.dir);
        world_text(config,
                   "[origin \"mirror\"]\nurl = oci://127.0.0.1:%d/" REPOSITORY "\n"
                   "[origin \"registry\"]\nurl = oci://127.0.0.2:%d/" REPOSITORY "\n"
                   "plain-http = yes\n[catalog \"c\"]\nfile = c.json\n",
                   world_free_port(), registry.port);
        world_mount(&world, "-c", config);
        cr_expect_eq(stat(world_path(&world, parts[0]), &st), 0);
        cr_expect_eq(st.st_size, 300000);
        for (int i = 0; i < 4; i++)
                cr_expect_eq(world_open(world_path(&world, parts[i])), 0, "part %d", i);

        put_asset(&world, 100000, parts[0]);
        cr_assert_eq(world_shell("printf X | dd of='%s' bs=1 seek=5000 conv=notrunc 2>/dev/null",
                                 registry_blob(&world, parts[0])),
                     0);
        cr_expect_eq(world_open(world_path(&world, parts[0])), EBADMSG);
        world_unmount(&world);
        registry_stop(&registry);
        world_end(&world);
}

/* A password, and blobs that a storage has: it never sees the password. */
Test(oci, fault_17_password_and_storage)
{
        struct world world;
        struct registry registry;
        struct gate gate;
        char hex[4][HEX];
        char more[3 * WORLD_PATH];
        char server[32];
        struct stat st;

        world_begin(&world);
        choose_logins(&world);
        gate_choose(&gate, &world);
        snprintf(more, sizeof(more), "%s/users", world.dir);
        /* joe, hunter2: openssl makes no bcrypt. */
        world_text(more, "joe:$2y$04$kcnQ9gb6t5U8HopMjCByCOuyL4mLbhhO9R2.OeiZCw5u23WRLgSVS\n");
        snprintf(more, sizeof(more),
                 "auth: {htpasswd: {realm: x, path: %s/users}}\n"
                 "middleware: {storage: [{name: redirect, options:"
                 " {baseurl: \"https://%s/\"}}]}",
                 world.dir, gate.server);
        registry_start(&registry, &world, more);
        gate_start(&gate, &world, &registry);
        for (int i = 0; i < 4; i++)
                put_asset(&world, 50000, hex[i]);
        snprintf(server, sizeof(server), "127.0.0.1:%d", registry.port);
        world_mount(&world, "--origin", origin(server), "--ca", gate.ca);
        cr_expect_eq(world_open(world_path(&world, hex[0])), EACCES);
        cr_expect_eq(world_logged(&world, "wants a login for " REPOSITORY), 1);
        log_in(server, "wrong");
        cr_expect_eq(world_open(world_path(&world, hex[1])), EACCES);
        cr_expect_eq(world_logged(&world, "refuses the login joe"), 1);
        world_text(logins, "{\"credHelpers\": {\"%s\": \"store\"}}", server);
        cr_expect_eq(world_open(world_path(&world, hex[2])), EACCES);
        cr_expect_eq(world_logged(&world, "no helper is executed"), 1);
        cr_expect_eq(gate_logged(&gate, "/docker/"), 0);
        log_in(server, "hunter2");
        cr_expect_eq(stat(world_path(&world, hex[3]), &st), 0, "its size is asked so too");
        cr_expect_eq(st.st_size, 50000);
        cr_expect_eq(world_open(world_path(&world, hex[3])), 0);
        cr_expect_eq(gate_logged(&gate, "GET /docker/"), 1);
        cr_expect_eq(gate_logged(&gate, "auth=-"), gate_logged(&gate, " /docker/"));
        cr_expect_eq(world_logged(&world, "hunter2"), 0);
        world_unmount(&world);
        gate_stop(&gate);
        registry_stop(&registry);
        world_end(&world);
}

static void token_lines(char lines[3 * WORLD_PATH], const struct world *world,
                        const struct gate *gate, const char *where, const char *signer)
{
        snprintf(lines, 3 * WORLD_PATH,
                 "auth: {token: {realm: \"https://%s/%s\", service: registry,"
                 " issuer: signer, rootcertbundle: %s/%s.crt}}",
                 gate->server, where, world->dir, signer);
}

static void wait_for_bytes(const struct world *world, const char *hex)
{
        int64_t deadline = now_ms() + SURELY_MS;
        struct stat st = {0};

        while (stat(world_staging(world, hex), &st) < 0 || st.st_blocks == 0) {
                cr_assert(now_ms() < deadline, "no byte comes");
                sleep_ms(5);
        }
}

/* An identity token instead of a password; then a password that the signer refuses, which is
 * not sent by each of many flights. */
static void expect_other_logins(struct world *world, const struct gate *gate)
{
        enum { ASSETS = 8 };
        struct opener openers[ASSETS];
        char hex[ASSETS][HEX];

        for (int i = 0; i < ASSETS; i++)
                put_asset(world, 1000, hex[i]);
        world_text(logins, "{\"auths\": {\"%s\": {\"identitytoken\": \"an identity\"}}}",
                   gate->server);
        cr_expect_eq(world_open(world_path(world, hex[0])), 0);
        cr_expect_eq(gate_logged(gate, "POST /token 200 range=- auth=- grant_type=refresh_token&"),
                     1);
        cr_expect_eq(gate_logged(gate, "&refresh_token=an%20identity"), 1);
        log_in(gate->server, "wrong");
        cr_expect_eq(world_open(world_path(world, hex[1])), EACCES);
        for (int i = 2; i < ASSETS; i++)
                opener_start(&openers[i], world_path(world, hex[i]));
        for (int i = 2; i < ASSETS; i++)
                cr_expect_eq(opener_result(&openers[i], SURELY_MS), EACCES);
        cr_expect_geq(world_logged(world, "refuses the login joe"), 2);
        cr_expect_lt(gate_logged(gate, "GET /token?"), 2 + ASSETS - 1);
}

/* One token for all flights, and another one for the rest of a flight whose token has become
 * bad on the way: the signer is replaced while everything is down. */
Test(oci, fault_20_tokens)
{
        enum { ASSETS = 6 };
        struct world world;
        struct registry registry;
        struct gate gate;
        struct opener openers[ASSETS];
        char hex[ASSETS + 1][HEX];
        char lines[3 * WORLD_PATH];

        world_begin(&world);
        choose_logins(&world);
        gate_choose(&gate, &world);
        registry_sign(&world, "one", 3600);
        registry_sign(&world, "two", 3600);
        registry_give(&world, "one");
        token_lines(lines, &world, &gate, "token", "one");
        registry_start(&registry, &world, lines);
        gate_start(&gate, &world, &registry);
        log_in(gate.server, "hunter2");
        for (int i = 0; i < ASSETS; i++)
                put_asset(&world, 20000, hex[i]);
        put_asset(&world, 1500000, hex[ASSETS]);
        world_mount(&world, "--origin", origin(gate.server), "--ca", gate.ca, "--retries", "6");
        for (int i = 0; i < ASSETS; i++)
                opener_start(&openers[i], world_path(&world, hex[i]));
        for (int i = 0; i < ASSETS; i++)
                cr_expect_eq(opener_result(&openers[i], SURELY_MS), 0);
        cr_expect_eq(gate_logged(&gate, "GET /token?service=registry&scope=repository%3Ateam%2F"
                                        "models%3Apull 200"),
                     1);

        opener_start(&openers[0], world_path(&world, hex[ASSETS]));
        wait_for_bytes(&world, hex[ASSETS]);
        token_lines(lines, &world, &gate, "token", "two");
        gate_stop(&gate);
        registry_stop(&registry);
        registry_give(&world, "two");
        registry_again(&registry, &world, lines);
        gate_start(&gate, &world, &registry);
        cr_expect_eq(opener_result(&openers[0], SURELY_MS), 0);
        cr_expect_geq(gate_logged(&gate, " 206 range=bytes="), 1, "it went on at its byte");
        cr_expect_eq(gate_logged(&gate, "GET /token"), 2);
        cr_expect_eq(world_logged(&world, "event=failed"), 0);
        expect_other_logins(&world, &gate);
        world_unmount(&world);
        gate_stop(&gate);
        registry_stop(&registry);
        world_end(&world);
}

/* There is a token, but not for that repository; or where a login may not be sent. */
static void expect_none(struct world *world, struct registry *registry, const struct gate *gate)
{
        char lines[2 * WORLD_PATH];
        char hex[HEX];
        char url[128];

        world_asset(world, 100, hex);
        snprintf(url, sizeof(url), "oci://%s/other", gate->server);
        world_mount(world, "--origin", url, "--ca", gate->ca);
        cr_expect_eq(world_open(world_path(world, hex)), EACCES);
        cr_expect_eq(world_logged(world, "wants a login for other"), 1);
        world_unmount(world);

        registry_stop(registry);
        snprintf(lines, sizeof(lines),
                 "auth: {token: {realm: \"http://tokens.example.com/\", service: registry,"
                 " issuer: signer, rootcertbundle: %s/one.crt}}",
                 world->dir);
        registry_again(registry, world, lines);
        world_mount(world, "--origin", url, "--ca", gate->ca);
        cr_expect_eq(world_open(world_path(world, hex)), EACCES);
        cr_expect_eq(world_logged(world, "for a token to http://tokens.example.com: no https"), 1);
        world_unmount(world);
}

/* That nothing could be had where the registry once sent us says nothing about where it sends us
 * now: to somebody else, or nowhere, since everybody may read by then. */
Test(oci, fault_20_registry_asks_for_something_else)
{
        struct world world;
        struct registry registry;
        char hex[2][HEX];
        char lines[2 * WORLD_PATH];
        char server[32];

        world_begin(&world);
        choose_logins(&world);
        registry_sign(&world, "one", 3600);
        snprintf(lines, sizeof(lines),
                 "auth: {token: {realm: \"http://tokens.example.com/\", service: registry,"
                 " issuer: signer, rootcertbundle: %s/one.crt}}",
                 world.dir);
        registry_start(&registry, &world, lines);
        for (int i = 0; i < 2; i++)
                put_asset(&world, 1000, hex[i]);
        snprintf(server, sizeof(server), "127.0.0.1:%d", registry.port);
        world_mount(&world, "--origin", origin(server));
        cr_expect_eq(world_open(world_path(&world, hex[0])), EACCES);
        registry_stop(&registry);
        registry_again(&registry, &world, "");
        sleep_ms(1100); /* for so long it is believed */
        cr_expect_eq(world_open(world_path(&world, hex[1])), 0);
        world_unmount(&world);
        registry_stop(&registry);
        world_end(&world);
}

/* Nobody may have tokens here, which are renewed before they are refused; until the one who
 * gives them out wants a login. */
Test(oci, tokens_for_everybody)
{
        struct world world;
        struct registry registry;
        struct gate gate;
        char hex[HEX];
        char lines[3 * WORLD_PATH];
        int64_t deadline = now_ms() + SURELY_MS;
        int refused;

        world_begin(&world);
        choose_logins(&world);
        gate_choose(&gate, &world);
        registry_sign(&world, "one", 1);
        registry_give(&world, "one");
        token_lines(lines, &world, &gate, "free", "one");
        registry_start(&registry, &world, lines);
        gate_start(&gate, &world, &registry);
        world_mount(&world, "--origin", origin(gate.server), "--ca", gate.ca);
        put_asset(&world, 100, hex);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(gate_logged(&gate, "GET /free"), 1);
        refused = gate_logged(&gate, " 401 ");
        while (gate_logged(&gate, "GET /free") < 2) {
                cr_assert(now_ms() < deadline, "the token is never renewed");
                sleep_ms(100);
                put_asset(&world, 100, hex);
                cr_expect_eq(world_open(world_path(&world, hex)), 0);
        }
        cr_expect_eq(gate_logged(&gate, " 401 "), refused);
        world_unmount(&world);
        expect_none(&world, &registry, &gate);
        gate_stop(&gate);
        registry_stop(&registry);
        world_end(&world);
}

/* Less than what is here already: the registry says 416, and a Content-Length that is none of
 * that answer's. The download begins anew and finds the wrong bytes. */
Test(oci, fault_8_blob_that_was_cut_short)
{
        struct world world;
        struct registry registry;
        struct gate gate;
        struct opener opener;
        char hex[HEX];

        world_begin(&world);
        choose_logins(&world);
        gate_choose(&gate, &world);
        registry_start(&registry, &world, "");
        gate_start(&gate, &world, &registry);
        put_asset(&world, 1500000, hex);
        world_mount(&world, "--origin", origin(gate.server), "--ca", gate.ca, "--retries", "6");
        opener_start(&opener, world_path(&world, hex));
        wait_for_bytes(&world, hex);
        gate_stop(&gate);
        cr_assert_eq(truncate(registry_blob(&world, hex), 10), 0);
        gate_start(&gate, &world, &registry);
        cr_expect_eq(opener_result(&opener, SURELY_MS), EBADMSG);
        cr_expect_geq(gate_logged(&gate, " 416 "), 1);
        world_unmount(&world);
        gate_stop(&gate);
        registry_stop(&registry);
        world_end(&world);
}
