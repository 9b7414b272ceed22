"""`vestibule doctor`: what lies elsewhere, or gave no answer, is neither fine nor a failure."""

import contextlib
import os
import re
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.certificates import Authority
from support.doctor import HTML
from support.doctor import Look
from support.doctor import recipe
from support.process import dead_port
from support.recorder import Recorder
from support.recorder import answer

ID = "q7hkjv1b8l3gqk0pzt4wc9xn2md5sfra"


class Tls:
    """Answers each request over TLS by `reply(head)`; what makes no sense to it as TLS is hung up on."""

    def __init__(self, authority, reply, host="localhost"):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*authority.issue(host))
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.url = f"https://{host}:{self.port}/"
        self._reply = reply
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        client.settimeout(60)
        with contextlib.suppress(OSError), self._context.wrap_socket(client, server_side=True) as secure:
            head = b""
            while b"\r\n\r\n" not in head:
                more = secure.recv(4096)
                if not more:
                    return
                head += more
            secure.sendall(self._reply(head))

    def close(self):
        self._listener.close()


# --- sites, each by the name of what is odd about it; gives what doctor is asked, and what to close ----------------------


class Places:
    """Servers of a test, with and without TLS."""

    def __init__(self, folder):
        self.folder, self.authority, self.open = folder, Authority(folder), []
        self.trust = ("--ca-file", self.authority.file)

    def plain(self, pages):
        site = Recorder()
        self.open.append(site)
        for path, reply in pages.items():
            site.on(path, reply)
        return site

    def secure(self, reply):
        self.open.append(Tls(self.authority, reply))
        return self.open[-1].url

    def page(self, body=b""):
        return self.secure(lambda _: answer(headers=[HTML], body=body))


def hangs_up(places):
    listener = socket.create_server(("127.0.0.1", 0))
    places.open.append(listener)

    def serve():
        client, _ = listener.accept()
        client.recv(1)
        client.close()

    threading.Thread(target=serve, daemon=True).start()
    return places.page(), *places.trust, "--http-port", listener.getsockname()[1]


def is_broken(places):
    port = places.plain({"/": answer("503 Service Unavailable")}).port
    return places.page(), *places.trust, "--http-port", port


def has_no_plain_http(places):
    return places.page(), *places.trust, "--http-port", dead_port()


def leads_elsewhere_over_plain_http(places):
    port = places.plain({"/": answer("302 Found", ["Location: http://sso.invalid/"], b"")}).port
    return places.page(), *places.trust, "--http-port", port


def has_had_enough(places):
    """Of strangers, after the first."""
    given = []

    def front(client, _):
        if given:
            client.sendall(answer("429 Too Many Requests", [HTML]))
        else:
            given.append(1)
            client.sendall(answer(headers=[HTML, f"Set-Cookie: sid={ID}{ID}; Path=/(S({ID}))/x"], body=b"<p>"))

    return (places.plain({"/": front}).upstream,)


def logs_in_by_script(places):
    return places.page(b"<div><input type=password></div>"), *places.trust


def leads_elsewhere(places):
    return (places.plain({"/": answer("302 Found", ["Location: https://sso.invalid/in?next=abc", HTML], b"")}).upstream,)


def leads_elsewhere_in_the_clear(places):
    return (places.plain({"/": answer("302 Found", ["Location: http://sso.invalid/in?next=abc", HTML], b"")}).upstream,)


def leads_elsewhere_with_a_cookie(places):
    headers = ["Location: https://sso.invalid/", f"Set-Cookie: sid={ID}"]
    return (places.plain({"/": answer("302 Found", headers, b"")}).upstream,)


class Unnamed:
    """A site whose name leads nowhere yet."""

    def __init__(self, places):
        headers = [HTML, "Strict-Transport-Security: max-age=31536000"]
        secure = Tls(places.authority, lambda _: answer(headers=headers), "app.invalid")
        places.open.append(secure)
        self.plain = places.plain({"/": answer("308 Permanent Redirect", [f"Location: {secure.url}"], b"")}).port
        resolve = ("--resolve", f"App.Invalid:{secure.port}:127.0.0.1")
        self.asked = secure.url, *places.trust, "--http-port", self.plain, *resolve


def has_no_name_yet(places):
    site = Unnamed(places)
    app = ("--app", f"http://app.internal:{dead_port()}")
    resolve = ("--resolve", f"app.invalid:{site.plain}:127.0.0.1", "--resolve", f"app.internal:{dead_port()}:127.0.0.1")
    return *site.asked, *app, *resolve


def has_no_name_for_plain_http(places):
    return Unnamed(places).asked


def logs_in_elsewhere(places):
    def reply(head):
        if head.startswith(b"GET /login"):
            return answer("302 Found", ["Location: https://sso.invalid/in"], b"")
        return answer(headers=[HTML], body=b"<a href=/login>log in</a>")

    return places.secure(reply), *places.trust


