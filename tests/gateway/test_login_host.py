"""`login.host`: one place to log in for all sites, and nobody comes into a site by anybody else's code."""

import json
import threading
import time
from urllib.parse import urlsplit

import pytest

from support.person import LOGIN
from support.person import LOGOUT
from support.person import PASSWORD
from support.person import SCRIPT
from support.person import SESSION
from support.person import WHO
from support.recorder import answer
from support.traveller import IMAGE
from support.traveller import Traveller
from support.waiting import wait_until
from support.wire import head

DESK = "login.test"
ONE = "one.test"
TWO = "two.test"
THREE = "three.test"
HANDOVER = "/.vestibule/handover"
PRE = "__Host-Http-pre"


@pytest.fixture(scope="module")
def house(make_gateway, recorder):
    """Two apps and one place to log in, each with a registrable domain of its own."""
    sites = [
        {
            "hosts": [ONE],
            "upstream": recorder.upstream,
            "rules": [{"path": "/fresh/*", "allow": "authenticated", "reauth_after": "3s"}],
        },
        {"hosts": [TWO], "upstream": recorder.upstream, "rules": [{"path": "/admin/*", "allow": {"groups": ["admins"]}}]},
        {"hosts": [THREE], "upstream": recorder.upstream},
        {"hosts": ["quick.test"], "upstream": recorder.upstream, "session": {"idle_timeout": "2s"}},
    ]
    return make_gateway("house", sites, login={"host": DESK})


@pytest.fixture
def browser(house):
    return Traveller(house)


@pytest.fixture
def bob(browser):
    """Somebody who has logged in on the way to the first site."""
    arrival = browser.sign_in(browser.open(browser.url(ONE)))
    assert arrival.host == ONE and arrival.response.status == 200
    return browser


def hand_over(browser, host=ONE, path="/"):
    """The address that the login's host would send this browser to, not gone to yet."""
    url = browser.url(host, path)
    for _ in range(9):
        answer = browser.load(url)
        url = answer.get("Location") if answer.get("Location").startswith("https:") else browser.url(host, answer.get("Location"))
        if urlsplit(url).path == HANDOVER:
            return url
    raise AssertionError(f"never handed over: {url}")


def test_signing_in_beside_an_open_page_asks_again_and_leads_back_to_the_site(bob):
    told = bob.on(ONE).fetch(WHO).json()
    asked = bob.open(bob.url(ONE, told["sign_in"]))
    assert asked.host == DESK and "password" in asked.form.fields
    arrival = bob.sign_in(asked)
    assert (arrival.host, arrival.path) == (ONE, "/.vestibule/signed-in")
    assert arrival.response.status == 200 and "go back to the page you came from" in arrival.response.text
    assert bob.on(ONE).fetch(WHO).json()["began"] > told["began"]


def test_a_deep_link_leads_to_the_one_place_to_log_in_and_back(browser, recorder):
    shown = browser.open(browser.url(ONE, "/deep/link?a=1&b=%C3%BC"))
    assert browser.login_form(shown) == DESK
    assert f"to continue to {ONE}" in shown.response.text
    arrival = browser.sign_in(shown)
    assert (arrival.host, arrival.path) == (ONE, "/deep/link?a=1&b=%C3%BC")
    assert arrival.response.status == 200
    assert recorder.last().one("x-forwarded-user") == "bob"
    assert browser.on(ONE).cookie and browser.on(DESK).cookie
    assert browser.on(ONE).cookie != browser.on(DESK).cookie
    line = next(line for line in browser.on(ONE).set_cookies if line.startswith(SESSION))
    words = {word.strip().lower() for word in line.split(";")[1:]}
    assert words == {"path=/", "secure", "httponly", "samesite=lax"}
    assert PRE not in browser.on(ONE).jar


def test_the_second_site_asks_for_nothing(bob, recorder):
    arrival = bob.open(bob.url(TWO, "/other?x=1"))
    assert (arrival.host, arrival.path, arrival.response.status) == (TWO, "/other?x=1", 200)
    assert recorder.last().one("x-forwarded-user") == "bob"
    cookies = {bob.on(host).cookie for host in (ONE, TWO, DESK)}
    assert len(cookies) == 3 and None not in cookies
    # Which user may use which site is the rules' matter, as ever.
    assert bob.open(bob.url(TWO, "/admin/")).response.status == 403


