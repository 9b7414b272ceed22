"""`kill -9` under load: what was answered is kept, and what was ended stays ended.

KILLS says how often; `tests/soak` asks for 1,000.
"""

import os
import random
import signal
import threading
import time

import pytest

from support.person import SESSION
from support.person import Person
from support.waiting import wait_until
from support.wire import Closed

KILLS = int(os.environ.get("KILLS") or 50)
NAMES = ["alice", "bob", "carol", "dave"]
# What a client sees of a gateway that is no more.
GONE = (OSError, Closed)


class Life(threading.Thread):
    """Logs in, looks around and logs out for as long as the gateway lives, and remembers what it was told."""

    def __init__(self, gateway, name):
        super().__init__()
        self.gateway = gateway
        self.name_of_user = name
        self.logged_in = []
        self.ended = []
        self.stop = False
        self.answers = 0

    def run(self):
        while not self.stop:
            person = Person(self.gateway)
            try:
                person.login(self.name_of_user)
            except GONE:
                return
            self.logged_in.append(person)
            self.answers += 1
            self.look_around(person)
            if random.random() < 0.5:
                self.log_out(person)

    def look_around(self, person):
        """Its id is renewed meanwhile; a browser keeps the old one if the answer with the new one is lost."""
        for _ in range(random.randrange(4)):
            try:
                assert person.is_in(), "out while the gateway ran"
            except GONE:
                self.stop = True

    def log_out(self, person):
        if self.stop:
            return
        # From here on nobody can say, until there is an answer.
        self.logged_in.remove(person)
        value = person.cookie
        try:
            answer = person.logout()
        except GONE:
            self.stop = True
            return
        assert answer.status == 303
        self.ended.append(value)
        self.answers += 1


def is_nobody(gateway, value):
    other = Person(gateway)
    other.jar = {SESSION: value}
    return not other.is_in()


@pytest.mark.timeout(60 + 10 * KILLS)
def test_nothing_that_was_answered_is_lost_and_no_ended_session_returns(make_gateway, recorder):
    sites = [{"hosts": ["rec.test"], "upstream": recorder.upstream}]
    session = {"max_per_user": 10_000, "renew_after": "1s", "renew_overlap": "1s", "theft_after": "1h"}
    gateway = make_gateway("killed", sites, session=session)
    people, ended = [], []
    for round in range(KILLS):
        lives = [Life(gateway, name) for name in NAMES]
        for life in lives:
            life.start()
        wanted = random.randrange(1, 5)
        wait_until(lambda: sum(life.answers for life in lives) >= wanted, "some answers", within=30, every=0.01)
        time.sleep(random.uniform(0, 0.1))
        gateway.signal(signal.SIGKILL)
        gateway.process.child.wait()
        for life in lives:
            life.stop = True
        for life in lives:
            life.join()
        gateway.start()
        new, gone = [person for life in lives for person in life.logged_in], [value for life in lives for value in life.ended]
        people, ended = people + new, ended + gone
        # Those of this round, and a few of those before.
        lost = [person for person in new + random.sample(people, min(5, len(people))) if not person.is_in()]
        assert not lost, f"round {round}: {len(lost)} of {len(people)} were logged out"
        back = [value for value in gone + random.sample(ended, min(5, len(ended))) if not is_nobody(gateway, value)]
        assert not back, f"round {round}: {len(back)} of {len(ended)} came back"
    assert all(person.is_in() for person in people) and all(is_nobody(gateway, value) for value in ended)
    print(f"{KILLS} kills, {len(people)} logged in, {len(ended)} logged out")
    assert len(people) > KILLS / 4 and len(ended) > KILLS / 4, "there was no load to speak of"
