# world.py - the pools of keys, values, numbers and times from which the random commands are made.
#
# May touch: its random generator. Must never know: sockets, replies, comparison.
# Invariants: everything comes from the one seeded generator, so that a seed gives the same commands again; keys are
# few, so that commands meet existing ones; absolute times are constants, which both servers must report exactly.
# Tests: tests/differential/selftest (the same seed sends the same bytes).
#
# SPDX-License-Identifier: BSD-3-Clause

import random

from safety import LCS_PREFIX

KEYS = [b"k:%d" % number for number in range(20)] + [
    b"{tag}:1", b"{tag}:2", b"a{tag}b", b"{}:1", b"{tag", b"}{", b"with space", b"", b"\x00\x01\xff\xfe",
    b"crlf\r\nkey", b"\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87", b"*star*", b"[class]", b"k?:0", b"back\\slash", b"\"quoted'",
    b"123", b"-1", b"K:0", b"l" * 300,
]
# Short values only: see safety.py.
LCS_KEYS = [LCS_PREFIX + b"%d" % number for number in range(6)]
# Hash tags, which keys get that have to be in one slot.
TAGS = (b"{north}", b"{south}", b"{west}")


def tagged(key, tag):
    """The key in the tag's slot; a key that has one of the tags stays as it is."""
    rest = key[len(LCS_PREFIX):] if key.startswith(LCS_PREFIX) else key
    if rest.startswith(TAGS):
        return key
    return LCS_PREFIX + tag + rest if rest is not key else tag + key


ALL_KEYS = frozenset(KEYS + LCS_KEYS + [tagged(key, tag) for key in KEYS + LCS_KEYS for tag in TAGS])

INTEGERS = [b"%d" % number for number in (
    0, 1, -1, 2, 3, 7, 8, 10, -10, 42, 63, 64, 65, 99, 100, 127, 128, -128, -129, 255, 256, 9999, 10000, 32767, 65535,
    2 ** 31 - 1, -2 ** 31, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 2 ** 62, 2 ** 63 - 1, 2 ** 63 - 2, -2 ** 63,
    -2 ** 63 + 1)]
NOT_INTEGERS = [
    b"9223372036854775808", b"-9223372036854775809", b"18446744073709551615", b"18446744073709551616", b"-0", b"+1",
    b"00", b"01", b"-01", b"007", b" 1", b"1 ", b"\t1", b"1\n", b"1.0", b"1e3", b"", b" ", b"-", b"+", b"abc", b"0x10",
    b"inf", b"-inf", b"nan", b"--1", b"1-", b"1\x00", b"\x00", b"\xff\xfe", b"1\r\n2", b"1,000", b"1_000", b"9" * 30,
    b"1" + b"0" * 200, b"(nil)", b"true",
]
FLOATS = [
    b"0", b"1", b"-1", b"0.1", b"-0.1", b"0.5", b"1.5", b"3.0e3", b"5.0e-5", b"1e3", b"1E3", b"1e-17", b"1e17",
    b"1e22",
    b"123456789.123456789", b"0.1234567890123456789", b"1e300", b"-1e300", b"1e308", b"1.7976931348623157e308",
    b"1e4000", b"-1e4000", b"1e4932", b"1e-4940", b"5e-324", b"2.5", b"10.00", b"-0.0", b"99999999999999999",
    b"3.14159265358979323846264338327950288", b".5", b"5.", b"+1.5", b"0x1p3", b"0x10", b"1e1000000",
]
NOT_FLOATS = [
    b"", b" 1", b"1 ", b"abc", b"inf", b"-inf", b"infinity", b"nan", b"-nan", b"1e", b"e5", b"1.2.3", b"1,5", b"--1",
    b"1\x00", b"\x00", b"1.5abc", b"0x", b"1" * 300, b"1." + b"3" * 300, b"1e99999999",
]
# Far from every clock that runs this test: 1970, 2001, and 2070 to the year that milliseconds in 63 bits end.
PAST_SECONDS = (1, 2, 1_000_000_000)
FUTURE_SECONDS = (3_200_000_000, 4_102_444_800, 4_102_444_801, 10_000_000_000, 253_402_300_799)

JUNK_WORDS = [
    b"", b"x", b"NX", b"XX", b"GT", b"LT", b"GET", b"EX", b"PX", b"EXAT", b"PXAT", b"KEEPTTL", b"PERSIST", b"REPLACE",
    b"ABSTTL", b"IDLETIME", b"FREQ", b"DB", b"MATCH", b"COUNT", b"TYPE", b"BYTE", b"BIT", b"SET", b"INCRBY",
    b"OVERFLOW", b"WRAP", b"SAT", b"FAIL", b"u8", b"i16", b"u64", b"i64", b"AND", b"NOT", b"IDX", b"LEN",
    b"MINMATCHLEN", b"WITHMATCHLEN", b"HELP", b"*", b"0", b"1", b"-1", b"\x00", b"a\r\nb", b"nosuchword", b"y" * 200,
]
TEXT = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-.,:;"
DATABASES = 16


