/*
 * The command line: what is taken, and that everything else is a usage error with
 * one line that names the option.
 */
#include "fs/options.h"
#include "fs/values.h"

#include "tests/unit/scratch.h"

#include <criterion/redirect.h>
#include <errno.h>

#define ORIGIN "--origin=https://host/{sha256}"

static void quiet(void)
{
        cr_redirect_stderr();
        scratch_make();
}

TestSuite(fs_options, .init = quiet, .fini = scratch_remove, .timeout = 20);

/* Parses "mount" and the arguments up to NULL. */
static int parse(struct fs_options *ret, const char *const *arguments)
{
        static char text[32][600];
        static char *argv[34];
        int argc = 0;

        strcpy(text[argc++], "mount");
        for (; *arguments; arguments++)
                strcpy(text[argc++], *arguments);
        for (int i = 0; i < argc; i++)
                argv[i] = text[i];
        argv[argc] = NULL;
        return fs_options_parse(argc, argv, ret);
}

#define PARSE(ret, ...) parse(ret, (const char *const[]){__VA_ARGS__, NULL})

static void expect_usage_error(const char *const *arguments)
{
        struct fs_options options;

        cr_expect_eq(parse(&options, arguments), 2, "%s", arguments[0]);
        fs_options_free(&options);
}

#define USAGE_ERROR(...) expect_usage_error((const char *const[]){__VA_ARGS__, NULL})

static void expect_size(const char *text, uint64_t size)
{
        uint64_t found = 0;

        cr_expect_eq(fs_parse_size(text, &found), 0, "%s", text);
        cr_expect_eq(found, size, "%s", text);
}

Test(fs_options, sizes_in_powers_of_1024)
{
        expect_size("0", 0);
        expect_size("1024", 1024);
        expect_size("007", 7);
        expect_size("10K", 10240);
        expect_size("3M", 3 << 20);
        expect_size("8G", UINT64_C(8) << 30);
        expect_size("2T", UINT64_C(2) << 40);
        expect_size("9223372036854775807", INT64_MAX);
        expect_size("8388607T", UINT64_C(8388607) << 40);
}

Test(fs_options, fault_64_impossible_sizes)
{
        static const char *const bad[] = {"",
                                          "K",
                                          "-1",
                                          "+1",
                                          " 1",
                                          "1 ",
                                          "1k",
                                          "1KB",
                                          "1KK",
                                          "1.5G",
                                          "0x10",
                                          "ten",
                                          "1P",
                                          "9223372036854775808",
                                          "8388608T",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "99999999999999999999K"};
        uint64_t found = 42;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                cr_expect_eq(fs_parse_size(bad[i], &found), -EINVAL, "%s", bad[i]);
        cr_expect_eq(found, 42, "a refused text changed the result");
}

Test(fs_options, durations_in_seconds_up_to_weeks)
{
        static const struct {
                const char *text;
                unsigned seconds;
        } good[] = {{"0", 0},           {"90", 90},
                    {"1s", 1},          {"007m", 420},
                    {"2h", 7200},       {"7d", 604800},
                    {"1w", 604800},     {"52w", 31449600},
                    {"366d", 31622400}, {"31622400", 31622400}};
        static const char *const bad[] = {"",
                                          "s",
                                          "-1",
                                          "+1",
                                          " 1",
                                          "1 ",
                                          "1S",
                                          "1min",
                                          "1dd",
                                          "1.5h",
                                          "0x1",
                                          "never",
                                          "367d",
                                          "53w",
                                          "31622401",
                                          "1y",
                                          "1K",
                                          "18446744073709551617",
                                          "99999999999999999999999999w"};
        unsigned found = 42;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                cr_expect_eq(fs_parse_duration(bad[i], &found), -EINVAL, "%s", bad[i]);
        cr_expect_eq(found, 42, "a refused text changed the result");
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                cr_expect_eq(fs_parse_duration(good[i].text, &found), 0, "%s", good[i].text);
                cr_expect_eq(found, good[i].seconds, "%s", good[i].text);
        }
}

static void expect_free(const char *text, uint64_t bytes, unsigned percent)
{
        struct cas_bounds bounds = {7, 8, 9};

        cr_expect_eq(fs_parse_free(text, &bounds), 0, "%s", text);
        cr_expect_eq(bounds.cache_size, 7, "%s", text);
        cr_expect_eq(bounds.keep_free, bytes, "%s", text);
        cr_expect_eq(bounds.keep_free_percent, percent, "%s", text);
}

