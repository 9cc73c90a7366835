# compare_server.py - whether two servers report about themselves alike: INFO, CONFIG GET, CLIENT LIST, HELLO, logs.
#
# May touch: nothing. Must never know: sockets. Each function answers None or the reason why the replies differ.
# Invariant: a name that the reference reports is reported by ours, unless known.py says why not; ours may report more.
# HELLO and INFO of ours name the version 7.2.4, the level that clients negotiate on; the reference is older.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import known
import resp
from resp import integer, items, pairs, text

# Commands that the test itself repeats until something has happened, not equally often on both servers.
POLLED = {b"exists", b"dbsize", b"scan", b"client|unblock", b"client|kill", b"client|list", b"client|id"}


def _missing(ours, reference, gaps, what):
    names = sorted(set(reference) - set(ours) - set(gaps))
    return "%s missing: %s" % (what, b" ".join(names).decode(errors="replace")) if names else None


# -- INFO ---------------------------------------------------------------------------------------------------------

def info_lines(reply):
    return [line for line in (text(reply) or b"").split(b"\r\n") if line]


def info_fields(reply):
    return dict(line.split(b":", 1) for line in info_lines(reply) if not line.startswith(b"#"))


def _counts(value):
    """calls=1,usec=2 as a dictionary."""
    return dict(part.split(b"=", 1) for part in value.split(b","))


def _info_counters(name, ours, reference):
    """The parts of a counting field that both servers must agree on."""
    if name.startswith(b"cmdstat_"):
        if name[len(b"cmdstat_"):] in POLLED:
            return None
        parts = (b"calls", b"rejected_calls", b"failed_calls")
    elif name.startswith(b"errorstat_"):
        parts = (b"count",)
    else:
        return None
    first, second = _counts(ours), _counts(reference)
    for part in parts:
        if first.get(part) != second.get(part):
            return "%s: %s is %r, not %r" % (name.decode(), part.decode(), first.get(part), second.get(part))
    return None


def _info_database(name, ours, reference, is_ring):
    if is_ring:
        # The copies that this node has, some of which may still be on their way.
        return None
    first, second = _counts(ours), _counts(reference)
    for part in (b"keys", b"expires"):
        if first.get(part) != second.get(part):
            return "%s: %s is %r, not %r" % (name.decode(), part.decode(), first.get(part), second.get(part))
    return None if b"avg_ttl" in first else "%s: no avg_ttl" % name.decode()


def _is_counted_by_node(name):
    """What a node has to show of the commands and the keys of its own only."""
    return _is_database(name) or name.startswith((b"cmdstat_", b"errorstat_", b"latency_percentiles_usec_"))


def _is_database(name):
    return name.startswith(b"db") and name[2:].isdigit()


def info(_args, ours, reference, context):
    """The same sections with at least the same fields; equal numbers where both servers count the same."""
    sections = [[line for line in info_lines(reply) if line.startswith(b"#") and line not in known.ABSENT_SECTIONS]
                for reply in (ours, reference)]
    if sections[0] != sections[1]:
        return "sections %r, not %r" % tuple(sections)
    first, second = info_fields(ours), info_fields(reference)
    gaps = known.ABSENT_INFO_FIELDS
    if context.is_ring:
        gaps = gaps.union(name for name in second if _is_counted_by_node(name))
    reason = _missing(first, second, gaps, "fields")
    if reason:
        return reason
    surplus = [name for name in first if name not in second and (
        _is_database(name) and not context.is_ring or context.exact and name.startswith((b"cmdstat_", b"errorstat_")))]
    if surplus:
        return "fields too many: %r" % surplus
    for name, value in second.items():
        if name not in first:
            continue
        reason = _info_database(name, first[name], value, context.is_ring) if _is_database(name) else (
            _info_counters(name, first[name], value) if context.exact else None)
        if reason is None and name in known.EQUAL_INFO_FIELDS and first[name] != value:
            reason = "%s is %r, not %r" % (name.decode(), first[name], value)
        if reason:
            return reason
    return None


# -- CONFIG, MEMORY, HELLO ------------------------------------------------------------------------------------------

def _dictionary(reply):
    members = pairs(reply)
    if members is None:
        raise ValueError("not a map")
    return {text(key): value for key, value in members}


def config_get(_args, ours, reference, context):
    own = known.OWN_DIRECTIVES | (known.OWN_DIRECTIVES_OF_A_RING if context.is_ring else frozenset())
    first, second = _dictionary(ours), _dictionary(reference)
    reason = _missing(first, second, known.ABSENT_DIRECTIVES, "directives")
    if reason:
        return reason
    wrong = ["%s is %s, not %s" % (name.decode(), resp.show(text(first[name]) or b"", 60), resp.show(text(value), 60))
             for name, value in second.items()
             if name in first and first[name] != value and name not in own]
    return "; ".join(wrong) or None


