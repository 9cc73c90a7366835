/* call.c - what the handlers share: reading an integer argument or a pattern, looking a string up.
 * Tests: tests/unit/cmd/, with the handlers that use it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/call.h"

#include "base/number.h"

bool call_integer(struct call *call, uint32_t index, int64_t *value, const char *error) {
    const struct argument *argument = &call->argv[index];
    if (LIKELY(number_parse_int64((const char *)argument->data, argument->size, value)))
        return true;
    reply_error(call->reply, error != NULL ? error : ERROR_NOT_INTEGER);
    return false;
}

bool call_pattern(struct call *call, uint32_t index) {
    if (LIKELY(call->argv[index].size <= PATTERN_SIZE_MAX))
        return true;
    reply_error(call->reply, ERROR_PATTERN_TOO_LONG);
    return false;
}

bool call_string(struct call *call, struct argument *key, unsigned mode, struct entry *entry) {
    struct record *record = keyspace_lookup(call->keyspace, call->database, key, mode, entry);
    if (LIKELY(record == NULL || record_type(record) == RECORD_STRING))
        return true;
    reply_error(call->reply, ERROR_WRONG_TYPE);
    return false;
}
