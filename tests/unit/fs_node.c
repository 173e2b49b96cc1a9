/*
 * Nodes: a nodeid that was forgotten is never mistaken for a later one, and all
 * opens of a node share one descriptor that is closed when the last is done.
 */
#include "fs/node.h"

#include "fs/view.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <pthread.h>

TestSuite(fs_node, .init = scratch_make, .fini = scratch_remove, .timeout = 60);

static struct cas_digest numbered(unsigned number)
{
        struct cas_digest digest = {{0}};

        memcpy(digest.bytes, &number, sizeof(number));
        return digest;
}

static struct fs_nodes *new_nodes(void)
{
        struct fs_nodes *nodes = NULL;

        cr_assert_eq(fs_nodes_new(&nodes), 0);
        return nodes;
}

static uint64_t lookup(struct fs_nodes *nodes, unsigned number)
{
        struct cas_digest digest = numbered(number);

        return fs_node_lookup(nodes, &digest);
}

static bool is_there(struct fs_nodes *nodes, uint64_t nodeid)
{
        struct cas_digest digest;

        return fs_node_digest(nodes, nodeid, &digest);
}

/* A file of its own, open. */
static struct cas_blob blob_of(const char *name)
{
        struct cas_blob blob = {.mtime = 1000};
        struct stat st;

        if (!scratch_has(name))
                scratch_write(name, name, strlen(name));
        blob.fd = open(scratch_at(name).text, O_RDONLY | O_CLOEXEC);
        cr_assert(blob.fd >= 0 && fstat(blob.fd, &st) == 0);
        blob.size = (uint64_t)st.st_size;
        blob.inode = (uint64_t)st.st_ino;
        return blob;
}

static bool is_open(int fd)
{
        return fcntl(fd, F_GETFD) >= 0;
}

/* Is the kernel's page cache of this very file? */
static bool open_node(struct fs_nodes *nodes, uint64_t nodeid, const struct cas_blob *blob)
{
        bool same = false;

        cr_assert_eq(fs_node_open(nodes, nodeid, blob, &same), 0);
        return same;
}

Test(fs_node, nodeid_leads_back_to_its_digest)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t first = lookup(nodes, 1);
        uint64_t second = lookup(nodes, 2);
        struct cas_digest expected = numbered(2);
        struct cas_digest found;

        cr_expect_neq(first, second);
        cr_expect(fs_node_digest(nodes, second, &found));
        cr_expect(cas_digest_equal(&found, &expected));
        cr_expect_eq(lookup(nodes, 1), first, "one nodeid for one digest");
        fs_nodes_free(nodes);
        fs_nodes_free(NULL);
}

Test(fs_node, nodeids_are_never_those_of_the_root_by_name_or_a_link)
{
        struct fs_nodes *nodes = new_nodes();

        for (unsigned i = 0; i < 1000; i++)
                cr_expect(fs_is_asset(lookup(nodes, i)));
        fs_nodes_free(nodes);
}

Test(fs_node, unknown_nodeids_are_nobody)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t nodeid = lookup(nodes, 1);
        uint64_t strange[] = {0, 1, 2, nodeid + 1, nodeid ^ UINT64_C(1) << 32, UINT64_MAX, FS_LINK};

        for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
                cr_expect_not(is_there(nodes, strange[i]));
                fs_node_forget(nodes, strange[i], 1);
                fs_node_set_told(nodes, strange[i], false);
                cr_expect_not(fs_node_send_round(nodes, strange[i], 1, true));
                fs_node_release(nodes, strange[i]);
                cr_expect_null(fs_node_backing(nodes, strange[i]));
        }
        cr_expect(is_there(nodes, nodeid));
        fs_nodes_free(nodes);
}

Test(fs_node, node_lives_until_every_lookup_is_forgotten)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t nodeid = lookup(nodes, 1);

        for (int i = 0; i < 3; i++)
                lookup(nodes, 1);
        fs_node_forget(nodes, nodeid, 1);
        fs_node_forget(nodes, nodeid, 2);
        cr_expect(is_there(nodes, nodeid));
        fs_node_forget(nodes, nodeid, 1);
        cr_expect_not(is_there(nodes, nodeid));
        fs_nodes_free(nodes);
}

Test(fs_node, forgetting_more_than_was_looked_up_is_forgetting_all)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t nodeid = lookup(nodes, 1);

        fs_node_forget(nodes, nodeid, UINT64_MAX);
        fs_node_forget(nodes, nodeid, 1);
        cr_expect_not(is_there(nodes, nodeid));
        cr_expect_neq(lookup(nodes, 1), 0);
        fs_nodes_free(nodes);
}

