/*
 * A fleet: ten mounts with a cache each open one image at once, by a caching tier that is set
 * up as scripts/fleet says. The origin behind it sends each byte once.
 */
#include "tests/e2e/fleet.h"

#include <stdio.h>
#include <string.h>

TestSuite(fleet, .timeout = 120);

#define NODES  10
#define SIZE   (2 * TIER_SLICE + TIER_SLICE / 2)
#define SLICES 3

static struct world nodes[NODES]; /* the first has the servers */
static struct nginx origin;
static char config[2 * WORLD_PATH];
static char catalog[2 * WORLD_PATH];

/* A repository is a URL without a digest. */
static const char *name_below(const char *url, const char *hex)
{
        return strncmp(url, "oci:", 4) == 0 ? "" : hex;
}

/* An asset that is in the catalog with these URLs, each as far as its digest. */
static void add_asset(char hex[HEX], const char *first, const char *second)
{
        FILE *file = fopen(catalog, "ae");

        cr_assert(file);
        world_asset(&nodes[0], SIZE, hex);
        fprintf(file, "%s\"%s\": {\"sha256\": \"%s\", \"size\": %d, \"urls\": [\"%s%s\"",
                ftell(file) == 0 ? "{\"assets\": {" : ", ", hex, hex, SIZE, first,
                name_below(first, hex));
        if (second)
                fprintf(file, ", \"%s%s\"", second, hex);
        fprintf(file, "]}");
        fclose(file);
}

static void mount_all(void)
{
        cr_assert_eq(world_shell("echo '}}' >>'%s'", catalog), 0);
        for (int i = 0; i < NODES; i++)
                world_mount(&nodes[i], "-c", config, "--catalog", catalog);
}

static void open_everywhere(const char *hex)
{
        struct opener openers[NODES];

        for (int i = 0; i < NODES; i++)
                opener_start(&openers[i], world_path(&nodes[i], hex));
        for (int i = 0; i < NODES; i++)
                cr_expect_eq(opener_result(&openers[i], SURELY_MS), 0, "node %d", i);
}

/* All at once and of another size than slices have, as several connections of a download ask
 * for them: together they are the asset. */
static void get_ranges(const char *url, const char *hex)
{
        cr_expect_eq(world_shell("cd '%1$s' && for i in 0 1 2 3 4 5 6 7; do\n"
                                 "  curl -sf -o part$i -r $((i * %2$d))-$((i * %2$d + %2$d - 1))"
                                 " '%3$s%4$s' & pids=\"$pids $!\"\n"
                                 "done; for pid in $pids; do wait $pid || exit 1; done\n"
                                 "cat part? | sha256sum | grep -q '^%4$s'",
                                 nodes[0].dir, SIZE / 8, url, hex),
                     0);
}

/* A server writes its log a moment after the last byte. */
static void expect_sent_once(const char *words, int requests)
{
        for (int64_t end = now_ms() + SURELY_MS;
             nginx_sent(&origin, words) < SIZE && now_ms() < end;)
                sleep_ms(20);
        cr_expect_eq(nginx_sent(&origin, words), SIZE, "%s: %lld bytes were sent", words,
                     (long long)nginx_sent(&origin, words));
        cr_expect_eq(nginx_logged(&origin, words), requests);
}

/* Of the origin's own, and of what it redirects to another host for, which the tier follows
 * and not the nodes. Without the tier, the nodes go on at the origin. */
static void by_nginx(struct tier *tier)
{
        char url[WORLD_PATH];
        char direct_url[WORLD_PATH];
        char hex[HEX];
        char moved[HEX];
        char direct[HEX];
        char words[WORLD_PATH];

        snprintf(url, sizeof(url), "http://127.0.0.1:%d/", tier->port);
        snprintf(direct_url, sizeof(direct_url), "http://127.0.0.1:%d/", origin.port);
        add_asset(hex, url, NULL);
        add_asset(direct, url, direct_url);
        world_asset(&nodes[0], SIZE, moved);
        mount_all();
        open_everywhere(hex);
        expect_sent_once(hex, SLICES);

        snprintf(url, sizeof(url), "http://127.0.0.1:%d/other/", tier->port);
        get_ranges(url, moved);
        snprintf(words, sizeof(words), "127.0.0.2:%d HTTP/1.1 GET /%s 206", origin.port, moved);
        expect_sent_once(words, SLICES);

        tier_stop(tier);
        cr_expect_eq(world_open(world_path(&nodes[1], direct)), 0);
        snprintf(words, sizeof(words), "GET /%s 200", direct);
        cr_expect_eq(nginx_logged(&origin, words), 1);
}

static void by_registry(const struct registry *registry, const char *hex)
{
        int64_t bytes;

        open_everywhere(hex);
        for (int64_t end = now_ms() + SURELY_MS; now_ms() < end; sleep_ms(20)) {
                registry_gets(registry, hex, &bytes);
                if (bytes >= SIZE)
                        break;
        }
        cr_expect_eq(registry_gets(registry, hex, &bytes), SLICES);
        cr_expect_eq(bytes, SIZE, "%lld bytes were sent", (long long)bytes);
}

/* The one asset that no catalog has. */
static void by_squid(void)
{
        char hex[HEX];

        world_asset(&nodes[0], SIZE, hex);
        open_everywhere(hex);
        expect_sent_once(hex, 1);
}

/* One test: it is the mounts that cost. */
Test(fleet, each_byte_is_sent_once)
{
        struct tier nginx;
        struct registry registry;
        struct tier behind;
        struct tier pull_through;
        struct tier squid;
        char url[WORLD_PATH];
        char hex[HEX];
        char layer[HEX];

        for (int i = 0; i < NODES; i++)
                world_begin(&nodes[i]);
        snprintf(catalog, sizeof(catalog), "%s/catalog.json", nodes[0].dir);
        snprintf(config, sizeof(config), "%s/node.conf", nodes[0].dir);
        nginx_start(&origin, &nodes[0]);
        tier_start_nginx(&nginx, &nodes[0], "tier", origin.port);
        registry_start(&registry, &nodes[0], "");
        tier_start_nginx(&behind, &nodes[0], "behind", registry.port);
        tier_start_registry(&pull_through, &nodes[0], behind.port);
        snprintf(url, sizeof(url),
                 "http://127.0.0.1:%d/v2/" REPOSITORY "/blobs/sha256:", pull_through.port);
        add_asset(hex, url, NULL);
        registry_put(&nodes[0], hex);
        snprintf(url, sizeof(url), "oci://127.0.0.1:%d/" REPOSITORY, pull_through.port);
        add_asset(layer, url, NULL);
        registry_put(&nodes[0], layer);

        tier_start_squid(&squid, &nodes[0]);
        world_text(config,
                   "[origin \"main\"]\nurl = http://127.0.0.1:%d/{sha256}\n"
                   "proxy = http://127.0.0.1:%d\n",
                   origin.port, squid.port);

        by_nginx(&nginx);
        by_registry(&registry, hex);
        by_registry(&registry, layer);
        by_squid();

        for (int i = NODES - 1; i >= 0; i--)
                world_unmount(&nodes[i]);
        tier_stop(&squid);
        tier_stop(&pull_through);
        tier_stop(&behind);
        registry_stop(&registry);
        nginx_stop(&origin);
        for (int i = NODES - 1; i >= 0; i--)
                world_end(&nodes[i]);
}
