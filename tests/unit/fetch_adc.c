/*
 * Application default credentials: which files are some, and what is asked with them. The
 * signature of a JWT is checked with the public key.
 */
#include "fetch/adc.h"

#include "fetch/jwt.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(fetch_adc, .timeout = 60);

#define USER                                                                                       \
        "\"type\": \"authorized_user\", \"client_id\": \"an id\", \"client_secret\": \"a&b\", "    \
        "\"refresh_token\": \"1//c\""

static const char *complaint(const char *text)
{
        struct fetch_adc adc;
        const char *why = NULL;

        if (fetch_adc_parse(text, &adc, &why) < 0)
                return why;
        fetch_adc_free(&adc);
        return NULL;
}

Test(fetch_adc, files)
{
        cr_expect_null(complaint("{" USER "}"));
        cr_expect_null(complaint("{" USER ", \"token_uri\": \"http://127.0.0.1:1/t\"}"));
        cr_expect_str_eq(complaint(""), "it is no JSON object");
        cr_expect_str_eq(complaint("[]"), "it is no JSON object");
        cr_expect(strstr(complaint("{}"), "no \"type\""));
        cr_expect(strstr(complaint("{\"type\": 1}"), "no \"type\""));
        cr_expect(strstr(complaint("{\"type\": \"service_account\"}"), "private_key"));
        cr_expect(strstr(complaint("{\"type\": \"authorized_user\"}"), "refresh_token"));
        cr_expect(strstr(complaint("{\"type\": \"external_account\"}"), "external_account"));
        cr_expect(strstr(complaint("{\"type\": \"else\"}"), "not supported"));
        cr_expect(strstr(complaint("{" USER ", \"token_uri\": \"http://a.example/\"}"), "neither"));
        cr_expect(strstr(complaint("{" USER ", \"token_uri\": \"file://127.0.0.1/\"}"), "neither"));
}

Test(fetch_adc, places)
{
        bool named;
        char *path;

        setenv("GOOGLE_APPLICATION_CREDENTIALS", "/a/key.json", 1);
        setenv("CLOUDSDK_CONFIG", "/b", 1);
        setenv("HOME", "/c", 1);
        path = fetch_adc_path(&named);
        cr_expect_str_eq(path, "/a/key.json");
        cr_expect(named);
        free(path);
        setenv("GOOGLE_APPLICATION_CREDENTIALS", "", 1);
        path = fetch_adc_path(&named);
        cr_expect_str_eq(path, "/b/application_default_credentials.json");
        cr_expect_not(named);
        free(path);
        unsetenv("CLOUDSDK_CONFIG");
        path = fetch_adc_path(&named);
        cr_expect_str_eq(path, "/c/.config/gcloud/application_default_credentials.json");
        free(path);
        unsetenv("HOME");
        cr_expect_null(fetch_adc_path(&named));
}

Test(fetch_adc, refresh_token_is_encoded)
{
        struct fetch_adc adc;
        const char *why = NULL;
        char *body;

        cr_assert_eq(fetch_adc_parse("{" USER "}", &adc, &why), 0);
        cr_expect_str_eq(adc.token_uri, "https://oauth2.googleapis.com/token");
        cr_assert_eq(fetch_adc_question(&adc, 0, &body, &why), 0);
        cr_expect_str_eq(body, "grant_type=refresh_token&client_id=an%20id&client_secret=a%26b"
                               "&refresh_token=1%2F%2Fc");
        free(body);
        fetch_adc_free(&adc);
}

static char *pem_of(EVP_PKEY *key, const char *passphrase)
{
        BIO *bio = BIO_new(BIO_s_mem());
        char *data = NULL;

        cr_assert(PEM_write_bio_PrivateKey(bio, key, passphrase ? EVP_aes_128_cbc() : NULL,
                                           (const unsigned char *)passphrase,
                                           passphrase ? (int)strlen(passphrase) : 0, NULL, NULL));

        long length = BIO_get_mem_data(bio, &data);
        char *pem = strndup(data, (size_t)length);

        BIO_free(bio);
        return pem;
}

/* base64url; the number of bytes. */
static size_t decode(const char *text, size_t length, unsigned char *ret, size_t size)
{
        char padded[4096] = "";
        int bytes;

        cr_assert(length + 4 < sizeof(padded) && length < size);
        memcpy(padded, text, length);
        for (size_t i = 0; i < length; i++) {
                cr_assert_not(strchr("+/=", padded[i]), "not of URLs' alphabet");
                padded[i] = (char)(padded[i] == '-' ? '+' : padded[i] == '_' ? '/' : padded[i]);
        }
        while (strlen(padded) % 4)
                strcat(padded, "=");
        bytes = EVP_DecodeBlock(ret, (unsigned char *)padded, (int)strlen(padded));
        cr_assert(bytes >= 0);
        ret[length * 3 / 4] = '\0';
        return length * 3 / 4;
}

static json_t *decode_json(const char *text, size_t length)
{
        unsigned char bytes[4096];

        decode(text, length, bytes, sizeof(bytes));
        return json_loads((char *)bytes, 0, NULL);
}

