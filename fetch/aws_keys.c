/*
 * Who gives out AWS's keys, and how each is asked. Whose turn it is is auth_s3.c's to say.
 */
#include "fetch/aws_keys.h"

#include "fetch/auth.h"
#include "fetch/url.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define INSTANCE_IPV4 "http://169.254.169.254"
#define INSTANCE_IPV6 "http://[fd00:ec2::254]"
#define TASK_AGENT    "http://169.254.170.2"
#define DIRECTLY      "" /* no proxy: what is beside us is somebody else beside the proxy */

static const char *environment(const char *name)
{
        const char *value = getenv(name);

        return value && *value ? value : NULL;
}

static enum aws_found no_memory(struct fetch_cause *cause)
{
        fetch_cause_set(cause, FETCH_DENIED, "out of memory for the credential");
        return AWS_FAILED;
}

/* It did not answer, or nothing that helps. */
static enum aws_found fail(const char *who, const struct fetch_answer *answer,
                           struct fetch_cause *cause)
{
        char code[64] = "";
        char message[128] = "";

        if (answer->status == 0) {
                fetch_cause_set(cause, answer->cause.kind, "%s: %s", who, answer->cause.text);
                return AWS_FAILED;
        }
        if (aws_xml_value(answer->body, "Code", code, sizeof(code)))
                aws_xml_value(answer->body, "Message", message, sizeof(message));
        if (answer->status == 200)
                fetch_cause_set(cause, FETCH_DENIED, "%s: no keys in the answer, or expired ones",
                                who);
        else
                fetch_cause_set(cause, FETCH_DENIED, "%s: HTTP %d%s%s%s%s", who, answer->status,
                                *code ? " " : "", code, *message ? ": " : "", message);
        return AWS_FAILED;
}

enum aws_found aws_keys_of_environment(struct aws_keys *ret, struct fetch_cause *cause)
{
        const char *access = environment("AWS_ACCESS_KEY_ID");
        const char *secret = environment("AWS_SECRET_ACCESS_KEY");
        const char *token = environment("AWS_SESSION_TOKEN");

        if (!access && !secret)
                return AWS_NONE;
        if (!access || !secret) {
                fetch_cause_set(cause, FETCH_DENIED, "%s is set, but %s is not",
                                access ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                                access ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
                return AWS_FAILED;
        }
        *ret = (struct aws_keys){strdup(access), strdup(secret), token ? strdup(token) : NULL,
                                 AWS_KEYS_FOREVER};
        if (ret->access_key && ret->secret_key && (!token || ret->session_token))
                return AWS_FOUND;
        aws_keys_clear(ret);
        return no_memory(cause);
}

static char *sts_url(const char *region)
{
        const char *named = environment("AWS_ENDPOINT_URL_STS");
        char *url = NULL;

        if (!named)
                named = environment("AWS_ENDPOINT_URL");
        if (named)
                return strdup(named);
        if (asprintf(&url, "https://sts.%s.amazonaws.com%s/", region,
                     strncmp(region, "cn-", 3) == 0 ? ".cn" : "") < 0)
                return NULL;
        return url;
}

static char *role_body(const struct aws_role *role, const char *token)
{
        char *arn = curl_easy_escape(NULL, role->arn, 0);
        char *name = curl_easy_escape(NULL, role->session_name ? role->session_name : "assetfs", 0);
        char *word = curl_easy_escape(NULL, token, 0);
        char *body = NULL;

        if (arn && name && word &&
            asprintf(&body,
                     "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=%s"
                     "&RoleSessionName=%s&WebIdentityToken=%s",
                     arn, name, word) < 0)
                body = NULL;
        if (word)
                explicit_bzero(word, strlen(word));
        curl_free(word);
        curl_free(name);
        curl_free(arn);
        return body;
}

enum aws_found aws_keys_of_role(const struct aws_asker *asker, const struct aws_role *role,
                                struct aws_keys *ret, struct fetch_cause *cause)
{
        static const char *const headers[] = {
            "Content-Type: application/x-www-form-urlencoded; charset=utf-8", NULL};
        struct fetch_ask ask = {.method = HTTP_POST, .headers = headers, .proxy = asker->proxy};
        struct fetch_answer answer = {0};
        enum aws_found found = AWS_FOUND;
        char *token;
        char *url;
        char *body;

