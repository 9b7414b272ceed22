"""Whatever a client says about who it is, the app hears the gateway's word once and nothing else."""

import json

import pytest

from support.person import SESSION
from support.person import Person
from support.waiting import wait_until
from support.wire import head

# Names apps have been seen to believe, in spellings a server might fold together.
SPELLINGS = [
    "X-Forwarded-User", "x-forwarded-user", "X-FORWARDED-USER", "X_Forwarded_User", "x-forwarded_user",
    "X_FORWARDED-USER", "X.Forwarded.User", "X-Forwarded-Email", "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token", "X-Auth-Request-User", "X-Auth-Request-Email",
    "X-Auth-Request-Groups", "X_Auth_Request_User", "Remote-User", "Remote_User", "REMOTE_USER", "Remote-Groups",
    "X-Remote-User", "X_Remote_User", "X-WEBAUTH-USER", "X-Vestibule-Assertion", "X-Vestibule-User",
]  # fmt: skip

CONTROL = [
    "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Original-Method", "X-Accel-Redirect", "X-Sendfile",
    "Proxy", "X-Forwarded-Prefix", "X-Middleware-Subrequest", "X-Original-Host", "X-Host",
]  # fmt: skip

FORGED = "admin-forged-by-client"


def ask(gateway, who, *lines, target="/x", method="GET", host="rec.test"):
    cookie = [f"Cookie: {who.cookies()}"] if who else []
    with gateway.wire(host) as wire:
        wire.send(head(method, target, gateway.authority(host), *cookie, *lines))
        return wire.response(method)


def folded(name):
    return "".join(letter for letter in name.lower() if letter.isalnum())


def forged(seen):
    return [(name, value) for name, value in seen.headers if FORGED in value]


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("shape", ["once", "twice", "list", "many"])
def test_a_forged_identity_never_reaches_the_app(gateway, alice, recorder, name, shape, canary):
    value = {"list": f"bob,{FORGED}"}.get(shape, FORGED)
    count = {"once": 1, "twice": 2, "list": 1, "many": 60}[shape]
    for who, target in ((alice, "/x"), (None, "/public/x")):
        mark = recorder.mark()
        answer = ask(gateway, who, *[f"{name}: {value}"] * count, target=target)
        came = recorder.since(mark)
        assert answer.status in (200, 400, 431)
        assert all(not forged(seen) for seen in came)
        for seen in came:
            expected = ["alice"] if who else []
            assert [v for n, v in seen.headers if folded(n) == "xforwardeduser"] == expected


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "POST", "DELETE", "PROPFIND"])
def test_the_same_holds_for_every_method(gateway, alice, recorder, method):
    mark = recorder.mark()
    lines = [f"{name}: {FORGED}" for name in SPELLINGS] + ["Content-Length: 0"]
    ask(gateway, alice, *lines, method=method)
    for seen in recorder.since(mark):
        assert not forged(seen) and seen.one("X-Forwarded-User") == "alice"


def test_a_preflight_of_a_stranger_is_not_proxied_with_an_identity(gateway, recorder):
    mark = recorder.mark()
    lines = ["Origin: https://evil.test", "Access-Control-Request-Method: PUT", f"X-Forwarded-User: {FORGED}"]
    answer = ask(gateway, None, *lines, method="OPTIONS")
    assert answer.status in (401, 403) and answer.get("Access-Control-Allow-Origin") is None
    assert recorder.since(mark) == []


@pytest.mark.parametrize(
    "lines",
    [
        ["Connection: close, X-Forwarded-User"],
        ["Connection: keep-alive, x-forwarded-user, x-forwarded-groups"],
        ["Connection: keep-alive", "Connection: x-forwarded-user"],
        ["connection: X-FORWARDED-USER", "Proxy-Connection: x-forwarded-user"],
        ["Connection: Cookie, Host, X-Forwarded-For, X-Forwarded-Proto"],
        ["Keep-Alive: x-forwarded-user", "Connection: keep-alive"],
    ],
)
def test_connection_cannot_name_the_gateways_own_headers_away(gateway, alice, recorder, lines):
    mark = recorder.mark()
    answer = ask(gateway, alice, *lines, f"X-Forwarded-User: {FORGED}")
    assert answer.status in (200, 400)
    for seen in recorder.since(mark):
        assert seen.one("X-Forwarded-User") == "alice"
        assert seen.all("X-Forwarded-For") == ["127.0.0.1"] and seen.all("X-Forwarded-Proto") == ["https"]
        assert not {"proxy-connection", "keep-alive", "te", "upgrade"} & set(seen.names())


