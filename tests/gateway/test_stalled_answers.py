"""Answers that nobody takes are given up, each by itself; those whose app or reader is slow are not."""

import contextlib
import socket
import threading
import time

import pytest
from hyperframe.frame import SettingsFrame
from hyperframe.frame import WindowUpdateFrame

from support.h2client import Http2
from support.h2client import request
from support.recorder import Recorder
from support.recorder import answer
from support.waiting import wait_until

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"1000\r\n" + b"x" * 4096 + b"\r\n"
PATIENCE = 1


@pytest.fixture
def app():
    app = Recorder()
    app.cut = threading.Event()

    def endless(client, _seen):
        """Sends until nobody takes it any more."""
        with contextlib.suppress(OSError):
            client.sendall(HEAD)
            while True:
                client.sendall(CHUNK)
        app.cut.set()

    def thoughtful(client, _seen):
        """Says something, and the rest long after."""
        client.sendall(HEAD + b"5\r\nfirst\r\n")
        time.sleep(3 * PATIENCE)
        client.sendall(b"4\r\nlast\r\n0\r\n\r\n")

    app.on("/endless", endless, keep=False)
    def ends_late(client, _seen):
        """The end comes when all that belongs before it is on its way."""
        client.sendall(HEAD + b"7530\r\n" + b"y" * 30_000 + b"\r\n")
        time.sleep(0.05)
        client.sendall(b"0\r\n\r\n")

    def ends_by_closing(client, _seen):
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n" + b"y" * 30_000)

    def goes_silent(client, _seen):
        """Says much, and then nothing more."""
        client.sendall(HEAD + b"7530\r\n" + b"y" * 30_000 + b"\r\n")
        app.cut.wait(30)

    app.on("/thoughtful", thoughtful)
    app.on("/ends-late", ends_late, keep=False)
    app.on("/ends-by-closing", ends_by_closing, keep=False)
    app.on("/goes-silent", goes_silent, keep=False)
    app.on("/small", answer(body=b"ok"))
    app.on("/some", answer(body=b"y" * 30_000))
    yield app
    app.close()


@pytest.fixture
def gateway(make_gateway, app, request):
    sites = [{"hosts": ["rec.test"], "upstream": app.upstream, "rules": [{"path": "/*", "allow": "anyone"}]}]
    return make_gateway(f"stalled-{request.node.name[5:25]}", sites, limits={"idle_timeout": f"{PATIENCE}s"})


def connect(gateway, window):
    client = Http2(gateway.port)
    client.send_raw(SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: window}).serialize())
    return client


def test_a_stream_that_nobody_takes_ends_whatever_moves_on_others(gateway, app):
    with connect(gateway, 100) as client:
        stuck = client.open(request(gateway.authority(), "/endless"))
        until = time.monotonic() + 10 * PATIENCE
        while client.streams[stuck].reset is None and time.monotonic() < until:
            small = client.finish(client.open(request(gateway.authority(), "/small")))
            assert (small.status, small.body) == (200, b"ok")
            client.drain(0.1)
        assert client.streams[stuck].reset is not None
        assert app.cut.wait(5), "the app's connection is let go"
        assert client.finish(client.open(request(gateway.authority(), "/small"))).status == 200


def test_many_stuck_streams_all_end_and_leave_room(gateway):
    with connect(gateway, 0) as client:
        stuck = [client.open(request(gateway.authority(), "/some")) for _ in range(99)]
        wait_until(lambda: client.drain(0.1) or all(client.streams[one].reset is not None for one in stuck), "all end", within=15)
        # With no window at all even small ones wait, so these are given one.
        again = client.open(request(gateway.authority(), "/small"))
        client.send_raw(WindowUpdateFrame(again, window_increment=100).serialize())
        assert client.finish(again).body == b"ok"


@pytest.mark.parametrize("path", ["/some", "/ends-late", "/ends-by-closing", "/goes-silent"])
def test_a_last_piece_that_nobody_takes_ends_too(make_gateway, app, path):
    """A byte of room is given for each: what comes first is taken, and all the rest is waited for."""
    sites = [{"hosts": ["rec.test"], "upstream": app.upstream, "rules": [{"path": "/*", "allow": "anyone"}]}]
    gateway = make_gateway(f"stalled-{path[1:]}", sites, limits={"idle_timeout": f"{PATIENCE}s"})
    with connect(gateway, 1) as client:
        stuck = [client.open(request(gateway.authority(), path)) for _ in range(50)]

        def all_end():
            again = client.open(request(gateway.authority(), "/small"))
            client.send_raw(WindowUpdateFrame(again, window_increment=100).serialize())
            assert client.finish(again).body == b"ok", "others move all the time"
            client.drain(0.1)
            return all(client.streams[one].reset is not None for one in stuck)

        wait_until(all_end, "all end", within=15)
        app.cut.set()


def test_room_for_the_answer_is_room_enough(gateway, app):
    for size in (1, 1023, 1024, 1025, 30_000):
        app.on("/exact", answer(body=b"z" * size))
        with connect(gateway, size) as client:
            stream = client.finish(client.open(request(gateway.authority(), "/exact")))
            assert (stream.reset, stream.body) == (None, b"z" * size)


def test_a_slow_reader_is_let_read_for_as_long_as_it_reads(make_gateway, app):
    patience = 3
    sites = [{"hosts": ["rec.test"], "upstream": app.upstream, "rules": [{"path": "/*", "allow": "anyone"}]}]
    gateway = make_gateway("stalled-slow-reader", sites, limits={"idle_timeout": f"{patience}s"})
    with connect(gateway, 1) as client:
        slow = client.open(request(gateway.authority(), "/endless"))
        client.send_raw(WindowUpdateFrame(0, window_increment=1 << 24).serialize())
        for _ in range(12):
            # More than a piece of an answer has.
            client.send_raw(WindowUpdateFrame(slow, window_increment=1 << 17).serialize())
            client.drain(patience / 4)
            assert client.streams[slow].reset is None
        assert len(client.streams[slow].body) > 8 * (1 << 17)
        wait_until(lambda: client.drain(0.1) or client.streams[slow].reset is not None, "and no longer", within=15)


def test_over_a_slow_link_each_of_many_streams_has_its_turn(make_gateway, app):
    """A page with many pictures on a bad day: all are read, as fast as they come."""
    patience, streams, size, rate = 4, 60, 600_000, 600_000
    app.on("/picture", answer(body=b"z" * size))
    sites = [{"hosts": ["rec.test"], "upstream": app.upstream, "rules": [{"path": "/*", "allow": "anyone"}]}]
    gateway = make_gateway("stalled-slow-link", sites, limits={"idle_timeout": f"{patience}s"})
    with connect(gateway, 6_000_000) as client:
        client.wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
        client.send_raw(WindowUpdateFrame(0, window_increment=1 << 28).serialize())
        pictures = [client.streams[client.open(request(gateway.authority(), "/picture"))] for _ in range(streams)]
        got = lambda: sum(len(picture.body) for picture in pictures)
        began = time.monotonic()
        while time.monotonic() < began + 4 * patience:
            client.read_one()
            # As slow as the link is.
            time.sleep(max(0, got() / rate - (time.monotonic() - began)))
        wait_until(lambda: client.drain(0.1) or got() == streams * size, "all come", within=20)
        assert [picture.reset for picture in pictures] == [None] * streams


def test_an_app_that_thinks_is_waited_for(gateway):
    with connect(gateway, 100) as client:
        stream = client.finish(client.open(request(gateway.authority(), "/thoughtful")))
        assert (stream.status, stream.body) == (200, b"firstlast")
