# SPDX-License-Identifier: GPL-2.0
"""In the guest, for the test `tools': message sockets in every state, told about on standard output.

Prints one line of JSON: what kws list has to say of each, by its name. Then obeys lines of standard input: "send N"
has the client of `plain' send N messages of 10 bytes; "many N" opens N more connections, "few" closes them; "rename"
gives the process an odd name. Each is answered with "done".
"""
import json
import os
import resource
import socket
import struct
import sys

TCP_ULP, SOL_WEBSOCKET, CONFIG, OPCODE = 31, 0x5753, 1, 17
CLIENT = 1
ODD_NAME = b'a\033[2J"\\\377'
kept, many = [], []


def frame(opcode, data=b'', mask=True, rsv=0, fin=0x80):
    head = bytes([fin | rsv | opcode, (0x80 if mask else 0) | len(data)])
    return head + (b'abcd' + bytes(b ^ b'abcd'[i % 4] for i, b in enumerate(data)) if mask else data)


def pair(family=socket.AF_INET, address='127.0.0.1', to=None):
    listener = socket.socket(family)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind((address, 0))
    listener.listen()
    client = socket.create_connection((to or address, listener.getsockname()[1]))
    server = listener.accept()[0]
    kept.append((client, server))
    return client, server


def attach(s):
    s.setsockopt(socket.SOL_TCP, TCP_ULP, b'websocket')
    return s


def start(s, flags=0):
    attach(s).setsockopt(SOL_WEBSOCKET, CONFIG, struct.pack('I', flags))
    return s


def seen(s, **what):
    """What kws list shall say of this socket."""
    ends = {}
    for name, (address, port, *_) in {'local': s.getsockname(), 'peer': s.getpeername()}.items():
        ends[name] = {'address': address, 'port': port}
    return ends | {'role': 'server', 'state': 'open', 'error': 0} | what


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (10000, 10000))
    found = {}
    plain, server = pair()
    start(server)
    plain.sendall(frame(1, b'Hello') + frame(9, b'ping') + frame(2, bytes(100)) + frame(1, b'abc', fin=0))
    assert server.recv(100) == b'Hello'
    server.send(b'answer')
    found['plain'] = seen(server, rx_messages=2, rx_frames=3, rx_bytes=108, tx_messages=1, tx_bytes=6, rx_pings=1,
                          tx_pongs=1, unread_bytes=116, partial_bytes=3, tcp_state='established')
    _, server = pair(socket.AF_INET6, '::1')
    found['client over IPv6'] = seen(start(server, CLIENT), role='client')
    _, server = pair(socket.AF_INET6, '::', '127.0.0.1')
    found['IPv4 mapped'] = seen(start(server))
    _, server = pair()
    found['attached'] = seen(attach(server), role='-', state='attached')
    peer, server = pair()
    start(server)
    peer.sendall(frame(1, b'x', rsv=0x40))
    found['failed'] = seen(server, state='failed', error=71, error_name='EPROTO', sent_close_code=1002)
    _, server = pair()
    attach(server).setsockopt(SOL_WEBSOCKET, CONFIG, struct.pack('IIQII', 0, 0, 0, 0, 86400000))
    server.sendmsg([struct.pack('!H', 4321)], [(SOL_WEBSOCKET, OPCODE, b'\x08')])
    found['close sent'] = seen(server, state='close-sent', sent_close_code=4321)
    peer, server = pair()
    start(server)
    peer.sendall(frame(8, struct.pack('!H', 3210)))
    found['closed'] = seen(server, state='closed', sent_close_code=3210, received_close_code=3210)
    print(json.dumps({'pid': os.getpid(), 'sockets': found}), flush=True)
    for line in sys.stdin:
        word, *number = line.split()
        if word == 'send':
            plain.sendall(frame(0, b'd') + (frame(2, bytes(10)) * int(*number)))
        elif word == 'rename':
            with open('/proc/self/comm', 'wb') as f:
                f.write(ODD_NAME)
        elif word == 'many':
            many.extend(pair() for _ in range(int(*number)))
            for _, server in many:
                start(server)
        elif word == 'few':
            for client, server in many:
                kept.remove((client, server))
            many.clear()
            client = server = None
        print('done', flush=True)


main()
