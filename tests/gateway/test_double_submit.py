"""An app that nobody changed and that guards its forms by a double-submit cookie, in every cookie mode."""

from urllib.parse import parse_qs
from urllib.parse import urlsplit

import pytest

from conftest import LOGS
from support import apps
from support.person import Form
from support.person import Person
from support.waiting import wait_until

TOKEN = "XSRF-TOKEN"
BRIEF = {"idle_timeout": "2s", "absolute_timeout": "1h"}
MODES = {
    "harden": "harden",
    "vault": "vault",
    "exposed": {"default": "vault", "expose": [TOKEN]},
}


@pytest.fixture(scope="module")
def guests(make_gateway):
    app = apps.guestbook(LOGS)
    sites = [{"hosts": [f"{name}.test"], "upstream": app.upstream, "cookies": mode} for name, mode in MODES.items()]
    sites += [
        {
            "hosts": [f"brief{name}.test"],
            "upstream": app.upstream,
            "cookies": mode,
            # The browser keeps its cookies over an idle end; the vault is told how long to.
            "session": BRIEF if mode == "harden" else {**BRIEF, "resume_window": "1m"},
        }
        for name, mode in MODES.items()
    ]
    yield make_gateway("double-submit", sites)
    app.process.stop()


def signed(person, page, line="a line"):
    form = Form(page.text)
    return person.submit(form.action, {**form.hidden(), "line": line})


@pytest.mark.parametrize("mode", MODES)
def test_its_forms_work_in_every_mode(guests, mode):
    person = Person(guests, f"{mode}.test")
    person.login("alice")
    first, second = person.visit("/"), person.visit("/")
    assert (TOKEN in person.jar) == (mode != "vault") and ("guests" in person.jar) == (mode == "harden")
    # Two tabs, and a form twice.
    for page in (first, second, first):
        assert signed(person, page).status == 200
    forged = Form(first.text)
    assert person.submit(forged.action, {"token": "x" + forged.hidden()["token"], "line": "forged"}).status == 403
    assert person.submit(forged.action, {"line": "without"}).status == 403
    # The next person has nothing of it.
    person.logout()
    person.login("bob")
    assert signed(person, first).status == 403
    assert signed(person, person.visit("/")).status == 200


@pytest.mark.parametrize("mode", MODES)
def test_a_script_reads_the_cookie_where_it_may(guests, mode):
    person = Person(guests, f"{mode}.test")
    person.login("carol")
    person.visit("/")
    token = person.jar.get(TOKEN)
    if mode == "vault":
        assert token is None
        return
    answered = person.request("POST", "/sign", {"X-XSRF-Token": token, "Origin": person.origin, "Sec-Fetch-Site": "same-origin"})
    assert answered.status == 200, answered.text


@pytest.mark.parametrize("mode", MODES)
def test_a_form_that_was_held_still_has_a_token_that_fits(guests, mode):
    person = Person(guests, f"brief{mode}.test")
    person.login("dave")
    page = person.visit("/")
    wait_until(lambda: not person.authenticated(), "the idle limit", within=10)
    held = signed(person, page, "kept")
    assert held.status == 303
    asked = person.visit(person.location(held))
    fields = {**Form(asked.text).hidden(), "username": "dave", "password": guests.passwords["dave"]}
    place = person.location(person.submit("/.vestibule/login", fields))
    assert set(parse_qs(urlsplit(place).query)) == {"form"}
    confirm = Form(person.visit(place).text)
    sent = person.submit(confirm.action, confirm.hidden())
    assert sent.status == 200, sent.text
