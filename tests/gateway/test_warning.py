"""The script that warns of a session's end: in which pages it is, what becomes of their heads, and that they stream."""

import gzip
import hashlib
import re
import time

import pytest

from support.h2client import Http2
from support.h2client import request
from support.person import LOGIN
from support.person import NAVIGATION
from support.person import SCRIPT
from support.person import WHO
from support.person import Form
from support.person import Person
from support.recorder import Recorder
from support.recorder import answer
from support.waiting import wait_until
from support.wire import head

EXTEND = "/.vestibule/session/extend"
LINE = re.compile(rb'\n<!--\n"\'> --><script src="https://[^/"]+(/\.vestibule/warning\.js\?v=[0-9a-f]{16})" data-idle="(\d+)" data-absolute="(\d+)"([^>]*) defer></script>\n\n?$')
PAGE = b"<!doctype html><title>A page</title><p>Text</p>"
HTML = "Content-Type: text/html; charset=utf-8"


@pytest.fixture(scope="module")
def app():
    recorder = Recorder()
    yield recorder
    recorder.close()


@pytest.fixture(scope="module")
def warning(make_gateway, app):
    rules = [{"path": "/public/*", "allow": "anyone"}]
    sites = [
        {"hosts": ["rec.test"], "upstream": app.upstream, "rules": rules, "session": {"warn": True}},
        {"hosts": ["quiet.test"], "upstream": app.upstream},
        {"hosts": ["watch.test"], "upstream": app.upstream, "mode": "observe", "session": {"warn": True}},
        {
            "hosts": ["own.test"],
            "upstream": app.upstream,
            "session": {"warn": {"idle": "3m", "absolute": "10m"}},
            "headers": {"cache": "app"},
        },
    ]
    return make_gateway("warning", sites)


@pytest.fixture(scope="module")
def bob(warning):
    person = Person(warning)
    person.login("bob")
    return person


@pytest.fixture(scope="module")
def own(warning):
    """Somebody at a site whose app may let pages be cached."""
    person = Person(warning, "own.test")
    person.login("bob")
    return person


def page(status="200 OK", headers=(), body=PAGE):
    return answer(status, [HTML, *headers], body)


def chunked(headers=(), pieces=(PAGE,), end=b"0\r\n\r\n"):
    lines = ["HTTP/1.1 200 OK", HTML, "Transfer-Encoding: chunked", *headers]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + chunks + end


def ask(wire, person, path):
    lines = [f"{name}: {value}" for name, value in {**NAVIGATION, "Cookie": person.cookies()}.items()]
    wire.send(head("GET", path, person.authority, *lines))


def test_a_page_that_a_person_opens_has_the_script_after_its_last_byte(bob, app):
    app.on("/page", page())
    shown = bob.visit("/page")
    assert shown.body.startswith(PAGE)
    found = LINE.fullmatch(shown.body[len(PAGE):])
    assert found and found[2] == b"120" and found[3] == b"300" and found[4] == b""
    assert shown.all("Content-Length") == [str(len(shown.body))]
    assert shown.get("Accept-Ranges") == "none" and "Sec-Fetch-Dest" in shown.get("Vary")
    asked = app.last()
    assert asked.all("Accept-Encoding") == ["identity"]


def test_a_site_says_how_long_before(own, app):
    app.on("/page", page())
    found = LINE.search(own.visit("/page").body)
    assert (found[2], found[3]) == (b"180", b"600")


def test_the_app_is_asked_for_the_whole_page_as_it_is_and_only_then(bob, app):
    app.on("/page", page())
    ranged = {"Accept-Encoding": "gzip, br", "Range": "bytes=5-", "If-Range": '"a"'}
    bob.visit("/page", **ranged)
    asked = app.last()
    assert asked.all("Accept-Encoding") == ["identity"] and not asked.all("Range") and not asked.all("If-Range")
    bob.fetch("/page", **ranged)
    asked = app.last()
    assert [asked.all(name) for name in ranged] == [["gzip, br"], ["bytes=5-"], ['"a"']]


def test_head_says_what_get_would(bob, app):
    whole = page(headers=['ETag: "a"'])
    app.on("/page", lambda client, seen: client.sendall(whole[: -len(PAGE)] if seen.method == "HEAD" else whole))
    told, shown = (bob.request(method, "/page", NAVIGATION) for method in ("HEAD", "GET"))
    for name in ("Content-Length", "ETag", "Content-Type", "Accept-Ranges", "Vary"):
        assert told.all(name) == shown.all(name) != [], name
    assert told.body == b"" and int(shown.get("Content-Length")) == len(shown.body)


@pytest.mark.parametrize("status", ["404 Not Found", "422 Unprocessable Content", "500 Oops", "403 Forbidden"])
def test_pages_of_other_statuses_have_it_too(bob, app, status):
    app.on("/status", page(status))
    assert LINE.search(bob.visit("/status").body)


