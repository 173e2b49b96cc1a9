/*
 * What the store does, scenario by scenario. A scenario knows nothing of the fault that it is
 * played under.
 */
#include "tests/torture/torture.h"

#include "cas/index.h"
#include "cas/pins.h"
#include "cas/quarantine.h"
#include "cas/room.h"
#include "cas/usage.h"
#include "tests/unit/staging.h"

#include <errno.h>

unsigned char torture_bytes[TORTURE_SIZE];

static const atomic_bool going;

void torture_use(const char *directory)
{
        snprintf(scratch_dir, sizeof(scratch_dir), "%s", directory);
}

/* A new store on what is there, as the next daemon has it. */
static void reopen(struct stage *stage)
{
        cas_store_free(stage->store);
        stage->store = open_cache();
        cr_assert_eq(cas_store_scan(stage->store, &going), 0);
}

/* Each slot is on the disk before the next: the calls come in the same order in each run. */
static int write_up_to(struct stage *stage, struct cas_ingest *ingest, struct cas_slot *slot,
                       uint64_t to)
{
        int r = 0;

        for (uint64_t at = cas_ingest_offset(ingest); at < to && r == 0; at += CAS_SLOT_BYTES) {
                size_t length = to - at < CAS_SLOT_BYTES ? (size_t)(to - at) : CAS_SLOT_BYTES;

                if (!slot)
                        slot = take_slot(&stage->client);
                memcpy(slot->bytes, torture_bytes + at, length);
                slot->filled = length;
                r = cas_ingest_write(ingest, slot);
                slot = NULL;
                while (used_by(&stage->client) > 0)
                        usleep(20);
        }
        cas_slot_give(slot);
        return r;
}

static int download_of(struct stage *stage, uint64_t declared)
{
        struct cas_ingest *ingest;
        int r = cas_ingest_begin(stage->store, &stage->asset, TORTURE_SIZE, declared, &ingest);

        if (r < 0)
                return r;

        struct cas_slot *slot = take_slot(&stage->client);

        r = cas_ingest_recover(ingest, slot, &going);
        if (r == 0 && declared != CAS_SIZE_UNKNOWN)
                r = cas_ingest_expect(ingest, TORTURE_SIZE);
        if (r == 0)
                r = write_up_to(stage, ingest, slot, TORTURE_SIZE);
        else
                cas_slot_give(slot);
        if (r == 0)
                r = cas_ingest_commit(ingest, "https://host/x");
        cas_ingest_free(ingest);
        return r;
}

static int download(struct stage *stage)
{
        return download_of(stage, TORTURE_SIZE);
}

static int download_unknown(struct stage *stage)
{
        return download_of(stage, CAS_SIZE_UNKNOWN);
}

static int hit(struct stage *stage)
{
        struct cas_blob blob;
        int r = cas_store_open_blob(stage->store, &stage->asset, &blob);

        if (r == 0)
                close(blob.fd);
        return r;
}

/* As an open does. */
static int fetch(struct stage *stage)
{
        int r = hit(stage);

        return r == -ENOENT || r == -EUCLEAN ? download(stage) : r;
}

static bool is_served(struct stage *stage)
{
        return hit(stage) == 0;
}

static int keep_half(struct stage *stage)
{
        struct cas_ingest *ingest;
        int r = cas_ingest_begin(stage->store, &stage->asset, TORTURE_SIZE, TORTURE_SIZE, &ingest);

        if (r < 0)
                return r;
        r = write_up_to(stage, ingest, NULL, CAS_SLOT_BYTES);

        struct cas_slot *slot = take_slot(&stage->client);

        memcpy(slot->bytes, torture_bytes + CAS_SLOT_BYTES, 500);
        slot->filled = 500;
        cas_ingest_keep(ingest, slot);
        cas_ingest_free(ingest);
        return r;
}

static void prepare_half(struct stage *stage)
{
        cr_assert_eq(keep_half(stage), 0);
}

/* A commit that was killed after it made its file read-only. */
static void prepare_sealed(struct stage *stage)
{
        prepare_half(stage);
        cr_assert_eq(chmod(scratch_at(part_of(&stage->asset).text).text, 0444), 0);
}

static void prepare_link(struct stage *stage)
{
        cr_assert_eq(symlink("/dev/null", scratch_at(part_of(&stage->asset).text).text), 0);
}

static void prepare_directory(struct stage *stage)
{
        cr_assert_eq(mkdir(scratch_at(blob_at(&stage->asset).text).text, 0700), 0);
        scratch_write(in_cache("blobs/sha256", &stage->asset, "/full").text, "", 0);
}

static void prepare_removed(struct stage *stage)
{
        (void)stage;
        cr_assert_eq(rmdir(scratch_at("cache/ingest").text), 0);
        cr_assert_eq(rmdir(scratch_at("cache/quarantine").text), 0);
        cr_assert_eq(rmdir(scratch_at("cache/blobs/sha256").text), 0);
        cr_assert_eq(rmdir(scratch_at("cache/blobs").text), 0);
}

