/*
 * A cache from outside: beside the store that has its lock, and without a trace.
 */
#include "cas/inventory.h"

#include "tests/unit/blob.h"

#include <errno.h>
#include <fcntl.h>

TestSuite(cas_inventory, .init = scratch_make, .fini = scratch_remove, .timeout = 20);

static struct cas_inventory_blob look(const struct cas_digest *digest)
{
        struct cas_inventory inventory;
        struct cas_inventory_blob blob;

        cr_assert_eq(cas_inventory_open(scratch_at("cache").text, &inventory), 0);
        cr_assert_eq(cas_inventory_look(&inventory, digest, &blob), 0);
        cas_inventory_close(&inventory);
        return blob;
}

Test(cas_inventory, tells_of_a_blob_while_the_store_is_open)
{
        struct cas_store *store = open_cache();
        struct cas_digest digest = publish_text(store, "four");
        const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_nsec = UTIME_OMIT}};

        cr_assert_eq(
            utimensat(AT_FDCWD, scratch_at(blob_at(&digest).text).text, times, AT_SYMLINK_NOFOLLOW),
            0);
        for (int i = 0; i < 2; i++) {
                struct cas_inventory_blob blob = look(&digest);

                cr_expect_eq(blob.presence, CAS_VERIFIED);
                cr_expect_eq(blob.size, 4);
                cr_expect_eq(blob.opened, 1000, "to look is not to open");
                cr_expect_not(blob.pinned);
        }
        scratch_write(in_cache("pins", &digest, "").text, "", 0);
        cr_expect(look(&digest).pinned);
        cas_store_free(store);
}

Test(cas_inventory, what_is_no_blob_is_unverified_or_absent)
{
        struct cas_store *store = open_cache();
        struct cas_digest copied = digest_of_text("copied in");
        struct cas_digest link = digest_of_text("a link");
        struct cas_digest fifo = digest_of_text("a fifo");
        struct cas_digest foreign = publish_text(store, "another user's");
        struct cas_digest pinned = digest_of_text("pinned, not here");

        scratch_write(blob_at(&copied).text, "copied in", 9);
        scratch_write(in_cache("pins", &pinned, "").text, "", 0);
        cr_assert_eq(symlink("/etc/passwd", scratch_at(blob_at(&link).text).text), 0);
        cr_assert_eq(mkfifo(scratch_at(blob_at(&fifo).text).text, 0600), 0);
        cr_expect_eq(look(&copied).presence, CAS_UNVERIFIED);
        cr_expect_eq(look(&copied).size, 9);
        cr_expect_eq(look(&link).presence, CAS_ABSENT);
        cr_expect_eq(look(&fifo).presence, CAS_ABSENT);
        cr_expect_eq(look(&pinned).presence, CAS_ABSENT);
        cr_expect(look(&pinned).pinned);
        if (geteuid() == 0) {
                cr_assert_eq(chown(scratch_at(blob_at(&foreign).text).text, 12345, 12345), 0);
                cr_expect_eq(look(&foreign).presence, CAS_ABSENT);
        }
        cas_store_free(store);
}

Test(cas_inventory, what_is_no_cache_is_not_made_one)
{
        struct cas_inventory inventory;

        cr_expect_eq(cas_inventory_open(scratch_dir, &inventory), -ENOENT);
        cr_expect_eq(cas_inventory_open(scratch_at("nothing").text, &inventory), -ENOENT);
        cr_expect_eq(cas_inventory_open("/etc/passwd", &inventory), -ENOTDIR);
        cr_expect_eq(scratch_count(""), 0);
}
