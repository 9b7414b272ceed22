"""Running it: commands, health, figures, logs, signals, files that change."""

import contextlib
import json
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import time

import pytest

from support.certificates import Authority
from support.gateway import BINARY
from support.gateway import add_user
from support.gateway import run
from support.h2client import Http2
from support.h2client import request
from support.person import SESSION
from support.person import Form
from support.person import Person
from support.process import Process
from support.process import accepts
from support.process import dead_port
from support.process import free_port
from support.recorder import answer
from support.waiting import wait_until
from support.wire import Wire
from support.wire import head

PASSWORD = "someone walks quietly past nineteen turnips"


# --- Commands ------------------------------------------------------------------------------------------------------------


def test_help_and_version_answer():
    assert "serve" in run("--help").stdout
    assert re.search(r"\d+\.\d+\.\d+", run("--version").stdout)
    assert run("frobnicate", check=False).returncode == 2


def test_check_finds_a_good_file_good(gateway):
    assert run("check", "--config", gateway.file).returncode == 0
    shown = run("check", "--config", gateway.file, "--print")
    assert "rec.test" in shown.stdout


@pytest.mark.parametrize("key", ["keys", "users"])
def test_a_pipe_in_place_of_a_secret_file_is_refused_and_not_waited_for(gateway, work, key):
    pipe = work / f"pipe-{key}"
    os.mkfifo(pipe, 0o600)
    own = {"keys": str(pipe)} if key == "keys" else {"login": {"password": {"users": str(pipe)}}}
    file = work / f"pipe-{key}.yaml"
    file.write_text(json.dumps({**gateway.config, **own}))
    done = subprocess.run([BINARY, "check", "--config", file], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "it is no regular file" in done.stderr, done.stderr


def test_serve_says_where_it_listens(make_gateway, recorder):
    gateway = make_gateway("says-where", [{"hosts": ["rec.test"], "upstream": recorder.upstream}])
    for scheme, port, key in (("https", gateway.port, "https"), ("http", gateway.redirect_port, "http_redirect"), ("http", gateway.admin_port, "admin")):
        line = f"vestibule: listening on {scheme}://127.0.0.1:{port} (listen.{key})"
        # It may be asked before it has said so.
        wait_until(lambda line=line: line in gateway.process.said(), line)


@pytest.mark.parametrize(("mode", "said"), [(0o644, "read by everybody"), (0o660, "changed by others"), (0o640, None)])
def test_secret_files_that_others_get_at_are_warned_of(gateway, work, mode, said):
    cert, key = Authority(work, f"open-{mode:o}").issue("rec.test", f"open-{mode:o}")
    users = work / f"open-{mode:o}.yaml"
    users.write_bytes(gateway.users.read_bytes())
    for secret in (users, key):
        secret.chmod(mode)
    tls = {"certificates": [{"cert": str(cert), "key": str(key)}]}
    file = work / f"open-{mode:o}-config.yaml"
    file.write_text(json.dumps({**gateway.config, "tls": tls, "login": {"password": {"users": str(users)}}}))
    done = run("check", "--config", file)
    for secret in (users, key):
        lines = [line for line in done.stderr.splitlines() if line.startswith("warning") and str(secret) in line]
        assert [said in line for line in lines] == ([True] if said else []), done.stderr


@pytest.fixture
def secrets_in(gateway, work):
    """A configuration whose secrets lie in folders of their own below one of this name."""

    def make(name):
        folder = work / name
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        for part in ("users", "keys", "tls", "state", "admin"):
            (folder / part).mkdir(parents=True, mode=0o700)
        cert, key = Authority(folder, name).issue("rec.test", name)
        key.rename(folder / "tls" / "key.pem")
        (folder / "users" / "users.yaml").write_bytes(gateway.users.read_bytes())
        (folder / "keys" / "own.keys").write_text("0123456789abcdef" * 4 + "\n")
        for secret in ("users/users.yaml", "keys/own.keys", "tls/key.pem"):
            (folder / secret).chmod(0o600)
        file = folder / "config.yaml"
        file.write_text(json.dumps({
            "sites": gateway.config["sites"], "state_dir": "state", "keys": "keys/own.keys",
            "listen": {"https": "127.0.0.1:0", "admin_socket": str(folder / "admin" / "admin.sock")},
            "tls": {"certificates": [{"cert": str(cert), "key": "tls/key.pem"}]},
            "login": {"password": {"users": "users/users.yaml"}},
        }))  # fmt: skip
        return folder

    return make


def said_of_secrets(folder):
    """The warnings of files and folders, each with the command that mends it."""
    done = run("check", "--config", folder / "config.yaml")
    parts = re.findall(r"^warning: (the (?:users|private|keys|state|folder)[^\n]*)\n(?:.*\n)*?.*help: (.*)$", done.stderr, re.MULTILINE)
    return dict(parts)


SECRETS = {"users": "users/users.yaml", "keys": "keys/own.keys", "tls": "tls/key.pem", "state": "state", "admin": "admin"}


@pytest.mark.parametrize("part", SECRETS)
def test_a_folder_in_which_others_can_replace_a_secret_is_warned_of(secrets_in, part):
    folder = secrets_in(f"shared-{part}")
    assert said_of_secrets(folder) == {}
    # Nobody can replace another's files there, but everybody can make some before the gateway does.
    (folder / part).chmod(0o1777)
    made_there = part in ("state", "admin")
    assert [mend for mend in said_of_secrets(folder).values()] == [f"name one of its own, such as `{folder / part}/vestibule`"] * made_there
    (folder / part).chmod(0o707)
    [(said, mend)] = said_of_secrets(folder).items()
    assert str(folder / part) in said and mend == f"`chmod go-w {folder / part}`"
    # A group of the owner's number is theirs alone.
    found = (folder / part).stat()
    (folder / part).chmod(0o770)
    assert (said_of_secrets(folder) == {}) == (found.st_gid == found.st_uid)
    if os.geteuid() == 0:
        os.chown(folder / part, -1, 12345)
        assert len(said_of_secrets(folder)) == 1
    # So is one further up.
    (folder / part).chmod(0o700)
    assert said_of_secrets(folder) == {}
    folder.chmod(0o757)
    assert set(said_of_secrets(folder).values()) == {f"`chmod go-w {folder}`"}
    folder.chmod(0o755)
    if os.geteuid() == 0 and part not in ("state", "admin"):
        os.chown(folder / part, 12345, -1)
        [(said, mend)] = said_of_secrets(folder).items()
        assert "of user 12345" in said and mend == f"`chown root {folder / part}`, or keep it somewhere else"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("part", SECRETS)
def test_a_secret_of_another_user_is_warned_of(secrets_in, part):
    folder = secrets_in(f"foreign-{part}")
    secret = folder / SECRETS[part]
    os.chown(secret, 12345, -1)
    if part == "state":
        # To root, this is who the gateway runs as.
        assert said_of_secrets(folder) == {}
        return
    [(said, mend)] = said_of_secrets(folder).items()
    assert "belongs to user 12345" in said and str(secret) in said and mend == f"`chown root {secret}`"
    os.chown(folder / "state", 12345, -1)
    assert said_of_secrets(folder) == {}


OWN_FILES = {"users": "users.yaml", "configuration": "config.yaml", "keys": "own.keys", "key": "tls.key", "store": "to-be-made/sessions.redb", "folder": "to-be-made"}


ONE_FILE = [(other, spelling) for other in OWN_FILES for spelling in ("plain", "relative", "symbolic link", "hard link")
            if spelling != "hard link" or "to-be-made" not in OWN_FILES[other]]  # fmt: skip


@pytest.mark.parametrize(("other", "spelling"), ONE_FILE)
def test_two_of_its_files_are_never_one(gateway, work, other, spelling):
    """An audit log in place of the users file would end in it, or in what holds the sessions."""
    folder = work / f"one-file-{other}-{spelling}".replace(" ", "-")
    folder.mkdir()
    cert, key = Authority(folder, "one").issue("rec.test", "one")
    key.rename(folder / "tls.key")
    (folder / "users.yaml").write_bytes(gateway.users.read_bytes())
    (folder / "own.keys").write_text("0123456789abcdef" * 4 + "\n")
    for secret in ("users.yaml", "own.keys"):
        (folder / secret).chmod(0o600)
    target = folder / OWN_FILES[other]
    audit = {"plain": target, "relative": f"../{folder.name}/./{OWN_FILES[other]}"}.get(spelling, folder / "linked")
    file = folder / "config.yaml"
    config = {
        "sites": gateway.config["sites"], "listen": {"https": "127.0.0.1:0"}, "state_dir": "to-be-made", "keys": "own.keys",
        "tls": {"certificates": [{"cert": str(cert), "key": "tls.key"}]},
        "login": {"password": {"users": "users.yaml"}}, "log": {"audit": str(audit)},
    }  # fmt: skip
    file.write_text(json.dumps(config))
    if spelling == "symbolic link":
        audit.symlink_to(OWN_FILES[other])
    if spelling == "hard link":
        audit.hardlink_to(target)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for command in ("check", "serve"):
        done = subprocess.run([BINARY, command, "--config", file], cwd=work, capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and "`log.audit`" in done.stderr and "same file" in done.stderr, done.stderr
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert not (folder / "to-be-made").exists()


def test_check_names_every_problem_with_its_place(work):
    file = work / "bad.yaml"
    file.write_text(
        "lissten:\n  https: '127.0.0.1:1'\n"
        "session:\n  idle_timeout: 2h\n  absolute_timeout: 1h\n  idle_timeot: 3m\n"
        "sites:\n  - hosts: [a.test]\n    upstream: ftp://x\n    rules:\n      - { path: nope, allow: everybody }\n"
    )
    done = run("check", "--config", file, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 2
    for word in ("lissten", "idle_timeot", "ftp://x", "everybody"):
        assert word in said, word
    assert re.search(r"bad\.yaml:1:1", said) and re.search(r"bad\.yaml:6:3", said)
    assert re.search(r"bad\.yaml:9:", said)


@pytest.mark.parametrize("text", ["", "[]", "sites: {", "sites: []\nsites: []", "\tx: 1", "&a [*a]", "x: !!python/object y"])
def test_a_file_that_is_no_configuration_is_a_problem_not_a_crash(work, text):
    file = work / "odd.yaml"
    file.write_text(text)
    done = run("check", "--config", file, check=False)
    assert done.returncode == 2 and "panicked" not in done.stderr
    assert run("serve", "--config", file, check=False).returncode == 2


def test_a_missing_file_is_said_to_be_missing(work):
    done = run("serve", "--config", work / "not-there.yaml", check=False)
    assert done.returncode == 2 and "not-there.yaml" in done.stderr


def test_a_port_in_use_is_an_error_that_names_it(make_gateway, recorder, gateway):
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    other = make_gateway("second", sites, start=False)
    other.config["listen"]["https"] = f"127.0.0.1:{gateway.port}"
    done = run("serve", "--config", other.write(), check=False)
    assert done.returncode != 0 and str(gateway.port) in done.stderr


def test_the_schema_is_json_and_knows_the_keys():
    schema = json.loads(run("schema").stdout)
    assert {"listen", "tls", "session", "sites", "login"} <= set(schema["properties"])


def test_hash_password_prints_an_argon2id_string():
    hashed = run("hash-password", stdin=PASSWORD + "\n").stdout.strip()
    assert hashed.startswith("$argon2id$v=19$") and PASSWORD not in hashed
    assert hashed != run("hash-password", stdin=PASSWORD + "\n").stdout.strip()


def test_users_are_added_listed_changed_and_removed(work):
    users = work / "edited.yaml"
    add_user(users, "ida", PASSWORD, "a,b")
    assert oct(users.stat().st_mode)[-3:] == "600"
    assert PASSWORD not in users.read_text() and "$argon2id$" in users.read_text()
    assert "ida" in run("users", "list", "--file", users).stdout
    assert "$argon2id$" not in run("users", "list", "--file", users).stdout
    again = run("users", "add", "ida", "--file", users, stdin=PASSWORD + "\n", check=False)
    assert again.returncode != 0, "adding never overwrites"
    before = users.read_text()
    run("users", "passwd", "ida", "--file", users, stdin="another one walks past twelve beetroots\n")
    assert users.read_text() != before
    run("users", "remove", "ida", "--file", users)
    assert "ida" not in run("users", "list", "--file", users).stdout
    assert run("users", "remove", "ida", "--file", users, check=False).returncode != 0


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 200])
def test_names_that_are_none_are_refused(work, name):
    done = run("users", "add", name, "--file", work / "none.yaml", stdin=PASSWORD + "\n", check=False)
    assert done.returncode in (1, 2) and "panicked" not in done.stderr


def test_a_short_password_is_refused(work):
    users = work / "short.yaml"
    done = run("users", "add", "ida", "--file", users, stdin="short\n", check=False)
    assert done.returncode != 0
    assert not users.exists() or "ida" not in users.read_text()


# --- Files it makes ---------------------------------------------------------------------------------------------------------


def test_a_crash_while_the_key_is_written_does_not_keep_it_from_starting(make_gateway, recorder):
    gateway = make_gateway("crash", [{"hosts": ["rec.test"], "upstream": recorder.upstream}])
    gateway.stop()
    key = gateway.folder / "state" / "keys"
    key.unlink()
    # The first byte that is written to any file is the end of the process, as when the disk is full or power goes.
    done = subprocess.run(
        [BINARY, "serve", "--config", gateway.file],
        cwd=gateway.folder,
        capture_output=True,
        timeout=30,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert done.returncode != 0 and not key.exists()
    gateway.start()
    assert oct(key.stat().st_mode)[-3:] == "600"


def test_this_machines_addresses_are_hosts_at_every_start(make_gateway, recorder):
    gateway = make_gateway("addresses", [{"upstream": recorder.upstream}])
    for turn in ("first", "second"):
        for host in ("localhost", "127.0.0.1", "[::1]"):
            with gateway.wire(None) as wire:
                wire.send(head("GET", "/", f"{host}:{gateway.port}", "Accept: text/html", "Sec-Fetch-Mode: navigate"))
                assert wire.response().status != 421, f"{host} at the {turn} start"
        gateway.stop()
        gateway.start()


# --- Quickstart and demo ---------------------------------------------------------------------------------------------------


def start_listening(name, *arguments, folder, logs, port=None):
    folder.mkdir(exist_ok=True)
    port = port or free_port()
    process = Process([BINARY, *arguments, "--listen", f"127.0.0.1:{port}"], logs / f"{name}.log", cwd=folder)
    wait_until(lambda: accepts(port) or not process.alive(), f"{name} listens", within=20)
    assert process.alive(), process.said()
    return process, port


class Started:
    """A gateway that some command started: enough of one for a Person."""

    def __init__(self, port):
        self.port = port
        self.passwords = {}


def test_quickstart_makes_everything_and_its_password_must_be_changed(work, recorder):
    folder = work / "quick"
    process, port = start_listening(
        "quickstart", "quickstart", "--upstream", recorder.upstream, "--dir", folder, folder=folder, logs=work / "logs"
    )
    try:
        said = wait_until(lambda: re.search(r"(?i)password\W+(\S+)", process.said()) and process.said(), "a password")
        password = re.search(r"(?im)password[^\S\n]*[:=]?[^\S\n]*(\S+)\s*$", said).group(1)
        for made in ("vestibule.yaml", "users.yaml"):
            assert (folder / made).exists(), os.listdir(folder)
        assert password not in (folder / "users.yaml").read_text() + (folder / "vestibule.yaml").read_text()
        assert run("check", "--config", folder / "vestibule.yaml").returncode == 0
        started = Started(port)
        started.passwords["admin"] = password
        person = Person(started, "localhost")
        answer = person.try_login("admin", password, "/deep")
        assert answer.status == 200 and person.cookie is None, "no session before the one-time password is changed"
        form = Form(answer.text)
        new = "seven lanterns drift across eleven beetroots"
        done = person.submit(form.action, {**form.hidden(), "new": new})
        assert done.status == 303 and person.location(done) == "/deep", done.text[:800]
        assert person.visit("/deep").status == 200
    finally:
        assert process.stop() == 0


@pytest.mark.parametrize("answers", [True, False])
def test_quickstart_says_if_there_is_no_app_yet(work, recorder, answers):
    folder, upstream = work / f"quick-{answers}", recorder.upstream if answers else f"http://127.0.0.1:{dead_port()}"
    arguments = ("quickstart", "--upstream", upstream, "--dir", folder)
    process, _ = start_listening(f"quick-{answers}", *arguments, folder=folder, logs=work / "logs")
    wait_until(lambda: "Next time" in process.said(), "it greets")
    assert (f"Nothing answers at {upstream} yet" in process.said()) == (not answers)
    process.stop()


@pytest.mark.parametrize(
    ("arguments", "said", "write"),
    [
        (["--upstream", "localhost:5000"], "--upstream: `localhost:5000` is not the address of an app", "`http://localhost:5000`"),
        (["--upstream", "http://app.example"], "--upstream: plain HTTP to `app.example`", "`https://app.example`"),
        (["--upstream", ""], "--upstream: ", "at least one character"),
    ],
)
def test_quickstart_speaks_of_its_arguments_and_of_no_file_that_is_not_there(work, arguments, said, write):
    folder = work / "quick-wrong"
    done = run("quickstart", *arguments, "--dir", folder, check=False)
    assert done.returncode == 2 and not folder.exists()
    assert said in done.stderr and write in done.stderr and "vestibule.yaml" not in done.stderr


def test_a_quickstart_that_cannot_listen_loses_no_password(work, recorder):
    folder = work / "quick-taken"
    arguments = ("quickstart", "--upstream", recorder.upstream, "--dir", folder)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        failed = run(*arguments, "--listen", address, check=False)
        assert failed.returncode == 1 and address in failed.stderr, failed.stderr
        assert not folder.exists()
    process, _ = start_listening("quick-taken", *arguments, folder=work, logs=work / "logs")
    try:
        wait_until(lambda: "one-time password" in process.said(), "a password")
        first = (folder / "users.yaml").read_text()
        # While it runs, another try changes nothing.
        again = run(*arguments, check=False)
        assert again.returncode == 1 and "cannot listen on" in again.stderr, again.stderr
        assert (folder / "users.yaml").read_text() == first
        other = run("quickstart", "--upstream", "http://127.0.0.1:9", "--dir", folder, check=False)
        assert other.returncode == 2 and "`upstream`" in other.stderr, other.stderr
    finally:
        assert process.stop() == 0


def test_quickstart_writes_over_nothing(work, recorder):
    folder = work / "quick-again"
    arguments = ("quickstart", "--upstream", recorder.upstream, "--dir", folder)
    first, port = start_listening("quickstart-1", *arguments, folder=folder, logs=work / "logs")
    first.stop()
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and file.name != "users.yaml"}
    second, _ = start_listening("quickstart-2", *arguments, folder=folder, logs=work / "logs", port=port)
    wait_until(lambda: "was there already" in second.said(), "it says what it uses")
    # Its password was never used: it is made again, or a start that failed would have lost it.
    wait_until(lambda: "one-time password" in second.said(), "a password")
    second.stop()
    assert before == {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and file.name != "users.yaml"}


def test_the_demo_runs_without_anything(work):
    process, port = start_listening("demo", "demo", folder=work / "demo", logs=work / "logs")
    try:
        person = Person(Started(port), "localhost")
        assert person.visit("/").status in (200, 303)
    finally:
        assert process.stop() == 0


# --- Health and figures ------------------------------------------------------------------------------------------------------


def test_health_and_figures_are_on_their_own_listener_only(gateway, alice, recorder):
    assert gateway.ask_admin("/health/live").status == 200
    assert gateway.ask_admin("/health/ready").status == 200
    assert gateway.ask_admin("/nothing").status == 404
    mark = recorder.mark()
    assert alice.visit("/metrics").json()["target"] == "/metrics", "on a site it is the app's own path"
    assert len(recorder.since(mark)) == 1


def test_figures_can_be_scraped_and_move(gateway, alice):
    def total():
        text = gateway.ask_admin("/metrics").text
        lines = [line for line in text.splitlines() if "request" in line and not line.startswith("#")]
        assert lines, text[:2000]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if "_total" in line)

    before = total()
    for _ in range(10):
        alice.visit("/x")
    assert total() >= before + 10
    text = gateway.ask_admin("/metrics").text
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-zA-Z_:][\w:]*(\{.*\})? [-+.eE\d]+(NaN|Inf)?( \d+)?", line), line
    for name in ("alice", "bob", "/private", SESSION):
        assert name not in text


