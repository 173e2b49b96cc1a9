/*
 * nginx, haproxy and squid for one test each: their configurations, and what is done to
 * them. Everything of theirs is in the world's directory.
 */
#include "tests/e2e/real.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Room for a name behind a world's directory. */
#define DIR_MAX (WORLD_PATH - 32)

bool real_start(pid_t *ret, const char *log, int port, const char *ready, int signal_at_death,
                const char *const *argv)
{
        int64_t deadline = now_ms() + SURELY_MS;
        pid_t pid = fork();

        cr_assert(pid >= 0);
        if (pid == 0) {
                int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

                prctl(PR_SET_PDEATHSIG, signal_at_death);
                setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
                dup2(fd, STDOUT_FILENO);
                dup2(fd, STDERR_FILENO);
                execvp(argv[0], (char *const *)argv);
                _exit(127);
        }
        do {
                int status = 0;

                if (waitpid(pid, &status, WNOHANG) != 0) {
                        cr_assert_neq(WEXITSTATUS(status), 127, "there is no %s", argv[0]);
                        return false;
                }
                cr_assert(now_ms() < deadline, "%s does not start; see %s", argv[0], log);
                sleep_ms(5);
        } while ((ready && access(ready, F_OK) != 0) || !world_answers(port));
        *ret = pid;
        return true;
}

void real_stop(pid_t *pid, int signal)
{
        if (*pid > 0) {
                kill(*pid, signal);
                waitpid(*pid, NULL, 0);
        }
        *pid = 0;
}

int real_logged(const char *path, const char *words, int64_t *sum)
{
        FILE *file = fopen(path, "re");
        char *line = NULL;
        size_t room = 0;
        int count = 0;

        while (file && getline(&line, &room, file) > 0) {
                char *range = strstr(line, " range=");

                if (!strstr(line, words))
                        continue;
                count++;
                if (sum && range) {
                        *range = '\0';
                        *sum += atoll(strrchr(line, ' ') + 1);
                }
        }
        free(line);
        if (file)
                fclose(file);
        return count;
}

/* One that signs itself, and is its own CA: quicker made than those of world_nginx(). */
static void make_certificate(const struct world *world)
{
        cr_assert_eq(
            world_shell("mkdir '%1$s/tls' && cd '%1$s/tls' &&"
                        " openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
                        " -keyout good.key -subj /CN=localhost -days 20 -out good.crt"
                        " -addext subjectAltName=IP:127.0.0.1,DNS:localhost >log 2>&1 &&"
                        " cp good.crt ca.crt && cat good.crt good.key >good.pem",
                        world->dir),
            0, "no certificate");
}

static void write_nginx_config(const struct nginx *nginx, const struct world *world)
{
        static const char tls[] = "ssl_certificate tls/good.crt; ssl_certificate_key tls/good.key;";
        static const char locations[] =
            "location /slow/ { limit_rate 1m; rewrite ^/slow/(.*)$ /$1 break; }\n"
            "    location /few/ { limit_conn all 16; limit_rate 150k; sendfile_max_chunk 3k;\n"
            "      rewrite ^/few/(.*)$ /$1 break; }\n";

        world_text(
            nginx->config,
            "daemon off; pid %1$s/real.pid; error_log %1$s/real.err; worker_processes 1;\n"
            "worker_shutdown_timeout 200ms;\n"
            "events { worker_connections 2048; }\n"
            "http {\n"
            "  log_format seen '$server_addr:$server_port $server_protocol $request_method '\n"
            "    '$request_uri $status $body_bytes_sent range=$http_range '\n"
            "    'connection=$connection';\n"
            "  access_log %1$s/real.log seen; root %1$s/files;\n"
            "  client_body_temp_path %1$s/r1; proxy_temp_path %1$s/r2;\n"
            "  fastcgi_temp_path %1$s/r3; uwsgi_temp_path %1$s/r4; scgi_temp_path %1$s/r5;\n"
            "  default_type application/octet-stream; keepalive_requests 1000;\n"
            "  limit_conn_zone $server_port zone=all:1m; limit_conn_status 509;\n"
            "  server { listen %2$d; %6$s\n"
            "    location /other/ { rewrite ^/other/(.*)$ http://127.0.0.2:%2$d/$1 "
            "redirect; }\n"
            "    location /metadata/ { rewrite ^/metadata/(.*)$ "
            "http://169.254.169.254:%2$d/$1 redirect; } }\n"
            "  server { listen 127.0.0.1:%3$d ssl http2; %5$s %6$s }\n"
            "  server { listen 127.0.0.1:%4$d ssl http2; %5$s %6$s\n"
            "    keepalive_requests 2; }\n"
            "}\n",
            world->dir, nginx->port, nginx->tls_port, nginx->two_port, tls, locations);
}

