/*
 * The servers of fleet.h. Everything of theirs is in a directory in the world's.
 */
#include "tests/e2e/fleet.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES_TO_START 5

static void begin(struct tier *tier, const struct world *world, const char *name)
{
        *tier = (struct tier){0};
        snprintf(tier->dir, sizeof(tier->dir), "%.*s/%s", WORLD_PATH - 64, world->dir, name);
        cr_assert_eq(mkdir(tier->dir, 0755), 0);
        /* Its worker, or it itself, is not root. */
        cr_assert_eq(chown(tier->dir, WORKER_UID, (gid_t)-1), 0);
}

static bool start(struct tier *tier, int signal_at_death, const char *const *argv)
{
        char log[WORLD_PATH + 16];

        snprintf(log, sizeof(log), "%s/output", tier->dir);
        return real_start(&tier->pid, log, tier->port, NULL, signal_at_death, argv);
}

static bool try_nginx(struct tier *tier, int origin_port)
{
        char config[WORLD_PATH + 16];
        const char *const argv[] = {"nginx", "-e", "stderr", "-c", config, NULL};

        snprintf(config, sizeof(config), "%s/main", tier->dir);
        tier->port = world_free_port();
        cr_assert_eq(
            world_shell("sed -e 's|listen 8080|listen 127.0.0.1:%1$d|'"
                        " -e 's|127.0.0.1:8081|127.0.0.1:%2$d|' -e 's|slice 8m|slice %3$d|'"
                        " -e 's|assets.example:443|127.0.0.1:%4$d|'"
                        " -e 's|https://assets_origin|http://assets_origin|'"
                        " -e 's|/var/cache/nginx|%5$s|' scripts/fleet/nginx.conf >'%5$s/conf'",
                        tier->port, world_free_port(), TIER_SLICE, origin_port, tier->dir),
            0);
        world_text(config,
                   "daemon off; pid %1$s/pid; worker_processes 2; user " WORKER_USER " nogroup;\n"
                   "events { }\n"
                   "http { access_log off; include %1$s/conf;\n"
                   "  client_body_temp_path %1$s/t1; proxy_temp_path %1$s/t2;\n"
                   "  fastcgi_temp_path %1$s/t3; uwsgi_temp_path %1$s/t4;\n"
                   "  scgi_temp_path %1$s/t5; }\n",
                   tier->dir);
        return start(tier, SIGTERM, argv);
}

void tier_start_nginx(struct tier *tier, const struct world *world, const char *name,
                      int origin_port)
{
        bool started = false;

        begin(tier, world, name);
        for (int tries = 0; !started && tries < TRIES_TO_START; tries++)
                started = try_nginx(tier, origin_port);
        cr_assert(started, "nginx does not start; see %s/output", tier->dir);
}

/* Its shared memory is named by the service's name, and squids of other tests run too. */
static bool try_squid(struct tier *tier)
{
        char config[WORLD_PATH + 16];
        char name[32];
        const char *const argv[] = {"squid", "-N", "-n", name, "-f", config, NULL};

        tier->port = world_free_port();
        snprintf(config, sizeof(config), "%s/conf", tier->dir);
        snprintf(name, sizeof(name), "assetfs%d", tier->port);
        cr_assert_eq(
            world_shell("cd '%1$s' && { sed -e 's|^http_port .*|http_port 127.0.0.1:%2$d|'"
                        " -e 's|src 10.0.0.0/8|src 127.0.0.0/8|'"
                        " -e 's|dstdomain assets.example|dst 127.0.0.1|'"
                        " -e 's|/var/spool/squid 200000|%1$s/cache 100|'"
                        " \"$OLDPWD/scripts/fleet/squid.conf\"; cat <<E\n"
                        "coredump_dir %1$s\npid_filename %1$s/pid\ncache_log %1$s/log\n"
                        "access_log stdio:%1$s/access\nlogfile_rotate 0\nnetdb_filename none\n"
                        "cache_effective_user " WORKER_USER "\nmax_filedescriptors 1024\n"
                        "visible_hostname squid\ndns_nameservers 127.0.0.1\npinger_enable off\n"
                        "shutdown_lifetime 0 seconds\n"
                        "E\n} >conf && rm -rf cache && /usr/sbin/squid -N -z -n %3$s -f conf"
                        " >output 2>&1",
                        tier->dir, tier->port, name),
            0, "see %s/log", tier->dir);
        return start(tier, SIGKILL, argv);
}

void tier_start_squid(struct tier *tier, const struct world *world)
{
        bool started = false;

        begin(tier, world, "squid");
        for (int tries = 0; !started && tries < TRIES_TO_START; tries++)
                started = try_squid(tier);
        cr_assert(started, "squid does not start; see %s/log", tier->dir);
}

static bool try_registry(struct tier *tier)
{
        char config[WORLD_PATH + 16];
        /* It takes variables that are named like this for its own configuration. */
        const char *const argv[] = {"env",  "-u", "REGISTRY_AUTH_FILE", "docker-registry", "serve",
                                    config, NULL};

        snprintf(config, sizeof(config), "%s/yml", tier->dir);
        return start(tier, SIGKILL, argv);
}

void tier_start_registry(struct tier *tier, const struct world *world, int origin_port)
{
        bool started = false;

        begin(tier, world, "pull-through");
        for (int tries = 0; !started && tries < TRIES_TO_START; tries++) {
                tier->port = world_free_port();
                cr_assert_eq(world_shell("sed -e 's|addr: :5000|addr: 127.0.0.1:%1$d|'"
                                         " -e 's|127.0.0.1:8080|127.0.0.1:%2$d|'"
                                         " -e 's|/var/lib/docker-registry|%3$s/data|'"
                                         " scripts/fleet/registry.yml >'%3$s/yml'",
                                         tier->port, origin_port, tier->dir),
                             0);
                started = try_registry(tier);
        }
        cr_assert(started, "docker-registry does not start; see %s/output", tier->dir);
}

/* Its lines: 127.0.0.1 - - [time] "GET /v2/x/blobs/sha256:… HTTP/1.1" 206 1048576 "" "agent" */
int registry_gets(const struct registry *registry, const char *hex, int64_t *ret_bytes)
{
        FILE *file = fopen(registry->log, "re");
        char *line = NULL;
        size_t room = 0;
        int count = 0;

        *ret_bytes = 0;
        while (file && getline(&line, &room, file) > 0) {
                const char *request = strstr(line, "\"GET ");
                const char *end = request ? strstr(request, "\" ") : NULL;
                int status = 0;
                long long bytes = 0;

                if (!end || !strstr(request, hex) ||
                    sscanf(end, "\" %d %lld", &status, &bytes) != 2 || status / 100 != 2)
                        continue;
                count++;
                *ret_bytes += bytes;
        }
        free(line);
        if (file)
                fclose(file);
        return count;
}

void tier_stop(struct tier *tier)
{
        real_stop(&tier->pid, SIGTERM);
        cr_assert_eq(world_shell("rm -f /dev/shm/assetfs%d-*", tier->port), 0);
}