        if (!role->arn || !role->token_file)
                return AWS_NONE;
        token = fetch_auth_read_file("AWS_WEB_IDENTITY_TOKEN_FILE", role->token_file, NULL, cause);
        if (!token)
                return AWS_FAILED;
        url = sts_url(asker->region);
        body = role_body(role, token);
        fetch_auth_forget(token);
        if (url && body) {
                ask.url = url;
                ask.body = body;
                fetch_ask(asker->loop, &ask, asker->cancelled, &answer);
                if (answer.status != 200 || !aws_keys_parse_xml(answer.body, time(NULL), ret))
                        found = fail("STS, web identity", &answer, cause);
        } else {
                found = no_memory(cause);
        }
        fetch_answer_free(&answer);
        fetch_auth_forget(body);
        free(url);
        return found;
}

/* Is it this machine, or one of AWS's own agents? To them the container's token is sent without
 * https, and by no proxy. */
static bool is_agents(const char *url)
{
        static const char *const agents[] = {
            TASK_AGENT,         "http://169.254.170.23", "http://[fd00:ec2::23]",
            "http://127.0.0.1", "http://[::1]",          "http://localhost"};
        char server[256];

        fetch_url_server(url, server, sizeof(server));
        for (size_t i = 0; i < sizeof(agents) / sizeof(agents[0]); i++) {
                size_t length = strlen(agents[i]);

                if (strncmp(server, agents[i], length) == 0 &&
                    (server[length] == '\0' || server[length] == ':'))
                        return true;
        }
        return false;
}

/* "Authorization: …" for the agent, or NULL where there is none; false after the cause was set. */
static bool agent_header(char **ret, struct fetch_cause *cause)
{
        const char *file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        const char *word = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
        char *text = NULL;
        bool ok;

        *ret = NULL;
        if (!file && !word)
                return true;
        if (file)
                text = fetch_auth_read_file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file, NULL,
                                            cause);
        if (file && !text)
                return false;
        /* "Bearer …" is one of two words */
        ok = !strpbrk(text ? text : word, "\r\n") &&
             asprintf(ret, "Authorization: %s", text ? text : word) >= 0;
        fetch_auth_forget(text);
        if (!ok) {
                *ret = NULL;
                fetch_cause_set(cause, FETCH_DENIED, "%s: not one line",
                                file ? "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
                                     : "AWS_CONTAINER_AUTHORIZATION_TOKEN");
        }
        return ok;
}

enum aws_found aws_keys_of_container(const struct aws_asker *asker, struct aws_keys *ret,
                                     struct fetch_cause *cause)
{
        const char *relative = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        const char *full = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        const char *headers[2] = {NULL, NULL};
        struct fetch_ask ask = {.method = HTTP_GET, .headers = headers, .timeout_ms = 5000};
        struct fetch_answer answer = {0};
        enum aws_found found = AWS_FOUND;
        char *url = NULL;
        char *header;

        if (!relative && !full)
                return AWS_NONE;
        if (!relative && !is_agents(full) && !fetch_auth_is_private(full)) {
                fetch_cause_set(cause, FETCH_DENIED,
                                "AWS_CONTAINER_CREDENTIALS_FULL_URI: neither https, nor this "
                                "machine, nor an agent of AWS");
                return AWS_FAILED;
        }
        if (asprintf(&url, "%s%s", relative ? TASK_AGENT : "", relative ? relative : full) < 0)
                return no_memory(cause);
        if (agent_header(&header, cause)) {
                headers[0] = header;
                ask.url = url;
                ask.proxy = is_agents(url) ? DIRECTLY : asker->proxy;
                fetch_ask(asker->loop, &ask, asker->cancelled, &answer);
                if (answer.status != 200 ||
                    !aws_keys_parse_json(answer.body, answer.length, time(NULL), ret))
                        found = fail("container credentials", &answer, cause);
                fetch_answer_free(&answer);
                fetch_auth_forget(header);
        } else {
                found = AWS_FAILED;
        }
        free(url);
        return found;
}

