# SPDX-License-Identifier: GPL-2.0
"""TAP for a test that asks several clients, and the guest that they share."""
import os
import re
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = TOP + '/build/interop'
SLOWER = 5 if os.environ.get('KWS_KERNEL') == 'debug' else 1     # as selftests/run has it
sys.path.insert(0, TOP + '/selftests/vm')


class Tap:
    """Numbers the results of all clients; prefix: which one's they are."""

    def __init__(self):
        self.done = self.failed = 0
        self.since = time.monotonic()
        self.prefix = ''

    def result(self, good, name, why=''):
        self.done += 1
        self.failed += not good
        for line in [] if good else str(why).splitlines():
            print('#', line)
        now = time.monotonic()
        if now > self.since + 3:
            print(f'# {now - self.since:.1f} s')
        self.since = now
        print(f'{"ok" if good else "not ok"} {self.done} - {self.prefix}: {name}', flush=True)

    def end(self):
        print(f'1..{self.done}')
        return 1 if self.failed or not self.done else 0

    async def case(self, name, coroutine):
        """One test: good unless it raises something."""
        try:
            await coroutine
            self.result(True, name)
        except Exception:
            self.result(False, name, traceback.format_exc())

    def program(self, name, argv, expected, timeout=90 * SLOWER, **env):
        """Takes over the results of a program that prints TAP, which has to be the expected number of them."""
        self.prefix = name
        try:
            p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               timeout=timeout, env=os.environ | env, check=False, text=True, errors='replace')
            output, status = p.stdout, p.returncode
        except subprocess.TimeoutExpired as e:
            output, status = (e.stdout or b'').decode(errors='replace'), f'none after {timeout} s'
        except OSError as e:
            output, status = str(e), 'none'
        self.take(status, output, expected)

    def take(self, status, output, expected=None):
        """Takes over results; expected: how many, if that is not what the plan in them says."""
        count, said = 0, []
        plan = re.search(r'(?m)^1\.\.(\d+)$', output)
        expected = expected or int(plan[1] if plan else 0) or 'no plan'
        for line in output.splitlines():
            if m := re.fullmatch(r'(not )?ok\b\s*\d*\s*-?\s*(.*)', line):
                self.result(not m[1], m[2], '\n'.join(said))
                count, said = count + 1, []
            elif not re.fullmatch(r'1\.\.\d+', line):
                said.append(line.removeprefix('# '))
        if count != expected or status != 0:
            self.result(False, f'{count} of {expected} results, exit status {status}', '\n'.join(said))


def build():
    """What is written in C."""
    subprocess.run(['make', '-s', '-C', TOP, 'lib', 'tools'], check=True, stdout=sys.stderr)
    subprocess.run(['make', '-s', '-C', HERE, 'OUT=' + BUILD], check=True, stdout=sys.stderr)


def start(g, command, log, port):
    """Starts a server in the guest and waits until it listens; its process id."""
    pid = g.spawn(command, log=log)
    g.wait_for(f'ss -Hltn sport = :{port} | grep -q . || ! kill -0 {pid}')
    g.check(f'kill -0 {pid} || {{ cat {log}; false; }}')
    return pid
