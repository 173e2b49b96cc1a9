/*
 * status.json as verbs read and show it: everything there, little there, nonsense, and
 * text that a terminal would obey.
 */
#include "fs/status.h"
#include "fs/status_print.h"

#include "tests/unit/scratch.h"

#include <errno.h>

TestSuite(fs_status, .init = scratch_make, .fini = scratch_remove, .timeout = 20);

#define A "00000000000000000000000000000000000000000000000000000000000000aa"
#define B "00000000000000000000000000000000000000000000000000000000000000bb"

static const char full[] =
    "{\"version\": 1, \"time\": 10065.5, \"mountpoint\": \"/m\", \"new\": [1],"
    " \"daemon\": {\"version\": \"0.1\", \"started\": 10000.5, \"user\": 7,"
    "   \"worker\": {\"pid\": 12, \"started\": 10060.1, \"restarts\": 1},"
    "   \"passthrough\": false, \"passthrough_cause\": \"an old kernel\","
    "   \"catalog_stale\": true},"
    " \"cache\": {\"path\": \"/c\", \"used\": 2048, \"limit\": null, \"free\": 1048576,"
    "   \"blobs\": 1, \"pinned\": 0, \"open\": 3},"
    " \"downloads\": {\"running\": 1, \"queued\": 1, \"most\": 16},"
    " \"flights\": ["
    "  {\"digest\": \"" A "\", \"name\": \"kernel\", \"state\": \"running\", \"bytes\": 1024,"
    "   \"size\": 4096, \"rate\": 512, \"eta\": 6, \"source\": \"https://h/p\", \"tries\": 2,"
    "   \"retries\": 1, \"seconds\": 3.2, \"waiters\": 3,"
    "   \"waiting\": [{\"pid\": 47, \"seconds\": 3.1}, {\"pid\": 48, \"seconds\": 61}]},"
    "  {\"digest\": \"" B "\", \"name\": null, \"state\": \"queued\", \"bytes\": 0,"
    "   \"size\": null, \"rate\": 0, \"eta\": null, \"source\": null, \"tries\": 0,"
    "   \"retries\": 0, \"seconds\": 0.5, \"waiters\": 0, \"waiting\": []}],"
    " \"failures\": ["
    "  {\"digest\": \"" B "\", \"name\": null, \"time\": 10000.0, \"errno\": \"EBADMSG\","
    "   \"cause\": \"another digest\", \"source\": \"https://h/o\", \"bytes\": 1,"
    "   \"seconds\": 0.4}]}";

/* Printed for a terminal of so many columns, or none. */
static char *printed(const char *text, unsigned columns)
{
        struct fs_status status;
        char why[FS_STATUS_WHY];
        char *bytes = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&bytes, &length);

        setenv("TZ", "UTC", 1);
        cr_assert_eq(fs_status_parse(text, strlen(text), &status, why), 0, "%s", why);
        fs_status_print(out, &status, columns);
        fclose(out);
        fs_status_free(&status);
        return bytes;
}

Test(fs_status, everything_is_read)
{
        struct fs_status status;
        char why[FS_STATUS_WHY];

        scratch_write("status.json", full, strlen(full));
        cr_assert_eq(fs_status_load(scratch_at("status.json").text, &status, why), 0);
        cr_expect_str_eq(status.mountpoint, "/m");
        cr_expect(status.worker_pid == 12 && status.worker_restarts == 1);
        cr_expect(!status.passthrough && status.catalog_stale);
        cr_expect(status.used == 2048 && status.limit == FS_STATUS_UNKNOWN && status.open == 3);
        cr_assert_eq(status.flight_count, 2);
        cr_expect_str_eq(status.flights[0].digest, A);
        cr_expect(status.flights[0].running && !status.flights[1].running);
        cr_expect(status.flights[0].size == 4096 && status.flights[1].size == FS_STATUS_UNKNOWN);
        cr_assert_eq(status.flights[0].waiting_count, 2);
        cr_expect_eq(status.flights[0].waiting[1].pid, 48);
        cr_expect_null(status.flights[1].name);
        cr_assert_eq(status.failure_count, 1);
        cr_expect_str_eq(status.failures[0].error, "EBADMSG");
        fs_status_free(&status);
        cr_expect_eq(fs_status_load(scratch_at("none").text, &status, why), -ENOENT);
        cr_expect_str_eq(why, "");
}

Test(fs_status, on_a_terminal_there_are_bars_and_names)
{
        char *text = printed(full, 106);

        cr_expect_str_eq(
            text,
            "/m: assetfs 0.1, up 1 min 05 s, worker 12 for 5 s after 1 restart\n"
            "passthrough: no, an old kernel\n"
            "catalogs: the last good ones, newer ones are broken or do not come\n"
            "cache: /c, 2.0 KiB used, no limit, 1.0 MiB free, 1 blob, 0 pinned, 3 open\n"
            "downloads: 1 running, 1 queued, at most 16 at once\n"
            "kernel                    [#######---------------------]  25 %  1.0 KiB/4.0 KiB  "
            "512 B/s  6 s left\n"
            "    for 3 s, from https://h/p, 1 retry\n"
            "    3 waiting: pid 47 for 3 s, pid 48 for 1 min 01 s and 1 more\n"
            "000000000000              queued\n"
            "failed lately:\n"
            "  1970-01-01 02:46:40  000000000000 EBADMSG: another digest (https://h/o)\n");
        free(text);
}

