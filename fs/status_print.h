/*
 * A status in words. On a terminal with progress bars and short digests; elsewhere without
 * bars, with whole digests. What the file says reaches `out` as printable ASCII only.
 */
#ifndef FS_STATUS_PRINT_H
#define FS_STATUS_PRINT_H

#include "fs/status.h"

#include <stdio.h>

/* `columns` of the terminal; 0: it is none. */

void fs_status_print(FILE *out, const struct fs_status *status, unsigned columns);

/* One line: how far a download is. */
void fs_status_print_progress(FILE *out, const struct fs_status_flight *given, unsigned columns);

/* One line: how many run and wait. */
void fs_status_print_downloads(FILE *out, const struct fs_status *status);

#endif
