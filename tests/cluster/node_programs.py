# SPDX-License-Identifier: BSD-3-Clause
"""node_programs.py - runs ioredis_views.js and node_redis_views.js with the clients that deps/install put into build/npm.

May touch: node.
Must never know: what the tests of a client are.
Invariants: the versions are those of tests/clients; a client that this Node.js is too old for is skipped aloud.
Tests: it is one.
"""

import json
import os
import re

import node_clients
from harness import Skip, Suite

HERE = os.path.dirname(os.path.abspath(__file__))
VIEWS = {
    "ioredis.js": ("ioredis_views.js", (("plain", "ioredis {}"), ("cluster", "ioredis {}'s Cluster"))),
    "node_redis.js": ("node_redis_views.js", (("plain", "node-redis {}"), ("cluster", "node-redis {}'s createCluster"))),
}


def suite_of(client, script):
    program, views = VIEWS[script]
    suite = Suite(client)
    for view, label in views:

        @suite.child(label.format(client[-1]))
        def words(world, view=view):
            with open(os.path.join(node_clients.modules(world), client, "package.json"), "r", encoding="utf-8") as file:
                needs = json.load(file).get("engines", {}).get("node", ">=0")
            if node_clients.node_major() < int(re.search(r"\d+", needs)[0]):
                raise Skip(f"it needs Node.js {needs}, and here is {node_clients.node_major()}")
            # The harness of Node.js programs takes a unix socket and a port with a password, which nobody has here.
            return ["node", os.path.join(HERE, program), client, world.server.port, "", "0", "", view,
                    *[node.port for node in world.nodes]]

    return suite


SUITES = tuple(suite_of(client, script) for client, script, _protocols in node_clients.CLIENTS)
