# connection.py - commands about the connection itself: PING, HELLO, AUTH, CLIENT, RESET, QUIT.
#
# May touch: the world's choices; scenes: the pair of servers. Must never know: sockets.
# Invariant: a stream leaves its connection open, in database 0 and in the protocol that the stream has.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import resp
from command import ClientAddress, ClientId, Command
from world import KEYS

# Connections of the scenes, so that the streams' ones keep their state.
ACTOR, FIRST, SECOND = 6, 7, 8
ID_LIMIT = b"9223372036854775807"


def ping(world):
    args = world.pick(([], [world.value()], [world.value(), b"x"]) if world.chance(0.3) else ([], [world.text(9)]))
    return [Command([world.word(b"PING")] + args)]


def echo(world):
    return [Command([world.word(b"ECHO"), world.value()])]


def client_name(world):
    name = world.pick((b"name", b"", b"a name", b"line\n", b"\x00", b"\xff", b"~!\"#$%", b"n" * 200, b"tab\t",
                       b"del\x7f"))
    return [Command([world.word(b"CLIENT"), world.word(b"SETNAME"), name]),
            Command([world.word(b"CLIENT"), world.word(b"GETNAME")])]


def client_library(world):
    """Since 7.2; clients send SETINFO on connecting."""
    if world.chance(0.3):
        return [Command([b"CLIENT", world.word(b"NO-TOUCH")] + world.pick(([b"on"], [b"OFF"], [b"x"], [])))]
    attribute = world.pick((b"LIB-NAME", b"LIB-VER", b"lib-name", b"NOSUCH", b""))
    value = world.pick((b"library", b"1.2.3", b"", b"a b", b"line\n", b"\x00"))
    return [Command([b"CLIENT", world.word(b"SETINFO"), attribute, value])]


def client_facts(world):
    return [Command([world.word(b"CLIENT"), world.word(world.pick((b"ID", b"INFO", b"LIST", b"HELP")))])]


def client_list(world):
    return [Command([b"CLIENT", b"LIST"] + world.pick((
        [b"TYPE", b"normal"], [b"TYPE", b"NORMAL"], [b"TYPE", b"master"], [b"TYPE", b"replica"], [b"TYPE", b"pubsub"],
        [b"TYPE", b"slave"], [b"TYPE", b"nosuch"], [b"TYPE"], [b"ID"], [b"ID", b"0"], [b"ID", ID_LIMIT],
        [b"ID", b"abc"],
        [b"ID", b"-1"], [b"NOSUCH"], [b"ID", ClientId(0)], [b"ID", ClientId(0), ClientId(1), b"999999999"],
        [b"TYPE", b"normal", b"x"], [b"type", b"normal"])))]


def client_switches(world):
    return [Command([b"CLIENT"] + world.pick((
        [b"NO-EVICT", b"on"], [b"NO-EVICT", b"OFF"], [b"NO-EVICT", b"maybe"], [b"NO-EVICT"],
        [b"REPLY", b"ON"], [b"REPLY", b"on"], [b"REPLY", b"maybe"],
        [b"REPLY"], [b"PAUSE"], [b"PAUSE", b"abc"], [b"PAUSE", b"-1"],
        [b"PAUSE", b"9223372036854775807", b"NOSUCH"], [b"UNPAUSE"], [b"UNPAUSE", b"x"], [b"UNBLOCK"],
        [b"UNBLOCK", b"0"], [b"UNBLOCK", ID_LIMIT], [b"UNBLOCK", b"abc"], [b"UNBLOCK", ID_LIMIT, b"TIMEOUT"],
        [b"UNBLOCK", ID_LIMIT, b"ERROR"], [b"UNBLOCK", ID_LIMIT, b"NOSUCH"], [b"UNBLOCK", ClientId(0)])))]


def client_kill_nobody(world):
    return [Command([b"CLIENT", world.word(b"KILL")] + world.pick((
        [b"1.2.3.4:5"], [b""], [b"nonsense"], [b"ID"], [b"ID", b"0"], [b"ID", b"-1"], [b"ID", b"abc"],
        [b"ID", ID_LIMIT], [b"ADDR", b"1.2.3.4:5"], [b"LADDR", b"1.2.3.4:5"], [b"ADDR"], [b"TYPE", b"pubsub"],
        [b"TYPE", b"master"], [b"TYPE", b"replica"], [b"TYPE", b"nosuch"], [b"USER", b"nosuchuser"],
        [b"SKIPME", b"maybe"],
        [b"ID", ID_LIMIT, b"SKIPME", b"yes"], [b"ID", ID_LIMIT, b"SKIPME", b"no", b"TYPE", b"pubsub"],
        [b"NOSUCH", b"x"], [b"TYPE", b"pubsub", b"USER", b"default"], [b"TYPE", b"normal", b"ADDR", b"1.2.3.4:5"])))]


