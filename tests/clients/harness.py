# SPDX-License-Identifier: BSD-3-Clause
"""harness.py - what checks of real client programs share: a server to talk to, named tests, an orderly end.

May touch: processes, sockets of the loopback, files below one temporary directory, the clock.
Must never know: any particular client program; those live in the other files of this folder.
Invariants: every process started here dies with this one, whatever way this one ends; a wait has a deadline
and a condition; a test that raises has failed, every other test has passed.
Tests: this is a test itself; a binary that is not a server (`run --server /bin/true`) must fail everything.
"""

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import traceback

DEADLINE_SECONDS = 20
TEST_DEADLINE_SECONDS = 45
FIRST_PORT = 21200
PORTS = 50
PR_SET_PDEATHSIG = 1
F_SETPIPE_SZ = 1031
INHERITED = ("PATH", "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS")

LIBC = ctypes.CDLL(None, use_errno=True)


class Failure(AssertionError):
    """A check that did not hold. The text says what was seen."""


class Skip(Exception):
    """This machine cannot run the test. The text says why."""


def expect(condition, text):
    if not condition:
        raise Failure(text)


def expect_equal(got, wanted, what="the answer"):
    if got != wanted:
        raise Failure(f"{what} is\n  {got!r}\nand should be\n  {wanted!r}")


def expect_match(pattern, text, what="the output"):
    match = re.search(pattern, text, re.MULTILINE)
    if not match:
        raise Failure(f"{what} does not match {pattern!r}:\n{text}")
    return match


def eventually(condition, what, deadline_seconds=DEADLINE_SECONDS):
    """Asks until the condition holds; returns what it gave."""
    end = time.monotonic() + deadline_seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"not within {deadline_seconds} s: {what}")
        time.sleep(0.01)


