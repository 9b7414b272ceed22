"""HTTP/1 requests that two servers could read differently: refused, closed, and nothing of them at the app."""

import html

import pytest

from support.wire import Closed
from support.wire import head

pytestmark = pytest.mark.usefixtures("canary")

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: rec.test\r\nX: y\r\n\r\n"


def attack(gateway, recorder, data, within=5.0):
    """Sends the bytes; returns the first answer (or None), whether it then closed, and what the app saw."""
    mark = recorder.mark()
    with gateway.wire() as wire:
        wire.send(data)
        try:
            answer = wire.response()
        except Closed:
            answer = None
        closed = wire.closed(within)
    return answer, closed, recorder.since(mark)


def post(gateway, alice, *lines, body=b"", target="/x", method="POST", version="HTTP/1.1"):
    return head(method, target, gateway.authority(), f"Cookie: {alice.cookies()}", *lines, version=version) + body


def refused(outcome, *statuses):
    answer, closed, seen = outcome
    assert answer is None or answer.status in (statuses or (400,)), answer.status
    assert closed, "the connection must not go on"
    assert seen == [], [one.raw for one in seen]


CHUNKED = b"3\r\nabc\r\n0\r\n\r\n"

LENGTHS = {
    "length and chunked": ["Content-Length: 6", "Transfer-Encoding: chunked"],
    "chunked and length": ["Transfer-Encoding: chunked", "Content-Length: 3"],
    "two equal lengths": ["Content-Length: 3", "Content-Length: 3"],
    "two lengths": ["Content-Length: 3", "Content-Length: 30"],
    "length list": ["Content-Length: 3, 3"],
    "length list of two": ["Content-Length: 3, 5"],
    "plus": ["Content-Length: +3"],
    "minus": ["Content-Length: -3"],
    "hex": ["Content-Length: 0x3"],
    "exponent": ["Content-Length: 3e0"],
    "fraction": ["Content-Length: 3.0"],
    "underscore": ["Content-Length: 0_3"],
    "quoted": ['Content-Length: "3"'],
    "apostrophe": ["Content-Length: '3"],
    "space inside": ["Content-Length: 3 3"],
    "empty": ["Content-Length:"],
    "too large": ["Content-Length: 18446744073709551616"],
    "all nines": ["Content-Length: " + "9" * 30],
}

