# SPDX-License-Identifier: BSD-3-Clause
"""stage.py - what the tests of checkpoints share: folders, servers that come and go in them, the tools, small file systems.

May touch: processes, ports of the loopback, one temporary directory, mounts below it, the clock.
Must never know: how a checkpoint looks inside.
Invariants: every process started here dies with this one, every mount goes with its test; a wait has a condition and a
deadline; a test that raises Skip is named as skipped, one that raises anything else has failed.
Tests: it serves tests; `run --server /bin/true` must fail nearly all of them.
"""

import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import redis

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FIRST_PORT, PORTS = 7560, 20
DEADLINE_SECONDS = 30
DATABASES = 16
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
TESTS = []


class Failure(AssertionError):
    """A check that did not hold. The text says what was seen."""


class Skip(Exception):
    """This machine cannot run the test. The text says why."""


def test(function):
    TESTS.append(function)
    return function


def expect(condition, text):
    if not condition:
        raise Failure(text)


def expect_equal(got, wanted, what):
    expect(got == wanted, f"{what} is\n  {shortened(got)}\nand should be\n  {shortened(wanted)}")


def shortened(value):
    text = repr(value)
    return text if len(text) <= 1000 else text[:1000] + "..."


def expect_in(part, text, what="the output"):
    expect(part in text, f"{what} has no {part!r}:\n{text}")


def eventually(condition, what, deadline_seconds=DEADLINE_SECONDS):
    """Asks until the condition holds; returns what it gave."""
    end = time.monotonic() + deadline_seconds
    while True:
        seen = condition()
        if seen:
            return seen
        expect(time.monotonic() < end, f"not within {deadline_seconds} s: {what}")
        time.sleep(0.005)


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# ---- Servers ---------------------------------------------------------------------------------------------------------


class Server:
    """A server process in a folder that may outlive it; what it logs goes to a file of its own."""

    def __init__(self, world, folder, words, environment):
        self.folder, self.port = pathlib.Path(folder), world.free_port()
        self.log_path = pathlib.Path(tempfile.mkstemp(prefix="log-", dir=world.folder)[1])
        command = [world.options.server, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), *words]
        with open(self.log_path, "wb") as log:
            # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
            self.process = subprocess.Popen(command, cwd=world.folder, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, preexec_fn=die_with_parent,
                                            env={**os.environ, **environment})

    def log(self):
        return self.log_path.read_text("latin-1")

    def client(self, database=0):
        return redis.Redis("127.0.0.1", self.port, db=database, socket_timeout=DEADLINE_SECONDS)

    def connection(self):
        """A plain socket, for what a client library would hide."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_SECONDS)

    def is_ready(self):
        expect(self.process.poll() is None, f"the server has ended:\n{self.log()}")
        try:
            return self.client().ping()
        except redis.RedisError:
            return False

    def info(self):
        return self.client().info("persistence")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def wait(self, code, what):
        """Waits for its end."""
        try:
            got = self.process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failure(f"{what}: the server does not end:\n{self.log()}") from None
        expect(got == code, f"{what}: the exit status is {got}, not {code}:\n{self.log()}")

    def bgsave(self):
        """A checkpoint in the background, to its end; whether it went well."""
        self.client().bgsave()
        eventually(lambda: not self.info()["rdb_bgsave_in_progress"], "BGSAVE ends")
        return self.info()["rdb_last_bgsave_status"] == "ok"


class FailingDisk:
    """What tests/preload/failing_disk.c is told."""

    FIELDS = ("write_error", "sync_error", "folder_sync_error", "rename_error", "write_max")

    def __init__(self, folder):
        library, self.path = folder / "failing_disk.so", folder / "faults"
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", library,
                        ROOT / "tests" / "preload" / "failing_disk.c"], check=True)
        self.path.write_bytes(bytes(4 * len(self.FIELDS)))
        # A sanitizer's runtime wants to come first; it need not, where the library allocates nothing.
        options = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0")))
        self.environment = {"LD_PRELOAD": str(library), "FAILING_DISK_FILE": str(self.path), "ASAN_OPTIONS": options}

    def fail(self, **faults):
        """These, and no others."""
        with open(self.path, "r+b") as file:
            file.write(struct.pack(f"={len(self.FIELDS)}i", *(faults.pop(field, 0) for field in self.FIELDS)))
        expect(not faults, f"no such faults: {faults}")


class World:
    """What one test uses: servers and mounts that end with it."""

    def __init__(self, options, folder):
        self.options, self.folder = options, pathlib.Path(folder)
        self.servers, self.mounts = [], []

    def free_port(self):
        for port in range(self.options.first_port, self.options.first_port + PORTS):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue
        raise Failure("no free port")

    def new_folder(self):
        return pathlib.Path(tempfile.mkdtemp(prefix="data-", dir=self.folder))

    def begin(self, folder, *words, save="", environment=()):
        """A server that may still be loading, or about to refuse."""
        server = Server(self, folder, ["--save", save, *words], dict(environment))
        self.servers.append(server)
        return server

    def start(self, folder, *words, save="", environment=()):
        server = self.begin(folder, *words, save=save, environment=environment)
        eventually(server.is_ready, "the server answers")
        return server

    def expect_refusal(self, folder, *words, save=""):
        """It must not start; its log."""
        server = self.begin(folder, *words, save=save)
        server.wait(1, "a start that should be refused")
        return server.log()

    def inspect(self, *words, code=0):
        """Runs utils/inspect-checkpoint's program to its end."""
        command = [str(self.options.tool), *(str(word) for word in words)]
        done = subprocess.run(command, capture_output=True, timeout=DEADLINE_SECONDS, check=False)
        expect(done.returncode == code, f"exit {done.returncode}, not {code}:\n{done.stdout!r:.2000}\n{done.stderr!r:.2000}")
        return done

    def inspect_json(self, *words, code=0):
        return json.loads(self.inspect("--json", *words, code=code).stdout)

    def expect_valid(self, path):
        return self.inspect_json(path)

    def small_file_system(self, size="8m"):
        """A file system of that size, as a folder; Skip where that is not allowed."""
        path = self.folder / f"mount-{len(self.mounts)}"
        path.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", str(path)], capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise Skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        self.mounts.append(path)
        return path

    def failing_disk(self):
        """A disk whose calls can be made to fail, for servers that get its `environment`."""
        return FailingDisk(self.folder)

    @staticmethod
    def remount(path, options):
        subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)

    def end(self):
        for server in self.servers:
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGCONT)
                server.kill()
        for path in self.mounts:
            subprocess.run(["umount", "--lazy", str(path)], check=True)


