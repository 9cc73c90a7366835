# proxy.py - a proxy that spoils what passes through it, so that the differential test has something to find.
#
# May touch: loopback sockets, one thread of its own. Must never know: the protocol; it replaces bytes.
# Invariant: without replacements and delay it changes nothing but the addresses.
# Tests: it is a part of tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import random
import selectors
import socket
import threading
import time

HOST = "127.0.0.1"
READ_SIZE_BYTES = 1 << 20


class Proxy:
    """Listens on a free port, passes on to a port. requests, replies: rows (old bytes, new bytes) to replace.

    delay_s: a pause of up to this before a reply, now and then. hang_up_after: bytes of replies after which all
    connections end.
    """

    def __init__(self, ports, target, requests=(), replies=(), delay_s=0, hang_up_after=None):
        self.target = target
        self.requests = requests
        self.replies = replies
        self.delay_s = delay_s
        self.left = hang_up_after
        self.random = random.Random(1)
        self.selector = selectors.DefaultSelector()
        self.listener = self._listen(ports)
        self.port = self.listener.getsockname()[1]
        self.waker, self.wake = socket.socketpair()
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.selector.register(self.waker, selectors.EVENT_READ, None)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @staticmethod
    def _listen(ports):
        for port in ports:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
                listener.listen(100)
                return listener
            except OSError:
                listener.close()
        raise OSError("no free port")

    def stop(self):
        self.wake.send(b"x")
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.wake.close()
        self.selector.close()

    def _run(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.waker:
                    return
                if key.fileobj is self.listener:
                    self._accept()
                else:
                    self._pass_on(key.fileobj, *key.data)

    def _accept(self):
        client, _ = self.listener.accept()
        server = socket.create_connection((HOST, self.target))
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(client, selectors.EVENT_READ, (server, False))
        self.selector.register(server, selectors.EVENT_READ, (client, True))

    def _pass_on(self, source, other, is_reply):
        if source.fileno() < 0:
            return
        try:
            data = source.recv(READ_SIZE_BYTES)
            if is_reply and self.left is not None:
                self.left -= len(data)
                data = data if self.left > 0 else b""
            for old, new in self.replies if is_reply else self.requests:
                data = data.replace(old, new)
            if is_reply and self.delay_s and self.random.random() < 0.05:
                time.sleep(self.random.random() * self.delay_s)
            other.sendall(data)
        except OSError:
            data = b""
        if not data:
            for one in (source, other):
                self.selector.unregister(one)
                one.close()
