# command.py - one command of the random stream, with arguments that may differ between the two servers.
#
# May touch: nothing. Must never know: sockets, comparison, how commands are made.
# Invariants: a Command never changes after it was made, so that a history can be replayed; a placeholder is
# resolved anew for each server each time it is sent.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import resp


class Command:
    """args: bytes and placeholders; connection: its number; store: register that keeps the reply's bulk;
    closes: the server closes the connection after its reply."""

    __slots__ = ("args", "connection", "store", "closes")

    def __init__(self, args, connection=0, store=None, closes=False):
        self.args = tuple(args)
        self.connection = connection
        self.store = store
        self.closes = closes

    def on(self, connection):
        """The same command on another connection."""
        return Command(self.args, connection, self.store, self.closes)

    def resolve(self, side):
        return [argument if type(argument) is bytes else argument.resolve(side) for argument in self.args]

    def plain_args(self):
        """The arguments with placeholders as their names: for names, keys, options and reports."""
        return [argument if type(argument) is bytes else argument.name() for argument in self.args]

    def needs(self):
        """The registers that must be filled before this command is sent."""
        return [argument.register for argument in self.args if isinstance(argument, Register)]

    def show(self):
        words = []
        for argument in self.plain_args():
            quoted = resp.show(argument, 120)
            simple = argument and all(33 <= byte < 127 and byte not in b"\"'\\" for byte in argument)
            words.append(quoted[1:-1] if simple and len(argument) <= 120 else quoted)
        return "[%d] %s" % (self.connection, " ".join(words))


class Register:
    """The bulk that an earlier command with this store left on the same server, changed by change(bytes) if given."""

    def __init__(self, register, change=None, label=""):
        self.register = register
        self.change = change
        self.label = label

    def resolve(self, side):
        value = side.registers.get(self.register) or b""
        return self.change(value) if self.change else value

    def name(self):
        return b"<%b%b>" % (self.register.encode(), (" " + self.label).encode() if self.label else b"")


class ClientId:
    """The id that the server gave to a connection."""

    def __init__(self, connection):
        self.connection = connection

    def resolve(self, side):
        return b"%d" % side.open(self.connection).client_id

    def name(self):
        return b"<id of connection %d>" % self.connection


class ClientAddress:
    """The address of a connection as the server sees it; local: the server's own end."""

    def __init__(self, connection, local=False):
        self.connection = connection
        self.local = local

    def resolve(self, side):
        return side.open(self.connection).addresses[1 if self.local else 0]

    def name(self):
        return b"<%saddress of connection %d>" % (b"local " if self.local else b"", self.connection)


def command_name(args):
    """The name in capitals, as bytes."""
    return args[0].upper() if args else b""
