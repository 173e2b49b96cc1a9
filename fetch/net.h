/*
 * Networks as CIDR names them, and whether an address lies in one: what --deny-net asks of
 * every address that a transfer is about to connect to. Parses text; touches no network.
 *
 * One host has several addresses, and a rule has to know them all: an IPv4 rule holds the
 * IPv4 address as well in its mapped form (::ffff:a.b.c.d), as NAT64 (64:ff9b::/96,
 * RFC 6052), 6to4 (2002::/16, RFC 3056) and compatible (::a.b.c.d) write it. 0.0.0.0 and ::
 * are where Linux connects to itself, so they count as 127.0.0.1 and ::1 too. A NAT64 prefix
 * of the operator's own is unknown here: it needs a rule of its own.
 */
#ifndef FETCH_NET_H
#define FETCH_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct fetch_net {
        uint8_t address[16]; /* network order; the first 4 bytes where it is IPv4 */
        unsigned bits;       /* of the prefix, at most 32 or 128 */
        bool v6;
};

/*
 * "10.0.0.0/8", "fe80::/10"; without a prefix the address alone. 0, or -EINVAL and in
 * *ret_why (a fixed string) what is wrong with it. Bits below the prefix are refused: of
 * "10.1.2.0/8" nobody can tell whether the address or the prefix is the mistake. So is a
 * mapped network, which is to be named as the IPv4 network it is.
 */
int fetch_net_parse(const char *text, struct fetch_net *ret, const char **ret_why);

/* The same for lists that other programs read too: bits below the prefix count for nothing. */
int fetch_net_parse_loosely(const char *text, struct fetch_net *ret);

/* Neither IPv4 nor IPv6 lies in no network. */
bool fetch_net_has(const struct fetch_net *net, const struct sockaddr *address);
bool fetch_net_list_has(const struct fetch_net *nets, size_t count, const struct sockaddr *address);

#endif
