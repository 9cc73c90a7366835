# SPDX-License-Identifier: BSD-3-Clause
"""redis_cli.py - redis-cli in a pipe: its options, its modes, mass insertion, MONITOR.

May touch: the redis-cli of the machine through the harness.
Must never know: other clients.
Invariants: unless a test says otherwise redis-cli writes nothing to stderr and ends with 0.
Tests: it is one.
"""

import json
import re
import shutil
import signal
import subprocess

from harness import DEADLINE_SECONDS, Failure, Suite, eventually, expect, expect_equal, expect_match

SUITE = Suite("redis-cli")
PASSWORD = "correct horse battery staple"


def cli(world, *words, server=None, code=0, stderr="", **options):
    """Runs redis-cli to its end; anything on stderr fails the test. Returns what it printed."""
    done = world.program(["redis-cli", "-p", (server or world.server).port, *words], **options)
    if done.err != stderr or done.code != code:
        raise Failure(f"wanted exit {code} and stderr {stderr!r}:\n{done}")
    return done.out


@SUITE.test("sends one command and prints its answer")
def one_command(world):
    expect_equal(cli(world, "SET", "greeting", "hello"), "OK\n")
    expect_equal(cli(world, "GET", "greeting"), "hello\n")
    expect_equal(cli(world, "--no-raw", "GET", "greeting"), '"hello"\n')
    expect_equal(cli(world, "--no-raw", "GET", "nothing"), "(nil)\n")
    expect_equal(cli(world, "--no-raw", "INCR", "counter"), "(integer) 1\n")
    expect_equal(cli(world, "--no-raw", "MGET", "greeting", "nothing"), '1) "hello"\n2) (nil)\n')


@SUITE.test("prints an error reply, and ends with 1 for it if -e asks so")
def error_status(world):
    world.command("SET", "text", "hello")
    message = "ERR value is not an integer or out of range\n"
    expect_equal(cli(world, "INCR", "text"), message + "\n")
    expect_equal(cli(world, "-e", "INCR", "text", code=1, stderr=message), "")


@SUITE.test("names an unknown command as Redis does")
def unknown_command(world):
    wanted = "ERR unknown command 'NOSUCH', with args beginning with: 'one' 'two' \n\n"
    expect_equal(cli(world, "NOSUCH", "one", "two"), wanted)
    expect_match(r"^ERR wrong number of arguments for 'get' command$", cli(world, "GET"))


@SUITE.test("speaks RESP2 with -2 and RESP3 with -3")
def protocols(world):
    expect_match(r" resp=2( |$)", cli(world, "-2", "CLIENT", "INFO"))
    expect_match(r" resp=3( |$)", cli(world, "-3", "CLIENT", "INFO"))
    expect_equal(cli(world, "-2", "--no-raw", "CONFIG", "GET", "maxmemory"), '1) "maxmemory"\n2) "0"\n')
    expect_equal(cli(world, "-3", "--no-raw", "CONFIG", "GET", "maxmemory"), '1# "maxmemory" => "0"\n')
    expect_equal(cli(world, "-3", "--no-raw", "GET", "nothing"), "(nil)\n")


@SUITE.test("prints JSON with --json")
def json_output(world):
    world.command("MSET", "a", "1", "b", 'quote " and é')
    expect_equal(json.loads(cli(world, "--json", "MGET", "a", "b", "none")), ["1", 'quote " and é', None])
    expect_equal(json.loads(cli(world, "--json", "CONFIG", "GET", "maxmemory")), {"maxmemory": "0"})
    expect_equal(json.loads(cli(world, "--json", "INCR", "a")), 2)
    expect_equal(json.loads(cli(world, "--quoted-json", "GET", "a")), "2")
    docs = json.loads(cli(world, "--json", "COMMAND", "DOCS", "get"))
    expect_equal(sorted(docs), ["get"], "the commands documented")
    expect_equal(docs["get"]["group"], "string", "the group of GET")


@SUITE.test("prints CSV, other delimiters and quoted bytes")
def output_formats(world):
    world.command("MSET", "a", "1", "b", b"\x00\xff\n")
    expect_equal(cli(world, "--csv", "MGET", "a", "b", "none"), '"1","\\x00\\xff\\n",NULL\n')
    expect_equal(cli(world, "--no-raw", "GET", "b"), '"\\x00\\xff\\n"\n')
    expect_equal(cli(world, "-d", "/", "MGET", "a", "a"), "1/1\n")
    expect_equal(cli(world, "--raw", "-D", "", "GET", "a"), "1")


