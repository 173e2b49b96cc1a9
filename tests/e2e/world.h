/*
 * A world for one end-to-end test: a directory with an origin's files, a cache, a
 * mount point, the daemon, and the servers it needs. Each test makes its own and
 * ends it with world_end(), which checks what has to hold after every fault.
 *
 * Everything a world starts dies with the test's process; tests/run unmounts what
 * a crashed test leaves. A failing step fails the test at once.
 */
#ifndef TESTS_WORLD_H
#define TESTS_WORLD_H

#include "cas/digest.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WORLD_PATH 512

/* What DESIGN calls "within 100 ms". Sanitizers make everything several times slower. A loaded
 * machine makes any one try late, so it is what the best of TRIES has to keep: what is slow by
 * itself keeps it never. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOW_BUILD 1
#define PROMPT_MS  1000
#else
#define SLOW_BUILD 0
#define PROMPT_MS  100
#endif
#define TRIES 5

/* What has not happened by then, on however loaded a machine, is not going to. */
#define SURELY_MS 30000

#define HEX (CAS_DIGEST_HEX + 1)

struct world {
        char dir[WORLD_PATH];
        char files[WORLD_PATH]; /* the origin's: named by digest */
        char cache[WORLD_PATH];
        char mnt[WORLD_PATH];
        char log[WORLD_PATH];      /* the daemon's lines */
        char requests[WORLD_PATH]; /* the faulty origin's: METHOD /mode/digest bytes=F-L */
        char template[WORLD_PATH]; /* scratch of world_url() */
        pid_t daemon;              /* the supervisor */
        pid_t origin;
        pid_t nginx;
        int port;      /* the faulty origin's */
        int http_port; /* nginx's */
        int https_port;
        int expired_port;
        int foreign_port; /* a certificate of another host's name */
        int self_port;    /* a certificate signed by itself */
        char ca[WORLD_PATH];
        unsigned descriptors; /* the supervisor's and the worker's, when they were idle */
        unsigned threads;
        bool staging_may_stay; /* the test leaves a transfer broken, to be continued */
};

/* Whom the tests' daemons download as. */
#define WORKER_USER "nobody"
#define WORKER_UID  65534

/* Makes the directories. Proxies and CA variables of the environment are unset. */
void world_begin(struct world *world);

/* Checks (see FAULTS: after each test) and takes everything down. */
void world_end(struct world *world);

/* A file of random bytes at the origin; its digest in `hex`. */
void world_asset(struct world *world, size_t size, char hex[HEX]);

/* Any file: contents as given. */
void world_file(const char *path, const void *bytes, size_t length);
__attribute__((format(printf, 2, 3))) void world_text(const char *path, const char *format, ...);

/* Starts the faulty origin. */
void world_origin(struct world *world);
/* The template of one of its modes; valid until the next call. */
const char *world_url(struct world *world, const char *mode);
/* Lines of the request log that begin with `prefix`. */
int world_requests(const struct world *world, const char *prefix);
/* Lets everything through that waits at the gate. */
void world_open_gate(const struct world *world);

/* Starts nginx on five ports: http, https, and three bad certificates. */
void world_nginx(struct world *world);

/* For other servers: a port that was free a moment ago; does somebody listen there? */
int world_free_port(void);
bool world_answers(int port);

/* Mounts with `assetfs mount -f --user nobody --cache … --retries=0 ARGS… mnt` and waits until it
 * answers: a test that is about retries says how many.
 * The environment's WORLD_OPTIONS, if set, are one more argument. */
void world_mount(struct world *world, const char *const *args);
#define world_mount(world, ...) (world_mount)(world, (const char *const[]){__VA_ARGS__, NULL})

/* The supervisor's child, or 0 where there is none (now). */
pid_t world_worker(const struct world *world);
/* Waits for a worker that is not `before` and serves; its pid. */
pid_t world_next_worker(const struct world *world, pid_t before);

/* VmRSS of supervisor and worker together. */
long world_rss_kib(const struct world *world);

/* Gives what root put into the cache to the worker's user. */
void world_give_cache(const struct world *world);

/* From now on another binary than that of the environment's ASSETFS. */
void world_use_binary(const char *path);

/* SIGTERM to the daemon; it has to end with 0 and unmount. */
void world_unmount(struct world *world);

/* Unmounts dir/name, a disk of the test's. The kernel lets go of a daemon's files a moment after
 * the daemon's end. */
void world_umount(const struct world *world, const char *name);

/* Runs `assetfs ARGS…`, stdout and stderr into `output`; the exit status. */
int world_run(char *output, size_t size, const char *const *args);
#define world_run(output, size, ...)                                                               \
        (world_run)(output, size, (const char *const[]){__VA_ARGS__, NULL})

/* Runs a command by the shell; its exit status. */
__attribute__((format(printf, 1, 2))) int world_shell(const char *format, ...);

/* mnt/name; valid until the eighth call after this one. */
const char *world_path(const struct world *world, const char *name);
/* cache/blobs/sha256/hex; likewise. */
const char *world_blob(const struct world *world, const char *hex);
/* cache/ingest/hex.part, what is kept of a broken transfer; likewise. */
const char *world_staging(const struct world *world, const char *hex);

/* Lines in the daemon's log with `words` in them. */
int world_logged(const struct world *world, const char *words);

/* errno of opening the path read-only in this process; 0 when it opened and its bytes hash to
 * the last part of the path. */
int world_open(const char *path);

/* The xattr as a string; "" where there is none. Valid until the next call. */
const char *world_xattr(const char *path, const char *name);

/* An opener is a process of its own. */
struct opener {
        pid_t pid;
        int result; /* pipe: the errno as an int */
};

void opener_start(struct opener *opener, const char *path);
/* Its errno (0: opened), or -1 when it said nothing within `timeout_ms`. */
int opener_result(struct opener *opener, int timeout_ms);
/* Is the process gone (reaped) within `timeout_ms`? */
bool opener_gone(struct opener *opener, int timeout_ms);
/* Waits until the process waits in the kernel for the mount, so that a signal finds it there. */
void opener_parked(const struct opener *opener);

int64_t now_ms(void);
void sleep_ms(int ms);
/* The state letter of a process, '?' when it is gone. */
char process_state(pid_t pid);

#endif
