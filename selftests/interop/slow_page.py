# SPDX-License-Identifier: GPL-2.0
"""A client over TLS that fetches a page and takes it slowly, through a small window. Prints how many bytes of its body came, and how
many were announced."""
import socket
import ssl
import sys
import time

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
raw = socket.socket(socket.AF_INET6)
raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
raw.connect(('::1', int(sys.argv[1])))
s = context.wrap_socket(raw)
s.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
got = b''
try:
    while data := s.recv(1024):
        got += data
        time.sleep(0.08)
except OSError as e:
    print(e, file=sys.stderr)
head, _, body = got.partition(b'\r\n\r\n')
print(len(body), *(line.split()[1].decode() for line in head.split(b'\r\n') if line.startswith(b'Content-Length:')))
