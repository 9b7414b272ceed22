"""What all outside tests share: apps, the recording app, users, and one gateway with a site for each app."""

import os
from pathlib import Path

import pytest

from support import apps
from support.gateway import BINARY
from support.gateway import Gateway
from support.gateway import make_users
from support.person import Person
from support.recorder import Recorder
from support.wire import head

LOGS = Path(os.environ.get("TEST_OUTPUT") or Path(__file__).resolve().parents[1] / "output") / "gateway"

RULES = [
    {"path": "/public/*", "allow": "anyone"},
    {"path": "/admin/*", "allow": {"groups": ["admins"]}},
    {"path": "/api/*", "allow": "authenticated", "unauthenticated": "401"},
    {"path": "/never/*", "allow": "nobody"},
]


def pytest_sessionstart(session):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is not there: cargo build first, or set VESTIBULE_BIN", returncode=2)


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="session")
def users(work):
    return make_users(work / "users.yaml")


@pytest.fixture(scope="session")
def recorder():
    recorder = Recorder()
    yield recorder
    recorder.close()


@pytest.fixture(scope="session")
def flask():
    app = apps.flask(LOGS)
    yield app
    app.process.stop()


@pytest.fixture(scope="session")
def gunicorn():
    app = apps.gunicorn(LOGS)
    yield app
    app.process.stop()


@pytest.fixture(scope="session")
def gunicorn_unix(work):
    app = apps.gunicorn_unix(LOGS, work)
    yield app
    app.process.stop()


@pytest.fixture(scope="session")
def express():
    app = apps.express(LOGS)
    yield app
    app.process.stop()


@pytest.fixture(scope="session")
def gateway(work, users, recorder, flask, gunicorn, gunicorn_unix, express):
    """The gateway most tests talk to."""
    sites = [
        {"hosts": ["rec.test"], "upstream": recorder.upstream, "rules": RULES},
        {"hosts": ["flask.test"], "upstream": flask.upstream},
        {"hosts": ["gunicorn.test"], "upstream": gunicorn.upstream, "rules": RULES},
        {"hosts": ["unix.test"], "upstream": gunicorn_unix.upstream},
        {"hosts": ["express.test"], "upstream": express.upstream, "rules": RULES},
    ]
    gateway = Gateway(work / "main", sites, users, LOGS).start()
    yield gateway
    alive = gateway.process.alive()
    gateway.stop()
    assert alive, "the gateway died during the tests"


@pytest.fixture(scope="session")
def make_gateway(work, users):
    """Makes further gateways; all are stopped at the end."""
    made = []

    def make(name, sites, users=users, start=True, **more):
        assert not (work / name).exists(), f"there is a gateway called {name}: two would share a folder"
        gateway = Gateway(work / name, sites, users, LOGS, name, **more)
        made.append(gateway)
        return gateway.start() if start else gateway

    yield make
    for gateway in made:
        gateway.stop()


@pytest.fixture(scope="session")
def brief(make_gateway, recorder, express):
    """A gateway whose sessions end soon: 2 s idle, 6 s at most."""
    sites = [
        {"hosts": ["rec.test"], "upstream": recorder.upstream, "rules": RULES},
        {"hosts": ["express.test"], "upstream": express.upstream},
    ]
    session = {"idle_timeout": "2s", "absolute_timeout": "6s"}
    return make_gateway("brief", sites, session=session)


@pytest.fixture
def person(gateway):
    """Somebody who has not logged in, at the recording app."""
    return Person(gateway)


@pytest.fixture(scope="session")
def alice(gateway):
    """Somebody logged in at the recording app; tests must not log her out."""
    person = Person(gateway)
    person.login("alice")
    return person


@pytest.fixture
def canary(gateway, alice):
    """After the test, an innocent request of somebody else must still be answered, at once and rightly."""
    yield
    with gateway.wire() as wire:
        cookie = f"Cookie: {alice.cookies()}"
        wire.send(head("GET", "/canary", gateway.authority(), cookie))
        answer = wire.response()
    assert answer.status == 200 and answer.json()["target"] == "/canary"
