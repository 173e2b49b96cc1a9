/*
 * `assetfs mount`: puts the parts together in the order in which they can fail,
 * says so when the mount answers, and takes them apart when it ends.
 */
#include "fs/cmd.h"

#include "fs/log.h"
#include "fs/mountpoint.h"
#include "fs/parked.h"
#include "fs/session.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNECT_SECONDS 15
#define SIZE_TIMEOUT_MS 5000 /* a stat may wait so long for an origin */

struct mount {
        struct fs_options options;
        struct fetch_catalog *catalog;
        struct fs_server server;
        int ready; /* pipe to the parent; -1 with -f */
};

static void on_report(void *arg, const struct fetch_report *report)
{
        const struct fetch_cause *cause = report->cause;
        char hex[CAS_DIGEST_HEX + 1];
        double seconds = (double)report->duration_ms / 1000;

        (void)arg;
        cas_digest_format(&report->digest, hex);
        switch (report->event) {
        case FETCH_EVENT_FETCHED:
                fs_log(LOG_INFO, "event=fetched digest=%s source=%s bytes=%" PRIu64 " seconds=%.3f",
                       hex, cause->source, report->bytes, seconds);
                break;
        case FETCH_EVENT_REVALIDATED:
                fs_log(LOG_INFO, "event=revalidated digest=%s seconds=%.3f", hex, seconds);
                break;
        case FETCH_EVENT_REFUSED:
                fs_log(LOG_WARNING, "event=refused digest=%s cause=\"%s\"", hex, cause->text);
                break;
        case FETCH_EVENT_FAILED:
                fs_log(LOG_ERR,
                       "event=failed digest=%s errno=%s source=%s cause=\"%s\" sources=%u "
                       "bytes=%" PRIu64 " seconds=%.3f",
                       hex, strerrorname_np(fs_errno(cause)),
                       cause->source[0] ? cause->source : "-", cause->text, report->sources,
                       report->bytes, seconds);
                break;
        }
}

/* The kernel's INIT is being answered: whoever waits for the mount may go on. */
static void on_init(void *arg)
{
        struct mount *mount = arg;
        int null;

        if (mount->ready >= 0)
                fs_log_to_syslog();
        fs_log(LOG_INFO, "event=mounted mountpoint=%s", mount->options.mountpoint);
        if (mount->ready < 0)
                return;
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null >= 0) {
                for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                        dup2(null, fd);
                close(null);
        }
        if (write(mount->ready, "", 1) < 0)
                fs_log(LOG_ERR, "event=ready cause=\"%s\"", strerror(errno));
        close(mount->ready);
        mount->ready = -1;
}

static int load_catalogs(struct mount *mount)
{
        char why[FETCH_CATALOG_WHY];

        if (fetch_catalog_load(mount->options.catalogs, mount->options.catalog_count,
                               &mount->catalog, why) < 0)
                return fs_fail("--catalog %s", why);
        mount->server.catalog = mount->catalog;
        return 0;
}

static int open_store(struct mount *mount)
{
        char why[CAS_STORE_WHY];

        if (cas_store_open(mount->options.cache, &mount->server.store, why) < 0)
                return fs_fail("--cache %s: %s", mount->options.cache, why);
        if (cas_store_readable_by_others(mount->server.store))
                fs_log(LOG_WARNING,
                       "event=cache-readable cache=%s "
                       "cause=\"others can read the cache; 0700 keeps them out\"",
                       mount->options.cache);
        return 0;
}

static int start_fetch(struct mount *mount)
{
        const struct fs_options *options = &mount->options;
        struct fetch_config config = {
            .store = mount->server.store,
            .origins = {mount->catalog, options->origins, options->origin_count},
            .http = {.ca_file = options->ca_file,
                     .proxy = options->proxy,
                     .stall_seconds = options->stall_timeout,
                     .min_rate = options->min_rate,
                     .connect_seconds = CONNECT_SECONDS},
            .bound = options->max_asset_size,
            .max_downloads = options->max_downloads,
            .size_timeout_ms = SIZE_TIMEOUT_MS,
            .report = on_report,
        };
        int r = fetch_new(&config, &mount->server.fetch);

        return r < 0 ? fs_fail("cannot start: %s", strerror(-r)) : 0;
}

