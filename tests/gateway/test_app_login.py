"""The app's own login, observed: what begins a session and what never does, and what the app and the browser see of it."""

import json
import time
from types import SimpleNamespace

import pytest

from support.gateway import run
from support.legacy import Legacy
from support.legacy import answer
from support.person import NAVIGATION
from support.person import SCRIPT
from support.person import SESSION
from support.person import WHO
from support.person import Person
from support.process import dead_port
from support.waiting import wait_until

APP = {"app": {"success": {"status": 302}}}
JSON = {"submit": "/api/login", "user": {"json": "user.name"}, "success": {"status": 200, "json": {"ok": True}}}
HEADER = {"user": {"header": "X-User"}, "success": {"status": 302}}
BRIEF = {"idle_timeout": "2s", "absolute_timeout": "22s"}
RULES = [
    {"path": "/public", "allow": "anyone"},
    {"path": "/account", "allow": "authenticated", "reauth_after": "3s"},
    {"path": "/login", "allow": "nobody"},
]


@pytest.fixture(scope="module")
def legacy():
    legacy = Legacy()
    yield legacy
    legacy.close()


def site(legacy, name, login=None, **more):
    return {
        "hosts": [f"{name}.test"],
        "upstream": legacy.upstream,
        "login": login or APP,
        "rules": RULES,
        "logout": {"path": "/logout", "tell_app": "get"},
        **more,
    }


@pytest.fixture(scope="module")
def apps(make_gateway, legacy):
    sites = [
        site(legacy, "harden"),
        site(legacy, "vault", cookies="vault"),
        site(legacy, "pass", cookies="pass"),
        site(legacy, "json", {"app": JSON}),
        site(legacy, "header", {"app": HEADER}),
        site(legacy, "lax", csrf="off"),
        site(legacy, "observed", mode="observe"),
        site(legacy, "own", "all", rules=[]),
        site(legacy, "led", {"app": {"page": "/page", "submit": "/login", "success": {"status": 302}}}),
        site(legacy, "ownpass", "all", rules=[], cookies="pass"),
        site(legacy, "few", session=BRIEF),
        site(legacy, "fewvault", cookies="vault", session=BRIEF),
        site(legacy, "fewpass", cookies="pass", session=BRIEF),
        site(legacy, "resumed", session={**BRIEF, "resume_window": "20s"}),
        site(legacy, "resumedvault", cookies="vault", session={**BRIEF, "resume_window": "20s"}),
    ]
    return make_gateway("app-login", sites)


def log_in(person, user="alice", password="right", target="/login", **more):
    return person.submit(target, {"username": user, "password": password, **more})


def told(person, path="/page"):
    shown = person.visit(path)
    assert shown.status == 200, f"{shown.status}\n{shown.text[:300]}"
    return shown.json()


@pytest.mark.parametrize("mode", ["harden", "vault", "pass"])
def test_the_apps_login_begins_a_session_and_nothing_else_does(apps, legacy, mode):
    person = Person(apps, f"{mode}.test")
    led = person.visit("/page?x=1")
    assert led.status == 303 and not person.cookie
    page = person.visit(person.location(led))
    assert (page.status, person.location(page)) == (303, "/login?next=%2Fpage%3Fx%3D1")
    assert "<form" in person.visit(person.location(page)).text
    failed = log_in(person, password="wrong")
    assert failed.status == 200 and not person.cookie and not person.authenticated()
    done = log_in(person, target="/login?next=/page")
    assert (done.status, done.get("Location")) == (302, "/page")
    first = person.cookie
    assert first and "no-store" in done.get("Cache-Control")
    assert told(person) == {"app": "alice", "gateway": ["alice"], "cookies": [f"sid={legacy.sid(legacy.last())}"]}
    if mode == "vault":
        assert "sid" not in person.jar and not [line for line in person.set_cookies if "sid=" in line.split(";")[0]]
    # A new login is a new id, and the old one is dead at once.
    old = Person(apps, f"{mode}.test")
    old.jar = dict(person.jar)
    log_in(person)
    assert person.cookie != first
    assert told(person)["app"] == "alice"
    assert not old.authenticated()


AWAY = ["/", "https://dash.example.com/", "/home;jsessionid=1A", "/home?was=f\xfcr", "/a%2Fb"]


@pytest.fixture
def sends_away(legacy, request):
    """An app that sends whoever it knows away from its login, whatever they type there."""

    def reset():
        legacy.sends_known_away, legacy.away = False, "/"

    request.addfinalizer(reset)
    legacy.sends_known_away, legacy.away = True, getattr(request, "param", "/")


