/*
 * Reading an HTTP source as somebody: takes the credential's pass, and another one when that
 * is refused. What a pass is made of is fetch/auth.h's, how a source is read http_source.c's.
 */
#include "fetch/source.h"

#include "fetch/clock.h"

/*
 * Another pass, or NULL. What ended in the middle was good a moment ago, so the pause between two
 * renewals, which is for those who refuse everything, is waited for.
 */
static struct fetch_auth_pass *renew(struct fetch_job *job, const atomic_bool *cancelled,
                                     struct fetch_cause *ret)
{
        struct fetch_auth *auth = job->source->auth;
        const char *url = job->source->url;
        struct fetch_cause why = {0};
        struct fetch_auth_pass *next = fetch_auth_renew(auth, job->pass, url, cancelled, &why);

        if (!next && why.kind == FETCH_OK && fetch_source_position(job) > 0) {
                if (fetch_window_sleep(job->window, fetch_now_ms() + FETCH_AUTH_PAUSE_MS) ==
                    FETCH_GO_ON)
                        next = fetch_auth_renew(auth, job->pass, url, cancelled, &why);
                else
                        fetch_cause_set(&why, FETCH_CANCELLED, "cancelled");
        }
        if (why.kind != FETCH_OK)
                *ret = why;
        /* Before that nobody is asked, and the same would be said again. */
        if (why.kind != FETCH_OK && ret->retry_after_ms < FETCH_AUTH_PAUSE_MS)
                ret->retry_after_ms = FETCH_AUTH_PAUSE_MS;
        return next;
}

/* Once, and again as often as it has brought something: a long download may outlive several. */
void fetch_http_source_as(struct fetch_job *job, const atomic_bool *cancelled,
                          struct fetch_outcome *ret)
{
        struct fetch_auth *auth = job->source->auth;
        struct fetch_auth_pass *next = NULL;
        uint64_t before;
        bool renewed = false;

        job->pass = NULL;
        if (auth && !(job->pass = fetch_auth_take(auth, cancelled, &ret->cause)))
                return;
        do {
                if (next) {
                        fetch_auth_pass_unref(job->pass);
                        job->pass = next;
                        renewed = true;
                        *ret = (struct fetch_outcome){.anew = ret->anew, .joined = ret->joined};
                }
                before = fetch_source_position(job);
                fetch_http_source(job, ret);
                next = auth && fetch_auth_has_refused(job->pass, ret->cause.status) &&
                               (!renewed || fetch_source_position(job) > before)
                           ? renew(job, cancelled, &ret->cause)
                           : NULL;
        } while (next);
        fetch_auth_pass_unref(job->pass);
        job->pass = NULL;
}