class World:
    """One stream's source of choices; protocol: what its connections speak, 2 or 3."""

    def __init__(self, seed, protocol):
        self.random = random.Random(seed)
        self.protocol = protocol

    # -- choices ------------------------------------------------------------------------------------------------

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, pool):
        return pool[int(self.random.random() * len(pool))]

    def below(self, limit):
        """A number from 0 to limit - 1."""
        return int(self.random.random() * limit)

    def between(self, low, high):
        """A number from low to high, both included."""
        return low + self.below(high - low + 1)

    def weighted(self, rows):
        """The last member of one of the rows (weight, choice)."""
        point = self.random.random() * sum(weight for weight, _ in rows)
        for weight, choice in rows:
            point -= weight
            if point < 0:
                return choice
        return rows[-1][1]

    def shuffled(self, parts):
        """The parts (lists of words) in random order, as one list."""
        parts = list(parts)
        self.random.shuffle(parts)
        return [word for part in parts for word in part]

    # -- words --------------------------------------------------------------------------------------------------

    def word(self, word):
        """A command or option name, sometimes in other capitals."""
        if self.random.random() < 0.85:
            return word
        if self.chance(0.5):
            return word.lower()
        return bytes(byte ^ 0x20 if 65 <= byte <= 90 and self.chance(0.5) else byte for byte in word)

    def key(self):
        # The first keys much more often than the rest.
        if self.random.random() < 0.7:
            return KEYS[int(self.random.random() * 10)]
        return KEYS[int(self.random.random() * len(KEYS))]

    def keys(self, most=4):
        return [self.key() for _ in range(self.between(1, most))]

    def database(self):
        if self.chance(0.85):
            return b"%d" % self.pick((0, 1, 2, 9))
        return b"%d" % self.below(DATABASES)

    def text(self, length):
        return bytes(self.random.choices(TEXT, k=length))

    def binary(self, length):
        return self.random.randbytes(length)

    def value(self):
        point = self.random.random()
        if point < 0.25:
            return self.pick(INTEGERS)
        if point < 0.35:
            return b"%d" % self.between(-20000, 20000)
        if point < 0.42:
            return self.pick(FLOATS)
        if point < 0.47:
            return self.pick(NOT_INTEGERS)
        if point < 0.51:
            return b""
        if point < 0.72:
            return self.text(self.between(1, 40))
        if point < 0.80:
            # The border between the encodings of short and long strings.
            return self.text(self.between(42, 47))
        if point < 0.92:
            return self.binary(self.between(1, 64))
        if point < 0.999:
            return self.text(self.between(100, 2048))
        return self.binary(100_000)

    def integer(self):
        """Mostly what a server takes for a 64-bit integer."""
        point = self.random.random()
        if point < 0.5:
            return b"%d" % self.between(-100, 100)
        if point < 0.9:
            return self.pick(INTEGERS)
        return self.pick(NOT_INTEGERS)

    def small(self, low, high):
        """Mostly an integer of the range, rarely anything."""
        if self.random.random() < 0.93:
            return b"%d" % self.between(low, high)
        return self.integer()

    def float(self):
        point = self.random.random()
        if point < 0.3:
            return b"%.*f" % (self.below(12), self.random.uniform(-1000, 1000))
        if point < 0.85:
            return self.pick(FLOATS)
        return self.pick(NOT_FLOATS)

    def junk(self):
        point = self.random.random()
        if point < 0.4:
            return self.pick(JUNK_WORDS)
        if point < 0.6:
            return self.pick(NOT_INTEGERS)
        if point < 0.8:
            return self.pick(INTEGERS)
        return self.value() if point < 0.95 else self.key()

    # -- times --------------------------------------------------------------------------------------------------

    def relative_seconds(self):
        """Far away, and hardly ever the same twice: see safety.py."""
        if self.random.random() < 0.88:
            return b"%d" % self.between(100_000, 1_000_000_000)
        return self.pick((b"0", b"-1", b"-100000", b"9223372036854775807", b"-9223372036854775808",
                          b"9223372036854775",
                          b"18446744073709551616", b"abc", b"", b"1.5"))

    def relative_ms(self):
        if self.random.random() < 0.88:
            return b"%d" % self.between(100_000_000, 1_000_000_000_000)
        return self.pick((b"0", b"-1", b"-100000000", b"9223372036854775807", b"-9223372036854775808",
                          b"18446744073709551616", b"abc", b"", b"1.5"))

    def absolute_seconds(self):
        point = self.random.random()
        if point < 0.7:
            return b"%d" % self.pick(FUTURE_SECONDS)
        if point < 0.88:
            return b"%d" % self.pick(PAST_SECONDS)
        return self.pick((b"0", b"-1", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775",
                          b"9223372036854776", b"18446744073709551616", b"abc", b"", b"1.5"))

    def absolute_ms(self):
        point = self.random.random()
        if point < 0.7:
            return b"%d" % (1000 * self.pick(FUTURE_SECONDS))
        if point < 0.88:
            return b"%d" % (1000 * self.pick(PAST_SECONDS))
        return self.pick((b"0", b"-1", b"9223372036854775807", b"-9223372036854775808", b"18446744073709551616",
                          b"abc",
                          b"", b"1.5"))

    def time_option(self, names=(b"EX", b"PX", b"EXAT", b"PXAT")):
        """One option with its time, as a list."""
        name = self.pick(names)
        time = {b"EX": self.relative_seconds, b"PX": self.relative_ms,
                b"EXAT": self.absolute_seconds, b"PXAT": self.absolute_ms}[name]()
        return [self.word(name), time]
