// SPDX-License-Identifier: BSD-3-Clause
// node_redis.js - the tests of node-redis, major versions 4, 5 and 6.
//
// May touch: the servers that node_harness.js names.
// Must never know: how they were started.
// Invariants: each test begins with empty keyspaces and a connected client of its own. Where the versions
// name things differently, the functions on top know it.
// Tests: it is one.
'use strict';

const assert = require('node:assert/strict');
const harness = require('./node_harness.js');
const library = require(harness.client);

const isOld = harness.client === 'redis4';
const clients = [];

async function connect(options = {}) {
    const { port = harness.port, path, ...others } = options;
    const socket = path ? { path } : { host: '127.0.0.1', port };
    const client = library.createClient({
        socket,
        ...(harness.protocol ? { RESP: harness.protocol } : {}),
        ...others,
    });
    client.errors = [];
    client.on('error', (error) => client.errors.push(error));
    clients.push(client);
    return client.connect();
}

// A view of the client that takes and gives buffers.
const binary = (client) =>
    isOld
        ? {
              set: (key, value) => client.set(key, value),
              get: (key) => client.get(library.commandOptions({ returnBuffers: true }), key),
          }
        : client.withTypeMapping({ [library.RESP_TYPES.BLOB_STRING]: Buffer });

const destroy = (client) => (client.isOpen ? (isOld ? client.disconnect() : client.destroy()) : undefined);
const close = (client) => (isOld ? client.quit() : client.close());

