# SPDX-License-Identifier: GPL-2.0
"""kws echo and kws connect, for the test `tools': what needs no module, on this machine. Where it takes one, the library's engine
stands in for it (selftests/engine/preload.so); but epoll does not know of that, so kws echo only gets through its handshakes."""
import contextlib
import os
import re
import socket
import subprocess
import tempfile
import urllib.request

from tap import TOP

KWS = TOP + '/build/user/kws'
ENGINE = os.environ | {'LD_PRELOAD': TOP + '/build/engine/preload.so'}


def run(*arguments, status, says='', env=None, **more):
    """kws with these; what it says on standard error."""
    done = subprocess.run([KWS, *arguments], stderr=subprocess.PIPE, text=True, errors='surrogateescape', timeout=60, check=False,
                          env=env, **{'stdout': subprocess.PIPE, 'stdin': subprocess.DEVNULL} | more)
    assert done.returncode == status and says in done.stderr, (arguments, done)
    return done.stderr


@contextlib.contextmanager
def echo(*arguments, env=ENGINE):
    """kws echo; its port, and a function that ends it and returns what it said on standard error."""
    server = subprocess.Popen([KWS, 'echo', '-p', '0', *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=env)

    def end():
        server.terminate()
        return server.communicate(timeout=60)[1]
    try:
        yield int(re.search(rb'port (\d+)', server.stdout.readline())[1]), end
    finally:
        server.kill()
        server.communicate()


def echo_page(_):
    """1 MiB is no more than 1 MiB."""
    with tempfile.NamedTemporaryFile() as f:
        for size in 0, 1, 1 << 20:
            f.truncate(size)
            with echo('--page', f.name) as (port, end):
                with urllib.request.urlopen(f'http://127.0.0.1:{port}/', timeout=60) as got:
                    assert len(got.read()) == size, size
        f.truncate((1 << 20) + 1)
        run('echo', '--page', f.name, status=1, says='larger than 1 MiB')


def echo_usage(_):
    for option, value, says in (('-p', 'x', '--port: x is no number'), ('--port', '65536', '--port: 65536 is no number'),
                                ('--max-message', '1T', '--max-message: 1T is no size'),
                                ('--pong-timeout', '-1', '--pong-timeout: -1 is no time'),
                                ('--ping-interval', 'x', '--ping-interval: x is no time')):
        run('echo', option, value, status=1, says=says)


def echo_subprotocols(_):
    """A list that no handshake would take is refused at the start, not with each client."""
    for bad in 'a b', 'a,a', 'a, b,a', 'ü', ','.join(map(str, range(65))):
        run('echo', '-p', '0', '--subprotocol', bad, status=1, says=f'--subprotocol: {bad} is no list')
    for good in '', 'a', 'soap, chat', ','.join(map(str, range(64))):
        with echo('--subprotocol', good):
            pass


REQUEST = (b'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'
           b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n')


def echo_forwarded(_):
    """What a stranger writes into a header gets to a terminal as text, or as ?."""
    with echo('-v') as (port, end):
        with socket.create_connection(('127.0.0.1', port), timeout=60) as s:
            s.sendall(REQUEST % b'X-Forwarded-For: 192.0.2.1, "\xc2\x9b2J\x9b\t\xff~\r\n')
            assert s.recv(4096).startswith(b'HTTP/1.1 101 ')
        said = end()
        assert b' is open, X-Forwarded-For: 192.0.2.1, "??2J???~\n' in said, said


def connect_descriptors(server):
    """Without standard input or output the connection does not take their place."""
    url = f'ws://127.0.0.1:{server.port}/'
    for closed, says in ('<&-', b'text\n'), ('>&-', b''), ('2>&-', b'text\n'), ('<&- >&- 2>&-', b''):
        done = subprocess.run(['sh', '-c', f'exec "$0" connect -w 0.2 -m text {url} {closed}', KWS], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, env=ENGINE, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, says, b''), (closed, done)
    subprocess.run(['sh', '-c', f'exec "$0" connect -w 0.2 {url} <&-', KWS], timeout=60, env=ENGINE, check=True)


def connect_without_module(server):
    """That is this machine's, not the server's: status 1.."""
    url = f'ws://127.0.0.1:{server.port}/'
    if not os.path.exists('/proc/net/websocket_stat'):
        run('connect', '-m', 'x', url, status=1, says='modprobe websocket')
    run('connect', '-m', 'x', 'ws://127.0.0.1:1/', status=2, says='Connection refused', env=ENGINE)


def connect_options(_):
    """What is wrong with them is named, and nobody is asked first: nobody listens there."""
    for command, *options, says in (('connect', '-H', 'Host: y', 'writes itself: Host: y'), ('connect', '-H', 'foo', 'no header'),
                                    ('connect', '-s', 'a,a', 'between: a,a'), ('connect', '-o', 'a\nb', 'the header Origin'),
                                    ('bench', '-H', 'foo', 'writes itself: foo')):
        run(command, *options, 'ws://127.0.0.1:1/', status=1, says=says)


def connect_close(_):
    """RFC 6455 5.5.1, 7.4: what must not be sent is refused before anybody is asked."""
    for bad, says in (('1004', '1004 must not'), ('1005', '1005 must not'), ('1006:x', '1006 must not'), ('1015', '1015 must not'),
                      ('1016', '1016 must not'), ('2000', '2000 must not'), ('2999', '2999 must not'),
                      ('999', 'no number'), ('5000', 'no number'), ('1000:' + 124 * 'x', '123 bytes'), (b'1000:\xff', 'not UTF-8')):
        run('connect', '-c', bad, 'ws://127.0.0.1:1/', status=1, says=says)
    for good in '1000', '1001:bye', '1003', '1007', '1014', '3000', '4999:' + 123 * 'x':
        run('connect', '-c', good, 'ws://127.0.0.1:1/', status=2, says='refused')


def connect_max_message(server):
    url = f'ws://127.0.0.1:{server.port}/'
    run('connect', '--max-message', '10', '-m', 10 * 'x', url, status=0, env=ENGINE)
    run('connect', '--max-message', '10', '-m', 11 * 'x', url, status=3, says='message is larger than --max-message', env=ENGINE)


CASES = (echo_page, echo_usage, echo_subprotocols, echo_forwarded, connect_descriptors, connect_without_module, connect_options,
         connect_close, connect_max_message)
