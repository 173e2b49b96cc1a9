/*
 * Signing JSON web tokens by OpenSSL. Reads no file, and asks nobody for a passphrase.
 */
#include "fetch/jwt.h"

#include "cas/io.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BITS_MIN 2048

/* OpenSSL would ask at the terminal. */
static int no_passphrase(char *text, int size, int writing, void *arg)
{
        (void)text;
        (void)size;
        (void)writing;
        (void)arg;
        return -1;
}

static EVP_PKEY *read_key(const char *pem, const char **ret_why)
{
        BIO *bio = BIO_new_mem_buf(pem, -1);
        EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
        const char *why = NULL;

        BIO_free(bio);
        ERR_clear_error();
        if (!key)
                why = "not a private key in PEM without a passphrase";
        else if (!EVP_PKEY_is_a(key, "RSA"))
                why = "not an RSA key";
        else if (EVP_PKEY_get_bits(key) < BITS_MIN)
                why = "a key of less than 2048 bits";
        if (!why)
                return key;
        EVP_PKEY_free(key);
        *ret_why = why;
        return NULL;
}

/* Base64 with the alphabet of URLs and without padding (RFC 4648, 5; RFC 7515, 2). */
static char *encode(const void *bytes, size_t length)
{
        char *text = malloc((length + 2) / 3 * 4 + 1);
        int end = 0;

        if (!text)
                return NULL;
        end = EVP_EncodeBlock((unsigned char *)text, bytes, (int)length);
        while (end > 0 && text[end - 1] == '=')
                text[--end] = '\0';
        for (char *c = text; *c; c++)
                *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
        return text;
}

static char *encode_header(const char *key_id)
{
        json_t *header = json_pack("{s:s, s:s, s:s*}", "alg", "RS256", "typ", "JWT", "kid", key_id);
        _cleanup_free_ char *text = json_dumps(header, JSON_COMPACT);

        json_decref(header);
        return text ? encode(text, strlen(text)) : NULL;
}

/* "header.claims" */
static char *signing_input(const char *key_id, const char *claims)
{
        _cleanup_free_ char *header = encode_header(key_id);
        _cleanup_free_ char *body = encode(claims, strlen(claims));
        char *input;

        return header && body && asprintf(&input, "%s.%s", header, body) >= 0 ? input : NULL;
}

/* NULL without memory. */
static char *sign(EVP_PKEY *key, const char *input)
{
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        size_t length = (size_t)EVP_PKEY_get_size(key);
        _cleanup_free_ unsigned char *signature = malloc(length);
        bool ok = context && signature &&
                  EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                  EVP_DigestSign(context, signature, &length, (const unsigned char *)input,
                                 strlen(input)) == 1;

        EVP_MD_CTX_free(context);
        ERR_clear_error();
        return ok ? encode(signature, length) : NULL;
}

int fetch_jwt_sign(const char *key, const char *key_id, const char *claims, char **ret,
                   const char **ret_why)
{
        EVP_PKEY *private = read_key(key, ret_why);

        if (!private)
                return -EINVAL;

        _cleanup_free_ char *input = signing_input(key_id, claims);
        _cleanup_free_ char *signature = input ? sign(private, input) : NULL;
        char *token = NULL;

        EVP_PKEY_free(private);
        if (!signature || asprintf(&token, "%s.%s", input, signature) < 0)
                return -ENOMEM;
        *ret = token;
        return 0;
}
