"""Logging in and out with a password: what a person meets, and what an attacker must not."""

import time
from urllib.parse import quote

import pytest

from support.gateway import add_user
from support.person import LOGIN
from support.person import LOGOUT
from support.person import PASSWORD
from support.person import SCRIPT
from support.person import SESSION
from support.person import WHO
from support.person import Form
from support.person import Person
from support.waiting import wait_until
from support.wire import head


def attributes(line):
    return {part.strip().partition("=")[0].lower(): part.strip().partition("=")[2] for part in line.split(";")[1:]}


def cookie_line(person, name=SESSION):
    return [line for line in person.set_cookies if line.startswith(name + "=")][-1]


def test_a_page_load_without_session_is_led_to_the_login_page_and_never_reaches_the_app(person, recorder):
    mark = recorder.mark()
    answer = person.visit("/private?x=1")
    assert answer.status == 303
    assert person.location(answer).startswith(LOGIN)
    assert recorder.since(mark) == []


@pytest.mark.parametrize(
    "target",
    ["/", "/deep/link?a=1&b=2", "/a?next=//x&u=https://y", "/a?" + "q=" + "v" * 2000, "/%C3%BC?x=%20y", "/a?empty="],
)
def test_login_returns_to_the_page_that_was_asked_for(person, target):
    answer = person.login(target=target)
    assert person.location(answer) == target
    assert person.visit(target).json()["target"] == target


@pytest.mark.parametrize(
    "target",
    ["//evil.test", "///evil.test", "/\\evil.test", "/%09/evil.test", "/.//evil.test", "https:evil.test",
     "https://evil.test/", "javascript:alert(1)", "/%5cevil.test", "/\t/evil.test", "/%0d%0aSet-Cookie:%20a=b"],
)
@pytest.mark.parametrize("name", ["return_to", "next", "rd", "target", "to"])
def test_a_return_target_from_outside_is_never_followed(person, target, name):
    _, form = person.login_page("/")
    fields = {**form.hidden(), "username": "bob", "password": person.gateway.passwords["bob"]}
    # Both ways to bring one's own: in the address of the login page, and in the form.
    shown = person.visit(f"{LOGIN}?{name}={quote(target)}")
    if shown.status == 200:
        fields = {**fields, **Form(shown.text).hidden()}
    if name in fields:
        fields[name] = target
    answer = person.submit(f"{LOGIN}?{name}={quote(target)}", fields)
    assert answer.status in (303, 400, 403), answer.status
    if answer.status == 303:
        place = person.location(answer)
        assert place.startswith("/") and not place.startswith(("//", "/\\")) and "evil" not in place


def test_the_session_cookie_is_hardened_and_opaque(person):
    person.login()
    line = cookie_line(person)
    found = attributes(line)
    assert "secure" in found and "httponly" in found
    assert found["samesite"] == "Lax" and found["path"] == "/"
    assert not {"domain", "max-age", "expires"} & set(found)
    assert len(person.cookie) == 43 and "bob" not in line
    assert len(line.split(";")[0]) <= 512


def test_every_cookie_of_the_gateway_keeps_the_prefix_rules_even_when_deleted(person):
    person.login()
    person.logout()
    for line in person.set_cookies:
        found = attributes(line)
        assert line.startswith("__Host-"), line
        assert "secure" in found and "httponly" in found and found["path"] == "/" and "domain" not in found, line
        assert found.get("samesite") in ("Lax", "Strict"), line


def test_answers_that_set_the_session_are_never_cached(person):
    answer = person.login()
    assert "no-store" in answer.get("Cache-Control", "")


def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(gateway):
    answers = []
    for name in ("carol", "nobody-of-this-name"):
        person = Person(gateway)
        answers.append(person.try_login(name, "certainly not this one"))
        assert person.cookie is None
    one, other = answers
    assert one.status == other.status and one.status in (200, 401, 403)
    skipped = {"date", "set-cookie", "content-security-policy", "content-length", "x-request-id"}
    headers = [sorted(n.lower() for n, _ in a.headers if n.lower() not in skipped) for a in answers]
    assert headers[0] == headers[1]
    assert "carol" not in one.text.replace('value="carol"', "")
    assert len(one.text) - len("carol") == pytest.approx(len(other.text) - len("nobody-of-this-name"), abs=200)


