/*
 * Caching tiers between the nodes of a fleet and an origin, with the files that scripts/fleet
 * has for them: what is replaced in these is what they say is to be changed. The servers die
 * with the test's process, and are to be stopped before world_end().
 */
#ifndef TESTS_FLEET_H
#define TESTS_FLEET_H

#include "tests/e2e/registry.h"

#define TIER_SLICE 1048576 /* bytes, in the test; a smaller one costs less */

struct tier {
        pid_t pid;
        int port;
        char dir[WORLD_PATH];
};

/* scripts/fleet/nginx.conf, before 127.0.0.1:ORIGIN_PORT. `name` of its directory. */
void tier_start_nginx(struct tier *tier, const struct world *world, const char *name,
                      int origin_port);

/* scripts/fleet/squid.conf, for origins on 127.0.0.1. */
void tier_start_squid(struct tier *tier, const struct world *world);

/* scripts/fleet/registry.yml, before the registry on 127.0.0.1:ORIGIN_PORT. */
void tier_start_registry(struct tier *tier, const struct world *world, int origin_port);

/* GET requests for the blob that it answered; their bytes in *ret_bytes. */
int registry_gets(const struct registry *registry, const char *hex, int64_t *ret_bytes);

void tier_stop(struct tier *tier);

#endif
