# SPDX-License-Identifier: BSD-3-Clause
"""disks.py - disks that are full or cannot be written, and the ways in which the server ends.

May touch: servers, small file systems of the test's own. Must never know: how a checkpoint looks inside.
Tests: it is one of tests/checkpoint/run.
"""

import errno
import os
import signal

import redis

from stage import content, eventually, expect, expect_content, expect_equal, expect_in, fill_many, fill_random, test

# Rules that are there, but whose time does not come.
RULES = "3600 100000000"


def error_of(function, *words):
    """The error that a command gives, as text; "" if it gives none."""
    try:
        function(*words)
        return ""
    except redis.ResponseError as error:
        return str(error)


def expect_writes_refused(server):
    client = server.client()
    for words in (("SET", "new", "x"), ("APPEND", "old", "x"), ("DEL", "old"), ("EXPIRE", "old", 100), ("FLUSHALL",)):
        expect_in("MISCONF", error_of(client.execute_command, *words), f"the answer to {words}")
    expect_equal(client.get("old"), b"value", "GET")
    expect_equal(client.echo("x"), b"x", "ECHO")


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def server_on_small_disk(world, save=RULES):
    """A server with a checkpoint on a file system of 8 MiB, and the bytes of that."""
    folder = world.small_file_system()
    server = world.start(folder, save=save)
    server.client().set("old", "value")
    fill_random(server, world.random, 2)
    expect(server.bgsave(), server.log())
    return server, (folder / "dump.rdb").read_bytes()


@test
def a_full_disk_ends_writes_and_not_the_server_until_there_is_room(world):
    server, first = server_on_small_disk(world)
    client, path = server.client(), server.folder / "dump.rdb"
    fill_random(server, world.random, 12, b"more:")
    last_save = client.lastsave()
    expect(not server.bgsave(), "BGSAVE works on a full disk")
    info = server.info()
    expect_in("No space left on device", info["checkpoint_last_error"], "checkpoint_last_error")
    expect(info["rdb_changes_since_last_save"] > 0, f"{info}")
    expect_equal(client.lastsave(), last_save, "LASTSAVE")
    expect_in("Saving failed (", server.log(), "the log")
    expect_equal(path.read_bytes(), first, "the checkpoint that was there")
    expect_equal(names_in(server.folder), ["dump.rdb", "dump.rdb.node"], "the files")
    world.expect_valid(path)

    expect_writes_refused(server)
    client.config_set("stop-writes-on-bgsave-error", "no")
    expect_equal(client.set("new", "x"), True, "SET")
    client.config_set("stop-writes-on-bgsave-error", "yes")
    expect_writes_refused(server)
    client.config_set("save", "")
    expect_equal(client.set("new", "y"), True, "SET without rules")
    client.config_set("save", RULES)
    expect_writes_refused(server)
    expect_in("No space left on device", error_of(client.save), "the answer to SAVE")
    expect(not server.bgsave(), "BGSAVE works on a full disk")

    world.remount(server.folder, "size=64m")
    expect(server.bgsave(), server.log())
    expect_equal(server.info()["checkpoint_last_error"], "", "checkpoint_last_error")
    expect_equal(client.set("newest", "z"), True, "SET")
    before = content(server)
    expect_equal(client.save(), True, "SAVE")
    server.kill()
    world.expect_valid(path)
    expect_content(world.start(server.folder), before, "after the disk was full")


@test
def the_save_rules_try_again_and_recover(world):
    server, _first = server_on_small_disk(world, save="1 1")
    client = server.client()
    # Each write that is taken is a change; with the rule, a save is due a second later.
    fill_random(server, world.random, 12, b"more:")
    eventually(lambda: server.info()["rdb_last_bgsave_status"] == "err", "the rules find the disk full")
    expect_writes_refused(server)
    saves = server.info()["rdb_saves"]
    world.remount(server.folder, "size=64m")
    eventually(lambda: server.info()["rdb_last_bgsave_status"] == "ok", "the rules try again")
    expect_equal(client.set("new", "x"), True, "SET")
    expect(server.info()["rdb_saves"] - saves < 4, "it was tried too often")
    expect_in("the save rules try again in 5 s", server.log(), "the log")


