/*
 * Digests as names, and the hash behind them. Pure: no file, no descriptor.
 * libcrypto picks the instructions of the CPU (SHA-NI where it has them).
 */
#include "cas/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -1;
}

int cas_digest_parse(const char *text, size_t length, struct cas_digest *ret)
{
        struct cas_digest digest;

        if (length != CAS_DIGEST_HEX)
                return -EINVAL;
        for (size_t i = 0; i < CAS_DIGEST_SIZE; i++) {
                int high = hex_value(text[2 * i]);
                int low = hex_value(text[2 * i + 1]);

                if (high < 0 || low < 0)
                        return -EINVAL;
                digest.bytes[i] = (uint8_t)(high << 4 | low);
        }
        *ret = digest;
        return 0;
}

void cas_digest_format(const struct cas_digest *digest, char ret[CAS_DIGEST_HEX + 1])
{
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < CAS_DIGEST_SIZE; i++) {
                ret[2 * i] = digits[digest->bytes[i] >> 4];
                ret[2 * i + 1] = digits[digest->bytes[i] & 15];
        }
        ret[CAS_DIGEST_HEX] = '\0';
}

bool cas_digest_equal(const struct cas_digest *a, const struct cas_digest *b)
{
        return cas_digest_compare(a, b) == 0;
}

int cas_digest_compare(const struct cas_digest *a, const struct cas_digest *b)
{
        return memcmp(a->bytes, b->bytes, CAS_DIGEST_SIZE);
}

struct cas_hash {
        EVP_MD_CTX *context;
        bool failed;
};

int cas_hash_new(struct cas_hash **ret)
{
        struct cas_hash *hash = calloc(1, sizeof(*hash));

        if (!hash)
                return -ENOMEM;
        hash->context = EVP_MD_CTX_new();
        if (!hash->context) {
                free(hash);
                return -ENOMEM;
        }
        cas_hash_restart(hash);
        *ret = hash;
        return 0;
}

void cas_hash_restart(struct cas_hash *hash)
{
        hash->failed = EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1;
}

void cas_hash_update(struct cas_hash *hash, const void *bytes, size_t length)
{
        if (EVP_DigestUpdate(hash->context, bytes, length) != 1)
                hash->failed = true;
}

int cas_hash_final(struct cas_hash *hash, struct cas_digest *ret)
{
        struct cas_digest digest;

        if (hash->failed || EVP_DigestFinal_ex(hash->context, digest.bytes, NULL) != 1) {
                hash->failed = true;
                return -EIO;
        }
        cas_hash_restart(hash);
        *ret = digest;
        return 0;
}

void cas_hash_free(struct cas_hash *hash)
{
        if (!hash)
                return;
        EVP_MD_CTX_free(hash->context);
        free(hash);
}
