/*
 * FAULTS, network: what an origin can do, one test a row. Nothing may be published
 * by a failing row, every failing flight is one log line, and the mount works again
 * right after.
 */
#include "tests/e2e/world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(network, .timeout = 180);

#define SIZE 300000

static bool is_cached(const struct world *world, const char *hex)
{
        return access(world_blob(world, hex), F_OK) == 0;
}

/* The open fails with `error`, nothing is published, one line says so, and the words of the
 * line are in the xattr (asked of the path itself: a stat might ask the origin). */
static void expect_failure(const struct world *world, const char *hex, int error, const char *words)
{
        int before = world_logged(world, "event=failed");

        cr_expect_eq(world_open(world_path(world, hex)), error, "expected %s", strerror(error));
        cr_expect_not(is_cached(world, hex));
        cr_expect_eq(world_logged(world, "event=failed"), before + 1);
        cr_expect_geq(world_logged(world, words), 1, "no '%s' in the log", words);
        cr_expect(strstr(world_xattr(world_path(world, hex), "user.assetfs.error"), words),
                  "no '%s' in the xattr", words);
        cr_expect_str_eq(world_xattr(world_path(world, hex), "user.assetfs.state"), "failed");
}

/* One asset at one mode of the faulty origin, alone. */
static void expect_mode(const char *mode, int error, const char *words)
{
        struct world world;
        char hex[HEX];
        char good[HEX];

        world_begin(&world);
        world.staging_may_stay = error == EREMOTEIO;
        world_asset(&world, SIZE, hex);
        world_asset(&world, SIZE, good);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, mode), "--max-asset-size", "1M");
        expect_failure(&world, hex, error, words);
        world_end(&world);
}

/* What is odd about the mode is no reason to refuse it. */
static void expect_good(const char *mode)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, mode));
        cr_expect_eq(world_open(world_path(&world, hex)), 0, "%s", mode);
        world_end(&world);
}

/* The bad source first, a good one after it: the open succeeds, by one GET of the good one. */
static void expect_next_source(const char *mode)
{
        struct world world;
        char hex[HEX];
        char prefix[128];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, mode), "--origin",
                    world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, hex)), 0, "%s", mode);
        snprintf(prefix, sizeof(prefix), "GET /%s/", mode);
        cr_expect_geq(world_requests(&world, prefix), 1);
        cr_expect_eq(world_requests(&world, "GET /ok/"), 1);
        cr_expect(strstr(world_xattr(world_path(&world, hex), "user.assetfs.source"), "/ok/"));
        cr_expect_eq(world_logged(&world, "event=failed"), 0);
        world_end(&world);
}

Test(network, fault_5_no_length_closed_early)
{
        expect_mode("cut", EBADMSG, "another SHA-256");
        expect_next_source("cut");
}

Test(network, fault_5_compared_with_the_catalogs_size)
{
        struct world world;
        char hex[HEX];
        char path[2 * WORLD_PATH];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        snprintf(path, sizeof(path), "%s/catalog.json", world.dir);
        world_text(path, "{\"assets\": {\"a\": {\"sha256\": \"%s\", \"size\": %d}}}", hex, SIZE);
        world_mount(&world, "--origin", world_url(&world, "cut"), "--catalog", path);
        expect_failure(&world, hex, EBADMSG, "150000 bytes, but the catalog says 300000");
        world_end(&world);
}

Test(network, short_body_is_not_taken)
{
        /* "… 150000 bytes remaining to read" in older curls, "… 150000 bytes missing" in newer. */
        expect_mode("short", EREMOTEIO, " 150000 bytes ");
        expect_next_source("short");
}

Test(network, fault_11_infinite_body)
{
        expect_mode("endless", EFBIG, "larger than the bound of 1048576 bytes");
        expect_next_source("wrong");
}

Test(network, fault_11_one_byte_over_the_bound)
{
        struct world world;
        char hex[HEX];
        char exact[HEX];

        world_begin(&world);
        world_asset(&world, 65537, hex);
        world_asset(&world, 65536, exact);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "nosize"), "--max-asset-size", "64K");
        expect_failure(&world, hex, EFBIG, "larger than the bound");
        cr_expect_eq(world_open(world_path(&world, exact)), 0);
        world_end(&world);
}

