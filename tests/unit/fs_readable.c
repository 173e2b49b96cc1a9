/*
 * Which directories a worker may read: those that the command line and the environment
 * name files in, and no others.
 */
#include "fs/readable.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void forget_environment(void)
{
        unsetenv("SSL_CERT_FILE");
        unsetenv("SSL_CERT_DIR");
        unsetenv("CURL_CA_BUNDLE");
        unsetenv("REGISTRY_AUTH_FILE");
        unsetenv("XDG_RUNTIME_DIR");
        unsetenv("DOCKER_CONFIG");
        unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
        unsetenv("CLOUDSDK_CONFIG");
        unsetenv("HOME");
        unsetenv("AWS_SHARED_CREDENTIALS_FILE");
        unsetenv("AWS_CONFIG_FILE");
        unsetenv("AWS_WEB_IDENTITY_TOKEN_FILE");
        unsetenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
}

TestSuite(fs_readable, .init = forget_environment, .timeout = 20);

/* Exactly the paths up to NULL, in order. */
static void expect_paths(const struct fs_options *options, const char *const *expected)
{
        struct fs_readable readable;
        size_t count = 0;

        cr_assert_eq(fs_readable_find(options, &readable), 0);
        for (; readable.paths[count] && expected[count]; count++)
                cr_expect_str_eq(readable.paths[count], expected[count]);
        cr_expect_null(readable.paths[count], "and %s", readable.paths[count]);
        cr_expect_null(expected[count], "not %s", expected[count]);
        fs_readable_free(&readable);
        cr_expect_null(readable.paths);
        fs_readable_free(&readable);
}

