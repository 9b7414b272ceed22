"""Somebody whose browser goes from host to host: a cookie jar for each, and redirects followed wherever they lead."""

from urllib.parse import urljoin
from urllib.parse import urlsplit

from support.person import LOGIN
from support.person import NAVIGATION
from support.person import Form
from support.person import Person


class Guest(Person):
    """A person at one host, reached by any gateway under the port that browsers know."""

    def __init__(self, gateway, host, port):
        super().__init__(gateway, host)
        self.port = port

    @property
    def origin(self):
        return f"https://{self.host}:{self.port}"

    @property
    def authority(self):
        return f"{self.host}:{self.port}"


class Arrival:
    """Where a page load ended: the address, the answer, and all addresses on the way."""

    def __init__(self, url, response, trail):
        self.url = url
        self.response = response
        self.trail = trail

    @property
    def host(self):
        return urlsplit(self.url).hostname

    @property
    def path(self):
        split = urlsplit(self.url)
        return split.path + (f"?{split.query}" if split.query else "")

    @property
    def form(self):
        return Form(self.response.text)


class Traveller:
    MOST_REDIRECTS = 19

    def __init__(self, gateway, via=None):
        """`via` is the gateway that answers, where another stands behind the same address."""
        self.gateway = via or gateway
        self.port = gateway.port
        self.at = {}

    def on(self, host):
        guest = self.at.setdefault(host, Guest(self.gateway, host, self.port))
        guest.gateway = self.gateway
        return guest

    def copy(self):
        """The same browser, as another tab of it sees the cookies at this moment."""
        twin = Traveller(self.gateway)
        twin.port = self.port
        for host, guest in self.at.items():
            twin.on(host).jar = dict(guest.jar)
        return twin

    def url(self, host, path="/"):
        return f"https://{host}:{self.port}{path}"

    def load(self, url, **lines):
        """One page load, no redirect followed."""
        split = urlsplit(url)
        assert split.scheme == "https" and split.port == self.port, url
        return self.on(split.hostname).visit(url[len(f"https://{split.netloc}"):] or "/", **lines)

    def open(self, url, **lines):
        return self.follow(url, self.load(url, **lines), **lines)

    def follow(self, url, response, **lines):
        trail = [url]
        while response.status in (302, 303, 307, 308):
            assert len(trail) <= self.MOST_REDIRECTS, "\n".join(trail)
            url = urljoin(url, response.get("Location"))
            trail.append(url)
            response = self.load(url, **{"Sec-Fetch-Site": "cross-site", **lines})
        return Arrival(url, response, trail)

    def sign_in(self, arrival, name="bob", secret=None):
        """Fills in the sign-in page one has arrived at, and follows where that leads."""
        assert arrival.response.status == 200, arrival.response.text[:500]
        page = urlsplit(urljoin(arrival.url, arrival.form.action))
        fields = {**arrival.form.hidden(), "username": name, "password": secret or self.gateway.passwords[name]}
        answer = self.on(page.hostname).submit(page.path, fields)
        return self.follow(arrival.url, answer)

    def log_out(self, host):
        return self.on(host).logout()

    def is_in(self, host, path="/"):
        return self.load(self.url(host, path)).status == 200

    def login_form(self, arrival):
        """Whether one stands before the sign-in page, and of which host."""
        split = urlsplit(arrival.url)
        shown = arrival.response.status == 200 and "name=\"password\"" in arrival.response.text
        return split.hostname if shown and split.path == LOGIN else None


IMAGE = {**NAVIGATION, "Accept": "image/*", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