Test(fs_options, free_space_in_bytes_or_percent)
{
        static const char *const bad[] = {"",
                                          "%",
                                          "100%",
                                          "5%x",
                                          "-1",
                                          "-1%",
                                          " 5%",
                                          "5 %",
                                          "5%%",
                                          "1.5%",
                                          "+5%",
                                          "5G%",
                                          "%5",
                                          "000%",
                                          "x",
                                          "G",
                                          "5g",
                                          "10GB",
                                          "18446744073709551616"};
        struct cas_bounds bounds = {7, 8, 9};

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                cr_expect_eq(fs_parse_free(bad[i], &bounds), -EINVAL, "%s", bad[i]);
        cr_expect(bounds.cache_size == 7 && bounds.keep_free == 8 && bounds.keep_free_percent == 9,
                  "a refused text changed the result");
        expect_free("0", 0, 0);
        expect_free("0%", 0, 0);
        expect_free("1%", 0, 1);
        expect_free("05%", 0, 5);
        expect_free("99%", 0, 99);
        expect_free("100", 100, 0);
        expect_free("10G", UINT64_C(10) << 30, 0);
}

Test(fs_options, room_and_scrub_interval)
{
        struct fs_options options;

        cr_assert_eq(PARSE(&options, "--cache-size=50G", "--keep-free=5%", "--scrub-interval=7d",
                           "--cache=/c", ORIGIN, "/mnt"),
                     0);
        cr_expect_eq(options.bounds.cache_size, UINT64_C(50) << 30);
        cr_expect_eq(options.bounds.keep_free_percent, 5);
        cr_expect_eq(options.scrub_interval, 7 * 86400);
        fs_options_free(&options);
        USAGE_ERROR("--cache-size=5%", ORIGIN, "--cache=/c", "/mnt");
        USAGE_ERROR("--keep-free=100%", ORIGIN, "--cache=/c", "/mnt");
        USAGE_ERROR("--scrub-interval=-1", ORIGIN, "--cache=/c", "/mnt");
        USAGE_ERROR("--scrub-interval=", ORIGIN, "--cache=/c", "/mnt");
}

Test(fs_options, defaults)
{
        struct fs_options options;

        cr_assert_eq(PARSE(&options, "--cache=/c", ORIGIN, "/mnt"), 0);
        cr_expect_str_eq(options.cache, "/c");
        cr_expect_str_eq(options.mountpoint, "/mnt");
        cr_expect_eq(options.origin_count, 1);
        cr_expect_str_eq(options.origins[0].url, "https://host/{sha256}");
        cr_expect_eq(options.catalog_count, 0);
        cr_expect_not(options.foreground);
        cr_expect_eq(options.max_asset_size, UINT64_C(8) << 30);
        cr_expect_eq(options.max_downloads, 16);
        cr_expect_eq(options.stall_timeout, 30);
        cr_expect_eq(options.open_timeout, 1800);
        cr_expect_eq(options.min_rate, 10240);
        cr_expect_null(options.ca_file);
        cr_expect_null(options.proxy);
        cr_expect_eq(options.umask, 0);
        cr_expect_str_eq(options.fuse_options, "");
        fs_options_free(&options);
}

Test(fs_options, every_option)
{
        struct fs_options options;
        struct scratch_path ca = scratch_at("ca.pem");

        scratch_write("ca.pem", "", 0);
        cr_assert_eq(PARSE(&options, "-f", "--cache", "/c", "--origin", "file:///a/{sha256}",
                           "--origin", "http://b/{sha256}", "--catalog", "/one", "--catalog",
                           "/two", "--max-asset-size", "5M", "--max-downloads", "3",
                           "--stall-timeout", "4", "--min-rate", "1K", "--open-timeout", "6",
                           "--proxy", "http://p:1", "--ca", ca.text, "/mnt"),
                     0);
        cr_expect(options.foreground);
        cr_expect_eq(options.origin_count, 2);
        cr_expect_str_eq(options.origins[1].url, "http://b/{sha256}");
        cr_expect_eq(options.catalog_count, 2);
        cr_expect_str_eq(options.catalogs[1], "/two");
        cr_expect_eq(options.max_asset_size, 5 << 20);
        cr_expect_eq(options.max_downloads, 3);
        cr_expect_eq(options.stall_timeout, 4);
        cr_expect_eq(options.min_rate, 1024);
        cr_expect_eq(options.open_timeout, 6);
        cr_expect_str_eq(options.proxy, "http://p:1");
        cr_expect_not_null(options.ca_file);
        cr_expect_eq(options.argument_count, 13, "all of it, for the workers");
        fs_options_free(&options);
}

