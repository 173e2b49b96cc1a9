/*
 * FAULTS 3, 24, 25 with real servers: what nginx, haproxy and squid do to a transfer that is
 * under way when they are reloaded, told to shut it down, or killed. The open succeeds, and
 * no byte is asked for a second time but those that were lost on the way.
 */
#include "tests/e2e/real.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(real, .timeout = 180);

/* Until a cut a body brings at most twice NGINX_SLOW: something is left after the last. */
#define SIZE_FOR(cuts) ((size_t)(2 * (cuts) + 1) * NGINX_SLOW)
#define SMALL          300000
/* Of what a server had sent and the client had not got when it was cut. */
#define LOST_MAX 524288

#define RETRIES "--retries", "4"

/* Is there a connection to that port of 127.0.0.1? (proc(5), /proc/net/tcp) */
static bool is_connected(int port)
{
        FILE *file = fopen("/proc/net/tcp", "re");
        char line[256];
        bool found = false;

        cr_assert_not_null(file);
        while (!found && fgets(line, sizeof(line), file)) {
                unsigned local = 0;
                unsigned state = 0;

                found = sscanf(line, "%*d: %*x:%x %*x:%*x %x", &local, &state) == 2 &&
                        (int)local == port && state == 1;
        }
        fclose(file);
        return found;
}

/* Until bytes of a slow body have come over a connection to that port. */
static void wait_for_transfer(int port)
{
        int64_t deadline = now_ms() + SURELY_MS;

        while (!is_connected(port)) {
                cr_assert(now_ms() < deadline, "nobody connects to port %d", port);
                sleep_ms(5);
        }
        sleep_ms(SLOW_BUILD ? 600 : 300);
}

/* The asset is here, what was cut went on, and nothing came twice. */
static void expect_resumed(const struct world *world, const struct nginx *nginx,
                           struct opener *opener, const char *hex, int cuts)
{
        cr_expect_eq(opener_result(opener, 30000), 0);
        cr_expect_eq(world_open(world_path(world, hex)), 0);
        cr_expect_geq(nginx_logged(nginx, " 206 "), cuts, "%d of %d cuts were resumed",
                      nginx_logged(nginx, " 206 "), cuts);
        cr_expect_leq(nginx_sent(nginx, hex), (int64_t)SIZE_FOR(cuts) + cuts * LOST_MAX,
                      "bytes were asked for a second time: %lld of %zu",
                      (long long)nginx_sent(nginx, hex), SIZE_FOR(cuts));
        cr_expect_eq(world_logged(world, "event=failed"), 0);
}

/* As many assets as there are openers. */
static void open_all(struct world *world, char (*hex)[HEX], struct opener *openers, int count)
{
        for (int i = 0; i < count; i++)
                opener_start(&openers[i], world_path(world, hex[i]));
        for (int i = 0; i < count; i++) {
                cr_expect_eq(opener_result(&openers[i], 20000), 0, "number %d", i);
                cr_expect_eq(world_open(world_path(world, hex[i])), 0);
        }
}

/* Distinct connections in nginx's log. */
static int connections(const struct nginx *nginx)
{
        char words[32];
        int count = 0;

        for (int i = 1; i < 1000; i++) {
                snprintf(words, sizeof(words), " connection=%d\n", i);
                count += nginx_logged(nginx, words) > 0;
        }
        return count;
}

/* Flights one after the other, and HTTP/2 flights beside one another, share a connection. */
Test(real, connections_are_used_again)
{
        enum { ASSETS = 6 };
        struct world world;
        struct nginx nginx;
        struct opener openers[ASSETS];
        char hex[2 * ASSETS][HEX];
        char url[WORLD_PATH];

        world_begin(&world);
        for (int i = 0; i < 2 * ASSETS; i++)
                world_asset(&world, SMALL, hex[i]);
        nginx_start(&nginx, &world);
        snprintf(url, sizeof(url), "http://127.0.0.1:%d/{sha256}", nginx.port);
        world_mount(&world, "--origin", url);
        for (int i = 0; i < ASSETS; i++)
                cr_expect_eq(world_open(world_path(&world, hex[i])), 0);
        cr_expect_eq(connections(&nginx), 1);
        world_unmount(&world);
        snprintf(url, sizeof(url), "https://127.0.0.1:%d/{sha256}", nginx.tls_port);
        world_mount(&world, "--origin", url, "--ca", world.ca);
        cr_expect_eq(world_open(world_path(&world, hex[ASSETS])), 0);
        open_all(&world, hex + ASSETS + 1, openers, ASSETS - 1);
        cr_expect_eq(connections(&nginx), 2);
        world_unmount(&world);
        nginx_stop(&nginx);
        world_end(&world);
}

/* The third request on a connection meets the GOAWAY: nginx never answers it there. */
Test(real, fault_25_goaway_between_assets)
{
        enum { ASSETS = 9 };
        struct world world;
        struct nginx nginx;
        struct opener openers[ASSETS];
        char hex[ASSETS][HEX];
        char url[WORLD_PATH];

        world_begin(&world);
        for (int i = 0; i < ASSETS; i++)
                world_asset(&world, SMALL, hex[i]);
        nginx_start(&nginx, &world);
        snprintf(url, sizeof(url), "https://127.0.0.1:%d/{sha256}", nginx.two_port);
        world_mount(&world, "--origin", url, "--ca", world.ca, RETRIES);
        /* One after the other, so that connections are used again, then at once. */
        for (int i = 0; i < 3; i++)
                cr_expect_eq(world_open(world_path(&world, hex[i])), 0);
        open_all(&world, hex + 3, openers, ASSETS - 3);
        cr_expect_geq(connections(&nginx), (ASSETS + 1) / 2);
        cr_expect_eq(nginx_logged(&nginx, "HTTP/2.0 GET"), ASSETS);
        cr_expect_eq(world_logged(&world, "event=failed"), 0);
        world_unmount(&world);
        nginx_stop(&nginx);
        world_end(&world);
}

