/*
 * Both ends of the command socket. A message is a line, with the client's socket beside it.
 */
#include "fs/command.h"

#include "cas/io.h"
#include "cas/room.h"
#include "fetch/thread.h"
#include "fs/control.h"
#include "fs/keeper.h"
#include "fs/log.h"
#include "fs/values.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct fs_commands {
        struct fs_server *server;
        int fd;
        pthread_t thread;
        atomic_bool stopping;
};

union room_for_fd {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
};

int fs_command_send(int worker, const char *line, int client)
{
        union room_for_fd room = {0};
        struct iovec bytes = {.iov_base = (void *)line, .iov_len = strlen(line)};
        struct msghdr message = {.msg_iov = &bytes,
                                 .msg_iovlen = 1,
                                 .msg_control = &room,
                                 .msg_controllen = sizeof(room)};

        if (worker < 0)
                return -ENOTCONN;
        room.header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(&room.header), &client, sizeof(client));
        return sendmsg(worker, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* The length of the line, 0 when there will be none any more. *ret_client: -1 where none came. */
static ssize_t receive(int fd, char *line, size_t size, int *ret_client)
{
        union room_for_fd room = {0};
        struct iovec bytes = {.iov_base = line, .iov_len = size - 1};
        struct msghdr message = {.msg_iov = &bytes,
                                 .msg_iovlen = 1,
                                 .msg_control = &room,
                                 .msg_controllen = sizeof(room)};
        ssize_t got;

        *ret_client = -1;
        do
                got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
        while (got < 0 && errno == EINTR);
        line[got > 0 ? got : 0] = '\0';
        if (got > 0 && message.msg_controllen >= CMSG_LEN(sizeof(int)) &&
            room.header.cmsg_type == SCM_RIGHTS)
                memcpy(ret_client, CMSG_DATA(&room.header), sizeof(*ret_client));
        return got;
}

static const char *cancel(const struct fs_server *server, const char *hex)
{
        struct cas_digest digest;

        if (cas_digest_parse(hex, strlen(hex), &digest) < 0)
                return "not a digest";
        if (!fetch_cancel(server->fetch, &digest))
                return "no download of this digest is under way";
        fs_log(LOG_NOTICE, "event=cancelled digest=%s cause=%s", hex,
               fs_log_value("by an operator").text);
        return "ok";
}

/* The words of the line are the bounds that were asked for; "-" is the mount's own. */
static int read_bounds(const struct fs_server *server, char *words, struct cas_bounds *ret)
{
        const char *size = strtok_r(words, " ", &words);
        const char *free = strtok_r(NULL, " ", &words);

        *ret = cas_store_room_of(server->store)->bounds;
        if (size && strcmp(size, "-") != 0 && fs_parse_size(size, &ret->cache_size) < 0)
                return -EINVAL;
        return free && strcmp(free, "-") != 0 ? fs_parse_free(free, ret) : 0;
}

static void collect(struct fs_commands *commands, char *words, char *answer, size_t size)
{
        struct cas_store *store = commands->server->store;
        struct cas_bounds bounds;
        struct cas_freed freed = {0};
        int r = read_bounds(commands->server, words, &bounds);

        if (r == 0)
                r = cas_room_collect(store, &bounds, &commands->stopping, &freed);
        fs_keeper_ask(commands->server->keeper);
        if (r < 0)
                snprintf(answer, size, "%s", strerror(-r));
        else
                snprintf(answer, size, "ok blobs=%" PRIu64 " freed=%" PRIu64 " used=%" PRIu64,
                         freed.blobs, freed.bytes, cas_room_used(store));
}

static void *run(void *arg)
{
        struct fs_commands *commands = arg;
        char line[FS_CONTROL_LINE];
        int received;

        pthread_setname_np(pthread_self(), "commands");
        while (receive(commands->fd, line, sizeof(line), &received) > 0) {
                _cleanup_close_ int client = received;
                char answer[126] = "no such command";
                char text[128];

                if (strncmp(line, "cancel ", 7) == 0)
                        snprintf(answer, sizeof(answer), "%s", cancel(commands->server, line + 7));
                else if (strcmp(line, "gc") == 0 || strncmp(line, "gc ", 3) == 0)
                        collect(commands, line + 2, answer, sizeof(answer));
                snprintf(text, sizeof(text), "%s\n", answer);
                if (client >= 0)
                        send(client, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        return NULL;
}

int fs_commands_new(struct fs_server *server, int fd, struct fs_commands **ret)
{
        struct fs_commands *commands = calloc(1, sizeof(*commands));

        if (!commands)
                return -ENOMEM;
        commands->server = server;
        commands->fd = fd;

        int r = fetch_thread_start(&commands->thread, run, commands);

        if (r < 0) {
                free(commands);
                return r;
        }
        *ret = commands;
        return 0;
}

void fs_commands_free(struct fs_commands *commands)
{
        if (!commands)
                return;
        atomic_store(&commands->stopping, true);
        shutdown(commands->fd, SHUT_RDWR); /* ends what it reads */
        pthread_join(commands->thread, NULL);
        free(commands);
}
