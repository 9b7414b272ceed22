"""Two gateways that share sessions in a real Redis: what one does holds for the other, and what becomes of people when
the server fails."""

import os
import secrets
import statistics
import time
import zlib

import pytest

from conftest import LOGS
from support.gateway import add_user
from support.gateway import run
from support.person import LOGIN
from support.person import LOGOUT
from support.person import NAVIGATION
from support.person import PASSWORD
from support.person import SESSION
from support.person import Form
from support.person import Person
from support.process import accepts
from support.redis import Redis
from support.redis import Relay
from support.redis import Sentinel
from support.waiting import wait_until
from support.wire import head

# Silence of the server is noticed within 2 s; then known sessions are served for this long.
SERVE_CACHED = 6
NOTICED = 2

OLD = "iris walks quietly past nineteen turnips"
NEW = "iris now runs across eleven beetroots"


class Pair:
    """Two gateways on one store."""

    def __init__(self, make_gateway, work, recorder, name, store, site=None, users=None, **session):
        keys = work / f"{name}-keys"
        keys.touch(mode=0o600)
        keys.write_text(secrets.token_hex(32) + "\n")
        settings = {"store": store, "on_store_failure": {"serve_cached": f"{SERVE_CACHED}s"}, **session}
        sites = [
            {"hosts": ["rec.test"], "upstream": recorder.upstream, **(site or {})},
            {"hosts": ["open.test"], "upstream": recorder.upstream, "login": "none"},
        ]
        accounts = [users] if users else []
        self.one, self.other = (
            make_gateway(f"{name}-{number}", sites, *accounts, start=False, keys=str(keys), session=settings)
            for number in (1, 2)
        )

    def start(self):
        self.one.start()
        self.other.start()
        return self

    def stop(self):
        self.one.stop()
        self.other.stop()


@pytest.fixture(scope="module")
def redis(work):
    server = Redis(work / "redis", LOGS).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def pair(make_gateway, work, recorder, redis):
    pair = Pair(make_gateway, work, recorder, "pair", {"redis": redis.url}).start()
    yield pair
    pair.stop()


def at(gateway, person):
    """The same browser, sent to another gateway by the balancer."""
    there = Person(gateway, person.host)
    there.jar = person.jar
    return there


def sign_in(gateway, name="bob"):
    person = Person(gateway)
    person.login(name)
    return person


def ask(wire, person, target="/"):
    wire.send(head("GET", target, person.authority, f"Cookie: {person.cookies()}", "Accept: text/html"))
    return wire.response()


def test_a_login_made_on_one_gateway_is_good_on_the_other(pair, recorder):
    person = sign_in(pair.one, "alice")
    mark = recorder.mark()
    assert at(pair.other, person).visit("/there").status == 200
    [seen] = recorder.since(mark)
    assert seen.one("X-Forwarded-User") == "alice"


def test_a_login_begun_on_one_gateway_is_finished_on_the_other(pair):
    person = Person(pair.one)
    address, form = person.login_page("/wanted")
    there = at(pair.other, person)
    fields = {**form.hidden(), "username": "bob", "password": pair.one.passwords["bob"]}
    answer = there.submit(address, fields, {"Origin": there.origin})
    assert answer.status == 303 and there.location(answer) == "/wanted"
    assert at(pair.one, there).is_in()


