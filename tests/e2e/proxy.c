/*
 * FAULTS 24: squid between us and the origin, named by the option or by the environment,
 * alive, dead, asking for a password, and killed in the middle of a body.
 */
#include "tests/e2e/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(proxy, .timeout = 180);

#define SIZE 300000

#define RETRIES "--retries", "1"

struct proxied {
        struct world world;
        struct nginx nginx;
        struct squid squid;
        char http[WORLD_PATH];  /* origins */
        char https[WORLD_PATH]; /* by CONNECT */
        char known[WORLD_PATH]; /* the proxy with its password */
};

static void begin(struct proxied *it, bool password)
{
        world_begin(&it->world);
        nginx_start(&it->nginx, &it->world);
        squid_start(&it->squid, &it->world, password);
        snprintf(it->http, sizeof(it->http), "http://127.0.0.1:%d/{sha256}", it->nginx.port);
        snprintf(it->https, sizeof(it->https), "https://127.0.0.1:%d/{sha256}", it->nginx.tls_port);
        snprintf(it->known, sizeof(it->known), "http://joe:hunter2@127.0.0.1:%d", it->squid.port);
}

static void end(struct proxied *it)
{
        world_unmount(&it->world);
        cr_expect_eq(world_logged(&it->world, "hunter2"), 0);
        cr_expect_eq(world_logged(&it->world, "joe"), 0);
        squid_stop(&it->squid);
        nginx_stop(&it->nginx);
        world_end(&it->world);
}

/* One asset more through the mount as it is. */
static void expect_open(struct proxied *it, int error, const char *words)
{
        char hex[HEX];

        world_asset(&it->world, SIZE, hex);
        cr_expect_eq(world_open(world_path(&it->world, hex)), error, "expected %s",
                     strerror(error));
        cr_expect(!words || world_logged(&it->world, words) > 0, "no '%s' in the log", words);
}

Test(proxy, by_the_option)
{
        struct proxied it;

        begin(&it, false);
        world_mount(&it.world, "--origin", it.http, "--proxy", it.squid.url);
        expect_open(&it, 0, NULL);
        world_unmount(&it.world);
        cr_expect_eq(squid_logged(&it.squid, "GET http://127.0.0.1"), 1);
        world_mount(&it.world, "--origin", it.https, "--ca", it.world.ca, "--proxy", it.squid.url);
        expect_open(&it, 0, NULL);
        world_unmount(&it.world);
        cr_expect_eq(squid_logged(&it.squid, "CONNECT 127.0.0.1"), 1);
        cr_expect_eq(nginx_logged(&it.nginx, " GET "), 2);
        end(&it);
}

Test(proxy, by_the_environment)
{
        struct proxied it;

        begin(&it, false);
        setenv("http_proxy", it.squid.url, 1);
        setenv("HTTPS_PROXY", it.squid.url, 1);
        world_mount(&it.world, "--origin", it.http);
        expect_open(&it, 0, NULL);
        world_unmount(&it.world);
        cr_expect_eq(squid_logged(&it.squid, "GET http://127.0.0.1"), 1);
        world_mount(&it.world, "--origin", it.https, "--ca", it.world.ca);
        expect_open(&it, 0, NULL);
        world_unmount(&it.world);
        cr_expect_eq(squid_logged(&it.squid, "CONNECT 127.0.0.1"), 1);
        end(&it);
}

/* no_proxy counts for the option too; HTTP_PROXY for nothing (CVE-2016-5385). */
Test(proxy, who_is_not_asked)
{
        struct proxied it;

        begin(&it, false);
        setenv("no_proxy", "localhost, 127.0.0.0/8", 1);
        world_mount(&it.world, "--origin", it.http, "--proxy", it.squid.url);
        expect_open(&it, 0, NULL);
        world_unmount(&it.world);
        unsetenv("no_proxy");
        setenv("HTTP_PROXY", it.squid.url, 1);
        world_mount(&it.world, "--origin", it.http);
        expect_open(&it, 0, NULL);
        world_unmount(&it.world);
        cr_expect_eq(squid_logged(&it.squid, " GET "), 0);
        end(&it);
}

