# SPDX-License-Identifier: BSD-3-Clause
"""files.py - what is in a checkpoint: it comes back after a kill, and utils/inspect-checkpoint reads, judges and dumps it.

May touch: servers, the tool, lz4 and redis-cli. Must never know: how a checkpoint looks inside, beyond damaging it.
Tests: it is one of tests/checkpoint/run.
"""

import os
import subprocess
import time

from stage import (ROOT, DEADLINE_SECONDS, content, eventually, expect, expect_content, expect_equal, expect_in, fill_many,
                   future_version, needed, test)

HOUR_MS = 3600_000


def put_varied(server, random):
    """Keys and values of many sizes and all bytes, in several databases, with and without expiry."""
    later_ms = int(time.time() * 1000) + HOUR_MS
    for database in (0, 1, 9, 15):
        pipeline = server.client(database).pipeline(transaction=False)
        for size in (0, 1, 19, 20, 21, 254, 255, 256, 4095, 65535, 65536, 70000, 262144, 300000):
            pipeline.set(f"random {size}", random.randbytes(size))
            pipeline.set(f"zeros {size}", bytes(size), pxat=later_ms + size)
            pipeline.set(b"key " + random.randbytes(size), f"of {size}")
        pipeline.set("", "of the empty key")
        pipeline.set(bytes(range(256)), bytes(range(255, -1, -1)))
        pipeline.set("number", -(1 << 63))
        pipeline.set(b"\r\n$3\r\n*1", b"\r\n", pxat=later_ms)
        pipeline.set("far", "away", pxat=(1 << 53) + 1)
        for i in range(3000):
            key = random.choice((f"user:{i}", f"{{tag{i % 7}}}:{i}", random.randbytes(random.randrange(5, 40))))
            pipeline.set(key, random.randbytes(random.randrange(200)),
                         pxat=later_ms + random.randrange(10**9) if random.random() < 0.4 else None)
        pipeline.execute()
    client = server.client(9)
    client.set("5 MiB", random.randbytes(5 << 20), pxat=later_ms)
    client.set("5 MiB that pack well", (b"%d " % random.randrange(100)) * (2 << 20))
    client.set(random.randbytes(100 << 10), "a key of 100 KiB")
    client.set(random.randbytes(2 << 20), random.randbytes(1 << 20), pxat=later_ms)


def pipe(server, commands):
    """Sends commands through redis-cli --pipe."""
    done = subprocess.run([needed("redis-cli"), "-p", str(server.port), "--pipe"], input=commands, capture_output=True,
                          timeout=DEADLINE_SECONDS, check=False)
    expect(done.returncode == 0 and b"errors: 0," in done.stdout, f"redis-cli --pipe: {done.stdout!r} {done.stderr!r}")


def saved(world, keys=20000):
    """The path of a checkpoint with so many keys, and what is in it."""
    server = world.start(world.new_folder())
    fill_many(server, keys)
    server.client(3).set("in another database", "x" * 3000, ex=1000)
    server.client().save()
    found = content(server)
    server.kill()
    return server.folder / "dump.rdb", found


@test
def everything_comes_back_after_a_kill(world):
    server = world.start(world.new_folder())
    put_varied(server, world.random)
    path, before = server.folder / "dump.rdb", content(server)
    expect(len(before) > 10000, "too few keys")
    server.client().save()
    expect_equal(path.stat().st_mode & 0o777, 0o600, "the file's mode")
    server.kill()

    found = world.inspect_json(path)
    expiring = sum(expiry != -1 for _value, expiry in before.values())
    expect_equal((found["valid"], found["records"], found["keys"], found["with_expiry"], found["expired"], found["types"]),
                 (True, len(before), len(before), expiring, 0, {"string": len(before)}), "what the tool counts")
    by_database = {}
    for database, _key in before:
        by_database[str(database)] = by_database.get(str(database), 0) + 1
    expect_equal({name: tally["keys"] for name, tally in found["databases"].items()}, by_database, "keys by database")
    expect_equal((found["key_sizes"]["bytes"], found["value_sizes"]["bytes"]),
                 (sum(len(key) for _database, key in before), sum(len(value) for value, _expiry in before.values())),
                 "bytes of keys and values")
    expect_equal(found["file_bytes"], path.stat().st_size, "the file's size")
    subprocess.run([needed("lz4"), "-t", str(path)], check=True, capture_output=True)

    again = world.start(server.folder)
    expect_content(again, before, "after the kill")
    expect_equal(again.info()["rdb_last_load_keys_loaded"], len(before), "rdb_last_load_keys_loaded")
    other = world.start(world.new_folder())
    dump = world.inspect("--dump", path)
    expect_in(f"{len(before)} keys were written", dump.stderr.decode())
    pipe(other, dump.stdout)
    expect_content(other, before, "after --dump | redis-cli --pipe")


