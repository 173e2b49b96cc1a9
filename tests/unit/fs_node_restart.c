/*
 * A worker dies at any instruction, and the next one takes its nodes up: everything the
 * kernel knows is found again, what the dead one had not finished is settled.
 */
#include "fs/node.h"

#include "tests/unit/nodes.h"

#include <errno.h>

TestSuite(fs_node_restart, .init = nodes_make, .fini = nodes_remove, .timeout = 60);

Test(fs_node_restart, fault_47_nodeids_and_lookups_are_found_again)
{
        uint64_t first = lookup(1);
        uint64_t second = lookup(2);
        struct cas_digest expected = numbered(2);
        struct cas_digest found;

        lookup(2);
        restart();
        cr_expect(fs_node_digest(nodes, second, &found));
        cr_expect(cas_digest_equal(&found, &expected));
        cr_expect_eq(lookup(1), first, "a digest got another nodeid");
        fs_node_forget(nodes, second, 1);
        cr_expect(is_there(second), "it was looked up twice");
        fs_node_forget(nodes, second, 1);
        cr_expect_not(is_there(second));
}

Test(fs_node_restart, fault_47_forgotten_nodes_stay_forgotten)
{
        uint64_t old = lookup(1);

        fs_node_forget(nodes, old, 1);
        restart();
        cr_expect_not(is_there(old));

        uint64_t new = lookup(1);

        cr_expect_eq((uint32_t) new, (uint32_t)old, "the slot is lost");
        cr_expect_neq(new, old);
}

Test(fs_node_restart, fault_47_open_counts_are_found_again)
{
        uint64_t nodeid = lookup(1);
        uint64_t first = open_node(nodeid, 3, 7).fh;
        uint64_t second = open_node(nodeid, 3, 0).fh;
        struct cas_blob blob = {0};

        fs_node_forget(nodes, nodeid, 1);
        restart();
        cr_expect(fs_node_reads(nodes, nodeid, &blob));
        cr_expect(blob.inode == 3 && blob.size == 30 && blob.blocks == 3 && blob.mtime == 1000);
        fs_node_release(nodes, first);
        cr_expect(is_open_node(nodeid));
        fs_node_release(nodes, first);
        cr_expect(is_open_node(nodeid));
        fs_node_release(nodes, second);
        cr_expect_not(is_there(nodeid));
        cr_expect(dropped_count == 1 && dropped[0] == 7);
}

Test(fs_node_restart, fault_47_what_was_told_is_found_again)
{
        uint64_t nodeid = lookup(1);

        fs_node_set_told(nodes, nodeid, false);
        cr_expect(fs_node_send_round(nodes, nodeid, 100, false, false));
        restart();
        cr_expect_not(fs_node_send_round(nodes, nodeid, 100, false, false), "sent round twice");
        restart();
        cr_expect(fs_node_send_round(nodes, nodeid, 100, false, false),
                  "the size told is still wrong");
}

Test(fs_node_restart, fault_47_backing_ids_are_found_again)
{
        uint64_t open = lookup(1);
        uint64_t closed = lookup(2);
        uint64_t through_us = lookup(3);

        open_node(open, 1, 11);
        fs_node_release(nodes, open_node(closed, 2, 12).fh);
        open_node(through_us, 3, 0);
        restart();
        cr_expect_eq(dropped_count, 0);
        cr_expect_not(wants_id(open, 1) || wants_id(closed, 2) || wants_id(through_us, 3));
        cr_expect_eq(open_node(open, 1, 0).backing_id, 11);
        cr_expect_eq(open_node(closed, 2, 0).backing_id, 12);
        cr_expect_eq(open_node(through_us, 3, 13).backing_id, 0, "it is read through us");
        cr_expect(dropped_count == 1 && dropped[0] == 13);
        cr_expect_eq(try_open(open, 2, 0), -ESTALE, "an open node reads what it read");
}

Test(fs_node_restart, fault_47_no_more_ids_are_kept_than_before)
{
        for (unsigned i = 0; i < 600; i++)
                open_node(lookup(i), i + 1, (int32_t)i + 1);
        /* As if their RELEASEs had come together. */
        atomic_store(&memory->handles_used, 0);
        restart();
        cr_expect_eq(dropped_count, 600 - 512);
        for (unsigned i = 0; i < dropped_count; i++)
                cr_expect_eq(dropped[i], (int32_t)i + 1, "an id twice, or a younger one first");
}

