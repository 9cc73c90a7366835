# pair.py - two servers that get the same commands on the same connections, and the comparison of what they answer.
#
# May touch: sockets, through connection.py. Must never know: how commands are made, processes, printing.
# Invariants: connection n exists on both servers or on neither; a command is sent to both before the next one on
# another connection is sent to either, so that the order over all connections is the same on both; the first
# difference ends what is being done with the exception Difference.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import collections
import re
import time

import compare
import connection as wire
import resp
from command import Command, command_name
from world import DATABASES

BATCH = 100
# The connection that looks, and is never in a transaction.
INSPECTOR = 99
OK = b"+OK\r\n"
# What ends raw bytes, and its reply. Without a password only an unknown command is answered with words of its own.
END = resp.encode([b"ECHO", b"the end of what was sent"])
END_REPLY = b"$24\r\nthe end of what was sent\r\n"
END_WITHOUT_PASSWORD = resp.encode([b"THE-END"])
END_WITHOUT_PASSWORD_REPLY = b"-ERR unknown command 'THE-END', with args beginning with: \r\n"
RAW_TIMEOUT_S = 10
QUEUED = b"+QUEUED\r\n"
SETTLE_TIMEOUT_S = 20
# What every machine may be late by, besides what was measured.
SLACK_MS = 100


class Result:
    """A command and its raw replies, with what the comparison needs."""

    __slots__ = ("command", "args", "ours", "reference", "queue")

    def __init__(self, command, args, ours, reference, queue=()):
        self.command = command
        self.args = args
        self.ours = ours
        self.reference = reference
        self.queue = queue


class Difference(Exception):
    """The servers do not say the same. position: how many commands of the history came before."""

    def __init__(self, result, reason, position):
        super().__init__(reason)
        self.result = result
        self.reason = reason
        self.position = position

    def signature(self):
        """What makes it another difference than one that was shown before."""
        args = self.result.command.plain_args() or [b""]
        name = command_name(args)
        if name in (b"CLIENT", b"COMMAND", b"CONFIG", b"OBJECT", b"MEMORY", b"LATENCY", b"SLOWLOG", b"DEBUG", b"INFO"):
            name = b" ".join(args[:2]).upper()
        kinds = tuple((raw or b"?")[:1] if (raw or b"?")[:1] != b"-" else raw[:24]
                      for raw in (self.result.ours, self.result.reference))
        return (name, kinds, re.sub(r"\d+", "N", self.reason.split(":")[0])[:60])


class Side:
    """One of the two servers: its connections and registers. greeting: what the inspector says first (AUTH)."""

    def __init__(self, server, greeting=()):
        self.server = server
        self.greeting = greeting
        self.protocol = 2
        self.connections = {}
        self.registers = {}

    def address(self, number):
        """Host and port that this connection goes to."""
        return self.server.host, self.server.port

    def open(self, number):
        connection = self.connections.get(number)
        if connection is None:
            connection = self.connections[number] = wire.Connection(*self.address(number))
            requests = list(self.greeting) if number == INSPECTOR else []
            requests += [[b"HELLO", b"3"]] if self.protocol == 3 else []
            for args in requests:
                self.ask(connection, args)
            answer = resp.parse(self.ask(connection, [b"CLIENT", b"ID"]))
            connection.client_id = resp.integer(answer) or 0
        return connection

    def ask(self, connection, args):
        """One reply outside of the comparison, or an empty string where none came."""
        job = wire.Job(connection, resp.encode(args), reply_count=1)
        wire.exchange([job])
        return job.replies[0] if job.replies else b"_\r\n"

    def drop(self, number):
        connection = self.connections.pop(number, None)
        if connection:
            connection.close()

    def drop_all(self):
        for number in list(self.connections):
            self.drop(number)


def _first_difference(jobs):
    """Where the replies begin to differ."""
    for number, (ours, reference) in enumerate(zip(*(job.replies for job in jobs))):
        if ours != reference:
            return "reply %d is %s, of the reference %s" % (number, resp.show(ours, 200), resp.show(reference, 200))
    return "%d replies, of the reference %d" % tuple(len(job.replies) for job in jobs)


