/*
 * The daemon's log: how much of it there is, that a line has the fields it should have,
 * and what is never in it.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(log, .timeout = 180);

#define SIZE 1000

/* The sum of the counts in lines of left out lines of the event. */
static int suppressed(const struct world *world, const char *event)
{
        FILE *file = fopen(world->log, "re");
        char words[64];
        char line[4096];
        int sum = 0;

        cr_assert(file);
        snprintf(words, sizeof(words), "event=suppressed of=%s lines=", event);
        while (fgets(line, sizeof(line), file)) {
                const char *found = strstr(line, words);

                sum += found ? atoi(found + strlen(words)) : 0;
        }
        fclose(file);
        return sum;
}

/* A launcher that crashes in a loop over assets that are not there. What was left out is said
 * while the mount goes on, since nobody else asks for anything after it. */
Test(log, five_hundred_failures_are_not_five_hundred_lines)
{
        enum { OPENS = 500 };
        struct world world;
        char name[HEX];
        char origin[2 * WORLD_PATH];
        int64_t start;
        int64_t deadline;

        world_begin(&world);
        snprintf(origin, sizeof(origin), "file://%s/{sha256}", world.files);
        world_mount(&world, "--origin", origin);
        start = now_ms();
        for (int i = 0; i < OPENS; i++) {
                snprintf(name, sizeof(name), "%064x", i);
                cr_assert_eq(world_open(world_path(&world, name)), ENOENT);
        }
        deadline = now_ms() + SURELY_MS;
        while (suppressed(&world, "failed") == 0 && now_ms() < deadline)
                sleep_ms(20);

        int lines = world_logged(&world, "event=failed");

        /* 64, and one for each second that it took. */
        cr_expect(lines >= 64 && lines <= 64 + 1 + (now_ms() - start) / 1000, "%d lines", lines);
        cr_expect_eq(lines + suppressed(&world, "failed"), OPENS);
        world_end(&world);
}

/* A place whose name is made of what a line is made of. */
Test(log, a_path_cannot_forge_a_field)
{
        struct world world;
        char cache[2 * WORLD_PATH];

        world_begin(&world);
        snprintf(cache, sizeof(cache), "%s/c\" errno=OK \\", world.dir);
        cr_assert_lt(snprintf(world.cache, sizeof(world.cache), "%s", cache),
                     (int)sizeof(world.cache));
        cr_assert_eq(mkdir(world.cache, 0755), 0);
        cr_assert_eq(chown(world.cache, WORKER_UID, WORKER_UID), 0);
        world_mount(&world, "--origin", "file:///{sha256}");
        cr_expect_eq(world_logged(&world, "/c\\\" errno=OK \\\\\" cause="), 1);
        world_end(&world);
}

/* In what people can see of an asset, and of the mount. */
static void expect_no_secret(const struct world *world, const char *hex)
{
        static const char *const names[] = {"state", "source", "error"};
        char name[64];

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                snprintf(name, sizeof(name), "user.assetfs.%s", names[i]);
                cr_expect_null(strstr(world_xattr(world_path(world, hex), name), "hunter2"), "%s",
                               name);
        }
        cr_expect_eq(world_shell("grep -q hunter2 /proc/self/mountinfo"), 1);
}

/*
 * Each place where a URL has its secrets, by a download that goes well and by ones that fail
 * in several ways: what curl and we say of them is shown without.
 */
Test(log, secrets_are_not_shown)
{
        struct world world;
        char hex[4][HEX];
        char catalog[2 * WORLD_PATH];
        char origin[2 * WORLD_PATH];
        static const int errors[] = {0, EACCES, ENOENT, EHOSTUNREACH};

        world_begin(&world);
        for (int i = 0; i < 4; i++)
                world_asset(&world, SIZE, hex[i]);
        /* The faulty origin takes the query for a part of the name. */
        cr_assert_eq(
            world_shell("cd '%s' && for f in *; do ln $f $f?sig=hunter2; done", world.files), 0);
        world_origin(&world);
        snprintf(catalog, sizeof(catalog), "%s/catalog.json", world.dir);
        world_text(catalog,
                   "{\"assets\": {"
                   "\"good\": {\"sha256\": \"%2$s\", \"url\": "
                   "\"http://127.0.0.1:%1$d/ok/%2$s?sig=hunter2\"},"
                   "\"to-user\": {\"sha256\": \"%3$s\", \"url\": "
                   "\"http://127.0.0.1:%1$d/to-user/%3$s?sig=hunter2\"},"
                   "\"missing\": {\"sha256\": \"%4$s\", \"url\": "
                   "\"http://127.0.0.1:%1$d/404/%4$s?sig=hunter2\"},"
                   "\"dead\": {\"sha256\": \"%5$s\", \"url\": "
                   "\"http://127.0.0.1:1/%5$s?sig=hunter2#hunter2\"}}}",
                   world.port, hex[0], hex[1], hex[2], hex[3]);
        snprintf(origin, sizeof(origin), "http://127.0.0.1:1/{sha256}?token=hunter2");
        world_mount(&world, "--catalog", catalog);
        for (int i = 0; i < 4; i++) {
                cr_expect_eq(world_open(world_path(&world, hex[i])), errors[i], "asset %d", i);
                expect_no_secret(&world, hex[i]);
        }
        cr_expect(strstr(world_xattr(world_path(&world, hex[0]), "user.assetfs.source"), "?..."));
        world_unmount(&world);
        world_mount(&world, "--origin", origin, "--proxy", "http://joe:hunter2@127.0.0.1:1");
        cr_expect_eq(world_open(world_path(&world, hex[3])), EHOSTUNREACH);
        expect_no_secret(&world, hex[3]);
        world_unmount(&world);
        cr_expect_eq(world_logged(&world, "event=failed"), 4);
        cr_expect_eq(world_logged(&world, "hunter2"), 0);
        world_end(&world);
}
