/*
 * The servers of a world: the faulty origin, and nginx with a CA made on the spot.
 */
#include "tests/e2e/world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void world_origin(struct world *world)
{
        const char *path = getenv("FAULTY_ORIGIN");
        char text[16] = "";
        int pipes[2];

        cr_assert(path, "FAULTY_ORIGIN names the binary");
        cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
        world->origin = fork();
        if (world->origin == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                dup2(pipes[1], STDOUT_FILENO);
                execl(path, path, world->files, world->requests, (char *)NULL);
                _exit(127);
        }
        close(pipes[1]);
        cr_assert(read(pipes[0], text, sizeof(text) - 1) > 0, "the origin does not start");
        close(pipes[0]);
        world->port = atoi(text);
}

const char *world_url(struct world *world, const char *mode)
{
        static char urls[8][WORLD_PATH];
        static unsigned turn;
        char *url = urls[turn++ % 8];

        snprintf(url, sizeof(urls[0]), "http://127.0.0.1:%d/%s/{sha256}", world->port, mode);
        return url;
}

void world_open_gate(const struct world *world)
{
        char path[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/gate", world->dir);
        world_text(path, "open");
}

/* No other test of this run has had the port: it leaves a file. */
static bool is_ours(int port)
{
        const char *root = getenv("ASSETFS_TEST_ROOT");
        char path[WORLD_PATH];

        if (!root)
                return true;
        snprintf(path, sizeof(path), "%s/port-%d", root, port);

        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (fd >= 0)
                close(fd);
        return fd >= 0;
}

static bool is_free(int port)
{
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        cr_assert(fd >= 0);

        bool is = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

        close(fd);
        return is;
}

/* Below the ports that the kernel gives to whoever asks for none. A server whose port another
 * one has taken tries again for seconds while its other ports seem to answer. */
int world_free_port(void)
{
        enum { FIRST = 10000, LAST = 32000 };

        for (int i = 0; i < 1000; i++) {
                unsigned random;

                cr_assert_eq(getrandom(&random, sizeof(random), 0), sizeof(random));

                int port = FIRST + (int)(random % (LAST - FIRST));

                if (is_free(port) && is_ours(port))
                        return port;
        }
        cr_assert_fail("no port is free");
        return -1;
}

/* A CA, a good certificate, an expired one, and one of another host's name. */
static void make_certificates(const struct world *world)
{
        int status = world_shell(
            "set -e; mkdir '%1$s/tls'; cd '%1$s/tls'\n"
            "make() {\n"
            "  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $1.key"
            " -subj /CN=$1 -out $1.csr\n"
            "  printf 'subjectAltName=%%s\\n' $2 >$1.ext\n"
            "}\n"
            "sign() { $2 openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial"
            " -days 10 -extfile $1.ext -out $1.crt; }\n"
            "exec >log 2>&1\n"
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
            " -keyout ca.key -subj /CN=test-ca -days 20 -out ca.crt\n"
            "make good IP:127.0.0.1,DNS:localhost; sign good ''\n"
            "make expired IP:127.0.0.1,DNS:localhost; sign expired 'faketime 2020-01-01'\n"
            "make foreign DNS:elsewhere.example; sign foreign ''\n"
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
            " -keyout self.key -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
            " -days 20 -out self.crt\n",
            world->dir);

        cr_assert_eq(status, 0, "no certificates");
}

static void write_config(const struct world *world, const char *path)
{
        world_text(
            path,
            "daemon off; master_process off; pid %1$s/nginx.pid; error_log %1$s/nginx.err;\n"
            "events { worker_connections 2048; }\n"
            "http {\n"
            "  access_log %1$s/nginx.log; root %1$s/files;\n"
            "  client_body_temp_path %1$s/t1; proxy_temp_path %1$s/t2;\n"
            "  fastcgi_temp_path %1$s/t3; uwsgi_temp_path %1$s/t4; scgi_temp_path %1$s/t5;\n"
            "  default_type application/octet-stream;\n"
            "  server { listen 127.0.0.1:%2$d;\n"
            "    location /private/ { return 401; }\n"
            "    location /bearer/ { if ($http_authorization != \"Bearer the-token\") { return "
            "401; }\n"
            "      rewrite ^/bearer/(.*)$ /$1 break; }\n"
            /* As many tokens as there are files of their names; behind it is the other origin. */
            "    location /tokens/ { if (!-f \"%1$s/tokens/$http_authorization\") { return 401; }\n"
            "      proxy_pass http://127.0.0.1:%7$d/; proxy_http_version 1.1;\n"
            "      proxy_buffering off; }\n"
            "    location /basic/ { if ($http_authorization != \"Basic dXNlcjpzZWNyZXQ=\") { "
            "return 401; }\n"
            "      rewrite ^/basic/(.*)$ /$1 break; }\n"
            "    location /away/ { if ($http_authorization != \"Bearer the-token\") { return 401; "
            "}\n"
            "      rewrite ^/away/(.*)$ http://localhost:%2$d/bare/$1 redirect; }\n"
            "    location /bare/ { if ($http_authorization) { return 403; }\n"
            "      rewrite ^/bare/(.*)$ /$1 break; }\n"
            "    location /moved/ { rewrite ^/moved/(.*)$ /$1 redirect; } }\n"
            "  server { listen 127.0.0.1:%3$d ssl http2;\n"
            "    ssl_certificate %1$s/tls/good.crt; ssl_certificate_key %1$s/tls/good.key;\n"
            "    ssl_verify_client optional; ssl_client_certificate %1$s/tls/ca.crt;\n"
            "    location /mutual/ { if ($ssl_client_verify != SUCCESS) { return 403; }\n"
            "      rewrite ^/mutual/(.*)$ /$1 break; }\n"
            "    location /down/ { rewrite ^/down/(.*)$ http://127.0.0.1:%2$d/$1 redirect; }\n"
            "    location /moved/ { rewrite ^/moved/(.*)$ /$1 redirect; } }\n"
            "  server { listen 127.0.0.1:%4$d ssl;\n"
            "    ssl_certificate %1$s/tls/expired.crt;\n"
            "    ssl_certificate_key %1$s/tls/expired.key; }\n"
            "  server { listen 127.0.0.1:%5$d ssl;\n"
            "    ssl_certificate %1$s/tls/foreign.crt;\n"
            "    ssl_certificate_key %1$s/tls/foreign.key; }\n"
            "  server { listen 127.0.0.1:%6$d ssl;\n"
            "    ssl_certificate %1$s/tls/self.crt;\n"
            "    ssl_certificate_key %1$s/tls/self.key; }\n"
            "}\n",
            world->dir, world->http_port, world->https_port, world->expired_port,
            world->foreign_port, world->self_port, world->port ? world->port : 1);
}

bool world_answers(int port)
{
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

        close(fd);
        return connected;
}

/* false: it ended, since somebody else took a port between our look and its bind. */
static bool try_nginx(struct world *world, const char *config, int log)
{
        int64_t deadline = now_ms() + SURELY_MS;
        char ready[2 * WORLD_PATH]; /* written when it has all of its ports */

        world->http_port = world_free_port();
        world->https_port = world_free_port();
        world->expired_port = world_free_port();
        world->foreign_port = world_free_port();
        world->self_port = world_free_port();
        write_config(world, config);
        snprintf(ready, sizeof(ready), "%s/nginx.pid", world->dir);
        unlink(ready);
        world->nginx = fork();
        if (world->nginx == 0) {
                prctl(PR_SET_PDEATHSIG, SIGTERM);
                /* What it says before it has read its error_log: since 1.25.1 a warning of http2.
                 */
                dup2(log, STDERR_FILENO);
                execlp("nginx", "nginx", "-p", world->dir, "-c", config, (char *)NULL);
                execl("/usr/sbin/nginx", "nginx", "-p", world->dir, "-c", config, (char *)NULL);
                _exit(127);
        }
        do {
                if (waitpid(world->nginx, NULL, WNOHANG) != 0)
                        return false;
                cr_assert(now_ms() < deadline, "nginx does not start; see %s/nginx.err",
                          world->dir);
                sleep_ms(10);
        } while (access(ready, F_OK) != 0 || !world_answers(world->self_port));
        return true;
}

void world_nginx(struct world *world)
{
        char config[2 * WORLD_PATH];
        char errors[2 * WORLD_PATH];
        bool started = false;
        int log;

        make_certificates(world);
        snprintf(config, sizeof(config), "%s/nginx.conf", world->dir);
        snprintf(errors, sizeof(errors), "%s/nginx.err", world->dir);
        log = open(errors, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        cr_assert(log >= 0);
        for (int tries = 0; !started && tries < 5; tries++)
                started = try_nginx(world, config, log);
        close(log);
        cr_assert(started, "nginx does not start; see %s", errors);
}