Test(network, fault_11_one_byte_over_the_declared_size)
{
        struct world world;
        char hex[HEX];
        char path[2 * WORLD_PATH];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        snprintf(path, sizeof(path), "%s/catalog.json", world.dir);
        world_text(path, "{\"assets\": {\"a\": {\"sha256\": \"%s\", \"size\": %d}}}", hex, SIZE);
        world_mount(&world, "--origin", world_url(&world, "one-more"), "--catalog", path);
        expect_failure(&world, hex, EBADMSG, "not the 300000 bytes that the catalog says");
        world_unmount(&world);
        world_mount(&world, "--origin", world_url(&world, "announce-more"), "--catalog", path);
        expect_failure(&world, hex, EBADMSG, "not the 300000 bytes that the catalog says");
        world_end(&world);
}

Test(network, announced_size_over_the_bound_transfers_nothing)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"), "--max-asset-size", "100K");
        expect_failure(&world, hex, EFBIG, "larger than the bound of 102400 bytes");
        cr_expect_eq(world_logged(&world, "bytes=0 "), 1);
        world_end(&world);
}

Test(network, fault_12_wrong_digest)
{
        expect_mode("wrong", EBADMSG, "another SHA-256");
        expect_next_source("wrong");
}

Test(network, fault_12_remembered_shortly)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "wrong"));
        for (int i = 0; i < 20; i++)
                cr_expect_eq(world_open(world_path(&world, hex)), EBADMSG);
        cr_expect_eq(world_requests(&world, "GET /wrong/"), 1);
        sleep_ms(2100);
        cr_expect_eq(world_open(world_path(&world, hex)), EBADMSG);
        cr_expect_eq(world_requests(&world, "GET /wrong/"), 2);
        world_end(&world);
}

Test(network, fault_13_redirect_loop)
{
        expect_mode("loop", EREMOTEIO, "more than 5 redirects");
        expect_mode("redirects-6", EREMOTEIO, "more than 5 redirects");
        expect_next_source("loop");
}

Test(network, fault_13_five_redirects_are_followed)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "redirects-5"));
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_end(&world);
}

Test(network, fault_14_redirect_to_other_schemes)
{
        expect_mode("to-file", EACCES, "redirect to a forbidden scheme: file://");
        expect_mode("to-ftp", EACCES, "redirect to a forbidden scheme: ftp://");
        expect_mode("to-gopher", EACCES, "redirect to a forbidden scheme: gopher://");
}

Test(network, fault_16_https_to_http)
{
        struct world world;
        char hex[HEX];
        char url[WORLD_PATH];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_nginx(&world);
        snprintf(url, sizeof(url), "https://127.0.0.1:%d/down/{sha256}", world.https_port);
        world_mount(&world, "--origin", url, "--ca", world.ca);
        expect_failure(&world, hex, EACCES, "redirect from https to http");
        world_unmount(&world);
        /* The other way round, and https to https, is no downgrade. */
        snprintf(url, sizeof(url), "https://127.0.0.1:%d/moved/{sha256}", world.https_port);
        world_mount(&world, "--origin", url, "--ca", world.ca);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_end(&world);
}

Test(network, fault_19_captive_portal)
{
        expect_mode("html", EBADMSG, "another SHA-256");
        expect_next_source("html");
}

Test(network, fault_21_statuses)
{
        static const struct {
                const char *mode;
                int error;
                const char *words;
        } rows[] = {
            {"status-404", ENOENT, "HTTP 404"},    {"status-410", ENOENT, "HTTP 410"},
            {"status-429", EREMOTEIO, "HTTP 429"}, {"status-500", EREMOTEIO, "HTTP 500"},
            {"status-503", EREMOTEIO, "HTTP 503"}, {"status-401", EACCES, "HTTP 401"},
            {"status-403", EACCES, "HTTP 403"},
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                expect_mode(rows[i].mode, rows[i].error, rows[i].words);
                expect_next_source(rows[i].mode);
        }
}