Test(fs_node, slot_is_used_again_with_another_generation)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t old = lookup(nodes, 1);

        for (unsigned i = 2; i < 100; i++) {
                fs_node_forget(nodes, old, 1);

                uint64_t nodeid = lookup(nodes, i);

                cr_expect_eq((uint32_t)nodeid, (uint32_t)old, "the slot was not used again");
                cr_expect_neq(nodeid, old);
                cr_expect_not(is_there(nodes, old));
                old = nodeid;
        }
        fs_nodes_free(nodes);
}

Test(fs_node, the_same_digest_gets_another_nodeid_after_a_forget)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t old = lookup(nodes, 1);

        fs_node_forget(nodes, old, 1);
        cr_expect_neq(lookup(nodes, 1), old);
        cr_expect_not(is_there(nodes, old));
        fs_nodes_free(nodes);
}

Test(fs_node, many_nodes_keep_their_digests)
{
        struct fs_nodes *nodes = new_nodes();
        static uint64_t nodeids[5000];

        for (unsigned i = 0; i < 5000; i++)
                nodeids[i] = lookup(nodes, i);
        for (unsigned i = 0; i < 5000; i += 2)
                fs_node_forget(nodes, nodeids[i], 1);
        for (unsigned i = 0; i < 5000; i++) {
                struct cas_digest expected = numbered(i);
                struct cas_digest found;

                cr_expect_eq(fs_node_digest(nodes, nodeids[i], &found), i % 2 == 1);
                cr_expect(i % 2 == 0 || cas_digest_equal(&found, &expected));
        }
        fs_nodes_free(nodes);
}

Test(fs_node, open_of_a_forgotten_node_is_stale_and_closes_the_blob)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t nodeid = lookup(nodes, 1);
        struct cas_blob blob = blob_of("a");
        bool same;

        fs_node_forget(nodes, nodeid, 1);
        cr_expect_eq(fs_node_open(nodes, nodeid, &blob, &same), -ESTALE);
        cr_expect_not(is_open(blob.fd));
        fs_nodes_free(nodes);
}

Test(fs_node, opens_share_one_descriptor)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t nodeid = lookup(nodes, 1);
        struct cas_blob first = blob_of("a");
        struct cas_blob second = blob_of("a");

        open_node(nodes, nodeid, &first);
        open_node(nodes, nodeid, &second);
        cr_expect(is_open(first.fd));
        cr_expect_not(is_open(second.fd), "the second descriptor is not needed");

        struct fs_backing *backing = fs_node_backing(nodes, nodeid);

        cr_assert_not_null(backing);
        cr_expect_eq(backing->blob.fd, first.fd);
        fs_backing_unref(nodes, backing);
        fs_node_release(nodes, nodeid);
        cr_expect(is_open(first.fd));
        fs_node_release(nodes, nodeid);
        cr_expect_not(is_open(first.fd));
        cr_expect_null(fs_node_backing(nodes, nodeid));
        fs_nodes_free(nodes);
}

Test(fs_node, reader_keeps_its_descriptor_over_release_and_forget)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t nodeid = lookup(nodes, 1);
        struct cas_blob blob = blob_of("a");
        char byte = 0;

        open_node(nodes, nodeid, &blob);

        struct fs_backing *backing = fs_node_backing(nodes, nodeid);

        fs_node_release(nodes, nodeid);
        fs_node_forget(nodes, nodeid, 1);
        cr_expect_eq(pread(backing->blob.fd, &byte, 1, 0), 1);
        cr_expect_eq(byte, 'a');
        fs_backing_unref(nodes, backing);
        cr_expect_not(is_open(blob.fd));
        fs_backing_unref(nodes, NULL);
        fs_nodes_free(nodes);
}

Test(fs_node, fault_39_a_new_file_replaces_the_old_one_for_all_opens)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t nodeid = lookup(nodes, 1);
        struct cas_blob old = blob_of("old");
        struct cas_blob new = blob_of("new");

        open_node(nodes, nodeid, &old);

        struct fs_backing *reader = fs_node_backing(nodes, nodeid);

        open_node(nodes, nodeid, &new);
        cr_expect(is_open(old.fd), "somebody reads from it");
        fs_backing_unref(nodes, reader);
        cr_expect_not(is_open(old.fd));

        struct fs_backing *backing = fs_node_backing(nodes, nodeid);

        cr_expect_eq(backing->blob.fd, new.fd);
        fs_backing_unref(nodes, backing);
        fs_nodes_free(nodes);
        cr_expect_not(is_open(new.fd));
}

