/*
 * Nodes: a nodeid that was forgotten is never mistaken for a later one; the first open
 * decides what is read and how, the others follow; every backing id is given back once.
 */
#include "fs/node.h"

#include "fs/view.h"
#include "tests/unit/nodes.h"

#include <errno.h>

TestSuite(fs_node, .init = nodes_make, .fini = nodes_remove, .timeout = 60);

Test(fs_node, nodeid_leads_back_to_its_digest)
{
        uint64_t first = lookup(1);
        uint64_t second = lookup(2);
        struct cas_digest expected = numbered(2);
        struct cas_digest found;

        cr_expect_neq(first, second);
        cr_expect(fs_node_digest(nodes, second, &found));
        cr_expect(cas_digest_equal(&found, &expected));
        cr_expect_eq(lookup(1), first, "one nodeid for one digest");
        fs_nodes_free(NULL);
}

Test(fs_node, nodeids_are_never_those_of_the_root_by_name_or_a_link)
{
        for (unsigned i = 0; i < 1000; i++)
                cr_expect(fs_is_asset(lookup(i)));
}

Test(fs_node, unknown_nodeids_are_nobody)
{
        uint64_t nodeid = lookup(1);
        uint64_t strange[] = {0, 1, 2, nodeid + 1, nodeid ^ UINT64_C(1) << 32, UINT64_MAX, FS_LINK};
        struct cas_blob blob = blob_of(1);

        for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
                cr_expect_not(is_there(strange[i]));
                fs_node_forget(nodes, strange[i], 1);
                fs_node_set_told(nodes, strange[i], false);
                cr_expect_not(fs_node_send_round(nodes, strange[i], 1, true, false));
                cr_expect_not(wants_id(strange[i], 1));
                cr_expect_not(fs_node_supersede(nodes, strange[i], &blob));
                cr_expect_not(is_open_node(strange[i]));
                fs_node_release(nodes, strange[i]);
                cr_expect_null(fs_node_backing(nodes, strange[i]));
                cr_expect_eq(try_open(strange[i], 1, 0), -ESTALE);
        }
        cr_expect(is_there(nodeid));
}

Test(fs_node, node_lives_until_every_lookup_is_forgotten)
{
        uint64_t nodeid = lookup(1);

        for (int i = 0; i < 3; i++)
                lookup(1);
        fs_node_forget(nodes, nodeid, 1);
        fs_node_forget(nodes, nodeid, 2);
        cr_expect(is_there(nodeid));
        fs_node_forget(nodes, nodeid, 1);
        cr_expect_not(is_there(nodeid));
}

Test(fs_node, forgetting_more_than_was_looked_up_is_forgetting_all)
{
        uint64_t nodeid = lookup(1);

        fs_node_forget(nodes, nodeid, UINT64_MAX);
        fs_node_forget(nodes, nodeid, 1);
        cr_expect_not(is_there(nodeid));
        cr_expect_neq(lookup(1), 0);
}

Test(fs_node, slot_is_used_again_with_another_generation)
{
        uint64_t old = lookup(1);

        for (unsigned i = 2; i < 100; i++) {
                fs_node_forget(nodes, old, 1);

                uint64_t nodeid = lookup(i);

                cr_expect_eq((uint32_t)nodeid, (uint32_t)old, "the slot was not used again");
                cr_expect_neq(nodeid, old);
                cr_expect_not(is_there(old));
                old = nodeid;
        }
}

/* A slot that was used 2^30 times begins anew, before the bit of the links. */
Test(fs_node, last_generation_is_followed_by_the_first)
{
        uint64_t nodeid = lookup(1);

        fs_node_forget(nodes, nodeid, 1);
        slot_of(nodeid)->generation = (1u << 30) - 1;
        nodeid = lookup(1);
        cr_expect_eq(nodeid >> 32, 1u << 30);
        cr_expect(fs_is_asset(nodeid));
        fs_node_forget(nodes, nodeid, 1);
        cr_expect_eq(lookup(1) >> 32, 1);
}

Test(fs_node, the_same_digest_gets_another_nodeid_after_a_forget)
{
        uint64_t old = lookup(1);

        fs_node_forget(nodes, old, 1);
        cr_expect_neq(lookup(1), old);
        cr_expect_not(is_there(old));
}

