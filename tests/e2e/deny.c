/*
 * FAULTS 15: catalogs and redirects lead to addresses that policy forbids. It is decided on
 * the address that would be connected to, at every hop, so no request arrives there; an
 * origin that names such an address is the operator's own word and allowed.
 */
#include "tests/e2e/real.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(deny, .timeout = 180);

#define SIZE 300000

#define DENY_OTHER "--deny-net", "127.0.0.2/32"

struct policed {
        struct world world;
        struct nginx nginx;
        char plain[WORLD_PATH];    /* origins: here, */
        char other[WORLD_PATH];    /* by a redirect to 127.0.0.2, */
        char metadata[WORLD_PATH]; /* and to 169.254.169.254 */
        char catalog[WORLD_PATH];
};

static void begin(struct policed *it)
{
        world_begin(&it->world);
        nginx_start(&it->nginx, &it->world);
        snprintf(it->plain, WORLD_PATH, "http://127.0.0.1:%d/{sha256}", it->nginx.port);
        snprintf(it->other, WORLD_PATH, "http://127.0.0.1:%d/other/{sha256}", it->nginx.port);
        snprintf(it->metadata, WORLD_PATH, "http://127.0.0.1:%d/metadata/{sha256}", it->nginx.port);
        snprintf(it->catalog, WORLD_PATH, "%.*s/catalog.json", WORLD_PATH - 32, it->world.dir);
}

static void end(struct policed *it)
{
        world_unmount(&it->world);
        nginx_stop(&it->nginx);
        world_end(&it->world);
}

/* An asset, and a catalog that says it is below http://host:port/folder. */
static void catalogued(struct policed *it, const char *host, const char *folder, char hex[HEX])
{
        world_asset(&it->world, SIZE, hex);
        world_text(it->catalog,
                   "{\"assets\": {\"a\": {\"sha256\": \"%1$s\", \"size\": %2$d,"
                   " \"urls\": [\"http://%3$s:%4$d%5$s/%1$s\"]}}}",
                   hex, SIZE, host, it->nginx.port, folder);
}

/* Requests that arrived at that address. */
static int arrived(const struct policed *it, const char *address)
{
        char words[64];

        snprintf(words, sizeof(words), "%s:%d ", address, it->nginx.port);
        return nginx_logged(&it->nginx, words);
}

static void expect_denied(const struct policed *it, const char *hex)
{
        cr_expect_eq(world_open(world_path(&it->world, hex)), EACCES);
        cr_expect_geq(world_logged(&it->world, "denied"), 1);
        cr_expect(strstr(world_xattr(world_path(&it->world, hex), "user.assetfs.error"), "denied"));
}

static void expect_allowed(const struct policed *it, const char *hex)
{
        cr_expect_eq(world_open(world_path(&it->world, hex)), 0, "%s",
                     world_xattr(world_path(&it->world, hex), "user.assetfs.error"));
}

/* What a machine in a cloud has, for this test and its children alone. */
static void be_in_a_cloud(void)
{
        cr_assert_eq(unshare(CLONE_NEWNET), 0);
        cr_assert_eq(world_shell("busybox ip link set lo up &&"
                                 " busybox ip addr add 169.254.169.254/32 dev lo"),
                     0);
}

Test(deny, fault_15_metadata_by_default)
{
        struct policed it;
        char hex[HEX];

        be_in_a_cloud();
        begin(&it);
        world_asset(&it.world, SIZE, hex);
        world_mount(&it.world, "--origin", it.metadata);
        expect_denied(&it, hex);
        world_unmount(&it.world);
        /* Other networks are added to the default ones. */
        world_mount(&it.world, "--origin", it.metadata, DENY_OTHER);
        expect_denied(&it, hex);
        world_unmount(&it.world);
        catalogued(&it, "169.254.169.254", "", hex);
        world_mount(&it.world, "--catalog", it.catalog);
        expect_denied(&it, hex);
        cr_expect_eq(arrived(&it, "169.254.169.254"), 0);
        end(&it);
}

