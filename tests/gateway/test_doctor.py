"""`vestibule doctor`: what it says of careless apps, bare and behind the gateway, and what no site can do to it."""

import contextlib
import json
import re
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer

import pytest

from support.certificates import Authority
from support.doctor import HTML
from support.doctor import Look
from support.doctor import recipe
from support.gateway import BINARY
from support.gateway import run
from support.process import Process
from support.process import dead_port
from support.process import free_port
from support.recorder import Recorder
from support.recorder import answer
from support.waiting import wait_until

@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The built-in demo: the addresses of the careless app, bare and behind the gateway."""
    log = tmp_path_factory.mktemp("demo") / "demo.log"
    process = Process([BINARY, "demo", "--listen", f"127.0.0.1:{free_port()}"], log)
    try:
        wait_until(lambda: "Ctrl-C" in process.said() or not process.alive(), "the demo greets", within=20)
        yield [re.search(rf"{label}: +(\S+)", process.said())[1] for label in ("as it is", "behind Vestibule")]
    finally:
        process.stop()


@pytest.fixture(scope="module")
def behind(make_gateway, express):
    """Express behind a gateway with defaults, and the file that vouches for its certificate."""
    gateway = make_gateway("doctor", [{"upstream": express.upstream}])
    return f"https://localhost:{gateway.port}/", gateway


def test_the_careless_app_fails_and_is_fine_behind_the_gateway(demo):
    bare, gateway = map(Look, demo)
    expected = {"https_only", "cookie_secure", "cookie_http_only", "cookie_same_site", "id_entropy"}
    assert bare.named("fail") == expected and bare.done.returncode == 1
    assert "ids count" in bare.checks["id_entropy"]["says"]
    assert gateway.named("fail") | gateway.named("warn") == set() and gateway.done.returncode == 0
    assert {"cookie_secure", "framing", "nosniff", "login_form", "tls_version"} <= gateway.named("pass")


def test_a_real_app_is_better_behind_the_gateway(express, behind):
    url, gateway = behind
    before = Look(express.upstream)
    assert {"https_only", "cookie_secure", "cookie_same_site"} <= before.named("fail")
    assert {"framing", "banner", "cookie_name", "referrer_policy"} <= before.named("warn")
    assert {"id_entropy", "id_meaning", "id_adopted", "cookie_http_only"} <= before.named("pass")
    assert before.evidence("banner") == ["x-powered-by: Express"]
    after = Look(url, "--ca-file", gateway.folder / "cert.pem", "--http-port", gateway.redirect_port)
    assert after.named("fail") | after.named("warn") | after.named("info") == set(), after.done.stdout
    assert {"https_only", "tls_certificate"} <= after.named("pass")


def test_every_finding_names_its_standard_and_what_mends_it(demo):
    look = Look(demo[0])
    for check in look.report["checks"]:
        assert re.fullmatch(r"[A-Z]+-\d+", check["standard"]) and check["source"] and check["says"]
        if check["status"] in ("fail", "warn"):
            assert check["evidence"], check
            assert check["mend"] or check["check"] == "cookie_grammar", check
    assert sum(look.report["summary"].values()) == len(look.checks)


def test_what_is_printed_for_people_says_the_same(demo):
    text = run("doctor", demo[0], check=False)
    assert text.returncode == 1 and text.stderr == ""
    assert "FAIL  cookie_secure  (COOKIE-1: ASVS 5.0 3.3.1" in text.stdout
    assert "mend: `sites[].cookies: harden` (the default)" in text.stdout
    assert "a setting of Vestibule in front of the app" in text.stdout
    assert "\x1b" not in text.stdout
    assert re.search(r"\n5 failed, \d+ to look at, \d+ fine, \d+ not checked\n$", text.stdout)


def test_a_certificate_that_is_not_trusted_is_told_and_does_not_blind(behind):
    url, gateway = behind
    look = Look(url)
    assert look.checks["tls_certificate"]["status"] == "info"
    named = Look(url, "--ca-file", gateway.folder / "cert.pem")
    assert named.checks["tls_certificate"]["status"] == "pass"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@pytest.mark.parametrize("oldest", ["TLSv1_1", "TLSv1_2"])
def test_a_server_that_still_speaks_tls_1_1_fails(tmp_path, oldest):
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion[oldest]
    # What a library of today only does when it is told to.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(*authority.issue("localhost"))

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):
            """A greeting of TLS 1.1 is no request."""

    with Server(("127.0.0.1", 0), Page) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        look = Look(f"https://localhost:{server.server_port}/", "--ca-file", authority.file)
        server.shutdown()
    assert look.checks["tls_certificate"]["status"] == "pass"
    assert look.checks["tls_version"]["status"] == ("fail" if oldest == "TLSv1_1" else "pass")


def test_a_name_below_localhost_is_this_machines_also_where_no_resolver_knows_it(make_gateway, express):
    gateway = make_gateway("doctor-localhost", [{"hosts": ["notes.localhost"], "upstream": express.upstream}])
    look = Look(f"https://notes.localhost:{gateway.port}/", "--ca-file", gateway.folder / "cert.pem")
    assert look.checks["tls_certificate"]["status"] == "pass" and look.named("fail") == set()


def test_an_app_on_loopback_is_reached_by_its_own_machine_alone(behind, express):
    look = Look(behind[0], "--app", express.upstream)
    assert look.checks["app_reachable"]["status"] == "skip"
    assert "app_reachable" not in Look(behind[0]).checks


@pytest.mark.parametrize(
    "arguments",
    [
        ["ftp://app.example/"], ["https://ann:pw@app.example/"], ["https://"], [], ["http://a", "--ca-file", "/none"],
        ["http://a", "--resolve", "a:80"], ["http://a", "--resolve", "a:x:127.0.0.1"], ["http://a", "--resolve", "a:80:b"],
        ["http://a", "--resolve", "127.0.0.1:80:127.0.0.2"], ["http://a", "--resolve", "b:80:127.0.0.1"],
    ],
)  # fmt: skip
def test_wrong_usage_is_2(arguments):
    done = run("doctor", *arguments, check=False)
    assert done.returncode == 2 and done.stdout == "" and done.stderr


def test_a_site_that_does_not_answer_is_1_and_says_so():
    done = run("doctor", f"http://127.0.0.1:{dead_port()}", check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "cannot be looked at: /: cannot connect" in done.stderr


@pytest.fixture
def recorder():
    """One of the test's own: what is said at the paths of whole pages would be said to all tests that come after."""
    recorder = Recorder()
    yield recorder
    recorder.close()


