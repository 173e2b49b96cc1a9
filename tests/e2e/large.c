/*
 * The engine and what is large: offsets that need more than 32 bits, memory that does not
 * grow with the asset, connections that are opened where one is not enough.
 */
#include "tests/e2e/world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LARGE ((off_t)5 << 30)

/* 5 GiB of zeros, but for "assetfs" at 0, 2^31 - 3, 2^32 - 3 and the end - 7: that is
 * truncate -s 5G f; printf assetfs | dd of=f conv=notrunc bs=1 seek=…; sha256sum f */
#define LARGE_HEX "87b630adb33186a2570cb86d89b5d0f58b5d9b1e8463d3b78977c1103486b5e9"

static const off_t marks[] = {0, ((off_t)1 << 31) - 3, ((off_t)1 << 32) - 3, LARGE - 7};

#define MARK "assetfs"

static void make_large(const struct world *world)
{
        char path[2 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/%s", world->files, LARGE_HEX);

        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        cr_assert(fd >= 0);
        cr_assert_eq(ftruncate(fd, LARGE), 0);
        for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
                cr_assert_eq(pwrite(fd, MARK, strlen(MARK), marks[i]), (ssize_t)strlen(MARK));
        close(fd);
}

static void expect_marks(const char *path)
{
        struct stat st;
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
        cr_expect_eq(fstat(fd, &st), 0);
        cr_expect_eq(st.st_size, LARGE);
        for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
                char text[sizeof(MARK)] = "";

                cr_expect_eq(pread(fd, text, strlen(MARK), marks[i]), (ssize_t)strlen(MARK));
                cr_expect_str_eq(text, MARK, "at %jd", (intmax_t)marks[i]);
        }
        close(fd);
}

/* Cut at 2.5, 3.75 and 4.375 GiB, each time at half of what is left. */
Test(engine, fault_27_offsets_beyond_4_gib, .timeout = 300)
{
        static const char *const ranges[] = {"bytes=2684354560-", "bytes=4026531840-",
                                             "bytes=4697620480-"};
        const char *root = getenv("ASSETFS_TEST_ROOT");
        struct world world;
        struct statvfs room;
        char prefix[256];

        if (SLOW_BUILD)
                cr_skip_test("5 GiB take too long under a sanitizer");
        if (statvfs(root ? root : "/tmp", &room) == 0 &&
            (uint64_t)room.f_bavail * room.f_frsize < (uint64_t)12 << 30)
                cr_skip_test("less than 12 GiB of room");
        world_begin(&world);
        make_large(&world);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "x.reset.mid.3"), "--connections", "1");
        expect_marks(world_path(&world, LARGE_HEX));
        for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
                snprintf(prefix, sizeof(prefix), "GET /x.reset.mid.3/" LARGE_HEX " %s", ranges[i]);
                cr_expect_eq(world_requests(&world, prefix), 1, "%s", ranges[i]);
        }
        cr_expect_eq(world_requests(&world, "GET "), 4);
        /* The open has verified it; to do so again would take as long as the rest. */
        world_unmount(&world);
        cr_expect_eq(unlink(world_blob(&world, LARGE_HEX)), 0);
        world_end(&world);
}

/* What the origin generates: only its digest has to be asked for. */
static void generated_digest(const char *size, char hex[HEX])
{
        char command[1024];

        snprintf(command, sizeof(command), "'%s' --digest %s", getenv("FAULTY_ORIGIN"), size);

        FILE *pipe = popen(command, "re");

        cr_assert(pipe && fgets(hex, HEX, pipe), "no digest");
        pclose(pipe);
}

static long peak_kib(pid_t pid)
{
        char path[64];
        char line[256];
        long kib = 0;

        snprintf(path, sizeof(path), "/proc/%d/status", pid);

        FILE *file = fopen(path, "re");

        while (file && fgets(line, sizeof(line), file))
                if (sscanf(line, "VmHWM: %ld kB", &kib) == 1)
                        break;
        if (file)
                fclose(file);
        return kib;
}

#define GROUP "/sys/fs/cgroup/memory"

static bool has_memory_groups(void)
{
        return access(GROUP "/memory.limit_in_bytes", F_OK) == 0 ||
               world_shell("mkdir -p " GROUP " && mount -t cgroup -o memory none " GROUP
                           " 2>/dev/null") == 0;
}

static void expect_little_memory(const char *mode_words, const char *size, const char *connections)
{
        struct world world;
        char hex[HEX];
        char mode[64];
        pid_t worker;
        long peak;

        generated_digest(size, hex);
        snprintf(mode, sizeof(mode), "x.gen-%s%s", size, mode_words);
        world_begin(&world);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, mode), "--connections", connections);
        worker = world_worker(&world);
        cr_assert_eq(world_shell("mkdir -p " GROUP "/assetfs-test-%d && cd " GROUP
                                 "/assetfs-test-%d && echo 96M >memory.limit_in_bytes && "
                                 "echo %d >cgroup.procs && echo %d >cgroup.procs",
                                 getpid(), getpid(), world.daemon, worker),
                     0);

        int fd = open(world_path(&world, hex), O_RDONLY | O_CLOEXEC);

        cr_expect(fd >= 0, "%s", strerror(errno));
        close(fd);
        cr_expect_eq(world_worker(&world), worker, "it was killed for memory");
        peak = peak_kib(world.daemon) + peak_kib(worker);
        cr_expect_gt(peak, 0);
        cr_expect_lt(peak, 64 << 10, "%ld KiB at the peak", peak);
        world_unmount(&world);
        cr_expect_eq(world_shell("rmdir " GROUP "/assetfs-test-%d", getpid()), 0);
        unlink(world_blob(&world, hex)); /* verified by the open already */
        world_end(&world);
}

