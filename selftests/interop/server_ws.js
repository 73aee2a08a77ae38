// SPDX-License-Identifier: GPL-2.0
// An echo server by Node's ws, for the kernel in the client role. Usage: node server_ws.js PORT [CERTIFICATE KEY]
'use strict';
const fs = require('fs');
const { WebSocketServer } = require('ws');

const [port, cert, key] = process.argv.slice(2);
const server = cert ? require('https').createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }) :
	require('http').createServer();

server.listen(Number(port), '127.0.0.1');
new WebSocketServer({ server }).on('connection', ws => {
	ws.on('error', () => {});
	ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
});
