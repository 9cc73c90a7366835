# coverage.py - the commands and options that must have been sent, and how often each was.
#
# May touch: nothing. Must never know: sockets, how commands are made or compared.
# Invariants: every command and option that the server has stands here, and nothing else; an option counts as used
# only where the reference server did not answer with an error.
# Tests: tests/differential/selftest (a run of one group must find commands missing).
#
# SPDX-License-Identifier: BSD-3-Clause

# One row a command: its options, "A+B" for two that must have been used together. "|" separates a subcommand.
# A "-" before the name: the reference refuses it always, or answers nothing, so that only the sending counts. Scenes
# that send raw bytes (QUIT, CLIENT REPLY, SHUTDOWN) say themselves what they have sent.
ROWS = """
SET EX PX EXAT PXAT NX XX GET KEEPTTL NX+GET XX+GET KEEPTTL+XX
GET
GETSET
GETDEL
GETEX EX PX EXAT PXAT PERSIST
SETNX
SETEX
PSETEX
MGET
MSET
MSETNX
APPEND
STRLEN
GETRANGE
SUBSTR
SETRANGE
INCR
DECR
INCRBY
DECRBY
INCRBYFLOAT
LCS LEN IDX MINMATCHLEN WITHMATCHLEN IDX+MINMATCHLEN IDX+WITHMATCHLEN MINMATCHLEN+WITHMATCHLEN
SETBIT
GETBIT
BITCOUNT BYTE BIT
BITPOS BYTE BIT
BITOP AND OR XOR NOT
BITFIELD GET SET INCRBY OVERFLOW WRAP SAT FAIL
BITFIELD_RO GET
DEL
UNLINK
EXISTS
TOUCH
TYPE
EXPIRE NX XX GT LT XX+GT XX+LT
PEXPIRE NX XX GT LT XX+GT XX+LT
EXPIREAT NX XX GT LT XX+GT XX+LT
PEXPIREAT NX XX GT LT XX+GT XX+LT
TTL
PTTL
EXPIRETIME
PEXPIRETIME
PERSIST
RENAME
RENAMENX
COPY DB REPLACE DB+REPLACE
KEYS
SCAN MATCH COUNT TYPE MATCH+COUNT MATCH+TYPE COUNT+TYPE
RANDOMKEY
DBSIZE
FLUSHALL ASYNC SYNC
FLUSHDB ASYNC SYNC
OBJECT|ENCODING
OBJECT|REFCOUNT
OBJECT|IDLETIME
OBJECT|FREQ
OBJECT|HELP
SELECT
SWAPDB
MOVE
DUMP
RESTORE REPLACE ABSTTL IDLETIME FREQ REPLACE+ABSTTL
MULTI
EXEC
DISCARD
WATCH
UNWATCH
PING
ECHO
QUIT
RESET
HELLO 2 3 AUTH SETNAME AUTH+SETNAME
AUTH
CLIENT|ID
CLIENT|INFO
CLIENT|LIST TYPE ID
CLIENT|KILL ID ADDR LADDR TYPE USER SKIPME
CLIENT|SETNAME
CLIENT|GETNAME
-CLIENT|SETINFO LIB-NAME LIB-VER
CLIENT|NO-EVICT ON OFF
-CLIENT|NO-TOUCH ON OFF
CLIENT|PAUSE WRITE ALL
CLIENT|UNPAUSE
CLIENT|REPLY ON OFF SKIP
CLIENT|UNBLOCK TIMEOUT ERROR
CLIENT|HELP
COMMAND
COMMAND|COUNT
COMMAND|INFO
COMMAND|DOCS
COMMAND|LIST FILTERBY MODULE ACLCAT PATTERN
COMMAND|GETKEYS
COMMAND|GETKEYSANDFLAGS
COMMAND|HELP
CONFIG|GET
CONFIG|SET
CONFIG|REWRITE
CONFIG|RESETSTAT
CONFIG|HELP
INFO SERVER CLIENTS MEMORY PERSISTENCE STATS REPLICATION CPU COMMANDSTATS LATENCYSTATS ERRORSTATS \
    CLUSTER KEYSPACE ALL DEFAULT EVERYTHING
TIME
SAVE
BGSAVE SCHEDULE
LASTSAVE
LOLWUT VERSION
-SHUTDOWN NOSAVE SAVE ABORT NOW FORCE
DEBUG|SLEEP
MEMORY|USAGE SAMPLES
MEMORY|STATS
MEMORY|DOCTOR
MEMORY|PURGE
MEMORY|HELP
SLOWLOG|GET
SLOWLOG|LEN
SLOWLOG|RESET
SLOWLOG|HELP
LATENCY|HISTORY
LATENCY|LATEST
LATENCY|RESET
LATENCY|HISTOGRAM
LATENCY|HELP
MONITOR
ROLE
WAIT
"""

# Fewer commands than this do not reach every option by chance.
FEWEST_COMMANDS = 200_000
FEWEST_ON_A_RING = 80_000


class Row:
    def __init__(self, line):
        words = line.split()
        self.name = words[0].lstrip("-")
        self.needs_success = not words[0].startswith("-")
        self.options = {option: tuple(part.encode() for part in option.split("+")) for option in words[1:]}
        self.sent = 0
        self.succeeded = 0
        self.used = dict.fromkeys(self.options, 0)


def container_names(names):
    return {name.split(b"|")[0] for name in names if b"|" in name}


class Coverage:
    """Counts by row; note() for every command that was compared."""

    def __init__(self):
        rows = [Row(line) for line in ROWS.strip().splitlines()]
        self.rows = {row.name.encode(): row for row in rows}
        self.containers = container_names(self.rows)

    def row_of(self, args):
        name = args[0].upper()
        if name in self.containers and len(args) > 1:
            return self.rows.get(name + b"|" + args[1].upper())
        return self.rows.get(name)

    def note(self, args, succeeded):
        row = self.row_of(args) if args else None
        if row is None:
            return
        row.sent += 1
        row.succeeded += succeeded
        if row.used and (succeeded or not row.needs_success):
            words = {word.upper() for word in args[1:] if len(word) < 16}
            for option, parts in row.options.items():
                if words.issuperset(parts):
                    row.used[option] += 1

    def problems(self, excepted=()):
        """What was never sent, or never with success, as lines; excepted: commands, and options as COMMAND OPTION."""
        lines = []
        for row in self.rows.values():
            if row.name in excepted:
                continue
            if not row.sent:
                lines.append("%s was never sent" % row.name)
                continue
            if row.needs_success and not row.succeeded:
                lines.append("%s was sent %d times, but never answered without an error" % (row.name, row.sent))
            lines += ["%s was never used with %s" % (row.name, option)
                      for option, count in row.used.items() if not count and row.name + " " + option not in excepted]
        return lines

    def table(self):
        """One line a command: how often it was sent, how often without an error, how often each option."""
        lines = ["%-24s %9s %9s  %s" % ("command", "sent", "no error", "options")]
        for row in self.rows.values():
            options = ", ".join("%s %d" % pair for pair in row.used.items())
            lines.append("%-24s %9d %9d  %s" % (row.name.replace("|", " "), row.sent, row.succeeded, options))
        return "\n".join(lines)


def command_names():
    """The names of the rows without subcommands, in lower case, as bytes."""
    return sorted({line.split()[0].lstrip("-").split("|")[0].lower().encode() for line in ROWS.strip().splitlines()})


def subcommand_names():
    """The full names of the subcommands, as "client|id"."""
    return sorted(line.split()[0].lstrip("-").lower().encode() for line in ROWS.strip().splitlines()
                  if "|" in line.split()[0])
