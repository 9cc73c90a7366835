// SPDX-License-Identifier: BSD-3-Clause
// ioredis_views.js - ioredis on a cluster: Redis through any node, or Cluster, major versions 5 and 6.
//
// May touch: the nodes that views_harness.js names.
// Must never know: how they were started.
// Invariants: each test begins with an empty cluster and a connected client of its own.
// Tests: it is one.
'use strict';

const assert = require('node:assert/strict');
const harness = require('./views_harness.js');
const Redis = require(harness.client);

const { isCluster, numbers } = harness;
const KEYS = 3000;
const clients = [];

function keep(redis) {
    redis.errors = [];
    redis.on('error', (error) => redis.errors.push(error));
    clients.push(redis);
    return redis;
}

const node = (number) => keep(new Redis({ host: '127.0.0.1', port: harness.ports[number] }));

function connect(number = 0) {
    if (!isCluster) return node(number);
    return keep(new Redis.Cluster([{ host: '127.0.0.1', port: harness.clusterPorts[number] }]));
}

const info = (number, section) => node(number).info(section);
const fill = (redis, count = KEYS) =>
    Promise.all(numbers(count).map((number) => redis.set(`key:${number}`, number)));
const names = (count) => numbers(count).map((number) => `key:${number}`);

// The answers of the nodes that a cluster's client has to ask one by one.
const gathered = async (redis, ask) =>
    (await Promise.all((isCluster ? redis.nodes('master') : [redis]).map(ask))).flat();