def test_the_admin_listener_refuses_foreign_names_and_methods(gateway):
    with Wire(gateway.admin_port, tls=False) as wire:
        wire.send(head("GET", "/metrics", "evil.test", "Connection: close"))
        assert wire.response().status in (200, 400, 403, 421)
    assert gateway.ask_admin("/metrics", "POST", "Content-Length: 0").status in (403, 404, 405)


# --- Logs --------------------------------------------------------------------------------------------------------------------


def test_one_action_is_one_event_with_who_where_and_what(gateway):
    person = Person(gateway)
    person.try_login("frank", "certainly not this one")
    failed = json.loads(gateway.wait_event("authn_login_fail"))
    assert "127.0.0.1" in str(failed)
    person.login("frank")
    gateway.wait_event("session_created", "frank")
    gateway.wait_event("authn_login_success", "frank")
    person.logout()
    gateway.wait_event("session_logout")
    for line in gateway.audit_text().splitlines():
        json.loads(line)
        assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,}Z", line), line


def expired(gateway, user):
    return [e for e in gateway.events() if e["event"] == "session_expired" and e["user"] == user]


@pytest.mark.parametrize(("user", "asked"), [("erin", True), ("frank", False)], ids=["by a request", "by the sweep"])
def test_a_session_that_runs_out_is_told_once_whoever_finds_it(brief, user, asked):
    person = Person(brief)
    person.login(user)
    before = len(expired(brief, user))
    if asked:
        # The session page shows the end without moving the clock; several ask at once.
        wait_until(lambda: not person.authenticated(), "the session ends as idle", within=6)
        person.visit("/x")
    wait_until(lambda: len(expired(brief, user)) > before, "the end is told", within=15)
    begun = [e for e in brief.events() if e["event"] == "session_created" and e["user"] == user][-1]
    # Two sweeps later nothing was added.
    swept = sweeps(brief)
    wait_until(lambda: sweeps(brief) >= swept + 2, "two sweeps", within=15)
    told = expired(brief, user)[before:]
    assert [(e["reason"], e["session"]) for e in told] == [("idle", begun["session"])], told