def test_a_form_that_comes_back_has_it_too(bob, app):
    app.on("/form", page("200 OK"))
    assert LINE.search(bob.submit("/form", {"name": "x"}).body)
    # By a browser that does not say what for, it may be a script's.
    assert not LINE.search(bob.submit("/form", {"name": "x"}, {"Sec-Fetch-Dest": None}).body)


BARE = [
    ("gzip", answer(headers=[HTML, "Content-Encoding: gzip"], body=gzip.compress(PAGE))),
    ("json", answer(headers=["Content-Type: application/json"], body=b"{}")),
    ("events", answer(headers=["Content-Type: text/event-stream"], body=b"data: x\n\n")),
    ("xhtml", answer(headers=["Content-Type: application/xhtml+xml"], body=PAGE)),
    ("untyped", answer(body=PAGE)),
    ("utf-16", answer(headers=["Content-Type: text/html; charset=utf-16le"], body=PAGE.decode().encode("utf-16-le"))),
    ("download", page(headers=["Content-Disposition: attachment; filename=a.html"])),
    ("no-transform", page(headers=["Cache-Control: private, no-transform"])),
    ("sandbox", page(headers=["Content-Security-Policy: sandbox allow-forms"])),
    ("empty", page(body=b"")),
    ("part", page("206 Partial Content", ["Content-Range: bytes 0-46/90"])),
    ("moved", page("302 Found", ["Location: /elsewhere"])),
]


@pytest.mark.parametrize(("name", "bare"), BARE, ids=[name for name, _ in BARE])
def test_what_is_no_page_goes_through_as_it_came(bob, app, name, bare):
    app.on(f"/bare/{name}", bare)
    shown = bob.visit(f"/bare/{name}")
    body = bare.split(b"\r\n\r\n", 1)[1]
    assert shown.body == body and shown.get("Content-Length") == str(len(body))
    assert shown.get("Accept-Ranges") is None


@pytest.mark.parametrize(
    "lines",
    [
        {**SCRIPT, "Accept": "text/html"},
        {**NAVIGATION, "Sec-Fetch-Dest": "iframe"},
        {**NAVIGATION, "Sec-Fetch-Dest": "frame"},
        {**NAVIGATION, "Sec-Fetch-Dest": "object"},
        {"Accept": "*/*"},
        {"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"},
    ],
)
def test_only_what_a_person_opens_has_it(bob, app, lines):
    app.on("/page", page())
    shown = bob.request("GET", "/page", lines)
    assert shown.body == PAGE and "Sec-Fetch-Dest" in shown.get("Vary")


def test_a_browser_that_does_not_say_what_for_is_believed_for_pages(bob, app):
    app.on("/page", page())
    assert LINE.search(bob.request("GET", "/page", {"Accept": "text/html,*/*;q=0.8"}).body)


def test_nobody_is_warned_of_a_session_they_do_not_have(warning, app):
    app.on("/public/page", page())
    shown = Person(warning).visit("/public/page")
    assert shown.body == PAGE and shown.get("Vary") is None


@pytest.mark.parametrize("host", ["quiet.test", "watch.test"])
def test_a_site_that_does_not_ask_for_it_or_is_only_observed_is_left_alone(warning, app, host):
    person = Person(warning, host)
    form = Form(person.visit(LOGIN).text)
    person.submit(form.action, {**form.hidden(), "username": "bob", "password": warning.passwords["bob"]})
    assert person.authenticated()
    app.on("/page", page(headers=["Accept-Ranges: bytes"]))
    shown = person.visit("/page", **{"Accept-Encoding": "gzip"})
    assert shown.body == PAGE and shown.get("Accept-Ranges") == "bytes"
    assert app.last().all("Accept-Encoding") == ["gzip"]


def test_our_own_pages_have_no_need_of_it(bob):
    for place in ("logout", "password", "sessions", "nothing"):
        assert b"warning.js" not in bob.visit(f"/.vestibule/{place}").body


def test_pages_stream_and_the_script_comes_last(bob, app, warning):
    more = []

    def slowly(client, seen):
        client.sendall(chunked(pieces=[b"<p>first</p>"], end=b""))
        wait_until(lambda: more, "the first piece has come through")
        client.sendall(b"d\r\n<p>second</p>\r\n0\r\n\r\n")

    app.on("/slow", slowly)
    with warning.wire() as wire:
        ask(wire, bob, "/slow")
        early = wire.read_until(b"<p>first</p>\r\n")
        assert b"warning.js" not in early
        more.append(True)
        rest = wire.read_until(b"0\r\n\r\n")
    assert rest.index(b"<p>second</p>") < rest.index(b"warning.js")


