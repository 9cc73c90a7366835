# SPDX-License-Identifier: BSD-3-Clause
"""states.py - what is seen of a node, and the word for it.

May touch: nothing. Must never know: where what is seen comes from.
Invariants: pure; a node is `down`, and so to be revived, only if it is local, has no process, does not answer, was started
once, and was not stopped.
Tests: tests/cluster/monitor_parts.py.
"""

import dataclasses

UP, SETTLING, JOINING, LOADING, CUT_OFF, NO_ENTRY = "up", "settling", "joining", "loading", "cut off", "no entry"
STARTING, SILENT, HUNG, DOWN, STOPPED, NEW = "starting", "silent", "hung", "down", "stopped", "new"

# A node in one of these serves clients.
SERVING = (UP, SETTLING, JOINING)


@dataclasses.dataclass
class Sight:
    """What is seen of one node at one moment."""

    fields: dict = None          # its answer; None: it has not answered
    trouble: str = ""            # why not, if that is known
    is_refused: bool = False     # nobody listens there
    is_local: bool = True
    has_process: bool = False    # local ones
    was_started: bool = True     # local ones: ever
    is_stopped: bool = False     # on purpose
    has_answered: bool = True    # since its process began
    silent_s: float = 0          # since its last answer, or since its process was first seen
    others: int = 0              # nodes that answer and know it
    others_up: int = 0           # of these, those that see it as up


def state_of_answer(sight):
    fields = sight.fields
    if "error" in fields:
        return NO_ENTRY
    if fields.get("loading", "0") != "0":
        return LOADING
    if fields.get("cluster_joining", "0") != "0":
        return JOINING
    if sight.others and not sight.others_up:
        return CUT_OFF
    if fields.get("cluster_is_settled", "1") == "0":
        return SETTLING
    return UP


def state_of(sight, hang_timeout_s):
    if sight.fields is not None:
        return state_of_answer(sight)
    if not sight.is_local:
        if sight.is_refused:
            return STOPPED if sight.is_stopped else DOWN
        return HUNG if sight.silent_s >= hang_timeout_s else SILENT
    if sight.has_process:
        if sight.silent_s >= hang_timeout_s:
            return HUNG
        return SILENT if sight.has_answered else STARTING
    if sight.is_stopped:
        return STOPPED
    if not sight.was_started:
        return NEW
    # Where somebody listens who is not ours, no other process could.
    return DOWN if sight.is_refused or sight.trouble else SILENT


def peers_of(fields):
    """What a node says of the others: id -> dict of state, link, lag_bytes, lag_ms, ..."""
    peers = {}
    for name, value in fields.items():
        if name.startswith("peer") and name[4:].isdigit():
            peer = dict(part.split("=", 1) for part in value.split(",") if "=" in part)
            peers[peer.get("id", "")] = peer
    return peers


def number_of(text):
    return int(text) if text is not None and text.isdigit() else None


def lag_of(node_id, views):
    """What the others (what peers_of gives of each) have sent to a node and do not know to have arrived: the most
    (bytes, ms); None: nobody has a link with it."""
    lags = []
    for peers in views:
        peer = peers.get(node_id)
        if peer is not None and peer.get("link") == "up":
            lags.append((number_of(peer.get("lag_bytes")) or 0, number_of(peer.get("lag_ms")) or 0))
    return (max(lag[0] for lag in lags), max(lag[1] for lag in lags)) if lags else None


def keys_of(fields):
    """Its copies, whoever executes their commands."""
    keys = 0
    for name, value in fields.items():
        if name.startswith("db") and name[2:].isdigit():
            keys += number_of(value.partition("keys=")[2].partition(",")[0]) or 0
    return keys