#define EXPECT_PATHS(options, ...)                                                                 \
        expect_paths(options, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static struct fs_options origin(const char *template_url)
{
        return (struct fs_options){.origins = {{.url = template_url}}, .origin_count = 1};
}

Test(fs_readable, nothing)
{
        struct fs_options options = {.cache = "/cache", .mountpoint = "/mnt"};

        EXPECT_PATHS(&options);
}

Test(fs_readable, directories_of_the_catalogs_and_the_certificates)
{
        struct fs_options options = {.catalogs = {"/etc/assets/a.json", "/b", "/srv/x/SHA256SUMS"},
                                     .catalog_count = 3,
                                     .ca_file = "/etc/pki/own.pem"};

        EXPECT_PATHS(&options, "/etc/assets", "/", "/srv/x", "/etc/pki");
}

Test(fs_readable, file_origins_up_to_the_digest)
{
        struct fs_options options = origin("file:///srv/blobs/{sha256}");

        EXPECT_PATHS(&options, "/srv/blobs");
        options = origin("file:///srv/blobs/asset-{sha256}.bin");
        EXPECT_PATHS(&options, "/srv/blobs");
        options = origin("file:///srv/{sha256}/blob");
        EXPECT_PATHS(&options, "/srv");
        options = origin("file:///{sha256}");
        EXPECT_PATHS(&options, "/");
        options = origin("file:///srv/two%20words/{sha256}/{sha256}");
        EXPECT_PATHS(&options, "/srv/two words");
}

Test(fs_readable, other_origins_need_no_directory)
{
        struct fs_options options = {.origins = {{.url = "https://host/file/{sha256}"},
                                                 {.url = "http://host/{sha256}"},
                                                 {.url = "file:///a/{sha256}"}},
                                     .origin_count = 3};

        EXPECT_PATHS(&options, "/a");
}

/* It is refused when it is asked, with an error that says so. */
Test(fs_readable, file_origin_with_an_impossible_path_is_left_out)
{
        struct fs_options options = origin("file:///srv/%00/{sha256}");

        EXPECT_PATHS(&options);
}

Test(fs_readable, certificates_of_the_environment)
{
        struct fs_options options = {.ca_file = "/own/ca.pem"};

        setenv("SSL_CERT_FILE", "/one/ca.pem", 1);
        setenv("CURL_CA_BUNDLE", "/two/ca.pem", 1);
        EXPECT_PATHS(&options, "/own", "/one", "/two");
        setenv("SSL_CERT_FILE", "relative/ca.pem", 1);
        setenv("CURL_CA_BUNDLE", "", 1);
        EXPECT_PATHS(&options, "/own");
}

/* It is a directory itself; the one that it lies in is nobody's business. */
Test(fs_readable, directory_of_certificates)
{
        struct fs_options options = {0};

        setenv("SSL_CERT_DIR", "/certs", 1);
        EXPECT_PATHS(&options, "/certs");
        setenv("SSL_CERT_DIR", "/etc/ssl/certs/", 1);
        EXPECT_PATHS(&options, "/etc/ssl/certs/");
        setenv("SSL_CERT_DIR", "certs", 1);
        EXPECT_PATHS(&options);
}

/* Only where somebody may want them. */
Test(fs_readable, application_default_credentials)
{
        struct fs_options options = origin("https://host/{sha256}");

        setenv("HOME", "/home/joe", 1);
        EXPECT_PATHS(&options);
        options = origin("gs://bucket/{sha256}");
        EXPECT_PATHS(&options, "/home/joe/.config/gcloud");
        setenv("CLOUDSDK_CONFIG", "/etc/gcloud", 1);
        EXPECT_PATHS(&options, "/etc/gcloud");
        setenv("GOOGLE_APPLICATION_CREDENTIALS", "/keys/node.json", 1);
        EXPECT_PATHS(&options, "/keys");
        setenv("GOOGLE_APPLICATION_CREDENTIALS", "keys/node.json", 1);
        EXPECT_PATHS(&options);
        setenv("GOOGLE_APPLICATION_CREDENTIALS", "/keys/node.json", 1);
        unsetenv("HOME");
        options = (struct fs_options){.catalogs = {"/a/c.json"}, .catalog_count = 1};
        EXPECT_PATHS(&options, "/a", "/keys");
}

Test(fs_readable, as_many_as_there_can_be)
{
        static struct fs_options options = {.catalog_count = FS_CATALOGS_MAX,
                                            .origin_count = FS_ORIGINS_MAX,
                                            .ca_file = "/last/ca.pem"};
        struct fs_readable readable;
        size_t count = 0;

        for (int i = 0; i < FS_CATALOGS_MAX; i++)
                options.catalogs[i] = "/catalogs/a.json";
        for (int i = 0; i < FS_ORIGINS_MAX; i++)
                options.origins[i].url = "file:///origin/{sha256}";
        setenv("SSL_CERT_FILE", "/a/ca.pem", 1);
        setenv("SSL_CERT_DIR", "/b/certs", 1);
        setenv("CURL_CA_BUNDLE", "/c/ca.pem", 1);
        setenv("HOME", "/home/joe", 1);
        cr_assert_eq(fs_readable_find(&options, &readable), 0);
        while (readable.paths[count])
                count++;
        cr_expect_eq(count, FS_CATALOGS_MAX + FS_ORIGINS_MAX + 7);
        fs_readable_free(&readable);
}

Test(fs_readable, logins_where_a_registry_may_be_asked)
{
        struct fs_options options = origin("https://host/{sha256}");

        setenv("HOME", "/home/u", 1);
        setenv("REGISTRY_AUTH_FILE", "/etc/logins/a.json", 1);
        EXPECT_PATHS(&options);
        options = origin("oci://registry.example.com/team/models");
        EXPECT_PATHS(&options, "/etc/logins", "/home/u/.docker");
        unsetenv("HOME");
        options = (struct fs_options){.catalogs = {"/c/a.json"}, .catalog_count = 1};
        EXPECT_PATHS(&options, "/c", "/etc/logins");
}

Test(fs_readable, files_of_aws_where_a_bucket_may_be_asked)
{
        struct fs_options bucket = origin("s3://bucket/{sha256}");
        struct fs_options other = origin("https://host/{sha256}");

        setenv("HOME", "/home/u", 1);
        EXPECT_PATHS(&bucket, "/home/u/.aws");
        setenv("AWS_CONFIG_FILE", "/etc/aws/config", 1);
        setenv("AWS_SHARED_CREDENTIALS_FILE", "relative", 1);
        setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/token", 1);
        setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/opt/token", 1);
        EXPECT_PATHS(&other);
        unsetenv("HOME");
        EXPECT_PATHS(&bucket, "/etc/aws", "/var", "/opt");
        bucket = (struct fs_options){.catalogs = {"/c/a.json"}, .catalog_count = 1};
        EXPECT_PATHS(&bucket, "/c", "/etc/aws", "/var", "/opt");
}
