"""The way to the app: how answers end, who waits for whom, and what becomes of a connection."""

import contextlib
import socket
import threading
import time

import pytest

from support.person import Person
from support.recorder import answer
from support.wire import head

pytestmark = pytest.mark.usefixtures("canary")

SWITCH = (
    b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def ask(gateway, who, target, *lines, method="GET"):
    return head(method, target, gateway.authority(), f"Cookie: {who.cookies()}", *lines)


ENDINGS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", True),
    "length in 1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello", True),
    "one chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", True),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n2;a=b\r\nel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\n", True),
    "length and close": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", False),
    "close": (b"HTTP/1.1 200 OK\r\n\r\nhello", False),
    "close in 1.0": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello", False),
}


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("name", ENDINGS)
def test_an_answer_ends_where_it_says(gateway, alice, recorder, name, slow):
    raw, keeps = ENDINGS[name]
    path = f"/ends/{name.replace(' ', '-')}/{slow}"

    def byte_by_byte(client, seen):
        for at in range(len(raw)):
            client.sendall(raw[at : at + 1])
            time.sleep(0.001)

    recorder.on(path, byte_by_byte if slow else raw, keep=keeps)
    for _ in range(2):
        shown = alice.visit(path)
        assert shown.status == 200 and shown.body == b"hello"
    assert alice.visit("/fine").json()["target"] == "/fine"


