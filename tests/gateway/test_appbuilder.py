"""A Flask-AppBuilder app that nobody changed: behind our login in both cookie modes, and with its own login observed."""

from urllib.parse import parse_qs
from urllib.parse import urlsplit

import pytest

from conftest import LOGS
from support import apps
from support.person import Form
from support.person import Person
from support.waiting import wait_until

LOGIN = {"app": {"page": "/login/", "success": {"status": 302}}}
ADD = "/contactview/add"
LIST = "/contactview/list/"
BRIEF = {"idle_timeout": "2s", "absolute_timeout": "1h"}


@pytest.fixture(scope="module")
def contacts(make_gateway, tmp_path_factory):
    app = apps.appbuilder(LOGS, tmp_path_factory.mktemp("appbuilder"))
    observed = {"upstream": app.upstream, "login": LOGIN, "logout": "/logout/"}
    sites = [
        {"hosts": ["harden.test"], "upstream": app.upstream},
        {"hosts": ["vault.test"], "upstream": app.upstream, "cookies": "vault"},
        {"hosts": ["appharden.test"], **observed},
        {"hosts": ["appvault.test"], **observed, "cookies": "vault"},
        {"hosts": ["brief.test"], **observed, "session": BRIEF},
        {"hosts": ["briefvault.test"], "upstream": app.upstream, "cookies": "vault", "session": {**BRIEF, "resume_window": "1m"}},
    ]
    yield make_gateway("appbuilder", sites)
    app.process.stop()


def sign_in(person, name="nora", password=None, target="/login/"):
    """At the app."""
    form = Form(person.visit(target).text)
    return person.submit(target, {**form.hidden(), "username": name, "password": password or f"{name}-keeps-notes"})


def add(person, name):
    form = Form(person.visit(ADD).text)
    return person.submit(ADD, {**form.hidden(), "name": name})


@pytest.mark.parametrize("mode", ["harden", "vault"])
def test_it_works_behind_our_login(contacts, mode):
    person = Person(contacts, f"{mode}.test")
    person.login("alice")
    assert sign_in(person).status == 302 and ("session" in person.jar) == (mode == "harden")
    assert add(person, f"Ada of {mode}").status == 302
    assert f"Ada of {mode}" in person.visit(LIST).text
    # The next person is nobody to the app.
    person.logout()
    person.login("bob")
    assert person.visit(LIST).status == 302


@pytest.mark.parametrize("mode", ["appharden", "appvault"])
def test_its_own_login_is_observed(contacts, mode):
    person = Person(contacts, f"{mode}.test")
    assert person.visit(LIST).status == 303
    refused = sign_in(person, password="wrong")
    assert refused.status == 302 and not person.cookie and not person.authenticated()
    assert sign_in(person).status == 302 and person.cookie
    assert add(person, f"Bert of {mode}").status == 302
    first = person.visit(ADD)
    assert f"Bert of {mode}" in person.visit(LIST).text
    # Two tabs.
    assert person.submit(ADD, {**Form(first.text).hidden(), "name": f"Cleo of {mode}"}).status == 302
    assert "Nora Tester" in person.visit("/users/userinfo/").text
    # B after A, and nobody after a logout.
    person.logout()
    sign_in(person, "otto")
    shown = person.visit("/users/userinfo/").text
    assert "Otto Tester" in shown and "Nora Tester" not in shown
    old = person.cookie
    assert person.visit("/logout/").status == 302 and not person.authenticated()
    person.jar["__Host-Http-session"] = old
    assert not person.authenticated()


def hold(person, name):
    """A form that comes too late, and where it leads."""
    form = Form(person.visit(ADD).text)
    wait_until(lambda: not person.authenticated(), "the idle limit", within=10)
    held = person.submit(ADD, {**form.hidden(), "name": name})
    assert held.status == 303
    return person.location(held)


def confirm(person, place):
    form = Form(person.visit(place).text)
    return person.submit(form.action, form.hidden())


def test_a_form_is_kept_over_its_own_login(contacts):
    person = Person(contacts, "brief.test")
    sign_in(person)
    page = person.location(person.visit(hold(person, "Dora")))
    assert sign_in(person, target=page).status == 302
    sent = confirm(person, parse_qs(urlsplit(page).query)["next"][0])
    # A new login at the app has a new token: the app shows the form again, with all that was typed.
    assert sent.status == 200 and 'value="Dora"' in sent.text
    assert person.submit(ADD, {**Form(sent.text).hidden(), "name": "Dora"}).status == 302
    assert "Dora" in person.visit(LIST).text


def test_a_form_is_kept_over_our_login_and_its_token_fits(contacts):
    person = Person(contacts, "briefvault.test")
    person.login("carol")
    sign_in(person)
    asked = person.visit(hold(person, "Emil"))
    fields = {**Form(asked.text).hidden(), "username": "carol", "password": contacts.passwords["carol"]}
    sent = confirm(person, person.location(person.submit("/.vestibule/login", fields)))
    assert sent.status == 302
    assert "Emil" in person.visit(LIST).text
