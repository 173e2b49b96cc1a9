/*
 * Catalogs: what they give, and that a bad one is refused whole, within bounds,
 * with the file and the line.
 */
#include "fetch/catalog.h"

#include "tests/unit/scratch.h"

#include <errno.h>

#define HEX_A  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define HEX_63 "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

/* An asset of a JSON catalog, on a line of its own. */
#define ASSET(name, rest) "\"" name "\": {\"sha256\": \"" HEX_A "\"" rest "}"
#define JSON(assets)      "{\"assets\": {\n" assets "\n}}\n"

TestSuite(fetch_catalog, .init = scratch_make, .fini = scratch_remove, .timeout = 60);

static char why[FETCH_CATALOG_WHY];

/* The file that the next load reads: always the same one. */
static const char *file(void)
{
        static struct scratch_path path;

        path = scratch_at("catalog");
        return path.text;
}

/* Read, parse, and forget the texts. */
static int load_files(const char *const *paths, size_t count, struct fetch_catalog **ret)
{
        struct fetch_catalog_text texts[2];
        int r = fetch_catalog_read(paths, count, texts, why);

        if (r < 0)
                return r;
        r = fetch_catalog_parse(texts, count, ret, why);
        fetch_catalog_texts_free(texts, count);
        return r;
}

static struct fetch_catalog *load_file(void)
{
        const char *paths[] = {file()};
        struct fetch_catalog *catalog = NULL;

        cr_assert_eq(load_files(paths, 1, &catalog), 0, "%s", why);
        cr_expect_str_eq(why, "");
        return catalog;
}

static struct fetch_catalog *load(const char *text)
{
        scratch_write("catalog", text, strlen(text));
        return load_file();
}

static void expect_why(unsigned line, const char *word)
{
        char head[600];

        snprintf(head, sizeof(head), line ? "%s:%u: " : "%s: ", file(), line);
        cr_expect_eq(strncmp(why, head, strlen(head)), 0, "not line %u: %s", line, why);
        cr_expect_not_null(strstr(why, word), "not about '%s': %s", word, why);
        for (const char *c = why; *c; c++)
                cr_expect(*c >= ' ' && *c <= '~', "byte %d in the message", *c);
}

static void expect_file_refused(unsigned line, const char *word)
{
        const char *paths[] = {file()};
        struct fetch_catalog *catalog = NULL;

        cr_expect_eq(load_files(paths, 1, &catalog), -EINVAL);
        cr_expect_null(catalog);
        expect_why(line, word);
}

static void expect_refused(const char *text, unsigned line, const char *word)
{
        scratch_write("catalog", text, strlen(text));
        expect_file_refused(line, word);
}

static const struct fetch_asset *named(const struct fetch_catalog *catalog, const char *name)
{
        int index = fetch_catalog_find_name(catalog, name);

        cr_assert_geq(index, 0, "%s is not there", name);
        cr_expect_str_eq(fetch_catalog_name(catalog, (size_t)index)->name, name);
        return fetch_catalog_name(catalog, (size_t)index)->asset;
}

/* The URL of `name` in the folder of the file that is loaded. */
static void expect_sibling(const struct fetch_catalog *catalog, const char *name,
                           const char *encoded)
{
        const struct fetch_asset *asset = named(catalog, name);
        char url[600];

        snprintf(url, sizeof(url), "file://%s/%s", scratch_dir, encoded);
        cr_assert_not_null(asset->urls[0]);
        cr_expect_str_eq(asset->urls[0], url);
        cr_expect_null(asset->urls[1]);
        cr_expect_eq(asset->size, CAS_SIZE_UNKNOWN);
}

/* JSON */

Test(fetch_catalog, json_gives_names_sizes_and_urls_in_order)
{
        struct fetch_catalog *catalog =
            load(JSON(ASSET("a.bin", ", \"url\": \"https://h/1\", \"size\": 12, \"urls\": "
                                     "[\"https://h/2\", \"https://h/1\"]")));
        const struct fetch_asset *asset = named(catalog, "a.bin");

        cr_expect_eq(asset->size, 12);
        cr_expect_str_eq(asset->urls[0], "https://h/1");
        cr_expect_str_eq(asset->urls[1], "https://h/2");
        cr_expect_null(asset->urls[2], "no doubles");
        cr_expect_eq(fetch_catalog_find(catalog, &asset->digest), asset);
        cr_expect_eq(fetch_catalog_find_name(catalog, "b.bin"), -ENOENT);
        fetch_catalog_free(catalog);
}