Test(fs_node, same_bytes_only_for_the_very_file_that_was_read_before)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t nodeid = lookup(nodes, 1);
        struct cas_blob blob = blob_of("a");

        cr_expect_not(open_node(nodes, nodeid, &blob), "the first open");
        blob = blob_of("a");
        cr_expect(open_node(nodes, nodeid, &blob), "while it is open");
        fs_node_release(nodes, nodeid);
        fs_node_release(nodes, nodeid);
        blob = blob_of("a");
        cr_expect(open_node(nodes, nodeid, &blob), "after it was closed");
        blob = blob_of("a");
        blob.mtime++;
        cr_expect_not(open_node(nodes, nodeid, &blob), "published again");
        blob = blob_of("b");
        blob.mtime++;
        cr_expect_not(open_node(nodes, nodeid, &blob), "another file");
        fs_nodes_free(nodes);
}

Test(fs_node, new_generation_has_read_and_was_told_nothing)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t nodeid = lookup(nodes, 1);
        struct cas_blob blob = blob_of("a");

        open_node(nodes, nodeid, &blob);
        fs_node_set_told(nodes, nodeid, false);
        fs_node_release(nodes, nodeid);
        fs_node_forget(nodes, nodeid, 1);
        nodeid = lookup(nodes, 1);
        cr_expect_not(fs_node_send_round(nodes, nodeid, 100, false));
        blob = blob_of("a");
        cr_expect_not(open_node(nodes, nodeid, &blob));
        fs_nodes_free(nodes);
}

Test(fs_node, opener_is_sent_round_only_while_the_size_told_is_wrong)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t nodeid = lookup(nodes, 1);

        cr_expect_not(fs_node_send_round(nodes, nodeid, 100, false));
        fs_node_set_told(nodes, nodeid, false);
        cr_expect(fs_node_send_round(nodes, nodeid, 100, false));
        fs_node_set_told(nodes, nodeid, true);
        cr_expect_not(fs_node_send_round(nodes, nodeid, 101, false));
        fs_nodes_free(nodes);
}

Test(fs_node, thread_that_came_back_without_a_lookup_is_not_sent_round_again)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t nodeid = lookup(nodes, 1);

        fs_node_set_told(nodes, nodeid, false);
        cr_expect(fs_node_send_round(nodes, nodeid, 100, false));
        cr_expect_not(fs_node_send_round(nodes, nodeid, 100, false));
        cr_expect(fs_node_send_round(nodes, nodeid, 101, false), "another thread");
        fs_nodes_free(nodes);
}

Test(fs_node, opener_that_ended_a_miss_is_always_sent_round)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t nodeid = lookup(nodes, 1);

        fs_node_set_told(nodes, nodeid, true);
        cr_expect(fs_node_send_round(nodes, nodeid, 100, true));
        cr_expect_not(fs_node_send_round(nodes, nodeid, 100, false));
        fs_nodes_free(nodes);
}

Test(fs_node, one_release_too_many_closes_nothing_of_others)
{
        struct fs_nodes *nodes = new_nodes();
        uint64_t nodeid = lookup(nodes, 1);
        struct cas_blob blob = blob_of("a");

        fs_node_release(nodes, nodeid);
        open_node(nodes, nodeid, &blob);
        cr_expect(is_open(blob.fd));
        fs_node_release(nodes, nodeid);
        fs_node_release(nodes, nodeid);
        cr_expect_not(is_open(blob.fd));
        fs_nodes_free(nodes);
}

static unsigned open_descriptors(void)
{
        unsigned count = 0;

        for (int fd = 0; fd < 1024; fd++)
                count += is_open(fd);
        return count;
}

static void *use_nodes(void *arg)
{
        struct fs_nodes *nodes = arg;

        for (unsigned i = 0; i < (SLOW_BUILD ? 300 : 3000); i++) {
                struct cas_digest expected = numbered(i % 3);
                struct cas_digest found;
                struct cas_blob blob = blob_of("a");
                bool same;
                uint64_t nodeid = fs_node_lookup(nodes, &expected);
                char byte = 0;

                cr_assert(fs_node_digest(nodes, nodeid, &found));
                cr_assert(cas_digest_equal(&found, &expected));
                cr_assert_eq(fs_node_open(nodes, nodeid, &blob, &same), 0);

                struct fs_backing *backing = fs_node_backing(nodes, nodeid);

                fs_node_release(nodes, nodeid);
                cr_assert(backing && pread(backing->blob.fd, &byte, 1, 0) == 1 && byte == 'a');
                fs_node_set_told(nodes, nodeid, i % 2);
                fs_node_send_round(nodes, nodeid, gettid(), false);
                fs_backing_unref(nodes, backing);
                fs_node_forget(nodes, nodeid, 1);
        }
        return NULL;
}

Test(fs_node, many_threads_leave_nothing_open)
{
        struct fs_nodes *nodes = new_nodes();
        unsigned before = open_descriptors();
        pthread_t threads[4];

        scratch_write("a", "a", 1);
        for (int i = 0; i < 4; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, use_nodes, nodes), 0);
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        cr_expect_eq(open_descriptors(), before);
        fs_nodes_free(nodes);
}