const tests = {
    'reads and writes strings': async (redis) => {
        assert.equal(await redis.set('a', 'hello'), 'OK');
        assert.equal(await redis.get('a'), 'hello');
        assert.equal(await redis.get('none'), null);
        assert.equal(await redis.set('a', 'x', { NX: true }), null);
        assert.equal(await redis.set('a', 'x', { EX: 100, XX: true, GET: true }), 'hello');
        assert.equal(await redis.append('a', 'yz'), 3);
        assert.equal(await redis.getRange('a', 1, -1), 'yz');
        assert.equal(await redis.mSet({ a: '1', b: '2' }), 'OK');
        assert.deepEqual(await redis.mGet(['a', 'none', 'b']), ['1', null, '2']);
        assert.equal(await redis.getDel('a'), '1');
        assert.equal(await redis.exists(['a', 'b']), 1);
        assert.equal(await redis.set('ключ', 'значение €'), 'OK');
        assert.equal(await redis.get('ключ'), 'значение €');
    },

    'counts with integers and floats': async (redis) => {
        assert.equal(await redis.incr('n'), 1);
        assert.equal(await redis.incrBy('n', 41), 42);
        assert.equal(await redis.decr('n'), 41);
        assert.equal(Number(await redis.incrByFloat('f', 0.5)), 0.5);
        assert.equal(await redis.setBit('bits', 7, 1), 0);
        assert.equal(await redis.bitCount('bits'), 1);
        assert.deepEqual(
            await redis.bitField('field', [{ operation: 'INCRBY', encoding: 'u8', offset: 0, increment: 7 }]),
            [7],
        );
    },

    'keeps every byte of a buffer': async (redis) => {
        const blob = Buffer.alloc(100000, Buffer.from(Array.from({ length: 256 }, (_value, byte) => byte)));
        const key = blob.subarray(0, 300);
        assert.equal(String(await binary(redis).set(key, blob)), 'OK');
        assert.ok(blob.equals(await binary(redis).get(key)));
        const large = Buffer.alloc(20000000, 'large');
        await binary(redis).set('large', large);
        assert.ok(large.equals(await binary(redis).get('large')));
    },

    'answers 10,000 commands that wait for nothing, in order': async (redis) => {
        const replies = await Promise.all(Array.from({ length: 10000 }, () => redis.incr('n')));
        assert.deepEqual(
            replies,
            Array.from({ length: 10000 }, (_value, index) => index + 1),
        );
    },

    'sends 10,000 commands as one pipeline': async (redis) => {
        const pipeline = redis.multi();
        for (let number = 0; number < 10000; number++) pipeline.set(`key:${number}`, String(number));
        const written = await pipeline.execAsPipeline();
        assert.ok(written.length === 10000 && written.every((reply) => reply === 'OK'));
        assert.equal(await redis.dbSize(), 10000);
    },

    'runs a transaction': async (redis) => {
        assert.deepEqual(await redis.multi().set('a', '1').incr('a').get('a').exec(), ['OK', 2, '2']);
        await assert.rejects(
            redis.multi().addCommand(['SET', 'only-a-key']).exec(),
            /EXECABORT Transaction discarded because of previous errors|wrong number of arguments/,
        );
        assert.equal(await redis.get('a'), '2');
    },

    'sees a conflict of WATCH as WatchError': async (redis) => {
        const other = await connect();
        await redis.watch('a');
        await other.set('a', 'changed');
        await assert.rejects(redis.multi().set('a', 'mine').exec(), library.WatchError);
        assert.equal(await redis.get('a'), 'changed');
        await redis.watch('a');
        await redis.unwatch();
        await other.set('a', 'again');
        assert.deepEqual(await redis.multi().get('a').exec(), ['again']);
    },

    'finds every key with scanIterator': async (redis) => {
        await redis.mSet(Array.from({ length: 3000 }, (_value, number) => [`key:${number}`, String(number)]));
        await redis.mSet({ 'other:1': '1', 'other:2': '2' });
        const found = async (options) => {
            const keys = new Set();
            for await (const some of redis.scanIterator(options))
                [].concat(some).forEach((key) => keys.add(key));
            return keys;
        };
        assert.equal((await found({ COUNT: 100 })).size, 3002);
        assert.deepEqual([...(await found({ MATCH: 'other:*' }))].sort(), ['other:1', 'other:2']);
        assert.equal((await found({ TYPE: 'list' })).size, 0);
    },

    'sets, reads and removes times to live': async (redis) => {
        await redis.setEx('a', 100, 'x');
        const ttl = await redis.ttl('a');
        assert.ok(ttl === 100 || ttl === 99, `TTL ${ttl}`);
        assert.equal(Number(await redis.persist('a')), 1);
        assert.deepEqual([await redis.ttl('a'), await redis.ttl('none')], [-1, -2]);
        assert.equal(Number(await redis.pExpire('a', 20)), 1);
        await harness.eventually(async () => (await redis.get('a')) === null, 'the key expires');
        await redis.pSetEx('b', 100000, 'x');
        const at = Math.floor(Date.now() / 1000) + 1000;
        assert.equal(Number(await redis.expireAt('b', at, 'GT')), 1);
        assert.equal(await redis.expireTime('b'), at);
        assert.equal(await redis.getEx('b', isOld ? { PERSIST: true } : { type: 'PERSIST' }), 'x');
        assert.equal(await redis.expireTime('b'), -1);
    },

    'copies, renames, dumps and looks into objects': async (redis) => {
        await redis.set('a', 'x');
        assert.equal(Number(await redis.copy('a', 'b')), 1);
        assert.equal(await redis.rename('b', 'c'), 'OK');
        assert.equal(await redis.objectEncoding('c'), 'embstr');
        assert.equal(await redis.type('c'), 'string');
        assert.ok((await redis.memoryUsage('c')) > 1);
        assert.equal(await redis.unlink(['a', 'c', 'none']), 2);
        assert.equal(await redis.randomKey(), null);
    },

    'maps errors to exceptions': async (redis) => {
        await redis.set('a', 'text');
        const rejected = async (promise, message) =>
            assert.rejects(
                promise,
                (error) => error instanceof library.ErrorReply && error.message === message,
            );
        await rejected(redis.incr('a'), 'ERR value is not an integer or out of range');
        await rejected(
            redis.sendCommand(['NOSUCH', 'x']),
            "ERR unknown command 'NOSUCH', with args beginning with: 'x' ",
        );
        await rejected(redis.sendCommand(['GET']), "ERR wrong number of arguments for 'get' command");
        await rejected(redis.sendCommand(['SET', 'a', 'b', 'BAD']), 'ERR syntax error');
    },

    'connects again after CLIENT KILL': async (redis) => {
        const other = await connect({ database: 4, name: 'victim' });
        await other.set('a', 'in 4');
        const id = await other.sendCommand(['CLIENT', 'ID']);
        const again = new Promise((resolve) => other.once('ready', resolve));
        assert.equal(await redis.sendCommand(['CLIENT', 'KILL', 'ID', String(id)]), 1);
        await again;
        assert.equal(await other.get('a'), 'in 4');
        assert.notEqual(await other.sendCommand(['CLIENT', 'ID']), id);
        assert.equal(await other.sendCommand(['CLIENT', 'GETNAME']), 'victim');
        assert.ok(
            other.errors.every((error) => /Socket closed unexpectedly|ECONNRESET/.test(error.message)),
            other.errors,
        );
    },

    'selects databases': async (redis) => {
        await redis.set('a', '0');
        await redis.select(9);
        assert.equal(await redis.get('a'), null);
        await redis.set('a', '9');
        assert.equal(await (await connect({ database: 9 })).get('a'), '9');
        assert.equal(await (await connect()).get('a'), '0');
    },

    'logs in with a password, and hears WRONGPASS and NOAUTH': async () => {
        const named = await connect({
            port: harness.guardedPort,
            username: 'default',
            password: 'secret',
            database: 2,
        });
        assert.equal(await named.set('a', '1'), 'OK');
        assert.equal(await (await connect({ port: harness.guardedPort, password: 'secret' })).ping(), 'PONG');
        const once = { host: '127.0.0.1', port: harness.guardedPort, reconnectStrategy: false };
        await assert.rejects(
            connect({ socket: once, password: 'wrong' }),
            /WRONGPASS invalid username-password pair/,
        );
        await assert.rejects(
            connect({ socket: once }).then((client) => client.get('a')),
            /NOAUTH/,
        );
    },

    'connects through a unix socket': async (redis) => {
        const local = await connect({ path: harness.unixSocket });
        await local.set('a', 'over unix');
        assert.equal(await redis.get('a'), 'over unix');
    },

    'reads the configuration, INFO and the command table': async (redis) => {
        const settings = await redis.configGet('databases');
        assert.equal(settings.databases, '16');
        assert.equal(await redis.configSet('slowlog-max-len', '128'), 'OK');
        assert.match(await redis.info('server'), /^redis_version:/m);
        const [get] = await redis.commandInfo(['get']);
        assert.deepEqual([get.name, get.arity, get.firstKeyIndex], ['get', 2, 1]);
        assert.ok((await redis.commandCount()) > 50);
        assert.equal((await redis.role()).role, 'master');
        assert.equal((await redis.clientInfo()).db, 0);
        const time = await redis.time();
        const seconds = time instanceof Date ? time.getTime() / 1000 : Number(time[0]);
        assert.ok(Math.abs(seconds - Date.now() / 1000) < 10, String(time));
    },

    'speaks its protocol, and says who it is where the server takes CLIENT SETINFO': async (redis) => {
        const seen = String(await redis.sendCommand(['CLIENT', 'INFO']));
        assert.match(
            seen,
            new RegExp(` resp=${harness.protocol || (harness.client === 'redis6' ? 3 : 2)}( |\n|$)`),
        );
        if (seen.includes(' lib-name=')) assert.match(seen, / lib-name=node-redis\S* lib-ver=\d/);
    },

    'ends its connection in order': async () => {
        const redis = await connect();
        const answer = redis.set('a', '1');
        await close(redis);
        assert.equal(await answer, 'OK');
        assert.equal(redis.isOpen, false);
        assert.deepEqual(redis.errors, []);
    },
};