def test_what_breaks_off_gets_nothing_behind_it(warning, bob, app):
    arrived = []

    def breaks_off(reply):
        def send(client, seen):
            client.sendall(reply)
            wait_until(lambda: arrived, "the first piece has come through")

        return send

    app.on("/broken", breaks_off(chunked(pieces=[PAGE], end=b"")), keep=False)
    short = page().replace(b"Content-Length: %d" % len(PAGE), b"Content-Length: 900")
    app.on("/short", breaks_off(short), keep=False)
    for path in ("/broken", "/short"):
        arrived.clear()
        with warning.wire() as wire:
            ask(wire, bob, path)
            wire.read_until(PAGE)
            arrived.append(True)
            rest = wire.buffer
            wire.sock.settimeout(10)
            while data := wire._receive():
                rest += data
        assert b"warning.js" not in rest and not rest.endswith(b"0\r\n\r\n")
        with Http2(warning.port) as client:
            extra = [*((name.lower(), value) for name, value in NAVIGATION.items()), ("cookie", bob.cookies())]
            stream = client.finish(client.open(request(warning.authority(), path, extra=extra)))
        assert stream.reset is not None and b"warning.js" not in stream.body


def test_a_page_in_utf_16_keeps_its_letters(bob, app):
    wide = PAGE.decode().encode("utf-16")
    app.on("/wide", answer(headers=["Content-Type: text/html"], body=wide))
    shown = bob.visit("/wide")
    assert len(shown.body) == int(shown.get("Content-Length")) > len(wide)
    assert shown.body.decode("utf-16").rstrip(" ") == PAGE.decode()


def test_over_http_2_it_is_the_same(warning, bob, app):
    app.on("/page", page())
    app.on("/chunks", chunked(pieces=[b"<p>", b"x"]))
    extra = [*((name.lower(), value) for name, value in NAVIGATION.items()), ("cookie", bob.cookies())]
    with Http2(warning.port) as client:
        for path, body in (("/page", PAGE), ("/chunks", b"<p>x")):
            stream = client.finish(client.open(request(warning.authority(), path, extra=extra)))
            assert stream.status == 200 and stream.ended
            assert stream.body.startswith(body) and LINE.fullmatch(stream.body[len(body):])
            lengths = [value for name, value in stream.headers if name == "content-length"]
            assert lengths in ([], [str(len(stream.body))])


def revalidating(tag=None, moment=None):
    """An app's page that says 304 as it should."""
    fields = [f"ETag: {tag}"] * bool(tag) + [f"Last-Modified: {moment}"] * bool(moment) + ["Cache-Control: private, no-cache"]

    def reply(client, seen):
        same = seen.all("If-None-Match") == [tag] if tag else seen.all("If-Modified-Since") == [moment]
        client.sendall("\r\n".join(["HTTP/1.1 304 Not Modified", *fields]).encode() + b"\r\n\r\n" if same else page(headers=fields))

    return reply


@pytest.mark.parametrize("tag", ['"v1"', 'W/"v1"'])
def test_a_page_that_has_not_changed_is_not_sent_again(own, app, tag):
    app.on("/tagged", revalidating(tag))
    marked = own.visit("/tagged").get("ETag")
    assert marked != tag and marked.startswith(tag[:-1] + "~")
    again = own.visit("/tagged", **{"If-None-Match": marked})
    assert (again.status, again.get("ETag")) == (304, marked) and "Sec-Fetch-Dest" in again.get("Vary")
    # The page without the script is another one, and so is one with a script of another time.
    for other in (tag, marked.replace("600", "601")):
        changed = own.visit("/tagged", **{"If-None-Match": other, "If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT"})
        assert changed.status == 200 and LINE.search(changed.body)
        assert not app.last().all("If-None-Match") and not app.last().all("If-Modified-Since")
    # And a script that fetches it asks for itself.
    assert own.fetch("/tagged", **{"If-None-Match": tag}).status == 304
    assert own.fetch("/tagged", **{"If-None-Match": marked}).status == 200


def test_an_app_without_entity_tags_is_asked_by_its_own_moment(own, app):
    moment = "Thu, 01 Jan 2026 00:00:00 GMT"
    app.on("/dated", revalidating(moment=moment))
    first = own.visit("/dated")
    again = own.visit("/dated", **{"If-None-Match": first.get("ETag"), "If-Modified-Since": moment})
    assert (first.status, again.status) == (200, 304)
    assert own.visit("/dated", **{"If-Modified-Since": moment}).status == 200


