/* request.h - finds one request in a run of bytes, in place: RESP arrays of bulk strings, or inline commands.
 *
 * Nothing is copied: the arguments point into the given bytes (an inline command with quotes is unquoted in
 * place, which only ever shortens it). The parser keeps no state: an incomplete request is looked at again when
 * more bytes are there, not before `needed` bytes are.
 * May touch: base. Must never know: commands, clients.
 * Invariants: never reads past data + size; reserves nothing because of a length header.
 * Tests: tests/unit/proto/request_test.c, tests/fuzz/request_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef PROTO_REQUEST_H
#define PROTO_REQUEST_H

#include "base/argument.h"

#include <stddef.h>
#include <stdint.h>

enum request_status {
    REQUEST_COMPLETE, /* argc arguments, `consumed` bytes; argc may be 0 (an empty line, *0): nothing to do */
    REQUEST_INCOMPLETE, /* more bytes are needed: at least `needed` in all, as far as it is known */
    REQUEST_NO_ROOM,    /* the array of arguments is too small: at least `argc` are needed */
    REQUEST_BROKEN      /* `error` says how: the connection cannot go on */
};

struct request_limits {
    uint32_t arguments_max;
    uint32_t bulk_max;    /* bytes of one argument */
    bool unauthenticated; /* chooses the words of the errors */
};

#define REQUEST_ERROR_SIZE 80

struct request {
    uint32_t argc;
    size_t consumed;
    size_t needed;
    char error[REQUEST_ERROR_SIZE]; /* the error reply, without the leading '-' */
};

/* Parses the request at the front of data. Arguments are written to arguments[0..capacity). */
enum request_status request_parse(uint8_t *data, size_t size, const struct request_limits *limits,
                                  struct argument *arguments, size_t capacity, struct request *request);

#endif
