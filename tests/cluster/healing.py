# SPDX-License-Identifier: BSD-3-Clause
"""healing.py - utils/monitor over real nodes: it revives those that die, and what they have then is what the others have.

May touch: utils/cluster, utils/monitor, processes that they have started, which are killed and paused here.
Must never know: how nodes find each other, how a monitor knows what it knows.
Invariants: each test has a cluster of its own; nothing is waited for but conditions; a request that has failed is sent again,
and an answer counts as given when two nodes have what was written.
Tests: it is one.
"""

import fcntl
import os
import pty
import re
import signal
import subprocess
import termios
import threading
import time

import harness
import stage
from harness import Failure, Suite, expect, expect_equal, expect_match

SUITE = Suite("utils/monitor")
MONITOR = stage.ROOT / "utils" / "monitor"
INTERVAL_S = 0.2
# What clients of the other nodes may notice of a death: errors of all of them together, and how long one request may take
# with all its repetitions.
ERRORS_MAX = 2
REQUEST_SECONDS_MAX = 2
KEYS = 400
REQUESTS = 300


class Monitor:
    """One that runs in the background."""

    def __init__(self, world, cluster, *options):
        self.world, self.cluster = world, cluster
        self.output = open(world.path(f"monitor-{len(world.processes)}"), "w+b")
        words = [MONITOR, "--dir", cluster.directory, "--interval", INTERVAL_S, *options]
        self.process = world.spawn(words, stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT)

    def text(self):
        with open(self.output.name, encoding="utf-8") as file:
            return file.read()

    def screen(self):
        """The last whole one."""
        blocks = self.text().split("\n20")
        return blocks[-2] if len(blocks) > 1 else ""

    def await_screen(self, pattern):
        harness.eventually(lambda: self.process.poll() is not None or re.search(pattern, self.screen(), re.MULTILINE),
                           f"a screen with {pattern!r}; there is:\n{self.text()[-2000:]}")
        expect(self.process.poll() is None, f"the monitor has ended:\n{self.text()[-4000:]}")

    def end(self, number):
        """Its exit status after this signal."""
        os.kill(self.process.pid, number)
        code = self.process.wait(harness.DEADLINE_SECONDS)
        self.world.end(self.process)
        self.output.close()
        return code


def once(world, cluster, code):
    done = world.program([MONITOR, "--once", "--dir", cluster.directory])
    expect(done.code == code, str(done))
    return done.out + done.err


def log_of(cluster):
    with open(os.path.join(cluster.directory, "cluster.log"), encoding="utf-8") as file:
        return file.read()


class Client(threading.Thread):
    """Writes, overwrites, deletes and reads keys of its own through one node, and knows what they must be."""

    def __init__(self, node, number):
        super().__init__(daemon=True)
        self.connection, self.number = node.connect(), number
        self.values = {}
        self.requests = self.errors = 0
        self.slowest_s = 0
        self.failure = None
        self.is_over = threading.Event()

    def until_done(self, what, attempt):
        """Repeats it until it gives something, errors aside."""
        begun = time.monotonic()
        while True:
            try:
                if attempt():
                    break
            except harness.RespError as error:
                last = str(error)
                self.errors += 1
                self.is_over.wait(0.002)
            else:
                last = "too few copies"
            if time.monotonic() - begun > REQUEST_SECONDS_MAX:
                raise Failure(f"{what} did not succeed within {REQUEST_SECONDS_MAX} s: {last}")
        self.requests += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - begun)

    def write(self, *words):
        """Until a second node has it, too."""
        def attempt():
            self.connection(*words)
            return self.connection("WAIT", 1, 1000) >= 1

        self.until_done(" ".join(map(str, words)), attempt)

    def read(self, key):
        def attempt():
            found = self.connection("GET", key)
            expect_equal(found, self.values[key], f"the value of {key}, {self.requests} requests,")
            return True

        self.until_done(f"GET {key}", attempt)

    def step(self, turn):
        key = f"key:{self.number}:{turn * 7 % KEYS}"
        if turn % 5 == 4:
            self.write("DEL", key)
            self.values[key] = None
        else:
            self.write("SET", key, f"value {turn}")
            self.values[key] = f"value {turn}".encode()
        self.read(f"key:{self.number}:{(turn - turn // 2) * 7 % KEYS}")

    def run(self):
        try:
            for key in range(KEYS):
                self.values[f"key:{self.number}:{key}"] = None
            turn = 0
            while not self.is_over.is_set():
                self.step(turn)
                turn += 1
        except (Failure, OSError, ValueError) as error:
            self.failure = error

    def await_requests(self, count):
        """So many more."""
        wanted = self.requests + count
        harness.eventually(lambda: self.requests >= wanted or self.failure, f"{count} requests of client {self.number}")

    def end(self):
        self.is_over.set()
        self.join(REQUEST_SECONDS_MAX + 2)
        expect(not self.is_alive(), "a client waits for its answer for ever")
        if self.failure:
            raise Failure(f"client {self.number}, after {self.requests} requests and {self.errors} errors: {self.failure}")
        self.connection.close()