static void expect_little_memory_or_skip(const char *words, const char *connections)
{
        if (SLOW_BUILD)
                cr_skip_test("a sanitizer needs more memory than is given here");
        if (!has_memory_groups())
                cr_skip_test("no memory cgroup of version 1 here");
        expect_little_memory(words, "1G", connections); /* many times what it may have */
}

Test(engine, memory_does_not_grow_with_the_asset, .timeout = 300)
{
        expect_little_memory_or_skip("", "8");
}

/* An origin that limits each connection is asked by several. */
Test(engine, parallel_ranges_fill_the_pipe, .timeout = 180)
{
        struct world world;
        char hex[HEX];
        int64_t one = 4000; /* what a single one takes */
        int64_t took = INT64_MAX;

        world_begin(&world);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "x.rate8192"));
        for (int i = 1; i <= TRIES && took >= one * 6 / 10; i++) {
                int before = world_requests(&world, "GET /x.rate8192/");

                world_asset(&world, 32 << 20, hex);

                int64_t start = now_ms();

                cr_expect_eq(world_open(world_path(&world, hex)), 0);
                took = now_ms() - start;
                cr_expect_gt(world_requests(&world, "GET /x.rate8192/"), before + 1);
        }
        cr_expect_lt(took, one * 6 / 10, "%jd ms", (intmax_t)took);
        world_end(&world);
}

/* … and each of them may break. */
Test(engine, parallel_ranges_break, .timeout = 180)
{
        static const char *const modes[] = {
            "x.rate8192.reset.mid.3",  "x.rate8192.close.first.2", "x.rate8192.chunk.last.3",
            "x.rate8192.reset.other1", "x.rate8192.r4161",         "x.rate8192.denied1",
            "x.rate8192.norange",      "x.rate8192.etags",         "x.rate8192.total",
            "x.rate8192.denied",       "x.rate8192.r416",          "x.rate8192.other",
            "x.rate4096.reset.mid.8"};
        enum { MODES = sizeof(modes) / sizeof(modes[0]) };
        struct world world;
        struct opener openers[MODES];
        char hex[MODES][HEX];
        char catalog[2 * WORLD_PATH];

        world_begin(&world);
        world_origin(&world);
        snprintf(catalog, sizeof(catalog), "%s/catalog.json", world.dir);

        FILE *file = fopen(catalog, "we");

        cr_assert(file);
        for (int i = 0; i < MODES; i++) {
                world_asset(&world, 8 << 20, hex[i]);
                fprintf(file,
                        "%s\"%d\": {\"sha256\": \"%s\", \"url\": \"http://127.0.0.1:%d/%s/%s\"}",
                        i ? ",\n" : "{\"assets\": {", i, hex[i], world.port, modes[i], hex[i]);
        }
        fprintf(file, "}}\n");
        fclose(file);
        world_mount(&world, "--catalog", catalog, "--retries", "5");
        for (int i = 0; i < MODES; i++)
                opener_start(&openers[i], world_path(&world, hex[i]));
        for (int i = 0; i < MODES; i++) {
                cr_expect_eq(opener_result(&openers[i], 40000), 0, "%s", modes[i]);
                cr_expect_eq(world_open(world_path(&world, hex[i])), 0, "%s", modes[i]);
        }
        world_end(&world);
}

/* Who has several lanes is alone no more: what the others leave suffices for one. */
Test(engine, parallel_ranges_make_room, .timeout = 180)
{
        enum { OTHERS = 15 };
        struct world world;
        struct opener wide;
        struct opener others[OTHERS];
        char hex[OTHERS + 1][HEX];
        char catalog[2 * WORLD_PATH];

        world_begin(&world);
        world_origin(&world);
        snprintf(catalog, sizeof(catalog), "%s/catalog.json", world.dir);

        FILE *file = fopen(catalog, "we");

        cr_assert(file);
        for (int i = 0; i <= OTHERS; i++) {
                world_asset(&world, i ? 1 << 20 : 24 << 20, hex[i]);
                fprintf(file,
                        "%s\"%d\": {\"sha256\": \"%s\", \"url\": \"http://127.0.0.1:%d/%s/%s\"}",
                        i ? ",\n" : "{\"assets\": {", i, hex[i], world.port,
                        i ? "x.rate300" : "x.rate2048", hex[i]);
        }
        fprintf(file, "}}\n");
        fclose(file);
        world_mount(&world, "--catalog", catalog);
        opener_start(&wide, world_path(&world, hex[0]));
        for (int i = 0; i < 400 && world_requests(&world, "GET /x.rate2048/") < 5; i++)
                sleep_ms(5);
        cr_expect_geq(world_requests(&world, "GET /x.rate2048/"), 5, "it went over to several");
        for (int i = 0; i < OTHERS; i++)
                opener_start(&others[i], world_path(&world, hex[i + 1]));
        cr_expect_eq(opener_result(&wide, 30000), 0);
        for (int i = 0; i < OTHERS; i++)
                cr_expect_eq(opener_result(&others[i], 30000), 0);
        world_end(&world);
}

/* An origin that takes its time before it answers is not slow for that. */
Test(engine, late_answer_is_no_reason_for_more_connections)
{
        struct world world;
        struct opener opener;
        char hex[HEX];

        world_begin(&world);
        world_asset(&world, 8 << 20, hex);
        world_origin(&world);
        world_mount(&world, "--origin", world_url(&world, "gate"));
        opener_start(&opener, world_path(&world, hex));
        opener_parked(&opener);
        sleep_ms(600);
        world_open_gate(&world);
        cr_expect_eq(opener_result(&opener, 10000), 0);
        cr_expect_eq(world_requests(&world, "GET /gate/"), 1);
        world_end(&world);
}
