# SPDX-License-Identifier: BSD-3-Clause
"""screen.py - the text of one screen: a heading, a table with a row for each node, what has happened lately.

May touch: nothing. Must never know: where the rows come from.
Invariants: pure; what is not known is shown as "-"; no line is wider, and no screen higher, than asked for.
Tests: tests/cluster/monitor_parts.py.
"""

import dataclasses

GAP = "  "
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
# Names of columns, and whether they are numbers, which stand at the right.
COLUMNS = (("node", True), ("address", False), ("zone", False), ("state", False), ("since", True), ("keys", True),
           ("ops/s", True), ("hints", True), ("lag", True), ("", False))


@dataclasses.dataclass
class Row:
    """One node. None: not known."""

    number: int
    address: str
    zone: str = None
    state: str = ""
    since_s: float = 0
    is_since_known: bool = True  # False: it was so already when the watching began
    keys: int = None
    operations_per_s: int = None
    hints: int = None
    lag: tuple = None            # bytes, ms
    note: str = ""


def duration_text(seconds):
    seconds = int(seconds)
    if seconds < 2 * MINUTE_S:
        return f"{seconds} s"
    if seconds < 2 * HOUR_S:
        return f"{seconds // MINUTE_S} min"
    if seconds < 2 * DAY_S:
        return f"{seconds // HOUR_S} h"
    return f"{seconds // DAY_S} days"


def count_text(number):
    return "-" if number is None else f"{number:,}"


def bytes_text(size):
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size} {unit}"
        size //= 1024
    return f"{size} GiB"


def lag_text(lag):
    if lag is None:
        return "-"
    size, milliseconds = lag
    return bytes_text(size) if milliseconds == 0 else f"{bytes_text(size)}, {milliseconds:,} ms"


def cells_of(row):
    since = duration_text(row.since_s)
    return (str(row.number), row.address, row.zone or "-", row.state, since if row.is_since_known else f"> {since}",
            count_text(row.keys), count_text(row.operations_per_s), count_text(row.hints), lag_text(row.lag), row.note)


def printable(text):
    """What a node says of itself cannot move the cursor."""
    return "".join(character if character.isprintable() else "?" for character in text)


def table(rows):
    lines = [tuple(name for name, _is_number in COLUMNS), *(cells_of(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    texts = []
    for line in lines:
        cells = (cell.rjust(width) if is_number else cell.ljust(width)
                 for cell, width, (_name, is_number) in zip(line, widths, COLUMNS))
        texts.append(printable(GAP.join(cells)).rstrip())
    return texts


def counts_text(rows):
    """`3 nodes: 2 up, 1 down`."""
    counts = {}
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + 1
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    return f"{len(rows)} node{'s' if len(rows) != 1 else ''}: {states}"


def render(title, rows, events=(), columns=None, lines=None):
    """The screen as a list of lines."""
    texts = [printable(f"{title}   {counts_text(rows)}"), "", *table(rows)]
    if events:
        texts += ["", *map(printable, events)]
    if lines is not None and len(texts) > lines:
        hidden = len(texts) - lines + 1
        texts = texts[:lines - 1] + [f"... and {hidden} lines more"]
    return texts if columns is None else [text[:columns] for text in texts]


def refresh(texts):
    """What a terminal needs to show them in place of what is there."""
    return "\x1b[H" + "".join(f"{text}\x1b[K\n" for text in texts) + "\x1b[J"
