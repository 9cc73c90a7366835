# SPDX-License-Identifier: BSD-3-Clause
"""machines.py - a cluster under load one of whose machines is poorer than the others: it has little memory, or a wrong clock.

May touch: lab.py's namespaces, a memory cgroup (version 1) below this process's own, processes that it has started.
Must never know: which node executes what.
Invariants: each test has a cluster of its own; what must be true of it stands in scene.py. Each test first looks whether the fault is one
here: a limit that does not kill, or a clock that stays right, would prove nothing.
Tests: it is one.
"""

import os
import re
import struct
import sys
import time

import stage
import traffic
from harness import Failure, RespError, Skip, Suite, eventually, expect, expect_equal
from lab import AGREEMENT_SECONDS_MAX, STRICT
from scene import OF_A_BUSY_MACHINE, SHORT_MEMORY, Scene, ask_once

NIGHTLY = Suite("a cluster under load on unequal machines (nightly)")
NIGHTLY.deadline_seconds = 300

# ---- Little memory ----------------------------------------------------------------------------------------------------

CGROUPS = "/sys/fs/cgroup/memory"
MIB = 1 << 20
MAXMEMORY, LIMIT = 32 * MIB, 64 * MIB
VALUE_BYTES = 40000


def ask_again_when_busy(connection, *words):
    """Of a machine that is busy: a node that is passed over for a moment says so."""
    found = []

    def is_answered():
        try:
            found.append(connection(*words))
            return True
        except RespError as error:
            if str(error).split()[0] not in OF_A_BUSY_MACHINE:
                raise
            return False

    eventually(is_answered, f"{words} is answered")
    return found[-1]


def is_refusal(reply):
    return isinstance(reply, Exception) and str(reply).startswith("OOM ")


