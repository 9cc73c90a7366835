# SPDX-License-Identifier: BSD-3-Clause
"""faults.py - five nodes with three copies under load, while nodes die, stand still, or lose paths to each other.

May touch: lab.py's namespaces, processes that it has started, which are killed and stopped here.
Must never know: which node executes what.
Invariants: each test has a cluster of its own; what must be true of it stands in scene.py.
Tests: it is one. NIGHTLY has what takes longer.
"""

import itertools
import os
import random
import resource
import time

import harness
import history
import lab
import traffic
from harness import Failure, Suite, eventually, expect, expect_equal
from lab import AGREEMENT_SECONDS_MAX, STRICT
from scene import HALVES, NODES, OF_A_BUSY_MACHINE, SHORT_MEMORY, Scene, cut, isolation, run

SUITE = Suite("a cluster under load")
NIGHTLY = Suite("a cluster under load (nightly)")
SUITE.deadline_seconds = 120
NIGHTLY.deadline_seconds = 600


# ---- Processes that end or stand still --------------------------------------------------------------------------------


def kill_in_turn(every_seconds, times):
    def fault(scene):
        for number in itertools.islice(itertools.cycle((2, 4, 1, 5, 3)), times):
            begin = time.monotonic()
            scene.kill(number)
            scene.revive(number)
            traffic.await_agreement(scene.nodes, AGREEMENT_SECONDS_MAX)
            scene.pause(max(0.0, every_seconds - (time.monotonic() - begin)))

    return fault


@SUITE.test("stands nodes that are killed one after another, and started again")
def killed_in_turn(world):
    run(world, "R1", STRICT + SHORT_MEMORY, kill_in_turn(1.5, 5))


def all_die(world, seconds):
    """Kills all within a second. There is no log of writes: what was in the last checkpoints must be there, or what came later."""
    scene = Scene(world, "R2", *STRICT, "--save", "")
    with traffic.Traffic(scene.name, scene.nodes) as load:
        scene.pause(seconds)
    traffic.await_agreement(scene.nodes, AGREEMENT_SECONDS_MAX)
    for node in scene.nodes:
        node.connect()("SAVE")
    saved = time.monotonic()
    before = load.operations
    with traffic.Traffic(scene.name, scene.nodes) as later:
        scene.pause(seconds)
        for number in (3, 1, 4, 2, 5):
            scene.kill(number)
    over = time.monotonic()
    for node in scene.nodes:
        scene.revive(node.number)
    scene.settle()
    findings = []
    for node in scene.nodes:
        keys = sorted({one.key for one in before})
        values = dict(zip(keys, traffic.ask(node, [("GET", key) for key in keys])))
        findings += check_since(before + later.operations, values, saved, over)
    expect_equal(findings[:5], [], "what is not as it was saved, or later")
    traffic.expect_converged(scene.nodes, load.keys())
    scene.end()


def check_since(operations, values, saved, over):
    """What is wrong with values that may be those of any time between these two."""
    findings, groups = [], history.by_key(operations)
    for key, value in values.items():
        some = groups[key]
        if ":register:" in key:
            wrong = history.Registers(some).judge(value, saved, over)
            if wrong:
                findings.append(f"{key} is {value!r}: {wrong}")
            continue
        least = sum(one.outcome == "ok" and one.end < saved for one in some)
        most = sum(one.outcome != "fail" for one in some)
        if not least <= int(value or 0) <= most:
            findings.append(f"{key} is {value!r}, not {least} to {most}")
    return findings


@SUITE.test("has what was in its checkpoints when all nodes were killed within a second")
def killed_at_once(world):
    all_die(world, 2)


def stand_still(numbers_and_seconds):
    def fault(scene):
        for number, seconds in numbers_and_seconds:
            scene.stop(number)
            try:
                scene.pause(seconds)
            finally:
                scene.go_on(number)
            scene.pause(0.5)

    return fault


@SUITE.test("stands nodes that stop for a moment, and for longer than it takes to be seen as down")
def stopped(world):
    run(world, "R3", STRICT + SHORT_MEMORY, stand_still(((3, 0.3), (1, 1.2), (5, 5))))


# ---- Paths that are cut -----------------------------------------------------------------------------------------------


@SUITE.test("stands a node that is cut off from all others for longer than hints and tombstones are kept")
def isolated(world):
    run(world, "R4", STRICT + SHORT_MEMORY, cut(isolation(4), 7))


@SUITE.test("stands being cut into two halves")
def halves(world):
    load = run(world, "R5", STRICT + SHORT_MEMORY, cut(HALVES, 5))
    expect(load.errors().get("NOQUORUM", 0) > 0, "nobody was told that there are too few copies")


