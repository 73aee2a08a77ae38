# SPDX-License-Identifier: GPL-2.0
"""Does what a table names exist?  For check-rfc6455, check-calls and check-rows.

A test is named "net/ping.c:every_length", from this directory on: in net/ and fault/ a test of the harness, in unit/ a function in the
program's list, in interop/ what is asked of a peer.  A script alone, "check-uapi", is one test.  A name may hold * for several.
A function is named "kmod/rx.c:scan", from the top on.
"""
import fnmatch
import functools
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)


@functools.lru_cache(maxsize=None)
def source(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def harness_tests(text):
    """Names in a program of net/: CASE(fixture, name), TEST(name), and macros of its own around them."""
    makers = ['TEST', 'TEST_SIGNAL']
    found = set(re.findall(r'^(?:CASE|TEST_F\w*)\(\w+,\s*(\w+)', text, re.M))
    for name, first, body in re.findall(r'^#define (\w+)\((\w+)[^)]*\)((?:.*\\\n)*.*)', text, re.M):
        if re.search(rf'\b(?:CASE|TEST_F\w*)\(\w+,\s*{first}\b', body):
            makers.append(name)
    return found | set(re.findall(rf'^(?:{"|".join(makers)})\((\w+)', text, re.M))


def unit_tests(text):
    listed = re.search(r'struct tap_test tests\[\] = \{(.*?)\n\};', text, re.S)
    return set(re.findall(r',\s*(\w+)\s*\}', listed.group(1))) if listed else set()


def interop_tests(text):
    """Coroutines that are called, and tests by their names in quotes."""
    return ({name for name in re.findall(r'\bdef (\w+)\(', text) if len(re.findall(rf'\b{name}\(', text)) > 1} |
            set(re.findall(r"""^\s*(?:await tap\.case\(|tap\.result\(.*,|\{|\()?\s*['"]([\w ]+)['"][,:]""", text, re.M)))


@functools.lru_cache(maxsize=None)
def tests(path):
    """Names of the tests in a file, from this directory on; None: there is no such file."""
    full = f'{HERE}/{path}'
    if not os.path.isfile(full):
        return None
    find = {'net': harness_tests, 'fault': harness_tests, 'unit': unit_tests, 'interop': interop_tests}.get(path.split('/')[0])
    return find(source(full)) if find else set()


def missing_test(reference):
    """What is wrong with the name of a test; None: it exists."""
    path, colon, name = reference.partition(':')
    if not colon:
        return None if os.access(f'{HERE}/{path}', os.X_OK) else f'no program selftests/{path}'
    known = tests(path)
    if known is None:
        return f'no file selftests/{path}'
    return None if fnmatch.filter(known, name) else f'no test {name} in selftests/{path}'


def missing_function(reference):
    """What is wrong with the name of a function; None: it is defined there."""
    path, _, name = reference.partition(':')
    if not os.path.isfile(f'{TOP}/{path}'):
        return f'no file {path}'
    definition = rf'^(?:[A-Za-z_][\w \t*]*[ \t*])?{re.escape(name)}\([^;{{}}]*\)\s*\n\{{'
    return None if re.search(definition, source(f'{TOP}/{path}'), re.M) else f'no function {name} in {path}'


def words(cell):
    """The references in a cell, with commas between them."""
    return [w.strip() for w in cell.split(',')]


def report(results):
    """Prints TAP for (name, what is wrong: a list) of each test; the exit status."""
    print(f'1..{len(results)}')
    failed = 0
    for i, (name, wrong) in enumerate(results, 1):
        for line in wrong:
            print('#', line)
        print(f'{"not ok" if wrong else "ok"} {i} {name}')
        failed += bool(wrong)
    return 1 if failed or not results else 0
