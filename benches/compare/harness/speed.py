"""CPU per request, throughput and latency of the proxies, in turns."""

import argparse
import tempfile
from pathlib import Path

from harness import cells
from harness import load
from harness import report
from harness.browser import Browser
from harness.processes import clean_up_when_ended
from harness.servers import BODIES
from harness.servers import KEEPERS
from harness.servers import PASSWORD
from harness.servers import PROXIES
from harness.servers import STORES
from harness.servers import Setup
from harness.servers import USER


def words(allowed):
    def parse(text):
        chosen = [kind(word) for word in text.split(",")]
        if set(chosen) - set(allowed):
            raise argparse.ArgumentTypeError(f"choose from {', '.join(map(str, allowed))}")
        return chosen

    kind = type(allowed[0])
    return parse


def arguments():
    protocols, connections, bodies = cells.ALL
    parser = argparse.ArgumentParser(prog="benches/compare/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the three cells that have a target")
    parser.add_argument(
        "--stores", action="store_true", help="Vestibule with each of its stores, instead of the proxies"
    )
    parser.add_argument(
        "--cookies", action="store_true", help="Vestibule with five cookies of the app's, hardened and in the vault"
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of each proxy in each cell (5)")
    parser.add_argument("--only", type=words(PROXIES), default=PROXIES, help="proxies, e.g. nginx,haproxy")
    parser.add_argument("--protocols", type=words(protocols), default=protocols)
    parser.add_argument("--connections", type=words(connections), default=connections)
    parser.add_argument("--bodies", type=words(bodies), default=bodies)
    parser.add_argument("--streams", type=int, default=10, help="on each HTTP/2 connection, up to 64 connections (10)")
    parser.add_argument("--workers", type=int, default=2, help="of each proxy (2)")
    parser.add_argument("--access-log", action="store_true", help="with an access log, in all of them")
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer requests a run (1.0)")
    return parser.parse_args()


def open_session(name, proxy, certificate):
    """The cookie to send. Everybody gets the same kind of cookie; only Vestibule looks at it."""
    browser = Browser(proxy.port, certificate)
    if name in OURS:
        turned_away, _ = browser.ask("GET", "/100B")
        if turned_away == 200:
            raise SystemExit(f"{name} serves without a session: nothing to compare")
        browser.log_in(USER, PASSWORD)
    if name in KEEPERS:
        browser.ask("GET", "/cookies")
    for body, size in BODIES.items():
        status, content = browser.ask("GET", f"/{body}")
        if (status, len(content)) != (200, size):
            raise SystemExit(f"{name} answered /{body} with {status} and {len(content)} bytes")
    return browser.cookie()


def measure(cell, proxies, cookies, rounds, folder):
    client = load.handshakes if cell.protocol == "handshake" else load.requests
    samples = {name: [] for name in proxies}
    for _ in range(rounds):
        for name, proxy in proxies.items():
            sample = client(proxy, cell, cookies[name], BODIES[cell.body], folder)
            samples[name].append(sample)
    return samples


def main():
    clean_up_when_ended()
    chosen = arguments()
    matrix = chosen.protocols, chosen.connections, chosen.bodies
    plan = list(cells.cells(*matrix, chosen.streams, chosen.scale))
    if chosen.quick:
        plan = cells.quick(chosen.streams, chosen.scale)
    kept = []
    with tempfile.TemporaryDirectory(prefix="vestibule-bench-") as folder:
        setup = Setup(folder, chosen.workers, chosen.access_log)
        running = []
        try:
            running.append(setup.start_app())
            if chosen.stores:
                running.append(setup.start_redis())
            proxies = {}
            for name in KEEPERS if chosen.cookies else STORES if chosen.stores else chosen.only:
                proxies[name] = setup.start(name)
                running.append(proxies[name])
            cookies = {name: open_session(name, proxy, setup.certificate) for name, proxy in proxies.items()}
            # The same bytes for all: what the others get is a session cookie that nobody checks.
            cookies = {name: cookie or cookies.get("vestibule") or STAND_IN for name, cookie in cookies.items()}
            for cell in plan:
                samples = measure(cell, proxies, cookies, chosen.rounds, Path(folder))
                report.print_cell(cell, samples)
                kept.append(report.plain(cell, samples))
        finally:
            for process in reversed(running):
                process.stop()
    around = report.surroundings(chosen.only)
    report.write("speed", {**around, "workers": chosen.workers, "access_log": chosen.access_log, "cells": kept})


OURS = ("vestibule", *STORES, *KEEPERS)
STAND_IN = "__Host-Http-session=" + "A" * 43

if __name__ == "__main__":
    main()
