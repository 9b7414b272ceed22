"""Real apps that nobody changed, behind the gateway, with their own logins: Flask-Login, passport, Django's admin."""

import asyncio
import time

import pytest
import websockets

from conftest import LOGS
from support import apps
from support.person import SESSION
from support.person import Form
from support.person import Person
from support.wire import tls_context

FLASK = {
    "login": {"app": {"user": {"field": "name"}, "success": {"status": 302}}},
    "logout": {"path": "/logout", "tell_app": "post"},
}
EXPRESS = {
    "login": {"app": {"return_to": None, "success": {"status": 302, "location": "/"}}},
    "logout": {"path": "/logout", "tell_app": "post"},
}
DJANGO = {
    "login": {"app": {"page": "/admin/login/", "success": {"status": 302}}},
    "logout": "/admin/logout/",
    "rules": [{"path": "/static/*", "allow": "anyone"}],
}

# The app, how it is configured, its login page, and a page that says who is there.
APPS = {
    "flask-signed": (lambda work: apps.flask(LOGS, "signed"), FLASK, "/login", "/notes"),
    "flask-server": (lambda work: apps.flask(LOGS, "server"), FLASK, "/login", "/notes"),
    "express-server": (lambda work: apps.express(LOGS, "server"), EXPRESS, "/login", "/private"),
    "express-cookie": (lambda work: apps.express(LOGS, "cookie"), EXPRESS, "/login", "/private"),
    "django": (lambda work: apps.django(LOGS, work), DJANGO, "/admin/login/", "/admin/"),
}
MODES = ["harden", "vault", "pass"]


@pytest.fixture(scope="module")
def running(work):
    running = {name: start(work) for name, (start, *_) in APPS.items()}
    yield running
    for app in running.values():
        app.process.stop()


@pytest.fixture(scope="module")
def gateway(make_gateway, running):
    sites = []
    for name, app in running.items():
        settings = APPS[name][1]
        # Django's own check of origins believes that it is on plain HTTP.
        upstream = {"servers": app.upstream, "present_scheme": "http"} if name == "django" else app.upstream
        for mode in MODES:
            sites.append({"hosts": [f"{name}-{mode}.test"], "upstream": upstream, "cookies": mode, **settings})
            brief = {"idle_timeout": "2s", "absolute_timeout": "22s"}
            again = {"hosts": [f"brief-{name}-{mode}.test"], "session": brief}
            sites.append({**sites[-1], **again})
    return make_gateway("app-login-apps", sites)


def each(function):
    return pytest.mark.parametrize("mode", MODES)(pytest.mark.parametrize("name", APPS)(function))


def follow(person, response, most=8):
    """To the page that a chain of redirects ends at, and its address."""
    address = "/"
    for _ in range(most):
        if response.status not in (302, 303):
            return address, response
        address = person.location(response, address)
        response = person.visit(address)
    pytest.fail("a loop")


def log_in(person, user, password=None, target=None):
    """As a person does: by way of what was asked for, in the form that is there."""
    address, page = follow(person, person.visit(target))
    form = Form(page.text)
    secret = password or f"{user}-keeps-notes"
    fields = {**form.hidden(), **{name: user for name in form.fields if name in ("name", "username")}}
    fields.update({name: secret for name in form.fields if name in ("secret", "password")})
    return follow(person, person.submit(form.action or address, fields))[1]


@each
def test_people_log_in_use_the_app_and_log_out(gateway, name, mode):
    _, _, login, page = APPS[name]
    person = Person(gateway, f"{name}-{mode}.test")
    refused = log_in(person, "nora", "wrong-password", page)
    assert not person.cookie and "nora" not in refused.text.replace('value="nora"', "")
    log_in(person, "nora", target=page)
    assert person.fetch("/.vestibule/session").json()["user"] == "nora"
    shown = person.visit(page)
    assert shown.status == 200 and "nora" in shown.text
    if mode == "vault":
        assert all(cookie.startswith("__Host-Http-") for cookie in person.jar), person.jar
    # A second tab, with a second login: a new id, and the first is dead.
    first = person.cookie
    if name != "django":
        known = {"name": "nora", "username": "nora", "secret": "nora-keeps-notes", "password": "nora-keeps-notes"}
        answered = person.submit("/login", known)
        assert answered.status == 302 and person.cookie != first
    copy = Person(gateway, f"{name}-{mode}.test")
    copy.jar = dict(person.jar)
    # The app's own logout, by its own form.
    if name == "django":
        fields = next(form for form in forms(shown.text) if form.action == "/admin/logout/").hidden()
        assert person.submit("/admin/logout/", fields).status == 200
    else:
        assert person.submit("/logout", {}).status == 302
    assert SESSION not in person.jar and not copy.authenticated()
    address, again = follow(person, person.visit(page))
    assert address.startswith(login) and Form(again.text).action is not None


def forms(page):
    """All forms of a page that are sent by POST."""
    return [Form("<form" + part) for part in page.split("<form")[1:] if 'method="post"' in part.split(">")[0]]


@each
def test_another_person_follows_after_an_idle_end(gateway, name, mode):
    _, _, login, page = APPS[name]
    person = Person(gateway, f"brief-{name}-{mode}.test")
    log_in(person, "nora", target=page)
    assert "nora" in person.visit(page).text
    time.sleep(2.6)
    assert not person.authenticated()
    log_in(person, "otto", target=page)
    shown = person.visit(page)
    assert shown.status == 200 and "otto" in shown.text and "nora" not in shown.text.replace("nora-", "")
    assert person.fetch("/.vestibule/session").json()["user"] == "otto"


def test_a_socket_ends_with_the_apps_logout(gateway):
    person = Person(gateway, "express-server-harden.test")

    def connect():
        return websockets.connect(
            f"wss://{person.authority}/ws",
            host="127.0.0.1",
            port=gateway.port,
            ssl=tls_context(),
            server_hostname=person.host,
            origin=person.origin,
            additional_headers={"Cookie": person.cookies()},
            proxy=None,
        )

    async def refused():
        with pytest.raises(websockets.InvalidStatus):
            await connect()

    async def talk():
        async with connect() as socket:
            await socket.recv()
            await socket.send("hello")
            assert await socket.recv() == "echo: hello"
            assert person.submit("/logout", {}).status == 302
            with pytest.raises(websockets.ConnectionClosed):
                while True:
                    await asyncio.wait_for(socket.recv(), 5)

    asyncio.run(refused())
    log_in(person, "nora", target="/private")
    asyncio.run(talk())


@each
def test_our_logout_leaves_nothing_of_the_app(gateway, name, mode):
    page = APPS[name][3]
    person = Person(gateway, f"{name}-{mode}.test")
    log_in(person, "nora", target=page)
    held = dict(person.jar)
    person.logout()
    if mode != "pass":
        assert all(cookie.startswith("__Host-Http-") for cookie in person.jar), person.jar
    # What was held opens nothing any more.
    thief = Person(gateway, f"{name}-{mode}.test")
    thief.jar = held
    assert follow(thief, thief.visit(page))[0].startswith(APPS[name][2])
