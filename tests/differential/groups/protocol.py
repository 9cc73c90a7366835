# protocol.py - requests as raw bytes: inline commands, requests in pieces, and bytes that are no request.
#
# May touch: the pair of servers, the world's choices. Must never know: sockets, replies.
# Invariant: a wrong request is sent whole before the servers can close, and short enough to be read at once: otherwise
# a reset by the closing side could swallow the error.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import resp
from command import Command

CONNECTION = 20

# No line holds a zero byte: the reference looks for the end of a line with a function that stops there, and waits.
INLINE = [
    b"PING\r\n", b"ping\n", b"PING hello\r\n", b"  PING  \r\n", b"\tPING\t\r\n", b"\r\n", b"\n", b"   \r\n",
    b"\r\nPING\r\n",
    b"SET k:0 value\r\n", b"SET k:0 \"a value\"\r\n", b"SET k:0 'a value'\r\n",
    b"ECHO \"\\x41\\x00\\xff\\n\\r\\t\\b\\a\\q\\\"\"\r\n",
    b"ECHO 'it\\'s' \r\n", b"ECHO '\\x41\\n'\r\n", b"ECHO \"\"\r\n", b"ECHO ''\r\n", b"GET \"k:0\"\r\n",
    b"ECHO a\"b\"\r\n",
    b"ECHO a'b\r\n", b"ECHO \"a\\\\\"\r\n", b"ECHO \"\\x4\"\r\n", b"ECHO \"\\xzz\"\r\n", b"NOSUCHCOMMAND a b\r\n",
    b"GET\r\n",
    b"ECHO \xff\xfe\r\n", b"ECHO \"\xc3\xa4\"\r\n", b"SET k:0\tx\r\n", b"ECHO\x0bx\r\n",
    b"ECHO " + b"y" * 5000 + b"\r\n", b"MGET k:0 k:1 k:2\r\n", b"PING\rPING\r\n", b"ECHO a\r\r\n", b"EXISTS k:0 k:0\n",
    b"-PING\r\n", b"+OK\r\n", b"$4\r\n", b":1\r\n", b"%0\r\n", b"_\r\n",
]
ENDS_INLINE = [b"ECHO \"open\r\n", b"ECHO 'open\r\n", b"ECHO \"a\"b\r\n", b"ECHO 'a'b\r\n", b"ECHO \"a\\\"\r\n",
               b"SET k:0 \"a\" \"b\r\n", b"\"\r\n", b"'\r\n", b"\"PING\"x\r\n"]
SILENT = [b"*0\r\n", b"*-1\r\n", b"*-10\r\n", b"\r\n"]
ENDS = [
    b"*abc\r\n", b"*\r\n", b"*1a\r\n", b"*1.5\r\n", b"* 1\r\n", b"*+1\r\n", b"*01\r\n$4\r\nPING\r\n",
    b"*9999999999\r\n",
    b"*2147483648\r\n", b"*18446744073709551617\r\n", b"*1\r\n!4\r\nPING\r\n", b"*1\r\nPING\r\n",
    b"*1\r\n:1\r\n", b"*1\r\n*1\r\n", b"*1\r\n\r\n", b"*1\r\n$abc\r\n", b"*1\r\n$\r\n", b"*1\r\n$-1\r\n",
    b"*1\r\n$-5\r\n", b"*1\r\n$4x\r\nPING\r\n", b"*1\r\n$536870913\r\n", b"*1\r\n$9999999999\r\n",
    b"*1\r\n$ 4\r\nPING\r\n",
    b"*1\r\n$+4\r\nPING\r\n", b"*1\r\n$04\r\nPING\r\n", b"*1\r\n$18446744073709551620\r\n",
    b"*2\r\n$3\r\nGET\r\n+k\r\n",
    b"*1\r\n\"4\r\n", b"*1\r\n'4\r\n", b"*1\r\n%4\r\n", b"*2\r\n$4\r\nECHO\r\n\xff1\r\nx\r\n",
    b"*--1\r\n", b"*1\r\n$--4\r\n", b"*9223372036854775808\r\n", b"*-9223372036854775809\r\n",
    b"*1\r\n$9223372036854775808\r\n",
]


