// SPDX-License-Identifier: GPL-2.0
// Node's ws as the client. Prints TAP. Usage: node with_ws.js PORT [SCHEME]
'use strict';
const WebSocket = require('ws');
const crypto = require('crypto');
const assert = require('assert');

const url = `${process.argv[3] || 'ws'}://127.0.0.1:${process.argv[2]}/`;
const LIMIT = 60000;	// for anything; the whole program has a limit too

function within(promise) {
	let timer;
	const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('too late')), LIMIT); });
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function once(ws, event) {
	return within(new Promise((resolve, reject) => {
		ws.once(event, (...args) => resolve(args));
		if (event !== 'close')
			ws.once('close', code => reject(new Error(`closed with ${code}; ${ws.failure}`)));
	}));
}

async function open(protocols, options) {
	const ws = new WebSocket(url, protocols, options);
	ws.setMaxListeners(0);
	ws.on('error', e => { ws.failure = e; });
	await once(ws, 'open');
	return ws;
}

async function echo(ws, message) {
	const answer = once(ws, 'message');
	ws.send(message);
	const [data, isBinary] = await answer;
	assert.strictEqual(isBinary, typeof message !== 'string');
	assert(Buffer.from(message).equals(data), `${message.length} bytes came back as ${data.length}`);
}

async function close(ws, code, reason) {
	const closed = once(ws, 'close');
	ws.close(code, reason);
	return (await closed)[0];
}

async function withSocket(talk, options) {
	const ws = await open([], options);
	try {
		await talk(ws);
		assert.strictEqual(await close(ws, 1000), 1000);
	} finally {
		ws.terminate();
	}
}

const cases = {
	'text, binary, empty': () => withSocket(async ws => {
		for (const message of ['hello', 'Grüße 😀', '', Buffer.from([0, 255, 128]), Buffer.alloc(0)])
			await echo(ws, message);
	}),
	'sizes around the length forms': () => withSocket(async ws => {
		for (const size of [1, 124, 125, 126, 127, 65534, 65535, 65536, 65537, 70000])
			await echo(ws, crypto.randomBytes(size));
	}),
	'500 messages without waiting': () => withSocket(async ws => {
		const sent = [...Array(500).keys()].map(i => crypto.randomBytes(i * 7 % 600));
		const got = [];
		const all = within(new Promise(resolve => ws.on('message', data => {
			if (got.push(data) === sent.length)
				resolve();
		})));
		sent.forEach(data => ws.send(data));
		await all;
		got.forEach((data, i) => assert(data.equals(sent[i]), `message ${i}`));
	}),
	'1 MiB': () => withSocket(ws => echo(ws, crypto.randomBytes(1 << 20))),
	'1 MiB of text': () => withSocket(ws => echo(ws, crypto.randomBytes(1 << 19).toString('hex'))),
	'fragments': () => withSocket(async ws => {
		const answer = once(ws, 'message');
		ws.send('one ', { fin: false });
		ws.send('message', { fin: false });
		ws.send('', { fin: true });
		assert.strictEqual((await answer)[0].toString(), 'one message');
	}),
	'ping and pong': () => withSocket(async ws => {
		for (const payload of ['', 'x', 'y'.repeat(125)]) {
			const pong = once(ws, 'pong');
			ws.ping(payload);
			assert.strictEqual((await pong)[0].toString(), payload);
		}
		ws.pong('nobody asked');
		await echo(ws, 'still there');
	}),
	'close codes come back': async () => {
		for (const code of [1000, 1001, 1008, 1011, 3000, 4999])
			assert.strictEqual(await close(await open(), code, 'ciao €'), code);
		assert.strictEqual(await close(await open()), 1005);
	},
	'1007 for what is not UTF-8': async () => {
		const ws = await open();
		const closed = once(ws, 'close');
		ws.send(Buffer.from([0xc3, 0x28]), { binary: false });
		assert.strictEqual((await closed)[0], 1007);
	},
	'permessage-deflate is offered and not used': () => withSocket(async ws => {
		assert.strictEqual(ws.extensions, '');
		await echo(ws, 'not compressed '.repeat(200));
	}, { perMessageDeflate: true }),
	'a subprotocol': async () => {
		const ws = await open(['wamp', 'chat']);
		assert.strictEqual(ws.protocol, 'chat');
		await close(ws, 1000);
	},
};

(async () => {
	let number = 0;
	console.log(`1..${Object.keys(cases).length}`);
	for (const [name, run] of Object.entries(cases)) {
		number++;
		try {
			await run();
			console.log(`ok ${number} - ${name}`);
		} catch (e) {
			console.log(`# ${String(e.stack).replace(/\n/g, '\n# ')}\nnot ok ${number} - ${name}`);
			process.exitCode = 1;
		}
	}
	process.exit();
})();
