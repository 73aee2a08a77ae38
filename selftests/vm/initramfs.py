# SPDX-License-Identifier: GPL-2.0
"""The archive that a guest boots from: busybox, the drivers it needs, and what guest.py adds."""
import os
import re
import subprocess


def cpio(path, entries):
    """Writes an uncompressed newc archive (the guest would pay for unpacking): name -> (mode, bytes)."""
    with open(path, 'wb') as f:
        for ino, (name, (mode, data)) in enumerate([*entries.items(), ('TRAILER!!!', (0, b''))], 1):
            n = name.encode() + b'\0'
            fields = (ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(n), 0)
            head = b'070701' + b''.join(b'%08x' % x for x in fields) + n
            f.write(head + b'\0' * (-len(head) % 4) + data + b'\0' * (-len(data) % 4))


def modules(kernel, names):
    """Contents of the modules and of those they need, in load order; built-in ones are no files."""
    found = {}
    for name in names if kernel['moddir'] else ():
        deps = subprocess.run(['/sbin/modprobe', '-d', kernel['moddir'], '-S', kernel['release'],
                               '--show-depends', name], stdout=subprocess.PIPE, text=True, check=True)
        for path in re.findall(r'^insmod (\S+)', deps.stdout, re.M):
            key = re.sub(r'\.xz$', '', os.path.basename(path))
            if key not in found:
                found[key] = (subprocess.check_output(['xz', '-dc', path]) if path.endswith('.xz')
                              else open(path, 'rb').read())
    return found


def with_libraries(paths):
    """The files and the shared libraries that they need."""
    paths = list(paths)
    found = set(paths)
    for p in paths:
        ldd = subprocess.run(['ldd', p], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        found |= set(re.findall(r'(/\S+) \(0x', ldd.stdout))
    return sorted(found)


def write(path, scripts, mods, programs=None):
    """Writes the archive.

    scripts   name -> text of the files that guest.py makes
    mods      what modules() found
    programs  when the guest has no other root: its programs, which come with their libraries
    """
    entries = {d: (0o40755, b'') for d in ('bin', 'dev', 'etc', 'mods', 'proc', 'root', 'run', 'sys', 'tmp')}
    entries['dev/console'] = (0o20600, b'')
    entries['bin/busybox'] = (0o100755, open('/bin/busybox', 'rb').read())
    entries.update((name, (0o100755, text.encode())) for name, text in scripts.items())
    entries.update(('mods/' + name, (0o100644, data)) for name, data in mods.items())
    if programs is not None:
        for applet in subprocess.check_output(['/bin/busybox', '--list'], text=True).split():
            entries.setdefault('bin/' + applet, (0o120777, b'busybox'))
        for p in with_libraries(os.path.abspath(p) for p in programs):
            parts = p.strip('/').split('/')
            for i in range(1, len(parts)):
                entries.setdefault('/'.join(parts[:i]), (0o40755, b''))
            entries[p.strip('/')] = (0o100755, open(p, 'rb').read())
    cpio(path, entries)
