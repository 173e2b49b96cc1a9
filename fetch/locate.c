/*
 * Where URLs lead, and the credentials of all origins, buckets and repositories. Asks nobody:
 * credentials do, when they are taken.
 */
#include "fetch/locate.h"

#include "fetch/gs.h"
#include "fetch/oci.h"
#include "fetch/s3.h"
#include "fetch/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STRANGERS_MOST 4096 /* catalogs that come by URL could name buckets without end */

/* The credential of an origin's files, or of a bucket or repository. */
struct entry {
        struct entry *next;
        const struct fetch_origin *settings;
        char *place;   /* "gs://bucket", …; NULL: of the files */
        size_t length; /* of it */
        struct fetch_auth *auth;
};

struct fetch_locator {
        struct fetch_settings settings;
        struct http_loop *loop;
        pthread_mutex_t lock;
        struct entry *entries; /* lock */
        size_t stranger_count; /* lock; of them, those that the operator said nothing about */
};

int fetch_locator_new(const struct fetch_settings *settings, struct http_loop *loop,
                      struct fetch_locator **ret)
{
        struct fetch_locator *locator = calloc(1, sizeof(*locator));

        if (!locator)
                return -ENOMEM;
        locator->settings = *settings;
        locator->loop = loop;
        pthread_mutex_init(&locator->lock, NULL);
        *ret = locator;
        return 0;
}

static void free_entry(struct entry *entry)
{
        fetch_auth_free(entry->auth);
        free(entry->place);
        free(entry);
}

void fetch_locator_free(struct fetch_locator *locator)
{
        if (!locator)
                return;
        while (locator->entries) {
                struct entry *entry = locator->entries;

                locator->entries = entry->next;
                free_entry(entry);
        }
        pthread_mutex_destroy(&locator->lock);
        free(locator);
}

static bool has_place(enum fetch_scheme scheme)
{
        return scheme == FETCH_SCHEME_GS || scheme == FETCH_SCHEME_S3 || scheme == FETCH_SCHEME_OCI;
}

/* How much of a URL names the bucket, or the repository. */
static size_t place_length(const char *url)
{
        const char *path = fetch_url_behind_authority(url);

        return fetch_url_scheme(url) == FETCH_SCHEME_OCI ? strlen(url) : (size_t)(path - url);
}

static bool is_same_place(const char *one, const char *other)
{
        size_t length = place_length(one);

        return fetch_url_scheme(one) == fetch_url_scheme(other) && length == place_length(other) &&
               strncasecmp(one, other, length) == 0;
}

static const struct fetch_origin *find(const struct fetch_origin *list, size_t count,
                                       const char *url)
{
        for (size_t i = 0; i < count; i++)
                if (is_same_place(url, list[i].url))
                        return &list[i];
        return NULL;
}

/* Of no origin, and of no catalog's own URL? */
static bool is_stranger(const struct fetch_origin *settings)
{
        return !settings->url;
}

static const struct fetch_origin *settings_for(const struct fetch_locator *locator, const char *url)
{
        static const struct fetch_origin none;
        const struct fetch_settings *all = &locator->settings;
        const struct fetch_origin *found = find(all->origins, all->origin_count, url);

        if (!found)
                found = find(all->catalogs, all->catalog_count, url);
        return found ? found : &none;
}

static char *http_url_of(const struct fetch_origin *settings, const char *url,
                         const struct cas_digest *digest)
{
        switch (fetch_url_scheme(url)) {
        case FETCH_SCHEME_GS:
                return fetch_gs_url(settings, url);
        case FETCH_SCHEME_S3:
                return fetch_s3_url(settings, url);
        case FETCH_SCHEME_OCI:
                return fetch_oci_url(settings, url, digest);
        default:
                return strdup(url);
        }
}

static int auth_of(const struct fetch_locator *locator, const struct fetch_origin *settings,
                   const char *url, const char *http_url, bool by_files, struct fetch_auth **ret)
{
        if (by_files)
                return fetch_auth_of_files(http_url, &settings->files, ret);
        switch (fetch_url_scheme(url)) {
        case FETCH_SCHEME_GS:
                return fetch_auth_of_gs(locator->loop, locator->settings.opener, url, http_url,
                                        ret);
        case FETCH_SCHEME_S3:
                return fetch_auth_of_s3(settings, locator->loop, url, http_url, ret);
        default:
                return fetch_auth_of_oci(locator->loop, url, http_url, ret);
        }
}