@pytest.fixture(scope="module")
def led(make_gateway, legacy):
    sites = [site(legacy, "harden"), site(legacy, "vault", cookies="vault"), site(legacy, "pass", cookies="pass")]
    sites.append(site(legacy, "observed", mode="observe"))
    attempts = {"per_account": 100, "per_address": "1000/1m"}
    return make_gateway("app-login-led", sites, login={"attempts": attempts})


@pytest.mark.parametrize("sends_away", AWAY, indirect=True)
@pytest.mark.parametrize("mode", ["harden", "vault", "pass"])
def test_an_app_that_sends_known_people_away_lets_nobody_in_as_another(led, mode, sends_away):
    eve = Person(led, f"{mode}.test")
    log_in(eve, "eve")
    assert told(eve)["gateway"] == ["eve"]
    stranger = Person(led, f"{mode}.test")
    stranger.jar = {name: value for name, value in eve.jar.items() if name != SESSION}
    for person in (eve, stranger):
        session = person.cookie
        answered = log_in(person, "alice", "wrong")
        assert answered.status == 200 and person.cookie == session
        # With the right password it is a login like any other.
        log_in(person, "dora")
        assert told(person)["gateway"] == ["dora"] and told(person)["app"] == "dora"


@pytest.mark.parametrize("sends_away", AWAY, indirect=True)
def test_in_observe_mode_somebody_the_app_knows_is_nobody_else(led, sends_away):
    eve = Person(led, "observed.test")
    log_in(eve, "eve")
    assert told(eve)["gateway"] == ["eve"]
    assert log_in(eve, "alice", "wrong").status == 302
    assert told(eve)["gateway"] == ["eve"]
    led.wait_event("authz_fail_observed", "login_of_known_user")


@pytest.mark.parametrize(
    "location",
    ["/login?error=Ung\xfcltig", "/login;jsessionid=1A?error", "{origin}//login", "http://10.0.0.2:5000/login", "/Login/"],
)
def test_a_no_that_leads_back_is_no_success_however_it_is_written(led, legacy, location, request):
    request.addfinalizer(lambda: setattr(legacy, "refuses_to", None))
    person = Person(led, "harden.test")
    legacy.refuses_to = location.format(origin=person.origin)
    assert log_in(person, "root", "wrong").status == 302
    assert not person.cookie and not person.authenticated()


def test_an_app_that_does_not_answer_locks_nobody_out(make_gateway):
    gone = make_gateway("app-login-gone", [site(SimpleNamespace(upstream=f"http://127.0.0.1:{dead_port()}"), "gone")])
    person = Person(gone, "gone.test")
    person.jar["theme"] = "dark"
    assert [log_in(person).status for _ in range(8)] == [502] * 8


def test_json_and_header_say_what_and_who(apps, legacy):
    person = Person(apps, "json.test")
    body = {"Content-Type": "application/json", **SCRIPT, "Origin": person.origin, "Accept-Encoding": "gzip"}
    send = lambda fields: person.request("POST", "/api/login", body, json.dumps(fields).encode())
    assert send({"username": "alice", "password": "wrong"}).status == 401 and not person.cookie
    mark = legacy.mark()
    done = send({"username": "alice", "password": "right"})
    assert done.json() == {"ok": True, "user": {"name": "alice"}} and person.cookie
    assert legacy.logins(mark)[0].all("Accept-Encoding") == ["identity"]
    assert told(person)["gateway"] == ["alice"]
    person = Person(apps, "header.test")
    log_in(person, "bob")
    assert told(person)["gateway"] == ["bob"]


def test_the_login_page_is_open_whatever_the_rules_say_and_nothing_beside_it(apps):
    person = Person(apps, "harden.test")
    assert person.visit("/login").status == 200 and person.request("HEAD", "/login", NAVIGATION).status == 200
    assert person.visit("/Login").status == 403 and person.visit("/login/x").status == 303
    assert person.fetch("/page").status == 401
    assert person.visit("/.vestibule/password").status == 404
    assert person.visit("/.vestibule/handover").status == 404
    assert person.submit("/.vestibule/login", {"username": "alice"}).status == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"username": "a" * 129},
        {"username": "ali\x00ce"},
        {"username": "alice\nbob"},
        {"username": " alice"},
        {"username": "ali\u200bce"},
    ],
)
def test_a_success_for_a_name_that_is_none_is_refused(apps, fields):
    person = Person(apps, "harden.test")
    answered = person.submit("/login", {**fields, "password": "right"})
    assert answered.status == 403 and not person.cookie and "sid" not in person.jar
    apps.wait_event("authn_login_fail", "unusable_user_name")


