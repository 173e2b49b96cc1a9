/*
 * The channel: a struct a message, and a credential's descriptor beside the reply.
 */
#include "fs/channel.h"

#include "fs/log.h"
#include "fs/secrets.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union room_for_fd {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
};

void fs_channel_init(struct fs_channel *channel, int fd)
{
        channel->fd = fd;
        pthread_mutex_init(&channel->lock, NULL);
}

static void give_up(const char *what)
{
        fs_log(LOG_ERR, "event=supervisor-gone doing=%s cause=%s", what,
               fs_log_value(strerror(errno)).text);
        _exit(1);
}

static void say(struct fs_channel *channel, const struct fs_ask *ask)
{
        while (send(channel->fd, ask, sizeof(*ask), MSG_NOSIGNAL) != sizeof(*ask))
                if (errno != EINTR)
                        give_up("send");
}

/* *ret_handed is -1 where no descriptor came. */
static struct fs_answer question(struct fs_channel *channel, const struct fs_ask *ask,
                                 int *ret_handed)
{
        union room_for_fd room = {0};
        struct fs_answer answer;
        struct iovec bytes = {&answer, sizeof(answer)};
        struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
        ssize_t got;

        pthread_mutex_lock(&channel->lock);
        say(channel, ask);
        do {
                errno = 0;
                message.msg_control = &room;
                message.msg_controllen = sizeof(room);
                got = recvmsg(channel->fd, &message, MSG_CMSG_CLOEXEC);
        } while (got < 0 && errno == EINTR);
        if (got != sizeof(answer))
                give_up("receive");
        pthread_mutex_unlock(&channel->lock);
        *ret_handed = -1;
        if (message.msg_controllen >= CMSG_LEN(sizeof(int)) && room.header.cmsg_type == SCM_RIGHTS)
                memcpy(ret_handed, CMSG_DATA(&room.header), sizeof(*ret_handed));
        return answer;
}

bool fs_channel_ready(struct fs_channel *channel, bool stale)
{
        struct fs_ask ask = {.kind = FS_ASK_READY, .id = stale};

        int none;

        return question(channel, &ask, &none).error == 0;
}

int fs_channel_backing(struct fs_channel *channel, const struct cas_digest *digest, int32_t *ret_id,
                       uint64_t *ret_inode)
{
        struct fs_ask ask = {.kind = FS_ASK_BACKING, .digest = *digest};
        int none;
        struct fs_answer answer = question(channel, &ask, &none);

        if (answer.error < 0)
                return answer.error;
        *ret_id = answer.id;
        *ret_inode = answer.inode;
        return 0;
}

void fs_channel_drop(struct fs_channel *channel, int32_t id)
{
        struct fs_ask ask = {.kind = FS_ASK_DROP, .id = id};

        pthread_mutex_lock(&channel->lock);
        say(channel, &ask);
        pthread_mutex_unlock(&channel->lock);
}

int fs_channel_secret(struct fs_channel *channel, const char *path)
{
        struct fs_ask ask = {.kind = FS_ASK_SECRET};
        struct fs_answer answer;
        int r = fs_secrets_name(path, &ask.digest);
        int fd;

        if (r < 0)
                return r;
        answer = question(channel, &ask, &fd);
        if (fd >= 0 || answer.error < 0)
                return fd >= 0 ? fd : answer.error;
        return -EMFILE; /* it was given, and there was no room for it */
}

void fs_channel_reply(int fd, const struct fs_answer *answer, int handed)
{
        union room_for_fd room = {0};
        struct iovec bytes = {(void *)answer, sizeof(*answer)};
        struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};

        if (handed >= 0) {
                message.msg_control = &room;
                message.msg_controllen = sizeof(room);
                room.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                                               .cmsg_type = SCM_RIGHTS,
                                               .cmsg_len = CMSG_LEN(sizeof(int))};
                memcpy(CMSG_DATA(&room.header), &handed, sizeof(handed));
        }
        sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}