Test(fs_node, many_nodes_keep_their_digests)
{
        static uint64_t nodeids[5000];

        for (unsigned i = 0; i < 5000; i++)
                nodeids[i] = lookup(i);
        for (unsigned i = 0; i < 5000; i += 2)
                fs_node_forget(nodes, nodeids[i], 1);
        for (unsigned i = 0; i < 5000; i++) {
                struct cas_digest expected = numbered(i);
                struct cas_digest found;

                cr_expect_eq(fs_node_digest(nodes, nodeids[i], &found), i % 2 == 1);
                cr_expect(i % 2 == 0 || cas_digest_equal(&found, &expected));
        }
}

/* A node that was open and is not any more. */
static uint64_t regular(unsigned number)
{
        uint64_t nodeid = lookup(number);

        fs_node_release(nodes, open_node(nodeid, number, (int32_t)number).fh);
        return nodeid;
}

Test(fs_node, full_table_gives_up_who_was_never_opened_and_looked_up_the_longest_ago)
{
        uint64_t opened_once = regular(1);
        uint64_t first = lookup(2);
        uint64_t second = lookup(3);
        uint64_t third = lookup(4);

        for (unsigned i = 5; i <= FS_NODES_MAX; i++)
                cr_assert_neq(lookup(i), 0);
        cr_expect_eq(lookup(2), first);
        cr_expect_neq(lookup(FS_NODES_MAX + 1), 0);
        cr_expect(is_there(opened_once) && is_there(first) && is_there(third));
        cr_expect_not(is_there(second));
        cr_expect_neq(lookup(FS_NODES_MAX + 2), 0);
        cr_expect_not(is_there(third));
        cr_expect_neq(lookup(3), second, "a nodeid that was given up came back");
}

Test(fs_node, full_table_gives_up_who_was_open_the_longest_ago_where_all_were)
{
        uint64_t first = regular(1);
        uint64_t second = regular(2);

        for (unsigned i = 3; i <= FS_NODES_MAX; i++)
                regular(i);
        cr_expect_eq(lookup(1), first);
        cr_expect_neq(lookup(FS_NODES_MAX + 1), 0);
        cr_expect(is_there(first));
        cr_expect_not(is_there(second));
}

Test(fs_node, full_table_never_gives_up_an_open_node)
{
        uint64_t first = lookup(1);
        uint64_t first_fh = open_node(first, 1, 1).fh;

        for (unsigned i = 2; i <= FS_NODES_MAX; i++)
                open_node(lookup(i), i, (int32_t)i);
        cr_expect_eq(lookup(FS_NODES_MAX + 1), 0);
        cr_expect_eq(dropped_count, 0);
        cr_expect(is_there(first));
        fs_node_release(nodes, first_fh);
        cr_expect_neq(lookup(FS_NODES_MAX + 1), 0);
        cr_expect_not(is_there(first));
        cr_expect(dropped_count == 1 && dropped[0] == 1);
        cr_expect_eq(lookup(FS_NODES_MAX + 2) >> 32, 3, "the only one that is not open, again");
}

/* Opening */

Test(fs_node, open_of_a_forgotten_node_is_stale_and_gives_its_id_back)
{
        uint64_t nodeid = lookup(1);

        fs_node_forget(nodes, nodeid, 1);
        cr_expect_eq(try_open(nodeid, 1, 7), -ESTALE);
        cr_expect(dropped_count == 1 && dropped[0] == 7);
}

Test(fs_node, opens_follow_the_way_of_the_first_through_us)
{
        uint64_t nodeid = lookup(1);
        uint64_t first = open_node(nodeid, 1, 0).fh;
        struct fs_node_opened second = open_node(nodeid, 1, 7);

        cr_expect_eq(second.backing_id, 0, "the kernel refuses one file read in two ways");
        cr_expect(was_dropped(7));
        cr_expect_not(wants_id(nodeid, 1));
        fs_node_release(nodes, first);
        cr_expect_not(wants_id(nodeid, 1));
        fs_node_release(nodes, second.fh);
        cr_expect(wants_id(nodeid, 1), "nobody has it open: the next one decides");
        cr_expect_eq(open_node(nodeid, 1, 8).backing_id, 8);
}

