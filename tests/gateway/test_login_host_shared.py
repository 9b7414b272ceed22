"""`login.host` behind a balancer: two gateways on one store, and every request may come to either."""

import itertools
import secrets
import threading

import pytest

from conftest import LOGS
from support.redis import Redis
from support.traveller import Traveller
from support.waiting import wait_until

DESK = "login.test"
ONE = "one.test"
TWO = "two.test"


@pytest.fixture(scope="module")
def pair(make_gateway, work, recorder):
    server = Redis(work / "login-host-redis", LOGS, "login-host-redis").start()
    keys = work / "login-host-keys"
    keys.touch(mode=0o600)
    keys.write_text(secrets.token_hex(32) + "\n")
    sites = [{"hosts": [host], "upstream": recorder.upstream} for host in (ONE, TWO)]
    shared = {"login": {"host": DESK}, "session": {"store": {"redis": server.url}}, "keys": str(keys)}
    yield [make_gateway(f"balanced{number}", sites, **shared) for number in (1, 2)]
    server.stop()


class Balanced(Traveller):
    """A browser whose requests come to the two gateways in turn."""

    def __init__(self, pair, first=0):
        super().__init__(pair[0])
        self.turn = itertools.cycle(pair[first:] + pair[:first])

    def load(self, url, **lines):
        self.gateway = next(self.turn)
        return super().load(url, **lines)


@pytest.fixture(params=[0, 1])
def bob(pair, request):
    browser = Balanced(pair, request.param)
    arrival = browser.sign_in(browser.open(browser.url(ONE, "/deep")))
    assert (arrival.host, arrival.path, arrival.response.status) == (ONE, "/deep", 200)
    return browser


def through(gateway, browser):
    """The same browser, with all its requests going to this gateway."""
    tab = Traveller(browser.gateway, gateway)
    tab.port = browser.port
    for host, guest in browser.at.items():
        tab.on(host).jar = dict(guest.jar)
    return tab


def test_a_login_is_handed_over_whoever_answers(bob, pair, recorder):
    arrival = bob.open(bob.url(TWO, "/second"))
    assert (arrival.host, arrival.path, arrival.response.status) == (TWO, "/second", 200)
    assert recorder.last().one("x-forwarded-user") == "bob"
    for gateway in pair:
        tab = through(gateway, bob)
        assert all(tab.is_in(host) for host in (ONE, TWO)) and tab.on(DESK).authenticated()


def test_a_code_is_good_once_on_both_together(bob, pair):
    for _ in range(10):
        bob.at.pop(TWO, None)
        local = bob.url(TWO, bob.load(bob.url(TWO)).get("Location"))
        code = bob.load(bob.load(local).get("Location")).get("Location")
        tabs = [through(gateway, bob) for gateway in pair * 2]
        gate = threading.Barrier(len(tabs))

        def redeem(tab, code=code, gate=gate):
            gate.wait()
            tab.load(code)

        threads = [threading.Thread(target=redeem, args=[tab]) for tab in tabs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len([tab for tab in tabs if tab.on(TWO).cookie]) == 1


def test_a_logout_by_either_ends_it_on_all_hosts_of_both(bob, pair):
    assert bob.open(bob.url(TWO)).response.status == 200
    there = through(pair[1], bob)
    assert there.is_in(ONE) and there.is_in(TWO)
    through(pair[0], bob).log_out(ONE)

    def out():
        return not any(there.on(host).authenticated() for host in (ONE, TWO, DESK))

    wait_until(out, "the other gateway has heard of it", within=1)