def memory_stats(_args, ours, reference, context):
    gaps = known.ABSENT_MEMORY_STATS | (known.ABSENT_MEMORY_STATS_OF_A_NODE if context.is_ring else frozenset())
    return _missing(_dictionary(ours), _dictionary(reference), gaps, "statistics")


def hello(_args, ours, reference, _context):
    first, second = _dictionary(ours), _dictionary(reference)
    if list(first) != list(second):
        return "fields %r, not %r" % (list(first), list(second))
    for name in (b"proto", b"mode", b"role", b"modules"):
        if first[name] != second[name]:
            return "%s is %r, not %r" % (name.decode(), first[name], second[name])
    if not text(first[b"server"]) or not text(first[b"version"]) or (integer(first[b"id"]) or 0) <= 0:
        return "server, version or id is missing"
    return None


# -- CLIENT LIST ----------------------------------------------------------------------------------------------------

EQUAL_CLIENT_FIELDS = (b"name", b"flags", b"db", b"sub", b"psub", b"ssub", b"multi", b"cmd", b"user", b"redir",
                       b"resp")
NUMBERS_OF_CLIENT = (b"id", b"fd", b"age", b"idle", b"qbuf", b"qbuf-free", b"argv-mem", b"multi-mem", b"rbs", b"rbp",
                     b"obl", b"oll", b"omem", b"tot-mem")


def _clients(reply):
    """One dictionary a line, in the order of the ids."""
    lines = [dict(word.split(b"=", 1) for word in line.split(b" ")) for line in text(reply).split(b"\n") if line]
    return sorted(lines, key=lambda fields: int(fields[b"id"]))


def client_list(_args, ours, reference, _context):
    first, second = _clients(ours), _clients(reference)
    if len(first) != len(second):
        return "%d connections, not %d" % (len(first), len(second))
    for mine, theirs in zip(first, second):
        reason = _missing(mine, theirs, (), "fields")
        if reason:
            return reason
        # T, of CLIENT NO-TOUCH, is of 7.2.
        if mine[b"cmd"] in (b"client|no-touch", b"client|setinfo"):
            mine[b"cmd"] = theirs.get(b"cmd", b"")
        mine[b"flags"] = mine[b"flags"].replace(b"T", b"") or b"N"
        for name in EQUAL_CLIENT_FIELDS:
            if mine[name] != theirs.get(name, mine[name]):
                return "%s is %r, not %r, of the connection %r" % (name.decode(), mine[name], theirs[name], mine)
        for name in NUMBERS_OF_CLIENT:
            if not mine[name].isdigit():
                return "%s is no number: %r" % (name.decode(), mine[name])
        for name in (b"addr", b"laddr"):
            if not mine[name].rpartition(b":")[2].isdigit():
                return "%s is no address: %r" % (name.decode(), mine[name])
    return None


# -- logs -----------------------------------------------------------------------------------------------------------

def slowlog(_args, ours, reference, _context):
    """The same words and names in the same order; ids that go down one by one."""
    first, second = items(ours), items(reference)
    if len(first) != len(second):
        return "%d entries, not %d" % (len(first), len(second))
    last_id = None
    for mine, theirs in zip(map(items, first), map(items, second)):
        if len(mine) != len(theirs):
            return "%d fields an entry, not %d" % (len(mine), len(theirs))
        if mine[3] != theirs[3]:
            return "the words %r, not %r" % (mine[3], theirs[3])
        if mine[5] != theirs[5]:
            return "the name %r, not %r" % (mine[5], theirs[5])
        number, moment, micros = (integer(field) for field in mine[:3])
        if number is None or not moment or micros is None or b":" not in text(mine[4]):
            return "not an entry: %r" % (mine,)
        if last_id is not None and number != last_id - 1:
            return "the id %d after %d" % (number, last_id)
        last_id = number
    return None


def histogram(_args, ours, reference, context):
    """The same commands; as many calls; a histogram that adds up to them."""
    first, second = ({name: _dictionary(value) for name, value in _dictionary(reply).items() if name not in POLLED}
                     for reply in (ours, reference))
    if context.exact and set(first) != set(second):
        return "commands %r, not %r" % (sorted(first), sorted(second))
    reason = None if context.is_ring else _missing(first, second, (), "commands")
    if reason:
        return reason
    for name, fields in first.items():
        if list(fields) != [b"calls", b"histogram_usec"]:
            return "fields %r of %r" % (list(fields), name)
        calls = integer(fields[b"calls"])
        if context.exact and calls != integer(second[name][b"calls"]):
            return "%d calls of %r, not %d" % (calls, name, integer(second[name][b"calls"]))
        steps = [(integer(bound), integer(count)) for bound, count in pairs(fields[b"histogram_usec"])]
        if steps != sorted(steps) or not steps or steps[-1][1] != calls:
            return "the histogram of %r does not add up: %r" % (name, steps)
    return None
