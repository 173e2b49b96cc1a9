/*
 * /.assetfs: the status and the metrics, as jq, promtool and node_exporter see them, while
 * downloads run, wait, fail, are cancelled, and workers die.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(report, .timeout = 60);

#define SIZE 300000

/* The whole file; valid until the next call. */
static const char *read_report(const struct world *world, const char *name)
{
        static char text[1 << 20];
        char path[2 * WORLD_PATH];
        size_t length = 0;
        ssize_t got;

        snprintf(path, sizeof(path), "%s/.assetfs/%s", world->mnt, name);

        int fd = open(path, O_RDONLY | O_CLOEXEC);

        cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
        while ((got = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
                length += (size_t)got;
        cr_assert_eq(got, 0);
        close(fd);
        text[length] = '\0';
        return text;
}

/* Does the status have these words, within some seconds? */
static bool says(const struct world *world, const char *words)
{
        for (int i = 0; i < 500; i++) {
                if (strstr(read_report(world, "status.json"), words))
                        return true;
                sleep_ms(20);
        }
        return false;
}

/* The value of a metric, named with its labels; -1 where there is none. */
static double metric(const struct world *world, const char *name)
{
        const char *line = read_report(world, "metrics.prom");
        size_t length = strlen(name);

        while (line && !(strncmp(line, name, length) == 0 && line[length] == ' ')) {
                line = strchr(line, '\n');
                line = line ? line + 1 : NULL;
        }
        return line ? strtod(line + length, NULL) : -1;
}

/* By the schema that is a promise. */
static int schema_check(const struct world *world)
{
        return world_shell("tests/schema/validate tests/schema/status.schema.json "
                           "'%s/.assetfs/status.json' >&2",
                           world->mnt);
}

/* The verbs, with a real mount behind them: half of the asset is there, one waits. */
static void as_verbs_say(const struct world *world, const char *hex)
{
        char output[8192];

        cr_expect_eq(world_run(output, sizeof(output), "status", world->mnt), 0, "%s", output);
        cr_expect_not_null(strstr(output, hex), "%s", output);
        cr_expect_not_null(strstr(output, "root \"fs\""), "%s", output);
        cr_expect_null(strstr(output, "planted"));
        cr_expect_eq(world_run(output, sizeof(output), "status", "--json", world->mnt), 0);
        cr_expect_not_null(strstr(output, "\"waiters\": 1"), "%s", output);
        cr_expect_eq(world_run(output, sizeof(output), "ls", world->mnt), 0);
        cr_expect_not_null(strstr(output, "fetching"), "%s", output);
        cr_expect_eq(world_shell("\"$ASSETFS\" ls --json '%s' | "
                                 "tests/schema/validate tests/schema/ls.schema.json -",
                                 world->mnt),
                     0);
}

Test(report, status_of_a_download)
{
        struct world world;
        struct opener opener;
        char hex[HEX];
        char catalog[2 * WORLD_PATH];
        char words[256];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        snprintf(catalog, sizeof(catalog), "%s/catalog.json", world.dir);
        world_text(catalog,
                   "{\"assets\": {\"root \\\"fs\\\"\": {\"sha256\": \"%s\", \"url\": "
                   "\"http://127.0.0.1:%d/half-gate/%s?token=planted-secret\"}}}",
                   hex, world.port, hex);
        world_mount(&world, "--catalog", catalog);
        cr_expect_eq(schema_check(&world), 0);
        cr_expect(says(&world, "\"flights\": []"));

        opener_start(&opener, world_path(&world, hex));
        opener_parked(&opener);
        snprintf(words, sizeof(words), "\"bytes\": %d,\n   \"size\": %d,", SIZE / 2, SIZE);
        cr_expect(says(&world, words), "%s", read_report(&world, "status.json"));
        cr_expect(says(&world, "\"name\": \"root \\\"fs\\\"\""));
        cr_expect(says(&world, "\"state\": \"running\""));
        cr_expect(says(&world, "\"waiters\": 1"));
        snprintf(words, sizeof(words), "\"pid\": %d,", opener.pid);
        cr_expect(says(&world, words));
        cr_expect(says(&world, hex));
        cr_expect_eq(schema_check(&world), 0);
        cr_expect_null(strstr(read_report(&world, "status.json"), "planted"));
        cr_expect_null(strstr(read_report(&world, "metrics.prom"), "planted"));
        as_verbs_say(&world, hex);

        world_open_gate(&world);
        cr_expect_eq(opener_result(&opener, 10000), 0);
        cr_expect(says(&world, "\"flights\": []"));
        cr_expect(says(&world, "\"blobs\": 1,"), "%s", read_report(&world, "status.json"));
        world_end(&world);
}

Test(report, failures_have_causes)
{
        struct world world;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "wrong"));
        cr_expect_eq(world_open(world_path(&world, hex)), EBADMSG);
        cr_expect(says(&world, "\"errno\": \"EBADMSG\""));
        cr_expect(says(&world, "have another SHA-256"));
        cr_expect_eq(schema_check(&world), 0);
        cr_expect_eq(metric(&world, "assetfs_downloads_total{result=\"wrong_bytes\"}"), 1);
        world_end(&world);
}

