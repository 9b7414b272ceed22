"""WebSockets: through for the right people, cut when their session ends, and no other switch of protocols."""

import asyncio
import json
import queue
import socket
import threading
import time

import pytest
import websockets
import websockets.sync.server

from support.gateway import run
from support.person import Person
from support.waiting import wait_until
from support.wire import head
from support.wire import tls_context

HANDSHAKE = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]


def shake(gateway, who, *lines, path="/ws", host="express.test", origin="own", extra=b""):
    own = f"https://{gateway.authority(host)}" if origin == "own" else origin
    more = [f"Cookie: {who.cookies()}"] if who else []
    more += [f"Origin: {own}"] if own else []
    wire = gateway.wire(host)
    wire.send(head("GET", path, gateway.authority(host), *(lines or HANDSHAKE), *more) + extra)
    return wire, wire.response()


@pytest.fixture(scope="module")
def chatter(gateway):
    person = Person(gateway, "express.test")
    person.login("bob")
    return person


def frame(text):
    data = text.encode()
    return bytes([0x81, 0x80 | len(data)]) + b"\0\0\0\0" + data


def connect(gateway, who, host="express.test"):
    # Not the library's `sync` client: it reads and writes one TLS connection in two threads, which Python's does not
    # bear; one handshake of some hundreds hangs.
    return websockets.connect(
        f"wss://{host}:{gateway.port}/ws",
        host="127.0.0.1",
        port=gateway.port,
        ssl=tls_context(),
        server_hostname=host,
        origin=f"https://{gateway.authority(host)}",
        additional_headers={"Cookie": who.cookies()},
        proxy=None,
    )


def test_an_echo_goes_both_ways_and_the_app_hears_who_it_is(gateway, chatter):
    async def talk():
        async with connect(gateway, chatter) as socket:
            told = dict((name.lower(), value) for name, value in json.loads(await socket.recv())["headers"])
            assert told["x-forwarded-user"] == "bob"
            assert chatter.cookie not in str(told)
            await socket.send("hello")
            assert await socket.recv() == "echo: hello"
            blob = bytes(range(256)) * 2000
            await socket.send(blob)
            assert await socket.recv() == blob
            await (await socket.ping())

    asyncio.run(talk())


def test_a_stranger_gets_no_socket(gateway, recorder):
    _, answer = shake(gateway, None)
    assert answer.status == 401


@pytest.mark.parametrize(
    "origin",
    ["https://evil.test", "null", "https://express.test.evil.test", "http://express.test", "https://evil@express.test",
     "https://express.test:1"],
)  # fmt: skip
def test_another_origin_gets_no_socket_even_with_the_cookie(gateway, chatter, origin):
    _, answer = shake(gateway, chatter, origin=origin)
    assert answer.status == 403


def test_forged_identities_in_the_handshake_do_not_pass(gateway, chatter):
    forged = [*HANDSHAKE, "X-Forwarded-User: admin", "X_Forwarded_User: admin", "Remote-User: admin"]
    wire, answer = shake(gateway, chatter, *forged)
    assert answer.status == 101
    assert b"admin" not in wire.read_until(b"]]}")
    wire.close()


def test_an_open_socket_is_cut_when_its_session_ends(gateway):
    person = Person(gateway, "express.test")
    person.login("carol")
    wire, answer = shake(gateway, person)
    assert answer.status == 101
    person.logout()
    assert wire.closed(within=5)


def test_an_open_socket_is_cut_at_the_absolute_limit(brief):
    person = Person(brief, "express.test")
    person.login("bob")
    began = time.monotonic()
    wire, answer = shake(brief, person)
    assert answer.status == 101

    def cut():
        # A browser that keeps the session from idling out, until nothing helps any more.
        person.visit("/")
        return wire.closed(within=0.3)

    wait_until(cut, "the socket is cut", within=12)
    assert time.monotonic() - began > 3


def test_an_idle_socket_is_cut_when_its_session_idles_out(brief):
    person = Person(brief, "express.test")
    person.login("bob")
    wire, answer = shake(brief, person)
    assert answer.status == 101
    assert wire.closed(within=8)


@pytest.mark.parametrize(
    "lines",
    [
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"],
        ["Upgrade: websocket, h2c", "Connection: Upgrade"],
        ["Upgrade: h2c", "Upgrade: websocket", "Connection: Upgrade"],
        ["Upgrade: H2C", "Connection: upgrade"],
        ["Upgrade: TLS/1.0", "Connection: Upgrade"],
        ["Upgrade: foo", "Connection: Upgrade"],
        ["Upgrade: ", "Connection: Upgrade"],
    ],
)
def test_no_other_protocol_is_switched_to(gateway, alice, recorder, lines):
    mark = recorder.mark()
    wire, answer = shake(gateway, alice, *lines, path="/x", host="rec.test")
    assert answer.status in (200, 400)
    wire.close()
    for seen in recorder.since(mark):
        assert "h2c" not in str(seen.headers).lower() and "http2-settings" not in seen.names()
        assert [value.lower() for value in seen.all("Upgrade")] in ([], ["websocket"])


def test_upgrade_without_connection_is_an_ordinary_request(gateway, alice, recorder):
    wire, answer = shake(gateway, alice, "Upgrade: websocket", path="/x", host="rec.test")
    assert answer.status in (200, 400)
    assert not recorder.last().all("Upgrade")
    wire.close()


