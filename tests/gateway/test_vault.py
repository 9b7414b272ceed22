"""The vault: an app's cookies stay on the server, whatever the app, the browser and the store do."""

import itertools
import secrets
import threading

import pytest

from conftest import RULES
from support.person import SESSION
from support.person import Person
from support.recorder import answer
from support.redis import Redis
from support.traveller import Traveller
from support.waiting import wait_until
from support.wire import head

pytestmark = pytest.mark.usefixtures("canary")

VISIT = "__Host-Http-visit"
OURS = {SESSION, VISIT, "__Host-Http-pre", "__Host-Http-device"}
BLOCK = {"default": "vault", "expose": ["csrftoken"], "per_cookie": {"lang": "pass", "theme": "harden"}}
NUMBERS = itertools.count()


def sites_of(recorder):
    return [
        {"hosts": ["rec.test"], "upstream": recorder.upstream, "rules": RULES, "cookies": "vault"},
        {"hosts": ["block.test"], "upstream": recorder.upstream, "cookies": BLOCK},
        {
            "hosts": ["one.test"],
            "upstream": recorder.upstream,
            "cookies": {"per_cookie": {"sid": "vault"}},
        },
        {
            "hosts": ["watched.test"],
            "upstream": recorder.upstream,
            "cookies": "vault",
            "mode": "observe",
            "rules": [{"path": "/*", "allow": "anyone"}],
        },
    ]


@pytest.fixture(scope="module")
def vault(make_gateway, recorder):
    return make_gateway("vault", sites_of(recorder), session={"store": "memory", "max_per_user": 1000})


@pytest.fixture
def lasting(make_gateway, recorder):
    return make_gateway(f"vault-disk-{next(NUMBERS)}", sites_of(recorder))


def sign_in(gateway, name="bob", host="rec.test"):
    person = Person(gateway, host)
    person.login(name)
    return person


def sets(recorder, path, *lines):
    """Has the app answer at `path` with these cookies."""
    recorder.on(path, answer(headers=[f"Set-Cookie: {line}" for line in lines]))


def seen_cookies(recorder, mark=0):
    """What the app was last sent."""
    lines = recorder.since(mark)[-1].all("Cookie")
    assert len(lines) <= 1
    return lines[0] if lines else ""


def sent(person, recorder, target="/echo", **more):
    mark = recorder.mark()
    assert person.fetch(target, **more).status == 200
    return seen_cookies(recorder, mark)


def names_at(person):
    """Every name the browser was ever told of."""
    return {line.split("=")[0] for line in person.set_cookies}


def test_what_the_app_sets_comes_back_to_it_and_never_reaches_the_browser(vault, recorder):
    sets(recorder, "/set", "sid=CANARY-1; Path=/; HttpOnly", "pref=CANARY-2; Path=/deep", "gone=x; Max-Age=0")
    person = sign_in(vault)
    response = person.fetch("/set")
    assert response.status == 200 and response.all("Set-Cookie") == []
    assert sent(person, recorder) == "sid=CANARY-1"
    assert sent(person, recorder, "/deep/er") == "pref=CANARY-2; sid=CANARY-1"
    assert sent(person, recorder, "/deeper") == "sid=CANARY-1"
    assert names_at(person) <= OURS
    assert not any("CANARY" in line for line in person.set_cookies)


def test_the_app_deletes_and_replaces(vault, recorder):
    person = sign_in(vault)
    for line, expected in (
        ("a=1", "a=1"),
        ("b=2", "a=1; b=2"),
        ("a=3", "a=3; b=2"),
        ("a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=2"),
        ("__Host-b=x", "b=2"),
        ("b=other; Domain=evil.test", "b=2"),
        ("c=" + "v" * 5000, "b=2"),
    ):
        sets(recorder, "/set", line)
        assert person.fetch("/set").all("Set-Cookie") == []
        assert sent(person, recorder) == expected
    vault.wait_event("app_cookie_dropped")


def test_a_browser_cannot_bring_what_it_cannot_have(vault, recorder):
    sets(recorder, "/set", "sid=REAL")
    person = sign_in(vault)
    person.fetch("/set")
    own = f"{SESSION}={person.cookie}"
    for planted in (
        "sid=EVIL", "SID=EVIL", " sid =EVIL", "=sid=EVIL", "x=EVIL", "x=1, sid=EVIL", 'q="; sid=EVIL; "', "sid", "EVIL",
        "s%69d=EVIL", "lang=EVIL", "csrftoken=EVIL",
    ):  # fmt: skip
        for line in (f"{planted}; {own}", f"{own}; {planted}"):
            mark = recorder.mark()
            with vault.wire() as wire:
                wire.send(head("GET", "/echo", vault.authority(), f"Cookie: {line}"))
                assert wire.response().status in (200, 401)
            for seen in recorder.since(mark):
                assert seen.all("Cookie") == ["sid=REAL"], planted


