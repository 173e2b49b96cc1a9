/*
 * Logins of registries: which entry of which file is ours.
 */
#include "fetch/docker_config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void forget_environment(void)
{
        unsetenv("REGISTRY_AUTH_FILE");
        unsetenv("XDG_RUNTIME_DIR");
        unsetenv("DOCKER_CONFIG");
        unsetenv("HOME");
}

TestSuite(fetch_docker_config, .init = forget_environment, .timeout = 20);

#define REGISTRY   "registry.example.com:5000"
#define REPOSITORY "team/models/big"

/* The password it finds (each entry of a test has its own), "" for none, or why it finds none. */
static const char *found(const char *text)
{
        static char password[128];
        struct fetch_docker_login login;
        const char *why = "";
        int r = fetch_docker_login_parse(text, REGISTRY, REPOSITORY, &login, &why);

        snprintf(password, sizeof(password), "%s",
                 r == 1 && login.identity ? login.identity
                 : r == 1                 ? login.password
                                          : why);
        cr_expect_eq(r < 0, *why != '\0', "%s: %d %s", text, r, why);
        cr_expect(r == 1 || (!login.login && !login.password && !login.identity));
        fetch_docker_login_free(&login);
        return password;
}

#define ONE "{\"auth\": \"dTpvbmU=\"}"     /* u:one */
#define TWO "{\"auth\": \"dTp0OndvOg==\"}" /* u:t:wo: */

Test(fetch_docker_config, keys_as_docker_and_podman_write_them)
{
        cr_expect_str_eq(found("{\"auths\": {\"" REGISTRY "\": " ONE "}}"), "one");
        cr_expect_str_eq(found("{\"auths\": {\"https://REGISTRY.example.com:5000\": " ONE "}}"),
                         "one");
        cr_expect_str_eq(found("{\"auths\": {\"https://" REGISTRY "/v1/\": " ONE "}}"), "one");
        cr_expect_str_eq(found("{\"auths\": {\"http://" REGISTRY "/v2\": " ONE "}}"), "one");
        cr_expect_str_eq(found("{\"auths\": {\"" REGISTRY "/\": " ONE "}}"), "one");
        cr_expect_str_eq(found("{\"auths\": {\"" REGISTRY "/team\": " ONE "}}"), "one");
        cr_expect_str_eq(found("{\"auths\": {\"" REGISTRY "/" REPOSITORY "\": " ONE "}}"), "one");
}

Test(fetch_docker_config, other_registries_and_repositories)
{
        cr_expect_str_eq(found("{\"auths\": {\"registry.example.com\": " ONE "}}"), "");
        cr_expect_str_eq(found("{\"auths\": {\"" REGISTRY "0\": " ONE "}}"), "");
        cr_expect_str_eq(found("{\"auths\": {\"x" REGISTRY "\": " ONE "}}"), "");
        cr_expect_str_eq(found("{\"auths\": {\"" REGISTRY "/tea\": " ONE "}}"), "");
        cr_expect_str_eq(found("{\"auths\": {\"" REGISTRY "/" REPOSITORY "/x\": " ONE "}}"), "");
        cr_expect_str_eq(found("{\"auths\": {\"" REGISTRY "/v1/x\": " ONE "}}"), "");
        cr_expect_str_eq(found("{}"), "");
        cr_expect_str_eq(found("{\"auths\": []}"), "");
        cr_expect_str_eq(found("{\"credsStore\": \"desktop\"}"), "", "nobody logged in there");
}

Test(fetch_docker_config, the_longest_prefix)
{
        cr_expect_str_eq(
            found("{\"auths\": {\"" REGISTRY "/team\": " ONE ", \"" REGISTRY "\": " TWO "}}"),
            "one");
        cr_expect_str_eq(found("{\"auths\": {\"" REGISTRY "/team\": " ONE ", \"" REGISTRY
                               "/team/models\": " TWO ", \"" REGISTRY "/v1/\": " ONE "}}"),
                         "t:wo:");
}

Test(fetch_docker_config, kinds_of_logins)
{
        cr_expect_str_eq(found("{\"auths\": {\"" REGISTRY "\": {\"auth\": \"dTo=\","
                               " \"identitytoken\": \"id\"}}}"),
                         "id");
        cr_expect_str_eq(found("{\"auths\": {\"" REGISTRY "\": {\"username\": \"u\","
                               " \"password\": \"pass\"}}}"),
                         "pass");
        cr_expect_str_eq(found("{\"auths\": {\"" REGISTRY "\": {}}}"), "");
}

Test(fetch_docker_config, fault_20_what_is_to_be_mended)
{
        cr_expect(
            strstr(found("{\"auths\": {\"" REGISTRY "\": {}}, \"credsStore\": \"x\"}"), "helper"));
        cr_expect(strstr(found("{\"credHelpers\": {\"" REGISTRY "\": \"x\"}}"), "helper"));
        cr_expect_str_eq(found("{\"credHelpers\": {\"" REGISTRY
                               "\": \"x\"}, \"auths\": {\"" REGISTRY "\": " ONE "}}"),
                         "one", "it is there, so no helper is needed");
        cr_expect_str_eq(found("{\"credHelpers\": {\"other.example.com\": \"x\"}}"), "");
        cr_expect(strstr(found("[]"), "JSON"));
        cr_expect(strstr(found("{\"auths\": {}"), "JSON"));
        cr_expect(
            strstr(found("{\"auths\": {\"" REGISTRY "\": {\"auth\": \"dTpvbmU\"}}}"), "Base64"));
        cr_expect(strstr(found("{\"auths\": {\"" REGISTRY "\": {\"auth\": \"****\"}}}"), "Base64"));
        cr_expect(
            strstr(found("{\"auths\": {\"" REGISTRY "\": {\"auth\": \"dW9uZQ==\"}}}"), "Base64"),
            "no colon");
}

