# SPDX-License-Identifier: GPL-2.0
"""The table of `make bench': Markdown, JSON and figures from the lines that the load client printed."""
import json
import subprocess

COLUMNS = {'raw': 'plain TCP', 'call': 'call', 'plain': 'plain', 'cork': 'cork', 'flag': 'F_CORK', 'mmsg': 'mmsg',
           'batch': 'batch', 'uring': 'io_uring', 'wslay': 'wslay', 'lws': 'libwebsockets', 'beast': 'Beast',
           'node': 'Node'}
MODULE, LIBRARIES = ('call', 'plain', 'cork', 'flag', 'mmsg', 'batch', 'uring'), ('wslay', 'lws', 'beast', 'node')
SIZES = {16: '16 B', 125: '125 B', 1024: '1 KiB', 16384: '16 KiB', 65536: '64 KiB', 1048576: '1 MiB'}
LEGEND = '''\
plain TCP: an echo on epoll; its column has instructions, the others ratios to it where the unit is "ratio".
The module: one message a call of recvmsg and sendmsg (call), of recv and send (plain), the first with TCP_CORK (cork),
the second with WEBSOCKET_F_CORK (F_CORK), recvmmsg and sendmmsg (mmsg), WEBSOCKET_F_BATCH (batch), that under io_uring
(io_uring). The goal is met if the named columns, or the best of the module's, keep it, and no library is ahead.'''


TLS_LEGEND = '''\
Over kTLS, TLS 1.3 with AES-128-GCM, keys set on both ends without a handshake. "+ parser" is an echo on epoll that parses and unmasks
in place what one recv() took and answers with one send(): its column has instructions of both ends, the others ratios to it where the
unit is "ratio". A message of 16 KiB with its header does not fit in one record of TLS.'''
TLS_COLUMNS = {'parse': 'kTLS + parser', 'raw': 'kTLS, no WebSocket', 'call': 'call', 'plain': 'plain', 'batch': 'batch'}


class Row:
    """One line of the table.

    what, unit  its label
    values      column -> number
    goals       (column or None for the module's best, limit)
    base        what the first column, that of the ratios' base, shows instead of a ratio
    """
    columns, module, libraries = COLUMNS, MODULE, LIBRARIES

    def __init__(self, what, unit, values, goals=(), base=None, contest=True):
        self.what, self.unit, self.goals, self.base, self.contest = what, unit, list(goals), base, contest
        self.values = {c: v for c, v in values.items() if v is not None}

    def best(self, columns):
        return min((self.values[c] for c in columns if c in self.values), default=None)

    def misses(self):
        """What is not as it should be; empty: the goal is met."""
        found = []
        for column, limit in self.goals:
            value = self.best(self.module) if column is None else self.values.get(column)
            if value is not None and value > limit * 1.0005 + 1e-9:
                found.append(f'{column or "best"} {number(value)}')
        ours, theirs = self.best(self.module), self.best(self.libraries)
        if self.contest and None not in (ours, theirs) and ours > theirs:
            found.append(f'a library has {number(theirs)}')
        return found

    def goal(self):
        return ', '.join(f'{self.columns[c] + " " if c else ""}≤ {number(limit)}' for c, limit in self.goals)

    def cells(self):
        for c in self.columns:
            if c == next(iter(self.columns)) and self.base is not None:
                yield f'{self.base:,.0f}'.replace(',', ' ')
            else:
                yield number(self.values.get(c))


class TlsRow(Row):
    columns, module, libraries = TLS_COLUMNS, ('call', 'plain', 'batch'), ()


def number(x):
    if x is None:
        return ''
    if x == float('inf'):
        return 'never'
    return f'{x:.0f}' if abs(x) >= 100 else f'{x:.1f}' if abs(x) >= 20 else f'{x:.2f}' if abs(x) < 2 else f'{x:.2f}'