static int set_up(struct mount *mount)
{
        struct fs_server *server = &mount->server;
        const struct fs_options *options = &mount->options;
        char why[256];
        int r;

        server->uid = options->uid;
        server->gid = options->gid;
        server->umask = options->umask;
        server->open_timeout_ms = options->open_timeout * 1000;
        server->size_timeout_ms = SIZE_TIMEOUT_MS;
        server->on_init = on_init;
        server->on_init_arg = mount;
        if ((r = load_catalogs(mount)) || (r = open_store(mount)))
                return r;
        if (fs_mountpoint_prepare(mount->options.mountpoint, sizeof(mount->options.mountpoint),
                                  options->cache, why, sizeof(why)) < 0)
                return fs_fail("%s: %s", options->mountpoint, why);
        if ((r = start_fetch(mount)))
                return r;
        if ((r = fs_nodes_new(&server->nodes)) < 0 ||
            (r = fs_parked_new(server, &server->parked)) < 0)
                return fs_fail("cannot start: %s", strerror(-r));
        if (fs_session_mount(server, options, why, sizeof(why)) < 0)
                return fs_fail("cannot mount on %s: %s", options->mountpoint, why);
        return 0;
}

static void end_waits(struct fs_server *server)
{
        fetch_stop(server->fetch);
}

static void tear_down(struct mount *mount)
{
        struct fs_server *server = &mount->server;

        fs_session_end(server);
        if (server->fetch)
                fetch_stop(server->fetch);
        fs_parked_free(server->parked);
        fetch_free(server->fetch);
        fs_nodes_free(server->nodes);
        cas_store_free(server->store);
        fetch_catalog_free(mount->catalog);
}

/* Everything after the fork. The exit status. */
static int run(struct mount *mount)
{
        int status;

        umask(077);
        fs_session_block_signals();
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return fs_fail("cannot start: libcurl");
        status = set_up(mount);
        if (status == 0) {
                if (chdir("/") < 0)
                        fs_log(LOG_WARNING, "event=chdir cause=\"%s\"", strerror(errno));

                int r = fs_session_serve(&mount->server, end_waits);

                if (r < 0)
                        status = fs_fail("cannot serve: %s", strerror(-r));
        }
        tear_down(mount);
        curl_global_cleanup();
        return status;
}

/* Waits until the child's mount answers (0) or it has failed and said why (its status). */
static int wait_for_child(pid_t child, int ready)
{
        char byte;
        ssize_t got;
        int status;

        do
                got = read(ready, &byte, 1);
        while (got < 0 && errno == EINTR);
        if (got == 1)
                return 0;
        while (waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        return fs_fail("waiting: %s", strerror(errno));
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
                return WEXITSTATUS(status);
        return fs_fail("the daemon ended before the mount answered");
}

static int run_in_background(struct mount *mount)
{
        int ready[2];
        pid_t child;

        if (pipe2(ready, O_CLOEXEC) < 0 || (child = fork()) < 0)
                return fs_fail("cannot start: %s", strerror(errno));
        if (child > 0) {
                close(ready[1]);
                return wait_for_child(child, ready[0]);
        }
        close(ready[0]);
        setsid();
        mount->ready = ready[1];
        return run(mount);
}

/* Standard descriptors exist, nothing else is inherited. */
static void clean_descriptors(void)
{
        int fd;

        do
                fd = open("/dev/null", O_RDWR);
        while (fd >= 0 && fd <= STDERR_FILENO);
        close_range(STDERR_FILENO + 1, ~0U, 0);
}

int cmd_mount(int argc, char **argv)
{
        static struct mount mount; /* tens of KiB of paths */
        int status;

        clean_descriptors();
        mount.ready = -1;
        status = fs_options_parse(argc, argv, &mount.options);
        if (status == 0)
                status = mount.options.foreground ? run(&mount) : run_in_background(&mount);
        fs_options_free(&mount.options);
        return status == FS_OPTIONS_HELPED ? 0 : status;
}
