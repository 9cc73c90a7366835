# SPDX-License-Identifier: BSD-3-Clause
"""traffic.py - clients that write, delete, read and count keys of a real cluster and keep the history; whether the cluster has stood it.

May touch: the nodes' ports. Must never know: what is done to the nodes meanwhile, how they work.
Invariants: every value is written once; no request is repeated; what a client does not know to have happened is UNKNOWN, and what the
server calls certainly not executed is FAIL; any other error is a finding.
Tests: history_parts.py has those of the judge.
"""

import random
import socket
import threading
import time

import harness
import history
from harness import Failure
from history import FAIL, OK, UNKNOWN, Operation

CLIENTS = 8
REGISTERS, COUNTERS = 120, 30
# A client that waits longer for an answer goes to another node. Nodes wait for up to 4 s for somebody to execute a command.
ANSWER_SECONDS_MAX = 7
SIDES_SECONDS = 0.05  # writes on two sides of a cut that are closer may be ordered either way
PACE_SECONDS = 0.004
# Errors that say that nothing was executed, and that nobody knows.
CERTAINLY_NOT, PERHAPS = ("NOQUORUM", "CLUSTERDOWN", "LOADING", "BUSY"), ("INDETERMINATE",)
SHOWN_FINDINGS = 12
CONVERGED_SECONDS_MAX = 30
REFUSED_SECONDS_MAX = 2


class Client(threading.Thread):
    """One that asks one node as long as that answers, then the next one of `nodes`."""

    def __init__(self, traffic, number, nodes):
        super().__init__(daemon=True)
        self.traffic, self.number, self.nodes = traffic, number, nodes
        self.at, self.resp = number % len(nodes), None
        self.chance = random.Random(f"{traffic.prefix}:{number}")
        self.operations, self.errors, self.failure = [], {}, None

    def connect(self):
        self.resp = self.nodes[self.at].connect()
        self.resp.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.resp.socket.settimeout(ANSWER_SECONDS_MAX)

    def leave(self):
        if self.resp is not None:
            self.resp.close()
        self.resp, self.at = None, (self.at + 1) % len(self.nodes)

    def choose(self, number):
        """What to do next: kind, key, value and words."""
        kind = self.chance.choices(("write", "delete", "read", "add"), self.traffic.weights)[0]
        if kind == "add":
            key = f"{self.traffic.prefix}:counter:{self.chance.randrange(COUNTERS)}"
            return kind, key, None, ("INCR", key)
        key = f"{self.traffic.prefix}:register:{self.chance.randrange(REGISTERS)}"
        if kind == "write":
            value = b"%d.%d" % (self.number, number)
            return kind, key, value, ("SET", key, value)
        return ("write", key, None, ("DEL", key)) if kind == "delete" else (kind, key, None, ("GET", key))

    def outcome_of(self, error):
        word = error.split(" ", 1)[0]
        self.errors[word] = self.errors.get(word, 0) + 1
        if word not in self.traffic.refusals + PERHAPS:
            raise Failure(f"an answer that has no place here: {error}")
        return FAIL if word in self.traffic.refusals else UNKNOWN

    def request(self, number):
        kind, key, value, words = self.choose(number)
        node, outcome = self.nodes[self.at].number, OK
        begin = time.monotonic()
        try:
            got = self.resp(*words)
        except harness.RespError as error:
            outcome = self.outcome_of(str(error))
        except (OSError, Failure):
            outcome = UNKNOWN
            self.errors["no answer"] = self.errors.get("no answer", 0) + 1
            self.leave()
        end = time.monotonic()
        if outcome == OK and words[0] == "DEL" and got == 0:
            kind = "read"  # nothing was there: nothing was deleted, and on the other side of a cut it may be there
        elif outcome == OK and kind in ("read", "add"):
            value = got
        if outcome == OK or kind != "read":
            self.operations.append(Operation(kind, key, value, begin, end, outcome, self.number, node))
        if outcome == FAIL:
            self.traffic.ends.wait(0.02)

    def run(self):
        number = 0
        try:
            while not self.traffic.ends.wait(PACE_SECONDS):
                number += 1
                try:
                    if self.resp is None:
                        self.connect()
                except OSError:
                    self.leave()
                    self.traffic.ends.wait(0.02)
                    continue
                self.request(number)
        except Exception as failure:  # whatever it is, it is a finding
            self.failure = failure


