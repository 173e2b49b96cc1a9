/*
 * Are a client's certificate and key of use? Between fetch/auth_file.c and fetch/auth_cert.c only.
 * From any thread.
 */
#ifndef FETCH_AUTH_CERT_H
#define FETCH_AUTH_CERT_H

#include <stdint.h>

enum fetch_auth_cert {
        FETCH_AUTH_CERT_GOOD,
        FETCH_AUTH_CERT_NONE,    /* no PEM certificate */
        FETCH_AUTH_CERT_NO_KEY,  /* no PEM key, or one with a passphrase */
        FETCH_AUTH_CERT_NO_PAIR, /* the key is another one's */
        FETCH_AUTH_CERT_TOO_OLD,
};

/* Both are PEM texts; they may be the same. *ret_expires_ms, of fetch_now_ms(), is set if it is
 * good. */
enum fetch_auth_cert fetch_auth_cert_check(const char *certificate, const char *key,
                                           int64_t *ret_expires_ms);

#endif
