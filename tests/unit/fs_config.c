/*
 * Configuration files: what is set, that everything else is refused with file and line, and
 * that the example in the tree is one that names every key.
 */
#include "fs/config.h"
#include "fs/kept_config.h"
#include "fs/settings.h"

#include "tests/unit/scratch.h"

#include <criterion/redirect.h>
#include <errno.h>
#include <syslog.h>

TestSuite(fs_config, .init = scratch_make, .fini = scratch_remove, .timeout = 20);

static struct fs_options options;

/* Applies a text as that of /etc/assetfs/x.conf. */
static struct fs_refusals apply_part(const char *text, enum fs_config_part part)
{
        struct fs_refusals refusals = {0};

        fs_options_free(&options);
        options = (struct fs_options){0};
        fs_settings_defaults(&options);
        fs_config_apply("/etc/assetfs/x.conf", text, part, &options, &refusals);
        return refusals;
}

static struct fs_refusals apply(const char *text)
{
        return apply_part(text, FS_CONFIG_ALL);
}

static void expect_refused(const char *text, const char *line)
{
        struct fs_refusals refusals = apply(text);
        char wanted[512];

        snprintf(wanted, sizeof(wanted), "/etc/assetfs/x.conf:%s", line);
        cr_expect_eq(refusals.status, 2, "%s", text);
        cr_expect_str_eq(refusals.first, wanted);
        fs_options_free(&options);
}

static void expect_taken(const char *text)
{
        struct fs_refusals refusals = apply(text);

        cr_expect_eq(refusals.count, 0, "%s: %s", text, refusals.first);
}

Test(fs_config, every_key)
{
        struct scratch_path ca = scratch_at("ca.pem");
        char text[2048];

        scratch_write("ca.pem", "", 0);
        snprintf(text, sizeof(text),
                 "\xef\xbb\xbf# a comment\r\n"
                 "[mount]\r\n"
                 "user = cas\t; who\n"
                 "ca=%s\n"
                 "  proxy = joe:hunter2@p:3128\n"
                 "  deny-net = 10.0.0.0/8\n"
                 "  deny-net = 11.0.0.0/8   # two of them\n"
                 "log-level = debug\n"
                 "options = uid=7,passthrough=off,noexec\n"
                 "\n"
                 "[cache]\n"
                 "cache = /var/cache/a#b\n"
                 "[origin \"second, in words\"]\n",
                 ca.text);
        cr_expect_eq(apply(text).count, 1, "a comma in a name");
        strcpy(strstr(text, "[origin"), "[origin \"b\"]\nurl = http://b/{sha256}?a=1;b#c\n"
                                        "[catalog \"b\"]\nfile = ../catalogs/one.json\n"
                                        "[origin \"a.1-x y_z\"]\nurl = file:///a/{sha256}\n"
                                        "[catalog \"a\"]\nfile=/two\n"
                                        "[limits]\nmax-asset-size = 5M\nmax-downloads = 3\n"
                                        "connections = 2\nretries = 1\nopen-timeout = 6\n"
                                        "stall-timeout = 4\nmin-rate = 1K");
        expect_taken(text);
        cr_expect_str_eq(options.user, "cas");
        cr_expect_str_eq(options.ca_file, ca.text);
        cr_expect_str_eq(options.proxy, "joe:hunter2@p:3128");
        cr_expect_eq(options.deny_net_count, 4);
        cr_expect_eq(options.log_level, LOG_DEBUG);
        cr_expect(options.uid == 7 && options.passthrough == FS_PASSTHROUGH_OFF);
        cr_expect_str_eq(options.fuse_options, ",noexec");
        cr_expect_str_eq(options.cache, "/var/cache/a#b");
        cr_expect_eq(options.origin_count, 2);
        cr_expect_str_eq(options.origins[0].url, "http://b/{sha256}?a=1;b#c",
                         "in the file's order");
        cr_expect_str_eq(options.origins[1].url, "file:///a/{sha256}");
        cr_expect_eq(options.catalog_count, 2);
        cr_expect_str_eq(options.catalogs[0], "/etc/assetfs/../catalogs/one.json");
        cr_expect_str_eq(options.catalogs[1], "/two");
        cr_expect_eq(options.max_asset_size, 5 << 20);
        cr_expect(options.max_downloads == 3 && options.connections == 2 && options.retries == 1);
        cr_expect(options.open_timeout == 6 && options.stall_timeout == 4);
        cr_expect_eq(options.min_rate, 1024);
        fs_options_free(&options);
}