class Results:
    def __init__(self, lines):
        self.by_key = {}
        for r in lines:
            self.by_key.setdefault((r['case'], r['server'], r['size']), r)

    def get(self, case, server, size=0, field='each'):
        return self.by_key.get((case, server, size), {}).get(field)

    def all(self, case, size=0, field='each'):
        return {s: self.get(case, s, size, field) for s in {**COLUMNS, **TLS_COLUMNS}}

    def ratios(self, case, size, to='raw'):
        base = self.get(case, to, size)
        return base, {s: v / base for s, v in self.all(case, size).items() if v and base and s != to}

    def sizes(self, case, server):
        return sorted(k[2] for k in self.by_key if k[:2] == (case, server))


def echo_rows(r):
    limits = {16: 1.01, 125: 1.01, 1024: 1.01, 16384: 1.13, 65536: 1.15, 1048576: 1.15}
    for size, limit in limits.items():
        base, values = r.ratios('rtt', size)
        yield Row(f'round trip, {SIZES[size]}', 'ratio', values, [(None, limit)], base)
    limits = {16: [('batch', 1.05), ('mmsg', 1.6), ('flag', 2.2), ('call', 5)],
              1024: [('batch', 1.15), ('mmsg', 1.6), ('flag', 2.2), ('call', 5)], 16384: [(None, 1.3)]}
    for size, goals in limits.items():
        base, values = r.ratios('pipelined', size)
        yield Row(f'64 × 8 in flight, {SIZES[size]}', 'ratio', values, goals, base)
        yield Row('', 'syscalls a message', r.all('syscalls', size), [('batch', .3)] if size < 16384 else [],
                  contest=False)


def ping_rows(r):
    own = {s: r.get('pings-client', 'raw' if s == 'raw' else 'call', 0) for s in COLUMNS}
    steps = r.sizes('pings', 'call')
    main = 5000 if 5000 in steps else max(steps, default=0)
    cost = {s: v - own[s] for s, v in r.all('pings', main).items() if v and own[s]}
    base = cost.pop('raw', None)
    yield Row(f"a ping answered, {main} connections, server's side", 'ratio',
              {s: v / base for s, v in cost.items()} if base else {}, [('call', .25)], base)
    yield Row('', 'wake-ups a ping', r.all('pings', main, 'wakeups'), [('call', 0.001)], contest=False)


def memory_rows(r):
    for case, what in (('memory', 'idle connection'), ('memory-used', 'after 20 pings and 20 messages')):
        kernel = {}
        for s in COLUMNS:
            parts = [r.get(case, s, 0, f) for f in ('slab', 'buffers')]
            if None not in parts:
                kernel[s] = sum(parts)
        plain = kernel.pop('raw', None)
        if plain is not None:
            yield Row(f'{what}, kernel', 'B above plain TCP', {s: v - plain for s, v in kernel.items()},
                      [('call', 256)], plain, contest=False)
        user = r.all(case, 0, 'user')
        yield Row(f'{what}, process', 'B', user, contest=False)


def wakeup_rows(r):
    for case, what in (('segments', 'in segments of 1500 B'), ('pieces', 'in fragments of 256 B')):
        for size in r.sizes(case, 'call'):
            values = r.all(case, size, 'wakeups')
            yield Row(f'a message of {SIZES[size]} {what}', 'wake-ups', values, [('call', 1.05)])


def pong_rows(r):
    idle = r.all('pong', 0, 'median')
    yield Row('time to a pong, idle', '1000 instructions', {s: v / 1000 for s, v in idle.items() if v}, contest=False)
    for case, what, limit in (('pong-stopped', 'process stopped', 1.1),
                              ('pong-busy', 'busy for 10 ms a message', None)):
        values = {}
        for s, v in idle.items():
            if v and r.get(case, s, 0, 'n') is not None:
                values[s] = (r.get(case, s, 0, 'median') or float('inf')) / v
        yield Row(f'time to a pong, {what}', 'ratio to idle', values, [('call', limit)] if limit else [])


