# SPDX-License-Identifier: BSD-3-Clause
"""redis_tools.py - redis-cli and redis-benchmark on a cluster: through any node, and as clients of a Redis Cluster.

May touch: the redis-cli and redis-benchmark of the machine through the harness.
Must never know: other clients.
Invariants: unless a test says otherwise nothing is written to stderr, and the programs end with 0.
Tests: it is one.
"""

import re

from harness import Suite, expect, expect_equal, expect_match

CLI = Suite("redis-cli")
BENCHMARK = Suite("redis-benchmark")
KEYS = 3000


def cli(world, *words, port=None, code=0, stderr="", **options):
    """Runs redis-cli to its end. Returns what it printed."""
    done = world.program(["redis-cli", "-p", port or world.server.port, *words], **options)
    expect(done.err == stderr and done.code == code, str(done))
    return done.out


def fill(world, count=KEYS):
    """That many keys, each with its number as its value, by mass insertion at the second node."""
    text = "".join(f"SET key:{number} {number}\r\n" for number in range(count))
    out = cli(world, "--pipe", port=world.nodes[1].port, text=text)
    expect_match(rf"^errors: 0, replies: {count}$", out)


@CLI.test("reads at each node of a cluster what it wrote at another")
def any_node(world):
    for writer in world.nodes:
        expect_equal(cli(world, "SET", "greeting", f"from {writer.number}", port=writer.port), "OK\n")
        for reader in world.nodes:
            expect_equal(cli(world, "GET", "greeting", port=reader.port), f"from {writer.number}\n")
            expect_equal(cli(world, "GET", "greeting", port=reader.cluster_port), f"from {writer.number}\n")
    expect_equal(cli(world, "--no-raw", "INCR", "counter", port=world.nodes[0].port), "(integer) 1\n")
    expect_equal(cli(world, "--no-raw", "INCR", "counter", port=world.nodes[2].port), "(integer) 2\n")
    expect_equal(cli(world, "EXPIRE", "counter", "100", port=world.nodes[1].port), "1\n")
    expect_match(r"^(99|100)$", cli(world, "TTL", "counter", port=world.nodes[0].port))


@CLI.test("takes keys of all nodes in MSET, MGET, DEL, UNLINK, EXISTS and TOUCH")
def many_keys(world):
    keys = [f"key:{number}" for number in range(200)]
    pairs = [word for number, key in enumerate(keys) for word in (key, str(number))]
    expect_equal(cli(world, "MSET", *pairs), "OK\n")
    wanted = "".join(f"{number}\n" for number in range(200)) + "\n"
    for port in (world.nodes[1].port, world.nodes[2].cluster_port):
        expect_equal(cli(world, "MGET", *keys, "none", port=port), wanted)
        expect_equal(cli(world, "EXISTS", *keys, "none", keys[0], port=port), "201\n")
        expect_equal(cli(world, "TOUCH", *keys, "none", port=port), "200\n")
    expect_equal(cli(world, "DEL", *keys[:100], "none", port=world.nodes[2].port), "100\n")
    expect_equal(cli(world, "UNLINK", *keys, port=world.nodes[1].port), "100\n")
    expect_equal(cli(world, "DBSIZE"), "0\n")


