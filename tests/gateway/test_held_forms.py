"""Forms sent when the session was over: held, sent on once after a login and a word of their sender, and never else."""

import secrets
import threading
from urllib.parse import parse_qs
from urllib.parse import urlencode
from urllib.parse import urlsplit

import pytest

from support.gateway import free_port
from support.legacy import Legacy
from support.person import SCRIPT
from support.person import SESSION
from support.person import Form
from support.person import Person
from support.recorder import Recorder
from support.recorder import answer
from support.redis import Redis
from support.waiting import wait_until

IDLE = {"idle_timeout": "2s", "absolute_timeout": "1h"}
FORM = {"note": "CANARY words & more", "csrf": "t1"}
SENT = urlencode(FORM).encode()
PLAIN = "application/x-www-form-urlencoded"
HELD = "__Host-Http-held"


@pytest.fixture(scope="module")
def app():
    app = Recorder()
    app.on("/save", answer("303 See Other", ["Location: /done"]))
    yield app
    app.close()


def sites(app, **session):
    rules = [
        {"path": "/fresh", "allow": "authenticated", "reauth_after": "1s"},
        {"path": "/api", "allow": "authenticated", "unauthenticated": "401"},
    ]
    upstream = app.upstream
    return [
        {"hosts": ["rec.test"], "upstream": upstream, "rules": rules, "session": {**IDLE, **session}},
        {"hosts": ["off.test"], "upstream": upstream, "session": {**IDLE, "hold_forms": "0s"}},
    ]


@pytest.fixture(scope="module")
def holding(make_gateway, app):
    return make_gateway("held-forms", sites(app), session={"store": "memory", "max_per_user": 1000})


def idled_out(gateway, name="bob", host="rec.test"):
    person = Person(gateway, host)
    person.login(name)
    wait_until(lambda: not person.authenticated(), "the idle limit", within=10)
    return person


def back_in(person, held, name="bob"):
    """Follows where a form that was sent too late leads, signs in, and gives the page that asks about it."""
    assert held.status == 303, held.text[:500]
    address = person.location(held)
    page = person.visit(address)
    assert "What you sent is kept" in page.text
    signed = person.submit(
        "/.vestibule/login",
        {**Form(page.text).hidden(), "username": name, "password": person.gateway.passwords[name]},
    )
    assert signed.status == 303, signed.text[:500]
    place = person.location(signed)
    assert place.startswith("/.vestibule/held?form=")
    return place, person.visit(place)


def confirm(person, page):
    form = Form(page.text)
    return person.submit(form.action, form.hidden())


def posts(app, mark):
    return [seen for seen in app.since(mark) if seen.method == "POST"]


def test_a_form_is_held_and_sent_once_after_a_login_and_a_word(holding, app):
    person = idled_out(holding)
    mark = app.mark()
    place, page = back_in(person, person.submit("/save?x=%2f&y", FORM, {"Referer": person.origin + "/edit"}))
    assert page.status == 200 and posts(app, mark) == []
    assert "/save" in page.text and "2 fields: note, csrf" in page.text and "CANARY" not in page.text
    sent = confirm(person, page)
    assert (sent.status, sent.get("Location")) == (303, "/done")
    [seen] = posts(app, mark)
    assert (seen.target, seen.body, seen.one("Content-Type")) == ("/save?x=%2f&y", SENT, PLAIN)
    assert seen.one("Referer") == person.origin + "/edit" and seen.one("X-Forwarded-User") == "bob"
    assert seen.one("Origin") == person.origin and seen.one("Content-Length") == str(len(SENT))
    # A double click, the Back button, another tab.
    again, shown = confirm(person, page), person.visit(place)
    assert (again.status, shown.status) == (410, 410)
    assert "It was sent" in again.text and "It was sent" in shown.text
    assert len(posts(app, mark)) == 1
    for event in ("form_held", "form_sent", "form_sent_fail"):
        assert holding.wait_event(event)
    assert "CANARY" not in holding.logged()
    figures = holding.ask_admin("/metrics").text
    assert 'vestibule_held_forms_total{outcome="sent"}' in figures


def test_of_many_who_confirm_at_once_one_sends(holding, app):
    person = idled_out(holding)
    mark = app.mark()
    _, page = back_in(person, person.submit("/save", FORM))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(confirm(person, page).status)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [303] + [410] * 11
    assert len(posts(app, mark)) == 1


