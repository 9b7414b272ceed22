"""What `vestibule doctor` says where it could not ask, and of sites that are made otherwise than most."""

import json
import os
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs

import pytest

from support.doctor import HTML
from support.doctor import Look
from support.doctor import recipe
from support.recorder import Recorder
from support.recorder import answer

IN = """
login: { page: /enter, user: { field: user, value: a }, password: { field: password, file: password }, format: FORMAT }
private: { page: /inside, shows: for you }
logout: { action: /leave }
"""


def cookies(seen):
    return dict(pair.split("=", 1) for line in seen.all("Cookie") for pair in line.split("; "))


class App:
    """A login that keeps no other rules than those a test gives it."""

    # The form's fields beside name and password; where it is sent; how its cookie is named and made.
    hidden = ""
    action = "/enter"
    cookie = "sid"
    new = staticmethod(lambda: secrets.token_hex(16))
    takes = ("application/x-www-form-urlencoded",)
    cors = ()
    more = ""
    keeps_id = False

    def __init__(self, site):
        self.inside = set()
        self.known = set()
        for path, reply in (
            ("/", self.front),
            ("/enter", self.page),
            ("/sessions", self.enter),
            ("/inside", self.show),
            ("/leave", self.leave),
        ):
            site.on(path, reply)
        if self.action == "/enter":
            site.on("/enter", lambda client, seen: (self.page if seen.method == "GET" else self.enter)(client, seen))

    def front(self, client, seen):
        client.sendall(answer(headers=[HTML]))

    def page(self, client, seen):
        hidden = self.hidden() if callable(self.hidden) else self.hidden
        form = f"<form method=post action={self.action}>{hidden}<input name=user><input type=password name=password></form>"
        client.sendall(answer(headers=[HTML], body=form.encode()))

    def accepts(self, seen, fields):
        return fields.get("password") == "right"

    def enter(self, client, seen):
        if seen.method == "OPTIONS":
            client.sendall(answer("204 No Content", list(self.cors), b""))
            return
        kind = seen.one("Content-Type").split(";")[0]
        try:
            fields = json.loads(seen.body) if seen.body.startswith(b"{") else {k: v[0] for k, v in parse_qs(seen.body.decode()).items()}
        except ValueError:
            fields = {}
        if kind not in self.takes or not self.accepts(seen, fields):
            client.sendall(answer("403 Forbidden", [HTML], b"no"))
            return
        old = cookies(seen).get(self.cookie)
        value = old if self.keeps_id and old in self.known else self.new()
        self.inside.add(value)
        client.sendall(answer("303 See Other", ["Location: /inside", f"Set-Cookie: {self.cookie}={value}; Path=/; HttpOnly{self.more}"], b""))

    def show(self, client, seen):
        is_in = cookies(seen).get(self.cookie) in self.inside
        client.sendall(answer("200 OK" if is_in else "403 Forbidden", [HTML], b"for you" if is_in else b"no"))

    def leave(self, client, seen):
        if seen.method == "POST":
            self.inside.discard(cookies(seen).get(self.cookie))
        client.sendall(answer("303 See Other", ["Location: /enter", f"Set-Cookie: {self.cookie}=; Max-Age=0; Path=/"], b""))


def active(site, folder, kind):
    file = recipe(folder, IN.replace("FORMAT", kind))
    (folder / "password").write_text("right")
    return Look(site.upstream, "--active", "--recipe", file)


def passive(site, *arguments):
    return Look(site.upstream, *arguments)


# --- a login from elsewhere --------------------------------------------------------------------------------------------


class Elsewhere(App):
    action = "/sessions"


class Marked(App):
    """What a form says to everybody is no token."""

    hidden = "<input type=hidden name=step value=login>"

    def accepts(self, seen, fields):
        return super().accepts(seen, fields) and fields.get("step") == "login"


class Guarded(App):
    """What it says to one alone is."""

    def __init__(self, site):
        super().__init__(site)
        self.tokens = set()

    def hidden(self):
        token = secrets.token_hex(8)
        self.tokens.add(token)
        return f"<input type=hidden name=csrf value={token}>"

    def accepts(self, seen, fields):
        return super().accepts(seen, fields) and fields.get("csrf") in self.tokens


