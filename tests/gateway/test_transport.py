"""Below HTTP: which versions of TLS are spoken, that nothing is said twice, and which clock counts."""

import struct
import subprocess

import pytest

from support.gateway import ROOT
from support.person import Person
from support.waiting import wait_until
from support.wire import Wire
from support.wire import head


def client_hello(version):
    """What a client sends that knows no TLS above `version`: no `supported_versions`, the suites of its day."""
    suites = bytes.fromhex("c014c013c00ac0090035002f000a")
    name = b"rec.test"
    entry = b"\x00" + struct.pack("!H", len(name)) + name
    server_name = struct.pack("!HHH", 0, len(entry) + 2, len(entry)) + entry
    groups = struct.pack("!HHHHH", 10, 6, 4, 23, 24)
    points = struct.pack("!HHBB", 11, 2, 1, 0)
    extensions = server_name + groups + points
    body = struct.pack("!H", version) + bytes(range(32)) + b"\x00"
    body += struct.pack("!H", len(suites)) + suites + b"\x01\x00"
    body += struct.pack("!H", len(extensions)) + extensions
    message = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message


@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0302], ids=["SSL 3.0", "TLS 1.0", "TLS 1.1"])
def test_older_versions_of_tls_are_refused(gateway, version):
    with Wire(gateway.port, tls=False) as wire:
        wire.send(client_hello(version))
        said = wire.read_until(b"\x02", within=10)
        # An alert, fatal; what follows is which: protocol_version (70) or, of SSL 3.0, whatever the library likes.
        assert said[0] == 0x15, said
        assert wire.closed()


def test_the_same_greeting_is_understood_in_tls_1_2(gateway):
    """So that the refusals above are about the version and nothing else."""
    hello = client_hello(0x0303)
    suites = b"\x00\x0e" + bytes.fromhex("c014c013c00ac0090035002f000a")
    modern = b"\x00\x0e" + bytes.fromhex("c02fc02bc030c02c009f009e009c")
    algorithms = struct.pack("!HHHHHH", 13, 8, 6, 0x0403, 0x0401, 0x0804)
    hello = hello.replace(suites, modern) + algorithms
    # Three lengths know of the extension behind.
    for at, width in ((3, 2), (6, 3), (hello.index(struct.pack("!HH", 0, 13)) - 2, 2)):
        size = int.from_bytes(hello[at : at + width]) + len(algorithms)
        hello = hello[:at] + size.to_bytes(width) + hello[at + width :]
    with Wire(gateway.port, tls=False) as wire:
        wire.send(hello)
        assert wire.read_until(b"\x03\x03", within=10)[0] == 0x16


def openssl(gateway, *arguments, stdin):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}", "-servername", "rec.test", "-tls1_3"]
    done = subprocess.run([*command, *arguments], input=stdin, capture_output=True, timeout=30, check=False)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def test_who_leaves_the_s_out_of_the_address_is_told(gateway):
    with Wire(gateway.port, tls=False) as wire:
        wire.send(head("GET", "/", gateway.authority()))
        told = wire.response()
        assert told.status == 400 and "https://" in told.text
        assert wire.closed()


def test_early_data_is_never_taken(gateway, work, recorder):
    ticket, early = work / "ticket.pem", work / "early.txt"
    request = f"GET /.vestibule/login HTTP/1.1\r\nHost: rec.test:{gateway.port}\r\nConnection: close\r\n\r\n"
    openssl(gateway, "-sess_out", ticket, "-ign_eof", stdin=request.encode())
    shown = subprocess.run(
        ["openssl", "sess_id", "-in", ticket, "-text", "-noout"], capture_output=True, text=True, check=True
    )
    assert "Max Early Data: 0" in shown.stdout, shown.stdout
    # A client that sends it all the same, with a ticket it says allows it, is not heard early.
    early.write_text(request)
    said = openssl(gateway, "-sess_in", ticket, "-early_data", early, "-ign_eof", stdin=request.encode())
    assert "Early data was accepted" not in said


# --- The wall clock --------------------------------------------------------------------------------------------------------


@pytest.fixture
def wall_clock(work):
    """A library that moves the wall clock of the process it is loaded into, and the file that says how far."""
    library, step = work / "wallclock.so", work / "step"
    source = ROOT / "tests/gateway/support/wallclock.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    step.write_text("0")
    return library, step


@pytest.mark.parametrize("hours", [-25, -1, 1, 25])
def test_setting_the_wall_clock_neither_ends_nor_extends_a_session(make_gateway, recorder, wall_clock, hours):
    library, step = wall_clock
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    session = {"idle_timeout": "3s", "absolute_timeout": "60s"}
    gateway = make_gateway(f"clock{hours}", sites, start=False, session=session)
    gateway.start(LD_PRELOAD=str(library), WALL_CLOCK_STEP=str(step))
    person = Person(gateway)
    person.login("alice")
    step.write_text(str(hours * 3600))
    assert person.visit("/x").status == 200, "it lives on"
    wait_until(lambda: not person.authenticated(), "the session ends as idle all the same", within=8)


def test_the_wall_clock_that_is_moved_is_the_gateways(make_gateway, recorder, wall_clock):
    """So that the test above tests something: a gateway that starts a day ahead writes tomorrow's date."""
    library, step = wall_clock
    step.write_text(str(2 * 86400))
    gateway = make_gateway("ahead", [{"hosts": ["rec.test"], "upstream": recorder.upstream}], start=False)
    gateway.start(LD_PRELOAD=str(library), WALL_CLOCK_STEP=str(step))
    gateway.wait_event("sys_startup")
    ahead = gateway.events()[0]["time"]
    step.write_text("0")
    gateway.stop()
    gateway.audit.unlink()
    gateway.start()
    gateway.wait_event("sys_startup")
    assert gateway.events()[0]["time"] < ahead
