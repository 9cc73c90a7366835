# report.py - what a difference looks like to the person who has to find its cause.
#
# May touch: standard output. Must never know: sockets, how commands are made.
# Invariant: the same kind of difference is shown in full once and then only counted.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import resp
import shrink

HISTORY_SHOWN = 30
SHOWN_IN_FULL = 30


class Report:
    """Counts differences by their signature; show() prints a new one."""

    def __init__(self, may_shrink=True):
        self.counts = {}
        self.may_shrink = may_shrink

    def total(self):
        return sum(self.counts.values())

    def note(self, pair, difference, where):
        """where: the options that play the epoch again."""
        signature = difference.signature()
        self.counts[signature] = self.counts.get(signature, 0) + 1
        if self.counts[signature] > 1 or len(self.counts) > SHOWN_IN_FULL:
            return
        history = pair.history[:difference.position + 1]
        print("\nDIFFERENCE %d, play it again with: %s" % (len(self.counts), where))
        _show_result(difference)
        if pair.describe():
            print("  " + pair.describe())
        _show_history(history)
        if self.may_shrink:
            commands, seen = shrink.shrink(pair, history, difference)
            if commands:
                print("  needed, on empty servers (%d of %d commands):" % (len(commands), len(history)))
                for command in commands[-HISTORY_SHOWN:]:
                    print("    " + command.show())
                if seen.result.ours != difference.result.ours or seen.result.reference != difference.result.reference:
                    print("  there the replies are:")
                    _show_result(seen)
            else:
                print("  not seen when the commands were played again on empty servers")
        print(flush=True)

    def summary(self):
        lines = []
        for (name, kinds, reason), count in sorted(self.counts.items(), key=lambda row: -row[1]):
            lines.append("  %6d  %s: %s (ours %s, reference %s)" % (
                count, resp.show(name, 40), reason, resp.show(kinds[0], 40), resp.show(kinds[1], 40)))
        return "\n".join(lines)


def _show_result(difference):
    result = difference.result
    print("  command:   %s" % result.command.show())
    print("  ours:      %s" % ("nothing" if result.ours is None else resp.show(result.ours, 1500)))
    print("  reference: %s" % ("nothing" if result.reference is None else resp.show(result.reference, 1500)))
    print("  because:   %s" % difference.reason[:3000])


def _show_history(history):
    if len(history) < 2:
        return
    keys = shrink.keys_of([history[-1]])
    before = shrink.related(history[:-1], keys, general=False) if keys else history[:-1]
    print("  before it, %s:" % ("of the same keys" if keys else "of all"))
    for command in before[-HISTORY_SHOWN:]:
        print("    " + command.show())