class MemoryGroup:
    """A cgroup whose processes are killed where they need more. It is gone when they are."""

    def __init__(self, lab, name, limit):
        with open("/proc/self/cgroup", encoding="ascii") as file:
            own = re.search(r"^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(/.*)$", file.read(), re.MULTILINE)
        if not own or not os.path.exists(f"{CGROUPS}{own[1]}/memory.limit_in_bytes"):
            raise Skip("there are no memory cgroups of version 1 here")
        self.path = f"{CGROUPS}{own[1].rstrip('/')}/redis-kv-test-{os.getpid()}-{name}"
        try:
            os.mkdir(self.path)
            lab.remember_cgroup(self.path)
            self.write("memory.limit_in_bytes", limit)
        except OSError as error:
            raise Skip(f"no memory cgroup can be made here: {error}") from None

    def write(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(str(value))

    def read(self, name):
        with open(os.path.join(self.path, name), encoding="ascii") as file:
            return file.read()

    def setting(self):
        """A line of shell: its processes live here from then on."""
        return f"echo $$ >{self.path}/cgroup.procs"

    def killed(self):
        """How many processes."""
        return int(re.search(r"^oom_kill (\d+)$", self.read("memory.oom_control"), re.MULTILINE)[1])


def expect_limit_kills(world, lab):
    """One that needs too much."""
    group = MemoryGroup(lab, "probe", LIMIT)
    done = world.program(["sh", "-c", f"{group.setting()}; exec {sys.executable} -c 'bytearray({2 * LIMIT})'"])
    if done.code != -9 or group.killed() != 1:
        raise Skip(f"nobody is killed by a memory cgroup here:\n{done}")


@NIGHTLY.test("answers -OOM where a machine has little memory, and no node is killed for what it holds")
def little_memory(world):
    scene = Scene(world, "R17", *STRICT, "--save", "", "--maxmemory", MAXMEMORY)
    expect_limit_kills(world, scene.lab)
    group = MemoryGroup(scene.lab, "node", LIMIT)
    scene.kill(3)
    scene.revive(3, group.setting())
    traffic.await_agreement(scene.nodes, AGREEMENT_SECONDS_MAX)
    expect(str(scene.pids[3]) in group.read("cgroup.procs").split(), "node 3 is not under the limit")
    value, written = os.urandom(VALUE_BYTES), []

    def fill():
        """Until nothing more is taken; then what was taken is there, is read, and can be deleted."""
        number, refused_in_a_row = 0, 0
        while refused_in_a_row < 1000:
            keys = [f"fill:{number + i}" for i in range(200)]
            number += len(keys)
            for key, reply in zip(keys, traffic.ask(scene.nodes[number // 200 % len(scene.nodes)], [("SET", key, value) for key in keys])):
                expect(reply == "OK" or is_refusal(reply) or str(reply).split()[0] in OF_A_BUSY_MACHINE, f"an answer to SET: {reply!r}")
                refused_in_a_row = refused_in_a_row + 1 if is_refusal(reply) else 0
                written.extend([key] if reply == "OK" else [])
            expect(len(written) * VALUE_BYTES < 5 * MAXMEMORY, "maxmemory is no limit")

    def fault():
        for turn in range(3):
            del written[:]
            fill()
            used = int(scene.node(3).info("memory")["used_memory"])
            print(f"      R17: {len(written)} values of {VALUE_BYTES} bytes, node 3 uses {used / MIB:.1f} MiB, at most "
                  f"{int(group.read('memory.max_usage_in_bytes')) / MIB:.1f} of {LIMIT / MIB:.0f}", flush=True)
            expect(used > MAXMEMORY * 0.7, "node 3 is not full")
            # One after another: what waits for a client is not part of the data, and has limits of its own.
            reader = scene.node(3).connect()
            expect_equal([key for key in written if ask_again_when_busy(reader, "GET", key) != value][:3], [],
                         "what was acknowledged, and is not there")
            reader.close()
            remover = scene.node(1 + turn).connect()
            expect_equal([key for key in written if ask_again_when_busy(remover, "DEL", key) not in (0, 1)], [], "replies to DEL")
            eventually(lambda: ask_once(scene.node(3), "SET", "small", "x") == "OK", "there is room again")

    load = scene.under(fault, refusals=("OOM",))
    expect(set(load.errors()) <= OF_A_BUSY_MACHINE | {"OOM"} and load.errors().get("OOM", 0) > 0, f"clients saw errors: {load.summary()}")
    expect_equal(group.killed(), 0, "processes killed for want of memory")
    scene.end()


# ---- Wrong clocks -----------------------------------------------------------------------------------------------------

HOUR_SECONDS = 3600


class WrongClock:
    """What a process sees of the time of day; whoever has it preloaded is off by the seconds that are set, at once."""

    def __init__(self, world, number):
        library = world.path("wrong_clock.so")
        if not os.path.exists(library):
            source = stage.ROOT / "tests" / "preload" / "wrong_clock.c"
            done = world.program([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", library, source])
            if done.code != 0:
                raise Failure(str(done))
        self.path = world.path(f"clock-{number}", struct.pack("=q", 0))
        self.variables = f"LD_PRELOAD={library} WRONG_CLOCK_FILE={self.path}"
        self.set(HOUR_SECONDS)
        look = "import time; print(time.time(), time.monotonic())"
        done = world.program(["sh", "-c", f"{self.variables} exec {sys.executable} -c '{look}'"])
        wall, monotonic = map(float, done.out.split())
        if abs(wall - time.time() - HOUR_SECONDS) > 60 or not 0 <= time.monotonic() - monotonic < 60:
            raise Skip(f"a process cannot be given another time of day here:\n{done}")
        self.set(0)

    def set(self, seconds):
        with open(self.path, "r+b") as file:
            file.write(struct.pack("=q", seconds))

    def setting(self):
        return f"export {self.variables}"


def offset_of(node):
    """How far a node's time of day is from ours, in seconds."""
    return int(ask_once(node, "TIME")[0]) - time.time()


@NIGHTLY.test("stands clocks that are an hour ahead or behind, jump there, and jump back")
def wrong_clocks(world):
    scene = Scene(world, "R18", *STRICT, *SHORT_MEMORY)
    clocks = {number: WrongClock(world, number) for number in (2, 4)}
    for number, clock in clocks.items():
        scene.kill(number)
        scene.revive(number, clock.setting())
    traffic.await_agreement(scene.nodes, AGREEMENT_SECONDS_MAX)

    def be_off(number, seconds):
        clocks[number].set(seconds)
        expect(abs(offset_of(scene.node(number)) - seconds) < 5, f"the clock of node {number} is off by {offset_of(scene.node(number))} s")

    def fault():
        for number, seconds in ((2, HOUR_SECONDS), (2, 0), (4, -HOUR_SECONDS), (4, 0)):
            be_off(number, seconds)
            scene.pause(5)
        # A start with a wrong clock, after files were written with it, and one with files that are of a later time.
        be_off(2, HOUR_SECONDS)
        be_off(4, -HOUR_SECONDS)
        scene.pause(4)
        for number in (2, 4):
            scene.kill(number)
            scene.revive(number, clocks[number].setting())
            traffic.await_agreement(scene.nodes, AGREEMENT_SECONDS_MAX)
        scene.pause(3)
        scene.kill(2)
        clocks[2].set(0)
        scene.revive(2, clocks[2].setting())
        traffic.await_agreement(scene.nodes, AGREEMENT_SECONDS_MAX)
        be_off(4, 0)
        scene.pause(3)

    load = scene.under(fault, [scene.node(number) for number in (1, 3, 5)])
    expect(set(load.errors()) <= OF_A_BUSY_MACHINE, f"clients saw errors: {load.summary()}")
    scene.end()
