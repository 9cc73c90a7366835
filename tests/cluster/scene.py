# SPDX-License-Identifier: BSD-3-Clause
"""scene.py - five nodes with three copies in a lab, under load, while something is done to them; and what must be true of it.

May touch: lab.py's namespaces, processes that it has started, which are killed and stopped here.
Must never know: which node executes what, which fault a test is about.
Invariants: a scene passes if the judge of histories finds nothing, all copies become equal, all members agree when the fault is over,
answer without an error from then on, and none has ended by itself.
Tests: those of faults.py, machines.py, members.py.
"""

import os
import signal
import time

import harness
import lab
import traffic
from harness import Failure, eventually, expect
from lab import AGREEMENT_SECONDS_MAX, STRICT

NODES = 5
# Whoever is away for longer than some seconds has missed the time for hints, and that for tombstones.
SHORT_MEMORY = ("--hint-window", "2", "--tombstone-grace", "3", "--save", "2", "1")
AFTERWARDS_SECONDS = 0.5
# Where the processors have too much to do a node that stands still for failover-timeout is passed over.
OF_A_BUSY_MACHINE = {"INDETERMINATE", "NOQUORUM"}


class Scene:
    """A cluster in a lab; what is done to it with `under`, and what must be true afterwards. `nodes` are its members."""

    def __init__(self, world, name, *directives, spare=0, prepare=None):
        self.lab, self.name, self.directives = lab.Lab(world, NODES, spare=spare), name, directives
        if prepare:
            prepare(self.lab)
        self.lab.start(*directives)
        self.nodes = self.lab.nodes
        self.is_strict = STRICT[0] in directives
        traffic.await_agreement(self.nodes, AGREEMENT_SECONDS_MAX)
        self.pids = {node.number: node.pid() for node in self.nodes}

    def node(self, number):
        return next(node for node in self.nodes if node.number == number)

    def kill(self, number):
        node = self.node(number)
        os.kill(node.pid(), signal.SIGKILL)
        eventually(lambda: node.poll() is not None, f"node {number} dies")

    def revive(self, number, setting=""):
        self.lab.revive(number, setting)
        self.pids[number] = self.node(number).pid()

    def stop(self, number):
        os.kill(self.pids[number], signal.SIGSTOP)

    def go_on(self, number):
        os.kill(self.pids[number], signal.SIGCONT)

    # Members that come and go

    def begin_to_join(self, number, seed):
        """A new node in a spare namespace, that knows the address of one member."""
        node = self.lab.start_stranger(number, "--cluster-secret", self.secret(), "--cluster-seeds",
                                       f"{lab.NETWORK}.{seed}:{self.node(seed).port}", *self.directives)
        self.nodes.append(node)
        self.pids[number] = node.pid()
        return node

    def leave(self, number):
        """It ends as one that is told to, and is a member no more."""
        node = self.node(number)
        node_id = id_of(node)
        os.kill(node.pid(), signal.SIGTERM)
        eventually(lambda: node.poll() is not None, f"node {number} ends")
        self.forget(node, node_id)

    def forget(self, node, node_id):
        """It does not run, and is to be a member no more."""
        self.nodes.remove(node)
        ask_until_answered(self.nodes[0], "CLUSTER", "FORGET", node_id)

    def secret(self):
        with open(os.path.join(self.lab.directory, "secret"), encoding="ascii") as file:
            return file.read()

    # Under load

    def under(self, fault, load_nodes=None, refusals=()):
        """Runs `fault` while clients of these nodes go on. Returns their history, which is judged."""
        with traffic.Traffic(self.name, load_nodes or list(self.nodes), refusals=refusals) as load:
            self.pause(1)
            fault()
            self.pause(0.5)
        self.settle()
        load.check(self.nodes, self.is_strict)
        traffic.expect_converged(self.nodes, load.keys())
        print(f"      {self.name}: {load.summary()}", flush=True)
        return load

    @staticmethod
    def pause(seconds):
        """The clients have so long."""
        time.sleep(seconds)

    def settle(self):
        """The fault is over: all agree within their time, and from then on nobody sees an error."""
        begin = time.monotonic()
        traffic.await_agreement(self.nodes, AGREEMENT_SECONDS_MAX)
        print(f"      {self.name}: agreement after {time.monotonic() - begin:.1f} s", flush=True)
        with traffic.Traffic(f"{self.name}:afterwards", self.nodes) as load:
            self.pause(AFTERWARDS_SECONDS)
        expect(load.count("ok") == load.count() > 0 and not load.errors(), f"when it is over, there are errors: {load.summary()}")
        load.check(self.nodes, self.is_strict)
        for node in self.nodes:
            expect(node.poll() is None and node.pid() == self.pids[node.number],
                   f"node {node.number} has ended by itself:\n{node.log()[-4000:]}")

    def end(self):
        for node in self.nodes:
            if node.number > NODES:
                os.kill(node.pid(), signal.SIGTERM)
        self.lab.tool("stop")
        eventually(lambda: all(node.poll() is not None for node in self.nodes), "all nodes end")
        self.lab.check_logs()


def run(world, name, directives, fault, load_nodes=None):
    """`fault` gets the scene. Returns the history."""
    scene = Scene(world, name, *directives)
    load = scene.under(lambda: fault(scene), load_nodes and [scene.node(number) for number in load_nodes])
    scene.end()
    return load


# ---- Questions to nodes -----------------------------------------------------------------------------------------------


def ask_once(node, *words):
    connection = node.connect()
    try:
        return connection(*words)
    finally:
        connection.close()


def id_of(node):
    return ask_once(node, "CLUSTER", "MYID").decode()


def known_ids(node):
    """Of all members, as this node knows them."""
    return {line.split()[0] for line in ask_once(node, "CLUSTER", "NODES").decode().splitlines()}


def ask_until_answered(node, *words):
    """What is refused for a moment is asked again."""
    found = []

    def is_answered():
        try:
            found.append(ask_once(node, *words))
            return True
        except (OSError, Failure, harness.RespError):
            return False

    eventually(is_answered, f"{words} is answered")
    return found[-1]


# ---- Paths ------------------------------------------------------------------------------------------------------------


def cut(paths, seconds):
    def fault(scene):
        scene.lab.cut(*paths)
        scene.pause(seconds)
        scene.lab.heal()

    return fault


def isolation(number):
    return lab.between([number], [other for other in range(1, NODES + 1) if other != number])


HALVES = lab.between((1, 2), (3, 4, 5))
