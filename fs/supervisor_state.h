/*
 * The supervisor's state, as its three files share it: supervisor.c (workers come, serve, ask
 * and die), supervisor_reload.c, supervisor_setup.c. Nobody else includes this. One thread.
 */
#ifndef FS_SUPERVISOR_STATE_H
#define FS_SUPERVISOR_STATE_H

#include "cas/claim.h"
#include "fs/account.h"
#include "fs/backing.h"
#include "fs/control.h"
#include "fs/kept_config.h"
#include "fs/memory.h"
#include "fs/mount.h"
#include "fs/mountpoint.h"
#include "fs/options.h"
#include "fs/secrets.h"
#include "fs/watchdog.h"

#include <limits.h>

struct supervisor {
        struct fs_options *options;
        void (*on_ready)(void *arg);
        void *ready_arg;

        /* What workers get, in the order of fs/channel.h. */
        struct fs_mount mount;
        int memory_fd;
        struct cas_claim claim;
        int catalogs_fd;
        int catalogs_before; /* while a reload is tried: the last good ones; else -1 */
        struct fs_kept_config config;
        struct fs_secrets secrets; /* what the worker that runs may ask for */

        struct fs_account account;
        struct fs_memory *memory;
        struct fs_backings *backings;
        struct fs_control control;
        int signals;
        char path[PATH_MAX]; /* where a reload finds the binary now installed */
        int binary;          /* what the next worker is made of */
        int fallback;        /* while a new binary is tried: the one before; else -1 */
        bool trying;         /* … and the worker is of the new one */

        pid_t worker;   /* 0: none */
        int channel;    /* to it; -1 */
        int commands;   /* likewise; fs/command.h */
        bool serving;   /* it has said so */
        bool garbled;   /* it has said nonsense, and that was logged */
        bool condemned; /* it was found stuck, and killed */
        int64_t served_ms;
        int64_t deadline_ms; /* to serve, or to end */
        int64_t start_ms;    /* when the next one is due */
        unsigned failures;   /* in a row */
        unsigned soon;       /* deaths in a row of workers that had not served for long */
        unsigned restarts;
        struct fs_watchdog watchdog;

        char device[FS_DEVICE_MAX]; /* of the mount */
        bool announced;             /* the mount has answered once */
        int passthrough;            /* 0, or -errno: why not */
        bool cacheless; /* the cache is gone, cannot be made anew, and that was logged */
        bool stopping;
        bool ended;
        int status;
};

/* supervisor.c */
void fs_supervisor_kill_worker(struct supervisor *s, int signal);
void fs_supervisor_close_sockets(struct supervisor *s);

/* supervisor_reload.c: another worker is tried, of the binary and the configuration now there,
 * while what it would replace is kept; then it serves (`stale`: by the catalogs before) or does
 * not. */
void fs_supervisor_reload(struct supervisor *s);
void fs_supervisor_accept_reload(struct supervisor *s, bool stale);
void fs_supervisor_fall_back(struct supervisor *s);

/* supervisor_setup.c. 0, or the exit status after one line on stderr. */
int fs_supervisor_set_up(struct supervisor *s);
void fs_supervisor_tear_down(struct supervisor *s);

/* Was the cache directory removed, and not only what is in it? Then it is made anew, and the
 * next worker works in the new one. 0, or -errno and why. */
bool fs_supervisor_cache_is_gone(const struct supervisor *s);
int fs_supervisor_renew_cache(struct supervisor *s, char why[CAS_WHY]);

#endif
