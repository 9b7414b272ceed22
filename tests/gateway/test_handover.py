"""One browser, several people: what the app left in it for one must not serve the next."""

import threading

import pytest

from support.person import LOGIN
from support.person import SESSION
from support.person import Person
from support.recorder import answer
from support.waiting import wait_until


@pytest.fixture(scope="module")
def shop(make_gateway, recorder):
    """Sessions end after two idle seconds; the app sets a cookie that looks like its session."""
    recorder.on("/basket", answer(headers=["Set-Cookie: appsid=owned; Path=/; Max-Age=86400"]))
    recorder.on("/public/basket", answer(headers=["Set-Cookie: appsid=nobodys; Path=/"]))
    sites = [
        {"hosts": ["rec.test"], "upstream": recorder.upstream, "rules": [{"path": "/public/*", "allow": "anyone"}]},
        {"hosts": ["pass.test"], "upstream": recorder.upstream, "cookies": "pass"},
    ]
    return make_gateway("shop", sites, session={"idle_timeout": "2s", "absolute_timeout": "1h"})


@pytest.fixture
def bob(shop):
    """Somebody whose browser holds a cookie of the app's."""
    person = Person(shop)
    person.login("bob")
    person.visit("/basket")
    assert person.jar["appsid"] == "owned"
    return person


def end_idle(person):
    wait_until(lambda: not person.authenticated(), "the session ends as idle", within=6)


def test_after_an_idle_end_the_next_person_does_not_get_the_apps_cookie(bob, recorder):
    end_idle(bob)
    bob.login("carol")
    assert "appsid" not in bob.jar
    bob.visit("/x")
    assert "cookie" not in recorder.last().names()


def test_after_an_idle_end_the_same_person_goes_on_with_it(bob):
    end_idle(bob)
    bob.login("bob")
    assert bob.jar["appsid"] == "owned"


def test_a_restart_forgets_nobodys_cookies_and_gives_them_to_nobody_else(shop, bob):
    shop.stop()
    shop.start()
    assert bob.is_in(), "the store on disk keeps the session too"
    del bob.jar[SESSION]
    kept = dict(bob.jar)
    bob.login("bob")
    assert bob.jar["appsid"] == "owned"
    bob.jar = kept
    bob.login("carol")
    assert "appsid" not in bob.jar


def test_a_closed_browser_keeps_the_lasting_cookies_of_its_owner_alone(bob):
    device = next(line for line in bob.set_cookies if line.startswith("__Host-Http-device="))
    assert "Max-Age=15552000" in device
    del bob.jar[SESSION]
    kept = dict(bob.jar)
    bob.login("bob")
    assert bob.jar["appsid"] == "owned"
    bob.jar = kept
    bob.login("carol")
    assert "appsid" not in bob.jar


def test_a_cookie_from_before_the_first_login_does_not_survive_it(shop):
    person = Person(shop)
    person.visit("/public/basket")
    assert person.jar["appsid"] == "nobodys"
    person.login("bob")
    assert "appsid" not in person.jar, "a stranger may know this session id of the app's"


def test_what_came_after_a_logout_does_not_survive_the_next_login(bob):
    bob.logout()
    assert "appsid" not in bob.jar
    bob.visit("/public/basket")
    bob.login("bob")
    assert "appsid" not in bob.jar


def test_a_new_login_of_the_same_person_keeps_the_apps_cookies(bob):
    before = bob.cookie
    # As another tab that was left open at the login page sends it.
    there = Person(bob.gateway)
    address, form = there.login_page("/")
    bob.jar.update({name: value for name, value in there.jar.items() if name != SESSION})
    bob.submit(address, {**form.hidden(), "username": "bob", "password": bob.gateway.passwords["bob"]})
    assert bob.cookie != before and bob.jar["appsid"] == "owned"


