/*
 * Challenges: how a server that answered 401 wants to be asked (WWW-Authenticate; RFC 9110,
 * 11.6.1). They are the server's words, so each is taken strictly or not at all. Pure; any
 * thread.
 */
#ifndef FETCH_CHALLENGE_H
#define FETCH_CHALLENGE_H

#include <stdbool.h>

#define FETCH_CHALLENGE_REALM_MAX   2048 /* bytes, with the NUL; longer ones are no challenge */
#define FETCH_CHALLENGE_SERVICE_MAX 512

enum fetch_challenge_scheme {
        FETCH_CHALLENGE_NONE, /* or another one */
        FETCH_CHALLENGE_BASIC,
        FETCH_CHALLENGE_BEARER,
};

struct fetch_challenge {
        enum fetch_challenge_scheme scheme;
        char realm[FETCH_CHALLENGE_REALM_MAX];     /* Bearer: the URL that gives tokens */
        char service[FETCH_CHALLENGE_SERVICE_MAX]; /* as the registry calls itself; or "" */
};

/*
 * The best of the challenges in `lines`, which are values of the header, one or several in each,
 * divided by '\n': the first Bearer with a realm, or else Basic. Unescaped, without control
 * bytes. False, and scheme NONE, where there is neither. What is malformed spoils its own
 * challenge and the rest of its line.
 */
bool fetch_challenge_find(const char *lines, struct fetch_challenge *ret);

/*
 * May a server that is asked by `url` send us with a login to `realm`? To https; to plain http
 * where it is itself spoken to like that, but from this machine not to another one: a lie must
 * not cost more than what protects the server. 0, or -EINVAL and why (a fixed string).
 */
int fetch_challenge_check_realm(const char *realm, const char *url, const char **ret_why);

#endif
