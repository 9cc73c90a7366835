# SPDX-License-Identifier: BSD-3-Clause
"""python3_redis_views.py VIEW PORT... - Debian's python3-redis on a cluster: Redis through any node, or RedisCluster.

May touch: the nodes on these ports. VIEW is plain or cluster.
Must never know: how they were started. Results go as JSON lines to the descriptor RESULTS_FD (see harness.py).
Invariants: the cluster is empty before each test; nothing is printed.
Tests: it is one.
"""

import json
import os
import re
import sys
import threading
import time
import traceback

import redis

IS_CLUSTER, PORTS = sys.argv[1] == "cluster", list(map(int, sys.argv[2:]))
CLUSTER_PORT_OFFSET = 5000
DEADLINE_SECONDS = 10
KEYS = 3000
TESTS = []
# The clients of the test that runs: a RedisCluster is in a cycle of references, so that its sockets would be closed
# whenever, and in whatever order, the collector finds them.
OPENED = []


def test(sentence, plain=True, cluster=True):
    """Tests of both views, or of one of them."""

    def add(function):
        if cluster if IS_CLUSTER else plain:
            TESTS.append((f"{os.environ['TEST_LABEL']} {sentence}", function))
        return function

    return add


def equal(got, wanted):
    assert got == wanted, f"got {shown(got)}, wanted {shown(wanted)}"


def shown(value):
    text = repr(value)
    return text if len(text) < 400 else f"{text[:400]}... ({len(value)})"


def raises(kind, text, function, *arguments, **options):
    try:
        got = function(*arguments, **options)
    except kind as error:
        assert text in str(error), f"{text!r} is not in {error!r}"
    else:
        raise AssertionError(f"no {kind.__name__} but {got!r}")


def opened(client):
    OPENED.append(client)
    return client


def node(number):
    return opened(redis.Redis(port=PORTS[number], socket_timeout=DEADLINE_SECONDS))


def connect(number=0):
    if IS_CLUSTER:
        return opened(redis.RedisCluster(host="127.0.0.1", port=PORTS[number] + CLUSTER_PORT_OFFSET,
                                         socket_timeout=DEADLINE_SECONDS))
    return node(number)


def close_all():
    while OPENED:
        client = OPENED.pop()
        if isinstance(client, redis.RedisCluster):
            client.disconnect_connection_pools()
        else:
            client.connection_pool.disconnect()
        client.close()


# RedisCluster asks one node for the number of keys and for their names, unless it is told to ask all.
EVERYWHERE = {"target_nodes": redis.RedisCluster.PRIMARIES} if IS_CLUSTER else {}


def size(r):
    return r.dbsize(**EVERYWHERE)


def fill(r, count=KEYS):
    pipeline = r.pipeline() if IS_CLUSTER else r.pipeline(transaction=False)
    for number in range(count):
        pipeline.set(f"key:{number}", number)
    equal(pipeline.execute(), [True] * count)


def executed(command):
    """How often each node has executed a command."""
    return [node(number).info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0) for number in range(len(PORTS))]


def forwarded():
    return sum(node(number).info("cluster")["forwarded_commands"] for number in range(len(PORTS)))


@test("reads and writes keys of all nodes")
def strings(r):
    for number in range(300):
        equal(r.set(f"key:{number}", f"value {number}"), True)
    for number in range(300):
        equal(r.get(f"key:{number}"), f"value {number}".encode())
    equal(r.get("none"), None)
    equal(r.set("key:0", "x", nx=True), None)
    equal(r.append("key:1", "!"), 8)
    equal(r.getrange("key:1", 6, -1), b"1!")
    equal(r.delete("key:1"), 1)
    equal(r.exists("key:1"), 0)
    equal(r.setex("short", 100, "x"), True)
    assert 98 <= r.ttl("short") <= 100
    equal(r.persist("short"), True)
    equal(r.ttl("short"), -1)


@test("counts on all nodes")
def counters(r):
    for _round in range(3):
        for number in range(100):
            r.incr(f"counter:{number}", number)
    equal([int(r.get(f"counter:{number}")) for number in range(100)], [3 * number for number in range(100)])
    equal(r.incrbyfloat("float", 0.5), 0.5)
    equal(r.decr("counter:0"), -1)


