# SPDX-License-Identifier: BSD-3-Clause
"""python3_redis.py PORT UNIXSOCKET GUARDED_PORT - the tests of Debian's python3-redis.

May touch: the server on PORT and UNIXSOCKET, the one on GUARDED_PORT whose password is "secret".
Must never know: how it was started. Results go as JSON lines to the descriptor RESULTS_FD (see harness.py).
Invariants: keyspaces are empty before each test; nothing is printed.
Tests: it is one.
"""

import datetime
import json
import os
import sys
import threading
import time
import traceback

import redis

PORT, UNIXSOCKET, GUARDED_PORT = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
DEADLINE_SECONDS = 10
TESTS = []


def test(sentence):
    def add(function):
        TESTS.append((f"{os.environ['TEST_LABEL']} {sentence}", function))
        return function

    return add


def equal(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


def between(low, got, high):
    assert low <= got <= high, f"got {got!r}, wanted {low} to {high}"


def raises(kind, text, function, *arguments, **options):
    try:
        got = function(*arguments, **options)
    except kind as error:
        assert text in str(error), f"{text!r} is not in {error!r}"
    else:
        raise AssertionError(f"no {kind.__name__} but {got!r}")


def eventually(condition, what):
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.005)


def connect(**options):
    options.setdefault("socket_timeout", DEADLINE_SECONDS)
    return redis.Redis(port=PORT, **options)


@test("reads and writes strings")
def strings(r):
    equal(r.set("a", "hello"), True)
    equal(r.get("a"), b"hello")
    equal(r.get("none"), None)
    equal(r.set("a", "x", nx=True), None)
    equal(r.set("a", "x", xx=True, get=True), b"hello")
    equal(r.append("a", "yz"), 3)
    equal(r.strlen("a"), 3)
    equal(r.getrange("a", 0, 1), b"xy")
    equal(r.setrange("a", 1, "--"), 3)
    equal(r.getset("a", "new"), b"x--")
    equal(r.getdel("a"), b"new")
    equal(r.exists("a"), 0)
    equal(r.mset({"a": 1, "b": 2}), True)
    equal(r.mget("a", "none", "b"), [b"1", None, b"2"])
    equal(r.msetnx({"b": 3, "c": 3}), False)
    equal(r.setnx("c", "3"), True)


@test("counts with integers and floats")
def numbers(r):
    equal(r.incr("n"), 1)
    equal(r.incrby("n", 10), 11)
    equal(r.decr("n", 5), 6)
    equal(r.incrbyfloat("f", 0.1), 0.1)
    equal(r.incrbyfloat("f", 1e15), 1000000000000000.1)
    equal(r.set("n", 2**63 - 1), True)
    raises(redis.ResponseError, "increment or decrement would overflow", r.incr, "n")


@test("keeps every byte of keys and values")
def binary(r):
    blob = bytes(range(256)) * 1000
    r.set(blob[:300], blob)
    equal(r.get(blob[:300]), blob)
    equal(r.keys(), [blob[:300]])
    large = os.urandom(20_000_000)
    r.set("large", large)
    assert r.get("large") == large, "20,000,000 bytes came back changed"


@test("decodes replies with decode_responses")
def decoded(_r):
    r = connect(decode_responses=True)
    r.set("ключ", "значение")
    equal(r.get("ключ"), "значение")
    equal(r.mget("ключ", "none"), ["значение", None])
    equal(r.config_get("maxmemory"), {"maxmemory": "0"})
    equal(r.type("ключ"), "string")


@test("works with ten threads on one connection pool")
def threads(r):
    errors = []

    def work(number):
        try:
            for _round in range(200):
                r.incr("shared")
                r.set(f"own:{number}", number)
                equal(r.get(f"own:{number}"), b"%d" % number)
        except Exception as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    equal(errors, [])
    equal(r.get("shared"), b"2000")