/* Bodies are under way on the connection when the GOAWAY comes: they are finished there. */
Test(real, fault_25_goaway_beside_bodies)
{
        enum { ASSETS = 6 };
        struct world world;
        struct nginx nginx;
        struct opener openers[ASSETS];
        char hex[ASSETS][HEX];
        char url[WORLD_PATH];

        world_begin(&world);
        for (int i = 0; i < ASSETS; i++)
                world_asset(&world, NGINX_SLOW + SMALL, hex[i]);
        nginx_start(&nginx, &world);
        snprintf(url, sizeof(url), "https://127.0.0.1:%d/slow/{sha256}", nginx.two_port);
        world_mount(&world, "--origin", url, "--ca", world.ca, RETRIES);
        open_all(&world, hex, openers, ASSETS);
        cr_expect_geq(connections(&nginx), ASSETS / 2);
        cr_expect_leq(nginx_sent(&nginx, "/slow/"), ASSETS * (NGINX_SLOW + SMALL) + LOST_MAX);
        cr_expect_eq(world_logged(&world, "event=failed"), 0);
        world_unmount(&world);
        nginx_stop(&nginx);
        world_end(&world);
}

static void expect_reload_survived(int port_of(const struct nginx *), const char *scheme, int cuts)
{
        struct world world;
        struct nginx nginx;
        struct opener opener;
        char hex[HEX];
        char url[WORLD_PATH];

        world_begin(&world);
        world_asset(&world, SIZE_FOR(cuts), hex);
        nginx_start(&nginx, &world);
        snprintf(url, sizeof(url), "%s://127.0.0.1:%d/slow/{sha256}", scheme, port_of(&nginx));
        world_mount(&world, "--origin", url, "--ca", world.ca, RETRIES);
        opener_start(&opener, world_path(&world, hex));
        for (int i = 0; i < cuts; i++) {
                wait_for_transfer(port_of(&nginx));
                nginx_reload(&nginx);
                sleep_ms(400); /* the old worker is gone */
        }
        expect_resumed(&world, &nginx, &opener, hex, cuts);
        world_unmount(&world);
        nginx_stop(&nginx);
        world_end(&world);
}

static int http_port(const struct nginx *nginx)
{
        return nginx->port;
}

static int tls_port(const struct nginx *nginx)
{
        return nginx->tls_port;
}

/* GOAWAY in the middle of a body, whose connection is closed soon after. */
Test(real, fault_25_goaway_and_the_end_of_the_connection)
{
        expect_reload_survived(tls_port, "https", 2);
}

Test(real, fault_4_nginx_is_reloaded)
{
        expect_reload_survived(http_port, "http", 1);
}

/* Nobody listens for a while. */
Test(real, fault_3_nginx_is_started_again)
{
        struct world world;
        struct nginx nginx;
        struct opener opener;
        char hex[HEX];
        char url[WORLD_PATH];

        world_begin(&world);
        world_asset(&world, SIZE_FOR(1), hex);
        nginx_start(&nginx, &world);
        snprintf(url, sizeof(url), "https://127.0.0.1:%d/slow/{sha256}", nginx.tls_port);
        world_mount(&world, "--origin", url, "--ca", world.ca, RETRIES);
        opener_start(&opener, world_path(&world, hex));
        wait_for_transfer(nginx.tls_port);
        nginx_stop(&nginx);
        sleep_ms(200);
        nginx_again(&nginx);
        expect_resumed(&world, &nginx, &opener, hex, 1);
        world_unmount(&world);
        nginx_stop(&nginx);
        world_end(&world);
}

static void expect_shutdown_survived(bool http2, int cuts)
{
        struct world world;
        struct nginx nginx;
        struct haproxy haproxy;
        struct opener opener;
        char hex[HEX];
        char url[WORLD_PATH];

        world_begin(&world);
        world_asset(&world, SIZE_FOR(cuts), hex);
        nginx_start(&nginx, &world);
        haproxy_start(&haproxy, &world, &nginx);
        snprintf(url, sizeof(url), "%s://127.0.0.1:%d/slow/{sha256}", http2 ? "https" : "http",
                 http2 ? haproxy.tls_port : haproxy.port);
        world_mount(&world, "--origin", url, "--ca", world.ca, RETRIES);
        opener_start(&opener, world_path(&world, hex));
        for (int i = 0; i < cuts; i++)
                haproxy_cut(&haproxy);
        expect_resumed(&world, &nginx, &opener, hex, cuts);
        world_unmount(&world);
        haproxy_stop(&haproxy);
        nginx_stop(&nginx);
        world_end(&world);
}

Test(real, fault_3_haproxy_shuts_the_session_down)
{
        expect_shutdown_survived(false, 2);
}

/* haproxy ends the stream by RST_STREAM; its connection lives on. */
Test(real, fault_25_rst_stream)
{
        expect_shutdown_survived(true, 2);
}
