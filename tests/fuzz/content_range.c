/*
 * Content-Range of a 206 and of a 416.
 */
#include "fetch/header.h"
#include "tests/fuzz/fuzz.h"

#include <inttypes.h>

static void check_range(const char *text)
{
        struct fetch_range range = {1, 2, 3};
        struct fetch_range again;
        char plain[128];
        char total[32] = "*";

        if (!fetch_content_range_parse(text, &range)) {
                fuzz_expect(range.first == 1 && range.last == 2 && range.total == 3);
                return;
        }
        fuzz_expect(range.first <= range.last && range.last < range.total);
        fuzz_expect(range.last <= INT64_MAX);
        fuzz_expect(range.total <= INT64_MAX || range.total == UINT64_MAX);
        fuzz_expect(text[strspn(text, "bytesBYTES 0123456789-/* \t")] == '\0');

        if (range.total != UINT64_MAX)
                snprintf(total, sizeof(total), "%" PRIu64, range.total);
        snprintf(plain, sizeof(plain), "bytes %" PRIu64 "-%" PRIu64 "/%s", range.first, range.last,
                 total);
        fuzz_expect(fetch_content_range_parse(plain, &again));
        fuzz_expect(again.first == range.first && again.last == range.last);
        fuzz_expect(again.total == range.total);
}

static void check_unsatisfied(const char *text)
{
        uint64_t total = 7;
        uint64_t again;
        struct fetch_range range;
        char plain[64];

        if (!fetch_unsatisfied_range_parse(text, &total)) {
                fuzz_expect(total == 7);
                return;
        }
        fuzz_expect(total <= INT64_MAX);
        fuzz_expect(!fetch_content_range_parse(text, &range));
        snprintf(plain, sizeof(plain), "bytes */%" PRIu64, total);
        fuzz_expect(fetch_unsatisfied_range_parse(plain, &again) && again == total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *text = fuzz_text(data, size);

        check_range(text);
        check_unsatisfied(text);
        free(text);
        return 0;
}
