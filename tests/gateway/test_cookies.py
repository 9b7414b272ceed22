"""Cookies both ways: ours is read exactly, the app's are made safe, and neither side sees the other's."""

import pytest

from support.person import SESSION
from support.person import Person
from support.recorder import answer
from support.wire import head

pytestmark = pytest.mark.usefixtures("canary")


def ask(gateway, *cookie_lines, target="/x"):
    lines = [b"Cookie: " + line for line in cookie_lines]
    with gateway.wire() as wire:
        wire.send(head("GET", target, gateway.authority(), *lines))
        return wire.response()


@pytest.fixture
def good(alice):
    return f"{SESSION}={alice.cookie}".encode()


@pytest.fixture
def other(gateway):
    person = Person(gateway)
    person.login("carol")
    return f"{SESSION}={person.cookie}".encode()


JUNK = SESSION.encode() + b"=" + b"B" * 43


def test_two_session_cookies_are_none_in_either_order(gateway, good, other, recorder):
    mark = recorder.mark()
    for first, second in ((good, JUNK), (JUNK, good), (good, other), (other, good)):
        assert ask(gateway, first + b"; " + second).status == 401
        assert ask(gateway, first, second).status == 401
    assert recorder.since(mark) == []


FORGED_NAMES = [
    b"\xe2\x80\x80__Host-Http-session", b"\xc2\xa0__Host-Http-session", b"\xc2\x85__Host-Http-session",
    b"\x0b__Host-Http-session", b"\x1c__Host-Http-session", b"\xef\xbb\xbf__Host-Http-session",
    b"__Host-Http-session\xe2\x80\x80", b"__Host-Http-session\xc2\xa0", b"__host-http-session", b"__HOST-HTTP-SESSION",
    b"=__Host-Http-session", b"__Host-Http-session ", b"__Host-Http%2Dsession", b"__Host-session", b"session",
    b"Http-session",
]  # fmt: skip


@pytest.mark.parametrize("name", FORGED_NAMES, ids=repr)
def test_a_name_that_only_looks_like_ours_is_no_session(gateway, alice, name):
    answer = ask(gateway, name + b"=" + alice.cookie.encode())
    assert answer.status in (400, 401) or name.strip(b" ") == SESSION.encode()


@pytest.mark.parametrize("name", FORGED_NAMES, ids=repr)
def test_a_look_alike_beside_the_real_one_never_wins_and_never_reaches_the_app(gateway, good, recorder, name):
    mark = recorder.mark()
    for line in (name + b"=EVIL-TWIN; " + good, good + b"; " + name + b"=EVIL-TWIN"):
        assert ask(gateway, line).status in (200, 400, 401)
    foreign = name in (b"session", b"__Host-session", b"Http-session")
    for seen in recorder.since(mark):
        assert seen.one("X-Forwarded-User") == "alice"
        if not foreign:
            assert b"EVIL-TWIN" not in seen.raw, seen.raw


HIDDEN = [
    b'a="; %s; b="', b"%s;", b"a=1;%s;b=2", b"a=1;\t%s", b";%s", b"; ; %s", b"a;%s;b", b"a=1,%s", b'"%s"',
]  # fmt: skip


@pytest.mark.parametrize("shape", HIDDEN, ids=repr)
@pytest.mark.parametrize("host", ["gunicorn.test", "express.test"])
def test_no_parser_behind_us_finds_our_cookie(gateway, shape, host):
    person = Person(gateway, host)
    person.login("bob")
    line = shape % f"{SESSION}={person.cookie}".encode()
    with gateway.wire(host) as wire:
        wire.send(head("GET", "/echo", gateway.authority(host), b"Cookie: " + line))
        answer = wire.response()
    if answer.status == 200:
        assert person.cookie not in answer.text
    # The public part of a site strips it as well, session or not.
    with gateway.wire() as wire:
        wire.send(head("GET", "/public/x", gateway.authority(), b"Cookie: " + line))
        assert wire.response().status in (200, 400)


def test_public_paths_never_show_the_app_our_cookie(gateway, alice, recorder):
    for shape in HIDDEN:
        mark = recorder.mark()
        ask(gateway, shape % f"{SESSION}={alice.cookie}".encode(), target="/public/x")
        assert all(alice.cookie.encode() not in seen.raw for seen in recorder.since(mark)), shape


FOREIGN = [
    b'json={"a":[1,2]}', b'q="quoted; no"', b"b64=YWJj==", b"high=\xe4\xf6\xfc", b"empty=", b"noequals", b"sp=a b",
    b"a=1; a=2", b"sid_chunks=99999999; sid_0=x", b"%41=%42", b"; ".join(b"c%d=%d" % (n, n) for n in range(50)),
]  # fmt: skip


@pytest.mark.parametrize("line", FOREIGN, ids=lambda line: repr(line[:30]))
def test_the_apps_own_cookies_arrive_byte_for_byte(gateway, good, recorder, line):
    assert ask(gateway, line).status == 401
    for sent in (line + b"; " + good, good + b"; " + line):
        assert ask(gateway, sent).status == 200
        arrived = "; ".join(recorder.last().all("Cookie")).encode("latin-1")
        assert arrived == line


