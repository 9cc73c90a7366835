# compare.py - whether two replies to one command say the same.
#
# May touch: nothing. Must never know: sockets, which commands come next.
# Invariants: replies that are equal byte for byte are equal; errors and nulls are compared by their bytes alone; a
# normaliser is the only thing that may call other replies equal, and there is one only where no two servers can
# answer alike (clocks, orders, ids, own texts). Accepted differences stand in known.py, not here.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import compare_server
import compare_table
import known
import resp
from resp import integer, items, text
from safety import NEAR_SECONDS


class Context:
    """What a comparison has to know besides the command.

    slack_ms: how far the same moment may be apart on the two servers; exact: counters of the servers must be equal;
    queue: the commands of the transaction that EXEC answers; accepted: counts the entries of known.py that were
    needed; is_ring: ours are several nodes.
    """

    def __init__(self, slack_ms, exact, queue, accepted, is_ring=False):
        self.slack_ms = slack_ms
        self.exact = exact
        self.queue = queue
        self.accepted = accepted
        self.is_ring = is_ring


def difference(args, ours, reference, context):
    """None if the raw replies say the same, else the reason in words."""
    if ours == reference:
        return None
    try:
        return difference_of_parsed(args, resp.parse(ours), resp.parse(reference), context)
    except (ValueError, IndexError, resp.MalformedReply) as error:
        return "unreadable: %r" % error


def difference_of_parsed(args, ours, reference, context):
    if ours == reference:
        return None
    entry = known.covering(args, ours, reference, context.is_ring)
    if entry:
        context.accepted[entry] += 1
        return None
    if resp.is_error(ours) or resp.is_error(reference):
        return "different errors" if resp.is_error(ours) and resp.is_error(reference) else "only one is an error"
    if resp.is_null(ours) or resp.is_null(reference):
        return "only one is null" if resp.is_null(ours) != resp.is_null(reference) else "different nulls"
    if ours[0] != reference[0]:
        return "different kinds of reply: %r and %r" % (ours[0], reference[0])
    normaliser = find_normaliser(args)
    if normaliser is None:
        return "different replies"
    return normaliser(args, ours, reference, context)


def find_normaliser(args):
    if not args:
        return None
    name = args[0].upper()
    if len(args) > 1:
        sub = args[1].upper()
        if sub == b"HELP" and len(args) == 2:
            return help_text
        found = NORMALISERS.get(name + b"|" + sub)
        if found:
            return found
    return NORMALISERS.get(name)


# -- helpers ------------------------------------------------------------------------------------------------------

def texts(reply):
    """The strings of an array or set reply."""
    return [text(item) for item in items(reply)]


def sorted_texts(reply):
    return sorted(texts(reply))


def info_fields(reply):
    """The fields of an INFO reply as a dictionary."""
    return compare_server.info_fields(reply)


def _within(ours, reference, tolerance, what):
    first, second = integer(ours), integer(reference)
    if first is None or second is None:
        return "not integers"
    return None if abs(first - second) <= tolerance else "%s differs by %d" % (what, first - second)


def _negative(ours, reference):
    """-1 and -2 have a meaning of their own."""
    return integer(ours) < 0 or integer(reference) < 0


# -- normalisers --------------------------------------------------------------------------------------------------

def _ttl(_args, ours, reference, context):
    if _negative(ours, reference):
        return "different replies"
    return _within(ours, reference, 1 + context.slack_ms / 1000, "the time")


def _pttl(_args, ours, reference, context):
    if _negative(ours, reference):
        return "different replies"
    return _within(ours, reference, context.slack_ms, "the time")


def _is_near(reply, unit_ms):
    return NEAR_SECONDS[0] * 1000 <= integer(reply) * unit_ms <= NEAR_SECONDS[1] * 1000


def _expiretime(_args, ours, reference, context):
    # Times that were set absolutely are not near (safety.py), and must come back as they were set.
    if not (_is_near(ours, 1000) and _is_near(reference, 1000)):
        return "different replies"
    return _within(ours, reference, 1 + context.slack_ms / 1000, "the time")