class Pair:
    """ours, reference: the sides. compared: how many replies were. history: the commands since reset()."""

    INSPECTOR = INSPECTOR
    # The connections that look: one to each node.
    INSPECTORS = (INSPECTOR,)
    DATABASES = DATABASES
    # What compare.Context says.
    is_ring = False

    def __init__(self, ours, reference, coverage, greeting=()):
        self.ours = self.make_side(ours, greeting)
        self.reference = Side(reference, greeting)
        self.sides = (self.ours, self.reference)
        self.coverage = coverage
        self.compared = 0
        self.accepted = collections.Counter()
        self.history = []
        self.queues = {}
        self.longest_exchange_s = 0
        self.settings = [{}, {}]
        self.changed_settings = set()
        self.started = None
        # Whether a connection was closed that the servers may still list.
        self.unsettled = False
        # Off while a history is played again: that is no coverage.
        self.watching = True

    @staticmethod
    def make_side(server, greeting):
        """The side of the server that is tested."""
        return Side(server, greeting)

    # -- state --------------------------------------------------------------------------------------------------

    def begin(self, seed):
        """Before an epoch: its seed, for what depends on nothing else."""

    def prepare(self, command):
        """The command as it is sent."""
        return command

    def describe(self):
        """What a reader of a report should know of the connections, or an empty text."""
        return ""

    def remember_settings(self):
        """What reset() sets changed directives back to."""
        for index, side in enumerate(self.sides):
            reply = resp.parse(side.ask(side.open(self.INSPECTOR), [b"CONFIG", b"GET", b"*"]))
            self.settings[index] = {resp.text(key): resp.text(value) for key, value in resp.pairs(reply) or ()}

    def reset(self, protocol=None):
        """Empty servers, new connections, directives as they were at the start; not compared."""
        for index, side in enumerate(self.sides):
            side.drop_all()
            side.registers.clear()
            if protocol:
                side.protocol = protocol
            connection = side.open(self.INSPECTOR)
            requests = [[b"CONFIG", b"SET", name, self.settings[index][name]] for name in sorted(self.changed_settings)
                        if name in self.settings[index]]
            for args in requests + [[b"CLIENT", b"UNPAUSE"], [b"FLUSHALL"]]:
                side.ask(connection, args)
        self.changed_settings.clear()
        self.unsettled = True
        self.history = []
        self.queues = {}
        self.longest_exchange_s = 0

    def close(self):
        for side in self.sides:
            side.drop_all()

    def drop(self, number):
        """Close the connection from this end, on both."""
        for side in self.sides:
            side.drop(number)
        self.queues.pop(number, None)
        self.unsettled = True

    def open_connections(self):
        return sorted(self.reference.connections)

    # -- commands -----------------------------------------------------------------------------------------------

    def run(self, commands, exact=False):
        """Send the commands in order and compare every reply; the results."""
        results = []
        for batch in self._batches(map(self.prepare, commands)):
            if self.unsettled and any(command.args[0].upper() == b"CLIENT" for command in batch):
                self.settle()
            exchanged = self._exchange(batch)
            for result in exchanged:
                self._judge(result, exact)
            if batch[-1].closes:
                self.expect_closed([batch[-1].connection])
            results += exchanged
        return results

    def run_uncompared(self, commands):
        """Send the commands to both; whatever they answer is right here."""
        return [result for batch in self._batches(map(self.prepare, commands)) for result in self._exchange(batch)]

    def _batches(self, commands):
        """Runs of commands that may be sent in one go."""
        batch = []
        stored = set()
        for command in commands:
            if batch and (command.connection != batch[0].connection or len(batch) == BATCH or batch[-1].closes or
                          stored.intersection(command.needs())):
                yield batch
                batch = []
                stored = set()
            batch.append(command)
            if command.store:
                stored.add(command.store)
        if batch:
            yield batch

    def _exchange(self, batch):
        number = batch[0].connection
        jobs = []
        for side in self.sides:
            connection = side.open(number)
            payload = b"".join([resp.encode(command.resolve(side)) for command in batch])
            jobs.append(wire.Job(connection, payload, reply_count=len(batch)))
        began = time.monotonic()
        wire.exchange(jobs)
        self.longest_exchange_s = max(self.longest_exchange_s, time.monotonic() - began)
        results = []
        for index, command in enumerate(batch):
            raw = [job.replies[index] if index < len(job.replies) else None for job in jobs]
            result = Result(command, command.plain_args(), raw[0], raw[1])
            self.history.append(command)
            results.append(result)
            self._follow(result)
            if command.store:
                for side, reply in zip(self.sides, raw):
                    side.registers[command.store] = resp.parse(reply)[1] if reply and reply[:1] == b"$" else None
            if None in raw:
                if raw[0] is None and raw[1] is None and jobs[0].problem == jobs[1].problem == "connection closed":
                    # Alike, but whoever sent the command did not expect it.
                    self.drop(number)
                raise Difference(result, "ours: %s, the reference: %s" % (jobs[0].problem, jobs[1].problem),
                                 len(self.history) - 1)
        return results

    def _follow(self, result):
        """Keep track of what the connection has queued, by the words of the reference."""
        number = result.command.connection
        name = command_name(result.args)
        queue = self.queues.get(number)
        if queue is None:
            if name == b"MULTI" and result.reference == OK:
                self.queues[number] = []
        elif result.reference == QUEUED:
            queue.append(result.args)
        elif name in (b"EXEC", b"DISCARD", b"RESET") and (result.reference or b"")[:5] != b"-ERR ":
            result.queue = self.queues.pop(number)
        if name == b"CONFIG" and len(result.args) > 3 and result.args[1].upper() == b"SET":
            self.changed_settings.update(name.lower() for name in result.args[2::2])

    def _slack_ms(self):
        # A time that was set in one exchange and read in another is off by no more than both of them took.
        return SLACK_MS + 2000 * self.longest_exchange_s

    def _judge(self, result, exact=False):
        self.compared += 1
        if self.watching:
            self._count(result)
        if result.ours == result.reference:
            return
        context = compare.Context(self._slack_ms(), exact, result.queue, self.accepted, self.is_ring)
        reason = compare.difference(result.args, result.ours, result.reference, context)
        if reason:
            self.differ(result, reason)

    def _count(self, result):
        self.coverage.note(result.args, result.reference[:1] not in (b"-", b"!"))
        if result.queue and result.reference[:1] == b"*":
            for args, reply in zip(result.queue, resp.parse(result.reference)[1] or ()):
                self.coverage.note(args, not resp.is_error(reply))

    def differ(self, result, reason):
        """Raise the difference where the history has this result's command."""
        for position in range(len(self.history) - 1, -1, -1):
            if self.history[position] is result.command:
                break
        else:
            position = len(self.history)
        raise Difference(result, reason, position)

    # -- commands whose replies come later, or not at all ---------------------------------------------------------

    def start(self, number, command):
        """Send a command and leave its reply for finish()."""
        command = self.prepare(command)
        for side in self.sides:
            connection = side.open(number)
            wire.exchange([wire.Job(connection, resp.encode(command.resolve(side)), reply_count=0)])
        self.history.append(command)
        self.started = command

    def finish(self, number):
        jobs = [wire.Job(side.open(number), b"", reply_count=1) for side in self.sides]
        wire.exchange(jobs)
        result = Result(self.started, self.started.plain_args(), *((job.replies or [None])[0] for job in jobs))
        if None in (result.ours, result.reference):
            self.differ(result, "ours: %s, the reference: %s" % (jobs[0].problem, jobs[1].problem))
        self._follow(result)
        self._judge(result)

    @staticmethod
    def now():
        return time.monotonic()

    def expect_silence(self, number, seconds, until=None):
        """No reply has come, and none comes for a moment; meaningless (and not judged) after the moment until."""
        deadline = self.now() + seconds
        for side in self.sides:
            connection = side.open(number)
            job = wire.Job(connection, b"", reply_count=1)
            wire.exchange([job], timeout_s=max(0.001, deadline - self.now()))
            if (job.replies or connection.ended) and not (until and self.now() > until):
                self.differ(Result(self.started, self.started.plain_args(), b"", b""),
                            "%s answered, although it was to wait: %r" % (side.server.label, job.replies))
            # A reply that came too late to be judged is put back for finish().
            connection.buffer[:0] = b"".join(job.replies)
        self.compared += 1

    def expect_closed(self, numbers):
        """Both servers close these connections without another byte."""
        for number in numbers:
            ended = wire.wait_for_end([side.open(number) for side in self.sides])
            self.compared += 1
            self.drop(number)
            if ended != [True, True]:
                self.differ(Result(Command([b"(end of connection %d)" % number]), [b"(end)"], b"", b""),
                            "closed by ours: %s, by the reference: %s" % tuple(ended))

    def wait_until(self, commands, reply):
        """Repeat the commands on each server by itself until the last one's reply is this; not compared."""
        commands = [self.prepare(command) for command in commands]
        for side in self.sides:
            deadline = self.now() + SETTLE_TIMEOUT_S
            connection = side.open(commands[0].connection)
            while True:
                for command in commands:
                    raw = side.ask(connection, command.resolve(side))
                if raw == reply:
                    break
                if self.now() > deadline:
                    self.differ(Result(commands[-1], commands[-1].plain_args(), raw, reply),
                                "%s has not come to answer %r" % (side.server.label, reply))
                time.sleep(0.001)
        self.history += commands
        for command in commands:
            self.coverage.note(command.plain_args(), self.watching)

    def settle(self):
        """Wait until each server has noticed which connections are gone."""
        self.unsettled = False
        inspectors = [side.open(self.INSPECTOR) for side in self.sides]
        for side, connection in zip(self.sides, inspectors):
            deadline = self.now() + SETTLE_TIMEOUT_S
            while True:
                listed = resp.text(resp.parse(side.ask(connection, [b"CLIENT", b"LIST"]))) or b""
                if len(listed.splitlines()) == len(side.connections):
                    break
                if self.now() > deadline:
                    command = Command([b"CLIENT", b"LIST"], self.INSPECTOR)
                    self.differ(Result(command, command.plain_args(), listed, b""),
                                "%s lists %d connections, there are %d" % (side.server.label, len(listed.splitlines()),
                                                                          len(side.connections)))
                time.sleep(0.001)

    def ask_ours(self, args):
        """What ours says alone, for what the reference cannot be asked; on a connection that CLIENT LIST then forgets."""
        self.compared += 1
        connection = wire.Connection(self.ours.server.host, self.ours.server.port)
        try:
            for greeting in self.ours.greeting:
                self.ours.ask(connection, greeting)
            return self.ours.ask(connection, args)
        finally:
            connection.close()
            self.unsettled = True

    # -- raw bytes ----------------------------------------------------------------------------------------------

    def send(self, number, payload):
        """Bytes that are answered later, or never."""
        for side in self.sides:
            wire.exchange([wire.Job(side.open(number), payload, reply_count=0)])

    def _raw(self, number, payload, label, last_reply, ends):
        """Everything that comes is the same, up to last_reply or the end; ends: (which of them is right,)."""
        jobs = [wire.Job(side.open(number), payload, last_reply=last_reply) for side in self.sides]
        wire.exchange(jobs, timeout_s=RAW_TIMEOUT_S)
        command = Command([label, payload], number)
        self.history.append(command)
        self.compared += max(1, max(len(job.replies) for job in jobs))
        raw = [b"".join(job.replies) + bytes(job.connection.buffer) for job in jobs]
        how = ["the last reply" if job.replies and job.replies[-1] == last_reply else
               "connection closed" if job.connection.ended else job.problem for job in jobs]
        if how[1] == "connection closed" or raw[0] != raw[1]:
            self.drop(number)
        if how[0] != how[1] or how[0] not in ends:
            self.differ(Result(command, [label], *raw), "ours ends with: %s, the reference with: %s" % tuple(how))
        if raw[0] != raw[1]:
            self.differ(Result(command, [label], *raw), "different bytes: " + _first_difference(jobs))

    def until_echo(self, number, payload, requests=()):
        """Any bytes, then an ECHO: everything that comes before its reply is the same. requests: what was sent."""
        self._raw(number, payload + END, b"(bytes, then ECHO)", END_REPLY, ("the last reply",))
        for args in requests:
            self.coverage.note(args, True)

    def until_unknown(self, number, payload):
        """The same where no password was given, so that ECHO is not answered."""
        self._raw(number, payload + END_WITHOUT_PASSWORD, b"(bytes, then THE-END)", END_WITHOUT_PASSWORD_REPLY,
                  ("the last reply",))

    def until_closed(self, number, payload, requests=()):
        """Any bytes: everything that comes before the server closes the connection is the same."""
        self._raw(number, payload, b"(bytes until the end)", None, ("connection closed",))
        for args in requests:
            self.coverage.note(args, True)

    def until_end_or_echo(self, number, payload):
        """Any bytes: everything that comes is the same, whether they end the connection or not."""
        self._raw(number, payload + END, b"(bytes, then ECHO)", END_REPLY, ("the last reply", "connection closed"))

    def compare_refusal(self):
        """One connection more: what it hears, without having said a word, until it is closed."""
        raw = []
        for side in self.sides:
            connection = wire.Connection(side.server.host, side.server.port)
            job = wire.Job(connection, b"")
            wire.exchange([job])
            raw.append(b"".join(job.replies) if connection.ended else None)
            connection.close()
        self.compared += 1
        if raw[0] != raw[1] or raw[1] is None:
            command = Command([b"(a new connection)"])
            self.differ(Result(command, [b"(a new connection)"], *raw), "a new connection is not refused alike")

    def compare_monitor(self, number, last):
        """The lines of a MONITOR on this connection up to the one that ends with last; times and addresses apart."""
        lines = []
        for side in self.sides:
            found = []
            connection = side.open(number)
            while not (found and found[-1].endswith(last)):
                job = wire.Job(connection, b"", reply_count=1)
                wire.exchange([job])
                if not job.replies:
                    break
                moment, _, rest = job.replies[0].rstrip(b"\r\n").partition(b" [")
                database, _, words = rest.partition(b" ")
                address, _, words = words.partition(b"] ")
                well_formed = moment[:1] == b"+" and moment[1:].replace(b".", b"", 1).isdigit() and b":" in address
                found.append(b"[%b ADDRESS] %b" % (database, words) if well_formed else job.replies[0])
            lines.append(found)
        self.compared += len(lines[1])
        if lines[0] != lines[1]:
            command = Command([b"MONITOR"], number)
            self.differ(Result(command, [b"MONITOR"], b"\n".join(lines[0]), b"\n".join(lines[1])),
                        "different lines of MONITOR")
