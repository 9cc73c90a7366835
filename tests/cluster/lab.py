# SPDX-License-Identifier: BSD-3-Clause
"""lab.py - a cluster of real processes whose nodes are machines of their own as far as the network can tell, with paths that can be cut.

May touch: network namespaces and filters in them (root is needed for that), utils/cluster, the processes that it has started.
Must never know: how nodes speak with each other.
Invariants: nothing outside of the namespaces changes, and they are gone with the processes in them; those end with this process, whatever
way it ends. Clients stand at the hub: their paths are never cut.
Tests: this is a test itself.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess

import harness
import stage
from harness import Failure, Skip

CLONE_NEWNET = 0x40000000
NETWORK = "10.77.0"
FIRST_PORT = 7001
HUB = 254
# Settings under which no acknowledged write is lost and none is read late.
STRICT = ("--write-quorum", "2", "--read-quorum", "2", "--sloppy-quorum", "no")
AGREEMENT_SECONDS_MAX = 30
NEEDED = ("ip", "iptables", "nsenter", "unshare")

# Waits for the end of its input; then no process of the cluster's goes on.
GUARDIAN = """
trap '' TERM INT HUP
cat >/dev/null
for file in "$1"/*/redis-kv.pid; do
    pid=$(cat "$file" 2>/dev/null) && grep -Fq "$1" "/proc/$pid/cmdline" && kill -9 "$pid"
done 2>/dev/null
for folder in "$1"/*/; do mountpoint -q "$folder" && umount -l "$folder"; done 2>/dev/null
[ ! -f "$1/cgroups" ] || while read -r group; do
    for i in $(seq 1 100); do rmdir "$group" 2>/dev/null || [ ! -d "$group" ] && break || sleep 0.05; done
