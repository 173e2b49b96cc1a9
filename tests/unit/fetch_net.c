/*
 * Networks: which texts name one, and which addresses lie in it, in whatever form.
 */
#include "fetch/net.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

TestSuite(fetch_net, .timeout = 20);

static struct fetch_net net_of(const char *text)
{
        struct fetch_net net = {0};
        const char *why = "";

        cr_assert_eq(fetch_net_parse(text, &net, &why), 0, "%s: %s", text, why);
        return net;
}

static struct sockaddr_storage address_of(const char *text)
{
        struct sockaddr_storage storage = {0};
        struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;

        if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
                storage.ss_family = AF_INET;
        else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
                storage.ss_family = AF_INET6;
        cr_assert(storage.ss_family, "%s", text);
        return storage;
}

static bool has(const char *net_text, const char *address_text)
{
        struct fetch_net net = net_of(net_text);
        struct sockaddr_storage address = address_of(address_text);

        return fetch_net_has(&net, (struct sockaddr *)&address);
}

static void expect_refused(const char *text, const char *words)
{
        struct fetch_net net = {.bits = 77};
        const char *why = "";

        cr_expect_eq(fetch_net_parse(text, &net, &why), -EINVAL, "%s", text);
        cr_expect_not_null(strstr(why, words), "%s: %s", text, why);
        cr_expect_eq(net.bits, 77, "%s is set", text);
}

Test(fetch_net, good_ones)
{
        static const struct {
                const char *text;
                bool v6;
                unsigned bits;
        } good[] = {
            {"10.0.0.0/8", false, 8},
            {"169.254.0.0/16", false, 16},
            {"127.0.0.1", false, 32},
            {"0.0.0.0/0", false, 0},
            {"10.1.2.2/31", false, 31},
            {"fe80::/10", true, 10},
            {"::1", true, 128},
            {"::/0", true, 0},
            {"2001:db8:0:0:0:0:192.0.2.0/120", true, 120},
            {"2001:0db8:0000:0000:0000:0000:255.255.255.255/128", true, 128},
        };

        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                struct fetch_net net = net_of(good[i].text);

                cr_expect_eq(net.v6, good[i].v6, "%s", good[i].text);
                cr_expect_eq(net.bits, good[i].bits, "%s: %u", good[i].text, net.bits);
        }
}

Test(fetch_net, fault_64_what_is_no_network)
{
        static const char *const bad[] = {"",
                                          "/",
                                          "/8",
                                          "none",
                                          "localhost",
                                          "10/8",
                                          "10.0.0/24",
                                          "010.0.0.1",
                                          "0x7f.0.0.1",
                                          "256.0.0.0",
                                          " 10.0.0.0",
                                          "10.0.0.0 ",
                                          "10.0.0.0,",
                                          "fe80",
                                          "fe80:/10",
                                          "fe80::1%lo",
                                          "[::1]",
                                          "10.0.0.0:80",
                                          "2001:db8:0000:0000:0000:0000:255.255.255.2555",
                                          "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111"};
        static const char *const bad_prefixes[] = {
            "10.0.0.0/",         "10.0.0.0/33",         "10.0.0.0/-1",  "10.0.0.0/+8",
            "10.0.0.0/8/8",      "10.0.0.0/ 8",         "10.0.0.0/8 ",  "fe80::/129",
            "fe80::/",           "10.0.0.0/4294967304", "10.0.0.0/0x8", "fe80::/1000",
            "10.0.0.0/255.0.0.0"};

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                expect_refused(bad[i], "not an IP address");
        for (size_t i = 0; i < sizeof(bad_prefixes) / sizeof(bad_prefixes[0]); i++)
                expect_refused(bad_prefixes[i], "prefix is not a number of bits");
}

Test(fetch_net, bits_below_the_prefix)
{
        struct fetch_net net = {0};
        struct sockaddr_storage inside = address_of("10.200.0.1");

        expect_refused("10.1.2.3/8", "bits below the prefix");
        expect_refused("10.0.0.1/31", "bits below the prefix");
        expect_refused("128.0.0.0/0", "bits below the prefix");
        expect_refused("fe80::1/10", "bits below the prefix");
        expect_refused("fe90:8000::/16", "bits below the prefix");
        cr_assert_eq(fetch_net_parse_loosely("10.1.2.3/8", &net), 0);
        cr_expect_eq(net.bits, 8);
        cr_expect(fetch_net_has(&net, (struct sockaddr *)&inside));
        cr_expect_eq(fetch_net_parse_loosely("10.1.2.3/33", &net), -EINVAL);
        cr_expect_eq(net.bits, 8);
}

