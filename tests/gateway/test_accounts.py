"""Accounts that change while people are signed in, and people who leave while theirs is changed."""

import threading
import time
from urllib.parse import urlencode

import pytest

from support.gateway import add_user
from support.gateway import run
from support.person import LOGIN
from support.person import PASSWORD
from support.person import Form
from support.person import Person
from support.waiting import wait_until
from support.wire import Wire
from support.wire import head

OLD = "iris walks quietly past nineteen turnips"
NEW = "iris now runs across eleven beetroots"

# bcrypt of "imported", dear enough for several checks to begin before the first is done.
IMPORTED = "$2b$10$aEeAFPK7itCQ0xU7f3rlmuKBx8OTpxCUnJojpzAJ3dJTmY/DXIjb."


@pytest.fixture
def bench(make_gateway, recorder, work, request):
    """A gateway of its own with one user, `iris`, in a users file of its own."""
    name = request.node.name.split("[")[0][5:30] + str(abs(hash(request.node.name)) % 1000)
    users = work / f"{name}.yaml"
    add_user(users, "iris", OLD, "staff,admins")
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway(name, sites, users)
    gateway.passwords["iris"] = OLD
    return gateway


def change_fields(person, current=OLD, new=NEW, others=None):
    form = Form(person.visit(PASSWORD).text)
    fields = {**form.hidden(), "current": current, "new": new}
    fields.pop("others", None)
    return {**fields, **({"others": others} if others else {})}


def just_read(gateway):
    """Returns right after the gateway has read its users file: the next reading is a second away."""
    before = gateway.audit_text().count('sys_users_reload"')
    rewrite(gateway.users, "users:", "# touched\nusers:")
    wait_until(lambda: gateway.audit_text().count('sys_users_reload"') > before, "the users file is read", 5, every=0.01)


def rewrite(users, old, new):
    """Edits the users file as an editor does, in one step, so that no reading sees half of it."""
    text = users.read_text()
    assert old in text, text
    fresh = users.with_suffix(".new")
    fresh.write_text(text.replace(old, new))
    fresh.replace(users)


# What is edited, and whether the session that changes the password goes on under the new one.
EDITS = {
    "a group is taken away": ("- admins", "- others", False),
    "it is disabled": ("groups:", "disabled: true\n    groups:", False),
    "its password must be changed": ("groups:", "must_change: true\n    groups:", True),
}


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_a_change_of_ones_password_hides_no_edit_of_the_users_file(bench, edit):
    here, elsewhere = Person(bench), Person(bench)
    here.login("iris")
    elsewhere.login("iris")
    fields = change_fields(here)
    just_read(bench)
    old, new, goes_on = EDITS[edit]
    rewrite(bench.users, old, new)
    answer = here.submit(PASSWORD, fields)
    assert answer.status == 200, f"{answer.status}\n{answer.text[:500]}"
    wait_until(lambda: not elsewhere.is_in(), "the other session ends", within=5)
    assert here.is_in() == goes_on


def test_a_password_that_must_be_changed_ends_the_sessions_it_gave(bench):
    person = Person(bench)
    person.login("iris")
    rewrite(bench.users, "groups:", "must_change: true\n    groups:")
    wait_until(lambda: not person.is_in(), "the session ends", within=5)
    assert "Choose one of your own" in person.try_login("iris", OLD).text


def test_who_may_read_the_users_file_is_not_changed_with_its_users(bench):
    bench.users.chmod(0o640)
    add_user(bench.users, "kurt", OLD)
    run("users", "remove", "kurt", "--file", bench.users)
    assert bench.users.stat().st_mode & 0o777 == 0o640


def test_a_users_file_that_cannot_be_used_is_seen_in_the_figures(bench):
    here = Person(bench)
    here.login("iris")
    wait_until(lambda: bench.figure("vestibule_users_current") == 1, "the users file is read")
    text = bench.users.read_text()
    rewrite(bench.users, "users:", "users: [")
    bench.wait_event("sys_users_reload_fail")
    assert bench.figure("vestibule_users_current") == 0
    assert here.is_in(), "the users of before stay"
    rewrite(bench.users, "users: [", "users:")
    assert bench.users.read_text() == text
    wait_until(lambda: bench.figure("vestibule_users_current") == 1, "the users file is read again")
    # Whoever follows the log alone sees that it is over, though nobody changed.
    wait_until(lambda: bench.events()[-1]["event"] == "sys_users_reload", "it is said")


