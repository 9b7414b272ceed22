"""Logging in as a browser does, so that Vestibule is measured with a live session."""

import http.client
import ssl
from html.parser import HTMLParser
from urllib.parse import urlencode

PAGE = "/.vestibule/login"
SESSION = "__Host-Http-session"


class _Form(HTMLParser):
    def __init__(self):
        super().__init__()
        self.hidden = {}

    def handle_starttag(self, tag, attributes):
        field = dict(attributes)
        if tag == "input" and field.get("type") == "hidden":
            self.hidden[field["name"]] = field.get("value") or ""


class Browser:
    """One connection to `localhost:port`, which keeps its cookies."""

    def __init__(self, port, certificate):
        self._authority = f"localhost:{port}"
        context = ssl.create_default_context(cafile=certificate)
        self._connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
        self._cookies = {}

    def cookie(self):
        return "; ".join(f"{name}={value}" for name, value in self._cookies.items())

    def ask(self, method, path, body=None, **headers):
        """Status and body."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["Host"] = self._authority
        if self._cookies:
            headers["Cookie"] = self.cookie()
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        self._cookies = {name: value for name, value in self._cookies.items() if value}
        return answer.status, answer.read()

    def log_in(self, user, password):
        navigation = {"Accept": "text/html", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
        status, page = self.ask("GET", PAGE, Sec_Fetch_Site="none", **navigation)
        form = _Form()
        form.feed(page.decode())
        fields = urlencode({**form.hidden, "username": user, "password": password})
        own = {"Sec_Fetch_Site": "same-origin", "Origin": f"https://{self._authority}"}
        own["Content_Type"] = "application/x-www-form-urlencoded"
        answered, _ = self.ask("POST", PAGE, fields, **own, **navigation)
        if SESSION not in self._cookies:
            raise SystemExit(f"no session after the login: the page answered {status}, the form {answered}")
