"""HTTP/2 as foreign clients speak it, and frames no honest client would send."""

import html
import subprocess

import pytest
from hyperframe.frame import DataFrame

from support.h2client import Http2
from support.h2client import request
from support.person import SESSION

pytestmark = pytest.mark.usefixtures("canary")


@pytest.fixture
def cookie(alice):
    return ("cookie", f"{SESSION}={alice.cookie}")


def never_arrives(gateway, recorder, headers, **more):
    """Opens one stream; it must be reset or refused, and the app must see nothing of it."""
    mark = recorder.mark()
    with Http2(gateway.port) as client:
        stream = client.finish(client.open(headers, **more))
        came = recorder.since(mark)
        assert stream.reset is not None or client.goaway is not None or client.closed or stream.status in range(400, 502)
    assert [one for one in came if one.complete] == [], [one.raw for one in came]
    return stream


def test_an_ordinary_request_goes_through(gateway, recorder, cookie):
    with Http2(gateway.port) as client:
        stream = client.finish(client.open(request(gateway.authority(), extra=[cookie, ("x-own", "1")])))
    assert stream.status == 200
    seen = recorder.last()
    assert seen.one("Host") == gateway.authority() and seen.one("X-Own") == "1"
    assert seen.one("X-Forwarded-User") == "alice"


def test_cookie_crumbs_are_joined(gateway, recorder, cookie):
    crumbs = [("cookie", "a=1"), cookie, ("cookie", "b=2")]
    with Http2(gateway.port) as client:
        assert client.finish(client.open(request(gateway.authority(), extra=crumbs))).status == 200
    assert recorder.last().all("Cookie") == ["a=1; b=2"]


def test_two_session_crumbs_are_no_session(gateway, cookie):
    with Http2(gateway.port) as client:
        crumbs = [cookie, ("cookie", f"{SESSION}={'B' * 43}")]
        assert client.finish(client.open(request(gateway.authority(), extra=crumbs))).status == 401


def test_many_streams_at_once_get_their_own_answers(gateway, cookie):
    with Http2(gateway.port) as client:
        numbers = {client.open(request(gateway.authority(), f"/s/{n}", extra=[cookie])): n for n in range(80)}
        for number, n in numbers.items():
            assert f'"/s/{n}"'.encode() in client.finish(number).body


@pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
def test_a_length_that_does_not_fit_the_data_is_refused(gateway, recorder, cookie, method):
    for length, data in (("5", b"abc"), ("2", b"abc"), ("3, 3", b"abc"), ("x", b"abc"), ("0", b"abc"), ("", b"abc")):
        extra = [cookie, ("content-length", length)]
        never_arrives(gateway, recorder, request(gateway.authority(), method=method, extra=extra), data=data)


def test_two_lengths_are_refused(gateway, recorder, cookie):
    extra = [cookie, ("content-length", "0"), ("content-length", "40")]
    never_arrives(gateway, recorder, request(gateway.authority(), method="POST", extra=extra), data=b"x" * 40)


@pytest.mark.parametrize(
    "field",
    [("transfer-encoding", "chunked"), ("connection", "close"), ("connection", "x-forwarded-user"), ("te", "gzip"),
     ("keep-alive", "timeout=5"), ("upgrade", "h2c"), ("proxy-connection", "close")],
)  # fmt: skip
def test_fields_of_the_connection_are_refused(gateway, recorder, cookie, field):
    never_arrives(gateway, recorder, request(gateway.authority(), method="POST", extra=[cookie, field]), data=b"abc")


@pytest.mark.parametrize(
    "field",
    [("foo", "a\r\nx-forwarded-user: admin"), ("foo", "a\nb"), ("foo", "a\0b"), ("foo\r\nx-evil", "1"), ("foo: x", "1"),
     ("Foo", "1"), ("", "1"), ("foo bar", "1"), ("foo", " a"), ("foo", "a\t"), ("foo\0", "1"), ("x-forwarded-USER", "admin")],
    ids=repr,
)  # fmt: skip
def test_names_and_values_that_are_no_fields_never_pass_as_they_are(gateway, recorder, cookie, field):
    mark = recorder.mark()
    with Http2(gateway.port) as client:
        client.finish(client.open(request(gateway.authority(), extra=[cookie, field])))
    for seen in recorder.since(mark):
        assert b"\nx-evil" not in seen.raw.lower() and b"admin" not in seen.raw
        # A blank at the end of a value may be trimmed, as HTTP/1 does; nothing else may arrive.
        assert field[0] == "foo" and field[1].strip(" \t") == "a"
    assert recorder.broken == []