def test_connection_named_headers_of_the_client_are_dropped(gateway, alice, recorder):
    ask(gateway, alice, "Connection: x-private-to-hop", "X-Private-To-Hop: 1", "X-Kept: 1")
    assert "x-private-to-hop" not in recorder.last().names()
    assert recorder.last().one("X-Kept") == "1"


@pytest.mark.parametrize("name", ["X-Forwarded-User", "X_Forwarded_User", "Remote-User", "Host", "Content-Length"])
def test_trailers_never_become_headers(gateway, alice, recorder, name):
    mark = recorder.mark()
    lines = ["Transfer-Encoding: chunked", f"Trailer: {name}", f"Cookie: {alice.cookies()}"]
    with gateway.wire() as wire:
        wire.send(head("POST", "/x", gateway.authority(), *lines))
        wire.send(b"3\r\nabc\r\n0\r\n" + f"{name}: {FORGED}\r\n\r\n".encode())
        assert wire.response().status in (200, 400)
    for seen in recorder.since(mark):
        assert FORGED.encode() not in seen.raw + seen.trailers
        assert seen.all("X-Forwarded-User") == ["alice"]


@pytest.mark.parametrize("name", CONTROL)
def test_headers_that_steer_servers_and_rules_do_not_pass(gateway, alice, recorder, name):
    mark = recorder.mark()
    assert ask(gateway, alice, f"{name}: /public/{FORGED}").status == 200
    assert all(not forged(seen) for seen in recorder.since(mark))
    # And they open no door either.
    assert ask(gateway, None, f"{name}: /public/x").status == 401


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Forwarded-For: 10.9.8.7"],
        ["X-Forwarded-For: 10.9.8.7", "X-Forwarded-For: 127.0.0.1"],
        ["X-Forwarded-For: 10.9.8.7, 127.0.0.1"],
        ["X-Forwarded-For: unknown"],
        ["X-Real-IP: 10.9.8.7", "True-Client-IP: 10.9.8.7", "CF-Connecting-IP: 10.9.8.7"],
        ["Forwarded: for=10.9.8.7;host=evil.test;proto=http"],
        ["X-Forwarded-Proto: http", "X-Forwarded-Scheme: http", "X-Forwarded-Ssl: off"],
        ["X-Forwarded-Host: evil.test", "X-Forwarded-Port: 80", "X-Forwarded-Server: evil.test"],
    ],
)
def test_an_unlisted_peers_word_about_the_client_is_not_passed_on(gateway, alice, recorder, lines):
    mark = recorder.mark()
    assert ask(gateway, alice, *lines).status == 200
    (seen,) = recorder.since(mark)
    assert seen.one("X-Forwarded-For") == "127.0.0.1"
    assert seen.one("X-Forwarded-Proto") == "https"
    assert b"10.9.8.7" not in seen.raw and b"evil.test" not in seen.raw


def test_the_app_is_told_who_where_from_and_by_which_name(gateway, alice, recorder):
    ask(gateway, alice)
    seen = recorder.last()
    assert seen.one("X-Forwarded-User") == "alice"
    assert seen.one("X-Forwarded-Groups") == "staff,writers"
    assert seen.one("X-Forwarded-Host") == gateway.authority()
    assert seen.one("Host") == gateway.authority()
    assert seen.one("Via")


def test_a_user_without_groups_leaves_no_room_for_forged_ones(gateway, recorder, person):
    person.login("carol")
    ask(gateway, person, f"X-Forwarded-Groups: {FORGED}", f"X-Forwarded-Email: {FORGED}")
    assert not forged(recorder.last())