def test_an_unknown_user_takes_as_long_as_a_wrong_password(gateway):
    def spent(name):
        person = Person(gateway)
        _, form = person.login_page("/")
        began = time.monotonic()
        person.submit(LOGIN, {**form.hidden(), "username": name, "password": "certainly not this one"})
        return time.monotonic() - began

    # Four each stay below the free failures of an account; the fastest of each is the least disturbed.
    known = min(spent("dave") for _ in range(4))
    unknown = min(spent("davina") for _ in range(4))
    assert unknown > known * 0.6, f"{unknown:.4f} s for an unknown user, {known:.4f} s for a known one"


def test_credentials_in_the_address_are_ignored_and_not_logged(gateway, person):
    secret = "query-string-secret-word-99"
    answer = person.visit(f"{LOGIN}?username=bob&password={secret}")
    assert answer.status in (200, 303, 400, 405) and person.cookie is None
    assert secret not in gateway.logged()


def test_markup_in_a_user_name_comes_back_escaped(person):
    answer = person.try_login('"><script>alert(1)</script>', "certainly not this one")
    assert "<script>alert(1)" not in answer.text


def test_an_id_that_was_presented_before_login_is_never_adopted(person):
    planted = "A" * 43
    person.jar[SESSION] = planted
    person.login()
    assert person.cookie != planted
    person.jar[SESSION] = planted
    assert not person.is_in()


def test_somebody_logged_in_is_sent_on_from_the_login_page(person):
    address, _ = person.login_page("/deep")
    person.login()
    answer = person.visit(address)
    assert answer.status == 303 and person.location(answer) == "/deep"


def test_two_tabs_can_log_in_at_the_same_time(person):
    one, form_one = person.login_page("/tab-one")
    two, form_two = person.login_page("/tab-two")
    fields = {"username": "bob", "password": person.gateway.passwords["bob"]}
    first = person.submit(one, {**form_one.hidden(), **fields})
    second = person.submit(two, {**form_two.hidden(), **fields})
    assert person.location(first) == "/tab-one"
    assert person.location(second) == "/tab-two"
    assert person.is_in()


def test_many_login_starts_neither_pile_up_cookies_nor_lock_the_browser_out(person):
    for number in range(60):
        person.visit(person.location(person.visit(f"/page{number}")))
    assert len(person.cookies()) < 2000
    person.login()


def test_logout_asks_first_and_then_kills_the_cookie_for_everybody(gateway, person):
    person.login()
    stolen = Person(gateway)
    stolen.jar = dict(person.jar)
    assert stolen.is_in()
    assert person.visit(LOGOUT).status == 200
    assert stolen.is_in(), "GET must not log out"
    answer = person.logout()
    assert answer.status in (200, 303)
    assert person.cookie is None, "a browser would have kept the cookie"
    assert not stolen.is_in()
    assert stolen.fetch("/private").status == 401


@pytest.mark.parametrize(
    "change",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://other.rec.test"},
        {"Sec-Fetch-Site": None, "Origin": "https://evil.test"},
        {"Sec-Fetch-Site": None, "Origin": "null"},
    ],
)
def test_another_site_can_neither_log_in_nor_log_out(gateway, person, change):
    refused = person.try_login("bob", gateway.passwords["bob"], headers=change)
    assert refused.status == 403 and person.cookie is None
    person.login()
    form = Form(person.visit(LOGOUT).text)
    assert person.submit(LOGOUT, form.hidden(), change).status == 403
    assert person.is_in()


def test_a_login_form_of_another_browser_is_worth_nothing(gateway, person):
    attacker = Person(gateway)
    _, form = attacker.login_page("/")
    person.login_page("/")
    fields = {**form.hidden(), "username": "bob", "password": gateway.passwords["bob"]}
    answer = person.submit(LOGIN, fields)
    assert answer.status != 303 and person.cookie is None