def test_only_the_named_host_is_asked_and_only_for_pages(recorder):
    """Everything that could make it ask more: cookies, redirects, links, forms."""
    page = b"""<form method=post action=/logout><input type=hidden name=t></form>
        <a href=/logout>out</a><a href=/delete?id=1>delete</a><a href=/login>in</a><img src=/pixel>"""
    recorder.on("/", answer(headers=[HTML, "Set-Cookie: sid=q7hkjv1b8l3gqk0p; Path=/"], body=page))
    recorder.on("/login", answer("302 Found", [f"Location: http://localhost:{recorder.port}/elsewhere"], b""))
    mark = recorder.mark()
    look = Look(recorder.upstream)
    seen = recorder.since(mark)
    assert 8 <= len(seen) <= 20 and look.report["requests"] == len(seen)
    assert {request.method for request in seen} <= {"GET", "HEAD"}
    assert {request.one("Host") for request in seen} == {f"127.0.0.1:{recorder.port}"}
    assert all(request.body == b"" for request in seen)
    targets = {request.target for request in seen}
    assert {target for target in targets if "vestibule-doctor" not in target} == {"/", "/login"}
    assert any(f"http://localhost:{recorder.port}/elsewhere" in trouble for trouble in look.report["troubles"])
    # A fifth of a second between two, at least.
    assert look.took > 0.2 * (len(seen) - 1)


