"""Latency of proxied requests, alone and while many people log in at once, each with a password to hash."""

import argparse
import http.client
import os
import tempfile
import threading
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path

from harness import load
from harness import report
from harness.browser import Browser
from harness.processes import clean_up_when_ended
from harness.servers import PASSWORD
from harness.servers import USER
from harness.servers import Setup

CONNECTIONS = 16


def arguments():
    parser = argparse.ArgumentParser(prog="benches/compare/storm", description=__doc__)
    parser.add_argument("--rate", type=int, default=500, help="proxied requests a second (500)")
    parser.add_argument("--seconds", type=int, default=20, help="of each measurement (20)")
    parser.add_argument("--logins", type=int, default=32, help="people who log in at the same time, again and again (32)")
    return parser.parse_args()


@dataclass
class Storm:
    """What became of the logins."""

    succeeded: int = 0
    refused: int = 0


def person(proxy, certificate, name, over, storm, lock):
    """Logs in anew until it is over. Refused is who has to wait for a place in the queue: an answer like any other."""
    while not over.is_set():
        try:
            Browser(proxy.port, certificate).log_in(name, PASSWORD)
            succeeded = True
        except (SystemExit, OSError, http.client.HTTPException):
            succeeded = False
        with lock:
            storm.succeeded += succeeded
            storm.refused += not succeeded


def weather(proxy, certificate, people, seconds, measure):
    """`measure` beside a storm of logins."""
    over, lock, storm = threading.Event(), threading.Lock(), Storm()
    # Our own clients share the machine: they stand behind everything that is measured.
    os.nice(10)
    threads = [threading.Thread(target=person, args=(proxy, certificate, name, over, storm, lock)) for name in people]
    for thread in threads:
        thread.start()
    try:
        measured = measure()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    print(
        f"logins: {storm.succeeded / seconds:.0f} a second, {storm.refused} refused; "
        f"p50 {measured.p50:.2f} ms, p99 {measured.p99:.2f} ms, worst {measured.worst:.2f} ms"
    )
    return {**asdict(storm), **asdict(measured)}


def main():
    clean_up_when_ended()
    chosen = arguments()
    # One name for each: a success tells nothing of another's attempts, and only so many sessions a person may have.
    people = [f"person{number}" for number in range(chosen.logins)]
    with tempfile.TemporaryDirectory(prefix="vestibule-bench-") as folder:
        setup = Setup(folder)
        running = [setup.start_app()]
        try:
            proxy = setup.start("vestibule", people)
            running.append(proxy)
            browser = Browser(proxy.port, setup.certificate)
            browser.log_in(USER, PASSWORD)
            cookie = browser.cookie()

            def measure():
                pace = (CONNECTIONS, chosen.rate, chosen.seconds)
                return load.steadily(proxy, pace, cookie, Path(folder))

            print(f"{chosen.rate} requests a second over {CONNECTIONS} connections, {chosen.seconds} s each")
            alone = measure()
            print(f"alone: p50 {alone.p50:.2f} ms, p99 {alone.p99:.2f} ms, worst {alone.worst:.2f} ms")
            beside = weather(proxy, setup.certificate, people, chosen.seconds, measure)
        finally:
            for process in reversed(running):
                process.stop()
    kept = {"rate": chosen.rate, "seconds": chosen.seconds, "alone": asdict(alone), "storm": beside}
    report.write("storm", {**report.surroundings(["vestibule"]), **kept})


if __name__ == "__main__":
    main()
