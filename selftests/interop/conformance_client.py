# SPDX-License-Identifier: GPL-2.0
"""The client's role, in the guest: kws connect and an echo on libkws against a server of raw bytes. Prints TAP."""
import asyncio
import os
import re
import socket
import sys

import conformance_wire as wire
import conformance_frames as frames
from conformance_wire import TEXT, Reader, Stream, Wrong, accept_of, await_events, close, frame, perform, short
from tap import BUILD, SLOWER, TOP, Tap

LIMIT = 60 * SLOWER
CLIENTS = 4
LARGE = 1200000         # bytes of a script that takes too long here; the server's role has it


async def read_request(stream):
    """The headers of the client's request, after a look at all of it (RFC 6455 4.1)."""
    head = (await stream.head()).decode('ascii')
    first, *lines = head[:-4].split('\r\n')
    found = dict(line.split(': ', 1) for line in lines)
    if len(found) != len(lines) or not re.fullmatch(r'GET /\S* HTTP/1\.1', first):
        raise Wrong(head)
    expected = {'Upgrade': 'websocket', 'Connection': 'Upgrade', 'Sec-WebSocket-Version': '13', 'Host': found['Host']}
    if any(found.get(n) != v for n, v in expected.items()) or not re.fullmatch('[A-Za-z0-9+/]{21}[AQgw]==', found['Sec-WebSocket-Key']):
        raise Wrong(head)
    return found


async def listen(serve):
    """Calls serve(stream) for each connection to the port that is returned, with the task to be cancelled."""
    sock = socket.create_server(('127.0.0.1', 0), backlog=64)
    sock.setblocking(False)

    async def accept():
        while True:
            conn, _ = await asyncio.get_running_loop().sock_accept(sock)
            asyncio.ensure_future(serve(Stream(conn, LIMIT)))
    return sock.getsockname()[1], asyncio.ensure_future(accept())


def answer(request, first='HTTP/1.1 101 Switching Protocols', more=(), end='\r\n', **changes):
    lines = {'Upgrade': 'websocket', 'Connection': 'Upgrade', 'Sec-WebSocket-Accept': accept_of(request['Sec-WebSocket-Key'])}
    for name, value in changes.items():
        lines[name.replace('_', '-')] = value
    return end.join([first, *(f'{n}: {v}' for n, v in lines.items() if v is not None), *more, '', '']).encode('latin-1')


GOOD = {
    'the usual answer': lambda q: answer(q),
    'small letters': lambda q: answer(q).replace(b'Upgrade: w', b'upgrade: w').replace(b'Sec-WebSocket', b'sec-websocket'),
    'values in other cases': lambda q: answer(q, Upgrade='WebSocket', Connection='keep-alive, UPGRADE'),
    'other words': lambda q: answer(q, 'HTTP/1.1 101 Web Socket Protocol Handshake'),
    'no words': lambda q: answer(q, 'HTTP/1.1 101 '),
    'white space around values': lambda q: answer(q, Upgrade=' \twebsocket \t', Sec_WebSocket_Accept=f' {accept_of(q["Sec-WebSocket-Key"])}\t '),
    'more headers': lambda q: answer(q, more=['Server: x', 'Date: y', 'X: ' + 'z' * 4000]),
    'interim answers first': lambda q: b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n' + answer(q),
    'the subprotocol that was offered': lambda q: answer(q, Sec_WebSocket_Protocol='chat'),
}
BAD = {
    'nothing at all': lambda q: b'',
    'half an answer': lambda q: answer(q)[:-2],
    'no HTTP': lambda q: b'\x81\x05hello' + bytes(range(128, 256)) + b'\r\n\r\n',
    **{f'status {s}': lambda q, s=s: answer(q, f'HTTP/1.1 {s} x') for s in (200, 204, 301, 302, 400, 401, 404, 426, 500, 503)},
    'status 1010': lambda q: answer(q, 'HTTP/1.1 1010 x'),
    'HTTP/1.0': lambda q: answer(q, 'HTTP/1.0 101 x'),
    'HTTP/2.0': lambda q: answer(q, 'HTTP/2.0 101 x'),
    'no Upgrade': lambda q: answer(q, Upgrade=None),
    'another Upgrade': lambda q: answer(q, Upgrade='h2c'),
    'no Connection': lambda q: answer(q, Connection=None),
    'Connection: close': lambda q: answer(q, Connection='close'),
    'no accept': lambda q: answer(q, Sec_WebSocket_Accept=None),
    'an empty accept': lambda q: answer(q, Sec_WebSocket_Accept=''),
    'the accept of another key': lambda q: answer(q, Sec_WebSocket_Accept=accept_of(wire.KEY)),
    'accept in another case': lambda q: answer(q, Sec_WebSocket_Accept=accept_of(q['Sec-WebSocket-Key']).swapcase()),
    'the key itself': lambda q: answer(q, Sec_WebSocket_Accept=q['Sec-WebSocket-Key']),
    'accept twice': lambda q: answer(q, more=[f'Sec-WebSocket-Accept: {accept_of(q["Sec-WebSocket-Key"])}']),
    **{f'extensions: "{e}"': lambda q, e=e: answer(q, Sec_WebSocket_Extensions=e)
       for e in ('permessage-deflate', 'foo', '', ',', ';', 'foo; a="b c"')},
    'another subprotocol': lambda q: answer(q, Sec_WebSocket_Protocol='wamp'),
    'an empty subprotocol': lambda q: answer(q, Sec_WebSocket_Protocol=''),
    'two subprotocols': lambda q: answer(q, Sec_WebSocket_Protocol='chat, soap'),
    'the subprotocol twice': lambda q: answer(q, more=['Sec-WebSocket-Protocol: chat', 'Sec-WebSocket-Protocol: chat']),
    'a header without a name': lambda q: answer(q, more=[': x']),
    'a space before a colon': lambda q: answer(q, more=['X : a']),
    'NUL in a value': lambda q: answer(q, more=['X: a\0b']),
    'ends of lines without CR': lambda q: answer(q, end='\n'),
    'a head of 20 KB': lambda q: answer(q, more=['X: ' + 'y' * 20000]),
}


