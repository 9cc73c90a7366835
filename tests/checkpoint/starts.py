# SPDX-License-Identifier: BSD-3-Clause
"""starts.py - which file a start takes, what it says of the others, when it refuses, and what clients get meanwhile.

May touch: servers, their files. Must never know: how a checkpoint looks inside, beyond damaging it.
Tests: it is one of tests/checkpoint/run.
"""

import re
import signal
import subprocess
import time

from stage import (ROOT, Failure, content, eventually, expect, expect_content, expect_equal, expect_in, fill_many, future_version,
                   test)

RULES = "3600 100000000"
# The server lets clients in while it loads only when that takes longer than this.
LOADS_ALONE_SECONDS = 0.5
LOADING_ATTEMPTS = 5


def flip(path, random):
    """Damages a file in its middle."""
    data = bytearray(path.read_bytes())
    data[random.randrange(len(data) // 4, len(data) * 3 // 4)] ^= 1 << random.randrange(8)
    path.write_bytes(data)


def two_generations(world):
    """A folder with two checkpoints, and what is in the newer and in the older one."""
    server = world.start(world.new_folder())
    fill_many(server, 3000)
    server.client(2).set("b", "2", ex=5000)
    server.client().save()
    older = content(server)
    server.client().set("only in the newer one", "x")
    server.client().delete("many:0")
    server.client().save()
    newer = content(server)
    server.kill()
    return server.folder, newer, older


def bytes_of(folder):
    """The files but for the identity, which every start changes."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if ".node" not in path.name}


def identity(folder):
    return dict(line.split(" ", 1) for line in (folder / "dump.rdb.node").read_text().splitlines()[1:])


@test
def a_damaged_file_gives_way_to_the_previous_one_and_is_set_aside(world):
    folder, _newer, older = two_generations(world)
    flip(folder / "dump.rdb", world.random)
    damaged = (folder / "dump.rdb").read_bytes()
    server = world.start(folder)
    expect_content(server, older, "from the previous one")
    for words in ("dump.rdb is damaged: block ", "Falling back to dump.rdb.previous", "dump.rdb is set aside as dump.rdb.damaged",
                  ", the previous checkpoint; "):
        expect_in(words, server.log(), "the log")
    expect_equal((folder / "dump.rdb.damaged").read_bytes(), damaged, "the file that was set aside")
    # The next checkpoint is the newest again; a second damaged file has a name of its own.
    server.client().save()
    server.kill()
    flip(folder / "dump.rdb", world.random)
    expect_content(world.start(folder), older, "from the previous one, again")
    expect((folder / "dump.rdb.damaged.2").exists(), str(sorted(bytes_of(folder))))


@test
def a_damaged_previous_file_does_not_matter(world):
    folder, newer, _older = two_generations(world)
    flip(folder / "dump.rdb.previous", world.random)
    expect_content(world.start(folder), newer, "from the newest one")


@test
def a_newest_file_that_is_gone_gives_way_to_the_previous_one(world):
    folder, _newer, older = two_generations(world)
    (folder / "dump.rdb").unlink()
    expect_content(world.start(folder), older, "from the previous one")


@test
def without_a_valid_file_the_start_is_refused_until_it_may_be_empty(world):
    folder, newer, _older = two_generations(world)
    good = (folder / "dump.rdb").read_bytes()
    for path in (folder / "dump.rdb", folder / "dump.rdb.previous"):
        flip(path, world.random)
    before = bytes_of(folder)
    for _attempt in range(2):
        log = world.expect_refusal(folder)
        for words in ("dump.rdb is damaged: ", "dump.rdb.previous is damaged: ", "No valid checkpoint: ", "--start-empty"):
            expect_in(words, log, "the log")
        expect_equal(bytes_of(folder), before, "the files")
    # What the log says: put a good copy in place.
    (folder / "dump.rdb").write_bytes(good)
    server = world.start(folder)
    expect_content(server, newer, "from the copy")
    server.kill()

    (folder / "dump.rdb").write_bytes(before["dump.rdb"])
    server = world.start(folder, "--start-empty")
    expect_equal(server.client().dbsize(), 0, "DBSIZE")
    expect_in("beginning without data", server.log(), "the log")
    expect_equal(sorted(bytes_of(folder).values()), sorted(before.values()), "the damaged files")
    expect("dump.rdb" not in bytes_of(folder), "a damaged file has still its name")
    server.client().set("new", "x")
    server.client().save()
    server.kill()
    expect_equal(world.start(folder).client().keys(), [b"new"], "KEYS")


@test
def where_there_was_a_checkpoint_none_is_an_error(world):
    folder, _newer, _older = two_generations(world)
    for name in ("dump.rdb", "dump.rdb.previous"):
        (folder / name).unlink()
    expect_in("has saved checkpoints before", world.expect_refusal(folder), "the log")
    server = world.start(folder, "--start-empty")
    expect_equal(server.client().dbsize(), 0, "DBSIZE")


@test
def a_file_of_a_later_version_is_refused_and_left_alone(world):
    folder, _newer, _older = two_generations(world)
    path = folder / "dump.rdb"
    path.write_bytes(future_version(path.read_bytes()))
    before = bytes_of(folder)
    for words in ([], ["--start-empty"]):
        log = world.expect_refusal(folder, *words)
        expect_in("dump.rdb has format version 3, which is later than what this version of the server knows (2)", log, "the log")
        expect_equal(bytes_of(folder), before, "the files")


@test
def what_is_no_checkpoint_is_refused_and_left_alone(world):
    folder = world.new_folder()
    (folder / "dump.rdb").write_bytes(b"somebody's file\n" * 100)
    before = bytes_of(folder)
    expect_in("it does not begin as a checkpoint", world.expect_refusal(folder), "the log")
    expect_equal(bytes_of(folder), before, "the files")


@test
def an_rdb_file_of_redis_is_imported_at_the_start_and_kept(world):
    reference = subprocess.run([ROOT / "deps" / "reference-server"], capture_output=True, text=True, check=True).stdout.strip()
    folder, ours = world.new_folder(), world.options.server
    world.options.server = reference
    try:
        theirs = world.start(folder)
    finally:
        world.options.server = ours
    fill_many(theirs, 5000)
    theirs.client(4).set("expires", "x", ex=10000)
    theirs.client().save()
    before, data = content(theirs), (folder / "dump.rdb").read_bytes()
    theirs.kill()
    server = world.start(folder)
    expect_content(server, before, "from an RDB file")
    expect_in("an RDB file of Redis", server.log(), "the log")
    server.client().save()
    server.kill()
    world.expect_valid(folder / "dump.rdb")
    expect_equal((folder / "dump.rdb.redis").read_bytes(), data, "the RDB file")
    expect_content(world.start(folder), before, "from the first checkpoint")


@test
def a_node_keeps_its_id_and_counts_its_starts(world):
    folder, seen = world.new_folder(), []
    for _start in range(3):
        server = world.start(folder)
        server.client().set("key", "x")
        server.client().save()
        eventually(lambda: identity(folder)["checkpoint"] == "yes", "it is noted that there is a checkpoint")
        server.kill()
        writer = world.expect_valid(folder / "dump.rdb")["writer"]
        file = identity(folder)
        expect_equal((file["id"], int(file["incarnation"])), (writer["node"], writer["incarnation"]), "the identity's file")
        seen.append(writer)
    expect_equal(len({writer["node"] for writer in seen}), 1, "the number of ids")
    expect_equal([writer["incarnation"] for writer in seen], [1, 2, 3], "the incarnations")


@test
def a_second_server_in_a_folder_is_refused_if_it_would_save_there(world):
    folder, newer, _older = two_generations(world)
    first = world.start(folder, save=RULES)
    expect_in("Another server keeps its data in ", world.expect_refusal(folder, save=RULES), "the log")
    second = world.start(folder)
    expect_in("Another server keeps its data in ", second.log(), "the log")
    expect_content(second, newer, "the second server")
    expect_content(first, newer, "the first server")
    mine = identity(folder)
    second.kill()
    expect_equal(identity(folder), mine, "the identity's file")
    # With another name there is room for both.
    third = world.start(folder, "--dbfilename", "other.rdb", save=RULES)
    expect_equal(third.client().dbsize(), 0, "DBSIZE of a server with another name")
    first.kill()
    expect_content(world.start(folder, save=RULES), newer, "the first one again, after a kill")


@test
def a_folder_that_is_not_there_is_an_error(world):
    log = world.expect_refusal(world.folder / "nothing there")
    expect_in("No such file or directory", log, "the log")


# ---- While a file is loaded ----------------------------------------------------------------------------------------------


def big_checkpoint(world, keys=700_000):
    server = world.start(world.new_folder())
    fill_many(server, keys)
    server.client().save()
    server.kill()
    return server.folder, keys


def stopped_while_loading(world, folder):
    """A server that was stopped by a signal in the middle of loading, for longer than it would load without clients."""
    server = world.begin(folder)
    eventually(lambda: "This is node" in server.log(), "the server has begun")
    server.process.send_signal(signal.SIGSTOP)
    # Time must go by for the server while it does nothing: there is nothing to wait for but the clock.
    time.sleep(LOADS_ALONE_SECONDS)
    return server


def answers_while_loading(server):
    """Commands that wait for the server when it goes on, so that they are answered at once. A server that has loaded
    already carries them out: they add no key, for the file may be loaded once more."""
    with server.connection() as connection:
        connection.sendall(b"INFO persistence\r\nGET many:1\r\nSET many:1 b\r\nPING\r\nSAVE\r\nBGSAVE\r\nECHO end\r\n")
        server.process.send_signal(signal.SIGCONT)
        data = b""
        while not data.endswith(b"$3\r\nend\r\n") and data.count(b"\r\n-LOADING") < 6:
            part = connection.recv(1 << 16)
            if not part:
                raise Failure(f"the connection is closed:\n{server.log()}")
            data += part
    return data.decode()


@test
def clients_are_told_while_a_file_is_loaded(world):
    folder, keys = big_checkpoint(world)
    for _attempt in range(LOADING_ATTEMPTS):
        server = stopped_while_loading(world, folder)
        text = answers_while_loading(server)
        if "\r\nloading:1\r\n" in text:
            break
        server.kill()  # it was too fast
    expect_in("\r\nloading:1\r\n", text, "INFO")
    for field in ("loading_start_time", "loading_total_bytes", "loading_loaded_bytes", "loading_eta_seconds"):
        expect(re.search(rf"\r\n{field}:\d+\r\n", text), f"INFO has no {field}:\n{text}")
    percent = float(re.search(r"\r\nloading_loaded_perc:([\d.]+)\r\n", text).group(1))
    expect(0 <= percent < 100, f"loading_loaded_perc:{percent}")
    expect(text.count("-LOADING ") >= 4, f"commands are not refused:\n{text}")
    eventually(lambda: server.client().info("persistence")["loading"] == 0, "it is loaded")
    client = server.client()
    expect_equal(client.dbsize(), keys, "DBSIZE")
    expect_equal(client.get(f"many:{keys - 1}"), b"%d." % (keys - 1) + b"x" * (19 - len(str(keys - 1))), "GET")
    expect_equal(client.set("a", "b"), True, "SET")


def ended_while_loading(world, folder, how):
    """Ends a server that is loading, by a signal or by a command; whether it was loading still."""
    before = bytes_of(folder)
    server = world.begin(folder, save=RULES)
    eventually(lambda: "This is node" in server.log(), "the server has begun")
    if how == signal.SIGTERM:
        server.process.send_signal(how)
    else:
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(LOADS_ALONE_SECONDS)  # as above
        with server.connection() as connection:
            connection.sendall(how)
            server.process.send_signal(signal.SIGCONT)
            connection.recv(100)
    server.wait(0, how)
    world.expect_valid(folder / "dump.rdb")
    if "Loaded " in server.log():
        return False  # and it may have saved
    expect_equal(bytes_of(folder), before, f"the files after {how!r}")
    return True


@test
def an_end_while_a_file_is_loaded_leaves_the_file_alone(world):
    folder, keys = big_checkpoint(world)
    for how in (signal.SIGTERM, b"SHUTDOWN\r\n", b"SHUTDOWN SAVE\r\n"):
        expect(any(ended_while_loading(world, folder, how) for _attempt in range(LOADING_ATTEMPTS)),
               f"it had always loaded before {how!r}")
    expect_equal(world.start(folder).client().dbsize(), keys, "DBSIZE")
