# SPDX-License-Identifier: GPL-2.0
"""A virtual machine of one test: boots a kernel in QEMU and runs commands in it.

    sys.path.insert(0, '.../selftests/vm')
    from guest import Guest

    with Guest(kernel='6.1', fwd=[8080]) as g:          # booted when the block is entered
        g.load()                                         # build/6.1/websocket.ko
        pid = g.spawn('build/user/kws echo -p 8080', log='/run/echo.log')
        g.wait_for('ss -Hltn sport = :8080 | grep -q .') # until the status is 0
        print(g.check('lsmod'))                          # output; CommandFailed unless the status is 0
        client('127.0.0.1', g.port(8080))                # outside; 8080 inside
        status, output = g.sh(f'kill -STOP {pid}; cat /proc/net/websocket_stat')
    # left: everything is torn down; KernelSplat is raised if the kernel complained

What the guest sees.  root='virtiofs' or '9p': this machine's / under an overlay,
so that every program, path and library is there; what the guest writes stays in
its memory, except in the directories named in rw.  root='initramfs': busybox and
the files named in add (with their libraries), nothing else.  Commands start in the
caller's working directory, as root, with standard error joined to standard output.
/lib/modules holds the modules of the booted kernel; modprobe and autoload work.
The guest has a loopback device and, with fwd or net, eth0 at 10.0.2.15, from which
nothing outside can be reached.

How it talks.  The first serial port is the kernel's console and goes to a file.
Commands go in by a virtio port, and their output and status come out of it (guest-agent
is its other end), so that nothing the kernel prints can be taken for a result. Not by an
emulated serial port, which loses multiples of 16 bytes of its input now and then, and the
interrupt that tells that its output has gone; only a guest with a script answers by the second one.
Commands run one after the other: what shall run beside them is started with spawn().

Time.  Every command has a limit, kept in the guest (status 124), and the guest as a
whole has one, kept outside (GuestTimeout).  Emulation is slow and the machine may be
busy: let limits be generous, and wait for conditions, never for a while.
"""
import base64
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import initramfs

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))

BOOT = 240              # seconds within which a guest is up; the slowest kernel on a busy machine takes half of it

# What the kernel's log must not have.
SPLAT = re.compile(
    r'BUG[: ]|WARNING: |(KASAN|UBSAN|KCSAN|KMSAN): |Oops|general protection|Kernel panic|'
    r'Call Trace|INFO: task .* blocked|detected stalls|refcount_t: |kernel BUG at|'
    r'scheduling while atomic|possible .* lock|inconsistent lock state|suspicious RCU usage|'
    r'DEBUG_LOCKS_WARN|list_(add|del) corruption|cache still has objects|'
    r'unregister_netdevice: waiting|kmemleak: [0-9]+ new|leaked')


class GuestError(Exception):
    """The guest could not be started."""
    status = 121
    output = ''     # what the command that was under way had said


class CommandFailed(GuestError):
    """check(): the command's status was not 0."""
    status = 1


class KernelSplat(GuestError):
    """The guest's kernel log holds a warning, a lock report, a sanitizer's report..."""
    status = 123


class GuestTimeout(GuestError):
    """A time limit was reached."""
    status = 124


class GuestDied(GuestError):
    """The guest ended by itself: a panic, or QEMU itself died."""
    status = 125


def kernel_info(name):
    """What `selftests/vm/kernel NAME` says, as a dict."""
    out = subprocess.run([HERE + '/kernel', name], stdout=subprocess.PIPE, text=True, check=False)
    if out.returncode:
        raise GuestError(f'no kernel {name}')
    return dict(w.split('=', 1) for w in shlex.split(out.stdout))


