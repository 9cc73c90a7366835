# SPDX-License-Identifier: BSD-3-Clause
"""failover.py - what clients of five nodes notice when another node is killed, stands still, or is restarted: next to nothing.

May touch: utils/cluster, processes that it has started, which are killed and stopped here.
Must never know: which node executes what, how nodes find out who is there.
Invariants: each test has a cluster of its own; no request is repeated by its client; every error, every answer that is too old,
every acknowledged write that is not there at the end counts; durations may be several times as long as on a quiet machine.
Tests: it is one.
"""

import os
import signal
import socket
import threading
import time

import harness
from harness import Suite, expect, expect_equal

SUITE = Suite("a client of the other nodes")

CONNECTIONS = 8
KEYS = 50
KINDS = ("SET", "GET", "INCR")
REQUEST_SECONDS_MAX = 15
# Three times what a quiet machine is held to.
SLOWEST_KILLED_S, LONGEST_PAUSE_S, SLOWEST_STOPPED_S = 0.9, 0.45, 1.5


class Connection(threading.Thread):
    """One that asks one node, one request at a time, with keys that nobody else writes."""

    def __init__(self, name, number, node, ends):
        super().__init__(daemon=True)
        self.name, self.number, self.ends = name, number, ends
        self.resp = harness.Resp(("127.0.0.1", node.port))
        self.resp.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.resp.socket.settimeout(REQUEST_SECONDS_MAX)
        self.values, self.counters = {}, {}
        self.errors, self.stale, self.times = {kind: [] for kind in KINDS}, [], []
        self.failure = None

    def request(self, kind, count):
        key = f"{self.name}:{self.number}:{count // len(KINDS) % KEYS}"
        if kind == "SET":
            self.values[key] = None  # until it is acknowledged, either may be there
            expect_equal(self.resp("SET", key, count), "OK")
            self.values[key] = count
            return
        if kind == "GET":
            got, wanted = self.resp("GET", key), self.values.get(key)
            if wanted is not None and (got is None or int(got) != wanted):
                self.stale.append(f"{key} is {got}, not {wanted}")
            return
        low, high = self.counters.get(key, (0, 0))
        self.counters[key] = (low, high + 1)
        self.resp("INCR", f"counter:{key}")
        self.counters[key] = (low + 1, high + 1)

    def run(self):
        count = 0
        try:
            while not self.ends.is_set():
                kind = KINDS[count % len(KINDS)]
                begin = time.monotonic()
                try:
                    self.request(kind, count)
                except harness.RespError as error:
                    self.errors[kind].append(str(error))
                self.times.append((begin, time.monotonic()))
                count += 1
        except Exception as failure:  # a closed connection, a request that was never answered
            self.failure = failure


class Load:
    """Connections to some nodes, as long as the `with` lasts; then their findings."""

    def __init__(self, name, nodes):
        self.nodes, self.ends = nodes, threading.Event()
        self.connections = [Connection(name, number, nodes[number % len(nodes)], self.ends)
                            for number in range(CONNECTIONS)]

    def __enter__(self):
        for connection in self.connections:
            connection.start()
        self.run(0.5)
        return self

    def run(self, seconds):
        """All go on for so long, and each has had an answer in this time."""
        begin = time.monotonic()
        harness.eventually(lambda: time.monotonic() - begin >= seconds and all(
            one.failure or (one.times and one.times[-1][1] >= begin) for one in self.connections), "answers for all connections")

    def __exit__(self, kind, value, trace):
        self.ends.set()
        for connection in self.connections:
            connection.join(REQUEST_SECONDS_MAX + 1)
        return False

    def errors(self, kind):
        return [error for one in self.connections for error in one.errors[kind]]

    def check(self, slowest_s, longest_pause_s, since, unknown_max=CONNECTIONS):
        for one in self.connections:
            expect(one.failure is None, f"connection {one.number}: {one.failure!r}")
        expect_equal(self.errors("GET") + self.errors("SET"), [], "errors of GET and SET")
        unknown = self.errors("INCR")
        expect(all(error.startswith("INDETERMINATE") for error in unknown) and len(unknown) <= unknown_max, unknown)
        expect_equal([text for one in self.connections for text in one.stale], [], "answers that are too old")
        slowest = max(end - begin for one in self.connections for begin, end in one.times)
        answers = sorted(end for one in self.connections for _begin, end in one.times if end >= since)
        pause = max(later - former for former, later in zip(answers, answers[1:]))
        expect(slowest <= slowest_s, f"a request took {slowest * 1000:.0f} ms")
        expect(pause <= longest_pause_s, f"nobody was answered for {pause * 1000:.0f} ms")

    def check_written(self, nodes):
        """Every acknowledged write is there, whoever is asked."""
        for node in nodes:
            resp = node.connect()
            for one in self.connections:
                lost = [key for key, value in one.values.items()
                        if value is not None and resp("GET", key) != str(value).encode()]
                expect_equal(lost, [], f"keys that node {node.number} does not know as they were written")
                for key, (low, high) in one.counters.items():
                    got = int(resp("GET", f"counter:{key}") or 0)
                    expect(low <= got <= high, f"counter:{key} is {got}, not {low} to {high}")
            resp.close()


