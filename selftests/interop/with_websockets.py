# SPDX-License-Identifier: GPL-2.0
"""python3-websockets as the client. Frames that a well-behaved client does not send go through its write_frame()."""
import asyncio
import hashlib
import os
import random
import struct

import websockets
from websockets.exceptions import ConnectionClosed

from tap import SLOWER

LIMIT = 60 * SLOWER     # seconds for anything
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
SIZES = [*range(0, 260), *range(1020, 1030), *range(4090, 4100), *range(16380, 16390), 32768, *range(65530, 65545), 70000]
CODES = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
UTF8 = ['', 'a', 'é', '€', '😀', '\0', 'a' * 125 + '€', '\ud7ff\ue000\ufffd\uffff\U00010000\U0010ffff', 'Grüße 😀' * 1000]


def within(awaitable):
    return asyncio.wait_for(awaitable, LIMIT)


def pattern(size, seed=0):
    return random.Random(size * 31 + seed).randbytes(size)


def frame(fin, opcode, data):
    """One masked frame, right or wrong."""
    n = len(data)
    length = bytes([128 | n]) if n < 126 else struct.pack('!BH', 254, n) if n < 65536 else struct.pack('!BQ', 255, n)
    key = os.urandom(4)
    return bytes([opcode | 128 * fin]) + length + key + bytes(b ^ key[i & 3] for i, b in enumerate(data))


class Peer:
    """Opens connections to the server under test; ssl: a context for wss."""

    def __init__(self, port, ssl=None):
        self.port, self.ssl = port, ssl

    def open(self, **how):
        return websockets.connect(f'{"wss://localhost" if self.ssl else "ws://127.0.0.1"}:{self.port}/chat?a=b', ssl=self.ssl,
                                  max_size=None, ping_interval=None, close_timeout=LIMIT, open_timeout=LIMIT, **how)

    async def echo(self, ws, message):
        await within(ws.send(message))
        got = await within(ws.recv())
        assert type(got) is type(message) and got == message, \
            f'{type(message)} of {len(message)} came back as {type(got)} of {len(got)}'

    async def text(self):
        async with self.open() as ws:
            for message in UTF8:
                await self.echo(ws, message)

    async def binary(self):
        async with self.open() as ws:
            await self.echo(ws, bytes(range(256)) * 4)
            await self.echo(ws, b'')

    async def sizes(self):
        async with self.open() as ws:
            for size in SIZES:
                await self.echo(ws, pattern(size))

    async def pipelined(self):
        """All at once: many small messages wait in the server's socket."""
        async with self.open(max_queue=None) as ws:
            messages = [pattern(s) if i % 3 else pattern(s).hex() for i, s in enumerate(SIZES + SIZES[::-1])]

            async def send():
                for m in messages:
                    await ws.send(m)
            sender = asyncio.ensure_future(send())
            for i, m in enumerate(messages):
                got = await within(ws.recv())
                assert type(got) is type(m) and got == m, f'message {i}: {len(m)} came back as {len(got)}'
            await sender

    async def large(self, size, text=False):
        async with self.open(write_limit=1 << 20) as ws:
            message = pattern(size)
            await self.echo(ws, message.hex()[:size] if text else message)

    async def fragments(self):
        async with self.open() as ws:
            for parts in ([b'a'], [b'', b''], [b'', b'a', b''], [b'x' * 125, b'y' * 126, b'z' * 65536], [b'1'] * 200):
                await within(ws.send(list(parts)))
                assert await within(ws.recv()) == b''.join(parts), parts
            data = '€😀'.encode()
            for i, byte in enumerate(data):         # every cut within a character
                await ws.write_frame(i == len(data) - 1, CONT if i else TEXT, bytes([byte]))
            assert await within(ws.recv()) == '€😀'

    async def control_between_fragments(self):
        async with self.open() as ws:
            await ws.write_frame(False, TEXT, b'one ')
            await within(await ws.ping(b'between'))
            await ws.write_frame(True, PONG, b'nobody asked')
            await ws.write_frame(False, CONT, b'message')
            await within(await ws.ping())
            await ws.write_frame(True, CONT, b'')
            assert await within(ws.recv()) == 'one message'

    async def pings(self):
        async with self.open() as ws:
            for payload in (b'', b'x', bytes(range(125))):
                await within(await ws.ping(payload))
            await self.echo(ws, 'still there')

    async def close_codes(self):
        for code in CODES:
            ws = await within(self.open())
            await self.echo(ws, 'x')
            await within(ws.close(code, 'ciao € ' * 12))
            assert ws.close_code == code, f'{code} was answered with {ws.close_code}'

    async def close_without_code(self):
        async with self.open() as ws:
            await ws.write_frame(True, CLOSE, b'')
            await within(ws.wait_closed())
            assert ws.close_code == 1005, ws.close_code

    async def refused(self, code, *frames):
        """After these frames, which write_frame() would not all send, the server closes with that code."""
        ws = await within(self.open())
        for fin, opcode, data in frames:
            ws.transport.write(frame(fin, opcode, data))
        try:
            while True:
                await within(ws.recv())
        except ConnectionClosed as e:
            assert e.rcvd and e.rcvd.code == code, f'expected {code} after {frames}, got {e}'

    async def bad_utf8(self):
        for data in (b'\xff', b'a\x80', b'\xc0\x80', b'\xed\xa0\x80', b'\xf4\x90\x80\x80', b'\xe2\x82', b'x' * 70000 + b'\xfe'):
            await self.refused(1007, (True, TEXT, data))
        await self.refused(1007, (False, TEXT, b'\xe2'), (True, CONT, b'\x82'))
        await self.refused(1007, (True, CLOSE, struct.pack('!H', 1000) + b'\xff'))

    async def bad_frames(self):
        for frames in ([(True, CONT, b'x')], [(False, TEXT, b'x'), (True, TEXT, b'y')], [(False, PING, b'x')],
                       [(True, PING, b'x' * 126)], [(True, 3, b'')], [(True, 11, b'')], [(True, CLOSE, b'\x03')],
                       [(True, CLOSE, struct.pack('!H', 1005))], [(True, CLOSE, struct.pack('!H', 999))],
                       [(True, 0x40 | TEXT, b'x')], [(True, 0x10 | PING, b'')]):
            await self.refused(1002, *frames)

    async def too_large(self):
        """The header alone is enough: one byte more than --max-message."""
        ws = await within(self.open())
        ws.transport.write(struct.pack('!BBQ4s', 0x82, 0xff, (16 << 20) + 1, b'mask'))
        try:
            await within(ws.recv())
        except ConnectionClosed as e:
            assert e.rcvd and e.rcvd.code == 1009, e

    async def no_extension(self):
        async with self.open(compression='deflate') as ws:
            assert not ws.extensions, ws.extensions
            await self.echo(ws, 'not compressed')

    async def subprotocols(self):
        for offered, agreed in ((['chat'], 'chat'), (['chat', 'soap'], 'soap'), (['wamp'], None), (None, None)):
            async with self.open(subprotocols=offered) as ws:
                assert ws.subprotocol == agreed, f'{offered}: {ws.subprotocol}'

    async def frames_with_the_request(self):
        """A client that does not wait for the 101, byte by byte and all at once."""
        frames = b''.join(frame(True, TEXT, m) for m in (b'one', b'', b'three'))
        request = (b'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                   b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n')
        for step in (1, 1000):
            reader, writer = await within(asyncio.open_connection('localhost' if self.ssl else '127.0.0.1', self.port, ssl=self.ssl))
            data = request + frames
            for i in range(0, len(data), step):
                writer.write(data[i:i + step])
                await writer.drain()
            head = await within(reader.readuntil(b'\r\n\r\n'))
            assert head.startswith(b'HTTP/1.1 101 '), head
            expected = b'\x81\x03one\x81\x00\x81\x05three'
            got = await within(reader.readexactly(len(expected)))
            assert got == expected, got
            writer.write(frame(True, CLOSE, b''))
            assert await within(reader.read()) == b'\x88\x00'
            writer.close()

    async def crowd(self):
        async def talk(i, ws):
            for n in range(10):
                await self.echo(ws, f'{i}: {n} ' + 'x' * (i * n % 3000))
            await within(ws.close())
        # one after the other: the port's forwarder has no room for many that wait
        peers = [await within(self.open()) for _ in range(40)]
        await asyncio.gather(*(talk(i, ws) for i, ws in enumerate(peers)))

    async def slow_reader(self, unread):
        """Sends and does not read, until nothing more goes out: the server has stopped reading. Then reads all."""
        messages = 2400
        blocks = [pattern(10000, i) for i in range(5)]
        async with self.open(max_queue=1, read_limit=1 << 14, write_limit=1 << 14) as ws:
            sent, back = hashlib.sha256(), hashlib.sha256()
            count = 0

            async def send():
                nonlocal count
                for i in range(messages):
                    data = b'' if i % 3 == 1 else blocks[i % 5][i:]
                    sent.update(b'%d:' % len(data) + data)
                    await ws.send(data)
                    count += 1
            sender = asyncio.ensure_future(send())
            seen = -1
            while count != seen and count < messages:       # two seconds without progress
                seen = count
                await asyncio.sleep(2)
            assert count < messages, 'the server takes everything'
            await unread()
            for _ in range(messages):
                data = await within(ws.recv())
                back.update(b'%d:' % len(data) + data)
            await sender
            assert sent.digest() == back.digest(), 'other bytes came back'


