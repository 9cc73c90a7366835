# SPDX-License-Identifier: BSD-3-Clause
"""restarts.py - with two copies behind each acknowledged write nodes may be killed one after another for ever, and nothing is lost.

May touch: utils/cluster, processes that it has started, which are killed here.
Must never know: which node executes what.
Invariants: the next node is killed only when all nodes say that they agree (`cluster_agrees`); what clients see is judged by
history.py; the test names its seed.
Tests: it is one; `run --seconds` says for how long.
"""

import os
import random
import signal
import time

import traffic
from harness import Failure, Suite, eventually, expect, expect_equal, expect_match
from lab import AGREEMENT_SECONDS_MAX, STRICT

SUITE = Suite("a cluster whose nodes are killed one after another")

SECONDS = 60
SEED = None
# So long goes a history; a longer test has several, with other keys. Their memory is this process's.
ROUND_SECONDS = 60
# In a shorter one a single death is too large a part of all.
SHORTEST_ROUND_SECONDS = 20
NODES = 5
# Checkpoints come often enough for a node to have one of some seconds ago, and tombstones are dropped soon.
FILES = ("--save", "2", "1", "--hint-window", "4", "--tombstone-grace", "5")
# Beside what clients write: there is something to load and to compare.
BALLAST = 20000
DONE_PERCENT_MIN = 97


def is_gone(node, pid):
    return node.poll() is not None or node.pid() != pid


def kill(node):
    pid = node.pid()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: is_gone(node, pid), f"node {node.number} dies")


def kill_and_restart(cluster, victim, down_seconds):
    """The node is away for so long; then all wait until all agree."""
    kill(victim)
    time.sleep(down_seconds)
    cluster.tool("revive", victim.number)
    traffic.await_agreement(cluster.nodes, AGREEMENT_SECONDS_MAX)


def one_round(cluster, number, chance, seconds):
    """Returns what is to be there from now on, and how often a node was killed."""
    kills = 0
    with traffic.Traffic(f"round{number}", cluster.nodes) as load:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            kill_and_restart(cluster, chance.choice(cluster.nodes), chance.choice((0, 0.05, 0.5, 2)))
            kills += 1
            time.sleep(chance.choice((0, 0, 0.2, 1)))
    traffic.await_agreement(cluster.nodes, AGREEMENT_SECONDS_MAX)
    load.check(cluster.nodes, is_regular=True)
    traffic.expect_converged(cluster.nodes, load.keys())
    done = 100 * load.count("ok") / max(1, load.count())
    expect(done >= DONE_PERCENT_MIN, f"only {done:.1f} % of the operations were done: {load.summary()}")
    expect(load.count() > 100 * seconds, f"too few operations to say something: {load.summary()}")
    return load.values(cluster.nodes[0]), kills, load.summary()


def add_ballast(cluster):
    values = {f"ballast:{number}": b"%d " % number * 20 for number in range(BALLAST)}
    replies = traffic.ask(cluster.nodes[0], [("SET", key, value) for key, value in values.items()])
    expect_equal(set(replies), {"OK"}, "the replies")
    return values


@SUITE.test("loses no acknowledged write, brings nothing back that was deleted, and reads nothing old")
def restarts(world):
    seed = SEED if SEED is not None else time.time_ns() % 1000000
    chance = random.Random(seed)
    cluster = world.add_cluster(NODES)
    cluster.start(*STRICT, *FILES)
    end, kept, number = time.monotonic() + SECONDS, [add_ballast(cluster)], 0
    try:
        while number == 0 or end - time.monotonic() > SHORTEST_ROUND_SECONDS:
            number += 1
            values, kills, summary = one_round(cluster, number, chance, min(ROUND_SECONDS, end - time.monotonic()))
            kept.append(values)
            print(f"      round {number}: {kills} kills, {summary}", flush=True)
            expect(kills >= 3, f"only {kills} kills: agreement takes too long")
        # What earlier rounds have left was loaded from many files since.
        for values in kept:
            for node in cluster.nodes:
                got = traffic.ask(node, [("GET", key) for key in sorted(values)])
                expect_equal(got, [values[key] for key in sorted(values)], f"what node {node.number} has from before")
    except Failure as failure:
        raise Failure(f"--seed {seed}: {failure}") from None
    cluster.tool("stop")
    cluster.check_logs()


@SUITE.test("does lose what it had where all die at once and there are no files, and that is seen")
def all_at_once(world):
    cluster = world.add_cluster(NODES)
    cluster.start(*STRICT, "--save", "")
    with traffic.Traffic("gone", cluster.nodes) as load:
        time.sleep(2)
    for node in cluster.nodes:
        os.kill(node.pid(), signal.SIGKILL)
    cluster.start()
    traffic.await_agreement(cluster.nodes, AGREEMENT_SECONDS_MAX)
    try:
        load.check(cluster.nodes, is_regular=True)
    except Failure as failure:
        expect_match(r"^node 1: lost: gone:", str(failure), "what was found")
        return
    raise Failure("nothing was found, though nothing can be there any more")
