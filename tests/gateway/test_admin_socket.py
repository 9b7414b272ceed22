"""Sessions administered by whoever runs the gateway: the socket as a file, what it answers, and the command."""

import json
import os
import signal
import socket
import stat
import subprocess

import pytest

from support.gateway import BINARY
from support.gateway import run
from support.legacy import Legacy
from support.person import Person
from support.waiting import wait_until

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def office(make_gateway, recorder, express, request):
    """A gateway of each test's own, so that it knows who is there."""
    sites = [
        {"hosts": ["rec.test"], "upstream": recorder.upstream},
        {"hosts": ["express.test"], "upstream": express.upstream},
    ]
    return make_gateway("office-" + request.node.name.replace("test_", "")[:30], sites)


def sign_in(gateway, name, host="rec.test"):
    person = Person(gateway, host)
    person.login(name)
    return person


def path(gateway):
    return gateway.folder / "state" / "admin.sock"


def ask(gateway, method, target):
    """One request as `curl --unix-socket` sends it: the status and the JSON."""
    with socket.socket(socket.AF_UNIX) as talk:
        talk.settimeout(20)
        talk.connect(str(path(gateway)))
        talk.sendall(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = b""
        while part := talk.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)


def command(gateway, *arguments, **more):
    return run("sessions", *arguments, "--config", gateway.file, **more)


def test_the_socket_is_its_users_alone_and_goes_with_the_gateway(office):
    found = path(office).lstat()
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600
    assert sorted(entry.name for entry in path(office).parent.iterdir() if entry.name.startswith(".")) == []
    office.stop()
    assert not path(office).exists()


def test_what_a_killed_gateway_left_is_replaced(office):
    office.signal(signal.SIGKILL)
    office.process.child.wait()
    assert path(office).exists()
    office.start()
    assert ask(office, "GET", "/api/sessions")[0] == 200


def test_a_second_gateway_does_not_take_the_socket_of_a_living_one(office, make_gateway, recorder):
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    # With a store of its own, since two cannot share one on disk either.
    more = {"state_dir": str(office.folder / "state"), "session": {"store": "memory"}}
    other = make_gateway("office-second", sites, start=False, **more)
    done = run("serve", "--config", other.write(), check=False)
    assert done.returncode == 1 and "another gateway answers" in done.stderr and "listen.admin_socket" in done.stderr
    assert ask(office, "GET", "/api/sessions")[0] == 200


def test_it_can_be_elsewhere_or_off(make_gateway, recorder, work):
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    off = make_gateway("office-off", sites, listen={"admin_socket": None})
    assert not path(off).exists()
    done = run("sessions", "list", "--config", off.file, check=False)
    assert done.returncode == 2 and "null" in done.stderr
    elsewhere = make_gateway("office-elsewhere", sites, listen={"admin_socket": str(work / "elsewhere.sock")})
    assert run("sessions", "list", "--socket", work / "elsewhere.sock", "--json").stdout == "[]\n"
    elsewhere.stop()


def test_the_command_lists_and_shows_who_is_there(office):
    bob, alice = sign_in(office, "bob"), sign_in(office, "alice", "express.test")
    table = command(office, "list").stdout
    titles, *rows = table.splitlines()
    assert titles.split("  ")[0] == "ID" and len(rows) == 2
    assert all("127.0.0.1" in row and "Unknown browser on Linux" in row for row in rows)
    listed = json.loads(command(office, "list", "--json").stdout)
    assert {one["user"]: one["hosts"] for one in listed} == {"bob": ["rec.test"], "alice": ["express.test"]}
    [only] = json.loads(command(office, "list", "--json", "--user", "bob").stdout)
    assert only["user"] == "bob" and only["created_at"].endswith("Z") and only["expires_at"] > only["created_at"]
    shown = command(office, "show", only["id"]).stdout
    assert "bob" in shown and "rec.test" in shown and "Tests/1.0" in shown
    assert json.loads(command(office, "show", only["id"], "--json").stdout)["id"] == only["id"]
    assert len(command(office, "list", "--limit", "1").stdout.splitlines()) == 2
    for text in (table, shown, json.dumps(listed)):
        assert bob.cookie not in text and alice.cookie not in text


def test_the_command_lists_those_of_one_apps_login(make_gateway, recorder):
    app = Legacy()
    own = {"hosts": ["app.test"], "upstream": app.upstream, "login": {"app": {"success": {"status": 302}}}}
    gateway = make_gateway("office-realm", [{"hosts": ["rec.test"], "upstream": recorder.upstream}, own])
    sign_in(gateway, "bob")
    for name in ("alice", "bob"):
        Person(gateway, "app.test").submit("/login", {"username": name, "password": "right"})
    sign_in(gateway, "carol")
    listed = lambda *more: [one["user"] for one in json.loads(command(gateway, "list", "--json", *more).stdout)]
    assert sorted(listed()) == ["alice", "bob", "bob", "carol"]
    assert sorted(listed("--realm", "app.test/")) == ["alice", "bob"]
    assert len(listed("--realm", "app.test/", "--limit", "1")) == 1
    assert listed("--realm", "other.test/") == []
    app.close()