@pytest.mark.parametrize("status", ["200 OK", "302 Found"])
def test_what_the_app_sets_after_the_logout_does_not_reach_the_browser(shop, recorder, status):
    asked, go_on = threading.Event(), threading.Event()

    def late(client, _request):
        asked.set()
        go_on.wait(10)
        client.sendall(answer(status, ["Location: /x", "Set-Cookie: appsid=late; Path=/"], b""))

    recorder.on("/late", late)
    person = Person(shop)
    person.login("bob")
    slow = Person(shop)
    slow.jar = dict(person.jar)
    got = []
    thread = threading.Thread(target=lambda: got.append(slow.visit("/late")))
    thread.start()
    assert asked.wait(10)
    person.logout()
    go_on.set()
    thread.join(10)
    assert got[0].status == int(status[:3])
    assert "appsid" not in slow.jar


def test_where_the_apps_cookies_are_passed_they_are_left_alone(shop):
    person = Person(shop, "pass.test")
    person.login("bob")
    person.visit("/basket")
    person.logout()
    person.login("carol")
    assert person.jar["appsid"] == "owned"


def test_a_site_can_ask_to_have_more_thrown_away_at_logout(make_gateway, recorder):
    def site(host, path, **more):
        return {"hosts": [host], "path": path, "upstream": recorder.upstream, "shared_origin": True, **more}

    sites = [
        site("clear.test", "/", headers={"clear_at_logout": "storage"}),
        site("clear.test", "/wiki", headers={"clear_at_logout": ["cache"]}),
        {"hosts": ["plain.test"], "upstream": recorder.upstream},
    ]
    gateway = make_gateway("clear", sites)
    for host, data in (("clear.test", '"cache", "storage"'), ("plain.test", None)):
        person = Person(gateway, host)
        assert person.login("bob").get("Clear-Site-Data") is None
        assert person.logout().get("Clear-Site-Data") == data


# --- Hosts, and where people log in on them ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hosts(make_gateway, recorder):
    def site(host, path, **more):
        return {"hosts": [host], "path": path, "upstream": recorder.upstream, "shared_origin": True, **more}

    sites = [
        site("two.test", "/wiki"),
        site("two.test", "/shop", session={"idle_timeout": "2s"}),
        site("open.test", "/", login="none", session={"idle_timeout": "1s"}),
        site("open.test", "/private"),
        {"hosts": ["none.test"], "upstream": recorder.upstream, "login": "none"},
    ]
    return make_gateway("hosts", sites)


@pytest.mark.parametrize(("host", "path"), [("two.test", "/wiki/a?b=c"), ("two.test", "/shop"), ("open.test", "/private/x")])
def test_a_host_has_its_login_wherever_its_sites_are_mounted(hosts, host, path):
    person = Person(hosts, host)
    answer = person.login("bob", target=path)
    assert person.location(answer) == path
    assert person.visit(path).json()["target"] == path
    assert person.logout().status == 303
    assert person.visit(path).status == 303


def test_a_host_where_nobody_logs_in_has_no_page_of_ours_and_the_app_none_either(hosts, recorder):
    mark = recorder.mark()
    person = Person(hosts, "none.test")
    for path in (LOGIN, "/.vestibule/session", "/.vestibule/", "/.VESTIBULE/login"):
        assert person.visit(path).status == 404, path
    assert recorder.since(mark) == []


def test_sites_of_one_host_share_the_shorter_limits_and_check_says_so(hosts):
    person = Person(hosts, "two.test")
    person.login("bob", target="/wiki/x")
    told = person.fetch("/.vestibule/session").json()
    assert told["idle_seconds_left"] <= 2
    wait_until(lambda: not person.authenticated(), "the session ends as idle", within=6)
    person = Person(hosts, "open.test")
    person.login("bob", target="/private/x")
    # What the site without a login says about sessions is about nobody.
    assert person.fetch("/.vestibule/session").json()["idle_seconds_left"] > 60


