/*
 * The directories of a cache and its lock, taken once at the start. Used by
 * cas/store.c alone; everybody else speaks to the store.
 */
#ifndef CAS_LAYOUT_H
#define CAS_LAYOUT_H

#include "cas/store.h"

struct cas_layout {
        int root;
        int blobs;
        int ingest;
        int quarantine;
        int lock;
};

/* As cas_store_open(). On failure nothing is left open. */
int cas_layout_open(const char *path, struct cas_layout *ret, char why[CAS_STORE_WHY]);

void cas_layout_close(struct cas_layout *layout);

#endif
