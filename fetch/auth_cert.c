/*
 * A client's certificate and key, looked at before a server is: what libcurl and servers say of
 * those that are no pair, or too old, names neither file nor reason. Sends nothing.
 */
#include "fetch/auth_cert.h"

#include "fetch/clock.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

static void free_bio(BIO **bio)
{
        BIO_free(*bio);
}

static void free_certificate(X509 **certificate)
{
        X509_free(*certificate);
}

static void free_key(EVP_PKEY **key)
{
        EVP_PKEY_free(*key);
}

#define _cleanup_bio_         __attribute__((cleanup(free_bio)))
#define _cleanup_certificate_ __attribute__((cleanup(free_certificate)))
#define _cleanup_key_         __attribute__((cleanup(free_key)))

/* There is nobody to ask. */
static int no_passphrase(char *text, int size, int writing, void *arg)
{
        (void)text;
        (void)size;
        (void)writing;
        (void)arg;
        return 0;
}

/* The first one in it, as libcurl takes it: those behind it lead to its issuer. */
static X509 *read_certificate(const char *text)
{
        _cleanup_bio_ BIO *bio = BIO_new_mem_buf(text, -1);

        return bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
}

static EVP_PKEY *read_key(const char *text)
{
        _cleanup_bio_ BIO *bio = BIO_new_mem_buf(text, -1);

        return bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
}

/* Seconds until it is too old; negative: since then. */
static int64_t left_s(const X509 *certificate)
{
        int days = 0;
        int seconds = 0;

        if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)))
                return -1;
        return (int64_t)days * 86400 + seconds;
}

enum fetch_auth_cert fetch_auth_cert_check(const char *certificate, const char *key,
                                           int64_t *ret_expires_ms)
{
        _cleanup_certificate_ X509 *first = read_certificate(certificate);
        _cleanup_key_ EVP_PKEY *pair = first ? read_key(key) : NULL;
        enum fetch_auth_cert verdict = FETCH_AUTH_CERT_GOOD;
        int64_t left = first ? left_s(first) : 0;

        if (!first)
                verdict = FETCH_AUTH_CERT_NONE;
        else if (!pair)
                verdict = FETCH_AUTH_CERT_NO_KEY;
        else if (X509_check_private_key(first, pair) != 1)
                verdict = FETCH_AUTH_CERT_NO_PAIR;
        else if (left <= 0)
                verdict = FETCH_AUTH_CERT_TOO_OLD;
        else
                *ret_expires_ms = fetch_now_ms() + left * 1000;
        ERR_clear_error(); /* else the next transfer on this thread would find it */
        return verdict;
}
