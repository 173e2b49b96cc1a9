/*
 * Reading a credential's file, whole and within bounds, and noticing that it has changed. Sends
 * nothing, keeps nothing.
 */
#include "fetch/auth.h"

#include "cas/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* NULL: what is wrong with what was read is in *ret_why. */
static char *read_text(int fd, const struct stat *st, const char **ret_why)
{
        char *text = NULL;
        ssize_t got = 0;

        *ret_why = NULL;
        if (!S_ISREG(st->st_mode) || st->st_size >= FETCH_AUTH_SECRET_MAX)
                *ret_why = "not a regular file of less than 64 KiB";
        else if (!(text = calloc(1, FETCH_AUTH_SECRET_MAX)))
                *ret_why = strerror(ENOMEM);
        else if ((got = cas_io_read_at(fd, text, FETCH_AUTH_SECRET_MAX - 1, 0)) < 0)
                *ret_why = strerror((int)-got);
        while (!*ret_why && got > 0 && strchr(" \t\r\n", text[got - 1]))
                text[--got] = '\0';
        if (!*ret_why && got == 0)
                *ret_why = "it is empty";
        else if (!*ret_why && strlen(text) != (size_t)got)
                *ret_why = "a NUL byte: not a text";
        if (!*ret_why)
                return text;
        if (text)
                explicit_bzero(text, FETCH_AUTH_SECRET_MAX);
        free(text);
        return NULL;
}

/* A descriptor, or -errno. */
static int open_file(const struct fetch_auth_opener *opener, const char *path)
{
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

        if (fd >= 0)
                return fd;
        return errno == EACCES && opener ? opener->open(opener->arg, path) : -errno;
}

const char *fetch_auth_unseen(const char *path)
{
        return access(path, R_OK) < 0 && errno == EACCES ? " (Permission denied)" : "";
}

char *fetch_auth_read_file_by(const struct fetch_auth_opener *opener, const char *what,
                              const char *path, struct stat *ret_seen, struct fetch_cause *cause)
{
        _cleanup_close_ int fd = open_file(opener, path);
        struct stat st = {0};
        const char *why = NULL;
        char *text = NULL;

        if (fd == -EPERM)
                why = "not ours to read, and on its way others can write, or is a link";
        else if (fd < 0)
                why = strerror(-fd);
        else if (fstat(fd, &st) < 0)
                why = strerror(errno);
        else
                text = read_text(fd, &st, &why);
        if (ret_seen)
                *ret_seen = st;
        if (!text)
                fetch_cause_set(cause, FETCH_DENIED, "%s %s: %s", what, path, why);
        return text;
}

char *fetch_auth_read_file(const char *what, const char *path, struct stat *ret_seen,
                           struct fetch_cause *cause)
{
        return fetch_auth_read_file_by(NULL, what, path, ret_seen, cause);
}

/* Also of a file in a directory that is not ours to search. */
static int look_at(const struct fetch_auth_opener *opener, const char *path, struct stat *ret)
{
        if (stat(path, ret) == 0)
                return 0;
        if (errno != EACCES || !opener)
                return -errno;

        _cleanup_close_ int fd = opener->open(opener->arg, path);

        return fd < 0 ? fd : fstat(fd, ret);
}

bool fetch_auth_has_changed_by(const struct fetch_auth_opener *opener, const char *path,
                               const struct stat *seen)
{
        struct stat st;

        return look_at(opener, path, &st) < 0 || seen->st_ino != st.st_ino ||
               seen->st_dev != st.st_dev || seen->st_size != st.st_size ||
               seen->st_mtim.tv_sec != st.st_mtim.tv_sec ||
               seen->st_mtim.tv_nsec != st.st_mtim.tv_nsec ||
               seen->st_ctim.tv_sec != st.st_ctim.tv_sec ||
               seen->st_ctim.tv_nsec != st.st_ctim.tv_nsec;
}

bool fetch_auth_has_changed(const char *path, const struct stat *seen)
{
        return fetch_auth_has_changed_by(NULL, path, seen);
}
