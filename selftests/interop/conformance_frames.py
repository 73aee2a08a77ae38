# SPDX-License-Identifier: GPL-2.0
"""What a client may send to an echo server, right and wrong, and what has to come back: a table.

A case is (name, script, expected). The script is bytes to send, and tuples: events to wait for before going on. Expected are the
events from then on: messages, pongs, and how it ends: FINE (the client closes with 1000), or the server's Close. What is
answered, and in which order, is checked exactly; only a pong may overtake the echo of a message.

Each function names the cases of Autobahn's test suite that ask for the same, by its numbers. Its groups 12 and 13 are about an
extension that is not used here (a client that offers it gets none: conformance_handshake.py).
"""
from conformance_wire import BINARY, CLOSE, CONT, PING, PONG, QUIET, TEXT, close, cut, frame

FINE = ('fine',)
LIMIT = 16 << 20        # --max-message of the server


def text(s):
    return ('text', s.encode() if isinstance(s, str) else s)


def binary(b):
    return ('binary', b)


def pong(b):
    return ('pong', b)


def fails(code):
    return ('close', code, b'')


def letters(n):
    return (b'*Aa0-' * (n // 5 + 1))[:n]


def octets(n):
    return (bytes(range(256)) * (n // 256 + 1))[:n]


def fragmented(opcode, data, size):
    """One message in frames of size."""
    parts = cut(data, size)
    return b''.join(frame(CONT if i else opcode, p, fin=i == len(parts) - 1) for i, p in enumerate(parts))


def framing():
    """Autobahn 1.1.1 to 1.1.8, 1.2.1 to 1.2.8."""
    for n in (0, 1, 2, 124, 125, 126, 127, 128, 129, 255, 256, 4096, 65535, 65536, 65537, 200000):
        yield f'text of {n}', [frame(TEXT, letters(n))], [text(letters(n)), FINE]
        yield f'binary of {n}', [frame(BINARY, octets(n))], [binary(octets(n)), FINE]
    yield 'text of 65536 in pieces of 997', cut(frame(TEXT, letters(65536)), 997), [text(letters(65536)), FINE]
    yield 'binary of 65536 in pieces of 997', cut(frame(BINARY, octets(65536)), 997), [binary(octets(65536)), FINE]
    yield 'a key of zeros', [frame(TEXT, 'clear', key=bytes(4))], [text('clear'), FINE]
    yield 'a key of ones', [frame(BINARY, octets(300), key=b'\xff' * 4)], [binary(octets(300)), FINE]
    many = [letters(i % 300) for i in range(200)]
    yield '200 messages at once', [b''.join(frame(TEXT, m) for m in many)], [*(text(m) for m in many), FINE]
    mixed = b''.join(frame(BINARY if i % 2 else TEXT, letters(i)) for i in range(40))
    yield 'text and binary in turns', [mixed], [*((binary if i % 2 else text)(letters(i)) for i in range(40)), FINE]


def pings():
    """Autobahn 2.1 to 2.11."""
    for name, data in (('empty', b''), ('text', b'Hello, world!'), ('octets', b'\x00\xff\xfe\xfd\xfc\xfb\x00\xff'),
                       ('125', b'\xfe' * 125)):
        yield f'ping: {name}', [frame(PING, data)], [pong(data), FINE]
    yield 'ping of 126', [frame(PING, b'\xfe' * 126)], [fails(1002)]
    yield 'pong of 126', [frame(PONG, b'\xfe' * 126)], [fails(1002)]
    yield 'ping of 65536', [frame(PING, octets(65536))], [fails(1002)]
    yield 'pong, not asked for, empty', [frame(PONG)], [FINE]
    yield 'pong, not asked for', [frame(PONG, 'unsolicited')], [FINE]
    yield 'pong, not asked for, then ping', [frame(PONG, 'unsolicited'), frame(PING, 'ping')], [pong(b'ping'), FINE]
    ten = [b'payload-%d' % i for i in range(10)]
    yield 'ten pings', [b''.join(frame(PING, p) for p in ten)], [*map(pong, ten), FINE]
    yield 'a ping in turns with messages', [b''.join(frame(PING, p) + frame(TEXT, p) for p in ten)], \
        [*map(pong, ten), *map(text, ten), FINE]


def reserved_bits():
    """Autobahn 3.1 to 3.7."""
    good, asked = frame(TEXT, 'good'), frame(PING, 'no pong')
    for rsv in range(1, 8):
        for name, opcode in (('text', TEXT), ('binary', BINARY), ('ping', PING), ('pong', PONG), ('close', CLOSE)):
            yield f'RSV {rsv} in {name}', [frame(opcode, b'', rsv=rsv)], [fails(1002)]
            yield f'RSV {rsv} in {name} with payload', [frame(opcode, 'Hello, world!', rsv=rsv)], [fails(1002)]
        yield f'RSV {rsv} behind a message', [good, frame(TEXT, 'bad', rsv=rsv), asked], [text('good'), fails(1002)]
        yield f'RSV {rsv} in a fragment', [frame(TEXT, 'x', fin=False), frame(CONT, 'y', rsv=rsv)], [fails(1002)]


def opcodes():
    """Autobahn 4.1.1 to 4.1.5, 4.2.1 to 4.2.5."""
    good, asked = frame(TEXT, 'good'), frame(PING, 'no pong')
    for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield f'opcode {op}', [frame(op)], [fails(1002)]
        yield f'opcode {op} with payload', [frame(op, 'reserved payload')], [fails(1002)]
        yield f'opcode {op} behind a message', [good, frame(op, 'reserved'), asked], [text('good'), fails(1002)]
        yield f'opcode {op} in a message', [frame(TEXT, 'x', fin=False), frame(op)], [fails(1002)]


def masks_and_lengths():
    """What Autobahn does not ask: masks and lengths that RFC 6455 5.1 and 5.2 forbid."""
    for name, opcode in (('text', TEXT), ('binary', BINARY), ('ping', PING), ('pong', PONG), ('close', CLOSE)):
        yield f'{name} masked wrongly', [frame(opcode, b'', wrong_mask=True)], [fails(1002)]
    yield 'a wrong mask behind a message', [frame(TEXT, 'good'), frame(TEXT, 'bad', wrong_mask=True)], [text('good'), fails(1002)]
    yield 'a fragment masked wrongly', [frame(TEXT, 'x', fin=False), frame(CONT, 'y', wrong_mask=True)], [fails(1002)]
    for n, form in ((0, 16), (1, 16), (125, 16), (0, 64), (125, 64), (126, 64), (65535, 64)):
        yield f'{n} in {form} bits', [frame(BINARY, octets(n), form=form)], [fails(1002)]
    yield 'ping of 5 in 16 bits', [frame(PING, 'hello', form=16)], [fails(1002)]
    for bits in (1 << 63, (1 << 64) - 1, 1 << 63 | 5):
        yield f'length {bits:#x}', [frame(BINARY, b'', announce=bits, form=64)], [fails(1002)]
    for n in (LIMIT + 1, 1 << 31, 1 << 32, (1 << 32) + 5, (1 << 63) - 1):
        yield f'{n} announced', [frame(BINARY, b'x', announce=n)], [fails(1009)]
    yield 'a message and one that is too large', [frame(TEXT, 'good') + frame(BINARY, b'x', announce=LIMIT + 1)], \
        [text('good'), fails(1009)]


def fragments():
    """Autobahn 5.1 to 5.20, 10.1.1."""
    f1, f2, asked = frame(TEXT, 'fragment1', fin=False), frame(CONT, 'fragment2'), frame(PING, 'ping')
    both = text('fragment1fragment2')
    yield 'a ping in two fragments', [frame(PING, 'one', fin=False) + frame(CONT, 'two')], [fails(1002)]
    yield 'a pong in two fragments', [frame(PONG, 'one', fin=False) + frame(CONT, 'two')], [fails(1002)]
    yield 'a Close in two fragments', [close(1000, 'x', fin=False) + frame(CONT, 'two')], [fails(1002)]
    yield 'two fragments', [f1, f2], [both, FINE]
    yield 'two fragments, a ping between', [f1, asked, pong(b'ping'), f2], [both, FINE]
    yield 'two fragments and a ping at once', [f1 + asked + f2], [pong(b'ping'), both, FINE]
    yield 'a pong between fragments', [f1, frame(PONG, 'x'), f2], [both, FINE]
    for fin in (True, False):
        nothing = frame(CONT, 'to nothing', fin=fin)
        how = 'last' if fin else 'first'
        yield f'continuation of nothing, {how}', [nothing], [fails(1002)]
        yield f'continuation of nothing, {how}, then text', [nothing + frame(TEXT, 'x')], [fails(1002)]
        yield f'continuation of nothing, {how}, behind a message', [f1 + f2 + nothing + frame(TEXT, 'x')], [both, fails(1002)]
        for name, opcode in (('text', TEXT), ('binary', BINARY)):
            yield f'{name} ({how}) in an open message', [f1 + frame(opcode, 'x', fin=fin)], [fails(1002)]
    ones = [frame(TEXT if i == 0 else CONT, 'fragment%d' % (i + 1), fin=i == 4) for i in range(5)]
    all5 = text(''.join('fragment%d' % i for i in range(1, 6)))
    yield 'five fragments, pings between, one by one', \
        [ones[0] + ones[1], frame(PING, '1'), pong(b'1'), ones[2] + ones[3], frame(PING, '2'), pong(b'2'), ones[4]], [all5, FINE]
    yield 'five fragments, pings between, at once', [ones[0] + ones[1] + frame(PING, '1') + ones[2] + ones[3] +
                                                      frame(PING, '2') + ones[4]], [pong(b'1'), pong(b'2'), all5, FINE]
    for fin in (True, False):
        again = (frame(CONT, 'to nothing', fin=fin) + f1 + f2) * 2
        yield f'continuation of nothing, {"last" if fin else "first"}, and a message, twice', [again], [fails(1002)]
    yield 'five fragments, pings between, and time', \
        [ones[0] + ones[1], frame(PING, '1'), pong(b'1'), QUIET, ones[2] + ones[3], frame(PING, '2'), pong(b'2'), QUIET, ones[4]], \
        [all5, FINE]
    for n in (1, 2, 3, 10):
        empty = frame(TEXT, '', fin=False) + frame(CONT, '', fin=False) * (n - 1)
        yield f'{n} empty fragments and an empty end', [empty + frame(CONT)], [text(''), FINE]
        yield f'{n} empty fragments and an end', [empty + frame(CONT, 'end')], [text('end'), FINE]
    yield 'payload, empty, payload', [f1 + frame(CONT, '', fin=False) + f2], [both, FINE]
    yield 'payload and an empty end', [f1 + frame(CONT)], [text('fragment1'), FINE]
    data = octets(65536)
    for size in (64, 256, 1300, 16384):
        yield f'65536 in fragments of {size}', [fragmented(BINARY, data, size)], [binary(data), FINE]
    yield '65536 of text in fragments of 1300', [fragmented(TEXT, letters(65536), 1300)], [text(letters(65536)), FINE]
    bytewise = [frame(CONT if i else BINARY, bytes([i]), fin=i == 255) for i in range(256)]
    yield '256 fragments of one byte', [b''.join(bytewise)], [binary(bytes(range(256))), FINE]


VALID = ['κόσμε', '\0', '\x7f', '\x80', '\u07ff', '\u0800', '\ud7ff', '\ue000', '\ufffd', '\ufffe', '\uffff', '\U00010000',
         '\U0010ffff', '\U0001fffe', '\U0010fffe', 'Hello-µ@ßöäüàá-UTF-8!!', '€😀' * 100, 'a' * 125 + '€', '\ufeffbom']
INVALID = [b'\x80', b'\xbf', b'\x80\xbf\x80', b'\xc0 ', b'\xc2', b'\xe0\x80', b'\xe2\x82', b'\xf0\x90\x80', b'\xf8\x88\x80\x80\x80',
           b'\xfc\x84\x80\x80\x80\x80', b'\xfe', b'\xff', b'\xfe\xfe\xff\xff', b'\xc0\xaf', b'\xe0\x80\xaf', b'\xf0\x80\x80\xaf',
           b'\xc1\xbf', b'\xe0\x9f\xbf', b'\xf0\x8f\xbf\xbf', b'\xc0\x80', b'\xe0\x80\x80', b'\xf0\x80\x80\x80',
           b'\xed\xa0\x80', b'\xed\xad\xbf', b'\xed\xae\x80', b'\xed\xbf\xbf', b'\xed\xa0\x80\xed\xb0\x80', b'\xf4\x90\x80\x80',
           b'\xf5\x80\x80\x80', b'\xf7\xbf\xbf\xbf', b'\xe2\x28\xa1', b'\xe2\x82\x28', b'\xf0\x28\x8c\xbc', b'\xf0\x90\x28\xbc',
           b'\xf0\x28\x8c\x28', 'κόσμε'.encode() + b'\xed\xa0\x80' + b'edited', b'a' * 1000 + b'\xff', b'a' * 70000 + b'\xff' + b'b' * 70000]


def lonely(first, last):
    """Starts of characters, each with a space behind it."""
    return b''.join(bytes([b, 32]) for b in range(first, last + 1))


CONTINUATIONS = [(b'\x80\xbf' * 3)[:n] for n in (2, 4, 5, 6)] + [bytes(range(0x80, 0xc0))]
LONELY = [lonely(*r) for r in ((0xc0, 0xdf), (0xe0, 0xef), (0xf0, 0xf7), (0xf8, 0xfb), (0xfc, 0xfd))]
# the last byte is missing, of forms with 2 to 6 bytes
CUT = [b'\xc0', b'\xe0\x80', b'\xf0\x80\x80', b'\xf8\x80\x80\x80', b'\xfc\x80\x80\x80\x80',
       b'\xdf', b'\xef\xbf', b'\xf7\xbf\xbf', b'\xfb\xbf\xbf\xbf', b'\xfd\xbf\xbf\xbf\xbf']
# more bytes than a character needs, or than there are characters
OVERLONG = [b'\xf8\x80\x80\x80\xaf', b'\xfc\x80\x80\x80\x80\xaf', b'\xf8\x87\xbf\xbf\xbf', b'\xfc\x83\xbf\xbf\xbf\xbf',
            b'\xf8\x80\x80\x80\x80', b'\xfc\x80\x80\x80\x80\x80', b'\xfb\xbf\xbf\xbf\xbf', b'\xfd\xbf\xbf\xbf\xbf\xbf']
SURROGATES = [chr(c).encode('utf-8', 'surrogatepass') for c in (0xdbff, 0xdc00, 0xdf80)] + \
             [(chr(a) + chr(b)).encode('utf-8', 'surrogatepass') for a in (0xd800, 0xdb7f, 0xdb80, 0xdbff) for b in (0xdc00, 0xdfff)]
INVALID = list(dict.fromkeys([*CONTINUATIONS, *LONELY, *CUT, b''.join(CUT), *OVERLONG, *SURROGATES, *INVALID]))
VALID = list(dict.fromkeys([*VALID, '$', '¢', '𤭢', '\ufff9\ufffa\ufffb\ufffc',
                            *(chr(plane << 16 | c) for plane in range(1, 17) for c in (0xfffe, 0xffff))]))


def fail_fast():
    """A message that becomes invalid in its second part, in frames and in pieces of one; its third part never comes."""
    good, bad = 'κόσμε'.encode(), b'\xf4\x90\x80\x80'
    for where, begun, then in ('before', 0, 4), ('within', 1, 2):
        whole = good + bad + b'edited'
        first, middle = good + bad[:begun], bad[begun:then]
        yield f'fail fast: fragments cut {where} a character', [frame(TEXT, first, fin=False), QUIET, frame(CONT, middle, fin=False)], \
            [fails(1007)]
        bytes_of = frame(TEXT, whole)
        head = len(bytes_of) - len(whole)
        end = head + len(first)
        yield f'fail fast: a frame cut {where} a character', [bytes_of[:end], QUIET, bytes_of[end:end + len(middle)]], [fails(1007)]


def utf8():
    """Autobahn 6.1.* to 6.23.*; 6.4.*: fail fast."""
    for s in VALID:
        data = s.encode()
        name = ascii(s[:8])
        yield f'valid: {name}', [frame(TEXT, data)], [text(data), FINE]
        yield f'valid, a fragment a byte: {name}', \
            [b''.join(frame(CONT if i else TEXT, data[i:i + 1], fin=i == len(data) - 1) for i in range(len(data)))], \
            [text(data), FINE]
    for data in INVALID:
        name = repr(data[:12])[1:]
        yield f'invalid: {name} ({len(data)})', [frame(TEXT, data)], [fails(1007)]
        yield f'invalid, behind a message: {name} ({len(data)})', [frame(TEXT, 'good') + frame(TEXT, data)], [text('good'), fails(1007)]
        yield f'binary: {name} ({len(data)})', [frame(BINARY, data)], [binary(data), FINE]
    for data in INVALID[:-2]:
        name = repr(data[:12])[1:]
        yield f'invalid, a fragment a byte: {name} ({len(data)})', \
            [b''.join(frame(CONT if i else TEXT, data[i:i + 1], fin=i == len(data) - 1) for i in range(len(data)))], [fails(1007)]
    yield 'invalid in a ping', [frame(PING, b'\xff\xfe')], [pong(b'\xff\xfe'), FINE]
    # fail fast: the rest never comes
    good, bad = 'κόσμε'.encode(), b'\xf4\x90'
    yield 'fail fast: in a first fragment', [frame(TEXT, good + b'\xff', fin=False)], [fails(1007)]
    yield 'fail fast: in a second fragment', [frame(TEXT, good, fin=False), frame(CONT, bad, fin=False)], [fails(1007)]
    yield 'fail fast: behind a ping', [frame(TEXT, good, fin=False), frame(PING, 'x'), pong(b'x'), frame(CONT, b'\x80', fin=False)], \
        [fails(1007)]
    for n in (2, 20, 2000):
        for opcode, before in ((TEXT, []), (CONT, [frame(TEXT, good, fin=False)])):
            whole = frame(opcode, good + bad + b'x' * n)
            yield f'fail fast: in the middle of {"a frame" if opcode else "a fragment"}, {n} bytes before its end', \
                [*before, whole[:-n]], [fails(1007)]
    yield from fail_fast()
    for n in range(1, len(good) + 1):
        try:
            good[:n].decode()
            yield f'the first {n} bytes of a text', [frame(TEXT, good[:n])], [text(good[:n]), FINE]
        except UnicodeDecodeError:
            yield f'the first {n} bytes of a text, within a character', [frame(TEXT, good[:n])], [fails(1007)]
    yield 'an end within a character', [frame(TEXT, 'a\u20ac'.encode()[:-1])], [fails(1007)]
    yield 'an empty end within a character', [frame(TEXT, b'\xe2\x82', fin=False) + frame(CONT)], [fails(1007)]


def closing():
    """Autobahn 7.1.*, 7.3.*, 7.5.1, 7.7.*, 7.9.*, 7.13.*."""
    for name, data in (('empty', []), ('message', [frame(TEXT, 'Hello World!')])):
        back = [text('Hello World!')] if data else []
        yield f'Close behind: {name}', [*data, close(1000, 'bye')], [*back, ('close', 1000, b'')]
        yield f'Close without a code behind: {name}', [*data, close()], [*back, ('close', None, b'')]
    yield 'Close twice', [close(1000) + close(1000)], [fails(1000)]
    yield 'Close and a ping', [close(1000) + frame(PING, 'x')], [fails(1000)]
    yield 'Close and a message', [close(1000) + frame(TEXT, 'x')], [fails(1000)]
    yield 'Close and a bad frame', [close(1000) + frame(3, 'x', rsv=7, wrong_mask=True)], [fails(1000)]
    yield 'Close in a fragmented message', [frame(TEXT, 'x', fin=False) + close(1000) + frame(CONT, 'y')], [fails(1000)]
    yield '256 KiB, Close, a ping', [frame(BINARY, octets(1 << 18)) + close(1000) + frame(PING, 'x')], \
        [binary(octets(1 << 18)), fails(1000)]
    yield '256 KiB, a message, Close, a ping', [frame(BINARY, octets(1 << 18)) + frame(TEXT, 'x') + close(1000) + frame(PING, 'x')], \
        [binary(octets(1 << 18)), text('x'), fails(1000)]
    yield 'Close of one byte', [frame(CLOSE, b'\x03')], [fails(1002)]
    yield 'Close of 125 bytes', [close(1000, 'r' * 123)], [fails(1000)]
    yield 'Close of 126 bytes', [close(1000, 'r' * 124)], [fails(1002)]
    yield 'Close with a reason in UTF-8', [close(1000, '€' * 41)], [fails(1000)]
    for bad in (b'\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80', b'\xff', b'\xe2\x82'):
        yield f'Close with a bad reason: {bad!r}', [close(1000, bad)], [fails(1007)]
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):
        yield f'Close {code}', [close(code)], [fails(code)]
        yield f'Close {code} with a reason, behind a message', [frame(TEXT, 'x') + close(code, 'why')], [text('x'), fails(code)]
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        yield f'Close {code}, which nobody may send', [close(code)], [fails(1002)]
        yield f'Close {code} behind a message', [frame(TEXT, 'x') + close(code, 'why')], [text('x'), fails(1002)]


def limits():
    """Autobahn 9.1.* to 9.8.*."""
    for n in (1 << 18, 1 << 20):
        yield f'text of {n}', [frame(TEXT, letters(n))], [text(letters(n)), FINE]
        yield f'binary of {n}', [frame(BINARY, octets(n))], [binary(octets(n)), FINE]
    for n in (4, 8, 16):
        yield f'{n} MiB of text', [frame(TEXT, letters(n << 20))], [text(letters(n << 20)), FINE]
        yield f'{n} MiB of binary', [frame(BINARY, octets(n << 20))], [binary(octets(n << 20)), FINE]
    for size in (1024, 65536):
        yield f'1 MiB of text in fragments of {size}', [fragmented(TEXT, letters(1 << 20), size)], [text(letters(1 << 20)), FINE]
    for size in (64, 1024, 16384, 1 << 18, 1 << 20, 1 << 22):
        yield f'4 MiB of text in fragments of {size}', [fragmented(TEXT, letters(1 << 22), size)], [text(letters(1 << 22)), FINE]
        yield f'4 MiB of binary in fragments of {size}', [fragmented(BINARY, octets(1 << 22), size)], [binary(octets(1 << 22)), FINE]
    for size in (64, 256, 2048):
        yield f'1 MiB of text in pieces of {size}', cut(frame(TEXT, letters(1 << 20)), size), [text(letters(1 << 20)), FINE]
        yield f'1 MiB of binary in pieces of {size}', cut(frame(BINARY, octets(1 << 20)), size), [binary(octets(1 << 20)), FINE]
    yield 'a sum of fragments that is too large', \
        [frame(BINARY, octets(1000), fin=False) + frame(CONT, b'x', announce=LIMIT - 999)], [fails(1009)]
    for size in (0, 16, 64, 256, 1024, 4096):
        yield f'100 round trips of {size}', \
            [x for i in range(100) for x in (frame(BINARY, octets(size)), binary(octets(size)))], [FINE]


ALL = {'1 framing': framing, '2 pings': pings, '3 reserved bits': reserved_bits, '4 opcodes': opcodes, '5 fragments': fragments,
       '6 UTF-8': utf8, '7 closing': closing, '8 masks and lengths': masks_and_lengths, '9 limits': limits}
