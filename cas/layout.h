/*
 * The directories of a claimed cache. Used by cas/store.c alone; everybody else
 * speaks to the store.
 */
#ifndef CAS_LAYOUT_H
#define CAS_LAYOUT_H

#include "cas/claim.h"

struct cas_layout {
        struct cas_claim claim;
        int blobs;
        int ingest;
        int quarantine;
        int pins;
};

/* Takes the claim over, but not on failure. 0 or -errno and `why`. */
int cas_layout_open(const struct cas_claim *claim, struct cas_layout *ret, char why[CAS_WHY]);

/*
 * Makes anew what was removed from the cache since, through the root's descriptor. -ENOENT
 * where the cache directory itself was removed: nothing can be made in it any more.
 */
int cas_layout_mend(const struct cas_layout *layout);

void cas_layout_close(struct cas_layout *layout);

#endif