def growth_rows(r):
    for case, what in (('pings', 'a ping: {} to {} connections'),
                       ('fragments', 'a one-byte fragment: {} to {} of them'),
                       ('unread', 'a message arriving behind {} to {} unread ones'),
                       ('unread-read', 'the same, received and sent back')):
        steps = r.sizes(case, 'call')
        if len(steps) < 2:
            continue
        values = {}
        for s in COLUMNS:
            costs = [r.get(case, s, size) for size in steps]
            if None not in costs:
                values[s] = costs[-1] / costs[0]
        yield Row(what.format(steps[0], steps[-1]), 'growth', values, [('call', 1.05)], contest=False)


def tls_rows(r):
    for size, limit in {16: 1.01, 1024: 1, 16384: .97}.items():
        base, values = r.ratios('tls-rtt', size, 'parse')
        yield TlsRow(f'round trip, {SIZES[size]}', 'ratio', values, [(None, limit)], base)
    for size in (16, 1024):
        base, values = r.ratios('tls-pipelined', size, 'parse')
        yield TlsRow(f'64 × 8 in flight, {SIZES[size]}', 'ratio', values, [('batch', 1)], base)
        yield TlsRow('', 'syscalls a message', r.all('tls-syscalls', size))
    for size in r.sizes('tls-pings', 'call'):
        base, values = r.ratios('tls-pings', size, 'parse')
        yield TlsRow(f'a ping answered, {size} connections', 'ratio', values, [('call', .9)], base)
        yield TlsRow('', 'wake-ups a ping', r.all('tls-pings', size, 'wakeups'), [('call', 0.001)])
    for case, what in (('tls-memory', 'idle connection'), ('tls-memory-used', 'after 20 pings and 20 messages')):
        kernel = {s: r.get(case, s, 0, 'slab') + r.get(case, s, 0, 'buffers') for s in TLS_COLUMNS
                  if r.get(case, s, 0, 'slab') is not None}
        below = kernel.pop('raw', None)
        if below is not None:
            yield TlsRow(f'{what}, kernel', f'B above kTLS ({below:.0f})', {s: v - below for s, v in kernel.items()},
                         [('call', 512)])
        yield TlsRow(f'{what}, process', 'B', r.all(case, 0, 'user'))


def rows(r):
    for make in (echo_rows, ping_rows, memory_rows, wakeup_rows, pong_rows, growth_rows):
        yield from make(r)


def shown(all_rows):
    return [row for row in all_rows if any(c in row.values for c in row.module)]


def markdown(all_rows, columns):
    text = ['| | unit | ' + ' | '.join(columns.values()) + ' | goal | met |',
            '| --- | --- |' + ' ---: |' * len(columns) + ' --- | --- |']
    for row in all_rows:
        misses = row.misses()
        met = '' if not row.goals and not misses else 'no: ' + ', '.join(misses) if misses else 'yes'
        text.append(f'| {row.what} | {row.unit} | ' + ' | '.join(row.cells()) + f' | {row.goal()} | {met} |')
    return '\n'.join(text)


def idle_note(lines):
    """What the clock counted although nobody worked: waiting for a timer, or kernel threads."""
    found = [f'{r["case"]} {r["server"]} {r["size"]}: {r["rest"]:.0%}' for r in lines
             if r.get('rest', 0) > .05 and r['case'] not in ('segments', 'pieces')]
    return ('\n\nIncluding time in which neither process ran: ' + ', '.join(found) + '.') if found else ''


def native_table(native):
    if not native:
        return ''
    text = ['', '', "kmod/core on this machine itself against libc's memcpy and what SIMD can do (copy and an AVX2 pass; simdjson's",
            "validator): without SIMD, and with AVX2 as the module has it for payload of 4 KiB and more. On a busy machine these figures",
            'say little.', '',
            '| what | where | unit | kmod/core | memcpy | SIMD | to memcpy | to SIMD |',
            '| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |']
    for n in native:
        core, copy, simd = n['values']
        cells = [core, copy, simd, core / copy if copy else None, core / simd if simd else None]
        text.append(f'| {n["what"]} | {n["where"]} | {n["unit"]} | ' + ' | '.join(map(number, cells)) + ' |')
    return '\n'.join(text)