@test
def keys_by_slot_are_those_of_the_cluster(world):
    server = world.start(world.new_folder())
    client = server.client()
    for i in range(7):
        client.set(f"{{user1000}}.{i}", "x")  # slot 3443
    for i in range(3):
        client.set(f"foo{{{{bar}}zap{i}", "x")  # the tag is {bar: slot 4015
    client.set("123456789", "x")  # slot 12739
    client.save()
    slots = world.inspect_json(server.folder / "dump.rdb")["slots"]
    expect_equal(slots["fullest"], [{"slot": 3443, "keys": 7}, {"slot": 4015, "keys": 3}, {"slot": 12739, "keys": 1}], "the slots")
    expect_equal((slots["used"], slots["min"], slots["max"]), (3, 0, 7), "the slots")


@test
def counters_of_a_cluster_are_told_and_come_back(world):
    first = world.start(world.new_folder(), "--cluster-enabled", "yes")
    seeds = ("--cluster-enabled", "yes", "--cluster-seeds", f"127.0.0.1:{first.port}")
    second = world.start(world.new_folder(), *seeds)
    eventually(lambda: all(b"cluster_known_nodes:2" in node.client().execute_command("CLUSTER", "INFO")
                           for node in (first, second)), "two nodes know each other")
    client = first.client()
    for i in range(30):
        client.incr("hits")
        client.incrbyfloat(f"float {i % 3}", 0.5)
        client.set(f"plain {i}", i)
    eventually(lambda: second.client().save() and world.inspect_json(second.folder / "dump.rdb")["counters"] == 4, "all is there")
    path = second.folder / "dump.rdb"
    found = world.inspect_json(path)
    expect_equal((found["valid"], found["records"], found["counters"], found["with_siblings"]), (True, 34, 4, 0), "the counts")
    expect_in("\n  counters        4\n", world.inspect(path).stdout.decode())
    second.kill()
    second = world.start(second.folder, *seeds)
    eventually(lambda: second.client().get("hits") == b"30", "the counter is back")
    expect_equal(second.client().incr("hits"), 31, "the counter goes on")
    expect_equal(second.client().get("float 0"), b"5", "a float")


@test
def the_biggest_keys_are_told_with_their_bytes_escaped(world):
    server = world.start(world.new_folder())
    client, long_key = server.client(5), b"k" * 130000
    for i in range(300):
        client.set(f"small {i}", "x" * i)
    client.set(b'\x00\xff"\\\n', "y" * 5000, pxat=4102444800123)
    client.set(long_key, "z")
    client.set("longest", bytes(700000))
    client.save()
    path = server.folder / "dump.rdb"
    biggest = world.inspect_json("--biggest", 4, path)["biggest"]
    expect_equal([(big["key"].encode("latin-1"), big["key_size"], big["value_size"], big["database"]) for big in biggest],
                 [(b"longest", 7, 700000, 5), (long_key[:128], 130000, 1, 5), (b'\x00\xff"\\\n', 5, 5000, 5),
                  (b"small 299", 9, 299, 5)], "the biggest keys")
    expect_equal(biggest[2]["expiry_ms"], 4102444800123, "the expiry")
    text = world.inspect("--biggest", 3, path).stdout.decode()
    expect_in(': a valid checkpoint\n', text)
    expect_in('"\\x00\\xff\\"\\\\\\x0a"  until 2100-01-01 00:00:00.123 UTC\n', text)
    expect("small 299" not in text, text)
    expect_equal(world.inspect_json("--biggest", 0, path)["biggest"], [], "no biggest keys")
    expect_equal(len(world.inspect_json("--biggest", 100000, path)["biggest"]), 303, "all of them")


@test
def an_expired_key_is_counted_and_neither_loaded_nor_dumped(world):
    server = world.start(world.new_folder())
    client = server.client()
    client.set("stays", "x", ex=1000)
    expiry_ms = int(time.time() * 1000) + 1500
    client.set("goes", "x", pxat=expiry_ms)
    client.save()
    server.kill()
    path = server.folder / "dump.rdb"
    eventually(lambda: time.time() * 1000 > expiry_ms + 1, "the key has expired")
    found = world.inspect_json(path)
    expect_equal((found["keys"], found["with_expiry"], found["expired"]), (2, 2, 1), "what the tool counts")
    expect_equal(world.inspect("--dump", path).stdout.count(b"SET"), 1, "the number of commands")
    again = world.start(server.folder)
    expect_equal(again.client().keys(), [b"stays"], "KEYS")
    info = again.info()
    expect_equal((info["rdb_last_load_keys_loaded"], info["rdb_last_load_keys_expired"]), (1, 1), "keys loaded and expired")


@test
def an_empty_checkpoint_is_one_too(world):
    server = world.start(world.new_folder())
    server.client().save()
    path = server.folder / "dump.rdb"
    expect_equal(world.inspect_json(path)["records"], 0, "records")
    expect_in("records           0\n", world.inspect(path).stdout.decode())
    expect_equal(world.inspect("--dump", path).stdout, b"", "the dump")
    server.kill()
    expect_equal(world.start(server.folder).client().dbsize(), 0, "DBSIZE")


