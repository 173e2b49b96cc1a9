/*
 * The files that AWS's tools share: ~/.aws/credentials and ~/.aws/config, or those that
 * $AWS_SHARED_CREDENTIALS_FILE and $AWS_CONFIG_FILE name, and in them the profile that
 * $AWS_PROFILE names, or else "default".
 *
 * A file that nobody named and that is missing, or not ours to read, holds nothing. Read by
 * whoever makes a pass; sends nothing.
 */
#ifndef FETCH_AWS_PROFILE_H
#define FETCH_AWS_PROFILE_H

#include "fetch/cause.h"

#include <stdbool.h>

struct aws_profile {
        bool found;       /* there is a section of this name */
        char *access_key; /* all strings: or NULL */
        char *secret_key;
        char *session_token;
        char *region;
        char *role_arn;
        char *role_session_name;
        char *token_file;   /* web_identity_token_file */
        const char *cannot; /* a key of it that asks for what a worker does not do */
};

/* The name of the profile that is meant, and whether somebody has asked for it. */
const char *aws_profile_name(bool *ret_asked);

/* Where the credentials are (or, is_config, the rest); *ret_named: somebody said so. The caller
 * frees it. NULL where there is no home, or no memory. */
char *aws_profile_path(bool is_config, bool *ret_named);

/* Adds what `text`, which is cut up, says of a profile. In a config a section is called
 * "profile NAME", save the default. -ENOMEM. */
int aws_profile_parse(char *text, bool is_config, const char *name, struct aws_profile *profile);

/* Both files. false after the cause was set to FETCH_DENIED. */
bool aws_profile_read(struct aws_profile *ret, struct fetch_cause *cause);

void aws_profile_clear(struct aws_profile *profile); /* wipes, and frees but itself */

#endif
