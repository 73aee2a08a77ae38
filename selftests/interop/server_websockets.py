# SPDX-License-Identifier: GPL-2.0
"""An echo server by python3-websockets, for the kernel in the client role. Usage: server_websockets.py PORT

A message "close CODE REASON" closes; "ping" pings the client and says how it went; "bad" sends a frame with a wrong opcode.
"""
import asyncio
import sys

import websockets


async def serve(ws):
    try:
        await answer(ws)
    except websockets.ConnectionClosed:
        pass


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
        elif message == 'bad':
            ws.transport.write(b'\x83\x00')
        else:
            await ws.send(message)


async def main():
    async with websockets.serve(serve, '127.0.0.1', int(sys.argv[1]), max_size=None, subprotocols=['chat']):
        await asyncio.Future()


asyncio.run(main())
