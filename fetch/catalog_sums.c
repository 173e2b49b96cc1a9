/*
 * SHA256SUMS as a catalog: coreutils' form, text or binary, escaped or not, and
 * the BSD form. Every other line but an empty one or a comment is refused.
 */
#include "fetch/catalog_entry.h"

#include "cas/io.h"
#include "fetch/url.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096

/* coreutils marks a line with a leading backslash where the name has \n, \r or \\ in it. */
static int unescape(char *name)
{
        char *to = name;

        for (const char *from = name; *from; from++) {
                if (*from != '\\') {
                        *to++ = *from;
                        continue;
                }
                from++;
                if (*from == 'n')
                        *to++ = '\n';
                else if (*from == 'r')
                        *to++ = '\r';
                else if (*from == '\\')
                        *to++ = '\\';
                else
                        return -EINVAL;
        }
        *to = '\0';
        return 0;
}

/* Takes a line apart; *ret_hex and *ret_name point into it. */
static int split(char *line, char **ret_hex, char **ret_name)
{
        static const char bsd[] = "SHA256 (";
        char *close;

        if (strncmp(line, bsd, strlen(bsd)) == 0 && (close = strstr(line, ") = "))) {
                for (char *later; (later = strstr(close + 1, ") = "));)
                        close = later;
                *close = '\0';
                *ret_name = line + strlen(bsd);
                *ret_hex = close + strlen(") = ");
                return 0;
        }
        if (strlen(line) < CAS_DIGEST_HEX + 3 || line[CAS_DIGEST_HEX] != ' ' ||
            (line[CAS_DIGEST_HEX + 1] != ' ' && line[CAS_DIGEST_HEX + 1] != '*'))
                return -EINVAL;
        line[CAS_DIGEST_HEX] = '\0';
        *ret_hex = line;
        *ret_name = line + CAS_DIGEST_HEX + 2;
        return 0;
}

/* No sibling lies outside the folder of the sums. */
static int leaves_folder(const char *name)
{
        while (*name) {
                size_t length = strcspn(name, "/");

                if (length == 0 || (length == 2 && memcmp(name, "..", 2) == 0))
                        return 1;
                name += length;
                if (*name == '/')
                        name++;
        }
        return 0;
}

/* The sibling, percent-encoded; -ENOMEM, -ENAMETOOLONG. */
static int sibling(const struct fetch_catalog_text *text, const char *name, char **ret)
{
        _cleanup_free_ char *url = NULL;
        char path[PATH_MAX];
        int r;

        if (snprintf(path, sizeof(path), "%s/%s", text->url ? "" : text->folder, name) >=
            (int)sizeof(path))
                return -ENAMETOOLONG;
        r = fetch_url_from_path(path, &url);
        if (r < 0)
                return r;
        if (text->url)
                return asprintf(ret, "%s%s", text->folder, url + strlen("file://")) < 0 ? -ENOMEM
                                                                                        : 0;
        *ret = url;
        url = NULL;
        return 0;
}

static int add_line(struct catalog_builder *builder, const struct fetch_catalog_text *text,
                    unsigned number, char *line)
{
        bool escaped = line[0] == '\\';
        char *hex;
        char *name;

        if (split(line + (escaped ? 1 : 0), &hex, &name) < 0 || (escaped && unescape(name) < 0))
                return catalog_complain(builder, number, "not a line of SHA256SUMS");
        while (strncmp(name, "./", 2) == 0)
                name += 2;
        if (leaves_folder(name))
                return catalog_complain(builder, number, "the name leaves the folder");

        _cleanup_free_ char *url = NULL;
        int r = sibling(text, name, &url);

        if (r == -ENAMETOOLONG)
                return catalog_complain(builder, number, "the path is too long");
        if (r < 0)
                return r;
        for (char *slash = strchr(name, '/'); slash; slash = strchr(slash, '/'))
                *slash = '-';
        return catalog_add(builder, number, name, hex, CAS_SIZE_UNKNOWN, (const char *const[]){url},
                           1);
}

int catalog_parse_sums(struct catalog_builder *builder, const struct fetch_catalog_text *text)
{
        const char *at = text->bytes;
        const char *end = text->bytes + text->length;

        for (unsigned number = 1; at < end; number++) {
                const char *newline = memchr(at, '\n', (size_t)(end - at));
                size_t length = (size_t)((newline ? newline : end) - at);
                char line[LINE_MAX_BYTES];

                if (length >= sizeof(line) || memchr(at, '\0', length))
                        return catalog_complain(builder, number, "not a line of SHA256SUMS");
                memcpy(line, at, length);
                if (length > 0 && line[length - 1] == '\r')
                        length--;
                line[length] = '\0';
                at = newline ? newline + 1 : end;
                if (length == 0 || line[0] == '#')
                        continue;

                int r = add_line(builder, text, number, line);

                if (r < 0)
                        return r;
        }
        return 0;
}