def test_a_stream_that_its_session_outlived_is_told_once(brief):
    """A bond cuts the answer when the clock says so; the end itself is told like any other."""
    person = Person(brief, "express.test")
    person.login("grace")
    before = len(expired(brief, "grace"))
    with brief.wire("express.test") as wire:
        wire.send(head("GET", "/events", brief.authority("express.test"), f"Cookie: {person.cookies()}"))
        wire.closed(within=15)
    wait_until(lambda: len(expired(brief, "grace")) > before, "the end is told", within=15)
    swept = sweeps(brief)
    wait_until(lambda: sweeps(brief) >= swept + 2, "two sweeps", within=15)
    assert [e["reason"] for e in expired(brief, "grace")[before:]] == ["idle"]


def sweeps(gateway):
    text = gateway.ask_admin("/metrics").text
    return float(re.search(r"^vestibule_sweeps_total (\S+)", text, re.M)[1])


def test_denials_and_forgeries_are_told(gateway, alice):
    alice.visit("/never/x")
    gateway.wait_event("authz_fail")
    alice.submit("/form", {}, {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"})
    gateway.wait_event("malicious_csrf")
    dead = Person(gateway)
    dead.login("erin")
    kept = dict(dead.jar)
    dead.logout()
    dead.jar = kept
    dead.visit("/x")
    gateway.wait_event("session_use_after_expire")


def test_every_access_is_a_line_that_can_be_read_by_a_machine(gateway, alice):
    alice.visit("/logged?mark=access-line-1&token=secret-in-query")
    wait_until(lambda: "access-line-1" in gateway.process.said(), "the access line")
    line = [line for line in gateway.process.said().splitlines() if "access-line-1" in line][-1]
    entry = json.loads(line)
    assert "alice" in str(entry) and "200" in str(entry) and "GET" in str(entry)
    assert "secret-in-query" not in line


# Bidirectional override, quotes, back slashes, and bytes that are no UTF-8.
NASTY = 'a\u202eb"\\'.encode().decode("latin-1") + "\xff\xa0"


def test_no_filter_of_diagnostics_lets_a_secret_through(make_gateway, recorder):
    """What is asked for is as loud as can be; what browsers and apps said in confidence is still not in it."""
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway("loud", sites, start=False)
    libraries = "hyper hyper::proto hyper::proto::h1 hyper_util h2 h2::codec h2::hpack h2::proto rustls rustls::server"
    loud = ",".join(["trace", *(f"{name}=trace" for name in libraries.split())])
    gateway.start(VESTIBULE_LOG=loud)
    person = Person(gateway)
    person.login("alice")
    person.jar["app"] = "canary-app-cookie-4721"
    person.visit("/x?token=canary-query-4722", Authorization="Bearer canary-bearer-4723")
    secret = [("cookie", person.cookies()), ("authorization", "Bearer canary-bearer-4723")]
    with Http2(gateway.port) as client:
        opened = request(gateway.authority(), "/h2?token=canary-query-4722", extra=secret)
        assert client.finish(client.open(opened)).status == 200
    gateway.stop()
    said = gateway.logged()
    assert "/h2" in said, "the requests were not told at all"
    for secret in (person.cookie, "canary-", gateway.passwords["alice"]):
        assert secret not in said, secret


def test_nothing_a_client_says_breaks_a_log_line(gateway, person):
    person.visit("/log%0aforged?x=%1b[31m%22", **{"User-Agent": NASTY, "Referer": NASTY, "X-Request-Id": NASTY})
    person.try_login('eve"\\ {"event":"forged"}', "certainly not this one")
    with gateway.wire() as wire:
        wire.send(b"GET /\xff\xfe HTTP/1.1\r\nHost: x\x1b[31m\r\n\r\n")
        wire.closed()
    lines = gateway.process.output.read_text("utf-8").splitlines() + gateway.audit_text().splitlines()
    for line in lines:
        json.loads(line)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u0085\u202e]", line), repr(line)


def test_no_secret_is_in_any_log(gateway):
    secrets = {
        "password": gateway.passwords["grace"],
        "wrong password": "canary-wrong-password-4711",
        "bearer": "canary-bearer-4712",
        "app cookie": "canary-app-cookie-4713",
        "query token": "canary-query-token-4714",
        "body": "canary-form-body-4715",
        "code": "canary-code-4716",
    }
    person = Person(gateway)
    person.try_login("grace", secrets["wrong password"])
    person.login("grace")
    person.jar["app"] = secrets["app cookie"]
    person.visit(f"/x?token={secrets['query token']}&code={secrets['code']}", Authorization=f"Bearer {secrets['bearer']}")
    person.submit("/form", {"password": secrets["body"]})
    secrets["session"] = person.cookie
    for name, value in person.jar.items():
        if name.startswith("__Host-"):
            secrets[name] = value
    person.visit("/last-of-the-canaries")
    wait_until(lambda: "last-of-the-canaries" in gateway.logged(), "the log is written")
    said = gateway.logged() + gateway.ask_admin("/metrics").text
    assert [name for name, value in secrets.items() if value in said] == []


# --- Signals and files that change ---------------------------------------------------------------------------------------------


def test_a_request_under_way_is_finished_before_it_stops(make_gateway, gunicorn):
    gateway = make_gateway("draining", [{"hosts": ["gunicorn.test"], "upstream": gunicorn.upstream}])
    person = Person(gateway, "gunicorn.test")
    person.login("bob")
    with gateway.wire("gunicorn.test") as wire:
        wire.send(head("GET", "/slow?seconds=2", person.authority, f"Cookie: {person.cookies()}"))
        time.sleep(0.3)  # the request must be at the app before the signal
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: not accepts(gateway.port), "no new connection is accepted", within=2)
        answer = wire.response()
        assert answer.status == 200 and "At last." in answer.text
    assert gateway.process.child.wait(10) == 0
    assert "sys_shutdown" in gateway.logged()


