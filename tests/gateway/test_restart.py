"""Sessions outlive the process: over a stop and a start, with a file that is private, and refused when it is not whole."""

import base64
import itertools
import resource
import stat
import time

import pytest

from support.gateway import add_user
from support.gateway import run
from support.person import Person
from support.waiting import wait_until
from support.wire import head

NUMBERS = itertools.count()

PASSWORD = "seven quiet herons over a frozen ford"


@pytest.fixture
def lasting(make_gateway, flask, recorder):
    """A gateway that a test may stop and start as it likes, in front of an ordinary app."""
    sites = [
        {"hosts": ["flask.test"], "upstream": flask.upstream},
        {"hosts": ["rec.test"], "upstream": recorder.upstream},
    ]
    # Short, since a socket's path is.
    return make_gateway(f"lasting-{next(NUMBERS)}", sites, start=False)


def store(gateway):
    return gateway.folder / "state" / "sessions.redb"


def refused_start(gateway):
    """What a gateway says that does not start."""
    done = run("serve", "--config", gateway.write(), check=False)
    assert done.returncode == 1, f"{done.returncode}\n{done.stderr}"
    return done.stderr


def with_cookie_of(person):
    """Somebody with a copy of the person's cookies."""
    copy = Person(person.gateway, person.host)
    copy.jar = dict(person.jar)
    return copy


def test_a_restart_logs_nobody_out_and_nobody_in(lasting):
    lasting.start()
    alice, bob = Person(lasting, "flask.test"), Person(lasting, "flask.test")
    alice.login("alice")
    bob.login("bob")
    thief = with_cookie_of(bob)
    assert thief.is_in()
    assert bob.logout().status == 303
    assert lasting.stop() == 0
    lasting.start()
    assert alice.is_in() and alice.authenticated()
    assert not thief.is_in()
    assert alice.logout().status == 303
    lasting.stop()
    lasting.start()
    assert not alice.is_in()


def test_a_session_that_ran_out_while_nothing_ran_is_over(lasting):
    lasting.config["session"] = {"idle_timeout": "2s", "absolute_timeout": "60s"}
    lasting.start()
    alice = Person(lasting, "flask.test")
    alice.login("alice")
    lasting.stop()
    lasting.config["session"] = {}
    lasting.start()
    bob = Person(lasting, "flask.test")
    bob.login("bob")
    lasting.stop()
    # Longer than the limit that was written into the session: no later configuration prolongs it.
    time.sleep(2.1)
    lasting.start()
    assert bob.is_in() and not alice.is_in()


def test_what_the_users_file_says_anew_holds_for_sessions_of_before(make_gateway, recorder, work):
    users = work / "changed-while-stopped.yaml"
    names = ("same", "removed", "disabled", "renewed", "demoted")
    for name in names:
        add_user(users, name, PASSWORD, "staff")
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway("changed-users", sites, users, start=False)
    gateway.passwords.update(dict.fromkeys(names, PASSWORD))
    gateway.start()
    people = {name: Person(gateway) for name in names}
    for name, person in people.items():
        person.login(name)
    gateway.stop()
    run("users", "remove", "removed", "--file", users)
    run("users", "passwd", "renewed", "--file", users, stdin="another parsnip under the seventh bridge\n")
    text = users.read_text().replace("  disabled:\n", "  disabled:\n    disabled: true\n")
    before, demoted = text.split("  demoted:\n")
    users.write_text(before + "  demoted:\n" + demoted.replace("- staff", "- others", 1))
    gateway.start()
    changed = names[1:]
    wait_until(lambda: not any(people[name].is_in() for name in changed), "the changed are out", within=5)
    assert people["same"].is_in()


def test_the_store_is_private_and_holds_no_cookie(lasting):
    lasting.start()
    alice = Person(lasting)
    alice.login("alice")
    assert stat.S_IMODE(store(lasting).stat().st_mode) == 0o600
    content = store(lasting).read_bytes()
    token = base64.urlsafe_b64decode(alice.cookie + "=")
    assert b"alice" in content
    assert alice.cookie.encode() not in content and token not in content


