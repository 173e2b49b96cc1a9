/*
 * The verbs beside mount, as people and scripts use them: on a terminal of their own and
 * without one. Where a test needs a status at a moment of its choice, it writes the file, in
 * a directory that has the attribute by which verbs know a mount; a download is a fifo there.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

TestSuite(verbs, .timeout = 60);

#define SIZE 300000

/* Loaded machines are slow; what is not there by then is not there. */
#define PATIENCE_MS 20000

static const char nothing[] = "0000000000000000000000000000000000000000000000000000000000000000";

/* A program on a terminal of its own, and all that it has written there. */
struct terminal {
        pid_t pid;
        int fd;
        char text[1 << 16];
        size_t length;
};

static void terminal_start(struct terminal *terminal, const char *const *args)
{
        struct winsize size = {.ws_col = 100, .ws_row = 30};
        const char *argv[16] = {getenv("ASSETFS")};

        for (int i = 0; args[i]; i++)
                argv[i + 1] = args[i];
        terminal->length = 0;
        terminal->pid = forkpty(&terminal->fd, NULL, NULL, &size);
        cr_assert(terminal->pid >= 0);
        if (terminal->pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                setenv("TERM", "xterm", 1);
                execv(argv[0], (char *const *)argv);
                _exit(127);
        }
}
#define terminal_start(terminal, ...)                                                              \
        (terminal_start)(terminal, (const char *const[]){__VA_ARGS__, NULL})

/* Reads until `words` are among what came after `from`; where they end, or 0 at the end of the
 * program. */
static size_t terminal_expect(struct terminal *terminal, size_t from, const char *words)
{
        struct pollfd event = {.fd = terminal->fd, .events = POLLIN};
        int64_t deadline = now_ms() + PATIENCE_MS;

        for (;;) {
                const char *found;
                ssize_t got;

                terminal->text[terminal->length] = '\0';
                found = strstr(terminal->text + from, words);
                if (found)
                        return (size_t)(found - terminal->text) + strlen(words);
                cr_assert(now_ms() < deadline && terminal->length + 1 < sizeof(terminal->text),
                          "no '%s' in: %s", words, terminal->text + from);
                if (poll(&event, 1, 100) != 1)
                        continue;
                got = read(terminal->fd, terminal->text + terminal->length,
                           sizeof(terminal->text) - 1 - terminal->length);
                if (got <= 0)
                        return 0;
                terminal->length += (size_t)got;
        }
}