/* Workers are started with what was kept, wherever they are started. */
Test(fs_options, kept_arguments_mean_the_same_and_their_paths_are_absolute)
{
        struct fs_options options;
        struct fs_options again;
        char *argv[FS_ARGUMENTS_MAX + 2] = {"worker"};
        size_t argc = 1;

        cr_assert_eq(chdir(scratch_dir), 0);
        cr_assert_eq(PARSE(&options, "-f", "--cache", "c", "--catalog=one", "--catalog", "/two",
                           "-o", "uid=7,passthrough=off,noexec", ORIGIN, "--max-asset-size", "5M",
                           "--user=nobody", "/mnt"),
                     0);
        while (argc <= options.argument_count) {
                argv[argc] = options.arguments[argc - 1];
                argc++;
        }
        argv[argc++] = options.mountpoint;
        cr_assert_eq(chdir("/"), 0);
        cr_assert_eq(fs_options_parse((int)argc, argv, &again), 0);
        cr_expect_str_eq(again.cache, scratch_at("c").text);
        cr_expect_str_eq(again.catalogs[0], scratch_at("one").text);
        cr_expect_str_eq(again.catalogs[1], "/two");
        cr_expect_str_eq(again.origins[0].url, "https://host/{sha256}");
        cr_expect_str_eq(again.user, "nobody");
        cr_expect(again.foreground && again.restricted && again.uid == 7);
        cr_expect_eq(again.passthrough, FS_PASSTHROUGH_OFF);
        cr_expect_eq(again.max_asset_size, 5 << 20);
        cr_expect_str_eq(again.fuse_options, ",noexec");
        fs_options_free(&again);
        fs_options_free(&options);
}

Test(fs_options, options_may_follow_the_mount_point)
{
        struct fs_options options;

        cr_assert_eq(PARSE(&options, "/mnt", "--cache=/c", "-f", ORIGIN), 0);
        cr_expect_str_eq(options.mountpoint, "/mnt");
        cr_expect(options.foreground);
        fs_options_free(&options);
}

Test(fs_options, catalog_alone_is_enough)
{
        struct fs_options options;

        cr_expect_eq(PARSE(&options, "--cache=/c", "--catalog=file", "/mnt"), 0);
        fs_options_free(&options);
}

Test(fs_options, fault_64_usage_errors)
{
        USAGE_ERROR(ORIGIN, "--cache=/c");
        USAGE_ERROR(ORIGIN, "--cache=/c", "/mnt", "/mnt2");
        USAGE_ERROR("--cache=/c", "/mnt");
        USAGE_ERROR(ORIGIN, "--cache=", "/mnt");
        USAGE_ERROR(ORIGIN, "--cahce=/c", "/mnt");
        USAGE_ERROR(ORIGIN, "--cache=/c", "/mnt", "-x");
        USAGE_ERROR(ORIGIN, "--cache=/c", "/mnt", "--proxy");
        USAGE_ERROR("--origin=https://host/", "--cache=/c", "/mnt");
        USAGE_ERROR("--origin=ftp://host/{sha256}", "--cache=/c", "/mnt");
        USAGE_ERROR("--origin=https://user:pw@host/{sha256}", "--cache=/c", "/mnt");
}

Test(fs_options, fault_64_impossible_numbers)
{
        static const char *const bad[] = {
            "--max-asset-size=0",        "--max-asset-size=-1",  "--max-asset-size=8Q",
            "--max-downloads=0",         "--max-downloads=1025", "--max-downloads=many",
            "--stall-timeout=0",         "--stall-timeout=1.5",  "--stall-timeout=86401",
            "--open-timeout=0",          "--open-timeout=",      "--open-timeout=604801",
            "--open-timeout=4294967297", "--min-rate=0",         "--min-rate=2G",
        };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                USAGE_ERROR(bad[i], ORIGIN, "--cache=/c", "/mnt");
}