def test_a_form_whose_address_ends_in_a_question_mark_is_sent_too(holding, app):
    person = idled_out(holding)
    mark = app.mark()
    _, page = back_in(person, person.submit("/save?", FORM))
    assert confirm(person, page).status == 303
    assert [seen.target for seen in posts(app, mark)] == ["/save"]


def test_a_page_that_polls_does_not_cost_the_form(holding, app):
    person = idled_out(holding)
    for _ in range(3):
        assert person.fetch("/poll").status == 401
    _, page = back_in(person, person.submit("/save", FORM))
    assert confirm(person, page).status == 303


def test_multipart_goes_through_to_the_byte(holding, app):
    person = idled_out(holding)
    body = (
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nl\xc3\xb6\r\n\r\n--x\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename=""\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\r\n--b--\r\n"
    )
    kind = "multipart/form-data; boundary=b"
    mark = app.mark()
    _, page = back_in(person, send(person, "/save", body, kind))
    assert "2 fields: note, file" in page.text
    confirm(person, page)
    [seen] = posts(app, mark)
    assert (seen.body, seen.one("Content-Type")) == (body, kind)


def send(person, target, body, kind=PLAIN, **more):
    lines = {
        "Accept": "text/html",
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
        "Origin": person.origin,
        "Content-Type": kind,
        **more,
    }
    return person.request("POST", target, lines, body)


def test_another_user_gets_nothing_of_it(holding, app):
    person = idled_out(holding)
    mark = app.mark()
    held = person.submit("/save", FORM)
    place, page = back_in(person, held, "alice")
    assert page.status == 410 and "CANARY" not in page.text
    holding.wait_event("form_dropped", "another_user")
    person.logout()
    person.login("bob")
    assert person.visit(place).status == 410
    assert posts(app, mark) == []


def test_another_browser_gets_nothing_of_it(holding, app):
    person = idled_out(holding)
    place, _ = back_in(person, person.submit("/save", FORM))
    other = Person(holding)
    other.login("bob")
    assert other.visit(place).status == 410
    other.jar[HELD] = secrets.token_urlsafe(32)
    assert other.visit(place).status == 410
    assert person.visit(place).status == 200


def test_a_form_can_be_dropped(holding, app):
    person = idled_out(holding)
    mark = app.mark()
    place, page = back_in(person, person.submit("/save", FORM))
    rest = page.text[page.text.index("</form>") + 7 :]
    form = Form(rest)
    assert form.action == "/.vestibule/held"
    assert person.submit(form.action, {**form.hidden(), "form_token": "AAAA"}).status == 403
    assert person.submit(form.action, form.hidden(), {"Sec-Fetch-Site": "cross-site"}).status == 403
    dropped = person.submit(form.action, form.hidden())
    assert dropped.status == 200 and "not sent" in dropped.text
    assert confirm(person, page).status == 410 and person.visit(place).status == 410
    assert posts(app, mark) == []


def test_nothing_is_sent_without_the_page_of_ours(holding, app):
    person = idled_out(holding)
    mark = app.mark()
    _, page = back_in(person, person.submit("/save", FORM))
    form = Form(page.text)
    assert person.submit(form.action, {"form_token": "AAAA"}).status == 403
    assert person.submit(form.action, form.hidden(), {"Sec-Fetch-Site": "cross-site"}).status == 403
    elsewhere = form.action.replace("/save", "/other")
    assert person.submit(elsewhere, form.hidden()).status == 403
    assert posts(app, mark) == []
    assert person.visit(form.action).get("Location") == "/save"
    assert confirm(person, page).status == 303


@pytest.mark.parametrize(
    ("body", "kind", "word"),
    [
        (b"a=" + b"x" * 65_536, PLAIN, "too_large"),
        (b"new_password=CANARY", PLAIN, "password"),
        (b"a=1", "text/plain", "unreadable"),
        (
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            "files",
        ),
    ],
)
def test_what_is_not_kept_is_said_so(holding, app, body, kind, word):
    person = idled_out(holding)
    refused = send(person, "/save", body, kind)
    assert refused.status == 401 and "was not kept" in refused.text and "Back" in refused.text
    holding.wait_event("form_held_fail", f'"{word}"')


