# resp.py - find, read and show replies of the Redis protocol (RESP2 and RESP3) without losing their bytes.
#
# May touch: bytes that are handed in. Must never know: sockets, servers, what a command means.
# Invariant: reply_end() accepts exactly the bytes of one reply, so that a reply can be compared byte for byte;
# parse() is only for replies that a normaliser has to look into.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

"""A reply is parsed into a pair (kind, payload), kind being its first byte as a one-letter string:

    + - : , ( #   bytes as they stand on the line          $ = !   bytes, or None for a null bulk
    _             None                                      * ~ >   list of replies, or None for a null array
    %             list of (reply, reply)                    |       attribute: (list of pairs, reply that follows)
"""

LINE_KINDS = b"+-:,(#_"
BULK_KINDS = b"$=!"
ARRAY_KINDS = b"*~>"
ATTRIBUTE = ord("|")
MAP = ord("%")


class MalformedReply(Exception):
    """The bytes are no reply of the protocol."""


def encode(arguments):
    """One request: an array of bulk strings."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        parts.append(b"$%d\r\n%b\r\n" % (len(argument), argument))
    return b"".join(parts)


def _length(buffer, start, end):
    digits = bytes(buffer[start:end])
    if digits == b"-1":
        return -1
    if not digits.isdigit():
        raise MalformedReply("length %r" % digits[:40])
    return int(digits)


def reply_end(buffer, start):
    """The position after the reply that begins at start, or -1 while bytes are missing."""
    position = start
    pending = 1
    while pending:
        line_end = buffer.find(b"\r\n", position)
        if line_end < 0:
            return -1
        kind = buffer[position]
        following = line_end + 2
        if kind in LINE_KINDS:
            pass
        elif kind in BULK_KINDS:
            size = _length(buffer, position + 1, line_end)
            if size >= 0:
                following += size + 2
                if following > len(buffer):
                    return -1
                if buffer[following - 2:following] != b"\r\n":
                    raise MalformedReply("a bulk of %d bytes does not end with CRLF" % size)
        elif kind in ARRAY_KINDS:
            pending += max(0, _length(buffer, position + 1, line_end))
        elif kind == MAP:
            pending += 2 * _length(buffer, position + 1, line_end)
        elif kind == ATTRIBUTE:
            pending += 2 * _length(buffer, position + 1, line_end) + 1
        else:
            raise MalformedReply("a reply begins with %r" % bytes(buffer[position:position + 40]))
        pending -= 1
        position = following
    return position


def parse(raw):
    """The whole reply of one raw byte string."""
    reply, end = _parse_at(raw, 0)
    if end != len(raw):
        raise MalformedReply("%d bytes after the reply" % (len(raw) - end))
    return reply


def _parse_at(raw, position):
    line_end = raw.index(b"\r\n", position)
    kind = chr(raw[position])
    line = raw[position + 1:line_end]
    position = line_end + 2
    if kind in "+-:,(#":
        return (kind, line), position
    if kind == "_":
        return (kind, None), position
    size = int(line)
    if kind in "$=!":
        if size < 0:
            return (kind, None), position
        return (kind, raw[position:position + size]), position + size + 2
    if kind in "*~>":
        if size < 0:
            return (kind, None), position
        items = []
        for _ in range(size):
            item, position = _parse_at(raw, position)
            items.append(item)
        return (kind, items), position
    pairs = []
    for _ in range(size):
        key, position = _parse_at(raw, position)
        value, position = _parse_at(raw, position)
        pairs.append((key, value))
    if kind == "%":
        return (kind, pairs), position
    reply, position = _parse_at(raw, position)
    return (kind, (pairs, reply)), position


def is_error(reply):
    return reply[0] in "-!"


def is_null(reply):
    return reply[1] is None


def integer(reply):
    """The number of an integer reply, else None."""
    if reply[0] != ":":
        return None
    digits = reply[1][1:] if reply[1][:1] == b"-" else reply[1]
    return int(reply[1]) if digits.isdigit() else None


def text(reply):
    """The bytes of a string reply of any kind (a verbatim string without its three-letter format), else None."""
    if reply[0] == "=" and reply[1] is not None:
        return reply[1][4:]
    if reply[0] in "+$":
        return reply[1]
    return None


def items(reply):
    """The members of an array, set or push, else None."""
    return reply[1] if reply[0] in "*~>" else None


def pairs(reply):
    """The pairs of a map, or of an array that stands for one in RESP2, else None."""
    if reply[0] == "%":
        return reply[1]
    members = items(reply)
    if members is None or len(members) % 2:
        return None
    return list(zip(members[::2], members[1::2]))


def show(data, limit=240):
    """Bytes as a quoted word that redis-cli would read back, cut to about limit characters."""
    shown = []
    width = 0
    for byte in data:
        if byte in b'"\\':
            piece = "\\" + chr(byte)
        elif 32 <= byte < 127:
            piece = chr(byte)
        else:
            piece = {10: "\\n", 13: "\\r", 9: "\\t"}.get(byte, "\\x%02x" % byte)
        width += len(piece)
        if width > limit:
            return '"%s"... (%d bytes)' % ("".join(shown), len(data))
        shown.append(piece)
    return '"%s"' % "".join(shown)
