"""Headers on every answer, ours and the app's: what browsers and caches are told."""

import re

import pytest

from support.h2client import Http2
from support.h2client import request
from support.person import LOGIN
from support.person import LOGOUT
from support.person import Person
from support.recorder import answer
from support.wire import head


def policies(response):
    return "; ".join(response.all("Content-Security-Policy"))


def every_kind_of_answer(gateway, person, alice, recorder):
    """Answers of many statuses, from us and from the app."""
    recorder.on("/h/500", answer("500 Oops"))
    recorder.on("/h/404", answer("404 Not There"))
    recorder.on("/h/broken", b"nonsense", keep=False)
    yield "redirect to login", person.visit("/x")
    yield "login page", person.visit(person.location(person.visit("/x")))
    yield "401 for scripts", person.fetch("/x")
    yield "401 for a form", person.submit("/x", {})
    yield "our 404", person.visit("/.vestibule/nothing")
    yield "403", alice.visit("/never/x")
    yield "app page", alice.visit("/x")
    yield "app 404", alice.visit("/h/404")
    yield "app 500", alice.visit("/h/500")
    yield "502", alice.visit("/h/broken")
    yield "logout page", alice.visit(LOGOUT)
    yield "400", alice.visit("/a/%2e%2e/b")


@pytest.fixture
def answers(gateway, person, alice, recorder):
    return list(every_kind_of_answer(gateway, person, alice, recorder))


def test_every_answer_carries_the_protecting_headers_once(answers):
    for name, response in answers:
        assert response.all("X-Content-Type-Options") == ["nosniff"], name
        assert "frame-ancestors" in policies(response), name
        assert len(response.all("X-Frame-Options")) == 1, name
        assert len(response.all("Referrer-Policy")) == 1, name


def test_nothing_tells_what_software_runs_here(answers):
    for name, response in answers:
        assert response.get("X-Powered-By") is None, name
        # The pages' own prefix is /.vestibule/: a version would stand behind the name.
        assert not re.search(r"vestibule/\d", str(response.headers).lower()), name


def test_real_apps_do_not_tell_either(gateway):
    for host in ("flask.test", "express.test"):
        person = Person(gateway, host)
        person.login("bob")
        shown = person.visit("/")
        assert shown.get("X-Powered-By") is None and shown.get("Server") is None


def test_our_own_answers_are_never_stored(answers):
    for name, response in answers:
        if not name.startswith("app"):
            assert "no-store" in response.get("Cache-Control", ""), name


def test_transport_security_is_not_promised_with_a_development_certificate(answers):
    for name, response in answers:
        assert response.get("Strict-Transport-Security") is None, name


def test_transport_security_can_be_asked_for(make_gateway, recorder):
    hsts = "max-age=63072000; includeSubDomains"
    site = {"hosts": ["rec.test"], "upstream": recorder.upstream, "headers": {"hsts": hsts}}
    gateway = make_gateway("hsts", [site])
    person = Person(gateway)
    recorder.on("/weak", answer(headers=["Strict-Transport-Security: max-age=1"]))
    for response in (person.visit("/x"), person.fetch("/x"), person.visit("/.vestibule/nothing")):
        assert response.all("Strict-Transport-Security") == [hsts]
    person.login("bob")
    assert person.visit("/weak").all("Strict-Transport-Security") == [hsts]
    plain = gateway.ask_redirect(head("GET", "/x", "rec.test"))
    assert plain.get("Strict-Transport-Security") is None


def test_the_login_page_has_a_strict_policy(person):
    shown = person.visit(person.location(person.visit("/x")))
    policy = policies(shown)
    for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
        assert part in policy, policy
    assert "unsafe-inline" not in policy and "*" not in policy
    assert shown.get("Content-Type", "").replace(" ", "").lower() == "text/html;charset=utf-8"
    assert shown.get("Cross-Origin-Opener-Policy", "").startswith("same-origin")
    assert shown.get("Referrer-Policy") in ("same-origin", "strict-origin-when-cross-origin", "strict-origin")
    assert "http://" not in shown.text.replace("http://www.w3.org", "") and "src=\"https://" not in shown.text


def test_the_login_form_helps_password_managers_and_needs_no_script(person):
    page = person.visit(person.location(person.visit("/x"))).text
    assert 'autocomplete="username"' in page and 'autocomplete="current-password"' in page
    assert 'lang="' in page and "<title>" in page and "<label" in page


def test_an_app_may_frame_only_itself_unless_it_says_otherwise(alice, recorder):
    assert "frame-ancestors 'self'" in policies(alice.visit("/x"))
    recorder.on("/own-policy", answer(headers=["Content-Security-Policy: default-src 'self'"]))
    own = alice.visit("/own-policy")
    assert "default-src 'self'" in policies(own) and "frame-ancestors 'self'" in policies(own)


@pytest.mark.parametrize(
    ("lines", "wanted", "unwanted"),
    [
        (["Content-Type: text/html"], "no-store", "public"),
        (["Content-Type: application/json"], "no-store", "public"),
        (["Content-Type: image/png"], "private", "public"),
        (["Content-Type: text/css", "Cache-Control: public, max-age=600"], "private", "public"),
        (["Content-Type: text/css", "Cache-Control: s-maxage=600"], "private", "s-maxage"),
        (["Content-Type: text/html", "Cache-Control: private, max-age=60"], "private", "public"),
    ],
)
def test_protected_answers_are_not_for_shared_caches(alice, recorder, lines, wanted, unwanted):
    recorder.on("/cached", answer(headers=lines))
    policy = alice.visit("/cached").get("Cache-Control", "")
    assert wanted in policy and unwanted not in policy