def test_a_token_is_good_on_its_own_host_alone(bob):
    bob.open(bob.url(TWO))
    jars = {host: bob.on(host).cookie for host in (ONE, TWO, DESK)}
    for host in jars:
        for other in jars.keys() - {host}:
            thief = Traveller(bob.gateway)
            thief.on(host).jar = {SESSION: jars[other]}
            assert not thief.on(host).authenticated(), f"the token of {other} is good on {host}"


@pytest.mark.parametrize("where", [ONE, TWO, DESK])
def test_a_logout_anywhere_is_a_logout_everywhere(bob, where):
    bob.open(bob.url(TWO))
    assert all(bob.on(host).authenticated() for host in (ONE, TWO, DESK))
    assert bob.log_out(where).status == 303
    assert not any(bob.on(host).authenticated() for host in (ONE, TWO, DESK))
    assert bob.login_form(bob.open(bob.url(ONE))) == DESK


def test_a_logout_on_one_site_leaves_nothing_of_the_app_on_another(bob, recorder):
    recorder.on("/basket", answer(headers=["Set-Cookie: appsid=owned; Path=/; Max-Age=86400"]))
    assert bob.open(bob.url(TWO, "/basket")).response.status == 200
    assert bob.on(TWO).jar["appsid"] == "owned"
    bob.log_out(ONE)
    assert bob.login_form(bob.open(bob.url(TWO))) == DESK
    assert "appsid" not in bob.on(TWO).jar


def test_a_logout_on_one_site_cuts_what_another_is_sending(bob, recorder):
    def drip(client, _seen):
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            client.sendall(b"6\r\ndata:\n\r\n")
            time.sleep(0.1)

    recorder.on("/stream", drip, keep=False)
    assert bob.open(bob.url(TWO)).response.status == 200
    guest = bob.on(TWO)
    with bob.gateway.wire(TWO) as wire:
        wire.send(head("GET", "/stream", guest.authority, f"Cookie: {guest.cookies()}"))
        assert b"data:" in wire.read_until(b"data:")
        bob.log_out(ONE)
        assert wire.closed(within=5)


def test_a_login_on_many_sites_is_one_session(make_gateway, recorder):
    sites = [{"hosts": [host], "upstream": recorder.upstream} for host in (ONE, TWO)]
    session = {"max_per_user": 1, "at_limit": "refuse"}
    gateway = make_gateway("single", sites, login={"host": DESK}, session=session)
    first = Traveller(gateway)
    first.sign_in(first.open(first.url(ONE)))
    assert first.open(first.url(TWO)).response.status == 200
    second = Traveller(gateway)
    refused = second.sign_in(second.open(second.url(TWO)))
    assert refused.response.status == 403 and "as many devices" in refused.response.text
    assert "vestibule_sessions_live 1" in gateway.ask_admin("/metrics").text
    first.log_out(TWO)
    assert second.sign_in(second.open(second.url(TWO))).response.status == 200


def test_a_password_is_taken_nowhere_else(browser):
    shown = browser.open(browser.url(ONE))
    site = browser.on(ONE)
    for fields in ({"username": "bob", "password": browser.gateway.passwords["bob"]}, shown.form.hidden()):
        answer = site.submit(LOGIN, {**fields, "username": "bob", "password": browser.gateway.passwords["bob"]})
        assert answer.status == 303 and answer.get("Location").startswith(f"https://{DESK}:")
        assert not site.cookie
    for method in ("GET", "POST"):
        answer = site.request(method, PASSWORD, body=b"" if method == "POST" else None)
        assert answer.status == 303 and answer.get("Location") == browser.url(DESK, PASSWORD)


