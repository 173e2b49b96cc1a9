/*
 * The world of a test: directories, the daemon, mounts, and the checks at the end.
 * Servers are in servers.c, openers in openers.c.
 */
#include "tests/e2e/world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_THREADS = 4 };

int64_t now_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sleep_ms(int ms)
{
        struct timespec time = {ms / 1000, ms % 1000 * 1000000L};

        nanosleep(&time, NULL);
}

static void path_of(char path[WORLD_PATH], const struct world *world, const char *name)
{
        snprintf(path, WORLD_PATH, "%.*s/%s", WORLD_PATH - 64, world->dir, name);
}

void world_begin(struct world *world)
{
        static const char *const unwanted[] = {
            "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "http_proxy", "https_proxy",
            "HTTP_PROXY",    "HTTPS_PROXY",  "all_proxy",      "ALL_PROXY",  "no_proxy",
        };
        const char *root = getenv("ASSETFS_TEST_ROOT");

        *world = (struct world){0};
        for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
                unsetenv(unwanted[i]);
        umask(022);
        snprintf(world->dir, sizeof(world->dir), "%s/world.XXXXXX", root ? root : "/tmp");
        cr_assert(mkdtemp(world->dir), "mkdtemp %s: %s", world->dir, strerror(errno));
        chmod(world->dir, 0755);
        path_of(world->files, world, "files");
        path_of(world->cache, world, "cache");
        path_of(world->mnt, world, "mnt");
        path_of(world->log, world, "log");
        path_of(world->requests, world, "requests");
        path_of(world->ca, world, "tls/ca.crt");
        cr_assert_eq(mkdir(world->files, 0755), 0);
        cr_assert_eq(mkdir(world->mnt, 0755), 0);
}

void world_file(const char *path, const void *bytes, size_t length)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
        cr_assert_eq(write(fd, bytes, length), (ssize_t)length);
        close(fd);
}

void world_text(const char *path, const char *format, ...)
{
        char *text = NULL;
        va_list args;

        va_start(args, format);

        int length = vasprintf(&text, format, args);

        va_end(args);
        cr_assert(length >= 0);
        world_file(path, text, (size_t)length);
        free(text);
}

static void hash_bytes(const void *bytes, size_t length, char hex[HEX])
{
        struct cas_digest digest;
        struct cas_hash *hash;

        cr_assert_eq(cas_hash_new(&hash), 0);
        cas_hash_update(hash, bytes, length);
        cr_assert_eq(cas_hash_final(hash, &digest), 0);
        cas_hash_free(hash);
        cas_digest_format(&digest, hex);
}

void world_asset(struct world *world, size_t size, char hex[HEX])
{
        char path[2 * WORLD_PATH];
        char *bytes = malloc(size + 1);
        int random = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

        cr_assert(bytes && random >= 0);
        for (size_t done = 0; done < size;) {
                ssize_t got = read(random, bytes + done, size - done);

                cr_assert(got > 0);
                done += (size_t)got;
        }
        close(random);
        hash_bytes(bytes, size, hex);
        snprintf(path, sizeof(path), "%s/%s", world->files, hex);
        world_file(path, bytes, size);
        free(bytes);
}

const char *world_path(const struct world *world, const char *name)
{
        static char paths[8][2 * WORLD_PATH];
        static unsigned turn;
        char *path = paths[turn++ % 8];

        snprintf(path, sizeof(paths[0]), "%s/%s", world->mnt, name);
        return path;
}

const char *world_blob(const struct world *world, const char *hex)
{
        static char paths[8][2 * WORLD_PATH];
        static unsigned turn;
        char *path = paths[turn++ % 8];

        snprintf(path, sizeof(paths[0]), "%s/blobs/sha256/%s", world->cache, hex);
        return path;
}

const char *world_staging(const struct world *world, const char *hex)
{
        static char paths[8][2 * WORLD_PATH];
        static unsigned turn;
        char *path = paths[turn++ % 8];

        snprintf(path, sizeof(paths[0]), "%s/ingest/%s.part", world->cache, hex);
        return path;
}

