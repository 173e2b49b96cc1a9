/*
 * Each system call that the store makes fails in turn. Whatever failed: the errno is the
 * fault's, no descriptor and no staging is left, no name holds wrong bytes, the books are
 * right, and the same again works once the fault is gone.
 *
 * A case is a scenario, a call, which one of those, and an error. TORTURE unset: each place
 * in the store that calls once, the errors taken in turn; all: with every error; 'download fsync 1
 * EIO': this case.
 */
#include "tests/torture/torture.h"

#include "cas/index.h"
#include "cas/record.h"
#include "cas/room.h"
#include "tests/torture/faults.h"
#include "tests/unit/staging.h"

#include <errno.h>

#define MOST_FAILURES 20 /* of one scenario; then it ends */

static const struct {
        const char *name;
        int error;
} errors[] = {
    {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EINTR", EINTR}, {"EMFILE", EMFILE}, {"short", FAULTS_SHORT},
};

#define ERRORS (sizeof(errors) / sizeof(errors[0]))

/* The case that is played. */
static const struct scenario *scenario;
static struct fault fault;
static unsigned failures;
static struct stage stage; /* the slots and the asset stay, the cache is a new one */

/* In memory where that keeps attributes: make check waits for no disk. */
static void make_scratch(void)
{
        char probe[] = "/dev/shm/assetfs-unit-XXXXXX";
        int fd = getenv("TORTURE") ? -1 : mkstemp(probe);

        if (fd >= 0 && cas_record_probe(fd) == 0)
                setenv("TMPDIR", "/dev/shm", 1);
        if (fd >= 0) {
                unlink(probe);
                close(fd);
        }
        scratch_make();
        torture_use(scratch_dir);
}

TestSuite(torture, .init = make_scratch, .fini = scratch_remove, .timeout = 600);

static const char *error_name(void)
{
        for (size_t i = 0; i < ERRORS; i++)
                if (errors[i].error == fault.error)
                        return errors[i].name;
        return "none";
}

static void expect(bool holds, const char *what, int result)
{
        if (holds)
                return;
        cr_expect(holds, "TORTURE='%s %s %u %s': %s (%d)", scenario->name, faults_name(fault.call),
                  fault.nth, error_name(), what, result);
        cr_assert_lt(++failures, MOST_FAILURES, "enough of them");
}

static unsigned descriptors(void)
{
        DIR *dir = opendir("/proc/self/fd");
        unsigned count = 0;

        cr_assert_not_null(dir);
        while (readdir(dir))
                count++;
        closedir(dir);
        return count;
}

static bool hashes_to(const char *path, const struct cas_digest *digest)
{
        static unsigned char bytes[TORTURE_SIZE + 1];
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? -1 : cas_io_read_at(fd, bytes, sizeof(bytes), 0);

        if (got < 0)
                return false;

        struct cas_digest found = digest_of(bytes, (size_t)got);

        return cas_digest_equal(&found, digest);
}

static int check_blob(void *arg, const struct cas_digest *digest)
{
        struct cas_blob blob;
        bool right = hashes_to(scratch_at(blob_at(digest).text).text, digest);

        (void)arg;
        expect(right || scenario->plants, "a name holds other bytes", 0);
        expect(right || cas_store_look(stage.store, digest, &blob) != CAS_VERIFIED,
               "wrong bytes have a valid record", 0);
        return 0;
}

static uint64_t bytes_in(const char *folder)
{
        DIR *dir = opendir(scratch_at(folder).text);
        uint64_t bytes = 0;
        struct stat st;

        cr_assert_not_null(dir);
        for (const struct dirent *entry; (entry = readdir(dir));)
                if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                    S_ISREG(st.st_mode))
                        bytes += (uint64_t)st.st_blocks * 512;
        closedir(dir);
        return bytes;
}

static unsigned staged(void)
{
        return scratch_has("cache/ingest") ? scratch_count("cache/ingest") : 0;
}

static void expect_sound(void)
{
        const struct cas_room *room = cas_store_room(stage.store);

        expect(used_by(&stage.client) == 0, "a slot is lost", (int)used_by(&stage.client));
        expect(room->claimed == 0 && room->promised == 0, "claimed for nobody", 0);
        expect(!scenario->always || scenario->always(&stage), "what always holds", 0);
        cas_store_list_dir(cas_store_blobs_dir(stage.store), check_blob, NULL);
}

static bool may_be(int result)
{
        if (result == 0)
                return true;
        if (fault.error == FAULTS_SHORT)
                return false;
        for (size_t i = 0; i < sizeof(scenario->also) / sizeof(int); i++)
                if (scenario->also[i] && result == -scenario->also[i])
                        return true;
        return result == -fault.error;
}

static void open_stage(void)
{
        stage.store = open_cache();
        stage.open = -1;
        if (scenario->prepare)
                scenario->prepare(&stage);
        else
                cr_assert_eq(cas_store_scan(stage.store, &(atomic_bool){false}), 0);
}

