/*
 * FAULTS, the configuration file: what is refused at the start, what a reload applies, what
 * it leaves as it was, and what a worker reads that is started after a crash.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(config, .timeout = 90);

#define SIZE 100000

static char path[2 * WORLD_PATH]; /* of the file */

static void begin(struct world *world)
{
        world_begin(world);
        snprintf(path, sizeof(path), "%s/node.conf", world->dir);
}

/* The file's text. Only root may read it. */
__attribute__((format(printf, 1, 2))) static void write_config(const char *format, ...)
{
        char text[4096];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        world_file(path, text, strlen(text));
        cr_assert_eq(chmod(path, 0600), 0);
}

/* Neither mounts nor passes the check; both say `line`, and nothing else. */
static void expect_refused(const struct world *world, const char *line)
{
        char wanted[4096];
        char output[4096];

        snprintf(wanted, sizeof(wanted), "assetfs: %s:%s\n", path, line);
        cr_expect_eq(world_run(output, sizeof(output), "mount", "-c", path, "--cache", world->cache,
                               world->mnt),
                     2);
        cr_expect_str_eq(output, wanted);
        cr_expect_eq(world_run(output, sizeof(output), "check-config", path), 1);
        cr_expect_str_eq(output, wanted);
}

Test(config, fault_64_config_typo)
{
        struct world world;

        begin(&world);
        write_config("# a typo\n[orign \"main\"]\nurl = file:///{sha256}\n");
        expect_refused(&world, "2: unknown section [orign]");
        world_end(&world);
}

Test(config, fault_64_unknown_key)
{
        struct world world;

        begin(&world);
        write_config("[origin \"main\"]\nurl = file:///{sha256}\n\n[limits]\nretrys = 3\n");
        expect_refused(&world, "5: unknown key 'retrys' in [limits]");
        world_end(&world);
}

Test(config, fault_64_impossible_size)
{
        struct world world;

        begin(&world);
        write_config("[limits]\nmax-asset-size = 8388608T\n[origin \"a\"]\nurl = file:///{sha256}");
        expect_refused(&world, "2: max-asset-size 8388608T: not a size (1024, 10K, 8G, ...)");
        world_end(&world);
}

Test(config, checks)
{
        struct world world;
        char catalog[3 * WORLD_PATH];
        char wanted[4 * WORLD_PATH];
        char output[4096];

        begin(&world);
        write_config("[origin \"a\"]\nurl = file:///{sha256}\n[catalog \"b\"]\nfile = c.json\n");
        snprintf(catalog, sizeof(catalog), "%s/c.json", world.dir);
        world_text(catalog, "{\"assets\": {}}");
        snprintf(wanted, sizeof(wanted), "%s: ok: 1 origin, 1 catalog\n", path);
        cr_expect_eq(world_run(output, sizeof(output), "check-config", path), 0);
        cr_expect_str_eq(output, wanted);
        world_text(catalog, "{\"assets\": {\n\"x\": 7}}");
        cr_expect_eq(world_run(output, sizeof(output), "check-config", path), 1);
        cr_expect(strstr(output, "c.json:2: x"), "%s", output);
        write_config("[mount]\nusr = 1\n[limits]\nretries = x\n");
        cr_expect_eq(world_run(output, sizeof(output), "check-config", path), 1);
        cr_expect(strstr(output, "conf:2: ") && strstr(output, "conf:4: "), "%s", output);
        write_config("[origin \"a\"]\nurl = file:///{sha256}\n[mount]\nuser = root\n");
        cr_expect_eq(world_run(output, sizeof(output), "check-config", path), 1);
        cr_expect(strstr(output, "not made as root"), "%s", output);
        cr_expect_eq(world_run(output, sizeof(output), "check-config"), 2);
        cr_expect_eq(chmod(path, 0666), 0);
        cr_expect_eq(world_run(output, sizeof(output), "check-config", path), 1);
        cr_expect(strstr(output, "others than its owner can write it"), "%s", output);
        world_end(&world);
}

/* What `reload` says, with its status. */
static int reload(const struct world *world, char output[1024])
{
        return world_run(output, 1024, "reload", world->mnt);
}

