# SPDX-License-Identifier: BSD-3-Clause
"""operation.py - utils/cluster itself: start, status, kill, restart, stop, more nodes, wipe, several machines, errors.

May touch: utils/cluster, the processes that it has started.
Must never know: how nodes find each other.
Invariants: each test has a cluster of its own, which is gone at its end.
Tests: it is one.
"""

import os
import re
import stat

import harness
import stage
from harness import Suite, expect, expect_equal, expect_match

SUITE = Suite("utils/cluster")


def rows(text):
    """The rows of the table of `status`, as lists of their cells."""
    table = text.split("\n\n")[0].splitlines()[1:]
    return [re.split(r"  +", row.strip()) for row in table]


def runs(pid):
    """Whether there is such a process, and not merely its exit status that nobody has fetched yet."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read() != b""
    except OSError:
        return False


@SUITE.test("starts three nodes that are one cluster, shows them, and wipes them")
def life(world):
    cluster = world.add_cluster(3)
    out = cluster.start("--save", "")
    expect_match(r"^3 nodes see each other, all copies are in agreement\.", out)
    connection = cluster.nodes[0].connect()
    for number in range(300):
        connection("SET", f"key:{number}", number)
    expect_equal(connection("WAIT", 2, 5000), 2)
    connection.close()
    pids = [node.pid() for node in cluster.nodes]
    found = rows(cluster.tool("status"))
    for number, row in enumerate(found):
        address = f"127.0.0.1:{cluster.nodes[number].port}"
        expect_equal(row[:4], [str(number + 1), address, str(pids[number]), "settled"])
        expect_equal(row[5:7], ["16384", "300"], "slots and keys")
        expect_equal([cell for cell in row[7:] if cell == "-"], ["-"], "itself")
        expect(all(re.fullmatch(r"-|up \d+ B \d+ ms", cell) for cell in row[7:]), row)
    expect(98 < sum(float(row[4].rstrip("%")) for row in found) <= 100, found)
    harness.eventually(lambda: re.search(r"^agreement: yes, ", cluster.tool("status"), re.MULTILINE), "all nodes agree")
    out = cluster.tool("wipe")
    expect(not os.path.exists(cluster.directory), f"the folder is still there: {os.listdir(world.directory)}\n{out}")
    for pid in pids:
        expect(not runs(pid), f"process {pid} is still there")


@SUITE.test("keeps a secret that nobody else can read, and notes what it does")
def secret_and_log(world):
    cluster = world.add_cluster(2)
    cluster.start("--save", "", "--loglevel", "verbose")
    secret = os.path.join(cluster.directory, "secret")
    with open(secret, encoding="ascii") as file:
        text = file.read()
    expect_match(r"^[0-9a-f]{64}$", text)
    for path in (secret, os.path.join(cluster.directory, "1", "redis-kv.conf")):
        expect_equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, f"the mode of {path}")
    with open(f"/proc/{cluster.nodes[0].pid()}/cmdline", encoding="utf-8") as file:
        expect(text not in file.read(), "the secret is shown to everybody who lists processes")
    connection = cluster.nodes[1].connect()
    expect_equal(connection("CONFIG", "GET", "loglevel"), [b"loglevel", b"verbose"])
    connection.close()
    cluster.tool("stop")
    with open(os.path.join(cluster.directory, "cluster.log"), encoding="utf-8") as file:
        log = file.read()
    for line in ("start 2, a new cluster", r"node 1: 127\.0\.0\.1:\d+, process \d+", "node 2 has ended"):
        expect_match(rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d {line}$", log)
    expect(text not in log, "the secret is in the log")
    cluster.check_logs()


@SUITE.test("kills a node and brings it back, and the cluster serves meanwhile")
def kill_and_restart(world):
    cluster = world.add_cluster(3)
    cluster.start("--save", "")
    connection = cluster.nodes[0].connect()
    for number in range(300):
        connection("SET", f"key:{number}", number)
    expect_equal(connection("WAIT", 2, 5000), 2)
    victim = cluster.nodes[1]
    pid = victim.pid()
    expect_match(r"^node 2 has ended$", cluster.tool("kill", 2))
    expect(victim.poll() is not None, "it runs")
    expect_match(r"^agreement: not yet, as far as these nodes can tell: 1 2 3$", cluster.tool("status"))
    for number in range(300):
        harness.eventually(lambda number=number: get(connection, f"key:{number}") == str(number).encode(), f"key:{number}")
        connection("SET", f"key:{number}", f"again {number}")
    row = rows(cluster.tool("status"))[1]
    expect_equal(row[:4], ["2", f"127.0.0.1:{victim.port}", "-", "ended"])
    expect_match(r"^cluster: node 2 does not run$", cluster.tool("kill", 2, code=1))
    expect_match(r"^node 2 is back, the copies of the 3 nodes that run are in agreement$", cluster.tool("restart", 2))
    expect(victim.pid() != pid and victim.poll() is None, "it does not run")
    row = rows(cluster.tool("status"))[1]
    expect_equal([row[3], *row[5:7]], ["settled", "16384", "300"])
    back = victim.connect()
    expect_equal([back("GET", f"key:{number}") for number in range(300)], [f"again {number}".encode() for number in range(300)])
    back.close()
    connection.close()
    expect_match(r"^node 1 is back", cluster.tool("restart", 1))


def get(connection, key):
    """What GET gives; None where the cluster has just lost the node that it asked."""
    try:
        return connection("GET", key)
    except harness.RespError:
        return None


@SUITE.test("starts a stopped cluster with what it had, and adds nodes to it")
def again_and_more(world):
    cluster = world.add_cluster(4)
    cluster.start(count=2)
    connection = cluster.nodes[0].connect()
    for number in range(300):
        connection("SET", f"key:{number}", number)
    connection.close()
    cluster.tool("stop")
    expect(all(node.poll() is not None for node in cluster.nodes[:2]), "a node runs")
    cluster.start(count=2)
    for node in cluster.nodes[:2]:
        connection = node.connect()
        expect_equal(connection("DBSIZE"), 300)
        connection.close()
    pids = [node.pid() for node in cluster.nodes[:2]]
    cluster.start(count=4)
    expect_equal([node.pid() for node in cluster.nodes[:2]], pids, "the processes that ran already")
    found = rows(cluster.tool("status"))
    expect_equal([row[3] for row in found], ["settled"] * 4)
    expect(all(float(row[4].rstrip("%")) > 10 for row in found), found)
    for node in cluster.nodes:
        connection = node.connect()
        expect_equal([connection("GET", f"key:{number}") for number in range(300)],
                     [str(number).encode() for number in range(300)])
        expect_equal(connection("DBSIZE"), 300)
        connection.close()
    expect_match(r"there are 4 nodes in .* already", cluster.tool("start", 3, code=1))


@SUITE.test("reaches several machines by ssh")
def machines(world):
    # The other end is this machine: what would run there runs here, in whatever shell the user has.
    shell = world.path("ssh", '#!/bin/sh\necho "$1" >>"$0.log"\nshift\nexec sh -c "$*"\n')
    os.chmod(shell, 0o700)
    hosts = world.path("hosts", "# two machines\n127.0.0.1\n\nuser@127.0.0.2   # the second\n")
    cluster = world.add_cluster(3)
    environment = {"SSH": shell}
    words = [stage.TOOL, "start", "3", "--dir", cluster.directory, "--hosts", hosts, "--port", cluster.first_port,
             "--binary", cluster.binary, "--save", ""]
    done = world.program(words, environment=environment, deadline_seconds=90)
    expect(done.code == 1 and "need --requirepass PASSWORD, or --protected-mode no" in done.err, str(done))
    words += ["--requirepass", "it's \"secret\" $HOME"]
    done = world.program(words, environment=environment, deadline_seconds=90)
    expect(done.code == 0, str(done))
    connection = harness.Resp(("127.0.0.2", cluster.nodes[1].port))
    expect_equal(connection("AUTH", words[-1]), "OK")
    expect_match(rf" 127\.0\.0\.2:{cluster.nodes[1].cluster_port}@", connection("CLUSTER", "NODES").decode())
    connection.close()
    for command, wanted in (("status", r"^2 +127\.0\.0\.2:\d+ +\d+ +settled "), ("wipe", " is wiped$")):
        done = world.program([stage.TOOL, command, "--dir", cluster.directory], environment=environment, deadline_seconds=90)
        expect(done.code == 0, str(done))
        expect_match(wanted, done.out)
    with open(f"{shell}.log", encoding="utf-8") as file:
        expect_equal(sorted(set(file.read().split())), ["127.0.0.1", "user@127.0.0.2"], "the hosts that were reached")


@SUITE.test("says what is wrong, and leaves nothing running")
def errors(world):
    cluster = world.add_cluster(2)
    def fails(wanted, *words):
        expect_match(wanted, cluster.tool(*words, code=1))

    port = ("--port", cluster.first_port, "--binary", cluster.binary)
    fails(r"^cluster: there is no cluster in ", "stop")
    fails(r"^cluster: how many nodes\?", "start", "0")
    fails(r"^cluster: what is \"nonsense\"\?", "start", "2", "nonsense")
    fails(r"^cluster: port 60001 \+ 10000 is none", "start", "2", "--port", "60000")
    fails(r"^cluster: /nowhere is not there", "start", "2", "--binary", "/nowhere")
    fails(r"^cluster: --cluster-secret is what this tool sets itself$", "start", "2", "--cluster-secret", "x")
    fails(r"Bad directive or wrong number of arguments[\s\S]*^cluster: node 1 has ended$", "start", "2", *port, "--bogus", "1")
    cluster.tool("wipe")
    slow = world.path("slow", f'#!/bin/sh\nsleep 1\nexec "{cluster.binary}" "$@"\n')
    os.chmod(slow, 0o700)
    fails(r"^cluster: not within 0 s: ", "start", "2", *port, "--binary", slow, "--save", "", "--wait", "0")
    cluster.tool("start", "2", *port)
    fails(r"^cluster: which node\? 1 to 2$", "kill", "3")
    fails(r"^cluster: node 1 runs with other directives: stop the cluster first$", "start", "2", "--maxmemory", "1gb")
    world.path("cluster/other", "not ours")
    expect("has other files" in cluster.tool("wipe"), "wipe")
    expect_equal(os.listdir(cluster.directory), ["other"])
