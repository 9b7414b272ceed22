"""Apps that nobody changed, behind the vault: they work as ever, and the browser holds nothing of theirs."""

from urllib.parse import unquote

import pytest

from conftest import LOGS
from support import apps
from support.person import Form
from support.person import Person

NORA = {"name": "nora", "username": "nora", "secret": "nora-keeps-notes", "password": "nora-keeps-notes"}

APPS = {
    "flask-signed": (apps.flask, "signed", "/notes"),
    "flask-permanent": (apps.flask, "permanent", "/notes"),
    "flask-server": (apps.flask, "server", "/notes"),
    "express-server": (apps.express, "server", "/"),
    "express-rolling": (apps.express, "rolling", "/"),
    "express-cookie": (apps.express, "cookie", "/"),
}


class Witness(Person):
    """Somebody who keeps everything a browser ever received."""

    def __init__(self, gateway, host):
        super().__init__(gateway, host)
        self.received = []

    def request(self, *arguments, **more):
        response = super().request(*arguments, **more)
        self.received.append(repr(vars(response)))
        return response


@pytest.fixture(scope="module")
def running():
    running = {name: start(LOGS, sessions) for name, (start, sessions, _) in APPS.items()}
    yield running
    for app in running.values():
        app.process.stop()


@pytest.fixture(scope="module")
def vault(make_gateway, running):
    sites = [
        {"hosts": [f"{name}.test"], "upstream": app.upstream, "cookies": "vault"} for name, app in running.items()
    ]
    return make_gateway("vault-apps", sites)


@pytest.mark.parametrize("name", APPS)
def test_an_app_works_as_ever_and_the_browser_holds_nothing_of_it(vault, name):
    page = APPS[name][2]
    person = Witness(vault, f"{name}.test")
    person.login("alice")
    fields = {field: NORA[field] for field in Form(person.visit("/login").text).fields}
    answer = person.submit("/login", fields)
    assert answer.status == 302 and person.location(answer) == page
    for _ in range(3):
        assert "nora" in person.visit(page).text
    # The session of the app outlives a restart of the gateway.
    vault.stop()
    vault.start()
    assert "nora" in person.visit(page).text
    everything = list(person.received)
    # What the app holds: it says so itself.
    held = person.fetch("/echo").json()["cookies"] if name.startswith("flask") else pairs(person)
    assert held, "the app has no session"
    for text in everything:
        for key, value in held.items():
            # As a field's value begins; ours ends in the same word.
            assert f"'{key}=" not in text and value not in text and unquote(value) not in text, key
    names = {line.partition("=")[0] for line in person.set_cookies}
    assert names <= {"__Host-Http-session", "__Host-Http-pre", "__Host-Http-device", "__Host-Http-visit"}
    # The next person in this browser is nobody to the app, and so is the same one after a logout.
    person.logout()
    for user in ("bob", "alice"):
        person.login(user)
        assert "nora" not in person.visit(page).text
        person.logout()


def pairs(person):
    """The cookies as Express got them."""
    [line] = [value for name, value in person.fetch("/echo").json()["headers"] if name.lower() == "cookie"]
    return dict(pair.split("=", 1) for pair in line.split("; "))


@pytest.mark.parametrize("name", APPS)
def test_a_logout_of_the_app_is_one(vault, name):
    page = APPS[name][2]
    person = Person(vault, f"{name}.test")
    person.login("carol")
    fields = {field: NORA[field] for field in Form(person.visit("/login").text).fields}
    person.submit("/login", fields)
    assert "nora" in person.visit(page).text
    assert person.submit("/logout", {}).status == 302
    assert "nora" not in person.visit(page).text
    assert person.authenticated(), "the gateway's session is another matter"
