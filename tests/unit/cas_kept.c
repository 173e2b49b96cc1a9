/*
 * Kept files: what comes back is what was written, and what else may lie in their directory is
 * refused, without a link being followed.
 */
#include "cas/kept.h"

#include "tests/unit/blob.h"

#include <errno.h>
#include <sys/xattr.h>

TestSuite(cas_kept, .init = scratch_make, .fini = scratch_remove, .timeout = 30);

#define MOST 1000

static int open_dir(void)
{
        int root = open(scratch_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int dir = cas_kept_open(root);

        close(root);
        cr_assert_geq(dir, 0);
        return dir;
}

static struct scratch_path path_of(const struct cas_digest *name)
{
        char relative[sizeof("catalogs/") + CAS_DIGEST_HEX] = "catalogs/";

        cas_digest_format(name, relative + strlen("catalogs/"));
        return scratch_at(relative);
}

static void put(int dir, const struct cas_digest *name, const char *text)
{
        struct cas_kept kept = {.bytes = strdup(text), .length = strlen(text), .etag = "\"one\""};

        cr_assert_eq(cas_kept_write(dir, name, &kept), 0);
        free(kept.bytes);
}

static int read_error(int dir, const struct cas_digest *name)
{
        struct cas_kept kept = {0};
        int r = cas_kept_read(dir, name, MOST, &kept);

        cr_expect_null(kept.bytes);
        free(kept.bytes);
        return r;
}

static void expect_text(int dir, const struct cas_digest *name, const char *text, const char *etag)
{
        struct cas_kept kept = {0};

        cr_assert_eq(cas_kept_read(dir, name, MOST, &kept), 0);
        cr_expect_eq(kept.length, strlen(text));
        cr_expect_str_eq(kept.bytes, text);
        cr_expect_str_eq(kept.etag, etag);
        cr_expect_str_eq(kept.modified, "");
        free(kept.bytes);
}

Test(cas_kept, is_replaced_as_a_whole)
{
        struct cas_digest name = digest_of_text("https://a/c.json");
        struct stat st;
        int dir = open_dir();

        cr_expect_eq(read_error(dir, &name), -ENOENT);
        scratch_write("catalogs/new", "half of", 7); /* a crash's */
        put(dir, &name, "the first one");
        put(dir, &name, "another");
        expect_text(dir, &name, "another", "\"one\"");
        cr_assert_eq(stat(path_of(&name).text, &st), 0);
        cr_expect_eq(st.st_mode & 07777, 0600);
        cr_expect_eq(scratch_count("catalogs"), 1);
        close(dir);
}

Test(cas_kept, too_large_or_no_file_is_refused)
{
        struct cas_digest name = digest_of_text("https://a/c.json");
        int dir = open_dir();

        put(dir, &name, "short");
        cr_assert_eq(truncate(path_of(&name).text, MOST + 1), 0);
        cr_expect_eq(read_error(dir, &name), -EFBIG);
        cr_assert_eq(unlink(path_of(&name).text), 0);
        cr_assert_eq(mkfifo(path_of(&name).text, 0600), 0);
        cr_expect_eq(read_error(dir, &name), -EINVAL, "and it waits for no writer");
        close(dir);
}

Test(cas_kept, no_link_is_followed)
{
        struct cas_digest name = digest_of_text("https://a/c.json");
        struct stat st;
        int dir = open_dir();

        scratch_write("elsewhere", "secret", 6);
        cr_assert_eq(symlink("../elsewhere", path_of(&name).text), 0);
        cr_expect_eq(read_error(dir, &name), -ELOOP);
        cr_assert_eq(symlink("../elsewhere", scratch_at("catalogs/new").text), 0);
        put(dir, &name, "ours");
        expect_text(dir, &name, "ours", "\"one\"");
        cr_assert_eq(stat(scratch_at("elsewhere").text, &st), 0);
        cr_expect_eq(st.st_size, 6, "nothing was written through it");
        close(dir);
}

Test(cas_kept, directory_behind_a_link_is_refused)
{
        int root = open(scratch_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        cr_assert_eq(mkdir(scratch_at("other").text, 0700), 0);
        cr_assert_eq(symlink("other", scratch_at("catalogs").text), 0);
        cr_expect_lt(cas_kept_open(root), 0);
        close(root);
}

/* It would go into a request's header. */
Test(cas_kept, etag_that_is_no_header_is_none)
{
        static const char forged[] = "\"a\"\r\nHost: b";
        struct cas_digest name = digest_of_text("https://a/c.json");
        int dir = open_dir();

        put(dir, &name, "text");
        cr_assert_eq(setxattr(path_of(&name).text, "user.assetfs.etag", forged, strlen(forged), 0),
                     0);
        expect_text(dir, &name, "text", "");
        close(dir);
}

Test(cas_kept, prune_leaves_what_is_wanted)
{
        struct cas_digest kept = digest_of_text("https://a/c.json");
        struct cas_digest other = digest_of_text("https://b/c.json");
        int dir = open_dir();

        put(dir, &kept, "kept");
        put(dir, &other, "other");
        scratch_write("catalogs/new", "half of", 7);
        cas_kept_prune(dir, &kept, 1);
        cr_expect_eq(scratch_count("catalogs"), 1);
        expect_text(dir, &kept, "kept", "\"one\"");
        close(dir);
}
