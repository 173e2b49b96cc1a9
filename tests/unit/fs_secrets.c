/*
 * What the supervisor opens for a worker: what the configuration names as a credential, where
 * nobody but root could have put it. And how the descriptor goes over the channel.
 */
#include "fs/secrets.h"

#include "cas/io.h"
#include "fs/channel.h"
#include "fs/kept_config.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

TestSuite(fs_secrets, .init = scratch_make, .fini = scratch_remove, .timeout = 30);

static struct fs_secrets secrets;

static int open_named(const char *path)
{
        struct cas_digest name;

        cr_assert_eq(fs_secrets_name(path, &name), 0);
        return fs_secrets_open(&secrets, &name);
}

static int open_one(const char *path)
{
        secrets = (struct fs_secrets){.count = 1};
        secrets.all[0].path = (char *)path;
        cr_assert_eq(fs_secrets_name(path, &secrets.all[0].name), 0);
        return open_named(path);
}

static bool says(int fd, const char *text)
{
        char got[64] = "";
        bool same = fd >= 0 && read(fd, got, sizeof(got) - 1) >= 0 && strcmp(got, text) == 0;

        if (fd >= 0)
                close(fd);
        return same;
}

Test(fs_secrets, what_is_ours_alone)
{
        cr_assert_eq(mkdir(scratch_at("d").text, 0700), 0);
        scratch_write("d/token", "abc", 3);
        cr_assert_eq(chmod(scratch_at("d/token").text, 0400), 0);
        cr_expect(says(open_one(scratch_at("d/token").text), "abc"));
        cr_expect_eq(open_one(scratch_at("d/none").text), -ENOENT);
        cr_expect_eq(open_one(scratch_at("d").text), -EPERM);
        cr_expect_eq(open_one("/"), -EPERM);
        cr_expect_eq(open_named(scratch_at("d/token").text), -EPERM, "not what is configured");
}

/* Each of these is where another user could have put a way to a file of root's. */
Test(fs_secrets, what_others_could_have_put_there)
{
        cr_assert_eq(mkdir(scratch_at("d").text, 0700), 0);
        scratch_write("d/token", "abc", 3);
        cr_assert_eq(symlink("token", scratch_at("d/link").text), 0);
        cr_assert_eq(symlink("d", scratch_at("way").text), 0);
        cr_assert_eq(mkfifo(scratch_at("d/fifo").text, 0600), 0);
        cr_expect_eq(open_one(scratch_at("d/link").text), -EPERM);
        cr_expect_eq(open_one(scratch_at("way/token").text), -EPERM);
        cr_expect_eq(open_one(scratch_at("d/fifo").text), -EPERM);
        cr_assert_eq(chmod(scratch_at("d").text, 0770), 0);
        cr_expect_eq(open_one(scratch_at("d/token").text), -EPERM, "its group writes there");
        cr_assert_eq(chmod(scratch_at("d").text, 01777), 0);
        cr_expect_eq(open_one(scratch_at("d/token").text), -EPERM, "a hard link");
        cr_assert_eq(chmod(scratch_at("d").text, 0700), 0);
        cr_assert_eq(chmod(scratch_at("d/token").text, 0660), 0);
        cr_expect_eq(open_one(scratch_at("d/token").text), -EPERM, "written by its group");
        if (geteuid() != 0)
                return;
        cr_assert_eq(chmod(scratch_at("d/token").text, 0600), 0);
        cr_assert_eq(chown(scratch_at("d").text, 65534, 0), 0);
        cr_expect_eq(open_one(scratch_at("d/token").text), -EPERM, "another's directory");
        cr_assert_eq(chown(scratch_at("d").text, 0, 0), 0);
        cr_assert_eq(chown(scratch_at("d/token").text, 65534, 0), 0);
        cr_expect_eq(open_one(scratch_at("d/token").text), -EPERM, "another's file");
}

/* Of the configuration as the worker gets it. */
Test(fs_secrets, of_the_configuration)
{
        char config[512];
        char text[512];
        char *argv[] = {"mount", "-c", config, "/mnt"};
        struct fs_options options;
        struct fs_kept_config kept;

        snprintf(config, sizeof(config), "%s", scratch_at("node.conf").text);
        snprintf(text, sizeof(text),
                 "[origin \"a\"]\nurl = https://a.example/{sha256}\ntoken-file = token\n"
                 "client-cert = cert\nclient-key = key\n"
                 "[catalog \"c\"]\nfile = https://a.example/c\nnetrc-file = netrc\n");
        scratch_write("node.conf", text, strlen(text));
        cr_assert_eq(fs_options_parse(4, argv, &options), 0);
        cr_assert_eq(fs_kept_config_make(&options, &kept), 0);
        unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
        cr_assert_eq(fs_secrets_read(&secrets, &options, kept.fd), 0);
        cr_assert_eq(fs_secrets_read(&secrets, &options, kept.fd), 0, "anew");
        cr_expect_eq(secrets.count, 4);
        setenv("GOOGLE_APPLICATION_CREDENTIALS", scratch_at("gs.json").text, 1);
        cr_assert_eq(fs_secrets_read(&secrets, &options, kept.fd), 0);
        scratch_write("gs.json", "g", 1);
        cr_expect(says(open_named(scratch_at("gs.json").text), "g"));
        scratch_write("netrc", "n", 1);
        cr_expect(says(open_named(scratch_at("netrc").text), "n"));
        cr_expect_eq(open_named(config), -EPERM);
        fs_secrets_free(&secrets);
        cr_expect_eq(open_named(scratch_at("netrc").text), -EPERM);
        fs_kept_config_end(&kept);
        fs_options_free(&options);
}

/* Answers three questions: with a file, with a refusal, with the file once more. */
static void *answer(void *arg)
{
        int fd = *(const int *)arg;
        struct fs_ask ask;

        for (int i = 0; i < 3 && recv(fd, &ask, sizeof(ask), 0) == sizeof(ask); i++) {
                struct fs_answer reply = {.error = i == 1 ? -EPERM : 0};

                fs_channel_reply(fd, &reply, i == 1 ? -1 : open_named(scratch_at("f").text));
        }
        return NULL;
}

Test(fs_secrets, over_the_channel)
{
        struct fs_channel channel;
        pthread_t supervisor;
        int ends[2];

        scratch_write("f", "abc", 3);
        close(open_one(scratch_at("f").text));
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        fs_channel_init(&channel, ends[0]);
        cr_assert_eq(pthread_create(&supervisor, NULL, answer, &ends[1]), 0);
        cr_expect(says(fs_channel_secret(&channel, "/any"), "abc"));
        cr_expect_eq(fs_channel_secret(&channel, "/any"), -EPERM);

        int fd = fs_channel_secret(&channel, "/any");

        cr_assert_geq(fd, 0);
        cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        cr_expect(says(fd, "abc"));
        pthread_join(supervisor, NULL);
        close(ends[0]);
        close(ends[1]);
}
