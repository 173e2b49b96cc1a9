/*
 * A worker's life: privileges first, then the parts in the order in which they can
 * fail, then what the worker before it left, then the kernel's requests.
 */
#include "fs/worker.h"

#include "cas/io.h"
#include "cas/room.h"
#include "cas/slots.h"
#include "fetch/clock.h"
#include "fs/account.h"
#include "fs/catalogs.h"
#include "fs/command.h"
#include "fs/keeper.h"
#include "fs/log.h"
#include "fs/parked.h"
#include "fs/readable.h"
#include "fs/report.h"
#include "fs/sandbox.h"
#include "fs/scrub.h"
#include "fs/session.h"
#include "fs/view.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECT_SECONDS 15
#define BUFFERS_BYTES   (32u << 20)
/* curl's own buffer of each transfer. The large one brings a single download a seventh more
 * (measured), and would cost 64 of them 24 MiB. */
#define MANY_DOWNLOADS 16
#define BUFFER_OF_FEW  (256u << 10)
#define BUFFER_OF_MANY (64u << 10)

#define PATIENCE_MS     300000 /* the longest Retry-After that is waited for */
#define SIZE_TIMEOUT_MS 5000   /* a stat may wait so long for an origin */

struct worker {
        struct fs_options options;
        struct fs_memory *memory;
        struct fs_catalogs catalogs;
        struct fetch_proxies proxies;
        struct fs_channel channel;
        struct fetch_auth_opener opener; /* of credentials that are root's alone */
        struct fs_server server;
};

static int64_t wall_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Counts it, for the status and the metrics. */
static void note_report(struct worker *worker, const struct fetch_report *report)
{
        struct fs_metrics *metrics = &worker->memory->metrics;
        const struct fetch_cause *cause = report->cause;

        if (report->event == FETCH_EVENT_REVALIDATED)
                atomic_fetch_add(&metrics->revalidated, 1);
        if (report->event == FETCH_EVENT_REFUSED)
                atomic_fetch_add(&metrics->refused, 1);
        if (report->event == FETCH_EVENT_FETCHED || report->event == FETCH_EVENT_FAILED) {
                atomic_fetch_add(&metrics->downloads[cause->kind], 1);
                fs_metrics_observe(&metrics->download, report->duration_ms * 1000);
                fs_keeper_ask(worker->server.keeper);
        }
        if (report->event == FETCH_EVENT_FAILED) {
                struct fs_failure failure = {.digest = report->digest,
                                             .time_ms = wall_ms(),
                                             .duration_ms = report->duration_ms,
                                             .bytes = report->bytes,
                                             .error = fs_errno(cause)};

                memcpy(failure.cause, cause->text, sizeof(failure.cause));
                memcpy(failure.source, cause->source, sizeof(failure.source));
                fs_metrics_fail(metrics, &failure);
        }
}

static void note_phase(void *arg, enum fetch_phase phase, int64_t microseconds)
{
        struct fs_memory *memory = arg;

        fs_metrics_observe(&memory->metrics.phases[phase], microseconds);
}

static _Atomic uint64_t *counter(void *arg, const char *server)
{
        struct fs_memory *memory = arg;

        return fs_metrics_server(&memory->metrics, server);
}

static void on_report(void *arg, const struct fetch_report *report)
{
        const struct fetch_cause *cause = report->cause;
        const char *source = cause->source[0] ? cause->source : "-";
        char hex[CAS_DIGEST_HEX + 1];
        double seconds = (double)report->duration_ms / 1000;

        note_report(arg, report);
        cas_digest_format(&report->digest, hex);
        switch (report->event) {
        case FETCH_EVENT_FETCHED:
                fs_log(LOG_INFO,
                       "event=fetched digest=%s source=%s bytes=%" PRIu64 " taken-up=%" PRIu64
                       " tries=%u seconds=%.3f",
                       hex, fs_log_value(source).text, report->bytes, report->taken_up,
                       report->tries, seconds);
                break;
        case FETCH_EVENT_REVALIDATED:
                fs_log(report->verdict->recorded ? LOG_DEBUG : LOG_INFO,
                       "event=revalidated digest=%s bytes=%" PRIu64 " seconds=%.3f", hex,
                       report->verdict->hashed, seconds);
                break;
        case FETCH_EVENT_REFUSED:
                fs_log(LOG_WARNING, "event=refused digest=%s size=%" PRIu64 " by=open cause=%s",
                       hex, report->verdict->size, fs_log_value(cause->text).text);
                break;
        case FETCH_EVENT_FAILED:
                fs_log(cause->kind == FETCH_CANCELLED ? LOG_NOTICE : LOG_ERR,
                       "event=failed digest=%s errno=%s source=%s cause=%s sources=%u tries=%u "
                       "bytes=%" PRIu64 " seconds=%.3f",
                       hex, strerrorname_np(fs_errno(cause)), fs_log_value(source).text,
                       fs_log_value(cause->text).text, report->sources, report->tries,
                       report->bytes, seconds);
                break;
        case FETCH_EVENT_SERVER_BAD:
                fs_log(LOG_WARNING, "event=server-bad server=%s cause=%s asked-last-for=%.0fs",
                       fs_log_value(report->server).text, fs_log_value(cause->text).text, seconds);
                break;
        case FETCH_EVENT_SERVER_GOOD:
                fs_log(LOG_INFO, "event=server-good server=%s", fs_log_value(report->server).text);
                break;
        }
}

