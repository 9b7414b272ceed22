"""One gateway after another on sockets that somebody else holds open, as systemd does."""

import socket
import threading
import time

import pytest

from support.person import Person
from support.process import Process
from support.waiting import wait_until

# What systemd does: the sockets from descriptor 3 on, and the process told that they are its own. Not by `sh`: dash
# knows no descriptor of two digits.
HAND_OVER = ["/bin/bash", "-c", 'exec 3<&"$0"; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"']


class Held:
    """A gateway behind a socket that outlives it."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.socket = socket.create_server(("127.0.0.1", gateway.port), backlog=1024)

    def start(self):
        number = str(self.socket.fileno())
        command = [*HAND_OVER, number, *self.gateway.command()]
        self.gateway.run(command, pass_fds=[self.socket.fileno()])

    def close(self):
        self.gateway.stop()
        self.socket.close()


@pytest.fixture(scope="module")
def held(make_gateway, recorder):
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    held = Held(make_gateway("held", sites, start=False, session={"store": "disk"}))
    held.start()
    yield held
    held.close()


def test_nobody_is_refused_or_logged_out_while_a_gateway_is_restarted(held):
    gateway = held.gateway
    person = Person(gateway)
    person.login("alice")
    done = threading.Event()
    seen = []

    def visitor():
        """A new connection for each request: one that is refused fails the test."""
        while not done.is_set():
            began = time.monotonic()
            shown = person.visit("/x")
            seen.append((shown.status, time.monotonic() - began))

    visitors = [threading.Thread(target=visitor) for _ in range(4)]
    for thread in visitors:
        thread.start()
    for _ in range(3):
        before = len(seen)
        wait_until(lambda: len(seen) > before + 20, "visits before the restart")
        assert gateway.stop() == 0
        held.start()
    wait_until(lambda: len(seen) > before + 40, "visits after the restarts")
    done.set()
    for thread in visitors:
        thread.join()
    assert {status for status, _ in seen} == {200}
    print(f"{len(seen)} visits, the longest took {max(took for _, took in seen):.2f} s")


def test_a_socket_that_nobody_asked_for_is_an_error(held, make_gateway, recorder):
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    other = make_gateway("unasked", sites, start=False)
    other.write()
    number = str(held.socket.fileno())
    process = Process([*HAND_OVER, number, *other.command()], other.folder / "out", pass_fds=[held.socket.fileno()])
    assert process.child.wait(20) == 1
    assert f"127.0.0.1:{held.gateway.port}" in process.errors() and "`listen`" in process.errors()
    process.stop()
