# SPDX-License-Identifier: GPL-2.0
"""Where the instructions go: what profile.c counted, by kernel function, as Markdown."""
import bisect
import collections
import os
import sys

from guest import Guest

TOP_ROWS = 90
MODULE = ' (module)'


def kernel_symbols(kernel, out):
    """Lines of /proc/kallsyms of that kernel without modules, from a guest; kept for the next time."""
    release = Guest(kernel).kernel['release']
    path = f'{out}kallsyms-{release}'
    if not os.path.exists(path):
        with Guest(kernel, rw=[out]) as g:
            g.check(f'grep -v "\\[" /proc/kallsyms >{path}.tmp && mv {path}.tmp {path}')
    with open(path) as f:
        return f.read().splitlines()


class Symbols:
    def __init__(self, lines):
        functions = {}
        for line in lines:
            address, kind, name, *module = line.split()
            if kind in 'tTwW':
                functions[int(address, 16)] = name + ('' if not module else MODULE if module == ['[websocket]'] else ' ' + module[0])
        self.starts = sorted(functions)
        self.names = [functions[a] for a in self.starts]

    def name(self, address):
        # the addresses of the Makefile
        if address < 0x10000000:
            return 'user: load'
        if address < 0x20000000:
            return 'user: server'
        if address < 1 << 63:
            return 'user: libraries'
        return self.names[bisect.bisect_right(self.starts, address) - 1]


def read_windows(path, symbols):
    windows = []
    with open(path) as f:
        for line in f:
            if line == 'window\n':
                windows.append(collections.Counter())
            else:
                address, insns, times = line.split()
                windows[-1][symbols.name(int(address, 16))] += int(insns) * int(times)
    return windows


def table(case, size, columns):
    """columns: server -> (result, instructions by function)"""
    per = {s: {f: n / r['n'] for f, n in w.items()} for s, (r, w) in columns.items()}
    first = 'raw' if 'raw' in per else next(iter(per))
    base, others = per[first], [s for s in per if s != first]
    change = {f: {s: per[s].get(f, 0) - base.get(f, 0) for s in others} for f in set().union(*per.values())}
    shown = sorted(change, key=lambda f: (not f.endswith(MODULE), -max(map(abs, change[f].values()), default=0)))[:TOP_ROWS]
    module = ' | '.join(f'{sum(n for f, n in w.items() if f.endswith(MODULE)):.0f}' for w in per.values())
    text = [f'## {case}, {size}', '',
            'Instructions a message; by the clock: ' +
            ', '.join(f'{s} {r["each"]:.0f}' for s, (r, _) in columns.items()) + '.', '',
            '| function | ' + ' | '.join(per) + f' | {others[0]} - {first} |', '| --- |' + ' ---: |' * (len(per) + 1), f'| all of the module | {module} | |']
    for f in sorted(shown, key=lambda f: -change[f][others[0]]):
        cells = ' | '.join(f'{per[s].get(f, 0):.0f}' for s in per)
        text.append(f'| {f} | {cells} | {change[f][others[0]]:+.0f} |')
    return '\n'.join(text) + '\n'


def run(o, out, boot):
    """boot(setup) runs the measurements in a guest that setup() has been given."""
    symbols = kernel_symbols(o.kernel, out)
    counts = out + 'profile.out'
    lines, module = boot(lambda guest: guest.emulator_args.extend(['-plugin', f'{out}libprofile.so,out={counts}']))
    windows = read_windows(counts, Symbols(symbols + module.splitlines()))
    lines = [r for r in lines if 'n' in r]
    if len(windows) != len(lines):
        sys.exit(f'bench: {len(windows)} profiles of {len(lines)} measurements')
    cases = collections.defaultdict(dict)
    for r, w in zip(lines, windows):
        cases[r['case'], r['size']][r['server']] = (r, w)
    text = '\n'.join(table(*key, columns) for key, columns in cases.items() if len(columns) > 1)
    with open(out + 'profile.md', 'w') as f:
        f.write(text)
    return text