Test(fs_node, opens_follow_the_way_of_the_first_by_its_id)
{
        uint64_t nodeid = lookup(1);

        cr_expect(wants_id(nodeid, 1));
        cr_expect_eq(open_node(nodeid, 1, 7).backing_id, 7);
        cr_expect_not(wants_id(nodeid, 1));
        cr_expect_eq(open_node(nodeid, 1, 0).backing_id, 7);
        cr_expect_eq(open_node(nodeid, 1, 8).backing_id, 7, "two openers asked at once");
        cr_expect(dropped_count == 1 && dropped[0] == 8);
}

Test(fs_node, id_is_kept_for_the_next_open_of_the_same_blob)
{
        uint64_t nodeid = regular(1);

        cr_expect_not(wants_id(nodeid, 1));
        cr_expect_eq(open_node(nodeid, 1, 0).backing_id, 1);
        cr_expect_eq(dropped_count, 0);
}

Test(fs_node, id_is_not_used_for_another_blob)
{
        uint64_t nodeid = regular(1);

        cr_expect(wants_id(nodeid, 2));
        cr_expect_eq(open_node(nodeid, 2, 7).backing_id, 7);
        cr_expect(dropped_count == 1 && dropped[0] == 1);
        nodeid = regular(3);
        cr_expect_eq(open_node(nodeid, 2, 0).backing_id, 0);
        cr_expect(dropped_count == 2 && dropped[1] == 3);
}

Test(fs_node, no_more_than_512_ids_are_kept)
{
        uint64_t first = regular(1);
        uint64_t second = regular(2);
        uint64_t fh = open_node(first, 1, 0).fh;

        for (unsigned i = 3; i <= 513; i++)
                regular(i);
        cr_expect_eq(dropped_count, 0, "512 are closed");
        fs_node_release(nodes, fh);
        cr_expect(dropped_count == 1 && dropped[0] == 2, "the one that was closed first");
        cr_expect(wants_id(second, 2));
        cr_expect_not(wants_id(first, 1));
}

Test(fs_node, id_is_given_back_with_its_node)
{
        uint64_t nodeid = regular(1);

        fs_node_forget(nodes, nodeid, 1);
        cr_expect(dropped_count == 1 && dropped[0] == 1);
        nodeid = lookup(2);

        uint64_t fh = open_node(nodeid, 2, 2).fh;

        fs_node_forget(nodes, nodeid, 1);
        cr_expect(is_there(nodeid) && dropped_count == 1, "it is open");
        fs_node_release(nodes, fh);
        cr_expect_not(is_there(nodeid));
        cr_expect(dropped_count == 2 && dropped[1] == 2);
}

Test(fs_node, same_bytes_only_for_the_very_file_that_was_read_before)
{
        uint64_t nodeid = lookup(1);
        struct cas_blob again = blob_of(1);
        struct fs_node_opened opened = open_node(nodeid, 1, 0);

        cr_expect_not(opened.same, "the first open");
        fs_node_release(nodes, opened.fh);
        opened = open_node(nodeid, 1, 0);
        cr_expect(opened.same, "after it was closed");
        cr_expect(open_node(nodeid, 1, 0).same, "while it is open");
        nodeid = lookup(2);
        fs_node_release(nodes, open_node(nodeid, 1, 0).fh);
        again.mtime++;
        cr_assert_eq(fs_node_open(nodes, nodeid, &again, 0, next_unique(), false, &opened), 0);
        cr_expect_not(opened.same, "published again");
        fs_node_release(nodes, opened.fh);
        cr_expect_not(open_node(nodeid, 2, 0).same, "another file");
}

Test(fs_node, open_node_knows_what_it_reads)
{
        uint64_t nodeid = lookup(1);
        struct cas_blob blob = {0};

        cr_expect_not(fs_node_reads(nodes, nodeid, &blob));

        uint64_t fh = open_node(nodeid, 3, 0).fh;

        cr_expect(fs_node_reads(nodes, nodeid, &blob));
        cr_expect(blob.fd == -1 && blob.size == 30 && blob.blocks == 3 && blob.inode == 3);
        cr_expect_eq(blob.mtime, 1000);
        fs_node_release(nodes, fh);
        cr_expect_not(fs_node_reads(nodes, nodeid, &blob));
}

