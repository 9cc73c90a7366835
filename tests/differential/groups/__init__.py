# groups - the groups of random commands: one module a group, one row a module.
#
# A group is a module with generate(world), the commands of its stream, or None; and SCENES, rows of (how often in an
# epoch, function(pair, world)), for what has to look at replies or at raw bytes. Other types of values (lists, hashes,
# sets, sorted sets, streams) get a module each, a row here, their rows in coverage.py, and a reader of their values in
# keys.VALUE_READERS; as all groups share the keys of world.py, WRONGTYPE errors then come by themselves.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import importlib

# (share of the stream, name)
GROUPS = [
    (26, "strings"),
    (14, "bitmaps"),
    (14, "keys"),
    (10, "expiry"),
    (4, "dump"),
    (4, "transactions"),
    (3, "connection"),
    (4, "server"),
    (1, "scan"),
    (10, "errors"),
    (0, "protocol"),
    (0, "auth"),
    (0, "ring"),
]


def names():
    return [name for _, name in GROUPS]


def load(wanted):
    """Rows of (share, module) for the names."""
    return [(share, importlib.import_module("groups." + name)) for share, name in GROUPS if name in wanted]
