/*
 * Replays the corpus of every fuzzer, each a test. The fuzzers are programs of their own,
 * because each has the one entry that libFuzzer calls.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

TestSuite(fuzz, .timeout = 60);

/* The replay tells on stderr which input it was. */
static void replay(const char *fuzzer)
{
        const char *programs = getenv("FUZZ_PROGRAMS");
        const char *corpus = getenv("FUZZ_CORPUS");
        char command[8192];

        cr_assert(programs && corpus, "FUZZ_PROGRAMS and FUZZ_CORPUS name the directories");
        snprintf(command, sizeof(command), "exec '%s/%s' '%s/%s'", programs, fuzzer, corpus,
                 fuzzer);

        int status = system(command);

        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s ended with status %#x",
                  command, (unsigned)status);
}

Test(fuzz, fault_65_catalog)
{
        replay("catalog");
}

Test(fuzz, fault_65_challenge)
{
        replay("challenge");
}

Test(fuzz, fault_65_config)
{
        replay("config");
}

Test(fuzz, fault_65_content_range)
{
        replay("content_range");
}

Test(fuzz, fault_65_gs)
{
        replay("gs");
}

Test(fuzz, fault_65_retry_after)
{
        replay("retry_after");
}

Test(fuzz, fault_65_sums)
{
        replay("sums");
}

Test(fuzz, fault_65_template)
{
        replay("template");
}

Test(fuzz, fault_65_url)
{
        replay("url");
}