@pytest.mark.parametrize("fields", [{"username": ""}, {}])
def test_a_yes_to_nobody_is_the_apps_affair_and_begins_no_session(apps, fields):
    person = Person(apps, "harden.test")
    answered = person.submit("/login", {**fields, "password": "right"})
    assert answered.status == 302 and not person.cookie and not person.authenticated()


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
LONG = b"username=alice&password=right&x=" + b"x" * 16_384
UNCLEAR = [
    ("POST", "/login", FORM, b"username=alice&username=bob&password=right"),
    ("POST", "/login", FORM, b"username=alice&Username=bob&password=right"),
    ("POST", "/login", FORM, b"Username=alice&password=right"),
    ("POST", "/login?username=bob", FORM, b"username=alice&password=right"),
    ("POST", "/login?username=alice&password=right", {}, b""),
    ("POST", "/login", {"Content-Type": "text/plain"}, b"username=alice&password=right"),
    ("POST", "/login", {**FORM, "Content-Encoding": "gzip"}, b"username=alice&password=right"),
    ("POST", "/login", {"Content-Type": FORM["Content-Type"] + "; charset=utf-7"}, b"username=alice&password=right"),
    ("POST", "/login", FORM, b'username=alice&password=right&x={"username":"bob"}'),
    ("POST", "/login", FORM, LONG),
    ("POST", "/Login", FORM, LONG),
    ("GET", "/login?username=alice&password=right", {}, None),
    ("GET", "/login?Username=alice", {}, None),
    ("GET", "/login?next=/", FORM, b"username=alice&password=right"),
    ("PUT", "/login", FORM, b"username=alice&password=right"),
]


def send(person, method, target, headers, body, kind=NAVIGATION):
    own = {**kind, "Sec-Fetch-Site": "same-origin", "Origin": person.origin}
    return person.request(method, target, {**own, **headers}, body)


def test_an_account_of_ones_own_clears_no_failures_of_one_spelt_in_other_letters(make_gateway, legacy):
    gateway = make_gateway("app-login-spelt", [site(legacy, "app")])
    mark = legacy.mark()
    for _ in range(12):
        log_in(Person(gateway, "app.test"), "moritz", "wrong")
        log_in(Person(gateway, "app.test"), "Moritz")
    guesses = [seen for seen in legacy.logins(mark) if b"wrong" in seen.body]
    assert 5 <= len(guesses) < 10
    # Whose failures they are can take them back.
    time.sleep(2 ** (len(guesses) - 5) + 0.1)
    person = Person(gateway, "app.test")
    assert log_in(person, "moritz").status == 302 and person.cookie
    for _ in range(4):
        assert log_in(Person(gateway, "app.test"), "moritz", "wrong").status == 200


@pytest.fixture(scope="module")
def strict(make_gateway, legacy):
    """An app that is open to everybody, so that nothing but the watch stands before it; ten attempts for a network."""
    everything = [{"path": "/*", "allow": "anyone"}]
    sites = [site(legacy, "open", rules=everything), site(legacy, "lax", csrf="off"), site(legacy, "observed", mode="observe")]
    return make_gateway("app-login-strict-forms", sites, login={"attempts": {"per_account": 5, "per_address": "10/15m"}})


def test_what_nobody_can_count_for_an_account_does_not_reach_the_app(strict, legacy):
    mark = legacy.mark()
    for method, target, headers, body in UNCLEAR:
        person = Person(strict, "open.test")
        wanted = 413 if body == LONG else 400
        answered = send(person, method, target, headers, body)
        assert answered.status == wanted and not person.jar, f"{answered.status}: {method} {target} {(body or b'')[:60]}"
        assert 'href="/login?next=%2F"' in answered.text
        asked = send(person, method, target, headers, body, SCRIPT)
        assert (asked.status, asked.json()["login"]) == (wanted, "/login?next=%2F")
        assert asked.json()["error"] == ("login_too_long" if body == LONG else "login_unclear")
    assert not legacy.since(mark)
    assert "authn_login_fail" in strict.wait_event("login_unclear") and "authn_login_fail" in strict.wait_event("login_too_long")
    # They have cost the network nothing.
    person = Person(strict, "open.test")
    assert log_in(person).status == 302 and person.cookie


def test_whoever_is_logged_in_guesses_by_no_other_way_either(strict, legacy):
    person = Person(strict, "open.test")
    log_in(person, "eve")
    mark = legacy.mark()
    assert person.visit("/login?username=alice&password=right").status == 400
    assert send(person, "PUT", "/login", FORM, b"username=alice&password=right").status == 400
    assert not legacy.since(mark)


