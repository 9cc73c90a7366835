# SPDX-License-Identifier: BSD-3-Clause
"""monitor_parts.py - the parts of utils/monitor one by one: the screen, the words for what is seen, the pauses, the parser.

May touch: the modules of utils/watch, a temporary folder, a socket of its own.
Must never know: a cluster.
Invariants: the time is told, not waited for.
Tests: it is one.
"""

import os
import selectors
import socket
import subprocess
import sys
import time

import stage
from harness import Failure, Suite, expect, expect_equal, expect_match

sys.path.insert(0, str(stage.ROOT / "utils"))

# pylint: disable=wrong-import-position
from watch import asking, folder, healing, screen, states
from watch.screen import Row

SUITE = Suite("utils/monitor's")
HANG_TIMEOUT_S = 10


class Events:
    read, write = selectors.EVENT_READ, selectors.EVENT_WRITE


@SUITE.test("screen has a row for each node, with its columns in line")
def screen_rows(_world):
    rows = [
        Row(1, "127.0.0.1:7001", "rack-a", "up", 3720, True, 1234567, 45210, 0, (0, 0), "process 17"),
        Row(12, "10.0.0.12:7012", None, "down", 4.9, False, note="died again: revived in 8 s (try 5)"),
    ]
    text = "\n".join(screen.render("now  /cluster", rows, ["12:00:00 node 12 is down, after 8 s up"]))
    expect_equal(text, """\
now  /cluster   2 nodes: 1 up, 1 down

node  address         zone    state   since       keys   ops/s  hints  lag
   1  127.0.0.1:7001  rack-a  up     62 min  1,234,567  45,210      0  0 B  process 17
  12  10.0.0.12:7012  -       down    > 4 s          -       -      -    -  died again: revived in 8 s (try 5)

12:00:00 node 12 is down, after 8 s up""")


@SUITE.test("screen fits the terminal, and says what it leaves out")
def screen_size(_world):
    rows = [Row(number, f"127.0.0.1:{7000 + number}", state="up") for number in range(1, 11)]
    texts = screen.render("title", rows, ["event"], columns=30, lines=8)
    expect_equal(len(texts), 8)
    expect_equal(max(map(len, texts)), 30)
    expect_equal(texts[-1], "... and 8 lines more")
    expect_equal(texts[3], "   1  127.0.0.1:7001  -     up"[:30])
    expect_equal(len(screen.render("title", rows, ["event"], lines=15)), 15)
    expect_equal(screen.render("title", rows, ["event"], lines=15)[-1], "event")


