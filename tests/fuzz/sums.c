/*
 * SHA256SUMS as a catalog: beside what holds of every catalog, each asset has one URL for
 * each of its names at most, of a file below the folder of the sums.
 */
#include "tests/fuzz/catalog.h"

static void check_sibling(const char *url)
{
        char *path = NULL;

        fuzz_expect(fetch_url_scheme(url) == FETCH_SCHEME_FILE);
        fuzz_expect(fetch_url_to_path(url, &path) == 0);
        fuzz_expect(strncmp(path, FUZZ_FOLDER "/", strlen(FUZZ_FOLDER "/")) == 0);
        fuzz_expect(!strstr(path, "/../"));
        fuzz_expect(strlen(path) < 3 || strcmp(path + strlen(path) - 3, "/..") != 0);
        free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (fuzz_is_json(data, size))
                return 0;

        struct fetch_catalog *catalog = fuzz_parse_catalog(data, size);

        if (catalog && size)
                fuzz_expect(!memchr(data, '\0', size)); /* it would cut a name short */
        for (size_t i = 0; catalog && i < fetch_catalog_asset_count(catalog); i++) {
                const struct fetch_asset *asset = fetch_catalog_asset(catalog, i);

                fuzz_expect(asset->urls && asset->urls[0]);
                fuzz_expect(asset->size == CAS_SIZE_UNKNOWN);
                for (char **url = asset->urls; *url; url++)
                        check_sibling(*url);
        }
        fetch_catalog_free(catalog);
        return 0;
}