def await_agreement(cluster):
    """All nodes are settled, and pass nobody over."""

    def agree():
        facts = [node.info("cluster") for node in cluster.nodes]
        count = str(len(cluster.nodes))
        return all(fact["cluster_members_up"] == fact["cluster_members_settled"] == count and
                   fact["passed_over_peers"] == "0" and fact["cluster_is_settled"] == "1" for fact in facts)

    harness.eventually(agree, "agreement of all nodes")


@SUITE.test("has no error when a node is killed, and waits for no detector")
def killed(world):
    cluster = world.add_cluster(5)
    cluster.start("--save", "")
    victim, others = cluster.nodes[2], cluster.nodes[:2] + cluster.nodes[3:]
    with Load("killed", others) as load:
        since = time.monotonic()
        os.kill(victim.pid(), signal.SIGKILL)
        load.run(3)
    load.check(SLOWEST_KILLED_S, LONGEST_PAUSE_S, since)
    load.check_written(others)
    expect(sum(int(node.info("cluster")["failovers"]) for node in others) >= 1, "nobody has gone around it")
    cluster.tool("restart", victim.number)
    await_agreement(cluster)
    load.check_written(cluster.nodes)
    cluster.tool("stop")


@SUITE.test("has no error when a node stands still, short or long, and reads nothing stale from it when it goes on")
def stopped(world):
    cluster = world.add_cluster(5)
    cluster.start("--save", "")
    victim, others = cluster.nodes[3], cluster.nodes[:3] + cluster.nodes[4:]
    for seconds in (0.3, 3):
        with Load(f"stopped:{seconds}", others) as load:
            since = time.monotonic()
            pid = victim.pid()
            os.kill(pid, signal.SIGSTOP)
            try:
                load.run(seconds)
                # What it has been told while it slept, and what it answers first when it goes on.
                sleeper = socket.create_connection(("127.0.0.1", victim.port), REQUEST_SECONDS_MAX)
                resp = others[0].connect()
                resp("SET", f"slept:{seconds}", "new")
                sleeper.sendall(b"GET slept:%s\r\n" % str(seconds).encode())
            finally:
                os.kill(pid, signal.SIGCONT)
            with sleeper.makefile("rb") as stream:
                expect_equal(stream.readline() + stream.readline(), b"$3\r\nnew\r\n", "what it answers first")
            sleeper.close()
            resp.close()
            load.run(1.5)
        load.check(SLOWEST_STOPPED_S, SLOWEST_STOPPED_S, since, 2 * CONNECTIONS)
        await_agreement(cluster)
        load.check_written(cluster.nodes)
    cluster.tool("stop")


@SUITE.test("has no error of any kind while all nodes are restarted one after the other")
def rolled(world):
    cluster = world.add_cluster(5)
    cluster.start("--save", "")
    for victim in cluster.nodes:
        others = [node for node in cluster.nodes if node is not victim]
        with Load(f"rolled:{victim.number}", others) as load:
            since = time.monotonic()
            cluster.tool("restart", victim.number)
            load.run(0.3)
        load.check(SLOWEST_KILLED_S, LONGEST_PAUSE_S, since, 0)
        await_agreement(cluster)
        load.check_written(cluster.nodes)
    cluster.tool("stop")
    cluster.check_logs()