Test(deny, fault_15_none_by_option)
{
        struct policed it;
        char hex[HEX];
        char more[HEX];

        be_in_a_cloud();
        begin(&it);
        world_asset(&it.world, SIZE, hex);
        world_asset(&it.world, SIZE, more);
        world_mount(&it.world, "--origin", it.metadata, "--deny-net", "none");
        expect_allowed(&it, hex);
        world_unmount(&it.world);
        cr_expect_eq(arrived(&it, "169.254.169.254"), 1);
        /* What comes after "none" counts. */
        world_mount(&it.world, "--origin", it.other, "--deny-net", "none", DENY_OTHER);
        expect_denied(&it, more);
        world_unmount(&it.world);
        world_mount(&it.world, "--origin", it.metadata, "--deny-net", "none", DENY_OTHER);
        expect_allowed(&it, more);
        end(&it);
}

Test(deny, fault_15_redirect)
{
        struct policed it;
        struct stat st;
        char hex[HEX];
        char asked[HEX];

        begin(&it);
        world_asset(&it.world, SIZE, hex);
        world_asset(&it.world, SIZE, asked);
        world_mount(&it.world, "--origin", it.other, DENY_OTHER);
        expect_denied(&it, hex);
        errno = 0;
        cr_expect_eq(stat(world_path(&it.world, asked), &st), -1);
        cr_expect_eq(errno, EACCES, "size question: %s", strerror(errno));
        cr_expect_eq(arrived(&it, "127.0.0.2"), 0);
        world_unmount(&it.world);
        world_mount(&it.world, "--origin", it.other);
        expect_allowed(&it, hex);
        cr_expect_geq(arrived(&it, "127.0.0.2"), 1);
        end(&it);
}

Test(deny, fault_15_the_next_source_is_asked)
{
        struct policed it;
        char hex[HEX];

        begin(&it);
        catalogued(&it, "127.0.0.2", "", hex);
        world_mount(&it.world, "--catalog", it.catalog, "--origin", it.other, "--origin", it.plain,
                    DENY_OTHER);
        expect_allowed(&it, hex);
        cr_expect_eq(arrived(&it, "127.0.0.2"), 0);
        end(&it);
}

/* Each names 127.0.0.2. */
Test(deny, fault_15_catalog_names_an_address)
{
        static const char *const hosts[] = {"127.0.0.2",          "127.2",
                                            "2130706434",         "0x7f.0.0.2",
                                            "[::ffff:127.0.0.2]", "[::ffff:7f00:2]"};
        struct policed it;
        char hex[HEX];

        begin(&it);
        for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
                catalogued(&it, hosts[i], "", hex);
                world_mount(&it.world, "--catalog", it.catalog, DENY_OTHER);
                expect_denied(&it, hex);
                cr_expect_eq(arrived(&it, "127.0.0.2"), 0, "%s", hosts[i]);
                world_unmount(&it.world);
        }
        end(&it);
}

/* 0.0.0.0 is where Linux connects to itself. */
Test(deny, fault_15_catalog_names_no_address)
{
        struct policed it;
        char hex[HEX];

        begin(&it);
        catalogued(&it, "0.0.0.0", "", hex);
        world_mount(&it.world, "--catalog", it.catalog, "--deny-net", "127.0.0.0/8");
        expect_denied(&it, hex);
        cr_expect_eq(nginx_logged(&it.nginx, " GET "), 0);
        end(&it);
}

Test(deny, fault_15_name_that_resolves_to_it)
{
        struct policed it;
        char hex[HEX];

        begin(&it);
        catalogued(&it, "localhost", "", hex);
        world_mount(&it.world, "--catalog", it.catalog, "--deny-net", "127.0.0.0/8", "--deny-net",
                    "::1/128");
        expect_denied(&it, hex);
        cr_expect_eq(nginx_logged(&it.nginx, " GET "), 0);
        world_unmount(&it.world);
        world_mount(&it.world, "--catalog", it.catalog);
        expect_allowed(&it, hex);
        end(&it);
}