def test_told_to_stop_while_it_starts_it_ends_in_good_order(make_gateway, recorder):
    gateway = make_gateway("early", [{"hosts": ["rec.test"], "upstream": recorder.upstream}], start=False)
    command = [BINARY, "serve", "--config", gateway.write()]
    socket = gateway.folder / "state" / "admin.sock"
    for _ in range(10):
        child = subprocess.Popen(command, cwd=gateway.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            # The first sign of it that must be taken away again.
            wait_until(socket.exists, "the admin socket is there", every=0)
            child.send_signal(signal.SIGTERM)
            assert child.wait(15) == 0
            assert not socket.exists()
        finally:
            child.kill()
            child.wait()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2], ids=lambda number: number.name)
def test_what_means_a_reload_elsewhere_ends_nothing(make_gateway, recorder, number):
    gateway = make_gateway(f"kept-{number.name}", [{"hosts": ["rec.test"], "upstream": recorder.upstream}])
    with gateway.wire() as wire:
        gateway.signal(number)
        for _ in range(3):
            wire.send(head("GET", "/x", gateway.authority()))
            assert wire.response().status == 401
    assert gateway.process.alive()
    gateway.signal(signal.SIGQUIT)
    assert gateway.process.child.wait(10) == 0
    assert "sys_shutdown" in gateway.logged()