static int count_lines(const char *path, const char *words, bool at_start)
{
        FILE *file = fopen(path, "re");
        char *line = NULL;
        size_t room = 0;
        int count = 0;

        if (!file)
                return 0;
        while (getline(&line, &room, file) > 0) {
                const char *found = strstr(line, words);

                if (found && (!at_start || found == line))
                        count++;
        }
        free(line);
        fclose(file);
        return count;
}

int world_logged(const struct world *world, const char *words)
{
        return count_lines(world->log, words, false);
}

int world_requests(const struct world *world, const char *prefix)
{
        return count_lines(world->requests, prefix, true);
}

static char chosen_binary[WORLD_PATH];

void world_use_binary(const char *path)
{
        snprintf(chosen_binary, sizeof(chosen_binary), "%s", path);
}

static const char *binary(void)
{
        const char *path = chosen_binary[0] ? chosen_binary : getenv("ASSETFS");

        cr_assert(path, "ASSETFS names the binary");
        return path;
}

/* In the child: assetfs with the arguments, dying with the test. */
static void exec_assetfs(const char *const *before, const char *const *args, const char *last)
{
        const char *argv[64] = {binary()};
        int count = 1;

        for (; before && *before && count < 60; before++)
                argv[count++] = *before;
        for (; *args && count < 62; args++)
                argv[count++] = *args;
        if (last)
                argv[count++] = last;
        execv(argv[0], (char *const *)argv);
        _exit(127);
}