static const char *instance_server(void)
{
        const char *named = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        const char *mode = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");

        if (named)
                return named;
        return mode && strcasecmp(mode, "ipv6") == 0 ? INSTANCE_IPV6 : INSTANCE_IPV4;
}

/* One question to the metadata service: `path` and, behind a slash, `name`. The answer is to be
 * freed. */
static void ask_instance(const struct aws_asker *asker, enum http_method method, const char *path,
                         const char *name, const char *header, struct fetch_answer *ret)
{
        const char *const headers[] = {header, NULL};
        const char *server = instance_server();
        int end = (int)strlen(server);
        struct fetch_ask ask = {
            .method = method, .headers = headers, .timeout_ms = AWS_INSTANCE_MS, .proxy = DIRECTLY};
        char *url = NULL;

        while (end > 0 && server[end - 1] == '/')
                end--;
        *ret = (struct fetch_answer){0};
        if (asprintf(&url, "%.*s/latest/%s%s", end, server, path, name) < 0) {
                fetch_cause_set(&ret->cause, FETCH_DENIED, "out of memory");
                return;
        }
        ask.url = url;
        fetch_ask(asker->loop, &ask, asker->cancelled, ret);
        free(url);
}

/* Something else is at this address, or nobody is, or there is no role. */
static bool is_nobody(const struct fetch_answer *answer)
{
        return (answer->status == 0 && answer->cause.kind != FETCH_CANCELLED) ||
               (answer->status >= 400 && answer->status < 500);
}

/* The keys of the role, whose name the service tells first. */
static enum aws_found ask_role(const struct aws_asker *asker, const char *header,
                               struct aws_keys *ret, struct fetch_cause *cause)
{
        static const char path[] = "meta-data/iam/security-credentials/";
        struct fetch_answer name;
        struct fetch_answer answer = {0};
        enum aws_found found = AWS_FOUND;
        char *escaped = NULL;

        ask_instance(asker, HTTP_GET, path, "", header, &name);
        if (name.status == 200) {
                name.body[strcspn(name.body, "\r\n")] = '\0';
                escaped = curl_easy_escape(NULL, name.body, 0);
        }
        if (escaped && *escaped)
                ask_instance(asker, HTTP_GET, path, escaped, header, &answer);
        if (is_nobody(&name) || (escaped && !*escaped))
                found = AWS_NONE;
        else if (name.status != 200)
                found = fail("instance metadata", &name, cause);
        else if (!escaped)
                found = no_memory(cause);
        else if (answer.status != 200 ||
                 !aws_keys_parse_json(answer.body, answer.length, time(NULL), ret))
                found = fail("instance metadata", &answer, cause);
        curl_free(escaped);
        fetch_answer_free(&answer);
        fetch_answer_free(&name);
        return found;
}

enum aws_found aws_keys_of_instance(const struct aws_asker *asker, struct aws_keys *ret,
                                    struct fetch_cause *cause)
{
        const char *disabled = environment("AWS_EC2_METADATA_DISABLED");
        struct fetch_answer answer;
        enum aws_found found = AWS_NONE;
        char *header = NULL;

        if (disabled && strcasecmp(disabled, "true") == 0)
                return AWS_NONE;
        ask_instance(asker, HTTP_PUT, "api/token", "", "X-aws-ec2-metadata-token-ttl-seconds: 300",
                     &answer);
        if (answer.status == 200 && fetch_auth_is_token(answer.body) &&
            asprintf(&header, "X-aws-ec2-metadata-token: %s", answer.body) < 0)
                header = NULL;
        if (header)
                found = ask_role(asker, header, ret, cause);
        else if (!is_nobody(&answer))
                found = fail("instance metadata", &answer, cause);
        fetch_auth_forget(header);
        fetch_answer_free(&answer);
        return found;
}