Test(fs_options, what_an_open_trusts)
{
        static const char *const words[] = {"metadata", "boot", "always"};
        struct fs_options options;

        cr_assert_eq(PARSE(&options, "--cache=/c", ORIGIN, "/mnt"), 0);
        cr_expect_eq(options.verify, CAS_VERIFY_METADATA);
        fs_options_free(&options);
        for (int i = 0; i < 3; i++) {
                cr_assert_eq(PARSE(&options, "--verify", words[i], "--cache=/c", ORIGIN, "/mnt"),
                             0);
                cr_expect_eq(options.verify, (enum cas_verify)i);
                fs_options_free(&options);
        }
        USAGE_ERROR("--verify=never", ORIGIN, "--cache=/c", "/mnt");
}

Test(fs_options, too_many_of_a_kind)
{
        static char verb[] = "mount";
        static char cache[] = "--cache=/c";
        static char origin[] = ORIGIN;
        static char mountpoint[] = "/mnt";
        static char *argv[FS_ORIGINS_MAX + 4];
        struct fs_options options;
        int argc = 0;

        argv[argc++] = verb;
        argv[argc++] = cache;
        for (int i = 0; i < FS_ORIGINS_MAX; i++)
                argv[argc++] = origin;
        argv[argc++] = mountpoint;
        cr_expect_eq(fs_options_parse(argc, argv, &options), 0);
        argv[1] = origin;
        cr_expect_eq(fs_options_parse(argc, argv, &options), 2);
}

Test(fs_options, missing_certificates_are_the_machines_fault)
{
        struct fs_options options;
        struct scratch_path ca = scratch_at("none.pem");

        cr_expect_eq(PARSE(&options, "--ca", ca.text, ORIGIN, "--cache=/c", "/mnt"), 1);
        fs_options_free(&options);
}

Test(fs_options, error_is_one_line_that_names_option_and_value)
{
        struct fs_options options;
        char line[200] = "";
        FILE *said = cr_get_redirected_stderr();

        cr_assert_eq(PARSE(&options, "--max-downloads=many", ORIGIN, "/mnt"), 2);
        fflush(stderr);
        cr_assert_not_null(fgets(line, sizeof(line), said));
        cr_expect_eq(strncmp(line, "assetfs: ", 9), 0, "%s", line);
        cr_expect_not_null(strstr(line, "--max-downloads"), "%s", line);
        cr_expect_not_null(strstr(line, "many"), "%s", line);
        cr_expect_not_null(strchr(line, '\n'));
}

static void expect_proxy(const char *url, int status)
{
        struct fs_options options;

        cr_expect_eq(PARSE(&options, "--proxy", url, ORIGIN, "--cache=/c", "/mnt"), status, "%s",
                     url);
        fs_options_free(&options);
}

Test(fs_options, proxies)
{
        static const char *const good[] = {"http://p:1", "https://p",
                                           "socks4://p", "socks4a://p:1",
                                           "socks5://p", "SOCKS5H://[::1]:1080",
                                           "p:3128",     "joe:hunter2@p:3128",
                                           "10.0.0.1",   "http://joe:hunter2@p:3128/"};
        static const char *const bad[] = {"",           "ftp://p",    "file:///p", "http://",
                                          "http://p:x", "http://a b", "socks6://p"};

        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                expect_proxy(good[i], 0);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                expect_proxy(bad[i], 2);
}

Test(fs_options, errors_show_no_credentials)
{
        static const char *const bad[] = {
            "--proxy=ftp://joe:hunter2@p",
            "--proxy=http://joe:hunter2@p:x",
            "--proxy=joe:hunter2@p:x",
            "--proxy=http:/joe:hunter2@p:x",
            "--proxy=http://joe:x/hunter2@p:y",
            "--proxy=http://joe:hunter2?x@p:y",
            "--origin=http://joe:hunter2@{sha256}",
            "--origin=http://h/x?token=hunter2",
            "--prox=http://joe:hunter2@p",
            "--proxxy=http://joe:hunter2@p",
        };
        FILE *said = cr_get_redirected_stderr();
        char line[400];
        struct fs_options options;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                /* getopt takes --prox for --proxy */
                int status = PARSE(&options, bad[i], ORIGIN, "--cache=/c", "/mnt");

                fs_options_free(&options);
                if (status == 0)
                        continue;
                fflush(stderr);
                cr_assert_not_null(fgets(line, sizeof(line), said));
                cr_expect_null(strstr(line, "hunter2"), "%s", line);
                cr_expect_null(strstr(line, "joe"), "%s", line);
        }
}

