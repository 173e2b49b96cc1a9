/*
 * Whose keys sign the requests to a bucket: the first who has some, in the order of AWS's own
 * libraries. Where nobody has, requests are not signed. What each has to say is aws_keys.c's
 * and aws_profile.c's matter; the signing is libcurl's.
 */
#include "fetch/auth.h"

#include "fetch/aws_keys.h"
#include "fetch/aws_profile.h"
#include "fetch/clock.h"
#include "fetch/s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* 403 may also say that there is no such key. So a pass that is refused is made anew, but what
 * was made anew is believed for a while, twice as long each time it is refused soon after. */
#define BELIEVE_FIRST (1 * INT64_C(1000))
#define BELIEVE_MOST  (60 * INT64_C(1000))

/* That an instance has no keys is believed so many times longer than it took to find that out;
 * but for a moment, since at boot there may be no network yet. */
#define BELIEVE_TIMES 60
#define BELIEVE_LEAST 2000

/* With nobody's keys: looked for again after this. */
#define NOBODY_MS (5 * 60 * INT64_C(1000))

enum { CREDENTIALS, CONFIG, FILES };

struct auth_s3 {
        struct fetch_auth auth;
        struct http_loop *loop;
        const char *region; /* the setting's, or NULL */

        /* Whoever makes a pass. */
        bool reads_files;             /* the pass may depend on them */
        struct stat seen[FILES];      /* of them; 0: none */
        struct fetch_auth_pass *last; /* what was made last, or NULL */
        int64_t believe_ms;           /* how long it is believed, though refused; 0: not yet */
        int64_t believed_ms;          /* … fetch_now_ms() until which that is */
        int64_t nobody_ms;            /* … and until which no instance is asked */
};

static void look(struct stat seen[FILES])
{
        for (int i = 0; i < FILES; i++) {
                bool named;
                char *path = aws_profile_path(i == CONFIG, &named);

                if (!path || stat(path, &seen[i]) < 0)
                        seen[i] = (struct stat){0};
                free(path);
        }
}

static bool is_as_seen(const struct stat *seen, const struct stat *st)
{
        return seen->st_ino == st->st_ino && seen->st_dev == st->st_dev &&
               seen->st_size == st->st_size && seen->st_mtim.tv_sec == st->st_mtim.tv_sec &&
               seen->st_mtim.tv_nsec == st->st_mtim.tv_nsec &&
               seen->st_ctim.tv_sec == st->st_ctim.tv_sec &&
               seen->st_ctim.tv_nsec == st->st_ctim.tv_nsec;
}

static bool is_fresh(struct fetch_auth *auth, const struct fetch_auth_pass *pass)
{
        const struct auth_s3 *s3 = (const struct auth_s3 *)auth;
        struct stat now[FILES];

        (void)pass;
        if (!s3->reads_files)
                return true;
        look(now);
        return is_as_seen(&s3->seen[CREDENTIALS], &now[CREDENTIALS]) &&
               is_as_seen(&s3->seen[CONFIG], &now[CONFIG]);
}

static const char *region_of(const struct auth_s3 *s3, const struct aws_profile *profile)
{
        const char *names[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};

        if (s3->region)
                return s3->region;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                const char *value = getenv(names[i]);

                if (value && *value)
                        return value;
        }
        return profile->region ? profile->region : "us-east-1";
}

/* The profile's own keys, or those of its role. `readable`: else the cause says why not. */
static enum aws_found ask_profile(const struct aws_asker *asker, struct aws_profile *profile,
                                  bool readable, struct aws_keys *ret, struct fetch_cause *cause)
{
        const struct aws_role role = {profile->role_arn, profile->role_session_name,
                                      profile->token_file};
        bool asked;

        if (!readable)
                return AWS_FAILED;
        if (profile->access_key && profile->secret_key && !(profile->role_arn && profile->cannot)) {
                *ret = (struct aws_keys){profile->access_key, profile->secret_key,
                                         profile->session_token, AWS_KEYS_FOREVER};
                profile->access_key = profile->secret_key = profile->session_token = NULL;
                return AWS_FOUND;
        }
        if (profile->access_key || profile->secret_key || profile->cannot)
                fetch_cause_set(
                    cause, FETCH_DENIED, "AWS profile %s: %s%s", aws_profile_name(&asked),
                    profile->cannot ? profile->cannot : "one of the two keys is missing",
                    profile->cannot ? " is not supported" : "");
        else if (profile->role_arn && !profile->token_file)
                fetch_cause_set(cause, FETCH_DENIED,
                                "AWS profile %s: role_arn without web_identity_token_file",
                                aws_profile_name(&asked));
        else
                return aws_keys_of_role(asker, &role, ret, cause);
        return AWS_FAILED;
}

static int64_t nobody_until(int64_t began_ms)
{
        int64_t now = fetch_now_ms();

        return now + BELIEVE_LEAST + BELIEVE_TIMES * (now - began_ms);
}

static enum aws_found find(struct auth_s3 *s3, const struct aws_asker *asker,
                           struct aws_profile *profile, bool readable, struct aws_keys *ret,
                           struct fetch_cause *cause)
{
        const struct aws_role role = {getenv("AWS_ROLE_ARN"), getenv("AWS_ROLE_SESSION_NAME"),
                                      getenv("AWS_WEB_IDENTITY_TOKEN_FILE")};
        enum aws_found found = aws_keys_of_environment(ret, cause);
        int64_t began = fetch_now_ms();