def _pexpiretime(_args, ours, reference, context):
    if not (_is_near(ours, 1) and _is_near(reference, 1)):
        return "different replies"
    return _within(ours, reference, context.slack_ms, "the time")


def _unordered(_args, ours, reference, _context):
    return None if sorted_texts(ours) == sorted_texts(reference) else "different sets"


def _scan(_args, ours, reference, _context):
    # Cursors and what one step returns are the server's own; scenes compare whole iterations.
    for reply in (ours, reference):
        cursor, found = items(reply)
        if cursor[0] != "$" or not cursor[1].isdigit() or int(cursor[1]) >= 2 ** 64:
            return "not a cursor: %r" % (cursor,)
        if found[0] != "*" or any(item[0] != "$" or item[1] is None for item in items(found)):
            return "not an array of keys"
    return None


def _any_key(_args, ours, reference, _context):
    return None if text(ours) is not None and text(reference) is not None else "not two strings"


def _any_text(_args, ours, reference, _context):
    return None if text(ours) and text(reference) else "not two texts"


def _time(_args, ours, reference, context):
    first, second = (int(seconds) * 1_000_000 + int(micros) for seconds, micros in (texts(ours), texts(reference)))
    return None if abs(first - second) <= (1000 + context.slack_ms) * 1000 else "the times differ"


def _positive(_args, ours, reference, _context):
    first, second = integer(ours), integer(reference)
    if first is None or second is None:
        return "not integers"
    return None if first > 0 and second > 0 else "not positive"


def _idletime(_args, ours, reference, context):
    return _within(ours, reference, 2 + context.slack_ms / 1000, "the idle time")


def _frequency(_args, ours, reference, _context):
    # Counts grow by chance.
    return _within(ours, reference, 3, "the frequency")


def help_text(args, ours, reference, _context):
    """The words are each server's own; the form is not."""
    for reply in (ours, reference):
        lines = items(reply)
        if not lines or any(line[0] != "+" for line in lines):
            return "not an array of lines"
        if not lines[0][1].startswith(args[0].upper() + b" <subcommand>"):
            return "the first line does not begin with the command"
    return None


def _exec(_args, ours, reference, context):
    if ours[0] != "*" or len(ours[1]) != len(reference[1]):
        return "different numbers of replies"
    if len(reference[1]) != len(context.queue):
        return "not as many replies as commands were queued"
    for args, first, second in zip(context.queue, ours[1], reference[1]):
        reason = difference_of_parsed(args, first, second, context)
        if reason:
            return "in the reply to %s: %s" % (resp.show(args[0], 40), reason)
    return None


NORMALISERS = {
    b"TTL": _ttl, b"PTTL": _pttl, b"EXPIRETIME": _expiretime, b"PEXPIRETIME": _pexpiretime,
    b"KEYS": _unordered, b"SCAN": _scan, b"RANDOMKEY": _any_key, b"DUMP": _any_text, b"LOLWUT": _any_text,
    b"TIME": _time, b"LASTSAVE": _positive,
    b"OBJECT|IDLETIME": _idletime, b"OBJECT|FREQ": _frequency,
    b"MEMORY|USAGE": _positive, b"MEMORY|DOCTOR": _any_text, b"MEMORY|STATS": compare_server.memory_stats,
    b"EXEC": _exec,
    b"HELLO": compare_server.hello, b"INFO": compare_server.info, b"CONFIG|GET": compare_server.config_get,
    b"CLIENT|ID": _positive, b"CLIENT|INFO": compare_server.client_list, b"CLIENT|LIST": compare_server.client_list,
    b"SLOWLOG|GET": compare_server.slowlog, b"LATENCY|HISTOGRAM": compare_server.histogram,
    b"COMMAND": compare_table.command_info, b"COMMAND|INFO": compare_table.command_info,
    b"COMMAND|DOCS": compare_table.command_docs, b"COMMAND|LIST": compare_table.command_list,
    b"COMMAND|COUNT": compare_table.command_count,
}