def test_a_site_that_leads_on_and_on_is_not_followed_for_ever(recorder):
    def lead_on(client, seen):
        number = int(seen.target.split("/")[-1])
        client.sendall(answer("302 Found", [f"Location: /on/{number + 1}", f"Set-Cookie: sid={number}"], b""))

    for number in range(40):
        recorder.on(f"/on/{number}", lead_on)
    mark = recorder.mark()
    look = Look(f"{recorder.upstream}/on/0")
    assert len(recorder.since(mark)) <= 20
    assert any("leads on and on" in trouble for trouble in look.report["troubles"])


# --- servers that mean harm ------------------------------------------------------------------------------------------


class Hostile:
    """Answers every connection by `behave(socket)`, once a request's head has come."""

    def __init__(self, behave):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._behave = behave
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        client.settimeout(90)
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                more = client.recv(4096)
                if not more:
                    return
                head += more
            self._behave(client)

    def close(self):
        self._listener.close()


def endless_fields(client):
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        client.sendall(b"X-More: and more\r\n" * 100)


def endless_field(client):
    client.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        client.sendall(b"a" * 65536)


def endless_interim(client):
    while True:
        client.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 50)


def slow_head(client):
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: y\r\n" * 100:
        client.sendall(bytes([byte]))
        time.sleep(0.5)


def nothing(client):
    time.sleep(60)


def noise(client):
    client.sendall(bytes(range(256)) * 64)


def ten_thousand_cookies(client):
    lines = "".join(f"Set-Cookie: sid{number}=1; Path=/\r\n" for number in range(10_000))
    client.sendall(f"HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n".encode())


@pytest.mark.parametrize(
    "behave",
    [endless_fields, endless_field, endless_interim, slow_head, nothing, noise, ten_thousand_cookies],
    ids=lambda behave: behave.__name__,
)
def test_a_server_that_gives_no_answer_is_left_alone(behave):
    server = Hostile(behave)
    began = time.monotonic()
    done = run("doctor", server.url, check=False)
    assert done.returncode == 1 and "cannot be looked at" in done.stderr
    assert "panicked" not in done.stderr
    assert time.monotonic() - began < 20 and server.connections == 1
    server.close()


def endless_body(client):
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: sid=1\r\n\r\n")
    while True:
        client.sendall(b"<form><input type=hidden name=a><a href=/login>" * 1000)


def slow_body(client):
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        client.sendall(b"<")
        time.sleep(0.3)


def many_cookies(client):
    lines = "".join(f"Set-Cookie: sid{number}=1; Path=/\r\n" for number in range(900))
    client.sendall(f"HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n".encode())


@pytest.mark.parametrize("behave", [endless_body, slow_body, many_cookies], ids=lambda behave: behave.__name__)
def test_a_server_that_gives_too_much_is_looked_at_as_far_as_it_goes(behave):
    server = Hostile(behave)
    look = Look(server.url)
    assert look.took < 60 and server.connections <= 20
    if behave is many_cookies:
        assert any("900 cookies in one answer; 50 were looked at" in line for line in look.evidence("cookie_grammar"))
    server.close()


def test_nothing_a_server_says_reaches_the_terminal_as_it_is():
    evil = b"\x1b]0;owned\x07\x1b[2J\xe2\x80\xae\xc2\x9b31m"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n"
    for name in (b"Server: 1", b"X-Powered-By: ", b"X-Frame-Options: ", b"Cache-Control: ", b"Referrer-Policy: "):
        head += name + evil.replace(b"\x1b", b"").replace(b"\x07", b"") + b"\r\n"
    # No field may hold ESC, so a name does it with what a field may hold: C1 controls and what turns text around.
    c1 = b"\xc2\x9b2J\xe2\x80\xae"
    head += b"Set-Cookie: sid" + c1 + b"=secret-value-0123456789; Path=/" + c1 + b"; Domain=" + c1 + b"\r\n"
    head += b"Set-Cookie: sid=secret-value-0123456789\r\n\r\n"
    server = Hostile(lambda client: client.sendall(head))
    for arguments in ([], ["--json"]):
        out = run("doctor", server.url, *arguments, check=False).stdout
        assert out and "secret-value" not in out
        odd = {char for char in out if not (" " <= char <= "~" or char in "\n·…§")}
        assert not odd, odd
    server.close()