        s3->reads_files = found == AWS_NONE;
        if (found == AWS_NONE)
                found = aws_keys_of_role(asker, &role, ret, cause);
        if (found == AWS_NONE)
                found = ask_profile(asker, profile, readable, ret, cause);
        if (found == AWS_NONE)
                found = aws_keys_of_container(asker, ret, cause);
        if (found == AWS_NONE && began >= s3->nobody_ms) {
                found = aws_keys_of_instance(asker, ret, cause);
                if (found == AWS_NONE)
                        s3->nobody_ms = nobody_until(began);
        }
        return found;
}

/* Takes the keys over. false without memory. */
static bool fill(struct fetch_auth_pass *pass, struct aws_keys *keys, const char *region)
{
        pass->access_key = keys->access_key;
        pass->secret_key = keys->secret_key;
        pass->session_token = keys->session_token;
        if (keys->life_s != AWS_KEYS_FOREVER)
                fetch_auth_set_life(pass, keys->life_s);
        *keys = (struct aws_keys){0};
        if (asprintf(&pass->sigv4, "aws:amz:%s:s3", region) >= 0)
                return true;
        pass->sigv4 = NULL;
        return false;
}

static char *copy(const char *text, bool *ok)
{
        char *made = text ? strdup(text) : NULL;

        *ok &= !text || made;
        return made;
}

/* The last one once more. */
static bool repeat(const struct fetch_auth_pass *last, struct fetch_auth_pass *pass,
                   struct fetch_cause *cause)
{
        bool ok = true;

        pass->sigv4 = copy(last->sigv4, &ok);
        pass->access_key = copy(last->access_key, &ok);
        pass->secret_key = copy(last->secret_key, &ok);
        pass->session_token = copy(last->session_token, &ok);
        pass->renew_ms = last->renew_ms;
        pass->expires_ms = last->expires_ms;
        if (!ok)
                fetch_cause_set(cause, FETCH_DENIED, "out of memory for the credential");
        return ok;
}

static void set_no_keys(struct fetch_cause *cause)
{
        bool named;
        char *path = aws_profile_path(false, &named);
        const char *unseen = path ? fetch_auth_unseen(path) : "";

        fetch_cause_set(cause, FETCH_DENIED,
                        "HTTP 403 without credentials, and there are none: not in the "
                        "environment, a profile%s%s%s, a container or an instance",
                        *unseen ? " of " : "", *unseen ? path : "", unseen);
        free(path);
}

static bool ask_all(struct auth_s3 *s3, const struct fetch_auth_call *call,
                    struct fetch_auth_pass *pass, struct fetch_cause *cause)
{
        struct aws_asker asker = {
            .loop = s3->loop, .cancelled = call->cancelled, .proxy = s3->auth.proxy};
        struct aws_profile profile;
        struct aws_keys keys = {0};
        struct fetch_cause unreadable = {0};
        bool readable = aws_profile_read(&profile, &unreadable);
        enum aws_found found;
        bool ok = true;

        *cause = unreadable;
        asker.region = region_of(s3, &profile);
        found = find(s3, &asker, &profile, readable, &keys, cause);
        if (found == AWS_FOUND)
                ok = fill(pass, &keys, asker.region);
        else if (found == AWS_NONE)
                pass->renew_ms = fetch_now_ms() + NOBODY_MS;
        if (found == AWS_NONE && call->refused) {
                set_no_keys(cause);
                ok = false;
        } else if (found != AWS_FAILED && ok) {
                *cause = (struct fetch_cause){0};
        } else if (found == AWS_FOUND) {
                fetch_cause_set(cause, FETCH_DENIED, "out of memory for the credential");
        }
        aws_profile_clear(&profile);
        return ok && found != AWS_FAILED;
}

static void believe(struct auth_s3 *s3)
{
        int64_t now = fetch_now_ms();
        bool soon = s3->believe_ms > 0 && now < s3->believed_ms + s3->believe_ms;

        s3->believe_ms = soon ? 2 * s3->believe_ms : BELIEVE_FIRST;
        if (s3->believe_ms > BELIEVE_MOST)
                s3->believe_ms = BELIEVE_MOST;
        s3->believed_ms = now + s3->believe_ms;
}

static bool make(struct fetch_auth *auth, const struct fetch_auth_call *call,
                 struct fetch_auth_pass *pass, struct fetch_cause *cause)
{
        struct auth_s3 *s3 = (struct auth_s3 *)auth;
        int64_t now = fetch_now_ms();
        struct stat seen[FILES];

        look(seen);
        if (call->refused && s3->last && s3->last->sigv4 && now < s3->believed_ms &&
            now < s3->last->expires_ms && is_fresh(auth, s3->last))
                return repeat(s3->last, pass, cause);
        if (!ask_all(s3, call, pass, cause))
                return false;
        memcpy(s3->seen, seen, sizeof(seen));
        fetch_auth_pass_unref(s3->last);
        s3->last = fetch_auth_pass_ref(pass);
        if (call->refused)
                believe(s3);
        return true;
}

static void destroy(struct fetch_auth *auth)
{
        struct auth_s3 *s3 = (struct auth_s3 *)auth;

        fetch_auth_pass_unref(s3->last);
        free(s3);
}

int fetch_auth_of_s3(const struct fetch_origin *settings, struct http_loop *loop, const char *url,
                     const char *http_url, struct fetch_auth **ret)
{
        static const struct fetch_auth_kind kind = {is_fresh, make, destroy};
        struct auth_s3 *s3 = calloc(1, sizeof(*s3));
        int r;

        (void)url;
        *ret = NULL;
        if (!s3)
                return -ENOMEM;
        s3->loop = loop;
        s3->region = settings ? settings->region : NULL;
        r = fetch_auth_init(&s3->auth, &kind, http_url);
        if (r < 0) {
                free(s3);
                return r;
        }
        *ret = &s3->auth;
        return 0;
}