def ask_all(node, commands):
    """The replies to all of them, sent at once; an error is a reply, too."""
    connection = node.connect()
    connection.socket.sendall(b"".join(
        b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)
        for words in commands))
    replies = []
    for _ in commands:
        try:
            replies.append(connection.reply())
        except harness.RespError as error:
            replies.append(error)
    connection.close()
    return replies


def difference(cluster, values):
    """What is wrong with the copies; empty: every node gives every value, and all copies are the same, versions included."""
    keys, living = sorted(values), sum(value is not None for value in values.values())
    peeks = [ask_all(node, [("KV.PEEK", key) for key in keys]) for node in cluster.nodes]
    for i, key in enumerate(keys):
        if any(peek[i] != peeks[0][i] for peek in peeks):
            return f"the copies of {key} are {[peek[i] for peek in peeks]!r}, and its value should be {values[key]!r}"
    for node in cluster.nodes:
        for key, found in zip(keys, ask_all(node, [("GET", key) for key in keys])):
            if found != values[key]:
                return f"node {node.number} has {found!r} as the value of {key}, which should be {values[key]!r}"
        held = node.info("keyspace").get("db0", "keys=0,")
        size = ask_all(node, [("DBSIZE",)])
        if size != [living] or not held.startswith(f"keys={living},"):
            return f"node {node.number} counts {size} keys in all and holds {held}; {living} it should be"
    return ""


def expect_consistent(cluster, values):
    found = []

    def is_same():
        found[:] = [difference(cluster, values)]
        return found == [""]

    try:
        harness.eventually(is_same, "all copies are the same")
    except Failure as failure:
        raise Failure(f"{failure}: {found[0]}") from None


def kill(node):
    pid = node.pid()
    os.kill(pid, signal.SIGKILL)
    harness.eventually(lambda: node.poll() is not None or node.pid() != pid, f"node {node.number} dies")
    return pid


def await_settled(node, before):
    """It has another process than before, which has all copies."""
    def is_settled():
        try:
            return node.pid() != before and node.info("cluster")["cluster_is_settled"] == "1"
        except (OSError, ValueError, KeyError, Failure):
            return False

    harness.eventually(is_settled, f"node {node.number} lives again and is settled")


def state_at(observer, node):
    """How one node sees another."""
    row = re.search(rf"addr=127\.0\.0\.1:{node.port},state=(\w+)", str(observer.info("replication")))
    return row and row[1]


@SUITE.test("revives a node that was killed, clients of the others go on, and its copies are as theirs; so does the next monitor")
def healing(world):
    cluster = world.add_cluster(3)
    cluster.start("--save", "")
    first, victim, last = cluster.nodes
    monitor = Monitor(world, cluster)
    monitor.await_screen(r"3 nodes: 3 up$")
    clients = [Client(first, 1), Client(last, 2)]
    for client in clients:
        client.start()
        client.await_requests(REQUESTS)
    # It comes back with what is old by then: values that were overwritten, keys that were deleted.
    ask_all(victim, [("SAVE",)])
    for client in clients:
        client.await_requests(REQUESTS)
    before = kill(victim)
    await_settled(victim, before)
    for client in clients:
        client.await_requests(REQUESTS)
    for client in clients:
        client.end()
    errors, values = sum(client.errors for client in clients), {**clients[0].values, **clients[1].values}
    expect(errors <= ERRORS_MAX, f"{errors} errors")
    expect_consistent(cluster, values)
    monitor.await_screen(r"3 nodes: 3 up$")
    expect_match(r"^\d\d:\d\d:\d\d node 2 is revived$", monitor.text(), "the screens")
    expect_match(r" monitor: node 2 is revived$", log_of(cluster))

    # Without a monitor the next dead node stays dead. The next monitor finds all that it needs.
    monitor.end(signal.SIGKILL)
    before = kill(last)
    harness.eventually(lambda: state_at(first, last) == "down", "the others see node 3 as down")
    expect_equal(last.pid(), before, "its process")
    expect_match(r"^ +3 .* down ", once(world, cluster, 1))
    monitor = Monitor(world, cluster)
    await_settled(last, before)
    expect_consistent(cluster, values)
    monitor.await_screen(r"3 nodes: 3 up$")
    expect_equal(monitor.end(signal.SIGTERM), 0, "the exit status of a monitor after SIGTERM")
    expect_match(r"3 nodes: 3 up$", once(world, cluster, 0))