@pytest.mark.parametrize(
    ("method", "status", "lines"),
    [
        ("HEAD", "200 OK", ["Content-Length: 5"]),
        ("HEAD", "200 OK", ["Transfer-Encoding: chunked"]),
        ("GET", "204 No Content", []),
        ("GET", "304 Not Modified", ["Content-Length: 5", "ETag: x"]),
    ],
)
def test_an_answer_without_a_body_has_none_and_its_connection_goes_on(gateway, alice, recorder, method, status, lines):
    path = f"/bodyless/{method}/{status[:3]}/{len(lines and lines[0])}"
    recorder.on(path, "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode())
    mark = recorder.mark()
    with gateway.wire() as wire:
        for _ in range(2):
            wire.send(ask(gateway, alice, path, method=method))
            shown = wire.response(method)
            assert shown.status == int(status[:3]) and shown.body == b""
    first, second = recorder.since(mark)
    assert second.connection == first.connection and second.number == first.number + 1


def test_an_app_may_answer_while_it_is_still_being_sent_the_request(gateway, alice, recorder):
    """Each side goes on when the other has: neither waits for the end of what the other says."""

    def converse(client, seen):
        client.settimeout(10)
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            part = seen.reader.read(4)
            client.sendall(b"4\r\n" + part.upper() + b"\r\n")
        client.sendall(b"0\r\n\r\n")

    recorder.on("/converse", converse, keep=False, early=True)
    with gateway.wire() as wire:
        wire.send(ask(gateway, alice, "/converse", "Content-Length: 12", method="POST"))
        for part in (b"abcd", b"efgh", b"ijkl"):
            wire.send(part)
            wire.read_until(part.upper())


def test_an_upload_ends_with_its_session(gateway, recorder):
    """Whoever has logged out sends the app nothing more, however much was promised."""
    person = Person(gateway)
    person.login("dave" if "dave" in gateway.passwords else "bob")
    begun, arrived = threading.Event(), []

    def listen(client, seen):
        arrived.append(seen.reader.read(4))
        begun.set()
        with contextlib.suppress(OSError):
            arrived.append(seen.reader.read())

    recorder.on("/listen", listen, keep=False, early=True)
    with gateway.wire() as wire:
        wire.send(ask(gateway, person, "/listen", "Content-Length: 12", method="POST") + b"abcd")
        assert begun.wait(10)
        person.logout()
        wire.send(b"efgh")
        assert wire.response("POST").status == 401
    assert arrived[0] == b"abcd" and b"efgh" not in b"".join(arrived)


def test_an_early_no_reaches_somebody_who_is_still_sending(gateway, alice, recorder):
    def refuse(client, seen):
        client.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")

    recorder.on("/no", refuse, keep=False, early=True)
    with gateway.wire() as wire:
        wire.send(ask(gateway, alice, "/no", "Content-Length: 1000000", method="POST") + b"x" * 1000)
        shown = wire.response()
        assert shown.status == 403 and shown.body == b"no!"


def test_bytes_that_come_with_a_switch_of_protocols_are_not_lost(gateway, alice, recorder):
    def switch(client, seen):
        client.sendall(SWITCH + b"\x81\x05hello")
        assert seen.reader.read(4) == b"back"

    recorder.on("/switch-early", switch, keep=False)
    lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Origin: {alice.origin}"]
    with gateway.wire() as wire:
        wire.send(ask(gateway, alice, "/switch-early", *lines, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        wire.read_until(b"\x81\x05hello")
        wire.send(b"back")
        assert wire.closed()


def test_an_app_that_sends_interim_answers_without_end_keeps_nobody_waiting(gateway, alice, recorder):
    stop = threading.Event()

    def hints(client, seen):
        while not stop.is_set():
            client.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)

    recorder.on("/hints", hints, keep=False)
    try:
        with gateway.wire() as wire:
            wire.send(ask(gateway, alice, "/hints"))
            began = time.monotonic()
            for _ in range(5):
                assert alice.visit("/fine").status == 200
            assert time.monotonic() - began < 5
            assert wire.response().status == 502
    finally:
        stop.set()


def test_a_repeatable_request_survives_a_connection_that_was_just_closed(gateway, alice, recorder):
    """The app answers and closes without a word: the next request meets the closed connection, or finds a new one."""
    recorder.on("/last", answer(), keep=False)
    for _ in range(20):
        assert alice.visit("/last").status == 200
        assert alice.visit("/fine").json()["target"] == "/fine"


def test_what_an_app_calls_a_status_is_kept(gateway, alice, recorder):
    recorder.on("/named", answer("299 Fine So Far"))
    with gateway.wire() as wire:
        wire.send(ask(gateway, alice, "/named"))
        wire.read_until(b"HTTP/1.1 299 Fine So Far\r\n")


def test_a_form_without_fields_tells_its_length(gateway, alice, recorder):
    lines = ["Content-Length: 0", f"Origin: {alice.origin}"]
    with gateway.wire() as wire:
        wire.send(ask(gateway, alice, "/empty", *lines, method="POST"))
        assert wire.response().status == 200
    assert recorder.last().one("Content-Length") == "0"


def test_a_handshake_with_a_body_is_an_ordinary_request(gateway, alice, recorder):
    lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Origin: {alice.origin}"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Content-Length: 5"]
    with gateway.wire() as wire:
        wire.send(ask(gateway, alice, "/with-body", *lines) + b"hello")
        assert wire.response().status == 200
    assert recorder.last().body == b"hello" and not recorder.last().all("Upgrade")
    recorder.on("/with-body", SWITCH, keep=False)
    with gateway.wire() as wire:
        wire.send(ask(gateway, alice, "/with-body", *lines) + b"hello")
        assert wire.response().status == 502


@pytest.fixture(scope="module")
def narrow(make_gateway, recorder):
    """A gateway that may have one connection to the app, and keeps it for long."""
    upstream = {"servers": [recorder.upstream], "max_connections": 1, "idle": "1m"}
    limits = {"upstream_connect": "1s"}
    return make_gateway("narrow", [{"hosts": ["rec.test"], "upstream": upstream}], limits=limits)


@pytest.fixture(scope="module")
def dave(narrow):
    person = Person(narrow)
    person.login("dave")
    return person


def test_an_unused_connection_makes_room_for_a_request_that_needs_a_new_one(narrow, dave):
    """Each visit is on a connection of its own, so that both workers come to hold the one to the app."""
    for _ in range(8):
        began = time.monotonic()
        assert dave.visit("/x").status == 200
        assert dave.submit("/x", {"a": "b"}).status == 200
        assert time.monotonic() - began < 1


def test_a_websocket_is_one_of_the_connections(narrow, dave, recorder):
    done = threading.Event()

    def switch(client, seen):
        client.sendall(SWITCH)
        done.wait(10)

    recorder.on("/counted", switch, keep=False)
    lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Origin: {dave.origin}"]
    with narrow.wire() as wire:
        wire.send(ask(narrow, dave, "/counted", *lines, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        wire.read_until(b"s3pPLMBi")
        assert dave.visit("/x").status == 503
    done.set()
    assert dave.visit("/x").status == 200


def test_a_server_that_does_not_answer_is_left_out_for_a_while(make_gateway, recorder):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as queue:
        address = deaf.getsockname()
        # Fills the queue of a server that never accepts: what comes then is dropped without a word.
        for _ in range(4):
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        servers = [f"http://127.0.0.1:{address[1]}", recorder.upstream]
        sites = [{"hosts": ["rec.test"], "upstream": {"servers": servers}}]
        gateway = make_gateway("deaf", sites, limits={"upstream_connect": "3s"})
        person = Person(gateway)
        person.login("erin")
        times = []
        for _ in range(6):
            began = time.monotonic()
            assert person.submit("/x", {"a": "b"}).status == 200
            times.append(time.monotonic() - began)
    assert sum(took > 2.5 for took in times) == 1, times
