/*
 * A reload: what is new is tried beside what it is to replace, which goes on if it fails.
 */
#include "fs/supervisor_state.h"

#include "cas/io.h"
#include "fs/launch.h"
#include "fs/log.h"
#include "fs/snapshot.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The worker of a reload serves. `stale`: by the catalogs before. */
void fs_supervisor_accept_reload(struct supervisor *s, bool stale)
{
        const char *remount = s->config.remount;
        char line[400];

        cas_io_close_at(&s->catalogs_before);
        s->catalogs_before = -1;
        fs_kept_config_accept(&s->config);
        fs_log_set_level(s->config.log_level);
        fs_log(LOG_INFO, "event=reloaded%s%s%s", *remount ? " need-remount=\"" : "", remount,
               *remount ? "\"" : "");
        snprintf(line, sizeof(line), "%s%s%s",
                 stale      ? "a catalog was refused (the log says which and why); the last good "
                              "one goes on"
                 : *remount ? FS_CONTROL_APPLIED
                            : "ok",
                 *remount ? "; these need a remount: " : "", remount);
        fs_control_answer(&s->control, line);
}

/* The file anew, before anything is touched. */
static bool renew_config(struct supervisor *s)
{
        char why[480]; /* fits into an answer */

        if (!s->options->config || fs_kept_config_renew(&s->config, why, sizeof(why)) == 0)
                return true;
        fs_log(LOG_ERR, "event=reload-failed cause=%s kept=\"the configuration before\"",
               fs_log_value(why).text);
        fs_control_answer(&s->control, why);
        return false;
}

void fs_supervisor_reload(struct supervisor *s)
{
        int fresh;
        int copy;

        if (s->fallback >= 0 || s->stopping || !s->announced) {
                fs_control_answer(&s->control, "busy");
                return;
        }
        fresh = fs_launch_open(s->path);
        if (fresh < 0) {
                fs_log(LOG_ERR, "event=reload-failed binary=%s cause=%s",
                       fs_log_value(s->path).text, fs_log_value(strerror(-fresh)).text);
                fs_control_answer(&s->control,
                                  "the binary is not where it was; the old one goes on");
                return;
        }
        if (!renew_config(s)) {
                close(fresh);
                return;
        }
        /* What is tried may keep catalogs which those before it cannot start by. */
        copy = fs_snapshot_copy(s->catalogs_fd);
        if (copy >= 0) {
                s->catalogs_before = s->catalogs_fd;
                s->catalogs_fd = copy;
        }
        fs_log(LOG_INFO, "event=reloading binary=%s", fs_log_value(s->path).text);
        s->fallback = s->binary;
        s->binary = fresh;
        s->trying = false; /* the worker that is there is not of it */
        s->failures = 0;
        s->start_ms = 0;
        fs_supervisor_kill_worker(s, SIGKILL); /* the next one takes over what it leaves */
}

void fs_supervisor_fall_back(struct supervisor *s)
{
        close(s->binary);
        s->binary = s->fallback;
        s->fallback = -1;
        s->failures = 0;
        s->start_ms = 0;
        if (s->catalogs_before >= 0) {
                close(s->catalogs_fd);
                s->catalogs_fd = s->catalogs_before;
                s->catalogs_before = -1;
        }
        fs_kept_config_revert(&s->config);
        fs_log(LOG_ERR,
               "event=reload-failed binary=%s cause=\"it does not serve; the old one goes "
               "on\"",
               fs_log_value(s->path).text);
        fs_control_answer(&s->control,
                          s->options->config
                              ? "the new worker does not serve (the log says why); the old one "
                                "goes on, with the configuration it had"
                              : "the new binary does not serve; the old one goes on");
}