/* Neither process logs any more what is not an error. */
static void expect_silence(struct world *world)
{
        char output[1024];
        char hex[HEX];

        world_asset(world, SIZE, hex);
        write_config("[origin \"a\"]\nurl = file://%s/{sha256}\n[mount]\nlog-level = error\n",
                     world->files);
        cr_expect_eq(reload(world, output), 0, "%s", output);
        cr_expect_eq(world_open(world_path(world, hex)), 0);
        cr_expect_eq(world_logged(world, "event=fetched"), 2);
        cr_expect_eq(world_logged(world, "event=reloaded"), 1);
}

/* The file's secrets are in no command line, and the worker needs no right to read it. */
Test(config, reload_applies_origins_and_limits)
{
        struct world world;
        char output[1024];
        char small[HEX];
        char large[HEX];

        begin(&world);
        world_origin(&world);
        world_asset(&world, SIZE, small);
        world_asset(&world, 3 * SIZE, large);
        write_config("[origin \"a\"]\nurl = %s?token=hunter2\n", world_url(&world, "404"));
        world_mount(&world, "-c", path);
        cr_expect_eq(world_open(world_path(&world, small)), ENOENT);
        cr_expect_neq(world_shell("cat /proc/%d/cmdline /proc/%d/cmdline | grep -aq hunter2",
                                  world.daemon, world_worker(&world)),
                      0);
        write_config("[origin \"a\"]\nurl = %s\n[limits]\nmax-asset-size = 200000\n"
                     "[mount]\nlog-level = debug\n",
                     world_url(&world, "ok"));
        cr_expect_eq(reload(&world, output), 0, "%s", output);
        cr_expect_str_eq(output, "");
        cr_expect_eq(world_open(world_path(&world, small)), 0);
        cr_expect_eq(world_open(world_path(&world, large)), EFBIG);
        /* And the worker after the next crash knows nothing of what was not applied. */
        pid_t worker = world_worker(&world);

        write_config("[origin \"a\"]\nurl = nonsense\n");
        kill(worker, SIGKILL);
        world_next_worker(&world, worker);
        world_asset(&world, SIZE, small);
        cr_expect_eq(world_open(world_path(&world, small)), 0);
        expect_silence(&world);
        world_end(&world);
}

Test(config, reload_of_a_broken_file_changes_nothing)
{
        struct world world;
        char output[1024];
        char wanted[4096];
        char hex[HEX];
        pid_t worker;

        begin(&world);
        world_asset(&world, SIZE, hex);
        write_config("[origin \"a\"]\nurl = file://%s/{sha256}\n", world.files);
        world_mount(&world, "-c", path);
        worker = world_worker(&world);
        write_config("[origin \"a\"]\nurl = file:///nowhere/{sha256}\nurl2 = x\n");
        cr_expect_eq(reload(&world, output), 1);
        snprintf(wanted, sizeof(wanted), "assetfs: %s:3: unknown key 'url2' in [origin]\n", path);
        cr_expect_str_eq(output, wanted);
        cr_expect_eq(world_worker(&world), worker);
        cr_expect_eq(world_logged(&world, "event=reload-failed"), 1);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        unlink(path);
        cr_expect_eq(reload(&world, output), 1);
        cr_expect(strstr(output, "node.conf: No such file"), "%s", output);
        cr_expect_eq(world_worker(&world), worker);
        world_end(&world);
}

Test(config, reload_names_what_needs_a_remount)
{
        struct world world;
        struct stat st;
        char output[1024];
        char hex[HEX];

        begin(&world);
        world_asset(&world, SIZE, hex);
        write_config("[origin \"a\"]\nurl = file:///nowhere/{sha256}\n"
                     "[mount]\noptions = uid=12\n");
        world_mount(&world, "-c", path);
        write_config("[origin \"a\"]\nurl = file://%s/{sha256}\n"
                     "[mount]\noptions = uid=13,umask=077,noexec\nuser = daemon\n"
                     "[cache]\ncache = other\n",
                     world.files);
        cr_expect_eq(reload(&world, output), 0);
        cr_expect_str_eq(output, "applied; these need a remount: uid, umask, options\n",
                         "cache and user stand in the command line");
        cr_expect_eq(world_logged(&world, "event=reloaded need-remount=\"uid, umask, options\""),
                     1);
        cr_expect_eq(world_open(world_path(&world, hex)), 0, "the rest is applied");
        cr_expect_eq(stat(world_path(&world, hex), &st), 0);
        cr_expect(st.st_uid == 12 && (st.st_mode & 077) == 055, "as they were");
        world_end(&world);
}