@SUITE.test("selects a database with -n")
def databases(world):
    expect_equal(cli(world, "-n", "5", "SET", "only-here", "x"), "OK\n")
    expect_equal(cli(world, "-n", "5", "GET", "only-here"), "x\n")
    expect_equal(cli(world, "GET", "only-here"), "\n")
    expect_match(r" db=5 ", cli(world, "-n", "5", "CLIENT", "INFO"))
    done = world.program(["redis-cli", "-p", world.server.port, "-n", "99", "PING"])
    expect_equal(done.err, "SELECT 99 failed: ERR DB index is out of range\n", "stderr")


@SUITE.test("logs in with a password of REDISCLI_AUTH, of an option and of a URI")
def password(world):
    server = world.start_server("--requirepass", PASSWORD)
    environment = {"REDISCLI_AUTH": PASSWORD}
    expect_equal(cli(world, "PING", server=server, environment=environment), "PONG\n")
    expect_equal(cli(world, "-3", "PING", server=server, environment=environment), "PONG\n")
    options = ("--user", "default", "--pass", PASSWORD, "--no-auth-warning")
    expect_equal(cli(world, *options, "PING", server=server), "PONG\n")
    expect_equal(cli(world, "-a", PASSWORD, "--no-auth-warning", "PING", server=server), "PONG\n")
    uri = f"redis://default:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{server.port}/3"
    expect_match(r" db=3 ", cli(world, "-u", uri, "--no-auth-warning", "CLIENT", "INFO", server=server))


@SUITE.test("is told NOAUTH without a password and WRONGPASS with a wrong one")
def wrong_password(world):
    server = world.start_server("--requirepass", PASSWORD)
    expect_equal(cli(world, "GET", "a", server=server), "NOAUTH Authentication required.\n\n")
    done = world.program(["redis-cli", "-p", server.port, "GET", "a"], environment={"REDISCLI_AUTH": "no"})
    failed = "AUTH failed: WRONGPASS invalid username-password pair or user is disabled.\n"
    expect_equal(done.err, failed, "stderr")
    expect_equal(done.out, "NOAUTH Authentication required.\n\n", "stdout")


@SUITE.test("takes the last argument from stdin with -x and a tagged one with -X")
def argument_of_stdin(world):
    blob = bytes(range(256)) * 400
    expect_equal(cli(world, "-x", "SET", "blob", text=blob), "OK\n")
    expect_equal(world.command("GET", "blob"), blob, "the value")
    expect_equal(cli(world, "-X", "here", "SET", "blob", "here", "EX", "100", text=b"tagged"), "OK\n")
    expect_equal(world.command("GET", "blob"), b"tagged", "the value")


@SUITE.test("carries a DUMP to a RESTORE as its help shows")
def dump_and_restore(world):
    world.command("SET", "from", b"\x00\x01 value \xff" * 50)
    command = ["redis-cli", "-p", str(world.server.port)]
    dump = subprocess.run([*command, "-D", "", "--raw", "DUMP", "from"], capture_output=True, check=True,
                          timeout=DEADLINE_SECONDS).stdout
    expect_equal(cli(world, "-X", "payload", "RESTORE", "to", "0", "payload", text=dump), "OK\n")
    expect_equal(world.command("GET", "to"), b"\x00\x01 value \xff" * 50, "the restored value")
    out = cli(world, "-X", "payload", "RESTORE", "bad", "0", "payload", text=dump[:-1])
    expect_equal(out, "ERR DUMP payload version or checksum are wrong\n\n")


@SUITE.test("understands quoted input")
def quoted_input(world):
    expect_equal(cli(world, "--quoted-input", "SET", r'"a\x00b"', r'"\xff\n"'), "OK\n")
    expect_equal(world.command("GET", b"a\x00b"), b"\xff\n", "the value")


@SUITE.test("repeats a command with -r and waits between with -i")
def repeats(world):
    expect_equal(cli(world, "-r", "5", "INCR", "counter"), "1\n2\n3\n4\n5\n")
    expect_equal(cli(world, "-r", "3", "-i", "0.05", "INCR", "counter"), "6\n7\n8\n")


@SUITE.test("runs the commands of its stdin in order")
def script(world):
    lines = ["SET a 10", "INCR a", 'APPEND a "x y"', "", "GET a"]
    lines += ["MULTI", "SET b 1", "INCR b", "EXEC", "GET none"]
    answer = cli(world, text="\n".join(lines) + "\n")
    expect_equal(answer, "OK\n11\n5\n11x y\nOK\nQUEUED\nQUEUED\nOK\n2\n\n")


