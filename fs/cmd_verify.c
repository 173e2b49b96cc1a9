/*
 * `assetfs verify`: hashes what a cache holds, beside the daemon that has it. As root it first
 * takes on the owner's rights for good: what lies in the cache is his, and leads nowhere that
 * he could not go himself.
 */
#include "fs/cmd.h"

#include "cas/io.h"
#include "cas/scrub.h"
#include "fetch/cause.h"
#include "fetch/clock.h"
#include "fs/idle.h"
#include "fs/log.h"
#include "fs/terminal.h"
#include "fs/values.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRAME_MS 250
#define BAR      40

static const char usage[] =
    "usage: assetfs verify --cache DIR [-q] [DIGEST]...\n"
    "\n"
    "Hashes the assets of a cache again, all or the named ones, beside the daemon that has\n"
    "it, if any. What is wrong, or cannot be read, is moved to the cache's quarantine/, and\n"
    "its next open downloads it again.\n"
    "\n"
    "  --cache DIR  the cache; for root and its owner\n"
    "  -q           tells only what is wrong\n"
    "\n"
    "On a terminal it shows progress; elsewhere a line for each asset, on stdout:\n"
    "  good DIGEST BYTES\n"
    "and on stderr, always:\n"
    "  bad DIGEST: what was found          failed DIGEST: why it cannot be told\n"
    "\n"
    "Exit status: 0 only if all are good, 1 (failed), 2 (usage).\n";

struct verify {
        const char *cache;
        bool quiet;
        bool terminal;
        struct cas_scrub scrub;
        struct cas_scrub_item *items;
        size_t count;
        size_t done;
        size_t bad; /* and those of which it cannot be told */
        uint64_t bytes;
        uint64_t hashed;
        int64_t drawn_ms;
        struct fs_screen screen;
};

static int usage_error(const char *words)
{
        fs_fail("verify: %s: see assetfs verify --help", words);
        return FS_USAGE_ERROR;
}

/* 0, an exit status after a line, or -1 after --help. */
static int read_options(int argc, char **argv, struct verify *verify)
{
        static const struct option options[] = {
            {"cache", required_argument, NULL, 'c'},
            {"quiet", no_argument, NULL, 'q'},
            {"help", no_argument, NULL, 'h'},
            {0},
        };
        int option;

        opterr = 0;
        while ((option = getopt_long(argc, argv, ":hq", options, NULL)) >= 0) {
                if (option == 'c')
                        verify->cache = optarg;
                else if (option == 'q')
                        verify->quiet = true;
                else if (option == 'h')
                        return fputs(usage, stdout) < 0 ? 1 : -1;
                else
                        return usage_error(option == ':' ? "--cache without a directory"
                                                         : "an option that it does not know");
        }
        return verify->cache ? 0 : usage_error("no --cache");
}

static int become(uid_t uid, gid_t gid)
{
        if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
                return -errno;
        return geteuid() == uid && getegid() == gid ? 0 : -EPERM;
}

