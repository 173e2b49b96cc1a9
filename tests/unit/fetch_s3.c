/*
 * Where s3:// URLs lead, and which profile of which file counts.
 */
#include "fetch/s3.h"

#include "fetch/aws_keys.h"
#include "fetch/aws_profile.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void forget_environment(void)
{
        static const char *const names[] = {"AWS_ENDPOINT_URL_S3",
                                            "AWS_ENDPOINT_URL",
                                            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                                            "AWS_REGION",
                                            "AWS_PROFILE",
                                            "AWS_DEFAULT_REGION",
                                            "AWS_SHARED_CREDENTIALS_FILE",
                                            "AWS_CONFIG_FILE",
                                            "HOME"};

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                unsetenv(names[i]);
}

TestSuite(fetch_s3, .init = forget_environment, .timeout = 20);

static void expect_refused(const char *url)
{
        const char *why = NULL;

        cr_expect_eq(fetch_s3_check(url, &why), -EINVAL, "%s", url);
        cr_expect_not_null(why);
}

Test(fetch_s3, names)
{
        const char *why;

        cr_expect_eq(fetch_s3_check("s3://bucket/key", &why), 0);
        cr_expect_eq(fetch_s3_check("S3://my.bucket-1/a//b/...", &why), 0);
        expect_refused("s3://bucket");
        expect_refused("s3://bucket/");
        expect_refused("s3:///key");
        expect_refused("s3://bucket:80/key");
        expect_refused("s3://bucket?x/key");
        expect_refused("s3://bucket/a/../b");
        expect_refused("s3://bucket/.");
        expect_refused("s3://bucket/a/%2E./b");
        expect_refused("gs://bucket/key");
}

static void expect_url(const struct fetch_origin *settings, const char *url, const char *wanted)
{
        char *made = fetch_s3_url(settings, url);

        cr_expect_str_eq(made, wanted);
        free(made);
}

Test(fetch_s3, servers)
{
        struct fetch_origin none = {0};
        struct fetch_origin here = {.region = "eu-west-1"};
        struct fetch_origin china = {.region = "cn-north-1", .path_style = true};
        struct fetch_origin own = {.endpoint = "http://127.0.0.1:9000/"};
        struct fetch_origin host = {.endpoint = "https://s3.example:1", .host_style = true};

        expect_url(&none, "s3://bucket/key", "https://bucket.s3.amazonaws.com/key");
        expect_url(&here, "s3://bucket/key", "https://bucket.s3.eu-west-1.amazonaws.com/key");
        expect_url(&here, "s3://my.bucket/k", "https://s3.eu-west-1.amazonaws.com/my.bucket/k");
        expect_url(&china, "s3://b/k", "https://s3.cn-north-1.amazonaws.com.cn/b/k");
        expect_url(&own, "s3://bucket/a/b", "http://127.0.0.1:9000/bucket/a/b");
        expect_url(&host, "s3://bucket/a", "https://bucket.s3.example:1/a");
        expect_url(&host, "s3://my.bucket/a", "https://s3.example:1/my.bucket/a");
        setenv("AWS_DEFAULT_REGION", "us-west-2", 1);
        expect_url(&none, "s3://bucket/key", "https://bucket.s3.us-west-2.amazonaws.com/key");
        setenv("AWS_REGION", "us-east-2", 1);
        expect_url(&none, "s3://bucket/key", "https://bucket.s3.us-east-2.amazonaws.com/key");
        setenv("AWS_ENDPOINT_URL", "http://all.example", 1);
        expect_url(&none, "s3://bucket/key", "http://all.example/bucket/key");
        setenv("AWS_ENDPOINT_URL_S3", "http://s3.example", 1);
        expect_url(&none, "s3://bucket/key", "http://s3.example/bucket/key");
        expect_url(&own, "s3://bucket/key", "http://127.0.0.1:9000/bucket/key");
        setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
        expect_url(&none, "s3://bucket/key", "https://bucket.s3.us-east-2.amazonaws.com/key");
}

/* Keys are taken as they are, and encoded as signatures want it. */
Test(fetch_s3, keys_are_encoded)
{
        struct fetch_origin own = {.endpoint = "http://s3.example"};

        expect_url(&own, "s3://b/a+b?c#d/%20~e=f", "http://s3.example/b/a%2Bb%3Fc%23d/%20~e%3Df");
        expect_url(&own, "s3://b/100%/%c3%A4%25%2f", "http://s3.example/b/100%25/%C3%A4%25/");
        expect_url(&own, "s3://b/\xc3\xbc (x)", "http://s3.example/b/%C3%BC%20%28x%29");
}

static const char *section(bool is_config, const char *name, const char *text)
{
        static struct aws_profile profile;
        char *copy = strdup(text);

        aws_profile_clear(&profile);
        cr_expect_eq(aws_profile_parse(copy, is_config, name, &profile), 0);
        free(copy);
        return profile.access_key ? profile.access_key : profile.found ? "found" : "";
}