static void prepare_blob(struct stage *stage)
{
        cr_assert_eq(download(stage), 0);
        reopen(stage);
}

/* Restored from a backup: its bytes without a record. */
static void prepare_unrecorded(struct stage *stage)
{
        scratch_write(blob_at(&stage->asset).text, torture_bytes, TORTURE_SIZE);
        reopen(stage);
}

static void prepare_wrong(struct stage *stage)
{
        torture_bytes[TORTURE_SIZE / 2] ^= 1;
        prepare_unrecorded(stage);
        torture_bytes[TORTURE_SIZE / 2] ^= 1;
}

static int settle(struct stage *stage)
{
        struct cas_verdict verdict;

        return cas_store_revalidate(stage->store, &stage->asset, &going, &verdict);
}

/* Gone is what it should be; who opened it fetches it again. */
static int settle_wrong(struct stage *stage)
{
        int r = settle(stage);

        return r == -EBADMSG ? 0 : r == 0 ? -EUCLEAN : r;
}

static bool is_gone(struct stage *stage)
{
        return hit(stage) == -ENOENT || hit(stage) == 0;
}

static void told(void *arg, const struct cas_digest *digest, int result)
{
        int *worst = arg;

        (void)digest;
        if (result < 0)
                *worst = result;
}

static int change_pins(struct stage *stage, int (*change)(int, const struct cas_pins_work *))
{
        int worst = 0;
        const struct cas_pins_work work = {&stage->asset, 1, told, &worst};
        _cleanup_close_ int pins = cas_pins_open(scratch_at("cache").text, (char[CAS_WHY]){""});

        if (pins < 0)
                return pins;

        int r = change(pins, &work);

        return r < 0 ? r : worst;
}

static int pin(struct stage *stage)
{
        return change_pins(stage, cas_pins_add);
}

static int unpin(struct stage *stage)
{
        return change_pins(stage, cas_pins_remove);
}

static void prepare_pinned(struct stage *stage)
{
        cr_assert_eq(pin(stage), 0);
}

static bool is_pinned(struct stage *stage)
{
        return cas_pins_has(cas_store_pins_dir(stage->store), &stage->asset) == 1;
}

static bool is_not_pinned(struct stage *stage)
{
        return cas_pins_has(cas_store_pins_dir(stage->store), &stage->asset) == 0;
}

/* Blob i was opened i minutes after the first; the first is pinned, the second is open. */
static void prepare_blobs(struct stage *stage)
{
        static char bytes[TORTURE_KILLED];
        struct cas_digest asset = stage->asset;
        struct cas_blob blob;

        for (unsigned i = 0; i < TORTURE_BLOBS; i++) {
                const struct timespec times[2] = {{.tv_sec = 1000000 + i * 60},
                                                  {.tv_nsec = UTIME_OMIT}};

                memset(bytes, 'a' + (int)i, sizeof(bytes));
                stage->blobs[i] = digest_of(bytes, sizeof(bytes));
                cr_assert_eq(publish_bytes(stage->store, bytes, sizeof(bytes)), 0);
                cr_assert_eq(
                    utimensat(AT_FDCWD, scratch_at(blob_at(&stage->blobs[i]).text).text, times, 0),
                    0);
        }
        stage->asset = stage->blobs[0];
        cr_assert_eq(pin(stage), 0);
        stage->asset = asset;
        reopen(stage);
        stage->open =
            open(scratch_at(blob_at(&stage->blobs[1]).text).text, O_RDONLY | O_NOATIME | O_CLOEXEC);
        cr_assert_eq(cas_store_look(stage->store, &stage->blobs[1], &blob), CAS_VERIFIED);
        cr_assert(stage->open >= 0);
}

/* Room for the asset if two blobs go. */
static void prepare_full(struct stage *stage)
{
        struct cas_bounds bounds = {0};

        prepare_blobs(stage);
        bounds.cache_size = cas_index_total(cas_store_index(stage->store)).bytes + TORTURE_SIZE +
                            TORTURE_BLOCKS - 2 * TORTURE_KILLED;
        cas_room_set(stage->store, &bounds, NULL);
}

static unsigned blobs_left(const struct stage *stage)
{
        unsigned count = 0;

        for (unsigned i = 0; i < TORTURE_BLOBS; i++)
                count += scratch_has(blob_at(&stage->blobs[i]).text);
        return count;
}

/* What is pinned or open stays, and no more goes than has to. */
static bool only_two_went(struct stage *stage)
{
        return scratch_has(blob_at(&stage->blobs[0]).text) &&
               scratch_has(blob_at(&stage->blobs[1]).text) &&
               blobs_left(stage) >= TORTURE_BLOBS - 2;
}

