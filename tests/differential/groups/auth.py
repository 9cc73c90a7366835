# auth.py - servers that want a password: what is answered before it, after it, and after it has changed.
#
# May touch: the guarded pair of servers, the world's choices. Must never know: sockets.
# Invariant: only the inspector connection of the pair is let in by itself; every other one begins without a password,
# in RESP2, and ends with the scene.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import resp
from command import Command
from servers import PASSWORD

# Scenes of this group get the pair that wants the password.
GUARDED = True
CONNECTION, OTHER = 30, 31

REQUESTS = [
    [b"PING"], [b"GET", b"k:0"], [b"SET", b"k:0", b"x"], [b"NOSUCHCOMMAND", b"a"], [b"GET"], [b"CLIENT", b"GETNAME"],
    [b"COMMAND", b"COUNT", b"x"], [b"MULTI"], [b"EXEC"], [b"DISCARD"], [b"WATCH", b"k:0"], [b"INFO", b"nosuch"],
    [b"SELECT", b"1"], [b"HELLO"], [b"HELLO", b"2"], [b"HELLO", b"3"], [b"HELLO", b"9"], [b"HELLO", b"abc"],
    [b"RESET"],
    [b"AUTH"], [b"AUTH", b"wrong"], [b"AUTH", b""], [b"AUTH", b"default", b"wrong"],
    [b"AUTH", b"nosuchuser", PASSWORD],
    [b"AUTH", b"a", b"b", b"c"], [b"HELLO", b"3", b"AUTH", b"default", b"wrong"],
    [b"HELLO", b"3", b"AUTH", b"default"],
    [b"HELLO", b"3", b"SETNAME", b"x"], [b"HELLO", b"2", b"AUTH", b"nosuchuser", PASSWORD], [b"CLIENT", b"NOSUCH"],
    [b"OBJECT", b"HELP"], [b"CONFIG", b"GET", b"requirepass"], [b"ECHO", b"x"], [b"TIME", b"x"],
    [b"SHUTDOWN", b"NOSUCH"],
    [b"FLUSHALL", b"NOSUCH"], [b"DEBUG", b"SLEEP", b"0"], [b"MONITOR", b"x"], [b"ROLE"], [b"DBSIZE"]]
RIGHT = [[b"AUTH", PASSWORD], [b"AUTH", b"default", PASSWORD], [b"auth", b"default", PASSWORD],
         [b"HELLO", b"2", b"AUTH", b"default", PASSWORD],
         [b"HELLO", b"3", b"AUTH", b"default", PASSWORD, b"SETNAME", b"in"],
         [b"HELLO", b"3", b"SETNAME", b"in", b"AUTH", b"default", PASSWORD]]


def _some(world, most):
    return [Command(world.pick(REQUESTS), CONNECTION) for _ in range(world.below(most + 1))]


def before_and_after(pair, world):
    """Without the password hardly anything is answered, with it everything, after RESET hardly anything again."""
    pair.drop(CONNECTION)
    commands = _some(world, 8) + [Command(world.pick(RIGHT), CONNECTION)] + _some(world, 8)
    commands += [Command([b"DISCARD"], CONNECTION), Command([b"RESET"], CONNECTION)] + _some(world, 5)
    for command in commands:
        # One by one: replies that wait to be sent count against the small limit of a connection without a password,
        # by the memory that they take, which is each server's own.
        pair.run([command])
    pair.drop(CONNECTION)


def limits_before(pair, world):
    """Before the password requests may be only so long; with it the same ones pass."""
    many = [b"MGET"] + [b"k:%d" % number for number in range(world.between(8, 11))]
    long = [b"ECHO", b"y" * world.between(16383, 16386)]
    request = world.pick((many, long, [b"PING"] * 10, [b"PING"] * 11, [b"y" * 16384], [b"y" * 16385]))
    payload = resp.encode(request)
    if len(request) > 10 or len(request[-1]) > 16384:
        # The rest of a long request is not sent: it would not be read, and reset the connection.
        cut = payload.index(b"\r\n") + 2 if len(request) > 10 else payload.rindex(b"\r\n" + request[-1]) + 2
        pair.until_closed(CONNECTION, payload[:cut])
    else:
        pair.until_unknown(CONNECTION, payload)
    pair.drop(CONNECTION)
    pair.run([Command(world.pick(RIGHT), CONNECTION)])
    pair.until_echo(CONNECTION, payload)
    pair.drop(CONNECTION)


