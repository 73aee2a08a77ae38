// SPDX-License-Identifier: GPL-2.0
// An echo server by Node's ws, for the kernel in the client role. Usage: node server_ws.js PORT
'use strict';
const { WebSocketServer } = require('ws');

new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2]) }).on('connection', ws => {
	ws.on('error', () => {});
	ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
});
