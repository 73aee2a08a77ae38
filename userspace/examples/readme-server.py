#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR MIT
"""A WebSocket server that sends back what it gets, with nothing but Python's own modules."""
import base64, hashlib, http.client, socket, struct, sys, threading

TCP_ULP = 31                                                            # linux/tcp.h
SOL_WEBSOCKET, CONFIG, OPCODE, CLOSE = 0x5753, 1, 17, 8                 # linux/websocket.h
GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'                          # RFC 6455


def upgrade(s):
    head = s.makefile('rb', buffering=0)        # reads up to the head's last byte, and no further
    head.readline()
    key = http.client.parse_headers(head)['Sec-WebSocket-Key']
    accept = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
    s.sendall(f'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
              f'Sec-WebSocket-Accept: {accept}\r\n\r\n'.encode())
    s.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b'websocket')
    s.setsockopt(SOL_WEBSOCKET, CONFIG, bytes(24))                      # struct websocket_config: the defaults


def serve(s):
    with s:
        upgrade(s)
        while True:
            data, records, flags, _ = s.recvmsg(65536, socket.CMSG_SPACE(16))
            opcode, _, close_code = struct.unpack_from('=BBH', records[0][2])
            if opcode == CLOSE:
                return print('closed:', close_code, flush=True)
            more = 0 if flags & socket.MSG_EOR else socket.MSG_MORE     # a large message comes in parts
            s.sendmsg([data], [(SOL_WEBSOCKET, OPCODE, bytes([opcode]))], more)


with socket.create_server(('', int(sys.argv[1]) if sys.argv[1:] else 8080)) as listener:
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
