// SPDX-License-Identifier: BSD-3-Clause
// ioredis.js - the tests of ioredis, major versions 5 and 6.
//
// May touch: the servers that node_harness.js names.
// Must never know: how they were started.
// Invariants: each test begins with empty keyspaces and a connected client of its own.
// Tests: it is one.
'use strict';

const assert = require('node:assert/strict');
const harness = require('./node_harness.js');
const Redis = require(harness.client);

const clients = [];

// A client whose error events are kept, not printed.
function connect(options = {}) {
    const chosen = harness.protocol ? { protocol: harness.protocol, ...options } : options;
    const redis = new Redis({ host: '127.0.0.1', port: harness.port, ...chosen });
    redis.errors = [];
    redis.on('error', (error) => redis.errors.push(error));
    clients.push(redis);
    return redis;
}

// CONFIG GET is a list or a map, as the protocol has it.
const pairs = (reply) => (Array.isArray(reply) ? { [reply[0]]: reply[1] } : reply);

const tests = {
    'becomes ready, and knows the server by its INFO': async (redis) => {
        await harness.eventually(() => redis.status === 'ready', 'the client is ready');
        const info = await redis.info();
        for (const line of [/^loading:0\r$/m, /^role:master\r$/m, /^redis_version:\d+\.\d+\.\d+\r$/m])
            assert.match(info, line);
        assert.match(await connect({ enableReadyCheck: false }).info(), /^loading:0\r$/m);
    },

    'reads and writes strings': async (redis) => {
        assert.equal(await redis.set('a', 'hello'), 'OK');
        assert.equal(await redis.get('a'), 'hello');
        assert.equal(await redis.get('none'), null);
        assert.equal(await redis.set('a', 'x', 'NX'), null);
        assert.equal(await redis.set('a', 'x', 'EX', 100, 'XX', 'GET'), 'hello');
        assert.equal(await redis.append('a', 'yz'), 3);
        assert.equal(await redis.getrange('a', 1, -1), 'yz');
        assert.equal(await redis.mset({ a: 1, b: 2 }), 'OK');
        assert.deepEqual(await redis.mget('a', 'none', 'b'), ['1', null, '2']);
        assert.equal(await redis.getdel('a'), '1');
        assert.equal(await redis.exists('a', 'b'), 1);
        assert.equal(await redis.set('ключ', 'значение €'), 'OK');
        assert.equal(await redis.get('ключ'), 'значение €');
    },

    'counts with integers and floats': async (redis) => {
        assert.equal(await redis.incr('n'), 1);
        assert.equal(await redis.incrby('n', 41), 42);
        assert.equal(await redis.decr('n'), 41);
        assert.equal(Number(await redis.incrbyfloat('f', 0.5)), 0.5);
        assert.equal(await redis.setbit('bits', 7, 1), 0);
        assert.equal(await redis.bitcount('bits'), 1);
    },

    'keeps every byte of a buffer': async (redis) => {
        const blob = Buffer.alloc(100000, Buffer.from(Array.from({ length: 256 }, (_value, byte) => byte)));
        await redis.set(blob.subarray(0, 300), blob);
        assert.ok(blob.equals(await redis.getBuffer(blob.subarray(0, 300))));
        assert.ok(blob.subarray(0, 300).equals((await redis.keysBuffer('*'))[0]));
        const large = Buffer.alloc(20000000, 'large');
        await redis.set('large', large);
        assert.ok(large.equals(await redis.getBuffer('large')));
    },

    'sends a pipeline of 10,000 commands': async (redis) => {
        let pipeline = redis.pipeline();
        for (let number = 0; number < 10000; number++) pipeline.set(`key:${number}`, number);
        const written = await pipeline.exec();
        assert.ok(written.length === 10000 && written.every(([error, reply]) => !error && reply === 'OK'));
        pipeline = redis.pipeline();
        for (let number = 0; number < 10000; number++) pipeline.get(`key:${number}`);
        assert.deepEqual(
            (await pipeline.exec()).map(([, reply]) => Number(reply)),
            [...Array(10000).keys()],
        );
    },

    'answers 10,000 commands that wait for nothing, in order': async (redis) => {
        const replies = await Promise.all(Array.from({ length: 10000 }, () => redis.incr('n')));
        assert.deepEqual(
            replies,
            Array.from({ length: 10000 }, (_value, index) => index + 1),
        );
    },

    'gathers commands by itself with enableAutoPipelining': async () => {
        const redis = connect({ enableAutoPipelining: true });
        const replies = await Promise.all(
            Array.from({ length: 1000 }, (_value, index) => redis.set(`k${index}`, index)),
        );
        assert.ok(replies.every((reply) => reply === 'OK'));
        assert.equal(await redis.get('k999'), '999');
    },

    'keeps the errors of a pipeline in their places': async (redis) => {
        const replies = await redis.pipeline().set('a', 'text').incr('a').get('a').exec();
        assert.deepEqual(replies[0], [null, 'OK']);
        assert.match(replies[1][0].message, /^ERR value is not an integer or out of range$/);
        assert.deepEqual(replies[2], [null, 'text']);
    },

    'runs a transaction': async (redis) => {
        assert.deepEqual(await redis.multi().set('a', 1).incr('a').get('a').exec(), [
            [null, 'OK'],
            [null, 2],
            [null, '2'],
        ]);
        await redis.multi({ pipeline: false });
        assert.equal(await redis.set('b', 1), 'QUEUED');
        assert.deepEqual(await redis.exec(), [[null, 'OK']]);
        await redis.multi({ pipeline: false });
        assert.equal(await redis.discard(), 'OK');
        await assert.rejects(
            redis.multi().set('a').exec(),
            /EXECABORT Transaction discarded because of previous errors/,
        );
    },

    'is refused a transaction when a watched key has changed': async (redis) => {
        const other = connect();
        await redis.watch('a');
        await other.set('a', 'changed');
        assert.equal(await redis.multi().set('a', 'mine').exec(), null);
        assert.equal(await redis.get('a'), 'changed');
        await redis.watch('a');
        await redis.unwatch();
        await other.set('a', 'again');
        assert.deepEqual(await redis.multi().get('a').exec(), [[null, 'again']]);
    },

    'finds every key with a scan stream': async (redis) => {
        await redis.mset(
            ...Array.from({ length: 3000 }, (_value, number) => [`key:${number}`, number]).flat(),
        );
        await redis.mset('other:1', 1, 'other:2', 2);
        const found = async (options) => {
            const keys = new Set();
            for await (const some of redis.scanStream(options)) some.forEach((key) => keys.add(key));
            return keys;
        };
        assert.equal((await found({ count: 100 })).size, 3002);
        assert.deepEqual([...(await found({ match: 'other:*' }))].sort(), ['other:1', 'other:2']);
        assert.equal((await found({ type: 'list' })).size, 0);
    },

    'sets, reads and removes times to live': async (redis) => {
        await redis.set('a', 1, 'EX', 100);
        const ttl = await redis.ttl('a');
        assert.ok(ttl === 100 || ttl === 99, `TTL ${ttl}`);
        assert.equal(await redis.persist('a'), 1);
        assert.deepEqual([await redis.ttl('a'), await redis.ttl('none')], [-1, -2]);
        assert.equal(await redis.pexpire('a', 20), 1);
        await harness.eventually(async () => (await redis.get('a')) === null, 'the key expires');
        assert.equal(await redis.psetex('b', 100000, 'x'), 'OK');
        const at = Math.floor(Date.now() / 1000) + 1000;
        assert.equal(await redis.expireat('b', at, 'GT'), 1);
        assert.equal(await redis.expiretime('b'), at);
        assert.equal(await redis.getex('b', 'PERSIST'), 'x');
    },

    'maps errors to ReplyError': async (redis) => {
        await redis.set('a', 'text');
        const rejected = async (promise, message) =>
            assert.rejects(promise, (error) => error.name === 'ReplyError' && error.message === message);
        await rejected(redis.incr('a'), 'ERR value is not an integer or out of range');
        await rejected(
            redis.call('NOSUCH', 'x'),
            "ERR unknown command 'NOSUCH', with args beginning with: 'x' ",
        );
        await rejected(redis.call('GET'), "ERR wrong number of arguments for 'get' command");
        await rejected(redis.set('a', 'b', 'BAD'), 'ERR syntax error');
    },

    'connects again after CLIENT KILL, and sends what was waiting': async (redis) => {
        const other = connect({ db: 4, connectionName: 'victim' });
        await other.set('a', 'in 4');
        const id = await other.client('ID');
        assert.equal(await redis.client('KILL', 'ID', id), 1);
        await harness.eventually(() => other.status !== 'ready', 'the killed client knows it');
        assert.equal(await other.get('a'), 'in 4');
        assert.notEqual(await other.client('ID'), id);
        assert.equal(await other.client('GETNAME'), 'victim');
        assert.deepEqual(other.errors, []);
    },

    'selects databases': async (redis) => {
        await redis.set('a', 0);
        await redis.select(9);
        assert.equal(await redis.get('a'), null);
        await redis.set('a', 9);
        assert.equal(await connect({ db: 9 }).get('a'), '9');
        assert.equal(await connect().get('a'), '0');
    },

    'logs in with a password, and hears WRONGPASS and NOAUTH': async () => {
        assert.equal(await connect({ port: harness.guardedPort, password: 'secret' }).ping(), 'PONG');
        const named = connect({ port: harness.guardedPort, username: 'default', password: 'secret', db: 2 });
        assert.equal(await named.set('a', 1), 'OK');
        const wrong = connect({ port: harness.guardedPort, password: 'wrong', retryStrategy: null });
        await assert.rejects(wrong.ping());
        assert.match(wrong.errors[0].message, /^WRONGPASS invalid username-password pair/);
        const without = connect({ port: harness.guardedPort, enableReadyCheck: false, retryStrategy: null });
        await assert.rejects(without.get('a'), /^ReplyError: NOAUTH /);
    },

    'connects through a unix socket': async (redis) => {
        const local = new Redis({ path: harness.unixSocket });
        clients.push(local);
        await local.set('a', 'over unix');
        assert.equal(await redis.get('a'), 'over unix');
    },

    'monitors what other clients do': async (redis) => {
        const monitor = await connect().monitor();
        clients.push(monitor);
        const seen = new Promise((resolve) =>
            monitor.on('monitor', (time, words, source, database) => {
                if (words[0] === 'set') resolve({ time, words, source, database });
            }),
        );
        await redis.select(3);
        await redis.set('a b', '"quoted"');
        const { time, words, source, database } = await seen;
        assert.deepEqual(words, ['set', 'a b', '"quoted"']);
        assert.match(source, /^127\.0\.0\.1:\d+$/);
        assert.equal(database, '3');
        assert.ok(Math.abs(time - Date.now() / 1000) < 10, time);
    },

    'reads the configuration, INFO and the command table': async (redis) => {
        assert.equal(pairs(await redis.config('GET', 'databases')).databases, '16');
        assert.match(await redis.info('server'), /^redis_version:/m);
        const [get] = await redis.command('INFO', 'get');
        assert.deepEqual([get[0], get[1], get[3], get[4], get[5]], ['get', 2, 1, 1, 1]);
        assert.equal(await redis.dbsize(), 0);
        assert.equal(await redis.object('ENCODING', 'none'), null);
        assert.deepEqual((await redis.role()).slice(0, 1), ['master']);
    },

    'speaks its protocol, and says who it is where the server takes CLIENT SETINFO': async (redis) => {
        const seen = await redis.client('INFO');
        assert.match(
            seen,
            new RegExp(` resp=${harness.protocol || (harness.client === 'ioredis5' ? 2 : 3)}( |\n|$)`),
        );
        if (seen.includes(' lib-name=')) assert.match(seen, / lib-name=ioredis\S* lib-ver=\d/);
    },

    'ends with quit': async () => {
        const redis = connect();
        assert.equal(await redis.quit(), 'OK');
        await harness.eventually(() => redis.status === 'end', 'the connection ends');
        assert.deepEqual(redis.errors, []);
    },
};

harness.run(
    tests,
    async () => {
        const redis = connect();
        await redis.flushall();
        return redis;
    },
    async (redis) => {
        assert.deepEqual(redis.errors, []);
        for (const client of clients.splice(0)) client.disconnect();
    },
);
