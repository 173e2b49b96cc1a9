/*
 * CIDR: parse, compare. An address is compared in each of the forms in which it reaches
 * the same host, since a rule that knows one of them only is no rule.
 */
#include "fetch/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define V4_BITS 32u
#define V6_BITS 128u

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};      /* RFC 4291, 2.5.5.2 */
static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};         /* RFC 6052, 2.1 */
static const uint8_t compatible[12] = {0};                         /* RFC 4291, 2.5.5.1 */
static const uint8_t loopback4[4] = {127, 0, 0, 1}, any4[4] = {0}; /* as Linux connects */
static const uint8_t loopback6[16] = {[15] = 1}, any6[16] = {0};

/* Decimal digits and nothing else, or a number beyond every prefix. */
static unsigned parse_bits(const char *digits)
{
        size_t length = strspn(digits, "0123456789");
        unsigned bits = 0;

        if (length == 0 || length > 3 || digits[length])
                return V6_BITS + 1;
        for (; *digits; digits++)
                bits = 10 * bits + (unsigned)(*digits - '0');
        return bits;
}

/* The bits of the byte at `i` that belong to a prefix. */
static uint8_t mask_of(unsigned bits, size_t i)
{
        unsigned before = 8 * (unsigned)i;

        if (bits >= before + 8)
                return 0xff;
        if (bits <= before)
                return 0;
        return (uint8_t)(0xff << (before + 8 - bits));
}

static const char *parse(const char *text, struct fetch_net *net)
{
        size_t length = strcspn(text, "/");
        char address[INET6_ADDRSTRLEN];

        *net = (struct fetch_net){.v6 = memchr(text, ':', length)};
        if (length >= sizeof(address))
                return "not an IP address";
        memcpy(address, text, length);
        address[length] = '\0';
        if (inet_pton(net->v6 ? AF_INET6 : AF_INET, address, net->address) != 1)
                return "not an IP address";
        net->bits = net->v6 ? V6_BITS : V4_BITS;
        if (!text[length])
                return NULL;

        unsigned bits = parse_bits(text + length + 1);

        if (bits > net->bits)
                return "the prefix is not a number of bits that the address has";
        net->bits = bits;
        return NULL;
}

static bool clear_host_bits(struct fetch_net *net)
{
        bool clear = true;

        for (size_t i = 0; i < sizeof(net->address); i++) {
                uint8_t kept = net->address[i] & mask_of(net->bits, i);

                clear = clear && kept == net->address[i];
                net->address[i] = kept;
        }
        return clear;
}

int fetch_net_parse(const char *text, struct fetch_net *ret, const char **ret_why)
{
        struct fetch_net net;
        const char *why = parse(text, &net);

        if (!why && !clear_host_bits(&net))
                why = "the address has bits below the prefix";
        if (!why && net.v6 && net.bits >= 96 && memcmp(net.address, mapped, sizeof(mapped)) == 0)
                why = "name it as the IPv4 network that it is";
        if (why) {
                *ret_why = why;
                return -EINVAL;
        }
        *ret = net;
        return 0;
}

int fetch_net_parse_loosely(const char *text, struct fetch_net *ret)
{
        struct fetch_net net;

        if (parse(text, &net))
                return -EINVAL;
        clear_host_bits(&net);
        *ret = net;
        return 0;
}

static bool holds(const struct fetch_net *net, bool v6, const uint8_t *address)
{
        if (net->v6 != v6)
                return false;
        for (size_t i = 0; i < (v6 ? 16 : 4); i++)
                if ((address[i] & mask_of(net->bits, i)) != net->address[i])
                        return false;
        return true;
}

static bool holds4(const struct fetch_net *net, const uint8_t address[4])
{
        return holds(net, false, address) ||
               (memcmp(address, any4, sizeof(any4)) == 0 && holds(net, false, loopback4));
}

/* The IPv4 address that an IPv6 address leads to, or NULL. */
static const uint8_t *v4_within(const uint8_t address[16])
{
        if (address[0] == 0x20 && address[1] == 0x02) /* 6to4 */
                return address + 2;
        if (memcmp(address, mapped, 12) == 0 || memcmp(address, nat64, 12) == 0)
                return address + 12;
        /* :: and ::1 are no IPv4 addresses. */
        if (memcmp(address, compatible, 12) == 0 && (address[12] || address[13] || address[14]))
                return address + 12;
        return NULL;
}

static bool holds6(const struct fetch_net *net, const uint8_t address[16])
{
        const uint8_t *v4 = v4_within(address);

        return holds(net, true, address) || (v4 && holds4(net, v4)) ||
               (memcmp(address, any6, sizeof(any6)) == 0 && holds(net, true, loopback6));
}

bool fetch_net_has(const struct fetch_net *net, const struct sockaddr *address)
{
        if (address->sa_family == AF_INET) {
                const struct sockaddr_in *v4 = (const void *)address;

                return holds4(net, (const uint8_t *)&v4->sin_addr);
        }
        if (address->sa_family == AF_INET6) {
                const struct sockaddr_in6 *v6 = (const void *)address;

                return holds6(net, v6->sin6_addr.s6_addr);
        }
        return false;
}

bool fetch_net_list_has(const struct fetch_net *nets, size_t count, const struct sockaddr *address)
{
        for (size_t i = 0; i < count; i++)
                if (fetch_net_has(&nets[i], address))
                        return true;
        return false;
}
