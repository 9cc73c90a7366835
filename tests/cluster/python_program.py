# SPDX-License-Identifier: BSD-3-Clause
"""python_program.py - runs python3_redis_views.py, python3-redis on a cluster, under the system's Python.

May touch: /usr/bin/python3, where Debian's python3-redis is.
Must never know: what those tests are.
Invariants: every Python warning is an error there.
Tests: it is one.
"""

import os

from harness import Suite

SUITE = Suite("python3-redis")
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python3_redis_views.py")


@SUITE.child("python3-redis Redis")
def plain(world):
    return ["/usr/bin/python3", "-B", "-W", "error", PROGRAM, "plain", *[node.port for node in world.nodes]]


@SUITE.child("python3-redis RedisCluster")
def cluster(world):
    return ["/usr/bin/python3", "-B", "-W", "error", PROGRAM, "cluster", *[node.port for node in world.nodes]]
