/*
 * A test that is a script.
 */
#ifndef TESTS_BOOT_SCRIPT_H
#define TESTS_BOOT_SCRIPT_H

/* Runs `name` of the directory that the environment's `variable` names, and fails the test
 * unless it ends with 0. The script tells on stderr which of its steps failed. */
void script_run(const char *variable, const char *name);

#endif
