/*
 * The mount point before the mount. A daemon that was killed leaves a mount that
 * answers ENOTCONN; that one, if it is an assetfs, is taken away.
 */
#include "fs/mountpoint.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define TYPE "fuse.assetfs"

/* mountinfo writes space, tab, newline and backslash as \ooo. In place. */
static void unescape(char *text)
{
        char *to = text;

        for (const char *from = text; *from; from++) {
                if (from[0] == '\\' && from[1] && from[2] && from[3]) {
                        char digits[] = {from[1], from[2], from[3], '\0'};

                        *to++ = (char)strtoul(digits, NULL, 8);
                        from += 3;
                } else {
                        *to++ = *from;
                }
        }
        *to = '\0';
}

/* The type and the device of the topmost mount at exactly `path`; false where there is none. */
static bool find_mount(const char *path, char type[64], char device[FS_DEVICE_MAX])
{
        FILE *file = fopen("/proc/self/mountinfo", "re");
        char *line = NULL;
        size_t room = 0;
        bool found = false;

        if (!file)
                return false;
        while (getline(&line, &room, file) > 0) {
                char point[PATH_MAX];
                char number[FS_DEVICE_MAX];
                const char *separator = strstr(line, " - ");

                if (!separator || sscanf(line, "%*s %*s %31s %*s %4095s", number, point) != 2)
                        continue;
                unescape(point);
                if (strcmp(point, path) == 0 && sscanf(separator, " - %63s", type) == 1) {
                        found = true;
                        memcpy(device, number, sizeof(number));
                }
        }
        free(line);
        fclose(file);
        return found;
}

/* realpath() that does not touch the last component, which may be a dead mount. */
static int make_absolute(char *path, size_t size)
{
        size_t length = strlen(path);
        char parent[PATH_MAX];
        char real[PATH_MAX];

        while (length > 1 && path[length - 1] == '/')
                path[--length] = '\0';

        char *slash = strrchr(path, '/');
        const char *last = slash ? slash + 1 : path;

        if (!*last || strcmp(last, ".") == 0 || strcmp(last, "..") == 0) {
                if (!realpath(path, real))
                        return -errno;
                return snprintf(path, size, "%s", real) < (int)size ? 0 : -ENAMETOOLONG;
        }
        if (!slash)
                snprintf(parent, sizeof(parent), ".");
        else
                snprintf(parent, sizeof(parent), "%.*s", (int)(slash == path ? 1 : slash - path),
                         path);
        if (!realpath(parent, real))
                return -errno;

        char joined[2 * PATH_MAX];

        snprintf(joined, sizeof(joined), "%s/%s", strcmp(real, "/") == 0 ? "" : real, last);
        return snprintf(path, size, "%s", joined) < (int)size ? 0 : -ENAMETOOLONG;
}

void fs_mountpoint_take_away(const char *path)
{
        if (geteuid() == 0) {
                umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
                return;
        }

        pid_t child = fork();

        if (child == 0) {
                execlp("fusermount3", "fusermount3", "-u", "-z", "-q", "--", path, (char *)NULL);
                _exit(127);
        }
        if (child > 0)
                waitpid(child, NULL, 0);
}

void fs_mountpoint_device(const char *path, char ret[FS_DEVICE_MAX])
{
        char type[64];

        if (!find_mount(path, type, ret))
                ret[0] = '\0';
}

bool fs_mountpoint_has(const char *path, const char *device)
{
        char found[FS_DEVICE_MAX];

        fs_mountpoint_device(path, found);
        return *device && strcmp(found, device) == 0;
}

static int complain(int error, char *why, size_t size, const char *words)
{
        snprintf(why, size, "%s", words);
        return error;
}

/* statfs() always asks the daemon; attributes may be remembered beyond its death. */
static bool is_dead(const char *path)
{
        struct statfs fs;

        return statfs(path, &fs) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

/* A path below the cache would be a mount inside the store. */
static bool is_inside(const char *path, const char *directory)
{
        char real[PATH_MAX];
        size_t length;

        if (!realpath(directory, real))
                return false;
        length = strlen(real);
        return strncmp(path, real, length) == 0 && (path[length] == '/' || !path[length]);
}

int fs_mountpoint_prepare(char *path, size_t size, const char *cache, char *why, size_t why_size)
{
        char type[64] = "";
        char device[FS_DEVICE_MAX];
        struct stat st;
        int r = make_absolute(path, size);

        if (r < 0)
                return complain(r, why, why_size, strerror(-r));
        if (is_dead(path)) {
                if (!find_mount(path, type, device) || strcmp(type, TYPE) != 0)
                        return complain(-ENOTCONN, why, why_size,
                                        "a dead mount that is not an assetfs is there");
                fs_mountpoint_take_away(path);
        }
        if (stat(path, &st) < 0)
                return complain(-errno, why, why_size, strerror(errno));
        if (!S_ISDIR(st.st_mode))
                return complain(-ENOTDIR, why, why_size, strerror(ENOTDIR));
        /* The last component may have been a symlink; now it can be followed. */
        char real[PATH_MAX];

        if (realpath(path, real) && strlen(real) < size)
                snprintf(path, size, "%s", real);
        if (find_mount(path, type, device)) {
                snprintf(why, why_size, "busy: a file system of type %s is mounted there", type);
                return -EBUSY;
        }
        if (is_inside(path, cache))
                return complain(-EBUSY, why, why_size, "it lies inside the cache");
        return 0;
}