if (isOld) {
    // Only this version keeps a pool of its own.
    tests['runs transactions of its pool side by side'] = async (redis) => {
        await redis.set('n', '0');
        const add = () =>
            redis.executeIsolated(async (isolated) => {
                await isolated.watch('n');
                const value = Number(await isolated.get('n'));
                return isolated
                    .multi()
                    .set('n', String(value + 1))
                    .exec();
            });
        await add();
        await add();
        assert.equal(await redis.get('n'), '2');
    };
} else {
    tests['works through a pool of connections'] = async (redis) => {
        const pool = library.createClientPool(
            { socket: { host: '127.0.0.1', port: harness.port } },
            { maximum: 5 },
        );
        pool.on('error', (error) => redis.errors.push(error));
        await pool.connect();
        const replies = await Promise.all(Array.from({ length: 500 }, () => pool.incr('n')));
        assert.equal(new Set(replies).size, 500);
        await pool.close();
    };
    tests['monitors what other clients do'] = async (redis) => {
        const watcher = await connect();
        const seen = [];
        await watcher.monitor((line) => seen.push(String(line)));
        await redis.set('a b', '"quoted"');
        await harness.eventually(
            () => seen.some((line) => line.includes('SET')),
            'MONITOR shows the command',
        );
        const line = seen.find((text) => text.includes('SET'));
        assert.match(line, /^\d{10}\.\d{6} \[0 127\.0\.0\.1:\d+\] "SET" "a b" "\\"quoted\\""$/);
    };
}

harness.run(
    tests,
    async () => {
        const redis = await connect();
        await redis.flushAll();
        return redis;
    },
    async (redis) => {
        assert.deepEqual(redis.errors, []);
        for (const client of clients.splice(0)) destroy(client);
    },
);
