/*
 * The verbs, a cmd_*.c each. argv[0] is the verb; the return value is the exit
 * status: 0, 1 (failed, after one line on stderr), 2 (usage). Each answers --help.
 */
#ifndef FS_CMD_H
#define FS_CMD_H

int cmd_cancel(int argc, char **argv);
int cmd_check_config(int argc, char **argv);
int cmd_gc(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_mount(int argc, char **argv);
int cmd_pin(int argc, char **argv);
int cmd_prefetch(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_unpin(int argc, char **argv);
int cmd_verify(int argc, char **argv);

#endif