@SUITE.test("goes on in both halves where that is allowed, loses nothing and counts everything")
def available(world):
    load = run(world, "R5 available", ("--save", ""), cut(HALVES, 5))
    errors = load.errors()
    expect(set(errors) <= {"INDETERMINATE"} and errors.get("INDETERMINATE", 0) <= 2 * traffic.CLIENTS,
           f"clients saw errors: {load.summary()}")


@SUITE.test("stands a node that is heard by nobody, and one that hears nobody")
def one_way(world):
    others = [(other, 2) for other in (1, 3, 4, 5)]

    def fault(scene):
        cut([(there, here) for here, there in others], 4)(scene)
        cut(others, 4)(scene)

    run(world, "R6", STRICT + SHORT_MEMORY, fault)


@SUITE.test("stands halves with a bridge between them, and a ring in which each hears its neighbours only")
def bridge_and_ring(world):
    far = [(a, b) for a in range(1, 6) for b in range(1, 6) if (a - b) % 5 in (2, 3)]

    def fault(scene):
        cut(lab.between((1, 2), (4, 5)), 4)(scene)
        cut(far, 4)(scene)

    run(world, "R7", STRICT + SHORT_MEMORY, fault)


def swizzle(rounds, seconds, seed):
    """Node after node is cut off, and in another order they come back."""
    def fault(scene):
        chance = random.Random(seed)
        for _ in range(rounds):
            numbers = chance.sample(range(1, NODES + 1), 3)
            for number in numbers:
                scene.lab.cut(*isolation(number))
                scene.pause(seconds)
            for number in chance.sample(numbers, 3):
                scene.lab.mend(*isolation(number))
                scene.pause(seconds)
            scene.lab.heal()

    return fault


@SUITE.test("stands nodes that are cut off one after another, and come back in another order")
def swizzled(world):
    run(world, "R8", STRICT + SHORT_MEMORY, swizzle(1, 0.8, 8))


# ---- What takes longer ------------------------------------------------------------------------------------------------
#
# Of the known kinds of faults files that are lied about are tested in tests/sim and tests/checkpoint. What a single server does without
# descriptors, with slow readers and many connections is in tests/server. Delays and packets that come twice need a scheduler that not every
# kernel has: tests/sim has them.


@NIGHTLY.test("stands nodes that are killed every five seconds for a minute")
def killed_for_long(world):
    run(world, "R1 long", STRICT + SHORT_MEMORY, kill_in_turn(5, 12))


@NIGHTLY.test("has what was in its checkpoints when all nodes were killed after a while")
def killed_at_once_later(world):
    all_die(world, 20)


@NIGHTLY.test("stands nodes that stop for 2, 10, 40 and 90 seconds")
def stopped_for_long(world):
    run(world, "R3 long", STRICT + SHORT_MEMORY, stand_still(((3, 2), (1, 10), (5, 40), (2, 90))))


@NIGHTLY.test("stands a node that is cut off for half a minute, and halves for as long")
def cut_for_long(world):
    def fault(scene):
        cut(isolation(2), 30)(scene)
        scene.pause(5)
        cut(HALVES, 30)(scene)

    run(world, "R4, R5 long", STRICT + SHORT_MEMORY, fault)


@NIGHTLY.test("stands nodes that are cut off in many orders")
def swizzled_for_long(world):
    run(world, "R8 long", STRICT + SHORT_MEMORY, swizzle(12, 0.8, time.time_ns()))


@NIGHTLY.test("stands a network that loses every fifth packet between nodes")
def lossy(world):
    def fault(scene):
        scene.lab.lose(20)
        scene.pause(30)
        scene.lab.heal()

    run(world, "R9", STRICT + SHORT_MEMORY, fault)


@NIGHTLY.test("stands paths that come and go every second")
def flapping(world):
    def fault(scene):
        for _ in range(15):
            cut(lab.between([1], [2]), 1)(scene)
            scene.pause(1)

    run(world, "R10", STRICT + SHORT_MEMORY, fault)


@NIGHTLY.test("ends its links with a node whose power fails, though nothing tells it so")
def power_failure(world):
    def fault(scene):
        scene.lab.cut(*isolation(3))
        scene.kill(3)
        others = [node for node in scene.nodes if node.number != 3]
        eventually(lambda: all(node.info("replication")["peers_linked"] == "3" for node in others), "no link to node 3 is left", 10)
        scene.lab.heal()
        scene.revive(3)

    run(world, "R11", STRICT + SHORT_MEMORY, fault, (1, 2, 4, 5))


