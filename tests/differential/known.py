# known.py - the accepted differences between the two servers, each with its reason.
#
# May touch: nothing. Must never know: sockets, how commands are made.
# Invariant: an entry here is a decision, not a way to make a test pass; the shorter this file the better. The
# normalisers of compare*.py are not differences: they are for what no two servers can answer alike.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

from resp import integer, is_error

# The reference is 7.0; clients send these of 7.2 on every connect.
NEWER_SUBCOMMANDS = frozenset({b"client|setinfo", b"client|no-touch"})


def _newer_subcommand(args, ours, reference):
    if len(args) < 2 or (args[0] + b"|" + args[1]).lower() not in NEWER_SUBCOMMANDS:
        return False
    if not is_error(reference) or not reference[1].startswith(b"ERR unknown subcommand"):
        return False
    if _newer_subcommand_is_right(args):
        return ours == ("+", b"OK")
    return is_error(ours) and ours[1].startswith(b"ERR ") and not ours[1].startswith(b"ERR unknown")


def _newer_subcommand_is_right(args):
    if args[1].upper() == b"NO-TOUCH":
        return len(args) == 3 and args[2].upper() in (b"ON", b"OFF")
    return (len(args) == 4 and args[2].upper() in (b"LIB-NAME", b"LIB-VER") and
            all(33 <= byte <= 126 for byte in args[3]))


def _reference_count(args, ours, reference):
    if len(args) != 3 or (args[0] + b"|" + args[1]).lower() != b"object|refcount":
        return False
    return (integer(ours) or 0) > 0 and (integer(reference) or 0) > 0


def _shared_idle_time(args, ours, reference):
    return (len(args) == 3 and (args[0] + b"|" + args[1]).lower() == b"object|idletime" and
            integer(ours) is not None and integer(reference) is not None and
            0 <= integer(ours) <= 600 and 0 <= integer(reference) <= 600)


def _long_error(args, ours, reference):
    return is_error(ours) and is_error(reference) and len(ours[1]) >= 500 and reference[1].startswith(ours[1][:500])


def _copies(args, ours, reference):
    return (args[0].upper() == b"WAIT" and integer(reference) == 0 and integer(ours) is not None and
            0 <= integer(ours) <= 2)


# (name, does it cover these replies, reason)
DIFFERENCES = [
    ("CLIENT SETINFO and NO-TOUCH", _newer_subcommand,
     "they are of 7.2, the reference is 7.0; clients send SETINFO on every connect"),
    ("OBJECT REFCOUNT", _reference_count,
     "it tells how values share memory inside the reference, which ours does in its own way; both say 1 or more"),
    ("long error texts", _long_error, "ours are cut at 512 bytes, whatever a client put into them"),
    ("OBJECT IDLETIME of small integers", _shared_idle_time,
     "keys with an equal integer below 10000 share one object in the reference, and so its idle time"),
]


# Of a ring of nodes alone.
RING_DIFFERENCES = [
    ("WAIT on a ring", _copies,
     "it counts the copies that have what was written, of which the reference has none but its own"),
]


# What a run through a ring does not cover: other databases; what needs a file of settings (the group auth); lists of
# connections, of which each node has its own.
NOT_ON_A_RING = frozenset({"SWAPDB", "MOVE", "CONFIG|REWRITE", "CLIENT|LIST TYPE"})


def covering(args, ours, reference, is_ring=False):
    """The name of the entry that covers these two different replies (parsed), or None."""
    for name, covers, _ in DIFFERENCES + (RING_DIFFERENCES if is_ring else []):
        if covers(args, ours, reference):
            return name
    return None


def summary(uses, is_ring=False):
    """uses: how often each entry was needed, by name."""
    return "\n".join("  %s, %d times: %s" % (name, uses.get(name, 0), reason)
                     for name, _, reason in DIFFERENCES + (RING_DIFFERENCES if is_ring else []))


# -- INFO -----------------------------------------------------------------------------------------------------------

# There are no modules, so there is no section of them.
ABSENT_SECTIONS = {b"# Modules"}

# Fields about parts that ours does not have: scripts and functions, defragmentation by moving values, a fork that
# saves, threads of I/O, modules.
ABSENT_INFO_FIELDS = {
    b"used_memory_vm_eval", b"used_memory_scripts_eval", b"number_of_cached_scripts", b"number_of_functions",
    b"number_of_libraries", b"used_memory_vm_functions", b"used_memory_vm_total", b"used_memory_vm_total_human",
    b"used_memory_functions", b"used_memory_scripts", b"used_memory_scripts_human",
    b"active_defrag_hits", b"active_defrag_misses", b"active_defrag_key_hits", b"active_defrag_key_misses",
    b"total_active_defrag_time", b"current_active_defrag_time",
    b"current_cow_peak", b"current_cow_size", b"current_cow_size_age", b"current_fork_perc", b"aof_last_cow_size",
    b"io_threaded_reads_processed", b"io_threaded_writes_processed",
    b"module_fork_in_progress", b"module_fork_last_cow_size",
}

# Fields whose values say the same on both servers whatever was done.
EQUAL_INFO_FIELDS = {b"redis_mode", b"arch_bits", b"role", b"cluster_enabled", b"loading", b"connected_slaves",
                     b"maxmemory", b"maxmemory_human", b"maxmemory_policy", b"maxclients", b"blocked_clients",
                     b"aof_enabled"}

# -- CONFIG, MEMORY ---------------------------------------------------------------------------------------------------

ABSENT_DIRECTIVES = frozenset()

# Directives whose values are those of one server process.
OWN_DIRECTIVES = {b"port", b"dir", b"pidfile", b"logfile", b"unixsocket", b"dbfilename", b"bind", b"syslog-ident",
                  b"proc-title-template", b"jemalloc-bg-thread", b"maxclients", b"oom-score-adj-values",
                  # ours cuts a client that never reads
                  b"client-output-buffer-limit"}

# The same, of a node of a ring.
OWN_DIRECTIVES_OF_A_RING = {b"cluster-enabled", b"cluster-port"}

# Statistics of parts that ours does not have: scripts and functions.
ABSENT_MEMORY_STATS = {b"lua.caches", b"functions.caches"}
# A copy of the only key may still be on its way to the node that is asked.
ABSENT_MEMORY_STATS_OF_A_NODE = {b"db.0"}
