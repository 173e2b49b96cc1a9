/*
 * A directory of a test's own. A suite names scratch_make and scratch_remove as its
 * init and fini; Criterion runs every test in a process of its own, so the one
 * variable here is the test's alone.
 */
#ifndef TESTS_UNIT_SCRATCH_H
#define TESTS_UNIT_SCRATCH_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOW_BUILD 1 /* bounds in time are not measured, loops are shorter */
#else
#define SLOW_BUILD 0
#endif

/* Milliseconds of processor time of this process: how long something takes that only computes,
 * whatever else the machine does. */
static inline int64_t processor_ms(void)
{
        struct timespec used;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

struct scratch_path {
        char text[512];
};

static char scratch_dir[256];

static inline void scratch_make(void)
{
        const char *base = getenv("TMPDIR");

        snprintf(scratch_dir, sizeof(scratch_dir), "%s/assetfs-unit-XXXXXX", base ? base : "/tmp");
        cr_assert_not_null(mkdtemp(scratch_dir));
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *ftw)
{
        (void)st;
        (void)type;
        (void)ftw;
        return remove(path);
}

static inline void scratch_remove(void)
{
        nftw(scratch_dir, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Lives to the end of the full expression it is used in: scratch_at("x").text. */
static inline struct scratch_path scratch_at(const char *name)
{
        struct scratch_path path;

        cr_assert_lt(snprintf(path.text, sizeof(path.text), "%s/%s", scratch_dir, name),
                     (int)sizeof(path.text));
        return path;
}

static inline void scratch_write(const char *name, const void *bytes, size_t length)
{
        int fd = open(scratch_at(name).text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        cr_assert_geq(fd, 0);
        cr_assert_eq(write(fd, bytes, length), (ssize_t)length);
        close(fd);
}

static inline bool scratch_has(const char *name)
{
        struct stat st;

        return lstat(scratch_at(name).text, &st) == 0;
}

/* Entries of the directory, without "." and "..". */
static inline unsigned scratch_count(const char *name)
{
        DIR *dir = opendir(scratch_at(name).text);
        unsigned count = 0;

        cr_assert_not_null(dir);
        for (const struct dirent *entry; (entry = readdir(dir));)
                count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
        closedir(dir);
        return count;
}

#endif