static int parse_o(struct fs_options *ret, const char *value)
{
        return PARSE(ret, "-o", value, ORIGIN, "--cache=/c", "/mnt");
}

Test(fs_options, owner_and_mask)
{
        struct fs_options options;

        cr_assert_eq(parse_o(&options, "uid=1234,gid=5678,umask=027"), 0);
        cr_expect_eq(options.uid, 1234);
        cr_expect_eq(options.gid, 5678);
        cr_expect_eq(options.umask, 027);
        cr_expect_str_eq(options.fuse_options, "");
        cr_assert_eq(parse_o(&options, "uid=root,gid=root,umask=0777"), 0);
        cr_expect_eq(options.uid, 0);
        cr_expect_eq(options.gid, 0);
        cr_expect_eq(options.umask, 0777);
}

Test(fs_options, fault_64_bad_owner_and_mask)
{
        static const char *const bad[] = {"uid=",         "uid=nobody-of-this-name",
                                          "uid=-1",       "uid=4294967295",
                                          "uid=1x",       "uid=99999999999999999999",
                                          "gid=",         "gid=no-such-group",
                                          "passthrough=", "passthrough=maybe",
                                          "umask=",       "umask=8",
                                          "umask=1000",   "umask=rwx",
                                          "umask=-1"};
        struct fs_options options;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                cr_expect_eq(parse_o(&options, bad[i]), 2, "%s", bad[i]);
}

Test(fs_options, options_of_the_kernel_are_passed_on_and_others_are_not)
{
        struct fs_options options;

        cr_assert_eq(parse_o(&options, "allow_other,ro,noexec,fsname=assets"), 0);
        cr_expect_str_eq(options.fuse_options, ",allow_other,ro,noexec,fsname=assets");
        cr_expect_eq(parse_o(&options, "rw"), 2);
        cr_expect_eq(parse_o(&options, "suid"), 2);
        cr_expect_eq(parse_o(&options, "ro,dev"), 2);
        cr_expect_eq(parse_o(&options, "fsname"), 2);
}

Test(fs_options, endless_mount_options_are_refused)
{
        struct fs_options options;
        char value[600] = "fsname=";

        memset(value + 7, 'x', 500);
        cr_expect_eq(parse_o(&options, value), 0);
        value[507] = 'x';
        memset(value + 507, 'x', 10);
        cr_expect_eq(parse_o(&options, value), 2);
}

Test(fs_options, how_downloads_retry_and_spread)
{
        struct fs_options options;

        cr_assert_eq(PARSE(&options, ORIGIN, "/mnt"), 0);
        cr_expect_eq(options.retries, 5);
        cr_expect_eq(options.connections, 8);
        fs_options_free(&options);
        cr_assert_eq(PARSE(&options, ORIGIN, "--retries=0", "--connections=64", "/mnt"), 0);
        cr_expect_eq(options.retries, 0);
        cr_expect_eq(options.connections, 64);
        fs_options_free(&options);
        USAGE_ERROR(ORIGIN, "--retries=101", "/mnt");
        USAGE_ERROR(ORIGIN, "--retries=-1", "/mnt");
        USAGE_ERROR(ORIGIN, "--connections=0", "/mnt");
        USAGE_ERROR(ORIGIN, "--connections=65", "/mnt");
}

Test(fs_options, denied_networks_are_added_unless_none_are_wanted)
{
        struct fs_options options;

        cr_assert_eq(PARSE(&options, ORIGIN, "/mnt"), 0);
        cr_expect_eq(options.deny_net_count, 2);
        fs_options_free(&options);
        cr_assert_eq(PARSE(&options, ORIGIN, "--deny-net=10.0.0.0/8", "/mnt"), 0);
        cr_expect_eq(options.deny_net_count, 3);
        fs_options_free(&options);
        cr_assert_eq(PARSE(&options, ORIGIN, "--deny-net=none", "--deny-net=::1", "/mnt"), 0);
        cr_expect_eq(options.deny_net_count, 1);
        fs_options_free(&options);
        USAGE_ERROR(ORIGIN, "--deny-net=10.0.0.1/8", "/mnt");
        USAGE_ERROR(ORIGIN, "--deny-net=somewhere", "/mnt");
}