static void expect_signed(EVP_PKEY *key, const char *token)
{
        const char *dot = strrchr(token, '.');
        unsigned char signature[1024];
        size_t length = decode(dot + 1, strlen(dot + 1), signature, sizeof(signature));
        EVP_MD_CTX *context = EVP_MD_CTX_new();

        cr_assert_eq(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key), 1);
        cr_expect_eq(EVP_DigestVerify(context, signature, length, (const unsigned char *)token,
                                      (size_t)(dot - token)),
                     1);
        EVP_MD_CTX_free(context);
}

static void expect_claims(const char *token)
{
        const char *first = strchr(token, '.');
        const char *second = strrchr(token, '.');
        json_t *header = decode_json(token, (size_t)(first - token));
        json_t *claims = decode_json(first + 1, (size_t)(second - first - 1));

        cr_expect_str_eq(json_string_value(json_object_get(header, "alg")), "RS256");
        cr_expect_str_eq(json_string_value(json_object_get(header, "kid")), "key-1");
        cr_expect_str_eq(json_string_value(json_object_get(claims, "iss")), "a\"b@c.example");
        cr_expect_str_eq(json_string_value(json_object_get(claims, "aud")), "https://t.example/t");
        cr_expect_str_eq(json_string_value(json_object_get(claims, "scope")), FETCH_ADC_SCOPE);
        cr_expect_eq(json_integer_value(json_object_get(claims, "iat")), 999990);
        cr_expect_eq(json_integer_value(json_object_get(claims, "exp")), 1003590);
        json_decref(header);
        json_decref(claims);
}

Test(fetch_adc, service_account_signs)
{
        static const char head[] = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type"
                                   "%3Ajwt-bearer&assertion=";
        EVP_PKEY *key = EVP_RSA_gen(2048);
        char *pem = pem_of(key, NULL);
        json_t *file = json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "service_account",
                                 "client_email", "a\"b@c.example", "private_key", pem,
                                 "private_key_id", "key-1", "token_uri", "https://t.example/t");
        char *text = json_dumps(file, 0);
        struct fetch_adc adc;
        const char *why = NULL;
        char *body;

        cr_assert_eq(fetch_adc_parse(text, &adc, &why), 0, "%s", why);
        cr_assert_eq(fetch_adc_question(&adc, 1000000, &body, &why), 0, "%s", why);
        cr_assert_eq(strncmp(body, head, sizeof(head) - 1), 0, "%s", body);
        expect_signed(key, body + sizeof(head) - 1);
        expect_claims(body + sizeof(head) - 1);
        free(body);
        fetch_adc_free(&adc);
        free(text);
        json_decref(file);
        free(pem);
        EVP_PKEY_free(key);
}

static const char *sign_complaint(const char *pem)
{
        const char *why = "none";
        char *token = NULL;

        cr_expect_eq(fetch_jwt_sign(pem, NULL, "{}", &token, &why), -EINVAL);
        return why;
}

Test(fetch_adc, keys_that_are_refused)
{
        EVP_PKEY *small = EVP_RSA_gen(1024);
        EVP_PKEY *other = EVP_EC_gen("P-256");
        char *small_pem = pem_of(small, NULL);
        char *other_pem = pem_of(other, NULL);
        char *locked_pem = pem_of(other, "secret");

        cr_expect(strstr(sign_complaint("no key"), "not a private key"));
        cr_expect(strstr(sign_complaint(locked_pem), "without a passphrase"), "and nobody asked");
        cr_expect_str_eq(sign_complaint(other_pem), "not an RSA key");
        cr_expect(strstr(sign_complaint(small_pem), "2048"));
        free(small_pem);
        free(other_pem);
        free(locked_pem);
        EVP_PKEY_free(small);
        EVP_PKEY_free(other);
}

Test(fetch_adc, answers)
{
        static const char *const bad[] = {"",
                                          "{}",
                                          "[]",
                                          "{\"access_token\": \"\"}",
                                          "{\"access_token\": \"a\\r\\nX: y\"}",
                                          "{\"access_token\": \"a b\"}",
                                          "{\"access_token\": \"a\", \"expires_in\": 0}"};
        char *token = NULL;
        int64_t life = 0;
        char text[32];

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                cr_expect_eq(fetch_adc_answer(bad[i], &token, &life), -EINVAL, "%s", bad[i]);
        cr_assert_eq(fetch_adc_answer("{\"access_token\": \"ya29.a\", \"expires_in\": 3599, "
                                      "\"token_type\": \"Bearer\"}",
                                      &token, &life),
                     0);
        cr_expect_str_eq(token, "ya29.a");
        cr_expect_eq(life, 3599);
        free(token);
        cr_assert_eq(fetch_adc_answer("{\"access_token\": \"a\"}", &token, &life), 0);
        cr_expect(life > 0 && life < 3600, "not known: short");
        free(token);
        fetch_adc_complaint("{\"error\": \"invalid_grant\", \"error_description\": \"Bad key\"}",
                            text, sizeof(text));
        cr_expect_str_eq(text, "invalid_grant: Bad key");
        fetch_adc_complaint("<html>", text, sizeof(text));
        cr_expect_str_eq(text, "");
}
