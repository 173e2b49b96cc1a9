/*
 * Configuration files: whatever stands in one, it is taken within all bounds, or refused with
 * lines that name the file and a line in it.
 */
#include "fs/config.h"

#include "fetch/catalog.h"
#include "fetch/template.h"
#include "fs/settings.h"
#include "tests/fuzz/fuzz.h"

#define PATH "/etc/assetfs/fuzz.conf"

static unsigned count_lines(const char *text)
{
        unsigned lines = 1;

        for (; *text; text++)
                lines += *text == '\n';
        return lines;
}

static void check_refusal(const char *line, const char *text)
{
        unsigned number = 0;

        fuzz_expect(sscanf(line, PATH ":%u: ", &number) == 1);
        fuzz_expect(number >= 1 && number <= count_lines(text));
        fuzz_expect(!strchr(line, '\n'));
}

static void check_taken(const struct fs_options *options)
{
        const char *why;

        for (size_t i = 0; i < options->origin_count; i++)
                fuzz_expect(fetch_template_check(options->origins[i].url, &why) == 0);
        for (size_t i = 0; i < options->catalog_count; i++)
                fuzz_expect(options->catalogs[i][0] == '/' ||
                            fetch_catalog_is_url(options->catalogs[i]));
        fuzz_expect(!options->cache || options->cache[0] == '/');
        fuzz_expect(options->max_asset_size > 0 && options->max_downloads > 0);
        fuzz_expect(options->connections > 0 && options->retries <= 100);
}

static unsigned apply(const char *text, enum fs_config_part part)
{
        static struct fs_options options; /* tens of KiB */
        struct fs_refusals refusals = {0};

        options = (struct fs_options){.of_worker = true};
        fs_settings_defaults(&options);
        fs_config_apply(PATH, text, part, &options, &refusals);
        fuzz_expect((refusals.count > 0) == (refusals.status != 0));
        if (refusals.count)
                check_refusal(refusals.first, text);
        check_taken(&options);
        fs_options_free(&options);
        return refusals.count;
}

/* What is taken as a whole is taken in parts. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *text = fuzz_text(data, size);

        if (apply(text, FS_CONFIG_ALL) == 0)
                fuzz_expect(apply(text, FS_CONFIG_FIXED) == 0 && apply(text, FS_CONFIG_FREE) == 0);
        free(text);
        return 0;
}
