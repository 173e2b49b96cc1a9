/*
 * What may be in the cache, and what is. It reads the cache's directory and the mount's
 * status, and changes nothing.
 */
#include "tests/e2e/model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

unsigned model_dice(struct model *model, unsigned sides)
{
        return (unsigned)rand_r(&model->dice) % sides;
}

void model_say(struct model *model, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(model->history[model->step++ % MODEL_HISTORY], sizeof(model->history[0]), format,
                  args);
        va_end(args);
        for (int i = 0; i < MODEL_ASSETS; i++)
                model->assets[i].asked = false;
}

const char *model_name(const struct model *model, const struct asset *asset)
{
        static char name[96];

        snprintf(name, sizeof(name), "#%td %.8s (%zu bytes%s%s%s)", asset - model->assets,
                 asset->download->hex, asset->download->size, asset->cached ? ", cached" : "",
                 asset->pinned ? ", pinned" : "", asset->holds ? ", open" : "");
        return name;
}

/* Two of them empty could not be told apart, and an empty body cannot be wrong. */
static void make_asset(struct model *model, int i)
{
        struct download *download = &model->downloads[i];
        unsigned size = model_dice(model, i % 5 == 0 ? 10000 : MODEL_LARGEST - 4);

        download->size = i == 0 ? 0 : 4 + size;
        download->unsized = model_dice(model, 2);
        download->sources[0] = i >= MODEL_ASSETS - 2   ? "status-404"
                               : i >= MODEL_ASSETS - 5 ? "wrong"
                                                       : "ok";
        download->error = i >= MODEL_ASSETS - 2 ? ENOENT : i >= MODEL_ASSETS - 5 ? EBADMSG : 0;
        model->assets[i].download = download;
}

static const unsigned char *map_file(const struct model *model, const struct download *download)
{
        char path[2 * WORLD_PATH];
        int fd;
        void *map;

        if (download->size == 0)
                return (const unsigned char *)"";
        snprintf(path, sizeof(path), "%s/%s", model->world.files, download->hex);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        cr_assert(fd >= 0);
        map = mmap(NULL, download->size, PROT_READ, MAP_SHARED, fd, 0);
        cr_assert_neq(map, MAP_FAILED);
        close(fd);
        return map;
}

void model_mount(struct model *model)
{
        char size[32];

        snprintf(size, sizeof(size), "--cache-size=%u", MODEL_CACHE);
        world_mount(&model->world, "--catalog", model->catalog, size);
}

void model_begin(struct model *model)
{
        model->dice = model->seed;
        model->bound = MODEL_CACHE;
        world_begin(&model->world);
        model->world.staging_may_stay = true;
        for (int i = 0; i < MODEL_ASSETS; i++)
                make_asset(model, i);
        world_origin(&model->world);
        model->catalog = downloads_make(&model->world, model->downloads, MODEL_ASSETS);
        for (int i = 0; i < MODEL_ASSETS; i++)
                model->assets[i].bytes = map_file(model, &model->downloads[i]);
        model_mount(model);
}

unsigned model_pinned(const struct model *model)
{
        unsigned count = 0;

        for (int i = 0; i < MODEL_ASSETS; i++)
                count += model->assets[i].pinned;
        return count;
}

static bool is_evictable(const struct asset *asset)
{
        return asset->cached && !asset->pinned && asset->holds == 0;
}

/* Bytes that no eviction brings back. */
static uint64_t fixed_bytes(const struct model *model)
{
        uint64_t sum = 0;

        for (int i = 0; i < MODEL_ASSETS; i++)
                if (model->assets[i].cached && !is_evictable(&model->assets[i]))
                        sum += model->assets[i].blocks;
        return sum;
}

bool model_fits(const struct model *model, uint64_t bytes)
{
        return fixed_bytes(model) + bytes + MODEL_SLACK <= MODEL_CACHE;
}

/* Times that the test has set stay on the disk for a minute after an open (cas/index.h). */
static void touch(const struct model *model, struct asset *asset)
{
        asset->turn = model->turn;
        asset->unknown = false;
        asset->stale = asset->cached && (asset->stale || asset->future || asset->hours > 0);
        asset->future = false;
        asset->hours = 0;
}

void model_opened(struct model *model, struct asset *asset, int error, uint64_t others)
{
        uint64_t size = asset->download->size;

        asset->asked = true;
        if (error == ENOSPC) {
                cr_assert(others > 0 || !asset->cached, "ENOSPC of what is cached: %s",
                          model_name(model, asset));
                cr_assert_not(model_fits(model, others > 0 ? others : size),
                              "ENOSPC, but there is something to evict for %s",
                              model_name(model, asset));
                return;
        }
        cr_assert_eq(error, asset->download->error, "%s: %s", model_name(model, asset),
                     strerror(error));
        if (error != 0)
                return;
        if (others == 0 && !asset->cached)
                cr_assert_leq(fixed_bytes(model) + size, MODEL_CACHE + MODEL_SLACK,
                              "no room for %s, but it is there", model_name(model, asset));
        if (others == 0)
                model->turn++;
        touch(model, asset);
}

