// SPDX-License-Identifier: BSD-3-Clause
// views_harness.js - what the Node.js programs of this folder share: the view, the nodes, what nodes say of themselves.
//
// May touch: the nodes, through the client that the program brings.
// Must never know: any client. Arguments behind those of node_harness.js: VIEW (plain or cluster) PORT...
// Invariants: see node_harness.js.
// Tests: it is one.
'use strict';

const assert = require('node:assert/strict');
const harness = require('../clients/node_harness.js');

const CLUSTER_PORT_OFFSET = 5000;
const [view, ...ports] = process.argv.slice(7);

module.exports = {
    ...harness,
    isCluster: view === 'cluster',
    ports: ports.map(Number),
    clusterPorts: ports.map((port) => Number(port) + CLUSTER_PORT_OFFSET),
    numbers: (count) => [...Array(count).keys()],

    // Those of `tests` that are of this view: a name may begin with the view that it is for.
    ofView: (tests) =>
        Object.fromEntries(
            Object.entries(tests)
                .filter(([name]) => !/^(plain|cluster): /.test(name) || name.startsWith(`${view}: `))
                .map(([name, test]) => [name.replace(/^(plain|cluster): /, ''), test]),
        ),

    // Runs `work`, and returns how often each node executed the command meanwhile, and how many commands they forwarded.
    // `info(number, section)` asks a node.
    async during(info, command, work) {
        const look = async () => ({
            calls: await Promise.all(
                ports.map(async (_port, number) => {
                    const found = new RegExp(`^cmdstat_${command}:calls=(\\d+),`, 'm').exec(await info(number, 'commandstats'));
                    return found ? Number(found[1]) : 0;
                }),
            ),
            forwarded: (
                await Promise.all(
                    ports.map(async (_port, number) =>
                        Number(/^forwarded_commands:(\d+)/m.exec(await info(number, 'cluster'))[1]),
                    ),
                )
            ).reduce((sum, count) => sum + count, 0),
        });
        const before = await look();
        await work();
        const after = await look();
        return {
            calls: after.calls.map((count, number) => count - before.calls[number]),
            forwarded: after.forwarded - before.forwarded,
        };
    },

    // The nodes have shared `count` commands among themselves.
    assertShared(calls, count) {
        assert.equal(calls.reduce((sum, share) => sum + share, 0), count);
        assert.ok(Math.min(...calls) > count / 6, `the nodes have executed ${calls}`);
    },
};