class App:
    """A login with sessions on the server."""

    def __init__(self):
        self.sessions = set()

    def login(self, client, _seen):
        form = b"<form method=post action=/enter><input name=user><input type=password name=password></form>"
        client.sendall(answer(headers=[HTML], body=form))

    def enter(self, client, seen):
        if b"password=right" not in seen.body:
            client.sendall(answer("403 Forbidden", [HTML], b"no"))
            return
        value = f"{len(self.sessions):04d}{ID}"
        self.sessions.add(value)
        client.sendall(answer("303 See Other", ["Location: /inside", f"Set-Cookie: sid={value}; Path=/"], b""))

    def inside(self, client, seen):
        known = re.search(r"sid=(\w+)", "".join(seen.all("Cookie")))
        status = "200 OK" if known and known[1] in self.sessions else "403 Forbidden"
        client.sendall(answer(status, [HTML, "Cache-Control: no-store"], b"secret"))

    def pages(self, **more):
        return {"/": answer(headers=[HTML]), "/login": self.login, "/enter": self.enter, "/inside": self.inside, **more}


RECIPE = """
login: { page: /login, user: { field: user, value: a }, password: { field: password, file: password } }
private: { page: /inside, shows: secret }
logout: { action: /out }
"""


def active(places, pages):
    file = recipe(places.folder, RECIPE)
    (places.folder / "password").write_text("right")
    return places.plain(pages).upstream, "--active", "--recipe", file


def logs_out_elsewhere(places):
    return active(places, App().pages(**{"/out": answer("303 See Other", ["Location: https://sso.invalid/out"], b"")}))


def turns_other_sites_away(places):
    class Limited(App):
        def enter(self, client, seen):
            if "invalid" in "".join(seen.all("Origin")):
                client.sendall(answer("429 Too Many Requests", [HTML], b"later"))
            else:
                super().enter(client, seen)

    return active(places, Limited().pages(**{"/out": answer("404 Not Found")}))


SITES = (
    hangs_up, is_broken, has_no_plain_http, leads_elsewhere_over_plain_http, has_had_enough, logs_in_by_script, leads_elsewhere,
    leads_elsewhere_in_the_clear, leads_elsewhere_with_a_cookie, logs_in_elsewhere, logs_out_elsewhere, turns_other_sites_away,
    has_no_name_yet, has_no_name_for_plain_http,
)  # fmt: skip


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """All looks, several at a time: each one waits for most of its own."""
    places = {site: Places(tmp_path_factory.mktemp(site.__name__)) for site in SITES}
    asked = {site: site(place) for site, place in places.items()}
    with ThreadPoolExecutor(8 * (os.cpu_count() or 1)) as pool:
        taken = {site: pool.submit(Look, *arguments) for site, arguments in asked.items()}
        done = {site: look.result() for site, look in taken.items()}
    for place in places.values():
        for server in place.open:
            server.close()
    return done


ONLY = r"leads to https?://sso\.invalid/.*looks only at the host it was given"


@pytest.mark.parametrize(
    ("site", "checks", "why"),
    [
        (hangs_up, ["https_only"], "plain HTTP could not be asked"),
        (is_broken, ["https_only"], "answered 503"),
        (leads_elsewhere_over_plain_http, ["https_only"], ONLY),
        (has_had_enough, ["id_entropy"], "too few"),
        (has_had_enough, ["id_adopted", "cors"], "429"),
        (has_had_enough, ["tls_certificate", "tls_version", "hsts"], "plain HTTP"),
        (logs_in_by_script, ["login_form"], "script"),
        (leads_elsewhere, ["https_only", "id_in_url", "login_form", "framing", "nosniff", "referrer_policy", "cors"], ONLY),
        (leads_elsewhere_in_the_clear, ["https_only", "id_in_url", "login_form", "framing", "cors"], ONLY),
        (logs_in_elsewhere, ["login_form"], ONLY),
        (logs_out_elsewhere, ["logout_ends"], ONLY),
        (logs_out_elsewhere, ["foreign_logout", "logout_by_get"], "did not log out either"),
        (turns_other_sites_away, ["foreign_login"], "429"),
        (has_no_name_for_plain_http, ["https_only"], r"--resolve does not say where port \d+ of app\.invalid is"),
        (has_no_name_yet, ["app_reachable"], r"--resolve does not say where port \d+ of app\.internal is"),
    ],
)
def test_what_was_not_seen_is_told_apart_with_a_reason(looks, site, checks, why):
    for name in checks:
        check = looks[site].checks[name]
        assert check["status"] == "skip" and re.search(why, check["says"]), check
        assert check["mend"] is None


def test_where_nobody_listens_nothing_is_sent_in_the_clear(looks):
    assert looks[has_no_plain_http].checks["https_only"]["status"] == "pass"


def test_a_site_is_looked_at_before_its_name_leads_there(looks):
    assert {"https_only", "tls_certificate", "tls_version", "hsts"} <= looks[has_no_name_yet].named("pass")
    assert {"tls_certificate", "tls_version", "hsts"} <= looks[has_no_name_for_plain_http].named("pass")


def test_what_leads_elsewhere_is_no_failure_but_for_its_cookies(looks):
    assert looks[leads_elsewhere].named("fail") == set() and looks[leads_elsewhere].done.returncode == 0
    assert "next=abc" not in looks[leads_elsewhere].done.stdout
    assert {"https_only", "cookie_secure", "cookie_http_only"} <= looks[leads_elsewhere_with_a_cookie].named("fail")


def test_an_id_is_printed_in_no_attribute(looks):
    assert ID not in looks[has_had_enough].done.stdout
    assert any("Path=" in line for line in looks[has_had_enough].evidence("cookie_http_only"))