@test("expires keys of all nodes")
def expiry(r):
    fill(r, 300)
    for number in range(0, 300, 2):
        equal(r.pexpire(f"key:{number}", 100), True)
    end = time.monotonic() + DEADLINE_SECONDS
    while size(r) != 150:
        assert time.monotonic() < end, f"{size(r)} keys are left"
        time.sleep(0.01)
    equal([r.get(f"key:{number}") for number in range(0, 300, 2)], [None] * 150)
    equal(r.get("key:1"), b"1")


@test("takes keys of all nodes in one command", cluster=False)
def many_keys(r):
    values = {f"key:{number}": str(number).encode() for number in range(1000)}
    equal(r.mset(values), True)
    equal(node(1).mget(list(values) + ["none"]), list(values.values()) + [None])
    equal(node(2).exists(*values), 1000)
    equal(r.delete(*list(values)[:500]), 500)
    equal(node(1).unlink(*values), 500)
    equal(r.dbsize(), 0)


@test("takes keys of all nodes, a command for each slot", plain=False)
def many_slots(r):
    values = {f"key:{number}": str(number).encode() for number in range(1000)}
    equal(all(r.mset_nonatomic(values)), True)
    equal(r.mget_nonatomic(list(values) + ["none"]), list(values.values()) + [None])
    equal(r.exists(*values), 1000)
    equal(r.delete(*values), 1000)
    same = {f"{{tag}}{number}": str(number).encode() for number in range(100)}
    equal(r.mset(same), True)
    equal(r.mget(*same), list(same.values()))


@test("sends a pipeline of 10,000 commands over all nodes, and gets its answers in order")
def pipelines(r):
    fill(r, 10000)
    pipeline = r.pipeline() if IS_CLUSTER else r.pipeline(transaction=False)
    for number in range(10000):
        pipeline.get(f"key:{number}")
    equal(list(map(int, pipeline.execute())), list(range(10000)))


@test("has errors among the answers of a pipeline")
def errors_in_pipelines(r):
    pipeline = r.pipeline() if IS_CLUSTER else r.pipeline(transaction=False)
    for number in range(100):
        pipeline.set(f"key:{number}", "text")
        pipeline.incr(f"key:{number}")
        pipeline.get(f"key:{number}")
    replies = pipeline.execute(raise_on_error=False)
    equal([replies[0::3], replies[2::3]], [[True] * 100, [b"text"] * 100])
    assert all("value is not an integer" in str(error) for error in replies[1::3]), replies[1::3]


@test("keeps values of 1 MiB on all nodes")
def large_values(r):
    blob = bytes(range(256)) * 4096
    for number in range(12):
        equal(r.set(f"large:{number}", bytes([number]) + blob), True)
    for number in range(12):
        for reader in (r, *[node(index) for index in range(len(PORTS))]):
            assert reader.get(f"large:{number}") == bytes([number]) + blob, f"large:{number} is another value"


@test("finds each key once with scan_iter")
def scan(r):
    fill(r)
    wanted = sorted(f"key:{number}".encode() for number in range(KEYS))
    for options in ({}, {"count": 1000}):
        equal(sorted(r.scan_iter(**options)), wanted)
    equal(sorted(r.scan_iter(match="key:1?")), sorted(f"key:1{number}".encode() for number in range(10)))


@test("counts, lists and flushes the keys of the whole cluster")
def whole_cluster(r):
    fill(r)
    equal(size(r), KEYS)
    equal(sorted(r.keys(**EVERYWHERE)), sorted(f"key:{number}".encode() for number in range(KEYS)))
    equal(len(r.keys("key:1??", **EVERYWHERE)), 100)
    assert r.randomkey().startswith(b"key:")
    assert r.flushall()
    equal([size(r), r.keys(**EVERYWHERE), r.get("key:1")], [0, [], None])
    equal([node(number).dbsize() for number in range(len(PORTS))], [0] * len(PORTS))