/* An open may do without opening the blob where its id is known. */
Test(fs_node, node_with_a_kept_id_knows_its_blob)
{
        uint64_t nodeid = lookup(1);
        struct cas_blob blob = blob_of(1);
        struct fs_node_opened opened;
        struct cas_blob kept = {0};

        blob.ctime = INT64_C(1) << 40;
        cr_expect_not(fs_node_kept(nodes, 1, &kept));
        cr_expect_not(fs_node_kept(nodes, nodeid, &kept), "never opened");
        cr_assert_eq(fs_node_open(nodes, nodeid, &blob, 7, 51, false, &opened), 0);
        fs_node_release(nodes, opened.fh);
        restart();
        cr_assert(fs_node_kept(nodes, nodeid, &kept));
        cr_expect(kept.fd == -1 && kept.size == 10 && kept.blocks == 1 && kept.inode == 1);
        cr_expect(kept.mtime == 1000 && kept.ctime == INT64_C(1) << 40);
        for (unsigned i = 2; i < 2 + 512; i++)
                regular(i);
        cr_expect(was_dropped(7));
        cr_expect_not(fs_node_kept(nodes, nodeid, &kept), "its id was given back");
        open_node(nodeid, 1, 0);
        cr_expect_not(fs_node_kept(nodes, nodeid, &kept), "it is read through us");
}

/* To note that a blob is opened changes its ctime: whoever opens it while it is open keeps
 * the later one, or every open from then on would be a long one. */
Test(fs_node, open_of_an_open_node_keeps_the_later_ctime)
{
        uint64_t nodeid = lookup(1);
        struct cas_blob blob = blob_of(1);
        struct cas_blob kept = {0};
        struct fs_node_opened opened;

        blob.ctime = 5;
        cr_assert_eq(fs_node_open(nodes, nodeid, &blob, 7, 51, false, &opened), 0);
        blob.ctime = 6;
        cr_assert_eq(fs_node_open(nodes, nodeid, &blob, 0, 53, false, &opened), 0);
        cr_assert(fs_node_kept(nodes, nodeid, &kept));
        cr_expect_eq(kept.ctime, 6);
}

Test(fs_node, fault_39_another_blob_gets_another_node_while_the_old_one_is_open)
{
        uint64_t old = lookup(1);
        uint64_t fh = open_node(old, 1, 1).fh;
        struct cas_blob blob;

        cr_expect_eq(try_open(old, 2, 2), -ESTALE);
        cr_expect(was_dropped(2) && !was_dropped(1));

        uint64_t new = lookup(1);

        cr_expect_neq(new, old);
        cr_expect_eq(open_node(new, 2, 3).backing_id, 3);
        cr_expect(fs_node_reads(nodes, old, &blob) && blob.inode == 1);
        cr_expect(fs_node_reads(nodes, new, &blob) && blob.inode == 2);
        cr_expect_eq(lookup(1), new);
        fs_node_forget(nodes, old, 1);
        fs_node_release(nodes, fh);
        cr_expect(was_dropped(1) && !is_there(old));
        cr_expect_eq(lookup(1), new, "the old one took the new one out of the map");
}

Test(fs_node, only_an_open_node_of_another_blob_is_superseded)
{
        uint64_t nodeid = regular(1);
        struct cas_blob same = blob_of(1);
        struct cas_blob other = blob_of(2);

        cr_expect_not(fs_node_supersede(nodes, nodeid, &other), "nobody has it open");
        open_node(nodeid, 1, 0);
        cr_expect_not(fs_node_supersede(nodes, nodeid, &same));
        cr_expect_eq(lookup(1), nodeid);
        cr_expect(fs_node_supersede(nodes, nodeid, &other));
        cr_expect(fs_node_supersede(nodes, nodeid, &other), "said again");
        cr_expect_neq(lookup(1), nodeid);
        cr_expect_eq(open_node(nodeid, 1, 0).backing_id, 1, "the old blob can still be opened");
}

/* Handles */

Test(fs_node, release_twice_is_one_release)
{
        uint64_t nodeid = lookup(1);
        uint64_t first = open_node(nodeid, 1, 0).fh;
        uint64_t second = open_node(nodeid, 1, 0).fh;

        cr_expect(first != 0 && second != 0 && first != second);
        fs_node_release(nodes, first);
        fs_node_release(nodes, first);
        fs_node_release(nodes, 0);
        cr_expect(is_open_node(nodeid));
        fs_node_release(nodes, second);
        cr_expect_not(is_open_node(nodeid));
}