def test_what_scripts_must_read_is_shown_and_theirs_wins(vault, recorder):
    lines = ["csrftoken=app; Path=/", "lang=de; Domain=block.test", "theme=dark; Path=/", "sid=CANARY; Path=/"]
    sets(recorder, "/set", *lines)
    person = sign_in(vault, host="block.test")
    response = person.fetch("/set")
    got = {line.split("=")[0]: line for line in response.all("Set-Cookie")}
    assert set(got) == {"csrftoken", "lang", "theme"}
    assert got["lang"] == "lang=de; Domain=block.test"
    assert "Secure" in got["theme"] and "SameSite=Lax" in got["theme"]
    # A name that looks like a session's would be hidden from scripts, were it not named.
    assert "Secure" in got["csrftoken"] and "HttpOnly" not in got["csrftoken"]
    assert sent(person, recorder) == "sid=CANARY; csrftoken=app; lang=de; theme=dark"
    person.jar["csrftoken"] = "script"
    assert sent(person, recorder) == "sid=CANARY; csrftoken=script; lang=de; theme=dark"
    del person.jar["csrftoken"]
    assert sent(person, recorder) == "csrftoken=app; sid=CANARY; lang=de; theme=dark"
    # Nor does anything ride in on the back of what may pass.
    person.jar["theme"] = 'x, sid=EVIL'
    assert sent(person, recorder) == "csrftoken=app; sid=CANARY; lang=de"


def test_one_cookie_can_be_kept_and_the_rest_hardened(vault, recorder):
    sets(recorder, "/set", "sid=CANARY; Path=/", "other=1; Path=/")
    person = sign_in(vault, host="one.test")
    response = person.fetch("/set")
    assert response.all("Set-Cookie") == ["other=1; Path=/; Secure; SameSite=Lax"]
    person.jar["free"] = "2"
    person.jar["sid"] = "EVIL"
    assert sent(person, recorder) == "sid=CANARY; other=1; free=2"