class Traffic:
    """Clients of some nodes, as long as the `with` lasts; then what they have seen. `refusals` are more errors that mean "not done"."""

    def __init__(self, prefix, nodes, weights=(40, 12, 33, 15), refusals=()):
        self.refusals = CERTAINLY_NOT + tuple(refusals)
        self.prefix, self.nodes, self.weights = prefix, nodes, weights
        self.ends = threading.Event()
        self.clients = [Client(self, number, nodes) for number in range(CLIENTS)]

    def __enter__(self):
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, kind, value, trace):
        self.ends.set()
        for client in self.clients:
            client.join(ANSWER_SECONDS_MAX + 2)
        return False

    @property
    def operations(self):
        return [one for client in self.clients for one in client.operations]

    def count(self, outcome=None):
        return sum(outcome in (None, one.outcome) for one in self.operations)

    def errors(self):
        """How many of each kind."""
        found = {}
        for client in self.clients:
            for word, count in client.errors.items():
                found[word] = found.get(word, 0) + count
        return found

    def summary(self):
        return (f"{self.count()} operations, {self.count(FAIL)} certainly not done, {self.count(UNKNOWN)} unknown" +
                "".join(f", {count} x {word}" for word, count in sorted(self.errors().items())))

    def keys(self):
        return sorted({one.key for one in self.operations})

    def check(self, nodes, is_regular):
        """Raises a Failure that says what is wrong, whichever of these nodes is asked. To be called when all agree."""
        findings = [f"client {client.number} has ended: {client.failure!r}" for client in self.clients if client.failure]
        operations, keys = self.operations, self.keys()
        if is_regular:
            findings += history.check_registers(operations)
        findings += history.check_counters(operations, is_regular=is_regular)
        for node in nodes:
            values = values_of(node, keys)
            for key in [key for key in keys if isinstance(values[key], harness.RespError)]:
                findings.append(f"node {node.number}: {key}: {values.pop(key)}")
            registers = {key: value for key, value in values.items() if ":register:" in key}
            found = history.check_end(operations, registers, time.monotonic(), 0 if is_regular else SIDES_SECONDS)
            found += history.check_counters(operations, {key: value for key, value in values.items() if ":counter:" in key})
            findings += [f"node {node.number}: {text}" for text in found]
        if findings:
            raise Failure(f"{len(findings)} findings, after {self.summary()}:\n" + "\n".join(findings[:SHOWN_FINDINGS]))

    def values(self, node):
        return values_of(node, self.keys())


def encoded(word):
    return word if isinstance(word, bytes) else str(word).encode()


def ask(node, commands):
    """The replies to all of them, sent at once; an error is a reply, too."""
    resp, replies = node.connect(), []
    try:
        for begin in range(0, len(commands), 1000):
            some = commands[begin:begin + 1000]
            resp.socket.sendall(b"".join(
                b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in map(encoded, words))
                for words in some))
            for _ in some:
                try:
                    replies.append(resp.reply())
                except harness.RespError as error:
                    replies.append(error)
    finally:
        resp.close()
    return replies


def values_of(node, keys):
    """What a node has. On a busy machine it may be passed over at any moment, and refuse: then it is asked again for a while."""
    values, end = {}, time.monotonic() + REFUSED_SECONDS_MAX
    while True:
        values.update(zip(keys, ask(node, [("GET", key) for key in keys])))
        keys = [key for key in keys if isinstance(values[key], harness.RespError) and str(values[key]).startswith(CERTAINLY_NOT)]
        if not keys or time.monotonic() > end:
            return values
        time.sleep(0.01)


def say_that_they_agree(nodes):
    """Whether each of them says that nothing is missing anywhere."""
    try:
        return all(node.info("cluster").get("cluster_agrees") == "1" for node in nodes)
    except (OSError, Failure, harness.RespError):
        return False


def await_agreement(nodes, seconds=harness.DEADLINE_SECONDS):
    harness.eventually(lambda: say_that_they_agree(nodes), "all nodes say that they agree", seconds)


def differing(nodes, slots, copies):
    """Slots whose copies are not equal, by the nodes' own digests, with what each says; or that too few hold."""
    found = {}
    for node in nodes:
        for slot, reply in zip(slots, ask(node, [("KV.DIGEST", slot) for slot in slots])):
            if isinstance(reply, harness.RespError):
                found.setdefault(slot, []).append((node.number, str(reply)))
                continue
            fields = dict(zip(reply[::2], reply[1::2]))
            if fields[b"held"]:
                found.setdefault(slot, []).append((node.number, fields[b"digest"].decode()))
    return {slot: some for slot, some in found.items() if len(some) != copies or len({digest for _, digest in some}) != 1}


def expect_converged(nodes, keys, copies=3):
    """All home copies of all these keys become equal."""
    slots = sorted(set(ask(nodes[0], [("CLUSTER", "KEYSLOT", key) for key in keys])))
    left = {}

    def is_same():
        left.clear()
        left.update(differing(nodes, slots, copies))
        return not left

    try:
        harness.eventually(is_same, "all copies are equal", CONVERGED_SECONDS_MAX)
    except Failure as failure:
        raise Failure(f"{failure}; {len(left)} slots differ: {dict(list(left.items())[:4])}") from None
