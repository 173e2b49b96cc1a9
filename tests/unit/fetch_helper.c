/*
 * Helpers: who waits behind whom.
 */
#include "fetch/helper.h"

#include <criterion/criterion.h>
#include <semaphore.h>
#include <time.h>

TestSuite(fetch_helper, .timeout = 20);

struct chore {
        struct fetch_errand errand;
        sem_t *hangs; /* until this is posted; or NULL */
        sem_t begun;
};

static void run(struct fetch_errand *errand)
{
        struct chore *chore = (struct chore *)errand;

        sem_post(&chore->begun);
        if (chore->hangs)
                sem_wait(chore->hangs);
}

static void give(struct fetch_helpers *helpers, const void *owner, struct chore *chore,
                 sem_t *hangs)
{
        chore->errand.run = run;
        chore->hangs = hangs;
        sem_init(&chore->begun, 0, 0);
        cr_assert(fetch_helpers_give(helpers, owner, &chore->errand));
}

Test(fetch_helper, one_owner_holds_up_no_other)
{
        static const char owners[FETCH_HELPERS];
        struct fetch_helpers helpers;
        struct chore hanging[FETCH_HELPERS - 1];
        struct chore behind;
        struct chore others;
        struct timespec now = {0};
        sem_t end;

        sem_init(&end, 0, 0);
        fetch_helpers_init(&helpers);
        for (int i = 0; i < FETCH_HELPERS - 1; i++) {
                give(&helpers, &owners[i], &hanging[i], &end);
                cr_assert_eq(sem_wait(&hanging[i].begun), 0);
        }
        give(&helpers, &owners[0], &behind, NULL);
        give(&helpers, &owners[FETCH_HELPERS - 1], &others, NULL);
        cr_expect_eq(sem_wait(&others.begun), 0, "while they hang");
        cr_expect_neq(sem_timedwait(&behind.begun, &now), 0, "its owner's hangs");
        for (int i = 0; i < FETCH_HELPERS - 1; i++)
                sem_post(&end);
        fetch_helpers_wait(&helpers);
        cr_expect_eq(sem_timedwait(&behind.begun, &now), 0);
        fetch_helpers_destroy(&helpers);
}