def inline(pair, world):
    """Lines that are commands, with quotes and escapes, among requests in the usual form."""
    payload = b""
    for _ in range(world.between(1, 12)):
        payload += world.pick(INLINE) if world.chance(0.8) else resp.encode([b"GET", world.key()])
        if world.chance(0.1):
            payload += world.pick(SILENT)
    if world.chance(0.3):
        # Any mixture of quotes: it may be a command, or end the connection.
        words = b" ".join(world.pick((b"a", b"'b'", b'"c"', b"\\x41", b"\"\\x41\"", b"''", b"d\"", b"'", b'"'))
                          for _ in range(4))
        payload += b"ECHO " + words + b"\r\n"
    pair.until_end_or_echo(CONNECTION, payload)


def inline_that_ends(pair, world):
    """A quote that is not closed ends the connection, after the answers to what came before."""
    payload = b"".join(world.pick(INLINE[:18]) for _ in range(world.below(4))) + world.pick(ENDS_INLINE)
    pair.until_closed(CONNECTION, payload)


def no_request(pair, world):
    """Each kind of wrong bytes: the same error, and the end; what came before is answered."""
    before = b"".join(resp.encode(world.pick(([b"PING"], [b"SET", b"k:0", b"x"], [b"GET", b"k:0"], [b"NOSUCH"])))
                      for _ in range(world.below(4)))
    pair.until_closed(CONNECTION, before + world.pick(ENDS))


def long_line(pair, world):
    """A line without an end: 64 KiB are too much; for the counts, too."""
    pair.until_closed(CONNECTION, world.pick((b"", b"*", b"*1\r\n$", b"*1\r\n$1")) + b"1" * (64 * 1024 + 1))


def in_pieces(pair, world):
    """Requests in several writes, cut anywhere."""
    payload = b"".join(resp.encode([b"SET", world.key(), world.value()]) + resp.encode([b"GET", world.key()]) +
                       world.pick(INLINE[:12]) for _ in range(world.between(1, 3)))
    cuts = sorted(world.below(len(payload) + 1) for _ in range(world.between(1, 6)))
    for first, last in zip([0] + cuts, cuts):
        pair.send(CONNECTION, payload[first:last])
        if world.chance(0.5):
            # Another connection's answer says that the server has been around its loop in between.
            pair.run([Command([b"PING"])])
    pair.until_echo(CONNECTION, payload[cuts[-1]:])


def half_a_request(pair, world):
    """A connection that goes away inside a request leaves nothing behind."""
    payload = resp.encode([b"SET", b"k:0", b"never"])
    pair.run([Command([b"SET", b"k:0", b"before"])])
    pair.send(CONNECTION, payload[:world.between(1, len(payload) - 1)])
    pair.drop(CONNECTION)
    pair.run([Command([b"GET", b"k:0"])])


def long_pipeline(pair, world):
    """Thousands of requests in one write, with errors among them."""
    requests = [world.pick(([b"PING"], [b"SET", b"k:0", b"x"], [b"GET", b"k:0"], [b"NOSUCH"], [b"INCR", b"k:15"],
                            [b"GET"],
                            [b"ECHO", b"y" * 300])) for _ in range(world.between(1000, 4000))]
    pair.until_echo(CONNECTION, b"".join(map(resp.encode, requests)))


def web_request(pair, world):
    """A browser's request is not answered: the connection ends."""
    pair.until_closed(CONNECTION, world.pick((b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
                                              b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                              b"Host: x\r\n", resp.encode([b"POST", b"x"]),
                                              resp.encode([b"host:", b"x"]))))


COMMANDS = []
SCENES = [(1.5, inline), (0.7, inline_that_ends), (2.0, no_request), (0.1, long_line), (0.6, in_pieces),
          (0.3, half_a_request), (0.15, long_pipeline), (0.3, web_request)]
generate = None
