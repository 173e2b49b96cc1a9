/*
 * A client's certificate and key: which are of use, and until when.
 */
#include "fetch/auth_cert.h"

#include "fetch/clock.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

TestSuite(fetch_auth_cert, .timeout = 30);

static char *text_of(BIO *bio)
{
        char *bytes;
        long length = BIO_get_mem_data(bio, &bytes);
        char *text = strndup(bytes, (size_t)length);

        cr_assert(text);
        BIO_free(bio);
        return text;
}

static char *key_text(EVP_PKEY *key, const char *passphrase)
{
        BIO *bio = BIO_new(BIO_s_mem());
        int length = passphrase ? (int)strlen(passphrase) : 0;

        cr_assert_eq(PEM_write_bio_PrivateKey(bio, key, passphrase ? EVP_aes_128_cbc() : NULL,
                                              (const unsigned char *)passphrase, length, NULL,
                                              NULL),
                     1);
        return text_of(bio);
}

static char *certificate_text(EVP_PKEY *key, long left_s)
{
        X509 *certificate = X509_new();
        BIO *bio = BIO_new(BIO_s_mem());

        X509_gmtime_adj(X509_getm_notBefore(certificate), -86400);
        X509_gmtime_adj(X509_getm_notAfter(certificate), left_s);
        X509_set_pubkey(certificate, key);
        cr_assert_gt(X509_sign(certificate, key, EVP_sha256()), 0);
        cr_assert_eq(PEM_write_bio_X509(bio, certificate), 1);
        X509_free(certificate);
        return text_of(bio);
}

Test(fetch_auth_cert, pairs)
{
        EVP_PKEY *key = EVP_EC_gen("P-256");
        EVP_PKEY *other = EVP_EC_gen("P-256");
        char *good = certificate_text(key, 86400L * 40);
        char *old = certificate_text(key, -10);
        char *keys[] = {key_text(key, NULL), key_text(other, NULL), key_text(key, "word")};
        char both[8192];
        int64_t expires_ms = -1;

        snprintf(both, sizeof(both), "%s%s", keys[0], good);
        cr_expect_eq(fetch_auth_cert_check("nonsense", keys[0], &expires_ms), FETCH_AUTH_CERT_NONE);
        cr_expect_eq(fetch_auth_cert_check(good, good, &expires_ms), FETCH_AUTH_CERT_NO_KEY);
        cr_expect_eq(fetch_auth_cert_check(good, keys[2], &expires_ms), FETCH_AUTH_CERT_NO_KEY,
                     "nobody can be asked for a passphrase");
        cr_expect_eq(fetch_auth_cert_check(good, keys[1], &expires_ms), FETCH_AUTH_CERT_NO_PAIR);
        cr_expect_eq(fetch_auth_cert_check(old, keys[0], &expires_ms), FETCH_AUTH_CERT_TOO_OLD);
        cr_expect_eq(expires_ms, -1, "only of good ones");
        cr_expect_eq(fetch_auth_cert_check(both, both, &expires_ms), FETCH_AUTH_CERT_GOOD);

        int64_t left_ms = expires_ms - fetch_now_ms();

        cr_expect(left_ms > 86400000LL * 39 && left_ms <= 86400000LL * 40, "%jd",
                  (intmax_t)left_ms);
        for (int i = 0; i < 3; i++)
                free(keys[i]);
        free(good);
        free(old);
        EVP_PKEY_free(key);
        EVP_PKEY_free(other);
}