Test(fetch_s3, sections)
{
        const char *text = "# a comment\naws_access_key_id = none\n"
                           "[ default ]\r\naws_access_key_id=one # why\r\n"
                           "[work]\naws_access_key_id = two#2\n s3 =\n  aws_access_key_id = no\n"
                           "[profile work]\naws_access_key_id = three\n[profile empty]\n[broken\n";

        cr_expect_str_eq(section(false, "default", text), "one");
        cr_expect_str_eq(section(true, "default", text), "one");
        cr_expect_str_eq(section(false, "work", text), "two#2");
        cr_expect_str_eq(section(true, "work", text), "three");
        cr_expect_str_eq(section(true, "empty", text), "found");
        cr_expect_str_eq(section(false, "other", text), "");
        cr_expect_str_eq(section(false, "default", "[default]\naws_access_key_id =\n"), "found");
}

static void write_text(const char *dir, const char *name, const char *text)
{
        char path[128];
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        file = fopen(path, "w");
        cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
        setenv(strcmp(name, "config") == 0 ? "AWS_CONFIG_FILE" : "AWS_SHARED_CREDENTIALS_FILE",
               path, 1);
}

/* The keys of one file are not mixed with those of the other; what is longer than a line of
 * inih's comes whole. */
Test(fetch_s3, two_files)
{
        char dir[] = "/tmp/assetfs-aws.XXXXXX";
        char token[1001];
        char text[2000];
        struct aws_profile profile;
        struct fetch_cause cause = {0};

        memset(token, 't', 1000);
        token[1000] = '\0';
        cr_assert_not_null(mkdtemp(dir));
        cr_expect(aws_profile_read(&profile, &cause), "nobody has a home");
        cr_expect_not(profile.found);
        write_text(dir, "config",
                   "[default]\nregion = r\naws_session_token = t\n"
                   "[profile p]\naws_access_key_id = c\ncredential_process = /bin/x\n");
        write_text(dir, "credentials",
                   "[default]\naws_access_key_id = a\naws_secret_access_key = s");
        cr_expect(aws_profile_read(&profile, &cause));
        cr_expect_str_eq(profile.access_key, "a");
        cr_expect_str_eq(profile.region, "r");
        cr_expect_null(profile.session_token, "it belongs to no key");
        cr_expect_null(profile.cannot);
        aws_profile_clear(&profile);
        setenv("AWS_PROFILE", "p", 1);
        snprintf(text, sizeof(text), "[p]\naws_session_token = %s\n", token);
        write_text(dir, "credentials", text);
        cr_expect(aws_profile_read(&profile, &cause));
        cr_expect_str_eq(profile.access_key, "c");
        cr_expect_str_eq(profile.session_token, token);
        cr_expect_str_eq(profile.cannot, "credential_process");
        aws_profile_clear(&profile);
        setenv("AWS_PROFILE", "q", 1);
        cr_expect_not(aws_profile_read(&profile, &cause), "somebody asked for it");
        cr_expect_eq(cause.kind, FETCH_DENIED);
        setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
        setenv("AWS_PROFILE", "p", 1);
        cr_expect_not(aws_profile_read(&profile, &cause), "and for this file");
        snprintf(text, sizeof(text), "rm -r %s", dir);
        cr_expect_eq(system(text), 0);
}

Test(fetch_s3, answers)
{
        const int64_t now = 1769862896; /* 2026-01-31T12:34:56Z */
        const char *json = "{\"AccessKeyId\": \"a\", \"SecretAccessKey\": \"s\", \"Token\": \"t\","
                           " \"Expiration\": \"2026-01-31T13:34:56Z\"}";
        const char *xml = "<a><AccessKeyId>a</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
                          "<SessionToken>t</SessionToken><Expiration>2026-01-31T12:35:00.5Z"
                          "</Expiration></a>";
        struct aws_keys keys;

        cr_expect(aws_keys_parse_json(json, strlen(json), now, &keys));
        cr_expect_str_eq(keys.session_token, "t");
        cr_expect_eq(keys.life_s, 3600);
        aws_keys_clear(&keys);
        cr_expect_not(aws_keys_parse_json(json, strlen(json), now + 3600, &keys), "it is over");
        cr_expect_not(aws_keys_parse_json(json, strlen(json) - 1, now, &keys));
        cr_expect_not(aws_keys_parse_json("{\"Code\": 1}", 11, now, &keys));
        cr_expect(aws_keys_parse_xml(xml, now, &keys));
        cr_expect_str_eq(keys.secret_key, "s");
        cr_expect_eq(keys.life_s, 4);
        aws_keys_clear(&keys);
        cr_expect_not(aws_keys_parse_xml("<AccessKeyId>a</AccessKeyId>", now, &keys));
        json = "{\"AccessKeyId\": \"a\\nb\", \"SecretAccessKey\": \"s\"}";
        cr_expect_not(aws_keys_parse_json(json, strlen(json), now, &keys), "two lines");
}