@SUITE.test("connects through a unix socket with -s")
def unix_socket(world):
    done = world.program(["redis-cli", "-s", world.server.unixsocket, "SET", "a", "1"])
    expect_equal((done.out, done.err, done.code), ("OK\n", "", 0))
    done = world.program(["redis-cli", "-s", world.server.unixsocket, "CLIENT", "INFO"])
    expect_match(r" addr=" + re.escape(world.server.unixsocket) + r":0 ", done.out)


@SUITE.test("prints every section of INFO with its title")
def info(world):
    out = cli(world, "INFO")
    for title in ("Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Errorstats",
                  "Cluster", "Keyspace"):
        expect_match(rf"^# {title}\r?$", out)
    expect_match(r"^cmdstat_flushall:calls=\d+,usec=\d+,", cli(world, "INFO", "commandstats"))
    everything = cli(world, "INFO", "everything")
    expect_match(r"^redis_version:\d+\.\d+\.\d+\r?$", everything)


def fill(world, count, prefix="key"):
    connection = world.server.connect()
    for first in range(0, count, 1000):
        words = []
        for number in range(first, min(first + 1000, count)):
            words += [f"{prefix}:{number}", f"value {number}"]
        connection("MSET", *words)
    connection.close()


@SUITE.test("finds every key with --scan, and those of a --pattern")
def scan(world):
    fill(world, 5000)
    fill(world, 10, "other")
    found = cli(world, "--scan").splitlines()
    expect_equal(len(set(found)), 5010, "the number of keys found")
    found = cli(world, "--scan", "--pattern", "other:*").splitlines()
    expect_equal(sorted(set(found)), sorted(f"other:{number}" for number in range(10)), "the keys")
    world.command("SET", "a b", "x")
    expect_equal(cli(world, "--scan", "--quoted-pattern", r'"\x61 *"').splitlines(), ["a b"], "the keys")


@SUITE.test("samples the keyspace with --bigkeys")
def bigkeys(world):
    fill(world, 2000)
    world.command("SET", "the-big-one", "x" * 54321)
    out = cli(world, "--bigkeys")
    expect_match(r"^Sampled 2001 keys in the keyspace!$", out)
    expect_match(r"^Biggest string found '\"the-big-one\"' has 54321 bytes$", out)
    expect_match(r"^2001 strings with \d+ bytes \(100.00% of keys, avg size [\d.]+\)$", out)
    expect(not re.search(r"error|warning|fail", out, re.IGNORECASE), out)


@SUITE.test("samples memory with --memkeys")
def memkeys(world):
    fill(world, 2000)
    world.command("SET", "the-big-one", "x" * 54321)
    for options in (["--memkeys"], ["--memkeys-samples", "3"]):
        out = cli(world, *options)
        expect_match(r"^Sampled 2001 keys in the keyspace!$", out)
        found = expect_match(r"^Biggest string found '\"the-big-one\"' has (\d+) bytes$", out)
        expect(54321 < int(found[1]) < 80000, f"MEMORY USAGE of 54,321 bytes says {found[1]}")
        expect(not re.search(r"error|warning|fail", out, re.IGNORECASE), out)


@SUITE.test("measures with --latency")
def latency(world):
    out = cli(world, "--latency", "--raw", "-i", "0.3")
    lowest, highest, average, samples = expect_match(r"^(\d+) (\d+) ([\d.]+) (\d+)$", out).groups()
    expect(int(lowest) <= float(average) <= int(highest) and int(samples) >= 5, out)
    out = cli(world, "--latency", "--csv", "-i", "0.2")
    expect_match(r"^\d+,\d+,[\d.]+,\d+$", out)