Test(fetch_net, mapped_networks_are_to_be_named_as_ipv4)
{
        expect_refused("::ffff:0:0/96", "IPv4");
        expect_refused("::ffff:10.0.0.0/104", "IPv4");
        expect_refused("::ffff:127.0.0.1", "IPv4");
        cr_expect_eq(net_of("::fffe:0:0/96").bits, 96);
}

Test(fetch_net, addresses_in_and_beside)
{
        cr_expect(has("10.0.0.0/8", "10.0.0.0"));
        cr_expect(has("10.0.0.0/8", "10.255.255.255"));
        cr_expect_not(has("10.0.0.0/8", "9.255.255.255"));
        cr_expect_not(has("10.0.0.0/8", "11.0.0.0"));
        cr_expect(has("172.16.0.0/12", "172.31.255.255"));
        cr_expect_not(has("172.16.0.0/12", "172.32.0.0"));
        cr_expect(has("192.0.2.2/31", "192.0.2.3"));
        cr_expect_not(has("192.0.2.2/31", "192.0.2.4"));
        cr_expect(has("127.0.0.1", "127.0.0.1"));
        cr_expect_not(has("127.0.0.1", "127.0.0.2"));
        cr_expect(has("0.0.0.0/0", "255.255.255.255"));
        cr_expect(has("fe80::/10", "fe80::1"));
        cr_expect(has("fe80::/10", "febf:ffff::1"));
        cr_expect_not(has("fe80::/10", "fec0::1"));
        cr_expect(has("::1", "::1"));
        cr_expect_not(has("::1", "::2"));
        cr_expect(has("::/0", "2001:db8::1"));
}

Test(fetch_net, the_other_family_lies_outside)
{
        cr_expect_not(has("0.0.0.0/0", "2001:db8::1"));
        cr_expect_not(has("::/0", "192.0.2.1"));
        /* The same first bytes. */
        cr_expect_not(has("254.128.0.0/10", "fe80::1"));
        cr_expect_not(has("fe80::/10", "254.128.0.1"));
}

/* Each is a way to 169.254.169.254, the metadata of a cloud's machine. */
Test(fetch_net, fault_15_ipv4_in_ipv6)
{
        static const char *const ways[] = {"169.254.169.254",          "::ffff:169.254.169.254",
                                           "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1",
                                           "2002:a9fe:a9fe:ffff::",    "::169.254.169.254"};
        static const char *const others[] = {"::ffff:169.253.169.254", "64:ff9b::169.253.169.254",
                                             "2002:a9fd:a9fe::1",      "64:ff9b::1:a9fe:a9fe",
                                             "2001:db8::a9fe:a9fe",    "2003:a9fe:a9fe::",
                                             "::fffe:a9fe:a9fe"};

        for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
                cr_expect(has("169.254.0.0/16", ways[i]), "%s", ways[i]);
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
                cr_expect_not(has("169.254.0.0/16", others[i]), "%s", others[i]);
        /* A rule of IPv6 still holds the written form. */
        cr_expect(has("64:ff9b::/96", "64:ff9b::8.8.8.8"));
        cr_expect(has("2002::/16", "2002:808:808::1"));
}

Test(fetch_net, fault_15_unspecified_is_loopback)
{
        cr_expect(has("127.0.0.0/8", "0.0.0.0"));
        cr_expect(has("127.0.0.0/8", "::ffff:0.0.0.0"));
        cr_expect(has("::1", "::"));
        cr_expect(has("0.0.0.0", "0.0.0.0"));
        cr_expect(has("::", "::"));
        cr_expect_not(has("127.0.0.2", "0.0.0.0"));
        cr_expect_not(has("127.0.0.0/8", "0.0.0.1"));
        cr_expect_not(has("0.0.0.0", "127.0.0.1"));
        cr_expect_not(has("0.0.0.0/0", "::1"));
        cr_expect_not(has("0.0.0.0/0", "::"));
}

Test(fetch_net, other_families_lie_in_none)
{
        struct fetch_net all[] = {net_of("0.0.0.0/0"), net_of("::/0")};
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        cr_expect_not(fetch_net_list_has(all, 2, (struct sockaddr *)&address));
}

Test(fetch_net, lists)
{
        struct fetch_net nets[] = {net_of("169.254.0.0/16"), net_of("fe80::/10")};
        struct sockaddr_storage first = address_of("169.254.1.1");
        struct sockaddr_storage second = address_of("fe80::1");
        struct sockaddr_storage none = address_of("192.0.2.1");

        cr_expect(fetch_net_list_has(nets, 2, (struct sockaddr *)&first));
        cr_expect(fetch_net_list_has(nets, 2, (struct sockaddr *)&second));
        cr_expect_not(fetch_net_list_has(nets, 2, (struct sockaddr *)&none));
        cr_expect_not(fetch_net_list_has(nets, 1, (struct sockaddr *)&second));
        cr_expect_not(fetch_net_list_has(NULL, 0, (struct sockaddr *)&first));
}
