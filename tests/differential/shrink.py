# shrink.py - from a history that ends in a difference to the few commands that are needed for it.
#
# May touch: the pair of servers, which it empties again and again. Must never know: printing, how commands are made.
# Invariants: it ends within its time; what it returns has shown the same difference when it was played last; coverage
# and the history of the pair are not changed by it.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import time

from pair import Difference
from world import ALL_KEYS

TIME_LIMIT_S = 8
# Commands that change what others mean, whatever their keys.
GENERAL = {b"SELECT", b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"UNWATCH", b"SWAPDB", b"FLUSHALL", b"FLUSHDB",
           b"HELLO",
           b"CONFIG", b"RESET"}


def keys_of(commands):
    """The keys of the pools that these commands name."""
    return {word for command in commands for word in command.plain_args()[1:] if word in ALL_KEYS}


def related(history, keys, general=True):
    """The commands of the history that name one of the keys; with general ones, those that concern all keys."""
    return [command for command in history
            if keys.intersection(command.plain_args()[1:]) or
            general and command.plain_args() and command.plain_args()[0].upper() in GENERAL]


def _replay(pair, commands, exact):
    """The difference that these commands show on empty servers, or None."""
    pair.reset(pair.reference.protocol)
    try:
        pair.run(commands, exact=exact)
    except Difference as difference:
        return difference
    return None


def shrink(pair, history, difference, time_limit_s=TIME_LIMIT_S):
    """A short list of commands that ends in the same difference, and the difference; (None, None) without one."""
    if not history or any(command.args[0][:1] == b"(" for command in history[-1:]):
        # Raw bytes cannot be played as commands.
        return None, None
    deadline = time.monotonic() + time_limit_s
    signature = difference.signature()
    found = None
    pair.watching = False
    compared = pair.compared
    try:
        playable = [command for command in history if command.plain_args()[0][:1] != b"("]
        last = playable[-1]
        keys = keys_of([last] + _queued_before(playable))
        for candidate in (related(playable[:-1], keys) + [last], playable):
            seen = _replay(pair, candidate, False)
            if seen and seen.signature() == signature:
                found = candidate[:seen.position + 1], seen
                break
        if not found:
            return None, None
        commands, seen = found
        size = max(1, len(commands) // 2)
        while time.monotonic() < deadline:
            start, removed = 0, False
            while start < len(commands) - 1 and time.monotonic() < deadline:
                candidate = commands[:start] + commands[min(start + size, len(commands) - 1):]
                attempt = _replay(pair, candidate, False)
                if attempt and attempt.signature() == signature:
                    commands, seen, removed = candidate[:attempt.position + 1], attempt, True
                else:
                    start += size
            if size == 1 and not removed:
                break
            size = max(1, size // 2)
        return commands, seen
    finally:
        pair.watching = True
        pair.compared = compared


def _queued_before(commands):
    """What the transaction had queued that the last command ends."""
    last = commands[-1]
    if last.plain_args()[0].upper() != b"EXEC":
        return []
    queued = []
    for command in reversed(commands[:-1]):
        if command.connection == last.connection:
            if command.plain_args()[0].upper() == b"MULTI":
                break
            queued.append(command)
    return queued