Test(network, fault_21_recovers_without_a_restart)
{
        struct world world;
        char hex[HEX];
        char from[2 * WORLD_PATH];
        char to[2 * WORLD_PATH];
        int64_t deadline;

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        snprintf(from, sizeof(from), "%s/%s", world.files, hex);
        snprintf(to, sizeof(to), "%s/later", world.dir);
        cr_assert_eq(rename(from, to), 0);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        expect_failure(&world, hex, ENOENT, "HTTP 404");
        cr_assert_eq(rename(to, from), 0);
        for (deadline = now_ms() + SURELY_MS; now_ms() < deadline; sleep_ms(50))
                if (world_open(world_path(&world, hex)) == 0)
                        break;
        cr_expect(is_cached(&world, hex));
        cr_expect_str_eq(world_xattr(world_path(&world, hex), "user.assetfs.error"), "");
        world_end(&world);
}

Test(network, fault_22_name_does_not_resolve)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", "http://nowhere.invalid/{sha256}");
        expect_failure(&world, hex, EHOSTUNREACH, "nowhere.invalid");
        world_unmount(&world);
        world_mount(&world, "--origin", "http://nowhere.invalid/{sha256}", "--origin",
                    world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_end(&world);
}

Test(network, fault_22_refused)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", "http://127.0.0.1:1/{sha256}");
        expect_failure(&world, hex, EHOSTUNREACH, "port 1");
        world_unmount(&world);
        world_mount(&world, "--origin", "http://127.0.0.1:1/{sha256}", "--origin",
                    world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_end(&world);
}

/* A name with a dead IPv6 and a living IPv4 address: "localhost" where only IPv4 listens. */
Test(network, fault_22_ipv6_dead_ipv4_alive)
{
        struct world world;
        char hex[HEX];
        char url[WORLD_PATH];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        snprintf(url, sizeof(url), "http://localhost:%d/ok/{sha256}", world.port);
        world_mount(&world, "--origin", url);

        int64_t start = now_ms();

        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_lt(now_ms() - start, 10000, "a connect that waits takes 15 s");
        world_end(&world);
}

static void expect_tls_failure(int port_of(const struct world *), bool with_ca, const char *host,
                               const char *words)
{
        struct world world;
        char hex[HEX];
        char url[WORLD_PATH];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_nginx(&world);
        snprintf(url, sizeof(url), "https://%s:%d/{sha256}", host, port_of(&world));
        if (with_ca)
                world_mount(&world, "--origin", url, "--ca", world.ca);
        else
                world_mount(&world, "--origin", url);
        expect_failure(&world, hex, EACCES, words);
        world_end(&world);
}

static int good_port(const struct world *world)
{
        return world->https_port;
}

static int expired_port(const struct world *world)
{
        return world->expired_port;
}

static int foreign_port(const struct world *world)
{
        return world->foreign_port;
}

static int self_port(const struct world *world)
{
        return world->self_port;
}

Test(network, fault_23_tls_self_signed)
{
        expect_tls_failure(self_port, true, "127.0.0.1", "certificate");
}

Test(network, fault_23_tls_expired)
{
        expect_tls_failure(expired_port, true, "127.0.0.1", "expired");
}

Test(network, fault_23_tls_wrong_host)
{
        expect_tls_failure(foreign_port, true, "127.0.0.1", "127.0.0.1");
}

Test(network, fault_23_tls_unknown_ca)
{
        expect_tls_failure(good_port, false, "127.0.0.1", "certificate");
}

Test(network, https_works)
{
        struct world world;
        char hex[HEX];
        char url[WORLD_PATH];

        world_begin(&world);
        world_asset(&world, 5000000, hex);
        world_nginx(&world);
        snprintf(url, sizeof(url), "https://localhost:%d/{sha256}", world.https_port);
        world_mount(&world, "--origin", url, "--ca", world.ca);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_end(&world);
}

Test(network, proxy_by_option_and_by_environment)
{
        struct world world;
        char hex[HEX];
        char other[HEX];
        char proxy[WORLD_PATH];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_asset(&world, SIZE, other);
        world_origin(&world);
        /* A dead proxy shows that it is asked. */
        world_mount(&world, "--origin", world_url(&world, "ok"), "--proxy", "http://127.0.0.1:1");
        expect_failure(&world, hex, EHOSTUNREACH, "port 1");
        world_unmount(&world);
        snprintf(proxy, sizeof(proxy), "http://127.0.0.1:1");
        setenv("http_proxy", proxy, 1);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        expect_failure(&world, other, EHOSTUNREACH, "port 1");
        world_unmount(&world);
        setenv("no_proxy", "127.0.0.1", 1);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, other)), 0);
        unsetenv("http_proxy");
        unsetenv("no_proxy");
        world_end(&world);
}