Test(fetch_catalog, json_size_and_urls_may_be_missing)
{
        struct fetch_catalog *catalog = load(JSON(ASSET("a", "")));

        cr_expect_eq(named(catalog, "a")->size, CAS_SIZE_UNKNOWN);
        cr_expect(!named(catalog, "a")->urls || !named(catalog, "a")->urls[0]);
        fetch_catalog_free(catalog);
}

Test(fetch_catalog, json_unknown_keys_are_ignored_at_every_level)
{
        struct fetch_catalog *catalog =
            load("{\"version\": 9, \"assets\": {" ASSET("a", ", \"x\": {\"y\": [null]}") "}}");

        cr_expect_eq(fetch_catalog_asset_count(catalog), 1);
        fetch_catalog_free(catalog);
}

Test(fetch_catalog, empty_ones_are_catalogs)
{
        static const char *const texts[] = {"", "\n\n", "# nothing\n", " {\"assets\": {}}"};
        static const struct cas_digest digest;

        for (size_t i = 0; i < 4; i++) {
                struct fetch_catalog *catalog = load(texts[i]);

                cr_expect_eq(fetch_catalog_asset_count(catalog), 0);
                cr_expect_eq(fetch_catalog_name_count(catalog), 0);
                cr_expect_null(fetch_catalog_find(catalog, &digest));
                cr_expect_eq(fetch_catalog_find_name(catalog, "a"), -ENOENT);
                fetch_catalog_free(catalog);
        }
        fetch_catalog_free(NULL);
}

Test(fetch_catalog, names_and_assets_are_sorted)
{
        struct fetch_catalog *catalog = load(HEX_B "  m\n" HEX_A "  z\n" HEX_B "  a\n");

        cr_assert_eq(fetch_catalog_asset_count(catalog), 2);
        cr_assert_eq(fetch_catalog_name_count(catalog), 3);
        cr_expect_eq(fetch_catalog_asset(catalog, 0)->digest.bytes[0], 0xaa);
        cr_expect_eq(fetch_catalog_asset(catalog, 1)->digest.bytes[0], 0xbb);
        cr_expect_str_eq(fetch_catalog_name(catalog, 0)->name, "a");
        cr_expect_str_eq(fetch_catalog_name(catalog, 1)->name, "m");
        cr_expect_str_eq(fetch_catalog_name(catalog, 2)->name, "z");
        cr_expect_eq(named(catalog, "a"), named(catalog, "m"), "two names of one asset");
        fetch_catalog_free(catalog);
}

Test(fetch_catalog, foreign_letters_and_255_bytes_are_names)
{
        char text[1000];
        char name[256];

        memset(name, 'n', 255);
        name[255] = '\0';
        snprintf(text, sizeof(text), JSON(ASSET("%s", "") ",\n" ASSET("caf\xc3\xa9", "")), name);

        struct fetch_catalog *catalog = load(text);

        named(catalog, name);
        named(catalog, "caf\xc3\xa9");
        fetch_catalog_free(catalog);
}

static int load_two(const char *first, const char *second, struct fetch_catalog **ret)
{
        struct scratch_path one = scratch_at("first");
        const char *paths[] = {one.text, file()};

        scratch_write("first", first, strlen(first));
        scratch_write("catalog", second, strlen(second));
        return load_files(paths, 2, ret);
}

Test(fetch_catalog, files_add_to_each_other)
{
        struct fetch_catalog *catalog = NULL;

        cr_assert_eq(load_two(JSON(ASSET("a", ", \"url\": \"https://h/1\"")),
                              JSON(ASSET("a", ", \"url\": \"https://h/2\", \"size\": 5")),
                              &catalog),
                     0, "%s", why);
        cr_expect_eq(fetch_catalog_asset_count(catalog), 1);
        cr_expect_eq(fetch_catalog_name_count(catalog), 1);
        cr_expect_eq(named(catalog, "a")->size, 5);
        cr_expect_str_eq(named(catalog, "a")->urls[0], "https://h/1");
        cr_expect_str_eq(named(catalog, "a")->urls[1], "https://h/2");
        fetch_catalog_free(catalog);
}

