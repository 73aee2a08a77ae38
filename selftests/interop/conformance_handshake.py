# SPDX-License-Identifier: GPL-2.0
"""Requests that a server has to accept, or to refuse with a fitting status (RFC 6455 4.2.1, RFC 9112)."""
from conformance_wire import KEY, accept_of

LINES = {'Host': 'server.example', 'Upgrade': 'websocket', 'Connection': 'Upgrade', 'Sec-WebSocket-Key': KEY,
         'Sec-WebSocket-Version': '13'}


def request(first='GET /chat HTTP/1.1', more=(), end='\r\n', body=b'', **changes):
    """A request; changes: other values of headers (_ for -), None: without. more: raw lines."""
    lines = dict(LINES)
    for name, value in changes.items():
        lines[name.replace('_', '-')] = value
    head = [first, *(f'{n}: {v}' for n, v in lines.items() if v is not None), *more, '', '']
    return end.join(head).encode('latin-1') + body


def good():
    yield 'the one of RFC 6455', request(), {}
    yield 'names in small letters', request().replace(b'Sec-WebSocket', b'sec-websocket').replace(b'Host', b'host') \
        .replace(b'Upgrade: w', b'upgrade: w').replace(b'Connection', b'connection'), {}
    yield 'NAMES IN CAPITALS', b'\r\n'.join(line.replace(line.split(b':')[0], line.split(b':')[0].upper(), 1) if i else line
                                            for i, line in enumerate(request().split(b'\r\n'))), {}
    yield 'values in other cases', request(Upgrade='WebSocket', Connection='upgrade'), {}
    yield 'UPGRADE', request(Upgrade='WEBSOCKET', Connection='UPGRADE'), {}
    yield 'lists', request(Upgrade='foo, websocket', Connection='keep-alive, Upgrade'), {}
    yield 'lists with empty elements', request(Connection=', keep-alive ,, Upgrade ,'), {}
    yield 'Connection twice', request(Connection='keep-alive', more=['Connection: Upgrade']), {}
    yield 'no space behind colons', request().replace(b': ', b':'), {}
    yield 'spaces and tabs around values', request(Upgrade=' \t websocket \t ', Sec_WebSocket_Key=f'  {KEY}  ',
                                                   Sec_WebSocket_Version=' 13 '), {}
    yield 'another key', request(Sec_WebSocket_Key='x3JJHMbDL1EzLkh9GBhXDw=='), {'Sec-WebSocket-Accept': 'HSmrc0sMlYUkAGmm5OPpG2HaGWk='}
    yield 'Origin, cookies and more', request(more=['Origin: http://example.com', 'Cookie: a=b; c=d', 'User-Agent: x', 'X: ' + 'y' * 4000]), {}
    yield 'a folded line', request(more=['X: a', '  b']), {}
    yield 'an empty header', request(more=['X-Empty:']), {}
    yield 'many headers', request(more=[f'X-{i}: {i}' for i in range(100)]), {}
    yield 'a target with a query', request('GET /a/b?c=d&e=%20 HTTP/1.1'), {}
    yield 'a whole URL', request('GET http://server.example/chat HTTP/1.1'), {}
    yield 'HTTP/1.1 and a port in Host', request(Host='server.example:8080'), {}
    yield 'Host with IPv6', request(Host='[::1]:8080'), {}
    yield 'empty lines before it', b'\r\n\r\n' + request(), {}
    yield 'Content-Length: 0', request(more=['Content-Length: 0']), {}
    yield 'a subprotocol', request(more=['Sec-WebSocket-Protocol: chat']), {'Sec-WebSocket-Protocol': 'chat'}
    yield 'subprotocols', request(more=['Sec-WebSocket-Protocol: wamp, chat , soap']), {'Sec-WebSocket-Protocol': 'soap'}
    yield 'subprotocols in two lines', request(more=['Sec-WebSocket-Protocol: wamp', 'Sec-WebSocket-Protocol: chat']), \
        {'Sec-WebSocket-Protocol': 'chat'}
    yield 'a subprotocol in another case', request(more=['Sec-WebSocket-Protocol: CHAT']), {}
    yield 'unknown subprotocols', request(more=['Sec-WebSocket-Protocol: wamp']), {}
    for value in ('permessage-deflate', 'permessage-deflate; client_max_window_bits', 'foo, bar; baz=2', 'foo; a="b"',
                  'foo; a="b\\c", bar', 'a;b=c;d, , e', 'x-webkit-deflate-frame;q=1 ,\t permessage-deflate'):
        yield f'extensions: {value}', request(more=[f'Sec-WebSocket-Extensions: {value}']), {}
    yield 'extensions in two lines', request(more=['Sec-WebSocket-Extensions: a', 'Sec-WebSocket-Extensions: b; c']), {}