static char dir[] = "/tmp/assetfs-docker.XXXXXX";

static void put(const char *name, const char *text)
{
        char path[128];
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        file = fopen(path, "w");
        cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void expect_password(struct fetch_docker_config *config, const char *password)
{
        struct fetch_cause cause = {0};
        struct fetch_docker_login login;

        cr_assert(fetch_docker_config_find(config, REGISTRY, REPOSITORY, &login, &cause), "%s",
                  cause.text);
        cr_expect_str_eq(login.password ? login.password : "", password);
        fetch_docker_login_free(&login);
}

Test(fetch_docker_config, files_in_their_order_and_again_when_they_change)
{
        struct fetch_docker_config config;
        struct fetch_docker_login login;
        struct fetch_cause cause = {0};
        char path[64];

        cr_assert(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/named", dir);
        setenv("REGISTRY_AUTH_FILE", path, 1);
        setenv("DOCKER_CONFIG", dir, 1);
        setenv("HOME", "/nowhere", 1);
        cr_assert_eq(fetch_docker_config_init(&config), 0);

        expect_password(&config, "");
        cr_expect(fetch_docker_config_is_fresh(&config));
        put("config.json", "{\"auths\": {\"" REGISTRY "\": " ONE "}}");
        cr_expect_not(fetch_docker_config_is_fresh(&config), "it was not there");
        expect_password(&config, "one");
        put("named", "{\"auths\": {}}");
        expect_password(&config, "one");
        put("named", "{\"auths\": {\"" REGISTRY "\": " TWO "}}");
        cr_expect_not(fetch_docker_config_is_fresh(&config));
        expect_password(&config, "t:wo:");
        cr_expect(fetch_docker_config_is_fresh(&config));

        fetch_docker_config_free(&config);
        cr_assert_eq(fetch_docker_config_init(&config), 0);
        expect_password(&config, "t:wo:");
        cr_expect(fetch_docker_config_is_fresh(&config), "nobody has looked at the second file");
        put("named", "{");
        cr_expect_not(fetch_docker_config_find(&config, REGISTRY, REPOSITORY, &login, &cause));
        cr_expect_eq(cause.kind, FETCH_DENIED);
        cr_expect(strstr(cause.text, "named"), "%s", cause.text);

        fetch_docker_config_free(&config);
        cr_expect_eq(unlink(path), 0);
        snprintf(path, sizeof(path), "%s/config.json", dir);
        cr_expect_eq(unlink(path), 0);
        cr_expect_eq(rmdir(dir), 0);
}

/* What another user keeps for himself is passed by, and named as that. */
Test(fetch_docker_config, a_home_that_cannot_be_entered)
{
        char home[] = "/tmp/assetfs-docker-config-XXXXXX";
        char name[256];
        char expected[256];
        int status = -1;
        pid_t pid;

        if (geteuid() != 0)
                cr_skip("only root can be another user");
        cr_assert_not_null(mkdtemp(home));
        setenv("HOME", home, 1);
        snprintf(expected, sizeof(expected), "%s/.docker/config.json (Permission denied)", home);
        pid = fork();
        if (pid == 0) {
                struct fetch_docker_config config;

                if (setresuid(65534, 65534, 65534) < 0 || fetch_docker_config_init(&config) < 0)
                        _exit(1);
                fetch_docker_config_name(&config, name, sizeof(name));
                _exit(strcmp(name, expected) == 0 ? 0 : 2);
        }
        cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
        cr_expect_eq(status, 0);
        cr_expect_eq(rmdir(home), 0);
}

Test(fetch_docker_config, by_default_below_home)
{
        struct fetch_docker_config config;
        char name[256];

        cr_assert_eq(fetch_docker_config_init(&config), 0);
        fetch_docker_config_name(&config, name, sizeof(name));
        cr_expect_str_eq(name, "REGISTRY_AUTH_FILE, which is not set");
        fetch_docker_config_free(&config);

        setenv("HOME", "/home/u", 1);
        setenv("XDG_RUNTIME_DIR", "/run/u", 1);
        cr_assert_eq(fetch_docker_config_init(&config), 0);
        fetch_docker_config_name(&config, name, sizeof(name));
        cr_expect_str_eq(name, "/run/u/containers/auth.json or /home/u/.docker/config.json");
        fetch_docker_config_free(&config);

        setenv("DOCKER_CONFIG", "relative", 1);
        unsetenv("XDG_RUNTIME_DIR");
        cr_assert_eq(fetch_docker_config_init(&config), 0);
        fetch_docker_config_name(&config, name, sizeof(name));
        cr_expect_str_eq(name, "/home/u/.docker/config.json");
        fetch_docker_config_free(&config);
}
