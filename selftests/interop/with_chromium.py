# SPDX-License-Identifier: GPL-2.0
"""Headless Chromium as the client: a page that the server under test serves itself, with new WebSocket() in it."""
import http.server
import json
import shutil
import subprocess
import tempfile
import threading
import time

from tap import SLOWER

CASES = 8
LIMIT = 90 * SLOWER     # seconds for all
FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync', '--ignore-certificate-errors', '--disable-dev-shm-usage', '--no-proxy-server']


class Results(http.server.BaseHTTPRequestHandler):
    """Where the page posts its results."""

    def do_POST(self):
        self.server.results = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        self.send_response(204)
        self.end_headers()
        self.server.posted.set()

    def log_message(self, *_):
        pass


def results(port, scheme):
    """(what the page posted or None, why not)"""
    server = http.server.HTTPServer(('127.0.0.1', 0), Results)
    server.posted = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    profile = tempfile.mkdtemp(prefix='chromium.')
    url = f'{scheme}://127.0.0.1:{port}/?127.0.0.1:{server.server_port}'
    try:
        with open(profile + '/log', 'w+', errors='replace') as log:
            p = subprocess.Popen(['chromium', *FLAGS, '--user-data-dir=' + profile, url], stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=log)
            try:
                deadline = time.monotonic() + LIMIT
                while not server.posted.wait(0.2) and p.poll() is None and time.monotonic() < deadline:
                    pass
                log.seek(0)
                said = f'status {p.poll()}\n' + log.read()
            finally:
                p.terminate()
                try:
                    p.wait(10)
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.wait()
        return (server.results, '') if server.posted.is_set() else (None, said)
    finally:
        server.shutdown()
        shutil.rmtree(profile, ignore_errors=True)


def run(tap, port, scheme='http'):
    if not shutil.which('chromium'):
        tap.result(False, 'chromium is installed')
        return
    got, why = results(port, scheme)
    if got is None:
        tap.result(False, 'the page says what it saw', why)
        return
    for r in got:
        tap.result(not r['why'], r['name'], r['why'])
    tap.result(len(got) == CASES, f'all {CASES} tests ran')
