/*
 * Faults for the store: its system calls come here (the linker's --wrap, see torture.mk) and
 * are passed on, but for the one that is to fail. Only what is called between faults_start()
 * and faults_stop() counts; the writer's thread calls, too.
 */
#ifndef TESTS_TORTURE_FAULTS_H
#define TESTS_TORTURE_FAULTS_H

#include <stdbool.h>

/* Every call with which the store touches its disk, but close, and but what root does to give a
 * directory away. The names are the linker's. */
#define FAULTS_CALLS(X)                                                                            \
        X(openat64)                                                                                \
        X(open64)                                                                                  \
        X(fdopendir)                                                                               \
        X(readdir64)                                                                               \
        X(fstatat64)                                                                               \
        X(fstat64)                                                                                 \
        X(fstatvfs64)                                                                              \
        X(faccessat)                                                                               \
        X(mkdirat)                                                                                 \
        X(mkdir)                                                                                   \
        X(unlinkat)                                                                                \
        X(renameat2)                                                                               \
        X(linkat)                                                                                  \
        X(fchmod)                                                                                  \
        X(fchmodat)                                                                                \
        X(futimens)                                                                                \
        X(fsetxattr)                                                                               \
        X(fgetxattr)                                                                               \
        X(flock)                                                                                   \
        X(fcntl64)                                                                                 \
        X(dup3)                                                                                    \
        X(fallocate64)                                                                             \
        X(ftruncate64)                                                                             \
        X(fsync)                                                                                   \
        X(pread64)                                                                                 \
        X(pwrite64)                                                                                \
        X(pwritev64)

enum faults_call {
#define FAULTS_NUMBER(name) FAULTS_##name,
        FAULTS_CALLS(FAULTS_NUMBER)
#undef FAULTS_NUMBER
            FAULTS_CALL_COUNT
};

#define FAULTS_SHORT 9999 /* for pwrite and pwritev: half of it, and no error */

struct fault {
        enum faults_call call;
        unsigned nth; /* the first is 1; 0: none fails */
        int error;    /* an errno, or FAULTS_SHORT */
};

const char *faults_name(enum faults_call call);

/* `no_rename`: the file system knows no RENAME_NOREPLACE (EINVAL). */
void faults_start(const struct fault *fault, bool no_rename);
/* Did the call that was to fail come? */
bool faults_stop(void);

/* How often it was called since the start. */
unsigned faults_count(enum faults_call call);
/* Did the nth call of them come from another place in the store than those before? */
bool faults_is_new_site(enum faults_call call, unsigned nth);

#endif