/* SHA256SUMS */

Test(fetch_catalog, sums_in_each_form)
{
        struct fetch_catalog *catalog =
            load(HEX_A "  text\n"
                       "# a comment\n\n" HEX_B " *binary\r\n"
                       "SHA256 (bsd (1) = x) = " HEX_B "\n" HEX_B "  no newline at the end");

        expect_sibling(catalog, "text", "text");
        cr_expect_eq(fetch_catalog_name_count(catalog), 4);
        named(catalog, "binary");
        named(catalog, "bsd (1) = x");
        named(catalog, "no newline at the end");
        fetch_catalog_free(catalog);
}

Test(fetch_catalog, sums_escaped_as_coreutils_does)
{
        struct fetch_catalog *catalog = load("\\" HEX_A "  back\\\\slash\n");

        expect_sibling(catalog, "back\\slash", "back%5Cslash");
        fetch_catalog_free(catalog);
}

Test(fetch_catalog, sums_name_siblings_also_in_subfolders)
{
        struct fetch_catalog *catalog =
            load(HEX_A "  ./sub/dir/a b?.bin\n" HEX_B "  ..hidden/...\n");

        expect_sibling(catalog, "sub-dir-a b?.bin", "sub/dir/a%20b%3F.bin");
        expect_sibling(catalog, "..hidden-...", "..hidden/...");
        fetch_catalog_free(catalog);
}

/* What is refused */

Test(fetch_catalog, file_that_cannot_be_read)
{
        const char *paths[] = {file()};
        struct fetch_catalog *catalog = NULL;

        cr_expect_eq(load_files(paths, 1, &catalog), -ENOENT);
        expect_why(0, "No such file");
        cr_assert_eq(mkfifo(file(), 0600), 0);
        expect_file_refused(0, "regular");
        unlink(file());
        cr_assert_eq(mkdir(file(), 0700), 0);
        expect_file_refused(0, "regular");
}

Test(fetch_catalog, fault_63_broken_text)
{
        expect_refused("{\"assets\": {\n\"a\": {]}}", 2, "");
        expect_refused("{\"assets\": {}", 1, "");
        expect_refused("{\"assets\": {}}\n\n{}", 3, "");
        expect_refused("{", 1, "");
        expect_refused("{\"assets\": {\n\n\"a\xff\": {}}}", 3, "");
        expect_refused("[]", 1, "object");
        expect_refused("{}", 1, "assets");
        expect_refused("{\"assets\": []}", 1, "assets");
        expect_refused(JSON(ASSET("a", "") ",\n\"b\": 7"), 3, "object");
        expect_refused(HEX_A "  a\nhello\n", 2, "SHA256SUMS");
        expect_refused(HEX_A "  a\n" HEX_A " b\n", 2, "SHA256SUMS");
        expect_refused(HEX_A "  \n", 1, "SHA256SUMS");
        expect_refused("\\" HEX_A "  a\\x\n", 1, "SHA256SUMS");
}

Test(fetch_catalog, fault_63_a_nul_in_the_text)
{
        scratch_write("catalog", HEX_A "  a\n" HEX_A "  b\0c\n", 2 * 66 + 6);
        expect_file_refused(2, "SHA256SUMS");
}

Test(fetch_catalog, fault_63_a_line_without_end)
{
        char *text = malloc(5001);

        cr_assert_not_null(text);
        memset(text, 'x', 5000);
        memcpy(text, HEX_A "  ", 66);
        text[5000] = '\0';
        expect_refused(text, 1, "SHA256SUMS");
        free(text);
}

Test(fetch_catalog, fault_63_larger_than_64_mib)
{
        scratch_write("catalog", "{", 1);
        cr_assert_eq(truncate(file(), FETCH_CATALOG_TEXT + 1), 0);
        expect_file_refused(0, "64 MiB");
        cr_assert_eq(truncate(file(), 1L << 40), 0);
        expect_file_refused(0, "64 MiB");
}

Test(fetch_catalog, fault_63_nested_10000_deep)
{
        static const char *const heads[] = {"", "{\"assets\": {},\n\"x\": "};

        for (unsigned h = 0; h < 2; h++) {
                char *text = calloc(1, 10100);

                cr_assert_not_null(text);
                strcpy(text, heads[h]);
                memset(text + strlen(text), '[', 10000);
                expect_refused(text, h + 1, "depth");
                free(text);
        }
}