@test("sends a pipeline of 10,000 commands as a transaction")
def pipeline(r):
    pipe = r.pipeline()
    for number in range(10000):
        pipe.set(f"key:{number}", number)
    equal(pipe.execute(), [True] * 10000)
    for number in range(10000):
        pipe.get(f"key:{number}")
    equal(pipe.execute(), [b"%d" % number for number in range(10000)])


@test("sends a pipeline without a transaction, with errors among the replies")
def bare_pipeline(r):
    pipe = r.pipeline(transaction=False)
    pipe.set("a", "text").incr("a").get("a").execute_command("nosuch")
    ok, error, value, unknown = pipe.execute(raise_on_error=False)
    equal((ok, value), (True, b"text"))
    equal(str(error), "value is not an integer or out of range")
    assert "unknown command" in str(unknown), unknown
    pipe.incr("a")
    raises(redis.ResponseError, "Command # 1 (INCRBY a 1) of pipeline caused error", pipe.execute)


@test("runs a transaction and sees the error of one of its commands")
def transaction(r):
    pipe = r.pipeline()
    pipe.set("a", "text").incr("a").set("b", 1)
    ok, error, last = pipe.execute(raise_on_error=False)
    equal((ok, last), (True, True))
    assert isinstance(error, redis.ResponseError), error
    pipe.execute_command("set", "only-a-key")
    raises(redis.ResponseError, "wrong number of arguments", pipe.execute)


@test("sees a conflict of WATCH as WatchError, and goes through without one")
def watch(r):
    r.set("balance", 10)
    other = connect()
    with r.pipeline() as pipe:
        pipe.watch("balance")
        balance = int(pipe.get("balance"))
        other.set("balance", 99)
        pipe.multi()
        pipe.set("balance", balance + 1)
        raises(redis.WatchError, "Watched variable changed", pipe.execute)
    equal(r.get("balance"), b"99")
    rounds = []

    def add_one(pipe):
        rounds.append(1)
        value = int(pipe.get("balance"))
        if len(rounds) == 1:
            other.incr("balance")
        pipe.multi()
        pipe.set("balance", value + 1)

    r.transaction(add_one, "balance")
    equal((r.get("balance"), len(rounds)), (b"101", 2))


@test("finds every key with scan_iter")
def scan(r):
    r.mset({f"key:{number}": number for number in range(3000)})
    r.mset({f"other:{number}": number for number in range(20)})
    equal(len(set(r.scan_iter())), 3020)
    equal(set(r.scan_iter(match="other:*", count=100)), {b"other:%d" % number for number in range(20)})
    equal(len(set(r.scan_iter(_type="string"))), 3020)
    equal(set(r.scan_iter(_type="list")), set())
    equal(len(r.keys("key:1??")), 100)
    assert r.randomkey() is not None


@test("sets, reads and removes times to live")
def times_to_live(r):
    r.setex("a", 100, "x")
    between(99, r.ttl("a"), 100)
    r.psetex("b", 100000, "x")
    between(99000, r.pttl("b"), 100000)
    equal(r.persist("b"), True)
    equal(r.ttl("b"), -1)
    equal(r.ttl("none"), -2)
    equal(r.expire("a", 50, gt=True), False)
    equal(r.expire("a", 200, gt=True), True)
    at = datetime.datetime.now() + datetime.timedelta(hours=1)
    equal(r.expireat("a", at), True)
    equal(r.expiretime("a"), int(at.timestamp()))
    equal(r.getex("a", persist=True), b"x")
    equal(r.expiretime("a"), -1)
    equal(r.getex("a", px=100000), b"x")
    between(99000, r.pttl("a"), 100000)
    r.set("c", "x", px=datetime.timedelta(milliseconds=20))
    eventually(lambda: r.get("c") is None, "the key expires")