def test_an_intercepted_code_is_worth_nothing_in_another_browser(bob):
    url = hand_over(bob, TWO, "/mine")
    thief = Traveller(bob.gateway)
    arrival = thief.open(url)
    assert thief.login_form(arrival) == DESK and not thief.on(TWO).cookie
    # Not even with a pre-login cookie of its own, and it was not spent by the attempt.
    assert thief.on(TWO).jar.get(PRE)
    assert thief.login_form(thief.open(url)) == DESK
    bob.gateway.wait_event("session_handover_fail", "another_browser")
    mine = bob.open(url)
    assert (mine.host, mine.path, mine.response.status) == (TWO, "/mine", 200)


def test_nobody_is_logged_in_by_a_code_of_somebody_elses(house, browser):
    """Login CSRF: the attacker's own code, planted into the browser of a victim who is or is not logged in."""
    attacker = Traveller(house)
    attacker.sign_in(attacker.open(attacker.url(ONE)), "carol")
    planted = hand_over(attacker, TWO)
    victim = browser.open(planted)
    assert browser.login_form(victim) == DESK and not browser.on(TWO).cookie
    browser.sign_in(victim, "bob")
    planted = hand_over(attacker, TWO)
    browser.open(planted)
    assert browser.on(TWO).fetch(WHO).json()["user"] == "bob"


def test_a_code_is_for_one_site(bob):
    url = hand_over(bob, TWO)
    jar = dict(bob.on(TWO).jar)
    stray = Traveller(bob.gateway)
    stray.on(THREE).jar = jar
    arrival = stray.open(url.replace(TWO, THREE))
    assert stray.login_form(arrival) == DESK and not stray.on(THREE).cookie


def test_a_code_is_good_once(bob):
    url = hand_over(bob, TWO)
    before = bob.copy()
    assert bob.load(url).status == 303 and bob.on(TWO).cookie
    again = before.load(url)
    assert again.status == 303 and urlsplit(again.get("Location")).hostname == DESK
    assert not before.on(TWO).cookie


def test_of_two_who_come_at_once_with_one_code_one_gets_in(bob):
    for _ in range(10):
        bob.on(TWO).jar.pop(SESSION, None)
        url = hand_over(bob, TWO)
        tabs = [bob.copy() for _ in range(4)]
        together(lambda tab: tab.load(url), tabs)
        assert len([tab for tab in tabs if tab.on(TWO).cookie]) == 1


def test_a_code_is_worth_nothing_after_the_logout(bob):
    url = hand_over(bob, TWO)
    bob.log_out(ONE)
    assert bob.login_form(bob.open(url)) == DESK and not bob.on(TWO).cookie


def test_tabs_that_are_opened_at_once_all_arrive_and_stay(bob):
    tabs = [(bob.copy(), host, number) for host in (TWO, THREE) for number in range(4)]
    arrivals = together(lambda tab: tab[0].open(tab[0].url(tab[1], f"/tab{tab[2]}")), tabs)
    for (tab, host, number), arrival in zip(tabs, arrivals, strict=True):
        assert (arrival.host, arrival.path, arrival.response.status) == (host, f"/tab{number}", 200)
        # Whichever of the cookies the browser keeps, it is good.
        assert tab.is_in(host)


def test_tabs_that_wait_at_the_login_all_find_their_way(browser):
    shown = [browser.open(browser.url(host, path)) for host, path in ((ONE, "/a"), (TWO, "/b"), (ONE, "/c"))]
    first = browser.sign_in(shown[0])
    assert (first.host, first.path) == (ONE, "/a")
    # One is filled in all the same, one is loaded anew.
    second = browser.sign_in(shown[1])
    assert (second.host, second.path, second.response.status) == (TWO, "/b", 200)
    third = browser.open(shown[2].url)
    assert (third.host, third.path, third.response.status) == (ONE, "/c", 200)
    assert all(browser.on(host).authenticated() for host in (ONE, TWO, DESK))


def test_going_back_and_loading_anew_never_show_a_dead_page(bob):
    url = hand_over(bob, TWO, "/there")
    for _ in range(3):
        arrival = bob.open(url)
        assert (arrival.host, arrival.path, arrival.response.status) == (TWO, "/there", 200)
    # The cookie of the site is gone, the login is not: round once more, and in.
    bob.on(TWO).jar.clear()
    arrival = bob.open(url)
    assert (arrival.path, arrival.response.status) == ("/there", 200)
    bob.log_out(ONE)
    assert bob.login_form(bob.open(url)) == DESK


