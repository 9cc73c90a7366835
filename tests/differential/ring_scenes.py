# ring_scenes.py - which scenes a ring plays, and how: which keys get a tag, whether all connections are on one node.
#
# May touch: the pair of servers, the world's choices. Must never know: sockets.
# Invariants: a scene is played as it is; what it sends is fitted by the pair (ring.Fitter). A scene that does not
# stand here looks at what each node has for itself, or at several databases, and is not played.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

from groups import connection, expiry, keys, protocol, ring, scan, server_scenes, strings, transactions
from world import TAGS

# Any keys, on any nodes; the same, but keys as they are; keys in one slot, because commands have several; connections
# on one node, which knows or shows only these.
ANYWHERE, AS_IT_IS, IN_ONE_SLOT, ON_ONE_NODE = range(4)

SCENES = {
    strings.lcs_of_too_much: IN_ONE_SLOT,
    keys.random_key: ANYWHERE, keys.idle_times: IN_ONE_SLOT, keys.frequencies: ANYWHERE, keys.flushes: ANYWHERE,
    expiry.keys_that_expire: IN_ONE_SLOT, expiry.watched_key_expires: IN_ONE_SLOT,
    expiry.counts_follow_expiry: ANYWHERE,
    transactions.SCENES[0][1]: IN_ONE_SLOT,
    connection.quit_with_more: ANYWHERE, connection.silence: ANYWHERE, connection.kill: ON_ONE_NODE,
    connection.kill_oneself: ON_ONE_NODE, connection.list_after_much: ON_ONE_NODE,
    connection.pause_writes: ON_ONE_NODE, connection.pause_all: ON_ONE_NODE, connection.short_pause: ON_ONE_NODE,
    connection.unblock: ON_ONE_NODE,
    server_scenes.save: ANYWHERE, server_scenes.all_commands: ANYWHERE, server_scenes.out_of_memory: IN_ONE_SLOT,
    server_scenes.all_settings: ANYWHERE, server_scenes.policies: ANYWHERE, server_scenes.monitor: ON_ONE_NODE,
    server_scenes.purge: ANYWHERE,
    scan.whole_iteration: AS_IT_IS, scan.iteration_of_a_changing_table: AS_IT_IS,
}
SCENES.update((scene, ANYWHERE) for _, scene in protocol.SCENES + ring.SCENES)


def takes(scene):
    return scene in SCENES


def play(scene, pair, world):
    how = SCENES[scene]
    tag = world.pick(TAGS) if how == IN_ONE_SLOT or how == ANYWHERE and world.chance(0.2) else None
    with pair.fitted(tag):
        if how == ON_ONE_NODE:
            with pair.on_one_node(world.below(len(pair.ours.server.nodes))):
                scene(pair, world)
        else:
            scene(pair, world)
