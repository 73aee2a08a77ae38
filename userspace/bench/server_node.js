// SPDX-License-Identifier: GPL-2.0
// server_node.js PORT: echo with Node's ws
'use strict';
const { WebSocketServer } = require('ws');

const work = 1000 * Number(process.env.BENCH_BUSY_MS || 0);	// microseconds a message; busy.h

const busy = () => {
	const start = process.cpuUsage();
	let used;

	do {
		used = process.cpuUsage(start);
	} while (used.user + used.system < work);
};

new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv.at(-1)), backlog: 1024 }).on('connection', ws => {
	ws.on('error', () => {});
	ws.on('message', (data, isBinary) => {
		if (work)
			busy();
		ws.send(data, { binary: isBinary });
	});
});