static unsigned restarts(const struct world *world)
{
        return (unsigned)metric(world, "assetfs_worker_restarts_total");
}

Test(report, counters_outlive_the_worker)
{
        struct world world;
        char hex[HEX];
        char name[128];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_expect_eq(metric(&world, "assetfs_misses_total"), 0);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(world_open(world_path(&world, hex)), 0);

        int kept = open("/dev/null", O_RDONLY | O_CLOEXEC);
        pid_t worker = world_worker(&world);

        kill(worker, SIGKILL);
        world_next_worker(&world, worker);
        close(kept);
        cr_expect_eq(restarts(&world), 1);
        cr_expect(says(&world, "\"restarts\": 1"));
        cr_expect_eq(metric(&world, "assetfs_downloads_total{result=\"ok\"}"), 1);
        cr_expect_eq(metric(&world, "assetfs_misses_total"), 1);
        cr_expect_eq(metric(&world, "assetfs_hits_total"), 1);
        snprintf(name, sizeof(name), "assetfs_download_bytes_total{origin=\"http://127.0.0.1:%d\"}",
                 world.port);
        cr_expect_eq(metric(&world, name), SIZE);
        cr_expect_eq(metric(&world, "assetfs_open_wait_seconds_count"), 1);
        cr_expect_eq(metric(&world, "assetfs_download_phase_seconds_count{phase=\"connect\"}"), 1);
        cr_expect_eq(metric(&world, "assetfs_download_phase_seconds_count{phase=\"publish\"}"), 1);
        world_end(&world);
}

Test(report, promtool_and_node_exporter)
{
        struct world world;
        char hex[HEX];
        int port = world_free_port();

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        cr_expect_eq(world_open(world_path(&world, hex)), 0);
        cr_expect_eq(
            world_shell("promtool check metrics <'%s/.assetfs/metrics.prom' >&2", world.mnt), 0);
        cr_expect_eq(world_shell("mkdir '%1$s/textfile' && "
                                 "ln -s '%2$s/.assetfs/metrics.prom' '%1$s/textfile/assetfs.prom'",
                                 world.dir, world.mnt),
                     0);
        cr_expect_eq(
            world_shell("prometheus-node-exporter --collector.disable-defaults "
                        "--collector.textfile --collector.textfile.directory='%s/textfile' "
                        "--web.listen-address=127.0.0.1:%d >'%s/exporter.log' 2>&1 & "
                        "exporter=$!; "
                        "for i in $(seq 100); do "
                        "curl -s http://127.0.0.1:%d/metrics >'%s/scrape' && break; sleep 0.1; "
                        "done; kill $exporter; wait $exporter; "
                        "grep -q 'assetfs_downloads_total{result=\"ok\"} 1' '%s/scrape' && "
                        "grep -q 'node_textfile_scrape_error 0' '%s/scrape'",
                        world.dir, port, world.dir, port, world.dir, world.dir, world.dir),
            0);
        world_end(&world);
}

