// SPDX-License-Identifier: BSD-3-Clause
// node_redis_views.js - node-redis on a cluster: createClient to any node, or createCluster, major versions 4 to 6.
//
// May touch: the nodes that views_harness.js names.
// Must never know: how they were started.
// Invariants: each test begins with an empty cluster and a connected client of its own.
// Tests: it is one.
'use strict';

const assert = require('node:assert/strict');
const harness = require('./views_harness.js');
const library = require(harness.client);

const { isCluster, numbers } = harness;
const KEYS = 3000;
const clients = [];

async function keep(redis) {
    redis.errors = [];
    redis.on('error', (error) => redis.errors.push(error));
    clients.push(redis);
    await redis.connect();
    return redis;
}

const node = (number) => keep(library.createClient({ socket: { host: '127.0.0.1', port: harness.ports[number] } }));

function connect(number = 0) {
    if (!isCluster) return node(number);
    return keep(library.createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${harness.clusterPorts[number]}` }] }));
}

const info = async (number, section) => (await node(number)).info(section);
const fill = (redis, count = KEYS) =>
    Promise.all(numbers(count).map((number) => redis.set(`key:${number}`, String(number))));
const names = (count) => numbers(count).map((number) => `key:${number}`);

// The answers of the nodes that a cluster's client has to ask one by one.
const gathered = async (redis, ask) => {
    // Version 4 names a node once for each range of its slots.
    const masters = isCluster ? [...new Set(redis.masters)] : [];
    const asked = isCluster ? await Promise.all(masters.map((master) => redis.nodeClient(master))) : [redis];
    return (await Promise.all(asked.map(ask))).flat();
};

const tests = harness.ofView({
    'reads and writes keys of all nodes': async (redis) => {
        assert.ok((await fill(redis, 500)).every((reply) => reply === 'OK'));
        assert.deepEqual(await Promise.all(names(500).map((key) => redis.get(key))), numbers(500).map(String));
        assert.equal(await redis.get('none'), null);
        assert.equal(await redis.del('key:1'), 1);
        assert.equal(await redis.exists('key:1'), 0);
        assert.equal(await redis.setEx('key:2', 100, 'x'), 'OK');
        assert.ok([99, 100].includes(await redis.ttl('key:2')));
        assert.equal(Number(await redis.expire('key:3', 100)), 1);
        assert.equal(Number(await redis.persist('key:3')), 1);
    },

    'counts on all nodes': async (redis) => {
        for (let round = 1; round <= 3; round++)
            assert.deepEqual(
                await Promise.all(names(200).map((key) => redis.incrBy(key, 7))),
                numbers(200).map(() => 7 * round),
            );
    },

    'takes keys of all nodes in one command': async (redis) => {
        const pairs = numbers(500).map((number) => [`key:${number}`, String(number)]);
        assert.equal(await redis.mSet(pairs), 'OK');
        assert.deepEqual(await redis.mGet([...names(500), 'none']), [...numbers(500).map(String), null]);
        assert.equal(await redis.exists(names(500)), 500);
        assert.equal(await redis.del(names(200)), 200);
        assert.equal(await redis.unlink(names(500)), 300);
    },

    'answers 10,000 commands that wait for nothing, in order': async (redis) => {
        const counted = Promise.all(numbers(5000).map(() => redis.incr('n')));
        const written = fill(redis, 5000);
        assert.deepEqual(await counted, numbers(5000).map((number) => number + 1));
        assert.ok((await written).every((reply) => reply === 'OK'));
        assert.deepEqual(await Promise.all(names(5000).map((key) => redis.get(key))), numbers(5000).map(String));
    },

    'plain: sends 10,000 commands as one pipeline over all nodes': async (redis) => {
        let pipeline = redis.multi();
        for (const number of numbers(10000)) pipeline.set(`key:${number}`, String(number));
        assert.ok((await pipeline.execAsPipeline()).every((reply) => reply === 'OK'));
        pipeline = redis.multi();
        for (const number of numbers(10000)) pipeline.get(`key:${number}`);
        assert.deepEqual((await pipeline.execAsPipeline()).map(Number), numbers(10000));
    },

    'keeps values of 1 MiB on all nodes': async (redis) => {
        const blobs = numbers(12).map((number) => `blob ${number} `.repeat((1 << 20) / 8).slice(0, 1 << 20));
        await Promise.all(blobs.map((blob, number) => redis.set(`large:${number}`, blob)));
        for (const reader of [redis, await node(0), await node(1), await node(2)]) {
            const found = await Promise.all(blobs.map((_blob, number) => reader.get(`large:${number}`)));
            assert.ok(found.every((blob, number) => blob === blobs[number]));
        }
    },

    'finds each key once with scanIterator': async (redis) => {
        await fill(redis);
        const found = await gathered(redis, async (asked) => {
            const keys = [];
            for await (const some of asked.scanIterator({ COUNT: 100 })) keys.push(...[].concat(some));
            return keys;
        });
        assert.deepEqual(found.sort(), names(KEYS).sort());
    },

    'counts, lists and flushes the keys of the whole cluster': async (redis) => {
        await fill(redis);
        const sizes = await gathered(redis, (asked) => asked.dbSize());
        assert.equal(sizes.reduce((sum, size) => sum + size, 0), KEYS);
        assert.deepEqual((await gathered(redis, (asked) => asked.keys('*'))).sort(), names(KEYS).sort());
        await gathered(redis, (asked) => asked.flushAll());
        for (const number of numbers(3)) assert.equal(await (await node(number)).dbSize(), 0);
    },

    'runs a transaction in one slot of any node': async (redis) => {
        for (const tag of numbers(20))
            assert.deepEqual(
                await redis.multi().set(`{${tag}}a`, '1').incr(`{${tag}}a`).get(`{${tag}}a`).exec(),
                ['OK', 2, '2'],
            );
        await assert.rejects(redis.rename('{0}a', '{1}b'), /CROSSSLOT /);
    },

    'plain: hears CROSSSLOT for a transaction in two slots': async (redis) => {
        await assert.rejects(redis.multi().set('a', '1').set('b', '2').exec(), /EXECABORT|CROSSSLOT/);
        assert.deepEqual(await redis.mGet(['a', 'b']), [null, null]);
    },

    'plain: sees a conflict of WATCH, whichever node the other client is at': async (redis) => {
        for (const number of numbers(9)) {
            const other = await node(number % 3);
            await redis.watch(`watched:${number}`);
            await other.set(`watched:${number}`, 'theirs');
            await assert.rejects(redis.multi().set(`watched:${number}`, 'ours').exec(), library.WatchError);
            assert.equal(await redis.get(`watched:${number}`), 'theirs');
        }
    },

    'plain: reads at each node what it wrote at another': async () => {
        const all = await Promise.all(numbers(3).map((number) => node(number)));
        for (const number of numbers(300)) {
            await all[number % 3].set(`key:${number}`, String(number));
            assert.equal(await all[(number + 1) % 3].get(`key:${number}`), String(number));
            assert.equal(await all[(number + 2) % 3].get(`key:${number}`), String(number));
        }
    },

    'plain: has all nodes work for it through one of them': async (redis) => {
        const { calls, forwarded } = await harness.during(info, 'set', () => fill(redis));
        harness.assertShared(calls, KEYS);
        assert.equal(forwarded, KEYS - calls[0]);
    },

    "cluster: uses all nodes, and asks each key's own node": async (redis) => {
        const { calls, forwarded } = await harness.during(info, 'set', () => fill(redis));
        harness.assertShared(calls, KEYS);
        assert.equal(forwarded, 0);
    },
});

harness.run(
    tests,
    async () => {
        const redis = await connect();
        await (await node(1)).flushAll();
        return redis;
    },
    async () => {
        for (const client of clients.splice(0)) {
            assert.deepEqual(client.errors, []);
            await client.quit();
        }
    },
);
