/*
 * The worker's end of the channel.
 */
#include "fs/channel.h"

#include "fs/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

static struct fs_answer question(struct fs_channel *channel, const struct fs_ask *ask)
{
        struct fs_answer answer;
        ssize_t got;

        pthread_mutex_lock(&channel->lock);
        say(channel, ask);
        do {
                errno = 0;
                got = recv(channel->fd, &answer, sizeof(answer), 0);
        } while (got < 0 && errno == EINTR);
        if (got != sizeof(answer))
                give_up("receive");
        pthread_mutex_unlock(&channel->lock);
        return answer;
}

bool fs_channel_ready(struct fs_channel *channel, bool stale)
{
        struct fs_ask ask = {.kind = FS_ASK_READY, .id = stale};

        return question(channel, &ask).error == 0;
}

int fs_channel_backing(struct fs_channel *channel, const struct cas_digest *digest, int32_t *ret_id,
                       uint64_t *ret_inode)
{
        struct fs_ask ask = {.kind = FS_ASK_BACKING, .digest = *digest};
        struct fs_answer answer = question(channel, &ask);

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
