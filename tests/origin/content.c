/*
 * What the origin serves: a file of its folder, read where it is asked for, or a stream
 * of pseudo-random bytes of any length, which needs no disk and can be entered anywhere.
 */
#include "tests/origin/origin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool content_open(struct content *content, const char *name)
{
        char path[4096];
        struct stat st;

        snprintf(path, sizeof(path), "%s/%s", origin_folder, name);
        *content = (struct content){.fd = open(path, O_RDONLY | O_CLOEXEC), .wrong = NOWHERE};
        if (content->fd >= 0 && fstat(content->fd, &st) == 0)
                content->size = (uint64_t)st.st_size;
        return content->fd >= 0;
}

void content_generate(struct content *content, uint64_t size)
{
        *content = (struct content){.fd = -1, .size = size, .wrong = NOWHERE};
}

void content_close(struct content *content)
{
        if (content->fd >= 0)
                close(content->fd);
        content->fd = -1;
}

/* splitmix64 (Steele, Lea, Flood 2014), the output for the index as its state. */
static uint64_t word_at(uint64_t index)
{
        uint64_t z = (index + 1) * 0x9e3779b97f4a7c15u;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
}

static void generate(uint64_t offset, char *bytes, size_t length)
{
        for (size_t skip; length > 0; length -= skip, bytes += skip, offset += skip) {
                uint64_t word = word_at(offset / 8);
                size_t inside = offset % 8;

                skip = 8 - inside < length ? 8 - inside : length;
                if (inside == 0) {
                        /* Whole words, the most of them: this is the loop that has to be fast. */
                        for (skip = 0; length - skip >= 8; skip += 8) {
                                word = word_at((offset + skip) / 8);
                                memcpy(bytes + skip, &word, 8);
                        }
                        if (skip > 0)
                                continue;
                        skip = length;
                }
                memcpy(bytes, (const char *)&word + inside, skip);
        }
}

/* Reading a hole would fill the page cache with it, which costs more than all the rest. */
static bool is_hole(int fd, uint64_t offset, size_t length)
{
        off_t data = lseek(fd, (off_t)offset, SEEK_DATA);

        return data < 0 ? errno == ENXIO : (uint64_t)data >= offset + length;
}

void content_read(const struct content *content, uint64_t offset, void *bytes, size_t length)
{
        if (content->fd < 0)
                generate(offset, bytes, length);
        else if (is_hole(content->fd, offset, length))
                memset(bytes, 0, length);
        /* Nobody changes a file while it is served: less than all of it is a broken test. */
        else if (pread(content->fd, bytes, length, (off_t)offset) != (ssize_t)length)
                abort();
        if (content->wrong >= offset && content->wrong - offset < length)
                ((char *)bytes)[content->wrong - offset] ^= 1;
}

uint64_t content_size(const char *text)
{
        char *end;
        uint64_t number = strtoull(text, &end, 10);

        if (end == text)
                return 0;
        return number << (*end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0);
}