Test(network, fault_26_everything_down_at_the_start)
{
        struct world world;
        char hit[HEX];
        char miss[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hit);
        world_asset(&world, SIZE, miss);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, hit)), 0);
        world_unmount(&world);
        world_mount(&world, "--origin", "http://127.0.0.1:1/{sha256}", "--origin",
                    "https://nowhere.invalid/{sha256}");
        cr_expect_eq(world_open(world_path(&world, hit)), 0);
        cr_expect_eq(world_shell("ls '%s' | grep -q %s", world.mnt, hit), 0);
        expect_failure(&world, miss, EHOSTUNREACH, "connect");
        world_end(&world);
}

static void expect_size(const char *mode, bool known)
{
        struct world world;
        struct stat st;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, mode));
        cr_expect_eq(stat(world_path(&world, hex), &st), 0, "%s", mode);
        cr_expect_eq(st.st_size, known ? SIZE : 0, "%s", mode);
        cr_expect_eq(st.st_blocks, 1);
        cr_expect_eq(world_open(world_path(&world, hex)), 0, "%s", mode);
        cr_expect_eq(stat(world_path(&world, hex), &st), 0);
        cr_expect_eq(st.st_size, SIZE);
        cr_expect_geq(st.st_blocks, SIZE / 512);
        world_end(&world);
}

Test(network, fault_28_head_refused)
{
        expect_size("ok", true);
        expect_size("nohead-403", true);
        expect_size("nohead-405", true);
        expect_size("nohead-501", true);
        expect_size("norange-405", true);
        expect_size("nosize", false);
}

/* No number that the kernel would refuse (it answers EIO as long as we say so), and none
 * that has another sign. */
Test(network, absurd_sizes_are_unknown)
{
        expect_size("total-9223372036854775808", false);
        expect_size("total-9999999999999999999", false);
        expect_size("total-99999999999999999999999", false);
        expect_size("total--5", false);
        expect_size("total-+5", false);
        expect_size("total-", false);
        expect_size("length-9223372036854775808", false);
        expect_size("length-99999999999999999999999", false);
}

/* What cannot be opened is shown, as the origin says it, but not believed for long. */
Test(network, a_size_over_the_bound_is_asked_for_again)
{
        struct world world;
        struct stat st;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "length-9223372036854775807"));
        cr_expect_eq(stat(world_path(&world, hex), &st), 0);
        cr_expect_eq(st.st_size, INT64_MAX);
        sleep_ms(1200);
        cr_expect_eq(stat(world_path(&world, hex), &st), 0);
        cr_expect_eq(world_requests(&world, "HEAD"), 2);
        world_end(&world);
}

Test(network, fault_30_headers_are_bounded)
{
        static const char *const kinds[] = {"headers", "interim", "trailers"};
        char mode[32];

        for (int i = 0; i < 3; i++) {
                snprintf(mode, sizeof(mode), "%s-65536", kinds[i]);
                expect_mode(mode, EREMOTEIO, "more than 256 KiB of headers");
                snprintf(mode, sizeof(mode), "%s-100", kinds[i]);
                expect_good(mode);
        }
        expect_next_source("trailers-65536");
}

Test(network, several_sources_report_the_worst)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "status-404"), "--origin",
                    world_url(&world, "status-403"), "--origin", world_url(&world, "wrong"),
                    "--origin", world_url(&world, "status-500"));
        expect_failure(&world, hex, EBADMSG, "another SHA-256");
        cr_expect_eq(world_logged(&world, "sources=4"), 1);
        world_end(&world);
}