async def kws_connect(port, *options):
    """(status, output) of kws connect."""
    p = await asyncio.create_subprocess_exec(f'{TOP}/build/user/kws', 'connect', *options, f'ws://127.0.0.1:{port}/chat?a=b',
                                             stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                                             stderr=asyncio.subprocess.STDOUT)
    output = (await asyncio.wait_for(p.communicate(), LIMIT))[0]
    return p.returncode, output.decode(errors='replace')


async def handshake(answer_to, good):
    """One answer: believed, and a message is taken; or refused, and the connection ended without a frame."""
    seen = []

    async def serve(stream):
        try:
            await stream.write(answer_to(await read_request(stream)) + (frame(TEXT, 'hello') if good else b''))
            if good:
                seen.append(await Reader(stream, masked=True).event())
                await stream.write(close(1000))
            else:
                stream.end()
                seen.append(await stream.rest())
        except (Wrong, OSError, asyncio.TimeoutError) as e:
            seen.append(repr(e))
        finally:
            stream.close()
    port, server = await listen(serve)
    status, output = await kws_connect(port, '--subprotocol', 'chat', '--count', '1', '--timeout', str(LIMIT))
    server.cancel()
    if good:
        assert (status, output, seen) == (0, 'hello\n', [('close', 1000, b'')]), (status, output, seen)
    else:
        assert status == 2 and output.startswith('kws: ') and seen == [b''], (status, output, seen)


async def play(stream, script, expected):
    """The server's part of a case; the client echoes."""
    await stream.write(answer(await read_request(stream)))
    reader = Reader(stream, masked=True)

    async def write(data):
        if data:
            await stream.write(data)

    await perform(reader, script, write)
    await await_events(reader, expected[:-1])
    code = expected[-1][1] if expected[-1] != frames.FINE else 1000
    if expected[-1] == frames.FINE:
        await stream.write(close(1000))
    last = await reader.event()
    if last[:2] != ('close', code):
        raise Wrong(f'{short(last)} came, not Close {code}')
    # RFC 6455 7.1.1: the client leaves the end to the server
    stream.end()
    if await reader.event() != ('end',):
        raise Wrong('the client did not end the connection')


async def echoes(tap, cases):
    """Each connection of the clients gets the next case."""
    todo = list(enumerate(cases))
    results = {}

    async def serve(stream):
        i, (_, _, script, expected) = todo.pop(0)
        try:
            await asyncio.wait_for(play(stream, script, expected), LIMIT)
            results[i] = ''
        except (Wrong, OSError, asyncio.TimeoutError) as e:
            results[i] = repr(e)
        finally:
            stream.close()
    port, server = await listen(serve)
    share = [len(cases) // CLIENTS + (i < len(cases) % CLIENTS) for i in range(CLIENTS)]
    clients = [await asyncio.create_subprocess_exec(f'{BUILD}/client_echo', f'ws://127.0.0.1:{port}/', str(n)) for n in share]
    for p in clients:
        status = await p.wait()
        if status:
            tap.result(False, f'an echo client ends with status {status}')
    # a client may be gone before its last connection's end was read here
    while len(results) + len(todo) < len(cases):
        await asyncio.sleep(0.05)
    server.cancel()
    for i, (group, name, _, _) in enumerate(cases):
        tap.result(results.get(i) == '', f'{group}: {name}', results.get(i, 'not reached'))


def cases():
    for group, table in frames.ALL.items():
        for name, script, expected in table():
            size = sum(len(s) for s in script if isinstance(s, bytes))
            if size > LARGE:
                continue
            joined = [b''.join(script)] if all(isinstance(s, bytes) for s in script) else script
            yield group, name, joined, expected


async def main():
    tap = Tap()
    wire.role_masks = False
    tap.prefix = 'handshake'
    for table, good in ((GOOD, True), (BAD, False)):
        for name, answer_to in table.items():
            await tap.case(name, handshake(answer_to, good))
    tap.prefix = 'echo'
    await echoes(tap, list(cases()))
    return tap.end()


if __name__ == '__main__':
    os.chdir(TOP)
    sys.exit(asyncio.run(main()))