Test(fs_config, a_proxy_of_one_origin_or_catalog)
{
        expect_taken("[origin \"a\"]\nurl = https://a/{sha256}\nproxy = joe:hunter2@p:3128\n"
                     "[origin \"b\"]\nurl = gs://bucket/{sha256}\nproxy = none\n"
                     "[origin \"c\"]\nurl = https://c/{sha256}\n"
                     "[catalog \"a\"]\nfile = https://a/c\nproxy = http://p:1");
        cr_expect_str_eq(options.origins[0].proxy, "joe:hunter2@p:3128");
        cr_expect_str_eq(options.origins[1].proxy, "");
        cr_expect_null(options.origins[2].proxy);
        cr_expect_str_eq(options.catalog_origins[0].proxy, "http://p:1");
        cr_expect_null(options.proxy);
        fs_options_free(&options);
        expect_refused("[origin \"a\"]\nurl = file:///{sha256}\nproxy = http://p",
                       "3: proxy http://p: a file needs no proxy");
        expect_refused("[catalog \"a\"]\nfile = /c\nproxy = http://p",
                       "3: proxy http://p: a file needs no proxy");
        expect_refused("[origin \"a\"]\nurl = https://a/{sha256}\nproxy = ftp://p",
                       "3: proxy ftp://p: only http://, https:// and socks proxies (4, 4a, 5, 5h)");
        fs_options_free(&options);
}

Test(fs_config, credentials_stand_behind_a_url_of_https)
{
        expect_taken("[origin \"a\"]\nurl = https://a/{sha256}\ntoken-file = t\n"
                     "[origin \"b\"]\nurl = http://127.0.0.1/{sha256}\nnetrc-file = /n\n"
                     "client-cert = c\nclient-key = k");
        cr_expect_str_eq(options.origins[0].files.token_file, "/etc/assetfs/t");
        cr_expect_str_eq(options.origins[1].files.netrc_file, "/n");
        cr_expect_str_eq(options.origins[1].files.client_key, "/etc/assetfs/k");
        fs_options_free(&options);
        expect_taken("[catalog \"a\"]\nfile = https://a/c\ntoken-file = t");
        cr_expect_str_eq(options.catalog_origins[0].files.token_file, "/etc/assetfs/t");
        fs_options_free(&options);
        expect_refused("[catalog \"a\"]\nfile = /c\ntoken-file = t",
                       "3: token-file /c: a file needs no credential");
        expect_refused("[origin \"a\"]\ntoken-file = t\nurl = https://a/{sha256}",
                       "2: token-file stands behind url");
        expect_refused("[origin \"a\"]\nurl = http://a/{sha256}\ntoken-file = t",
                       "3: token-file http://a/{sha256}: a credential goes by https:// alone, "
                       "or to loopback");
        expect_refused("[origin \"a\"]\nurl = file:///{sha256}\ntoken-file = t",
                       "3: token-file file:///{sha256}: a file needs no credential");
        expect_refused("[origin \"a\"]\nurl = gs://bucket/{sha256}\ntoken-file = t\n"
                       "endpoint = http://a",
                       "4: endpoint http://a: a credential goes by https:// alone, or to loopback");
        expect_refused("[origin \"a\"]\nurl = s3://bucket/{sha256}\nendpoint = http://a\n"
                       "netrc-file = t",
                       "4: netrc-file http://a: a credential goes by https:// alone, or to "
                       "loopback");
        expect_refused("[origin \"a\"]\nurl = nothing\ntoken-file = t",
                       "2: url nothing: no {sha256} in it");
}