def test_an_ended_session_is_over_at_once_and_the_person_is_told(office):
    bob, other = sign_in(office, "bob", "express.test"), sign_in(office, "bob", "express.test")
    with office.wire("express.test") as wire:
        wire.send(f"GET /events?pause=50 HTTP/1.1\r\nHost: {bob.authority}\r\nCookie: {bob.cookies()}\r\n\r\n".encode())
        wire.read_until(b"tick 2")
        listed = json.loads(command(office, "list", "--json").stdout)
        oldest = min(listed, key=lambda one: one["created_at"])
        done = command(office, "end", oldest["id"])
        assert oldest["id"] in done.stdout
        assert wire.closed(within=5)
    led = bob.visit("/")
    assert led.status == 303 and "by an administrator" in bob.visit(bob.location(led)).text
    assert other.is_in()
    again = command(office, "end", oldest["id"], check=False)
    assert again.returncode == 1 and "no session" in again.stderr
    told = [event for event in office.events() if event["event"] == "authz_admin"]
    # A list is asked for page by page.
    *lists, ending = told
    assert ending["action"] == "end" and {event["action"] for event in lists} == {"list"}
    assert ending["actor"] == f"uid:{os.getuid()}" and ending["user"] == "bob" and ending["session"] == oldest["id"]


def test_all_sessions_of_a_user_are_ended_or_everybodys(office):
    people = [sign_in(office, name) for name in ("bob", "bob", "carol", "dave")]
    assert json.loads(command(office, "end-user", "bob", "--json").stdout) == {"ended": 2}
    assert [person.is_in() for person in people] == [False, False, True, True]
    assert "0 sessions" in command(office, "end-user", "nobody-of-this-name").stdout
    asked = command(office, "end-all", check=False)
    assert asked.returncode == 2 and "--yes" in asked.stderr
    assert people[2].is_in()
    assert command(office, "end-all", "--yes").stdout == "2 sessions ended.\n"
    assert [person.is_in() for person in people] == [False] * 4


def test_on_a_terminal_ending_everybodys_asks_first(office):
    bob = sign_in(office, "bob")
    for answer, code, stays in (("no", 1, True), ("yes", 0, False)):
        ours, theirs = os.openpty()
        arguments = [str(BINARY), "sessions", "end-all", "--config", str(office.file)]
        child = subprocess.Popen(arguments, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.write(ours, answer.encode() + b"\n")
        _, said = child.communicate(timeout=20)
        os.close(ours)
        os.close(theirs)
        assert child.returncode == code and b"must sign in again" in said
        assert bob.is_in() == stays


def test_errors_say_what_to_do(office, work):
    for arguments in (["show", "xyz"], ["end", "00112233"], ["end-user", " "], ["list", "--user", ""]):
        done = command(office, *arguments, check=False)
        assert done.returncode == 2 and done.stderr.startswith("vestibule: "), arguments
    gone = run("sessions", "list", "--socket", work / "nothing.sock", check=False)
    assert gone.returncode == 1 and "is it running" in gone.stderr
    none = run("sessions", "list", "--config", work / "no.yaml", check=False)
    assert none.returncode == 2
    office.stop()
    stopped = command(office, "list", check=False)
    assert stopped.returncode == 1 and "is it running" in stopped.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="becoming somebody else takes root")
def test_somebody_else_may_not_use_it(office, work):
    # Even with the folders open, the socket's own mode holds.
    socket_path = work / "private.sock"
    os.link(path(office), socket_path)
    work.chmod(0o755)
    for folder in list(work.parents)[:-2]:
        folder.chmod(folder.stat().st_mode | 0o111)
    copy = work / "vestibule"
    if not copy.exists():
        copy.write_bytes(BINARY.read_bytes())
        copy.chmod(0o755)
    done = subprocess.run(
        [str(copy), "sessions", "list", "--socket", str(socket_path)],
        user=65534, group=65534, extra_groups=[], capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "as root" in done.stderr, done.stderr


def test_the_api_can_be_used_without_the_command(office):
    sign_in(office, "bob")
    status, page = ask(office, "GET", "/api/sessions?user=bob&limit=1")
    assert status == 200 and len(page["sessions"]) == 1 and page["next"] is None
    number = page["sessions"][0]["id"]
    assert ask(office, "GET", f"/api/sessions/{number}")[1]["user"] == "bob"
    assert ask(office, "DELETE", "/api/sessions")[0] == 400
    assert ask(office, "DELETE", "/api/sessions?all=yes")[0] == 400
    assert ask(office, "POST", "/api/sessions")[0] == 405
    assert ask(office, "GET", "/metrics")[0] == 404
    # A store may have more to look through, and nothing in it.
    ended, target = 0, "/api/sessions?all=true"
    while target:
        status, step = ask(office, "DELETE", target)
        assert status == 200
        ended += step["ended"]
        target = f"/api/sessions?all=true&after={step['next']}" if "next" in step else None
    assert ended == 1
    assert ask(office, "DELETE", f"/api/sessions/{number}")[0] == 404
    listener = office.ask_admin("/api/sessions")
    assert listener.status == 404, "the TCP listener has no sessions"
