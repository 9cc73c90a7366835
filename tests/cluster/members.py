# SPDX-License-Identifier: BSD-3-Clause
"""members.py - a cluster under load whose members change, also while it is cut into halves, and who is not let in.

May touch: lab.py's namespaces, processes that it has started, which are killed here; frames of the peer protocol that it makes itself.
Must never know: which node executes what, what the frames between nodes hold beyond the first two.
Invariants: each test has a cluster of its own; what must be true of it stands in scene.py. At the end all members know the same members.
Tests: it is one.
"""

import contextlib
import hashlib
import hmac
import os
import re
import signal

import harness
import lab
import stage
import traffic
from harness import Failure, Suite, eventually, expect, expect_equal, expect_match
from lab import AGREEMENT_SECONDS_MAX, STRICT
from scene import HALVES, NODES, OF_A_BUSY_MACHINE, SHORT_MEMORY, Scene, ask_once, id_of, known_ids

NIGHTLY = Suite("a cluster under load whose members change (nightly)")
NIGHTLY.deadline_seconds = 300

FORMING_SECONDS = 12


def await_members(nodes):
    """All of these know each other and nobody else."""
    numbers = {id_of(node): str(node.number) for node in nodes}
    known = {}

    def is_so():
        known.update({node.number: sorted(numbers.get(one, one) for one in known_ids(node)) for node in nodes})
        return all(some == sorted(numbers.values()) for some in known.values())

    try:
        eventually(is_so, "all members know the same members", AGREEMENT_SECONDS_MAX)
    except Failure as failure:
        raise Failure(f"{failure}: {known}") from None


def await_agreement(scene):
    await_members(scene.nodes)
    traffic.await_agreement(scene.nodes, AGREEMENT_SECONDS_MAX)


# ---- Members that come and go -----------------------------------------------------------------------------------------


@NIGHTLY.test("stands nodes that join, leave, are replaced when they are dead, or taken out")
def coming_and_going(world):
    scene = Scene(world, "R19", *STRICT, *SHORT_MEMORY, spare=2)

    def fault():
        scene.begin_to_join(6, 1)
        await_agreement(scene)
        scene.leave(2)
        await_agreement(scene)
        # Dead and replaced: the new one is there before the old one is taken out.
        dead = scene.node(4), id_of(scene.node(4))
        scene.kill(4)
        scene.begin_to_join(7, 6)
        scene.pause(1)
        scene.forget(*dead)
        await_agreement(scene)
        # Dead and taken out, which is all.
        dead = scene.node(5), id_of(scene.node(5))
        scene.kill(5)
        scene.pause(3)
        scene.forget(*dead)
        await_agreement(scene)

    # Clients of those that stay; the members at the end are 1, 3, 6 and 7.
    load = scene.under(fault, [scene.node(1), scene.node(3)])
    expect(set(load.errors()) <= OF_A_BUSY_MACHINE, f"clients saw errors: {load.summary()}")
    scene.end()


def change_while_divided(world, name, directives):
    """The larger half gets a node and loses one, then the halves meet; who was taken out comes back, and is not let in."""
    scene = Scene(world, name, *directives, spare=1)
    outcast = scene.node(5)
    outcast_id = id_of(outcast)

    def fault():
        scene.lab.cut(*HALVES, *lab.between((1, 2), (6,)))
        scene.pause(3)
        scene.begin_to_join(6, 3)
        scene.pause(3)
        scene.kill(5)
        scene.nodes.remove(outcast)
        eventually(lambda: ask_once(scene.node(3), "CLUSTER", "FORGET", outcast_id) == "OK", "node 5 is taken out")
        scene.pause(3)
        expect(outcast_id in known_ids(scene.node(1)), "the smaller half knows what it cannot know")
        scene.lab.heal()
        await_agreement(scene)
        scene.lab.revive(5)
        eventually(lambda: "was removed from the cluster" in outcast.log(), "node 5 is told that it is no member any more")
        scene.pause(2)
        expect(all(outcast_id not in known_ids(node) for node in scene.nodes), "node 5 is a member again")
        os.kill(outcast.pid(), signal.SIGKILL)

    load = scene.under(fault, [scene.node(number) for number in (1, 2, 3, 4)])
    scene.end()
    return load


@NIGHTLY.test("stands a node that joins one half, and one that is taken out there")
def changing_while_divided(world):
    change_while_divided(world, "R19 divided", STRICT + SHORT_MEMORY)


@NIGHTLY.test("loses nothing where a half that goes on gets a node, and loses one")
def changing_while_divided_and_available(world):
    load = change_while_divided(world, "R19 divided, available", ("--save", "2", "1"))
    expect(set(load.errors()) <= {"INDETERMINATE"} and load.errors().get("INDETERMINATE", 0) <= 4 * traffic.CLIENTS,
           f"clients saw errors: {load.summary()}")


# ---- Who is not let in ------------------------------------------------------------------------------------------------