@test
def a_disk_that_cannot_be_written_is_told_and_recovers(world):
    # The server holds its own folder's identity open, so that only another one can be made read-only.
    server, other = world.start(world.new_folder(), "--enable-protected-configs", "yes", save=RULES), world.small_file_system()
    client = server.client()
    client.set("old", "value")
    world.remount(other, "ro")
    client.config_set("dir", str(other))
    expect(not server.bgsave(), "BGSAVE works on a disk that cannot be written")
    expect_in("Read-only file system", server.info()["checkpoint_last_error"], "checkpoint_last_error")
    expect_writes_refused(server)
    expect_equal(names_in(other), [], "the files")
    world.remount(other, "rw")
    expect(server.bgsave(), server.log())
    expect_equal(client.set("new", "x"), True, "SET")
    expect_equal(world.expect_valid(other / "dump.rdb")["keys"], 1, "keys")


@test
def a_folder_that_cannot_be_written_is_served_from(world):
    server, _first = server_on_small_disk(world)
    before = content(server)
    server.kill()
    world.remount(server.folder, "ro")
    again = world.start(server.folder, save=RULES)
    expect_content(again, before, "from a read-only folder")
    expect_in("cannot be kept in", again.log(), "the log")
    expect(not again.bgsave(), "BGSAVE works on a disk that cannot be written")


@test
def a_full_disk_keeps_the_server_from_ending_unless_that_is_meant(world):
    server, first = server_on_small_disk(world)
    client = server.client()
    fill_random(server, world.random, 12, b"more:")
    before = content(server)
    for words in (["SHUTDOWN"], ["SHUTDOWN", "SAVE"]):
        expect_in("Errors trying to SHUTDOWN", error_of(client.execute_command, *words), f"the answer to {words}")
        expect_equal(client.ping(), True, "PING")
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: server.log().count("The server does not end") == 3, "SIGTERM is refused, too")
    expect_content(server, before, "after refused ends")
    expect_equal((server.folder / "dump.rdb").read_bytes(), first, "the checkpoint that was there")
    with server.connection() as connection:
        connection.sendall(b"SHUTDOWN NOSAVE\r\n")
        server.wait(0, "SHUTDOWN NOSAVE")
        expect_equal(connection.recv(100), b"", "the answer to SHUTDOWN NOSAVE")
    expect_equal((server.folder / "dump.rdb").read_bytes(), first, "the checkpoint that was there")


@test
def shutdown_force_ends_also_where_saving_fails(world):
    server, first = server_on_small_disk(world)
    fill_random(server, world.random, 12, b"more:")
    with server.connection() as connection:
        connection.sendall(b"SHUTDOWN SAVE FORCE\r\n")
        server.wait(0, "SHUTDOWN SAVE FORCE")
    expect_equal((server.folder / "dump.rdb").read_bytes(), first, "the checkpoint that was there")


# ---- A disk that fails ------------------------------------------------------------------------------------------------


@test
def a_disk_that_fails_makes_no_checkpoint_and_the_next_one_is_written_anew(world):
    disk = world.failing_disk()
    folder = world.new_folder()
    server = world.start(folder, save=RULES, environment=disk.environment)
    client, path = server.client(), folder / "dump.rdb"
    client.set("old", "value")
    fill_random(server, world.random, 1)
    expect(server.bgsave(), server.log())
    for number, (fault, error) in enumerate((("write_error", errno.EIO), ("write_error", errno.ENOSPC), ("sync_error", errno.EIO),
                                             ("sync_error", errno.ENOSPC), ("rename_error", errno.EIO))):
        before, content_before = path.read_bytes(), content(server)
        client.set(f"new:{number}", fault)
        disk.fail(**{fault: error})
        expect(not server.bgsave(), f"BGSAVE works in spite of {fault}")
        expect_in(os.strerror(error), server.info()["checkpoint_last_error"], f"checkpoint_last_error after {fault}")
        expect_in(os.strerror(error), error_of(client.save), f"the answer to SAVE after {fault}")
        expect_writes_refused(server)
        expect_equal(path.read_bytes(), before, f"the checkpoint after {fault}")
        # Who is killed now has what the last good checkpoint has; a server on a good disk says so.
        copy = world.new_folder()
        for name in names_in(folder):
            (copy / name).write_bytes((folder / name).read_bytes())
        reader = world.start(copy)
        expect_content(reader, content_before, f"from the checkpoint after {fault}")
        reader.kill()
        disk.fail()
        expect(server.bgsave(), server.log())
        world.expect_valid(path)
        expect_equal(client.set("later", number), True, "SET")
        expect(server.bgsave(), server.log())
    before = content(server)
    server.kill()
    expect_content(world.start(folder), before, "after the disk has failed")


