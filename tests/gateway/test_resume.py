"""`resume_window`: what the vault keeps waits, locked, for the same person's next login in the same browser."""

import secrets
import time

import pytest

from support.gateway import PASSWORDS
from support.gateway import add_user
from support.gateway import run
from support.person import SESSION
from support.person import SESSIONS
from support.person import Form
from support.person import Person
from support.recorder import Recorder
from support.recorder import answer
from support.redis import Redis
from support.waiting import wait_until

IDLE = {"idle_timeout": "2s", "absolute_timeout": "1h", "resume_window": "5s"}


@pytest.fixture(scope="module")
def app():
    app = Recorder()
    app.on("/set", answer(headers=["Set-Cookie: sid=CANARY-7; Path=/; HttpOnly"]))
    yield app
    app.close()


def sites(app, **session):
    return [{"hosts": ["rec.test"], "upstream": app.upstream, "cookies": "vault", "session": {**IDLE, **session}}]


@pytest.fixture(scope="module")
def resuming(make_gateway, app):
    return make_gateway("resume", sites(app), session={"max_per_user": 2})


def idled_out(gateway, name="bob"):
    """Somebody whose app has a session, and who has been away for too long."""
    person = Person(gateway)
    person.login(name)
    assert person.fetch("/set").status == 200
    wait_until(lambda: not person.authenticated(), "the idle limit", within=10)
    assert person.fetch("/echo").status == 401
    return person


def sent(person, app):
    mark = app.mark()
    assert person.fetch("/echo").status == 200
    return [line for seen in app.since(mark) for line in seen.all("Cookie")]


def test_the_same_person_goes_on_with_the_apps_session(resuming, app):
    person = idled_out(resuming)
    old = person.cookie
    person.login("bob")
    assert sent(person, app) == ["sid=CANARY-7"]
    assert resuming.wait_event("session_resumed")
    person.jar[SESSION] = old
    assert person.fetch("/echo").status == 401


def test_what_is_locked_opens_nothing_and_stands_in_nobodys_way(resuming, app):
    person = idled_out(resuming)
    assert person.fetch("/.vestibule/session").json()["ended"] == "idle"
    mark = app.mark()
    for _ in range(3):
        assert person.fetch("/set").status == 401
    assert app.since(mark) == []
    others = [Person(resuming) for _ in range(2)]
    for other in others:
        other.login("bob")
    assert all(other.authenticated() for other in others)
    # This one, the other one, and all others together.
    assert others[0].visit("/.vestibule/sessions").text.count('name="end"') == 3


@pytest.mark.parametrize("way", ["another user", "another browser", "logout", "all others end", "too late"])
def test_nothing_is_left_to_anybody_else_and_nothing_for_ever(resuming, app, way):
    person = idled_out(resuming)
    brought = person.cookie
    if way == "another user":
        person.login("alice")
        assert sent(person, app) == []
        person.jar[SESSION] = brought
        person.fetch("/echo")
    elif way == "another browser":
        person = Person(resuming)
    elif way == "logout":
        assert person.submit("/.vestibule/logout", {}).status == 303
        person.jar[SESSION] = brought
    elif way == "all others end":
        elsewhere = Person(resuming)
        elsewhere.login("bob")
        page = Form(elsewhere.visit(SESSIONS).text)
        assert elsewhere.submit(SESSIONS, {**page.hidden(), "end": "others"}).status == 200
    else:
        over = time.monotonic() + 5
        wait_until(lambda: time.monotonic() > over, "the end of the window", within=10)
    person.login("bob")
    assert sent(person, app) == []


@pytest.mark.parametrize("store", ["memory", "disk"])
@pytest.mark.parametrize("way", ["end-all", "end-user", "other groups"])
def test_whoever_ends_sessions_from_outside_ends_those_that_wait_too(make_gateway, app, work, store, way):
    name = f"resume-{way.replace(' ', '-')}-{store}"
    users = work / f"{name}.yaml"
    add_user(users, "bob", PASSWORDS["bob"])
    session = {"store": store, "max_per_user": 50}
    gateway = make_gateway(name, sites(app, resume_window="5m"), session=session, login={"password": {"users": str(users)}})
    # Some are noticed to be over, and some not.
    unnoticed = [Person(gateway) for _ in range(2)]
    for person in unnoticed:
        person.login("bob")
        assert person.fetch("/set").status == 200
    noticed = [idled_out(gateway) for _ in range(2)]
    if way == "end-all":
        run("sessions", "end-all", "--yes", "--config", gateway.file)
    elif way == "end-user":
        run("sessions", "end-user", "bob", "--config", gateway.file)
    else:
        users.write_text(users.read_text().replace("  bob:\n", "  bob:\n    groups: [others]\n"))
        gateway.wait_event("sys_users_reload")
    for person in (*unnoticed, *noticed):
        person.login("bob")
        assert sent(person, app) == [], way


def test_a_restart_does_not_lose_it(make_gateway, app):
    gateway = make_gateway("resume-disk", sites(app, resume_window="1m"))
    person = idled_out(gateway)
    gateway.stop()
    gateway.start()
    person.login("bob")
    assert sent(person, app) == ["sid=CANARY-7"]


def test_another_gateway_goes_on_with_it(make_gateway, app, work):
    server = Redis(work / "resume-redis", work).start()
    keys = work / "resume-keys"
    keys.touch(mode=0o600)
    keys.write_text(secrets.token_hex(32) + "\n")
    session = {"store": {"redis": server.url}}
    one, other = (
        make_gateway(f"resume-pair-{number}", sites(app, resume_window="10m"), session=session, keys=str(keys))
        for number in (1, 2)
    )
    person = idled_out(one)
    there = Person(other)
    there.jar = person.jar
    assert there.fetch("/.vestibule/session").json()["ended"] == "idle"
    there.login("bob")
    assert sent(there, app) == ["sid=CANARY-7"]
    server.stop()
