/*
 * Credentials that are files: a bearer token, a netrc, a client's certificate and key. They
 * are read when they are needed, and again when they have changed, by the worker's user; so
 * that a token that is renewed by somebody else needs no reload. Sends nothing.
 */
#include "fetch/auth.h"

#include "cas/io.h"
#include "fetch/auth_cert.h"
#include "fetch/url.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKEN, NETRC, CERT, KEY, FILES };

static const char *const keys[] = {"token-file", "netrc-file", "client-cert", "client-key"};

struct auth_file {
        struct fetch_auth auth;
        const struct fetch_auth_opener *opener; /* or NULL */
        const char *paths[FILES];               /* or NULL */
        struct stat seen[FILES];                /* whoever makes a pass */
};

static bool is_fresh(struct fetch_auth *auth, const struct fetch_auth_pass *pass)
{
        const struct auth_file *file = (const struct auth_file *)auth;

        (void)pass;
        for (int i = 0; i < FILES; i++)
                if (file->paths[i] &&
                    fetch_auth_has_changed_by(file->opener, file->paths[i], &file->seen[i]))
                        return false;
        return true;
}

static char *read_secret(struct auth_file *file, int which, struct fetch_cause *cause)
{
        return fetch_auth_read_file_by(file->opener, keys[which], file->paths[which],
                                       &file->seen[which], cause);
}

static bool take_token(struct auth_file *file, struct fetch_auth_pass *pass,
                       struct fetch_cause *cause)
{
        char *token = read_secret(file, TOKEN, cause);

        if (!token)
                return false;
        if (!fetch_auth_is_token(token))
                fetch_cause_set(cause, FETCH_DENIED, "token-file %s: not one line of one word",
                                file->paths[TOKEN]);
        else if (asprintf(&pass->authorization, "Authorization: Bearer %s", token) < 0)
                pass->authorization = NULL;
        fetch_auth_forget(token);
        return pass->authorization;
}

/* login and password of the host, in words of `text`, which is cut up. As curl has it, "default"
 * is for every host that is not named before it. */
static bool find_login(char *text, const char *host, const char **ret_login,
                       const char **ret_password)
{
        const char *blanks = " \t\r\n";
        bool ours = false;
        char *rest;

        *ret_login = *ret_password = NULL;
        for (char *word = strtok_r(text, blanks, &rest); word;
             word = strtok_r(NULL, blanks, &rest)) {
                bool machine = strcmp(word, "machine") == 0;
                const char *value;

                if (ours && (machine || strcmp(word, "default") == 0))
                        break;
                if (strcmp(word, "default") == 0) {
                        ours = true;
                        continue;
                }
                value = strtok_r(NULL, blanks, &rest);
                if (!value)
                        break;
                if (machine)
                        ours = strcasecmp(value, host) == 0;
                else if (ours && strcmp(word, "login") == 0)
                        *ret_login = value;
                else if (ours && strcmp(word, "password") == 0)
                        *ret_password = value;
        }
        return *ret_login && *ret_password;
}

static char *host_of(const char *url)
{
        CURLU *parsed = curl_url();
        char *host = NULL;

        if (parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK)
                curl_url_get(parsed, CURLUPART_HOST, &host, 0);
        curl_url_cleanup(parsed);
        return host;
}

static bool take_netrc(struct auth_file *file, struct fetch_auth_pass *pass,
                       struct fetch_cause *cause)
{
        char *host = host_of(file->auth.url);
        char *text = read_secret(file, NETRC, cause);
        const char *login;
        const char *password;

        if (text && host && find_login(text, host, &login, &password))
                pass->authorization = fetch_auth_basic(login, password);
        else if (text)
                fetch_cause_set(cause, FETCH_DENIED, "netrc-file %s: no login and password for %s",
                                file->paths[NETRC], host ? host : "the host");
        if (text)
                explicit_bzero(text, FETCH_AUTH_SECRET_MAX);
        free(text);
        curl_free(host);
        return pass->authorization;
}

/* So that it is a line that names the file, and not what a server makes of it. */
static bool check_pair(const struct auth_file *file, struct fetch_auth_pass *pass,
                       struct fetch_cause *cause)
{
        int which = file->paths[KEY] ? KEY : CERT;
        const char *why = NULL;

        switch (fetch_auth_cert_check(pass->certificate, pass->key ? pass->key : pass->certificate,
                                      &pass->expires_ms)) {
        case FETCH_AUTH_CERT_GOOD:
                return true;
        case FETCH_AUTH_CERT_NONE:
                which = CERT;
                why = "no certificate in PEM";
                break;
        case FETCH_AUTH_CERT_NO_KEY:
                why = "no private key in PEM, or one with a passphrase";
                break;
        case FETCH_AUTH_CERT_NO_PAIR:
                why = "not the key of the client-cert";
                break;
        case FETCH_AUTH_CERT_TOO_OLD:
                which = CERT;
                why = "the certificate has expired";
                break;
        }
        fetch_cause_set(cause, FETCH_DENIED, "%s %s: %s", keys[which], file->paths[which], why);
        return false;
}

static bool make(struct fetch_auth *auth, const struct fetch_auth_call *call,
                 struct fetch_auth_pass *pass, struct fetch_cause *cause)
{
        struct auth_file *file = (struct auth_file *)auth;
        bool ok = true;

        (void)call;
        fetch_cause_set(cause, FETCH_DENIED, "out of memory for the credential");
        if (file->paths[TOKEN])
                ok = take_token(file, pass, cause);
        else if (file->paths[NETRC])
                ok = take_netrc(file, pass, cause);
        if (ok && file->paths[CERT])
                ok = (pass->certificate = read_secret(file, CERT, cause));
        if (ok && file->paths[KEY])
                ok = (pass->key = read_secret(file, KEY, cause));
        if (ok && pass->certificate)
                ok = check_pair(file, pass, cause);
        if (ok)
                *cause = (struct fetch_cause){0};
        return ok;
}

static void destroy(struct fetch_auth *auth)
{
        free(auth);
}

bool fetch_auth_files_has(const struct fetch_auth_files *files)
{
        return files->token_file || files->netrc_file || files->client_cert;
}

int fetch_auth_of_files(const char *url, const struct fetch_auth_files *files,
                        struct fetch_auth **ret)
{
        static const struct fetch_auth_kind kind = {is_fresh, make, destroy};
        struct auth_file *file;

        *ret = NULL;
        if (!fetch_auth_files_has(files))
                return 0;
        file = calloc(1, sizeof(*file));
        if (!file)
                return -ENOMEM;
        file->opener = files->opener;
        file->paths[TOKEN] = files->token_file;
        file->paths[NETRC] = files->netrc_file;
        file->paths[CERT] = files->client_cert;
        file->paths[KEY] = files->client_key;
        if (fetch_auth_init(&file->auth, &kind, url) < 0) {
                free(file);
                return -ENOMEM;
        }
        *ret = &file->auth;
        return 0;
}
