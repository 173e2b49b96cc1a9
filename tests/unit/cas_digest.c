/*
 * Digests as names, and the hash: known answers (FIPS 180-4) and one spelling only.
 */
#include "cas/digest.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

TestSuite(cas_digest, .timeout = 20);

static void expect_hash(struct cas_hash *hash, const char *hex)
{
        struct cas_digest digest;
        char found[CAS_DIGEST_HEX + 1];

        cr_assert_eq(cas_hash_final(hash, &digest), 0);
        cas_digest_format(&digest, found);
        cr_expect_str_eq(found, hex);
}

Test(cas_digest, what_was_parsed_formats_the_same)
{
        struct cas_digest digest;
        char hex[CAS_DIGEST_HEX + 1];

        cr_assert_eq(cas_digest_parse(ABC, CAS_DIGEST_HEX, &digest), 0);
        cr_expect_eq(digest.bytes[0], 0xba);
        cr_expect_eq(digest.bytes[31], 0xad);
        cas_digest_format(&digest, hex);
        cr_expect_str_eq(hex, ABC);
}

Test(cas_digest, fault_61_any_other_length_is_refused)
{
        struct cas_digest digest;

        cr_expect_eq(cas_digest_parse(ABC, 63, &digest), -EINVAL);
        cr_expect_eq(cas_digest_parse(ABC "0", 65, &digest), -EINVAL);
        cr_expect_eq(cas_digest_parse("", 0, &digest), -EINVAL);
}

Test(cas_digest, fault_61_any_other_character_is_refused_at_every_place)
{
        static const char bad[] = {'A', 'F', 'g', '/', ':', '`', ' ', '\n', '.', '\xe9', '\0'};
        struct cas_digest digest;

        memset(&digest, 0x5a, sizeof(digest));
        for (size_t place = 0; place < CAS_DIGEST_HEX; place++) {
                for (size_t i = 0; i < sizeof(bad); i++) {
                        char text[] = ABC;

                        text[place] = bad[i];
                        cr_expect_eq(cas_digest_parse(text, CAS_DIGEST_HEX, &digest), -EINVAL);
                }
        }
        for (size_t i = 0; i < CAS_DIGEST_SIZE; i++)
                cr_expect_eq(digest.bytes[i], 0x5a, "a refused text changed the result");
}

Test(cas_digest, order_is_the_order_of_the_names)
{
        struct cas_digest low = {{0x00, 0xff}};
        struct cas_digest high = {{0x80, 0x00}};
        struct cas_digest last = low;

        last.bytes[31] = 1;
        cr_expect_lt(cas_digest_compare(&low, &high), 0);
        cr_expect_gt(cas_digest_compare(&high, &low), 0);
        cr_expect_lt(cas_digest_compare(&low, &last), 0);
        cr_expect(cas_digest_equal(&low, &low));
        cr_expect_not(cas_digest_equal(&low, &last));
}

Test(cas_digest, hash_gives_the_published_answers)
{
        struct cas_hash *hash;

        cr_assert_eq(cas_hash_new(&hash), 0);
        expect_hash(hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        cas_hash_restart(hash);
        cas_hash_update(hash, "abc", 3);
        expect_hash(hash, ABC);
        cas_hash_restart(hash);
        for (int i = 0; i < 1000000; i += 10)
                cas_hash_update(hash, "aaaaaaaaaa", 10);
        expect_hash(hash, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
        cas_hash_free(hash);
}

Test(cas_digest, restart_forgets_what_came_before)
{
        struct cas_hash *hash;

        cr_assert_eq(cas_hash_new(&hash), 0);
        cas_hash_update(hash, "something else", 14);
        cas_hash_restart(hash);
        cas_hash_update(hash, "abc", 3);
        expect_hash(hash, ABC);
        cas_hash_free(hash);
}

/* The header: new -> (update* -> final)* -> free. */
Test(cas_digest, every_round_of_a_hash_stands_alone)
{
        struct cas_hash *hash;

        cr_assert_eq(cas_hash_new(&hash), 0);
        for (int round = 0; round < 3; round++) {
                cas_hash_update(hash, "abc", 3);
                expect_hash(hash, ABC);
        }
        cas_hash_free(hash);
        cas_hash_free(NULL);
}