CODINGS = {
    "identity, chunked lines": ["Transfer-Encoding: identity", "Transfer-Encoding: chunked"],
    "gzip, chunked": ["Transfer-Encoding: gzip, chunked"],
    "unknown, chunked": ["Transfer-Encoding: cow, chunked"],
    "twice": ["Transfer-Encoding: chunked, chunked"],
    "two lines": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "leading comma": ["Transfer-Encoding: ,chunked"],
    "trailing comma": ["Transfer-Encoding: chunked,"],
    "parameter": ["Transfer-Encoding: chunked;q=1"],
    "quoted": ['Transfer-Encoding: "chunked"'],
    "prefix": ["Transfer-Encoding: xchunked"],
    "suffix": ["Transfer-Encoding: chunkedx"],
    "empty": ["Transfer-Encoding:"],
    "identity": ["Transfer-Encoding: identity"],
    "gzip": ["Transfer-Encoding: gzip"],
    "chunked not last": ["Transfer-Encoding: chunked, identity"],
    "vertical tab": [b"Transfer-Encoding: \x0bchunked"],
    "no-break space": [b"Transfer-Encoding: \xa0chunked"],
    "NUL": [b"Transfer-Encoding: chunked\x00"],
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_length_that_is_not_one_plain_number_is_refused(gateway, alice, recorder, name):
    refused(attack(gateway, recorder, post(gateway, alice, *LENGTHS[name], body=b"abc" + SMUGGLED)), 400, 413)


@pytest.mark.parametrize("name", CODINGS)
def test_a_coding_that_is_not_the_lone_word_chunked_is_refused(gateway, alice, recorder, name):
    data = post(gateway, alice, *CODINGS[name], body=CHUNKED + SMUGGLED)
    refused(attack(gateway, recorder, data), 400, 501)


@pytest.mark.parametrize("name", CODINGS)
def test_nor_is_it_with_a_length_beside(gateway, alice, recorder, name):
    data = post(gateway, alice, "Content-Length: 4", *CODINGS[name], body=b"1b\r\n" + SMUGGLED)
    refused(attack(gateway, recorder, data), 400, 501)


OBFUSCATED = [
    b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b" Transfer-Encoding: chunked",
    b"\tTransfer-Encoding: chunked", b"Transfer-Encoding:\x0cchunked", b"Transfer-Encoding: chunked\x0c",
    b"\x00Transfer-Encoding: chunked", b"Transfer-Encoding\x00: chunked", b"Transfer\rEncoding: chunked",
    b"X: y\rTransfer-Encoding: chunked", b"X: y\nTransfer-Encoding: chunked", b"Transfer-Encoding:\n chunked",
    b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding: chun\r\n ked", b"\xffTransfer-Encoding: chunked",
    b"Transfer Encoding: chunked", b"Transfer-Encoding\xa0: chunked", b": chunked", b"Transfer-Encoding",
    b"Transfer-Encoding\x0b: chunked", b"(Transfer-Encoding): chunked", b"Transfer-Encoding: \x7fchunked",
]  # fmt: skip


@pytest.mark.parametrize("line", OBFUSCATED, ids=repr)
def test_a_line_that_is_no_header_line_is_refused(gateway, alice, recorder, line):
    data = post(gateway, alice, "Content-Length: 4", line, body=b"1b\r\n" + SMUGGLED)
    refused(attack(gateway, recorder, data), 400, 501)


@pytest.mark.parametrize("name", ["Transfer_Encoding", "Transfer.Encoding", "Transfer-%45ncoding", "Content_Length"])
def test_a_name_a_backend_could_fold_is_not_passed_on(gateway, alice, recorder, name):
    data = post(gateway, alice, "Content-Length: 3", f"{name}: 30", body=b"abc")
    # The connection may go on, so its end is not waited for.
    answer, _, seen = attack(gateway, recorder, data, within=0.3)
    assert answer.status in (200, 400)
    for one in seen:
        assert name.lower() not in one.names() and one.body == b"abc"


@pytest.mark.parametrize("byte", [*range(0x01, 0x21), 0x7F, 0x80, 0xA0, 0xFF])
@pytest.mark.parametrize("place", ["before name", "after name", "before value", "after value"])
def test_a_stray_byte_around_the_coding_never_splits_the_reading(gateway, alice, recorder, byte, place):
    stray = bytes([byte])
    line = {
        "before name": stray + b"Transfer-Encoding: chunked",
        "after name": b"Transfer-Encoding" + stray + b": chunked",
        "before value": b"Transfer-Encoding: " + stray + b"chunked",
        "after value": b"Transfer-Encoding: chunked" + stray,
    }[place]
    data = post(gateway, alice, "Content-Length: 4", line, body=b"1b\r\n" + SMUGGLED)
    _, _, seen = attack(gateway, recorder, data)
    assert all(one.target != "/smuggled" for one in seen)
    assert all("transfer-encoding" not in one.names() for one in seen)
    assert recorder.broken == []


SIZES = [
    b"0x3", b"+3", b"-3", b"3_", b" 3", b"", b"G", b"3 ;", b"11111111111111111", b"3;\x00", b"3\x0b",
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES, ids=repr)
def test_a_chunk_size_that_is_no_number_ends_the_request(gateway, alice, recorder, size):
    data = post(gateway, alice, "Transfer-Encoding: chunked", body=size + b"\r\nabc\r\n0\r\n\r\n" + SMUGGLED)
    broken_body(attack(gateway, recorder, data))


BODIES = [
    b"3\nabc\r\n0\r\n\r\n", b"3\r\nabcXX0\r\n\r\n", b"3\r\nabc\n0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n",
    b"3\r\nabc\r0\r\n\r\n", b"3\r\nabc\r\n0\r\nbad trailer\r\n\r\n", b"3\r\nabc\r\n0\r\n\n", b"3\rabc\r\n0\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=repr)
def test_bad_ends_of_chunks_end_the_request(gateway, alice, recorder, body):
    broken_body(attack(gateway, recorder, post(gateway, alice, "Transfer-Encoding: chunked", body=body + SMUGGLED)))


def broken_body(outcome):
    answer, closed, seen = outcome
    assert answer is None or answer.status in (400, 502), answer.status
    assert closed
    assert [one for one in seen if one.complete] == [], "the app must not take a broken body for a whole one"
    assert all(one.target != "/smuggled" for one in seen)


@pytest.mark.parametrize("filler", [b"0", b" "], ids=["zeros", "spaces"])
def test_an_endless_chunk_size_is_cut(gateway, alice, recorder, filler):
    data = post(gateway, alice, "Transfer-Encoding: chunked", body=filler * 300_000)
    answer, closed, seen = attack(gateway, recorder, data)
    assert answer is None or answer.status in (400, 413, 431)
    assert closed and not [one for one in seen if one.complete]


HEADS = [
    b"GET  /x HTTP/1.1\r\nHost: H\r\n\r\n", b"GET\t/x HTTP/1.1\r\nHost: H\r\n\r\n",
    b"GET /x HTTP/1.1 \r\nHost: H\r\n\r\n", b"GET /x  HTTP/1.1\r\nHost: H\r\n\r\n",
    b"GET /x\r\nHost: H\r\n\r\n", b"GET /x HTTP/0.9\r\nHost: H\r\n\r\n", b"GET /x HTTP/1.2\r\nHost: H\r\n\r\n",
    b"GET /x HTTP/2.0\r\nHost: H\r\n\r\n", b"GET /x HTTP/01.1\r\nHost: H\r\n\r\n", b"GET /x http/1.1\r\nHost: H\r\n\r\n",
    b"GET /x HTTP/1.1\nHost: H\n\n", b"GET /x HTTP/1.1\r\nHost: H\n\r\n", b"GET /x HTTP/1.1\rHost: H\r\r",
    b"GET /x HTTP/1.1\r\n Host: H\r\n\r\n", b"GET /x HTTP/1.1\r\nHost: H\r\nX: a\r\n b\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: H\r\nNo colon here\r\n\r\n", b"GET /x HTTP/1.1\r\nHost: H\r\n: empty\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: H\r\nA\x00b: c\r\n\r\n", b"GET /x HTTP/1.1\r\nHost: H\r\nA: b\x00c\r\n\r\n",
    b"G(T /x HTTP/1.1\r\nHost: H\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x00\x05hello",
    b"GET /x HTTP/1.1\r\nHost: H\r\n\r\rX", b"GET /\x00 HTTP/1.1\r\nHost: H\r\n\r\n",
    b"GET /x#frag HTTP/1.1\r\nHost: H\r\n\r\n", b"GET /x\x80 HTTP/1.1\r\nHost: H\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("raw", HEADS, ids=repr)
def test_a_head_that_is_not_http_is_refused(gateway, alice, recorder, raw):
    raw = raw.replace(b"Host: H", f"Host: {gateway.authority()}\r\nCookie: {alice.cookies()}".encode())
    answer, closed, seen = attack(gateway, recorder, raw + b"\r\n\r\n")
    assert answer is None or answer.status in (400, 501, 505), answer.status
    assert closed and seen == []


@pytest.mark.parametrize("target", ["/.vestibule/login", "/.vestibule/logout", "/private", "/nothing", "/never/x"])
@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "OPTIONS", "DELETE"])
def test_a_body_we_do_not_read_is_never_the_next_request(gateway, recorder, target, method):
    mark = recorder.mark()
    body = b"GET /smuggled HTTP/1.1\r\nX-Pad: aaaaaaaaa"
    follow = head("GET", "/.vestibule/nothing-here", gateway.authority())
    with gateway.wire() as wire:
        wire.send(head(method, target, gateway.authority(), f"Content-Length: {len(body)}") + body + follow)
        first = wire.response(method)
        rest = wire.responses()
    assert first.status in (200, 303, 400, 401, 403, 404, 405, 413, 415)
    # Either the body was drained, and the next answer is that of our own 404; or the connection was closed.
    assert len(rest) <= 1
    assert recorder.since(mark) == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "PUT"])