static int new_entry(struct fetch_locator *locator, const struct fetch_origin *settings,
                     const char *url, const char *http_url, bool by_files, struct entry **ret)
{
        struct entry *entry = calloc(1, sizeof(*entry));
        int r = -ENOMEM;

        if (!entry)
                return r;
        entry->settings = settings;
        entry->length = by_files ? 0 : place_length(url);
        if (!by_files)
                entry->place = strndup(url, entry->length);
        if (by_files || entry->place)
                r = auth_of(locator, settings, url, http_url, by_files, &entry->auth);
        if (r == 0)
                entry->auth->proxy = settings->proxy;
        if (r < 0) {
                free_entry(entry);
                return r;
        }
        entry->next = locator->entries;
        locator->entries = entry;
        locator->stranger_count += is_stranger(settings);
        *ret = entry;
        return 0;
}

/* The credential, made at its first use. */
static int take_auth(struct fetch_locator *locator, const struct fetch_origin *settings,
                     const char *url, const char *http_url, struct fetch_auth **ret,
                     const char **ret_why)
{
        bool by_files = fetch_auth_files_has(&settings->files);
        size_t length = by_files ? 0 : place_length(url);
        struct entry *entry;
        int r = 0;

        if (by_files && !settings->plain_http && !fetch_auth_is_private(http_url)) {
                *ret_why = "a credential goes by https:// alone, or to loopback";
                return -EINVAL;
        }
        pthread_mutex_lock(&locator->lock);
        for (entry = locator->entries; entry; entry = entry->next)
                if (entry->settings == settings && entry->length == length &&
                    (by_files || strncasecmp(entry->place, url, length) == 0))
                        break;
        if (!entry && is_stranger(settings) && locator->stranger_count == STRANGERS_MOST) {
                *ret_why = "too many buckets and repositories";
                r = -EINVAL;
        } else if (!entry) {
                r = new_entry(locator, settings, url, http_url, by_files, &entry);
        }
        if (r == 0)
                *ret = entry->auth;
        pthread_mutex_unlock(&locator->lock);
        return r;
}

static int check(const char *url, const struct cas_digest *digest, const char **ret_why)
{
        switch (fetch_url_scheme(url)) {
        case FETCH_SCHEME_GS:
                return fetch_gs_check(url, ret_why);
        case FETCH_SCHEME_S3:
                return fetch_s3_check(url, ret_why);
        case FETCH_SCHEME_OCI:
                if (digest)
                        return fetch_oci_check(url, ret_why);
                break;
        case FETCH_SCHEME_OTHER:
                break;
        default:
                return 0;
        }
        *ret_why = "this scheme cannot be read";
        return -EINVAL;
}

/* Settings were looked at when they were read; the environment was not. */
static int check_server(const char *url, const char *http_url, const char **ret_why)
{
        enum fetch_scheme scheme = fetch_url_scheme(http_url);

        if (scheme == FETCH_SCHEME_HTTP || scheme == FETCH_SCHEME_HTTPS)
                return 0;
        *ret_why = fetch_url_scheme(url) == FETCH_SCHEME_GS
                       ? "STORAGE_EMULATOR_HOST is not https://HOST[:PORT], or http://"
                       : "AWS_ENDPOINT_URL_S3, or AWS_ENDPOINT_URL, is not https://HOST[:PORT], "
                         "or http://";
        return -EINVAL;
}

int fetch_locate(struct fetch_locator *locator, const struct fetch_origin *origin, const char *url,
                 const struct cas_digest *digest, struct fetch_location *ret, const char **ret_why)
{
        static const struct fetch_origin none;
        const struct fetch_origin *settings = origin ? origin : &none;
        bool by_place = has_place(fetch_url_scheme(url));
        int r = check(url, digest, ret_why);

        *ret = (struct fetch_location){0};
        if (r < 0)
                return r;
        if (!origin && by_place)
                settings = settings_for(locator, url);
        ret->proxy = settings->proxy;
        ret->url = http_url_of(settings, url, digest);
        if (!ret->url)
                return -ENOMEM;
        if (by_place)
                r = check_server(url, ret->url, ret_why);
        if (r == 0 && (by_place || fetch_auth_files_has(&settings->files)))
                r = take_auth(locator, settings, url, ret->url, &ret->auth, ret_why);
        if (r < 0) {
                free(ret->url);
                ret->url = NULL;
        }
        return r;
}
