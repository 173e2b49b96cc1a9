/*
 * serial [-c CA] [-f FILE [-r none|all|tenth]] URL SHA256: downloads in one thread, hashing
 * in libcurl's callback, and prints how long that took, in microseconds. The yardsticks:
 *
 *   without -f   "sink": the bytes go nowhere
 *   with -f      "serial": they are written where they are hashed, to FILE.part, flushed
 *                and renamed to FILE; with -r that is then read
 *
 * It has what a good client has (a large receive buffer, OpenSSL's SHA-256), and what a
 * process pays once is not counted: nobody should win by a weak opponent.
 */
#include "tests/bench/reading.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BYTES (512l << 10)

struct serial {
        const char *url;
        const char *sha256; /* what it shall be, in hex */
        const char *ca;     /* or NULL: the system's */
        const char *file;   /* or NULL: nowhere */
        enum reading reading;

        EVP_MD_CTX *hash;
        int fd;
};

static size_t receive(char *bytes, size_t one, size_t length, void *userdata)
{
        struct serial *serial = userdata;

        (void)one; /* 1, says the manual */
        if (EVP_DigestUpdate(serial->hash, bytes, length) != 1)
                return 0;
        for (size_t done = 0; serial->file && done < length;) {
                ssize_t wrote = write(serial->fd, bytes + done, length - done);

                if (wrote < 0)
                        return 0;
                done += (size_t)wrote;
        }
        return length;
}

static bool transfer(struct serial *serial)
{
        CURL *curl = curl_easy_init();
        CURLcode code = CURLE_OUT_OF_MEMORY;

        if (curl) {
                curl_easy_setopt(curl, CURLOPT_URL, serial->url);
                if (serial->ca)
                        curl_easy_setopt(curl, CURLOPT_CAINFO, serial->ca);
                curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1l);
                curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
                curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
                curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
                curl_easy_setopt(curl, CURLOPT_WRITEDATA, serial);
                code = curl_easy_perform(curl);
                curl_easy_cleanup(curl);
        }
        if (code != CURLE_OK)
                fprintf(stderr, "serial: %s: %s\n", serial->url, curl_easy_strerror(code));
        return code == CURLE_OK;
}

static bool is_right(struct serial *serial)
{
        unsigned char digest[EVP_MAX_MD_SIZE];
        char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
        unsigned length = 0;

        if (EVP_DigestFinal_ex(serial->hash, digest, &length) != 1)
                return false;
        for (unsigned i = 0; i < length; i++)
                snprintf(hex + 2 * i, 3, "%02x", digest[i]);
        if (strcmp(hex, serial->sha256) == 0)
                return true;
        fprintf(stderr, "serial: %s has the digest %s\n", serial->url, hex);
        return false;
}

static bool complain(const char *what, int error)
{
        fprintf(stderr, "serial: %s: %s\n", what, strerror(error));
        return false;
}

/* Opened anew, as whoever wants the file has to. */
static bool read_back(const struct serial *serial)
{
        int fd = open(serial->file, O_RDONLY | O_CLOEXEC);
        int r = fd < 0 ? -errno : reading_read(fd, serial->reading);

        if (fd >= 0)
                close(fd);
        return r == 0 || complain(serial->file, -r);
}

static bool download(struct serial *serial)
{
        char part[PATH_MAX];

        if (!serial->file)
                return transfer(serial) && is_right(serial);
        snprintf(part, sizeof(part), "%s.part", serial->file);
        serial->fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
        if (serial->fd < 0)
                return complain(part, errno);

        bool done = transfer(serial) && is_right(serial);

        if (done && (fdatasync(serial->fd) < 0 || rename(part, serial->file) < 0))
                done = complain(part, errno);
        close(serial->fd);
        if (!done)
                unlink(part);
        return done && read_back(serial);
}

static bool parse(struct serial *serial, int argc, char **argv)
{
        bool good = true;
        int option;

        while ((option = getopt(argc, argv, "c:f:r:")) >= 0) {
                if (option == 'c')
                        serial->ca = optarg;
                else if (option == 'f')
                        serial->file = optarg;
                else
                        good &= option == 'r' && reading_parse(optarg, &serial->reading) == 0;
        }
        if (!good || argc - optind != 2 || (serial->reading != READING_NOTHING && !serial->file))
                return false;
        serial->url = argv[optind];
        serial->sha256 = argv[optind + 1];
        return true;
}

int main(int argc, char **argv)
{
        struct serial serial = {0};

        if (!parse(&serial, argc, argv)) {
                fprintf(stderr, "usage: serial [-c CA] [-f FILE [-r none|all|tenth]] URL SHA256\n");
                return 2;
        }
        curl_global_init(CURL_GLOBAL_ALL);
        serial.hash = EVP_MD_CTX_new();
        if (!serial.hash || EVP_DigestInit_ex(serial.hash, EVP_sha256(), NULL) != 1)
                return 1;

        int64_t start = reading_now_us();
        bool done = download(&serial);
        int64_t took = reading_now_us() - start;

        if (done)
                printf("%lld\n", (long long)took);
        EVP_MD_CTX_free(serial.hash);
        curl_global_cleanup();
        return done ? 0 : 1;
}