def free_port(first=None):
    """A port of the loopback that nobody listens on. Another may take it before we do: callers retry."""
    first = first or FIRST_PORT
    for port in range(first, first + PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failure(f"no free port from {first} to {first + PORTS - 1}")


class RespError(Exception):
    """An error reply."""


class Resp:
    """The smallest client that can look over the shoulder of the others: RESP2, one command at a time."""

    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(DEADLINE_SECONDS)
        self.socket.connect(address)
        self.stream = self.socket.makefile("rb")

    def __call__(self, *words):
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(parts))
        return self.reply()

    def reply(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise Failure("the server closed the connection of the harness")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise RespError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.stream.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        raise Failure(f"the server sent {line!r}")

    def info(self, *sections):
        fields = {}
        for line in self("INFO", *sections).decode().splitlines():
            if ":" in line:
                key, value = line.split(":", 1)
                fields[key] = value
        return fields

    def close(self):
        self.stream.close()
        self.socket.close()


class Program:
    """A program that ended."""

    def __init__(self, words, out, err, code):
        self.words, self.out, self.err, self.code = words, out, err, code

    def __str__(self):
        return (
            f"$ {' '.join(map(str, self.words))}\nexit {self.code}\n"
            f"--- stdout ---\n{self.out}\n--- stderr ---\n{self.err}"
        )


class Unasked(Exception):
    """A program with tests of its own had none of those asked for."""


class World:
    """Everything that one group of tests may use. Entered once per group."""

    def __init__(self, binary, root):
        self.binary, self.root = binary, root
        self.processes = []
        self.servers = []
        self.directory = tempfile.mkdtemp(prefix="redis-kv-clients-")
        self.home = os.path.join(self.directory, "home")
        os.mkdir(self.home)
        self.server = None

    # Processes

    def spawn(self, words, **options):
        """Starts a program that the kernel ends when this process ends. In a session of its own."""

        def before_exec():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        # No file or variable of the person who runs the tests changes what a client does.
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment = {**inherited, "HOME": self.home, "LC_ALL": "C.UTF-8", **options.pop("environment", {})}
        options.setdefault("start_new_session", True)
        process = subprocess.Popen(
            list(map(str, words)), env=environment, cwd=self.directory, preexec_fn=before_exec, **options
        )
        self.processes.append(process)
        return process

    def end(self, process):
        """Kills a program that this world started, and what it started."""
        if process.poll() is None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()
        self.processes.remove(process)

    def program(self, words, text=None, environment=None, deadline_seconds=DEADLINE_SECONDS, **options):
        """Runs a program to its end and returns what it wrote and its exit status."""
        stdin = options.pop("stdin", subprocess.PIPE)
        process = self.spawn(
            words,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            environment=environment or {},
            **options,
        )
        data = text.encode() if isinstance(text, str) else text
        if data is None and stdin == subprocess.PIPE:
            process.stdin.close()
            process.stdin = None
        try:
            out, err = process.communicate(data, timeout=deadline_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            done = Program(words, out.decode(errors="replace"), err.decode(errors="replace"), "none")
            raise Failure(f"not done within {deadline_seconds} s:\n{done}") from None
        finally:
            self.end(process)
        return Program(words, out.decode(errors="backslashreplace"), err.decode(errors="backslashreplace"),
                       process.returncode)

    # Servers

    def start_server(self, *arguments, port=None):
        """Starts one more server with these arguments after the usual ones, and waits until it answers."""
        for attempt in range(5):
            chosen = port or free_port(FIRST_PORT + attempt)
            server = Server(self, chosen, arguments)
            if server.ready():
                self.servers.append(server)
                return server
            if "in use" not in server.log():
                raise Failure(f"the server does not start:\n{server.log()}")
        raise Failure("no port to start the server on")

    def stop_server(self, server):
        self.servers.remove(server)
        return server.stop()

    def command(self, *words, server=None):
        """One command over a connection of its own."""
        connection = (server or self.server).connect()
        try:
            return connection(*words)
        finally:
            connection.close()

    def path(self, name, content=None):
        """A path below the temporary directory; with content, a file is written there."""
        path = os.path.join(self.directory, name)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def close(self):
        for process in list(self.processes):
            self.end(process)
        shutil.rmtree(self.directory, ignore_errors=True)


class Server:
    """One server process. `password` and `unixsocket` are there for the clients that need them."""

    def __init__(self, world, port, arguments):
        self.world, self.port, self.arguments = world, port, list(map(str, arguments))
        self.directory = tempfile.mkdtemp(prefix="server-", dir=world.directory)
        self.unixsocket = os.path.join(self.directory, "socket")
        self.password = None
        if "--requirepass" in self.arguments:
            self.password = self.arguments[self.arguments.index("--requirepass") + 1]
        self.output = open(os.path.join(self.directory, "log"), "w+b")
        words = [world.binary, "--port", port, "--bind", "127.0.0.1", "--dir", self.directory, "--save", ""]
        words += ["--unixsocket", self.unixsocket, "--unixsocketperm", "700", *self.arguments]
        self.process = world.spawn(words, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output)

    def log(self):
        with open(self.output.name, "rb") as file:
            return file.read().decode(errors="backslashreplace")

    def connect(self):
        connection = Resp(("127.0.0.1", self.port))
        if self.password:
            connection("AUTH", self.password)
        return connection

    def ready(self):
        """True when the server answers, False when it ended before it did."""

        def answers():
            if self.process.poll() is not None:
                return "ended"
            try:
                connection = self.connect()
            except OSError:
                return None
            try:
                # Another server may have taken the port just before: the one that answers must be ours.
                number = connection.info("server").get("process_id")
                return "answers" if number == str(self.process.pid) else None
            except RespError:
                return None
            finally:
                connection.close()

        said = eventually(answers, f"the server on port {self.port} answers")
        if said == "ended":
            self.world.end(self.process)
        return said == "answers" and self.process.poll() is None

    def stop(self):
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failure(f"the server did not end after SIGTERM:\n{self.log()}") from None
        finally:
            self.world.end(self.process)
            self.output.close()
        return code


class Suite:
    """The named tests of one client program; a name continues the name of the client to a sentence."""

    def __init__(self, client, server_arguments=()):
        self.client, self.server_arguments = client, server_arguments
        self.tests = []
        self.children = []
        self.deadline_seconds = None  # where one test may take longer than usual

    def test(self, sentence):
        def add(function):
            self.tests.append((f"{self.client} {sentence}", function))
            return function

        return add

    def child(self, label):
        """The function gives the words of a program that runs tests of its own."""

        def add(function):
            self.children.append((label, function))
            return function

        return add


class Report:
    """Counts and prints. Quiet about what passed unless asked."""

    def __init__(self, verbose=False):
        self.verbose = verbose
        self.passed, self.failures, self.skipped = 0, [], []

    def total(self):
        return self.passed + len(self.failures) + len(self.skipped)

    def add_pass(self, name, seconds=None):
        self.passed += 1
        if self.verbose:
            print(f"pass  {name}" + (f"  ({seconds:.2f} s)" if seconds is not None else ""), flush=True)

    def add_failure(self, name, detail):
        self.failures.append(name)
        print(f"FAIL  {name}", flush=True)
        for line in detail.rstrip().splitlines():
            print(f"      {line}", flush=True)

    def add_skip(self, name, reason):
        self.skipped.append(name)
        print(f"skip  {name}: {reason}", flush=True)

    def run(self, name, *functions, deadline_seconds=TEST_DEADLINE_SECONDS):
        """Runs one test, in as many steps as it has, under its deadline."""

        def too_late(_signal, _frame):
            raise Failure(f"not done within {deadline_seconds} s")

        before = signal.signal(signal.SIGALRM, too_late)
        signal.alarm(deadline_seconds)
        begin = time.monotonic()
        try:
            for function in functions:
                function()
        except Unasked:
            pass
        except Skip as skip:
            self.add_skip(name, str(skip))
        except Failure as failure:
            place = traceback.extract_tb(failure.__traceback__)
            spots = [f"{os.path.basename(f.filename)}:{f.lineno}" for f in place if f.name != "run"]
            self.add_failure(name, f"{failure}\n(at {' > '.join(spots)})")
        except Exception:  # whatever a test raises is its failure
            self.add_failure(name, traceback.format_exc())
        else:
            self.add_pass(name, time.monotonic() - begin)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)


def overlap(text, other):
    return text in other or other in text


def names_known(suites, text):
    """Whether this text can be found without asking the programs that have tests of their own."""
    names = [name for suite in suites for name, _function in suite.tests]
    labels = [label for suite in suites for label, _function in suite.children]
    return any(text in name for name in names) or any(overlap(text, label) for label in labels)


def run_suite(suite, binary, root, report, only=None, ask_children=False):
    """One group: a fresh server, every test on an empty keyspace, and a server that is alive and ends well.
    With `only`, programs with tests of their own choose among them; they run if their label says that it
    fits, or `ask_children` that it may."""
    wanted = [(name, function) for name, function in suite.tests if not only or only in name]
    children = [child for child in suite.children if not only or ask_children or overlap(only, child[0])]
    if not wanted and not children:
        return
    world, before = World(binary, root), report.total()
    try:
        world.server = world.start_server(*suite.server_arguments)
        for name, function in wanted:
            run_test(world, report, name, lambda: function(world))
        for label, function in children:
            run_test(world, report, f"{label} runs to the end of its tests", lambda: run_child(
                world, function(world), report, label, only))

        def ends_well():
            expect(world.server.process.poll() is None, f"the server is gone:\n{world.server.log()}")
            expect_equal(world.stop_server(world.server), 0, "the exit status of the server")

        if report.total() > before:
            report.run(f"the server that {suite.client} talked to ends with exit 0", ends_well)
    except Failure as failure:
        report.add_failure(f"{suite.client} has a server to talk to", str(failure))
    finally:
        world.close()


def run_test(world, report, name, function):
    """One test on an empty keyspace; what it started ends with it."""
    if world.server.process.poll() is not None:
        report.add_failure(name, "the server is gone")
        return
    processes, servers, failures = list(world.processes), list(world.servers), len(report.failures)
    report.run(name, lambda: world.command("FLUSHALL"), function)
    for process in [process for process in world.processes if process not in processes]:
        world.end(process)
    world.servers = servers
    if len(report.failures) > failures and world.server.process.poll() is not None:
        print(f"      the server ended:\n{world.server.log()}", flush=True)


def run_child(world, words, report, label, only):
    """Runs a program that is itself a list of tests: it writes one JSON line per test to the descriptor that
    RESULTS_FD names. What it writes to stdout or stderr is a warning or an error of the client library."""
    reader, writer = os.pipe()
    environment = {"RESULTS_FD": str(writer), "TEST_LABEL": label, "TEST_ONLY": only or ""}
    environment["NODE_PATH"] = os.path.join(world.root, "build", "npm", "node_modules")
    # Results are small: the pipe holds them until the program has ended.
    LIBC.fcntl(writer, F_SETPIPE_SZ, 1 << 20)
    try:
        done = world.program(words, environment=environment, pass_fds=(writer,), deadline_seconds=40)
    finally:
        os.close(writer)
        with open(reader, "rb") as results:
            lines = results.read().decode().splitlines()
        finished = False
        for line in lines:
            result = json.loads(line)
            if "done" in result:
                finished = True
            elif result["ok"]:
                report.add_pass(result["name"], result["seconds"])
            else:
                report.add_failure(result["name"], result["detail"])
    expect(finished and done.code == 0, str(done))
    if only and len(lines) == 1:
        raise Unasked
    is_quiet = done.out == done.err == ""
    report.run(f"{label} prints no warning and no error", lambda: expect(is_quiet, str(done)))