def test_bytes_sent_ahead_of_a_refused_switch_never_reach_the_app(gateway, alice, recorder):
    refusal = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n"
    recorder.on("/refuses", refusal)
    smuggled = head("GET", "/smuggled", gateway.authority(), "X-Forwarded-User: admin")
    mark = recorder.mark()
    wire, answer = shake(gateway, alice, path="/refuses", host="rec.test", extra=smuggled)
    assert answer.status == 426
    # The connection was closed, or the bytes were read as what they are: a request without a session.
    assert all(later.status == 401 for later in wire.responses())
    assert [seen.target for seen in recorder.since(mark)] == ["/refuses"]
    assert recorder.broken == []


FALSE_SWITCHES = {
    "200 with upgrade": b"HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok",
    "wrong accept": b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    "no accept": b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "other protocol": b"HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
}


@pytest.mark.parametrize("name", FALSE_SWITCHES)
def test_a_false_switch_by_the_app_is_no_tunnel(gateway, alice, recorder, name):
    path = "/switch/" + name.replace(" ", "-")
    recorder.on(path, FALSE_SWITCHES[name], keep=False)
    wire, answer = shake(gateway, alice, path=path, host="rec.test")
    assert answer.status == (200 if name.startswith("200") else 502)
    wire.close()


def test_event_streams_are_cut_at_logout_too(gateway):
    person = Person(gateway, "express.test")
    person.login("carol")
    with gateway.wire("express.test") as wire:
        cookie = f"Cookie: {person.cookies()}"
        wire.send(head("GET", "/events?pause=50", gateway.authority("express.test"), cookie))
        wire.read_until(b"tick 2")
        person.logout()
        assert wire.closed(within=5)


def close_of(socket):
    """The code and reason the other side closes with; nothing for one that just goes."""
    try:
        while True:
            socket.recv(timeout=10)
    except websockets.ConnectionClosed as closed:
        return closed.rcvd and (closed.rcvd.code, closed.rcvd.reason)


@pytest.fixture
def chat():
    """An app that says hello, tells how its sockets ended, and can leave a message unfinished."""
    ends = queue.Queue()

    def talk(socket):
        socket.send("hello")
        ends.put(close_of(socket))

    with websockets.sync.server.serve(talk, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1], ends
        server.shutdown()
        thread.join()


ENDED = (1008, "session ended")


@pytest.mark.parametrize("way", ["logout", "idle", "elsewhere"])
def test_both_sides_are_told_by_a_close_frame_that_the_session_ended(make_gateway, chat, way):
    port, ends = chat
    session = {"idle_timeout": "2s"} if way == "idle" else {}
    gateway = make_gateway(f"chat-{way}", [{"hosts": ["chat.test"], "upstream": f"http://127.0.0.1:{port}"}], session=session)
    person = Person(gateway, "chat.test")
    # The app speaks nothing but WebSocket; the gateway's own page does for a login.
    person.login("bob", "/.vestibule/sessions")

    def end():
        if way == "logout":
            person.logout()
        elif way == "elsewhere":
            run("sessions", "end-user", "bob", "--config", gateway.file)

    async def talk():
        async with connect(gateway, person, "chat.test") as socket:
            assert await socket.recv() == "hello"
            await socket.send("x" * 70_000)
            await asyncio.to_thread(end)
            await asyncio.wait_for(socket.wait_closed(), 10)
            return socket.close_code, socket.close_reason

    assert asyncio.run(talk()) == ENDED
    assert ends.get(timeout=10) == ENDED


def test_a_frame_that_is_under_way_is_cut_without_another_inside_it(make_gateway):
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    gateway = make_gateway("chat-cut", [{"hosts": ["chat.test"], "upstream": f"http://127.0.0.1:{port}"}])
    person = Person(gateway, "chat.test")
    person.login("bob", "/.vestibule/sessions")
    unfinished = bytes([0x82, 126, 0x10, 0x00]) + b"begun"

    def answer():
        app, _ = listener.accept()
        app.recv(65536)
        app.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" + unfinished
        )
        seen.append(app.recv(65536))
        app.close()

    seen = []
    thread = threading.Thread(target=answer)
    thread.start()
    wire, switched = shake(gateway, person, host="chat.test")
    assert switched.status == 101
    assert wire.read_until(b"begun") == unfinished
    person.logout()
    rest = wire.buffer
    while part := wire._receive():
        rest += part
    assert rest == b""
    thread.join()
    listener.close()
    # The browser had sent nothing, so that the app's side was between two frames: it is told.
    assert seen[0][:2] == bytes([0x88, 0x80 | 15])


def test_a_close_of_their_own_is_not_followed_by_ours(make_gateway, chat):
    port, ends = chat
    gateway = make_gateway("chat-own", [{"hosts": ["chat.test"], "upstream": f"http://127.0.0.1:{port}"}])
    person = Person(gateway, "chat.test")
    person.login("bob", "/.vestibule/sessions")

    async def talk():
        async with connect(gateway, person, "chat.test") as socket:
            assert await socket.recv() == "hello"
            await socket.close(4321, "bye")

    asyncio.run(talk())
    assert ends.get(timeout=10) == (4321, "bye")
    person.logout()
