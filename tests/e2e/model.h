/*
 * The reference that the model test (tests/e2e/model.c) compares a cache with: what of a
 * small universe of assets is cached, pinned, open, and in which order it was opened.
 */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include "tests/e2e/downloads.h"

#define MODEL_ASSETS  30
#define MODEL_LARGEST (3u << 20)
#define MODEL_CACHE   (15u << 20) /* --cache-size: about a third of all */
#define MODEL_SLACK   (512u << 10)
#define MODEL_HOLDS   6
#define MODEL_PINS    5
#define MODEL_HISTORY 50

struct asset {
        struct download *download;
        const unsigned char *bytes; /* what is right */
        bool pinned;
        bool asked;  /* the last operation wanted it, so that it may be here now */
        int holds;   /* open files and mappings */
        bool cached; /* and what follows is of a blob that is here */
        uint64_t blocks;
        int64_t turn; /* when it was opened last: in this worker's life > 0, before <= 0 */
        bool unknown; /* the clock said the future: nobody can say what that was worth */
        int hours;    /* the blob's times say it was opened so long ago, or in the future */
        bool future;
        bool stale; /* it was opened after these were set: the times may not say so yet */
};

struct hold {
        struct asset *asset; /* or NULL: free */
        int fd;
        unsigned char *map;
};

struct model {
        struct world world;
        unsigned seed; /* as it was printed */
        unsigned dice;
        uint64_t bound; /* bytes that the cache may take, by the operation under way */
        bool done;
        const char *catalog;
        struct download downloads[MODEL_ASSETS];
        struct asset assets[MODEL_ASSETS];
        struct hold holds[MODEL_HOLDS];
        int64_t turn;
        bool two_orders; /* of what went, nobody can say who chose it */
        uint64_t used;   /* bytes on disk, when it was looked at last */
        char history[MODEL_HISTORY][128];
        unsigned step;
};

/* Makes the universe of model->seed, an origin that has it, and the mount. */
void model_begin(struct model *model);
void model_mount(struct model *model);

/* 0 to sides - 1. */
unsigned model_dice(struct model *model, unsigned sides);

/* An operation begins. */
__attribute__((format(printf, 2, 3))) void model_say(struct model *model, const char *format, ...);
/* The asset for a line; valid until the next call. */
const char *model_name(const struct model *model, const struct asset *asset);

unsigned model_pinned(const struct model *model);

/* Beside what is pinned and what is open, is there surely room for `bytes`? */
bool model_fits(const struct model *model, uint64_t bytes);

/* An open ended with `error`: may it? `others`: bytes that others wanted meanwhile. */
void model_opened(struct model *model, struct asset *asset, int error, uint64_t others);

/* It was opened, or published, last of all. */
void model_touched(struct model *model, struct asset *asset);

/* The worker that knew the order of opens is gone. */
void model_forget_order(struct model *model);

/* Waits until nothing is being downloaded. */
void model_settle(struct model *model);

/* What is on disk now, and may what went have gone, for an operation that wanted `bytes`?
 * `refused`: it found no room, so nothing may have gone. */
void model_observe(struct model *model, uint64_t bytes, bool refused);

#endif
