"""Which app, which rule: the gateway and the app must never read a host or a path differently."""

import pytest

from support.recorder import answer
from support.wire import Closed
from support.wire import head

pytestmark = pytest.mark.usefixtures("canary")


def ask(gateway, data, host="rec.test", method="GET"):
    with gateway.wire(host) as wire:
        wire.send(data)
        try:
            return wire.response(method)
        except Closed:
            return None


def raw_request(gateway, target, *lines, who=None, method="GET"):
    cookie = [f"Cookie: {who.cookies()}"] if who else []
    return ask(gateway, head(method, target, gateway.authority(), *cookie, *lines), method=method)


# --- Hosts -----------------------------------------------------------------------------------------------------------

HOSTS = [
    b"", b"user@rec.test", b"rec.test/x", b"rec.test#x", b"rec.test x", b"rec.test\tx", b"rec.test\\x", b"rec.test?x",
    b"r\xc3\xa9c.test", b"rec.test:99999", b"rec.test:80:80", b"[::1", b"[::1%25en0]", b"rec.test%00", b"rec.test:x",
    b"rec.test, other.test", b"rec%2etest", b"rec.test:-1", b"http://rec.test",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS, ids=repr)
def test_a_host_that_is_none_is_refused(gateway, alice, recorder, host):
    mark = recorder.mark()
    cookie = f"Cookie: {alice.cookies()}".encode()
    answer = ask(gateway, b"GET /x HTTP/1.1\r\nHost: " + host + b"\r\n" + cookie + b"\r\n\r\n")
    assert answer is None or answer.status in (400, 421)
    assert recorder.since(mark) == []


def test_no_host_and_two_hosts_are_refused(gateway, recorder):
    mark = recorder.mark()
    good = gateway.authority()
    for lines in ("", f"Host: {good}\r\nHost: {good}\r\n", f"Host: {good}\r\nHost: flask.test\r\n"):
        assert ask(gateway, f"GET /public/x HTTP/1.1\r\n{lines}\r\n".encode()).status == 400
    assert ask(gateway, b"GET /public/x HTTP/1.0\r\n\r\n").status == 400
    assert recorder.since(mark) == []


def test_a_host_that_is_not_ours_is_misdirected(gateway, recorder):
    mark = recorder.mark()
    answer = ask(gateway, head("GET", "/public/x", "evil.test"))
    assert answer.status in (404, 421) and "evil.test" not in answer.text
    assert recorder.since(mark) == []


@pytest.mark.parametrize("target", ["http://evil.test/public/x", "http://flask.test/public/x", "https://evil.test"])
def test_an_absolute_target_of_another_host_is_refused(gateway, recorder, target):
    mark = recorder.mark()
    assert raw_request(gateway, target).status in (400, 421)
    assert recorder.since(mark) == []


def test_an_absolute_target_of_the_same_host_reaches_the_app_as_a_path(gateway, recorder):
    answer = raw_request(gateway, f"https://{gateway.authority()}/public/x?y=z")
    assert answer.status == 200
    assert recorder.last().target == "/public/x?y=z"
    assert recorder.last().one("Host") == gateway.authority()


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "public/x"), ("GET", "rec.test:80"), ("GET", "*"), ("OPTIONS", "*/x"), ("CONNECT", "rec.test:80"),
     ("CONNECT", "/public/x"), ("TRACE", "/public/x"), ("CONNECT", "evil.test:22")],
)  # fmt: skip
def test_targets_and_methods_that_are_not_for_apps_stay_here(gateway, alice, recorder, method, target):
    mark = recorder.mark()
    answer = raw_request(gateway, target, who=alice, method=method)
    assert answer is None or 400 <= answer.status <= 501
    assert recorder.since(mark) == []


def test_the_name_in_the_handshake_must_fit_the_host(gateway, recorder):
    """One certificate may serve several sites; then a site is still chosen by Host alone, or refused with 421."""
    mark = recorder.mark()
    answer = ask(gateway, head("GET", "/x", gateway.authority("rec.test")), host="flask.test")
    assert answer.status in (401, 421)
    assert recorder.since(mark) == []


def test_a_session_of_one_host_is_nobody_at_another(gateway, alice):
    for host in ("flask.test", "express.test"):
        with gateway.wire(host) as wire:
            wire.send(head("GET", "/", gateway.authority(host), f"Cookie: {alice.cookies()}"))
            assert wire.response().status == 401


def test_forwarded_host_headers_change_no_redirect(gateway, person):
    spoofed = {"X-Forwarded-Host": "evil.test", "Forwarded": "host=evil.test", "X-Host": "evil.test"}
    answer = person.visit("/x", **spoofed)
    assert answer.status == 303 and person.location(answer)


# --- Paths -----------------------------------------------------------------------------------------------------------