def test_idle_connections_do_not_hold_it_up(make_gateway, recorder):
    gateway = make_gateway("idle-drain", [{"hosts": ["rec.test"], "upstream": recorder.upstream}])
    idle = [gateway.wire() for _ in range(5)]
    began = time.monotonic()
    gateway.signal(signal.SIGINT)
    assert gateway.process.child.wait(10) == 0
    assert time.monotonic() - began < 5
    for wire in idle:
        wire.close()


def test_logs_that_nobody_reads_do_not_hold_it_up(make_gateway, recorder):
    gateway = make_gateway("unread", [{"hosts": ["rec.test"], "upstream": recorder.upstream}], start=False)
    gateway.config["log"]["audit"] = "stderr"
    reading, writing = os.pipe()
    command = [BINARY, "serve", "--config", gateway.write()]
    child = subprocess.Popen(command, cwd=gateway.folder, stdout=writing, stderr=writing)
    try:
        wait_until(gateway.ready, "the gateway is ready", within=20)
        # The same pipe by another way, so that the gateway's own end goes on to block.
        filling = os.open(f"/proc/self/fd/{writing}", os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(filling, b"x" * 4096)
        with gateway.wire() as wire:
            wire.send(head("GET", "/x", gateway.authority()))
            assert wire.response().status == 401
        child.send_signal(signal.SIGTERM)
        assert child.wait(15) == 0
    finally:
        child.kill()
        child.wait()
        for end in (reading, writing, filling):
            os.close(end)


@pytest.mark.parametrize("change", ["removed", "password"])
def test_a_change_in_the_users_file_ends_the_sessions_it_concerns(make_gateway, recorder, work, change):
    users = work / f"changing-{change}.yaml"
    for name in ("ida", "jon"):
        add_user(users, name, PASSWORD)
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway(f"users-{change}", sites, login={"password": {"users": str(users)}})
    gateway.passwords.update(ida=PASSWORD, jon=PASSWORD)
    ida, jon = Person(gateway), Person(gateway)
    ida.login("ida")
    jon.login("jon")
    if change == "removed":
        run("users", "remove", "ida", "--file", users)
    else:
        run("users", "passwd", "ida", "--file", users, stdin="ida now runs across eleven beetroots\n")
    wait_until(lambda: ida.visit("/").status == 303, "the session of the changed user ends", within=8)
    assert jon.is_in()
    assert Person(gateway).try_login("ida", PASSWORD).status != 303


def test_a_broken_users_file_changes_nothing(make_gateway, recorder, work):
    users = work / "breaking.yaml"
    add_user(users, "ida", PASSWORD)
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway("users-broken", sites, login={"password": {"users": str(users)}})
    gateway.passwords["ida"] = PASSWORD
    ida = Person(gateway)
    ida.login("ida")
    users.write_text("users: {{{ not yaml")
    wait_until(lambda: "users" in gateway.process.errors() or "users" in gateway.audit_text()[-2000:], "it is said")
    assert ida.is_in()
    Person(gateway).login("ida")


def test_a_new_certificate_is_taken_up_without_losing_a_connection(make_gateway, recorder, work):
    folder = work / "reload"
    folder.mkdir()
    authority = Authority(folder)
    authority.issue("rec.test", "served")
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    tls = {"certificates": [{"cert": str(folder / "served.pem"), "key": str(folder / "served.key")}], "generate": False}
    gateway = make_gateway("reloading", sites, tls=tls)
    context = ssl.create_default_context(cafile=authority.file)

    def serial():
        with socket.create_connection(("127.0.0.1", gateway.port)) as plain:
            with context.wrap_socket(plain, server_hostname="rec.test") as secure:
                return secure.getpeercert()["serialNumber"]

    before = serial()
    with gateway.wire() as kept:
        kept.send(head("GET", "/x", gateway.authority()))
        assert kept.response().status == 401
        authority.issue("rec.test", "served")
        wait_until(lambda: serial() != before, "the new certificate is served", within=15, every=0.3)
        kept.send(head("GET", "/x", gateway.authority()))
        assert kept.response().status == 401
    (folder / "served.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    wait_until(lambda: "served.pem" in gateway.process.errors() + gateway.audit_text(), "the failure is said", within=15)
    assert serial() != before


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(gateway, version):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", gateway.port)) as plain:
        with context.wrap_socket(plain, server_hostname="rec.test") as secure:
            assert secure.version() in ("TLSv1.2", "TLSv1.3")


def test_silent_and_slow_connections_are_closed(make_gateway, recorder):
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway("impatient", sites, limits={"header_timeout": "1s", "idle_timeout": "2s"})
    with Wire(gateway.port, tls=False) as silent:
        assert silent.closed(within=4), "a handshake that never comes"
    with gateway.wire() as slow:
        slow.send(b"GET / HTTP/1.1\r\nHost:")
        assert slow.closed(within=4), "a head that never ends"
    with gateway.wire() as idle:
        idle.send(head("GET", "/x", gateway.authority()))
        assert idle.response().status == 401
        assert idle.closed(within=6), "a connection that is not used again"


# --- Open files ----------------------------------------------------------------------------------------------------------


def limited(soft, hard):
    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))}