static bool try_nginx(struct nginx *nginx)
{
        const char *const argv[] = {"nginx", "-e", "stderr", "-c", nginx->config, NULL};
        char errors[WORLD_PATH + 16];

        char ready[WORLD_PATH + 16]; /* written when it has all of its ports */

        snprintf(errors, sizeof(errors), "%s.err", nginx->config);
        snprintf(ready, sizeof(ready), "%.*s.pid", (int)strlen(nginx->config) - 5, nginx->config);
        unlink(ready);
        return real_start(&nginx->pid, errors, nginx->two_port, ready, SIGTERM, argv);
}

void nginx_start(struct nginx *nginx, const struct world *world)
{
        bool started = false;

        *nginx = (struct nginx){0};
        snprintf(nginx->log, sizeof(nginx->log), "%.*s/real.log", DIR_MAX, world->dir);
        snprintf(nginx->config, sizeof(nginx->config), "%.*s/real.conf", DIR_MAX, world->dir);
        make_certificate(world);
        for (int tries = 0; !started && tries < 5; tries++) {
                nginx->port = world_free_port();
                nginx->tls_port = world_free_port();
                nginx->two_port = world_free_port();
                write_nginx_config(nginx, world);
                started = try_nginx(nginx);
        }
        cr_assert(started, "nginx does not start; see %s.err", nginx->config);
}

void nginx_stop(struct nginx *nginx)
{
        real_stop(&nginx->pid, SIGTERM);
}

void nginx_again(struct nginx *nginx)
{
        cr_assert(try_nginx(nginx), "nginx does not start again; see %s.err", nginx->config);
}

void nginx_reload(const struct nginx *nginx)
{
        cr_assert_eq(kill(nginx->pid, SIGHUP), 0);
}

int nginx_logged(const struct nginx *nginx, const char *words)
{
        return real_logged(nginx->log, words, NULL);
}

int64_t nginx_sent(const struct nginx *nginx, const char *words)
{
        int64_t sum = 0;

        real_logged(nginx->log, words, &sum);
        return sum;
}

/* One command at the admin socket. */
static void haproxy_ask(const struct haproxy *haproxy, const char *command, char *ret, size_t size)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        size_t length = 0;
        ssize_t got;

        cr_assert_lt(strlen(haproxy->socket), sizeof(address.sun_path));
        strcpy(address.sun_path, haproxy->socket);
        cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        cr_assert_eq(dprintf(fd, "%s\n", command), (int)strlen(command) + 1);
        while (length + 1 < size && (got = read(fd, ret + length, size - 1 - length)) > 0)
                length += (size_t)got;
        ret[length] = '\0';
        close(fd);
}

void haproxy_start(struct haproxy *haproxy, const struct world *world, const struct nginx *nginx)
{
        char config[WORLD_PATH];
        char log[WORLD_PATH];
        const char *const argv[] = {"haproxy", "-db", "-f", config, NULL};
        bool started = false;

        *haproxy = (struct haproxy){0};
        snprintf(haproxy->socket, sizeof(haproxy->socket), "%.*s/ha", DIR_MAX, world->dir);
        snprintf(config, sizeof(config), "%.*s/haproxy.cfg", DIR_MAX, world->dir);
        snprintf(log, sizeof(log), "%.*s/haproxy.log", DIR_MAX, world->dir);
        for (int tries = 0; !started && tries < 5; tries++) {
                haproxy->port = world_free_port();
                haproxy->tls_port = world_free_port();
                world_text(config,
                           "global\n  stats socket %1$s mode 600 level admin\n  maxconn 256\n"
                           "  nbthread 1\n"
                           "defaults\n  mode http\n  timeout connect 2s\n  timeout client 20s\n"
                           "  timeout server 20s\n"
                           "frontend f\n  bind 127.0.0.1:%2$d\n"
                           "  bind 127.0.0.1:%3$d ssl crt %4$s/tls/good.pem alpn h2,http/1.1\n"
                           "  default_backend b\n"
                           "backend b\n  server s 127.0.0.1:%5$d\n",
                           haproxy->socket, haproxy->port, haproxy->tls_port, world->dir,
                           nginx->port);
                started = real_start(&haproxy->pid, log, haproxy->tls_port, NULL, SIGKILL, argv);
        }
        cr_assert(started, "haproxy does not start; see %s", log);
}

void haproxy_stop(struct haproxy *haproxy)
{
        real_stop(&haproxy->pid, SIGKILL);
}