/* It is remembered for a while, and said once each way; a good download clears its name. */
Test(network, server_that_was_bad_is_asked_last)
{
        struct world world;
        char hex[4][HEX];
        char dead[WORLD_PATH];

        world_begin(&world);
        for (int i = 0; i < 4; i++)
                world_asset(&world, SIZE, hex[i]);
        world_origin(&world);
        snprintf(dead, sizeof(dead), "http://localhost:%d/x.close.first.2/{sha256}", world.port);
        world_mount(&world, "--origin", dead, "--origin", world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, hex[0])), 0);
        cr_expect_eq(world_requests(&world, "GET /x.close"), 1);
        cr_expect_eq(world_logged(&world, "event=server-bad server=http://localhost:"), 1);
        for (int i = 1; i < 4; i++)
                cr_expect_eq(world_open(world_path(&world, hex[i])), 0);
        cr_expect_eq(world_requests(&world, "GET /x.close"), 1, "the other one was asked first");
        cr_expect_eq(world_logged(&world, "event=server-bad"), 1);
        world_end(&world);
}

/* Nobody else has it: it is asked as ever, and is good again. */
Test(network, server_that_was_bad_is_no_outcast)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "x.close.first.1"), "--retries", "2");
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_logged(&world, "event=server-bad"), 1);
        cr_expect_eq(world_logged(&world, "event=server-good"), 1);
        world_end(&world);
}

/* HTTP/0.9 is the origin's failure, and not our policy's. */
Test(network, answer_without_headers)
{
        expect_mode("ancient", EREMOTEIO, "HTTP/0.9");
        expect_next_source("ancient");
}

Test(network, status_counts_though_the_error_page_is_cut)
{
        expect_mode("cut-404", ENOENT, "HTTP 404");
        expect_mode("cut-410", ENOENT, "HTTP 410");
        expect_mode("cut-403", EACCES, "HTTP 403");
        expect_mode("cut-500", EREMOTEIO, "HTTP 500");
        expect_next_source("cut-404");
}

/* Else curl would send them as an Authorization of the redirect's choice. */
Test(network, fault_17_redirect_with_credentials)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "to-user"));
        expect_failure(&world, hex, EACCES, "credentials");
        cr_expect_eq(world_requests(&world, "GET /ok/"), 0);
        cr_expect_eq(world_logged(&world, "hunter2"), 0);
        cr_expect_eq(world_logged(&world, "joe"), 0);
        world_end(&world);
        expect_next_source("to-user");
}

/* The time of a size question is that of all its redirects together. */
Test(network, redirects_do_not_renew_a_timeout)
{
        struct world world;
        struct stat st;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "slow-loop"));
        errno = 0;
        cr_expect_eq(stat(world_path(&world, hex), &st), -1);
        cr_expect_eq(errno, ETIMEDOUT);
        /* It would have been asked again within the two seconds that an answer takes. */
        sleep_ms(2500);
        cr_expect_leq(world_requests(&world, "HEAD /slow-loop/"), 3);
        world_end(&world);
}

Test(network, stall_on_a_connection_that_is_used_again)
{
        struct world world;
        char first[HEX];
        char second[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, first);
        world_asset(&world, SIZE, second);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "stall-again"), "--stall-timeout", "1");
        expect_failure(&world, first, ENOENT, "HTTP 404");
        expect_failure(&world, second, ETIMEDOUT, "too slow");
        cr_expect_eq(world_requests(&world, "GET"), 1, "not on the same connection");
        world_end(&world);
}

/* Of the environment, which nobody checked before; curl's words quote it. */
Test(network, proxy_passwords_are_not_shown)
{
        static const char *const proxies[] = {"http://joe:hunter2@nowhere.invalid:1",
                                              "http://joe:hunter2@127.0.0.1:bad",
                                              "gopher://joe:hunter2@127.0.0.1:1"};
        struct world world;

        world_begin(&world);
        world_origin(&world);
        for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++) {
                char hex[HEX];

                world_asset(&world, SIZE, hex);
                setenv("http_proxy", proxies[i], 1);
                world_mount(&world, "--origin", world_url(&world, "ok"));
                expect_failure(&world, hex, EHOSTUNREACH, "proxy");
                cr_expect_null(
                    strstr(world_xattr(world_path(&world, hex), "user.assetfs.error"), "hunter2"));
                world_unmount(&world);
        }
        unsetenv("http_proxy");
        cr_expect_eq(world_logged(&world, "hunter2"), 0);
        cr_expect_eq(world_logged(&world, "joe"), 0);
        world_end(&world);
}

