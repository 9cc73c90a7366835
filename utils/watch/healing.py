# SPDX-License-Identifier: BSD-3-Clause
"""healing.py - when a dead node is to be revived: at once, and later and later if it dies again and again.

May touch: nothing; the time is told. Must never know: what reviving is.
Invariants: pure; between two tries the pause is PAUSES' next; CALM_S of life forget all tries.
Tests: tests/cluster/monitor_parts.py.
"""

PAUSE_MIN_S, PAUSE_MAX_S = 1, 60
CALM_S = 60


def pause_s(tries):
    """Before the next try, after so many."""
    return 0 if tries == 0 else min(PAUSE_MAX_S, PAUSE_MIN_S << min(tries - 1, 16))


class Healing:
    """Of one node."""

    def __init__(self):
        self.tries = 0
        self.next_at = None      # not before; None: it is not dead
        self.alive_since = None

    def note_alive(self, now):
        """It answers."""
        self.next_at = None
        if self.alive_since is None:
            self.alive_since = now
        if now - self.alive_since >= CALM_S:
            self.tries = 0

    def note_dead(self, now):
        """Whether it is to be revived now."""
        self.alive_since = None
        if self.next_at is None:
            self.next_at = now + pause_s(self.tries)
        return now >= self.next_at

    def note_neither(self):
        """It may be alive, or be meant to be dead."""
        self.alive_since = self.next_at = None

    def note_try(self):
        self.tries += 1
        self.next_at = None