Test(fs_node_restart, fault_47_replayed_open_finds_the_handle_of_the_dead_worker)
{
        uint64_t nodeid = lookup(1);
        struct fs_node_opened before;
        struct fs_node_opened after;

        cr_assert_eq(replay_open(nodeid, 1, 51, &before), 0);
        restart();
        cr_assert_eq(replay_open(nodeid, 1, 51, &after), 0);
        cr_expect_not(after.fresh);
        cr_expect_eq(after.fh, before.fh);
        cr_assert_eq(replay_open(nodeid, 1, 53, &after), 0);
        cr_expect(after.fresh && after.fh != before.fh);
        fs_node_release(nodes, before.fh);
        fs_node_release(nodes, after.fh);
        cr_expect_not(is_open_node(nodeid));
}

Test(fs_node_restart, fault_47_handle_slots_are_not_lost)
{
        uint64_t nodeid = lookup(1);
        uint64_t fh[8];

        for (int i = 0; i < 8; i++)
                fh[i] = open_node(nodeid, 1, 0).fh;
        for (int i = 0; i < 8; i += 2)
                fs_node_release(nodes, fh[i]);
        restart();
        for (int i = 0; i < 4; i++)
                cr_expect_lt(open_node(nodeid, 1, 0).fh & 0xffff, 8);
        cr_expect_eq(memory->handles_used, 8);
}

Test(fs_node_restart, fault_47_superseded_node_stays_so_and_goes_when_it_is_closed)
{
        uint64_t old = lookup(1);
        struct cas_blob other = blob_of(2);
        uint64_t fh = open_node(old, 1, 7).fh;

        cr_assert(fs_node_supersede(nodes, old, &other));

        uint64_t new = lookup(1);

        restart();
        cr_expect(is_open_node(old));
        cr_expect_eq(lookup(1), new);
        fs_node_release(nodes, fh);
        restart();
        cr_expect_not(is_there(old), "the kernel finds out by ESTALE");
        cr_expect(dropped_count == 1 && dropped[0] == 7);
        cr_expect_eq(lookup(1), new);
}

/* A slot as it is between the lines of fs/node.c */

Test(fs_node_restart, fault_47_killed_before_the_nodeid_was_written)
{
        uint64_t nodeid = lookup(1);

        atomic_store(&slot_of(nodeid)->nodeid, 0);
        restart();
        cr_expect_not(is_there(nodeid));

        uint64_t next = lookup(1);

        cr_expect_eq((uint32_t)next, (uint32_t)nodeid, "the slot is lost");
        cr_expect_neq(next, nodeid);
}

/* The nodeid went before the id was noted as given back. */
Test(fs_node_restart, fault_47_killed_while_a_node_with_an_id_was_removed)
{
        uint64_t nodeid = lookup(1);

        fs_node_release(nodes, open_node(nodeid, 1, 7).fh);
        atomic_store(&slot_of(nodeid)->nodeid, 0);
        restart();
        cr_expect(dropped_count == 1 && dropped[0] == 7, "the id is lost");
        restart();
        cr_expect_eq(dropped_count, 1);
}

Test(fs_node_restart, fault_47_killed_between_the_lookup_and_its_count)
{
        uint64_t nodeid = lookup(1);

        slot_of(nodeid)->lookups = 0;
        restart();
        cr_expect_not(is_there(nodeid), "nobody would ever forget it");
}

/* What it reads was written down, its handle was not: the OPEN is replayed, and decides. */
Test(fs_node_restart, fault_47_killed_between_the_decision_and_the_handle)
{
        uint64_t nodeid = lookup(1);
        struct fs_node_opened opened;

        cr_assert_eq(replay_open(nodeid, 1, 51, &opened), 0);
        atomic_store(&memory->handles[0].fh, 0);
        restart();
        cr_expect_not(is_open_node(nodeid));
        cr_assert_eq(replay_open(nodeid, 2, 51, &opened), 0);
        cr_expect(opened.fresh && !opened.same);
}