def test_what_names_nobody_passes_and_counts_for_its_network(make_gateway, legacy):
    gateway = make_gateway("app-login-nobody", [site(legacy, "app")], login={"attempts": {"per_account": 5, "per_address": "4/15m"}})
    multipart = b'--x\r\nContent-Disposition: form-data; name="lang"\r\n\r\nde\r\n--x--\r\n'
    mark = legacy.mark()
    for headers, body in [
        ({}, b""),
        (FORM, b"csrfmiddlewaretoken=x&next=%2F&lang=de"),
        ({"Content-Type": "application/json"}, b'{"id": "x", "response": {"userHandle": "y"}}'),
        ({"Content-Type": "multipart/form-data; boundary=x"}, multipart),
    ]:
        person = Person(gateway, "app.test")
        assert send(person, "POST", "/login", headers, body).status == 200 and not person.cookie
        assert legacy.last().body == body
    assert send(Person(gateway, "app.test"), "POST", "/login", FORM, b"lang=de").status == 429
    assert len(legacy.logins(mark)) == 4
    # Looking at the page is no attempt, also where a link fills in the name.
    for target in ("/login", "/login?next=%2Fpage", "/login?username=alice", "/login?username=alice&next=%2Fpage"):
        for where in ("none", "same-origin", "cross-site"):
            assert "<form" in Person(gateway, "app.test").visit(target, **{"Sec-Fetch-Site": where}).text
    assert Person(gateway, "app.test").request("HEAD", "/login?username=alice", NAVIGATION).status == 200


def test_what_would_be_refused_passes_in_observe_mode_and_is_told(strict, legacy):
    for method, target, headers, body in UNCLEAR:
        person, mark = Person(strict, "observed.test"), legacy.mark()
        send(person, method, target, headers, body)
        assert [seen.body for seen in legacy.since(mark)] == [body or b""], "it passes whole"
        assert not person.cookie
    told = lambda reason: any(reason in line and "authz_fail_observed" in line for line in strict.audit_text().splitlines())
    wait_until(lambda: told("login_unclear") and told("login_too_long"), "the audit log tells")


