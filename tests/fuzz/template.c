/*
 * URL templates: what fetch_template_check() takes has to make a good URL of every digest.
 */
#include "fetch/template.h"

#include "fetch/url.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>

#define MARK "{sha256}"

static size_t count_marks(const char *text)
{
        size_t marks = 0;

        for (const char *mark = strstr(text, MARK); mark; mark = strstr(mark + 1, MARK))
                marks++;
        return marks;
}

/* The expansion of a template with at least one mark. */
static char *expand(const char *template_url, const struct cas_digest *digest)
{
        char *url = fetch_template_expand(template_url, digest);
        char hex[CAS_DIGEST_HEX + 1];

        fuzz_expect(url);
        cas_digest_format(digest, hex);
        fuzz_expect(strstr(url, hex) && !strstr(url, MARK));
        fuzz_expect(strlen(url) == strlen(template_url) +
                                       count_marks(template_url) * (CAS_DIGEST_HEX - strlen(MARK)));
        return url;
}

static void check_url(const char *template_url, const struct cas_digest *digest)
{
        char *url = expand(template_url, digest);
        char shown[512];
        enum fetch_scheme scheme;
        const char *why = NULL;

        fuzz_expect(fetch_url_check(url, &scheme, &why) == 0);
        fuzz_expect(scheme != FETCH_SCHEME_OTHER && scheme == fetch_url_scheme(template_url));
        fetch_url_redact(url, shown, sizeof(shown));
        /* An empty user is none to libcurl, and is not shown. */
        fuzz_expect(fetch_url_has_user(url) || strncmp(shown, url, strcspn(shown, "?")) == 0);
        free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct cas_digest digests[] = {
            {{0}}, {{0xab, 0xcd, 0xef, 0x01, 0x23}}, {{0xff, [31] = 0xff}}, {{[31] = 0x99}}};
        char *text = fuzz_text(data, size);
        const char *why = NULL;
        int r = fetch_template_check(text, &why);

        fuzz_expect(r == 0 || (r == -EINVAL && why && *why));
        for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
                if (r == 0)
                        check_url(text, &digests[i]);
                else if (strstr(text, MARK))
                        free(expand(text, &digests[i]));
        }
        free(text);
        return 0;
}
