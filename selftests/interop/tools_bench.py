# SPDX-License-Identifier: GPL-2.0
"""kws bench, for the test `tools': against a python3-websockets server that errs in every way, on this machine."""
import asyncio
import json
import logging
import subprocess
import threading
import time

import websockets

from tap import TOP

KWS = TOP + '/build/user/kws'
PAUSE = 1.0     # seconds that /pause sleeps, once


class Server(threading.Thread):
    """An echo server in a thread of its own; what it does besides depends on the path."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ready = threading.Event()
        self.paused = False
        logging.getLogger('websockets').setLevel(logging.CRITICAL)      # broken connections are what is tested
        self.start()
        self.ready.wait()

    async def echo(self, ws):
        count = 0
        async for message in ws:
            count += 1
            if ws.path == '/pause' and count == 20 and not self.paused:
                self.paused = True
                time.sleep(PAUSE)       # everything stands still, as in a garbage collection
            if ws.path == '/wrong' and count == 3:
                message = message[:-1] + 'X'
            if ws.path == '/short' and count == 3:
                message = message[:-1]
            if ws.path == '/binary':
                message = message.encode()
            if ws.path == '/close' and count == 3:
                return await ws.close(3001)
            if ws.path == '/reset' and count == 3:
                return ws.transport.abort()
            if ws.path == '/ping':
                await ws.ping(str(count) + 'x' * 120)
            if ws.path == '/fragments' and len(message) > 2:
                message = [message[:1], message[1:2], message[2:]]
            if ws.path != '/silent' or count < 4:
                await ws.send(message)

    async def serve(self):
        async with websockets.serve(self.echo, '127.0.0.1', 0, max_size=None, ping_interval=0.2, compression=None) as s:
            self.port = s.sockets[0].getsockname()[1]
            self.ready.set()
            await asyncio.Future()

    def run(self):
        asyncio.run(self.serve())


def bench(server, path, *arguments, status=0):
    """What `kws bench -j' says; path may be a whole URL."""
    url = path if path.startswith('ws:') else f'ws://127.0.0.1:{server.port}{path}'
    done = subprocess.run([KWS, 'bench', '-j', *' '.join(arguments).split(), url], capture_output=True, text=True,
                          timeout=100, check=False)
    assert done.returncode == status, (done, status)
    assert bool(done.stderr) == (status in (1, 2, 3)), done
    return json.loads(done.stdout) if done.stdout else done.stderr


def sizes(server):
    """Every length form, empty ones, and more than a buffer; whole and in fragments; with pings between."""
    for path in ('/', '/fragments', '/ping'):
        for size in ('0', '1', '125', '126', '65535', '65536', '1M'):
            got = bench(server, path, '-w 0 -t 0.1 -c 2 -f 3 -s', size)
            assert got['answers'] == got['messages'] > 0 and got['unanswered'] == got['lost_connections'] == 0, got
            assert got['service_us']['count'] == got['messages'], got


def rate(server):
    """As many messages as the schedule has, in the time that is measured and no other."""
    got = bench(server, '/', '-w 0.5 -t 1 -c 7 -r 300')
    assert got['messages'] == got['answers'] == got['response_us']['count'] == 300, got
    assert abs(got['answers_per_second'] - 300) < 0.01, got
    for name in ('response_us', 'service_us', 'late_us'):
        h = got[name]
        values = [h[k] for k in ('min', 'p50', 'p75', 'p90', 'p99', 'p99.9', 'p99.99', 'max')]
        assert values == sorted(values) and h['min'] <= h['mean'] <= h['max'], h
    assert got['response_us']['mean'] >= got['service_us']['mean'] > 0, got


def omission(server):
    """A second's pause counts for everybody who would have sent meanwhile, not for one message a connection."""
    server.paused = False
    got = bench(server, '/pause', '-w 0 -t 2 -c 1 -r 100')
    assert got['answers'] == 200 and got['response_us']['max'] >= 1e6 * PAUSE, got
    # half of all messages were due in the pause, a quarter in its first half
    assert got['response_us']['p75'] > 0.4e6 * PAUSE, got
    server.paused = False
    got = bench(server, '/pause', '-w 0 -t 2 -c 1')
    assert got['service_us']['max'] >= 1e6 * PAUSE and got['service_us']['p75'] < 0.4e6 * PAUSE, got


def unanswered(server):
    got = bench(server, '/silent', '-w 0 -t 0.5 -c 2 -r 100 --timeout 1', status=4)
    assert (got['messages'], got['answers'], got['unanswered']) == (50, 6, 44), got
    assert got['response_us']['count'] == 50 and got['response_us']['p50'] > 1e6, got
    got = bench(server, '/silent', '-w 0 -t 0.5 -c 2 -f 5 --timeout 1', status=4)
    assert (got['answers'], got['unanswered']) == (6, 10), got


def overload(server):
    """More than anybody can send: every message is charged, and that takes no longer than the load."""
    for connections in 1, 7:
        since = time.monotonic()
        got = bench(server, '/', f'-w 0.1 -t 0.5 -c {connections} -r 1e9 --timeout 1', status=4)
        assert time.monotonic() - since < 10, got
        # times are whole nanoseconds, the due ones rounded
        assert abs(got['messages'] - 500_000_000) < 10 * connections, got
        assert got['response_us']['count'] == got['messages'] == got['answers'] + got['unanswered'], got
        assert 1e6 < got['response_us']['p50'] <= got['response_us']['p99'] <= got['response_us']['max'] < 10e6, got


def lost(server):
    for path, why in ('/close', 'Close 3001'), ('/reset', ''):
        done = subprocess.run([KWS, 'bench', '-j', '-w', '0', '-t', '60', f'ws://127.0.0.1:{server.port}{path}'], capture_output=True, text=True,
                              timeout=100, check=False)
        assert done.returncode == 3 and '1 connection was lost: ' in done.stderr and why in done.stderr, done
        got = bench(server, path, '-w 0 -t 60 -c 3 -r 100', status=3)
        assert got['lost_connections'] == 3 and got['seconds'] < 30, got


def wrong(server):
    for path in ('/wrong', '/short', '/binary'):
        assert 'does not echo' in bench(server, path, '-w 0 -t 60', status=3)


def refused(server):
    assert 'Connection refused' in bench(server, 'ws://127.0.0.1:1/', status=2)
    refuses('bench wss://localhost/', 'wss')


def refuses(arguments, why):
    done = subprocess.run([KWS, *arguments.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not done.stdout and why in done.stderr, (arguments, done)


def usage(_):
    refuses('bench', 'which URL')
    refuses('bench -r 0 ws://x/', 'no rate')
    refuses('bench -r 1 -f 1 ws://x/', '--in-flight: with --rate')
    refuses('bench -t 0 ws://x/', '0 is no time')
    refuses('bench -s 65M ws://x/', 'at most 64M')


def plain(server):
    """The table for people."""
    for arguments, words in (('-r 100', ('open loop', 'when it was due', 'p99.99', 'sent late by')),
                             ('-f 2', ('2 in flight each', 'closed loop', 'p99.99', 'See --rate'))):
        url = f'ws://127.0.0.1:{server.port}/'
        done = subprocess.run([KWS, 'bench', '-t', '0.2', '-w', '0', *arguments.split(), url], capture_output=True,
                              text=True, timeout=100, check=False)
        assert done.returncode == 0 and all(w in done.stdout for w in words), done


CASES = (sizes, rate, omission, unanswered, overload, lost, wrong, refused, usage, plain)
