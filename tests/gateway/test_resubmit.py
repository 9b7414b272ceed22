"""Forms that another site sends, sent once more from our own origin where a rule says so, and nowhere else."""

from urllib.parse import parse_qsl
from urllib.parse import urlencode

import pytest

from support.person import NAVIGATION
from support.person import Form
from support.person import Person

FOREIGN = {
    **NAVIGATION,
    "Sec-Fetch-Site": "cross-site",
    "Origin": "https://bank.test",
    "Content-Type": "application/x-www-form-urlencoded",
}
FIELDS = [("state", 'a"><script>alert(1)</script>'), ("sum", "10 €"), ("state", "again"), ("submit", ""), ("n", "1\r\n2")]


@pytest.fixture(scope="module")
def shop(make_gateway, recorder):
    rules = [
        {"path": "/pay/return", "cross_site": "resubmit"},
        {"path": "/open/return", "allow": "anyone", "cross_site": "resubmit"},
        {"path": "/admins/return", "allow": {"groups": ["admins"]}, "cross_site": "resubmit"},
    ]
    return make_gateway("resubmit", [{"hosts": ["rec.test"], "upstream": recorder.upstream, "rules": rules}])


@pytest.fixture
def bob(shop):
    person = Person(shop)
    person.login("bob")
    return person


def from_elsewhere(person, target, fields=FIELDS, body=None, **more):
    """The form of another site's page: browsers send no `SameSite=Lax` cookie with it."""
    stranger = Person(person.gateway, person.host)
    headers = {name: value for name, value in {**FOREIGN, **more}.items() if value is not None}
    return stranger.request("POST", target, headers, urlencode(fields).encode() if body is None else body)


def once_more(person, shown):
    """What a browser sends when our page's form is sent."""
    form = Form(shown.text)
    fields = parsed(shown.text)
    own = {**NAVIGATION, "Sec-Fetch-Site": "same-origin", "Origin": person.origin, "Content-Type": FOREIGN["Content-Type"]}
    body = urlencode([(name, value.replace("\n", "\r\n")) for name, value in fields]).encode()
    return person.request("POST", form.action, own, body)


def parsed(page):
    """Hidden fields of the page, in order, repeated names included."""
    from html.parser import HTMLParser

    found = []

    class Fields(HTMLParser):
        def handle_starttag(self, tag, attributes):
            values = dict(attributes)
            if tag == "input" and values.get("type") == "hidden":
                found.append((values["name"], values["value"]))

    Fields().feed(page)
    return found


@pytest.mark.parametrize("target", ["/pay/return", "/pay/return?a=%2F&b", "/pay/return?"])
@pytest.mark.parametrize(
    "change",
    [{}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}, dict.fromkeys([n for n in FOREIGN if "Sec-" in n])],
    ids=["cross-site", "same-site", "no-referrer", "old browser"],
)
def test_a_form_of_another_site_reaches_the_app_once_with_the_users_session(bob, recorder, target, change):
    mark = recorder.mark()
    shown = from_elsewhere(bob, target, **change)
    assert shown.status == 200 and recorder.since(mark) == []
    assert once_more(bob, shown).status == 200
    (seen,) = recorder.since(mark)
    assert (seen.method, seen.target) == ("POST", target.removesuffix("?"))
    assert seen.one("X-Forwarded-User") == "bob"
    assert parse_qsl(seen.body.decode(), keep_blank_values=True) == FIELDS


def test_the_page_is_strict_and_its_fields_are_text(bob):
    shown = from_elsewhere(bob, "/pay/return")
    assert "<script>alert" not in shown.text and shown.text.count("<script>") == 1
    policy = shown.get("Content-Security-Policy")
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert shown.get("X-Frame-Options") == "DENY" and "no-store" in shown.get("Cache-Control")
    assert shown.get("Set-Cookie") is None
    assert "<button" in shown.text, "it works without a script"


def test_it_happens_once(bob, recorder):
    mark = recorder.mark()
    marked = Form(from_elsewhere(bob, "/pay/return").text).action
    again = from_elsewhere(bob, marked)
    assert again.status == 403, "a page that cannot become ours would send for ever"
    assert recorder.since(mark) == []


@pytest.mark.parametrize("target", ["/pay/return/", "/Pay/Return", "/pay/return/x", "/pay", "/pay/other", "/"])
def test_no_other_address_is_sent_to(bob, recorder, target):
    mark = recorder.mark()
    assert from_elsewhere(bob, target).status == 403
    assert recorder.since(mark) == []


@pytest.mark.parametrize(
    "change",
    [
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json"},
        {"Content-Type": "text/plain"},
        {"Content-Type": None},
        {"Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    ],
    ids=str,
)
def test_what_is_no_form_in_a_window_of_its_own_is_refused(bob, recorder, change):
    mark = recorder.mark()
    assert from_elsewhere(bob, "/pay/return", **change).status == 403
    assert recorder.since(mark) == []


def test_size_and_number_of_fields_are_bounded(bob):
    assert from_elsewhere(bob, "/pay/return", body=b"a=" + b"x" * 65_534).status == 200
    assert from_elsewhere(bob, "/pay/return", body=b"a=" + b"x" * 65_535).status == 413
    assert from_elsewhere(bob, "/pay/return", body=b"a&" * 513).status == 400
    for bad in (b"a=%00", b"a=%FF"):
        assert from_elsewhere(bob, "/pay/return", body=bad).status == 400


def test_the_rule_still_decides_who_may(bob, shop, recorder):
    mark = recorder.mark()
    shown = from_elsewhere(bob, "/admins/return")
    assert shown.status == 200
    assert once_more(bob, shown).status == 403
    stranger = Person(shop)
    assert once_more(stranger, from_elsewhere(stranger, "/pay/return")).status == 401
    assert recorder.since(mark) == []
    assert once_more(stranger, from_elsewhere(stranger, "/open/return")).status == 200


def test_a_form_of_our_own_goes_straight_through(bob, recorder):
    mark = recorder.mark()
    assert bob.submit("/pay/return", {"a": "b"}).status == 200
    assert [seen.target for seen in recorder.since(mark)] == ["/pay/return"]