/* `count` assets, as JSON or as sums, one a line. */
static void write_assets(unsigned count, bool json)
{
        FILE *out = fopen(file(), "w");

        cr_assert_not_null(out);
        fprintf(out, "%s", json ? "{\"assets\": {\n" : "");
        for (unsigned i = 0; i < count && json; i++)
                fprintf(out, "\"n%u\": {\"sha256\": \"%064x\", \"url\": \"https://h/%u\"}%s\n", i,
                        i, i, i + 1 < count ? "," : "");
        for (unsigned i = 0; i < count && !json; i++)
                fprintf(out, "%064x  n%u\n", i, i);
        fprintf(out, "%s", json ? "}}\n" : "");
        cr_assert_eq(fclose(out), 0);
}

Test(fetch_catalog, fault_63_more_than_100000_assets)
{
        write_assets(FETCH_CATALOG_ASSETS + 1, true);
        expect_file_refused(1, "more than 100000 assets");
        write_assets(FETCH_CATALOG_ASSETS + 1, false);
        expect_file_refused(FETCH_CATALOG_ASSETS + 1, "more than 100000 assets");
}

Test(fetch_catalog, fault_63_more_than_100000_assets_in_all_files_together)
{
        struct scratch_path more = scratch_at("more");
        const char *paths[] = {file(), more.text};
        struct fetch_catalog *catalog = NULL;

        write_assets(FETCH_CATALOG_ASSETS, false);
        scratch_write("more", "\n" HEX_A "  a\n", 68);
        cr_expect_eq(load_files(paths, 2, &catalog), -EINVAL);
        cr_expect_not_null(strstr(why, "/more:2: more than 100000 assets"), "%s", why);
}

/* Empty files, or one file under many names, each with a sibling of its own. */
Test(fetch_catalog, one_digest_under_20000_names_has_bounded_urls)
{
        static char text[20000 * 90];
        size_t length = 0;

        for (unsigned i = 0; i < 20000; i++)
                length += (size_t)sprintf(text + length, "%s  file-%u\n", HEX_A, i);

        int64_t start = processor_ms();
        struct fetch_catalog *catalog = load(text);
        int64_t took = processor_ms() - start;
        const struct fetch_asset *asset = fetch_catalog_asset(catalog, 0);
        unsigned count = 0;

        if (!SLOW_BUILD)
                cr_expect_lt(took, 2000, "%lld ms", (long long)took);
        cr_expect_eq(fetch_catalog_asset_count(catalog), 1);
        cr_expect_eq(fetch_catalog_name_count(catalog), 20000);
        while (asset->urls[count])
                count++;
        cr_expect_eq(count, FETCH_ASSET_URLS);
        cr_expect_not_null(strstr(asset->urls[0], "/file-0"));
        cr_expect_not_null(strstr(asset->urls[FETCH_ASSET_URLS - 1], "/file-63"));
        fetch_catalog_free(catalog);
}

Test(fetch_catalog, fault_63_100000_assets_load_in_time)
{
        if (SLOW_BUILD)
                cr_skip_test("its time is not measured, and one more is refused elsewhere");
        for (int json = 0; json < 2; json++) {
                write_assets(FETCH_CATALOG_ASSETS, json);

                int64_t start = processor_ms();
                struct fetch_catalog *catalog = load_file();

                cr_expect_lt(processor_ms() - start, 3000, "%ld ms",
                             (long)(processor_ms() - start));
                cr_expect_eq(fetch_catalog_asset_count(catalog), FETCH_CATALOG_ASSETS);
                cr_expect_eq(fetch_catalog_name_count(catalog), FETCH_CATALOG_ASSETS);
                cr_expect_eq(named(catalog, "n77777")->digest.bytes[31], 77777 & 255);
                fetch_catalog_free(catalog);
        }
}

