/*
 * What goes on working in the sandbox: the store, libc, curl, and the leak checker.
 */
#include "cas/ingest.h"
#include "tests/unit/blob.h"
#include "tests/unit/confined.h"

#include <curl/curl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/xattr.h>

TestSuite(fs_sandbox_work, .init = world_make, .fini = scratch_remove, .timeout = 60);

static void work_in_cache(void)
{
        int cache = open(scratch_at("cache").text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char value[8];

        enter();

        int fd = openat(cache, "a/x", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        expect(fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0);
        expect(ftruncate(fd, 4096) == 0 && fallocate(fd, 0, 0, 8192) == 0);
        expect(fchmod(fd, 0444) == 0);
        expect(fchmod(fd, 0600) == 0 && fsetxattr(fd, "user.assetfs.test", "v", 1, 0) == 0);
        expect(fgetxattr(fd, "user.assetfs.test", value, sizeof(value)) == 1);
        expect(renameat2(cache, "a/x", cache, "b/y", RENAME_NOREPLACE) == 0);
        expect(linkat(cache, "b/y", cache, "a/z", 0) == 0);
        expect(truncate(scratch_at("cache/a/z").text, 1) == 0);
        expect(open_at("cache/b/y", O_RDWR | O_TRUNC) >= 0);
        expect(unlinkat(cache, "b/y", 0) == 0 && unlinkat(cache, "a/z", 0) == 0);
        expect(mkdirat(cache, "c", 0700) == 0 && unlinkat(cache, "c", AT_REMOVEDIR) == 0);
        expect(fsync(cache) == 0);
        /* What the cache never holds is not allowed in there either. */
        expect_refused(mkfifoat(cache, "fifo", 0600), EPERM);
        close(fd);
}

Test(fs_sandbox_work, cache_is_worked_in)
{
        in_child(work_in_cache);
}

static void publish(void)
{
        struct cas_store *store = NULL;
        struct cas_ingest *ingest = NULL;
        struct cas_hash *hash = NULL;
        struct cas_digest digest;
        struct cas_blob blob = {.fd = -1};
        char why[CAS_WHY] = "";

        enter();
        expect(cas_hash_new(&hash) == 0);
        cas_hash_update(hash, "blob", 4);
        expect(cas_hash_final(hash, &digest) == 0);
        cas_hash_free(hash);
        expect(rmdir(scratch_at("cache/a").text) == 0 && rmdir(scratch_at("cache/b").text) == 0);
        if (claim_and_open(scratch_at("cache").text, &store, why) < 0) {
                tell("no store: %s\n", why);
                return;
        }
        expect(cas_ingest_begin(store, &digest, 1 << 20, CAS_SIZE_UNKNOWN, &ingest) == 0);
        expect(ingest_bytes(ingest, "blob", 4) == 0);
        expect(cas_ingest_commit(ingest, "test") == 0);
        cas_ingest_free(ingest);
        expect(cas_store_open_blob(store, &digest, &blob) == 0 && blob.size == 4);
        close(blob.fd);
        cas_store_free(store);
}

Test(fs_sandbox_work, store_opens_and_publishes_inside)
{
        in_child(publish);
}

/*
 * Criterion's process has a thread besides the test's. ThreadSanitizer does not notice
 * that a fork leaves it behind, and ends the child whose next thread gets its place.
 */
static void skip_where_no_thread_starts(void)
{
#ifdef __SANITIZE_THREAD__
        skip("ThreadSanitizer starts no thread in a child of Criterion's");
#endif
}

static void *answer(void *seen)
{
        *(int *)seen = 42;
        return NULL;
}

static void run_libc(void)
{
        struct sockaddr_un address = {0};
        struct scratch_path path = scratch_at("elsewhere/socket");
        struct addrinfo *found = NULL;
        pthread_t thread;
        int seen = 0;

        listen_at(path.text, strlen(path.text), &address);
        expect(chmod(path.text, 0666) == 0);
        enter();
        expect(pthread_create(&thread, NULL, answer, &seen) == 0);
        expect(pthread_join(thread, NULL) == 0 && seen == 42);
        expect(getaddrinfo("localhost", "80", NULL, &found) == 0 && found);
        if (found)
                freeaddrinfo(found);

        /* syslog and nscd are reached so. */
        int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        expect(connect(client, (struct sockaddr *)&address, sizeof(address)) == 0);

        int memory = memfd_create("session", MFD_CLOEXEC);

        expect(memory >= 0 && ftruncate(memory, 4096) == 0);

        char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);

        expect(map != MAP_FAILED && (map[0] = 1) == 1);
        expect(raise(0) == 0);
}

Test(fs_sandbox_work, threads_names_sockets_and_memory_go_on)
{
        skip_where_no_thread_starts();
        in_child(run_libc);
}

/* A server on *listener: whoever connects is told "hi", in plain HTTP. */
static void *greet(void *listener)
{
        static const char hi[] = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        char request[4096];
        int client;

        while ((client = accept4(*(int *)listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
                if (read(client, request, sizeof(request)) > 0)
                        send(client, hi, sizeof(hi) - 1, MSG_NOSIGNAL);
                close(client);
        }
        return NULL;
}

static int listen_on_loopback(int *port)
{
        struct sockaddr_in address = {.sin_family = AF_INET};
        socklen_t length = sizeof(address);
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        expect(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
        expect(listen(listener, 4) == 0);
        expect(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
        *port = ntohs(address.sin_port);
        return listener;
}

static CURLcode get(const char *scheme, int port)
{
        char url[64];
        CURL *curl = curl_easy_init();

        snprintf(url, sizeof(url), "%s://localhost:%d/", scheme, port);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);

        CURLcode code = curl_easy_perform(curl);

        curl_easy_cleanup(curl);
        return code;
}

static void fetch(void)
{
        pthread_t server;
        int port;

        enter();

        int listener = listen_on_loopback(&port);

        expect(pthread_create(&server, NULL, greet, &listener) == 0);
        expect(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
        expect(get("http", port) == CURLE_OK);
        /* So far TLS has to come: certificates that cannot be read are another error. */
        expect(get("https", port) == CURLE_SSL_CONNECT_ERROR);
        curl_global_cleanup();
        shutdown(listener, SHUT_RDWR);
        pthread_join(server, NULL);
}

Test(fs_sandbox_work, curl_goes_on)
{
        skip_where_no_thread_starts();
        in_child(fetch);
}

#ifdef __SANITIZE_ADDRESS__
int __lsan_do_recoverable_leak_check(void);

static void look_for_leaks(void)
{
        enter();
        /* What it finds is Criterion's, in a child of it. If it cannot trace, it ends us. */
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        __lsan_do_recoverable_leak_check();
}

Test(fs_sandbox_work, leak_checker_goes_on)
{
        in_child(look_for_leaks);
}
#endif

static void enter_as_ourselves(void)
{
        expect(setgroups(0, NULL) == 0);
        expect(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
        enter();
        expect(status_says("NoNewPrivs:\t1"));
        expect(status_says("Seccomp:\t2"));
        expect(open_at("cache/a/x", O_WRONLY | O_CREAT) >= 0);
}

Test(fs_sandbox_work, user_enters_as_himself)
{
        in_child(enter_as_ourselves);
}