def test_a_body_travels_with_its_request_whatever_the_method(gateway, alice, recorder, method):
    mark = recorder.mark()
    for lines, body in (
        ([f"Content-Length: {len(SMUGGLED)}"], SMUGGLED),
        (["Transfer-Encoding: chunked"], b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
    ):
        with gateway.wire() as wire:
            wire.send(post(gateway, alice, *lines, body=body, method=method))
            assert wire.response(method).status in (200, 400)
    came = recorder.since(mark)
    assert all(one.target == "/x" and one.body in (SMUGGLED, b"") for one in came)
    assert recorder.broken == []


def test_http_1_0_with_chunked_is_refused(gateway, alice, recorder):
    data = post(gateway, alice, "Transfer-Encoding: chunked", body=CHUNKED, version="HTTP/1.0")
    refused(attack(gateway, recorder, data), 400, 501)


def test_a_body_that_ends_too_soon_is_not_taken_for_a_whole_one(gateway, alice, recorder):
    mark = recorder.mark()
    with gateway.wire() as wire:
        wire.send(post(gateway, alice, "Content-Length: 100", body=b"only this"))
    from support.waiting import wait_until

    wait_until(lambda: all(not one.complete for one in recorder.since(mark)), "nothing whole arrived")


def test_an_extra_body_byte_is_the_start_of_a_bad_request(gateway, alice, recorder):
    answer, closed, seen = attack(gateway, recorder, post(gateway, alice, "Content-Length: 3", body=b"abcZZZ\r\n\r\n"))
    assert answer.status == 200 and closed
    assert [one.body for one in seen] == [b"abc"]


def test_pipelined_requests_are_each_judged_by_their_own_cookie_and_answered_in_order(gateway, alice, recorder):
    mark = recorder.mark()
    authority, cookie = gateway.authority(), f"Cookie: {alice.cookies()}"
    with gateway.wire() as wire:
        wire.send(
            head("GET", "/one", authority, cookie) + head("GET", "/two", authority) + head("GET", "/three", authority, cookie)
        )
        statuses = [wire.response().status for _ in range(3)]
    assert statuses == [200, 401, 200]
    assert [one.target for one in recorder.since(mark)] == ["/one", "/three"]


def test_a_bad_request_after_good_ones_spoils_only_itself(gateway, alice, recorder):
    mark = recorder.mark()
    good = post(gateway, alice, method="GET", target="/good")
    with gateway.wire() as wire:
        wire.send(good + b"BAD REQUEST LINE HERE\r\n\r\n" + good)
        assert [one.status for one in wire.responses()] in ([200, 400], [200])
    assert [one.target for one in recorder.since(mark)] == ["/good"]


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        ([f"X-{n}: y" for n in range(150)], (431,)),
        (["X: " + "y" * 70_000], (431,)),
        (["X" * 40_000 + ": y"], (431, 400)),
        (["Cookie: " + "a=b; " * 15_000], (431,)),
    ],
    ids=["many", "long value", "long name", "cookie bomb"],
)
def test_heads_beyond_the_limits_are_refused(gateway, recorder, lines, statuses):
    data = head("GET", "/x", gateway.authority(), *lines)
    refused(attack(gateway, recorder, data), *statuses)


