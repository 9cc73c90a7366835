#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""figures.py - measures real clusters: how soon a death is seen, how soon copies are equal again, and what that costs on the wire.

Usage: tests/cluster/figures.py [--server BINARY] [--only TEXT] [--deaths N] [--keys N] [--large-keys N] [--value-size N] [--first-port N]

May touch: utils/cluster, lab.py's namespaces (root), the processes that it has started.
Must never know: how nodes work inside; all that it knows comes from INFO, logs and digests.
Invariants: prints a table, a bound and a verdict in each row; `N passed, N failed` last; exit 1 if a bound does not hold. What was measured is
named where it is not what the bound speaks of. The machine has to be quiet for it.
Tests: it is one, of the nightly run.
"""

import argparse
import os
import re
import signal
import sys
import time

sys.dont_write_bytecode = True

import stage

# pylint: disable=wrong-import-position,wrong-import-order
import harness
import lab
import traffic
from harness import Failure

NODES, COPIES = 5, 3
DEATHS = 20
KEYS, LARGE_KEYS = 100000, 1000000
DIFFERING_PERCENT = 1
VALUE_SIZE = 100
BATCH = 5000
PATIENCE_SECONDS = 120
# Nodes that were ended are seen by nobody; those that write checkpoints do so only where a figure wants it.
QUIET = ("--save", "")


class Table:
    def __init__(self, only):
        self.only, self.passed, self.failed = only, 0, 0
        print(f"{'what':<66} {'measured':>14} {'bound':>12}", flush=True)

    def wants(self, name):
        return not self.only or self.only in name

    def row(self, what, value, bound, unit="", digits=2):
        is_good = bound is None or value <= bound
        self.passed += bound is not None and is_good
        self.failed += not is_good
        limit = "" if bound is None else f"<= {bound:g} {unit}"
        print(f"{what:<66} {value:>{13 - len(unit)}.{digits}f} {unit} {limit:>12}  {'' if bound is None else 'ok' if is_good else 'TOO MUCH'}",
              flush=True)


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


def infos(nodes, *sections):
    return [node.info(*sections) for node in nodes]


def total(nodes, *names):
    """The sum of fields of INFO over nodes."""
    return sum(int(info[name]) for info in infos(nodes, "cluster") for name in names)


# ---- Detection --------------------------------------------------------------------------------------------------------


def state_at(connection, port):
    found = re.search(rf"addr=[^,]*:{port},state=(\w+)", connection("INFO", "replication").decode())
    return found[1] if found else "unknown"


def seen_down(observers, victim, begin):
    """Seconds until each of them says so."""
    connections = [node.connect() for node in observers]
    seen = {}
    while len(seen) < len(connections):
        for index, connection in enumerate(connections):
            if index not in seen and state_at(connection, victim.port) == "down":
                seen[index] = time.monotonic() - begin
        if time.monotonic() - begin > PATIENCE_SECONDS:
            raise Failure(f"node {victim.number} is not seen as down by all")
        time.sleep(0.003)
    for connection in connections:
        connection.close()
    return list(seen.values())


def detection(world, table, options):
    cluster = world.add_cluster(NODES)
    cluster.start(*QUIET)
    for name, number, bounds in (("killed", signal.SIGKILL, (0.3, 0.3)), ("stopped", signal.SIGSTOP, (1.5, 4.0))):
        times = []
        for turn in range(options.deaths):
            victim = cluster.nodes[turn % NODES]
            others = [node for node in cluster.nodes if node is not victim]
            traffic.await_agreement(cluster.nodes, PATIENCE_SECONDS)
            pid = victim.pid()
            begin = time.monotonic()
            os.kill(pid, number)
            try:
                times += seen_down(others, victim, begin)
            finally:
                if number == signal.SIGSTOP:
                    os.kill(pid, signal.SIGCONT)
            if number == signal.SIGKILL:
                cluster.tool("revive", victim.number)
        label = f"a node is {name}: seen as down by each of the others"
        table.row(f"{label}, p50 of {len(times)}", percentile(times, 50), bounds[0], "s", 3)
        table.row(f"{label}, p99", percentile(times, 99), bounds[1], "s", 3)
    cluster.tool("stop")


# ---- Convergence ------------------------------------------------------------------------------------------------------


def fill(node, keys, text, value_size):
    """Gives keys values of that size."""
    for begin in range(0, len(keys), BATCH):
        replies = traffic.ask(node, [("SET", key, f"{text}:{key}:".ljust(value_size, "x")) for key in keys[begin:begin + BATCH]])
        harness.expect(set(replies) == {"OK"}, f"SET answers {[reply for reply in replies if reply != 'OK'][:3]}")


def key(number):
    return f"key:{number:08d}"


def are_equal_copies(nodes):
    return not traffic.differing(nodes, range(16384), COPIES)


def expect_equal_copies(nodes):
    harness.expect(are_equal_copies(nodes), "all nodes say that they agree, and the copies are different")


def wire_bytes(laboratory):
    """What all nodes have sent to each other until now, as the kernel counts it: headers, acknowledgements and gossip included."""
    return sum(int(laboratory.run_in(holder, "iptables -w -nvxL OUTPUT | sed -n 3p").split()[1])
               for holder in laboratory.holders.values())


def begin_counting(laboratory):
    for holder in laboratory.holders.values():
        laboratory.run_in(holder, f"iptables -w -A OUTPUT ! -d {lab.NETWORK}.{lab.HUB} -o eth0 -j ACCEPT")


def idle_bytes_per_second(laboratory):
    begin, before = time.monotonic(), wire_bytes(laboratory)
    time.sleep(3)
    return (wire_bytes(laboratory) - before) / (time.monotonic() - begin)


COMPARED = ("antientropy_rounds", "antientropy_rounds_equal", "antientropy_slots_differed", "antientropy_keys_sent",
            "antientropy_keys_asked_for", "antientropy_output_bytes", "gossip_output_bytes")


def counters(nodes):
    found = infos(nodes, "cluster")
    return {name: sum(int(info[name]) for info in found) for name in COMPARED}


def moved_since(nodes, before):
    """What the counters were raised by."""
    return {name: value - before[name] for name, value in counters(nodes).items()}


def diverge(world, options, name, *directives):
    """A lab where node 5 has missed changes of 1 % of the keys while it was cut off."""
    laboratory = lab.Lab(world, NODES, name)
    laboratory.start(*QUIET, *directives)
    begin_counting(laboratory)
    nodes = laboratory.nodes
    fill(nodes[0], [key(number) for number in range(options.keys)], "old", options.value_size)
    traffic.await_agreement(nodes, PATIENCE_SECONDS)
    # Nodes agree while records are on their way, too: those would be missed besides.
    harness.eventually(lambda: are_equal_copies(nodes), "all copies are equal", PATIENCE_SECONDS)
    cut = lab.between([NODES], range(1, NODES))
    laboratory.cut(*cut)
    harness.eventually(lambda: all(info["cluster_members_down"] == "1" for info in infos(nodes[:-1], "cluster")), "node 5 is seen as down")
    changed = options.keys * DIFFERING_PERCENT // 100
    fill(nodes[0], [key(number) for number in range(0, options.keys, options.keys // changed)], "new", options.value_size)
    return laboratory, changed


def missed_bytes(laboratory, changed, value_size):
    """What node 5 holds of the changed keys: about COPIES / NODES of them, with their names and values."""
    held = int(laboratory.nodes[-1].info("cluster")["cluster_slots_held"])
    return changed * held / 16384 * (value_size + len(key(0)))


def convergence(world, table, options):
    for name, directives, bound in (("hints alone", ("--anti-entropy", "no"), 5.0),
                                    ("anti-entropy alone", ("--hinted-handoff", "no", "--sloppy-quorum", "no"), 15.0)):
        laboratory, changed = diverge(world, options, name.split()[0], *directives)
        nodes = laboratory.nodes
        before, begun = counters(nodes), wire_bytes(laboratory)
        begin = time.monotonic()
        laboratory.heal()
        traffic.await_agreement(nodes, PATIENCE_SECONDS)
        seconds = time.monotonic() - begin
        moved, wire = moved_since(nodes, before), wire_bytes(laboratory) - begun
        expect_equal_copies(nodes)
        label = f"{options.keys:,} keys, {changed:,} changed while one node was cut off, {name}"
        table.row(f"{label}: equal after", seconds, bound, "s")
        if name.startswith("anti"):
            missed = missed_bytes(laboratory, changed, options.value_size)
            wire -= idle_bytes_per_second(laboratory) * seconds
            print(f"    {moved}; {wire:.0f} bytes on the wire beyond those of idle nodes, {missed:.0f} bytes of names and values were missed",
                  flush=True)
            table.row("    comparing (without the records), x what was missed", moved["antientropy_output_bytes"] / missed, None, "x")
            table.row("    on the wire, x what was missed", wire / missed, 3.0, "x")
            agreeing(laboratory, table)
        laboratory.tool("stop")


def agreeing(laboratory, table):
    """What comparing costs where all are equal."""
    nodes = laboratory.nodes

    def facts():
        return (total(nodes, "antientropy_output_bytes", "antientropy_input_bytes"), total(nodes, "antientropy_rounds_equal"))

    for node in nodes:
        node.connect()("KV.REPAIR")
    time.sleep(1)
    bytes_before, rounds_before = facts()
    for _ in range(5):
        for node in nodes:
            node.connect()("KV.REPAIR")
        time.sleep(0.5)
    bytes_after, rounds_after = facts()
    harness.expect(rounds_after - rounds_before >= 5 * NODES, f"only {rounds_after - rounds_before} comparisons")
    # What one node has put out is what another has put in.
    per_check = (bytes_after - bytes_before) / 2 / (rounds_after - rounds_before)
    table.row(f"two copies that agree, all shared slots compared ({rounds_after - rounds_before} times)", per_check, 2048, "B", 0)


# ---- A node that comes back with its checkpoint -----------------------------------------------------------------------


def coming_back(world, table, options):
    laboratory = lab.Lab(world, NODES)
    laboratory.start(*QUIET)
    begin_counting(laboratory)
    nodes = laboratory.nodes
    count = options.large_keys
    begin = time.monotonic()
    fill(nodes[0], [key(number) for number in range(count)], "old", options.value_size)
    traffic.await_agreement(nodes, PATIENCE_SECONDS)
    print(f"    {count:,} keys written in {time.monotonic() - begin:.0f} s", flush=True)
    victim = nodes[-1]
    saver = victim.connect()
    saver.socket.settimeout(PATIENCE_SECONDS)
    saver("SAVE")
    saver.close()
    os.kill(victim.pid(), signal.SIGKILL)
    harness.eventually(lambda: victim.poll() is not None, "it is dead")
    fill(nodes[0], [key(number) for number in range(0, count, 100 // DIFFERING_PERCENT)], "new", options.value_size)
    before = wire_bytes(laboratory)
    begin = time.monotonic()
    laboratory.revive(victim.number)
    traffic.await_agreement(nodes, PATIENCE_SECONDS)
    seconds, moved = time.monotonic() - begin, wire_bytes(laboratory) - before
    expect_equal_copies(nodes)
    held = int(re.search(r"keys=(\d+)", victim.info("keyspace")["db0"])[1])
    whole = held * (options.value_size + len(key(0)))
    label = f"{count:,} keys, a node with its checkpoint has missed {DIFFERING_PERCENT} %"
    table.row(f"{label}: it agrees", seconds, None, "s")
    table.row(f"{label}: moved, of what it holds", 100 * moved / whole, 5.0, "%")
    laboratory.tool("stop")


FIGURES = (("detection", detection), ("convergence", convergence), ("coming back", coming_back))


def main():
    parser = argparse.ArgumentParser(description="Measures real clusters.")
    parser.add_argument("--server", default=stage.ROOT / os.environ.get("BUILD", "build") / "redis-kv", help="the server's binary")
    parser.add_argument("--only", metavar="TEXT", help="only figures whose name has this text")
    parser.add_argument("--deaths", type=int, default=DEATHS, help="how often a node dies in each way")
    parser.add_argument("--keys", type=int, default=KEYS)
    parser.add_argument("--large-keys", type=int, default=LARGE_KEYS)
    parser.add_argument("--value-size", type=int, default=VALUE_SIZE, help="bytes of each value")
    parser.add_argument("--first-port", type=int, default=stage.FIRST_PORT)
    options = parser.parse_args()
    stage.FIRST_PORT = options.first_port
    table = Table(options.only)
    for name, function in FIGURES:
        if not table.wants(name):
            continue
        world = stage.World(os.path.abspath(options.server))
        try:
            function(world, table, options)
        except harness.Skip as skip:
            print(f"skip  {name}: {skip}")
        except Failure as failure:
            table.failed += 1
            print(f"FAIL  {name}: {failure}", flush=True)
        finally:
            world.close()
    print(f"{table.passed} passed, {table.failed} failed")
    return 1 if table.failed or not table.passed else 0


if __name__ == "__main__":
    sys.exit(main())