def test_digests_of_the_shorter_page_go(bob, app):
    app.on("/digest", page(headers=["Repr-Digest: sha-256=:x:", "Content-MD5: x", "Digest: md5=x", "Accept-Ranges: bytes"]))
    shown = bob.visit("/digest")
    assert [shown.get(name) for name in ("Repr-Digest", "Content-MD5", "Digest")] == [None] * 3
    assert shown.all("Accept-Ranges") == ["none"]


def test_the_apps_policy_allows_the_script_and_no_more(warning, bob, app):
    origin = f"https://{warning.authority()}/.vestibule"
    script, asks = f"{origin}/warning.js", f"{origin}/session {origin}/session/extend"
    for policy, expected in (
        ("default-src 'self'", "default-src 'self'"),
        ("default-src 'none'", f"default-src 'none'; script-src {script}; connect-src {asks}"),
        ("script-src cdn.test; connect-src 'self'", f"script-src cdn.test {script}; connect-src 'self'"),
    ):
        app.on("/csp", page(headers=[f"Content-Security-Policy: {policy}"]))
        shown = bob.visit("/csp")
        assert expected in shown.all("Content-Security-Policy") and LINE.search(shown.body)
        assert bob.fetch("/csp").all("Content-Security-Policy")[0] == policy


def test_a_nonce_is_used_and_then_nothing_is_kept(own, app):
    app.on("/nonce", page(headers=["Content-Security-Policy: script-src 'nonce-abc123' 'strict-dynamic'", 'ETag: "v1"']))
    shown = own.visit("/nonce")
    assert LINE.search(shown.body)[4] == b' nonce="abc123"' and shown.get("ETag") is None
    app.on("/hash", page(headers=["Content-Security-Policy: script-src 'strict-dynamic'"]))
    shown = own.visit("/hash")
    integrity = re.search(rb'integrity="(sha256-[^"]+)"', shown.body)[1].decode()
    assert f"'{integrity}'" in shown.all("Content-Security-Policy")[0]


def test_the_script_is_for_anybody_and_kept_for_ever(warning, bob, app):
    app.on("/page", page())
    address = LINE.search(bob.visit("/page").body)[1].decode()
    stranger = Person(warning)
    lines = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}
    shown = stranger.request("GET", address, lines)
    assert shown.status == 200 and shown.get("Content-Type") == "text/javascript; charset=utf-8"
    assert shown.get("X-Content-Type-Options") == "nosniff" and "immutable" in shown.get("Cache-Control")
    assert hashlib.sha256(shown.body).hexdigest()[:16] == address[-16:]
    assert not shown.all("Set-Cookie") and shown.get("Vary") is None
    other = stranger.request("GET", address[:-1] + "z", lines)
    assert other.status == 200 and other.get("Cache-Control") == "no-cache"
    assert stranger.request("GET", address, {**lines, "If-None-Match": shown.get("ETag")}).status == 304
    assert stranger.request("POST", address, lines).status == 405


def test_looking_never_prolongs_and_extending_does(make_gateway, app):
    site = {"hosts": ["rec.test"], "upstream": app.upstream, "session": {"warn": "1s"}}
    gateway = make_gateway("warning-brief", [site], session={"idle_timeout": "3s", "absolute_timeout": "60s"})
    person = Person(gateway)
    person.login("bob")
    for _ in range(10):
        # Ten times in a row, each time with less left than at its beginning.
        wait_until(lambda: person.fetch(WHO).json()["idle_seconds_left"] < 2, "time passes")
        extended = person.fetch(EXTEND, "POST")
        assert extended.status == 200 and extended.json()["idle_seconds_left"] >= 2
    began = time.monotonic()
    wait_until(lambda: not person.authenticated(), "the session ends while it is looked at", within=10)
    assert time.monotonic() - began < 5
    refused = person.fetch(EXTEND, "POST")
    assert refused.status == 401 and refused.json()["login"] == "/.vestibule/login"


def test_signing_in_beside_the_page_begins_anew_and_leads_back(warning, app):
    person = Person(warning, "own.test")
    person.login("bob")
    told = person.fetch(WHO).json()
    # Somebody who is signed in is asked all the same: both clocks begin anew.
    shown = person.visit(told["sign_in"])
    assert shown.status == 200 and 'name="password"' in shown.text
    before = person.cookie
    form = Form(shown.text)
    fields = {**form.hidden(), "username": "bob", "password": warning.passwords["bob"]}
    answer = person.submit(form.action, fields)
    assert answer.status == 303 and person.location(answer) == "/.vestibule/signed-in" and person.cookie != before
    back = person.visit("/.vestibule/signed-in")
    assert back.status == 200 and "go back to the page you came from" in back.text
    stranger = Person(warning, "own.test")
    assert "/.vestibule/login?return_to=" in stranger.visit("/.vestibule/signed-in").get("Location")
    assert stranger.fetch(WHO).json()["sign_in"].startswith("/.vestibule/login?return_to=")
