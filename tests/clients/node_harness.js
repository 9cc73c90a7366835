// SPDX-License-Identifier: BSD-3-Clause
// node_harness.js - runs the named tests of one Node.js client and reports each as a JSON line to RESULTS_FD.
//
// May touch: the process's warnings and its console, which it watches.
// Must never know: any client. Arguments: CLIENT PORT UNIXSOCKET GUARDED_PORT PROTOCOL (may be empty).
// Invariants: a warning, a call of console.warn or console.error, or a rejection that nobody handles fails
// the test that runs; every test has a deadline.
// Tests: it is one.
'use strict';

const fs = require('node:fs');

const DEADLINE_MS = 10000;
const [client, port, unixSocket, guardedPort, protocol] = process.argv.slice(2);
const label = process.env.TEST_LABEL;
const only = process.env.TEST_ONLY;

const complaints = [];
for (const name of ['warn', 'error']) {
    console[name] = (...words) => complaints.push(`console.${name}: ${words.map(String).join(' ')}`);
}
process.on('warning', (warning) => complaints.push(`warning: ${warning.stack}`));
process.on('unhandledRejection', (reason) =>
    complaints.push(`unhandled rejection: ${reason && reason.stack}`),
);
process.on('uncaughtException', (error) => complaints.push(`uncaught exception: ${error.stack}`));

// Asks until the condition holds.
async function eventually(condition, what) {
    const end = Date.now() + DEADLINE_MS;
    while (!(await condition())) {
        if (Date.now() > end) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
    }
}

// Settles like the promise, or fails at the deadline.
function within(promise, milliseconds = DEADLINE_MS) {
    let timer;
    const late = new Promise((_resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`not done within ${milliseconds} ms`)), milliseconds);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// `tests` maps sentences to functions; `before` and `after` run around each with what `before` returned.
async function run(tests, before, after) {
    const write = (result) => fs.writeSync(Number(process.env.RESULTS_FD), JSON.stringify(result) + '\n');
    for (const [sentence, test] of Object.entries(tests)) {
        const name = `${label} ${sentence}`;
        if (only && !name.includes(only)) continue;
        const begin = Date.now();
        let detail = '';
        let connection;
        complaints.length = 0;
        try {
            connection = await within(before());
            await within(test(connection));
        } catch (error) {
            detail = error.stack;
        }
        try {
            if (connection) await within(after(connection));
        } catch (error) {
            detail += `\nafter the test: ${error.stack}`;
        }
        await new Promise((resolve) => setImmediate(resolve));
        detail += complaints.join('\n');
        write({ name, ok: !detail, detail, seconds: (Date.now() - begin) / 1000 });
    }
    write({ done: true });
    process.exit(0);
}

module.exports = {
    client,
    port: Number(port),
    unixSocket,
    guardedPort: Number(guardedPort),
    protocol: protocol ? Number(protocol) : undefined,
    eventually,
    run,
};