def test_other_sites_cost_a_network_nothing_and_carry_no_guess(make_gateway, legacy):
    sites = [site(legacy, "app"), site(legacy, "lax", csrf="off")]
    gateway = make_gateway("app-login-foreign", sites, login={"attempts": {"per_account": 5, "per_address": "3/15m"}})
    mark = legacy.mark()
    foreign = [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": None, "Origin": "https://evil.test"},
        {"Sec-Fetch-Site": None, "Origin": None, "Referer": "https://evil.test/page"},
    ]
    for headers in foreign * 2:
        person = Person(gateway, "lax.test")
        answered = log_in_from(person, headers, "alice")
        assert answered.status == 403 and not person.jar and "Another site" in answered.text
        image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", "Accept": "image/*"}
        assert Person(gateway, "app.test").request("GET", "/login?username=x&password=y", image).status == 403
    assert not legacy.since(mark)
    assert "authn_login_fail" in gateway.wait_event("login_of_another_site")
    # What names nobody goes on, and counts for nobody.
    for headers in foreign * 2:
        person = Person(gateway, "lax.test")
        assert person.submit("/login", {"lang": "de"}, headers).status == 200 and not person.cookie
    for host in ("app.test", "lax.test"):
        person = Person(gateway, host)
        assert log_in(person).status == 302 and person.cookie


def log_in_from(person, headers, user):
    return person.submit("/login", {"username": user, "password": "right"}, headers)


def test_the_form_reaches_the_app_to_the_byte(apps, legacy):
    person = Person(apps, "harden.test")
    own = {**NAVIGATION, "Sec-Fetch-Site": "same-origin", "Origin": person.origin}
    form = b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\neve\r\n--x--\r\n'
    person.request("POST", "/login", {**own, "Content-Type": "multipart/form-data; boundary=x"}, form)
    assert legacy.last().body == form
    with apps.wire("harden.test") as wire:
        lines = [f"{name}: {value}" for name, value in own.items()]
        lines += ["Content-Type: application/x-www-form-urlencoded", "Transfer-Encoding: chunked", "Host: " + apps.authority("harden.test")]
        head = "\r\n".join(["POST /login HTTP/1.1", *lines, "", ""]).encode()
        wire.send(head + b"9\r\nusername=\r\n" + b"5\r\nalice\r\n" + b"f\r\n&password=right\r\n0\r\n\r\n")
        answered = wire.response("POST")
    assert answered.status == 302 and SESSION in "".join(answered.all("Set-Cookie"))
    assert legacy.last().body == b"username=alice&password=right"


@pytest.mark.parametrize("host", ["harden.test", "lax.test", "observed.test"])
def test_another_sites_login_begins_no_session(apps, legacy, host):
    for foreign in [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": None, "Origin": "https://evil.test"}]:
        person, mark = Person(apps, host), legacy.mark()
        answered = person.submit("/login", {"username": "eve", "password": "right"}, foreign)
        assert not person.cookie, foreign
        reached = len(legacy.logins(mark))
        assert (answered.status, reached) == ((302, 1) if host == "observed.test" else (403, 0))


def test_failures_are_slowed_down_before_the_app_is_asked(apps, legacy):
    for spelling in ("Carol", "carol", "CAROL ", "carol", "carol"):
        assert log_in(Person(apps, "harden.test"), spelling, "wrong").status == 200
    mark = legacy.mark()
    person = Person(apps, "harden.test")
    stopped = log_in(person, "carol")
    assert stopped.status == 429 and int(stopped.get("Retry-After")) >= 1 and "too many failed" in stopped.text
    own = {**SCRIPT, "Content-Type": "application/x-www-form-urlencoded", "Origin": person.origin}
    asked = person.request("POST", "/login", own, b"username=carol&password=right")
    assert asked.status == 429 and asked.json()["error"] == "login_throttled"
    # By another spelling of the path the app is not asked either.
    assert log_in(person, "carol", target="/Login").status in (401, 403, 429)
    assert not legacy.logins(mark)
    assert log_in(Person(apps, "harden.test"), "dora").status == 302
    # The same name at another app is another account.
    assert log_in(Person(apps, "vault.test"), "carol").status == 302
    time.sleep(2.1)
    assert log_in(person, "carol").status == 302 and person.cookie


def test_a_login_by_another_way_than_the_form_is_refused(make_gateway, legacy):
    gateway = make_gateway("app-login-ways", [site(legacy, "json", {"app": JSON}, rules=[])])
    # The page's own address takes no form where another is named for it.
    assert log_in(Person(gateway, "json.test")).status == 401
    mark = legacy.mark()
    for target in ("/login", "/Login", "/api/login"):
        assert Person(gateway, "json.test").visit(f"{target}?username=alice&password=guess").status in (303, 400)
    assert Person(gateway, "json.test").fetch("/api/login?Username=alice").status == 400
    assert not legacy.since(mark)
    assert Person(gateway, "json.test").visit("/login?next=/page").status == 200
    # Where no form is sent to, an address may say anything to whoever is logged in.
    person = Person(gateway, "json.test")
    body = json.dumps({"username": "alice", "password": "right"}).encode()
    send(person, "POST", "/api/login", {"Content-Type": "application/json"}, body, SCRIPT)
    assert person.cookie
    mark = legacy.mark()
    person.visit("/login?username=bob&tab=2")
    assert len(legacy.since(mark)) == 1
    assert person.visit("/api/login?username=bob&tab=2").status == 400


def test_a_link_on_another_site_takes_nothing_from_whoever_is_logged_in(make_gateway, legacy):
    gateway = make_gateway("app-login-strict", [site(legacy, "strict")], session={"cookie": {"same_site": "strict"}})
    person = Person(gateway, "strict.test")
    log_in(person)
    cookie = person.jar.pop(SESSION)
    shown = person.visit("/login", **{"Sec-Fetch-Site": "cross-site"})
    assert shown.status == 200 and "/login" in shown.text and "<form" not in shown.text and "sid" in person.jar
    person.jar[SESSION] = cookie
    assert told(person)["app"] == "alice"


def test_a_login_that_is_watched_no_more_vouches_for_nobody(make_gateway, legacy):
    gateway = make_gateway("app-login-changed", [site(legacy, "app")])
    person = Person(gateway, "app.test")
    log_in(person)
    listed = lambda: json.loads(run("sessions", "list", "--json", "--config", gateway.file).stdout)
    assert [(entry["user"], entry["realm"]) for entry in listed()] == [("alice", "app.test/")]
    # Another's name is another user; whoever means this one is told, and does not believe that it is done.
    for name in (("alice",), ("Alice",), ("Alice", "--realm", "app.test/")):
        ended = run("sessions", "end-user", *name, "--config", gateway.file, check=False)
        assert "0 sessions" in ended.stdout and ended.returncode == 1 and person.authenticated()
        assert "alice of app.test/ has 1 session: say `alice` and `--realm app.test/`" in ended.stderr
    none = run("sessions", "list", "--user", "alice", "--config", gateway.file)
    assert none.stdout == "" and "say `alice` and `--realm app.test/`" in none.stderr
    gateway.stop()
    gateway.config["sites"] = [site(legacy, "app", "all", rules=[])]
    gateway.start()
    assert not person.authenticated()
    wait_until(lambda: not listed(), "the session is ended")
    gateway.wait_event("session_expired", "user_removed")


def test_an_administrator_ends_the_sessions_of_an_apps_user(apps):
    person = Person(apps, "harden.test")
    log_in(person, "ivan")
    run("sessions", "end-user", "ivan", "--realm", "harden.test/", "--config", apps.file)
    assert not person.authenticated()
    apps.wait_event("end_user", '"host":"harden.test/"', '"user":"ivan"')


def test_nothing_of_the_form_is_written_down_but_the_user(apps):
    person = Person(apps, "harden.test")
    log_in(person, "frida", "never-to-be-seen", remember="also-not")
    log_in(person, "frida", "right", remember="also-not")
    apps.wait_event("authn_login_success", "frida")
    said = apps.logged()
    assert "never-to-be-seen" not in said and "also-not" not in said and "frida" in said


def test_a_session_of_one_login_is_nobody_to_another(apps):
    ours = Person(apps, "own.test")
    ours.login("bob")
    person = Person(apps, "harden.test")
    log_in(person, "bob")
    elsewhere = Person(apps, "vault.test")
    log_in(elsewhere, "bob")
    page = person.visit("/.vestibule/sessions").text
    assert "You are signed in nowhere else" in page and "/.vestibule/password" not in page
    assert ours.authenticated() and elsewhere.authenticated()
    # Not by taking the cookie along, either.
    thief = Person(apps, "own.test")
    thief.jar[SESSION] = person.cookie
    assert not thief.authenticated()


def test_the_users_file_ends_no_session_of_an_apps_login(apps):
    person = Person(apps, "vault.test")
    log_in(person, "nobody-in-the-file")
    apps.stop()
    apps.start()
    wait_until(lambda: apps.ready(), "the gateway is back")
    assert told(person)["app"] == "nobody-in-the-file"


def logout(person, method="GET", **headers):
    more = {"Sec-Fetch-Site": "same-origin", **headers}
    if method == "GET":
        return person.visit("/logout", **more)
    return person.submit("/logout", {}, headers)


@pytest.mark.parametrize("mode", ["harden", "vault", "pass", "observed"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_apps_logout_is_ours(apps, legacy, mode, method):
    person = Person(apps, f"{mode}.test")
    log_in(person)
    sid = legacy.sid(legacy.last()) if told(person) else None
    copy = Person(apps, f"{mode}.test")
    copy.jar = dict(person.jar)
    done = logout(person, method)
    assert (done.status, done.get("Location")) == (302, "/login")
    assert legacy.sid(legacy.last()) == sid and sid not in legacy.sessions
    assert not person.cookie and "sid" not in person.jar
    assert not copy.authenticated(), "the record goes first"
    assert person.visit("/login").status == 200


def test_nobody_is_logged_out_by_what_no_person_asked_for(apps):
    person = Person(apps, "harden.test")
    log_in(person)
    for headers in [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Purpose": "prefetch"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Dest": "iframe"},
    ]:
        refused = logout(person, **headers)
        assert person.authenticated(), headers
        if headers.get("Sec-Fetch-Site"):
            # Nor does the app hear of what another site wants.
            assert refused.status == 403, headers
            assert told(person)["app"] == "alice", headers
    for spelling in ("/Logout", "/logout/"):
        assert person.visit(spelling, **{"Sec-Fetch-Site": "cross-site"}).status == 403, spelling
    old = {"Accept": "text/html", "Referer": "https://evil.test/page"}
    for method in ("GET", "POST", "PUT"):
        said = person.request(method, "/logout", old, None if method == "GET" else b"a=b")
        assert said.status == 403, f"{method} from a browser that says less"
    assert logout(person, "POST", **{"Sec-Fetch-Site": "cross-site"}).status == 403
    assert person.authenticated()


def test_a_logout_that_comes_too_late_does_not_undo_the_login(apps):
    person = Person(apps, "harden.test")
    led = person.visit("/logout")
    page = person.visit(person.location(led))
    assert person.location(page) == "/login?next=%2F"


def test_nobody_is_led_from_the_login_to_the_login(apps):
    person = Person(apps, "led.test")
    led = person.visit("/Page?x=1")
    assert person.location(person.visit(person.location(led))) == "/page?next=%2F"


def test_our_own_logout_tells_the_app(apps, legacy):
    for mode in ("harden", "vault", "own"):
        person = Person(apps, f"{mode}.test")
        if mode == "own":
            person.login("alice")
        log_in(person)
        sid = legacy.sid(legacy.last()) if told(person) else None
        assert legacy.sessions[sid] == "alice"
        mark = legacy.mark()
        person.logout()
        heard = legacy.since(mark)
        assert [(seen.method, seen.target, legacy.sid(seen)) for seen in heard] == [("GET", "/logout", sid)], mode
        assert sid not in legacy.sessions and "sid" not in person.jar


def test_an_app_that_does_not_hear_of_a_logout_delays_nobody(apps, legacy):
    person = Person(apps, "harden.test")
    log_in(person)
    legacy.on("/logout", lambda client, seen: time.sleep(4))
    try:
        began = time.monotonic()
        person.logout()
        assert time.monotonic() - began < 3.5
    finally:
        legacy.on("/logout", legacy._logout)
    assert not person.authenticated()
    apps.wait_event("told of a logout", "did not answer in time")


@pytest.mark.parametrize("mode", ["few", "fewvault", "fewpass", "resumed", "resumedvault"])
@pytest.mark.parametrize("renews", [True, False])
def test_whoever_comes_next_is_never_the_last_one(apps, legacy, mode, renews):
    legacy.renews = renews
    try:
        person = Person(apps, f"{mode}.test")
        person.visit("/login")
        log_in(person)
        assert told(person)["app"] == "alice"
        wait_until(lambda: not person.authenticated(), "the session ends", within=6)
        # The app knows her still, and would send whoever comes away from its login.
        page = follow(person, person.visit("/page"))
        assert page.status == 200 and "<form" in page.text
        log_in(person, "bob")
        assert told(person)["app"] == "bob"
    finally:
        legacy.renews = True


@pytest.mark.parametrize("mode", ["few", "fewvault", "fewpass", "resumed", "resumedvault"])
@pytest.mark.parametrize("renews", [True, False])
def test_the_same_person_comes_back_after_an_idle_end(apps, legacy, mode, renews):
    legacy.renews = renews
    try:
        person = Person(apps, f"{mode}.test")
        person.visit("/login")
        log_in(person)
        for _ in range(2):
            wait_until(lambda: not person.authenticated(), "the session ends", within=6)
            assert "<form" in follow(person, person.visit("/page")).text
            log_in(person)
            assert told(person)["app"] == "alice"
    finally:
        legacy.renews = True


@pytest.mark.parametrize("mode", ["few", "fewvault", "fewpass"])
def test_a_cookie_that_remembers_makes_no_session_and_no_loop(apps, mode):
    person = Person(apps, f"{mode}.test")
    log_in(person, remember="on")
    assert told(person)["app"] == "alice"
    wait_until(lambda: not person.authenticated(), "the session ends", within=6)
    del person.jar[SESSION]
    person.jar.pop("sid", None)
    page = follow(person, person.visit("/page"))
    assert "<form" in page.text and not person.cookie and "keep" not in person.jar
    log_in(person, "bob")
    assert told(person)["app"] == "bob"


def follow(person, response, most=6):
    for _ in range(most):
        if response.status not in (302, 303):
            return response
        response = person.visit(person.location(response))
    pytest.fail("a loop")


@pytest.mark.parametrize("mode", ["harden", "vault", "pass"])
@pytest.mark.parametrize("renews", [True, False])
def test_a_user_follows_another_without_a_logout(apps, legacy, mode, renews):
    legacy.renews = renews
    try:
        person = Person(apps, f"{mode}.test")
        person.visit("/login")
        log_in(person)
        first = person.cookie
        log_in(person, "bob")
        assert person.cookie != first
        # What the app knew alice by has gone before it was asked about bob.
        shown = follow(person, person.visit("/page"))
        assert (shown.json()["app"], shown.json()["gateway"]) == ("bob", ["bob"])
    finally:
        legacy.renews = True


@pytest.mark.parametrize("mode", ["harden", "vault", "pass"])
def test_when_the_apps_session_ends_first_the_login_is_asked_for_once(apps, legacy, mode):
    person = Person(apps, f"{mode}.test")
    log_in(person)
    assert told(person)["app"] == "alice"
    first = person.cookie
    legacy.sessions.clear()
    page = follow(person, person.visit("/page"))
    assert "<form" in page.text
    log_in(person)
    assert person.cookie != first and told(person)["app"] == "alice"


@pytest.mark.parametrize("mode", ["harden", "vault", "pass"])
def test_a_fresh_login_is_asked_of_whom_the_app_knows(apps, mode):
    person = Person(apps, f"{mode}.test")
    log_in(person)
    assert told(person, "/account")["app"] == "alice"
    time.sleep(3.1)
    page = follow(person, person.visit("/account"))
    assert page.status == 200 and "<form" in page.text
    done = log_in(person, target="/login?next=/account")
    assert done.get("Location") == "/account" and told(person, "/account")["app"] == "alice"


@pytest.mark.parametrize("mode", ["harden", "vault"])
def test_a_link_of_another_site_to_a_fresh_login_costs_nothing_unasked(apps, mode):
    person = Person(apps, f"{mode}.test")
    log_in(person)
    time.sleep(3.1)
    foreign = {**NAVIGATION, "Sec-Fetch-Site": "cross-site"}
    led = person.request("GET", "/account", foreign)
    asked = person.request("GET", person.location(led), foreign)
    assert asked.status == 200 and "Sign in again?" in asked.text
    assert told(person)["app"] == "alice"
    page = follow(person, person.visit(person.location(led)))
    assert page.status == 200 and "<form" in page.text


def test_a_login_page_that_leads_to_a_closed_place_is_no_loop(apps):
    person = Person(apps, "led.test")
    led = person.visit("/other")
    page = person.visit(person.location(led))
    # The app has no form at this page, and leads on to where a form is; here that is open too.
    assert person.location(page) == "/page?next=%2Fother"
    assert follow(person, page).status == 200


def test_a_login_page_that_leads_away_from_everybody_says_so(apps, legacy):
    legacy.on("/login", lambda client, seen: answer(client, seen, 302, ("Location", "/page")))
    try:
        person = Person(apps, "harden.test")
        person.jar["sid"] = "anything"
        stuck = person.visit("/login")
        assert stuck.status == 502 and "nobody can sign in" in stuck.text
    finally:
        legacy.on("/login", legacy._login)


def test_behind_our_own_login_the_next_person_is_not_the_last_one_either(apps):
    person = Person(apps, "ownpass.test")
    person.login("alice")
    log_in(person, "app-alice")
    assert told(person) | {"cookies": 0} == {"app": "app-alice", "gateway": ["alice"], "cookies": 0}
    person.jar.pop(SESSION)
    person.login("alice")
    assert told(person)["app"] == "app-alice"
    person.jar.pop(SESSION)
    person.login("bob")
    assert "sid" not in person.jar and "<form" in follow(person, person.visit("/page")).text


@pytest.fixture(scope="module")
def few_seats(make_gateway, legacy):
    """One place to log in for all but the app's site; one session a user, and no second."""
    sites = [site(legacy, "app"), site(legacy, "other"), site(legacy, "plain", "all", rules=[])]
    session = {"max_per_user": 1, "at_limit": "refuse"}
    return make_gateway("app-login-few", sites, session=session, login={"host": "login.test"})


def test_an_apps_login_has_no_part_in_a_common_one(few_seats):
    person = Person(few_seats, "app.test")
    led = person.visit("/page")
    assert person.location(person.visit(person.location(led))) == "/login?next=%2Fpage"
    log_in(person, "bob")
    assert told(person)["gateway"] == ["bob"]
    elsewhere = Person(few_seats, "plain.test")
    led = elsewhere.visit(elsewhere.location(elsewhere.visit("/page")))
    assert led.get("Location").startswith("https://login.test")


def test_a_login_too_many_is_refused_and_leaves_nothing_of_the_app(few_seats):
    first, second = Person(few_seats, "app.test"), Person(few_seats, "app.test")
    log_in(first, "carol")
    refused = log_in(second, "carol")
    assert refused.status == 403 and "as many devices" in refused.text
    assert not second.cookie and "sid" not in second.jar and first.authenticated()
    # A name in another realm is another user, and one's own new login takes the place of the old.
    other = Person(few_seats, "other.test")
    log_in(other, "carol")
    assert other.cookie and first.authenticated()
    assert log_in(first, "carol").status == 302 and first.authenticated()


def test_no_users_file_is_asked_for_where_nobody_logs_in_by_it(make_gateway, legacy, work):
    gateway = make_gateway("app-login-alone", [site(legacy, "app")], users=work / "none.yaml", start=False)
    del gateway.config["login"]["password"]
    person = Person(gateway.start(), "app.test")
    log_in(person)
    assert told(person)["app"] == "alice"
    assert "sys_users_reload" not in gateway.audit_text() and "users file" not in gateway.logged()


def test_in_observe_mode_nothing_is_refused_and_sessions_begin(apps):
    person = Person(apps, "observed.test")
    for _ in range(8):
        assert log_in(person, "greta", "wrong").status == 200
    assert log_in(person, "greta").status == 302
    assert person.authenticated() and person.fetch(WHO).json()["user"] == "greta"
    assert log_in(Person(apps, "observed.test"), "").status == 302