def test_a_login_without_the_hidden_fields_is_refused(gateway, person):
    person.login_page("/")
    answer = person.submit(LOGIN, {"username": "bob", "password": gateway.passwords["bob"]})
    assert answer.status != 303 and person.cookie is None


def test_a_prefetch_or_image_of_the_logout_address_changes_nothing(person):
    person.login()
    for more in ({"Sec-Purpose": "prefetch"}, {"Sec-Fetch-Dest": "image", "Sec-Fetch-Site": "cross-site"}):
        person.visit(LOGOUT, **more)
    person.request("HEAD", LOGOUT)
    assert person.is_in()


def test_scripts_get_401_with_json_instead_of_a_redirect(person):
    answer = person.fetch("/api-like")
    assert answer.status == 401
    assert answer.get("Content-Type", "").startswith("application/json")
    assert answer.json()
    assert answer.get("WWW-Authenticate") and "basic" not in answer.get("WWW-Authenticate").lower()


def test_a_plain_client_gets_401_and_an_unsafe_page_load_gets_no_redirect(gateway, person):
    assert person.request("GET", "/x", {"Accept": "*/*"}).status == 401
    answer = person.submit("/form", {"a": "b"})
    assert answer.status == 401 and answer.get("Location") is None
    assert LOGIN in answer.text, "the page should offer to sign in"


def test_the_session_page_tells_who_and_never_moves_the_idle_clock(brief):
    person = Person(brief)
    person.login()
    shown = person.fetch(WHO)
    told = shown.json()
    assert shown.status == 200 and person.cookie not in shown.text
    assert told["authenticated"] is True and told["user"] == "bob"
    assert 0 < told["idle_seconds_left"] <= 2 and told["idle_seconds_left"] <= told["absolute_seconds_left"] <= 6
    assert "no-store" in shown.get("Cache-Control", "")
    # Asked again and again, the two seconds of the idle limit still pass.
    wait_until(lambda: not person.authenticated(), "the session ends as idle while it is watched", within=6)


def test_an_idle_session_ends_and_the_page_says_so(brief):
    person = Person(brief)
    person.login()
    kept = dict(person.jar)
    wait_until(lambda: not person.authenticated(), "the session ends as idle", within=6)
    person.jar = kept
    answer = person.visit("/deep?x=1")
    assert answer.status == 303
    shown = person.visit(person.location(answer))
    assert shown.status == 200 and Form(shown.text).fields.keys() >= {"username", "password"}


def test_the_absolute_limit_holds_however_busy_a_session_is(brief):
    person = Person(brief)
    person.login()
    began = time.monotonic()
    wait_until(lambda: person.visit("/busy").status == 303, "the session ends at its absolute limit", 9, every=0.3)
    lasted = time.monotonic() - began
    assert 4.5 < lasted < 8, f"lasted {lasted:.1f} s of 6"


@pytest.mark.parametrize("value", ["", "x", "A" * 42, "A" * 44, "../../etc/passwd", "*", "A" * 42 + "=", "A" * 5000])
def test_made_up_ids_are_nobody(person, value):
    person.jar[SESSION] = value
    assert person.visit("/").status == 303


def test_guessing_is_slowed_down_even_for_the_right_password(make_gateway, recorder, work):
    users = work / "throttled-users.yaml"
    add_user(users, "gina", "gina walks quietly past nineteen turnips")
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    login = {"attempts": {"per_account": 3, "per_address": "1000/15m"}, "password": {"users": str(users)}}
    gateway = make_gateway("throttle", sites, login=login)

    def attempt(name, password="certainly not this one"):
        return Person(gateway).try_login(name, password)

    for name in ("no-gina", "gina"):
        seen = [attempt(name).status for _ in range(5)]
        assert seen[0] != 429 and seen[-1] == 429, f"{name}: {seen}"
    # At once, before the first second of waiting is over.
    right = attempt("gina", "gina walks quietly past nineteen turnips")
    assert right.status == 429 and int(right.get("Retry-After")) >= 1