# Ways to say /private or /admin while looking public: every one must be refused or judged as protected.
CONFUSING = [
    "/public/../private", "/public/..//private", "/public/..%2fprivate", "/public/..%2Fprivate", "/public/%2e%2e/private",
    "/public/%2E%2e%2Fprivate", "/public/..%20/private", "/public/.%2e/private", "/public/./../private", "/public/..", "/public/%2e%2e",
    "/public/..%5cprivate", "/public\\..\\private", "/public/..\\private", "/public;/../private", "/public/..;/private",
    "/public/;/../private", "/public/%252e%252e%252fprivate", "/public/%25%32%65%25%32%65/private",
    "/public/%c0%ae%c0%ae/private", "/public/%u002e%u002e/private", "/public/%ef%bc%8e%ef%bc%8e/private",
    "/public//../private", "/.//private", "//private", "/public/%00/../private", "/public%2f..%2fprivate",
    "/public/..%3b/private", "/public/..%23/private", "/public/..%3f/private", "/public/a/../../private", "/../private",
    "/public%2fx", "/public%5cx", "/PUBLIC/x", "/Public/x", "/public-not/x", "/publicx", "/private?x=/public/ok",
    "/private#/public/x", "/public%", "/public/%zz", "/public/%2", "/public/\x7f", "/private;.css", "/private/x.css",
    "/.%2e/private", "/%2e/private", "/./private", "/public/.", "/public/%2e/",
]  # fmt: skip


@pytest.mark.parametrize("path", CONFUSING)
def test_a_path_that_could_be_read_two_ways_opens_nothing(gateway, recorder, path):
    mark = recorder.mark()
    answer = raw_request(gateway, path)
    assert answer is None or answer.status in (400, 401, 404), answer.status
    assert recorder.since(mark) == []


@pytest.mark.parametrize(
    "path",
    ["/admin", "/admin/", "/admin/x", "/ADMIN/x", "/Admin", "/admin/x/", "/aDmIn/X", "/admin//x", "/admin;x", "/%61dmin/x",
     "/admin%2fx", "/admin%3bx", "/admin/../admin/x", "//admin/x", "/x/../admin/x", "/admin\\x", "/./admin",
     # full-width letters, blanks other than U+0020 and what shows nothing, at a name's end and within
     "/%ef%bd%81dmin/x", "/%ef%bc%a1DMIN", "/admin%c2%a0/x", "/admin%e3%80%80", "/admin%e1%9a%80/x", "/admin%e2%80%a8/x",
     "/ad%e2%80%8bmin/x", "/ad%c2%admin/x", "/%ef%bb%bfadmin", "/admin%e2%80%8d.%c2%a0/x", "/admin/%e2%80%8b/x",
     # and before it
     "/%20admin", "/%20admin/x", "/%c2%a0Admin%20/x", "/%e3%80%80admin"],
)  # fmt: skip
def test_a_restriction_cannot_be_spelled_away(gateway, alice, recorder, path):
    mark = recorder.mark()
    for method in ("GET", "HEAD", "POST", "OPTIONS", "PURGE"):
        answer = raw_request(gateway, path, "Content-Length: 0", who=alice, method=method)
        assert answer is None or answer.status in (400, 403, 404), f"{method} {answer.status}"
    assert recorder.since(mark) == []


SPELLINGS = {
    "composed": "/caf%c3%a9/x", "decomposed": "/cafe%cc%81/x", "upper case": "/CAFE%cc%81/x", "full width": "/%ef%bd%83af%c3%a9/x",
    "sharp s": "/stra%c3%9fe/x", "capital sharp s": "/STRA%e1%ba%9eE/x", "double s": "/strasse/x",
}  # fmt: skip


@pytest.mark.parametrize("target", SPELLINGS.values(), ids=SPELLINGS)
def test_letters_have_one_reading_however_they_are_spelled(spelled, alice, recorder, target):
    mark = recorder.mark()
    for prefix in ("", "/composed", "/decomposed"):
        answer = raw_request(spelled, prefix + target, who=alice)
        assert answer.status == 403, prefix + target
    assert recorder.since(mark) == []
    assert raw_request(spelled, "/cafe/x").status == 200


@pytest.fixture(scope="module")
def spelled(make_gateway, recorder):
    closed = ["/café/*", "/straße/*", "/composed/café/*", "/decomposed/cafe\u0301/*", "/composed/strasse/*", "/decomposed/STRA\u1e9eE/*"]
    rules = [{"path": path, "allow": "nobody"} for path in closed]
    return make_gateway("spelled", [{"hosts": ["rec.test"], "upstream": recorder.upstream, "rules": [*rules, {"path": "/*", "allow": "anyone"}]}])