def test_a_request_without_other_cookies_has_no_cookie_line(gateway, good, recorder):
    ask(gateway, good)
    assert "cookie" not in recorder.last().names()


@pytest.mark.parametrize("count", [1000, 6000])
def test_a_cookie_bomb_is_refused_or_served_but_breaks_nothing(gateway, good, count):
    assert ask(gateway, b"a=;" * count + b" " + good).status in (200, 400, 431)


# --- What the app sets ------------------------------------------------------------------------------------------------


def attributes(line):
    return {part.strip().partition("=")[0].lower(): part.strip().partition("=")[2] for part in line.split(";")[1:]}


@pytest.fixture(scope="module")
def baked(gateway):
    person = Person(gateway, "gunicorn.test")
    person.login("bob")
    lines = person.visit("/cookies").all("Set-Cookie")
    return lines


def line_of(lines, name):
    return next(line for line in lines if line.startswith(name + "=") and "max-age=0" not in line.lower())


def test_the_apps_cookies_keep_names_values_and_order(baked):
    names = [line.split("=")[0] for line in baked if "max-age=0" not in line.lower()]
    # One is for another path than `/`: our list of such cookies comes behind them.
    assert names == ["PHPSESSID", "csrftoken", "theme", "json", "embed", "wide", "__Host-Http-left"]
    assert line_of(baked, "csrftoken").split(";")[0] == "csrftoken=tok=="


def test_every_cookie_of_the_app_becomes_secure(baked):
    for line in baked:
        assert "secure" in attributes(line), line


def test_what_looks_like_a_session_becomes_http_only_and_csrf_tokens_stay_readable(baked):
    assert "httponly" in attributes(line_of(baked, "PHPSESSID"))
    assert "httponly" not in attributes(line_of(baked, "csrftoken"))


def test_same_site_is_lax_where_the_app_says_nothing_and_stays_where_it_does(baked):
    assert attributes(line_of(baked, "PHPSESSID"))["samesite"] == "Lax"
    assert attributes(line_of(baked, "csrftoken"))["samesite"] == "Strict"
    assert attributes(line_of(baked, "embed"))["samesite"] == "None"


def test_domains_are_dropped_and_lives_are_capped(baked):
    assert "domain" not in attributes(line_of(baked, "wide"))
    assert int(attributes(line_of(baked, "theme"))["max-age"]) <= 400 * 86400
    assert attributes(line_of(baked, "json"))["path"] == "/cookies"


def test_an_app_can_neither_set_nor_clear_our_cookies(gateway):
    person = Person(gateway, "gunicorn.test")
    person.login("bob")
    kept = person.cookie
    answer = person.visit("/hostile-cookies")
    assert person.cookie == kept
    names = [line.split("=")[0].lower() for line in answer.all("Set-Cookie")]
    assert "mine" in names and not [name for name in names if name.startswith("__host-http-")]
    assert "cookies" not in answer.get("Clear-Site-Data", "") and "*" not in answer.get("Clear-Site-Data", "")
    assert person.is_in()


def test_a_real_apps_own_login_works_behind_the_gateway(gateway):
    for host, fields, page, mark in (
        ("flask.test", {"name": "nora", "secret": "nora-keeps-notes"}, "/notes", 'id="who">nora'),
        ("express.test", {"username": "nora", "password": "nora-keeps-notes"}, "/private", "for nora only"),
    ):
        person = Person(gateway, host)
        person.login("bob")
        assert mark not in person.visit(page).text
        answer = person.submit("/login", fields)
        assert answer.status == 302
        shown = person.visit(page)
        assert shown.status == 200 and mark in shown.text
        if host == "flask.test":
            assert "Hello, nora." in shown.text
            person.submit("/notes", {"text": "buy turnips"})
            assert "Noted." in person.visit("/notes").text


def test_at_logout_the_apps_cookies_are_expired_too(gateway):
    person = Person(gateway, "flask.test")
    person.login("bob")
    person.submit("/login", {"name": "nora", "secret": "nora-keeps-notes"})
    assert "session" in person.jar
    person.logout()
    assert "session" not in person.jar


def test_the_next_person_in_this_browser_does_not_inherit_the_apps_session(gateway):
    person = Person(gateway, "flask.test")
    person.login("bob")
    person.submit("/login", {"name": "nora", "secret": "nora-keeps-notes"})
    person.logout()
    person.login("carol")
    assert "nora" not in person.visit("/notes").text


@pytest.mark.parametrize("word", ['"cookies"', '"*"', '"storage", "cookies"'])
def test_an_app_that_clears_all_cookies_loses_its_own_alone(gateway, recorder, word):
    lines = [f"Clear-Site-Data: {word}", "Set-Cookie: fresh=1; Path=/", "Set-Cookie: renewed=2; Path=/"]
    recorder.on("/clear", answer(headers=lines))
    person = Person(gateway)
    person.login("bob")
    person.jar |= {"appsid": "x", "renewed": "1", "__Host-app": "y"}
    ours = {name: value for name, value in person.jar.items() if name.startswith("__Host-Http-")}
    told = person.visit("/clear").get("Clear-Site-Data", "")
    assert "cookies" not in told and "*" not in told
    assert ("storage" in told) == (word != '"cookies"')
    assert person.jar == {**ours, "fresh": "1", "renewed": "2"}
    assert person.is_in()
