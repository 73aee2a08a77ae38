# SPDX-License-Identifier: GPL-2.0
"""An echo server by python3-websockets, for the kernel in the client role. Usage: server_websockets.py PORT [CERTIFICATE KEY [1.2]]

A message "close CODE REASON" closes; "ping" pings the client and says how it went; "bad" sends a frame with a wrong opcode;
"pongs" sends 200,000 bytes in fragments, with a pong that nobody asked for before and between them.
"""
import asyncio
import ssl
import sys

import websockets


async def serve(ws):
    try:
        await answer(ws)
    except websockets.ConnectionClosed:
        pass


async def with_pongs(ws):
    for _ in range(2):
        yield bytes(100000)
        await ws.pong(b'unasked')


async def answer(ws):
    async for message in ws:
        if isinstance(message, str) and message.startswith('close '):
            _, code, reason = message.split(' ', 2)
            await ws.close(int(code), reason)
        elif message == 'ping':
            await asyncio.wait_for(await ws.ping(b'to the client'), 60)
            await ws.send('pong came')
        elif message == 'fragments':
            await ws.send(['one ', 'mess', '', 'age'])
        elif message == 'pongs':
            await ws.pong(b'unasked')
            await ws.send(with_pongs(ws))
        elif message == 'bad':
            ws.transport.write(b'\x83\x00')
        else:
            await ws.send(message)


async def main():
    context = None
    if sys.argv[2:]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*sys.argv[2:4])
        if sys.argv[4:]:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with websockets.serve(serve, '127.0.0.1', int(sys.argv[1]), max_size=None, subprotocols=['chat'], ssl=context):
        await asyncio.Future()


asyncio.run(main())