@test("works on bits and bit fields")
def bits(r):
    equal(r.setbit("a", 7, 1), 0)
    equal(r.get("a"), b"\x01")
    equal(r.getbit("a", 7), 1)
    r.set("b", b"\xff\x0f")
    equal(r.bitcount("b"), 12)
    equal(r.bitcount("b", 8, 15, "BIT"), 4)
    equal(r.bitpos("b", 0), 8)
    equal(r.bitop("XOR", "c", "a", "b"), 2)
    equal(r.get("c"), b"\xfe\x0f")
    field = r.bitfield("d", default_overflow="SAT")
    equal(field.set("u8", 0, 250).incrby("u8", 0, 10).get("i5", 100).execute(), [0, 255, 0])
    equal(r.bitfield("d").overflow("FAIL").incrby("u8", 0, 1).execute(), [None])


@test("finds the longest common subsequence")
def longest_common(r):
    r.mset({"a": "ohmytext", "b": "mynewtext"})
    equal(r.lcs("a", "b"), b"mytext")
    equal(r.lcs("a", "b", len=True), 6)
    equal(r.lcs("a", "b", idx=True, withmatchlen=True, minmatchlen=4),
          [b"matches", [[[4, 7], [5, 8], 4]], b"len", 6])


@test("copies, moves, renames and swaps")
def moves(r):
    third = connect(db=3)
    third.flushdb()
    r.set("a", "1", ex=100)
    equal(r.copy("a", "b"), True)
    equal(r.copy("a", "b"), False)
    equal(r.copy("a", "b", replace=True), True)
    between(99, r.ttl("b"), 100)
    equal(r.copy("a", "c", destination_db=3), True)
    equal(third.get("c"), b"1")
    equal(r.move("b", 3), True)
    equal((r.exists("b"), third.exists("b")), (0, 1))
    equal(r.rename("a", "z"), True)
    raises(redis.ResponseError, "no such key", r.rename, "a", "z")
    equal(r.swapdb(0, 3), True)
    equal((r.get("b"), third.get("z")), (b"1", b"1"))
    equal(r.unlink("b", "c", "none"), 2)
    third.flushdb()


@test("dumps and restores")
def dump_and_restore(r):
    r.set("a", b"\x00\xffvalue")
    payload = r.dump("a")
    equal(r.restore("b", 0, payload), b"OK")
    equal(r.get("b"), b"\x00\xffvalue")
    equal(r.restore("b", 100000, payload, replace=True), b"OK")
    between(99000, r.pttl("b"), 100000)
    raises(redis.ResponseError, "BUSYKEY", r.restore, "b", 0, payload)
    wrong = payload[:-1] + bytes([payload[-1] ^ 1])
    raises(redis.ResponseError, "DUMP payload version or checksum are wrong", r.restore, "c", 0, wrong)


@test("looks into objects")
def objects(r):
    r.mset({"int": 12345, "embstr": "short", "raw": "x" * 1000})
    equal([r.object("encoding", key) for key in ("int", "embstr", "raw")], [b"int", b"embstr", b"raw"])
    equal(r.object("refcount", "raw"), 1)
    between(0, r.object("idletime", "raw"), 2)
    between(1000, r.memory_usage("raw"), 2000)
    equal(r.memory_usage("none"), None)
    equal(r.type("int"), b"string")
    equal(r.type("none"), b"none")
    equal(r.touch("int", "none"), 1)
    equal(r.dbsize(), 3)
    assert "peak.allocated" in r.memory_stats(), r.memory_stats()
    equal(r.memory_purge(), True)


@test("reads INFO as numbers and sections")
def info(r):
    r.set("a", 1, ex=100)
    found = r.info()
    equal(found["role"], "master")
    equal(found["tcp_port"], PORT)
    equal(found["db0"]["keys"], 1)
    equal(found["db0"]["expires"], 1)
    equal(found["redis_mode"], "standalone")
    numbers = "used_memory connected_clients uptime_in_seconds total_commands_processed arch_bits".split()
    for name in numbers:
        assert isinstance(found[name], int), f"{name} is {found.get(name)!r}"
    assert "used_memory" in r.info("memory") and "role" not in r.info("memory")
    assert r.info("commandstats")["cmdstat_set"]["calls"] >= 1
    assert "cmdstat_set" in r.info("everything")


