"""What must keep working: a gateway that survives attacks by breaking apps has failed."""

import hashlib
import json
import subprocess
import time

import pytest

from support import apps
from support.certificates import Authority
from support.person import Person
from support.recorder import answer
from support.wire import head

MEGABYTE = 1 << 20


@pytest.fixture(scope="module", params=["flask.test", "gunicorn.test", "express.test", "unix.test"])
def user(gateway, request):
    person = Person(gateway, request.param)
    person.login("bob")
    return person


@pytest.fixture(scope="module")
def at_gunicorn(gateway):
    person = Person(gateway, "gunicorn.test")
    person.login("bob")
    return person


@pytest.fixture(scope="module")
def at_express(gateway):
    person = Person(gateway, "express.test")
    person.login("bob")
    return person


def curl(person, path, *options, data=None):
    """Runs curl as the person; returns standard output. `-i` and the like are the caller's."""
    command = ["curl", "--silent", "--show-error", "--insecure", "--max-time", "60"]
    command += ["--connect-to", f"::127.0.0.1:{person.gateway.port}"]
    command += ["--cookie", person.cookies(), *options, person.origin + path]
    done = subprocess.run(command, input=data, capture_output=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize("protocol", ["--http1.1", "--http2"])
def test_every_app_sees_the_request_as_it_was_sent(user, protocol):
    more = [] if user.host == "express.test" else ["-H", "Authorization: Basic YTpi"]
    told = json.loads(curl(user, "/echo/a?b=c&d=%20", protocol, "-X", "PUT", "--data", "hello", *more))
    headers = {name.lower(): value for name, value in told["headers"]}
    assert (told["method"], told["path"], told["query"], told["length"]) == ("PUT", "/echo/a", "b=c&d=%20", 5)
    assert headers["x-forwarded-user"] == "bob" and headers["x-forwarded-proto"] == "https"
    assert headers["host"] == user.authority and headers["x-forwarded-host"] == user.authority
    if more:
        assert headers["authorization"] == "Basic YTpi"


@pytest.mark.parametrize("protocol", ["--http1.1", "--http2"])
def test_uploads_without_a_length_arrive_whole(at_express, protocol):
    body = bytes(range(256)) * 4096
    told = json.loads(curl(at_express, "/echo", protocol, "-T", "-", "-X", "POST", data=body))
    assert told["length"] == len(body) and told["sha256"] == hashlib.sha256(body).hexdigest()


def test_an_upload_that_waits_to_be_asked_is_asked(user):
    body = b"x" * MEGABYTE
    told = curl(user, "/files/waits", "--http1.1", "-H", "Expect: 100-continue", "-T", "-", data=body)
    assert json.loads(told)["size"] == len(body)


def test_a_stranger_who_waits_to_be_asked_is_refused_at_once(gateway, recorder):
    mark = recorder.mark()
    with gateway.wire() as wire:
        wire.send(head("PUT", "/x", gateway.authority(), "Expect: 100-continue", "Content-Length: 1000000"))
        assert wire.response().status == 401
        assert wire.closed()
    assert recorder.since(mark) == []


@pytest.mark.parametrize("protocol", ["--http1.1", "--http2"])
def test_fifty_megabytes_go_up_and_down(at_gunicorn, tmp_path, protocol):
    block = bytes(range(256)) * 256
    big = tmp_path / "big"
    big.write_bytes(block * 800)
    assert json.loads(curl(at_gunicorn, "/files/big", protocol, "-T", str(big)))["size"] == 800 * len(block)
    back = curl(at_gunicorn, "/files/big", protocol)
    assert hashlib.sha256(back).digest() == hashlib.sha256(block * 800).digest()


def test_bodies_stream_and_are_not_gathered(gateway, at_express, alice, recorder):
    """The app has the first half of an upload before the second half is sent."""
    halves = []

    def half_and_half(client, seen):
        client.settimeout(10)
        halves.append(seen.reader.read(4))
        client.sendall(answer())

    recorder.on("/halves", half_and_half, keep=False, early=True)
    with gateway.wire() as wire:
        wire.send(head("POST", "/halves", gateway.authority(), f"Cookie: {alice.cookies()}", "Content-Length: 8") + b"half")
        assert wire.response().status == 200
    assert halves == [b"half"]


def test_ranges_validators_and_head_work(at_gunicorn):
    curl(at_gunicorn, "/files/ranges", "-T", "-", data=b"0123456789" * 100)
    assert curl(at_gunicorn, "/files/ranges", "-r", "10-19") == b"0123456789"
    whole = at_gunicorn.visit("/files/ranges")
    assert whole.get("Accept-Ranges") == "bytes" and len(whole.body) == 1000
    again = at_gunicorn.visit("/files/ranges", **{"If-None-Match": whole.get("ETag")})
    assert again.status == 304 and again.get("ETag") == whole.get("ETag")
    only_head = at_gunicorn.request("HEAD", "/files/ranges")
    assert only_head.status == 200 and only_head.get("Content-Length") == "1000" and only_head.body == b""


def test_lines_arrive_when_they_are_written(gateway, at_gunicorn):
    with gateway.wire("gunicorn.test") as wire:
        cookie = f"Cookie: {at_gunicorn.cookies()}"
        wire.send(head("GET", "/stream?count=3&pause=1", at_gunicorn.authority, cookie))
        began = time.monotonic()
        wire.read_until(b"line 0")
        assert time.monotonic() - began < 0.9
        wire.read_until(b"line 2")


def test_server_sent_events_arrive_one_by_one(gateway, at_express):
    with gateway.wire("express.test") as wire:
        cookie = f"Cookie: {at_express.cookies()}"
        wire.send(head("GET", "/events?pause=800", at_express.authority, cookie, "Accept: text/event-stream"))
        began = time.monotonic()
        wire.read_until(b"tick 0")
        assert time.monotonic() - began < 0.7
        wire.read_until(b"tick 1")


def test_when_the_browser_leaves_the_app_is_told(gateway, alice, recorder):
    gone = []

    def endless(client, seen):
        client.settimeout(10)
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(100):
                client.sendall(b"5\r\nhello\r\n")
                time.sleep(0.05)
        except OSError:
            gone.append(True)

    recorder.on("/endless", endless, keep=False)
    with gateway.wire() as wire:
        wire.send(head("GET", "/endless", gateway.authority(), f"Cookie: {alice.cookies()}"))
        wire.read_until(b"hello")
    from support.waiting import wait_until

    wait_until(lambda: gone, "the app notices", within=8)


def test_no_post_is_lost_to_an_app_that_closes_idle_connections(gateway, at_gunicorn):
    """gunicorn closes after 2 s of silence: pauses around that time must never meet a closed socket."""
    from concurrent.futures import ThreadPoolExecutor

    pauses = [0, 0.3, 0.7, 0.95, 1.0, 1.05, 1.3, 1.7, 1.95, 1.99, 2.0, 2.01, 2.05, 2.2]

    def posts(worker):
        statuses = []
        with gateway.wire("gunicorn.test", timeout=30) as wire:
            for number in range(10):
                wire.send(
                    head("POST", "/echo", at_gunicorn.authority, f"Cookie: {at_gunicorn.cookies()}", "Content-Length: 3") + b"abc"
                )
                statuses.append(wire.response().status)
                time.sleep(pauses[(worker * 3 + number) % len(pauses)])
        return statuses

    with ThreadPoolExecutor(20) as pool:
        statuses = [status for one in pool.map(posts, range(20)) for status in one]
    assert len(statuses) == 200 and set(statuses) == {200}


def test_a_post_is_never_sent_twice(gateway, alice, recorder):
    recorder.on("/resets", b"", keep=False)
    mark = recorder.mark()
    assert alice.submit("/resets", {"a": "b"}).status == 502
    assert [seen.target for seen in recorder.since(mark)] == ["/resets"]


def test_trailers_and_hop_headers_of_an_answer_are_dropped(gateway, alice, recorder):
    lines = ["Connection: X-Private", "X-Private: 1", "Keep-Alive: timeout=5", "Proxy-Connection: x", "X-Kept: 1"]
    recorder.on("/hops", answer(headers=lines))
    shown = alice.visit("/hops")
    assert shown.status == 200 and shown.get("X-Kept") == "1"
    assert shown.get("X-Private") is None and shown.get("Proxy-Connection") is None
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n"
    recorder.on("/trailers", chunked)
    assert alice.visit("/trailers").body == b"ok"
    assert alice.visit("/fine").status == 200


def test_header_lines_of_one_name_stay_apart_and_in_order(gateway, alice, recorder):
    recorder.on("/lines", answer(headers=["X-Line: 1", "X-Line: 2", "Link: <a>", "Link: <b>", "Set-Cookie: a=1", "Set-Cookie: b=2"]))
    shown = alice.visit("/lines")
    assert shown.all("X-Line") == ["1", "2"] and shown.all("Link") == ["<a>", "<b>"]
    assert [line.split(";")[0] for line in shown.all("Set-Cookie")] == ["a=1", "b=2"]
    alice.visit("/x", **{"X-Many": "1"})
    assert recorder.last().all("X-Many") == ["1"]


def test_compressed_answers_pass_as_they_are(gateway, alice, recorder):
    import gzip

    packed = gzip.compress(b"hello" * 1000)
    recorder.on("/packed", answer(headers=["Content-Encoding: gzip", "Content-Type: text/plain"], body=packed))
    shown = alice.visit("/packed", **{"Accept-Encoding": "gzip"})
    assert shown.body == packed and shown.get("Content-Encoding") == "gzip"
    assert recorder.last().one("Accept-Encoding") == "gzip"


@pytest.mark.parametrize(
    ("interim", "status"), [(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", 200), (b"HTTP/1.1 100 Continue\r\n\r\n", 200)]
)
def test_interim_answers_disturb_nothing(gateway, alice, recorder, interim, status):
    path = f"/interim/{interim[9:12].decode()}"
    recorder.on(path, interim + answer())
    assert alice.visit(path).status == status


def test_an_old_client_is_served_without_chunks(gateway, alice, recorder):
    recorder.on("/chunky", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    with gateway.wire() as wire:
        wire.send(head("GET", "/chunky", gateway.authority(), f"Cookie: {alice.cookies()}", version="HTTP/1.0"))
        shown = wire.response()
        assert shown.status == 200 and shown.get("Transfer-Encoding") is None and shown.body == b"ok"


def test_redirects_of_an_app_that_believes_itself_on_http_lead_to_https(gateway, at_gunicorn):
    answer_ = at_gunicorn.visit("/absolute-redirect")
    assert answer_.status == 302
    assert at_gunicorn.location(answer_) == "/echo?from=absolute"


def test_redirects_elsewhere_stay_as_they_are(gateway, alice, recorder):
    for number, place in enumerate(("https://elsewhere.test/x", "/relative?x=1", "../up", "http://elsewhere.test/")):
        recorder.on(f"/to/{number}", answer("302 Found", [f"Location: {place}"]))
        assert alice.visit(f"/to/{number}").get("Location") == place


def test_an_app_that_is_not_there_is_a_502_and_back_again_when_it_returns(make_gateway, tmp_path_factory):
    from support.process import free_port

    port = free_port()
    gateway = make_gateway("absent", [{"hosts": ["rec.test"], "upstream": f"http://127.0.0.1:{port}"}])
    person = Person(gateway)
    person.login("bob")
    shown = person.visit("/")
    assert shown.status == 502
    assert str(port) not in shown.text and "refused" not in shown.text.lower()
    assert person.cookie, "a broken app costs nobody the session"


def test_an_app_that_says_nothing_is_a_504(make_gateway, recorder):
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway("mute", sites, limits={"upstream_response": "1s"})
    person = Person(gateway)
    person.login("bob")
    recorder.on("/silent", lambda client, seen: time.sleep(3), keep=False)
    began = time.monotonic()
    assert person.visit("/silent").status == 504
    assert time.monotonic() - began < 2.5


def test_a_body_beyond_the_limit_is_refused(make_gateway, recorder):
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    gateway = make_gateway("small", sites, limits={"body": "1KiB"})
    person = Person(gateway)
    person.login("bob")
    assert person.submit("/ok", {"a": "b"}).status == 200
    mark = recorder.mark()
    assert person.submit("/big", {"a": "x" * 5000}).status == 413
    assert not recorder.since(mark), "an app heard of a body that was too large from the start"
    with gateway.wire() as wire:
        lines = ["Transfer-Encoding: chunked", f"Cookie: {person.cookies()}"]
        wire.send(head("POST", "/x", gateway.authority(), *lines) + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 4 + b"0\r\n\r\n")
        assert wire.response().status == 413
    assert not [seen for seen in recorder.since(mark) if seen.complete]


def test_an_https_app_is_verified(make_gateway, work):
    folder = work / "certificates"
    folder.mkdir()
    ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
    good = apps.gunicorn_tls(work / "logs", *ours.issue("localhost", "good"))
    stranger = apps.gunicorn_tls(work / "logs", *theirs.issue("localhost", "stranger"))
    misnamed = apps.gunicorn_tls(work / "logs", *ours.issue("other.test", "misnamed"))
    sites = [
        {"hosts": [f"{name}.test"], "upstream": {"servers": [app.upstream], "ca_file": str(ours.file)}}
        for name, app in (("good", good), ("stranger", stranger), ("misnamed", misnamed))
    ]
    try:
        gateway = make_gateway("secure-apps", sites)
        for name, status in (("good", 200), ("stranger", 502), ("misnamed", 502)):
            person = Person(gateway, f"{name}.test")
            person.login("bob")
            assert person.visit("/echo").status == status, name
    finally:
        for app in (good, stranger, misnamed):
            app.process.stop()


def test_observe_mode_passes_everything_and_only_takes_notes(make_gateway, recorder):
    gateway = make_gateway("observing", [{"hosts": ["rec.test"], "upstream": recorder.upstream, "mode": "observe"}])
    person = Person(gateway)
    assert person.visit("/private").status == 200
    forged = person.visit("/private", **{"X-Forwarded-User": "admin"})
    assert forged.status == 200 and "admin" not in str(recorder.last().headers)
    for odd in ("/a//b", "/a;v=1", "/100%25"):
        assert person.visit(odd).status == 200
        assert recorder.last().target == odd
    recorder.on("/bare", answer(headers=["Set-Cookie: sid=1; Path=/"]))
    bare = person.visit("/bare")
    assert bare.all("Set-Cookie") == ["sid=1; Path=/"] and bare.get("X-Frame-Options") is None


def test_an_app_that_insists_on_http_is_shown_http(make_gateway, recorder):
    site = {"hosts": ["rec.test"], "upstream": {"servers": [recorder.upstream], "present_scheme": "http"}}
    gateway = make_gateway("insisting", [site])
    person = Person(gateway)
    person.login("bob")
    person.submit("/form", {"a": "b"}, {"Referer": person.origin + "/page"})
    seen = recorder.last()
    assert seen.one("Origin") == person.origin.replace("https", "http")
    assert seen.one("Referer") == person.origin.replace("https", "http") + "/page"
    assert seen.one("X-Forwarded-Proto") == "http"


@pytest.mark.parametrize(("field", "passed"), [("0", None), ("1", "0"), ("8", "7"), ("many", "many")])
def test_options_go_no_further_than_they_may(gateway, alice, recorder, field, passed):
    mark = recorder.mark()
    with gateway.wire() as wire:
        lines = [f"Cookie: {alice.cookies()}", f"Max-Forwards: {field}", f"Origin: {alice.origin}"]
        wire.send(head("OPTIONS", "/far", gateway.authority("rec.test"), *lines))
        shown = wire.response()
    seen = recorder.since(mark)
    if passed is None:
        assert shown.status == 204 and "OPTIONS" in shown.get("Allow") and seen == []
    else:
        assert shown.status == 200 and seen[0].one("Max-Forwards") == passed