@SUITE.test("leaves alone what was stopped, and works alone in a folder")
def stopping(world):
    cluster = world.add_cluster(2)
    expect_match(r"^monitor: there is no cluster in ", once(world, cluster, 2))
    cluster.start("--save", "", "--cluster-zone", "rack-7", "--requirepass", "secret word")
    monitor = Monitor(world, cluster)
    monitor.await_screen(r"^ +1  127\.0\.0\.1:\d+  rack-7  up ")
    done = world.program([MONITOR, "--dir", cluster.directory])
    expect(done.code == 1, str(done))
    expect_match(f"^monitor: another monitor has .*: process {monitor.process.pid} ", done.err)
    expect_match(r"2 nodes: 2 up$", once(world, cluster, 0))
    pids = [node.pid() for node in cluster.nodes]
    cluster.tool("stop")
    monitor.await_screen(r"2 nodes: 2 stopped$")
    expect_match(r"^cluster: node 1 was stopped: start it with restart 1$", cluster.tool("revive", 1, code=1))
    expect_equal([node.pid() for node in cluster.nodes], pids, "the processes")
    expect("revived" not in log_of(cluster), log_of(cluster))
    cluster.start()
    monitor.await_screen(r"2 nodes: 2 up$")
    before = cluster.nodes[0].pid()
    expect_match(r"^node 1 has ended$", cluster.tool("kill", 1))
    harness.eventually(lambda: cluster.nodes[0].pid() != before, "node 1 is revived")
    monitor.await_screen(r"2 nodes: 2 up$")
    # One that goes on without its cluster, until there is another.
    cluster.tool("wipe")
    monitor.await_screen(r"^there is no cluster in ")
    cluster.start("--save", "")
    monitor.await_screen(r"2 nodes: 2 up$")
    expect_match(f"process {monitor.process.pid} ", world.program([MONITOR, "--dir", cluster.directory]).err)
    expect_equal(monitor.end(signal.SIGTERM), 0, "the exit status of a monitor after SIGTERM")


def waiting_for(file):
    """How many processes wait for its lock."""
    with open("/proc/locks", encoding="ascii") as locks:
        return len(re.findall(rf"-> FLOCK .*:{os.fstat(file.fileno()).st_ino} ", locks.read()))


@SUITE.test("refreshes its screen in place on a terminal, and leaves the terminal as it was")
def terminal(world):
    cluster = world.add_cluster(2)
    cluster.start("--save", "")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (5, 40))
    process = world.spawn([MONITOR, "--look", "--interval", INTERVAL_S, "--dir", cluster.directory], stdout=theirs)
    os.close(theirs)
    shown = b""
    while shown.count(b"\x1b[J") < 3:
        shown += os.read(ours, 4096)
    process.terminate()
    expect_equal(process.wait(harness.DEADLINE_SECONDS), 0, "the exit status after SIGTERM")
    try:
        while more := os.read(ours, 4096):
            shown += more
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    before, *screens, after = re.split(r"\x1b\[H|\x1b\[\?25h", shown.decode().replace("\r\n", "\n"))
    expect_equal((before, after), ("\x1b[?25l\x1b[2J", ""), "what comes before and after the screens")
    for screen in screens:
        lines = screen.split("\x1b[K\n")
        expect_equal((len(lines), lines[-1]), (5, "\x1b[J"), "the lines of a screen, and its end")
        expect(all(len(line) <= 40 for line in lines), screen)
        expect_match(r"^node  address", screen)


