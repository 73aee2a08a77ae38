# SPDX-License-Identifier: GPL-2.0
"""RFC 6455 by hand for the conformance tests: frames that may be wrong in any way, and a reader that forgives nothing."""
import asyncio
import base64
import hashlib
import os
import socket
import struct

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
QUIET = ('quiet', 0.3)    # in a script: so long nothing comes
NAMES = {TEXT: 'text', BINARY: 'binary', PING: 'ping', PONG: 'pong'}
role_masks = True       # what frame() builds comes from a client
KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
REQUEST = ('GET /chat HTTP/1.1\r\nHost: server.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
           f'Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n').encode()


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def xor(data, key):
    if not data:
        return b''
    n = len(data)
    pad = int.from_bytes((key * (n // 4 + 1))[:n], 'big')
    return (int.from_bytes(data, 'big') ^ pad).to_bytes(n, 'big')


def frame(opcode, data=b'', fin=True, rsv=0, wrong_mask=False, form=None, announce=None, key=None):
    """One frame. form: 7, 16 or 64 bits of length; announce: a length other than the payload's."""
    mask = role_masks != wrong_mask
    data = data.encode() if isinstance(data, str) else data
    n = len(data) if announce is None else announce
    form = form or (7 if n < 126 else 16 if n < 65536 else 64)
    head = bytes([fin << 7 | rsv << 4 | opcode])
    head += {7: lambda: bytes([mask << 7 | n]), 16: lambda: struct.pack('!BH', mask << 7 | 126, n),
             64: lambda: struct.pack('!BQ', mask << 7 | 127, n)}[form]()
    if not mask:
        return head + data
    key = os.urandom(4) if key is None else key
    return head + key + xor(data, key)


def close(code=None, reason=b'', **how):
    reason = reason.encode() if isinstance(reason, str) else reason
    return frame(CLOSE, b'' if code is None else struct.pack('!H', code) + reason, **how)


class Wrong(Exception):
    """The other side did what RFC 6455 does not allow, or not what was expected."""


class Stream:
    """A socket. Not asyncio's streams: a write that fails ends their reading too, and what the peer said before is lost."""

    def __init__(self, sock, limit=60):
        self.sock, self.limit = sock, limit
        self.buffer = bytearray()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    async def open(cls, port, limit=60):
        self = cls(socket.socket(), limit)
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(self.sock, ('127.0.0.1', port)), limit)
        return self

    async def more(self):
        """Whether more has come: False at the end, and when the peer reset the connection."""
        try:
            data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.sock, 1 << 16), self.limit)
        except ConnectionError:
            data = b''
        self.buffer += data
        return bool(data)

    async def exactly(self, n):
        """So many bytes, or fewer at the end."""
        while len(self.buffer) < n and await self.more():
            pass
        data = bytes(self.buffer[:n])
        del self.buffer[:n]
        return data

    async def head(self):
        """Up to and with an empty line."""
        while b'\r\n\r\n' not in self.buffer and await self.more():
            pass
        end = self.buffer.find(b'\r\n\r\n')
        return await self.exactly(end + 4 if end >= 0 else len(self.buffer))

    async def rest(self):
        while await self.more():
            pass
        return bytes(self.buffer)

    async def quiet(self, seconds):
        """Whether nothing comes for so long, the end neither."""
        limit, self.limit = self.limit, seconds
        try:
            if not self.buffer:
                await self.more()
            return False
        except asyncio.TimeoutError:
            return True
        finally:
            self.limit = limit

    async def write(self, data, size=0):
        """In pieces of size. A peer that has seen enough may have ended the connection: what it said counts."""
        try:
            for piece in cut(data, size):
                await asyncio.get_running_loop().sock_sendall(self.sock, piece)
                if size:
                    await asyncio.sleep(0)
        except ConnectionError:
            pass

    def end(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass    # the peer has reset the connection

    def close(self):
        self.sock.close()


class Reader:
    """Frames of a peer that masks or does not, as events: ('text', data), ('pong', data), ('close', code, reason), ('end',)."""

    def __init__(self, stream, masked=False):
        self.stream, self.masked = stream, masked
        self.open = None
        self.parts = []
        self.closed = False

    async def exactly(self, n):
        data = await self.stream.exactly(n)
        if len(data) < n:
            raise Wrong(f'the end in the middle of a frame, after {data[:40]!r}')
        return data

    async def head(self):
        """(fin, opcode, payload) of a frame, or None at the end of the stream."""
        b0 = await self.stream.exactly(1)
        if not b0:
            return None
        b0 = b0[0]
        b1 = (await self.exactly(1))[0]
        fin, opcode, n = b0 >> 7, b0 & 15, b1 & 127
        if b0 & 0x70:
            raise Wrong(f'reserved bits: {b0:#x}')
        if (b1 >> 7) != self.masked:
            raise Wrong('masked' if b1 >> 7 else 'not masked')
        if opcode >= 8 and (not fin or n > 125):
            raise Wrong(f'control frame {b0:#x} {b1:#x}')
        if n == 126:
            n = struct.unpack('!H', await self.exactly(2))[0]
            if n < 126:
                raise Wrong(f'{n} in 16 bits')
        elif n == 127:
            n = struct.unpack('!Q', await self.exactly(8))[0]
            if n < 65536 or n >> 63:
                raise Wrong(f'{n} in 64 bits')
        key = await self.exactly(4) if self.masked else None
        data = await self.exactly(n) if n else b''
        return fin, opcode, xor(data, key) if key else data

    async def event(self):
        while True:
            got = await self.head()
            if got is None:
                return ('end',)
            if self.closed:
                raise Wrong(f'a frame behind Close: {got}')
            fin, opcode, data = got
            if opcode == CLOSE:
                self.closed = True
                if len(data) == 1:
                    raise Wrong('Close with one byte')
                return ('close', struct.unpack('!H', data[:2])[0] if data else None, data[2:])
            if opcode >= 8:
                return (NAMES[opcode], data)
            if (opcode == CONT) == (self.open is None):
                raise Wrong(f'opcode {opcode} in {self.open}')
            self.open = opcode or self.open
            self.parts.append(data)
            if fin:
                event = (NAMES[self.open], b''.join(self.parts))
                self.open, self.parts = None, []
                return event


def in_order(got, expected):
    """Whether events are the expected ones: messages in their order, pongs in theirs."""
    return all([e for e in got if e[0] in kind] == [e for e in expected if e[0] in kind]
               for kind in (('text', 'binary'), ('pong',), ('close',), ('end',)))


def short(event):
    """An event for people."""
    return tuple(f'{x[:30]!r} ({len(x)})' if isinstance(x, bytes) else x for x in event)


async def await_events(reader, expected):
    """Reads as many events as are expected; a message and a pong may come in either order."""
    got = [await reader.event() for _ in expected]
    if not in_order(got, expected):
        raise Wrong(f'{[short(e) for e in got]} came, not {[short(e) for e in expected]}')


async def perform(reader, script, write):
    """A script: bytes go to write(), QUIET is waited out, other tuples are events that have to come before it goes on."""
    for step in script:
        if step == QUIET:
            await write(None)
            if not await reader.stream.quiet(QUIET[1]):
                raise Wrong(f'{bytes(reader.stream.buffer)[:40]!r} or the end came, and nothing was due')
        elif isinstance(step, tuple):
            await await_events(reader, [step])
        else:
            await write(step)


def cut(data, size):
    """data in pieces of size; 0: whole."""
    return [data[i:i + size] for i in range(0, len(data), size)] if size else [data]


async def connect(port, request=REQUEST, limit=60):
    """An open connection."""
    stream = await Stream.open(port, limit)
    await stream.write(request)
    head = await stream.head()
    if not head.startswith(b'HTTP/1.1 101 '):
        raise Wrong(head.decode(errors='replace'))
    return stream