def test_the_group_that_is_asked_for_gets_in(gateway, person, recorder):
    person.login("admin", target="/admin/x")
    assert person.visit("/admin/x").status == 200
    assert recorder.last().one("X-Forwarded-Groups") == "admins"


def test_nobody_means_nobody(gateway, alice, recorder):
    mark = recorder.mark()
    for path in ("/never/x", "/never", "/NEVER/x", "/never/"):
        assert alice.visit(path).status == 403
    assert recorder.since(mark) == []


def test_an_api_rule_answers_401_even_to_page_loads(person):
    answer = person.visit("/api/x")
    assert answer.status == 401 and answer.get("Location") is None


def test_public_paths_reach_the_app_without_an_identity(gateway, recorder):
    assert raw_request(gateway, "/public/x").status == 200
    assert raw_request(gateway, "/public").status == 200
    assert "x-forwarded-user" not in recorder.last().names()


@pytest.mark.parametrize(
    "header", ["X-Forwarded-Uri", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Forwarded-Method"]
)
def test_override_headers_open_nothing(gateway, recorder, header):
    mark = recorder.mark()
    assert raw_request(gateway, "/private", f"{header}: /public/x").status == 401
    assert recorder.since(mark) == []


@pytest.mark.parametrize(
    "path",
    ["/.vestibule/../private", "/%2evestibule/login", "/.vestibule/login/../../private", "/.vestibule%2flogin",
     "/.VESTIBULE/login", "/x/../.vestibule/login", "//.vestibule/login", "/.vestibule;/login", "/.vestibule//login"],
)  # fmt: skip
def test_our_own_prefix_is_neither_a_way_around_nor_passed_on(gateway, alice, recorder, path):
    mark = recorder.mark()
    for who in (None, alice):
        answer = raw_request(gateway, path, who=who)
        assert answer is None or answer.status in (400, 401, 404)
    assert recorder.since(mark) == []


@pytest.mark.parametrize(
    "target",
    ["/a%20b/%C3%BC", "/a+b:c@d!e~f,g=h", "/x?", "/x?a[]=1;b=2", "/x?a=%2F&b=%00", "/x?p=../..", "/x?q=//evil",
     "/caf%C3%A9/", "/a/b/c/", "/$&'()*", "/x?a=b?c", "/trailing.", "/%E2%82%AC"],
)  # fmt: skip
def test_honest_addresses_arrive_byte_for_byte(gateway, alice, recorder, target):
    assert raw_request(gateway, target, who=alice).status == 200
    assert recorder.last().target == target


@pytest.mark.parametrize("target", ["/x%0d%0aX-Evil:%201", "/x?a=%0d%0aX-Evil:%201", "/x%20HTTP/1.1%0d%0aX-Evil:1"])
def test_encoded_line_ends_stay_encoded(gateway, alice, recorder, target):
    mark = recorder.mark()
    assert raw_request(gateway, target, who=alice).status in (200, 400)
    for seen in recorder.since(mark):
        assert "x-evil" not in seen.names() and seen.target == target


def test_a_very_deep_path_costs_little(gateway, alice):
    import time

    began = time.monotonic()
    for path in ("/../" * 6000, "/a" * 12_000, "/%2e" * 6000, "/;" * 10_000):
        raw_request(gateway, path, who=alice)
    assert time.monotonic() - began < 3


# --- Several sites on one host ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/ADMIN/x", "/Admin", "/admin./x", "/admin%20/x", "/a%64min/X", "/admin/x", "/administration"])
def test_no_spelling_of_a_sites_path_reaches_the_site_around_it(between, recorder, target):
    """Many apps take letters for the same in either case: the outer site's rules must not be asked then."""
    mark = recorder.mark()
    with between.wire() as wire:
        wire.send(head("GET", target, between.authority()))
        status = wire.response().status
    assert (status == 200) == (target == "/administration"), status
    assert len(recorder.since(mark)) == (status == 200)


@pytest.fixture(scope="module")
def between(make_gateway, recorder):
    site = {"hosts": ["rec.test"], "upstream": recorder.upstream, "shared_origin": True}
    return make_gateway("between", [
        {**site, "login": "none"},
        {**site, "path": "/admin", "rules": [{"path": "/*", "allow": {"groups": ["admins"]}}]},
    ])  # fmt: skip


def test_an_answer_for_whom_the_app_was_told_is_kept_out_of_shared_caches(gateway, alice, recorder):
    for who, expected in ((None, "public, max-age=600"), (alice, "private, max-age=600")):
        recorder.on("/public/told", answer(headers=["Content-Type: text/css", "Cache-Control: public, max-age=600"]))
        told = raw_request(gateway, "/public/told", who=who)
        assert told.status == 200 and told.get("Cache-Control") == expected, told.get("Cache-Control")
