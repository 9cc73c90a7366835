# connection.py - one client connection, and the exchange of a batch with several of them at once.
#
# May touch: sockets. Must never know: commands, comparison, which server is which.
# Invariant: exchange() writes and reads all its connections in turn, so that a server which stops reading because
# nobody takes its replies cannot make it wait for ever; every wait has an end.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import select
import socket
import time

import resp

REPLY_TIMEOUT_S = 20
READ_SIZE_BYTES = 256 * 1024


class Connection:
    """A blocking connect, then a non-blocking socket with the bytes that no reply has claimed yet."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=REPLY_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.buffer = bytearray()
        self.ended = False
        self.client_id = None
        self.addresses = (_address(self.socket.getsockname()), _address(self.socket.getpeername()))

    def close(self):
        self.socket.close()

    def fill(self):
        """Take what the socket has; ended is set where the peer has closed."""
        try:
            data = self.socket.recv(READ_SIZE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.buffer += data
        else:
            self.ended = True


def _address(name):
    return b"%s:%d" % (name[0].encode(), name[1])


class Job:
    """What to write to a connection, and when enough has come back.

    Either reply_count replies, or all up to and with the raw reply last_reply, or all until the peer closes
    (neither given). After exchange(): replies, and problem where it ended in another way.
    """

    def __init__(self, connection, payload, reply_count=None, last_reply=None):
        self.connection = connection
        self.payload = memoryview(payload)
        self.reply_count = reply_count
        self.last_reply = last_reply
        self.replies = []
        self.done = False
        self.problem = None

    def advance_reading(self):
        self.connection.fill()
        self.take()

    def take(self):
        """The replies that the connection's buffer holds already."""
        connection = self.connection
        start = 0
        buffer = connection.buffer
        try:
            while not self.done and start < len(buffer):
                end = resp.reply_end(buffer, start)
                if end < 0:
                    break
                raw = bytes(buffer[start:end])
                start = end
                self.replies.append(raw)
                if self.last_reply is not None:
                    self.done = raw == self.last_reply
                elif self.reply_count is not None:
                    self.done = len(self.replies) == self.reply_count
        except resp.MalformedReply as error:
            self.problem = "not a reply: %s" % error
            self.done = True
        if start:
            del buffer[:start]
        if connection.ended and not self.done:
            self.done = True
            if self.reply_count is not None or self.last_reply is not None:
                self.problem = "connection closed"

    def advance_writing(self):
        try:
            written = self.connection.socket.send(self.payload)
        except BlockingIOError:
            return
        except OSError:
            # The peer is gone: what it said before is still to be read.
            written = len(self.payload)
        self.payload = self.payload[written:]
        if not self.payload and self.reply_count == 0:
            self.done = True


def exchange(jobs, timeout_s=REPLY_TIMEOUT_S):
    """Run the jobs to their ends, all at the same time."""
    deadline = time.monotonic() + timeout_s
    poller = select.poll()
    by_descriptor = {}
    open_jobs = 0
    for job in jobs:
        # Most requests fit into the socket's buffer: try before asking whether it is writable.
        job.advance_writing()
        if job.connection.buffer and not job.done:
            job.take()
        if job.done:
            continue
        descriptor = job.connection.socket.fileno()
        by_descriptor[descriptor] = job
        poller.register(descriptor, select.POLLIN | (select.POLLOUT if job.payload else 0))
        open_jobs += 1
    while open_jobs:
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            for job in by_descriptor.values():
                if not job.done:
                    job.done = True
                    job.problem = "no reply within %g s" % timeout_s
            return
        for descriptor, events in poller.poll(remaining_s * 1000):
            job = by_descriptor[descriptor]
            if events & select.POLLOUT:
                job.advance_writing()
                if not job.payload:
                    poller.modify(descriptor, select.POLLIN)
            if events & ~select.POLLOUT and not job.done:
                job.advance_reading()
            if job.done:
                poller.unregister(descriptor)
                open_jobs -= 1


def wait_for_end(connections, timeout_s=REPLY_TIMEOUT_S):
    """Whether each connection is closed by its peer without another byte, as one list of booleans."""
    jobs = [Job(connection, b"") for connection in connections if not connection.ended]
    exchange(jobs, timeout_s)
    return [connection.ended and not connection.buffer for connection in connections]
