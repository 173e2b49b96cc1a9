/*
 * The control socket, both ends. Paths go through /proc/self/fd, because a cache may lie
 * deeper than a socket's address is long.
 */
#include "fs/control.h"

#include "cas/io.h"
#include "fetch/clock.h"
#include "fs/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SILENCE_MS 2000

static struct sockaddr_un address_in(int root)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/control", root);
        return address;
}

static void become(uid_t uid, gid_t gid)
{
        setfsgid(gid);
        setfsuid(uid);
}

int fs_control_open(struct fs_control *control, int root, const struct fs_account *account)
{
        struct sockaddr_un address = address_in(root);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int r = fd < 0 ? -errno : 0;

        *control = (struct fs_control){.listener = -1, .client = -1, .user = account->uid};
        if (r < 0)
                return r;
        become(account->uid, account->gid);
        unlinkat(root, "control", 0); /* of a mount that is gone: the cache's lock is ours */

        mode_t before = umask(0177);

        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0)
                r = -errno;
        umask(before);
        become(geteuid(), getegid());
        if (r < 0)
                close(fd);
        else
                control->listener = fd;
        return r;
}

void fs_control_close(struct fs_control *control, int root, const struct fs_account *account)
{
        if (control->listener < 0)
                return;
        close(control->listener);
        control->listener = -1;
        become(account->uid, account->gid);
        unlinkat(root, "control", 0);
        become(geteuid(), getegid());
}

static void say(int client, const char *line)
{
        char text[512];

        snprintf(text, sizeof(text), "%.*s\n", (int)sizeof(text) - 2, line);
        send(client, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool may_speak(const struct fs_control *control, int client)
{
        struct ucred peer;
        socklen_t length = sizeof(peer);

        return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
               (peer.uid == 0 || peer.uid == control->user);
}

static void accept_client(struct fs_control *control)
{
        int client = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (client < 0)
                return;
        if (may_speak(control, client) && control->client < 0) {
                control->client = client;
                control->silent_ms = fetch_now_ms() + SILENCE_MS;
                return;
        }
        say(client, control->client < 0 ? "not allowed" : "busy");
        close(client);
}

void fs_control_answer(struct fs_control *control, const char *line)
{
        if (control->client < 0)
                return;
        say(control->client, line);
        close(control->client);
        control->client = -1;
}

void fs_control_hand_over(struct fs_control *control, int worker)
{
        if (control->client < 0)
                return;
        if (fs_command_send(worker, control->line, control->client) < 0) {
                fs_control_answer(control, "the worker is being replaced; try again");
                return;
        }
        close(control->client);
        control->client = -1;
}

void fs_control_tick(struct fs_control *control)
{
        if (control->client >= 0 && control->silent_ms && fetch_now_ms() > control->silent_ms)
                fs_control_answer(control, "nothing was asked");
}

enum fs_command fs_control_take(struct fs_control *control)
{
        char *line = control->line;
        ssize_t got;

        if (control->listener >= 0)
                accept_client(control);
        if (control->client < 0)
                return FS_COMMAND_NONE;
        got = recv(control->client, line, sizeof(control->line) - 1, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
                return FS_COMMAND_NONE;
        control->silent_ms = 0;
        line[got > 0 ? got : 0] = '\0';
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "reload") == 0)
                return FS_COMMAND_RELOAD;
        if (strncmp(line, "cancel ", 7) == 0 || strncmp(line, "gc", 2) == 0)
                return FS_COMMAND_WORKERS;
        /* Nothing, when it hung up. */
        fs_control_answer(control, "no such command");
        return FS_COMMAND_NONE;
}

int fs_control_ask(const char *cache, const char *word, int timeout_ms, char *ret, size_t size)
{
        _cleanup_close_ int root = open(cache, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        size_t length = 0;

        if (root < 0 || fd < 0)
                return -errno;

        struct sockaddr_un address = address_in(root);
        char line[FS_CONTROL_LINE];

        if (snprintf(line, sizeof(line), "%s\n", word) >= (int)sizeof(line))
                return -EMSGSIZE;
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        /* Refused at once, it may have hung up; what it said is still to be read. */
        if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0 && errno != EPIPE)
                return -errno;
        while (length + 1 < size && !memchr(ret, '\n', length)) {
                ssize_t got;

                if (poll(&readable, 1, timeout_ms) != 1)
                        return -ETIMEDOUT;
                got = recv(fd, ret + length, size - 1 - length, 0);
                if (got < 0)
                        return -errno;
                if (got == 0)
                        return -ECONNRESET;
                length += (size_t)got;
        }
        ret[length] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
        return 0;
}
