# safety.py - which commands have one right reply on both servers, however the clock and the memory stand.
#
# May touch: nothing. Must never know: sockets, comparison.
# Invariant: a command that is_safe() lets through neither expires a key while the test runs, nor waits, nor stops the
# server, nor allocates more than a few MB; so two correct servers answer it alike. Generators may make anything and
# need not think of this; what is refused here is tested by scenes on purpose, or not at all.
# Tests: tests/differential/selftest; a stream without this filter differs between two equal servers.
#
# SPDX-License-Identifier: BSD-3-Clause

from command import command_name

# A key that is given less time than this might expire during the test.
SHORTEST_SECONDS = 100_000
# Absolute times between these are too near to now, 2017 to 2069; relative ones end between these until 2038.
NEAR_SECONDS = (1_500_000_000, 3_150_000_000)
# The largest offset in bytes that is written to; a larger one must be so large that it is an error.
LARGEST_OFFSET_BYTES = 300_000
TOO_LARGE_BYTES = 512 * 1024 * 1024
TOO_LARGE_BITS = 8 * TOO_LARGE_BYTES
# Relative times that many commands share: a second EXPIRE ... GT with one of them would depend on the millisecond.
SHARED_NUMBERS = {2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32}
MOST_SECONDS = 2_000_000_000
OVERFLOW_SECONDS = 9_200_000_000_000_000

# Keys of LCS hold short values only: it takes time and memory in the product of both lengths.
LCS_PREFIX = b"lcs:"

NEVER = {b"MONITOR", b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"SYNC", b"PSYNC",
         b"BGREWRITEAOF",
         b"REPLICAOF", b"SLAVEOF", b"FAILOVER", b"MIGRATE"}


def number(argument):
    """The argument as a number if any server could take it for one, else None."""
    if not isinstance(argument, bytes) or len(argument) > 40:
        return None
    try:
        return int(argument.strip(b"\x00 \r\n\t").lstrip(b"#") or b"x")
    except ValueError:
        return None


def _relative_is_safe(argument, unit_ms):
    value = number(argument)
    if value is None or value <= 0:
        return True
    if value in SHARED_NUMBERS:
        return False
    seconds = value * unit_ms / 1000
    return SHORTEST_SECONDS <= seconds <= MOST_SECONDS or seconds > OVERFLOW_SECONDS


def _absolute_is_safe(argument, unit_ms):
    value = number(argument)
    if value is None:
        return True
    seconds = value * unit_ms / 1000
    return not NEAR_SECONDS[0] <= seconds <= NEAR_SECONDS[1]


def _expire(args):
    return len(args) < 3 or _relative_is_safe(args[2], 1000)


def _pexpire(args):
    return len(args) < 3 or _relative_is_safe(args[2], 1)


def _expireat(args):
    return len(args) < 3 or _absolute_is_safe(args[2], 1000)


def _pexpireat(args):
    return len(args) < 3 or _absolute_is_safe(args[2], 1)


_TIME_OPTIONS = {
    b"EX": lambda argument: _relative_is_safe(argument, 1000),
    b"PX": lambda argument: _relative_is_safe(argument, 1),
    b"EXAT": lambda argument: _absolute_is_safe(argument, 1000),
    b"PXAT": lambda argument: _absolute_is_safe(argument, 1),
}


def _time_options(args):
    for position in range(1, len(args) - 1):
        check = isinstance(args[position], bytes) and _TIME_OPTIONS.get(args[position].upper())
        if check and not check(args[position + 1]):
            return False
    return True


def _set(args):
    # A key that is born expired counts in DBSIZE until it is reclaimed, sooner on the one server than on the other.
    for position in range(3, len(args) - 1):
        unit_ms = isinstance(args[position], bytes) and {b"EXAT": 1000, b"PXAT": 1}.get(args[position].upper())
        moment = number(args[position + 1])
        if unit_ms and moment is not None and 0 < moment * unit_ms / 1000 < NEAR_SECONDS[0]:
            return False
    return _time_options(args)