def test_public_answers_may_be_cached_as_the_app_says(person, recorder):
    recorder.on("/public/style.css", answer(headers=["Content-Type: text/css", "Cache-Control: public, max-age=600"]))
    assert person.visit("/public/style.css").get("Cache-Control") == "public, max-age=600"


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": None, "Origin": "own"}, True),
        ({"Sec-Fetch-Site": None, "Origin": None}, True),
        ({"Sec-Fetch-Site": None, "Origin": "null"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Sec-Fetch-Site": None, "Origin": "https://evil.test"}, False),
        ({"Sec-Fetch-Site": None, "Origin": "http-own"}, False),
        ({"Sec-Fetch-Site": None, "Origin": "user-own"}, False),
        ({"Sec-Fetch-Site": None, "Origin": "no-port"}, False),
        ({"Sec-Fetch-Site": "nonsense", "Origin": "https://evil.test"}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_unsafe_requests_of_other_origins_are_refused(gateway, alice, recorder, headers, passes, method):
    own = alice.origin
    spelled = {"own": own, "http-own": own.replace("https", "http"), "user-own": own.replace("//", "//u@"),
               "no-port": own.rsplit(":", 1)[0]}  # fmt: skip
    base = {"Origin": own, "Content-Type": "text/plain", **headers}
    lines = {name: spelled.get(value, value) for name, value in base.items() if value is not None}
    mark = recorder.mark()
    response = alice.request(method, "/form", lines, b"abc")
    assert response.status == (200 if passes else 403)
    assert len(recorder.since(mark)) == (1 if passes else 0)


def test_safe_requests_of_other_origins_pass_for_links_must_work(alice):
    assert alice.visit("/x", **{"Sec-Fetch-Site": "cross-site"}).status == 200


def test_every_answer_is_dated_once(gateway, alice, recorder, person):
    undated = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    recorder.on("/undated", undated)
    recorder.on("/dated", undated.replace(b"\r\n\r\n", b"\r\nDate: Sat, 03 Oct 2026 07:08:09 GMT\r\n\r\n"))
    form = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
    for answer in (alice.visit("/undated"), person.visit("/x"), person.visit("/.vestibule/login")):
        [date] = answer.all("Date")
        assert form.fullmatch(date), date
    assert alice.visit("/dated").all("Date") == ["Sat, 03 Oct 2026 07:08:09 GMT"], "the app's own word stays"
    with Http2(gateway.port) as client:
        headers = request(gateway.authority(), "/undated", extra=[("cookie", alice.cookies())])
        names = [name for name, _ in client.finish(client.open(headers)).headers]
    assert names.count("date") == 1


def test_no_answer_of_ours_is_shared_across_origins(person, alice):
    for who in (person, alice):
        for path in (LOGIN, "/.vestibule/session", LOGOUT):
            response = who.fetch(path, Origin="https://evil.test")
            assert response.get("Access-Control-Allow-Origin") is None


def test_a_service_worker_script_is_refused(gateway):
    person = Person(gateway, "express.test")
    person.login("bob")
    more = {"Service-Worker": "script", "Sec-Fetch-Dest": "serviceworker", "Sec-Fetch-Mode": "same-origin"}
    assert person.fetch("/worker.js", **more).status == 403


@pytest.mark.parametrize("status", ["400", "403", "404", "502"])
def test_error_pages_say_what_happened_and_give_a_number_to_quote(gateway, alice, recorder, status):
    recorder.on("/e/broken", b"nonsense", keep=False)
    path = {"400": "/a/%2e%2e/b", "403": "/never/x", "404": "/.vestibule/nothing", "502": "/e/broken"}[status]
    shown = alice.visit(path)
    assert str(shown.status) == status
    assert "<h1" in shown.text and "<title>" in shown.text
    for word in ("panicked", "src/", ".rs", "127.0.0.1", "hyper", "rustls"):
        assert word not in shown.text, word
    asked_as_script = alice.fetch(path)
    assert "json" in asked_as_script.get("Content-Type", "") and asked_as_script.json()


# --- The plain listener that only redirects ----------------------------------------------------------------------------


def test_plain_http_is_redirected_without_any_cookie(gateway):
    host = f"rec.test:{gateway.redirect_port}"
    shown = gateway.ask_redirect(head("GET", "/a?b=c", host, "Cookie: x=y"))
    assert shown.status == 308 and shown.all("Set-Cookie") == []
    assert shown.get("Location") == f"https://rec.test:{gateway.port}/a?b=c"
    assert gateway.ask_redirect(head("HEAD", "/", "rec.test", "Connection: close")).status == 308


@pytest.mark.parametrize("host", ["rec.test", "rec.test:8080"])
def test_whoever_came_to_another_port_came_through_a_mapping_and_is_sent_to_443(gateway, host):
    assert gateway.ask_redirect(head("GET", "/a", host)).get("Location") == "https://rec.test/a"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_plain_http_refuses_what_would_have_leaked(gateway, method):
    shown = gateway.ask_redirect(head(method, "/x", "rec.test", "Content-Length: 0"))
    assert shown.status == 400 and shown.get("Location") is None


@pytest.mark.parametrize("target", ["//evil.test", "/\\evil.test", "http://evil.test/", "//evil.test/%2e%2e"])
def test_the_redirect_never_leads_away(gateway, target):
    shown = gateway.ask_redirect(head("GET", target, "rec.test"))
    place = shown.get("Location")
    assert place is None or place.startswith("https://rec.test")


def test_the_redirect_knows_its_hosts(gateway):
    for host in ("evil.test", "", "rec.test.evil.test", "rec.test@evil.test"):
        shown = gateway.ask_redirect(head("GET", "/", host))
        assert shown.status in (400, 404, 421) and shown.get("Location") is None