def test_a_browser_that_keeps_no_cookies_is_told_so_and_not_sent_round_for_ever(bob):
    class Forgetful(Traveller):
        def load(self, url, **lines):
            if urlsplit(url).hostname == TWO:
                self.on(TWO).jar.clear()
            return super().load(url, **lines)

    forgetful = Forgetful(bob.gateway)
    forgetful.on(DESK).jar = dict(bob.on(DESK).jar)
    arrival = forgetful.open(forgetful.url(TWO))
    assert arrival.response.status == 403 and "keep cookies" in arrival.response.text
    assert arrival.host == TWO and "/.vestibule/login" in arrival.response.text


@pytest.mark.parametrize("code", ["", "?code=", "?code=AAAA", "?code=a&code=b", "?x=1"])
def test_what_is_no_code_leads_to_the_login(browser, code):
    assert browser.login_form(browser.open(browser.url(ONE, HANDOVER + code))) == DESK


@pytest.mark.parametrize(
    "lines",
    [
        IMAGE,
        {"Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Purpose": "prefetch"},
        {"Purpose": "prefetch"},
    ],
)
def test_only_a_page_that_somebody_looks_at_makes_or_redeems_a_code(bob, lines):
    url = hand_over(bob, TWO)
    local = bob.load(bob.url(TWO)).get("Location")
    errand = bob.load(bob.url(TWO, local)).get("Location")
    assert urlsplit(errand).hostname == DESK
    assert bob.load(errand, **lines).status == 403
    assert bob.load(url, **lines).status == 403
    assert not bob.on(TWO).cookie
    assert bob.open(url).response.status == 200


def test_other_methods_redeem_nothing(bob):
    url = hand_over(bob, TWO)
    path = url[len(bob.url(TWO, "")):]
    for method in ("HEAD", "POST", "PUT"):
        answer = bob.on(TWO).request(method, path, body=None if method == "HEAD" else b"")
        assert answer.status in (403, 405) and not bob.on(TWO).cookie


def test_no_address_leads_out_of_the_house(house, browser):
    # One of these is ours, but sealed for another host.
    sealed = browser.load(browser.url(ONE, "/x")).get("Location").partition("return_to=")[2]
    for return_to in ("https://evil.test/", "//evil.test", "/%5cevil.test", sealed, "AAAA"):
        other = Traveller(house)
        shown = other.open(other.url(DESK, f"{LOGIN}?return_to={return_to}"))
        arrival = other.sign_in(shown)
        assert arrival.host == DESK and arrival.response.status == 200
        assert "You are signed in" in arrival.response.text


def test_the_login_page_may_lead_on_and_its_code_is_in_nobodys_referrer(bob):
    answer = bob.load(hand_over(bob, TWO))
    assert answer.get("Referrer-Policy") == "no-referrer"
    assert "no-store" in answer.get("Cache-Control")
    page = Traveller(bob.gateway)
    policy = page.open(page.url(ONE)).response.get("Content-Security-Policy")
    assert "form-action 'self' https:" in policy and "default-src 'none'" in policy


def test_no_code_and_no_way_back_is_in_any_log(bob):
    url = hand_over(bob, TWO)
    code = url.partition("code=")[2]
    arrival = bob.open(url)
    secrets = [code, bob.on(TWO).cookie, bob.on(DESK).cookie]
    secrets += [part.partition("return_to=")[2] for part in arrival.trail if "return_to=" in part]
    bob.gateway.wait_event("session_handover")
    logged = bob.gateway.logged()
    assert HANDOVER in logged
    assert not [secret for secret in secrets if secret in logged]