/* Reads what is left and reaps the program: its status, as the shell would say it. */
static int terminal_end(struct terminal *terminal)
{
        int status;

        terminal_expect(terminal, terminal->length, "\001never");
        cr_assert_eq(waitpid(terminal->pid, &status, 0), terminal->pid);
        close(terminal->fd);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void terminal_press_ctrl_c(struct terminal *terminal)
{
        cr_assert_eq(write(terminal->fd, "\003", 1), 1);
}

static size_t count(const char *text, const char *words)
{
        size_t found = 0;

        while ((text = strstr(text, words))) {
                text += strlen(words);
                found++;
        }
        return found;
}

static void write_status(const struct world *world, const char *flights)
{
        char path[2 * WORLD_PATH];
        char text[4096];

        snprintf(text, sizeof(text),
                 "{\"version\": 1, \"mountpoint\": \"/m\","
                 " \"downloads\": {\"running\": 1, \"queued\": 0, \"most\": 16},"
                 " \"flights\": [%s]}\n",
                 flights);
        snprintf(path, sizeof(path), "%s/new", world->dir);
        world_file(path, text, strlen(text));
        cr_assert_eq(rename(path, world_path(world, ".assetfs/status.json")), 0);
}

static void flight(char text[512], const char *hex, int bytes)
{
        snprintf(text, 512,
                 "{\"digest\": \"%s\", \"name\": \"kernel\\u001b[2J\", \"state\": \"running\","
                 " \"bytes\": %d, \"size\": 4096, \"rate\": 512, \"eta\": 6, \"waiters\": 0}",
                 hex, bytes);
}

/* A directory that verbs take for a mount. */
static void fake_mount(struct world *world)
{
        char cache[2 * WORLD_PATH];

        world_begin(world);
        snprintf(cache, sizeof(cache), "%s", world->cache);
        cr_assert_eq(mkdir(world_path(world, ".assetfs"), 0755), 0);
        cr_assert_eq(setxattr(world->mnt, "user.assetfs.cache", cache, strlen(cache), 0), 0);
}

Test(verbs, status_watch_draws_in_place_and_ends_by_ctrl_c)
{
        static struct terminal terminal;
        struct winsize narrow = {.ws_col = 30, .ws_row = 30};
        struct world world;
        char text[512];
        size_t at;

        fake_mount(&world);
        flight(text, nothing, 1024);
        write_status(&world, text);
        terminal_start(&terminal, "status", world.mnt, "--watch");
        at = terminal_expect(&terminal, 0, " 25 %  1.0 KiB/4.0 KiB  512 B/s  6 s left");
        cr_expect(strstr(terminal.text, "kernel?[2J"), "%s", terminal.text);
        cr_expect(strstr(terminal.text, "[##"));
        flight(text, nothing, 2048);
        write_status(&world, text);
        at = terminal_expect(&terminal, at, "A/m: assetfs"); /* up, over the first frame */
        at = terminal_expect(&terminal, at, " 50 %");
        cr_assert_eq(ioctl(terminal.fd, TIOCSWINSZ, &narrow), 0);
        at = terminal_expect(&terminal, at, "downloads: 1 running, 0 queue\033[K");
        at = terminal_expect(&terminal, at, "\r\nkernel?[2J             50 %  \033[K");
        terminal_press_ctrl_c(&terminal);
        cr_expect_eq(terminal_end(&terminal), 130);
        cr_expect_eq(count(terminal.text, "\033[2J"), 0);
        cr_expect_eq(count(terminal.text, "\033[?25l"), 0, "no cursor to bring back");
        world_end(&world);
}

Test(verbs, status_without_a_terminal_is_lines_and_json_is_the_file)
{
        struct world world;
        char output[8192];
        char text[512];
        int status;

        fake_mount(&world);
        cr_expect_eq(world_run(output, sizeof(output), "status", world.mnt), 1);
        cr_expect(strstr(output, "no status"), "%s", output);
        flight(text, nothing, 1024);
        write_status(&world, text);
        cr_expect_eq(world_run(output, sizeof(output), "status", world.mnt), 0);
        cr_expect(strstr(output, nothing), "whole digests: %s", output);
        cr_expect_null(strchr(output, '\033'));
        cr_expect_null(strchr(output, '#'));
        cr_expect_eq(world_shell("\"$ASSETFS\" status --json '%1$s' | "
                                 "cmp - '%1$s/.assetfs/status.json'",
                                 world.mnt),
                     0);
        /* Two rounds, each of two lines; the reader's end is the writer's. */
        status = world_shell("\"$ASSETFS\" status --watch '%s' | head -4 >'%s/lines' && "
                             "grep -c '%s kernel.*: 25 %%,' '%s/lines' | grep -qx 2",
                             world.mnt, world.dir, nothing, world.dir);
        cr_expect_eq(status, 0);
        world_file(world_path(&world, ".assetfs/status.json"), "{\n oops", 7);
        cr_expect_eq(world_run(output, sizeof(output), "status", "--json", world.mnt), 1);
        cr_expect(strstr(output, "status.json: line 2: "), "%s", output);
        cr_expect_eq(world_run(output, sizeof(output), "status", world.dir), 1);
        cr_expect(strstr(output, "not the mount point of an assetfs"), "%s", output);
        world_end(&world);
}

Test(verbs, json_is_as_the_schemas_say)
{
        cr_expect_eq(world_shell("tests/schema/validate tests/schema/status.schema.json "
                                 "tests/schema/status.example.json"),
                     0);
        /* And the schema says something. */
        cr_expect_neq(world_shell("sed 's/\"queued\"/\"lost\"/' tests/schema/status.example.json | "
                                  "tests/schema/validate tests/schema/status.schema.json - "
                                  ">/dev/null"),
                      0);
}

Test(verbs, prefetch_shows_bars_and_leaves_at_ctrl_c)
{
        static struct terminal terminal;
        struct world world;
        char text[512];
        int64_t pressed;
        size_t at;

        fake_mount(&world);
        cr_assert_eq(mkfifo(world_path(&world, nothing), 0644), 0);
        flight(text, nothing, 1024);
        write_status(&world, text);
        terminal_start(&terminal, "prefetch", world.mnt, nothing);
        at = terminal_expect(&terminal, 0, " 25 %  1.0 KiB/4.0 KiB");
        at = terminal_expect(&terminal, at, "] 0 of 1 cached, 512 B/s");
        flight(text, nothing, 2048);
        write_status(&world, text);
        at = terminal_expect(&terminal, at, "\033[2A");
        at = terminal_expect(&terminal, at, " 50 %");
        pressed = now_ms();
        terminal_press_ctrl_c(&terminal);
        cr_expect_eq(terminal_end(&terminal), 130);
        cr_expect_leq(now_ms() - pressed, SLOW_BUILD ? 5000 : 1000);
        cr_expect(strstr(terminal.text + at, "go on in the mount"), "%s", terminal.text);
        world_end(&world);
}

/* A catalog of three: two are there, one the origin does not have. */
static void with_catalog(struct world *world, char hex[2][HEX], char path[2 * WORLD_PATH])
{
        world_begin(world);
        world_asset(world, SIZE, hex[0]);
        world_asset(world, SIZE + 1, hex[1]);
        snprintf(path, 2 * WORLD_PATH, "%s/catalog.json", world->dir);
        world_text(path,
                   "{\"assets\": {\"kernel\": {\"sha256\": \"%s\", \"size\": %d},"
                   " \"alias\": {\"sha256\": \"%s\"},"
                   " \"root fs\": {\"sha256\": \"%s\"},"
                   " \"missing\": {\"sha256\": \"%s\"}}}",
                   hex[0], SIZE, hex[0], hex[1], nothing);
        world_origin(world);
}

Test(verbs, prefetch_is_done_only_when_all_are_cached)
{
        static struct terminal terminal;
        struct world world;
        char path[2 * WORLD_PATH];
        char words[256];
        char output[8192];
        char hex[2][HEX];

        with_catalog(&world, hex, path);
        world_mount(&world, "--origin", world_url(&world, "ok"), "--catalog", path);
        cr_expect_eq(
            world_run(output, sizeof(output), "prefetch", world.mnt, "kernel", hex[0], "alias"), 0,
            "%s", output);
        snprintf(words, sizeof(words), "cached %s kernel %d 0.", hex[0], SIZE);
        cr_expect(strncmp(output, words, strlen(words)) == 0, "%s", output);
        cr_expect_eq(count(output, "\n"), 1, "each digest once: %s", output);

        terminal_start(&terminal, "prefetch", world.mnt, "--catalog", path, "no such name");
        cr_expect_eq(terminal_end(&terminal), 1);
        snprintf(words, sizeof(words), "failed %s missing ENOENT: ", nothing);
        cr_expect(strstr(terminal.text, words), "%s", terminal.text);
        cr_expect(strstr(terminal.text, "failed - no such name ENOENT: neither a digest"));
        cr_expect(strstr(terminal.text, "] 2 of 4 cached, 2 failed"), "%s", terminal.text);
        cr_expect_eq(access(world_blob(&world, hex[1]), F_OK), 0);

        cr_expect_eq(world_run(output, sizeof(output), "prefetch", "-q", world.mnt, "root fs"), 0);
        cr_expect_str_eq(output, "");
        cr_expect_eq(world_run(output, sizeof(output), "prefetch", world.mnt), 2);
        cr_expect_eq(world_run(output, sizeof(output), "prefetch", world.dir, hex[0]), 1);
        cr_expect_eq(world_run(output, sizeof(output), "cancel", world.mnt, "no such name"), 1);
        cr_expect(strstr(output, "neither a digest"), "%s", output);
        world_end(&world);
}

Test(verbs, prefetch_that_is_left_leaves_the_download)
{
        static struct terminal terminal;
        struct opener opener = {0};
        struct world world;
        char path[2 * WORLD_PATH];
        char hex[2][HEX];
        int64_t pressed;

        with_catalog(&world, hex, path);
        world_mount(&world, "--origin", world_url(&world, "half-gate"));
        terminal_start(&terminal, "prefetch", world.mnt, hex[0], hex[1]);
        while (world_requests(&world, "GET /half-gate/") < 2)
                sleep_ms(5);
        terminal_expect(&terminal, 0, "] 0 of 2 cached");
        pressed = now_ms();
        terminal_press_ctrl_c(&terminal);
        cr_expect_eq(terminal_end(&terminal), 130);
        cr_expect_leq(now_ms() - pressed, SLOW_BUILD ? 5000 : 1000);
        world_open_gate(&world);
        opener_start(&opener, world_path(&world, hex[0]));
        cr_expect_eq(opener_result(&opener, PATIENCE_MS), 0);
        opener_start(&opener, world_path(&world, hex[1]));
        cr_expect_eq(opener_result(&opener, PATIENCE_MS), 0);
        cr_expect_eq(world_requests(&world, "GET /half-gate/"), 2, "they went on");
        world_end(&world);
}

/* The object of a digest in what `ls --json` said, up to its end; "" where there is none. */
static const char *object_of(const char *json, const char *hex)
{
        static char object[512];
        const char *found = strstr(json, hex);
        size_t length = found ? strcspn(found, "}") : 0;

        snprintf(object, sizeof(object), "%.*s", (int)length, found ? found : "");
        return object;
}

Test(verbs, ls_tells_of_a_mount_and_of_its_cache)
{
        struct world world;
        char path[2 * WORLD_PATH];
        char output[8192];
        char hex[2][HEX];
        struct stat st;

        with_catalog(&world, hex, path);
        world_mount(&world, "--origin", world_url(&world, "ok"), "--catalog", path);
        cr_assert_eq(world_open(world_path(&world, hex[0])), 0);
        cr_assert_neq(world_open(world_path(&world, nothing)), 0);
        snprintf(path, sizeof(path), "%s/pins/%s", world.cache, hex[0]);
        world_file(path, "", 0);
        cr_assert_eq(stat(world_blob(&world, hex[0]), &st), 0);

        cr_assert_eq(world_run(output, sizeof(output), "ls", world.mnt, "--json"), 0);
        snprintf(path, sizeof(path),
                 "%s\",\"name\":\"alias\",\"size\":%d,\"state\":\"cached\",\"last_opened\":%lld,"
                 "\"pinned\":true",
                 hex[0], SIZE, (long long)st.st_atime);
        cr_expect_str_eq(object_of(output, hex[0]), path);
        snprintf(path, sizeof(path),
                 "%s\",\"name\":\"root fs\",\"size\":null,\"state\":\"absent\","
                 "\"last_opened\":null,\"pinned\":false",
                 hex[1]);
        cr_expect_str_eq(object_of(output, hex[1]), path);
        cr_expect(strstr(object_of(output, nothing), "\"state\":\"failed\""), "%s", output);
        cr_expect_eq(world_requests(&world, "HEAD"), 0, "it asks nobody");
        cr_expect_eq(world_shell("for from in '%s' '--cache %s'; do \"$ASSETFS\" ls $from --json |"
                                 " tests/schema/validate tests/schema/ls.schema.json - || exit 1; "
                                 "done",
                                 world.mnt, world.cache),
                     0);
        cr_assert_eq(world_run(output, sizeof(output), "ls", "--cache", world.cache), 0);
        snprintf(path, sizeof(path), "%s  cached       293.0 KiB  ", hex[0]);
        cr_expect(strncmp(output, path, strlen(path)) == 0 && strstr(output, "  pinned  -\n"), "%s",
                  output);
        cr_expect_eq(count(output, "\n"), 1);
        world_end(&world);
}

/* "last opened" is true, also of a blob that stays open, whoever reads it. */
static void expect_noted(const char *passthrough)
{
        struct world world;
        struct stat st;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, SIZE, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "ok"), passthrough);

        int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

        cr_assert(fd >= 0);
        for (int i = 0; i < 2; i++) {
                const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_nsec = UTIME_OMIT}};

                cr_assert_eq(utimensat(AT_FDCWD, world_blob(&world, hex), times, 0), 0);

                int again = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

                cr_assert(again >= 0);
                close(again); /* not read: the file system would note that by itself */
                cr_assert_eq(stat(world_blob(&world, hex), &st), 0);
                cr_expect_gt(st.st_atime, 1000);
                cr_expect_str_eq(world_xattr(world_path(&world, hex), "user.assetfs.state"),
                                 "cached");
        }
        close(fd);
        cr_expect_eq(world_requests(&world, "GET"), 1);
        world_end(&world);
}

Test(verbs, open_is_noted_in_the_cache)
{
        expect_noted("-opassthrough=auto");
        expect_noted("-opassthrough=off");
}