static void close_stage(void)
{
        cas_io_close_at(&stage.open);
        cas_store_free(stage.store);
        nftw(scratch_at("cache").text, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void act(void)
{
        unsigned before = descriptors();

        faults_start(&fault, scenario->no_rename);

        int r = scenario->act(&stage);
        bool came = faults_stop();

        expect(descriptors() == before, "a descriptor is lost", 0);
        expect(fault.nth == 0 ? r == 0 : came, fault.nth == 0 ? "without a fault" : "never came",
               r);
        expect(may_be(r), "another error", r);
        /* The next power cut would show it, if nothing else does. */
        expect(fault.nth == 0 || fault.call != FAULTS_fsync || r < 0, "called right, not flushed",
               r);
        if (!stage.store)
                stage.store = open_cache();
        if (r == 0 && !scenario->tries)
                expect(scenario->right(&stage), "called right, and is not", 0);
        /* The file whose removal fails stays, for the next one who comes. */
        if (!scenario->keeps && (fault.nth == 0 || fault.call != FAULTS_unlinkat))
                expect(staged() == 0, "staging is left", r);
        expect_sound();
}

static void act_again(void)
{
        int r = (scenario->again ? scenario->again : scenario->act)(&stage);

        expect(r == 0, "not even without the fault", r);
        if (!stage.store)
                stage.store = open_cache();
        expect(scenario->right(&stage), "not right even without the fault", 0);
        expect(staged() == 0, "staging is left in the end", 0);
        expect_sound();

        uint64_t disk = bytes_in("cache/blobs/sha256") + bytes_in("cache/ingest") +
                        bytes_in("cache/quarantine");

        /* Of what nobody has opened or scanned since the start nothing is known. */
        if (!cas_index_is_loaded(cas_store_index(stage.store)))
                cas_store_scan(stage.store, &(atomic_bool){false});
        expect(cas_room_used(stage.store) == disk, "the books differ from the disk",
               (int)(cas_room_used(stage.store) - disk));
}

static void play(enum faults_call call, unsigned nth, int error)
{
        fault = (struct fault){call, nth, error};
        open_stage();
        act();
        act_again();
        close_stage();
}

static bool can_have(enum faults_call call, int error)
{
        return error != FAULTS_SHORT || call == FAULTS_pwrite64 || call == FAULTS_pwritev64;
}

struct site {
        enum faults_call call;
        unsigned nth;
};

/* Of the run without a fault: all calls, or one of each place in the store. To be freed. */
static size_t list_sites(bool all, struct site **ret)
{
        size_t count = 0;

        for (unsigned i = 0; i < FAULTS_CALL_COUNT; i++)
                count += faults_count(i);
        *ret = calloc(count + 1, sizeof(**ret));
        cr_assert_not_null(*ret);
        count = 0;
        for (unsigned i = 0; i < FAULTS_CALL_COUNT; i++)
                for (unsigned nth = 1; nth <= faults_count(i); nth++)
                        if (all || faults_is_new_site(i, nth))
                                (*ret)[count++] = (struct site){i, nth};
        return count;
}

static void play_sites(bool all)
{
        struct site *sites;
        size_t count = list_sites(all, &sites);

        for (size_t i = 0; i < count; i++)
                for (size_t j = 0; j < ERRORS; j++)
                        if (can_have(sites[i].call, errors[j].error) &&
                            (all || j == i % (ERRORS - 1) || errors[j].error == FAULTS_SHORT))
                                play(sites[i].call, sites[i].nth, errors[j].error);
        free(sites);
}

/* "SCENARIO CALL N ERROR" */
static void play_one(const char *text)
{
        char name[32];
        char call[32];
        char error[16];
        unsigned nth;

        cr_assert_eq(sscanf(text, "%31s %31s %u %15s", name, call, &nth, error), 4,
                     "TORTURE='SCENARIO CALL N ERROR'");
        for (unsigned i = 0; strcmp(scenario->name, name) == 0 && i < FAULTS_CALL_COUNT; i++)
                for (size_t j = 0; j < ERRORS; j++)
                        if (strcmp(faults_name(i), call) == 0 && strcmp(errors[j].name, error) == 0)
                                play(i, nth, errors[j].error);
        cr_assert(strcmp(scenario->name, name) != 0 || fault.nth > 0, "no such case: %s", text);
}

static void play_all(const struct scenario *which)
{
        const char *wanted = getenv("TORTURE");

        scenario = which;
        body(0, torture_bytes, sizeof(torture_bytes));
        stage.asset = digest_of(torture_bytes, sizeof(torture_bytes));
        stage.pool = pool_of(4, &stage.client);
        if (wanted && strcmp(wanted, "all") != 0) {
                play_one(wanted);
        } else {
                play(0, 0, 0);
                play_sites(wanted);
        }
        drain_pool(stage.pool, &stage.client);
}

#define TEST(name)                                                                                 \
        Test(torture, name)                                                                        \
        {                                                                                          \
                play_all(&torture_##name);                                                         \
        }
TORTURE_SCENARIOS(TEST)
