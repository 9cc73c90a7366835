/* redaction_test.c - which arguments are hidden.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/redaction.h"

#include <criterion/criterion.h>

#define WORDS_MAX 10

/* The request's words behind each other, hidden ones as '*'. */
static void expect(const char *const words[], const char *shown) {
    struct argument argv[WORDS_MAX] = {{0}};
    char text[256] = "";
    uint32_t argc = 0;
    for (; words[argc] != NULL; argc++)
        argv[argc] =
            (struct argument){.data = (const uint8_t *)words[argc], .size = (uint32_t)strlen(words[argc])};
    struct redaction redaction = redaction_begin(argv, argc);
    for (uint32_t i = 0; i < argc; i++) {
        strcat(text, i == 0 ? "" : " ");
        strcat(text, redaction_covers(&redaction, argv, argc, i) ? "*" : words[i]);
    }
    cr_assert_str_eq(text, shown);
}
#define EXPECT(shown, ...) expect((const char *const[]){__VA_ARGS__, NULL}, shown)

Test(redaction, everything_behind_auth_is_hidden) {
    EXPECT("AUTH *", "AUTH", "secret");
    EXPECT("auth * *", "auth", "default", "secret");
    EXPECT("AUTH * * *", "AUTH", "a", "b", "c");
    EXPECT("AUTH", "AUTH");
}

Test(redaction, hello_hides_user_and_password_only) {
    EXPECT("HELLO 3 AUTH * * SETNAME me", "HELLO", "3", "AUTH", "user", "secret", "SETNAME", "me");
    EXPECT("hello 2 setname me auth * *", "hello", "2", "setname", "me", "auth", "user", "secret");
    EXPECT("HELLO 3", "HELLO", "3");
    EXPECT("HELLO 3 AUTH *", "HELLO", "3", "AUTH", "secret");
    EXPECT("HELLO 3 AUTH", "HELLO", "3", "AUTH");
}

Test(redaction, a_name_that_looks_like_an_option_is_none) {
    EXPECT("HELLO 3 SETNAME auth AUTH * *", "HELLO", "3", "SETNAME", "auth", "AUTH", "user", "secret");
    EXPECT("HELLO 3 AUTH * * AUTH * *", "HELLO", "3", "AUTH", "auth", "auth", "AUTH", "user", "secret");
}

Test(redaction, config_set_hides_the_values_of_passwords) {
    EXPECT("CONFIG SET requirepass * timeout 5 MasterAuth *", "CONFIG", "SET", "requirepass", "a", "timeout",
           "5", "MasterAuth", "b");
    EXPECT("CONFIG GET requirepass", "CONFIG", "GET", "requirepass");
    EXPECT("CONFIG SET timeout requirepass", "CONFIG", "SET", "timeout", "requirepass");
    EXPECT("CONFIG SET timeout requirepass maxclients 5", "CONFIG", "SET", "timeout", "requirepass",
           "maxclients", "5");
}

Test(redaction, other_requests_are_shown) {
    EXPECT("SET auth secret", "SET", "auth", "secret");
    EXPECT("CONFIG", "CONFIG");
}