def test_a_logout_on_one_is_heard_by_the_other_within_a_second(pair, recorder):
    took = []
    for _ in range(int(os.environ.get("REVOKE_TRIALS", "50"))):
        person = sign_in(pair.one)
        there = at(pair.other, person)
        with pair.other.wire() as wire:
            # The other knows the session on this very connection.
            assert ask(wire, there).status == 200
            cookie = dict(person.jar)
            person.logout()
            began = time.monotonic()
            there.jar = cookie
            wait_until(lambda: ask(wire, there).status == 303, "the other refuses", within=5, every=0.0005)
            took.append(time.monotonic() - began)
            mark = recorder.mark()
            assert ask(wire, there).status == 303 and recorder.since(mark) == []
    took.sort()
    median, late = statistics.median(took), took[len(took) * 99 // 100]
    print(f"revoke to refuse: p50 {median * 1000:.1f} ms, p99 {late * 1000:.1f} ms, worst {took[-1] * 1000:.1f} ms")
    assert took[-1] < 1


def test_the_other_gateway_says_why_a_session_ended(pair):
    person = sign_in(pair.one)
    there = at(pair.other, person)
    assert there.is_in()
    there.jar = dict(person.jar)
    person.logout()
    wait_until(lambda: not there.is_in(), "the other refuses", within=1)
    assert "You signed out." in there.visit(there.location(there.visit("/"))).text


def open_stream(gateway, person, recorder):
    """An answer of the app that goes on until somebody ends it."""

    def stream(client, _):
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ntick 1\r\n")
        client.recv(1)

    recorder.on("/stream", stream, keep=False)
    wire = gateway.wire()
    wire.send(head("GET", "/stream", person.authority, f"Cookie: {person.cookies()}"))
    wire.read_until(b"tick 1")
    return wire


def test_a_stream_on_one_is_cut_when_its_session_ends_on_the_other(pair, recorder):
    person = sign_in(pair.one)
    with open_stream(pair.other, at(pair.other, person), recorder) as wire:
        person.logout()
        assert wire.closed(within=2)
    events = [line for line in pair.other.events() if line["event"] == "session_expired"]
    assert events == [], "told by the one who ended it"


def test_a_request_of_a_known_session_asks_nothing_of_the_server(pair, redis):
    person = sign_in(pair.one)
    with pair.one.wire() as wire:
        assert ask(wire, person).status == 200
        before = redis.calls("get")
        for _ in range(300):
            assert ask(wire, person).status == 200
        # Other connections find it in the cache.
        for _ in range(20):
            assert person.is_in()
        assert redis.calls("get") == before
    at(pair.other, person).is_in()
    assert redis.calls("get") > before


def test_new_ids_are_good_on_both_and_nobody_is_logged_out(make_gateway, work, recorder, redis):
    session = {"renew_after": "1s", "renew_overlap": "1s", "theft_after": "4s"}
    store = {"redis": {"urls": [redis.url], "prefix": "renewal:"}}
    pair = Pair(make_gateway, work, recorder, "renewal", store, **session).start()
    person = sign_in(pair.one)
    ids, until = {person.cookie}, time.monotonic() + 8
    while time.monotonic() < until:
        for gateway in (pair.one, pair.other):
            person.gateway = gateway
            assert person.is_in()
            ids.add(person.cookie)
        time.sleep(0.05)
    assert len(ids) > 4
    pair.stop()


def test_a_session_used_on_one_gateway_is_not_idle_on_the_other(make_gateway, work, recorder, redis):
    store = {"redis": {"urls": [redis.url], "prefix": "idle:"}}
    pair = Pair(make_gateway, work, recorder, "idle", store, idle_timeout="4s").start()
    person = sign_in(pair.one)
    assert at(pair.other, person).is_in()
    until = time.monotonic() + 9
    while time.monotonic() < until:
        assert person.is_in()
        time.sleep(0.25)
    assert at(pair.other, person).is_in()
    # Nobody uses it: over for both, 3 s later than with one gateway, since somebody could have.
    time.sleep(4 + 3 + 1)
    assert not person.is_in() and not at(pair.other, person).is_in()
    assert redis.say("EXISTS", "idle:due") == 0
    told = [line for gateway in (pair.one, pair.other) for line in gateway.events() if line["event"] == "session_expired"]
    assert [line["reason"] for line in told] == ["idle"]
    pair.stop()


def test_gateways_are_restarted_one_by_one_and_nobody_notices(make_gateway, work, recorder, redis):
    store = {"redis": {"urls": [redis.url], "prefix": "rolling:"}}
    pair = Pair(make_gateway, work, recorder, "rolling", store).start()
    people = [sign_in(pair.one, name) for name in ("alice", "bob", "carol")]
    for stopped, serving in ((pair.one, pair.other), (pair.other, pair.one)):
        assert stopped.stop() == 0
        assert all(at(serving, person).is_in() for person in people)
        people.append(sign_in(serving, "dave"))
        stopped.start()
        assert all(at(stopped, person).is_in() for person in people)
    pair.stop()


def restart(server):
    server.kill()
    yield
    server.start()


def freeze(server):
    server.freeze()
    yield
    server.thaw()


def become_replica(server):
    server.say("REPLICAOF", "127.0.0.1", "1")
    yield
    server.say("REPLICAOF", "NO", "ONE")


def forget_us(server):
    """The gateways' password is no longer right."""
    server.say("CONFIG", "SET", "requirepass", "another")
    server.settle("another", "CLIENT", "KILL", "TYPE", "normal")
    yield
    server.kill()
    server.start()


@pytest.fixture
def fragile(make_gateway, work, recorder):
    """A server of its own behind a relay, with two gateways."""
    made = []

    def make(name):
        server = Redis(work / name, LOGS, name, appendonly="yes", appendfsync="always").start()
        relay = Relay(server.port)
        store = {"redis": f"redis://127.0.0.1:{relay.port}"}
        pair = Pair(make_gateway, work, recorder, name, store).start()
        made.extend((pair, server))
        return server, relay, pair

    yield make
    for one in made:
        one.stop()


def kept_cookie(answer):
    return not [line for line in answer.all("Set-Cookie") if line.startswith(SESSION)]


def is_unavailable(answer):
    return answer.status == 503 and answer.get("Retry-After") and kept_cookie(answer)


def goes_through(pair, fail, recorder):
    """What people see while the server cannot be asked, from its failure to its return."""
    known, ended = sign_in(pair.one, "alice"), sign_in(pair.one, "bob")
    assert at(pair.other, known).is_in() and at(pair.other, ended).is_in()
    dead = dict(ended.jar)
    ended.logout()
    stranger = Person(pair.one)
    address, form = stranger.login_page("/")
    stream = open_stream(pair.other, at(pair.other, known), recorder)
    began = time.monotonic()
    failing = iter(fail)
    next(failing)
    mark = recorder.mark()
    for gateway in (pair.one, pair.other):
        wait_until(lambda gateway=gateway: not gateway.ready(), "the gateway has noticed", within=NOTICED)
    # Whom a gateway knows is served; whom it does not is nobody it could name, and not a stranger either.
    for gateway in (pair.one, pair.other):
        assert at(gateway, known).visit("/during").status == 200
        unknown = Person(gateway)
        unknown.jar = {SESSION: secrets.token_urlsafe(32)}
        assert is_unavailable(unknown.visit("/unknown"))
    fields = {**form.hidden(), "username": "carol", "password": pair.one.passwords["carol"]}
    refused = stranger.submit(address, fields)
    assert is_unavailable(refused), refused.status
    assert Person(pair.one, "open.test").visit("/open").status == 200
    assert Person(pair.one).visit(LOGIN).status == 200
    out = known.logout()
    assert out.status == 503 and kept_cookie(out) and "could not be ended" in out.text
    assert {seen.target for seen in recorder.since(mark)} == {"/during", "/open"}
    # After that nobody is, until it is back; no cookie is deleted and nobody is sent to log in.
    for gateway in (pair.one, pair.other):
        late = at(gateway, known)
        wait_until(lambda late=late: is_unavailable(late.visit("/late")), "nothing is believed any more", within=15)
        served = time.monotonic() - began
        assert gateway.figure("vestibule_sessions_believed") == 0
        assert served < NOTICED + SERVE_CACHED + 1.5, served
    # Nor is a stream whose session may be over elsewhere.
    with stream:
        assert stream.closed(within=1)
    next(failing, None)
    for gateway in (pair.one, pair.other):
        wait_until(gateway.ready, "the gateway is ready again", within=10)
        wait_until(lambda gateway=gateway: at(gateway, known).is_in(), "known people are in", within=5)
        wait_until(lambda gateway=gateway: gateway.figure("vestibule_sessions_believed") == 1, "what is known is believed")
        back = Person(gateway)
        back.jar = dict(dead)
        assert back.visit("/").status == 303, "what was ended stays so"
        events = [line["event"] for line in gateway.events() if line["event"].startswith("sys_store")]
        assert events.count("sys_store_connected") == 2
    sign_in(pair.one, "carol")


@pytest.fixture
def shared_users(make_gateway, work, recorder, request):
    """Two gateways on a server of their own, with one users file that `iris` and `jon` are in."""
    name = f"users-{zlib.crc32(request.node.name.encode()):x}"
    users = work / f"{name}.yaml"
    for user in ("iris", "jon"):
        add_user(users, user, OLD)
    server = Redis(work / name, LOGS, name, appendonly="yes", appendfsync="always").start()
    pair = Pair(make_gateway, work, recorder, name, {"redis": server.url}, users=users).start()
    for gateway in (pair.one, pair.other):
        gateway.passwords.update(iris=OLD, jon=OLD)
    yield server, pair, users
    pair.stop()
    server.stop()


def reloads(gateway):
    return gateway.audit_text().count("sys_users_reload")


def test_a_new_password_on_one_gateway_logs_nobody_out_on_the_other(shared_users):
    _, pair, _ = shared_users
    here, elsewhere = sign_in(pair.one, "iris"), sign_in(pair.other, "iris")
    before = reloads(pair.other)
    form = Form(here.visit(PASSWORD).text)
    answer = here.submit(PASSWORD, {**form.hidden(), "current": OLD, "new": NEW, "others": "end"})
    assert "nowhere else" in answer.text
    wait_until(lambda: reloads(pair.other) > before, "the other has read the file", within=5)
    for gateway in (pair.one, pair.other):
        assert at(gateway, here).is_in() and not at(gateway, elsewhere).is_in()


def remove(users, name):
    run("users", "remove", name, "--file", users)


def give_another_password(users, name):
    run("users", "passwd", name, "--file", users, stdin=f"{NEW}\n")


CHANGES = pytest.mark.parametrize("change", [remove, give_another_password], ids=lambda change: change.__name__)


@CHANGES
def test_who_is_changed_while_nothing_runs_is_out_at_the_next_start(shared_users, change):
    _, pair, users = shared_users
    iris, jon = sign_in(pair.one, "iris"), sign_in(pair.other, "jon")
    pair.stop()
    change(users, "jon")
    pair.start()
    for gateway in (pair.one, pair.other):
        wait_until(lambda gateway=gateway: at(gateway, jon).visit("/").status == 303, "jon is out", within=10)
        assert at(gateway, iris).is_in()


@CHANGES
def test_who_is_changed_while_the_server_cannot_be_asked_is_out_when_it_can(shared_users, change):
    server, pair, users = shared_users
    iris, jon = sign_in(pair.one, "iris"), sign_in(pair.other, "jon")
    assert at(pair.other, iris).is_in() and at(pair.one, jon).is_in()
    server.freeze()
    change(users, "jon")
    for gateway in (pair.one, pair.other):
        wait_until(lambda gateway=gateway: "could not be ended" in gateway.logged(), "it has tried", within=15)
    server.thaw()
    for gateway in (pair.one, pair.other):
        wait_until(gateway.ready, "the gateway is ready again", within=10)
        wait_until(lambda gateway=gateway: at(gateway, jon).visit("/").status == 303, "jon is out", within=10)
        wait_until(lambda gateway=gateway: at(gateway, iris).is_in(), "iris is in", within=5)


@pytest.mark.parametrize("fail", [restart, freeze, become_replica, forget_us], ids=lambda fail: fail.__name__)
def test_nobody_is_logged_out_and_nothing_revived(fragile, recorder, fail):
    server, _, pair = fragile(f"redis-{fail.__name__}")
    goes_through(pair, fail(server), recorder)


def test_nobody_is_logged_out_when_the_network_swallows_everything(fragile, recorder):
    _, relay, pair = fragile("redis-swallowed")

    def swallow():
        relay.swallow()
        yield
        relay.pass_on()

    goes_through(pair, swallow(), recorder)


def test_a_quick_restart_is_not_noticed(fragile):
    server, _, pair = fragile("redis-quick")
    people = [sign_in(pair.one) for _ in range(3)]
    server.kill()
    server.start()
    for person in people:
        # The other never saw them and must ask.
        assert at(pair.other, person).is_in() and person.is_in()


def test_with_its_memory_full_people_stay_and_can_leave_but_nobody_comes(fragile):
    server, _, pair = fragile("redis-full")
    alice, bob = sign_in(pair.one, "alice"), sign_in(pair.one, "bob")
    stranger = Person(pair.one)
    address, form = stranger.login_page("/")
    server.say("CONFIG", "SET", "maxmemory", "1")
    assert alice.is_in() and at(pair.other, alice).is_in()
    fields = {**form.hidden(), "username": "carol", "password": pair.one.passwords["carol"]}
    assert is_unavailable(stranger.submit(address, fields))
    dead = dict(bob.jar)
    assert bob.logout().status == 303
    bob.jar = dead
    assert not at(pair.other, bob).is_in()
    time.sleep(NOTICED + SERVE_CACHED + 1)
    assert alice.is_in() and at(pair.other, alice).is_in() and pair.one.ready()
    server.say("CONFIG", "SET", "maxmemory", "0")
    sign_in(pair.one, "carol")


def test_a_gateway_starts_without_its_store_and_is_ready_when_that_comes(make_gateway, work, recorder):
    server = Redis(work / "late", LOGS, "late")
    pair = Pair(make_gateway, work, recorder, "late-pair", {"redis": server.url})
    gateway = pair.one
    ready, gateway.ready = gateway.ready, lambda: accepts(gateway.admin_port)
    gateway.start()
    gateway.ready = ready
    shown = gateway.ask_admin("/health/ready")
    assert shown.status == 503 and "store" in shown.text
    assert Person(gateway, "open.test").visit("/").status == 200
    # Without a cookie nobody is there, whatever the store knows.
    assert Person(gateway).visit("/").status == 303
    gateway.wait_event("sys_store_fail")
    server.start()
    wait_until(gateway.ready, "the gateway is ready", within=5)
    gateway.wait_event("sys_store_connected")
    assert sign_in(gateway).is_in()
    gateway.stop()
    server.stop()


def test_a_failover_by_sentinel_logs_nobody_out(make_gateway, work, recorder):
    master = Redis(work / "master", LOGS, "master").start()
    replica = Redis(work / "replica", LOGS, "replica", replicaof=f"127.0.0.1 {master.port}").start()
    sentinel = Sentinel(work / "sentinel", LOGS, master).start()
    wait_until(lambda: sentinel.replicas() == 1, "the Sentinel knows the replica", within=20)
    store = {"redis": {"sentinel": {"master": "sessions", "urls": [sentinel.url]}}}
    pair = Pair(make_gateway, work, recorder, "failover", store).start()
    known, ended = sign_in(pair.one, "alice"), sign_in(pair.one, "bob")
    assert at(pair.other, known).is_in()
    dead = dict(ended.jar)
    ended.logout()
    wait_until(lambda: replica.say("DBSIZE") == master.say("DBSIZE"), "the replica has it all")
    master.kill()
    wait_until(lambda: sentinel.master() == replica.port, "the replica is in charge", within=30)
    for gateway in (pair.one, pair.other):
        wait_until(gateway.ready, "the gateway is ready again", within=15)
        assert at(gateway, known).is_in()
        back = Person(gateway)
        back.jar = dict(dead)
        assert back.visit("/").status == 303
    sign_in(pair.other, "carol")
    pair.stop()
    for server in (sentinel, replica, master):
        server.stop()


def test_the_store_is_reached_by_tls_with_a_password(make_gateway, work, recorder):
    from support.certificates import Authority

    authority = Authority(work, "redis-tls")
    cert, key = authority.issue("localhost", "redis-tls")
    server = Redis(work / "encrypted", LOGS, "encrypted")
    port = server.port
    server.settings |= {
        "port": 0,
        "tls-port": port,
        "tls-cert-file": cert,
        "tls-key-file": key,
        "tls-ca-cert-file": authority.file,
        "tls-auth-clients": "no",
    }
    users = work / "encrypted" / "users.acl"
    rights = "~vestibule:* +@read +@write +@scripting +@connection +info"
    users.write_text(f"user default off\nuser vestibule on >correct-horse {rights}\n")
    server.settings["aclfile"] = users
    server.answers = lambda: "ready to accept connections" in server.process.said().lower()
    server.start()
    password = work / "redis-password"
    password.write_text("correct-horse\n")
    store = {
        "redis": {
            "urls": [f"rediss://localhost:{port}"],
            "username": "vestibule",
            "password_file": str(password),
            "tls": {"ca_file": str(authority.file)},
        }
    }
    pair = Pair(make_gateway, work, recorder, "encrypted-pair", store).start()
    person = sign_in(pair.one)
    there = at(pair.other, person)
    assert there.is_in()
    person.logout()
    assert "correct-horse" not in pair.one.logged()
    pair.stop()
    server.stop()


def test_a_store_that_may_lose_sessions_is_warned_about(pair):
    assert "`appendonly` is off" in pair.one.logged()