def raw_before(pair, world):
    """Inline commands and wrong bytes before the password."""
    pair.until_unknown(CONNECTION, world.pick((b"PING\r\n", b"GET k:0\r\n", b"\r\n", b"NOSUCH\r\n", b"AUTH wrong\r\n",
                                            b"AUTH \"secret word\"\r\nPING\r\n",
                                            b"auth default 'secret word'\r\nGET k:0\r\n")))
    pair.drop(CONNECTION)
    pair.until_closed(CONNECTION, world.pick((b"*1\r\n!\r\n", b"*abc\r\n", b"ECHO \"x\r\n", b"*1\r\n$-1\r\n",
                                              b"*11\r\n",
                                              b"*1\r\n$16385\r\n", b"*2147483647\r\n", b"*1\r\n$536870912\r\n",
                                              resp.encode([b"QUIT"]))))


def password_changes(pair, world):
    """A new password counts for who comes; who is in stays in. None at all lets everybody in."""
    pair.drop(CONNECTION)
    pair.drop(OTHER)
    new = world.pick((b"another", b"", b"x y\"z", b"\xff"))
    pair.run([Command([b"AUTH", PASSWORD], CONNECTION), Command([b"CONFIG", b"SET", b"requirepass", new], CONNECTION),
              Command([b"CONFIG", b"GET", b"requirepass"], CONNECTION), Command([b"PING"], CONNECTION)])
    pair.run([Command(args, OTHER) for args in ([b"PING"], [b"AUTH", PASSWORD], [b"PING"], [b"AUTH", new], [b"PING"],
                                                [b"AUTH", b"default", new],
                                                [b"HELLO", b"3", b"AUTH", b"default", new])])
    pair.run([Command([b"CONFIG", b"SET", b"requirepass", PASSWORD], CONNECTION), Command([b"PING"], OTHER),
              Command([b"RESET"], OTHER), Command([b"PING"], OTHER), Command([b"AUTH", PASSWORD], OTHER),
              Command([b"PING"], OTHER)])
    pair.drop(CONNECTION)
    pair.drop(OTHER)


def too_many(pair, world):
    """At maxclients the next connection is told so and closed; after one has gone there is room again."""
    names = list(range(40, 40 + world.between(1, 5)))
    for number in (CONNECTION, OTHER):
        pair.drop(number)
    pair.run([Command([b"PING"], number) for number in names])
    pair.settle()
    pair.run([Command([b"CONFIG", b"SET", b"maxclients", b"%d" % (len(names) + 1)], pair.INSPECTOR)])
    pair.compare_refusal()
    pair.compare_refusal()
    pair.drop(names[0])
    pair.settle()
    pair.run([Command([b"AUTH", PASSWORD], names[0])])
    pair.compare_refusal()
    for number in names:
        pair.drop(number)
    pair.run([Command([b"CONFIG", b"SET", b"maxclients", b"10000"], pair.INSPECTOR)])


def rewrite(pair, _world):
    """These servers have a file of settings, so it can be written; their DEBUG is off, as it is by itself."""
    pair.run([Command([b"CONFIG", b"SET", b"maxmemory-samples", b"7"], pair.INSPECTOR),
              Command([b"CONFIG", b"REWRITE"], pair.INSPECTOR), Command([b"CONFIG", b"REWRITE", b"x"], pair.INSPECTOR),
              Command([b"DEBUG", b"SLEEP", b"0"], pair.INSPECTOR), Command([b"DEBUG", b"NOSUCH"], pair.INSPECTOR),
              Command([b"CONFIG", b"SET", b"maxmemory-samples", b"5"], pair.INSPECTOR)])


generate = None
SCENES = [(1.0, before_and_after), (0.7, limits_before), (0.5, raw_before), (0.4, password_changes), (0.2, too_many),
          (0.3, rewrite)]
