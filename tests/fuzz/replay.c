/*
 * replay DIRECTORY: a fuzzer's main() where there is no libFuzzer. Feeds it every file of
 * the directory, and names the one that it did not survive. A child does the work, so
 * that the name is known however the child ends: a signal, a sanitizer's exit, a hang.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANG_SECONDS 10

/* Also the empty input is one. */
static bool replay_file(const char *path)
{
        struct stat st;
        FILE *file = fopen(path, "re");

        if (!file || fstat(fileno(file), &st) < 0 || !S_ISREG(st.st_mode)) {
                if (file)
                        fclose(file);
                return false;
        }

        uint8_t *data = malloc((size_t)st.st_size + 1);
        size_t got = data ? fread(data, 1, (size_t)st.st_size, file) : 0;
        bool whole = data && got == (size_t)st.st_size;

        if (whole) {
                alarm(HANG_SECONDS);
                LLVMFuzzerTestOneInput(data, got);
                alarm(0);
        }
        free(data);
        fclose(file);
        return whole;
}

/* The child's exit status. An empty corpus tests nothing, and fails. */
static int replay_directory(const char *directory, char path[PATH_MAX])
{
        DIR *dir = opendir(directory);
        unsigned count = 0;
        bool read = dir;

        for (const struct dirent *entry; read && (entry = readdir(dir));) {
                if (entry->d_name[0] == '.')
                        continue;
                snprintf(path, PATH_MAX, "%s/%s", directory, entry->d_name);
                read = replay_file(path);
                count++;
        }
        if (dir)
                closedir(dir);
        return read && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
        char *path =
            mmap(NULL, PATH_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        int status;

        if (argc != 2 || path == MAP_FAILED)
                return 2;
        snprintf(path, PATH_MAX, "%s", argv[1]);

        pid_t child = fork();

        if (child == 0)
                return replay_directory(argv[1], path);
        if (child < 0 || waitpid(child, &status, 0) < 0)
                return 2;
        if (status == 0)
                return 0;
        fprintf(stderr, "replay: %s: ended with %s %d\n", path,
                WIFSIGNALED(status) ? "signal" : "status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        return 1;
}
