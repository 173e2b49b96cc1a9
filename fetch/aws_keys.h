/*
 * Keys of AWS's kind, and who gives them out: the environment, STS for a token of somebody
 * else's, the container's agent, the instance's metadata service. Each says whether there are
 * some, and asks nobody unless it is configured; but the metadata service is, by default.
 *
 * May wait, by fetch/ask.h. No secret is in a cause. Does not log.
 */
#ifndef FETCH_AWS_KEYS_H
#define FETCH_AWS_KEYS_H

#include "fetch/ask.h"

#include <stdint.h>

#define AWS_KEYS_FOREVER INT64_MAX

struct aws_keys {
        char *access_key;
        char *secret_key;
        char *session_token; /* or NULL */
        int64_t life_s;      /* from now, more than 0; or AWS_KEYS_FOREVER */
};

void aws_keys_clear(struct aws_keys *keys); /* wipes, and frees but itself */

enum aws_found {
        AWS_NONE,   /* not configured, or nothing there: the next one is asked */
        AWS_FOUND,  /* to be cleared */
        AWS_FAILED, /* configured, but it went wrong; the cause was set */
};

struct aws_asker {
        struct http_loop *loop;
        const atomic_bool *cancelled; /* or NULL */
        const char *region;           /* of STS */
        const char *proxy;            /* to STS, and to what is not beside us; as of fetch_origin */
};

enum aws_found aws_keys_of_environment(struct aws_keys *ret, struct fetch_cause *cause);

struct aws_role {
        const char *arn; /* NULL: nothing is configured */
        const char *session_name;
        const char *token_file;
};

/* STS's AssumeRoleWithWebIdentity, at $AWS_ENDPOINT_URL_STS or the region's. */
enum aws_found aws_keys_of_role(const struct aws_asker *asker, const struct aws_role *role,
                                struct aws_keys *ret, struct fetch_cause *cause);

/* $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or …_FULL_URI. */
enum aws_found aws_keys_of_container(const struct aws_asker *asker, struct aws_keys *ret,
                                     struct fetch_cause *cause);

/* The second version of the metadata service's protocol; the first one is not spoken. Where
 * there is no such service this may take AWS_INSTANCE_MS. */
#define AWS_INSTANCE_MS 1000
enum aws_found aws_keys_of_instance(const struct aws_asker *asker, struct aws_keys *ret,
                                    struct fetch_cause *cause);

/* Answers: STS's, in XML; the agent's and the service's, in JSON. `now`: seconds since 1970.
 * false, and nothing was set: not all of it is there, or it has expired. */
bool aws_keys_parse_xml(const char *text, int64_t now, struct aws_keys *ret);
bool aws_keys_parse_json(const char *text, size_t length, int64_t now, struct aws_keys *ret);

/* The text between <name> and </name>, where they stand first; false: none. */
bool aws_xml_value(const char *text, const char *name, char *ret, size_t size);

#endif