Test(report, nobody_can_hold_all_of_them)
{
        struct world world;
        char path[2 * WORLD_PATH];
        char byte;
        int fds[100];

        world_begin(&world);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        snprintf(path, sizeof(path), "%s/.assetfs/status.json", world.mnt);
        for (int i = 0; i < 100; i++) {
                fds[i] = open(path, O_RDONLY | O_CLOEXEC);
                cr_assert(fds[i] >= 0, "%d: %s", i, strerror(errno));
                cr_expect_eq(pread(fds[i], &byte, 1, 0), 1);
        }
        cr_expect_eq(pread(fds[99], &byte, 1, 1), 1);
        cr_expect_eq(pread(fds[0], &byte, 1, 1), -1, "the oldest is lost");
        cr_expect_eq(errno, ESTALE);
        for (int i = 0; i < 100; i++)
                close(fds[i]);
        world_end(&world);
}

Test(report, reads_in_pieces_and_changes_nothing)
{
        struct world world;
        char path[2 * WORLD_PATH];
        char start[16];
        char rest[16];
        struct stat st;

        world_begin(&world);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"));
        snprintf(path, sizeof(path), "%s/.assetfs/metrics.prom", world.mnt);
        cr_expect_eq(stat(path, &st), 0);
        cr_expect_eq(st.st_mode, S_IFREG | 0444);
        cr_expect_eq(open(path, O_RDWR | O_CLOEXEC), -1);
        cr_expect_eq(errno, EROFS);

        int fd = open(path, O_RDONLY | O_CLOEXEC);

        cr_assert(fd >= 0);
        cr_expect_eq(pread(fd, start, 16, 0), 16);
        cr_expect_eq(pread(fd, rest, 16, 8), 16);
        cr_expect_arr_eq(start + 8, rest, 8);
        cr_expect_eq(pread(fd, rest, 16, 1 << 24), 0);

        pid_t worker = world_worker(&world);

        kill(worker, SIGKILL);
        world_next_worker(&world, worker);

        /* Its text died with the worker, unless the first read was still in the journal and is
         * answered again. */
        ssize_t got = pread(fd, rest, 16, 8);

        cr_expect(got == 16 || (got == -1 && errno == ESTALE), "%zd", got);
        cr_expect_eq(pread(fd, rest, 16, 0), 16, "who begins anew gets a new one");
        cr_expect_eq(pread(fd, rest, 16, 8), 16);
        close(fd);
        cr_expect_eq(world_shell("ls -a '%1$s/.assetfs' | grep -q status.json && "
                                 "ls -a '%1$s' | grep -qx .assetfs",
                                 world.mnt),
                     0);
        world_end(&world);
}

static void cancels(bool queued)
{
        struct world world;
        struct opener openers[2];
        char hex[2][HEX];
        char line[256];
        int which = queued ? 1 : 0;

        world_begin(&world);
        world_asset(&world, SIZE, hex[0]);
        world_asset(&world, SIZE, hex[1]);
        world_origin(&world);
        world_mount(&world, "--max-downloads=1", "--origin", world_url(&world, "half-gate"));
        for (int i = 0; i < 2; i++) {
                opener_start(&openers[i], world_path(&world, hex[queued ? i : 0]));
                opener_parked(&openers[i]);
        }
        cr_expect(says(&world, queued ? "\"state\": \"queued\"" : "\"waiters\": 2"));
        cr_expect_eq(world_run(line, sizeof(line), "cancel", world.mnt, hex[which]), 0, "%s", line);
        for (int i = which; i < 2; i++)
                cr_expect_eq(opener_result(&openers[i], 10000), ECANCELED);
        if (queued) {
                world_open_gate(&world);
                cr_expect_eq(opener_result(&openers[0], 10000), 0);
        }
        cr_expect(says(&world, "\"flights\": []"));
        cr_expect_neq(access(world_staging(&world, hex[which]), F_OK), 0, "nothing is left");
        cr_expect_eq(world_logged(&world, "event=cancelled"), 1);

        /* Nothing is under way any more; and the next open is a new one. */
        cr_expect_eq(world_run(line, sizeof(line), "cancel", world.mnt, hex[which]), 1);
        cr_expect_not_null(strstr(line, "no download of this digest is under way"), "%s", line);
        world_open_gate(&world);
        cr_expect_eq(world_open(world_path(&world, hex[which])), 0);
        world_end(&world);
}

Test(report, fault_79_cancel_with_waiters)
{
        cancels(false);
}

Test(report, fault_79_cancel_of_one_that_queues)
{
        cancels(true);
}