@SUITE.test("screen replaces the one before, and no word of a node moves the cursor")
def screen_refresh(_world):
    expect_equal(screen.refresh(["a", "b"]), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J")
    texts = screen.render("title", [Row(1, "host:1", zone="\x1b[2J\nx", state="up")])
    expect(all(text.isprintable() for text in texts), texts)
    expect_match(r"\?\[2J\?x", texts[3])


@SUITE.test("screen shows durations, sizes and lags in few characters")
def screen_units(_world):
    durations = {0: "0 s", 119.9: "119 s", 120: "2 min", 7199: "119 min", 7200: "2 h", 172799: "47 h", 172800: "2 days"}
    expect_equal({seconds: screen.duration_text(seconds) for seconds in durations}, durations)
    sizes = {0: "0 B", 1023: "1023 B", 1024: "1 KiB", 5 << 20: "5 MiB", 3 << 30: "3 GiB", 5 << 40: "5120 GiB"}
    expect_equal({size: screen.bytes_text(size) for size in sizes}, sizes)
    expect_equal([screen.lag_text(lag) for lag in (None, (0, 0), (2048, 1500))], ["-", "0 B", "2 KiB, 1,500 ms"])


def state(**sight):
    return states.state_of(states.Sight(**sight), HANG_TIMEOUT_S)


@SUITE.test("words for a node that answers tell what it is at")
def words_of_answers(_world):
    def answer(others=2, others_up=2, **fields):
        return state(fields=fields, others=others, others_up=others_up)

    expect_equal(answer(cluster_is_settled="1", cluster_joining="0", loading="0"), "up")
    expect_equal(answer(cluster_is_settled="0"), "settling")
    expect_equal(answer(cluster_is_settled="0", cluster_joining="1"), "joining")
    expect_equal(answer(loading="1", cluster_is_settled="0"), "loading")
    expect_equal(answer(others_up=1), "up")
    expect_equal(answer(others_up=0), "cut off")
    expect_equal(answer(others=0, others_up=0), "up", "the word where nobody else answers")
    expect_equal(answer(error="NOAUTH"), "no entry")


@SUITE.test("word is down only for a local node that has no process, is not stopped and does not answer")
def words_of_silence(_world):
    expect_equal(state(is_refused=True, trouble="Connection refused"), "down")
    expect_equal(state(trouble="it closed the connection"), "down", "the word right after its death")
    expect_equal(state(), "silent", "the word where somebody else has its port")
    expect_equal(state(is_refused=True, is_stopped=True), "stopped")
    expect_equal(state(is_refused=True, was_started=False), "new")
    expect_equal(state(is_refused=True, has_process=True, has_answered=False), "starting")
    expect_equal(state(has_process=True, silent_s=9.9), "silent")
    expect_equal(state(has_process=True, silent_s=10), "hung")
    expect_equal(state(has_process=True, has_answered=False, is_refused=True, silent_s=10), "hung")
    expect_equal(state(has_process=True, is_stopped=True, silent_s=1), "silent", "the word while it ends")
    expect_equal(state(is_local=False, is_refused=True), "down")
    expect_equal(state(is_local=False, silent_s=2), "silent")
    expect_equal(state(is_local=False, silent_s=20), "hung")


@SUITE.test("numbers come from what a node and the others say")
def numbers(_world):
    fields = asking.info_fields(
        "# Replication\r\npeer0:id=aa,addr=h:1,state=up,link=up,lag_bytes=10,lag_ms=2,round_trip_us=1\r\n"
        "peer1:id=bb,addr=h:2,state=down,link=down,lag_bytes=0,lag_ms=0,round_trip_us=1\r\npeers:2\r\n"
        "# Keyspace\r\ndb0:keys=41,expires=1,avg_ttl=0\r\ndb3:keys=1,expires=0,avg_ttl=0\r\n")
    expect_equal(states.keys_of(fields), 42)
    peers = states.peers_of(fields)
    expect_equal({name: peer["state"] for name, peer in peers.items()}, {"aa": "up", "bb": "down"})
    other = {"aa": {"link": "up", "lag_bytes": "3", "lag_ms": "7"}}
    expect_equal(states.lag_of("aa", [peers, other]), (10, 7), "the lag")
    expect_equal(states.lag_of("bb", [peers, other]), None, "the lag where nobody has a link")
    expect_equal([states.number_of(text) for text in ("12", "-", "", None)], [12, None, None, None])


@SUITE.test("tries to revive come at once, then after pauses that double, up to a minute")
def pauses(_world):
    expect_equal([healing.pause_s(tries) for tries in range(9)], [0, 1, 2, 4, 8, 16, 32, 60, 60])
    expect_equal(healing.pause_s(10**6), 60)
    node, now, waits = healing.Healing(), 1000.0, []
    for _ in range(6):
        died_at = now
        while not node.note_dead(now):
            now += 0.25
        waits.append(now - died_at)
        node.note_try()
        # It answers once, and dies.
        node.note_alive(now)
        now += 1
    expect_equal(waits, [0, 1, 2, 4, 8, 16])


@SUITE.test("pauses are forgotten after a minute of life, and only then")
def calm(_world):
    node = healing.Healing()
    for seconds, wanted in ((59.9, 3), (60, 0)):
        node.tries = 3
        node.note_neither()
        node.note_alive(100)
        node.note_alive(100 + seconds)
        expect_equal(node.tries, wanted, f"the tries after {seconds} s")
    node.tries = 3
    node.note_neither()
    for now in (200, 240, 280):
        node.note_alive(now)
        node.note_neither()
    expect_equal(node.tries, 3, "the tries of a node that is silent in between")
    expect(not node.note_dead(300) and not node.note_dead(303.9) and node.note_dead(304), "the fourth try comes after 4 s")


@SUITE.test("parser takes replies in whatever pieces they come, and nothing else")
def parser(_world):
    text = b"+OK\r\n$5\r\na\r\nbc\r\n*2\r\n$1\r\nx\r\n:7\r\n-ERR no\r\n$-1\r\n"
    values, at = [], 0
    while at < len(text):
        for end in range(at, len(text) + 1):
            try:
                value, after = asking.parse_reply(bytearray(text[:end]), at)
            except asking.Incomplete:
                continue
            break
        values.append(value)
        at = after
    expect_equal(values, ["OK", "a\r\nbc", ["x", 7], "ERR no", None])
    expect(isinstance(values[3], asking.ErrorReply), "an error is none")
    for junk in (b"HTTP/1.1 200 OK\r\n", b"$x\r\n", b"*\r\n"):
        try:
            asking.parse_reply(bytearray(junk))
        except asking.Malformed:
            continue
        raise Failure(f"{junk!r} was taken")


@SUITE.test("question is answered, refused, or answered with an error, and none of them is waited for")
def asker(_world):
    def ask(answer, until):
        """One question to a server that says `answer`, until the condition holds."""
        with socket.socket() as listener, selectors.DefaultSelector() as selector:
            listener.bind(("127.0.0.1", 0))
            if answer is not None:
                listener.listen()
            asked = asking.Asker("127.0.0.1", listener.getsockname()[1], "word", selector)
            asked.ask(1, Events)
            if answer:
                with listener.accept()[0] as server:
                    server.sendall(answer)
            end = time.monotonic() + 5
            while not until(asked):
                expect(time.monotonic() < end, f"nothing has come of {answer!r}")
                for key, ready in selector.select(0.1):
                    key.data.ready(2, ready & Events.read, ready & Events.write, Events)
            found = (asked.fields, asked.is_refused, asked.is_waiting)
            asked.close()
            return found

    zone = b"*2\r\n$12\r\ncluster-zone\r\n$1\r\nz\r\n"
    expect_equal(ask(b"+OK\r\n$5\r\na:b:c\r\n" + zone, lambda asked: asked.fields), ({"a": "b:c", "zone": "z"}, False, False))
    expect_equal(ask(b"+OK\r\n$3\r\na:b\r\n-LOADING\r\n", lambda asked: asked.fields)[0], {"a": "b", "zone": ""})
    expect_equal(ask(b"-WRONGPASS no\r\n", lambda asked: asked.fields), ({"error": "WRONGPASS no"}, False, False))
    expect_match("protocol", ask(b"HTTP/1.1 400\r\n", lambda asked: asked.fields)[0]["error"])
    expect_equal(ask(b"+OK\r\n", lambda asked: asked.trouble), (None, False, False))
    expect_equal(ask(None, lambda asked: asked.trouble), (None, True, False))
    expect_equal(ask(b"", lambda asked: True)[2], True, "whether a silent server is waited for")


@SUITE.test("folder names places, stopped nodes and processes, and has one holder of its lock")
def folders(world):
    path = world.path("folder")
    os.makedirs(os.path.join(path, "1"))
    found = folder.Folder(path)
    for ask in (found.places, found.lock):
        try:
            ask()
        except folder.Gone:
            continue
        raise Failure(f"{ask} has found a cluster")
    world.path("folder/nodes", "binary /bin/x\nnode 1 - 7001\nnode 2 me@far 7002\nnode 3 near 7003\n")
    expect_equal(found.places(), [folder.Place(1, "127.0.0.1", 7001, True), folder.Place(2, "far", 7002, False),
                                  folder.Place(3, "near", 7003, False)])
    world.path("folder/stopped", "\n1\n3\n")
    expect_equal(found.stopped(), {1, 3})
    # A process counts only if it has the node's config file in its command line.
    expect_equal((found.was_started(1), found.process(1)), (False, None))
    world.path("folder/1/redis-kv.pid", f"{os.getpid()}\n")
    expect_equal((found.was_started(1), found.process(1)), (True, None))
    words = [sys.executable, "-c", "input()", os.path.join(path, "1", "redis-kv.conf")]
    process = world.spawn(words, stdin=subprocess.PIPE)
    world.path("folder/1/redis-kv.pid", f"{process.pid}\n")
    expect_equal(found.process(1), process.pid)
    world.end(process)
    expect_equal(found.process(1), None)
    found.lock()
    found.lock()
    second = folder.Folder(path)
    try:
        second.lock()
        raise Failure("two have the lock")
    except folder.Taken as taken:
        expect_match(f"process {os.getpid()}$", str(taken))
    # A folder that was made anew has a new lock.
    os.unlink(os.path.join(path, "monitor.lock"))
    second.lock()
    try:
        found.lock()
        raise Failure("two have the lock")
    except folder.Taken:
        pass
    found.note("no log is made where none is")
    expect(not os.path.exists(os.path.join(path, "cluster.log")), "there is a log")