def test_what_is_nobodys_form_is_refused_as_ever(holding, app):
    person = idled_out(holding)
    assert send(person, "/save", SENT, **{"Sec-Fetch-Site": "cross-site"}).status == 403
    assert send(person, "/save", SENT, **{"Sec-Fetch-Dest": "iframe"}).status == 401
    assert person.request("POST", "/save", {**SCRIPT, "Content-Type": PLAIN}, SENT).json()["error"] == "login_required"
    assert send(person, "/api", SENT).status == 401
    stranger = Person(holding)
    refused = send(stranger, "/save", SENT)
    assert refused.status == 401 and "kept" not in refused.text
    left = Person(holding)
    left.login("bob")
    left.logout()
    assert send(left, "/save", SENT).status == 401
    off = idled_out(holding, host="off.test")
    assert send(off, "/save", SENT).status == 401


def test_what_the_site_would_refuse_anyway_is_not_kept(make_gateway, app):
    [site, _] = sites(app)
    small = make_gateway("held-small", [{**site, "limits": {"body": "1KiB"}}], session={"store": "memory"})
    refused = send(idled_out(small), "/save", b"a=" + b"x" * 2000)
    assert refused.status == 401 and "was not kept" in refused.text
    small.wait_event("form_held_fail", '"too_large"')


def test_the_next_one_at_the_apps_own_login_destroys_it(make_gateway):
    legacy = Legacy()
    login = {"app": {"success": {"status": 302}}}
    site = {"hosts": ["rec.test"], "upstream": legacy.upstream, "login": login, "session": IDLE}
    gateway = make_gateway("held-app-login", [site], session={"store": "memory"})
    sign_in = lambda person, name: person.submit("/login", {"username": name, "password": "right"})
    try:
        for follower, told in (("ada", "form_sent"), ("eve", "form_dropped")):
            person = Person(gateway)
            sign_in(person, "ada")
            wait_until(lambda: not person.authenticated(), "the idle limit", within=10)
            mark = legacy.mark()
            held = person.submit("/page", FORM)
            assert held.status == 303
            place = way_back(person.location(person.visit(person.location(held))))
            sign_in(person, follower)
            shown = person.visit(place)
            if follower == "ada":
                assert confirm(person, shown).status == 200
            else:
                assert shown.status == 410
            assert [seen.target for seen in posts(legacy, mark) if seen.target == "/page"] == ["/page"] * (follower == "ada")
            gateway.wait_event(told)
    finally:
        legacy.close()


def test_neither_a_login_of_the_apps_nor_its_logout_is_kept(make_gateway):
    legacy = Legacy()
    login = {"app": {"success": {"status": 302}}}
    site = {"hosts": ["rec.test"], "upstream": legacy.upstream, "login": login, "logout": "/logout", "session": IDLE}
    gateway = make_gateway("held-passed-by", [site], session={"store": "memory"})
    try:
        person = Person(gateway)
        person.submit("/login", {"username": "eve", "password": "right"})
        wait_until(lambda: not person.authenticated(), "the idle limit", within=10)
        mark = legacy.mark()
        for target in ("/LOGIN", "/Login/", "/logout", "/Logout", "/logout/", "/logout."):
            assert send(person, target, b"username=ada&kennwort=x").status == 401, target
        assert posts(legacy, mark) == []
    finally:
        legacy.close()


def test_what_was_held_before_its_path_became_a_logout_is_not_sent(make_gateway, app):
    [site, _] = sites(app)
    gateway = make_gateway("held-before", [{**site, "logout": "/none"}])
    person = idled_out(gateway)
    held = send(person, "/save", SENT)
    gateway.stop()
    gateway.config["sites"] = [{**site, "logout": "/save"}]
    gateway.start()
    mark = app.mark()
    _, page = back_in(person, held)
    refused = confirm(person, page)
    assert (refused.status, person.location(refused)) == (303, "/save")
    assert posts(app, mark) == []


def way_back(location):
    """The way back that an app's login page is asked with."""
    return parse_qs(urlsplit(location).query)["next"][0]


def test_nobody_leaves_others_without_room_however_many_browsers_they_have(make_gateway, app):
    gateway = make_gateway("held-room", sites(app), session={"store": "memory"})
    devices = [idled_out(gateway, "erin") for _ in range(4)]
    for number in range(16):
        assert send(devices[number % 3], "/save", f"a={number}".encode()).status == 303
    for device in devices:
        assert send(device, "/save", b"a=17").status == 401
    gateway.wait_event("form_held_fail", '"full"')
    assert send(idled_out(gateway, "frank"), "/save", b"a=1").status == 303


