/*
 * Reading through us: all opens of a node share one descriptor, which is closed when the
 * last of them and the last reader are done.
 */
#include "fs/node.h"

#include "tests/unit/nodes.h"

#include <pthread.h>

TestSuite(fs_node_backing, .init = nodes_make, .fini = nodes_remove, .timeout = 60);

/* A file of its own, open. */
static struct cas_blob open_file(const char *name)
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

/* Opens the node on the blob, through us, and hands its descriptor over. */
static uint64_t open_through_us(uint64_t nodeid, const struct cas_blob *blob)
{
        struct fs_node_opened opened = {0};

        cr_assert_eq(fs_node_open(nodes, nodeid, blob, 0, next_unique(), false, &opened), 0);
        cr_assert_eq(opened.backing_id, 0);
        fs_node_give_backing(nodes, nodeid, blob);
        return opened.fh;
}

Test(fs_node_backing, opens_share_one_descriptor)
{
        uint64_t nodeid = lookup(1);
        struct cas_blob first = open_file("a");
        struct cas_blob second = open_file("a");
        uint64_t first_fh = open_through_us(nodeid, &first);
        uint64_t second_fh = open_through_us(nodeid, &second);

        cr_expect(is_open(first.fd));
        cr_expect_not(is_open(second.fd), "the second descriptor is not needed");

        struct fs_backing *backing = fs_node_backing(nodes, nodeid);

        cr_assert_not_null(backing);
        cr_expect_eq(backing->blob.fd, first.fd);
        fs_backing_unref(nodes, backing);
        fs_node_release(nodes, first_fh);
        cr_expect(is_open(first.fd));
        fs_node_release(nodes, second_fh);
        cr_expect_not(is_open(first.fd));
        cr_expect_null(fs_node_backing(nodes, nodeid));
}

Test(fs_node_backing, reader_keeps_its_descriptor_over_release_and_forget)
{
        uint64_t nodeid = lookup(1);
        struct cas_blob blob = open_file("a");
        uint64_t fh = open_through_us(nodeid, &blob);
        struct fs_backing *backing = fs_node_backing(nodes, nodeid);
        char byte = 0;

        fs_node_release(nodes, fh);
        fs_node_forget(nodes, nodeid, 1);
        cr_expect_eq(pread(backing->blob.fd, &byte, 1, 0), 1);
        cr_expect_eq(byte, 'a');
        fs_backing_unref(nodes, backing);
        cr_expect_not(is_open(blob.fd));
        fs_backing_unref(nodes, NULL);
}

Test(fs_node_backing, descriptor_that_is_of_no_use_is_closed)
{
        uint64_t nodeid = lookup(1);
        struct cas_blob blob = open_file("a");
        struct cas_blob other = open_file("b");

        fs_node_give_backing(nodes, nodeid, &blob);
        cr_expect_not(is_open(blob.fd), "the node is not open");
        blob = open_file("a");
        open_through_us(nodeid, &blob);
        restart();
        fs_node_give_backing(nodes, nodeid, &other);
        cr_expect_not(is_open(other.fd), "the node reads another blob");
        cr_expect_null(fs_node_backing(nodes, nodeid));
        blob = open_file("a");
        fs_node_give_backing(nodes, UINT64_MAX, &blob);
        cr_expect_not(is_open(blob.fd), "no such node");
}

/* The session memory tells that it is open; its descriptor died with the worker. */
Test(fs_node_backing, fault_47_descriptor_is_given_again_after_a_restart)
{
        uint64_t nodeid = lookup(1);
        struct cas_blob blob = open_file("a");
        uint64_t fh = open_through_us(nodeid, &blob);

        restart();
        cr_expect_not(is_open(blob.fd));
        cr_expect_null(fs_node_backing(nodes, nodeid));
        blob = open_file("a");
        fs_node_give_backing(nodes, nodeid, &blob);

        struct fs_backing *backing = fs_node_backing(nodes, nodeid);

        cr_assert_not_null(backing);
        cr_expect_eq(backing->blob.fd, blob.fd);
        fs_backing_unref(nodes, backing);
        fs_node_release(nodes, fh);
        cr_expect_not(is_open(blob.fd));
}

Test(fs_node_backing, descriptors_are_closed_with_the_table)
{
        struct cas_blob blob = open_file("a");

        open_through_us(lookup(1), &blob);
        cr_expect(is_open(blob.fd));
        restart();
        cr_expect_not(is_open(blob.fd));
}

static unsigned open_descriptors(void)
{
        unsigned count = 0;

        for (int fd = 0; fd < 1024; fd++)
                count += is_open(fd);
        return count;
}

/* Three digests: what one thread opens, forgets and gives up, the others use meanwhile. */
static void *use_nodes(void *arg)
{
        (void)arg;
        for (unsigned i = 0; i < (SLOW_BUILD ? 300 : 3000); i++) {
                struct cas_digest expected = numbered(i % 3);
                struct cas_digest found;
                struct cas_blob blob = open_file("a");
                uint64_t nodeid = fs_node_lookup(nodes, &expected);
                struct fs_node_opened opened;
                char byte = 0;

                cr_assert(fs_node_digest(nodes, nodeid, &found));
                cr_assert(cas_digest_equal(&found, &expected));
                fs_node_wants_id(nodes, nodeid, &blob);
                cr_assert_eq(
                    fs_node_open(nodes, nodeid, &blob, (i % 2) * 7, next_unique(), false, &opened),
                    0);
                fs_node_give_backing(nodes, nodeid, &blob);

                struct fs_backing *backing = fs_node_backing(nodes, nodeid);

                fs_node_release(nodes, opened.fh);
                cr_assert(backing && pread(backing->blob.fd, &byte, 1, 0) == 1 && byte == 'a');
                fs_node_set_told(nodes, nodeid, i % 2);
                fs_node_send_round(nodes, nodeid, gettid(), false, false);
                fs_backing_unref(nodes, backing);
                fs_node_forget(nodes, nodeid, 1);
        }
        return NULL;
}

Test(fs_node_backing, many_threads_leave_nothing_open)
{
        unsigned before = open_descriptors();
        pthread_t threads[4];

        scratch_write("a", "a", 1);
        for (int i = 0; i < 4; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, use_nodes, NULL), 0);
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        cr_expect_eq(open_descriptors(), before);
        for (unsigned i = 0; i < 3; i++)
                cr_expect_eq(lookup(i) >> 32, slot_of(lookup(i))->generation);
        cr_expect_eq(dropped_count, 4 * (SLOW_BUILD ? 150 : 1500), "each id is given back once");
}