def bad():
    for method in ('POST', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'):
        yield f'{method}', request(f'{method} /chat HTTP/1.1'), (405,)
    yield 'an unknown method', request('FOO /chat HTTP/1.1'), (400, 405, 501)
    for version in ('HTTP/1.0', 'HTTP/0.9', 'HTTP/2.0', 'HTTP/1.2x', 'HTTP/', 'http/1.1', 'HTTP/1,1', 'RTSP/1.1', 'ICE/1.1'):
        yield f'version {version}', request(f'GET /chat {version}'), (400, 505)
    yield 'no version', request('GET /chat'), (400, 505)
    yield 'HTTP/2', b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', (400, 405, 505)
    for target in ('*', 'chat', 'server.example:80', '/a b', '/chat#fragment', 'ftp://x/', '', 'http://', 'http:///x', 'http://:80/',
                   'http://u:p@b/'):
        yield f'target "{target}"', request(f'GET {target} HTTP/1.1'), (400,)
    yield 'no Host', request(Host=None), (400,)
    yield 'an empty Host', request(Host=''), (400,)
    for host in ('a b@c/d?e', 'a, b', 'a/', 'a:b', ':80', '[::1', '::1', 'a%zz'):
        yield f'Host: {host}', request(Host=host), (400,)
    yield 'Host twice', request(more=['Host: other.example']), (400,)
    yield 'no Upgrade', request(Upgrade=None), (400, 426)
    yield 'another Upgrade', request(Upgrade='h2c'), (400, 426)
    yield 'Upgrade: websocket2', request(Upgrade='websocket2'), (400, 426)
    yield 'no Connection', request(Connection=None), (400, 426)
    yield 'Connection: close', request(Connection='close'), (400, 426)
    yield 'Connection: upgraded', request(Connection='upgraded'), (400, 426)
    yield 'no key', request(Sec_WebSocket_Key=None), (400,)
    for key in ('', 'x', 'dGhlIHNhbXBsZSBub25jZQ=', 'dGhlIHNhbXBsZSBub25jZQ', 'dGhlIHNhbXBsZSBub25jZQ===', 'AAAA', 'dGhl IHNhbXBsZSBub25jZQ==',
                '!GhlIHNhbXBsZSBub25jZQ==', 'dGhlIHNhbXBsZSBub25jZSBhbmQgbW9yZQ==', KEY + ', ' + KEY):
        yield f'key "{key}"', request(Sec_WebSocket_Key=key), (400,)
    yield 'the key twice', request(more=[f'Sec-WebSocket-Key: {KEY}']), (400,)
    for version in (None, '', '0', '8', '12', '14', '255', '13x', '013', '+13', '13, 8'):
        yield f'Sec-WebSocket-Version {version}', request(Sec_WebSocket_Version=version), (400, 426)
    yield 'the version twice', request(more=['Sec-WebSocket-Version: 13']), (400,)
    yield 'a body', request(more=['Content-Length: 5'], body=b'hello'), (400, 413)
    yield 'a chunked body', request(more=['Transfer-Encoding: chunked'], body=b'0\r\n\r\n'), (400, 413, 501)
    yield 'Content-Length: x', request(more=['Content-Length: x']), (400,)
    for value in ('', ' ', ',', ', ,', ';', 'foo;', ';;=', 'foo;=x', 'foo; a=', 'foo; a=b c', 'foo bar', 'foo; "a"', 'foo; a="', 'foo; a="b',
                  'foo; a="b c"', 'foo; a=""', '"foo"', 'foo=bar', 'foo; a=b; ', 'foo/bar', 'foo; a="b"c'):
        yield f'extensions: "{value}"', request(more=[f'Sec-WebSocket-Extensions: {value}']), (400,)
    yield 'a second line of extensions that is wrong', \
        request(more=['Sec-WebSocket-Extensions: foo', 'Sec-WebSocket-Extensions: ;']), (400,)
    for value in ('', ',', 'a b', 'chat; x', '"chat"', 'cha\xe4t', 'chat, chat', 'soap,chat,soap'):
        yield f'subprotocols: "{ascii(value)[1:-1]}"', request(more=[f'Sec-WebSocket-Protocol: {value}']), (400,)
    yield 'a subprotocol again in a second line', \
        request(more=['Sec-WebSocket-Protocol: chat', 'Sec-WebSocket-Protocol: chat']), (400,)
    yield 'a space before a colon', request(more=['X : a']), (400,)
    yield 'a line without a colon', request(more=['X']), (400,)
    yield 'a nameless header', request(more=[': x']), (400,)
    yield 'NUL in a value', request(more=['X: a\0b']), (400,)
    yield 'NUL in a name', request(more=['X\0: a']), (400,)
    yield 'a control character in a value', request(more=['X: a\x01b']), (400,)
    yield 'CR alone in a value', request(more=['X: a\rb']), (400,)
    yield 'a letter that is no token in a name', request(more=['X(y): a']), (400,)
    yield 'ends of lines without CR', request(end='\n'), (400,)
    yield 'a head of 20 KB', request(more=['X: ' + 'y' * 20000]), (400, 414, 431)
    yield 'a target of 20 KB', request('GET /' + 'y' * 20000 + ' HTTP/1.1'), (400, 414, 431)
    yield '500 headers', request(more=[f'X{i}: y' for i in range(500)]), (400, 431)
    yield 'TLS', bytes.fromhex('16030100f8010000f40303') + bytes(range(200)), (400,)
    yield 'octets', bytes(range(256)), (400,)
    yield 'a frame', bytes.fromhex('818537fa213d7f9f4d5158'), (400,)
    yield 'spaces', b' ' * 100 + b'\r\n\r\n', (400,)


def check_101(head, wanted):
    """What is wrong with the server's 101; wanted: headers that it has besides; None: nothing."""
    lines = head.decode('latin-1').split('\r\n')
    if not lines[0].startswith('HTTP/1.1 101 '):
        return lines[0]
    found = {}
    for line in lines[1:-2]:
        name, colon, value = line.partition(': ')
        if not colon or name.lower() in found:
            return f'"{line}" in {lines}'
        found[name.lower()] = value
    expected = {'Sec-WebSocket-Accept': accept_of(KEY), **wanted, 'Upgrade': 'websocket', 'Connection': 'Upgrade'}
    expected = {n.lower(): v for n, v in expected.items()}
    return None if found == expected else f'{found}, not {expected}'


def check_refusal(head, statuses):
    status = head.split(b' ')[1:2]
    if not head.startswith(b'HTTP/1.1 ') or status[0].decode() not in map(str, statuses):
        return f'{head!r}, not one of {statuses}'
    if status == [b'426'] and (b'Sec-WebSocket-Version: 13\r\n' not in head or b'Upgrade: websocket\r\n' not in head):
        return f'426 without what is understood: {head!r}'
    if status == [b'405'] and b'Allow: GET\r\n' not in head:
        return f'405 without Allow: {head!r}'
    return None
