/*
 * Staging files, ingest/<64 hex>.part: opened for writing, or lying idle until somebody
 * wants the rest of the asset. Whoever writes one holds its lock (flock), so that idle ones
 * can be told from those in use; the lock ends with the process.
 *
 * Idle ones are bounded: by age, by number, and by the room they take.
 */
#ifndef CAS_STAGING_H
#define CAS_STAGING_H

#include "cas/store.h"

#define CAS_STAGING_NAME       (CAS_DIGEST_HEX + sizeof(".part"))
#define CAS_STAGING_KEEP_BYTES (16ull << 30) /* of disk, all idle ones together */
#define CAS_STAGING_KEEP_FILES 1024
#define CAS_STAGING_KEEP_DAYS  7

/*
 * Opens what is left of the digest's staging, or a new and empty file; locked. Something
 * else that stands under the name is taken away. `name` is that in ingest/.
 */
int cas_staging_open(struct cas_store *store, const struct cas_digest *digest,
                     char name[CAS_STAGING_NAME], int *ret_fd);

/* Of disk, that all idle staging takes. */
uint64_t cas_staging_idle_bytes(int ingest_dir);

/* Removes idle staging that is too old, or too much: the newest stay, up to `keep_bytes`. */
void cas_staging_sweep(int ingest_dir, uint64_t keep_bytes);

#endif