def hello(world):
    """Every form; at the end the stream's protocol again."""
    form = world.pick((
        [], [b"2"], [b"3"], [b"1"], [b"4"], [b"0"], [b"-1"], [b"abc"], [b""], [b"2", b"NOSUCH"], [b"3", b"SETNAME"],
        [b"3", b"SETNAME", b"from-hello"], [b"2", b"SETNAME", b"bad name"], [b"3", b"AUTH", b"default", b"anything"],
        [b"3", b"AUTH", b"nosuchuser", b"x"], [b"3", b"AUTH", b"default"],
        [b"2", b"AUTH", b"default", b"", b"SETNAME", b"x"],
        [b"3", b"setname", b"y", b"auth", b"default", b"x"], [b"3.0"], [b"99999999999999999999"],
        [b"AUTH", b"a", b"b"]))
    return [Command([world.word(b"HELLO")] + form), Command([b"GET", b"nosuchkey"]), Command([b"CLIENT", b"GETNAME"]),
            Command([b"HELLO", b"%d" % world.protocol])]


def auth(world):
    return [Command([world.word(b"AUTH")] + world.pick((
        [], [b"x"], [b""], [b"default", b"x"], [b"default", b""], [b"nosuchuser", b"x"], [b"a", b"b", b"c"],
        [b"DEFAULT", b"x"], [b"\x00", b"\x00"])))]


def reset(world):
    commands = [Command([b"CLIENT", b"SETNAME", b"before-reset"]), Command([b"SELECT", b"3"])]
    if world.chance(0.5):
        commands.append(Command([b"WATCH", world.pick(KEYS)]))
    return commands + [Command([world.word(b"RESET")]), Command([b"CLIENT", b"GETNAME"]), Command([b"DBSIZE"]),
                       Command([b"GET", b"nosuchkey"]), Command([b"HELLO", b"%d" % world.protocol])]


COMMANDS = [(3, ping), (3, echo), (2, client_name), (1.5, client_library), (1.5, client_facts), (1, client_list),
            (2, client_switches), (1.5, client_kill_nobody), (2, hello), (1, auth), (0.7, reset)]


def generate(world):
    return world.weighted(COMMANDS)(world)


def quit_with_more(pair, world):
    """QUIT, with any words after it, is answered, then the connection ends; what came after it is not looked at."""
    quit_ = [world.word(b"QUIT")] + ([b"now"] if world.chance(0.2) else [])
    pair.run([Command([b"SET", b"k:0", b"before"]), Command([b"PING"], FIRST)])
    pair.until_closed(FIRST, resp.encode(quit_) + resp.encode([b"SET", b"k:0", b"after"]), [quit_])
    pair.run([Command([b"GET", b"k:0"])])


def silence(pair, world):
    """CLIENT REPLY OFF, SKIP and ON: which commands are answered at all."""
    requests = []
    for _ in range(world.between(2, 8)):
        requests.append(world.pick(([b"PING"], [b"SET", b"k:0", b"x"], [b"CLIENT", b"REPLY", b"SKIP"],
                                    [b"NOSUCHCOMMAND"],
                                    [b"CLIENT", b"REPLY", b"OFF"], [b"CLIENT", b"REPLY", b"ON"], [b"GET", b"k:0"],
                                    [b"CLIENT", b"REPLY", b"skip"], [b"ECHO", b"loud"], [b"MULTI"], [b"EXEC"])))
    requests += [[b"CLIENT", b"REPLY", b"ON"], [b"DISCARD"], [b"CLIENT", b"REPLY", b"ON"]]
    # Silence inside EXEC leaves its array short of replies; these fill it, so that what ends the bytes stands outside.
    requests += [[b"PING"]] * len(requests)
    pair.until_echo(FIRST, b"".join(map(resp.encode, requests)), requests)
    pair.drop(FIRST)


def kill(pair, world):
    """Every filter of CLIENT KILL: who is gone afterwards, and who is not."""
    pair.run([Command([b"PING"], number) for number in (ACTOR, FIRST, SECOND)])
    form, gone = world.pick((
        ([ClientAddress(FIRST)], [FIRST]), ([b"ADDR", ClientAddress(FIRST)], [FIRST]),
        ([b"ID", ClientId(FIRST)], [FIRST]), ([b"id", ClientId(SECOND), b"skipme", b"YES"], [SECOND]),
        ([b"ID", ClientId(FIRST), b"TYPE", b"pubsub"], []), ([b"ID", ClientId(ACTOR)], []),
        ([b"ID", ClientId(FIRST), b"ADDR", ClientAddress(SECOND)], []),
        ([b"ID", ClientId(FIRST), b"ADDR", ClientAddress(FIRST), b"TYPE", b"normal", b"USER", b"default"], [FIRST]),
        ([b"ADDR", ClientAddress(SECOND), b"LADDR", ClientAddress(FIRST, local=True)], [SECOND]),
        ([b"TYPE", b"normal"], None), ([b"USER", b"default"], None),
        ([b"LADDR", ClientAddress(ACTOR, local=True)], None),
        ([b"TYPE", b"normal", b"SKIPME", b"no", b"ID", ClientId(SECOND)], [SECOND]), ([b"SKIPME", b"yes"], None)))
    pair.settle()
    pair.run([Command([b"CLIENT", world.word(b"KILL")] + form, ACTOR)])
    others = [number for number in pair.open_connections() if number != ACTOR]
    gone = others if gone is None else gone
    pair.expect_closed(gone)
    pair.run([Command([b"PING"], number) for number in (ACTOR, FIRST, SECOND) if number not in gone])
    pair.settle()
    pair.run([Command([b"CLIENT", b"LIST"], ACTOR)])


