# SPDX-License-Identifier: BSD-3-Clause
"""history.py - histories of what clients have asked and been answered, and what is wrong with them.

May touch: nothing but the memory of this process.
Must never know: sockets, processes, how nodes work.
Invariants: an operation without an answer (UNKNOWN) may have happened at any time behind its beginning, or never; one that has failed (FAIL) has
never happened; values are written once. What is found is true: a history that a correct cluster can make has no findings.
Tests: history_parts.py.

A register history is regular if every read gives what the last write before it has written, or what a write has that overlaps with
the read. Writes may overlap: then each of them that no other follows by the time the read begins is a last one. Deleting is
writing nothing. What was read by somebody before need not be read again, as long as the write overlaps: that would be more than regular.
"""

import bisect
import math

OK, FAIL, UNKNOWN = "ok", "fail", "unknown"
FOREVER = math.inf


class Operation:
    """`kind` is read, write (value None: a deletion) or add; times are seconds of one clock; a read's value is what it gave."""

    __slots__ = ("kind", "key", "value", "begin", "end", "outcome", "client", "node")

    def __init__(self, kind, key, value, begin, end, outcome=OK, client=0, node=0):
        self.kind, self.key, self.value, self.begin, self.outcome = kind, key, value, begin, outcome
        self.end = FOREVER if outcome == UNKNOWN else end
        self.client, self.node = client, node

    def __repr__(self):
        end = "?" if self.end == FOREVER else f"{self.end:.6f}"
        return f"{self.kind}({self.key}, {self.value!r}) {self.outcome} {self.begin:.6f}..{end} by {self.client} at {self.node}"


def by_key(operations):
    found = {}
    for operation in operations:
        found.setdefault(operation.key, []).append(operation)
    return found


class Registers:
    """What may be read of a key, by its writes."""

    def __init__(self, operations):
        self.writes = sorted((one for one in operations if one.kind == "write" and one.outcome != FAIL),
                             key=lambda one: one.begin)
        self.values = {}
        for write in self.writes:
            self.values.setdefault(write.value, []).append(write)
        # Of those that were answered, by their ends: the latest beginning among all that have ended by then.
        answered = sorted((one for one in self.writes if one.outcome == OK), key=lambda one: one.end)
        self.ends = [one.end for one in answered]
        self.last_begin, latest = [], None
        for write in answered:
            if latest is None or write.begin > latest.begin:
                latest = write
            self.last_begin.append(latest)

    def overwriter(self, write, time, slack=0):
        """An acknowledged write that began `slack` seconds or more after `write` had ended, and has ended before `time`; None: there
        is none. With None as `write` of what was there in the beginning."""
        at = bisect.bisect_left(self.ends, time)
        if at == 0:
            return None
        latest = self.last_begin[at - 1]
        return latest if write is None or latest.begin > write.end + slack else None

    def judge(self, value, begin, end, slack=0):
        """What is wrong with a read of `value` between these times; empty: nothing."""
        reasons = []
        candidates = list(self.values.get(value, ()))
        if value is None:
            candidates.append(None)
        for write in candidates:
            if write is not None and write.begin > end:
                reasons.append(f"is written later: {write}")
                continue
            later = self.overwriter(write, begin, slack)
            if later is None:
                return ""
            reasons.append(f"{write or 'the empty key'} is overwritten by {later}")
        if not candidates:
            reasons.append("was never written")
        return "; ".join(reasons)


def check_registers(operations):
    """What is wrong with reads, as text: stale ones, such that were never written, deleted values that are there again."""
    findings = []
    for key, some in sorted(by_key(one for one in operations if one.kind in ("read", "write")).items()):
        registers = Registers(some)
        for read in some:
            if read.kind != "read" or read.outcome != OK:
                continue
            wrong = registers.judge(read.value, read.begin, read.end)
            if wrong:
                findings.append(f"{key}: {read}: {wrong}")
    return findings


def check_end(operations, values, time, slack=0):
    """Of `values`, what every key was found to have when all was over at `time`: acknowledged writes that are lost, deletions that are undone.
    Writes on two sides of a cut are ordered by the nodes' clocks, which are read once a turn: closer than `slack` seconds, either may win."""
    findings = []
    groups = by_key(one for one in operations if one.kind == "write")
    for key, value in sorted(values.items()):
        registers = Registers(groups.get(key, ()))
        wrong = registers.judge(value, time, time, slack)
        if not wrong:
            continue
        last = registers.overwriter(None, time)
        kind = "phantom" if last is None or value is not None and value not in registers.values else \
            "resurrected" if last.value is None else "lost"
        findings.append(f"{kind}: {key} is {value!r} in the end: {wrong}")
    return findings


def check_counters(operations, values=None, is_regular=False):
    """What is wrong with counters that begin at 0 and are added to by 1: of each answer, and of the `values` that they have in the end. If
    they are regular, an answer counts all that was acknowledged before it was asked for."""
    findings = []
    for key, some in sorted(by_key(one for one in operations if one.kind == "add").items()):
        possible = sorted(one.begin for one in some if one.outcome != FAIL)
        sure = sorted(one.end for one in some if one.outcome == OK)
        for one in some:
            if one.outcome != OK:
                continue
            most = bisect.bisect_right(possible, one.end)
            if one.value > most:
                findings.append(f"{key}: {one}: only {most} were begun by then")
            least = bisect.bisect_left(sure, one.begin) + 1
            if is_regular and one.value < least:
                findings.append(f"{key}: {one}: {least - 1} were acknowledged before it")
        if values is None or key not in values:
            continue
        got = int(values.get(key) or 0)
        if not len(sure) <= got <= len(possible):
            findings.append(f"{'lost' if got < len(sure) else 'counted twice'}: {key} is {got} in the end, "
                            f"{len(sure)} were acknowledged, {len(possible) - len(sure)} are unknown")
    return findings