@test("reads and changes the configuration")
def config(r):
    equal(r.config_get("maxmemory-pol*"), {"maxmemory-policy": "noeviction"})
    equal(r.config_get("port", "databases"), {"port": str(PORT), "databases": "16"})
    equal(r.config_set("slowlog-max-len", 77), True)
    equal(r.config_get("slowlog-max-len"), {"slowlog-max-len": "77"})
    equal(r.config_set("slowlog-max-len", 128, "timeout", 0), True)
    raises(redis.ResponseError, "Unknown option", r.config_set, "no-such-directive", 1)
    equal(r.config_resetstat(), True)
    between(0, r.info("stats")["total_commands_processed"], 5)


@test("keeps a slow log")
def slow_log(r):
    r.config_set("slowlog-log-slower-than", 0)
    r.slowlog_reset()
    r.set("slow", "command")
    entries = r.slowlog_get(10)
    r.config_set("slowlog-log-slower-than", 10000)
    assert b"SET slow command" in [entry["command"] for entry in entries], entries
    assert all(isinstance(entry["id"], int) and entry["duration"] >= 0 for entry in entries), entries
    assert abs(entries[0]["start_time"] - time.time()) < 10, entries
    assert r.slowlog_len() >= 2
    r.slowlog_reset()
    equal(r.slowlog_len(), 0)


@test("reads the latency monitor")
def latency(r):
    assert isinstance(r.execute_command("LATENCY RESET"), int)
    equal(r.execute_command("LATENCY LATEST"), [])
    equal(r.execute_command("LATENCY HISTORY", "command"), [])
    histogram = r.execute_command("LATENCY HISTOGRAM", "set")
    assert isinstance(histogram, list), histogram


@test("monitors what another client does")
def monitor(r):
    with r.monitor() as watcher:
        other = connect(db=2, client_name="other")
        other.set("a b", b"\x00\xff\"")
        for _command in range(10):
            seen = watcher.next_command()
            if seen["command"].startswith("SET"):
                break
        equal(seen["command"], 'SET a b \\x00\\xff"')
        equal((seen["db"], seen["client_address"], seen["client_type"]), (2, "127.0.0.1", "tcp"))
        assert abs(seen["time"] - time.time()) < 10, seen
        local = redis.Redis(unix_socket_path=UNIXSOCKET)
        local.set("from", "unix")
        for _command in range(10):
            seen = watcher.next_command()
            if seen["command"] == "SET from unix":
                break
        equal(seen["client_type"], "unix")


@test("describes the commands of the server")
def command_table(r):
    table = r.command()
    equal(table["get"]["arity"], 2)
    mset = table["mset"]
    equal((mset["first_key_pos"], mset["last_key_pos"], mset["step_count"]), (1, -1, 2))
    assert {"write", "denyoom"} <= set(table["set"]["flags"]), table["set"]
    equal(r.command_count(), len(table))
    found = r.execute_command("COMMAND INFO", "get", "nosuch")
    equal((found[0][0], found[0][1], found[1]), (b"get", 2, None))
    equal(r.command_getkeys("MSET", "a", 1, "b", 2), ["a", "b"])
    equal(sorted(r.command_list(category="bitmap"))[:2], [b"bitcount", b"bitfield"])


@test("lists, names and kills clients")
def clients(_r):
    r = connect(single_connection_client=True, client_name="killer")
    victim = connect(single_connection_client=True, client_name="victim")
    identity = victim.client_id()
    listed = {client["name"]: client for client in r.client_list()}
    equal(int(listed["victim"]["id"]), identity)
    equal(listed["victim"]["db"], "0")
    equal(r.client_info()["name"], "killer")
    equal(r.client_list(client_id=[str(identity)])[0]["name"], "victim")
    equal(r.client_getname(), "killer")
    equal(r.client_kill_filter(_id=identity), 1)
    eventually(lambda: not r.client_list(client_id=[str(identity)]), "the killed client is gone")
    raises(redis.ConnectionError, "", victim.ping)
    equal(victim.ping(), True)
    assert victim.client_id() != identity
    equal(victim.client_getname(), "victim")
    raises(redis.ResponseError, "No such client", r.client_kill, "127.0.0.1:1")
    equal(r.client_kill_filter(addr="127.0.0.1:1"), 0)
    equal(r.client_no_evict("ON"), b"OK")
    equal(r.client_unblock(identity), False)