def test_the_start_page_of_a_host_without_a_site_there_leads_to_its_first(hosts):
    answer = Person(hosts, "two.test").visit("/")
    assert answer.status == 303 and answer.get("Location") == "/wiki"
    assert Person(hosts, "two.test").visit("/other").status == 404


# --- A login of a moment ago ------------------------------------------------------------------------------------------


def test_an_old_login_is_asked_for_again_and_keeps_its_other_rights_meanwhile(make_gateway, recorder):
    rules = [{"path": "/admin/*", "allow": {"groups": ["admins"]}, "reauth_after": "3s"}]
    gateway = make_gateway("fresh", [{"hosts": ["rec.test"], "upstream": recorder.upstream, "rules": rules}])
    person = Person(gateway)
    person.login("admin")
    assert person.visit("/admin/x").status == 200
    mark = recorder.mark()
    wait_until(lambda: person.visit("/admin/x").status == 303, "the login is too old", within=6)
    before = person.cookie
    refused = person.visit("/admin/y?z=1")
    address = person.location(refused)
    assert address.startswith(LOGIN)
    assert person.fetch("/admin/x").status == 401
    assert "/admin/y" not in [seen.target for seen in recorder.since(mark)]
    # A refused or cancelled confirmation leaves what the session may do otherwise.
    assert person.visit("/other").status == 200 and person.cookie == before
    shown = person.visit(address)
    assert shown.status == 200 and "confirm that it is you" in shown.text
    assert person.try_login("admin", "certainly not this one", "/admin/y?z=1").status == 403
    assert person.visit("/other").status == 200 and person.cookie == before
    again = person.login("admin", "/admin/y?z=1")
    assert person.location(again) == "/admin/y?z=1"
    assert person.visit("/admin/y?z=1").status == 200
    assert person.cookie != before
    stolen = Person(gateway)
    stolen.jar = {SESSION: before}
    assert not stolen.is_in("/other"), "the old id lives on"


HIDDEN = [
    "hidden=1; Path=/deep; Max-Age=86400", "framed=1; Path=/; Partitioned; Secure; SameSite=None",
]  # fmt: skip


def deletions(lines):
    return {tuple(line.split("; ")[:2]) for line in lines if "Max-Age=0" in line}


def test_cookies_of_other_paths_go_with_their_owner(shop, bob, recorder):
    recorder.on("/deep/set", answer(headers=[f"Set-Cookie: {line}" for line in HIDDEN]))
    gone = {("hidden=", "Path=/deep"), ("framed=", "Path=/")}
    assert any(line.startswith("__Host-Http-left=") for line in bob.visit("/deep/set").all("Set-Cookie"))
    # Once is enough, and the app does not see it.
    assert not any(line.startswith("__Host-Http-left=") for line in bob.visit("/deep/set").all("Set-Cookie"))
    assert "left" not in "".join(recorder.last().all("Cookie"))
    # The same person goes on with them, the next does not get them, however the session ended.
    before = len(bob.set_cookies)
    end_idle(bob)
    bob.login("bob")
    assert not gone & deletions(bob.set_cookies[before:])
    end_idle(bob)
    bob.login("carol")
    assert gone <= deletions(bob.set_cookies[before:])
    bob.visit("/deep/set")
    left = bob.logout().all("Set-Cookie")
    assert gone <= deletions(left)
    assert any(line.startswith("framed=; Path=/;") and line.endswith("; Partitioned") for line in left)
    assert "__Host-Http-left" not in bob.jar


def test_what_is_left_open_for_the_apps_sake_is_told_once(shop, bob, recorder):
    recorder.on("/open", answer(headers=["Set-Cookie: tracker=1; SameSite=None; Path=/"]))
    for _ in range(5):
        bob.visit("/open")
    shop.wait_event("app_cookie_left")
    told = [event for event in shop.events() if event["event"].startswith("app_cookie_left")]
    assert len([event for event in told if event.get("cookie") == "tracker"]) == 2, told