PLOT = '''
set terminal pngcairo noenhanced size 900,520 font "sans,11"
set grid ytics
set key outside right
set output "{out}rtt.png"
set title "Echo round trip, instructions of both ends, plain TCP = 1"
set yrange [0.95:*]
set logscale y 2
set style data linespoints
plot for [i=2:{nrtt}] "{out}rtt.dat" using 0:i:xtic(1) title columnheader(i) lw 2
set output "{out}pipelined.png"
set title "64 connections x 8 messages in flight, instructions a message, plain TCP = 1"
set yrange [1:*]
set style data histogram
set style fill solid 0.8 border -1
plot for [i=2:{npipe}] "{out}pipelined.dat" using i:xtic(1) title columnheader(i)
unset logscale
'''


def plot_data(path, r, case, sizes, servers):
    """Returns the number of columns."""
    with open(path, 'w') as f:
        f.write('size ' + ' '.join(f'"{COLUMNS[s]}"' for s in servers) + '\n')
        for size in sizes:
            values = r.ratios(case, size)[1]
            f.write(f'"{SIZES[size]}" ' + ' '.join(str(values.get(s, '?')) for s in servers) + '\n')
    return len(servers) + 1


def figures(out, r):
    servers = {case: [s for s in list(COLUMNS)[1:] if r.get(case, s, 16)] for case in ('rtt', 'pipelined')}
    if not all(servers.values()):
        return
    nrtt = plot_data(out + 'rtt.dat', r, 'rtt', list(SIZES), servers['rtt'])
    npipe = plot_data(out + 'pipelined.dat', r, 'pipelined', [16, 1024, 16384], servers['pipelined'])
    subprocess.run(['gnuplot'], input=PLOT.format(out=out, nrtt=nrtt, npipe=npipe), text=True, check=True)


def write(out, kernel, lines, native, partial):
    """Writes the files (those of a whole run only if it is one); returns the table."""
    r = Results(lines)
    table, tls = shown(rows(r)), shown(tls_rows(r))
    parts = [LEGEND, markdown(table, COLUMNS)] if table else []
    parts += [TLS_LEGEND, markdown(tls, TLS_COLUMNS)] if tls else []
    text = '\n\n'.join(parts) + idle_note(lines) + native_table(native) + '\n'
    name = out + ('partial' if partial else 'bench')
    with open(name + '.md', 'w') as f:
        f.write(text)
    with open(name + '.json', 'w') as f:
        json.dump({'kernel': kernel, 'results': lines, 'native': native,
                   'table': [{'what': t.what, 'unit': t.unit, 'base': t.base, 'values': t.values, 'goals': t.goals,
                              'misses': t.misses()} for t in table + tls]}, f, indent=1)
    if not partial:
        figures(out, r)
    return text


def compare(path, lines):
    """By how much instruction counts differ from those of an earlier run."""
    with open(path) as f:
        before = Results(json.load(f)['results'])
    changes = []
    for r in lines:
        old = before.get(r['case'], r['server'], r['size'])
        if old and r.get('each') and r['case'] not in ('segments', 'pieces', 'syscalls'):
            changes.append((r['each'] / old - 1, f'{r["case"]} {r["server"]} {r["size"]}'))
    changes.sort(key=lambda c: -abs(c[0]))
    within = sum(abs(c) <= .01 for c, _ in changes)
    return (f'{within} of {len(changes)} figures agree to 1 % with {path}; the largest differences: ' +
            ', '.join(f'{what} {change:+.1%}' for change, what in changes[:8]))
