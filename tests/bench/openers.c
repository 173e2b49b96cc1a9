/*
 * openers [-n COUNT] [-g GATE -b BLOB] PATH...: COUNT threads open each PATH at once.
 * Prints, in microseconds, when the first and the last of these opens returned, and how
 * many failed. The clock starts with the first call.
 *
 * With -g they wait for an origin that answers once the file GATE exists: it is made when
 * all of them have been in open for a while, and the clock starts with the publication of
 * BLOB, which is the last change of its inode. (The kernel's coarse clock stamps that, a
 * tick early at most, to our disadvantage.)
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES (64u << 10)
#define SETTLE_US   500000

struct crowd {
        const char *gate; /* or NULL */
        const char *blob;
        char **paths;
        unsigned path_count;
        unsigned count; /* of each path */
        clockid_t clock;
        pthread_barrier_t start;
};

struct opener {
        pthread_t thread;
        struct crowd *crowd;
        const char *path;
        int64_t called_ns;
        int64_t returned_ns;
        int error;
};

static int64_t ns(const struct timespec *time)
{
        return time->tv_sec * INT64_C(1000000000) + time->tv_nsec;
}

static int64_t now_ns(clockid_t clock)
{
        struct timespec now;

        clock_gettime(clock, &now);
        return ns(&now);
}

static void *open_path(void *arg)
{
        struct opener *opener = arg;

        pthread_barrier_wait(&opener->crowd->start);

        opener->called_ns = now_ns(opener->crowd->clock);

        int fd = open(opener->path, O_RDONLY | O_CLOEXEC);

        opener->error = fd < 0 ? errno : 0;
        opener->returned_ns = now_ns(opener->crowd->clock);
        if (fd >= 0)
                close(fd);
        return NULL;
}

static int start_openers(struct crowd *crowd, struct opener *openers, unsigned total)
{
        pthread_attr_t attributes;
        int r;

        pthread_attr_init(&attributes);
        r = pthread_attr_setstacksize(&attributes, STACK_BYTES);
        for (unsigned i = 0; r == 0 && i < total; i++) {
                openers[i].crowd = crowd;
                openers[i].path = crowd->paths[i % crowd->path_count];
                r = pthread_create(&openers[i].thread, &attributes, open_path, &openers[i]);
        }
        pthread_attr_destroy(&attributes);
        return -r;
}

static int open_gate(const char *gate)
{
        usleep(SETTLE_US);

        int fd = open(gate, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        return fd < 0 || close(fd) < 0 ? -errno : 0;
}

static int published_ns(const char *blob, int64_t *ret)
{
        struct stat st;

        if (stat(blob, &st) < 0)
                return -errno;
        *ret = ns(&st.st_ctim);
        return 0;
}

/* Says why the first one failed. */
static unsigned count_failed(const struct opener *openers, unsigned total)
{
        unsigned failed = 0;

        for (unsigned i = 0; i < total; i++)
                if (openers[i].error && failed++ == 0)
                        fprintf(stderr, "openers: %s: %s\n", openers[i].path,
                                strerror(openers[i].error));
        return failed;
}

static int64_t first_call_ns(const struct opener *openers, unsigned total)
{
        int64_t first = INT64_MAX;

        for (unsigned i = 0; i < total; i++)
                first = openers[i].called_ns < first ? openers[i].called_ns : first;
        return first;
}

static void report(const struct opener *openers, unsigned total, int64_t start, unsigned failed)
{
        int64_t first = INT64_MAX;
        int64_t last = INT64_MIN;

        for (unsigned i = 0; i < total; i++) {
                int64_t took = openers[i].returned_ns - start;

                first = took < first ? took : first;
                last = took > last ? took : last;
        }
        printf("%lld %lld %u\n", (long long)first / 1000, (long long)last / 1000, failed);
}

static int open_all(struct crowd *crowd, struct opener *openers, unsigned total)
{
        int r = start_openers(crowd, openers, total);
        unsigned failed;
        int64_t start;

        if (r < 0)
                return r;
        pthread_barrier_wait(&crowd->start);
        r = crowd->gate ? open_gate(crowd->gate) : 0;
        for (unsigned i = 0; r == 0 && i < total; i++)
                pthread_join(openers[i].thread, NULL);
        if (r < 0)
                return r; /* and they wait on */
        failed = count_failed(openers, total);
        start = first_call_ns(openers, total);
        if (crowd->gate)
                r = published_ns(crowd->blob, &start);
        if (r == 0)
                report(openers, total, start, failed);
        return r;
}

static bool parse(struct crowd *crowd, int argc, char **argv)
{
        bool good = true;
        int option;

        while ((option = getopt(argc, argv, "n:g:b:")) >= 0) {
                if (option == 'n')
                        crowd->count = (unsigned)atoi(optarg);
                else if (option == 'g')
                        crowd->gate = optarg;
                else if (option == 'b')
                        crowd->blob = optarg;
                else
                        good = false;
        }
        crowd->paths = argv + optind;
        crowd->path_count = (unsigned)(argc - optind);
        crowd->clock = crowd->gate ? CLOCK_REALTIME : CLOCK_MONOTONIC;
        return good && crowd->path_count > 0 && crowd->count > 0 && crowd->count <= 10000 &&
               !crowd->gate == !crowd->blob;
}

int main(int argc, char **argv)
{
        struct crowd crowd = {.count = 1};
        struct rlimit files;

        if (!parse(&crowd, argc, argv)) {
                fprintf(stderr, "usage: openers [-n COUNT] [-g GATE -b BLOB] PATH...\n");
                return 2;
        }
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                setrlimit(RLIMIT_NOFILE, &files);
        }

        unsigned total = crowd.count * crowd.path_count;
        struct opener *openers = calloc(total, sizeof(*openers));
        int r = openers ? -pthread_barrier_init(&crowd.start, NULL, total + 1) : -ENOMEM;

        if (r == 0)
                r = open_all(&crowd, openers, total);
        if (r < 0)
                fprintf(stderr, "openers: %s\n", strerror(-r));
        /* Threads that still use it end with the process. */
        return r < 0 ? 1 : 0;
}
