# SPDX-License-Identifier: BSD-3-Clause
"""redis_benchmark.py - redis-benchmark runs its string tests without a warning.

May touch: the redis-benchmark of the machine through the harness.
Must never know: other clients; how fast is fast (`make bench` does).
Invariants: nothing on stderr, exit 0, and no line that is not a result.
Tests: it is one.
"""

import csv
import io
import re

from harness import Suite, expect, expect_equal

SUITE = Suite("redis-benchmark")
NAMES = ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"]


def benchmark(world, *words, stderr=""):
    done = world.program(["redis-benchmark", "-p", world.server.port, "-n", "20000", *words])
    expect(done.err == stderr and done.code == 0, str(done))
    expect(not re.search(r"warning|error|could not", done.out, re.IGNORECASE), str(done))
    return done.out


def check_quiet(out, names):
    """With -q a line shows the progress of a test until its result is written over it."""
    results = re.findall(r"([^\r\n]*): ([\d.]+) requests per second, p50=[\d.]+ msec", out)
    expect_equal([name for name, _rate in results], names, "the tests that ran")
    expect(all(float(rate) > 0 for _name, rate in results), out)


@SUITE.test("runs ping, set, get, incr and mset with a pipeline of 16")
def quiet(world):
    check_quiet(benchmark(world, "-t", "ping,set,get,incr,mset", "-P", "16", "-q"), NAMES)
    expect_equal(world.command("GET", "counter:__rand_int__"), b"20000", "the counter")


@SUITE.test("runs them over RESP3 with -3")
def resp3(world):
    check_quiet(benchmark(world, "-3", "-t", "ping,set,get,incr,mset", "-P", "16", "-q"), NAMES)
    expect_equal(world.command("GET", "counter:__rand_int__"), b"20000", "the counter")


@SUITE.test("writes one CSV row for each test with --csv")
def csv_rows(world):
    out = benchmark(world, "-t", "ping,set,get,incr,mset", "-P", "16", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    expect_equal([row["test"] for row in rows], NAMES, "the tests that ran")
    expect(all(float(row["rps"]) > 0 and float(row["p99_latency_ms"]) >= 0 for row in rows), out)


@SUITE.test("uses random keys of a range with -r, and a database with --dbnum")
def random_keys(world):
    benchmark(world, "-t", "set", "-r", "1000", "-P", "16", "-q", "--dbnum", "4")
    keys = world.server.connect().info("keyspace")
    expect(re.match(r"keys=(9[5-9]\d|1000),", keys.get("db4", "")), f"the keyspace is {keys}")


@SUITE.test("runs a command of one's own, and prints its whole report")
def own_command(world):
    out = benchmark(world, "SET", "key:__rand_int__", "value", "EX", "100")
    expect("20000 requests completed in" in out and "throughput summary" in out, out)


@SUITE.test("opens a connection for each request with -k 0")
def no_keepalive(world):
    own_warning = (
        "WARNING: Keepalive disabled. You probably need 'echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse' for Linux"
        " and 'sudo sysctl -w net.inet.tcp.msl=1000' for Mac OS X in order to use a lot of clients/requests\n"
    )
    out = benchmark(world, "-k", "0", "-n", "2000", "-t", "ping_mbulk", "-q", stderr=own_warning)
    check_quiet(out, ["PING_MBULK"])


@SUITE.test("uses several threads and a unix socket")
def threads_and_unix_socket(world):
    done = world.program(["redis-benchmark", "-s", world.server.unixsocket, "--threads", "2", "-n", "20000",
                          "-P", "16", "-t", "set,get", "-q"])
    expect(done.err == "" and done.code == 0, str(done))
    check_quiet(done.out, ["SET", "GET"])


@SUITE.test("logs in with a password")
def password(world):
    server = world.start_server("--requirepass", "secret")
    words = ["-p", server.port, "-a", "secret", "-n", "1000", "-t", "set", "-q"]
    done = world.program(["redis-benchmark", *words])
    expect(done.err == "" and done.code == 0, str(done))
    check_quiet(done.out, ["SET"])