Test(fs_config, empty_ones_change_nothing)
{
        expect_taken("");
        expect_taken("\n\n# nothing\n;\n[mount]\n[limits]\n[cache]");
        cr_expect_eq(options.max_downloads, 16);
        cr_expect_eq(options.deny_net_count, 2);
        expect_taken("[mount]\ndeny-net = none\n");
        cr_expect_eq(options.deny_net_count, 0);
        fs_options_free(&options);
}

Test(fs_config, fault_64_typos_and_unknown_keys)
{
        expect_refused("[mout]", "1: unknown section [mout]");
        expect_refused("\n[]", "2: unknown section");
        expect_refused("[limits]\nretrys = 3", "2: unknown key 'retrys' in [limits]");
        expect_refused("[limits]\nRetries = 3", "2: unknown key 'Retries' in [limits]");
        expect_refused("[mount]\n\n# x\nretries = 3",
                       "4: unknown key 'retries' in [mount]: it belongs to [limits]");
        expect_refused("retries = 3", "1: a key before the first [section]");
        expect_refused("[limits]\nretries 3\n", "2: neither [section] nor key = value");
        expect_refused("[limits]\nretries =\n", "2: retries has no value");
        expect_refused("[limits]\nretries = # 3\n", "2: retries has no value");
        expect_refused("[limits]\nretries = \"3\"\n", "2: retries: a value stands without quotes");
        expect_refused("[limits\nretries = 3",
                       "1: a heading is [section] or [section \"NAME\"], alone");
        expect_refused("[limits] retries = 3",
                       "1: a heading is [section] or [section \"NAME\"], alone");
        expect_refused("[mount \"x\"]", "1: [mount] has no name");
        expect_refused("[origin]\nurl = file:///{sha256}",
                       "1: [origin \"NAME\"] needs a name, of letters, digits, . _ - and spaces");
        expect_refused("[mount]\nuser = a\x01", "2: a control byte");
}

Test(fs_config, what_stands_there_twice_or_not_at_all)
{
        expect_refused("[limits]\nretries = 3\nretries = 3", "3: retries a second time");
        expect_refused("[limits]\n[mount]\n[limits]", "3: [limits] a second time");
        expect_refused("[origin \"a\"]\nurl = file:///{sha256}\n[origin   \"a\"]\n",
                       "3: [origin \"a\"] a second time");
        expect_refused("[origin \"a\"]\nurl = file:///{sha256}\nurl = file:///{sha256}",
                       "3: url a second time");
        expect_refused("[limits]\n[origin \"a\"]\n\n[origin \"b\"]\nurl = file:///{sha256}",
                       "2: this origin has no url");
        expect_refused("[catalog \"a\"]", "1: this catalog has no file");
}

Test(fs_config, fault_64_impossible_values)
{
        expect_refused("[limits]\n\nmax-asset-size = 12Q",
                       "3: max-asset-size 12Q: not a size (1024, 10K, 8G, ...)");
        expect_refused("[limits]\nmax-asset-size = 0",
                       "2: max-asset-size 0: not a size (1024, 10K, 8G, ...)");
        expect_refused("[limits]\nmax-downloads = 0",
                       "2: max-downloads 0: not a number from 1 to 1024");
        expect_refused("[mount]\nlog-level = loud",
                       "2: log-level loud: error, warning, info or debug");
        expect_refused("[mount]\noptions = umask=9", "2: options umask=9: not an octal mask");
        expect_refused("[mount]\ndeny-net = 10.0.0.1/8",
                       "2: deny-net 10.0.0.1/8: the address has bits below the prefix");
        cr_expect_eq(apply("[mount]\nca = none.pem").status, 1, "the machine's fault");
        cr_expect_str_eq(apply("[mount]\nca = none.pem").first,
                         "/etc/assetfs/x.conf:2: ca /etc/assetfs/none.pem: "
                         "No such file or directory");
        fs_options_free(&options);
}