# --- with a login ----------------------------------------------------------------------------------------------------


FLASK = """
login: { page: /login, user: { field: name, value: nora }, password: { field: secret, file: password } }
private: { page: /notes, shows: Signed in as }
logout: { action: /logout }
"""
EXPRESS = """
login: { page: /login, user: { field: username, value: nora }, password: { field: password, file: password } }
private: { page: /private, shows: for nora only }
logout: { action: /logout }
"""
GATEWAY = """
login: { page: /.vestibule/login, user: { field: username, value: grace }, password: { field: password, env: GRACE } }
private: { page: /, shows: who }
logout: { page: /.vestibule/logout, action: /.vestibule/logout }
"""


def test_flask_shows_its_faults_to_whoever_logs_in(flask, tmp_path):
    look = Look(flask.upstream, "--active", "--recipe", recipe(tmp_path, FLASK))
    assert look.report["mode"] == "active" and look.report["requests"] < 250
    # A signed cookie is its own session: nothing on the server can end it.
    assert {"logout_ends", "id_meaning", "foreign_logout", "foreign_login"} <= look.named("fail")
    assert "packed and signed, not sealed (Flask)" in look.evidence("id_meaning")[0]
    assert {"login_planted_id", "logout_clears", "logout_by_get", "id_from_url"} <= look.named("pass")
    assert "nora-keeps-notes" not in look.done.stdout + look.done.stderr


def test_express_names_sessions_anew_and_ends_them(express, tmp_path):
    look = Look(express.upstream, "--active", "--recipe", recipe(tmp_path, EXPRESS))
    assert {"login_new_id", "login_planted_id", "logout_ends", "logout_by_get"} <= look.named("pass")
    assert look.checks["id_entropy"]["status"] == "pass"
    assert look.evidence("id_entropy")[0].startswith("32 ids of 32 characters; at most 1")
    assert {"foreign_logout", "foreign_login"} <= look.named("fail")


def test_the_gateway_fails_nothing_and_leaves_no_session(behind, tmp_path, monkeypatch):
    url, gateway = behind
    monkeypatch.setenv("GRACE", gateway.passwords["grace"])
    arguments = ["--active", "--recipe", recipe(tmp_path, GATEWAY), "--ca-file", gateway.folder / "cert.pem"]
    look = Look(url, *arguments, "--http-port", gateway.redirect_port)
    assert look.named("fail") | look.named("warn") == set(), look.done.stdout
    assert look.named("info") == {"other_browser", "two_at_once"} and look.report["troubles"] == []
    assert re.match(r"8 ids of 43 characters; at most 25[68] bits", look.evidence("id_entropy")[0])
    assert {"login_new_id", "logout_ends", "foreign_login", "foreign_logout", "private_cached"} <= look.named("pass")
    left = run("sessions", "list", "--json", "--config", gateway.file)
    assert json.loads(left.stdout) == []
    assert gateway.passwords["grace"] not in look.done.stdout + look.done.stderr


def test_a_password_is_not_sent_where_the_certificate_is_not_trusted(behind, tmp_path, monkeypatch):
    url, gateway = behind
    monkeypatch.setenv("GRACE", gateway.passwords["grace"])
    logins = len([event for event in gateway.events() if event["event"].startswith("authn_")])
    done = run("doctor", url, "--active", "--recipe", recipe(tmp_path, GATEWAY), check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "could not begin: the site cannot be used: no TLS" in done.stderr
    assert len([event for event in gateway.events() if event["event"].startswith("authn_")]) == logins


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("/notes", "/"), "is shown to strangers too"),
        (("nora }", "otto }"), "the login did not open the private page"),
    ],
    ids=["open", "wrong password"],
)
def test_a_recipe_that_does_not_fit_is_told(flask, tmp_path, change, says):
    text = FLASK.replace(*change).replace("shows: Signed in as", "shows: Notes")
    done = run("doctor", flask.upstream, "--active", "--recipe", recipe(tmp_path, text), check=False)
    assert done.returncode == 1 and done.stdout == "" and says in done.stderr


