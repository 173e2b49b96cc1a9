/*
 * What somebody who has taken a worker over can try. The supervisor starts this in a
 * worker's place (a test reloads it), with a worker's descriptors; it asks for what is
 * not its own, writes how it was answered to the file named by HOSTILE_REPORT, and
 * crashes.
 *
 *   "what errno" a line; errno 0 means that it got an id
 */
#include "fs/channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static FILE *report;

static void ask_for(const char *what, uint32_t kind, const char *hex)
{
        struct fs_ask question = {.kind = kind};
        struct fs_answer answer = {.error = -ENOMSG};

        if (cas_digest_parse(hex, strlen(hex), &question.digest) < 0)
                abort();
        send(FS_FD_CHANNEL, &question, sizeof(question), MSG_NOSIGNAL);
        recv(FS_FD_CHANNEL, &answer, sizeof(answer), 0);
        fprintf(report, "%s %d\n", what, -answer.error);
        fflush(report);
}

static void ask(const char *what, const char *hex)
{
        ask_for(what, FS_ASK_BACKING, hex);
}

/* A descriptor along with a question: it must be thrown away. */
static void send_descriptor(int fd)
{
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = {0};
        struct fs_ask question = {.kind = 4242};
        struct iovec part = {&question, sizeof(question)};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof(control.bytes)};
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        struct fs_answer answer;

        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &fd, sizeof(int));
        sendmsg(FS_FD_CHANNEL, &message, MSG_NOSIGNAL);
        recv(FS_FD_CHANNEL, &answer, sizeof(answer), 0);
}

static void flood(void)
{
        struct fs_ask question = {.kind = FS_ASK_DROP};
        char garbage[4096];

        for (int i = 0; i < 20000; i++) {
                question.id = i * 7919 - 5000;
                send(FS_FD_CHANNEL, &question, sizeof(question), MSG_NOSIGNAL | MSG_DONTWAIT);
                memset(garbage, i, sizeof(garbage));
                send(FS_FD_CHANNEL, garbage, (size_t)(i % (int)sizeof(garbage)),
                     MSG_NOSIGNAL | MSG_DONTWAIT);
        }
}

int main(void)
{
        const char *path = getenv("HOSTILE_REPORT");
        struct fs_ask ready = {.kind = FS_ASK_READY};
        struct fs_answer answer;

        report = path ? fopen(path, "we") : NULL;
        if (!report)
                return 1;
        for (char digit = '1'; digit <= '6'; digit++) {
                static const char *const names[] = {"symlink",   "foreign", "fifo",
                                                    "directory", "missing", "device"};
                char hex[CAS_DIGEST_HEX + 1];

                memset(hex, digit, CAS_DIGEST_HEX);
                hex[CAS_DIGEST_HEX] = '\0';
                ask(names[digit - '1'], hex);
        }
        if (getenv("HOSTILE_OWN"))
                ask("own", getenv("HOSTILE_OWN"));
        /* printf /etc/shadow | sha256sum: no configuration names it. */
        ask_for("secret", FS_ASK_SECRET,
                "7b5ddf499844cf05866927513cf62fee9af8c281812def040b964146b0ea87d6");
        for (int i = 0; i < 100; i++)
                send_descriptor(STDIN_FILENO);
        flood();
        /* Unanswered questions: the supervisor must not wait for us to read. */
        for (int i = 0; i < 5000; i++)
                send(FS_FD_CHANNEL, &ready, sizeof(ready), MSG_NOSIGNAL | MSG_DONTWAIT);
        while (recv(FS_FD_CHANNEL, &answer, sizeof(answer), MSG_DONTWAIT) > 0)
                ;
        fprintf(report, "end 0\n");
        fclose(report);
        abort();
}