/* One mistake does not hide the next. */
Test(fs_config, all_mistakes_are_found)
{
        struct fs_refusals refusals =
            apply("x = 1\n[a]\n[limits]\nretries = x\nnonsense\n[origin \"o\"]\nurl = x\n");

        cr_expect_eq(refusals.count, 5);
        fs_options_free(&options);
}

Test(fs_config, refusals_show_no_secrets)
{
        static const char *const bad[] = {
            "[mount]\nproxy = ftp://joe:hunter2@p",
            "[mount]\nproxyy = http://joe:hunter2@p",
            "[origin \"o\"]\nurl = https://h/{sha256}\nproxy = ftp://joe:hunter2@p",
            "[origin \"o\"]\nurl = file:///{sha256}\nproxy = http://joe:hunter2@p",
            "[mount]\nhttp://joe:hunter2@p",
            "[mount]\njoe:hunter2@p",
            "[mount]\nhunter2@p/{sha256}?x = y",
            "[mount]\nuser = x\nuser = http://joe:hunter2@p",
            "[http://joe:hunter2@p]\n",
            "[origin \"http://joe:hunter2@p/{sha256}\"]\n",
            "[origin \"o\"]\nurl = http://joe:hunter2@h/{sha256}\n",
            "[origin \"o\"]\nurl = http://h/?token=hunter2\n",
            "[origin \"o\"]\nurl = \"http://h/{sha256}?token=hunter2\"\n",
        };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct fs_refusals refusals = apply(bad[i]);

                cr_expect_gt(refusals.count, 0, "%s", bad[i]);
                cr_expect_null(strstr(refusals.first, "hunter2"), "%s", refusals.first);
        }
        fs_options_free(&options);
}

/* A line is taken whole or refused whole. */
Test(fs_config, long_lines)
{
        static char text[20000] = "[origin \"o\"]\nurl = http://h/{sha256}?";
        size_t used = strlen(text);

        memset(text + used, 'x', 7000);
        expect_taken(text);
        cr_expect_eq(strlen(options.origins[0].url), 7000 + strlen("http://h/{sha256}?"));
        memset(text + used, 'x', 12000);
        expect_refused(text, "2: longer than 10237 bytes");
}

Test(fs_config, too_much_of_a_kind)
{
        static char text[100000];
        size_t used = 0;

        for (int i = 0; i <= FS_ORIGINS_MAX; i++)
                used += (size_t)sprintf(text + used, "[origin \"%d\"]\nurl=file:///{sha256}\n", i);
        expect_refused(text, "130: url file:///{sha256}: too many origins");
        used = (size_t)sprintf(text, "[mount]\n");
        for (int i = 0; i < 300; i++)
                used += (size_t)sprintf(text + used, "deny-net = 10.0.0.0/8\n");
        expect_refused(text, "64: deny-net 10.0.0.0/8: too many networks");
}

/* What a reload cannot change, and what it can. */
Test(fs_config, parts)
{
        const char *text = "[mount]\nuser=u\noptions=uid=3\nlog-level=error\n[cache]\ncache=/c\n"
                           "[origin \"o\"]\nurl=file:///{sha256}\n[limits]\nretries=1\n";

        cr_expect_eq(apply_part(text, FS_CONFIG_FIXED).count, 0);
        cr_expect(options.user && options.cache && options.uid == 3);
        cr_expect(options.origin_count == 0 && options.retries == 5);
        cr_expect_eq(apply_part(text, FS_CONFIG_FREE).count, 0);
        cr_expect(!options.user && !options.cache && options.uid == 0);
        cr_expect(options.origin_count == 1 && options.retries == 1);
        cr_expect_eq(apply_part("[cache]\ncahce=/c\n", FS_CONFIG_FREE).count, 1);
        fs_options_free(&options);
}

static int read_file(const char *path, char words[256])
{
        struct fs_refusals refusals = {0};
        char *text = NULL;
        int status = fs_config_read(path, &text, &refusals);

        cr_expect_eq(status == 0, text != NULL);
        free(text);
        snprintf(words, 256, "%.*s", 255, refusals.count ? strrchr(refusals.first, ':') : "");
        return status;
}