def pseudo(gateway, **changes):
    pairs = dict(request(gateway.authority()))
    for name, value in changes.items():
        pairs[f":{name}"] = value
    return [(name, value) for name, value in pairs.items() if value is not None]


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "GET / HTTP/1.1\r\nX: y"}, {"method": "GET /admin"}, {"method": ""}, {"method": None},
        {"method": "GET?"}, {"scheme": "http://x/?"}, {"scheme": None}, {"path": None}, {"path": ""},
        {"path": "x"}, {"path": "/ HTTP/1.1\r\nX: y"}, {"path": "/a b"}, {"path": "/a\0"}, {"path": "/a\nb"}, {"path": "*"},
        {"path": "//evil.test/x"}, {"path": "http://evil.test/"}, {"path": "/public/../x"},
        {"authority": "evil.test"}, {"authority": "user@rec.test"}, {"authority": "rec.test/x"}, {"authority": ""},
        {"authority": None}, {"unknown": "x"}, {"protocol": "websocket"}, {"status": "200"},
        {"authority": "rec.test\r\nX: y"},
    ],
    ids=repr,
)  # fmt: skip
def test_pseudo_headers_that_are_wrong_are_refused(gateway, recorder, cookie, changes):
    never_arrives(gateway, recorder, [*pseudo(gateway, **changes), cookie])


def test_a_fragment_is_cut_off_before_judging_and_forwarding(gateway, recorder, cookie):
    # The h2 crate cuts it: what is judged is what the app gets.
    with Http2(gateway.port) as client:
        assert client.finish(client.open([*pseudo(gateway, path="/x#/../y"), cookie])).status == 200
    assert recorder.last().target == "/x"


def test_pseudo_headers_twice_or_late_are_refused(gateway, recorder, cookie):
    base = request(gateway.authority())
    for extra in ([(":path", "/y")], [(":method", "POST")], [(":authority", "evil.test")], [("a", "b"), (":path", "/y")]):
        never_arrives(gateway, recorder, [*base, *extra, cookie])
    never_arrives(gateway, recorder, [base[0], ("a", "b"), *base[1:], cookie])


def test_a_host_that_contradicts_the_authority_is_refused(gateway, recorder, cookie):
    never_arrives(gateway, recorder, request(gateway.authority(), extra=[cookie, ("host", "evil.test")]))
    never_arrives(gateway, recorder, request(gateway.authority(), extra=[cookie, ("host", gateway.authority("flask.test"))]))


def test_trailers_never_become_headers(gateway, recorder, cookie):
    mark = recorder.mark()
    for name, value in (("x-forwarded-user", "admin"), ("content-length", "0"), (":path", "/y"), ("x-note", "1")):
        with Http2(gateway.port) as client:
            headers = request(gateway.authority(), method="POST", extra=[cookie])
            client.finish(client.open(headers, data=b"abc", trailers=[(name, value)]))
    for seen in recorder.since(mark):
        assert seen.all("X-Forwarded-User") == ["alice"] and b"admin" not in seen.raw + seen.trailers


def test_connect_is_refused_and_not_offered(gateway, recorder, cookie):
    with Http2(gateway.port) as client:
        client.drain(0.3)
        assert client.settings.get(8, 0) == 0
    never_arrives(gateway, recorder, [(":method", "CONNECT"), (":authority", "rec.test:22"), cookie], end=False)


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD", "OPTIONS"])
def test_data_of_unusual_methods_never_leaks_into_the_next_request(gateway, recorder, cookie, method):
    mark = recorder.mark()
    with Http2(gateway.port) as client:
        body = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        client.finish(client.open(request(gateway.authority(), method=method, extra=[cookie]), data=body))
        assert client.finish(client.open(request(gateway.authority(), "/next", extra=[cookie]))).status == 200
    assert [seen.target for seen in recorder.since(mark)] in (["/x", "/next"], ["/next"])
    assert recorder.broken == []