/* As many JSON writers put every letter beyond ASCII. */
Test(fetch_catalog, fault_63_escaped_names_load_in_time)
{
        enum { COUNT = SLOW_BUILD ? 500 : 20000 };
        FILE *out = fopen(file(), "w");

        cr_assert_not_null(out);
        fprintf(out, "{\"assets\": {");
        for (unsigned i = 0; i < COUNT; i++)
                fprintf(out, "%s\n\"caf\\u00e9%u\": {\"sha256\": \"%064x\"}", i ? "," : "", i, i);
        fprintf(out, "}}\n");
        cr_assert_eq(fclose(out), 0);

        int64_t start = processor_ms();
        struct fetch_catalog *catalog = load_file();

        cr_expect(SLOW_BUILD || processor_ms() - start < 1000, "%ld ms",
                  (long)(processor_ms() - start));
        cr_expect_eq(fetch_catalog_name_count(catalog), COUNT);
        fetch_catalog_free(catalog);
}

Test(fetch_catalog, fault_63_duplicate_names)
{
        struct fetch_catalog *catalog = NULL;

        expect_refused(JSON(ASSET("a", "") ",\n" ASSET("a", "")), 3, "duplicate");
        expect_refused(HEX_A "  a\n" HEX_B "  a\n", 2, "another digest");
        cr_expect_eq(load_two(HEX_A "  a\n", "\n\n" HEX_B "  a\n", &catalog), -EINVAL);
        expect_why(3, "another digest");
}

Test(fetch_catalog, fault_63_duplicate_names_are_found_at_their_line)
{
        expect_refused(HEX_A "  same\n" HEX_B "  same\n" HEX_A "  other\n", 2, "another digest");
}

Test(fetch_catalog, same_name_and_digest_twice_is_one_name)
{
        struct fetch_catalog *catalog = load(HEX_A "  a\n" HEX_A " *a\n");

        cr_expect_eq(fetch_catalog_name_count(catalog), 1);
        cr_expect_eq(fetch_catalog_asset_count(catalog), 1);
        fetch_catalog_free(catalog);
}

Test(fetch_catalog, fault_63_one_digest_with_two_sizes)
{
        struct fetch_catalog *catalog = NULL;

        expect_refused(JSON(ASSET("a", ", \"size\": 1") ",\n" ASSET("b", ", \"size\": 2")), 3,
                       "another size");
        cr_expect_eq(load_two(JSON(ASSET("a", ", \"size\": 1")), JSON(ASSET("a", ", \"size\": 2")),
                              &catalog),
                     -EINVAL);
        expect_why(2, "another size");
}

Test(fetch_catalog, fault_63_bad_size)
{
        static const char *const sizes[] = {"-1", "1.5", "\"1\"", "null", "1e3"};

        for (size_t i = 0; i < 5; i++) {
                char text[300];

                snprintf(text, sizeof(text), JSON(ASSET("a", ", \"size\": %s")), sizes[i]);
                expect_refused(text, 2, "size");
        }
        expect_refused(JSON(ASSET("a", ", \"size\": 9223372036854775808")), 2, "big");
}

Test(fetch_catalog, fault_63_bad_digest)
{
        static const char *const values[] = {"\"\"", "\"" HEX_63 "\"", "\"" HEX_63 "C\"",
                                             "\"" HEX_63 "cc\"", "\"" HEX_63 "\\n\""};

        for (size_t i = 0; i < 5; i++) {
                char text[300];

                snprintf(text, sizeof(text), JSON("\"a\": {\n\"sha256\": %s}"), values[i]);
                expect_refused(text, 2, "digest");
        }
        expect_refused(JSON("\"a\": {\"sha256\": 7}"), 2, "sha256");
        expect_refused(JSON("\"a\": {}"), 2, "sha256");
        expect_refused("\n" HEX_63 "C  a\n", 2, "digest");
        expect_refused("SHA256 (a) = " HEX_63 "\n", 1, "digest");
}

Test(fetch_catalog, fault_63_traversal_in_names)
{
        static const char *const names[] = {"..", ".", "", "../a", "a/b", "/etc/passwd", "a/.."};

        for (size_t i = 0; i < 7; i++) {
                char text[300];

                snprintf(text, sizeof(text), JSON(ASSET("%s", "")), names[i]);
                expect_refused(text, 2, "name");
        }
        expect_refused(HEX_A "  a\n" HEX_A "  ../b\n", 2, "leaves the folder");
        expect_refused(HEX_A "  a/../../b\n", 1, "leaves the folder");
        expect_refused(HEX_A "  a/..\n", 1, "leaves the folder");
        expect_refused(HEX_A "  /etc/passwd\n", 1, "leaves the folder");
        expect_refused(HEX_A "  .//etc/passwd\n", 1, "leaves the folder");
        expect_refused(HEX_A "  ./\n", 1, "name");
        expect_refused(HEX_A "  .\n", 1, "name");
        expect_refused("SHA256 (../b) = " HEX_A "\n", 1, "leaves the folder");
        expect_refused("SHA256 () = " HEX_A "\n", 1, "name");
}

