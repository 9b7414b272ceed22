"""An app with several servers: who gets which request, and what becomes of those that are ill."""

import threading

import pytest

from support.person import Person
from support.recorder import Recorder
from support.recorder import answer
from support.waiting import wait_until

WELL = answer(body=b"fine")
ILL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
HEALTH = {"path": "/healthz?deep=1", "interval": "100ms", "timeout": "500ms", "unhealthy_after": 2}


@pytest.fixture
def pair():
    servers = [Recorder(), Recorder()]
    for server in servers:
        server.on("/healthz", WELL)
    yield servers
    for server in servers:
        server.close()


def visitor(make_gateway, name, pair, **upstream):
    upstream = {"servers": [server.upstream for server in pair], **upstream}
    gateway = make_gateway(name, [{"hosts": ["rec.test"], "upstream": upstream}])
    person = Person(gateway)
    person.login("alice")
    return gateway, person


def counts(pair):
    """Requests of people, not of health checks."""
    return [sum(not seen.target.startswith("/healthz") for seen in server.seen) for server in pair]


def healthy(gateway, pair):
    text = gateway.ask_admin("/metrics").text
    line = 'vestibule_upstream_healthy{{site="rec.test/",server="{}"}} {}'
    return [line.format(server.upstream, 1) in text.splitlines() for server in pair]


def test_requests_take_turns_on_kept_connections_too(make_gateway, pair):
    _, person = visitor(make_gateway, "turns", pair, idle="1m")
    before = counts(pair)
    for _ in range(10):
        assert person.visit("/x").status == 200
        assert person.submit("/x", {"a": "b"}).status == 200
    assert [now - then for now, then in zip(counts(pair), before)] == [10, 10]


def test_the_least_busy_server_is_asked(make_gateway, pair):
    _, person = visitor(make_gateway, "least", pair, balance="least_connections")
    release = threading.Event()

    def slow(client, seen):
        release.wait(30)
        client.sendall(WELL)

    for server in pair:
        server.on("/slow", slow)
    waiting = threading.Thread(target=person.visit, args=("/slow",))
    waiting.start()
    wait_until(lambda: any(seen.target == "/slow" for server in pair for seen in server.seen), "the slow request")
    busy = [any(seen.target == "/slow" for seen in server.seen) for server in pair]
    before = counts(pair)
    for _ in range(6):
        assert person.visit("/x").status == 200
    assert [now - then for now, then in zip(counts(pair), before)] == [0 if is_busy else 6 for is_busy in busy]
    release.set()
    waiting.join()


def test_an_ill_server_is_left_out_until_it_is_well(make_gateway, pair):
    gateway, person = visitor(make_gateway, "health", pair, health=HEALTH)
    assert healthy(gateway, pair) == [True, True]
    pair[0].on("/healthz", ILL)
    wait_until(lambda: healthy(gateway, pair) == [False, True], "health [False, True]")
    before = counts(pair)
    for _ in range(6):
        assert person.visit("/x").status == 200
    assert [now - then for now, then in zip(counts(pair), before)] == [0, 6]
    pair[0].on("/healthz", WELL)
    wait_until(lambda: healthy(gateway, pair) == [True, True], "health [True, True]")
    for _ in range(2):
        assert person.visit("/x").status == 200
    assert counts(pair)[0] == before[0] + 1
    asked = [seen for seen in pair[0].seen if seen.target == "/healthz?deep=1"]
    assert asked[-1].one("Host") == "rec.test" and asked[-1].method == "GET"
    assert not asked[-1].all("Cookie") and not asked[-1].all("X-Forwarded-User")


def test_a_silent_server_is_ill_and_where_all_are_the_app_is_asked_all_the_same(make_gateway, pair):
    gateway, person = visitor(make_gateway, "silent", pair, health=HEALTH)
    release = threading.Event()
    for server in pair:
        server.on("/healthz", lambda client, seen: release.wait(30))
    wait_until(lambda: healthy(gateway, pair) == [False, False], "health [False, False]")
    assert person.visit("/x").status == 200
    release.set()
