"""What `vestibule doctor` says would mend a finding does: each is written into a configuration, and looked at again."""

import json
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.doctor import HTML
from support.doctor import Look
from support.doctor import recipe
from support.gateway import add_user
from support.recorder import Recorder
from support.recorder import answer

# What only a certificate for a public name shows, and what no setting mends.
NOT_SHOWN = {"hsts", "tls_certificate", "tls_version", "cookie_grammar"}


@pytest.fixture(scope="module")
def careless():
    """An app in which everything that a stranger can see is wrong."""
    app = Recorder()
    counter = iter(range(10_000, 99_999))

    def front(client, seen):
        given = "".join(seen.all("Cookie")).partition("PHPSESSID=")[2] or str(next(counter))
        origin = seen.all("Origin")
        allow = [f"Access-Control-Allow-Origin: {origin[0]}", "Access-Control-Allow-Credentials: true"] if origin else []
        cookie = f"Set-Cookie: PHPSESSID={given}; Path=/; Domain={seen.one('Host').split(':')[0]}; Max-Age=999999"
        body = f"""<form method=get action=/in><input name=u><input type=password name=p></form>
            <a href="/next?PHPSESSID={given}">next</a>"""
        told = ["Server: Apache/2.4.1", "X-Powered-By: PHP/5.2", "Cache-Control: public, max-age=60"]
        client.sendall(answer(headers=[HTML, cookie, *told, *allow], body=body.encode()))

    app.on("/", front)
    app.on("/private", lambda client, _: client.sendall(answer(headers=[HTML], body=b"for you")))
    yield app
    app.close()


def read(value):
    """A mend's value, which is a word, a list of words, or JSON."""
    if value.startswith("["):
        return value.strip("[]").split(", ")
    try:
        return json.loads(value)
    except ValueError:
        return value


def site_with(app, setting, value):
    """A configuration that has nothing but what mends: `sites[].a.b: value`, or `a.b: value` for all."""
    *path, last = setting.removeprefix("sites[].").split(".")
    inside = {last: read(value)}
    for key in reversed(path):
        inside = {key: inside}
    of_site = setting.startswith("sites[].")
    # What is about the app's own cookies is looked at where nobody has to log in: there they are seen.
    login = {"login": "none"} if setting == "sites[].cookies" else {}
    site = {"hosts": ["localhost"], "upstream": app.upstream, **login, **(inside if of_site else {})}
    return site, {} if of_site else inside


def test_every_mend_that_is_named_mends_what_it_stands_at(careless, make_gateway):
    bare = Look(careless.upstream)
    wrong = {name: check for name, check in bare.checks.items() if check["status"] in ("fail", "warn")}
    assert len(wrong) >= 15, sorted(wrong)
    settings = {}
    for name, check in wrong.items():
        if name in NOT_SHOWN:
            continue
        mend = check["mend"]
        settings.setdefault((mend["setting"], mend["value"]), set()).add(name)
    looks = []
    for number, ((setting, value), names) in enumerate(settings.items()):
        # The port is the test's own.
        site, more = site_with(careless, setting, value) if setting != "listen.http_redirect" else ({"upstream": careless.upstream}, {})
        gateway = make_gateway(f"mend-{number}", [site], **more)
        looks.append((setting, value, names, gateway))
    with ThreadPoolExecutor(len(looks)) as pool:
        done = [
            pool.submit(
                Look, f"https://localhost:{gateway.port}/",
                "--ca-file", gateway.folder / "cert.pem", "--http-port", gateway.redirect_port,
            )
            for *_, gateway in looks
        ]  # fmt: skip
    left = []
    for (setting, value, names, _), look in zip(looks, done, strict=True):
        after = look.result()
        left += [
            f"{name} after {setting}: {value}: {after.checks[name]['says']} {after.evidence(name)}"
            for name in sorted(names)
            if after.checks[name]["status"] in ("fail", "warn")
        ]
    assert left == [], "\n".join(left)


RECIPE = """
login: { page: /.vestibule/login, user: { field: username, value: doctor }, password: { field: password, file: password } }
private: { page: /private, shows: for you }
logout: { page: /.vestibule/logout, action: /.vestibule/logout }
"""


def test_what_is_only_worth_knowing_has_a_mend_that_works_too(careless, make_gateway, tmp_path):
    password = secrets.token_urlsafe(20)
    users = tmp_path / "users.yaml"
    add_user(users, "doctor", password)
    file = recipe(tmp_path, RECIPE)
    (tmp_path / "password").write_text(password)

    def look(name, session):
        gateway = make_gateway(name, [{"upstream": careless.upstream}], users, session=session)
        more = ["--ca-file", gateway.folder / "cert.pem", "--http-port", gateway.redirect_port]
        return Look(f"https://localhost:{gateway.port}/private", "--active", "--recipe", file, *more)

    before = look("worth-knowing", {"max_per_user": 10})
    told = {name: before.checks[name]["mend"] for name in before.named("info")}
    assert set(told) == {"other_browser", "two_at_once"}
    session = {mend["setting"].removeprefix("session."): read(mend["value"]) for mend in told.values()}
    after = look("worth-mending", session)
    assert after.named("info") == set() and set(told) <= after.named("pass")