class Json(App):
    action = "/sessions"
    takes = ("application/json",)


class JsonForAll(Json):
    cors = ("Access-Control-Allow-Origin: *", "Access-Control-Allow-Headers: *")


class JsonForScripts(Json):
    """Its cookie is kept from other sites' scripts."""

    cors = ("Access-Control-Allow-Origin: https://vestibule-doctor.invalid", "Access-Control-Allow-Credentials: true",
            "Access-Control-Allow-Headers: Content-Type")  # fmt: skip


class JsonForEmbedding(JsonForScripts):
    """Its cookie is for pages of other sites too."""

    more = "; SameSite=None; Secure"


class AnyText(Json):
    takes = ("application/json", "text/plain")


# --- whose id it is ----------------------------------------------------------------------------------------------------


class Keeps(App):
    """Gives an id with the front page, and keeps it at the login."""

    keeps_id = True

    def front(self, client, seen):
        value = cookies(seen).get("sid") or self.new()
        self.known.add(value)
        client.sendall(answer(headers=[HTML, f"Set-Cookie: sid={value}; Path=/"]))


class Picky(App):
    """Takes over whatever looks like an id of its own."""

    keeps_id = True

    @staticmethod
    def new():
        return "node7~" + "".join(secrets.choice("abcdefghij0123456789") for _ in range(24))

    def enter(self, client, seen):
        planted = cookies(seen).get("sid", "")
        if re.fullmatch(r"node\d~[a-z0-9]{24}", planted):
            self.known.add(planted)
        super().enter(client, seen)


class Balanced(App):
    """Behind a load balancer: without its cookie another server answers, who knows nobody."""

    cookie = "who"

    def show(self, client, seen):
        if "AWSALB" in cookies(seen):
            super().show(client, seen)
        else:
            client.sendall(answer("403 Forbidden", [HTML], b"no"))

    def page(self, client, seen):
        form = b"<form method=post action=/enter><input name=user><input type=password name=password></form>"
        given = ["Set-Cookie: AWSALB=a; Path=/", "Set-Cookie: BIGipServer~auth=1.2; Path=/"]
        client.sendall(answer(headers=[HTML, *given], body=form))


class Pathed(App):
    """Has another cookie of its session's name for the login page alone."""

    def page(self, client, seen):
        form = b"<form method=post action=/enter><input name=user><input type=password name=password></form>"
        client.sendall(answer(headers=[HTML, "Set-Cookie: sid=nobody; Path=/enter"], body=form))


class Stays(App):
    """Its logout does nothing."""

    def leave(self, client, seen):
        client.sendall(answer("404 Not Found", [HTML], b"no"))


LOGINS = {"form": (Elsewhere, Marked, Guarded, Keeps, Picky, Balanced, Pathed, Stays),
          "json": (Json, JsonForAll, JsonForScripts, JsonForEmbedding, AnyText)}  # fmt: skip


# --- pages ---------------------------------------------------------------------------------------------------------------

ID = "5a1b2c3d4e5f60718293a4b5c6d7e8f9"


def page(body="", *headers):
    return {"/": answer(headers=[HTML, *headers], body=body.encode())}


def once(client, _seen, given=[]):  # noqa: B006
    """Gives one stranger an id, and nobody after that."""
    headers = [] if given else [f"Set-Cookie: sid={ID}"]
    given.append(True)
    client.sendall(answer(headers=[HTML, *headers]))