@pytest.mark.parametrize(("audit", "told"), [("stderr", "sys_users_reload_fail"), ("off", "stays as it was read before")])
def test_a_users_file_that_cannot_be_used_is_told_of_once(bench, audit, told):
    bench.stop()
    bench.config["log"]["audit"] = audit
    bench.start()
    wait_until(lambda: bench.figure("vestibule_users_current") == 1, "the users file is read")
    rewrite(bench.users, "users:", "users: [")
    wait_until(lambda: bench.figure("vestibule_users_current") == 0, "the users file is read again")
    lines = lambda: [line for line in bench.process.errors().splitlines() if str(bench.users) in line]
    wait_until(lines, "it is said")
    bench.stop()
    [line] = lines()
    assert told in line


def leave_after_sending(person, target, fields):
    """Sends a form, and closes the connection while it is worked on."""
    body = urlencode(fields).encode()
    lines = [
        "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document",
        f"Origin: {person.origin}", "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}", f"Cookie: {person.cookies()}",
    ]  # fmt: skip
    wire = Wire(person.gateway.port, person.host)
    wire.send(head("POST", target, person.authority, *lines) + body)
    # Long enough for the request to be taken up, and for a hash not to be done.
    time.sleep(0.05)
    wire.close()


def test_a_password_change_is_finished_and_told_of_though_its_browser_is_gone(bench):
    person = Person(bench)
    person.login("iris")
    leave_after_sending(person, PASSWORD, change_fields(person))
    bench.wait_event("authn_password_change", within=10)
    bench.passwords["iris"] = NEW
    assert Person(bench).try_login("iris", OLD).status == 403
    Person(bench).login("iris")


def test_a_login_is_finished_and_told_of_though_its_browser_is_gone(bench):
    person = Person(bench)
    address, form = person.login_page("/")
    leave_after_sending(person, LOGIN, {**form.hidden(), "username": "iris", "password": OLD})
    bench.wait_event("authn_login_success", within=10)


def test_two_logins_at_once_with_an_imported_hash_both_succeed(make_gateway, recorder, work):
    htpasswd = work / "two-htpasswd"
    htpasswd.write_text(f"jade:{IMPORTED}\n")
    users = work / "two-imported.yaml"
    run("users", "import-htpasswd", htpasswd, "--file", users)
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway("two-imported", sites, users)
    people = [Person(gateway) for _ in range(4)]
    pages = [person.login_page("/") for person in people]
    answers = [None] * len(people)

    def enter(place):
        fields = {**pages[place][1].hidden(), "username": "jade", "password": "imported"}
        answers[place] = people[place].submit(LOGIN, fields)

    threads = [threading.Thread(target=enter, args=(place,)) for place in range(len(people))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [303] * len(people)
    assert all(person.is_in() for person in people)
    assert "$argon2id$" in users.read_text()


def test_a_failed_login_takes_as_long_for_a_cheap_imported_hash(make_gateway, recorder, work):
    users = work / "timing.yaml"
    # bcrypt of nothing anybody knows, at two costs.
    entries = (f"  {name}:\n    password: $2b${cost}${'.' * 53}\n" for name, cost in (("cheap", "04"), ("dear", "12")))
    users.write_text("users:\n" + "".join(entries))
    users.chmod(0o600)
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway("timing", sites, users, login={"attempts": {"per_account": 100}})

    def taken(name):
        person = Person(gateway)
        address, form = person.login_page()
        begun = time.monotonic()
        assert person.submit(address, {**form.hidden(), "username": name, "password": "wrong"}).status == 403
        return time.monotonic() - begun

    # The quickest of several: what else the machine does can only add. A dear check takes 250 times as long as a cheap one.
    cheap, unknown = (min(taken(name) for _ in range(3)) for name in ("cheap", "nobody"))
    assert cheap > unknown / 4, f"{cheap:.3f} s for a cheap hash, {unknown:.3f} s for an unknown name"