def kill_oneself(pair, world):
    """The answer comes, then the end."""
    form = world.pick(([b"ID", ClientId(FIRST), b"SKIPME", b"no"], [ClientAddress(FIRST)]))
    pair.run([Command([b"PING"], FIRST), Command([b"CLIENT", b"KILL"] + form, FIRST, closes=True)])


def list_after_much(pair, world):
    """CLIENT LIST and INFO of connections in several states."""
    pair.run([Command([b"CLIENT", b"SETNAME", b"first"], FIRST), Command([b"SELECT", b"4"], FIRST),
              Command([b"MULTI"], SECOND), Command([b"GET", b"k:0"], SECOND), Command([b"WATCH", b"k:0"], 9),
              Command([b"CLIENT", b"NO-EVICT", b"ON"], 9), Command([b"HELLO", b"3"], 10)])
    pair.settle()
    pair.run([Command([b"CLIENT", b"LIST"], ACTOR), Command([b"CLIENT", b"INFO"], FIRST),
              Command([b"CLIENT", b"LIST", b"ID", ClientId(SECOND), ClientId(9), ClientId(10)], ACTOR),
              Command([b"EXEC"], SECOND), Command([b"UNWATCH"], 9)])
    for number in (FIRST, SECOND, 9, 10):
        pair.drop(number)


_HELD = ([b"SET", b"k:0", b"paused"], [b"INCR", b"k:1"], [b"DEL", b"k:2"], [b"MSET", b"k:3", b"x"])
_FREE = ([b"GET", b"k:0"], [b"STRLEN", b"k:0"], [b"TTL", b"k:1"], [b"ECHO", b"x"])
_BEFORE_PAUSE = [Command([b"SET", b"k:0", b"old"]), Command([b"SET", b"k:1", b"1"]), Command([b"PING"], FIRST),
                 Command([b"PING"], ACTOR)]


def pause_writes(pair, world):
    """CLIENT PAUSE ... WRITE holds writes and lets the rest through, until CLIENT UNPAUSE."""
    pair.run(_BEFORE_PAUSE + [Command([b"CLIENT", b"PAUSE", b"60000", world.word(b"WRITE")])])
    pair.start(FIRST, Command(world.pick(_HELD), FIRST))
    pair.run([Command(world.pick(_FREE), ACTOR)])
    pair.expect_silence(FIRST, 0.02)
    pair.run([Command([b"CLIENT", b"UNPAUSE"])])
    pair.finish(FIRST)
    pair.run([Command([b"GET", b"k:0"]), Command([b"GET", b"k:1"])])


def pause_all(pair, world):
    """CLIENT PAUSE holds everything, CLIENT UNPAUSE too, until its time is over."""
    began = pair.now()
    pair.run(_BEFORE_PAUSE + [Command([b"CLIENT", b"PAUSE", b"150"] + world.pick(([], [world.word(b"ALL")])))])
    pair.start(FIRST, Command(world.pick(_HELD + _FREE), FIRST))
    pair.expect_silence(FIRST, 0.02, until=began + 0.12)
    pair.finish(FIRST)
    pair.run([Command([b"CLIENT", b"UNPAUSE"]), Command([b"GET", b"k:0"]), Command([b"GET", b"k:1"])])


def short_pause(pair, world):
    """A pause that ends by itself."""
    mode = world.pick(([], [b"ALL"], [b"WRITE"], [b"all"], [b"write"]))
    pair.run([Command([b"CLIENT", b"PAUSE", b"%d" % world.between(1, 25)] + mode),
              Command([b"SET", b"k:0", b"y"], FIRST),
              Command([b"GET", b"k:0"], FIRST), Command([b"CLIENT", b"UNPAUSE"])])


def unblock(pair, world):
    """Nobody is blocked: without replicas to wait for, ours answers WAIT at once."""
    mode = world.pick(([], [b"TIMEOUT"], [b"ERROR"], [b"timeout"], [b"error"]))
    pair.run([Command([b"PING"], FIRST), Command([b"CLIENT", b"UNBLOCK", ClientId(FIRST)] + mode)])


SCENES = [(0.5, quit_with_more), (1.0, silence), (0.8, kill), (0.3, kill_oneself), (0.3, list_after_much),
          (0.3, pause_writes),
          (0.15, pause_all), (0.5, short_pause), (0.4, unblock)]