Test(deny, fault_15_origin_names_it)
{
        struct policed it;
        char hex[HEX];
        char origin[WORLD_PATH];

        begin(&it);
        world_asset(&it.world, SIZE, hex);
        snprintf(origin, sizeof(origin), "http://127.0.0.2:%d/{sha256}", it.nginx.port);
        world_mount(&it.world, "--origin", origin, DENY_OTHER);
        expect_allowed(&it, hex);
        cr_expect_eq(arrived(&it, "127.0.0.2"), 1);
        end(&it);
}

/* The origin's connection is kept for reuse: whoever else wants to go there may not use it. */
Test(deny, fault_15_a_kept_connection_is_no_way_around)
{
        struct policed it;
        char kept[HEX];
        char hex[HEX];
        char origin[WORLD_PATH];

        begin(&it);
        world_asset(&it.world, SIZE, kept);
        catalogued(&it, "127.0.0.2", "/private", hex);
        cr_assert_eq(world_shell("cd '%s' && mkdir private && mv %s private/", it.world.files, hex),
                     0);
        snprintf(origin, sizeof(origin), "http://127.0.0.2:%d/{sha256}", it.nginx.port);
        world_mount(&it.world, "--origin", origin, "--catalog", it.catalog, DENY_OTHER);
        expect_allowed(&it, kept);
        expect_denied(&it, hex);
        cr_expect_eq(nginx_logged(&it.nginx, "/private/"), 0);
        end(&it);
}

/* It looks up the name, and may be the only one that can. */
Test(deny, fault_15_behind_a_proxy_the_proxy_decides)
{
        struct policed it;
        struct squid squid;
        char hex[HEX];

        begin(&it);
        squid_start(&squid, &it.world, false);
        catalogued(&it, "127.0.0.2", "", hex);
        world_mount(&it.world, "--catalog", it.catalog, DENY_OTHER, "--proxy", squid.url);
        expect_allowed(&it, hex);
        world_unmount(&it.world);
        cr_expect_eq(arrived(&it, "127.0.0.2"), 1);
        cr_expect_eq(squid_logged(&squid, " GET "), 1);
        /* The proxy's own address is no asset's. */
        catalogued(&it, "127.0.0.1", "", hex);
        world_mount(&it.world, "--catalog", it.catalog, "--deny-net", "127.0.0.1/32", "--proxy",
                    squid.url);
        expect_allowed(&it, hex);
        world_unmount(&it.world);
        squid_stop(&squid);
        end(&it);
}

/* Not behind the proxy, by the environment's word. */
Test(deny, fault_15_no_proxy_is_direct)
{
        struct policed it;
        struct squid squid;
        char hex[HEX];

        begin(&it);
        squid_start(&squid, &it.world, false);
        catalogued(&it, "127.0.0.2", "", hex);
        setenv("no_proxy", "127.0.0.2", 1);
        world_mount(&it.world, "--catalog", it.catalog, DENY_OTHER, "--proxy", squid.url);
        expect_denied(&it, hex);
        world_unmount(&it.world);
        cr_expect_eq(arrived(&it, "127.0.0.2"), 0);
        squid_stop(&squid);
        end(&it);
}

Test(deny, fault_64_what_is_no_network)
{
        static const char *const bad[] = {"10.0.0.0/33", "10.1.2.3/8", "example.com", ""};
        struct policed it;
        char output[4096];

        begin(&it);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                cr_expect_eq(world_run(output, sizeof(output), "mount", "--origin", it.plain,
                                       "--deny-net", bad[i], it.world.mnt),
                             2, "%s", bad[i]);
                cr_expect(strstr(output, "--deny-net"), "%s: %s", bad[i], output);
        }
        end(&it);
}