@NIGHTLY.test("stands a node whose last checkpoint is damaged when it starts again")
def damaged(world):
    chance = random.Random(time.time_ns())

    def fault(scene):
        for number in (2, 4):
            node = scene.nodes[number - 1]
            node.connect()("SAVE")
            scene.pause(1)
            node.connect()("SAVE")
            scene.kill(number)
            path = os.path.join(node.directory, "dump.rdb")
            with open(path, "r+b") as file:
                size = file.seek(0, os.SEEK_END)
                for _ in range(3):
                    at = file.seek(chance.randrange(size))
                    old = file.read(1)
                    file.seek(at)
                    file.write(bytes([old[0] ^ 1 << chance.randrange(8)]))
            scene.revive(number)
            traffic.await_agreement(scene.nodes, AGREEMENT_SECONDS_MAX)

    run(world, "R20", STRICT + ("--save", ""), fault)


@NIGHTLY.test("stands a node that gets a tenth of a processor")
def slow_node(world):
    def fault(scene):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            scene.stop(5)
            try:
                time.sleep(0.09)
            finally:
                scene.go_on(5)
            time.sleep(0.01)

    run(world, "R24", STRICT + SHORT_MEMORY, fault, (1, 2, 3, 4))


# ---- Too much of something, too little of something -------------------------------------------------------------------


@NIGHTLY.test("serves on where a node's disk is full, says so, and saves when there is room again")
def disk_full(world):
    scene = Scene(world, "R12", *STRICT, "--save", "2", "1", "--stop-writes-on-bgsave-error", "no",
                  prepare=lambda here: here.mount_small(3, 8))
    node = scene.nodes[2]
    filler = os.path.join(node.directory, "filler")

    def fault():
        node.connect()("SAVE")
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 12)):
                    continue
            except OSError:
                pass
        begin = len(node.log())
        try:
            node.connect()("SAVE")
            raise Failure("a save succeeds though there is no room")
        except harness.RespError as error:
            expect(str(error).startswith("ERR ") and "No space left" in str(error) + node.log()[begin:],
                   f"no clear word: {error}\n{node.log()[begin:]}")
        eventually(lambda: node.info("persistence")["rdb_last_bgsave_status"] == "err", "INFO says that saving fails", 10)
        scene.pause(2)
        os.unlink(filler)
        eventually(lambda: node.info("persistence")["rdb_last_bgsave_status"] == "ok", "it saves again", 10)
        # What it has saved is whole.
        scene.kill(3)
        scene.revive(3)

    load = scene.under(fault)
    expect(set(load.errors()) <= {"INDETERMINATE", "NOQUORUM", "no answer"}, f"clients saw errors: {load.summary()}")
    scene.end()


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@NIGHTLY.test("serves on where a node has no descriptors left")
def no_descriptors(world):
    scene = Scene(world, "R14", *STRICT)
    node, waiting = scene.nodes[2], []

    def fault():
        resource.prlimit(scene.pids[3], resource.RLIMIT_NOFILE, (64, 64))
        waiting.extend(node.connect() for _ in range(80))
        scene.pause(1)
        begin, began = cpu_seconds(scene.pids[3]), [cpu_seconds(scene.pids[number]) for number in (1, 2, 4, 5)]
        scene.pause(3)
        used = cpu_seconds(scene.pids[3]) - begin
        most = max(cpu_seconds(scene.pids[number]) - old for number, old in zip((1, 2, 4, 5), began))
        expect(used < 0.15 + 2 * most, f"{used:.2f} s of CPU time in 3 s, {most:.2f} s at most by others under the same load")
        for one in waiting:
            one.close()
        eventually(lambda: lab.answers(node), "new clients are served again")

    load = scene.under(fault)
    expect(set(load.errors()) <= OF_A_BUSY_MACHINE, f"clients saw errors: {load.summary()}")
    scene.end()


