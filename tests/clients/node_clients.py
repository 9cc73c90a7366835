# SPDX-License-Identifier: BSD-3-Clause
"""node_clients.py - runs ioredis.js and node_redis.js with the clients that deps/install put into build/npm.

May touch: node.
Must never know: what the tests of a client are.
Invariants: the versions are those of deps/npm/package-lock.json; a client that this Node.js is too old for is
skipped aloud, never passed.
Tests: it is one.
"""

import filecmp
import json
import os
import re
import subprocess

from harness import Failure, Skip, Suite

HERE = os.path.dirname(os.path.abspath(__file__))

# The name in deps/npm/package.json, the script, the protocols to speak ("" is the client's own choice).
CLIENTS = (
    ("ioredis5", "ioredis.js", ("",)),
    ("ioredis6", "ioredis.js", ("", "2")),
    ("redis4", "node_redis.js", ("",)),
    ("redis5", "node_redis.js", ("", "3")),
    ("redis6", "node_redis.js", ("", "2")),
)


def modules(world):
    """The folder of the installed clients."""
    lock = os.path.join(world.root, "deps", "npm", "package-lock.json")
    installed = os.path.join(world.root, "build", "npm", "installed-lock.json")
    if not os.path.isfile(installed) or not filecmp.cmp(lock, installed, shallow=False):
        raise Failure("the Node.js clients of deps/npm are not installed: deps/install test does it")
    return os.path.join(world.root, "build", "npm", "node_modules")


def node_major():
    done = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True, timeout=20)
    return int(re.match(r"v(\d+)", done.stdout)[1])


def suite_of(client, script, protocols):
    library = "ioredis" if client.startswith("ioredis") else "node-redis"
    suite = Suite(f"{library} {client[-1]}")
    for protocol in protocols:
        label = f"{library} {client[-1]}" + (f" over RESP{protocol}" if protocol else "")

        @suite.child(label)
        def words(world, protocol=protocol):
            with open(os.path.join(modules(world), client, "package.json"), "r", encoding="utf-8") as file:
                needs = json.load(file).get("engines", {}).get("node", ">=0")
            if node_major() < int(re.search(r"\d+", needs)[0]):
                raise Skip(f"it needs Node.js {needs}, and here is {node_major()}")
            guarded = world.start_server("--requirepass", "secret")
            return ["node", os.path.join(HERE, script), client, world.server.port, world.server.unixsocket,
                    guarded.port, protocol]

    return suite


SUITES = tuple(suite_of(*client) for client in CLIENTS)
