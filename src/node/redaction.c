/* redaction.c - the few requests that carry passwords.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/redaction.h"

static const char *const secret_settings[] = {"requirepass",       "masterauth",
                                              "masteruser",        "cluster-secret",
                                              "tls-key-file-pass", "tls-client-key-file-pass"};

struct redaction redaction_begin(const struct argument *argv, uint32_t argc) {
    struct redaction redaction = {REDACTION_NONE, 0, false};
    if (argument_is(&argv[0], "auth"))
        redaction.rule = REDACTION_AUTH;
    else if (argument_is(&argv[0], "hello"))
        redaction.rule = REDACTION_HELLO;
    else if (argument_is(&argv[0], "config") && argc > 1 && argument_is(&argv[1], "set"))
        redaction.rule = REDACTION_CONFIG_SET;
    return redaction;
}

static bool is_secret_setting(const struct argument *name) {
    for (unsigned i = 0; i < sizeof secret_settings / sizeof *secret_settings; i++)
        if (argument_is(name, secret_settings[i]))
            return true;
    return false;
}

/* HELLO version, then options: AUTH has two arguments, SETNAME one, which may be any word. */
static bool hello_covers(struct redaction *redaction, const struct argument *argv, uint32_t argc,
                         uint32_t index) {
    if (index < 2)
        return false;
    if (index < redaction->hidden_until)
        return redaction->is_hiding;
    redaction->is_hiding = argument_is(&argv[index], "auth") && argc - index > 1;
    if (redaction->is_hiding)
        redaction->hidden_until = index + 3;
    else if (argument_is(&argv[index], "setname"))
        redaction->hidden_until = index + 2;
    return false;
}

bool redaction_covers(struct redaction *redaction, const struct argument *argv, uint32_t argc,
                      uint32_t index) {
    switch (redaction->rule) {
    case REDACTION_NONE: return false;
    case REDACTION_AUTH: return index > 0;
    case REDACTION_HELLO: return hello_covers(redaction, argv, argc, index);
    case REDACTION_CONFIG_SET: return index > 2 && index % 2 == 1 && is_secret_setting(&argv[index - 1]);
    }
    return false;
}