Test(fs_config, which_files_are_read)
{
        struct scratch_path path = scratch_at("x.conf");
        static char large[FS_CONFIG_BYTES + 1];
        char words[256];

        memset(large, '\n', sizeof(large));
        cr_expect_eq(read_file(path.text, words), 1);
        cr_expect_str_eq(words, ": No such file or directory");
        cr_expect_eq(read_file(scratch_dir, words), 2);
        cr_expect_str_eq(words, ": not a regular file");
        scratch_write("x.conf", large, FS_CONFIG_BYTES);
        cr_expect_eq(chmod(path.text, 0600), 0);
        cr_expect_eq(read_file(path.text, words), 0, "%s", words);
        scratch_write("x.conf", large, sizeof(large));
        cr_expect_eq(read_file(path.text, words), 2);
        cr_expect_str_eq(words, ": larger than 1 MiB");
        scratch_write("x.conf", "[mount]\0", 8);
        cr_expect_eq(read_file(path.text, words), 2);
        cr_expect_str_eq(words, ": not a text");
        scratch_write("x.conf", "", 0);
        cr_expect_eq(chmod(path.text, 0664), 0);
        cr_expect_eq(read_file(path.text, words), geteuid() == 0 ? 2 : 0);
        cr_expect_eq(mkfifo(scratch_at("fifo").text, 0600), 0);
        cr_expect_eq(read_file(scratch_at("fifo").text, words), 2);
        cr_expect_str_eq(words, ": not a regular file");
}

static void write_config(const char *text)
{
        scratch_write("x.conf", text, strlen(text));
        cr_assert_eq(chmod(scratch_at("x.conf").text, 0644), 0);
}

static int parse(struct fs_options *ret, const char *const *more)
{
        static char text[16][600];
        char *argv[17] = {text[0]};
        int argc = 1;

        strcpy(text[0], "mount");
        snprintf(text[1], sizeof(text[1]), "-c%s", scratch_at("x.conf").text);
        argv[argc++] = text[1];
        for (; *more; more++) {
                strcpy(text[argc], *more);
                argv[argc] = text[argc];
                argc++;
        }
        return fs_options_parse(argc, argv, ret);
}

#define PARSE(ret, ...) parse(ret, (const char *const[]){__VA_ARGS__, NULL})

/* The file counts first, wherever -c stands. */
Test(fs_config, command_line_overrides_and_adds)
{
        write_config("[cache]\ncache=c\n[limits]\nretries=1\nconnections=2\n"
                     "[origin \"o\"]\nurl=file:///file/{sha256}\n"
                     "[mount]\ndeny-net=10.0.0.0/8\noptions=uid=3,gid=4\n");
        cr_assert_eq(PARSE(&options, "--retries=7", "--origin=file:///line/{sha256}",
                           "--deny-net=11.0.0.0/8", "-ouid=5", "/mnt"),
                     0);
        cr_expect_str_eq(options.cache, scratch_at("c").text, "relative to the file");
        cr_expect(options.retries == 7 && options.connections == 2);
        cr_expect(options.uid == 5 && options.gid == 4);
        cr_expect_eq(options.deny_net_count, 4);
        cr_expect_eq(options.origin_count, 2);
        cr_expect_str_eq(options.origins[0].url, "file:///file/{sha256}");
        cr_expect_str_eq(options.origins[1].url, "file:///line/{sha256}");
        cr_expect_eq(options.argument_count, 5, "the command line's alone");
        fs_options_free(&options);
}

Test(fs_config, fault_64_one_line_at_the_start)
{
        FILE *said;
        char line[700] = "";
        char wanted[700];

        cr_redirect_stderr();
        said = cr_get_redirected_stderr();
        write_config("[limits]\nretrys=1\nretrys=2\n");
        cr_expect_eq(PARSE(&options, "/mnt"), 2);
        fflush(stderr);
        cr_assert_not_null(fgets(line, sizeof(line), said));
        snprintf(wanted, sizeof(wanted), "assetfs: %s:2: unknown key 'retrys' in [limits]\n",
                 scratch_at("x.conf").text);
        cr_expect_str_eq(line, wanted);
        cr_expect_null(fgets(line, sizeof(line), said));
        fs_options_free(&options);
        cr_expect_eq(PARSE(&options, "-c/other", "/mnt"), 2, "two files");
        fs_options_free(&options);
}