async def run(tap, port, unread, large):
    """All cases; unread(): looks at the server's memory while a client does not read; large: 8 MiB too."""
    p = Peer(port)
    await tap.case('text, all lengths of UTF-8', p.text())
    await tap.case('binary, and empty', p.binary())
    await tap.case(f'{len(SIZES)} sizes from 0 to 70000, one by one', p.sizes())
    await tap.case(f'{2 * len(SIZES)} messages without waiting', p.pipelined())
    await tap.case('1 MiB of binary', p.large(1 << 20))
    await tap.case('1 MiB of text', p.large(1 << 20, text=True))
    if large:
        await tap.case('8 MiB', p.large(8 << 20))
    await tap.case('fragments, cut within characters too', p.fragments())
    await tap.case('ping and pong between fragments', p.control_between_fragments())
    await tap.case('pings of 0, 1 and 125 bytes', p.pings())
    await tap.case(f'{len(CODES)} close codes come back', p.close_codes())
    await tap.case('Close without a code', p.close_without_code())
    await tap.case('1007 for what is not UTF-8', p.bad_utf8())
    await tap.case('1002 for wrong frames', p.bad_frames())
    await tap.case('1009 for the header of a message that is too large', p.too_large())
    await tap.case('an extension that is offered is not used', p.no_extension())
    await tap.case('subprotocols', p.subprotocols())
    await tap.case('frames sent together with the request', p.frames_with_the_request())
    await tap.case('40 connections at once', p.crowd())
    await tap.case('a client that does not read stops the server, not its memory', p.slow_reader(unread))


async def ended_by_server(tap, port, end):
    """end() makes the server end while connections are open."""
    async def case():
        peers = [await within(Peer(port).open()) for _ in range(10)]
        await end()
        for ws in peers:
            await within(ws.wait_closed())
            assert ws.close_code == 1001, ws.close_code
    await tap.case('SIGTERM: everybody gets 1001', case())