/* A name server that does not answer, for this test and its daemon alone. */
static int silent_resolver(const struct world *world)
{
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(53)};
        char path[2 * WORLD_PATH];
        int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        inet_pton(AF_INET, "127.0.0.77", &address.sin_addr);
        cr_assert_eq(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
        snprintf(path, sizeof(path), "%s/resolv.conf", world->dir);
        world_text(path, "nameserver 127.0.0.77\n");
        cr_assert_eq(unshare(CLONE_NEWNS), 0);
        cr_assert_eq(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL), 0);
        cr_assert_eq(mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL), 0);
        return server;
}

/* libcurl would wait for its resolver's thread, and the loop with it. */
Test(network, fault_22_a_silent_resolver_holds_up_nobody)
{
        struct world world;
        struct opener opener;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);

        int server = silent_resolver(&world);

        world_mount(&world, "--origin", "http://silent.example/{sha256}");
        opener_start(&opener, world_path(&world, hex));
        opener_parked(&opener);
        sleep_ms(300);

        int64_t start = now_ms();

        world_unmount(&world);
        cr_expect_lt(now_ms() - start, 4500, "a worker that does not end is killed after 5 s");
        cr_expect_eq(opener_result(&opener, SURELY_MS), ECANCELED);
        close(server);
        world_end(&world);
}

Test(network, stall_ends)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world.staging_may_stay = true;
        world_mount(&world, "--origin", world_url(&world, "silent"), "--stall-timeout", "1");
        expect_failure(&world, hex, ETIMEDOUT, "too slow");
        world_unmount(&world);
        /* Half of it came within the first second: by this floor it was too slow all the same. */
        world_mount(&world, "--origin", world_url(&world, "half-gate"), "--stall-timeout", "1",
                    "--min-rate", "500K");
        expect_failure(&world, hex, ETIMEDOUT, "too slow");
        world_end(&world);
}

Test(network, open_timeout_ends_the_open_and_not_the_flight)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "gate"), "--open-timeout", "1");
        cr_expect_eq(world_open(world_path(&world, hex)), ETIMEDOUT);
        cr_expect_str_eq(world_xattr(world_path(&world, hex), "user.assetfs.state"), "fetching");
        world_open_gate(&world);
        for (int i = 0; i < SURELY_MS / 10 && !is_cached(&world, hex); i++)
                sleep_ms(10);
        cr_expect(is_cached(&world, hex));
        cr_expect_eq(world_requests(&world, "GET /gate/"), 1);
        world_end(&world);
}

/* One that has begun goes on (above); one that only queues would hold up those behind it. */
Test(network, queued_flight_that_nobody_waits_for_is_dropped)
{
        struct world world;
        struct opener openers[3];
        char hex[3][HEX];
        char prefix[HEX + 32];

        world_begin(&world);
        for (int i = 0; i < 3; i++)
                world_asset(&world, SIZE, hex[i]);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "gate"), "--max-downloads", "1");
        for (int i = 0; i < 3; i++) {
                opener_start(&openers[i], world_path(&world, hex[i]));
                opener_parked(&openers[i]);
        }
        kill(openers[1].pid, SIGKILL);
        cr_expect(opener_gone(&openers[1], SURELY_MS));
        world_open_gate(&world);
        cr_expect_eq(opener_result(&openers[0], SURELY_MS), 0);
        cr_expect_eq(opener_result(&openers[2], SURELY_MS), 0);
        snprintf(prefix, sizeof(prefix), "GET /gate/%s", hex[1]);
        cr_expect_eq(world_requests(&world, prefix), 0);
        cr_expect_str_eq(world_xattr(world_path(&world, hex[1]), "user.assetfs.state"), "absent");
        cr_expect_eq(world_open(world_path(&world, hex[1])), 0, "asked for again");
        world_end(&world);
}

Test(network, fault_69_control_bytes_are_not_shown)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "control"));
        cr_expect_neq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_logged(&world, "event=failed"), 1);
        cr_expect_eq(world_shell("LC_ALL=C grep -q '[[:cntrl:]]' '%s'", world.log), 1);
        cr_expect_eq(
            world_shell("grep 'event=failed' '%s' | tr -dc '\"\\\\' | grep -qx '\"\"'", world.log),
            0, "two quotes, and no backslash");
        cr_expect_not(
            strpbrk(world_xattr(world_path(&world, hex), "user.assetfs.error"), "\x1b\x07\n"));
        world_end(&world);
}