void model_touched(struct model *model, struct asset *asset)
{
        model->turn++;
        touch(model, asset);
}

void model_forget_order(struct model *model)
{
        for (int i = 0; i < MODEL_ASSETS; i++) {
                struct asset *asset = &model->assets[i];

                asset->turn = asset->future ? 0 : -asset->hours;
                asset->unknown = asset->future || asset->stale;
        }
}

/* Of an idle mount; waits for the next one where the worker was just killed. */
static bool is_quiet(const struct model *model)
{
        static char text[1 << 18];
        int fd = open(world_path(&model->world, ".assetfs/status.json"), O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

        if (fd >= 0)
                close(fd);
        text[got > 0 ? got : 0] = '\0';
        return strstr(text, "\"flights\": []") != NULL;
}

void model_settle(struct model *model)
{
        int64_t deadline = now_ms() + SURELY_MS;

        while (!is_quiet(model)) {
                cr_assert(now_ms() < deadline, "downloads do not end");
                sleep_ms(5);
        }
}

/* Bytes on disk in a folder of the cache, and how many files these are. */
static uint64_t disk_bytes(const struct model *model, const char *folder, unsigned *ret_files)
{
        char path[2 * WORLD_PATH];
        uint64_t sum = 0;

        *ret_files = 0;
        snprintf(path, sizeof(path), "%s/%s", model->world.cache, folder);

        DIR *dir = opendir(path);

        cr_assert_not_null(dir, "%s", path);
        for (const struct dirent *entry; (entry = readdir(dir));) {
                struct stat st;

                if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                    !S_ISREG(st.st_mode))
                        continue;
                sum += (uint64_t)st.st_blocks * 512;
                ++*ret_files;
        }
        closedir(dir);
        return sum;
}

/* Everything evictable that stays was opened no earlier than what went, unless it takes nothing. */
static void check_order(const struct model *model, const struct asset *gone)
{
        for (int i = 0; i < MODEL_ASSETS; i++) {
                const struct asset *kept = &model->assets[i];
                char name[96];

                if (!is_evictable(kept) || kept->blocks == 0 || kept->unknown || gone->unknown)
                        continue;
                snprintf(name, sizeof(name), "%s", model_name(model, gone));
                cr_assert_leq(gone->turn, kept->turn,
                              "evicted: %s, opened at %jd; kept: %s, opened at %jd", name,
                              (intmax_t)gone->turn, model_name(model, kept), (intmax_t)kept->turn);
        }
}

static void check_gone(const struct model *model, const struct asset *gone, uint64_t bytes,
                       bool refused)
{
        cr_assert_not(gone->pinned, "evicted, but pinned: %s", model_name(model, gone));
        cr_assert_eq(gone->holds, 0, "evicted, but open: %s", model_name(model, gone));
        cr_assert_not(refused, "evicted for nothing: %s", model_name(model, gone));
        cr_assert(model->used + bytes + MODEL_SLACK > model->bound,
                  "evicted, but there was room: %s", model_name(model, gone));
        if (!model->two_orders)
                check_order(model, gone);
}

void model_observe(struct model *model, uint64_t bytes, bool refused)
{
        bool gone[MODEL_ASSETS] = {false};
        unsigned cached = 0;
        uint64_t fixed;
        unsigned files;
        unsigned parts;

        for (int i = 0; i < MODEL_ASSETS; i++) {
                struct asset *asset = &model->assets[i];
                struct stat st;
                bool here = stat(world_blob(&model->world, asset->download->hex), &st) == 0;

                cr_assert(!here || asset->cached || asset->asked, "nobody asked for %s",
                          model_name(model, asset));
                gone[i] = asset->cached && !here;
                asset->cached = here;
                asset->blocks = here ? (uint64_t)st.st_blocks * 512 : 0;
                cached += here;
        }
        for (int i = 0; i < MODEL_ASSETS; i++)
                if (gone[i])
                        check_gone(model, &model->assets[i], bytes, refused);
        model->used = disk_bytes(model, "blobs/sha256", &files);
        model->used += disk_bytes(model, "ingest", &parts);
        cr_assert_eq(files, cached, "blobs that are none of ours");
        /* gc goes as far as can be, a download does not begin. */
        fixed = model->bound < MODEL_CACHE ? fixed_bytes(model) : 0;
        cr_assert_leq(model->used, (model->bound > fixed ? model->bound : fixed) + MODEL_SLACK,
                      "more than --cache-size");
}
