/*
 * Credentials: whom a pass is for, and when a file is read again.
 */
#include "fetch/auth.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_for(const char *one, const char *other)
{
        struct fetch_auth_pass pass = {.url = (char *)one};

        return fetch_auth_pass_is_for(&pass, other);
}

Test(fetch_auth, fault_17_for_one_server)
{
        const char *origin = "https://host/a/{sha256}";

        cr_expect(is_for(origin, "https://host/b?c"));
        cr_expect(is_for(origin, "https://HOST:443/"));
        cr_expect_not(is_for(origin, "https://host:444/"));
        cr_expect_not(is_for(origin, "http://host/"));
        cr_expect_not(is_for(origin, "http://host:443/"));
        cr_expect_not(is_for(origin, "https://host.example/"));
        cr_expect_not(is_for(origin, "https://other@host@else/"));
        cr_expect_not(is_for(origin, "https:/\\host/"));
        cr_expect_not(is_for(origin, "no URL"));
}

Test(fetch_auth, private_is_https_or_here)
{
        cr_expect(fetch_auth_is_private("https://host/{sha256}"));
        cr_expect(fetch_auth_is_private("http://127.0.0.1:8/{sha256}"));
        cr_expect(fetch_auth_is_private("http://[::1]/{sha256}"));
        cr_expect_not(fetch_auth_is_private("http://host/{sha256}"));
        cr_expect_not(fetch_auth_is_private("http://127.0.0.1.host/{sha256}"));
}

static void write_text(const char *path, const char *text)
{
        FILE *file = fopen(path, "w");

        cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

Test(fetch_auth, file_is_read_when_it_has_changed)
{
        char path[] = "/tmp/assetfs-auth.XXXXXX";
        struct fetch_auth_files files = {.token_file = path};
        struct fetch_cause cause = {0};
        struct fetch_auth *auth;

        close(mkstemp(path));
        cr_assert_eq(fetch_auth_of_files("https://host/{sha256}", &files, &auth), 0);
        cr_expect_null(fetch_auth_take(auth, NULL, &cause));
        cr_expect_eq(cause.kind, FETCH_DENIED);

        write_text(path, "one\nX-Forged: yes\n");
        cr_expect_null(fetch_auth_take(auth, NULL, &cause), "one word");

        write_text(path, "first\n");

        struct fetch_auth_pass *first = fetch_auth_take(auth, NULL, &cause);
        struct fetch_auth_pass *same = fetch_auth_take(auth, NULL, &cause);

        cr_assert(first);
        cr_expect_eq(cause.kind, FETCH_OK);
        cr_expect_str_eq(first->authorization, "Authorization: Bearer first");
        cr_expect_eq(first, same, "one for all");
        cr_expect_null(fetch_auth_renew(auth, first, "https://host/x", NULL, &cause),
                       "there is no other one");

        write_text(path, "another\n");

        struct fetch_auth_pass *next = fetch_auth_take(auth, NULL, &cause);

        cr_assert(next);
        cr_expect_str_eq(next->authorization, "Authorization: Bearer another");
        cr_expect_str_eq(first->authorization, "Authorization: Bearer first", "still whole");
        fetch_auth_pass_unref(first);
        fetch_auth_pass_unref(same);
        fetch_auth_pass_unref(next);
        fetch_auth_free(auth);
        unlink(path);
}

/* A kind whose passes are numbers, and which can be made to wait and to fail. */
struct counting {
        struct fetch_auth auth;
        atomic_int made;
        atomic_int tried;
        atomic_bool waits;
        atomic_bool fails;
        int life_s; /* 0: for ever */
        char refused[64];
};

static bool count_make(struct fetch_auth *auth, const struct fetch_auth_call *call,
                       struct fetch_auth_pass *pass, struct fetch_cause *cause)
{
        struct counting *counting = (struct counting *)auth;

        atomic_fetch_add(&counting->tried, 1);
        while (atomic_load(&counting->waits))
                usleep(1000);
        if (atomic_load(&counting->fails)) {
                fetch_cause_set(cause, FETCH_DENIED, "no number");
                return false;
        }
        snprintf(counting->refused, sizeof(counting->refused), "%s",
                 call->refused ? call->refused : "");
        if (counting->life_s)
                fetch_auth_set_life(pass, counting->life_s);
        return asprintf(&pass->authorization, "Authorization: Bearer %d",
                        atomic_fetch_add(&counting->made, 1) + 1) > 0;
}

static void count_destroy(struct fetch_auth *auth)
{
        (void)auth;
}

static void count_begin(struct counting *counting, int life_s)
{
        static const struct fetch_auth_kind kind = {NULL, count_make, count_destroy};

        *counting = (struct counting){.life_s = life_s};
        cr_assert_eq(fetch_auth_init(&counting->auth, &kind, "https://host/"), 0);
}

static struct fetch_auth_pass *take_now(struct counting *counting)
{
        struct fetch_cause cause = {0};

        return fetch_auth_take(&counting->auth, NULL, &cause);
}

static void *take_one(void *arg)
{
        return take_now(arg);
}

Test(fetch_auth, one_is_made_for_all_that_wait, .timeout = 20)
{
        struct counting counting;
        pthread_t threads[16];

        count_begin(&counting, 0);
        atomic_store(&counting.waits, true);
        for (int i = 0; i < 16; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, take_one, &counting), 0);
        usleep(20000);
        atomic_store(&counting.waits, false);
        for (int i = 0; i < 16; i++) {
                void *pass = NULL;

                pthread_join(threads[i], &pass);
                cr_expect(pass && ((struct fetch_auth_pass *)pass)->authorization);
                fetch_auth_pass_unref(pass);
        }
        cr_expect_eq(atomic_load(&counting.made), 1);
        fetch_auth_free(&counting.auth);
}