Test(fs_node, handle_of_a_slot_that_is_used_again_is_another)
{
        uint64_t nodeid = lookup(1);
        uint64_t old = open_node(nodeid, 1, 0).fh;

        fs_node_release(nodes, old);

        uint64_t new = open_node(nodeid, 1, 0).fh;

        cr_expect_eq(new & 0xffff, old & 0xffff, "the slot was not used again");
        fs_node_release(nodes, old);
        cr_expect(is_open_node(nodeid));
}

Test(fs_node, replayed_open_finds_its_handle)
{
        uint64_t nodeid = lookup(1);
        uint64_t other = lookup(2);
        struct fs_node_opened opened;

        cr_assert_eq(replay_open(nodeid, 1, 51, &opened), 0);
        cr_expect(opened.fresh, "killed before it was taken");

        uint64_t fh = opened.fh;

        cr_assert_eq(replay_open(nodeid, 1, 51, &opened), 0);
        cr_expect_not(opened.fresh);
        cr_expect_eq(opened.fh, fh);
        cr_assert_eq(replay_open(other, 2, 51, &opened), 0);
        cr_expect(opened.fresh, "of another node");
        fs_node_release(nodes, fh);
        cr_expect_not(is_open_node(nodeid), "a handle that was found again counts once");
        cr_assert_eq(replay_open(nodeid, 1, 51, &opened), 0);
        cr_expect(opened.fresh, "it was released");
}

Test(fs_node, too_many_opens)
{
        uint64_t nodeid = lookup(1);
        uint64_t other = lookup(2);
        uint64_t fh = 0;

        for (unsigned i = 0; i < FS_HANDLES_MAX; i++)
                fh = open_node(nodeid, 1, 0).fh;
        cr_expect_eq(try_open(nodeid, 1, 0), -ENFILE);
        cr_expect_eq(try_open(other, 2, 7), -ENFILE);
        cr_expect_not(is_open_node(other));
        cr_expect(dropped_count == 0 && !wants_id(other, 2), "kept for when there is a handle");
        fs_node_release(nodes, fh);
        cr_expect_eq(open_node(other, 2, 0).backing_id, 7);
}

/* Sizes */

Test(fs_node, new_generation_has_read_and_was_told_nothing)
{
        uint64_t nodeid = regular(1);

        fs_node_set_told(nodes, nodeid, false);
        fs_node_forget(nodes, nodeid, 1);
        nodeid = lookup(1);
        cr_expect_not(fs_node_send_round(nodes, nodeid, 100, false, false));
        cr_expect(wants_id(nodeid, 1));
        cr_expect_not(open_node(nodeid, 1, 0).same);
}

Test(fs_node, opener_is_sent_round_only_while_the_size_told_is_wrong)
{
        uint64_t nodeid = lookup(1);

        cr_expect_not(fs_node_send_round(nodes, nodeid, 100, false, false));
        fs_node_set_told(nodes, nodeid, false);
        cr_expect(fs_node_send_round(nodes, nodeid, 100, false, false));
        fs_node_set_told(nodes, nodeid, true);
        cr_expect_not(fs_node_send_round(nodes, nodeid, 101, false, false));
}

Test(fs_node, thread_that_came_back_without_a_lookup_is_not_sent_round_again)
{
        uint64_t nodeid = lookup(1);

        fs_node_set_told(nodes, nodeid, false);
        cr_expect(fs_node_send_round(nodes, nodeid, 100, false, false));
        cr_expect_not(fs_node_send_round(nodes, nodeid, 100, false, false));
        cr_expect(fs_node_send_round(nodes, nodeid, 101, false, false), "another thread");
}

Test(fs_node, opener_that_ended_a_miss_is_always_sent_round)
{
        uint64_t nodeid = lookup(1);

        fs_node_set_told(nodes, nodeid, true);
        cr_expect(fs_node_send_round(nodes, nodeid, 100, true, false));
        cr_expect_not(fs_node_send_round(nodes, nodeid, 100, false, false));
}