static void beat(void *arg)
{
        struct fs_memory *memory = arg;

        atomic_store(&memory->loop_beat_ms, fetch_now_ms());
}

static void drop_id(void *arg, int32_t id)
{
        fs_channel_drop(arg, id);
}

/* Dies with the supervisor, which may be gone already: nobody else would end it. */
static int tie_to_supervisor(void)
{
        struct pollfd channel = {.fd = FS_FD_CHANNEL};

        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;
        return poll(&channel, 1, 0) != 0 ? -ESRCH : 0;
}

static int give_up_privileges(struct worker *worker)
{
        const struct fs_options *options = &worker->options;
        struct fs_sandbox_report report;
        struct fs_readable readable;
        struct fs_account account = {geteuid(), getegid()};
        struct stat root;
        char why[256];
        int r;

        /* The cache is the worker's: the supervisor has seen to that. Its path may lead
         * elsewhere by now. */
        if (fstat(FS_FD_ROOT, &root) < 0)
                return fs_fail("no cache: %s", strerror(errno));
        if (geteuid() == 0)
                fs_account_of(root.st_uid, root.st_gid, &account);
        if (fs_readable_find(options, &readable) < 0)
                return fs_fail("cannot start: %s", strerror(ENOMEM));

        struct fs_sandbox sandbox = {.uid = account.uid,
                                     .gid = account.gid,
                                     .cache = FS_FD_ROOT,
                                     .readable = (const char *const *)readable.paths};

        r = fs_sandbox_enter(&sandbox, &report, why, sizeof(why));
        fs_readable_free(&readable);
        if (r < 0)
                return fs_fail("cannot give up privileges: %s", why);
        if (report.landlock_abi == 0 && worker->memory->init_length == 0)
                fs_log(LOG_WARNING, "event=no-landlock cause=\"the kernel has none; the worker can "
                                    "read what its user can\"");
        r = tie_to_supervisor(); /* again: a change of user unties */
        return r < 0 ? fs_fail("cannot start: %s", strerror(-r)) : 0;
}

static void let_go(void *arg, const struct cas_digest *digest)
{
        struct worker *worker = arg;

        if (worker->server.nodes)
                fs_node_let_go(worker->server.nodes, digest);
}

static void note_evicted(void *arg, const struct cas_digest *digest, uint64_t bytes, int64_t opened)
{
        struct worker *worker = arg;
        struct fs_metrics *metrics = &worker->memory->metrics;
        char hex[CAS_DIGEST_HEX + 1];
        int64_t idle_s = wall_ms() / 1000 - opened;

        cas_digest_format(digest, hex);
        atomic_fetch_add(&metrics->evictions, 1);
        atomic_fetch_add(&metrics->evicted_bytes, bytes);
        fs_log(LOG_INFO, "event=evicted digest=%s bytes=%" PRIu64 " idle_s=%" PRId64, hex, bytes,
               idle_s > 0 ? idle_s : 0);
        if (worker->server.keeper)
                fs_keeper_ask(worker->server.keeper);
}

static void set_bounds(struct worker *worker)
{
        const struct cas_room_hooks hooks = {let_go, note_evicted, worker};

        cas_room_set(worker->server.store, &worker->options.bounds, &hooks);
}

static int open_store(struct worker *worker)
{
        struct cas_claim claim = {FS_FD_ROOT, FS_FD_LOCK};
        char why[CAS_WHY];

        if (cas_store_open(&claim, &worker->server.store, why) < 0)
                return fs_fail("--cache %s: %s", worker->options.cache, why);
        set_bounds(worker);
        return 0;
}

static int start_keeper(struct worker *worker)
{
        int r = fs_keeper_new(worker->server.store, &worker->server.keeper);

        return r < 0 ? fs_fail("cannot start: %s", strerror(-r)) : 0;
}

