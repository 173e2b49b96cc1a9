/*
 * Catalogs in JSON.
 */
#include "tests/fuzz/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (fuzz_is_json(data, size))
                fetch_catalog_free(fuzz_parse_catalog(data, size));
        return 0;
}
