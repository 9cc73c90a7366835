# SPDX-License-Identifier: BSD-3-Clause
"""python_clients.py - runs python3_redis.py, the tests of python3-redis, under the system's Python.

May touch: /usr/bin/python3, where Debian's python3-redis is.
Must never know: what those tests are.
Invariants: every Python warning is an error there.
Tests: it is one.
"""

import os

from harness import Suite

SUITE = Suite("python3-redis")
HERE = os.path.dirname(os.path.abspath(__file__))


@SUITE.child("python3-redis")
def python3_redis(world):
    guarded = world.start_server("--requirepass", "secret")
    words = ["/usr/bin/python3", "-B", "-W", "error", os.path.join(HERE, "python3_redis.py")]
    return [*words, world.server.port, world.server.unixsocket, guarded.port]
