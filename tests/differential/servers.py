# servers.py - start, find and stop the servers that are compared.
#
# May touch: processes that it started itself, a temporary directory, ports of PORTS on the loopback address.
# Must never know: commands, comparison.
# Invariants: every server that was started is stopped by stop(), and its directory removed; a server counts as
# started when it answers a PING, not after a time.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import os
import shutil
import socket
import subprocess
import tempfile
import time

import connection
import resp

HOST = "127.0.0.1"
# Below the ports that the system gives to outgoing connections.
PORTS = range(21100, 21200)
# Of these a node of a ring takes three: for clients, for cluster clients, for the other nodes.
RING_PORTS = range(20500, 21000)
PORTS_OF_A_NODE = 3
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 20

# Directives that both servers of the main pair get. DEBUG is off by default in both. No command is slow by itself:
# what a busy machine makes slow would be logged on one side only.
MAIN_DIRECTIVES = [("save", '""'), ("loglevel", "warning"), ("enable-debug-command", "yes"),
                   ("slowlog-log-slower-than", "10000000")]
PASSWORD = b"secret word"
# Directives of the pair that is closed by a password; these come from a file, so that CONFIG REWRITE has one to write.
GUARDED_DIRECTIVES = [("save", '""'), ("loglevel", "warning"), ("requirepass", '"secret word"')]


# What the nodes of a ring get besides those of the main pair.
RING_DIRECTIVES = [("cluster-enabled", "yes")]
SETTLED_TIMEOUT_S = 60


class StartFailed(Exception):
    """The server did not come up; the text says why."""


class Server:
    """A server that is running, by us or by somebody else (process None)."""

    def __init__(self, label, port, process=None, directory=None, log_path=None):
        self.label = label
        self.host = HOST
        self.port = port
        self.process = process
        self.directory = directory
        self.log_path = log_path
        self.reservation = None

    def end_of_log(self):
        if not self.log_path:
            return ""
        with open(self.log_path, errors="replace") as log:
            return "".join(log.readlines()[-20:])

    def wait_for_exit(self):
        """The exit status after the server was told to end, None where it did not end."""
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return None

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            if self.wait_for_exit() is None:
                self.process.kill()
                self.process.wait()
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None
        if self.reservation:
            self.reservation.close()
            self.reservation = None


def start(label, binary, directives, by_file=False):
    """Start binary with the directives on a free port and wait until it answers."""
    refusals = []
    for port in PORTS:
        reservation = _reserve(port)
        if not reservation:
            continue
        server, refusal = _try_port(label, binary, directives, by_file, port)
        if server:
            server.reservation = reservation
            return server
        reservation.close()
        refusals.append(refusal)
        # Another program may have taken the port between the look and the start; more failures mean more than that.
        if len(refusals) == 2:
            break
    raise StartFailed("%s (%s) did not start:\n%s" % (label, binary, "\n".join(refusals) or "no free port"))


class Ring:
    """The nodes of a ring that runs: what is asked of no certain node goes to the first."""

    def __init__(self, label, nodes):
        self.label = label
        self.nodes = nodes
        self.host, self.port = nodes[0].host, nodes[0].port


def running_ring(label, ports):
    """Nodes that somebody else has started."""
    return Ring(label, [Server("%s, node %d" % (label, number), port) for number, port in enumerate(ports)])


def start_ring(label, binary, directives, count):
    """Start so many nodes and wait until each of them sees all, and all copies are in agreement."""
    ports, reservations = _reserve_nodes(count)
    seeds = " ".join("%s:%d@%d" % (HOST, port, port + 2) for port in ports)
    nodes = []
    try:
        for number, port in enumerate(ports):
            own = [("cluster-port", str(port + 1)), ("peer-port", str(port + 2)), ("cluster-seeds", seeds)]
            node, refusal = _try_port("%s, node %d" % (label, number), binary, directives + RING_DIRECTIVES + own,
                                      False, port)
            if not node:
                raise StartFailed("node %d of the ring (%s) did not start:\n%s" % (number, binary, refusal))
            nodes.append(node)
            node.reservation = reservations[number]
        for node in nodes:
            if not _is_settled(node, count):
                raise StartFailed("%s does not see %d settled nodes; its log:\n%s"
                                  % (node.label, count, node.end_of_log()))
    except StartFailed:
        for node in nodes:
            node.stop()
        raise
    return Ring(label, nodes)