# As Chromium and Firefox write it: one sends its cookies last, the other before the fields that say what it is for.
ASKS = {
    "chromium": ["Accept: text/html,*/*;q=0.8", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Cookie: CRUMBS"],
    "firefox": ["Accept: text/html,*/*;q=0.8", "Cookie: CRUMBS", "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate"],
    "a script": ["Accept: */*", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Cookie: CRUMBS"],
}


@pytest.mark.parametrize("who", ASKS)
def test_a_browser_with_too_many_cookies_is_told_what_to_do(gateway, recorder, who):
    crumbs = "; ".join(f"c{n}={'x' * 3500}" for n in range(40))
    data = head("GET", "/x", gateway.authority(), *(line.replace("CRUMBS", crumbs) for line in ASKS[who]))
    answer, closed, seen = attack(gateway, recorder, data)
    assert answer.status == 431 and closed and seen == []
    if who == "a script":
        assert "cookies" in answer.json()["message"]
    else:
        assert answer.get("Content-Type").startswith("text/html"), answer.text
        assert "Delete this site's cookies" in html.unescape(answer.text)


def test_an_address_beyond_the_limit_is_refused(gateway, recorder):
    data = head("GET", "/" + "a" * 70_000, gateway.authority())
    refused(attack(gateway, recorder, data), 414, 431)


@pytest.mark.parametrize("expectation", ["x 100-continue", "200-ok", "100-continue, x"])
def test_an_unknown_expectation_is_refused(gateway, alice, recorder, expectation):
    data = post(gateway, alice, f"Expect: {expectation}", "Content-Length: 3", body=b"abc")
    answer, _, seen = attack(gateway, recorder, data)
    assert answer.status in (400, 417) and seen == []


def test_an_app_that_answers_early_leaves_no_bytes_on_a_shared_connection(gateway, alice, recorder):
    recorder.on("/early", b"HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\n\r\n", keep=False, early=True)
    with gateway.wire() as wire:
        wire.send(post(gateway, alice, "Content-Length: 200000", body=SMUGGLED * 10, target="/early"))
        assert wire.response().status in (413, 502)
    mark = recorder.mark()
    for _ in range(5):
        alice.visit("/after-early")
    assert [one.target for one in recorder.since(mark)] == ["/after-early"] * 5
    assert recorder.broken == []


# What a hostile or broken app sends back.

BAD_ANSWERS = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "length and coding": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "not http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
    "folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b: c\r\nContent-Length: 0\r\n\r\n",
    "folded cookie": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=1\r\n\t; Path=/x\r\n\r\n",
    "line without a colon": b"HTTP/1.1 200 OK\r\nX y\r\nContent-Length: 0\r\n\r\n",
    "bare NUL": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhello",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc",
    "equal lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "lone LF": b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b=1\r\nContent-Length: 0\r\n\r\n",
    "lone CR": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
    "bad name": b"HTTP/1.1 200 OK\r\nX(y): a\r\nContent-Length: 0\r\n\r\n",
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 200 + b"Content-Length: 0\r\n\r\n",
    "too long": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "interim without end": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "bad chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_of_the_app_is_a_502_and_its_connection_is_not_used_again(gateway, alice, recorder, name):
    path = "/bad/" + name.replace(" ", "-")
    recorder.on(path, BAD_ANSWERS[name], keep=False)
    answer = alice.visit(path)
    assert answer.status == 502
    assert all(alice.visit("/fine").json()["target"] == "/fine" for _ in range(3))


def test_bytes_after_an_answer_never_reach_the_next_person(gateway, alice, recorder):
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    recorder.on("/double", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + extra)
    for _ in range(3):
        assert alice.visit("/double").body == b"ok"
        assert alice.visit("/fine").json()["target"] == "/fine"


def test_an_answer_that_is_cut_off_is_visibly_cut_off(gateway, alice, recorder):
    recorder.on("/cut", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", keep=False)
    recorder.on("/cut-chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", keep=False)
    for path in ("/cut", "/cut-chunks"):
        with gateway.wire() as wire, pytest.raises(Closed):
            wire.send(post(gateway, alice, method="GET", target=path))
            if wire.response().status == 502:
                raise Closed  # said so openly: as good