/* The file is right, and the worker cannot live by it: the configuration before counts, also
 * after a crash. */
Test(config, reload_falls_back_with_the_configuration)
{
        struct world world;
        char output[1024];
        char hex[HEX];
        pid_t worker;

        begin(&world);
        world_asset(&world, SIZE, hex);
        write_config("[origin \"a\"]\nurl = file://%s/{sha256}\n", world.files);
        world_mount(&world, "-c", path);
        worker = world_worker(&world);
        write_config("[origin \"a\"]\nurl = file:///nowhere/{sha256}\n"
                     "[mount]\nca = node.conf\n");
        cr_expect_eq(reload(&world, output), 1);
        cr_expect(strstr(output, "the old one goes on, with the configuration it had"), "%s",
                  output);
        cr_expect_eq(world_logged(&world, "node.conf: uid 65534: Permission denied"), 1);
        worker = world_next_worker(&world, worker);
        kill(worker, SIGKILL);
        world_next_worker(&world, worker);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        world_end(&world);
}

/* Nor does what was only tried leave its catalogs behind, where those before it live by the
 * last good one. */
Test(config, reload_falls_back_with_the_catalogs)
{
        struct world world;
        struct stat st;
        char output[1024];
        char one[2 * WORLD_PATH];
        char two[2 * WORLD_PATH];
        char hex[HEX];

        begin(&world);
        world_asset(&world, SIZE, hex);
        snprintf(one, sizeof(one), "%s/one.json", world.dir);
        snprintf(two, sizeof(two), "%s/two.json", world.dir);
        world_text(one, "{\"assets\": {\"one\": {\"sha256\": \"%s\"}}}", hex);
        world_text(two, "{\"assets\": {\"two\": {\"sha256\": \"%s\"}}}", hex);
        write_config("[catalog \"1\"]\nfile = one.json\n");
        world_mount(&world, "-c", path);
        world_text(one, "{");
        write_config("[catalog \"2\"]\nfile = two.json\n[catalog \"3\"]\nfile = two.json\n"
                     "[mount]\nca = node.conf\n");
        cr_expect_eq(reload(&world, output), 1);
        cr_expect(strstr(output, "the old one goes on"), "%s", output);
        cr_expect_eq(lstat(world_path(&world, "by-name/one"), &st), 0);
        cr_expect_eq(world_logged(&world, "event=given-up"), 0);
        world_end(&world);
}

/* A certificate file that goes away takes the https downloads with it, not the mount. */
Test(config, mount_outlives_its_ca_file)
{
        struct world world;
        char output[1024];
        char ca[2 * WORLD_PATH];
        char hex[HEX];
        pid_t worker;

        begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        snprintf(ca, sizeof(ca), "%s/ca.pem", world.dir);
        world_text(ca, "not looked into by http\n");
        write_config("[origin \"a\"]\nurl = %s\n[mount]\nca = ca.pem\n", world_url(&world, "ok"));
        world_mount(&world, "-c", path);
        worker = world_worker(&world);
        cr_assert_eq(chmod(ca, 0600), 0);

        cr_expect_eq(reload(&world, output), 1, "a reload is refused, %s", output);
        cr_expect(strstr(output, "the old one goes on"), "%s", output);
        worker = world_next_worker(&world, worker);
        cr_assert_eq(unlink(ca), 0);
        kill(worker, SIGKILL);
        world_next_worker(&world, worker);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_geq(world_logged(&world, "event=ca-unreadable"), 1);
        cr_expect_eq(world_logged(&world, "event=given-up"), 0);
        world_end(&world);
}