def connections(gateway):
    return int(re.search(r"^vestibule_connections_open (\d+)", gateway.ask_admin("/metrics").text, re.M)[1])


def test_the_limit_on_open_files_is_raised_as_far_as_it_goes(make_gateway, recorder):
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway("raised", sites, start=False, limits={"connections": 500})
    gateway.popen = limited(256, 4096)
    gateway.start()
    assert resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE) == (4096, 4096)
    assert "LimitNOFILE" not in gateway.process.errors()


def test_where_files_run_out_newcomers_wait_and_those_inside_are_served(make_gateway, recorder):
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway("few-files", sites, start=False)
    gateway.popen = limited(100, 100)
    gateway.start()
    warning = re.compile(r"may open 100 files: enough for (\d+) connections .*`LimitNOFILE=\d+`")
    wait_until(lambda: warning.search(gateway.process.errors()), "the start says so", 5)
    places = int(warning.search(gateway.process.errors())[1])
    alice = Person(gateway)
    alice.login("alice")
    ask = head("GET", "/x", gateway.authority(), f"Cookie: {alice.cookies()}")
    with gateway.wire() as inside, contextlib.ExitStack() as crowd:
        inside.send(ask)
        assert inside.response().status == 200
        for _ in range(150):
            crowd.enter_context(socket.create_connection(("127.0.0.1", gateway.port)))
        wait_until(lambda: connections(gateway) >= places, "every place is taken", 5)
        # A new connection to the app each time: none is left from the request before.
        recorder.on("/last", answer(), keep=False)
        for _ in range(3):
            inside.send(ask.replace(b"/x", b"/last"))
            assert inside.response().status == 200
    wait_until(lambda: alice.visit("/x").status == 200, "newcomers are let in again", 5)
