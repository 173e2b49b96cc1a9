/*
 * A JSON web token signed with RS256 (RFC 7515, RFC 7518 3.3): how a service account proves
 * that it has its key. Pure.
 */
#ifndef FETCH_JWT_H
#define FETCH_JWT_H

/*
 * The token for `claims`, a JSON text. `key`: an RSA private key in PEM, without a passphrase,
 * of 2048 bits at least (RFC 7518, 3.3); `key_id`: its name, or NULL. The token is a secret while
 * it is valid; the caller frees it. -ENOMEM; -EINVAL and why (a fixed string): not such a key.
 */
int fetch_jwt_sign(const char *key, const char *key_id, const char *claims, char **ret,
                   const char **ret_why);

#endif