int(world_run)(char *output, size_t size, const char *const *args)
{
        size_t length = 0;
        int pipes[2];
        int status;
        ssize_t got;

        cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);

        pid_t child = fork();

        if (child == 0) {
                dup2(pipes[1], STDOUT_FILENO);
                dup2(pipes[1], STDERR_FILENO);
                exec_assetfs(NULL, args, NULL);
        }
        close(pipes[1]);
        while (length + 1 < size && (got = read(pipes[0], output + length, size - 1 - length)) > 0)
                length += (size_t)got;
        output[length] = '\0';
        close(pipes[0]);
        cr_assert_eq(waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int world_shell(const char *format, ...)
{
        char command[8192];
        va_list args;

        va_start(args, format);
        vsnprintf(command, sizeof(command), format, args);
        va_end(args);

        int status = system(command);

        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static unsigned entries_of(const char *path)
{
        DIR *dir = opendir(path);
        unsigned count = 0;

        for (const struct dirent *entry; dir && (entry = readdir(dir));)
                if (entry->d_name[0] != '.')
                        count++;
        if (dir)
                closedir(dir);
        return count;
}

pid_t world_worker(const struct world *world)
{
        char path[64];
        char text[32] = "";

        snprintf(path, sizeof(path), "/proc/%d/task/%d/children", world->daemon, world->daemon);

        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
                text[0] = '\0';
        if (fd >= 0)
                close(fd);
        return atoi(text);
}

pid_t world_next_worker(const struct world *world, pid_t before)
{
        char words[64];
        int64_t deadline = now_ms() + SURELY_MS;
        pid_t worker;

        do {
                worker = world_worker(world);
                snprintf(words, sizeof(words), "event=serving worker=%d ", worker);
                cr_assert(now_ms() < deadline, "no worker; see %s", world->log);
                sleep_ms(1);
        } while (worker <= 0 || worker == before || !world_logged(world, words));
        return worker;
}

long world_rss_kib(const struct world *world)
{
        const pid_t pids[] = {world->daemon, world_worker(world)};
        long sum = 0;

        for (size_t i = 0; i < 2; i++) {
                char path[64];
                char line[256];
                long kib;

                snprintf(path, sizeof(path), "/proc/%d/status", pids[i]);

                FILE *file = fopen(path, "re");

                while (file && fgets(line, sizeof(line), file))
                        if (sscanf(line, "VmRSS: %ld kB", &kib) == 1)
                                sum += kib;
                if (file)
                        fclose(file);
        }
        return sum;
}

void world_give_cache(const struct world *world)
{
        cr_assert_eq(world_shell("chown -Rh " WORKER_USER ": '%s'", world->cache), 0);
}

static unsigned daemon_has(const struct world *world, const char *what)
{
        const pid_t pids[] = {world->daemon, world_worker(world)};
        unsigned count = 0;

        for (size_t i = 0; i < 2; i++) {
                char path[64];

                snprintf(path, sizeof(path), "/proc/%d/%s", pids[i], what);
                count += pids[i] > 0 ? entries_of(path) : 0;
        }
        return count;
}

static bool is_mounted(const struct world *world)
{
        char words[WORLD_PATH + 2];

        snprintf(words, sizeof(words), " %s ", world->mnt);
        return count_lines("/proc/self/mountinfo", words, false) > 0;
}

/* Threads of the worker that take requests: they are the last that it starts. */
static int threads_of_requests(const struct world *world)
{
        char path[64];
        int count = 0;

        snprintf(path, sizeof(path), "/proc/%d/task", world_worker(world));

        DIR *dir = opendir(path);

        for (const struct dirent *entry; dir && (entry = readdir(dir));) {
                char comm[2 * WORLD_PATH];

                snprintf(comm, sizeof(comm), "%s/%s/comm", path, entry->d_name);
                count += count_lines(comm, "requests\n", true);
        }
        if (dir)
                closedir(dir);
        return count;
}

void(world_mount)(struct world *world, const char *const *args)
{
        const char *more = getenv("WORLD_OPTIONS");
        const char *const before[] = {
            "mount",  "-f",        "--cache",     world->cache,
            "--user", WORKER_USER, "--retries=0", more && *more ? more : NULL,
            NULL};
        int64_t deadline = now_ms() + SURELY_MS;
        int mounts = world_logged(world, "event=mounted");
        int log = open(world->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        cr_assert(log >= 0);
        world->daemon = fork();
        if (world->daemon == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                dup2(log, STDOUT_FILENO);
                dup2(log, STDERR_FILENO);
                exec_assetfs(before, args, world->mnt);
        }
        close(log);
        while (world_logged(world, "event=mounted") == mounts) {
                cr_assert(now_ms() < deadline, "no mount");
                cr_assert_neq(waitpid(world->daemon, NULL, WNOHANG), world->daemon,
                              "the daemon ended; see %s", world->log);
                sleep_ms(5);
        }
        cr_assert(is_mounted(world));
        /* Its threads may still be starting. */
        while (threads_of_requests(world) < REQUEST_THREADS && now_ms() < deadline)
                sleep_ms(5);
        world->threads = daemon_has(world, "task");
        world->descriptors = daemon_has(world, "fd");
}

void world_umount(const struct world *world, const char *name)
{
        cr_expect_eq(world_shell("cd '%s' && for i in $(seq 100); do umount '%s' 2>/dev/null && "
                                 "exit 0; sleep 0.1; done; umount '%s'",
                                 world->dir, name, name),
                     0, "%s is still in use", name);
}

void world_unmount(struct world *world)
{
        int64_t deadline = now_ms() + SURELY_MS;
        int status = -1;

        if (!world->daemon)
                return;
        kill(world->daemon, SIGTERM);
        while (waitpid(world->daemon, &status, WNOHANG) == 0) {
                cr_assert(now_ms() < deadline, "the daemon does not end");
                sleep_ms(5);
        }
        world->daemon = 0;
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the daemon ended with %d; see %s",
                  status, world->log);
        cr_assert_not(is_mounted(world));
}

/* Requests the kernel has sent and nobody has answered. */
static int waiting(const struct world *world)
{
        char path[2 * WORLD_PATH];
        struct stat st;
        char text[16] = "";

        snprintf(path, sizeof(path), "%s/fusectl", world->dir);
        mkdir(path, 0755);
        if (mount("none", path, "fusectl", 0, NULL) < 0 || stat(world->mnt, &st) < 0)
                return -1;
        snprintf(path, sizeof(path), "%s/fusectl/%u/waiting", world->dir, minor(st.st_dev));

        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

        if (fd >= 0)
                close(fd);
        snprintf(path, sizeof(path), "%s/fusectl", world->dir);
        umount2(path, MNT_DETACH);
        return got > 0 ? atoi(text) : -1;
}

/* ThreadSanitizer has one of its own in each process, sooner or later. */
#if defined(__SANITIZE_THREAD__)
#define SANITIZER_THREADS 2
#else
#define SANITIZER_THREADS 0
#endif

/* Descriptors, threads and requests come back to what an idle daemon has; curl may keep a few
 * connections for reuse, which the idle daemon did not have yet. */
static void check_idle(const struct world *world)
{
        int64_t deadline = now_ms() + SURELY_MS;
        unsigned descriptors = 0;
        unsigned threads = 0;
        int requests = 0;

        while (now_ms() < deadline) {
                descriptors = daemon_has(world, "fd");
                threads = daemon_has(world, "task");
                requests = waiting(world);
                if (descriptors <= world->descriptors + 24 &&
                    threads <= world->threads + SANITIZER_THREADS && requests == 0)
                        return;
                sleep_ms(20);
        }
        cr_assert_fail("left over: %u descriptors (%u when idle), %u threads (%u), %d requests",
                       descriptors, world->descriptors, threads, world->threads, requests);
}

/* Every name rehashes to itself. */
static void check_blobs(const struct world *world)
{
        char path[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/blobs/sha256", world->cache);

        DIR *dir = opendir(path);

        for (const struct dirent *entry; dir && (entry = readdir(dir));) {
                struct cas_digest digest;

                if (cas_digest_parse(entry->d_name, strlen(entry->d_name), &digest) == 0)
                        cr_assert_eq(world_open(world_blob(world, entry->d_name)), 0, "%s",
                                     entry->d_name);
        }
        if (dir)
                closedir(dir);
}

/* Nothing is left of what ended; of what broke, only what can be continued. */
static void check_staging(const struct world *world)
{
        char path[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/ingest", world->cache);

        DIR *dir = opendir(path);

        for (const struct dirent *entry; dir && (entry = readdir(dir));) {
                const char *name = entry->d_name;
                struct cas_digest digest;

                if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                        continue;
                cr_assert(world->staging_may_stay && strlen(name) == CAS_DIGEST_HEX + 5 &&
                              cas_digest_parse(name, CAS_DIGEST_HEX, &digest) == 0 &&
                              strcmp(name + CAS_DIGEST_HEX, ".part") == 0,
                          "staging is left: %s/%s", path, name);
        }
        if (dir)
                closedir(dir);
}

static void end_process(pid_t *pid, int signal)
{
        if (*pid > 0) {
                kill(*pid, signal);
                waitpid(*pid, NULL, 0);
        }
        *pid = 0;
}

void world_end(struct world *world)
{
        if (world->daemon)
                check_idle(world);
        world_unmount(world);
        check_blobs(world);
        check_staging(world);
        cr_assert_eq(world_logged(world, "Sanitizer"), 0, "see %s", world->log);
        end_process(&world->origin, SIGKILL);
        end_process(&world->nginx, SIGTERM);
        cr_assert_eq(world_shell("rm -rf -- '%s'", world->dir), 0);
}

int world_open(const char *path)
{
        const char *name = strrchr(path, '/') + 1;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct cas_digest digest;
        char *chunk = malloc(1 << 20);
        struct cas_hash *hash;
        char hex[HEX];
        ssize_t got;

        if (fd < 0) {
                int error = errno;

                free(chunk);
                return error;
        }
        cr_assert_eq(cas_hash_new(&hash), 0);
        while ((got = read(fd, chunk, 1 << 20)) > 0)
                cas_hash_update(hash, chunk, (size_t)got);
        cr_assert_eq(got, 0, "read: %s", strerror(errno));
        cr_assert_eq(cas_hash_final(hash, &digest), 0);
        cas_hash_free(hash);
        cas_digest_format(&digest, hex);
        cr_assert_str_eq(hex, name, "a wrong byte in %s", path);
        free(chunk);
        close(fd);
        return 0;
}

const char *world_xattr(const char *path, const char *name)
{
        static char value[2048];
        ssize_t got = getxattr(path, name, value, sizeof(value) - 1);

        value[got > 0 ? got : 0] = '\0';
        return value;
}
