# compare_table.py - whether two servers say the same about their commands: COMMAND and its subcommands.
#
# May touch: nothing. Must never know: sockets. Each function answers None or the reason why the replies differ.
# Invariants: only commands of the coverage table count, because ours has fewer than the reference; of those
# everything is compared but the texts of COMMAND DOCS, which are each server's own words.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import coverage
import known
from resp import integer, is_null, items, pairs, text

COMMANDS = frozenset(coverage.command_names())
SUBCOMMANDS = frozenset(coverage.subcommand_names()) - known.NEWER_SUBCOMMANDS

# The fields of one entry of COMMAND INFO.
NAME, ARITY, FLAGS, FIRST_KEY, LAST_KEY, KEY_STEP, CATEGORIES, TIPS, KEY_SPECIFICATIONS, SUBCOMMAND_ENTRIES = range(10)


def _set(reply):
    return (reply[0], frozenset(text(item) for item in items(reply)))


def _name(entry):
    return text(items(entry)[NAME])


def _entry_difference(ours, reference):
    mine, theirs = items(ours), items(reference)
    name = text(theirs[NAME]).decode()
    if len(mine) != len(theirs):
        return "%s has %d fields, not %d" % (name, len(mine), len(theirs))
    for field, label in ((NAME, "name"), (ARITY, "arity"), (FIRST_KEY, "first key"), (LAST_KEY, "last key"),
                         (KEY_STEP, "key step"), (KEY_SPECIFICATIONS, "key specifications")):
        if mine[field] != theirs[field]:
            return "%s of %s: %r, not %r" % (label, name, mine[field], theirs[field])
    for field, label in ((FLAGS, "flags"), (CATEGORIES, "ACL categories"), (TIPS, "tips")):
        if _set(mine[field]) != _set(theirs[field]):
            return "%s of %s: %r, not %r" % (label, name, _set(mine[field]), _set(theirs[field]))
    return _entries_difference(items(mine[SUBCOMMAND_ENTRIES]), items(theirs[SUBCOMMAND_ENTRIES]), SUBCOMMANDS)


def _entries_difference(ours, reference, wanted):
    mine = {_name(entry): entry for entry in ours}
    for entry in reference:
        name = _name(entry)
        if name not in wanted:
            continue
        if name not in mine:
            return "%s is missing" % name.decode()
        reason = _entry_difference(mine[name], entry)
        if reason:
            return reason
    return None


def command_info(args, ours, reference, _context):
    """COMMAND without more names all commands; COMMAND INFO those that were asked for, null for what there is not."""
    mine, theirs = items(ours), items(reference)
    if len(args) <= 2:
        return _entries_difference(mine, theirs, COMMANDS)
    if len(mine) != len(theirs):
        return "%d entries, not %d" % (len(mine), len(theirs))
    for asked, first, second in zip(args[2:], mine, theirs):
        if asked.lower() in known.NEWER_SUBCOMMANDS or first == second:
            continue
        if is_null(first) or is_null(second):
            return "only one knows %r" % asked
        reason = _entry_difference(first, second)
        if reason:
            return reason
    return None


def _documents(reply):
    return {text(name): {text(field): value for field, value in pairs(fields)} for name, fields in pairs(reply)}


def _documents_difference(ours, reference, wanted):
    for name, theirs in reference.items():
        if name not in wanted:
            continue
        mine = ours.get(name)
        if mine is None:
            return "%s is missing" % name.decode()
        for field in (b"since", b"group"):
            if mine.get(field) != theirs[field]:
                return "%s of %s: %r, not %r" % (field.decode(), name.decode(), mine.get(field), theirs[field])
        for field in (b"summary", b"complexity"):
            if field in theirs and not (field in mine and text(mine[field])):
                return "%s has no %s" % (name.decode(), field.decode())
        if b"subcommands" in theirs:
            reason = _documents_difference(_documents(mine.get(b"subcommands", ("*", []))),
                                           _documents(theirs[b"subcommands"]), SUBCOMMANDS)
            if reason:
                return reason
    return None


def command_docs(_args, ours, reference, _context):
    return _documents_difference(_documents(ours), _documents(reference), COMMANDS | SUBCOMMANDS)


def command_list(_args, ours, reference, _context):
    first, second = (sorted(name for name in map(text, items(reply)) if name in COMMANDS | SUBCOMMANDS)
                     for reply in (ours, reference))
    if first == second:
        return None
    return "missing %r, too many %r" % (sorted(set(second) - set(first)), sorted(set(first) - set(second)))


def command_count(_args, ours, reference, _context):
    enough = integer(ours) is not None and integer(ours) >= len(COMMANDS)
    return None if enough else "fewer commands than must be there"
