/*
 * The helper: a queue, and a thread while it is not empty; and who of several is given what. Knows
 * nothing of what the errands are.
 */
#include "fetch/helper.h"

#include "fetch/thread.h"

#include <stddef.h>

void fetch_helper_init(struct fetch_helper *helper)
{
        *helper = (struct fetch_helper){0};
        pthread_mutex_init(&helper->lock, NULL);
        pthread_cond_init(&helper->idle, NULL);
}

void fetch_helper_destroy(struct fetch_helper *helper)
{
        pthread_cond_destroy(&helper->idle);
        pthread_mutex_destroy(&helper->lock);
}

static void *run(void *arg)
{
        struct fetch_helper *helper = arg;
        struct fetch_errand *errand;

        pthread_setname_np(pthread_self(), "files");
        pthread_mutex_lock(&helper->lock);
        while ((errand = helper->first)) {
                helper->first = errand->next;
                pthread_mutex_unlock(&helper->lock);
                errand->run(errand);
                pthread_mutex_lock(&helper->lock);
        }
        helper->running = false;
        pthread_cond_broadcast(&helper->idle);
        pthread_mutex_unlock(&helper->lock);
        return NULL;
}

/* Under the lock. */
static bool ensure_thread(struct fetch_helper *helper)
{
        if (helper->running)
                return true;
        helper->running = fetch_thread_start(NULL, run, helper) == 0;
        return helper->running;
}

bool fetch_helper_give(struct fetch_helper *helper, struct fetch_errand *errand)
{
        pthread_mutex_lock(&helper->lock);

        bool taken = ensure_thread(helper);

        if (taken) {
                errand->next = NULL;
                if (helper->first)
                        helper->last->next = errand;
                else
                        helper->first = errand;
                helper->last = errand;
        }
        pthread_mutex_unlock(&helper->lock);
        return taken;
}

void fetch_helper_wait(struct fetch_helper *helper)
{
        pthread_mutex_lock(&helper->lock);
        while (helper->running)
                pthread_cond_wait(&helper->idle, &helper->lock);
        pthread_mutex_unlock(&helper->lock);
}

void fetch_helpers_init(struct fetch_helpers *helpers)
{
        pthread_mutex_init(&helpers->lock, NULL);
        for (int i = 0; i < FETCH_HELPERS; i++) {
                fetch_helper_init(&helpers->all[i]);
                helpers->owners[i] = NULL;
        }
}

void fetch_helpers_destroy(struct fetch_helpers *helpers)
{
        for (int i = 0; i < FETCH_HELPERS; i++)
                fetch_helper_destroy(&helpers->all[i]);
        pthread_mutex_destroy(&helpers->lock);
}

static bool is_busy(struct fetch_helper *helper)
{
        pthread_mutex_lock(&helper->lock);

        bool busy = helper->running;

        pthread_mutex_unlock(&helper->lock);
        return busy;
}

/* Under the lock: whoever has the owner's errands already, else one who has nothing to do and is
 * the owner's from now on. */
static int choose(struct fetch_helpers *helpers, const void *owner)
{
        int idle = -1;

        for (int i = 0; i < FETCH_HELPERS; i++) {
                if (!is_busy(&helpers->all[i]))
                        idle = i;
                else if (helpers->owners[i] == owner)
                        return i;
        }
        if (idle < 0)
                return 0;
        helpers->owners[idle] = owner;
        return idle;
}

bool fetch_helpers_give(struct fetch_helpers *helpers, const void *owner,
                        struct fetch_errand *errand)
{
        pthread_mutex_lock(&helpers->lock);

        int chosen = choose(helpers, owner);
        bool taken = fetch_helper_give(&helpers->all[chosen], errand);

        pthread_mutex_unlock(&helpers->lock);
        return taken;
}

void fetch_helpers_wait(struct fetch_helpers *helpers)
{
        for (int i = 0; i < FETCH_HELPERS; i++)
                fetch_helper_wait(&helpers->all[i]);
}