done <"$1/cgroups"
rm -rf -- "$1"
"""


class Node(stage.Node):
    def __init__(self, cluster, number):
        super().__init__(cluster, number)
        self.address = f"{NETWORK}.{number}"

    def connect(self, port=None):
        with self.cluster.at_hub():
            return harness.Resp((self.address, port or self.port))


class Lab(stage.Cluster):
    """A hub, and `count` namespaces at it, each with a node, and `spare` ones without."""

    def __init__(self, world, count, name="lab", spare=0):  # pylint: disable=super-init-not-called
        self.world, self.binary, self.count = world, world.binary, count
        self.directory = os.path.join(world.directory, name)
        self.first_port = FIRST_PORT
        self.is_cut = set()
        missing = [word for word in NEEDED if not shutil.which(word)]
        if missing or os.geteuid() != 0:
            raise Skip(f"namespaces need root, and {', '.join(NEEDED)}" + (f"; missing: {missing}" if missing else ""))
        self.hub = self.hold()
        self.holders = {number: self.hold() for number in range(1, count + spare + 1)}
        self.connect_all()
        self.own_network = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.hub_network = os.open(f"/proc/{self.hub.pid}/ns/net", os.O_RDONLY)
        self.write_tools()
        self.guardian = subprocess.Popen(["bash", "-c", GUARDIAN, "guardian", self.directory], stdin=subprocess.PIPE,
                                         start_new_session=True)
        self.nodes = [Node(self, number) for number in range(1, count + 1)]
        world.clusters.append(self)

    def hold(self):
        """A process that keeps a namespace."""
        process = self.world.spawn(["unshare", "-n", "sh", "-c", "echo ready; exec sleep infinity"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if process.stdout.readline() != b"ready\n":
            raise Skip("no namespaces here")
        return process

    def run_in(self, holder, text):
        done = self.world.program(["nsenter", "-t", holder.pid, "-n", "sh", "-ec", text])
        if done.code != 0:
            raise Failure(str(done))
        return done.out

    def connect_all(self):
        lines = [f"ip link add hub type bridge; ip addr add {NETWORK}.{HUB}/24 dev hub; ip link set hub up; ip link set lo up"]
        for number, holder in self.holders.items():
            lines.append(f"ip link add to{number} type veth peer name eth0 netns {holder.pid}; "
                         f"ip link set to{number} master hub up")
        self.run_in(self.hub, "\n".join(lines))
        for number, holder in self.holders.items():
            self.run_in(holder, f"ip link set lo up; ip addr add {NETWORK}.{number}/24 dev eth0; ip link set eth0 up")

    @contextlib.contextmanager
    def at_hub(self):
        """What this thread connects meanwhile comes from the hub."""
        self.enter(self.hub_network)
        try:
            yield
        finally:
            self.enter(self.own_network)

    @staticmethod
    def enter(network):
        if harness.LIBC.setns(network, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    # utils/cluster takes the namespaces for machines

    def write_tools(self):
        hosts = {f"{NETWORK}.{number}": holder.pid for number, holder in self.holders.items()}
        self.hosts = self.world.path("hosts", "".join(f"{host}\n" for host in hosts))
        cases = "".join(f"{host}) pid={pid} ;;\n" for host, pid in hosts.items())
        self.ssh = self.world.path("ssh", f'#!/bin/sh\ncase $1 in\n{cases}*) exit 255 ;;\nesac\n'
                                          'exec nsenter -t "$pid" -n sh -c "$2"\n')
        os.chmod(self.ssh, 0o700)

    def tool(self, command, *words, code=0):
        done = self.world.program(["nsenter", "-t", self.hub.pid, "-n", stage.TOOL, command, *words, "--dir", self.directory],
                                  environment={"SSH": self.ssh}, deadline_seconds=90)
        if done.code != code:
            raise Failure(f"wanted exit {code}:\n{done}")
        return done.out if code == 0 else done.err

    def start(self, *directives, count=None):
        return self.tool("start", count or self.count, "--port", self.first_port, "--binary", self.binary, "--wait",
                         stage.START_SECONDS, "--hosts", self.hosts, *directives, "--protected-mode", "no")

    def revive(self, number, setting=""):
        """The process of a node that is dead, started with what it has; `setting` is a line of shell that goes before."""
        folder = f"{self.directory}/{number}"
        self.run_in(self.holders[number],
                    f"cd {folder}\n{setting}\nsetsid nohup {self.binary} {folder}/redis-kv.conf </dev/null >>redis-kv.log 2>&1 &\n"
                    f"echo $! >{folder}/redis-kv.pid")

    def mount_small(self, number, mebibytes):
        """The folder of a node that is still to be started gets a disk of so much room."""
        folder = f"{self.directory}/{number}"
        os.makedirs(folder, mode=0o700)
        os.chmod(self.directory, 0o700)
        done = self.world.program(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=700", "tmpfs", folder])
        if done.code != 0:
            raise Skip(f"no disk can be mounted here:\n{done}")

    def remember_cgroup(self, path):
        """It goes when the cluster's processes have gone."""
        with open(os.path.join(self.directory, "cgroups"), "a", encoding="utf-8") as file:
            file.write(f"{path}\n")

    def start_stranger(self, number, *directives):
        """A process in a spare namespace, that utils/cluster knows nothing of."""
        folder = f"{self.directory}/{number}"
        os.makedirs(folder, mode=0o700)
        words = ["--port", self.first_port, "--dir", folder, "--logfile", f"{folder}/redis-kv.log", "--bind", f"{NETWORK}.{number}",
                 "--protected-mode", "no", "--cluster-enabled", "yes", *directives]
        self.run_in(self.holders[number],
                    f"cd {folder}\nsetsid nohup {self.binary} {' '.join(map(str, words))} </dev/null >>redis-kv.out 2>&1 &\n"
                    f"echo $! >{folder}/redis-kv.pid")
        node = Node(self, number)
        node.port = self.first_port
        harness.eventually(lambda: answers(node), f"node {number} answers")
        return node

    # Paths

    def cut(self, *paths):
        """What the first node of each pair sends never arrives at the second."""
        for here, there in paths:
            if (here, there) not in self.is_cut:
                self.is_cut.add((here, there))
                self.run_in(self.holders[there], f"iptables -w -A INPUT -s {NETWORK}.{here} -j DROP")

    def mend(self, *paths):
        for here, there in paths:
            if (here, there) in self.is_cut:
                self.is_cut.remove((here, there))
                self.run_in(self.holders[there], f"iptables -w -D INPUT -s {NETWORK}.{here} -j DROP")

    def lose(self, percent):
        """Of all that nodes send to each other; what clients send is not lost."""
        for holder in self.holders.values():
            self.run_in(holder, f"iptables -w -A INPUT ! -s {NETWORK}.{HUB} -m statistic --mode random "
                                f"--probability {percent / 100} -j DROP")

    def heal(self):
        self.is_cut.clear()
        for holder in self.holders.values():
            self.run_in(holder, "iptables -w -F INPUT")

    def end(self):
        self.guardian.stdin.close()
        self.guardian.wait()
        os.close(self.own_network)
        os.close(self.hub_network)


def answers(node):
    try:
        return node.connect()("PING") == "PONG"
    except (OSError, Failure, harness.RespError):
        return False


def between(some, others):
    """All paths from and to."""
    return [path for one in some for other in others for path in ((one, other), (other, one)) if one != other]