def _restore(args):
    if len(args) < 3:
        return True
    # The last one of several ABSTTL counts, so both readings have to be safe.
    absolute = any(isinstance(argument, bytes) and argument.upper() == b"ABSTTL" for argument in args)
    return _absolute_is_safe(args[2], 1) if absolute else _relative_is_safe(args[2], 1)


def _setrange(args):
    return all(value is None or value <= LARGEST_OFFSET_BYTES or value > TOO_LARGE_BYTES
               for value in map(number, args[2:3]))


def _setbit(args):
    return all(value is None or value <= 8 * LARGEST_OFFSET_BYTES or value >= TOO_LARGE_BITS
               for value in map(number, args[2:3]))


def _bitfield(args):
    for position in range(2, len(args) - 2):
        word = args[position].upper() if isinstance(args[position], bytes) else b""
        if word not in (b"SET", b"INCRBY"):
            continue
        offset = number(args[position + 2])
        width = number(args[position + 1][1:]) if isinstance(args[position + 1], bytes) else None
        if offset is None or width is None:
            continue
        if isinstance(args[position + 2], bytes) and args[position + 2].startswith(b"#"):
            offset *= width
        if 8 * LARGEST_OFFSET_BYTES < offset + width and offset < TOO_LARGE_BITS:
            return False
    return True


def _lcs(args):
    return all(not isinstance(key, bytes) or key.startswith(LCS_PREFIX) for key in args[1:3])


def _wait(args):
    if len(args) != 3:
        return True
    replicas, timeout_ms = number(args[1]), number(args[2])
    return replicas is None or timeout_ms is None or replicas <= 0 or timeout_ms < 0 or 0 < timeout_ms <= 20


def _shutdown(args):
    words = {argument.upper() for argument in args[1:] if isinstance(argument, bytes)}
    return b"ABORT" in words or words >= {b"SAVE", b"NOSAVE"} or bool(words - {b"SAVE", b"NOSAVE", b"NOW", b"FORCE"})


def _save(args):
    # A scene saves, and waits for the end of it: the stream only may where it is an error.
    return len(args) > 1


def _bgsave(args):
    return len(args) > 2 or len(args) == 2 and isinstance(args[1], bytes) and args[1].upper() != b"SCHEDULE"


def _client(args):
    # Scenes pause, kill and silence connections: the stream only may where it is an error.
    sub = args[1].upper() if len(args) > 1 and isinstance(args[1], bytes) else b""
    if sub == b"PAUSE":
        return len(args) < 3 or number(args[2]) is None or number(args[2]) < 0 or number(args[2]) > 2 ** 62
    if sub == b"REPLY":
        return len(args) != 3 or args[2].upper() not in (b"OFF", b"SKIP")
    return True


def _debug(args):
    sub = args[1].upper() if len(args) > 1 and isinstance(args[1], bytes) else b""
    return sub != b"SLEEP" or len(args) != 3 or args[2] in (b"0", b"0.0")


def _keys(args):
    # Matching takes time in the power of the number of stars.
    return all(not isinstance(argument, bytes) or argument.count(b"*") <= 4 for argument in args[1:])


_CHECKS = {
    b"EXPIRE": _expire, b"PEXPIRE": _pexpire, b"EXPIREAT": _expireat, b"PEXPIREAT": _pexpireat,
    b"SETEX": _expire, b"PSETEX": _pexpire, b"SET": _set, b"GETEX": _time_options, b"RESTORE": _restore,
    b"SETRANGE": _setrange, b"SETBIT": _setbit, b"BITFIELD": _bitfield, b"LCS": _lcs, b"WAIT": _wait,
    b"SHUTDOWN": _shutdown, b"SAVE": _save, b"BGSAVE": _bgsave, b"CLIENT": _client, b"DEBUG": _debug, b"KEYS": _keys, b"SCAN": _keys,
}


def is_safe(args):
    """Whether the command with these arguments (bytes or placeholders) may be sent in a stream."""
    if not args or not isinstance(args[0], bytes):
        return False
    name = command_name(args)
    if name in NEVER:
        return False
    check = _CHECKS.get(name)
    return check is None or check(args)