/* By squid with its password: the catalog, and an origin with the hop that it redirects to; the
 * other origin by none. no_proxy, and the proxy of all the others, count for neither. */
static void mount_with_proxies(struct proxied *it)
{
        char path[WORLD_PATH + 16];

        snprintf(path, sizeof(path), "%s/c.json", it->world.files);
        world_text(path, "{\"assets\": {}}");
        snprintf(path, sizeof(path), "%s/node.conf", it->world.dir);
        world_text(path,
                   "[origin \"none\"]\nurl = http://127.0.0.1:%1$d/nowhere/{sha256}\n"
                   "proxy = none\n"
                   "[origin \"far\"]\nurl = http://127.0.0.1:%1$d/other/{sha256}\n"
                   "proxy = %2$s\n"
                   "[catalog \"far\"]\nfile = http://127.0.0.1:%1$d/c.json\nproxy = %2$s\n",
                   it->nginx.port, it->known);
        setenv("no_proxy", "*", 1);
        world_mount(&it->world, "-c", path, "--proxy", "http://127.0.0.1:1");
}

Test(proxy, of_one_origin)
{
        struct proxied it;
        char hex[HEX];

        begin(&it, true);
        mount_with_proxies(&it);
        world_asset(&it.world, SIZE, hex);
        cr_expect_eq(world_open(world_path(&it.world, hex)), 0);
        cr_expect_geq(nginx_logged(&it.nginx, "GET /nowhere/"), 1);
        cr_expect_eq(squid_logged(&it.squid, "/nowhere/"), 0);
        cr_expect_eq(squid_logged(&it.squid, "GET http://127.0.0.1"), 2, "the catalog, the asset");
        cr_expect_eq(squid_logged(&it.squid, "GET http://127.0.0.2"), 1, "the redirect's");

        /* Who may read the status may not know the password. */
        squid_stop(&it.squid);
        expect_open(&it, EHOSTUNREACH, "connect");
        cr_expect_eq(world_shell("cd '%s/.assetfs' && grep -q connect status.json &&"
                                 " ! grep hunter2 status.json metrics*",
                                 it.world.mnt),
                     0);
        end(&it);
}

/* What it asks before it may download, and whom it asks for a token, as well. */
Test(proxy, of_a_registry)
{
        struct proxied it;
        struct registry registry;
        struct gate gate;
        char text[3 * WORLD_PATH];
        char path[WORLD_PATH + 16];
        char hex[HEX];

        begin(&it, false);
        snprintf(path, sizeof(path), "%s/logins", it.world.dir);
        world_text(path, "{}");
        setenv("REGISTRY_AUTH_FILE", path, 1);
        gate_choose(&gate, &it.world);
        registry_sign(&it.world, "signer", 600);
        registry_give(&it.world, "signer");
        snprintf(text, sizeof(text),
                 "auth: {token: {realm: \"https://%s/free\", service: registry,"
                 " issuer: signer, rootcertbundle: %s/signer.crt}}",
                 gate.server, it.world.dir);
        registry_start(&registry, &it.world, text);
        gate_start(&gate, &it.world, &registry);
        world_asset(&it.world, SIZE, hex);
        registry_put(&it.world, hex);
        snprintf(path, sizeof(path), "%s/node.conf", it.world.dir);
        world_text(path,
                   "[origin \"registry\"]\nurl = oci://127.0.0.1:%d/" REPOSITORY "\nproxy = %s\n",
                   registry.port, it.squid.url);
        world_mount(&it.world, "-c", path, "--ca", gate.ca);
        cr_expect_eq(world_open(world_path(&it.world, hex)), 0);
        world_unmount(&it.world);
        snprintf(text, sizeof(text), "CONNECT %s", gate.server);
        cr_expect_eq(squid_logged(&it.squid, text), 1);
        cr_expect_eq(gate_logged(&gate, "GET /free"), 1);
        snprintf(text, sizeof(text), "http://127.0.0.1:%d/v2/", registry.port);
        cr_expect_geq(squid_logged(&it.squid, text), 3, "the first, the question, the blob");
        for (int64_t end = now_ms() + SURELY_MS; now_ms() < end; sleep_ms(20))
                if (squid_logged(&it.squid, text) == real_logged(registry.log, " /v2/", NULL))
                        break;
        cr_expect_eq(squid_logged(&it.squid, text), real_logged(registry.log, " /v2/", NULL));
        gate_stop(&gate);
        registry_stop(&registry);
        end(&it);
}

