/*
 * What tests of eviction do again and again. Takes no decision: that is the tests'.
 */
#include "tests/e2e/evict.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void make_assets(struct evict *all)
{
        FILE *file;

        snprintf(all->catalog, sizeof(all->catalog), "%s/catalog.json", all->world.dir);
        file = fopen(all->catalog, "w");
        cr_assert(file);
        fputs("{\"assets\": {", file);
        for (int i = 0; i < EVICT_MANY; i++) {
                world_asset(&all->world, EVICT_SIZE, all->hex[i]);
                fprintf(file, "%s\"%d\": {\"sha256\": \"%s\", \"size\": %d}", i ? ", " : "", i,
                        all->hex[i], EVICT_SIZE);
        }
        fputs("}}", file);
        cr_assert_eq(fclose(file), 0);
}

void evict_begin(struct evict *all)
{
        world_begin(&all->world);
        world_origin(&all->world);
        make_assets(all);
}

void evict_begin_on_tmpfs(struct evict *all)
{
        evict_begin(all);
        cr_assert_eq(world_shell("mkdir -p '%s' && mount -t tmpfs -o size=8M,mode=700,uid=%d,"
                                 "gid=%d none '%s'",
                                 all->world.cache, WORKER_UID, WORKER_UID, all->world.cache),
                     0);
}

void evict_end_on_tmpfs(struct evict *all)
{
        world_unmount(&all->world);
        world_umount(&all->world, "cache");
        world_end(&all->world);
}

void evict_mount(struct evict *all, const char *one, const char *two)
{
        world_mount(&all->world, "--catalog", all->catalog, "--origin",
                    world_url(&all->world, "ok"), one ? one : "--log-level=info", two);
}

int64_t evict_told(const struct evict *all, const char *name, const char *words)
{
        static char text[65536];
        char path[64];
        const char *at;
        ssize_t got;
        int fd;

        snprintf(path, sizeof(path), ".assetfs/%s", name);
        fd = open(world_path(&all->world, path), O_RDONLY | O_CLOEXEC);
        cr_assert(fd >= 0);
        got = read(fd, text, sizeof(text) - 1);
        close(fd);
        text[got > 0 ? got : 0] = '\0';
        at = strstr(text, words);
        if (!at)
                return -1;
        at += strlen(words);
        at += strspn(at, ": ");
        return *at >= '0' && *at <= '9' ? strtoll(at, NULL, 10) : -1;
}

bool evict_comes(const struct evict *all, const char *name, const char *words, int64_t value)
{
        for (int64_t until = now_ms() + SURELY_MS; now_ms() < until; sleep_ms(10))
                if (evict_told(all, name, words) == value)
                        return true;
        return false;
}

int evict_opened(const struct evict *all, int which)
{
        int r = world_open(world_path(&all->world, all->hex[which]));

        cr_assert(evict_comes(all, "status.json", "\"open\"", 0));
        return r;
}

int evict_opened_at_last(const struct evict *all, int which)
{
        int64_t until = now_ms() + SURELY_MS;
        int r = world_open(world_path(&all->world, all->hex[which]));

        for (; r == ENOSPC && now_ms() < until; sleep_ms(100))
                r = world_open(world_path(&all->world, all->hex[which]));
        return r;
}

const char *evict_cached(const struct evict *all)
{
        static char which[EVICT_MANY + 1];
        int count = 0;

        for (int i = 0; i < EVICT_MANY; i++)
                if (access(world_blob(&all->world, all->hex[i]), F_OK) == 0)
                        which[count++] = (char)('0' + i);
        which[count] = '\0';
        return which;
}

void evict_set_age(const struct evict *all, int which, int minutes)
{
        cr_assert_eq(world_shell("touch -a -d '-%d minutes' '%s'", minutes,
                                 world_blob(&all->world, all->hex[which])),
                     0);
}

int evict_logged(const struct evict *all, const char *event, int which)
{
        char words[64 + HEX];

        snprintf(words, sizeof(words), "event=%s digest=%s", event, all->hex[which]);
        return world_logged(&all->world, words);
}