/* Beside the blobs: an unfinished download, and something in quarantine. */
static void prepare_rubbish(struct stage *stage)
{
        struct cas_digest other = digest_of_text("never downloaded");
        struct cas_verdict verdict;

        prepare_blobs(stage);
        prepare_half(stage);
        scratch_write(blob_at(&other).text, "wrong", 5);
        cr_assert_eq(cas_store_revalidate(stage->store, &other, &going, &verdict), -EBADMSG);
        cr_assert_eq(scratch_count("cache/quarantine"), 1);
        reopen(stage);
}

static int collect(struct stage *stage)
{
        const struct cas_bounds bounds = {.cache_size =
                                              (TORTURE_BLOBS - 2) * TORTURE_KILLED * 9 / 8};
        struct cas_freed freed;

        return cas_room_collect(stage->store, &bounds, &going, &freed);
}

static bool is_collected(struct stage *stage)
{
        return scratch_count("cache/ingest") == 0 && scratch_count("cache/quarantine") == 0 &&
               blobs_left(stage) == TORTURE_BLOBS - 2;
}

static int count_all(struct stage *stage)
{
        struct cas_scrub scrub = cas_store_scrub(stage->store);
        struct cas_scrub_item *items = NULL;
        struct cas_usage usage;
        size_t count;
        int r = cas_store_scan(stage->store, &going);

        if (r == 0)
                r = cas_usage_count(stage->store, &going, &usage);
        if (r == 0)
                r = cas_scrub_list(&scrub, &items, &count);
        free(items);
        return r;
}

static bool all_are_there(struct stage *stage)
{
        return blobs_left(stage) == TORTURE_BLOBS &&
               cas_index_total(cas_store_index(stage->store)).blobs == TORTURE_BLOBS;
}

/* A daemon that is gone has left staging, a fresh one and a stale one. */
static void prepare_left(struct stage *stage)
{
        struct cas_digest other = digest_of_text("never downloaded");

        prepare_blob(stage);
        leave_staging(&other, 1000, CAS_STAGING_KEEP_DAYS * 86400 + 60);
        cas_store_free(stage->store);
        stage->store = NULL;
}

static void prepare_nothing(struct stage *stage)
{
        cas_store_free(stage->store);
        stage->store = NULL;
        nftw(scratch_at("cache").text, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int start(struct stage *stage)
{
        char why[CAS_WHY] = "";
        int r = claim_and_open(scratch_at("cache").text, &stage->store, why);

        if (r == 0)
                r = cas_store_scan(stage->store, &going);
        cas_store_free(stage->store);
        stage->store = NULL;
        return r;
}

static bool is_started(struct stage *stage)
{
        return is_served(stage) && scratch_count("cache/ingest") == 0;
}

#define SCENARIO(name, ...) const struct scenario torture_##name = {#name, __VA_ARGS__}

SCENARIO(download, NULL, download, .right = is_served);
SCENARIO(of_unknown_size, NULL, download_unknown, .right = is_served);
SCENARIO(by_link, NULL, download, .right = is_served, .no_rename = true);
SCENARIO(over_a_blob, prepare_blob, download, .right = is_served);
SCENARIO(over_wrong_bytes, prepare_wrong, download, .right = is_served, .plants = true);
SCENARIO(over_a_directory, prepare_directory, download, .right = is_served);
SCENARIO(over_a_link, prepare_link, download, .right = is_served, .keeps = true);
SCENARIO(in_removed_directories, prepare_removed, download, .right = is_served);
SCENARIO(keep, NULL, keep_half, download, is_served, .keeps = true, .tries = true);
SCENARIO(resume, prepare_half, download, .right = is_served, .keeps = true);
SCENARIO(resume_sealed, prepare_sealed, download_unknown, .right = is_served, .keeps = true);
SCENARIO(hit, prepare_blob, hit, .right = is_served, .always = NULL, .also = {EUCLEAN});
SCENARIO(hash_again, prepare_blob, settle, download, is_served, .also = {EBADMSG});
SCENARIO(settle_right, prepare_unrecorded, settle, download, is_served, .also = {EBADMSG});
SCENARIO(settle_wrong, prepare_wrong, settle_wrong, download, is_gone, .plants = true);
SCENARIO(evict, prepare_full, download, fetch, .right = is_served, .always = only_two_went,
         .also = {ENOSPC});
SCENARIO(collect, prepare_rubbish, collect, .right = is_collected, .always = only_two_went,
         .keeps = true, .tries = true);
SCENARIO(pin, NULL, pin, .right = is_pinned);
SCENARIO(unpin, prepare_pinned, unpin, .right = is_not_pinned);
SCENARIO(count, prepare_blobs, count_all, .right = all_are_there, .tries = true);
SCENARIO(first_start, prepare_nothing, start, download, is_served, .tries = true);
SCENARIO(start, prepare_left, start, hit, .right = is_started, .keeps = true, .tries = true);