Test(fetch_catalog, fault_63_names_that_are_too_long)
{
        char text[1000];
        char name[257];

        memset(name, 'n', 256);
        name[256] = '\0';
        snprintf(text, sizeof(text), JSON(ASSET("%s", "")), name);
        expect_refused(text, 2, "255");
        snprintf(text, sizeof(text), HEX_A "  %s\n", name);
        expect_refused(text, 1, "255");
}

Test(fetch_catalog, fault_69_control_bytes_in_names)
{
        expect_refused(JSON(ASSET("a\\u001b[31m", "")), 2, "control");
        expect_refused(JSON(ASSET("a\\nb", "")), 2, "control");
        expect_refused(JSON(ASSET("a\\u0000b", "")), 2, "");
        expect_refused(JSON(ASSET("a\x1b", "")), 2, "");
        expect_refused(HEX_A "  a\x1b[31m\n", 1, "control");
        expect_refused("\\" HEX_A "  a\\nb\n", 1, "control");
}

Test(fetch_catalog, fault_69_the_message_is_printable_whatever_it_quotes)
{
        expect_refused("{\"assets\": \x1b[31mred\n}", 1, "");
        expect_refused(JSON("\"caf\xc3\xa9\": {}"), 2, "caf??");
}

Test(fetch_catalog, fault_63_credentials_in_urls)
{
        expect_refused(JSON(ASSET("a", "") ",\n\"b\": {\"sha256\": \"" HEX_B
                                           "\", \"url\": \"https://user:secret@h/\"}"),
                       3, "credentials");
        cr_expect_null(strstr(why, "secret"), "%s", why);
        expect_refused(JSON(ASSET("a", ", \"urls\": [\"https://h/\", \"https://u@h/\"]")), 2,
                       "credentials");
}

Test(fetch_catalog, fault_63_bad_urls)
{
        expect_refused(JSON(ASSET("a", ", \"url\": 7")), 2, "url");
        expect_refused(JSON(ASSET("a", ", \"urls\": \"https://h/\"")), 2, "urls");
        expect_refused(JSON(ASSET("a", ", \"urls\": [7]")), 2, "urls");
        expect_refused(JSON(ASSET("a", ", \"url\": \"../x\"")), 2, "URL");
        expect_refused(JSON(ASSET("a", ", \"url\": \"https://h/\\u0007\"")), 2, "control");
}

Test(fetch_catalog, fault_63_more_urls_than_sixteen)
{
        char text[1000] = "{\"assets\": {\n\"a\": {\"sha256\": \"" HEX_A "\", \"urls\": [";

        for (int i = 0; i < 16; i++)
                sprintf(text + strlen(text), "\"https://h/%d\",", i);

        size_t length = strlen(text);

        strcpy(text + length - 1, "]}}}");
        fetch_catalog_free(load(text));
        strcpy(text + length - 1, ",\"https://h/16\"]}}}");
        expect_refused(text, 2, "16 URLs");
}

/* The line is the asset's also where its name stands elsewhere before, or is escaped. */
Test(fetch_catalog, fault_63_line_of_a_name_that_is_also_a_value)
{
        expect_refused(
            "{\"note\": \"b\",\n\"assets\": {\n" ASSET("a", ", \"note\": \"b\"") ",\n\"b\": {}}}",
            4, "sha256");
}

Test(fetch_catalog, fault_63_line_of_a_name_that_is_also_a_key)
{
        expect_refused(JSON(ASSET("a", "") ",\n\"sha256\": {}"), 3, "sha256");
}

Test(fetch_catalog, fault_63_line_after_an_unknown_key_called_assets)
{
        expect_refused("{\"about\": {\"assets\": \"x\", \"b\": 1},\n\"assets\": {\n\"b\": {}}}", 3,
                       "sha256");
}

Test(fetch_catalog, fault_63_line_of_an_escaped_name)
{
        expect_refused(JSON(ASSET("a", "") ",\n\"caf\\u00e9\": {}"), 3, "sha256");
}
