"""Somebody at a browser: keeps cookies by the browsers' rules, sends what browsers send, fills in forms."""

from html.parser import HTMLParser
from urllib.parse import urlencode
from urllib.parse import urljoin
from urllib.parse import urlsplit

from support.wire import Wire
from support.wire import head

SESSION = "__Host-Http-session"
LOGIN = "/.vestibule/login"
LOGOUT = "/.vestibule/logout"
PASSWORD = "/.vestibule/password"
SESSIONS = "/.vestibule/sessions"
WHO = "/.vestibule/session"

NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-User": "?1",
}
SCRIPT = {
    "Accept": "application/json",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
}


class Form(HTMLParser):
    """The first form of a page that is sent by POST."""

    def __init__(self, page):
        super().__init__()
        self.action = None
        self.fields = {}
        self.given = {}
        self.done = False
        self.feed(page)
        assert self.action is not None, f"no form in:\n{page[:2000]}"

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "form" and self.action is None and (values.get("method") or "").lower() == "post":
            self.action = values.get("action") or ""
        elif tag == "input" and self.action is not None and not self.done and values.get("name"):
            self.fields[values["name"]] = values.get("value") or ""
            kind = values.get("type") or "text"
            if kind == "hidden" or (kind in ("checkbox", "radio") and "checked" in values):
                self.given[values["name"]] = values.get("value") or "on"

    def handle_endtag(self, tag):
        if tag == "form" and self.action is not None:
            self.done = True

    def hidden(self):
        """What a browser sends without anybody typing: hidden fields, and boxes that are ticked."""
        return dict(self.given)


class Person:
    def __init__(self, gateway, host="rec.test"):
        self.gateway = gateway
        self.host = host
        self.jar = {}
        self.set_cookies = []

    @property
    def origin(self):
        return f"https://{self.host}:{self.gateway.port}"

    @property
    def authority(self):
        return f"{self.host}:{self.gateway.port}"

    @property
    def cookie(self):
        """The value of the gateway's session cookie."""
        return self.jar.get(SESSION)

    def cookies(self):
        return "; ".join(f"{name}={value}" for name, value in self.jar.items())

    def request(self, method, target, headers=None, body=None):
        lines = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Tests/1.0", **(headers or {})}
        if self.jar:
            lines["Cookie"] = self.cookies()
        if body is not None:
            lines["Content-Length"] = str(len(body))
        with Wire(self.gateway.port, self.host) as wire:
            raw = [f"{name}: {value}" for name, value in lines.items()]
            wire.send(head(method, target, self.authority, *raw) + (body or b""))
            response = wire.response(method)
        self._keep(response)
        return response

    def visit(self, target, **more):
        """Opens a page as from the address bar."""
        return self.request("GET", target, {**NAVIGATION, **more})

    def fetch(self, target, method="GET", **more):
        """Asks as a script of the page does."""
        return self.request(method, target, {**SCRIPT, **more})

    def submit(self, target, fields, headers=None):
        """Sends a form from a page of the same origin."""
        own = {
            **NAVIGATION,
            "Sec-Fetch-Site": "same-origin",
            "Origin": self.origin,
            "Content-Type": "application/x-www-form-urlencoded",
            **(headers or {}),
        }
        kept = {name: value for name, value in own.items() if value is not None}
        return self.request("POST", target, kept, urlencode(fields).encode())

    def location(self, response, base="/"):
        """Where a redirect leads, as path and query; it must stay on this origin."""
        target = urljoin(self.origin + base, response.get("Location"))
        split = urlsplit(target)
        assert f"{split.scheme}://{split.netloc}" == self.origin, f"leads away: {target}"
        return target[len(self.origin):] or "/"

    def login_page(self, target="/"):
        """Opens a protected page and lands at the login form; returns its address and the form."""
        refused = self.visit(target)
        assert refused.status == 303, f"{refused.status} instead of a redirect to login\n{refused.text[:500]}"
        address = self.location(refused)
        shown = self.visit(address)
        assert shown.status == 200, f"{shown.status}\n{shown.text[:500]}"
        return address, Form(shown.text)

    def try_login(self, name, password, target="/", headers=None):
        address, form = self.login_page(target)
        where = urljoin(self.origin + address, form.action)[len(self.origin):]
        return self.submit(where, {**form.hidden(), "username": name, "password": password}, headers)

    def login(self, name="bob", target="/"):
        answer = self.try_login(name, self.gateway.passwords[name], target)
        assert answer.status == 303, f"{answer.status}: login failed\n{answer.text[:1500]}"
        assert self.cookie, "no session cookie after login"
        return answer

    def logout(self):
        shown = self.visit(LOGOUT)
        form = Form(shown.text)
        where = urljoin(self.origin + LOGOUT, form.action)[len(self.origin):]
        return self.submit(where, form.hidden())

    def authenticated(self):
        """What the session page says; asking does not keep a session alive."""
        return self.fetch(WHO).json()["authenticated"]

    def is_in(self, target="/"):
        return self.visit(target).status == 200

    def _keep(self, response):
        for line in response.all("Set-Cookie"):
            self.set_cookies.append(line)
            pair, *attributes = [part.strip() for part in line.split(";")]
            name, _, value = pair.partition("=")
            words = {word.partition("=")[0].lower(): word.partition("=")[2] for word in attributes}
            if not _browser_accepts(name, words):
                continue
            if words.get("max-age") == "0" or "1970" in words.get("expires", ""):
                self.jar.pop(name, None)
            else:
                self.jar[name] = value


def _browser_accepts(name, words):
    """The prefix rules: a sloppy Set-Cookie under these names is ignored, deletions included."""
    lower = name.lower()
    if lower.startswith("__host-"):
        whole = "secure" in words and "domain" not in words and words.get("path") == "/"
        return whole and ("httponly" in words or not lower.startswith("__host-http-"))
    return "secure" in words if lower.startswith("__secure-") else True