def test_one_address_cannot_try_many_accounts(make_gateway, recorder):
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway("spray", sites, login={"attempts": {"per_account": 5, "per_address": "4/15m"}})
    seen = [Person(gateway).try_login(f"user{n}", "certainly not this one").status for n in range(7)]
    assert seen[-1] == 429, seen
    # A spoofed address changes nothing: nobody's word is believed here.
    person = Person(gateway)
    spoofed = person.try_login("user9", "certainly not this one", headers={"X-Forwarded-For": "203.0.113.7"})
    assert spoofed.status == 429


def test_changing_ones_password_needs_the_old_one_and_ends_the_other_sessions(make_gateway, recorder, work):
    users = work / "changing-users.yaml"
    old, new = "hugo walks quietly past nineteen turnips", "hugo now runs across eleven beetroots"
    add_user(users, "hugo", old)
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway("changing", sites, login={"password": {"users": str(users)}})
    gateway.passwords["hugo"] = old
    here, elsewhere = Person(gateway), Person(gateway)
    here.login("hugo")
    elsewhere.login("hugo")
    before = here.cookie

    def change(current, wanted):
        form = Form(here.visit(PASSWORD).text)
        assert {"current", "new"} <= form.fields.keys()
        return here.submit(PASSWORD, {**form.hidden(), "current": current, "new": wanted})

    wrong = change("certainly not this one", new)
    assert wrong.status in (200, 400, 401, 403, 422)
    for weak in ("short", "password", "hugohugohugohugo"):
        assert change(old, weak).status in (200, 400, 422), weak
    assert here.cookie == before
    assert change(old, new).status in (200, 303)
    assert here.is_in() and here.cookie != before
    wait_until(lambda: not elsewhere.is_in(), "the other session ends", within=5)
    assert Person(gateway).try_login("hugo", old).status != 303
    gateway.passwords["hugo"] = new
    Person(gateway).login("hugo")
    assert oct(users.stat().st_mode)[-3:] == "600"


def test_our_pages_do_not_answer_scripts_or_frames(person):
    person.login()
    for dest, mode in (("iframe", "navigate"), ("empty", "cors"), ("script", "no-cors"), ("image", "no-cors")):
        answer = person.request("GET", LOGOUT, {**SCRIPT, "Sec-Fetch-Dest": dest, "Sec-Fetch-Mode": mode})
        assert answer.status in (400, 403, 404, 405), f"{dest}: {answer.status}"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "PROPFIND"])
def test_other_methods_on_our_pages_are_refused(person, method, recorder):
    mark = recorder.mark()
    assert person.request(method, LOGIN, {"Origin": person.origin}).status in (403, 405)
    assert recorder.since(mark) == []


def test_a_login_body_beyond_reason_is_refused(person):
    _, form = person.login_page("/")
    answer = person.submit(LOGIN, {**form.hidden(), "username": "bob", "password": "x" * 100_000})
    assert answer.status in (400, 413) and person.cookie is None


def test_nothing_answers_below_our_prefix_but_what_we_have(person, alice, recorder):
    mark = recorder.mark()
    for path in ("/.vestibule/", "/.vestibule", "/.vestibule/nothing", "/.vestibule/login/x", "/.vestibule/LOGIN"):
        for who in (person, alice):
            assert who.visit(path).status in (303, 400, 401, 404), path
    assert recorder.since(mark) == []


def test_the_session_id_is_never_in_a_page_a_log_or_a_figure(gateway, person):
    person.login()
    person.visit("/x")
    person.visit(LOGOUT)
    figures = gateway.ask_admin("/metrics").text
    with gateway.wire() as wire:
        wire.send(head("GET", "/x", gateway.authority(), f"Cookie: {person.cookies()}", "Connection: close"))
        page = wire.response()
    for place in (gateway.logged(), figures, page.text, str(page.headers)):
        assert person.cookie not in place
