/*
 * What is left after a cut. Every name has to rehash to itself BEFORE a daemon sees it: the
 * daemon would find most wrong blobs by their record and take them away.
 */
#include "cas/io.h"
#include "tests/power/run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void broken(struct run *run, const char *what, const char *hex)
{
        run->tally.broken++;
        printf("power: broken promise: %s: %s\n", what, hex);
}

/* Does the file hash to its name? What cannot be read does not. */
static bool is_whole(const char *path)
{
        static char chunk[1 << 18];
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct cas_digest digest;
        struct cas_hash *hash;
        char hex[HEX];
        ssize_t got = -1;

        cr_assert_eq(cas_hash_new(&hash), 0);
        while (fd >= 0 && (got = read(fd, chunk, sizeof(chunk))) > 0)
                cas_hash_update(hash, chunk, (size_t)got);
        cr_assert_eq(cas_hash_final(hash, &digest), 0);
        cas_hash_free(hash);
        cas_digest_format(&digest, hex);
        return got == 0 && strcmp(hex, strrchr(path, '/') + 1) == 0;
}

static int asset_of(const struct run *run, const char *name)
{
        for (int i = 0; i < ASSETS; i++)
                if (strncmp(name, run->hex[i], CAS_DIGEST_HEX) == 0)
                        return i;
        return -1;
}

static void each_in(const struct world *world, const char *folder, struct run *run,
                    void (*look)(struct run *, const char *path, int asset))
{
        char path[2 * WORLD_PATH];
        char file[4 * WORLD_PATH];

        snprintf(path, sizeof(path), "%s/%s", world->cache, folder);

        DIR *dir = opendir(path);

        for (const struct dirent *entry; dir && (entry = readdir(dir));) {
                if (entry->d_name[0] == '.')
                        continue;
                snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
                look(run, file, asset_of(run, entry->d_name));
        }
        if (dir)
                closedir(dir);
}

static void look_at_blob(struct run *run, const char *path, int asset)
{
        run->tally.blobs++;
        run->tally.unanswered += asset < 0 || !run->disk->marked[asset];
        if (!is_whole(path))
                broken(run, "a name without its bytes", strrchr(path, '/') + 1);
}

static void look_at_staging(struct run *run, const char *path, int asset)
{
        struct stat st;

        (void)asset;
        if (stat(path, &st) < 0)
                return;
        run->tally.staged += st.st_size > 0;
        run->tally.empty += st.st_size == 0;
        run->tally.sealed += (st.st_mode & 0777) == 0444;
}

/* The asset whose download can go on, or -1. */
static int find_staged(const struct run *run, const struct world *replay)
{
        for (int i = 0; i < ASSETS; i++) {
                struct stat st;

                if (stat(world_staging(replay, run->hex[i]), &st) == 0 && st.st_size > 0 &&
                    st.st_size < run->sizes[i])
                        return i;
        }
        return -1;
}

/* The daemon starts by itself; what was promised opens, what was under way goes on. */
static void serve_again(struct run *run, struct world *replay)
{
        int staged = find_staged(run, replay);
        char words[128];

        world_mount(replay, "--origin", world_url(&run->world, "ok"));
        for (int i = 0; i < ASSETS; i++)
                if (run->disk->marked[i] && world_open(world_path(replay, run->hex[i])) != 0)
                        broken(run, "does not open", run->hex[i]);
        if (staged >= 0) {
                snprintf(words, sizeof(words), "GET /ok/%s bytes=", run->hex[staged]);

                int before = world_requests(&run->world, words);

                cr_expect_eq(world_open(world_path(replay, run->hex[staged])), 0);
                cr_expect_gt(world_requests(&run->world, words), before, "%s begins anew",
                             run->hex[staged]);
                run->tally.resumed++;
        }
        world_unmount(replay);
}

/* On a loaded machine it was seen to be busy for a moment after the daemon's end. */
void replay_unmount(const char *cache)
{
        int64_t deadline = now_ms() + SURELY_MS;

        while (umount2(cache, 0) < 0) {
                cr_assert(errno == EBUSY && now_ms() < deadline, "%s: %s", cache, strerror(errno));
                sleep_ms(10);
        }
}

void replay_image(struct run *run, const char *image)
{
        struct world replay;

        world_begin(&replay);
        cr_assert_eq(world_shell("mkdir '%s' && mount -o loop,%s '%s' '%s'", replay.cache,
                                 run->kind->options, image, replay.cache),
                     0, "the journal of %s", image);
        each_in(&replay, "blobs/sha256", run, look_at_blob);
        each_in(&replay, "ingest", run, look_at_staging);
        for (int i = 0; i < ASSETS; i++)
                if (run->disk->marked[i] && access(world_blob(&replay, run->hex[i]), F_OK) < 0)
                        broken(run, "opened before the cut, gone after it", run->hex[i]);
        if (!run->tally.broken)
                serve_again(run, &replay);
        replay_unmount(replay.cache);
        world_end(&replay);
        unlink(image);
}
