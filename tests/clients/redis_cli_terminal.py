# SPDX-License-Identifier: BSD-3-Clause
"""redis_cli_terminal.py - redis-cli as a person uses it: in a terminal, with hints, help and completion.

May touch: redis-cli, a pseudo-terminal.
Must never know: other clients.
Invariants: every wait is for text on the screen.
Tests: it is one.
"""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

from harness import Failure, Suite, expect, expect_equal, expect_match

SUITE = Suite("redis-cli in a terminal")
DEADLINE_SECONDS = 10
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Terminal:
    """redis-cli behind a pseudo-terminal of 200 columns."""

    def __init__(self, world, *words):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        environment = {"TERM": "xterm", "REDISCLI_HISTFILE": "/dev/null"}
        self.process = world.spawn(["redis-cli", *words], stdin=slave, stdout=slave, stderr=slave,
                                   environment=environment)
        os.close(slave)
        self.screen = ""

    def wait(self, pattern):
        """Reads until the screen's text since the last wait matches; returns that text, without colours."""
        end = time.monotonic() + DEADLINE_SECONDS
        while True:
            plain = COLOUR.sub("", self.screen)
            if re.search(pattern, plain):
                self.screen = ""
                return plain
            if time.monotonic() > end:
                raise Failure(f"{pattern!r} does not appear; since the last wait came:\n{self.screen!r}")
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:
                    raise Failure(f"redis-cli ended; the screen: {self.screen!r}") from None
                self.screen += data.decode(errors="backslashreplace")

    def type(self, text):
        os.write(self.master, text.encode())

    def ask(self, line, prompt=r"> $"):
        """Types a line and returns the answer's lines, without the echo and the next prompt."""
        self.type(line + "\r")
        # The line is redrawn as it is typed; the answer begins after the last line break of the echo.
        answer = self.wait(r"\n(.*\n)*[^\n]*" + prompt)
        return [row.rstrip("\r") for row in answer.split("\n")[1:-1]]

    def close(self):
        self.type("\x04")
        os.close(self.master)


def terminal(world, *words, server=None):
    server = server or world.server
    screen = Terminal(world, "-p", str(server.port), *words)
    screen.wait(rf"127\.0\.0\.1:{server.port}[^\n]*> $")
    return screen


@SUITE.test("asks for COMMAND DOCS once and takes the answer")
def command_docs(world):
    world.command("CONFIG", "RESETSTAT")
    screen = terminal(world)
    calls = world.server.connect().info("commandstats")
    docs = calls.get("cmdstat_command|docs", "")
    expect_match(r"^calls=1,.*rejected_calls=0,failed_calls=0$", docs, "cmdstat_command|docs")
    expect("cmdstat_command" not in calls, f"redis-cli fell back to a bare COMMAND: {calls}")
    screen.close()


@SUITE.test("answers a typed command")
def typed_command(world):
    screen = terminal(world)
    expect_equal(screen.ask("set greeting 'hello world'"), ["OK"])
    expect_equal(screen.ask("get greeting"), ['"hello world"'])
    expect_equal(screen.ask("incr greeting"), ["(error) ERR value is not an integer or out of range"])
    expect_equal(screen.ask("mget greeting none"), ['1) "hello world"', "2) (nil)"])
    expect_equal(screen.ask("dbsize"), ["(integer) 1"])
    screen.close()


@SUITE.test("hints at the arguments while one types")
def hints(world):
    screen = terminal(world)
    screen.type("set ")
    screen.wait(r"set  ?key value ")
    screen.type("a 1 ")
    expiry = r"\[EX seconds\|PX milliseconds\|EXAT [^ \]|]+\|PXAT [^ \]|]+\|KEEPTTL\]"
    screen.wait(r"set a 1  ?\[NX\|XX\] \[GET\] " + expiry)
    screen.type("\x15client kill ")
    screen.wait(r"client kill  ?(ip:port|old-format)")
    screen.type("\x15config se")
    screen.type("t ")
    screen.wait(r"config set  ?parameter value")
    screen.close()


@SUITE.test("completes the name of a command")
def completion(world):
    screen = terminal(world)
    screen.type("getr\t")
    screen.wait("GETRANGE")
    screen.type("\x15config res\t")
    screen.wait("CONFIG RESETSTAT")
    screen.close()


@SUITE.test("shows help with the summary that the server sends")
def help_text(world):
    docs = world.command("COMMAND", "DOCS", "getrange")[1]
    docs = dict(zip(docs[::2], docs[1::2]))
    screen = terminal(world)
    text = "\n".join(screen.ask("help getrange"))
    expect_match(r"GETRANGE key start end", text)
    expect(f"summary: {docs[b'summary'].decode()}" in text, text)
    expect(f"since: {docs[b'since'].decode()}" in text, text)
    expect_match(r"group: string", text)
    text = "\n".join(screen.ask("help @string"))
    for name in ("APPEND", "GETEX", "SETRANGE", "LCS"):
        expect_match(rf"^ *{name} ", text)
    screen.close()


@SUITE.test("shows the database and a transaction in its prompt")
def prompt(world):
    screen = terminal(world)
    screen.ask("select 3", r"\[3\]> $")
    screen.ask("multi", r"\[3\]\(TX\)> $")
    expect_equal(screen.ask("set a 1", r"\[3\]\(TX\)> $"), ["QUEUED"])
    expect_equal(screen.ask("incr a", r"\[3\]\(TX\)> $"), ["QUEUED"])
    expect_equal(screen.ask("exec", r"\[3\]> $"), ["1) OK", "2) (integer) 2"])
    screen.ask("multi", r"\(TX\)> $")
    screen.ask("discard", r"\[3\]> $")
    screen.ask("select 0", r"\d> $")
    screen.close()


@SUITE.test("logs in with AUTH and stays in its database")
def login(world):
    server = world.start_server("--requirepass", "secret")
    screen = terminal(world, server=server)
    expect_equal(screen.ask("get a"), ["(error) NOAUTH Authentication required."])
    expect_equal(screen.ask("auth wrong"),
                 ["(error) WRONGPASS invalid username-password pair or user is disabled."])
    expect_equal(screen.ask("auth secret"), ["OK"])
    expect_equal(screen.ask("get a"), ["(nil)"])
    screen.close()


@SUITE.test("changes to RESP3 with HELLO 3")
def hello(world):
    screen = terminal(world)
    lines = screen.ask("hello 3")
    expect(any(re.match(r'\d# "proto" => \(integer\) 3', line) for line in lines), repr(lines))
    expect_equal(screen.ask("config get maxmemory"), ['1# "maxmemory" => "0"'])
    screen.close()


@SUITE.test("connects again after the server closed its connection")
def reconnects(world):
    screen = terminal(world)
    screen.ask("set a 1")
    world.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    for _attempt in range(3):
        if screen.ask("get a") == ['"1"']:
            break
    else:
        raise Failure("redis-cli does not connect again")
    screen.close()


@SUITE.test("shows live latency until it is interrupted")
def live_latency(world):
    screen = Terminal(world, "-p", str(world.server.port), "--latency")
    text = screen.wait(r"min: \d+, max: \d+, avg: [\d.]+ \(\d\d+ samples\)")
    expect("rror" not in text, text)
    screen.type("\x03")
