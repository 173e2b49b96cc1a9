/*
 * Places: two lists and a few counts.
 */
#include "fetch/places.h"

#include <stddef.h>

void fetch_places_init(struct fetch_places *places, unsigned most)
{
        *places = (struct fetch_places){.most = most};
}

static unsigned half_of(unsigned most)
{
        return most > 1 ? most / 2 : 1;
}

/* Before `at`, or as the last one where that is NULL. */
static void insert(struct fetch_places_list *list, struct fetch_place *place,
                   struct fetch_place *at)
{
        place->next = at;
        place->prev = at ? at->prev : list->last;
        if (place->prev)
                place->prev->next = place;
        else
                list->first = place;
        if (at)
                at->prev = place;
        else
                list->last = place;
}

static void take_out(struct fetch_places_list *list, struct fetch_place *place)
{
        if (place->prev)
                place->prev->next = place->next;
        else
                list->first = place->next;
        if (place->next)
                place->next->prev = place->prev;
        else
                list->last = place->prev;
}

/* The server's that run and go on running. */
static unsigned running_of(const struct fetch_places *places, uint64_t server)
{
        unsigned count = 0;

        for (const struct fetch_place *place = places->runners.first; place; place = place->next)
                count += place->server == server && !place->yielding;
        return count;
}

static bool has_its_share(const struct fetch_places *places, const struct fetch_place *place)
{
        return running_of(places, place->server) >= half_of(places->most);
}

/* The one that began last of a server that has more than its share. */
static struct fetch_place *who_makes_room(const struct fetch_places *places)
{
        for (struct fetch_place *place = places->runners.last; place; place = place->prev)
                if (!place->yielding && running_of(places, place->server) > half_of(places->most))
                        return place;
        return NULL;
}

struct fetch_place *fetch_places_join(struct fetch_places *places, struct fetch_place *place,
                                      uint64_t server)
{
        struct fetch_place *other;
        unsigned free = places->most - places->running;
        unsigned before = 0; /* who waits for a place that is free or becomes so */

        *place = (struct fetch_place){.server = server};
        insert(&places->waiting, place, NULL);
        if (has_its_share(places, place))
                return NULL;
        for (other = places->runners.first; other; other = other->next)
                free += other->yielding;
        for (other = places->waiting.first; other != place && before < free; other = other->next)
                before += !has_its_share(places, other);
        if (before < free)
                return NULL;
        other = who_makes_room(places);
        if (other)
                other->yielding = true;
        return other;
}

struct fetch_place *fetch_places_next(struct fetch_places *places)
{
        struct fetch_place *place = places->waiting.first;

        if (places->running >= places->most)
                return NULL;
        while (place && has_its_share(places, place)) {
                uint64_t server = place->server;

                while (place && place->server == server)
                        place = place->next;
        }
        if (!place)
                place = places->waiting.first; /* nobody else wants to */
        if (!place)
                return NULL;
        take_out(&places->waiting, place);
        insert(&places->runners, place, NULL);
        place->running = true;
        places->running++;
        return place;
}

void fetch_places_leave(struct fetch_places *places, struct fetch_place *place)
{
        take_out(place->running ? &places->runners : &places->waiting, place);
        places->running -= place->running;
        place->running = place->yielding = false;
}

void fetch_places_yield(struct fetch_places *places, struct fetch_place *place)
{
        fetch_places_leave(places, place);
        insert(&places->waiting, place, places->waiting.first);
}
