# SPDX-License-Identifier: BSD-3-Clause
"""history_parts.py - the judge of histories is judged: correct ones have no findings, planted faults are found, and small histories are
judged as by trying all orders.

May touch: history.py. Must never know: clusters.
Invariants: every random history comes from a seed that is named where it fails.
Tests: it is one.
"""

import itertools
import random

import history
from harness import Suite, expect, expect_equal
from history import FAIL, OK, UNKNOWN, Operation

SUITE = Suite("the judge of histories")

SMALL_HISTORIES = 4000
LARGE_SEEDS = range(20)


def small_history(chance):
    """Up to five writes of one key and a read, at few different times, so that all ways to overlap come up."""
    operations = []
    for number in range(chance.randrange(1, 6)):
        begin = chance.randrange(12)
        value = None if chance.random() < 0.3 else number
        outcome = chance.choices((OK, UNKNOWN, FAIL), (8, 2, 1))[0]
        operations.append(Operation("write", "k", value, begin, begin + 0.5 + chance.randrange(5), outcome))
    begin = chance.randrange(14) + 0.25
    read = Operation("read", "k", chance.choice((None, 0, 1, 2, 3, 4)), begin, begin + chance.randrange(4))
    return operations, read


def is_regular_by_trying(writes, read):
    """Whether there is an order of all that have happened, in which nothing stands before what was over when it began, and in which
    the read follows a write of its value."""
    unknown = [write for write in writes if write.outcome == UNKNOWN]
    for missing in itertools.product((False, True), repeat=len(unknown)):
        never = {id(write) for write, is_missing in zip(unknown, missing) if is_missing}
        happened = [write for write in writes if write.outcome != FAIL and id(write) not in never] + [read]
        for order in itertools.permutations(happened):
            if any(later.end < former.begin for former, later in itertools.combinations(order, 2)):
                continue
            at = order.index(read)
            if (order[at - 1].value if at else None) == read.value:
                return True
    return False


@SUITE.test("finds the same as trying all orders does")
def small(_world):
    counts = {True: 0, False: 0}
    for seed in range(SMALL_HISTORIES):
        writes, read = small_history(random.Random(seed))
        wanted = is_regular_by_trying(writes, read)
        found = history.check_registers(writes + [read])
        counts[wanted] += 1
        expect_equal(not found, wanted, f"the verdict on history {seed}, {writes + [read]}: {found},")
    expect(min(counts.values()) > SMALL_HISTORIES / 10, f"of one kind there are too few: {counts}")


def large_history(chance, clients=8, keys=20, count=3000):
    """What clients of one correct register a key see: everything happens at one moment between its beginning and its end, but for a few writes
    without an answer that happen late or never. Also what there is in the end."""
    pending, operations = [], []
    times = [chance.random() for _ in range(clients)]
    for number in range(count):
        client = number % clients
        begin = times[client]
        end = begin + chance.expovariate(20)
        times[client] = end + chance.expovariate(50)
        moment = chance.uniform(begin, end)
        kind = chance.choice(("read", "read", "write", "add"))
        key = f"{kind[:1] if kind == 'add' else 'k'}:{chance.randrange(keys)}"
        value = None if kind == "write" and chance.random() < 0.3 else number
        one = Operation(kind, key, value, begin, end, client=client)
        if kind != "read" and chance.random() < 0.03:
            one.outcome, one.end = UNKNOWN, history.FOREVER
            moment = chance.choice((moment, moment + chance.random() * 3, None))
        elif kind != "read" and chance.random() < 0.02:
            one.outcome, moment = FAIL, None
        operations.append(one)
        if moment is not None:
            pending.append((moment, number))
    values = {}
    for _moment, number in sorted(pending):
        one = operations[number]
        if one.kind == "write":
            values[one.key] = one.value
        elif one.kind == "add":
            one.value = values[one.key] = values.get(one.key, 0) + 1
        else:
            one.value = values.get(one.key)
    for key in range(keys):
        values.setdefault(f"k:{key}", None)
    chance.shuffle(operations)
    return operations, values


def findings(operations, values):
    registers = {key: value for key, value in values.items() if key.startswith("k:")}
    return (history.check_registers(operations) + history.check_end(operations, registers, 1e9) +
            history.check_counters(operations, values, is_regular=True))


@SUITE.test("finds nothing in histories of correct registers and counters")
def correct(_world):
    for seed in LARGE_SEEDS:
        expect_equal(findings(*large_history(random.Random(seed))), [], f"the findings in history {seed}")


def older_write(operations, read):
    """An acknowledged write of its key that was overwritten for certain when the read began; None: there is none."""
    writes = [one for one in operations if one.kind == "write" and one.key == read.key and one.outcome == OK]
    for one in writes:
        if one.value is not None and any(one.end < other.begin and other.end < read.begin for other in writes):
            return one
    return None


@SUITE.test("finds every stale read, every read of nothing, and what nobody has written")
def planted_reads(_world):
    planted = 0
    for seed in LARGE_SEEDS:
        chance = random.Random(seed)
        operations, values = large_history(chance)
        reads = [one for one in operations if one.kind == "read"]
        for read in chance.sample(reads, 40):
            was, old = read.value, older_write(operations, read)
            for value, reason in ((old.value if old else 7e7, "is overwritten by" if old else "never written"),
                                  (7e7, "never written")):
                read.value = value
                found = history.check_registers(one for one in operations if one.key == read.key)
                expect(len(found) == 1 and repr(read) in found[0] and reason in found[0], f"history {seed}, {read}: {found}")
                planted += 1
            read.value = was
    expect_equal(planted, 80 * len(LARGE_SEEDS), "the planted reads")


@SUITE.test("finds writes that are lost, deletions that are undone, and counters that are wrong")
def planted_ends(_world):
    seen = set()
    for seed in LARGE_SEEDS:
        chance = random.Random(seed)
        operations, values = large_history(chance)
        for key in sorted(values):
            was = values[key]
            some = [one for one in operations if one.key == key and one.kind != "read"]
            sure = [one for one in some if one.outcome == OK]
            if key.startswith("k:"):
                last = max(sure, key=lambda one: one.begin)
                old = [one.value for one in sure if one.end < last.begin and one.value is not None]
                wanted = "resurrected" if last.value is None else "lost"
                values[key] = old[0]
            else:
                wanted, values[key] = chance.choice((("lost", len(sure) - 1), ("counted twice", len(some) + 1)))
            found = findings(some, {key: values[key]})
            expect(len(found) == 1 and found[0].startswith(f"{wanted}: {key} "), f"history {seed}, {key}: {found}, not {wanted}")
            seen.add(wanted)
            values[key] = was
        answered = chance.choice([one for one in operations if one.kind == "add" and one.outcome == OK])
        answered.value += 1000
        expect_equal(len(findings(operations, values)), 1, f"the findings where {answered} has counted too much")
        answered.value = 0
        expect_equal(len(findings(operations, values)), 1, f"the findings where {answered} has counted too little")
    expect_equal(seen, {"resurrected", "lost", "counted twice"}, "what was planted")