/* Else the last of them would wait for as many timeouts as there are flights. */
Test(fetch_auth, who_waits_for_one_that_cannot_be_made_does_not_try_as_well, .timeout = 20)
{
        struct counting counting;
        pthread_t threads[16];

        count_begin(&counting, 0);
        atomic_store(&counting.waits, true);
        atomic_store(&counting.fails, true);
        for (int i = 0; i < 16; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, take_one, &counting), 0);
        usleep(300000);
        atomic_store(&counting.waits, false);
        for (int i = 0; i < 16; i++) {
                void *pass = NULL;

                pthread_join(threads[i], &pass);
                cr_expect_null(pass);
        }
        cr_expect_lt(atomic_load(&counting.tried), 8, "%d", atomic_load(&counting.tried));
        fetch_auth_free(&counting.auth);
}

Test(fetch_auth, who_is_cancelled_does_not_wait, .timeout = 20)
{
        struct counting counting;
        struct fetch_cause cause = {0};
        atomic_bool cancelled = true;
        pthread_t thread;
        void *pass = NULL;

        count_begin(&counting, 0);
        atomic_store(&counting.waits, true);
        cr_assert_eq(pthread_create(&thread, NULL, take_one, &counting), 0);
        usleep(20000);
        cr_expect_null(fetch_auth_take(&counting.auth, &cancelled, &cause));
        cr_expect_eq(cause.kind, FETCH_CANCELLED);
        atomic_store(&counting.waits, false);
        pthread_join(thread, &pass);
        fetch_auth_pass_unref(pass);
        fetch_auth_free(&counting.auth);
}

/* Refused by many flights at once: one new pass, and the next one not before a pause. */
Test(fetch_auth, refused_is_renewed_once, .timeout = 20)
{
        struct counting counting;
        struct fetch_cause cause = {0};

        count_begin(&counting, 0);

        struct fetch_auth_pass *first = take_now(&counting);
        struct fetch_auth_pass *second =
            fetch_auth_renew(&counting.auth, first, "https://host/a", NULL, &cause);
        struct fetch_auth_pass *same =
            fetch_auth_renew(&counting.auth, first, "https://host/b", NULL, &cause);

        cr_expect_str_eq(counting.refused, "https://host/a");
        cr_assert(second);
        cr_expect_eq(second, same, "the others get what one has got");
        fetch_cause_set(&cause, FETCH_DENIED, "HTTP 401");
        cr_expect_null(fetch_auth_renew(&counting.auth, second, "https://host/b", NULL, &cause),
                       "a source that refuses all");
        cr_expect_str_eq(cause.text, "HTTP 401", "there is nothing to add to that");
        cr_expect_eq(atomic_load(&counting.made), 2);
        fetch_auth_pass_unref(first);
        fetch_auth_pass_unref(second);
        fetch_auth_pass_unref(same);
        fetch_auth_free(&counting.auth);
}

/* Of many flights that are refused each says why, though only one has tried. */
Test(fetch_auth, all_hear_why_there_is_none, .timeout = 20)
{
        struct counting counting;
        struct fetch_cause cause = {0};
        struct fetch_auth_pass *pass;

        count_begin(&counting, 0);
        for (int i = 0; i < 3; i++) {
                atomic_store(&counting.fails, false);
                pass = take_now(&counting);
                atomic_store(&counting.fails, true);
                cause = (struct fetch_cause){0};
                cr_expect_null(
                    fetch_auth_renew(&counting.auth, pass, "https://host/a", NULL, &cause));
                cr_expect_eq(cause.kind, FETCH_DENIED);
                cr_expect_str_eq(cause.text, "no number");
                fetch_auth_pass_unref(pass);
        }
        fetch_auth_free(&counting.auth);
}

Test(fetch_auth, renewed_before_it_expires_and_kept_where_that_fails, .timeout = 20)
{
        struct counting counting;
        struct fetch_auth_pass *pass;

        count_begin(&counting, 3600);
        pass = take_now(&counting);
        cr_assert(pass);
        cr_expect_leq(pass->renew_ms, pass->expires_ms - 360000);
        cr_expect_geq(pass->renew_ms, pass->expires_ms - 720000);
        pass->renew_ms = 0; /* its time has come */
        fetch_auth_pass_unref(pass);

        atomic_store(&counting.fails, true);
        pass = take_now(&counting);
        cr_assert(pass, "it is still good");
        cr_expect_eq(atomic_load(&counting.made), 1);
        atomic_store(&counting.fails, false);
        usleep((FETCH_AUTH_PAUSE_MS + 50) * 1000);
        fetch_auth_pass_unref(pass);
        pass = take_now(&counting);
        cr_assert(pass);
        cr_expect_eq(atomic_load(&counting.made), 2);

        pass->expires_ms = 0;
        fetch_auth_pass_unref(pass);
        atomic_store(&counting.fails, true);
        cr_expect_null(take_now(&counting), "what has expired is of no use");
        fetch_auth_free(&counting.auth);
}
