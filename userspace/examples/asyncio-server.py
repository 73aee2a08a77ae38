#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR MIT
"""A server for many clients with asyncio, with nothing but Python's own modules: sends back what it gets."""
import asyncio, base64, hashlib, socket, struct, sys

TCP_ULP = 31                                                            # linux/tcp.h
SOL_WEBSOCKET, CONFIG, OPCODE, CLOSE = 0x5753, 1, 17, 8                 # linux/websocket.h
GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'                          # RFC 6455


async def ready(s, writing=False):
    """Waits until the socket can be read, or written to."""
    loop, future = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(s, lambda: future.done() or future.set_result(None))
    try:
        await future
    finally:
        remove(s)


async def upgrade(s):
    loop, head = asyncio.get_running_loop(), b''
    while not head.endswith(b'\r\n\r\n'):
        # frames may follow the head at once: they are the kernel's
        byte = await loop.sock_recv(s, 1)
        if not byte or len(head) > 16384:
            raise ConnectionError('no request')
        head += byte
    fields = dict(line.lower().split(b':', 1)[:1] + line.split(b':', 1)[1:] for line in head.split(b'\r\n') if b':' in line)
    accept = base64.b64encode(hashlib.sha1(fields[b'sec-websocket-key'].strip() + GUID).digest()).decode()
    await loop.sock_sendall(s, f'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                            f'Sec-WebSocket-Accept: {accept}\r\n\r\n'.encode())
    s.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b'websocket')
    s.setsockopt(SOL_WEBSOCKET, CONFIG, bytes(24))                      # struct websocket_config: the defaults


async def receive(s):
    """(bytes, opcode, whether the message goes on); the opcode is CLOSE at the end."""
    while True:
        try:
            data, records, flags, _ = s.recvmsg(65536, socket.CMSG_SPACE(16))
            return data, records[0][2][0], not flags & socket.MSG_EOR
        except BlockingIOError:
            await ready(s)


async def send(s, data, opcode, more):
    while True:
        try:
            n = s.sendmsg([data], [(SOL_WEBSOCKET, OPCODE, bytes([opcode]))], socket.MSG_MORE if more else 0)
        except BlockingIOError:
            await ready(s, writing=True)
            continue
        if n == len(data):
            return
        data = data[n:]                                                 # the message is still open


async def serve(s):
    try:
        with s:
            await asyncio.wait_for(upgrade(s), 10)
            while (message := await receive(s))[1] != CLOSE:
                await send(s, *message)
    except (OSError, KeyError, asyncio.TimeoutError) as e:
        print('ended:', repr(e), flush=True)


async def main(port):
    with socket.create_server(('', port), backlog=128) as listener:
        listener.setblocking(False)
        tasks = set()
        while True:
            try:
                s, _ = await asyncio.get_running_loop().sock_accept(listener)
            except OSError:
                await asyncio.sleep(0.1)                                # no more descriptors, say
                continue
            s.setblocking(False)
            tasks.add(task := asyncio.create_task(serve(s)))
            task.add_done_callback(tasks.discard)


asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 8080))