Test(fs_status, catalogs_that_do_not_come_are_named)
{
        char *text =
            printed("{\"version\": 1, \"daemon\": {\"catalog_stale\": true}, \"catalogs\": ["
                    "{\"url\": \"https://h/a\", \"here\": true, \"failure\": \"HTTP 503\"},"
                    "{\"url\": \"https://h/b\", \"here\": true, \"failure\": null}, 7,"
                    "{\"url\": \"https://h/c\", \"here\": false, \"failure\": \"x\"}]}",
                    0);

        cr_expect(strstr(text, "\ncatalog: https://h/a, the last good one: HTTP 503\n"
                               "catalog: https://h/c, none yet: x\n"),
                  "%s", text);
        cr_expect_null(strstr(text, "catalogs:"));
        cr_expect_null(strstr(text, "https://h/b"));
        free(text);
}

Test(fs_status, elsewhere_digests_are_whole)
{
        char *text = printed(full, 0);

        cr_expect(strstr(text, "\n" A " kernel: 25 %, 1.0 KiB of 4.0 KiB, 512 B/s, 6 s left\n"),
                  "%s", text);
        cr_expect(strstr(text, "\n" B ": queued\n"));
        cr_expect(strstr(text, "  " B " EBADMSG: another digest"));
        cr_expect_null(strchr(text, '#'));
        free(text);
}

Test(fs_status, what_is_missing_or_of_another_type_is_unknown)
{
        static const char *const little[] = {
            "{\"version\": 1}",
            "{\"version\": 1, \"daemon\": 5, \"cache\": [], \"downloads\": null, \"flights\": {},"
            " \"failures\": \"x\"}",
            "{\"version\": 1, \"time\": \"now\", \"cache\": {\"used\": \"2\", \"free\": -1,"
            " \"limit\": 1e300, \"blobs\": null}}",
            "{\"version\": 1, \"flights\": [{\"digest\": \"" A "\", \"size\": \"big\","
            " \"waiting\": [null, 3], \"waiters\": 2}]}",
        };

        for (size_t i = 0; i < sizeof(little) / sizeof(little[0]); i++) {
                free(printed(little[i], 0));
                free(printed(little[i], 20));
        }
}

Test(fs_status, nonsense_is_refused_and_said_where)
{
        static const struct {
                const char *text;
                const char *why;
        } cases[] = {
            {"", "line 1: "},
            {"{\"version\": 1,\n oops}", "line 2: "},
            {"{\"version\": 2}", "version 1"},
            {"[]", "version 1"},
            {"{\"version\": 1, \"flights\": [7]}", "without a digest"},
            {"{\"version\": 1, \"flights\": [{\"digest\": \"" A "\", \"waiting\": [{}]},"
             " {\"digest\": \"AA\"}]}",
             "without a digest"},
            {"{\"version\": 1, \"failures\": [{}]}", "without a digest"},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct fs_status status;
                char why[FS_STATUS_WHY];

                cr_expect_eq(fs_status_parse(cases[i].text, strlen(cases[i].text), &status, why),
                             -EINVAL);
                cr_expect(strstr(why, cases[i].why), "%zu: %s", i, why);
        }
}

Test(fs_status, no_text_of_the_file_commands_the_terminal)
{
        static const char hostile[] = "\\u001b[2J\\r\\n\\u009b\\u0007\\u007f\xc3\xbc";
        char text[4096];
        char *shown;

        snprintf(text, sizeof(text),
                 "{\"version\": 1, \"mountpoint\": \"%1$s\","
                 " \"daemon\": {\"version\": \"%1$s\", \"passthrough_cause\": \"%1$s\"},"
                 " \"cache\": {\"path\": \"%1$s\"},"
                 " \"flights\": [{\"digest\": \"" A
                 "\", \"name\": \"%1$s\", \"source\": \"%1$s\"}],"
                 " \"failures\": [{\"digest\": \"" B "\", \"name\": \"%1$s\", \"errno\": \"%1$s\","
                 " \"cause\": \"%1$s\", \"source\": \"%1$s\"}]}",
                 hostile);
        for (unsigned columns = 0; columns <= 80; columns += 80) {
                shown = printed(text, columns);
                for (const char *c = shown; *c; c++)
                        cr_expect(*c == '\n' || (*c >= ' ' && *c <= '~'), "byte %d", *c);
                cr_expect(strstr(shown, "?[2J??"), "%s", shown);
                free(shown);
        }
}

Test(fs_status, file_of_any_length_is_read_to_its_end)
{
        size_t length = 200000;
        char *bytes = malloc(length + 1);
        char *text = NULL;
        size_t got = 0;

        memset(bytes, ' ', length);
        memcpy(bytes, "{\"version\": 1", 13);
        bytes[length - 1] = '}';
        scratch_write("status.json", bytes, length);
        cr_assert_eq(fs_status_read(scratch_at("status.json").text, &text, &got), 0);
        cr_expect(got == length && memcmp(text, bytes, length) == 0 && text[length] == '\0');
        free(text);
        free(bytes);
}
