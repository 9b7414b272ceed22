"""An app of the old kind, with a login of its own: what it was sent is written down, and what it says is scripted.

It keeps its sessions on its own server, knows who is logged in by its cookie `sid`, leads strangers to its login page and
those it knows away from it, remembers by a cookie `keep` whoever asks for that, and never heard of a gateway.
"""

import json
from urllib.parse import parse_qs
from urllib.parse import urlsplit

from support.recorder import Recorder

FORM = '<form method="post" action="/login"><input name="username"><input name="password" type="password"></form>'


class Legacy(Recorder):
    def __init__(self):
        super().__init__()
        self.sessions = {}
        self.made = 0
        # Whether it gives a new id at login, as careful apps do.
        self.renews = True
        # Whether it sends those it knows away from its login, whatever they type there.
        self.sends_known_away = False
        # Where it sends them.
        self.away = "/"
        # Where it sends whoever it refuses, if it does not show its form again.
        self.refuses_to = None
        for path in ("/login", "/api/login", "/Login", "/big/login"):
            self.on(path, self._login)
        self.on("/logout", self._logout)
        for path in ("/", "/page", "/other", "/account", "/public"):
            self.on(path, self._page)

    def new_session(self, user=None):
        self.made += 1
        sid = f"s{self.made}x"
        self.sessions[sid] = user
        return sid

    def logins(self, mark):
        """The logins it was asked for since then."""
        return [seen for seen in self.since(mark) if seen.method == "POST" and "login" in seen.target.lower()]

    def sid(self, seen):
        return cookies(seen).get("sid")

    def user(self, seen):
        """Whom it takes the sender for."""
        return self.sessions.get(self.sid(seen)) or cookies(seen).get("keep")

    def _login(self, client, seen):
        target = urlsplit(seen.target)
        if seen.method != "POST":
            if self.user(seen):
                return answer(client, seen, 302, ("Location", self.away))
            new = [] if self.sid(seen) else [("Set-Cookie", f"sid={self.new_session()}; Path=/")]
            return answer(client, seen, 200, ("Content-Type", "text/html"), *new, body=FORM)
        if self.sends_known_away and self.user(seen):
            return answer(client, seen, 302, ("Location", self.away))
        if "json" in " ".join(seen.all("Content-Type")):
            fields = json.loads(seen.body)
        else:
            fields = {name: values[0] for name, values in parse_qs(seen.body.decode("latin-1")).items()}
        user = fields.get("username", "")
        if fields.get("password") != "right":
            if target.path == "/api/login":
                return answer(client, seen, 401, ("Content-Type", "application/json"), body='{"ok": false}')
            if self.refuses_to:
                return answer(client, seen, 302, ("Location", self.refuses_to))
            return answer(client, seen, 200, ("Content-Type", "text/html"), body=FORM)
        new = []
        if self.renews or self.sid(seen) not in self.sessions:
            new = [("Set-Cookie", f"sid={self.new_session(user)}; Path=/")]
        else:
            self.sessions[self.sid(seen)] = user
        if fields.get("remember"):
            new.append(("Set-Cookie", f"keep={user}; Path=/; Max-Age=86400"))
        if target.path == "/api/login":
            body = json.dumps({"ok": True, "user": {"name": user}})
            return answer(client, seen, 200, ("Content-Type", "application/json"), ("X-User", user), *new, body=body)
        back = parse_qs(target.query).get("next", ["/"])[0]
        named = [("X-User", user)] if user.isprintable() else []
        return answer(client, seen, 302, ("Location", back), *named, *new)

    def _logout(self, client, seen):
        self.sessions.pop(self.sid(seen), None)
        return answer(client, seen, 302, ("Location", "/login"), ("Set-Cookie", "sid=; Path=/; Max-Age=0"), ("Set-Cookie", "keep=; Path=/; Max-Age=0"))

    def _page(self, client, seen):
        user = self.user(seen)
        if not user and seen.target != "/public":
            return answer(client, seen, 302, ("Location", f"/login?next={seen.target}"))
        told = {"app": user, "gateway": seen.all("X-Forwarded-User"), "cookies": seen.all("Cookie")}
        return answer(client, seen, 200, ("Content-Type", "application/json"), body=json.dumps(told))


def cookies(seen):
    pairs = [pair.strip().partition("=") for line in seen.all("Cookie") for pair in line.split(";")]
    return {name: value for name, _, value in pairs}


def answer(client, seen, status, *fields, body=""):
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in fields)]
    data = body.encode()
    head = "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""])
    client.sendall(head.encode("latin-1") + (b"" if seen.method == "HEAD" else data))