@test
def a_folder_whose_names_cannot_be_made_durable_is_told(world):
    disk = world.failing_disk()
    folder = world.new_folder()
    server = world.start(folder, save=RULES, environment=disk.environment)
    client = server.client()
    client.set("old", "value")
    expect(server.bgsave(), server.log())
    disk.fail(folder_sync_error=errno.EIO)
    expect(not server.bgsave(), "BGSAVE works though its name may be lost")
    expect_in("Input/output error", server.info()["checkpoint_last_error"], "checkpoint_last_error")
    expect_writes_refused(server)
    # Either name may be there now; what it names is whole.
    expect_equal(world.expect_valid(folder / "dump.rdb")["keys"], 1, "keys")
    disk.fail()
    expect(server.bgsave(), server.log())
    expect_equal(client.set("new", "x"), True, "SET")


@test
def a_disk_that_takes_little_at_a_time_gets_all(world):
    disk = world.failing_disk()
    folder = world.new_folder()
    server = world.start(folder, save=RULES, environment=disk.environment)
    fill_random(server, world.random, 1)
    disk.fail(write_max=1000)
    expect(server.bgsave(), server.log())
    world.expect_valid(folder / "dump.rdb")
    before = content(server)
    server.kill()
    expect_content(world.start(folder), before, "written little by little")


# ---- The end -----------------------------------------------------------------------------------------------------------


def end_with(server, how):
    """Ends the server by a signal or by a command."""
    if isinstance(how, signal.Signals):
        server.process.send_signal(how)
    else:
        with server.connection() as connection:
            connection.sendall(how)
            server.wait(0, how)
            return
    server.wait(0, how)


@test
def the_end_saves_where_it_should(world):
    for how, save, saves in ((signal.SIGTERM, RULES, True), (signal.SIGINT, RULES, True), (b"SHUTDOWN\r\n", RULES, True),
                             (b"SHUTDOWN SAVE\r\n", "", True), (signal.SIGTERM, "", False), (b"SHUTDOWN\r\n", "", False),
                             (b"SHUTDOWN NOSAVE\r\n", RULES, False)):
        server = world.start(world.new_folder(), save=save)
        client = server.client()
        client.set("saved", "x")
        client.save()
        client.set("not saved", "y", ex=1000)
        before = content(server)
        wanted = before if saves else {key: pair for key, pair in before.items() if key[1] == b"saved"}
        client.close()
        end_with(server, how)
        again = world.start(server.folder)
        expect_content(again, wanted, f"after {how!r} with the rules {save!r}")
        again.kill()


@test
def an_end_while_a_save_runs_saves_what_came_since(world):
    server = world.start(world.new_folder(), save=RULES)
    fill_many(server, 300_000)
    client = server.client()
    client.bgsave()
    client.set("last", "x")
    server.process.send_signal(signal.SIGTERM)
    server.wait(0, "SIGTERM")
    again = world.start(server.folder)
    expect_equal((again.client().get("last"), again.client().dbsize()), (b"x", 300_001), "what was saved")


@test
def a_rule_saves_by_itself(world):
    server = world.start(world.new_folder(), save="1 3")
    client, path = server.client(), server.folder / "dump.rdb"
    client.mset({"a": 1, "b": 2})
    client.set("c", 3)
    eventually(path.exists, "a checkpoint is made")
    eventually(lambda: server.info()["rdb_changes_since_last_save"] == 0, "the changes are counted as saved")
    expect_equal(world.expect_valid(path)["keys"], 3, "keys")
    expect_in("3 changes in ", server.log(), "the log")
