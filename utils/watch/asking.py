# SPDX-License-Identifier: BSD-3-Clause
"""asking.py - a connection with a node that is asked the same again and again, and is never waited for.

May touch: one socket, which does not block (a host's name is looked up, though: that may).
Must never know: what an answer means.
Invariants: at most one question is on its way; what goes wrong ends the connection, and the next question makes a new one.
Tests: tests/cluster/monitor_parts.py.
"""

import errno
import os
import socket

SECTIONS = ("server", "persistence", "stats", "replication", "cluster", "hints", "keyspace")
ANSWER_BYTES_MAX = 16 << 20
READ_BYTES = 1 << 16


class Incomplete(Exception):
    """More bytes are to come."""


class Malformed(Exception):
    """These bytes are no reply."""


class ErrorReply(str):
    """The text of an error reply."""


def command(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


def parse_reply(data, at=0):
    """One RESP2 reply that begins there: (value, where the next begins)."""
    end = data.find(b"\r\n", at)
    if end < 0:
        raise Incomplete
    kind, text, after = data[at:at + 1], bytes(data[at + 1:end]), end + 2
    if kind == b"+":
        return text.decode(errors="replace"), after
    if kind == b"-":
        return ErrorReply(text.decode(errors="replace")), after
    if kind not in (b":", b"$", b"*") or not text.lstrip(b"-").isdigit():
        raise Malformed(f"it does not speak our protocol: {bytes(data[at:at + 40])!r}")
    number = int(text)
    if kind == b":":
        return number, after
    if number < 0:
        return None, after
    if kind == b"$":
        if len(data) < after + number + 2:
            raise Incomplete
        return bytes(data[after:after + number]).decode(errors="replace"), after + number + 2
    values = []
    for _ in range(number):
        value, after = parse_reply(data, after)
        values.append(value)
    return values, after


def info_fields(text):
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))


class Asker:
    """Asks one node. `fields` is its last answer: those of INFO, and `zone`, or `error` alone, where it has not told them;
    None: there is none, or the connection has broken since."""

    def __init__(self, address, port, password, selector):
        self.address, self.port, self.password, self.selector = address, port, password, selector
        self.socket = None
        self.fields, self.trouble, self.is_refused = None, "", False
        self.asked_at = self.answered_at = None
        self.output, self.input, self.awaited = b"", bytearray(), 0

    @property
    def is_waiting(self):
        return self.asked_at is not None

    def ask(self, now, events):
        """Sends the question, unless the last one is still on its way."""
        if self.is_waiting:
            return
        self.trouble, self.is_refused = "", False
        question = command("INFO", *SECTIONS) + command("CONFIG", "GET", "cluster-zone")
        self.awaited = 2
        if self.socket is None:
            if self.password:
                question = command("AUTH", self.password) + question
                self.awaited += 1
            if not self.connect(events):
                return
        self.asked_at, self.output = now, question
        self.selector.modify(self.socket, events.read | events.write, self)

    def connect(self, events):
        try:
            family, kind, protocol, _name, address = socket.getaddrinfo(self.address, self.port, type=socket.SOCK_STREAM)[0]
            self.socket = socket.socket(family, kind, protocol)
            self.socket.setblocking(False)
            self.selector.register(self.socket, events.read | events.write, self)
            code = self.socket.connect_ex(address)
            if code not in (0, errno.EINPROGRESS):
                self.fail(OSError(code, os.strerror(code)))
        except OSError as error:
            self.fail(error)
        return self.socket is not None

    def ready(self, now, can_read, can_write, events):
        """The selector has found the socket so."""
        try:
            if can_write and self.output:
                self.output = self.output[self.socket.send(self.output):]
                if not self.output:
                    self.selector.modify(self.socket, events.read, self)
            if can_read:
                data = self.socket.recv(READ_BYTES)
                if not data:
                    raise ConnectionResetError(errno.ECONNRESET, "it closed the connection")
                self.input += data
                self.take(now)
        except BlockingIOError:
            pass
        except OSError as error:
            self.fail(error)
        except Malformed as error:
            # Whoever says something is not dead. The next question tries it anew, and with a new password, if there is one.
            self.close()
            self.fields, self.answered_at = {"error": str(error)}, now

    def take(self, now):
        if len(self.input) > ANSWER_BYTES_MAX:
            raise Malformed("its answer has no end")
        replies, at = [], 0
        try:
            while len(replies) < self.awaited:
                reply, at = parse_reply(self.input, at)
                if isinstance(reply, ErrorReply) and len(replies) + 1 < self.awaited:
                    raise Malformed(reply)
                replies.append(reply)
        except Incomplete:
            return
        if not self.is_waiting or at < len(self.input):
            raise Malformed("it says what it was not asked")
        self.input.clear()
        self.asked_at, self.answered_at = None, now
        info, zone = replies[-2:]
        self.fields = info_fields(info if isinstance(info, str) else "")
        # While it loads its keys it tells no settings.
        self.fields["zone"] = zone[1] if isinstance(zone, list) and len(zone) == 2 else ""

    def fail(self, error):
        self.close()
        self.trouble = error.strerror or str(error)
        self.is_refused = error.errno == errno.ECONNREFUSED

    def close(self):
        if self.socket is not None:
            self.selector.unregister(self.socket)
            self.socket.close()
        self.socket, self.asked_at, self.fields = None, None, None
        self.output = b""
        self.input.clear()