def damaged_copies(path, random):
    """Damaged files and what the tool should say of them."""
    data = path.read_bytes()
    yield b"", "the file is empty"
    yield data[:10], "within its header"
    yield data[:-1], "the file ends at byte "
    yield data[:len(data) // 2], "the file ends at byte "
    yield data + b"\0", "there is something behind the footer"
    yield data[:100] + bytes([data[100] ^ 1]) + data[101:], "header at byte 0: checksum does not match"
    middle = len(data) // 2 + random.randrange(1000)
    yield data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1:], "block "
    yield bytes(len(data)), "the file begins with zeros"


@test
def a_damaged_file_is_called_damaged_and_where(world):
    path, _found = saved(world)
    copy = world.folder / "copy.rdb"
    for data, words in damaged_copies(path, world.random):
        copy.write_bytes(data)
        done = world.inspect(copy, code=1)
        expect_in(" is damaged: ", done.stderr.decode())
        expect_in(words, done.stderr.decode())
        expect_in(": a DAMAGED checkpoint: ", done.stdout.decode())
        told = world.inspect_json(copy, code=1)
        expect(not told["valid"] and words in told["problem"], f"{told}")
        expect_equal(world.inspect("--dump", copy, code=1).stdout, b"", "the dump of a damaged file")


@test
def what_comes_before_the_damage_can_be_saved(world):
    path, found = saved(world)
    data, copy = path.read_bytes(), world.folder / "copy.rdb"
    copy.write_bytes(data[:len(data) * 2 // 3])
    done = world.inspect("--dump", "--salvage", copy, code=1)
    expect_in(" is damaged: the file ends at byte ", done.stderr.decode())
    server = world.start(world.new_folder())
    pipe(server, done.stdout)
    part = content(server)
    expect(0 < len(part) < len(found) and part.items() <= found.items(), f"{len(part)} of {len(found)} keys")
    expect_equal(world.inspect("--dump", "--salvage", path).stdout, world.inspect("--dump", path).stdout, "a valid file's dump")


@test
def other_files_are_named_as_what_they_are(world):
    path, _found = saved(world, 10)
    copy = world.folder / "copy"
    for data, words in ((b"REDIS0010" + bytes(100), "is an RDB file of Redis"), (os.urandom(1000), "does not begin as a checkpoint"),
                        (b"hello\n", "does not begin as a checkpoint")):
        copy.write_bytes(data)
        expect_in(words, world.inspect(copy, code=2).stderr.decode())
    copy.write_bytes(future_version(path.read_bytes()))
    expect_in("format version 3 ", world.inspect(copy, code=2).stderr.decode())
    expect_in("No such file", world.inspect(world.folder / "nothing there", code=2).stderr.decode())
    expect_in("Is a directory", world.inspect(world.folder, code=2).stderr.decode())
    copy.unlink()
    os.mkfifo(copy)
    world.inspect(copy, code=2)
    link = world.folder / "link"
    link.symlink_to(path)
    world.inspect(link)


@test
def no_bytes_make_the_tool_crash(world):
    path, _found = saved(world, 3000)
    data, copy, random = path.read_bytes(), world.folder / "copy", world.random
    for _round in range(100):
        damaged = bytearray(data)
        for _flip in range(random.choice((1, 1, 5, 100))):
            damaged[random.randrange(random.choice((8, 200, len(data))))] = random.randrange(256)
        if random.random() < 0.3:
            del damaged[random.randrange(len(data)):]
        copy.write_bytes(damaged)
        words = random.choice(([], ["--json"], ["--dump"], ["--dump", "--salvage"]))
        done = subprocess.run([str(world.options.tool), *words, str(copy)], capture_output=True, timeout=DEADLINE_SECONDS, check=False)
        wanted = (0,) if bytes(damaged) == data else (1, 2)
        expect(done.returncode in wanted, f"exit {done.returncode} with {words}: {done.stderr!r}")


@test
def wrong_options_are_refused(world):
    for words in ([], ["a", "b"], ["--nonsense", "a"], ["--biggest", "x", "a"], ["--biggest", "-1", "a"], ["--biggest", "100001", "a"],
                  ["--dump", "--json", "a"], ["--dump", "--biggest", "3", "a"], ["--salvage", "a"]):
        expect_in("usage: utils/inspect-checkpoint", world.inspect(*words, code=2).stderr.decode())
    done = subprocess.run([ROOT / "utils" / "inspect-checkpoint", "--help"], capture_output=True, check=True)
    expect_in("usage: utils/inspect-checkpoint", done.stdout.decode())


@test
def a_report_that_cannot_be_written_is_no_success(world):
    path, _found = saved(world)
    for words in ([], ["--json"], ["--dump"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([str(world.options.tool), *words, str(path)], stdout=full, stderr=subprocess.PIPE, check=False)
        expect(done.returncode == 2 and b"No space left" in done.stderr, f"{words}: exit {done.returncode}, {done.stderr!r}")