@NIGHTLY.test("does not let in who has another secret, nor nodes of another cluster")
def strangers(world):
    scene = Scene(world, "R22", *STRICT, spare=3)
    secret = scene.secret()
    seeds = [f"{lab.NETWORK}.{number}:{scene.node(number).port}" for number in (1, 2, 3)]

    def members(node):
        return int(ask_once(node, "CLUSTER", "INFO").decode().split("cluster_known_nodes:")[1].split("\r\n")[0])

    def fault():
        liar = scene.lab.start_stranger(6, "--cluster-secret", "x" * 64, "--cluster-seeds", *seeds, "--loglevel", "debug")
        one = scene.lab.start_stranger(7, "--cluster-secret", secret)
        scene.lab.start_stranger(8, "--cluster-secret", secret, "--cluster-seeds", f"{lab.NETWORK}.7:{scene.lab.first_port}")
        eventually(lambda: members(one) == 2, "the other cluster is one", 20)
        # Groups that have only begun to form still become one.
        scene.pause(FORMING_SECONDS)
        ask_once(one, "CLUSTER", "MEET", f"{lab.NETWORK}.1", scene.lab.first_port)
        eventually(lambda: "another cluster" in one.log() + scene.node(1).log(), "it is said that there are two clusters", 20)
        eventually(lambda: "None of the seeds has answered" in liar.log(), "who has another secret is alone", 20)
        expect("the cluster secrets differ" in liar.log(), "it is not said why")
        scene.pause(3)
        expect_equal([members(node) for node in scene.nodes], [NODES] * NODES, "members of the cluster")
        expect(members(liar) == 1 and members(one) == 2, "strangers know no more than before")
        for number in (6, 7, 8):
            os.kill(lab.Node(scene.lab, number).pid(), signal.SIGKILL)

    load = scene.under(fault)
    expect(set(load.errors()) <= OF_A_BUSY_MACHINE, f"clients saw errors: {load.summary()}")
    scene.end()


class Caller:
    """The beginning of a link to a node's peer-port, made by hand, by one who knows the secret."""

    CHALLENGE, PROOF, REFUSED = 1, 2, 3
    RANDOM_BYTES = 32

    def __init__(self, node, secret):
        self.resp, self.secret = node.connect(node.port + stage.PEER_PORT_OFFSET), secret

    def send(self, kind, payload):
        words = (b"%d" % kind, b"0", b"0", payload)
        self.resp.socket.sendall(b"*4\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))

    def payload_of(self, kind):
        """Of the next frame of that kind; None if the link ends first."""
        with contextlib.suppress(OSError, harness.Failure):
            while True:
                frame = self.resp.reply()
                if int(frame[0]) == kind:
                    return frame[3]
        return None

    def proof(self, own, other):
        def sized(part):
            return len(part).to_bytes(8, "little") + part

        text = sized(b"redis-kv proof 1") + b"r" + sized(own) + sized(other)
        return hmac.new(self.secret.encode(), text, hashlib.sha256).digest()

    def introduce(self, choose_version, introduction):
        """The version is chosen by that of the node. Returns the node's words if it refuses."""
        other = self.payload_of(self.CHALLENGE)
        own = bytes([choose_version(other[0])]) + os.urandom(self.RANDOM_BYTES) + introduction
        with contextlib.suppress(OSError):  # it may have heard enough
            self.send(self.CHALLENGE, own)
            self.send(self.PROOF, self.proof(own, other))
        refusal = self.payload_of(self.REFUSED)
        self.resp.close()
        return refusal and refusal.decode()


@NIGHTLY.test("refuses who speaks too old a version of the peer protocol, says so, and goes on")
def other_versions(world):
    scene = Scene(world, "R21", *STRICT, "--save", "")
    too_old = r"the protocols differ: one end speaks version 1, the other none below \d+"

    def refusal(node, secret, choose_version):
        return Caller(node, secret).introduce(choose_version, b"whoever")

    def fault():
        for node in scene.nodes:
            for _ in range(3):
                expect_match(f"^{too_old}$", refusal(node, scene.secret(), lambda own: 1), "what an old node is told")
            # A later one speaks what this one speaks: it is the introduction that makes no sense.
            for more in (0, 1, 100):
                expect_equal(refusal(node, scene.secret(), lambda own, more=more: own + more), "the introduction makes no sense",
                             f"what a node is told that speaks {more} versions more")
            expect_equal(refusal(node, scene.secret(), lambda own: 0), "broken: no introduction of a known protocol",
                         "what a node without a version is told")
            expect_equal(refusal(node, "another", lambda own: own + 1), "the cluster secrets differ",
                         "what a later node without the secret is told")
            # Once, however often it calls.
            pattern = rf"# Node at {re.escape(lab.NETWORK)}\.{lab.HUB} refused: {too_old}$"
            eventually(lambda node=node: re.search(pattern, node.log(), re.MULTILINE), f"node {node.number} says so")
            expect_equal(len(re.findall(pattern, node.log(), re.MULTILINE)), 1, f"lines in the log of node {node.number}")
        await_members(scene.nodes)

    load = scene.under(fault)
    expect(set(load.errors()) <= OF_A_BUSY_MACHINE, f"clients saw errors: {load.summary()}")
    scene.end()