def _reserve_nodes(count):
    """The first ports of so many nodes, and what keeps other runs from them."""
    ports, reservations = [], []
    for first in RING_PORTS[:-PORTS_OF_A_NODE:PORTS_OF_A_NODE]:
        if len(ports) == count:
            break
        held = [_reserve(first + offset) for offset in range(PORTS_OF_A_NODE)]
        if all(held):
            ports.append(first)
            # The first stands for all three: nobody else takes them by another number.
            reservations.append(held.pop(0))
        for reservation in filter(None, held):
            reservation.close()
    if len(ports) < count:
        raise StartFailed("no free ports for %d nodes" % count)
    return ports, reservations


def _is_settled(node, count):
    wanted = b"cluster_nodes_settled:%d\r\n" % count
    deadline = time.monotonic() + SETTLED_TIMEOUT_S
    client = connection.Connection(node.host, node.port)
    try:
        while time.monotonic() < deadline:
            job = connection.Job(client, resp.encode([b"CLUSTER", b"INFO"]), reply_count=1)
            connection.exchange([job])
            if job.replies and wanted in job.replies[0]:
                return True
            # What the others say comes with their gossip; there is nothing to wait for here.
            time.sleep(0.02)
        return False
    finally:
        client.close()


def _reserve(port):
    """A socket that keeps other runs of this test from the port while it is open; None if the port is taken.

    Without it two runs could choose one port at the same time, and both would take the server of the faster one for
    their own. The name is in the abstract namespace: it goes away with the process.
    """
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        reservation.bind("\0redis-kv-differential-%d" % port)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except OSError:
        reservation.close()
        return None
    return reservation


def _try_port(label, binary, directives, by_file, port):
    directory = tempfile.mkdtemp(prefix="differential-")
    settings = [("port", str(port)), ("bind", HOST), ("dir", directory)] + directives
    arguments = [os.path.abspath(binary)]
    if by_file:
        path = os.path.join(directory, "server.conf")
        with open(path, "w") as file:
            file.writelines("%s %s\n" % setting for setting in settings)
        arguments.append(path)
    else:
        for name, value in settings:
            arguments += ["--" + name, "" if value == '""' else value]
    log_path = os.path.join(directory, "log")
    try:
        with open(log_path, "w") as log:
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                       cwd=directory, close_fds=True)
    except OSError as error:
        shutil.rmtree(directory)
        return None, str(error)
    server = Server(label, port, process, directory, log_path)
    if _answers(server):
        return server, None
    refusal = "exit status %s; its log:\n%s" % (process.poll(), server.end_of_log())
    server.stop()
    return None, refusal


def _answers(server):
    """Whether our own process answers on the port, within START_TIMEOUT_S."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            probe = connection.Connection(server.host, server.port)
        except OSError:
            # Nothing listens yet. There is no event to wait for, so ask again soon.
            time.sleep(0.02)
            continue
        job = connection.Job(probe, resp.encode([b"PING"]), reply_count=1)
        connection.exchange([job], timeout_s=max(0.1, deadline - time.monotonic()))
        probe.close()
        if job.replies and server.process.poll() is None:
            return True
    return False


def reference_binary(script):
    """The path that deps/reference-server prints."""
    result = subprocess.run([script], stdout=subprocess.PIPE, check=True, text=True)
    lines = result.stdout.strip().splitlines()
    if not lines or not os.path.exists(lines[-1]):
        raise StartFailed("%s names no reference server: %r" % (script, result.stdout))
    return lines[-1]
