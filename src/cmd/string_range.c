/* string_range.c - parts of a string: APPEND, STRLEN, GETRANGE and SUBSTR, SETRANGE.
 * Tests: tests/unit/cmd/string_range_test.c, string_effects_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/call.h"
#include "cmd/handlers.h"
#include "cmd/range.h"

void append_command(struct call *call) {
    struct argument *key = &call->argv[1];
    const struct argument *tail = &call->argv[2];
    struct entry entry;
    if (!call_string(call, key, LOOKUP_WRITE, &entry))
        return;
    if (entry.record == NULL) {
        if (call_put_string(call, key, tail, EXPIRY_NONE))
            reply_integer(call->reply, tail->size);
        else
            call_no_memory(call);
        return;
    }
    uint32_t old_size = record_value_size(entry.record);
    uint64_t size = (uint64_t)old_size + tail->size;
    if (size > call->keyspace->value_size_max) {
        reply_error(call->reply, ERROR_VALUE_TOO_LARGE);
        return;
    }
    uint8_t *bytes = keyspace_edit(call->keyspace, call->database, key, &entry, (uint32_t)size, ENCODING_RAW);
    if (bytes == NULL) {
        call_no_memory(call);
        return;
    }
    if (tail->size != 0)
        memcpy(bytes + old_size, tail->data, tail->size);
    keyspace_note_range(call->keyspace, old_size, tail->size);
    reply_integer(call->reply, (int64_t)size);
}

void strlen_command(struct call *call) {
    struct entry entry;
    if (call_string(call, &call->argv[1], LOOKUP_READ, &entry))
        reply_integer(call->reply, entry.record == NULL ? 0 : record_value_size(entry.record));
}

void getrange_command(struct call *call) {
    struct entry entry;
    int64_t first, last;
    if (!call_integer(call, 2, &first, NULL) || !call_integer(call, 3, &last, NULL))
        return;
    if (!call_string(call, &call->argv[1], LOOKUP_READ, &entry))
        return;
    if (entry.record == NULL || range_is_reversed(first, last) ||
        !range_clamp(&first, &last, record_value_size(entry.record)))
        reply_bulk(call->reply, "", 0);
    else
        reply_bulk(call->reply, record_value_const(entry.record) + first, (size_t)(last - first + 1));
}

void substr_command(struct call *call) {
    getrange_command(call);
}

void setrange_command(struct call *call) {
    struct argument *key = &call->argv[1];
    const struct argument *patch = &call->argv[3];
    struct entry entry;
    int64_t offset;
    if (!call_integer(call, 2, &offset, NULL))
        return;
    if (offset < 0) {
        reply_error(call->reply, "ERR offset is out of range");
        return;
    }
    if (!call_string(call, key, LOOKUP_WRITE, &entry))
        return;
    uint32_t old_size = entry.record == NULL ? 0 : record_value_size(entry.record);
    if (patch->size == 0) {
        reply_integer(call->reply, old_size);
        return;
    }
    if (offset > (int64_t)call->keyspace->value_size_max - (int64_t)patch->size) {
        reply_error(call->reply, ERROR_VALUE_TOO_LARGE);
        return;
    }
    uint32_t size = (uint32_t)offset + patch->size;
    if (size < old_size)
        size = old_size;
    uint8_t *bytes = entry.record == NULL
                         ? keyspace_create(call->keyspace, call->database, key, size, ENCODING_RAW)
                         : keyspace_edit(call->keyspace, call->database, key, &entry, size, ENCODING_RAW);
    if (bytes == NULL) {
        call_no_memory(call);
        return;
    }
    memcpy(bytes + offset, patch->data, patch->size);
    keyspace_note_range(call->keyspace, (uint32_t)offset, patch->size);
    reply_integer(call->reply, size);
}
