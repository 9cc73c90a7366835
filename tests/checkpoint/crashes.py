# SPDX-License-Identifier: BSD-3-Clause
"""crashes.py - kill -9 at random moments of checkpoints under writes: what comes back is the state of one moment.

One client writes: each command sets a key to a value that tells its number, and with it the key `last` to that number. So a
checkpoint that is of one moment holds exactly what the commands up to the number in `last` had left, to the byte.
That number must not be lower than what was acknowledged when the last completed checkpoint began.

May touch: servers. Must never know: how a checkpoint looks inside.
Tests: it is one of tests/checkpoint/run.
"""

import bisect
import signal
import threading
import time

from stage import Failure, eventually, expect, expect_equal, fill_many, test

MANY, MANY_SIZE = 60_000, 60
SOME, HUGE = 2000, 3
BATCH = 40
ROUNDS, NIGHTLY_ROUNDS = 5, 50


def value_of(number, key):
    """What command `number` writes: told by its number alone."""
    if key.startswith(b"huge"):
        size = 2_000_000 + number % 1000
    elif number % 300 == 0:
        size = 200_000
    else:
        size = number * 2654435761 % 3001 if number % 10 == 0 else number * 40503 % 120
    text = b"%d of %s;" % (number, key)
    return (text * (size // len(text) + 1))[:max(size, len(text))]


def bulk(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def receive(connection, size):
    data = bytearray()
    while len(data) < size:
        part = connection.recv(1 << 20)
        if not part:
            raise ConnectionError("the server is gone")
        data += part
    return bytes(data)


class Writer(threading.Thread):
    """Writes until the server is gone; `written` has the key of each command from `first` on."""

    def __init__(self, server, random, first):
        super().__init__(daemon=True)
        self.connection, self.random, self.first = server.connection(), random, first
        self.written, self.acknowledged, self.problem = [], first - 1, None

    def next_key(self, number):
        if number % 1500 == 0:
            return b"huge:%d" % self.random.randrange(HUGE)
        if self.random.random() < 0.3:
            return b"some:%d" % self.random.randrange(SOME)
        return b"many:%d" % self.random.randrange(MANY)

    def run(self):
        number = self.first
        try:
            while True:
                commands = []
                for _ in range(BATCH):
                    key = self.next_key(number)
                    self.written.append(key)
                    commands.append(bulk(b"MSET", key, value_of(number, key), b"last", b"%d" % number))
                    number += 1
                self.connection.sendall(b"".join(commands))
                answer = receive(self.connection, 5 * BATCH)
                if answer != b"+OK\r\n" * BATCH:
                    self.problem = f"an answer to MSET: {answer[:200]!r}"
                    return
                self.acknowledged = number - 1
        except OSError:
            pass
        finally:
            self.connection.close()


def all_values(server, keys):
    """{key: value} of those that are there."""
    found = {}
    with server.connection() as connection:
        for first in range(0, len(keys), 5000):
            part = keys[first:first + 5000]
            connection.sendall(bulk(b"MGET", *part))
            reader = connection.makefile("rb", 1 << 20)
            expect_equal(reader.readline(), b"*%d\r\n" % len(part), "the answer to MGET")
            for key in part:
                size = int(reader.readline()[1:])
                if size >= 0:
                    found[key] = reader.read(size + 2)[:-2]
    return found


class History:
    """All that was written and may be there: for each key the numbers of its commands, in order."""

    def __init__(self):
        self.numbers, self.last = {}, 0

    def add(self, writer):
        for number, key in enumerate(writer.written, writer.first):
            self.numbers.setdefault(key, []).append(number)

    def go_back_to(self, last):
        """What came behind is not there any more."""
        self.last = last
        for key, numbers in list(self.numbers.items()):
            del numbers[bisect.bisect_right(numbers, last):]
            if not numbers:
                del self.numbers[key]

    def expected(self, key):
        if key in self.numbers:
            return value_of(self.numbers[key][-1], key)
        if key.startswith(b"many:"):
            return (key[5:] + b".").ljust(MANY_SIZE, b"x")
        return None


def check_state(server, history, floor):
    """The state is that of one moment, and no older than `floor`."""
    last = int(server.client().get("last") or 0)
    expect(last >= floor, f"the state is of command {last}; a completed checkpoint had {floor}")
    history.go_back_to(last)
    keys = ([b"many:%d" % i for i in range(MANY)] + [b"some:%d" % i for i in range(SOME)] + [b"huge:%d" % i for i in range(HUGE)])
    found = all_values(server, keys)
    wrong = [key for key in keys if found.get(key) != history.expected(key)]
    expect(not wrong, f"{len(wrong)} keys are not as command {last} left them: " +
           ", ".join(f"{key}: {found.get(key, b'')[:40]!r}, not {(history.expected(key) or b'')[:40]!r}" for key in wrong[:5]))
    expect_equal(server.client().dbsize(), len(found) + (last > 0), "DBSIZE")


def save_and_kill(world, server, history):
    """Some checkpoints to their end, and a kill within one; what must at least be there."""
    writer = Writer(server, world.random, history.last + 1)
    writer.start()
    floor = history.last
    duration_s = 0.2
    for _ in range(world.random.randrange(3)):
        before, began = writer.acknowledged, time.monotonic()
        expect(server.bgsave(), f"BGSAVE fails:\n{server.log()}")
        floor, duration_s = before, time.monotonic() - began
    server.client().bgsave()
    # Somewhere within it, or shortly behind its end: the moment is what this test varies.
    time.sleep(world.random.random() * duration_s * 1.2)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    writer.join()
    if writer.problem:
        raise Failure(writer.problem)
    expect(writer.written, "nothing was written")
    history.add(writer)
    return floor


@test
def after_a_kill_during_checkpoints_the_state_is_that_of_one_moment(world):
    folder, history = world.new_folder(), History()
    server = world.start(folder)
    fill_many(server, MANY, MANY_SIZE)
    server.client().save()
    incarnations, interrupted, rounds = [], 0, 0
    wanted = NIGHTLY_ROUNDS if world.options.nightly else ROUNDS
    # Most kills hit a checkpoint; where chance would have it that none did, there are more of them.
    while rounds < wanted or (interrupted == 0 and rounds < 5 * wanted):
        rounds += 1
        floor = save_and_kill(world, server, history)
        interrupted += (folder / "dump.rdb.temporary").exists()
        # Between the two changes of names the newest one is not there; the other one then is.
        paths = [path for path in (folder / "dump.rdb", folder / "dump.rdb.previous") if path.exists()]
        expect(paths, "no checkpoint is there")
        incarnations += [world.expect_valid(path)["writer"]["incarnation"] for path in paths]
        server = world.start(folder)
        expect("damaged" not in server.log(), server.log())
        expect(not (folder / "dump.rdb.temporary").exists(), "what was not finished is left behind")
        check_state(server, history, floor)
    expect(history.last > 0, "no checkpoint has any of what was written")
    expect(max(incarnations) > 1, f"incarnations {incarnations}")
    expect(interrupted > 0, f"none of {rounds} kills hit a checkpoint")


@test
def a_save_in_the_foreground_has_all_that_was_acknowledged_before(world):
    folder, history = world.new_folder(), History()
    server = world.start(folder)
    fill_many(server, MANY, MANY_SIZE)
    writer = Writer(server, world.random, 1)
    writer.start()
    eventually(lambda: writer.acknowledged > 500, "writes are acknowledged")
    floor = writer.acknowledged
    server.client().save()
    server.kill()
    writer.join()
    history.add(writer)
    check_state(world.start(folder), history, floor)
