/*
 * A download from one http source while it runs, as its four files share it: http_source.c
 * (the flight's thread: feeds the ingest), lanes.c (the transfer loop's: fills the window),
 * answer.c (what an answer's headers mean), widen.c (how many lanes there are). Nobody else
 * includes this.
 *
 * It begins as one transfer to the end of the body. While that does not fill the pipeline
 * and the reason is the connection, it goes over to several lanes, each of which fetches
 * one segment of the body after the other, ahead of the front of the window; when that
 * does not help either, one lane is given all the rest.
 *
 * Lock: the window's guards all of it but what is set before the first transfer. "Locked"
 * functions want it held.
 */
#ifndef FETCH_DOWNLOAD_H
#define FETCH_DOWNLOAD_H

#include "fetch/source.h"

#define LANES_MOST     FETCH_CONNECTIONS_MOST
#define LOOK_AROUND_MS 1000
#define FETCH_PROBE_MS 150 /* at least, between two looks at whether more lanes would help */

struct fetch_lane {
        struct fetch_download *download;
        struct http_transfer *transfer; /* or NULL: idle */
        uint64_t from;                  /* what was asked for */
        uint64_t asked;                 /* … up to here, or HTTP_TO_THE_END */
        uint64_t at;
        uint64_t end;  /* where it is to stop; the end of the body where that is known */
        bool cut;      /* … is before what was asked for */
        bool starved;  /* waits for a slot */
        bool retired;  /* failed: gets no more segments */
        bool replaced; /* is being ended, for another one to do its rest */
        int64_t began_ms;
        uint64_t looked_at; /* where it was at the last look around */
        bool over_bound;    /* more bytes than there may be */
        bool delivered;     /* some bytes, in this segment or one before */
};

struct fetch_hole {
        uint64_t from;
        uint64_t to;
};

struct fetch_download {
        const struct fetch_job *job;
        struct fetch_window *window;
        uint64_t begin; /* where the window was */
        uint64_t limit; /* the most bytes the body may have */

        struct fetch_lane lanes[LANES_MOST];
        unsigned most;     /* lanes that there may be; 1 until there are segments */
        unsigned wanted;   /* lanes that are to run */
        unsigned running;  /* lanes that do */
        char *url;         /* where the redirects of the first answer led to, or NULL; owned */
        uint64_t size;     /* of the body, or HTTP_SIZE_UNKNOWN */
        uint64_t received; /* bytes, in whatever order */
        bool starved;      /* since the last probe: the disk is what all wait for */
        unsigned breaks;   /* segments that broke in the middle */
        uint64_t best;     /* bytes a second, of the fastest segment */
        uint64_t segment;  /* bytes; 0: one lane, to the end */
        uint64_t next;     /* the first byte that no lane has been given */
        struct fetch_hole holes[LANES_MOST];
        unsigned hole_count;

        bool answered; /* the flight's thread is to look at the size */
        bool anew;     /* … and, before the first byte is taken, to begin from zero */
        bool guarded;  /* by an entity tag: it goes on in the body of before */
        bool stopping;
        struct fetch_outcome end; /* of the lane that failed last */

        /* The flight's thread only. */
        int64_t began_ms;
        int64_t first_answer_ms; /* after began_ms; 0: none yet */
        int64_t probed_ms;
        int64_t probed_cpu_ms;
        uint64_t probed_bytes; /* received then */
        int64_t waited_ms;     /* since then, for bytes */
        int64_t hurried_ms;    /* when fetch_download_hurry() looked last */
        uint64_t rate;         /* bytes a second, before the last change of `wanted`; 0: none */
        bool settled;          /* no more changes */
};

/* answer.c. Locked: the final answer's headers are here; false where it is of no use. */
bool fetch_download_answer(struct fetch_lane *lane, const struct http_response *response);

/* lanes.c. Locked, from any thread. */
void fetch_download_start(struct fetch_lane *lane, uint64_t from, uint64_t to);
void fetch_download_give_work(struct fetch_download *download); /* to every lane that is idle */
void fetch_download_resume(struct fetch_download *download);    /* those who wait for a slot */
void fetch_download_freed(void *arg); /* a slot came back (fetch_window.freed) */

/* widen.c. Locked. */
bool fetch_download_may_widen(const struct fetch_download *download);
void fetch_download_begin_probe(struct fetch_download *download, int64_t now_ms);
void fetch_download_probe(struct fetch_download *download);

/* Once a second: the lane that all wait for is ended if it is far slower than others were, and
 * somebody is free to do its rest. */
void fetch_download_hurry(struct fetch_download *download);

/* An origin that promised ranges refuses one: back to the first transfer alone, where none of the
 * others has filled, or may still fill, a part of the window. */
void fetch_download_undo_segments(struct fetch_download *download);

#endif