Test(fs_node_restart, fault_47_handle_of_no_node_is_dropped)
{
        uint64_t nodeid = lookup(1);
        uint64_t gone = lookup(2);

        open_node(nodeid, 1, 0);
        open_node(gone, 2, 0);
        atomic_store(&slot_of(gone)->nodeid, 0);
        restart();
        cr_expect_eq(memory->handles[1].fh, 0);
        cr_expect(is_open_node(nodeid));
        cr_expect_eq(open_node(nodeid, 1, 0).fh & 0xffff, 1, "its slot is lost");
}

Test(fs_node_restart, fault_65_slots_that_make_no_sense_are_free)
{
        uint64_t nodeids[5];

        for (unsigned i = 0; i < 5; i++)
                nodeids[i] = lookup(i);
        slot_of(nodeids[0])->generation = 0;
        atomic_store(&slot_of(nodeids[1])->nodeid, nodeids[0]);
        slot_of(nodeids[2])->backing_id = -1;
        slot_of(nodeids[3])->digest = numbered(4); /* the same as that of the last */
        restart();
        for (unsigned i = 0; i < 3; i++)
                cr_expect_not(is_there(nodeids[i]));
        cr_expect_neq(is_there(nodeids[3]), is_there(nodeids[4]), "one digest, one nodeid");
        cr_expect_eq(memory->nodes_used, 5);
        for (unsigned i = 10; i < 14; i++)
                cr_expect_leq((uint32_t)lookup(i), 5);
}

/* A successor that needs longer than it is given to serve would be killed, and the next. */
Test(fs_node_restart, fault_65_full_table_is_settled_in_no_time)
{
        for (unsigned i = 0; i < FS_NODES_MAX; i++)
                open_node(lookup(i), i + 1, (int32_t)i + 1);
        atomic_store(&memory->handles_used, 0);

        int64_t start = processor_ms();

        restart();
        cr_expect(SLOW_BUILD || processor_ms() - start < 500, "%ld ms",
                  (long)(processor_ms() - start));
        cr_expect_eq(dropped_count, FS_NODES_MAX - 512);
}

/* The worker took a handle and died; the next one answers the OPEN with an error. */
Test(fs_node_restart, fault_47_replayed_open_that_fails_leaves_no_handle)
{
        uint64_t nodeid = lookup(1);
        struct cas_blob blob = {.fd = -1, .inode = 3, .mtime = 1000, .size = 30};
        struct fs_node_opened opened;

        cr_assert_eq(fs_node_open(nodes, nodeid, &blob, 0, 4242, false, &opened), 0);
        restart();
        cr_assert(is_open_node(nodeid));
        fs_node_abandon(nodes, nodeid, 4243);
        cr_expect(is_open_node(nodeid), "another request's");
        fs_node_abandon(nodes, nodeid, 4242);
        cr_expect_not(is_open_node(nodeid));
        fs_node_abandon(nodes, nodeid, 4242);
}

/* It may be the very open that was to look again, and was not told. */
Test(fs_node_restart, fault_47_replayed_open_is_sent_round_again)
{
        uint64_t nodeid = lookup(1);

        fs_node_set_told(nodes, nodeid, false);
        cr_expect(fs_node_send_round(nodes, nodeid, 100, false, false));
        restart();
        cr_expect(fs_node_send_round(nodes, nodeid, 100, false, true));
}

Test(fs_node_restart, fault_47_replayed_open_finds_its_handle)
{
        uint64_t nodeid = lookup(1);
        struct cas_blob blob = {.fd = -1, .inode = 3, .mtime = 1000, .size = 30};
        struct fs_node_opened opened;
        struct fs_node_opened again;

        cr_expect_not(fs_node_reopen(nodes, nodeid, 4242, &again));
        cr_assert_eq(fs_node_open(nodes, nodeid, &blob, 9, 4242, false, &opened), 0);
        restart();
        cr_expect(fs_node_reopen(nodes, nodeid, 4242, &again));
        cr_expect(again.fh == opened.fh && again.backing_id == 9 && !again.fresh);
        cr_expect_not(fs_node_reopen(nodes, nodeid, 4243, &again));
}
