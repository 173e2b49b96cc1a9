/*
 * What people read and install, each script beside this file a test: that the manual, the
 * completion and the manifests say what the binary says, and what the package holds.
 */
#include "tests/boot/script.h"

#include <criterion/criterion.h>

TestSuite(docs, .timeout = 120);

Test(docs, manual)
{
        script_run("DOCS_TESTS", "man");
}

Test(docs, completion)
{
        script_run("DOCS_TESTS", "completion");
}

Test(docs, kubernetes)
{
        script_run("DOCS_TESTS", "kubernetes");
}

Test(docs, deb)
{
        script_run("DOCS_TESTS", "deb");
}