static int parse_worker(const struct fs_options *of, int fd, struct fs_options *ret)
{
        const char *argv[FS_ARGUMENTS_MAX + 4];
        int argc = fs_options_arguments(of, "worker", argv);

        return fs_options_parse_worker(argc - 1, (char **)argv + 1, fd, ret);
}

/* A worker has the file as it was when it was read last; a reload names what it cannot do. */
Test(fs_config, fault_64_kept_for_the_workers)
{
        struct fs_kept_config kept;
        struct fs_options worker;
        char why[480];

        write_config("[cache]\ncache=/one\n[limits]\nretries=1\n"
                     "[origin \"o\"]\nurl=file:///one/{sha256}\n");
        cr_assert_eq(PARSE(&options, "--connections=3", "/mnt"), 0);
        cr_assert_eq(fs_kept_config_make(&options, &kept), 0);
        write_config("[limits]\nretries=x\n");
        cr_assert_eq(parse_worker(&options, kept.fd, &worker), 0);
        cr_expect_eq(worker.retries, 1, "the file itself is not looked at");
        fs_options_free(&worker);

        cr_expect_eq(fs_kept_config_renew(&kept, why, sizeof(why)), 1);
        cr_expect_not_null(strstr(why, "x.conf:2: retries x: not a number"), "%s", why);

        write_config("[cache]\ncache=/two\n[mount]\nuser=x\noptions=umask=7\nlog-level=error\n"
                     "[origin \"o\"]\nurl=file:///two/{sha256}\n");
        cr_expect_eq(fs_kept_config_renew(&kept, why, sizeof(why)), 0, "%s", why);
        cr_expect_str_eq(kept.remount, "cache, user, umask, options");
        cr_expect_eq(kept.log_level, LOG_ERR);
        cr_assert_eq(parse_worker(&options, kept.fd, &worker), 0);
        cr_expect_str_eq(worker.cache, "/one");
        cr_expect(!worker.user && worker.umask == 0 && worker.log_level == LOG_ERR);
        cr_expect(worker.retries == 5 && worker.connections == 3);
        cr_expect_str_eq(worker.origins[0].url, "file:///two/{sha256}");
        fs_options_free(&worker);

        fs_kept_config_revert(&kept);
        cr_assert_eq(parse_worker(&options, kept.fd, &worker), 0);
        cr_expect_str_eq(worker.origins[0].url, "file:///one/{sha256}");
        fs_options_free(&worker);
        cr_expect_eq(pwrite(kept.fd, "x", 1, 0), -1, "no worker changes what the next one reads");
        fs_kept_config_end(&kept);
        fs_options_free(&options);
}

/* The example is right, and complete. */
Test(fs_config, example_names_every_key)
{
        struct fs_refusals refusals = {0};
        char *text = NULL;
        char key[64];

        cr_assert_eq(access(CONFIG_EXAMPLE, R_OK), 0, "%s", CONFIG_EXAMPLE);
        fs_config_read(CONFIG_EXAMPLE, &text, &refusals);
        cr_assert_eq(refusals.count, 0, "%s", refusals.first);
        apply("");
        fs_config_apply("/x", text, FS_CONFIG_ALL, &options, &refusals);
        cr_expect_eq(refusals.count, 0, "%s", refusals.first);
        cr_expect_eq(options.origin_count, 1);
        for (unsigned i = 0; i < fs_setting_count; i++) {
                snprintf(key, sizeof(key), "\n%s = ", fs_settings[i].key);
                const char *plain = strstr(text, key);

                snprintf(key, sizeof(key), "\n#%s = ", fs_settings[i].key);
                cr_expect(plain || strstr(text, key), "%s", fs_settings[i].key);
        }
        free(text);
        fs_options_free(&options);
}