const tests = harness.ofView({
    'reads and writes keys of all nodes': async (redis) => {
        assert.ok((await fill(redis, 500)).every((reply) => reply === 'OK'));
        assert.deepEqual(await Promise.all(names(500).map((key) => redis.get(key))), numbers(500).map(String));
        assert.equal(await redis.get('none'), null);
        assert.equal(await redis.del('key:1'), 1);
        assert.equal(await redis.exists('key:1'), 0);
        assert.equal(await redis.set('key:2', 'x', 'EX', 100, 'XX', 'GET'), '2');
        assert.ok([99, 100].includes(await redis.ttl('key:2')));
        assert.equal(await redis.expire('key:3', 100), 1);
        assert.equal(await redis.persist('key:3'), 1);
    },

    'counts on all nodes': async (redis) => {
        for (let round = 1; round <= 3; round++)
            assert.deepEqual(
                await Promise.all(names(200).map((key) => redis.incrby(key, 7))),
                numbers(200).map(() => 7 * round),
            );
    },

    'takes keys of all nodes in one command': async (redis) => {
        assert.equal(await redis.mset(Object.fromEntries(numbers(500).map((number) => [`key:${number}`, number]))), 'OK');
        assert.deepEqual(await redis.mget(...names(500), 'none'), [...numbers(500).map(String), null]);
        assert.equal(await redis.exists(...names(500)), 500);
        assert.equal(await redis.del(...names(200)), 200);
        assert.equal(await redis.unlink(...names(500)), 300);
    },

    'answers 10,000 commands that wait for nothing, in order': async (redis) => {
        const counted = Promise.all(numbers(5000).map(() => redis.incr('n')));
        const written = fill(redis, 5000);
        assert.deepEqual(await counted, numbers(5000).map((number) => number + 1));
        assert.ok((await written).every((reply) => reply === 'OK'));
        assert.deepEqual(await Promise.all(names(5000).map((key) => redis.get(key))), numbers(5000).map(String));
    },

    'plain: sends a pipeline of 10,000 commands over all nodes': async (redis) => {
        let pipeline = redis.pipeline();
        for (const number of numbers(10000)) pipeline.set(`key:${number}`, number);
        assert.ok((await pipeline.exec()).every(([error, reply]) => !error && reply === 'OK'));
        pipeline = redis.pipeline();
        for (const number of numbers(10000)) pipeline.get(`key:${number}`);
        assert.deepEqual((await pipeline.exec()).map(([, reply]) => Number(reply)), numbers(10000));
    },

    'cluster: sends pipelines, each to one slot': async (redis) => {
        await Promise.all(
            numbers(100).map(async (tag) => {
                const pipeline = redis.pipeline();
                for (const number of numbers(50)) pipeline.set(`{${tag}}${number}`, number).get(`{${tag}}${number}`);
                const replies = await pipeline.exec();
                assert.ok(replies.every(([error]) => !error));
                assert.deepEqual(
                    replies.filter((_reply, index) => index % 2 === 1).map(([, reply]) => Number(reply)),
                    numbers(50),
                );
            }),
        );
    },

    'keeps values of 1 MiB on all nodes': async (redis) => {
        const blobs = numbers(12).map((number) => Buffer.alloc(1 << 20, `blob ${number} `));
        await Promise.all(blobs.map((blob, number) => redis.set(`large:${number}`, blob)));
        for (const reader of [redis, ...harness.ports.map((_port, number) => node(number))]) {
            const found = await Promise.all(blobs.map((_blob, number) => reader.getBuffer(`large:${number}`)));
            assert.ok(found.every((blob, number) => blob.equals(blobs[number])));
        }
    },

    'finds each key once with SCAN': async (redis) => {
        await fill(redis);
        const found = await gathered(redis, async (asked) => {
            const keys = [];
            let cursor = '0';
            do {
                const [next, some] = await asked.scan(cursor, 'COUNT', 100);
                keys.push(...some);
                cursor = next;
            } while (cursor !== '0');
            return keys;
        });
        assert.deepEqual(found.sort(), names(KEYS).sort());
    },

    'counts, lists and flushes the keys of the whole cluster': async (redis) => {
        await fill(redis);
        const sizes = await gathered(redis, (asked) => asked.dbsize());
        assert.equal(sizes.reduce((sum, size) => sum + size, 0), KEYS);
        assert.deepEqual((await gathered(redis, (asked) => asked.keys('*'))).sort(), names(KEYS).sort());
        await gathered(redis, (asked) => asked.flushall());
        for (const number of numbers(3)) assert.equal(await node(number).dbsize(), 0);
    },

    'runs a transaction in one slot of any node': async (redis) => {
        for (const tag of numbers(20)) {
            const replies = await redis.multi().set(`{${tag}}a`, 1).incr(`{${tag}}a`).get(`{${tag}}a`).exec();
            assert.deepEqual(replies, [[null, 'OK'], [null, 2], [null, '2']]);
        }
        await assert.rejects(redis.rename('{0}a', '{1}b'), /^ReplyError: CROSSSLOT /);
    },

    'plain: hears CROSSSLOT for a transaction in two slots': async (redis) => {
        await assert.rejects(redis.multi().set('a', 1).set('b', 2).exec(), /EXECABORT|CROSSSLOT/);
        assert.deepEqual(await redis.mget('a', 'b'), [null, null]);
    },

    'plain: sees a conflict of WATCH, whichever node the other client is at': async (redis) => {
        for (const number of numbers(9)) {
            const other = node(number % 3);
            await redis.watch(`watched:${number}`);
            await other.set(`watched:${number}`, 'theirs');
            assert.equal(await redis.multi().set(`watched:${number}`, 'ours').exec(), null);
            assert.equal(await redis.get(`watched:${number}`), 'theirs');
        }
    },

    'plain: reads at each node what it wrote at another': async () => {
        const all = numbers(3).map((number) => node(number));
        for (const number of numbers(300)) {
            await all[number % 3].set(`key:${number}`, number);
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
        const redis = connect();
        await node(1).flushall();
        await redis.get('none');
        return redis;
    },
    async () => {
        for (const client of clients.splice(0)) {
            assert.deepEqual(client.errors, []);
            client.disconnect();
        }
    },
);