Test(proxy, fault_24_dead)
{
        struct proxied it;

        begin(&it, false);
        squid_stop(&it.squid);
        world_mount(&it.world, "--origin", it.http, "--proxy", it.squid.url, RETRIES);
        expect_open(&it, EHOSTUNREACH, "connect");
        squid_again(&it.squid);
        expect_open(&it, 0, NULL);
        world_unmount(&it.world);
        squid_stop(&it.squid);
        world_mount(&it.world, "--origin", it.https, "--ca", it.world.ca, "--proxy", it.squid.url,
                    RETRIES);
        expect_open(&it, EHOSTUNREACH, "connect");
        end(&it);
}

Test(proxy, fault_24_407)
{
        struct proxied it;
        char wrong[WORLD_PATH];

        begin(&it, true);
        snprintf(wrong, sizeof(wrong), "http://joe:hunter3@127.0.0.1:%d", it.squid.port);
        world_mount(&it.world, "--origin", it.http, "--proxy", it.squid.url);
        expect_open(&it, EACCES, "407");
        world_unmount(&it.world);
        world_mount(&it.world, "--origin", it.http, "--proxy", wrong);
        expect_open(&it, EACCES, "407");
        world_unmount(&it.world);
        world_mount(&it.world, "--origin", it.https, "--ca", it.world.ca, "--proxy", it.squid.url);
        expect_open(&it, EACCES, "the proxy answers HTTP 407");
        world_unmount(&it.world);
        cr_expect_eq(nginx_logged(&it.nginx, " GET "), 0);
        cr_expect_eq(world_logged(&it.world, "hunter3"), 0);
        world_mount(&it.world, "--origin", it.http, "--proxy", it.known);
        expect_open(&it, 0, NULL);
        world_unmount(&it.world);
        world_mount(&it.world, "--origin", it.https, "--ca", it.world.ca, "--proxy", it.known);
        expect_open(&it, 0, NULL);
        end(&it);
}

/* The proxy lives, and says in its own words that the origin does not. */
Test(proxy, dead_origin)
{
        struct proxied it;

        begin(&it, false);
        nginx_stop(&it.nginx);
        world_mount(&it.world, "--origin", it.http, "--proxy", it.squid.url, RETRIES);
        expect_open(&it, EREMOTEIO, "HTTP 503");
        world_unmount(&it.world);
        world_mount(&it.world, "--origin", it.https, "--ca", it.world.ca, "--proxy", it.squid.url,
                    RETRIES);
        expect_open(&it, EREMOTEIO, NULL);
        end(&it);
}

static void expect_death_survived(bool https)
{
        struct proxied it;
        struct opener opener;
        char hex[HEX];
        char url[WORLD_PATH];

        begin(&it, false);
        world_asset(&it.world, 3 * NGINX_SLOW, hex);
        snprintf(url, sizeof(url), "%s://127.0.0.1:%d/slow/{sha256}", https ? "https" : "http",
                 https ? it.nginx.tls_port : it.nginx.port);
        world_mount(&it.world, "--origin", url, "--ca", it.world.ca, "--proxy", it.squid.url,
                    "--retries", "5");
        opener_start(&opener, world_path(&it.world, hex));
        opener_parked(&opener);
        sleep_ms(SLOW_BUILD ? 800 : 400);
        squid_stop(&it.squid);
        squid_again(&it.squid);
        cr_expect_eq(opener_result(&opener, 30000), 0);
        cr_expect_eq(world_open(world_path(&it.world, hex)), 0);
        cr_expect_geq(nginx_logged(&it.nginx, " 206 "), 1, "was not resumed");
        cr_expect_leq(nginx_sent(&it.nginx, hex), 3 * NGINX_SLOW + NGINX_SLOW / 2);
        end(&it);
}

Test(proxy, fault_24_dies_in_the_middle_of_a_body)
{
        expect_death_survived(false);
}

Test(proxy, fault_24_dies_in_the_middle_of_a_tunnel)
{
        expect_death_survived(true);
}
