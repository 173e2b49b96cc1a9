/*
 * For threads whose work has time: they get what nobody else wants of disk and processor.
 */
#ifndef FS_IDLE_H
#define FS_IDLE_H

/* The calling thread, for good. Best effort: where the kernel or a filter says no, it is as
 * urgent as others, which its doer has to bear in mind (rests). */
void fs_idle_thread(void);

#endif
