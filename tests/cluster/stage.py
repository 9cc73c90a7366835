# SPDX-License-Identifier: BSD-3-Clause
"""stage.py - a cluster of real processes for client programs to talk to, on top of the harness of tests/clients.

May touch: utils/cluster, the processes it starts, ports of the loopback, one temporary directory.
Must never know: any client program, how nodes speak with each other.
Invariants: the nodes end with this process, whatever way it ends: a guardian waits for that and wipes them; the ports
are free ones; what the nodes have to say at their end is part of the tests.
Tests: this is a test itself; `run --server /bin/true` must fail.
"""

import os
import pathlib
import re
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "clients"))

# pylint: disable=wrong-import-position
import harness
from harness import Failure, expect

FIRST_PORT = 21400
PORTS = 100
CLUSTER_PORT_OFFSET, PEER_PORT_OFFSET = 5000, 10000
TOOL = ROOT / "utils" / "cluster"
START_SECONDS = 30

# Waits for the end of its input, which is the end of the tests; nodes that do not end by themselves are killed.
GUARDIAN = """
trap '' TERM INT HUP
cat >/dev/null
[ -f "$2/nodes" ] || exit 0
"$1" wipe --dir "$2" >/dev/null 2>&1 && exit
for i in $(seq 1 "$3"); do "$1" kill "$i" --dir "$2"; done >/dev/null 2>&1
"$1" wipe --dir "$2" >/dev/null 2>&1
"""


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def free_ports(count, first=None):
    """The first port of as many in a row whose cluster-ports and peer-ports are free, too."""
    first = first or FIRST_PORT
    offsets = (0, CLUSTER_PORT_OFFSET, PEER_PORT_OFFSET)
    for port in range(first, first + PORTS, count):
        if all(is_free(port + number + offset) for number in range(count) for offset in offsets):
            return port
    raise Failure(f"no {count} free ports in a row from {first} to {first + PORTS - 1}")


class Node:
    """One node, as the harness knows servers."""

    def __init__(self, cluster, number):
        self.cluster, self.number = cluster, number
        self.port = cluster.first_port + number - 1
        self.cluster_port = self.port + CLUSTER_PORT_OFFSET
        self.directory = os.path.join(cluster.directory, str(number))
        self.process = self

    def pid(self):
        with open(os.path.join(self.directory, "redis-kv.pid"), encoding="ascii") as file:
            return int(file.read())

    def poll(self):
        """As of a subprocess: None while it runs."""
        try:
            with open(f"/proc/{self.pid()}/stat", encoding="ascii") as file:
                return 1 if file.read().rpartition(")")[2].split()[0] == "Z" else None
        except OSError:
            return 1

    def log(self):
        with open(os.path.join(self.directory, "redis-kv.log"), encoding="utf-8", errors="backslashreplace") as file:
            return file.read()

    def connect(self, port=None):
        return harness.Resp(("127.0.0.1", port or self.port))

    def info(self, *sections):
        connection = self.connect()
        try:
            return connection.info(*sections)
        finally:
            connection.close()

    def calls(self, command):
        """How often it has executed a command."""
        match = re.match(r"calls=(\d+),", self.info("commandstats").get(f"cmdstat_{command}", ""))
        return int(match[1]) if match else 0


class Cluster:
    """Nodes that utils/cluster has started, in a folder of the world's."""

    def __init__(self, world, binary, count, name="cluster"):
        self.world, self.binary, self.count = world, binary, count
        self.directory = os.path.join(world.directory, name)
        self.first_port = free_ports(count)
        self.guardian = subprocess.Popen(["bash", "-c", GUARDIAN, "guardian", TOOL, self.directory, str(count)],
                                         stdin=subprocess.PIPE, start_new_session=True)
        self.nodes = [Node(self, number) for number in range(1, count + 1)]

    def tool(self, command, *words, code=0):
        """Runs utils/cluster; what it has printed."""
        done = self.world.program([TOOL, command, *words, "--dir", self.directory], deadline_seconds=90)
        if done.code != code:
            raise Failure(f"wanted exit {code}:\n{done}")
        return done.out if code == 0 else done.err

    def start(self, *directives, count=None):
        return self.tool("start", count or self.count, "--port", self.first_port, "--binary", self.binary, "--wait",
                         START_SECONDS, *directives)

    def check_logs(self):
        """All nodes have ended well."""
        for node in self.nodes:
            log = node.log()
            expect("bye bye" in log.splitlines()[-1] if log else False, f"node {node.number} did not end well:\n{log[-4000:]}")
            expect(not re.search(r"Sanitizer|runtime error", log), f"node {node.number} says:\n{log[-8000:]}")

    def end(self):
        self.guardian.stdin.close()
        self.guardian.wait()


class World(harness.World):
    """The world of the harness with a cluster in it; `server` is its first node."""

    def __init__(self, binary):
        super().__init__(binary, str(ROOT))
        self.clusters = []

    def add_cluster(self, count, name="cluster"):
        cluster = Cluster(self, self.binary, count, name)
        self.clusters.append(cluster)
        return cluster

    def use(self, cluster):
        self.cluster, self.nodes, self.server = cluster, cluster.nodes, cluster.nodes[0]

    def totals(self, field):
        """The sum of a field of INFO cluster over all nodes."""
        return sum(int(node.info("cluster")[field]) for node in self.nodes)

    def close(self):
        for cluster in self.clusters:
            cluster.end()
        super().close()


def run_alone(suites, binary, report, only=None):
    """Each test in a world of its own, without a cluster."""
    for suite in suites:
        for name, function in suite.tests:
            if only and only not in name:
                continue
            world = World(binary)
            try:
                report.run(name, lambda function=function, world=world: function(world),
                           deadline_seconds=suite.deadline_seconds or harness.TEST_DEADLINE_SECONDS)
            finally:
                world.close()


def run_suites(suites, binary, report, only=None, others=()):
    """All suites on one cluster of three, that begins each test empty and ends well. What the `others` know by its name is
    not sought in programs with tests of their own."""
    ask_children = bool(only) and not harness.names_known((*suites, *others), only)
    chosen = []
    for suite in suites:
        tests = [(name, function) for name, function in suite.tests if not only or only in name]
        children = [child for child in suite.children if not only or ask_children or harness.overlap(only, child[0])]
        chosen.append((tests, children))
    if not any(tests or children for tests, children in chosen):
        return
    world, before = World(binary), report.total()
    try:
        cluster = world.add_cluster(3)
        cluster.start("--save", "")
        world.use(cluster)
        for tests, children in chosen:
            for name, function in tests:
                harness.run_test(world, report, name, lambda function=function: function(world))
            for label, function in children:
                harness.run_test(world, report, f"{label} runs to the end of its tests",
                                 lambda label=label, function=function: harness.run_child(
                                     world, function(world), report, label, only))
        if report.total() > before:
            report.run("the nodes that clients talked to end well", lambda: cluster.tool("stop"), cluster.check_logs)
    except Failure as failure:
        report.add_failure("clients have a cluster to talk to", str(failure))
    finally:
        world.close()