def test_fifty_answers_at_once_are_all_kept(vault, recorder):
    person = sign_in(vault)
    barrier = threading.Barrier(50)

    def set_one(number):
        def reply(client, _):
            barrier.wait(30)
            client.sendall(answer(headers=[f"Set-Cookie: c{number:02}=v{number}"]))

        recorder.on(f"/parallel/{number}", reply)
        with vault.wire() as wire:
            wire.send(head("GET", f"/parallel/{number}", vault.authority(), f"Cookie: {person.cookies()}"))
            assert wire.response().status == 200

    threads = [threading.Thread(target=set_one, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Set at /parallel/…, so that is where they go.
    assert sorted(sent(person, recorder, "/parallel/x").split("; ")) == [f"c{n:02}=v{n}" for n in range(50)]
    sets(recorder, "/parallel/more", "more=1")
    person.fetch("/parallel/more")
    assert len(sent(person, recorder, "/parallel/x").split("; ")) == 50
    vault.wait_event("app_cookie_evicted")


def test_the_next_user_of_a_browser_starts_with_nothing(vault, recorder):
    sets(recorder, "/set", "sid=ALICE")
    person = sign_in(vault, "alice")
    person.fetch("/set")
    person.logout()
    person.login("bob")
    assert sent(person, recorder) == ""
    # Nor does the same user anew, nor somebody who logs in over the session of another.
    sets(recorder, "/set", "sid=BOB")
    person.fetch("/set")
    assert sent(person, recorder) == "sid=BOB"
    again = sign_in(vault, "bob")
    assert sent(again, recorder) == ""
    assert sent(person, recorder) == "sid=BOB"


def test_an_order_to_clear_cookies_empties_the_vault_and_leaves_the_session(vault, recorder):
    sets(recorder, "/set", "sid=CANARY")
    person = sign_in(vault)
    person.fetch("/set")
    recorder.on("/clear", answer(headers=['Clear-Site-Data: "cookies"', "Set-Cookie: new=1; Path=/"]))
    response = person.fetch("/clear")
    assert response.all("Set-Cookie") == [] and person.authenticated()
    assert sent(person, recorder) == "new=1"


def test_strict_cookies_stay_at_home_when_another_site_asks(vault, recorder):
    sets(recorder, "/set", "strict=1; SameSite=Strict", "lax=2; SameSite=Lax")
    person = sign_in(vault)
    person.fetch("/set")
    mark = recorder.mark()
    assert person.visit("/echo", **{"Sec-Fetch-Site": "cross-site"}).status == 200
    assert seen_cookies(recorder, mark) == "lax=2"
    assert sent(person, recorder) == "strict=1; lax=2"


def test_a_site_that_is_only_watched_keeps_nothing(vault, recorder):
    sets(recorder, "/set", "sid=SEEN")
    person = Person(vault, "watched.test")
    assert person.visit("/set").all("Set-Cookie") == ["sid=SEEN"]
    assert sent(person, recorder) == "sid=SEEN"


def test_a_visitor_has_the_apps_cookies_sealed_and_loses_them_at_login(vault, recorder):
    sets(recorder, "/public/set", "cart=CANARY; Path=/", "gone=; Max-Age=0")
    person = Person(vault)
    response = person.visit("/public/set")
    [line] = response.all("Set-Cookie")
    name, _, value = line.partition("=")
    assert name == VISIT and "CANARY" not in line and line.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")
    assert "no-store" in response.get("Cache-Control")
    assert sent(person, recorder, "/public/x") == "cart=CANARY"
    # Nothing new, nothing to keep.
    assert person.visit("/public/set").all("Set-Cookie") == []
    # Whatever is changed in it is worth nothing, and neither is it elsewhere.
    sealed = person.jar[VISIT]
    person.jar[VISIT] = sealed[:-4] + "AAAA"
    assert sent(person, recorder, "/public/x") == ""
    person.jar[VISIT] = sealed
    person.login("bob")
    assert VISIT not in person.jar
    assert sent(person, recorder, "/public/x") == "" and sent(person, recorder) == ""
    # Somebody who brings it into a session gains nothing either.
    person.jar[VISIT] = sealed
    assert sent(person, recorder) == ""
    sets(recorder, "/public/unset", "cart=; Max-Age=0; Path=/")
    other = Person(vault)
    other.visit("/public/set")
    other.visit("/public/unset")
    assert other.jar == {}


def test_a_websocket_handshake_brings_and_takes_cookies(vault, recorder):
    sets(recorder, "/set", "sid=CANARY")
    person = sign_in(vault)
    person.fetch("/set")

    def refuse(client, seen):
        assert seen.one("Cookie") == "sid=CANARY"
        client.sendall(answer("403 Forbidden", ["Set-Cookie: ws=1; Path=/"]))

    recorder.on("/ws", refuse)
    with vault.wire() as wire:
        lines = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"Origin: {person.origin}"]
        wire.send(head("GET", "/ws", vault.authority(), f"Cookie: {person.cookies()}", *lines))
        response = wire.response()
    assert response.status == 403 and response.all("Set-Cookie") == []
    assert sent(person, recorder) == "sid=CANARY; ws=1"


def test_the_vault_survives_a_restart_and_lies_in_no_file(lasting, recorder):
    canary = f"CANARY-{secrets.token_hex(8)}"
    sets(recorder, "/set", f"secretname={canary}; Path=/; Max-Age=3600")
    person = sign_in(lasting, "alice")
    person.fetch("/set")
    assert lasting.stop() == 0
    kept = (lasting.folder / "state" / "sessions.redb").read_bytes()
    assert b"alice" in kept and canary.encode() not in kept and b"secretname" not in kept
    lasting.start()
    assert sent(person, recorder) == f"secretname={canary}"
    # Two keys: what the older sealed opens, and lasts when the newer seals.
    keys = lasting.folder / "state" / "keys"
    assert lasting.stop() == 0
    keys.write_text(secrets.token_hex(32) + "\n" + keys.read_text())
    lasting.start()
    assert sent(person, recorder) == f"secretname={canary}"
    person.logout()
    assert lasting.stop() == 0


def test_new_ids_take_the_vault_along(make_gateway, recorder):
    session = {"renew_after": "2s", "renew_overlap": "1s", "theft_after": "1m"}
    gateway = make_gateway("vault-renewed", sites_of(recorder), session=session)
    sets(recorder, "/set", "sid=CANARY")
    person = sign_in(gateway)
    person.fetch("/set")
    for _ in range(2):
        before = person.cookie
        wait_until(lambda before=before: person.fetch("/echo") and person.cookie != before, "a new id", within=15)
        assert sent(person, recorder) == "sid=CANARY"
    # Nobody remembers the key: the newest id alone opens what lies on the disk.
    assert gateway.stop() == 0
    gateway.start()
    assert sent(person, recorder) == "sid=CANARY"


def test_each_site_of_one_login_has_a_jar_of_its_own(make_gateway, recorder):
    sites = [
        {"hosts": [host], "upstream": recorder.upstream, "cookies": "vault"} for host in ("one.test", "two.test")
    ]
    gateway = make_gateway("vault-house", sites, login={"host": "login.test"})
    browser = Traveller(gateway)
    browser.sign_in(browser.open(browser.url("one.test")))
    browser.open(browser.url("two.test"))
    for host in ("one.test", "two.test"):
        sets(recorder, "/set", f"sid={host}; Path=/")
        assert browser.on(host).fetch("/set").all("Set-Cookie") == []
    for _ in range(2):
        for host in ("one.test", "two.test"):
            assert sent(browser.on(host), recorder) == f"sid={host}"
        assert gateway.stop() == 0
        gateway.start()
    # Logged out on one, logged out on all.
    browser.on("one.test").logout()
    browser.sign_in(browser.open(browser.url("two.test")))
    assert sent(browser.on("two.test"), recorder) == ""


@pytest.fixture(scope="module")
def redis(work):
    server = Redis(work / "vault-redis", work).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def pair(make_gateway, work, recorder, redis):
    keys = work / "vault-pair-keys"
    keys.touch(mode=0o600)
    keys.write_text(secrets.token_hex(32) + "\n")
    session = {"store": {"redis": redis.url}, "max_per_user": 1000}
    return [
        make_gateway(f"vault-pair-{number}", sites_of(recorder), keys=str(keys), session=session) for number in (1, 2)
    ]


def at(gateway, person):
    """The same browser, sent to another gateway by the balancer."""
    there = Person(gateway, person.host)
    there.jar, there.set_cookies = person.jar, person.set_cookies
    return there


def test_two_gateways_read_what_either_wrote(pair, recorder):
    person = sign_in(pair[0])
    for turn in range(60):
        sets(recorder, "/set", f"turn={turn}; Path=/", f"c{turn % 7}={turn}; Path=/")
        assert at(pair[turn % 2], person).fetch("/set").status == 200
        line = sent(at(pair[(turn + 1) % 2], person), recorder)
        assert f"turn={turn}" in line.split("; ") and f"c{turn % 7}={turn}" in line.split("; ")
    assert names_at(person) <= OURS | {"__Host-Http-news"}


def test_both_gateways_change_a_jar_at_once(pair, recorder):
    person = sign_in(pair[0])
    barrier = threading.Barrier(20)

    def set_one(number):
        def reply(client, _):
            barrier.wait(30)
            client.sendall(answer(headers=[f"Set-Cookie: c{number:02}=v; Path=/"]))

        recorder.on(f"/both/{number}", reply)
        gateway = pair[number % 2]
        with gateway.wire() as wire:
            wire.send(head("GET", f"/both/{number}", gateway.authority(), f"Cookie: {person.cookies()}"))
            assert wire.response().status == 200

    threads = [threading.Thread(target=set_one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Whoever changes it last has seen what the other did.
    for gateway in pair:
        sets(recorder, "/set", f"last=at-{gateway.port}; Path=/")
        at(gateway, person).fetch("/set")
        names = {pair.split("=")[0] for pair in sent(at(gateway, person), recorder).split("; ")}
        assert names == {"last"} | {f"c{n:02}" for n in range(20)}


def test_a_cookie_that_says_nothing_new_is_not_written(pair, redis, recorder):
    sets(recorder, "/set", "sid=CANARY; Path=/; Max-Age=1800")
    person = sign_in(pair[0])
    person.fetch("/set")
    written = redis.calls("set")
    for _ in range(30):
        person.fetch("/set")
    assert redis.calls("set") - written <= 3, "thirty answers, thirty writes"
    assert sent(person, recorder) == "sid=CANARY"


def test_the_shared_store_holds_no_name_and_no_value(pair, redis, recorder):
    canary = f"CANARY-{secrets.token_hex(8)}"
    sets(recorder, "/set", f"secretname={canary}; Path=/")
    person = sign_in(pair[0], "alice")
    person.fetch("/set")
    dump = "".join(str(redis.say("DUMP", key)) for key in redis.say("KEYS", "*"))
    assert "alice" in dump and canary not in dump and "secretname" not in dump


def test_a_token_that_the_apps_scripts_cannot_read_is_told_of_once(vault, recorder):
    forms = ("csrf_gone=; Max-Age=0", "__Host-csrf=; Path=/x", "_xsrf=1; Path=/", "csrf_kept=3; HttpOnly", "plain=4", "CSRF-Token=2")
    sets(recorder, "/forms", *forms)
    person, block = sign_in(vault), sign_in(vault, host="block.test")
    sets(recorder, "/shown", "csrftoken=5")
    for _ in range(3):
        person.visit("/forms")
        block.visit("/shown")
    vault.wait_event("app_cookie_hidden", '"CSRF-Token"')
    told = [event["cookie"] for event in vault.events() if event["event"].startswith("app_cookie_hidden")]
    assert told == ["_xsrf", "CSRF-Token"]