@test("pauses the other clients' writes")
def pause(r):
    writer = connect()
    writer.ping()
    r.client_pause(60000, all=False)
    done = []
    worker = threading.Thread(target=lambda: done.append(writer.set("a", "written")))
    worker.start()
    try:
        for _round in range(200):
            equal(r.get("a"), None)
        equal(done, [])
    finally:
        r.client_unpause()
        worker.join(DEADLINE_SECONDS)
    equal(done, [True])
    equal(r.get("a"), b"written")
    begin = time.monotonic()
    r.client_pause(150)
    equal(writer.get("a"), b"written")
    between(0.14, time.monotonic() - begin, DEADLINE_SECONDS)


@test("asks for role, time, last save, echo and wait")
def small_things(r):
    equal(r.role(), [b"master", 0, []])
    between(time.time() - 10, r.time()[0], time.time() + 10)
    assert isinstance(r.lastsave(), datetime.datetime)
    equal(r.echo("hello"), b"hello")
    equal(r.wait(0, 10), 0)
    equal(r.ping(), True)
    assert b"ver" in r.lolwut(), r.lolwut()


@test("maps errors to its exceptions")
def errors(r):
    r.set("a", "text")
    raises(redis.ResponseError, "value is not an integer or out of range", r.incr, "a")
    raises(redis.ResponseError, "unknown command 'NOSUCH', with args beginning with: 'x' ",
           r.execute_command, "NOSUCH", "x")
    raises(redis.ResponseError, "wrong number of arguments for 'get' command", r.execute_command, "GET")
    raises(redis.ResponseError, "syntax error", r.execute_command, "SET", "a", "b", "BAD")
    raises(redis.ResponseError, "invalid expire time in 'set' command", r.set, "a", "b", ex=0)
    raises(redis.ResponseError, "DB index is out of range", connect(db=99).ping)


@test("selects databases, and empties one or all")
def databases(r):
    others = [connect(db=number) for number in range(16)]
    for number, other in enumerate(others):
        other.set("number", number)
    equal([int(other.get("number")) for other in others], list(range(16)))
    equal(others[5].flushdb(), True)
    equal([other.dbsize() for other in others], [1] * 5 + [0] + [1] * 10)
    equal(r.flushall(asynchronous=True), True)
    equal([other.dbsize() for other in others], [0] * 16)


@test("connects through a unix socket")
def unix_socket(r):
    local = redis.Redis(unix_socket_path=UNIXSOCKET)
    local.set("a", "over unix")
    equal(r.get("a"), b"over unix")


@test("logs in with a password, and maps refusals to its exceptions")
def password(_r):
    equal(redis.Redis(port=GUARDED_PORT, password="secret").ping(), True)
    equal(redis.Redis(port=GUARDED_PORT, username="default", password="secret").ping(), True)
    equal(redis.from_url(f"redis://:secret@127.0.0.1:{GUARDED_PORT}/2").ping(), True)
    raises(redis.AuthenticationError, "Authentication required.", redis.Redis(port=GUARDED_PORT).ping)
    raises(redis.ResponseError, "WRONGPASS invalid username-password pair",
           redis.Redis(port=GUARDED_PORT, password="wrong").ping)


def main():
    with os.fdopen(int(os.environ["RESULTS_FD"]), "w") as results:
        for name, function in TESTS:
            if os.environ["TEST_ONLY"] not in name:
                continue
            begin, detail = time.monotonic(), None
            r = connect()
            try:
                r.flushall()
                function(r)
                r.close()
            except Exception:
                detail = traceback.format_exc()
            result = {"name": name, "ok": not detail, "detail": detail, "seconds": time.monotonic() - begin}
            print(json.dumps(result), file=results, flush=True)
        print(json.dumps({"done": True}), file=results)


if __name__ == "__main__":
    main()
