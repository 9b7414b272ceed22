"""One's own sessions: the list, ending one from another browser, and who may not."""

import html
import re

import pytest

from support.person import LOGOUT
from support.person import PASSWORD
from support.person import SESSION
from support.person import SESSIONS
from support.person import Form
from support.person import Person
from support.waiting import wait_until

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Elsewhere(Person):
    """The same, in Firefox on Windows."""

    def request(self, method, target, headers=None, body=None):
        return super().request(method, target, {"User-Agent": FIREFOX, **(headers or {})}, body)


@pytest.fixture(scope="module")
def desk(make_gateway, recorder):
    """A gateway where few people are, each with few sessions."""
    return make_gateway("desk", [{"hosts": ["rec.test"], "upstream": recorder.upstream}])


def sign_in(gateway, name, kind=Person):
    person = kind(gateway)
    person.login(name)
    return person


def rows(page):
    """The listed sessions: what each is called, and what its button sends."""
    found = re.findall(r"<li>(.*?)</li>", page.text, re.S)
    text = [html.unescape(" ".join(re.sub(r"<[^>]*>", " ", row).split())) for row in found]
    ids = [re.search(r'name="end" value="([0-9a-f]+)"', row)[1] for row in found]
    return list(zip(text, ids, strict=True))


def end(person, which):
    form = Form(person.visit(SESSIONS).text)
    return person.submit(SESSIONS, {**form.hidden(), "end": which})


def only_other(person):
    """The id of the one session that is not this browser's."""
    [other] = [number for text, number in rows(person.visit(SESSIONS)) if "this browser" not in text]
    return other


def test_a_stranger_signs_in_first_and_is_led_back(desk):
    person = Person(desk)
    answer = person.login("alice", SESSIONS)
    assert person.location(answer) == SESSIONS
    assert person.visit(SESSIONS).status == 200


def test_the_list_says_where_one_is_signed_in_and_shows_no_token(desk):
    here, there = sign_in(desk, "bob"), sign_in(desk, "bob", Elsewhere)
    page = here.visit(SESSIONS)
    listed = [text for text, _ in rows(page)]
    assert len(listed) == 2
    assert "Unknown browser on Linux this browser" in listed[0] and "127.0.0.1" in listed[0]
    assert "Firefox on Windows" in listed[1] and "just now" in listed[1] and "rec.test" in listed[1]
    assert here.cookie not in page.text and there.cookie not in page.text
    assert page.get("Cache-Control") == "no-store"
    for other in (LOGOUT, PASSWORD):
        assert SESSIONS in here.visit(other).text


def test_a_session_is_ended_from_another_browser_at_once(desk, recorder):
    here, there = sign_in(desk, "carol"), sign_in(desk, "carol", Elsewhere)
    done = end(here, only_other(here))
    assert done.status == 200 and len(rows(done)) == 1
    mark = recorder.mark()
    refused = there.visit("/private")
    assert refused.status == 303 and recorder.since(mark) == []
    shown = there.visit(there.location(refused))
    assert "signed out from another browser" in shown.text
    assert here.is_in()
    events = [(line["event"], line.get("reason")) for line in desk.events() if line.get("user") == "carol"]
    assert ("session_revoked", None) in events and ("session_expired", "ended_elsewhere") in events


def test_an_open_stream_is_cut_when_its_session_is_ended_elsewhere(gateway):
    here, there = Person(gateway, "express.test"), Elsewhere(gateway, "express.test")
    here.login("grace")
    there.login("grace")
    with gateway.wire("express.test") as wire:
        cookie = f"Cookie: {there.cookies()}"
        wire.send(f"GET /events?pause=50 HTTP/1.1\r\nHost: {there.authority}\r\n{cookie}\r\n\r\n".encode())
        wire.read_until(b"tick 2")
        assert end(here, "others").status == 200
        assert wire.closed(within=5)


def test_all_others_are_ended_and_nobody_elses(desk):
    here = sign_in(desk, "dave")
    others = [sign_in(desk, "dave", Elsewhere) for _ in range(3)]
    erin = sign_in(desk, "erin")
    done = end(here, "others")
    assert "3 other sessions ended" in done.text
    assert [other.is_in() for other in others] == [False] * 3
    assert here.is_in() and erin.is_in()


def test_ending_this_one_is_signing_out(desk):
    here = sign_in(desk, "frank")
    [(_, own)] = rows(here.visit(SESSIONS))
    answer = end(here, own)
    assert answer.status == 303 and SESSION not in here.jar
    assert "You are signed out" in here.visit(here.location(answer)).text
    assert not here.is_in()


def test_somebody_elses_session_is_as_unknown_as_none(desk):
    alice, bob = sign_in(desk, "alice"), sign_in(desk, "bob")
    theirs = next(number for text, number in rows(bob.visit(SESSIONS)) if "this browser" in text)
    foreign, unknown = end(alice, theirs), end(alice, "0011223344556677")
    assert foreign.status == unknown.status == 404

    def bare(page):
        # All but the form's token, and the moment this session was last used.
        return re.sub(r'value="[^"]{50,}"|datetime="[^"]*"', "", page.text)

    assert bare(foreign) == bare(unknown)
    assert bob.is_in()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": None, "Origin": "https://evil.test"},
        {"Sec-Fetch-Site": None, "Origin": "null"},
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Dest": "iframe"},
    ],
)
def test_another_site_or_a_script_ends_nothing(desk, headers):
    here, there = sign_in(desk, "grace"), sign_in(desk, "grace", Elsewhere)
    fields = {**Form(here.visit(SESSIONS).text).hidden(), "end": "others"}
    assert here.submit(SESSIONS, fields, headers).status == 403
    assert here.visit(f"{SESSIONS}?end=others&form_token={fields['form_token']}").status == 200
    assert there.is_in()


def test_a_page_of_ours_is_needed_to_end_anything(desk):
    here, there = sign_in(desk, "erin"), sign_in(desk, "erin", Elsewhere)
    foreign = Form(there.visit(SESSIONS).text).hidden()
    for fields in ({}, foreign, {"form_token": "AAAA"}):
        assert here.submit(SESSIONS, {**fields, "end": "others"}).status == 403
    assert there.is_in()
    assert here.fetch(SESSIONS).status == 403, "a script of the app must not read the list"


def test_looking_at_the_list_is_use(brief):
    person = Person(brief)
    person.login()

    def looked():
        assert person.visit(SESSIONS).status == 200
        return person.fetch("/.vestibule/session").json()["absolute_seconds_left"] <= 2

    # Longer than it may be idle.
    wait_until(looked, "a session goes on while its list is looked at", within=8, every=0.5)