def lines_of(world, words, count, pattern):
    """Starts a redis-cli that runs for ever, and returns its first lines that match; then ends it."""
    words = ["redis-cli", "-p", world.server.port, *words]
    if shutil.which("stdbuf"):
        words = ["stdbuf", "-oL", *words]
    path = world.path("lines")
    with open(path, "wb") as output:
        process = world.spawn(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def read():
        with open(path, "rb") as file:
            return file.read().decode(errors="backslashreplace")

    try:
        eventually(
            lambda: len(re.findall(pattern, read(), re.MULTILINE)) >= count or process.poll() is not None,
            f"{count} lines of redis-cli like {pattern}",
        )
    except Failure as failure:
        raise Failure(f"{failure}; it wrote:\n{read()}") from None
    expect(process.poll() is None, f"redis-cli ended by itself:\n{read()}")
    process.send_signal(signal.SIGINT)
    eventually(lambda: process.poll() is not None, "redis-cli ends after SIGINT")
    return read()


@SUITE.test("measures again and again with --latency-history")
def latency_history(world):
    out = lines_of(world, ["--latency-history", "--raw", "-i", "0.2"], 2, r"^\d+ \d+ [\d.]+ \d+$")
    expect(not re.search(r"error|warning|fail", out, re.IGNORECASE), out)


@SUITE.test("shows rolling numbers with --stat")
def stat(world):
    fill(world, 123)
    pattern = r"^(\d+) +([\d.]+[BKMG]) +(\d+) +(\d+) +(\d+) \(\+(\d+)\) +(\d+) *$"
    out = lines_of(world, ["--stat", "-i", "0.1"], 4, pattern)
    expect_match(r"^------- data ------", out)
    expect_match(r"^keys +mem +clients +blocked +requests +connections *$", out)
    rows = re.findall(pattern, out, re.MULTILINE)
    for keys, _memory, clients, blocked, requests, more, connections in rows:
        expect_equal((keys, blocked), ("123", "0"), "keys and blocked clients")
        expect(int(clients) >= 1 and int(requests) > 0 and int(connections) > 0, out)
    expect_equal(len(set(row[4] for row in rows)), len(rows), "the number of different request counts")


@SUITE.test("inserts 100,000 keys with --pipe")
def pipe(world):
    parts = []
    for number in range(100000):
        key, value = b"key:%012d" % number, b"value:%d" % number
        parts.append(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, len(value), value))
    out = cli(world, "--pipe", text=b"".join(parts))
    expect_equal(out.splitlines()[-1], "errors: 0, replies: 100000", "the last line")
    expect_match(r"^All data transferred\. Waiting for the last reply\.\.\.$", out)
    expect_match(r"^Last reply received from server\.$", out)
    expect_equal(world.command("DBSIZE"), 100000, "DBSIZE")
    expect_equal(world.command("GET", "key:000000099999"), b"value:99999", "the last value")


@SUITE.test("counts the errors among the replies of --pipe")
def pipe_with_errors(world):
    commands = b"SET a text\r\nINCR a\r\nINCR a\r\nSET b 1\r\n"
    done = world.program(["redis-cli", "-p", world.server.port, "--pipe"], text=commands)
    expect_match(r"^errors: 2, replies: 4$", done.out)
    expect_equal(done.err, "ERR value is not an integer or out of range\n" * 2, "stderr")


@SUITE.test("sees the commands of other clients with MONITOR")
def monitor(world):
    path = world.path("monitor")
    with open(path, "wb") as output:
        process = world.spawn(["redis-cli", "-p", world.server.port, "MONITOR"], stdin=subprocess.DEVNULL,
                              stdout=output, stderr=subprocess.STDOUT)

    def read():
        with open(path, "rb") as file:
            return file.read().decode(errors="backslashreplace")

    eventually(lambda: read() == "OK\n", "MONITOR answers OK")
    connection = world.server.connect()
    port = connection.socket.getsockname()[1]
    connection("SET", "a", b'quote " slash \\ zero \x00 high \xff\r\n')
    connection("select", 3)
    connection("get", "a")
    connection("ECHO", "last")
    connection.close()
    eventually(lambda: '"last"' in read(), "MONITOR shows the last command")
    clock = r"^\d{10}\.\d{6} "
    expect_match(clock + rf'\[0 127\.0\.0\.1:{port}\] "SET" "a" '
                 + re.escape(r'"quote \" slash \\ zero \x00 high \xff\r\n"') + "$", read())
    expect_match(clock + rf'\[3 127\.0\.0\.1:{port}\] "get" "a"$', read())
    unixsocket = world.server.unixsocket
    done = world.program(["redis-cli", "-s", unixsocket, "ECHO", "over unix"])
    expect_equal(done.out, "over unix\n")
    eventually(lambda: "over unix" in read(), "MONITOR shows the command of the unix socket")
    expect_match(clock + rf'\[0 unix:{re.escape(unixsocket)}\] "ECHO" "over unix"$', read())
    expect(process.poll() is None, f"redis-cli MONITOR ended:\n{read()}")
    expect(not re.search("AUTH", read()), f"a password in MONITOR:\n{read()}")


@SUITE.test("ends a server with SHUTDOWN NOSAVE")
def shutdown(world):
    server = world.start_server()
    expect_equal(cli(world, "SHUTDOWN", "NOSAVE", server=server), "")
    eventually(lambda: server.process.poll() is not None, "the server ends")
    expect_equal(server.process.returncode, 0, "the exit status")


@SUITE.test("says that it cannot connect when nobody listens")
def nobody(world):
    server = world.start_server()
    world.stop_server(server)
    done = world.program(["redis-cli", "-p", server.port, "PING"])
    expect_match(r"^Could not connect to Redis at 127\.0\.0\.1:\d+: Connection refused$", done.err)
    expect_equal(done.code, 1, "the exit status")