def test_a_fresh_login_is_asked_for_there_and_renews_the_id(bob):
    old = bob.on(ONE).cookie
    wait_until(lambda: bob.load(bob.url(ONE, "/fresh/x")).status == 303, "the login is too old", within=8)
    shown = bob.open(bob.url(ONE, "/fresh/x"))
    assert bob.login_form(shown) == DESK and "recent sign-in" in shown.response.text
    # Without it, all else goes on.
    assert bob.is_in(ONE, "/else")
    arrival = bob.sign_in(shown)
    assert (arrival.host, arrival.path, arrival.response.status) == (ONE, "/fresh/x", 200)
    assert bob.on(ONE).cookie != old
    thief = Traveller(bob.gateway)
    thief.on(ONE).jar = {SESSION: old}
    assert not thief.on(ONE).authenticated()
    assert bob.open(bob.url(TWO)).response.status == 200


def test_each_site_judges_by_its_own_clock(bob):
    wait_until(lambda: bob.open(bob.url("quick.test")).response.status == 200, "in at the quick site", within=5)
    wait_until(lambda: not bob.on("quick.test").authenticated(), "the quick site is over", within=6)
    assert bob.on(ONE).authenticated(), "the other sites go on"
    # Nor does using them bring it back.
    assert bob.is_in(ONE)
    shown = bob.open(bob.url("quick.test", "/back"))
    assert bob.login_form(shown) == DESK
    arrival = bob.sign_in(shown)
    assert (arrival.host, arrival.path) == ("quick.test", "/back")
    assert bob.open(bob.url(ONE)).response.status == 200


def test_a_login_that_a_site_would_have_ended_is_to_be_confirmed(bob):
    """Nothing happened for longer than the quick site allows: its cookie being gone does not make that undone."""

    def asked():
        other = bob.copy()
        other.at.pop("quick.test", None)
        return other.login_form(other.open(other.url("quick.test"))) == DESK

    wait_until(asked, "a password is asked for", within=8, every=2.5)
    assert bob.on(ONE).authenticated(), "the other sites go on"


def test_the_password_is_changed_there_and_for_all_sites(make_gateway, recorder, tmp_path):
    from support.gateway import make_users

    users = make_users(tmp_path / "users.yaml")
    sites = [{"hosts": [host], "upstream": recorder.upstream} for host in (ONE, TWO)]
    gateway = make_gateway("passwords", sites, users, login={"host": DESK})
    browser = Traveller(gateway)
    browser.sign_in(browser.open(browser.url(ONE)))
    browser.open(browser.url(TWO))
    shown = browser.open(browser.url(ONE, PASSWORD))
    assert shown.host == DESK and "Current password" in shown.response.text
    new = "eleven otters juggle lanterns at noon"
    fields = {**shown.form.hidden(), "current": gateway.passwords["bob"], "new": new}
    changed = browser.on(DESK).submit(PASSWORD, fields)
    assert changed.status == 200 and "stored" in changed.text
    # The tokens of before are dead; the new login carries the person on without a word.
    assert not browser.on(ONE).authenticated() and not browser.on(TWO).authenticated()
    assert browser.open(browser.url(ONE, "/on")).response.status == 200
    other = Traveller(gateway)
    assert other.sign_in(other.open(other.url(TWO)), "bob", new).response.status == 200


def test_a_password_that_must_be_changed_leads_to_the_site_all_the_same(make_gateway, recorder, tmp_path):
    from support.gateway import make_users
    from support.gateway import run

    users = make_users(tmp_path / "users.yaml")
    run("users", "passwd", "bob", "--file", users, "--must-change", stdin="temporary words for one single use\n")
    gateway = make_gateway("onetime", [{"hosts": [ONE], "upstream": recorder.upstream}], users, login={"host": DESK})
    browser = Traveller(gateway)
    shown = browser.sign_in(browser.open(browser.url(ONE, "/goal")), "bob", "temporary words for one single use")
    assert shown.host == DESK and "used once" in shown.response.text
    answer = browser.on(DESK).submit(PASSWORD, {**shown.form.hidden(), "new": "seven moths rehearse an opera"})
    arrival = browser.follow(browser.url(DESK, PASSWORD), answer)
    assert (arrival.host, arrival.path, arrival.response.status) == (ONE, "/goal", 200)