def test_another_users_login_destroys_what_is_of_that_browser_alone(make_gateway, app):
    gateway = make_gateway("held-apart", sites(app), session={"store": "memory"})
    here, elsewhere = idled_out(gateway, "erin"), idled_out(gateway, "erin")
    mark = app.mark()
    for person in (here, elsewhere):
        person.kept = send(person, "/save", f"a={id(person)}".encode())
    here.login("frank")
    gateway.wait_event("form_dropped", '"another_user"')
    here.logout()
    page = here.visit(here.location(here.kept))
    signed = here.submit("/.vestibule/login", {**Form(page.text).hidden(), "username": "erin", "password": gateway.passwords["erin"]})
    assert here.visit(here.location(signed)).status == 410
    _, page = back_in(elsewhere, elsewhere.kept, "erin")
    assert confirm(elsewhere, page).status == 303
    assert [seen.body for seen in posts(app, mark)] == [f"a={id(elsewhere)}".encode()]


def test_another_users_login_destroys_it_though_its_owner_has_left_since(holding, app):
    person = idled_out(holding)
    mark = app.mark()
    place, _ = back_in(person, person.submit("/save", FORM))
    person.logout()
    person.login("alice")
    person.logout()
    person.login("bob")
    assert person.visit(place).status == 410 and posts(app, mark) == []


def test_a_form_that_asks_for_a_fresh_login_is_held_too(holding, app):
    person = Person(holding)
    person.login("bob")
    mark = app.mark()
    wait_until(lambda: person.visit("/fresh").status == 303, "an older login")
    _, page = back_in(person, person.submit("/fresh", FORM))
    assert confirm(person, page).status == 200
    assert [seen.target for seen in posts(app, mark)] == ["/fresh"]


def test_an_app_that_cannot_be_reached_costs_nothing(make_gateway):
    nobody = {"hosts": ["rec.test"], "upstream": f"http://127.0.0.1:{free_port()}", "session": IDLE}
    gateway = make_gateway("held-down", [nobody], session={"store": "memory"})
    person = idled_out(gateway)
    place, page = back_in(person, person.submit("/save", FORM))
    assert confirm(person, page).status == 502
    assert person.visit(place).status == 200


def test_a_restart_and_two_gateways_lose_nothing(make_gateway, app, work):
    disk = make_gateway("held-disk", sites(app, idle_timeout="4s"))
    person = idled_out(disk)
    held = person.submit("/save", FORM)
    disk.stop()
    assert b"CANARY" not in b"".join(file.read_bytes() for file in (disk.folder / "state").rglob("*") if file.is_file())
    disk.start()
    mark = app.mark()
    _, page = back_in(person, held)
    assert confirm(person, page).status == 303
    server = Redis(work / "held-redis", work).start()
    keys = work / "held-keys"
    keys.touch(mode=0o600)
    keys.write_text(secrets.token_hex(32) + "\n")
    one, other = (
        make_gateway(f"held-pair-{number}", sites(app), session={"store": {"redis": server.url}}, keys=str(keys))
        for number in (1, 2)
    )
    person = idled_out(one)
    held = person.submit("/save", FORM)
    # The balancer sends the same browser to the other one from here on.
    person.gateway = other
    _, page = back_in(person, held)
    assert confirm(person, page).status == 303
    assert len(posts(app, mark)) == 2
    server.stop()


def test_with_the_vault_and_a_window_the_app_takes_it(make_gateway, app):
    app.on("/start", answer(headers=["Set-Cookie: sid=S1; Path=/"]))
    [site, _] = sites(app, resume_window="10m")
    gateway = make_gateway("held-vault", [{**site, "cookies": "vault"}])
    person = Person(gateway)
    person.login("bob")
    person.fetch("/start")
    wait_until(lambda: not person.authenticated(), "the idle limit", within=10)
    mark = app.mark()
    _, page = back_in(person, person.submit("/save", FORM))
    confirm(person, page)
    [seen] = posts(app, mark)
    assert seen.one("Cookie") == "sid=S1" and person.cookie == person.jar[SESSION]