@test("runs a transaction in one slot of any node", cluster=False)
def transactions(r):
    for number in range(20):
        pipeline = r.pipeline(transaction=True)
        pipeline.set(f"{{{number}}}a", 1).incr(f"{{{number}}}a").mget(f"{{{number}}}a", f"{{{number}}}b")
        equal(pipeline.execute(), [True, 2, [b"2", None]])
    pipeline = r.pipeline(transaction=True)
    pipeline.set("a", 1).set("b", 2)
    raises(redis.ResponseError, "CROSSSLOT", pipeline.execute)
    equal(r.mget("a", "b"), [None, None])
    raises(redis.ResponseError, "CROSSSLOT", r.rename, "{0}a", "{1}b")


@test("sees a conflict of WATCH, whichever node the other client is at", cluster=False)
def watch(r):
    for number in range(20):
        key, other = f"watched:{number}", node(number % len(PORTS))
        pipeline = r.pipeline()
        pipeline.watch(key)
        other.set(key, "theirs")
        pipeline.multi()
        pipeline.set(key, "ours")
        raises(redis.WatchError, "", pipeline.execute)
        equal(r.get(key), b"theirs")
        pipeline.watch(key)
        pipeline.multi()
        pipeline.set(key, "ours")
        equal(pipeline.execute(), [True])
        equal(other.get(key), b"ours")


@test("uses all nodes, and asks each key's own node", plain=False)
def right_nodes(r):
    before, forwarded_before = executed("set"), forwarded()
    for number in range(1000):
        r.set(f"key:{number}", number)
    calls = [after - count for after, count in zip(executed("set"), before)]
    assert sum(calls) == 1000 and min(calls) > 150, calls
    equal(forwarded() - forwarded_before, 0)


@test("has all nodes work for it through one of them", cluster=False)
def one_entry(r):
    before, forwarded_before = executed("set"), forwarded()
    for number in range(1000):
        r.set(f"key:{number}", number)
    calls = [after - count for after, count in zip(executed("set"), before)]
    assert sum(calls) == 1000 and min(calls) > 150, calls
    equal(forwarded() - forwarded_before, sum(calls[1:]))


@test("counts every INCR of twelve threads once")
def threads(_r):
    def work(index):
        client = connect(index % len(PORTS))
        for number in range(200):
            client.incr(f"counter:{number % 10}")

    workers = [threading.Thread(target=work, args=(index,)) for index in range(12)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(DEADLINE_SECONDS)
    equal([int(node(1).get(f"counter:{number}")) for number in range(10)], [240] * 10)


@test("waits for the copies of a write", cluster=False)
def wait(r):
    for number in range(30):
        r.set(f"key:{number}", "x")
        equal(r.wait(2, 5000), 2)


@test("knows the cluster by its port: one Redis here, a node of a cluster there", cluster=False)
def views(r):
    equal(r.info("cluster")["cluster_enabled"], 0)
    other = opened(redis.Redis(port=PORTS[0] + CLUSTER_PORT_OFFSET))
    equal(other.info("cluster")["cluster_enabled"], 1)
    equal(other.execute_command("CLUSTER KEYSLOT", "{user}:1"), 5474)
    nodes = r.execute_command("CLUSTER NODES")
    text = nodes if isinstance(nodes, str) else str(nodes)
    assert all(re.search(rf"\b{port + CLUSTER_PORT_OFFSET}\b", text) for port in PORTS), text
    raises(redis.ResponseError, "", opened(redis.Redis(port=PORTS[0], db=1)).ping)


def main():
    with os.fdopen(int(os.environ["RESULTS_FD"]), "w") as results:
        for name, function in TESTS:
            if os.environ["TEST_ONLY"] not in name:
                continue
            begin, detail = time.monotonic(), None
            try:
                r = connect()
                r.flushall()
                function(r)
                close_all()
            except Exception:
                detail = traceback.format_exc()
            result = {"name": name, "ok": not detail, "detail": detail, "seconds": time.monotonic() - begin}
            print(json.dumps(result), file=results, flush=True)
        print(json.dumps({"done": True}), file=results)


if __name__ == "__main__":
    main()
