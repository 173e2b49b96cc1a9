/*
 * Real servers that fail as real servers do: nginx that is reloaded, haproxy that shuts
 * sessions down, squid that dies. They die with the test's process, and are to be stopped
 * before world_end(), which removes their directory.
 */
#ifndef TESTS_REAL_H
#define TESTS_REAL_H

#include "tests/e2e/world.h"

/* Starts a server and waits until it listens, and has written the file `ready` if that is not
 * NULL; false when it ended instead, since somebody else took one of its ports. */
bool real_start(pid_t *ret, const char *log, int port, const char *ready, int signal_at_death,
                const char *const *argv);
void real_stop(pid_t *pid, int signal);
/* Lines with the words in them; `sum`, if not NULL, of their field before " range=". */
int real_logged(const char *path, const char *words, int64_t *sum);

/* What /slow/ sends in a second, and, as nginx counts, also at once when it is asked. */
#define NGINX_SLOW 1048576

/*
 * nginx with a master and one worker, so that it can be reloaded. Below /slow/ it is slow.
 * Below /few/ more than 16 requests at once are answered by 509, and each takes a moment: a
 * pause of 20 ms after 3 KiB. /other/ redirects to 127.0.0.2, /metadata/ to 169.254.169.254.
 */
struct nginx {
        pid_t pid;
        int port;     /* http, on every IPv4 address of this machine */
        int tls_port; /* HTTP/2 */
        int two_port; /* HTTP/2, GOAWAY at the second request of a connection */
        char log[WORLD_PATH];
        char config[WORLD_PATH];
};

void nginx_start(struct nginx *nginx, const struct world *world);
void nginx_stop(struct nginx *nginx);  /* at once: transfers are cut */
void nginx_again(struct nginx *nginx); /* on the same ports */
/* A new worker; the old one says GOAWAY, goes on for 200 ms and then cuts what is left. */
void nginx_reload(const struct nginx *nginx);

/*
 * Ended requests whose line has these words in it. A line is
 *   127.0.0.1:8080 HTTP/1.1 GET /slow/x 206 1234 range=bytes=5- connection=7
 */
int nginx_logged(const struct nginx *nginx, const char *words);
/* The sum of their bodies' bytes. */
int64_t nginx_sent(const struct nginx *nginx, const char *words);

/* haproxy before one server, nginx's http port. */
struct haproxy {
        pid_t pid;
        int port;     /* HTTP/1.1 */
        int tls_port; /* HTTP/2 */
        char socket[WORLD_PATH];
};

void haproxy_start(struct haproxy *haproxy, const struct world *world, const struct nginx *nginx);
void haproxy_stop(struct haproxy *haproxy);
/* Waits until a transfer is under way, lets it go on for a moment, and cuts it. */
void haproxy_cut(const struct haproxy *haproxy);

/* squid that caches nothing. */
struct squid {
        pid_t pid;
        int port;
        char url[WORLD_PATH]; /* http://127.0.0.1:port */
        char dir[WORLD_PATH];
};

/* `password`: it answers 407 to all but the user joe with the password hunter2. */
void squid_start(struct squid *squid, const struct world *world, bool password);
void squid_stop(struct squid *squid); /* by SIGKILL: transfers are cut */
void squid_again(struct squid *squid);
/* Ended requests whose line of the access log has these words in it. */
int squid_logged(const struct squid *squid, const char *words);

#endif