/* The directories, as the cache's owner. */
static int open_cache(struct verify *verify)
{
        const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        _cleanup_close_ int root = open(verify->cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;

        if (root < 0 || fstat(root, &st) < 0)
                return fs_fail("%s: %s", verify->cache, strerror(errno));
        if (geteuid() == 0 && st.st_uid != 0) {
                int r = become(st.st_uid, st.st_gid);

                if (r < 0)
                        return fs_fail("cannot become uid %u: %s", st.st_uid, strerror(-r));
        }
        if (geteuid() != st.st_uid)
                return fs_fail("%s belongs to uid %u: for that user and root", verify->cache,
                               st.st_uid);

        _cleanup_close_ int parent = openat(root, "blobs", flags);

        verify->scrub.blobs = parent < 0 ? -1 : openat(parent, "sha256", flags);
        if (verify->scrub.blobs < 0)
                return fs_fail("%s: %s", verify->cache,
                               errno == ENOENT ? "not a cache" : strerror(errno));
        verify->scrub.quarantine = openat(root, "quarantine", flags); /* or what is bad goes */
        return 0;
}

/* For a line that stays. */
static void clear(struct verify *verify)
{
        if (verify->terminal)
                fs_screen_erase(&verify->screen);
        verify->drawn_ms = 0;
}

__attribute__((format(printf, 4, 5))) static void
complain(struct verify *verify, const char *what, const char *name, const char *format, ...)
{
        va_list args;

        clear(verify);
        fprintf(stderr, "%s %s: ", what, name);
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fputc('\n', stderr);
        verify->bad++;
}

/* 0, or the exit status. */
static int find_named(struct verify *verify, char **words, size_t count)
{
        verify->items = calloc(count, sizeof(*verify->items));
        if (!verify->items)
                return fs_fail("%s", strerror(ENOMEM));
        for (; *words; words++) {
                struct cas_digest digest;
                char shown[CAS_DIGEST_HEX + 1];

                snprintf(shown, sizeof(shown), "%s", *words);
                fetch_make_printable(shown);
                if (cas_digest_parse(*words, strlen(*words), &digest) < 0)
                        return usage_error("a DIGEST is 64 lowercase hex digits");

                int r = cas_scrub_look(&verify->scrub, &digest, &verify->items[verify->count]);

                if (r == 0)
                        verify->count++;
                else
                        complain(verify, "failed", shown, "%s",
                                 r == -ENOENT    ? "not in the cache"
                                 : r == -EUCLEAN ? "no regular file of the cache's owner"
                                                 : strerror(-r));
        }
        return 0;
}

static void draw(struct verify *verify)
{
        _cleanup_free_ char *frame = NULL;
        char done[FS_HUMAN];
        char all[FS_HUMAN];
        size_t length = 0;
        FILE *out = open_memstream(&frame, &length);

        if (!out)
                return;
        fs_screen_measure(&verify->screen);
        fs_bar(out, BAR, verify->hashed, verify->bytes);
        fprintf(out, " %zu of %zu, %s of %s", verify->done, verify->count,
                fs_human_size(verify->hashed, done), fs_human_size(verify->bytes, all));
        if (verify->bad > 0)
                fprintf(out, ", %zu bad", verify->bad);
        fputc('\n', out);
        if (fclose(out) == 0)
                fs_screen_draw(&verify->screen, frame);
        verify->drawn_ms = fetch_now_ms();
}

static void on_progress(void *arg, uint64_t bytes)
{
        struct verify *verify = arg;

        verify->hashed += bytes;
        if (verify->terminal && fetch_now_ms() - verify->drawn_ms >= FRAME_MS)
                draw(verify);
}

static void verify_one(struct verify *verify, const struct cas_digest *digest)
{
        struct fetch_cause cause = {0};
        struct cas_verdict verdict;
        char hex[CAS_DIGEST_HEX + 1];
        int r = cas_scrub_blob(&verify->scrub, digest, &verdict);

        cas_digest_format(digest, hex);
        verify->done++;
        if (r == 0) {
                if (!verify->terminal && !verify->quiet)
                        printf("good %s %" PRIu64 "\n", hex, verdict.size);
        } else if (r == -EBADMSG) {
                fetch_cause_set_verdict(&cause, &verdict);
                complain(verify, "bad", hex, "%" PRIu64 " bytes: %s", verdict.size, cause.text);
        } else if (r != -ENOENT) { /* what vanishes meanwhile was evicted, or found by an open */
                complain(verify, "failed", hex, "%s", strerror(-r));
        }
}

static int run(struct verify *verify, char **words, size_t word_count)
{
        int r = 0;

        verify->scrub.direct = true;
        verify->scrub.progress = on_progress;
        verify->scrub.arg = verify;
        verify->terminal = !verify->quiet && fs_is_terminal(STDOUT_FILENO);
        fs_screen_open(&verify->screen, STDOUT_FILENO);
        if (word_count > 0)
                r = find_named(verify, words, word_count);
        else if ((r = cas_scrub_list(&verify->scrub, &verify->items, &verify->count)) < 0)
                r = fs_fail("%s: %s", verify->cache, strerror(-r));
        if (r != 0)
                return r;
        for (size_t i = 0; i < verify->count; i++)
                verify->bytes += verify->items[i].size;
        for (size_t i = 0; i < verify->count; i++)
                verify_one(verify, &verify->items[i].digest);
        if (verify->terminal)
                draw(verify);
        if (ferror(stdout) || fflush(stdout) != 0)
                return fs_fail("stdout: %s", strerror(EIO));
        return verify->bad > 0;
}

int cmd_verify(int argc, char **argv)
{
        struct verify verify = {.scrub = {.blobs = -1, .quarantine = -1}};
        int status = read_options(argc, argv, &verify);

        if (status != 0)
                return status < 0 ? 0 : status;
        umask(077);
        fs_idle_thread();
        status = open_cache(&verify);
        if (status == 0)
                status = run(&verify, argv + optind, (size_t)(argc - optind));
        free(verify.items);
        cas_io_close_at(&verify.scrub.blobs);
        cas_io_close_at(&verify.scrub.quarantine);
        return status;
}
