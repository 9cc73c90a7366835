# SPDX-License-Identifier: BSD-3-Clause
"""folder.py - the folder of a cluster that utils/cluster has made, as utils/monitor reads it.

May touch: the folder, /proc (read only), the lock file and the log in the folder.
Must never know: how a node is started or ended: utils/cluster does that.
Invariants: every look is a new one, nothing is kept but the lock; a log that is not there is not made.
Tests: tests/cluster/monitor_parts.py.
"""

import dataclasses
import fcntl
import os
import time


class Gone(Exception):
    """There is no cluster in the folder."""


class Taken(Exception):
    """Another monitor has the folder. The text is its process, if it is known."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a node is: a line of D/nodes."""

    number: int
    address: str
    port: int
    is_local: bool


class Folder:
    """D, and the lock that lets one monitor revive nodes in it."""

    def __init__(self, path):
        self.path = path
        self.lock_file = None

    def read(self, *names):
        """A file's text; empty where there is none."""
        try:
            with open(os.path.join(self.path, *names), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def places(self):
        found = []
        for line in self.read("nodes").splitlines():
            words = line.split()
            if words[:1] == ["node"] and len(words) == 4 and words[1].isdigit() and words[3].isdigit():
                is_local = words[2] == "-"
                address = "127.0.0.1" if is_local else words[2].partition("@")[2] or words[2]
                found.append(Place(int(words[1]), address, int(words[3]), is_local))
        if not found:
            raise Gone(f"there is no cluster in {self.path}: utils/cluster start N --dir {self.path}")
        return found

    def password(self):
        return self.read("password")

    def stopped(self):
        """The numbers of the nodes that were stopped on purpose."""
        return {int(word) for word in self.read("stopped").split() if word.isdigit()}

    def was_started(self, number):
        return os.path.exists(os.path.join(self.path, str(number), "redis-kv.pid"))

    def process(self, number):
        """The process of a local node; None: it has none. As utils/cluster, it trusts a pid file only if /proc confirms it."""
        pid = self.read(str(number), "redis-kv.pid").strip()
        if not pid.isdigit():
            return None
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            return None
        config = os.path.join(self.path, str(number), "redis-kv.conf")
        return int(pid) if os.fsencode(config) in words else None

    def lock(self):
        """Takes the lock, or makes sure that it still is the one in the folder; raises Gone or Taken."""
        path = os.path.join(self.path, "monitor.lock")
        if self.lock_file is not None:
            try:
                if os.path.samestat(os.stat(path), os.fstat(self.lock_file.fileno())):
                    return
            except OSError:
                pass
            self.lock_file.close()
            self.lock_file = None
        self.places()
        # pylint: disable=consider-using-with
        file = open(path, "a+", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            process = file.read().strip()
            file.close()
            raise Taken(f"another monitor has {self.path}" + (f": process {process}" if process else "")) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self.lock_file = file

    def note(self, text):
        """A line in the log that utils/cluster writes, too."""
        try:
            descriptor = os.open(os.path.join(self.path, "cluster.log"), os.O_WRONLY | os.O_APPEND)
        except OSError:
            return
        try:
            os.write(descriptor, f"{time.strftime('%Y-%m-%d %H:%M:%S')} monitor: {text}\n".encode())
        except OSError:
            pass
        finally:
            os.close(descriptor)