@pytest.mark.parametrize("arguments", [["--active"], ["--recipe", "x"], ["--active", "--recipe", "/none"]])
def test_a_recipe_that_is_not_there_is_2(arguments):
    done = run("doctor", "http://127.0.0.1:1", *arguments, check=False)
    assert done.returncode == 2 and done.stderr


class Fixed:
    """An app that keeps every session it is sent, for ever, and logs out by a link: what fixation needs."""

    def __init__(self, recorder):
        self.sessions = {}
        self.seen = []
        for path, reply in (("/login", self.login), ("/inside", self.inside), ("/out", self.out)):
            recorder.on(path, reply)

    def session(self, seen):
        self.seen.append(seen)
        query = seen.target.partition("?")[2]
        cookies = "; ".join(seen.all("Cookie"))
        found = re.search(r"token=(\w+)", cookies) or re.search(r"token=(\w+)", query)
        return found[1] if found else "%032x" % (len(self.sessions) + 0x123456789)

    def login(self, client, seen):
        value = self.session(seen)
        self.sessions.setdefault(value, False)
        if seen.method == "POST" and b"password=right" in seen.body:
            self.sessions[value] = True
        form = b"<form method=post><input name=user><input type=password name=password></form>"
        client.sendall(answer(headers=[HTML, f"Set-Cookie: token={value}; Path=/"], body=form))

    def inside(self, client, seen):
        status = "200 OK" if self.sessions.get(self.session(seen)) else "403 Forbidden"
        client.sendall(answer(status, [HTML, "Cache-Control: public, max-age=60"], b"secret"))

    def out(self, client, seen):
        client.sendall(answer("303 See Other", ["Location: /login", "Set-Cookie: token=; Max-Age=0"], b""))


def test_an_app_made_of_faults_fails_in_each(recorder, tmp_path):
    app = Fixed(recorder)
    text = """
login: { page: /login, user: { field: user, value: a }, password: { field: password, file: password } }
private: { page: /inside }
logout: { action: /out, method: GET }
"""
    file = recipe(tmp_path, text)
    (tmp_path / "password").write_text("right")
    mark = recorder.mark()
    look = Look(f"{recorder.upstream}/login", "--active", "--recipe", file)
    expected = {"login_new_id", "login_planted_id", "logout_ends", "foreign_logout", "foreign_login", "id_from_url"}
    expected |= {"logout_by_get"}
    assert expected | {"private_cached", "id_entropy", "cookie_secure"} <= look.named("fail"), look.done.stdout
    assert "ids count" in look.checks["id_entropy"]["says"]
    seen = recorder.since(mark)
    assert len(seen) == look.report["requests"] <= 250
    assert {request.one("Host") for request in seen} == {f"127.0.0.1:{recorder.port}"}
    assert {request.target for request in seen if request.method == "POST"} == {"/login"}


def test_a_password_goes_to_no_other_port(recorder, tmp_path):
    other = Recorder()
    try:
        for name, action in (("page", f"{other.upstream}/login"), ("path", "/login")):
            form = f"<form method=post action='{action}'><input name=user><input type=password name=password></form>"
            body = answer(headers=[HTML], body=form.encode())
            recorder.on(f"/{name}", lambda client, _, body=body: client.sendall(body))
        recorder.on("/inside", lambda client, _: client.sendall(answer("403 Forbidden", [HTML], b"")))
        recorder.on("/login", lambda client, _: client.sendall(answer("403 Forbidden", [HTML], b"")))
        for name, says in (("page", "it is on another host"), ("path", "the login did not open the private page")):
            text = f"""
login: {{ page: /{name}, user: {{ field: user, value: a }}, password: {{ field: password, file: password }} }}
private: {{ page: /inside }}
"""
            arguments = ("doctor", recorder.upstream, "--active", "--recipe", recipe(tmp_path, text))
            done = run(*arguments, check=False)
            assert done.returncode == 1 and says in done.stderr, done.stderr
        assert other.since(0) == []
    finally:
        other.close()
