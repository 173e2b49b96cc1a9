/*
 * Who the worker is. With an /etc/passwd of the test's own, so that it does not matter
 * which users the machine has.
 */
#include "fs/account.h"

#include "tests/unit/scratch.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define USERS                                                                                      \
        "root:x:0:0::/:/bin/sh\n"                                                                  \
        "toor:x:0:0::/:/bin/sh\n"                                                                  \
        "alice:x:4001:5001::/:/bin/sh\n"                                                           \
        "4001:x:4002:5002::/:/bin/sh\n"

static char why[256];

static void have_users(const char *passwd)
{
        scratch_write("passwd", passwd, strlen(passwd));
}

/* Gives this process, and no other, an /etc/passwd. */
static void make(void)
{
        if (geteuid() != 0)
                cr_skip("only root can have users of its own");
        scratch_make();
        have_users(USERS "assetfs:x:4003:5003::/:/bin/sh\n");
        cr_assert_eq(unshare(CLONE_NEWNS), 0);
        cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        cr_assert_eq(mount(scratch_at("passwd").text, "/etc/passwd", NULL, MS_BIND, NULL), 0);
}

static void clear(void)
{
        umount2("/etc/passwd", MNT_DETACH);
        scratch_remove();
}

TestSuite(fs_account, .init = make, .fini = clear, .timeout = 20);

static void expect_account(const char *user, const char *cache, uid_t uid, gid_t gid)
{
        struct fs_account account = {0};

        cr_expect_eq(fs_account_find(user, cache, &account, why, sizeof(why)), 0, "%s: %s",
                     user ? user : cache, why);
        cr_expect_eq(account.uid, uid, "%s: uid %u", user ? user : cache, account.uid);
        cr_expect_eq(account.gid, gid, "%s: gid %u", user ? user : cache, account.gid);
}

static void expect_error(const char *user, const char *cache, int error, const char *said)
{
        struct fs_account account;

        why[0] = '\0';
        cr_expect_eq(fs_account_find(user, cache, &account, why, sizeof(why)), error, "%s",
                     user ? user : cache);
        cr_expect_not_null(strstr(why, said), "%s: %s", user ? user : cache, why);
}

/* A cache directory of that owner. */
static const char *cache_of(uid_t uid, gid_t gid)
{
        static struct scratch_path path;

        path = scratch_at("cache");
        cr_assert(mkdir(path.text, 0755) == 0 || errno == EEXIST);
        cr_assert_eq(chown(path.text, uid, gid), 0);
        return path.text;
}

Test(fs_account, user_by_name)
{
        expect_account("alice", cache_of(4711, 4711), 4001, 5001);
}

Test(fs_account, user_by_number)
{
        expect_account("4002", "/none", 4002, 5002);
        expect_account("4711", "/none", 4711, 4711);
        expect_account("4294967294", "/none", 4294967294u, 4294967294u);
}

Test(fs_account, name_of_digits_is_a_name)
{
        expect_account("4001", "/none", 4002, 5002);
}

Test(fs_account, fault_64_users_that_are_none)
{
        static const char *const none[] = {
            "bob",
            "",
            "-1",
            "+1",
            " 1",
            "1 ",
            "12x",
            "0x12",
            "4294967295",
            "4294967296",
            "18446744073709551617",
        };

        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
                expect_error(none[i], cache_of(4711, 4711), -ENOENT, "no such user");
        expect_error("bob", "/none", -ENOENT, "--user bob");
}

Test(fs_account, root_is_never_the_worker)
{
        expect_error("root", "/none", -EPERM, "--user");
        expect_error("0", "/none", -EPERM, "--user");
        expect_error("toor", "/none", -EPERM, "--user");
}

Test(fs_account, owner_of_the_cache)
{
        expect_account(NULL, cache_of(4001, 4711), 4001, 5001);
        expect_account(NULL, cache_of(4711, 4712), 4711, 4712);
}

Test(fs_account, system_user_where_there_is_no_cache_yet)
{
        expect_account(NULL, "/none/at/all", 4003, 5003);
        expect_account(NULL, cache_of(0, 0), 4003, 5003);
}

Test(fs_account, no_system_user)
{
        have_users(USERS);
        expect_error(NULL, "/none", -ENOENT, "make install");
        expect_error(NULL, cache_of(0, 0), -ENOENT, "--user");
        expect_account(NULL, cache_of(4001, 5001), 4001, 5001);
}

Test(fs_account, system_user_that_is_root)
{
        have_users(USERS "assetfs:x:0:0::/:/bin/sh\n");
        expect_error(NULL, "/none", -EPERM, "root");
}

/* What a process of that user finds: 0 is itself, else an errno. */
static int found_as(uid_t uid, gid_t gid, const char *user)
{
        const char *cache = cache_of(4711, 4711);
        pid_t child = fork();
        int status = 0;

        cr_assert_geq(child, 0);
        if (child == 0) {
                struct fs_account account;

                if (setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
                        _exit(100);

                int r = fs_account_find(user, cache, &account, why, sizeof(why));

                if (r < 0)
                        _exit(strstr(why, "only root") ? -r : 101);
                _exit(account.uid == uid && account.gid == gid ? 0 : 102);
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(fs_account, ourselves_where_we_are_not_root)
{
        cr_expect_eq(found_as(4001, 4711, NULL), 0);
        cr_expect_eq(found_as(4001, 4711, "alice"), 0);
        cr_expect_eq(found_as(4002, 4711, "4002"), 0);
        cr_expect_eq(found_as(4711, 4711, "4711"), 0, "a user without a name");
}

Test(fs_account, only_root_chooses)
{
        cr_expect_eq(found_as(4001, 5001, "assetfs"), EPERM);
        cr_expect_eq(found_as(4001, 5001, "root"), EPERM);
        cr_expect_eq(found_as(4001, 5001, "4711"), EPERM);
        cr_expect_eq(found_as(4001, 5001, "bob"), EPERM);
}