# ---- Data --------------------------------------------------------------------------------------------------------------


def content(server, databases=range(DATABASES)):
    """All keys: {(database, key): (value, expiry in ms or -1)}."""
    found = {}
    for database in databases:
        client = server.client(database)
        keys = list(client.scan_iter(count=1000))
        for first in range(0, len(keys), 500):
            part = keys[first:first + 500]
            pipeline = client.pipeline(transaction=False)
            for key in part:
                pipeline.get(key)
                pipeline.execute_command("PEXPIRETIME", key)
            answers = pipeline.execute()
            found.update({(database, key): pair for key, pair in zip(part, zip(answers[::2], answers[1::2]))})
    return found


def expect_content(server, wanted, what):
    got = content(server)
    different = [key for key in wanted.keys() | got.keys() if wanted.get(key) != got.get(key)]
    expect(not different, f"{what}: {len(different)} of {len(wanted)} keys differ, among them {shortened(different[:5])}")


def fill_many(server, keys, size=20, prefix=b"many:", first=0):
    """So many keys with values of that size, in few commands."""
    with server.connection() as connection:
        for begin in range(first, first + keys, 5000):
            count = min(5000, first + keys - begin)
            parts = [b"*%d\r\n$4\r\nMSET\r\n" % (2 * count + 1)]
            for i in range(begin, begin + count):
                key = prefix + b"%d" % i
                parts.append(b"$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, size, (b"%d." % i).ljust(size, b"x")[:size]))
            connection.sendall(b"".join(parts))
            expect_equal(connection.recv(100), b"+OK\r\n", "the answer to MSET")


def fill_random(server, random, mebibytes, prefix=b"random:"):
    """Values of 64 KiB that nothing can pack."""
    pipeline = server.client().pipeline(transaction=False)
    for i in range(mebibytes * 16):
        pipeline.set(prefix + b"%d" % i, random.randbytes(65536))
    pipeline.execute()


def future_version(data):
    """The same file as one of a later format version, as a later server would write it: with a right checksum."""
    library = ctypes.CDLL("libxxhash.so.0")
    library.XXH3_64bits.restype = ctypes.c_uint64
    end = 8 + int.from_bytes(data[4:8], "little")
    fields = bytearray(data[8:end - 8])
    fields[9:11] = (int.from_bytes(fields[9:11], "little") + 1).to_bytes(2, "little")
    checksum = library.XXH3_64bits(bytes(fields), ctypes.c_size_t(len(fields)))
    return data[:8] + bytes(fields) + checksum.to_bytes(8, "little") + data[end:]


# ---- Running -------------------------------------------------------------------------------------------------------------


def built_tool(server):
    """The program of utils/inspect-checkpoint: beside a server that was built with sanitizers its own, if that is there."""
    own = pathlib.Path(server).parent / "utils" / "inspect_checkpoint"
    if own.is_file() and re.search(r"san-", str(own)):
        return own
    # Built once, so that no test waits for it.
    subprocess.run([ROOT / "utils" / "inspect-checkpoint", "--help"], stdout=subprocess.DEVNULL, check=True)
    return ROOT / os.environ.get("BUILD", "build") / "utils" / "inspect_checkpoint"


def needed(program):
    path = shutil.which(program)
    if path is None:
        raise Skip(f"{program} is not installed")
    return path