def test_a_second_gateway_on_the_same_store_is_refused(lasting, make_gateway, recorder):
    lasting.start()
    alice = Person(lasting)
    alice.login("alice")
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    second = make_gateway("intruder", sites, start=False, session={"store": {"disk": str(store(lasting))}})
    said = refused_start(second)
    assert f"in use by another process (pid {lasting.process.pid})" in said and "session.store" in said
    assert alice.is_in()


def test_a_damaged_store_is_refused_and_left_alone(lasting):
    lasting.start()
    Person(lasting).login("alice")
    lasting.stop()
    whole = store(lasting).read_bytes()
    damaged = whole[: len(whole) // 2]
    store(lasting).write_bytes(damaged)
    said = refused_start(lasting)
    assert "is damaged" in said and "backup" in said
    assert store(lasting).read_bytes() == damaged
    store(lasting).write_bytes(whole)
    store(lasting).chmod(0o644)
    assert "chmod 600" in refused_start(lasting)


def test_a_full_disk_is_an_error_and_passes(lasting):
    # A file that may not grow is what a full disk is; with the signal ignored that would come with it.
    lasting.popen = {"restore_signals": False}
    lasting.start()
    alice = Person(lasting)
    alice.login("alice")
    limit = lambda size: resource.prlimit(lasting.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    limit(store(lasting).stat().st_size)
    statuses, people = [], []
    while len(statuses) < 300 and 503 not in statuses:
        people.append(Person(lasting))
        statuses.append(people[-1].try_login("bob", lasting.passwords["bob"]).status)
    assert statuses[-1] == 503 and set(statuses[:-1]) <= {303}, statuses
    assert people[-1].cookie is None
    wait_until(lambda: not lasting.ready(), "health says so")
    assert "no session store" in lasting.ask_admin("/health/ready").text
    # Whoever is known is served, and a stranger is a stranger: the store can still be read.
    assert alice.is_in()
    with lasting.wire() as wire:
        wire.send(head("GET", "/", lasting.authority(), f"Cookie: __Host-Http-session={'A' * 43}"))
        assert wire.response().status in (302, 303, 401)
    limit(resource.RLIM_INFINITY)
    # It is tried again a moment later.
    wait_until(lambda: people[-1].try_login("bob", lasting.passwords["bob"]).status == 303, "logins work again")
    assert all(person.is_in() for person in (alice, people[0], people[-1]))
    wait_until(lasting.ready, "ready again by itself", within=20)
    told = [line["event"] for line in lasting.events() if line["event"] == "sys_store_connected"]
    assert len(told) == 1
    lasting.stop()
    lasting.popen = {}
    lasting.start()
    assert all(person.is_in() for person in (alice, people[0], people[-1]))


def test_a_backup_brings_everybody_back_and_the_store_can_be_made_small(lasting):
    lasting.start()
    alice, bob = Person(lasting), Person(lasting)
    alice.login("alice")
    bob.login("bob")
    copy = lasting.folder / "copy.redb"
    backup = ["store", "backup", "--config", lasting.file, "--to", copy]
    run(*backup)
    lasting.wait_event("authz_admin")
    again = run(*backup, check=False)
    assert again.returncode == 1 and "exists" in again.stderr, "a backup was written over"
    compact = ["store", "compact", "--config", lasting.file]
    refused = run(*compact, check=False)
    assert refused.returncode == 1 and f"(pid {lasting.process.pid})" in refused.stderr
    lasting.stop()
    run(*backup[:-1], lasting.folder / "offline.redb")
    assert abs((lasting.folder / "offline.redb").stat().st_size - copy.stat().st_size) <= 65536
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    lasting.start()
    assert bob.logout().status == 303
    lasting.stop()
    run(*compact)
    lasting.start()
    assert alice.is_in() and not bob.is_in()
    lasting.stop()
    store(lasting).write_bytes(copy.read_bytes())
    lasting.start()
    assert alice.is_in()
