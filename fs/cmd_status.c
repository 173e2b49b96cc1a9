/*
 * `assetfs status`: MOUNTPOINT/.assetfs/status.json, in words or as it is, once or again and
 * again. Reads that file and nothing else.
 */
#include "fs/cmd.h"

#include "cas/io.h"
#include "fs/log.h"
#include "fs/mounted.h"
#include "fs/status_print.h"
#include "fs/terminal.h"
#include "fs/values.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: assetfs status MOUNTPOINT [--json | --watch[=SECONDS]]\n"
    "\n"
    "What a mount does: downloads under way and waiting, who waits for them, the cache, and\n"
    "what failed lately.\n"
    "\n"
    "  --json             MOUNTPOINT/.assetfs/status.json as it is\n"
    "  --watch[=SECONDS]  again every second, or every so many; on a terminal in place, with\n"
    "                     progress bars, else only the downloads, a line each\n"
    "\n"
    "Exit status: 0, 1 (failed), 2 (usage).\n";

struct request {
        const char *mountpoint;
        char path[PATH_MAX];
        bool json;
        unsigned every; /* seconds; 0: once */
};

static int usage_error(const char *words)
{
        fs_fail("status: %s: see assetfs status --help", words);
        return FS_USAGE_ERROR;
}

/* 0, an exit status after a line, or -1 after --help. */
static int read_arguments(int argc, char **argv, struct request *request)
{
        static const struct option options[] = {
            {"json", no_argument, NULL, 'j'},
            {"watch", optional_argument, NULL, 'w'},
            {"help", no_argument, NULL, 'h'},
            {0},
        };
        int option;

        opterr = 0;
        while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
                if (option == 'j')
                        request->json = true;
                else if (option == 'w' && !optarg)
                        request->every = 1;
                else if (option == 'w' &&
                         fs_parse_option_number("--watch", optarg, 1, 86400, &request->every) != 0)
                        return FS_USAGE_ERROR;
                else if (option == 'h')
                        return fputs(usage, stdout) < 0 ? 1 : -1;
                else if (option == '?')
                        return usage_error("an option that it does not know");
        }
        if (argc - optind != 1)
                return usage_error("wants one mount point");
        if (request->json && request->every)
                return usage_error("--json and --watch exclude each other");
        request->mountpoint = argv[optind];
        return 0;
}

static int failed(const struct request *request, int error, const char *why)
{
        if (error == -ENOENT)
                return fs_fail("%s: this mount has no status (an older assetfs)", request->path);
        return fs_fail("%s: %s", request->path, *why ? why : strerror(-error));
}

static int print_json(const struct request *request)
{
        _cleanup_free_ char *text = NULL;
        struct fs_status status = {0};
        char why[FS_STATUS_WHY] = "";
        size_t length = 0;
        int r = fs_status_read(request->path, &text, &length);

        if (r == 0)
                r = fs_status_parse(text, length, &status, why);
        if (r < 0)
                return failed(request, r, why);
        fs_status_free(&status);
        if (fwrite(text, 1, length, stdout) != length || fflush(stdout) != 0)
                return fs_fail("stdout: %s", strerror(errno));
        return 0;
}

/* For no terminal: what can be followed by its lines. */
static void print_followed(FILE *out, const struct fs_status *status)
{
        char when[FS_HUMAN];

        fs_human_time((int64_t)status->time, when);
        fprintf(out, "%s ", when);
        fs_status_print_downloads(out, status);
        for (size_t i = 0; i < status->flight_count; i++) {
                fprintf(out, "%s ", when);
                fs_status_print_progress(out, &status->flights[i], 0);
        }
}

static int print_once(const struct request *request, struct fs_screen *screen, bool terminal)
{
        _cleanup_free_ char *text = NULL;
        struct fs_status status = {0};
        char why[FS_STATUS_WHY];
        size_t length = 0;
        int r = fs_status_load(request->path, &status, why);
        FILE *out = r < 0 ? NULL : open_memstream(&text, &length);

        if (r < 0)
                return failed(request, r, why);
        if (out && terminal)
                fs_screen_measure(screen);
        if (out && request->every && !terminal)
                print_followed(out, &status);
        else if (out)
                fs_status_print(out, &status, terminal ? screen->columns : 0);
        fs_status_free(&status);
        if (!out || fclose(out) != 0)
                return fs_fail("%s", strerror(ENOMEM));
        if (request->every && terminal)
                r = fs_screen_draw(screen, text);
        else
                r = fputs(text, stdout) < 0 || fflush(stdout) != 0 ? -errno : 0;
        return r < 0 ? fs_fail("stdout: %s", strerror(-r)) : 0;
}

static void wake(int signal)
{
        (void)signal;
}

/* Until a signal ends us: there is nothing to tidy up (fs/terminal.h). A resize is drawn at
 * once; its signal comes while we sleep and at no other time. */
static int watch(const struct request *request, struct fs_screen *screen, bool terminal)
{
        const struct timespec pause = {.tv_sec = request->every};
        const struct sigaction resized = {.sa_handler = wake};
        sigset_t while_drawing;
        sigset_t while_asleep;
        int status;

        sigemptyset(&while_drawing);
        sigaddset(&while_drawing, SIGWINCH);
        sigprocmask(SIG_BLOCK, &while_drawing, &while_asleep);
        sigdelset(&while_asleep, SIGWINCH);
        sigaction(SIGWINCH, &resized, NULL);
        while ((status = print_once(request, screen, terminal)) == 0)
                ppoll(NULL, 0, &pause, &while_asleep);
        return status;
}

int cmd_status(int argc, char **argv)
{
        struct request request = {0};
        struct fs_screen screen;
        char cache[PATH_MAX];
        bool terminal = fs_is_terminal(STDOUT_FILENO);
        int status = read_arguments(argc, argv, &request);

        if (status != 0)
                return status < 0 ? 0 : status;
        if (fs_mounted_cache(request.mountpoint, cache) != 0)
                return 1;
        if (snprintf(request.path, sizeof(request.path), "%s/" FS_STATUS_FILE,
                     request.mountpoint) >= (int)sizeof(request.path))
                return fs_fail("%s: %s", request.mountpoint, strerror(ENAMETOOLONG));
        if (request.json)
                return print_json(&request);
        fs_screen_open(&screen, STDOUT_FILENO);
        return request.every ? watch(&request, &screen, terminal)
                             : print_once(&request, &screen, terminal);
}