PAGES = {
    "leads away": {"/": answer("302 Found", ["Location: https://sso.example/start?state=abc"], b"")},
    "plain": page(),
    "one id": {"/": once},
    "behind the path": page(f"<a href='/list;jsessionid={ID}'>x</a>"),
    "behind the path, escaped": page(f"<a href='/list%3Bjsessionid={ID}'>x</a>"),
    "of a script": page(f"<script src='/a.js;jsessionid={ID}'></script>"),
    "another host's": page(f"<a href='https://forum.example/?sid={ID}'>x</a>"),
    "a word": page("<a href='/sidebar?side=1'>x</a>"),
    "in the path": {
        "/": answer("302 Found", [f"Location: /(S({ID}))/start", "Set-Cookie: sid=1"], b""),
        f"/(S({ID}))/start": answer(headers=[HTML, f"Set-Cookie: sid={ID}"]),
    },
}


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """All looks, several at a time: each one waits for most of its own."""
    sites = []

    def site():
        sites.append(Recorder())
        return sites[-1]

    with ThreadPoolExecutor(8 * (os.cpu_count() or 1)) as pool:
        looks = {}
        for kind, apps in LOGINS.items():
            for app in apps:
                own = site()
                app(own)
                looks[app] = pool.submit(active, own, tmp_path_factory.mktemp(app.__name__), kind)
        for name, pages in PAGES.items():
            own = site()
            for path, reply in pages.items():
                own.on(path, reply)
            more = ["--app", own.upstream] if name == "plain" else []
            looks[name] = pool.submit(passive, own, *more)
        # Longer than a name may be, so that nobody is asked for it.
        front = site()
        front.on("/", answer(headers=[HTML]))
        looks["no name"] = pool.submit(passive, front, "--app", f"http://{'x' * 64}.invalid:5000")
        done = {name: look.result() for name, look in looks.items()}
    for one in sites:
        one.close()
    return done


@pytest.mark.parametrize(
    ("app", "status", "word"),
    [
        (Elsewhere, "fail", "the form"),
        (Marked, "fail", "the form"),
        (Guarded, "pass", ""),
        (Json, "pass", ""),
        (JsonForAll, "pass", ""),
        (JsonForScripts, "warn", "was taken"),
        (JsonForEmbedding, "fail", "its scripts may"),
        (AnyText, "fail", "text/plain"),
    ],
)
def test_a_login_from_elsewhere_is_judged_by_what_browsers_let_pages_send(looks, app, status, word):
    assert looks[app].checks["foreign_login"]["status"] == status
    assert word in " ".join(looks[app].evidence("foreign_login"))


@pytest.mark.parametrize(("app", "check"), [(Keeps, "login_new_id"), (Picky, "login_planted_id")])
def test_an_id_that_lives_through_the_login_is_told_wherever_it_comes_from(looks, app, check):
    assert looks[app].checks[check]["status"] == "fail"


def test_a_load_balancers_cookie_is_no_session(looks):
    look = looks[Balanced]
    assert look.checks["logout_ends"]["status"] == "pass"
    assert "8 ids of 32 characters" in look.evidence("id_entropy")[0]
    told = look.evidence("cookie_same_site")
    assert "who=" in "".join(told) and "AWSALB" not in "".join(told) and "BIGip" not in "".join(told)


def test_cookies_go_where_browsers_send_them(looks):
    look = looks[Pathed]
    assert look.checks["login_new_id"]["status"] == "pass" and look.report["troubles"] == []


def test_a_logout_that_does_nothing_proves_nothing(looks):
    assert looks[Stays].checks["logout_ends"]["status"] == "fail"
    assert {"foreign_logout", "logout_by_get"} <= looks[Stays].named("skip")


def test_where_a_site_leads_to_another_host_nothing_is_said_of_that(looks):
    look = looks["leads away"]
    assert look.checks["https_only"]["status"] == "skip" and look.named("fail") == set()
    assert any("sso.example" in trouble for trouble in look.report["troubles"])


@pytest.mark.parametrize(
    ("name", "check", "says"),
    [
        ("plain", "error_page", "not there"),
        ("one id", "id_entropy", "too few"),
        ("plain", "app_reachable", "own machine"),
        ("no name", "app_reachable", "could not be tried"),
    ],
)
def test_what_could_not_be_asked_is_not_fine(looks, name, check, says):
    found = looks[name].checks[check]
    assert found["status"] == "skip" and says in found["says"]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("behind the path", "fail"),
        ("behind the path, escaped", "fail"),
        ("of a script", "fail"),
        ("in the path", "fail"),
        ("another host's", "pass"),
        ("a word", "pass"),
    ],
)
def test_sessions_in_addresses_are_ours_or_nobodys(looks, name, status):
    assert looks[name].checks["id_in_url"]["status"] == status
    assert ID not in looks[name].done.stdout + looks[name].done.stderr
