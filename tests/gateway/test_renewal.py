"""New session ids while a session goes on: nobody who belongs there notices, and a thief is found out."""

import time

import pytest

from support.person import NAVIGATION
from support.person import SCRIPT
from support.person import SESSION
from support.person import Person
from support.waiting import wait_until


@pytest.fixture(scope="module")
def pacing(make_gateway, recorder):
    """A gateway that renews ids every 2 s; the old one works 1 s longer, and 3 s later betrays a thief."""
    sites = [
        {
            "hosts": ["rec.test"],
            "upstream": recorder.upstream,
        },
        {
            "hosts": ["poll.test"],
            "upstream": recorder.upstream,
            "rules": [{"path": "/poll/*", "allow": "authenticated", "activity": "ignore"}],
            "session": {"idle_timeout": "3s"},
        },
        {
            "hosts": ["bound.test"],
            "upstream": recorder.upstream,
            "session": {"bind": ["user_agent"], "activity": "navigations", "idle_timeout": "3s"},
        },
    ]
    session = {"renew_after": "2s", "renew_overlap": "1s", "theft_after": "4s", "max_per_user": 3, "idle_timeout": "20s"}
    return make_gateway("pacing", sites, session=session)


def new_id(person, old):
    """Browses until another id came with an answer, as it must within a few seconds."""
    return wait_until(lambda: person.visit("/") and person.cookie != old and person.cookie, "a new id", within=6)


def with_id(person, value, **lines):
    """The answer to somebody who has this id and nothing else of the person's."""
    other = Person(person.gateway, person.host)
    other.jar = {SESSION: value}
    return other.request("GET", "/", {**NAVIGATION, **lines})


def test_a_busy_session_gets_new_ids_and_nobody_notices(pacing, recorder):
    person = Person(pacing)
    person.login()
    first = person.cookie
    second = new_id(person, first)
    # The old one works on for requests that were under way.
    assert with_id(person, first).status == 200
    third = new_id(person, second)
    assert len({first, second, third}) == 3
    assert with_id(person, third).status == 200
    line = next(line for line in person.set_cookies if line.startswith(f"{SESSION}={third}"))
    words = {word.strip().lower().partition("=")[0] for word in line.split(";")[1:]}
    assert words == {"path", "secure", "httponly", "samesite"}


def test_a_lost_answer_logs_nobody_out(pacing):
    person = Person(pacing)
    person.login()
    first = person.cookie
    offered = new_id(person, first)
    # The browser never got it: it goes on with the old id, and is offered the same one each time.
    for _ in range(3):
        person.jar[SESSION] = first
        answer = person.visit("/")
        assert answer.status == 200 and person.cookie == offered


def replaced(gateway):
    """Somebody whose id was replaced so long ago that the old one is refused, and that old one."""
    person = Person(gateway)
    person.login()
    first = person.cookie
    new_id(person, first)
    assert person.visit("/").status == 200
    wait_until(lambda: with_id(person, first).status == 303, "the old id is refused", within=3)
    assert person.visit("/").status == 200, "refusing the old id ended the session"
    return person, first


def test_the_old_id_is_refused_after_the_overlap_and_ends_the_session_later(pacing):
    person, first = replaced(pacing)

    def is_out():
        with_id(person, first)
        return not person.is_in()

    wait_until(is_out, "the late use of the old id ends the session", within=8)
    assert "stolen" in pacing.audit_text()


def test_the_old_id_in_another_browser_ends_the_session_at_once(pacing):
    person, first = replaced(pacing)
    assert with_id(person, first, **{"User-Agent": "curl/8.0"}).status == 303
    assert not person.is_in()


@pytest.mark.parametrize(
    "lines",
    [
        {"Sec-Purpose": "prefetch"},
        {**SCRIPT, "Sec-Fetch-Site": "cross-site"},
        {**SCRIPT, "Sec-Fetch-Site": "same-site"},
    ],
)
def test_no_id_is_offered_where_a_browser_may_not_keep_it(pacing, lines):
    person = Person(pacing)
    person.login()
    first = person.cookie
    new_id(person, first)
    person.jar[SESSION] = first
    before = len(person.set_cookies)
    assert person.visit("/", **lines).status == 200
    assert not [line for line in person.set_cookies[before:] if line.startswith(SESSION)]


def test_machine_polling_keeps_nobody_logged_in(pacing):
    person = Person(pacing, "bound.test")
    person.login()

    def poll():
        person.fetch("/news")
        return not person.authenticated()

    wait_until(poll, "polling does not move the idle clock", within=8, every=0.3)


def test_a_rule_can_leave_the_idle_clock_alone(pacing):
    person = Person(pacing, "poll.test")
    person.login()
    began = time.monotonic()
    # Pages elsewhere on the site keep the session, for twice as long as it may be idle.
    while time.monotonic() - began < 6:
        assert person.visit("/").status == 200
        time.sleep(0.5)

    def poll():
        person.visit("/poll/news")
        return not person.authenticated()

    wait_until(poll, "asking under the rule does not move the idle clock", within=6, every=0.3)


def test_a_bound_session_is_not_good_in_another_kind_of_browser(pacing):
    person = Person(pacing, "bound.test")
    person.login()
    assert person.visit("/").status == 200
    stolen = person.cookie
    assert with_id(person, stolen, **{"User-Agent": "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0"}).status == 303
    assert person.visit("/").status == 200


def test_one_login_too_many_ends_the_oldest(pacing):
    people = []
    for _ in range(4):
        person = Person(pacing)
        person.login("alice")
        people.append(person)
    assert [person.is_in() for person in people] == [False, True, True, True]