/* Sessions at the server now: the fifth column of "b,s,0,0,1,...". */
static int haproxy_sessions(const struct haproxy *haproxy)
{
        char text[8192];
        int sessions = 0;

        haproxy_ask(haproxy, "show stat b 4 -1", text, sizeof(text));

        const char *row = strstr(text, "\nb,s,");

        cr_assert(row && sscanf(row, "\nb,s,%*d,%*d,%d", &sessions) == 1, "%s", text);
        return sessions;
}

void haproxy_cut(const struct haproxy *haproxy)
{
        int64_t deadline = now_ms() + SURELY_MS;
        char text[256];

        while (haproxy_sessions(haproxy) == 0) {
                cr_assert(now_ms() < deadline, "nobody asks haproxy");
                sleep_ms(5);
        }
        sleep_ms(200);
        cr_assert_gt(haproxy_sessions(haproxy), 0, "the transfer ended too early");
        haproxy_ask(haproxy, "shutdown sessions server b/s", text, sizeof(text));
        cr_assert_eq(text[strspn(text, "\n")], '\0', "%s", text);
        sleep_ms(20); /* it ends soon, and the next one may be there at once */
}

static void write_squid_config(const struct squid *squid, bool password)
{
        char path[WORLD_PATH + 16];

        snprintf(path, sizeof(path), "%s/check", squid->dir);
        world_text(path, "#!/bin/sh\n"
                         "while read -r who; do\n"
                         "  [ \"$who\" = 'joe hunter2' ] && echo OK || echo ERR\n"
                         "done\n");
        chmod(path, 0755);
        snprintf(path, sizeof(path), "%s/conf", squid->dir);
        world_text(path,
                   "http_port 127.0.0.1:%1$d\n"
                   "cache deny all\ncache_mem 8 MB\ncoredump_dir %2$s\n"
                   "pid_filename %2$s/pid\ncache_log %2$s/log\nnetdb_filename none\n"
                   "access_log stdio:%2$s/access\nlogfile_rotate 0\ncache_store_log none\n"
                   "cache_effective_user " WORKER_USER "\nmax_filedescriptors 1024\n"
                   "visible_hostname squid\ndns_nameservers 127.0.0.1\npinger_enable off\n"
                   "shutdown_lifetime 0 seconds\nforward_max_tries 1\nconnect_timeout 2 seconds\n"
                   "auth_param basic program %2$s/check\n"
                   "auth_param basic children 1 startup=1 idle=1\n"
                   "acl known proxy_auth REQUIRED\n"
                   "http_access allow %3$s\n",
                   squid->port, squid->dir, password ? "known" : "all");
}

/* Its shared memory is named by the service's name, and squids of other tests run too. */
static void squid_name(const struct squid *squid, char name[32])
{
        snprintf(name, 32, "assetfs%d", squid->port);
}

static bool try_squid(struct squid *squid)
{
        char config[WORLD_PATH + 16];
        char log[WORLD_PATH + 16];
        char name[32];
        const char *const argv[] = {"squid", "-N", "-n", name, "-f", config, NULL};

        snprintf(config, sizeof(config), "%s/conf", squid->dir);
        snprintf(log, sizeof(log), "%s/stderr", squid->dir);
        squid_name(squid, name);
        return real_start(&squid->pid, log, squid->port, NULL, SIGKILL, argv);
}

void squid_start(struct squid *squid, const struct world *world, bool password)
{
        bool started = false;

        *squid = (struct squid){0};
        snprintf(squid->dir, sizeof(squid->dir), "%.*s/squid", DIR_MAX, world->dir);
        cr_assert(mkdir(squid->dir, 0755) == 0 || errno == EEXIST);
        cr_assert_eq(chown(squid->dir, WORKER_UID, (gid_t)-1), 0);
        for (int tries = 0; !started && tries < 5; tries++) {
                squid->port = world_free_port();
                write_squid_config(squid, password);
                started = try_squid(squid);
        }
        cr_assert(started, "squid does not start; see %s/log", squid->dir);
        snprintf(squid->url, sizeof(squid->url), "http://127.0.0.1:%d", squid->port);
}

void squid_stop(struct squid *squid)
{
        char name[32];

        real_stop(&squid->pid, SIGKILL);
        squid_name(squid, name);
        cr_assert_eq(world_shell("rm -f /dev/shm/%s-*; rm -f '%s/pid'", name, squid->dir), 0);
}

void squid_again(struct squid *squid)
{
        cr_assert(try_squid(squid), "squid does not start again; see %s/log", squid->dir);
}

int squid_logged(const struct squid *squid, const char *words)
{
        char path[WORLD_PATH + 16];

        snprintf(path, sizeof(path), "%s/access", squid->dir);
        return real_logged(path, words, NULL);
}