/* Of all downloads' buffers: the budget, or what so many of them need to move at all. */
static size_t memory_for(unsigned downloads)
{
        size_t needed = (size_t)downloads * CAS_SLOTS_RESERVED * CAS_SLOT_BYTES;

        return needed > BUFFERS_BYTES ? needed : BUFFERS_BYTES;
}

/* Who asks for more patience than an opener has is not waited for. */
static int64_t patience_ms(const struct fs_options *options)
{
        int64_t open_ms = (int64_t)options->open_timeout * 1000;

        return open_ms < PATIENCE_MS ? open_ms : PATIENCE_MS;
}

/* A mount that is up is not to end for it: what is cached opens, and https fails with a cause
 * until the file is there again. */
static bool can_do_without_ca(const struct worker *worker)
{
        int error = errno;
        bool can = worker->memory->init_length != 0 && !atomic_load(&worker->memory->trying);

        if (can)
                fs_log(LOG_ERR, "event=ca-unreadable ca=%s uid=%u cause=%s",
                       fs_log_value(worker->options.ca_file).text, getuid(),
                       fs_log_value(strerror(error)).text);
        errno = error;
        return can;
}

static int open_secret(void *arg, const char *path)
{
        return fs_channel_secret(arg, path);
}

static void lend_opener(struct worker *worker)
{
        struct fs_options *options = &worker->options;

        worker->opener = (struct fetch_auth_opener){open_secret, &worker->channel};
        for (size_t i = 0; i < options->origin_count; i++)
                options->origins[i].files.opener = &worker->opener;
        for (size_t i = 0; i < options->catalog_count; i++)
                options->catalog_origins[i].files.opener = &worker->opener;
}

static int start_fetch(struct worker *worker)
{
        const struct fs_options *options = &worker->options;
        struct fetch_config config = {
            .store = worker->server.store,
            .origins = {worker->catalogs.now, options->origins, options->origin_count, NULL},
            .http = {.ca_file = options->ca_file,
                     .proxies = &worker->proxies,
                     .deny_nets = options->deny_nets,
                     .deny_net_count = options->deny_net_count,
                     .stall_seconds = options->stall_timeout,
                     .min_rate = options->min_rate,
                     .connect_seconds = CONNECT_SECONDS,
                     .buffer_bytes =
                         options->max_downloads > MANY_DOWNLOADS ? BUFFER_OF_MANY : BUFFER_OF_FEW,
                     .beat = beat,
                     .beat_arg = worker->memory,
                     .phase = note_phase,
                     .phase_arg = worker->memory},
            .verify = options->verify,
            .refresh = {.catalogs = worker->catalogs.now,
                        .texts = worker->catalogs.texts,
                        .origins = options->catalog_origins,
                        .count = options->catalog_count,
                        .root = FS_FD_ROOT,
                        .may_prune = !atomic_load(&worker->memory->trying),
                        .interval_s = options->catalog_refresh,
                        .report = fs_catalogs_log},
            .opener = &worker->opener,
            .bound = options->max_asset_size,
            .memory = memory_for(options->max_downloads),
            .max_downloads = options->max_downloads,
            .connections = options->connections,
            .retries = options->retries,
            .patience_ms = patience_ms(options),
            .size_timeout_ms = SIZE_TIMEOUT_MS,
            .counter = counter,
            .counter_arg = worker->memory,
            .report = on_report,
            .report_arg = worker,
        };

        if (options->ca_file && access(options->ca_file, R_OK) < 0 && !can_do_without_ca(worker))
                return fs_fail("--ca %s: uid %u: %s", options->ca_file, getuid(), strerror(errno));

        int r = fetch_proxies_init(&worker->proxies, options->proxy);

        lend_opener(worker);
        if (r == 0)
                r = fetch_new(&config, &worker->server.fetch);

        return r < 0 ? fs_fail("cannot start: %s", strerror(-r)) : 0;
}