@SUITE.test("starts one process for a node, however many ask for it at once")
def reviving_at_once(world):
    cluster = world.add_cluster(2)
    cluster.start("--save", "")
    kill(cluster.nodes[0])
    words = [("start", "2")] * 3 + [("revive", "1")]
    # All of them are where the node is started before the first goes on.
    starting = open(os.path.join(cluster.nodes[0].directory, "starting"), "rb")
    fcntl.flock(starting, fcntl.LOCK_EX)
    asked = [world.spawn([stage.TOOL, *some, "--dir", cluster.directory], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True) for some in words]
    harness.eventually(lambda: waiting_for(starting) == len(words), "all wait for each other")
    starting.close()
    said = [process.communicate(timeout=harness.DEADLINE_SECONDS)[0] for process in asked]
    expect_equal([process.returncode for process in asked], [0] * len(words), f"the exit statuses, after {said},")
    pids = {int(re.search(r"^node 1\b.*process (\d+)", text, re.MULTILINE)[1]) for text in said}
    expect_equal(pids, {cluster.nodes[0].pid()}, "the processes that were told")
    expect_equal(cluster.nodes[0].log().count("Ready to accept connections on port"), 2, "how often it came to life")
    expect("in use" not in cluster.nodes[0].log(), "a second process was started")
    expect_match(r"^cluster: which node\? 1 to 2$", cluster.tool("revive", 3, code=1))


@SUITE.test("waits longer and longer for a node that dies again and again, and says so")
def dying_again(world):
    cluster = world.add_cluster(2)
    cluster.start("--save", "")
    config = os.path.join(cluster.directory, "2", "redis-kv.conf")
    with open(config, encoding="utf-8") as file:
        good = file.read()
    world.path("cluster/2/redis-kv.conf", f"{good}\nno-such-directive yes\n")
    monitor = Monitor(world, cluster, "--quiet")
    harness.eventually(lambda: os.path.exists(os.path.join(cluster.directory, "monitor.lock")), "the monitor runs")
    kill(cluster.nodes[1])
    times = {}

    def tries(wanted):
        count = len(re.findall(r"^node 2 is revived", monitor.text(), re.MULTILINE))
        times.setdefault(count, time.monotonic())
        return count >= wanted

    harness.eventually(lambda: tries(2), "the second try")
    expect_match(r"^ +2 .* down .*Connection refused", once(world, cluster, 1))
    world.path("cluster/2/redis-kv.conf", good)
    harness.eventually(lambda: tries(3), "the third try")
    harness.eventually(lambda: "node 2 is up" in monitor.text(), "the third try succeeds")
    expect(times[2] - times[1] > 0.9 and times[3] - times[2] > 1.9, f"the tries came at {times}")
    expect_match(r"^node 2 is revived \(try 3\)$", monitor.text())
    expect(not tries(4), "there is a fourth try")
    expect_equal(monitor.end(signal.SIGTERM), 0, "the exit status of a monitor after SIGTERM")


@SUITE.test("shows a node that hangs, and kills it only if told to")
def hanging(world):
    cluster = world.add_cluster(2)
    cluster.start("--save", "")
    node = cluster.nodes[1]
    pid = node.pid()
    monitor = Monitor(world, cluster, "--hang-timeout", 0.5)
    monitor.await_screen(r"2 nodes: 2 up$")
    os.kill(pid, signal.SIGSTOP)
    monitor.await_screen(r"^ +2 .* hung ")
    expect("killed" not in log_of(cluster), log_of(cluster))
    os.kill(pid, signal.SIGCONT)
    monitor.await_screen(r"2 nodes: 2 up$")
    expect_equal(node.pid(), pid, "its process")
    expect_equal(monitor.end(signal.SIGTERM), 0, "the exit status of a monitor after SIGTERM")
    monitor = Monitor(world, cluster, "--hang-timeout", 0.5, "--restart-hung")
    monitor.await_screen(r"2 nodes: 2 up$")
    os.kill(pid, signal.SIGSTOP)
    harness.eventually(lambda: node.pid() != pid, "another process")
    monitor.await_screen(r"2 nodes: 2 up$")
    expect_match(r" monitor: node 2 is killed: it has not answered for 0\.5 s$", log_of(cluster))