@pytest.mark.parametrize("mode", ["navigate", "cors"])
def test_a_browser_with_too_many_cookies_is_told_what_to_do(gateway, recorder, mode):
    mark = recorder.mark()
    crumbs = [("cookie", f"c{n}={'x' * 3500}") for n in range(12)]
    accept = "text/html,*/*;q=0.8" if mode == "navigate" else "*/*"
    headers = request(gateway.authority(), extra=[("accept", accept), ("sec-fetch-mode", mode), *crumbs])
    with Http2(gateway.port) as client:
        stream = client.finish(client.open(headers))
    assert stream.status == 431 and recorder.since(mark) == []
    said = html.unescape(stream.body.decode())
    assert "Delete this site's cookies" in said
    assert ("<html" in said) == (mode == "navigate")


def test_more_cookies_than_fields_are_allowed_are_one_field(gateway, recorder, cookie):
    crumbs = [("cookie", f"c{n}=x") for n in range(150)]
    with Http2(gateway.port) as client:
        stream = client.finish(client.open(request(gateway.authority(), extra=[cookie, *crumbs])))
    assert stream.status == 200
    assert recorder.last().one("Cookie") == "; ".join(f"{name}" for _, name in crumbs)


def test_trailers_of_pseudo_header_fields_are_no_end_of_a_request(gateway, recorder, cookie):
    never_arrives(gateway, recorder, request(gateway.authority(), method="POST", extra=[cookie]), data=b"abc", trailers=[(":path", "/y")])


def test_a_header_list_beyond_the_limit_is_refused(gateway, recorder, cookie):
    mark = recorder.mark()
    for extra in ([(f"x-{n}", "y" * 400) for n in range(200)], [("cookie", "a=b")] * 4000):
        with Http2(gateway.port) as client:
            stream = client.finish(client.open(request(gateway.authority(), extra=[cookie, *extra])[:120]))
            assert stream.status in (200, 431) or stream.reset is not None or client.goaway is not None or client.closed
    assert all(len(seen.headers) < 130 for seen in recorder.since(mark))


def test_rapid_resets_are_stopped(gateway, cookie):
    from hyperframe.frame import RstStreamFrame

    with Http2(gateway.port) as client:
        for _ in range(3000):
            number = client.open(request(gateway.authority(), extra=[cookie]))
            client.send_raw(RstStreamFrame(number, 8).serialize())
        client.drain(3)
        # Either the connection was told to go away, or its work was bounded; the canary decides the rest.
        assert client.goaway is not None or client.closed or len(client.streams) == 3000


def test_h2load_gets_every_answer(gateway):
    url = f"https://rec.test:{gateway.port}/public/load"
    command = ["h2load", "-n", "500", "-c", "4", "-m", "20", f"--connect-to=127.0.0.1:{gateway.port}", url]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    assert "500 succeeded, 0 failed" in said, said


def test_nghttp_gets_an_answer(gateway):
    command = ["nghttp", "-v", "--no-verify-peer", "-H", f":authority: {gateway.authority()}",
               f"https://127.0.0.1:{gateway.port}/public/x"]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    assert ":status: 200" in said, said


def test_an_upload_that_sends_a_byte_now_and_then_is_cut(make_gateway, recorder):
    rules = [{"path": "/*", "allow": "anyone"}]
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream, "rules": rules}]
    gateway = make_gateway("trickle", sites, limits={"idle_timeout": "1s"})
    with Http2(gateway.port) as client:
        extra = [("sec-fetch-site", "same-origin")]
        fields = request(gateway.authority(), "/trickle", "POST", extra=extra)
        endless = client.open(fields, data=b"x", end=False)
        promised = client.open([*fields, ("content-length", "0")], end=False)
        # What came of the second is seen below: it must not be told by the bytes of the first.
        for _ in range(30):
            client.send_raw(DataFrame(endless, b"x").serialize())
            client.drain(0.1)
            if client.streams[endless].status:
                break
        assert client.streams[endless].status == 400
        assert client.finish(promised).status == 400