/* 0, or the exit status. */
static int set_up(struct worker *worker)
{
        const struct fs_options *options = &worker->options;
        struct fs_server *server = &worker->server;
        char why[256];
        int r;

        fs_channel_init(&worker->channel, FS_FD_CHANNEL);
        *server = (struct fs_server){
            .cache = options->cache,
            .mountpoint = options->mountpoint,
            .verify = options->verify,
            .scrub_interval = options->scrub_interval,
            .max_downloads = options->max_downloads,
            .started_ms = wall_ms(),
            .memory = worker->memory,
            .channel = &worker->channel,
            .passthrough = options->passthrough != FS_PASSTHROUGH_OFF,
            .restricted = options->restricted,
            .uid = options->uid,
            .gid = options->gid,
            .umask = options->umask,
            .open_timeout_ms = options->open_timeout * 1000,
            .size_timeout_ms = SIZE_TIMEOUT_MS,
        };
        if ((r = fs_catalogs_load(&worker->catalogs, options, FS_FD_CATALOGS)) ||
            (r = open_store(worker)) || (r = start_fetch(worker)))
                return r;
        server->catalogs = worker->catalogs.now;
        server->stale = worker->catalogs.stale;
        if ((r = fs_journal_new(worker->memory, &server->journal)) < 0 ||
            (r = fs_nodes_new(worker->memory, drop_id, &worker->channel, &server->nodes)) < 0 ||
            (r = fs_view_new(&server->view)) < 0 || (r = fs_reports_new(&server->reports)) < 0 ||
            (r = fs_parked_new(server, &server->parked)) < 0 ||
            (r = fs_scrub_new(server, &server->scrub)) < 0 ||
            (r = fs_commands_new(server, FS_FD_COMMANDS, &server->commands)) < 0)
                return fs_fail("cannot start: %s", strerror(-r));
        if ((r = start_keeper(worker)))
                return r;
        if (fs_session_open(server, options, FS_FD_FUSE, why, sizeof(why)) < 0)
                return fs_fail("cannot start: %s", why);
        return 0;
}

static void tear_down(struct worker *worker)
{
        struct fs_server *server = &worker->server;

        fs_commands_free(server->commands);
        if (server->fetch)
                fetch_stop(server->fetch);
        fs_parked_free(server->parked);
        fs_session_end(server);
        fetch_free(server->fetch);
        fs_scrub_free(server->scrub);
        fs_keeper_free(server->keeper);
        fs_reports_free(server->reports);
        fs_view_free(server->view);
        fs_nodes_free(server->nodes);
        fs_journal_free(server->journal);
        fetch_proxies_destroy(&worker->proxies);
        cas_store_free(server->store);
        fs_catalogs_free(&worker->catalogs);
}

static void end_waits(struct fs_server *server)
{
        fetch_stop(server->fetch);
}

/* From here on the supervisor's terminal is not ours: the mount answers. */
static void leave_terminal(const struct fs_options *options)
{
        int null;

        if (options->foreground)
                return;
        fs_log_to_syslog();
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
                dup2(null, fd);
        cas_io_close_at(&null);
}

static int serve(struct worker *worker)
{
        struct fs_server *server = &worker->server;
        int r = fs_session_greet(server);

        if (r == 0) {
                server->passthrough = fs_channel_ready(&worker->channel, worker->catalogs.stale) &&
                                      worker->memory->passthrough;
                leave_terminal(&worker->options);
                fs_session_take_over(server);
                r = fs_session_serve(server, end_waits);
        }
        if (r == 0)
                return 0;
        return r == -ENODEV ? FS_EXIT_UNMOUNTED : fs_fail("cannot serve: %s", strerror(-r));
}

static int attach(struct worker *worker)
{
        int r = fs_memory_attach(FS_FD_MEMORY, &worker->memory);

        if (r == -EPROTO)
                return fs_fail("the session memory is another version's than %d",
                               FS_MEMORY_VERSION);
        if (r < 0)
                return fs_fail("no session memory: %s", strerror(-r));
        if (worker->memory->init_length != 0 && !worker->options.foreground)
                fs_log_to_syslog(); /* a worker before us has left the terminal */
        return 0;
}

/* The exit status. */
static int run(struct worker *worker)
{
        int status = attach(worker);

        if (status == 0)
                status = give_up_privileges(worker);
        if (status)
                return status;
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return fs_fail("cannot start: libcurl");
        status = set_up(worker);
        if (status == 0)
                status = serve(worker);
        tear_down(worker);
        fs_log_end();
        curl_global_cleanup();
        return status;
}

int fs_worker(int argc, char **argv)
{
        static struct worker worker; /* tens of KiB of options */
        int status;

        prctl(PR_SET_NAME, "assetfs-worker"); /* else its name is a descriptor's number */
        umask(077);
        fs_session_block_signals();
        if (tie_to_supervisor() < 0)
                return fs_fail("a worker is started by assetfs mount");
        status = fs_options_parse_worker(argc, argv, FS_FD_CONFIG, &worker.options);
        close(FS_FD_CONFIG);
        fs_log_set_level(worker.options.log_level);
        if (status == 0)
                status = run(&worker);
        fs_memory_detach(worker.memory);
        fs_options_free(&worker.options);
        return status < 0 ? 0 : status;
}