@CLI.test("inserts masses of keys at one node of a cluster with --pipe, and all nodes take their share")
def mass_insertion(world):
    before = [node.calls("set") for node in world.nodes]
    fill(world)
    calls = [node.calls("set") - count for node, count in zip(world.nodes, before)]
    expect(sum(calls) == KEYS and min(calls) > KEYS // 6, f"the nodes have executed {calls}")
    expect_equal([cli(world, "DBSIZE", port=node.port) for node in world.nodes], [f"{KEYS}\n"] * 3)


@CLI.test("finds each key of a cluster once with --scan, on any node, and each node's own on its cluster-port")
def scan(world):
    fill(world)
    wanted = sorted(f"key:{number}" for number in range(KEYS))
    for node in world.nodes:
        expect_equal(sorted(cli(world, "--scan", port=node.port).split()), wanted)
        expect_equal(sorted(cli(world, "KEYS", "*", port=node.port).split()), wanted)
    parts = [cli(world, "--scan", port=node.cluster_port).split() for node in world.nodes]
    expect(all(parts), f"a node has no keys of its own: {[len(part) for part in parts]}")
    expect_equal(sorted(key for part in parts for key in part), wanted)
    sizes = [int(cli(world, "DBSIZE", port=node.cluster_port)) for node in world.nodes]
    expect_equal(sizes, [len(part) for part in parts])
    expect_equal(sorted(cli(world, "--scan", "--pattern", "key:1?").split()), sorted(f"key:1{n}" for n in range(10)))


@CLI.test("empties the whole cluster with FLUSHALL, and finds a key with RANDOMKEY on any node")
def whole_cluster(world):
    cli(world, "SET", "lonely", "x")
    expect_equal([cli(world, "RANDOMKEY", port=node.port) for node in world.nodes], ["lonely\n"] * 3)
    fill(world, 300)
    expect_equal(cli(world, "FLUSHALL", port=world.nodes[2].port), "OK\n")
    for node in world.nodes:
        expect_equal(cli(world, "DBSIZE", port=node.port), "0\n")
        expect_equal(cli(world, "DBSIZE", port=node.cluster_port), "0\n")
        expect_equal(cli(world, "GET", "lonely", port=node.port), "\n")


@CLI.test("looks through a whole cluster with --bigkeys and --memkeys")
def big_keys(world):
    fill(world, 500)
    cli(world, "SET", "giant", "x" * 5000)
    out = cli(world, "--bigkeys", port=world.nodes[1].port)
    expect_match(r"^Sampled 501 keys in the keyspace!$", out)
    expect_match(r"^Biggest string found '\"giant\"' has 5000 bytes$", out)
    expect_match(r"^Sampled 501 keys in the keyspace!$", cli(world, "--memkeys"))


@CLI.test("runs MULTI in one slot of a cluster, and is told CROSSSLOT for two")
def transactions(world):
    for node in world.nodes:
        text = "MULTI\nSET {tag}a 1\nINCR {tag}a\nMGET {tag}a {tag}b\nEXEC\n"
        expect_equal(cli(world, port=node.port, text=text), "OK\nQUEUED\nQUEUED\nQUEUED\nOK\n2\n2\n\n")
    out = cli(world, text="MULTI\nSET a 1\nSET b 2\nEXEC\nGET a\n")
    expect_match(r"^CROSSSLOT Keys in request don't hash to the same slot$", out)
    expect_match(r"^EXECABORT ", out)
    expect_equal(cli(world, "GET", "a"), "\n")
    cli(world, "SET", "a", "1")
    wanted = "CROSSSLOT Keys in request don't hash to the same slot\n\n"
    expect_equal(cli(world, "RENAME", "a", "b", port=world.nodes[1].port), wanted)
    expect_equal(cli(world, "COPY", "a", "b", port=world.nodes[2].cluster_port), wanted)


@CLI.test("keeps a value of 1 MiB on any node of a cluster")
def large_value(world):
    blob = bytes(range(256)) * 4096
    for node in world.nodes:
        key = f"large:{node.number}"
        expect_equal(cli(world, "-x", "SET", key, port=node.port, text=blob), "OK\n")
        for reader in world.nodes:
            done = cli(world, "STRLEN", key, port=reader.port)
            expect_equal(done, f"{len(blob)}\n")
            connection = reader.connect()
            expect(connection("GET", key) == blob, f"{key} read at node {reader.number} is another value")
            connection.close()


@CLI.test("is a client of a Redis Cluster with -c, and is never sent elsewhere")
def cluster_mode(world):
    text = "".join(f"SET key:{number} {number}\nGET key:{number}\n" for number in range(100))
    wanted = "".join(f"OK\n{number}\n" for number in range(100))
    for node in world.nodes:
        for port in (node.port, node.cluster_port):
            expect_equal(cli(world, "-c", port=port, text=text), wanted)
    expect_equal(cli(world, "-c", "DBSIZE"), "100\n")


@CLI.test("is sent to the right node with -c where cluster-redirect says moved")
def redirects(world):
    moved = 0
    try:
        for node in world.nodes:
            expect_equal(cli(world, "CONFIG", "SET", "cluster-redirect", "moved", port=node.port), "OK\n")
        for number in range(50):
            key, node = f"key:{number}", world.nodes[number % 3]
            expect_equal(cli(world, "-c", "SET", key, str(number), port=node.cluster_port), "OK\n")
            expect_equal(cli(world, "GET", key, port=node.port), f"{number}\n")
            answer = cli(world, "GET", key, port=node.cluster_port)
            moved += bool(re.match(r"MOVED \d+ 127\.0\.0\.1:\d+\n", answer))
            expect(answer.startswith("MOVED ") or answer == f"{number}\n", answer)
    finally:
        for node in world.nodes:
            cli(world, "CONFIG", "SET", "cluster-redirect", "forward", port=node.port)
    expect(10 < moved < 45, f"{moved} of 50 commands were sent elsewhere")


@CLI.test("finds a sound Redis Cluster with --cluster check, info and call")
def cluster_manager(world):
    fill(world, 300)
    ports = [node.cluster_port for node in world.nodes]
    out = cli(world, "--cluster", "check", f"127.0.0.1:{ports[1]}")
    for line in ("All nodes agree about slots configuration", "All 16384 slots covered", "300 keys in 3 masters"):
        expect(line in out, out)
    out = cli(world, "--cluster", "info", f"127.0.0.1:{ports[2]}")
    expect(sum(map(int, re.findall(r"-> (\d+) keys", out))) == 300, out)
    out = cli(world, "--cluster", "call", f"127.0.0.1:{ports[0]}", "DBSIZE")
    found = {int(port): int(keys) for port, keys in re.findall(r"^127\.0\.0\.1:(\d+): (\d+)$", out, re.MULTILINE)}
    expect(sorted(found) == sorted(ports) and sum(found.values()) == 300, out)


NAMES = ["SET", "GET", "INCR", "MSET (10 keys)"]


def benchmark(world, *words, port=None):
    done = world.program(["redis-benchmark", "-p", port or world.server.port, "-n", "20000", "-q", *words])
    expect(done.err == "" and done.code == 0, str(done))
    expect(not re.search(r"warning|error|could not", done.out, re.IGNORECASE), str(done))
    results = re.findall(r"([^\r\n]*): ([\d.]+) requests per second, p50=[\d.]+ msec", done.out)
    expect(all(float(rate) > 0 for _name, rate in results), done.out)
    # With -q a line shows the progress of a test until its result is written over it.
    return [name.split(":")[0].strip() for name, _rate in results]


@BENCHMARK.test("runs set, get, incr and mset through one node of a cluster, and all nodes take their share")
def through_one(world):
    before = [node.calls("set") for node in world.nodes]
    words = ("-t", "set,get,incr,mset", "-P", "16", "-r", "10000")
    expect_equal(benchmark(world, *words, port=world.nodes[2].port), NAMES, "the tests that ran")
    calls = [node.calls("set") - count for node, count in zip(world.nodes, before)]
    expect(sum(calls) == 20000 and min(calls) > 3000, f"the nodes have executed {calls}")


@BENCHMARK.test("counts every INCR of 50 clients once, whichever node they talk to")
def counts(world):
    for node in world.nodes:
        benchmark(world, "-t", "incr", port=node.port)
    expect_equal(world.command("GET", "counter:__rand_int__"), b"60000", "the counter")


@BENCHMARK.test("runs over all nodes with --cluster, and sends each command to the node that executes it")
def over_all(world):
    before, forwarded = [node.calls("set") for node in world.nodes], world.totals("forwarded_commands")
    names = benchmark(world, "--cluster", "-t", "set,get,incr", "-P", "16", "-r", "10000", port=world.nodes[1].cluster_port)
    expect_equal(names, NAMES[:3], "the tests that ran")
    calls = [node.calls("set") - count for node, count in zip(world.nodes, before)]
    expect(sum(calls) == 20000 and min(calls) > 3000, f"the nodes have executed {calls}")
    expect_equal(world.totals("forwarded_commands") - forwarded, 0, "the number of commands that were forwarded")
