"""The plain listener behind a TLS terminator: whose word counts, for what, and what the app is told of it."""

import pytest

from support.process import free_port
from support.wire import Wire
from support.wire import head

RULES = [{"path": "/*", "allow": "anyone"}]


@pytest.fixture(scope="module")
def behind(make_gateway, recorder):
    """A gateway that believes 127.0.0.1, and whose app promises no transport security."""
    site = {"hosts": ["rec.test"], "upstream": recorder.upstream, "rules": RULES, "headers": {"hsts": "off"}}
    port = free_port()
    listen = {"http": f"127.0.0.1:{port}", "trusted_proxies": ["127.0.0.0/8"]}
    gateway = make_gateway("behind", [site], listen=listen)
    gateway.plain_port = port
    return gateway


def ask(gateway, path, *lines, before=b""):
    with Wire(gateway.plain_port, tls=False) as wire:
        wire.send(before + head("GET", path, "rec.test", *lines))
        return wire.response()


HTTPS = "X-Forwarded-Proto: https"


def told(gateway, recorder, *lines, before=b""):
    """Client, scheme and host as the app was told them."""
    answer = ask(gateway, "/told", *lines, before=before)
    assert answer.status == 200, answer
    return tuple(recorder.last().one(f"X-Forwarded-{name}") for name in ("For", "Proto", "Host"))


def test_a_terminators_word_is_passed_on(behind, recorder):
    seen = told(behind, recorder, HTTPS, "X-Forwarded-For: 192.0.2.7")
    assert seen == ("192.0.2.7", "https", "rec.test")
    assert ask(behind, "/x").status == 400, "without its word it is plain HTTP"


def test_a_terminator_may_name_the_client_by_the_proxy_protocol(behind, recorder):
    line = b"PROXY TCP4 192.0.2.7 10.0.0.1 5555 443\r\n"
    assert told(behind, recorder, HTTPS, before=line) == ("192.0.2.7", "https", "rec.test")
    # Whom it named is not listed: what that one says of others is not believed.
    seen = told(behind, recorder, HTTPS, "X-Forwarded-For: 198.51.100.9", before=line)
    assert seen == ("192.0.2.7", "https", "rec.test")


def test_the_standard_field_is_not_read_beside_the_usual_ones(behind, recorder):
    """A proxy that sets `X-Forwarded-*` may pass on what its client wrote into `Forwarded`."""
    forged = 'Forwarded: for=6.6.6.6;host="evil.test";proto=https'
    seen = told(behind, recorder, HTTPS, "X-Forwarded-For: 192.0.2.7", forged)
    assert seen == ("192.0.2.7", "https", "rec.test")
    assert told(behind, recorder, HTTPS, forged) == ("127.0.0.1", "https", "rec.test")
    assert ask(behind, "/x", "X-Forwarded-For: 192.0.2.7", forged).status == 400, "its proxy did not say https"
    seen = told(behind, recorder, "Forwarded: for=192.0.2.7;proto=https;host=rec.test")
    assert seen == ("192.0.2.7", "https", "rec.test")


@pytest.mark.parametrize("path", ["/x", "/a/%2e%2e/b", "/.vestibule/nothing"])
def test_a_site_that_promises_no_transport_security_promises_none_in_refusals_either(behind, path):
    assert ask(behind, path, HTTPS).get("Strict-Transport-Security") is None
