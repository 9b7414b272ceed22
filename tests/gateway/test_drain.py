"""A gateway that is told to end first finishes what it was asked for, whether anybody still waits for the answer or not."""

import itertools
import threading
from pathlib import Path
from urllib.parse import urlencode

import pytest

from support.gateway import add_user
from support.gateway import run
from support.person import LOGIN
from support.person import NAVIGATION
from support.person import PASSWORD
from support.person import Form
from support.person import Person
from support.waiting import wait_until
from support.wire import Wire
from support.wire import head

OLD = "turnips sing of seven violet kettles"
NEW = "nine purple anvils sing underwater"
# bcrypt of OLD, dear enough to be under way for a while.
SLOW = "$2b$11$h3gF.XPzxMdev5fEMYGka.EwpA38BYOTJaSOcK1yg7mrWU1SH.UrO"
NUMBERS = itertools.count()


@pytest.fixture
def ending(make_gateway, recorder, work):
    """A gateway for one test to end, with a user whose password takes long to check."""
    number = next(NUMBERS)
    users, htpasswd = work / f"ending-{number}.yaml", work / f"ending-{number}.htpasswd"
    htpasswd.write_text(f"slow:{SLOW}\n")
    run("users", "import-htpasswd", htpasswd, "--file", users)
    add_user(users, "quick", OLD)
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway(f"ending-{number}", sites, users)
    gateway.passwords |= {"slow": OLD, "quick": OLD}
    return gateway


def is_hashing(gateway):
    """Whether a thread for slow work is running: then the form has arrived."""
    for task in Path(f"/proc/{gateway.process.pid}/task").iterdir():
        name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        if name.startswith("slow-") and rest.split()[0] == "R":
            return True
    return False


def send_form(person, target, fields):
    """Sends a form as a browser does, and leaves the answer to come."""
    body = urlencode(fields).encode()
    own = {**NAVIGATION, "Sec-Fetch-Site": "same-origin", "Origin": person.origin, "Cookie": person.cookies()}
    lines = [f"{name}: {value}" for name, value in own.items()]
    lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    wire = Wire(person.gateway.port, person.host)
    return wire.send(head("POST", target, person.authority, *lines) + body)


def end(gateway):
    """Told to end now; the exit status, once it did."""
    gateway.signal()
    return gateway.process.child.wait(20)


def login_form(person, name):
    _, form = person.login_page("/")
    return {**form.hidden(), "username": name, "password": OLD}


def test_a_login_under_way_is_answered_and_its_session_kept(ending):
    person = Person(ending)
    fields, answers = login_form(person, "slow"), []
    thread = threading.Thread(target=lambda: answers.append(person.submit(LOGIN, fields)))
    thread.start()
    wait_until(lambda: is_hashing(ending), "the password is being checked", every=0.001)
    assert end(ending) == 0
    thread.join()
    assert [answer.status for answer in answers] == [303]
    ending.start()
    assert person.is_in()


def test_a_login_whose_browser_is_gone_is_done_all_the_same(ending):
    person = Person(ending)
    wire = send_form(person, LOGIN, login_form(person, "slow"))
    wait_until(lambda: is_hashing(ending), "the password is being checked", every=0.001)
    wire.close()
    assert end(ending) == 0
    ending.wait_event("authn_login_success", within=0)
    ending.start()
    listed = run("sessions", "list", "--config", ending.file)
    assert "slow" in listed.stdout, "told of, and not kept"


def test_a_password_change_whose_browser_is_gone_is_done_all_the_same(ending):
    person = Person(ending)
    person.login("quick")
    fields = {**Form(person.visit(PASSWORD).text).hidden(), "current": OLD, "new": NEW}
    wire = send_form(person, PASSWORD, fields)
    wait_until(lambda: is_hashing(ending), "the password is being checked", every=0.001)
    wire.close()
    assert end(ending) == 0
    ending.wait_event("authn_password_change", within=0)
    ending.start()
    ending.passwords["quick"] = NEW
    Person(ending).login("quick")