class Guest:
    """One virtual machine; see the module's head.

    kernel   name for selftests/vm/kernel (default: $KWS_KERNEL, else 6.1)
    modules  drivers to load at boot beside those the runner needs itself
    root     'virtiofs', '9p' or 'initramfs' (default: what suits the kernel); add: files for initramfs
    rootdir  directory that becomes the guest's / (default: this machine's /)
    systemd  the guest's first process is its systemd; commands run in a unit of it
    rw       host directories that the guest may write
    fwd      guest TCP ports that shall be reachable from outside: a number, or (host port, number);
             without a host port a free one is taken, port(number) says which
    timeout  seconds the guest may live
    icount   a clock that counts instructions: two runs give the same figures.  Implies one
             CPU; give the commands as script then: input from outside arrives at chance times
    script   commands to run at boot; the guest ends after them.  script_results() waits for it
    console  file for the kernel log (default: a temporary one); log() reads it
    """

    def __init__(self, kernel=None, *, modules=(), root=None, add=(), rw=(), fwd=(), net=False, smp=2,
                 mem=1024, timeout=300, icount=False, script=None, append='', console=None, rootdir='/', systemd=False):
        self.name = kernel or os.environ.get('KWS_KERNEL') or '6.1'
        self.kernel = kernel_info(self.name)
        self.modules, self.add, self.append = list(modules), list(add), append
        self.root = root or ('initramfs' if icount else self.kernel['root'])
        self.shares = [(f'rw{i}', os.path.abspath(d)) for i, d in enumerate(rw)]
        self.fwd = [f if isinstance(f, tuple) else (0, f) for f in fwd]
        self.net = net or bool(self.fwd)
        self.smp, self.mem, self.timeout, self.icount = 1 if icount else smp, mem, timeout, icount
        self.script, self.rootdir, self.systemd = script, rootdir, systemd
        self.emulator_args = []     # more words for QEMU; before the guest starts
        self._console = console
        self._procs = []
        self._tmp = self._line = self._in = self._qmp = self._qmp_file = self._ports = self._timer = None
        self._sequence, self._lock = 0, threading.Lock()
        self._timed_out = False
        self._log_seen, self._kept_log = 0, ''

    # Start and end

    def __enter__(self):
        # QEMU 10 aborts now and then while a guest with several CPUs sets up its PCI devices (iotlb_to_section), and on a busy machine
        # a CPU of the guest may lose its timer and wait for ever: once more then
        for last in (False, True):
            try:
                self._start()
                break
            except BaseException as e:
                self.kill()
                aborted = isinstance(e, GuestDied) and self._qemu.returncode == -signal.SIGABRT
                if last or not (aborted or isinstance(e, GuestTimeout) and self.timeout > BOOT):
                    raise
                print(f'{e}; it is started again', file=sys.stderr)
                self._procs, self._qmp_file, self._ports, self._log_seen = [], None, None, 0
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.close()
        finally:
            self.kill()
        if kind is None and (splats := self.splats()):
            raise KernelSplat('the kernel complained:\n' + '\n'.join(splats))

    def _start(self):
        if self.root != 'initramfs' and os.geteuid():
            raise GuestError("sharing this machine's / with a guest takes root: use sudo")
        self._tmp = tempfile.mkdtemp(prefix='vm.')
        self._log_path = self._console or self._tmp + '/console'
        open(self._log_path, 'w').close()
        self._pack(self._tmp + '/initrd')
        argv = [*self._emulator(), *self._machine(), *self._devices()]
        self._line, line = socket.socketpair()
        self._in, commands = socket.socketpair()
        self._qmp, qmp = socket.socketpair()
        argv += ['-chardev', f'socket,id=line,fd={line.fileno()}', '-serial', 'chardev:line',
                 '-chardev', f'socket,id=in,fd={commands.fileno()}', '-device', 'virtio-serial-pci',
                 '-device', 'virtserialport,chardev=in',
                 '-chardev', f'socket,id=qmp,fd={qmp.fileno()}', '-mon', 'chardev=qmp,mode=control']
        self._qemu = self._run(argv, 'qemu', pass_fds=(line.fileno(), commands.fileno(), qmp.fileno()))
        for s in (line, commands, qmp):
            s.close()
        self._deadline = time.monotonic() + self.timeout
        self._timer = threading.Timer(self.timeout, self._expire)
        self._timer.daemon = True
        self._timer.start()
        self._buffer = b''
        self._out = self._in if self.script is None else self._line
        self.uptime = float(self._read_until(re.compile(rb'\n@@vm up (\S+)\n'), min(self._deadline, time.monotonic() + BOOT))[1].group(1))

    def _expire(self):
        """The guest's time is over: let its CPUs say where they are, then end it."""
        self._timed_out = True
        try:
            self._monitor('inject-nmi')
            time.sleep(5)
        except (GuestError, OSError, ValueError):
            pass
        self._qemu.kill()

    def _run(self, argv, name, **kw):
        """Starts a helper that dies with us, even if we are killed."""
        with open(f'{self._tmp}/{name}.log', 'w') as log:
            self._procs.append(subprocess.Popen(['setpriv', '--pdeathsig', 'KILL', *argv], stdin=subprocess.DEVNULL,
                                                stdout=log, stderr=log, start_new_session=True, **kw))
        return self._procs[-1]

    def _pack(self, path):
        need = ['virtio_pci', 'virtio_console']
        need += {'virtiofs': ['virtiofs', 'overlay'], '9p': ['9pnet_virtio', '9p', 'overlay'],
                 'initramfs': ['virtiofs'] if self.shares else []}[self.root]
        if self.net:
            need += ['virtio_net']
        mods = initramfs.modules(self.kernel, need + self.modules)
        env = {'ROOT': self.root, 'NET': '1' if self.net else '', 'SYSTEMD': '1' if self.systemd else '',
               'MODDIR': os.path.abspath(self.kernel['moddir'] or '/') if self.rootdir == '/' else '/'}
        files = {'init': open(HERE + '/guest-init').read(),
                 'agent': open(HERE + '/guest-agent').read(),
                 'env': ''.join(f'{k}={shlex.quote(v)}\n' for k, v in env.items()),
                 'shares': ''.join(f'{tag} {d}\n' for tag, d in self.shares),
                 'mods/order': ''.join(m + '\n' for m in mods),
                 'script': ''.join(self._encode(i, 100000, c) for i, c in enumerate(self.script or (), 1))}
        initramfs.write(path, files, mods, self.add if self.root == 'initramfs' else None)

    def _emulator(self):
        # One CPU cannot meet what makes the installed one unsound (vm/kernel), and newer ones count a copied word twice or so.
        if self.icount:
            return ['qemu-system-x86_64', *self.emulator_args]
        return [self.kernel['qemu'], *shlex.split(self.kernel['qemu_args']), *self.emulator_args]

    def _machine(self):
        append = ('console=ttyS0 quiet ignore_loglevel printk.devkmsg=on panic=-1 oops=panic unknown_nmi_panic '
                  'net.ifnames=0 nokaslr no_timer_check mitigations=off watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120')
        cpu, thread, more = 'max', 'multi', []
        if self.icount:
            # erms and fsrm would make a string copy count as many instructions as it has bytes
            cpu, thread = 'max,-erms,-fsrm', 'single'
            more = ['-icount', 'shift=0,sleep=off', '-rtc', 'base=2026-01-01,clock=vm']
            append += ' clocksource=tsc tsc=reliable'
        return ['-accel', f'tcg,thread={thread}', '-cpu', cpu, '-smp', f'{self.smp},sockets={self.smp},cores=1',
                '-m', str(self.mem), *more, '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
                '-kernel', self.kernel['image'], '-initrd', self._tmp + '/initrd',
                '-append', f'{append} {self.kernel["append"]} {self.append}', '-serial', 'file:' + self._log_path]

    def _devices(self):
        args = []
        shares = ([('root', self.rootdir)] if self.root != 'initramfs' else []) + self.shares
        if shares and self.root != '9p':
            args += ['-object', f'memory-backend-memfd,id=m,size={self.mem}M,share=on', '-numa', 'node,memdev=m']
        for tag, path in shares:
            if self.root == '9p':
                ro = ',readonly=on' if tag == 'root' else ''
                args += ['-virtfs', f'local,path={path},mount_tag={tag},security_model=none,multidevs=remap{ro}']
                continue
            sock, cache = f'{self._tmp}/{tag}.sock', 'always' if tag == 'root' else 'auto'
            # sandbox=chroot: the default one cannot pivot_root when the share is /
            daemon = self._run(['/usr/lib/qemu/virtiofsd', '-f', f'--socket-path={sock}',
                                '-o', f'source={path},sandbox=chroot,xattr,cache={cache}'], tag)
            while not os.path.exists(sock):
                if daemon.poll() is not None:
                    raise GuestError('virtiofsd: ' + open(f'{self._tmp}/{tag}.log').read())
                time.sleep(.01)
            args += ['-chardev', f'socket,id={tag},path={sock}', '-device', f'vhost-user-fs-pci,chardev={tag},tag={tag}']
        if self.net:
            fwd = ''.join(f',hostfwd=tcp:127.0.0.1:{h}-:{g}' for h, g in self.fwd)
            args += ['-netdev', 'user,id=net,restrict=on' + fwd, '-device', 'virtio-net-pci,netdev=net,romfile=']
        return args

    def close(self):
        """Lets the guest end in good order."""
        if self.script is None:
            self._send('end\n')
        try:
            self._qemu.wait(60)
        except subprocess.TimeoutExpired:
            raise GuestTimeout('the guest does not end') from None

    def kill(self):
        """Ends whatever is left, and nothing else; log() still works afterwards."""
        if self._timer:
            self._timer.cancel()
        for p in reversed(self._procs):
            if p.poll() is None:
                p.kill()
            p.wait()
        if self._tmp:
            self._kept_log = self.log()
            shutil.rmtree(self._tmp, ignore_errors=True)
            self._tmp = None
        for s in (self._line, self._in, self._qmp):
            if s:
                s.close()

    # Commands

    @staticmethod
    def _encode(number, seconds, command):
        text = f'cd {shlex.quote(os.getcwd())} 2>/dev/null\n{command}\n'
        return f'{number} {seconds} {base64.b64encode(text.encode()).decode()}\n'

    def _read_until(self, pattern, deadline, stream=None):
        """Everything up to a match of pattern on the line, and the match.  All patterns begin with "\\n@"."""
        shown = 0
        while not (m := pattern.search(self._buffer, shown)):
            # what may be the beginning of the pattern stays
            keep = self._buffer.rfind(b'\n@', shown)
            if keep < 0:
                keep = len(self._buffer) - self._buffer.endswith(b'\n')
            if stream:
                stream.write(self._buffer[shown:keep])
                stream.flush()
            shown = keep
            self._out.settimeout(max(.01, deadline - time.monotonic()))
            try:
                data = self._out.recv(65536)
            except TimeoutError:
                self._lost(GuestTimeout('no answer from the guest'))
            except ConnectionResetError:
                data = b''
            if not data and self._timed_out:
                self._lost(GuestTimeout(f'the guest was not done in {self.timeout} s'))
            elif not data:
                self._lost(GuestDied(('the guest died\n' + open(self._tmp + '/qemu.log').read()).rstrip()))
            self._buffer += data
        before, self._buffer = self._buffer[:m.start()], self._buffer[m.end():]
        if stream:
            stream.write(before[shown:])
            stream.flush()
        return before, m

    def _send(self, text):
        self._in.settimeout(None)
        try:
            self._in.sendall(text.encode())
        except (BrokenPipeError, ConnectionResetError):
            pass        # it died; reading will tell

    def _lost(self, error):
        error.output = self._buffer.decode(errors='replace')
        raise error

    def _result(self, number, deadline, stream):
        before, m = self._read_until(re.compile(rb'\n@@vm %d (\d+)\n' % number), deadline, stream)
        return int(m.group(1)), before.decode(errors='replace')

    def sh(self, command, timeout=60, stream=None):
        """Runs a shell command; (status, output).  Status 124: it was ended after timeout seconds.

        stream: a binary file that gets the output as it comes.  A background job must not
        keep the output (use spawn): it would be read as part of a later command's.
        """
        with self._lock:
            self._sequence += 1
            self._send(self._encode(self._sequence, timeout, command))
            return self._result(self._sequence, min(self._deadline + 30, time.monotonic() + timeout + 60), stream)

    def check(self, command, timeout=60):
        """Runs a shell command that has to succeed; its output."""
        status, output = self.sh(command, timeout)
        if status:
            raise CommandFailed(f'{command}: status {status}\n{output}')
        return output

    def spawn(self, command, log='/dev/null'):
        """Starts one program beside the others, output to a file of the guest; its process id."""
        inner = shlex.quote('exec ' + command)
        return int(self.check(f'setsid sh -c {inner} >{shlex.quote(log)} 2>&1 </dev/null & echo $!'))

    def wait_for(self, command, timeout=60):
        """Repeats a command until its status is 0."""
        status, _ = self.sh(f'until ( {command} ) >/run/try 2>&1; do mv /run/try /run/wait_for; sleep 0.1; done', timeout)
        if status:
            raise CommandFailed(f'{command}: not within {timeout} s\n' + self.sh('cat /run/wait_for')[1])

    def load(self):
        """Loads this tree's websocket.ko, as built for the kernel, and the modules it needs."""
        ko = shlex.quote(f'{TOP}/build/{self.name}/websocket.ko')
        self.check(f'for m in $(/sbin/modinfo -F depends {ko} | tr , " "); do /sbin/modprobe $m || exit; done; '
                   f'/sbin/insmod {ko}')

    def unload(self, timeout=60):
        """Unloads it; CommandFailed when something still uses it after so many seconds."""
        self.wait_for('/sbin/rmmod websocket', timeout)

    def script_results(self, stream=None):
        """The (status, output) of every command of the script."""
        return [self._result(i, self._deadline + 30, stream) for i, _ in enumerate(self.script, 1)]

    def _monitor(self, command, **arguments):
        """One command to QEMU's own control channel (QMP)."""
        self._qmp.settimeout(30)
        if not self._qmp_file:
            self._qmp_file = self._qmp.makefile('rw')
            self._qmp_file.readline()
            self._monitor('qmp_capabilities')
        self._qmp_file.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        self._qmp_file.flush()
        while 'return' not in (answer := json.loads(self._qmp_file.readline())):
            if 'error' in answer:
                raise GuestError(f'{command}: {answer["error"]}')
        return answer['return']

    def port(self, inside):
        """The port of 127.0.0.1 that leads to the guest's port `inside`."""
        if not self._ports:
            table = self._monitor('human-monitor-command', **{'command-line': 'info usernet'})
            rows = re.findall(r'TCP\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+(\d+)', table)
            self._ports = {int(g): int(h) for h, g in rows}
        return self._ports[inside]

    # The kernel's log

    def log(self):
        """The kernel's log so far."""
        if self._tmp is None:
            return self._kept_log
        with open(self._log_path, errors='replace') as f:
            return f.read()

    def mark(self, text, timeout=60):
        """Writes a line to the kernel's log and waits until it is out: all that happened before is in log()."""
        self.check(f'echo {shlex.quote(text)} >/dev/kmsg')
        deadline = time.monotonic() + timeout
        while text not in self.log()[self._log_seen:]:
            if time.monotonic() > deadline:
                raise GuestTimeout("the kernel's log stands still")
            time.sleep(.05)

    def splats(self):
        """Lines of the kernel's log that mean that something is wrong, since the last call."""
        log = self.log()
        new, self._log_seen = log[self._log_seen:], len(log)
        return [line for line in new.splitlines() if SPLAT.search(line)]