def slow_percentile(nodes, keys, seconds):
    """How long the slowest of a hundred GETs takes, in seconds."""
    times, end = [], time.monotonic() + seconds
    connections = [node.connect() for node in nodes]
    while time.monotonic() < end:
        for number, connection in enumerate(connections):
            begin = time.monotonic()
            connection("GET", keys[(len(times) + number) % len(keys)])
            times.append(time.monotonic() - begin)
    for connection in connections:
        connection.close()
    return sorted(times)[len(times) * 99 // 100]


@NIGHTLY.test("keeps its memory and its pace where clients do not read the large replies that they have asked for")
def slow_readers(world):
    readers, replies, value_bytes, limit_bytes = 20, 20, 1 << 20, 8 << 20
    scene = Scene(world, "R15", "--save", "", "--client-output-buffer-limit", "normal", limit_bytes, 0, 0)
    first = scene.nodes[0].connect()
    big = [f"big:{number}" for number in range(8)]
    small = [f"small:{number}" for number in range(100)]
    for key in big:
        first("SET", key, os.urandom(value_bytes))
    for key in small:
        first("SET", key, "value")
    before_bytes = {number: resident_bytes(pid) for number, pid in scene.pids.items()}
    most, taken = {}, []

    def fault():
        before = slow_percentile(scene.nodes, small, 3)
        slow = [scene.nodes[0].connect() for _ in range(readers)]
        for number, one in enumerate(slow):
            words = "".join(f"GET {big[(number + i) % len(big)]}\r\n" for i in range(replies))
            one.socket.sendall(words.encode())
        end = time.monotonic() + 5
        while time.monotonic() < end:
            during = slow_percentile(scene.nodes, small, 1)
            taken.append(during)
            for number, pid in scene.pids.items():
                most[number] = max(most.get(number, 0), resident_bytes(pid) - before_bytes[number])
        for one in slow:
            one.close()
        expect(sorted(taken)[len(taken) // 2] <= max(2 * before, 0.25),
               f"the slowest of a hundred: {before:.4f} s before, {taken} s meanwhile")
        expect(not any(" is down" in node.log() for node in scene.nodes), "a node that is busy with large replies is called down")
        # What a client may have waiting, and the frames on their way to it.
        bound = readers * (limit_bytes + 4 * value_bytes)
        expect(max(most.values()) <= bound, f"nodes have grown by {most} bytes, the bound is {bound}")
        print(f"      R15: p99 {before * 1000:.1f} ms before, {max(taken) * 1000:.1f} ms meanwhile; "
              f"{max(most.values()) >> 20} MiB more", flush=True)

    load = scene.under(fault)
    expect(set(load.errors()) <= OF_A_BUSY_MACHINE, f"clients saw errors: {load.summary()}")
    scene.end()


@NIGHTLY.test("stands long pipelines, many idle connections and storms of short ones")
def many(world):
    commands, idle_clients, short_ones = 100000, 1000, 3000
    scene = Scene(world, "R16", *STRICT)

    def fault():
        idle = [scene.nodes[number % NODES].connect() for number in range(idle_clients)]
        for number in range(short_ones):
            one = scene.nodes[number % NODES].connect()
            if number % 3:
                one.socket.sendall((b"PING\r\n", b"*2\r\n$3\r\nGET\r\n$1000\r\n")[number % 2])
            one.close()
        words = [("SET", f"many:{number % 5000}", number) if number % 2 else ("GET", f"many:{(number - 1) % 5000}")
                 for number in range(1, commands + 1)]
        replies = traffic.ask(scene.nodes[1], words)
        expect_equal([reply for reply in replies[::2] if reply != "OK"][:3], [], "replies to SET")
        expect_equal([(i, reply) for i, reply in enumerate(replies[1::2]) if reply != b"%d" % (2 * i + 1)][:3], [], "replies to GET")
        expect_equal([one("PING") for one in idle[::50]], ["PONG"] * (idle_clients // 50), "idle clients")
        for one in idle:
            one.close()
        eventually(lambda: all(int(node.info("clients")["connected_clients"]) < 30 for node in scene.nodes), "all have left")

    load = scene.under(fault)
    expect(set(load.errors()) <= OF_A_BUSY_MACHINE, f"clients saw errors: {load.summary()}")
    scene.end()


# ---- All together -----------------------------------------------------------------------------------------------------


@NIGHTLY.test("stands all of this at random")
def anything(world):
    seed = time.time_ns() % 1000000
    chance = random.Random(seed)

    def fault(scene):
        end = time.monotonic() + 300
        while time.monotonic() < end:
            number, seconds = chance.randrange(1, NODES + 1), chance.choice((0.2, 1, 3, 8))
            some = chance.sample(range(1, NODES + 1), 2)
            chance.choice((kill_in_turn(seconds, 1), stand_still(((number, seconds),)), cut(isolation(number), seconds),
                           cut(lab.between(some, [other for other in range(1, NODES + 1) if other not in some]), seconds),
                           cut([(some[0], some[1])], seconds), swizzle(1, seconds / 4, chance.random())))(scene)
            traffic.await_agreement(scene.nodes, AGREEMENT_SECONDS_MAX)

    try:
        run(world, "R25", STRICT + SHORT_MEMORY, fault)
    except Failure as failure:
        raise Failure(f"seed {seed}: {failure}") from None