def test_the_logins_own_host_has_no_app(house, browser, recorder):
    mark = recorder.mark()
    assert browser.on(DESK).visit("/").get("Location") == LOGIN
    for path in ("/x", "/index.html", "/.vestibule/nothing", HANDOVER):
        assert browser.on(DESK).visit(path).status == 404
    assert browser.on(DESK).submit("/", {"a": "b"}).status == 404
    shown = browser.sign_in(browser.open(browser.url(DESK)))
    assert f"https://{ONE}:{house.port}/" in shown.response.text and "bob" in shown.response.text
    answer = house.ask_redirect(f"GET /x HTTP/1.1\r\nHost: {DESK}:{house.redirect_port}\r\n\r\n".encode())
    assert answer.status == 308 and answer.get("Location") == f"https://{DESK}:{house.port}/x"
    assert not recorder.since(mark)


def test_scripts_get_an_answer_they_understand(browser):
    answer = browser.on(ONE).request("GET", "/api", SCRIPT)
    assert answer.status == 401
    told = json.loads(answer.text)
    assert told["error"] == "login_required" and told["login"].startswith(LOGIN)
    assert browser.login_form(browser.open(browser.url(ONE, told["login"]))) == DESK


def test_strangers_cost_nothing(house, browser):
    def live():
        text = house.ask_admin("/metrics").text
        return next(line for line in text.splitlines() if line.startswith("vestibule_sessions_live"))

    before = live()
    for _ in range(50):
        Traveller(house).open(browser.url(ONE, "/x"))
    assert live() == before


def test_a_login_without_a_site_in_mind(house, browser):
    arrival = browser.sign_in(browser.open(browser.url(DESK, LOGIN)))
    assert arrival.host == DESK and "You are signed in" in arrival.response.text
    assert browser.open(browser.url(ONE)).response.status == 200
    assert browser.log_out(DESK).status == 303
    assert browser.on(DESK).visit(LOGOUT).status == 200


def test_strict_cookies_are_given_a_page_to_set_out_from(make_gateway, recorder):
    sites = [{"hosts": [ONE], "upstream": recorder.upstream}]
    gateway = make_gateway("strict", sites, login={"host": DESK}, session={"cookie": {"same_site": "strict"}})
    browser = Traveller(gateway)
    landing = browser.sign_in(browser.open(browser.url(ONE, "/deep?a=1&b=2")))
    assert landing.host == ONE and landing.response.status == 200
    assert 'content="0;url=/deep?a=1&#38;b=2"' in landing.response.text
    assert landing.response.get("Referrer-Policy") == "no-referrer"
    lines = {host: [line for line in browser.on(host).set_cookies if line.startswith(SESSION)] for host in (ONE, DESK)}
    assert all("SameSite=Strict" in line for line in lines[ONE])
    assert all("SameSite=Lax" in line for line in lines[DESK]), "nobody who comes from a site would be known"


def test_a_login_begun_on_one_gateway_is_finished_on_another(make_gateway, recorder, work):
    keys = work / "shared.keys"
    keys.write_text("a3" * 16 + "5c" * 16 + "\n")
    keys.chmod(0o600)
    sites = [{"hosts": [ONE], "upstream": recorder.upstream}]
    pair = [make_gateway(f"shared{number}", sites, login={"host": DESK}, keys=str(keys)) for number in (1, 2)]
    browser = Traveller(pair[0])
    shown = browser.open(browser.url(ONE, "/deep"))
    # Their sessions are in memory, so from here on all goes by the other.
    browser.gateway = pair[1]
    arrival = browser.sign_in(shown)
    assert (arrival.host, arrival.path, arrival.response.status) == (ONE, "/deep", 200)
    # With keys of its own the other would know neither form nor way back.
    stranger = make_gateway("unshared", sites, login={"host": DESK})
    other = Traveller(pair[0])
    shown = other.open(other.url(ONE, "/deep"))
    other.gateway = stranger
    assert other.sign_in(shown).response.status == 403


def together(act, things):
    """Does it with all of them at once; their results in order."""
    results, gate = [None] * len(things), threading.Barrier(len(things))

    def one(number, thing):
        gate.wait()
        results[number] = act(thing)

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(things)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