def test_the_gateways_cookies_never_reach_the_app(gateway, alice, recorder):
    jar = alice.cookies()
    for lines in (
        [f"Cookie: a=1; {jar}; b=2"],
        [f"Cookie: a=1;{jar};b=2"],
        ["Cookie: a=1", f"Cookie: {jar}", "Cookie: b=2"],
    ):
        ask(gateway, None, *lines)
        seen = recorder.last()
        assert alice.cookie.encode() not in seen.raw and SESSION.encode() not in seen.raw
        assert "; ".join(seen.all("Cookie")).replace("; ", ";") == "a=1;b=2"


@pytest.mark.parametrize("host", ["flask.test", "gunicorn.test", "express.test"])
def test_real_apps_see_exactly_one_user(gateway, host):
    person = Person(gateway, host)
    person.login("bob", target="/echo")
    lines = {name: FORGED for name in SPELLINGS if name.replace("-", "").isalnum() or "_" in name}
    told = person.request("GET", "/echo", lines).json()
    users = [value for name, value in told["headers"] if folded(name) == "xforwardeduser"]
    assert users == ["bob"]
    assert FORGED not in str(told) and person.cookie not in str(told)


def test_names_are_sent_in_a_form_no_header_can_be_broken_with(make_gateway, recorder, work):
    from support.gateway import add_user

    users = work / "odd-users.yaml"
    password = "someone walks quietly past nineteen turnips"
    odd = {"jürgen": "j%C3%BCrgen", "a,admin": "a%2Cadmin", "per%cent": "per%25cent"}
    for name in odd:
        add_user(users, name, password)
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway("odd", sites, login={"password": {"users": str(users)}})
    for name, sent in odd.items():
        gateway.passwords[name] = password
        person = Person(gateway)
        person.login(name)
        person.visit("/odd")
        assert recorder.last().one("X-Forwarded-User") == sent


def test_many_people_at_once_are_never_mixed_up(gateway, recorder):
    from concurrent.futures import ThreadPoolExecutor

    names = ["alice", "bob", "carol", "dave"]
    people = {}
    for name in names:
        people[name] = Person(gateway)
        people[name].login(name)
    mark = recorder.mark()

    def visits(job):
        name = names[job % 4]
        with gateway.wire() as wire:
            for number in range(20):
                cookie = f"Cookie: {people[name].cookies()}"
                wire.send(head("GET", f"/for/{name}/{job}/{number}", gateway.authority(), cookie))
                assert wire.response().json()["target"] == f"/for/{name}/{job}/{number}"

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(visits, range(32)))
    came = recorder.since(mark)
    assert len(came) == 640
    assert all(seen.one("X-Forwarded-User") == seen.target.split("/")[2] for seen in came)


@pytest.mark.parametrize(
    "lines",
    [[f"{name}: {FORGED}"] for name in SPELLINGS]
    + [
        [f"X-Forwarded-User: {FORGED}", "Connection: X-Forwarded-User"],
        [f"X-Forwarded-User: {FORGED}"] * 3 + [f"Remote-User: {FORGED}"],
    ],
    ids=lambda lines: lines[-1].partition(":")[0] + str(len(lines)),
)
@pytest.mark.parametrize("where", ["at the app", "at the gate", "at the login page"])
def test_a_forged_identity_is_told_once_for_each_request(gateway, alice, lines, where):
    who = alice if where == "at the app" else None
    target = "/.vestibule/login" if where == "at the login page" else "/x"
    before = len([event for event in gateway.events() if event["event"] == "malicious_extraneous"])
    ask(gateway, who, *lines, target=target)
    # Events are written in order: what came before this one is there too.
    ask(gateway, None, "Sec-Fetch-Site: cross-site", method="POST", target=f"/after-{before}")
    wait_until(lambda: f"/after-{before}" in gateway.audit_text(), "the event behind it")
    told = [event for event in gateway.events() if event["event"] == "malicious_extraneous"][before:]
    assert len(told) == 1 and told[0]["path"] == target, told
    assert folded(told[0]["header"]) in {folded(line.partition(":")[0]) for line in lines}
    assert FORGED not in json.dumps(told)
