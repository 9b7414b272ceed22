"""Resident memory per idle TLS connection."""

import argparse
import os
import resource
import subprocess
import tempfile
import time

from harness import report
from harness.processes import clean_up_when_ended
from harness.servers import PROXIES
from harness.servers import Setup
from harness.speed import STAND_IN
from harness.speed import open_session
from harness.speed import words

TARGET_KIB = {"h1": 28}
# Long enough for what was needed only by handshakes to be given back.
SETTLE = 3
# Open files of a proxy beside two for each connection.
SPARE = 500


class Holder:
    """The client that holds connections, one step after another."""

    def __init__(self, proxy, protocol, cookie, certificate, steps):
        command = [os.environ["IDLE_CONNECTIONS_BIN"], "--address", f"127.0.0.1:{proxy.port}", "--ca", certificate]
        command += ["--cookie", cookie, "--path", "/100B", "--steps", ",".join(map(str, steps))]
        command += ["--http2"] if protocol == "h2" else []
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._client = subprocess.Popen([str(part) for part in command], **pipes)

    def wait_for(self, step):
        line = self._client.stdout.readline().strip()
        if line != f"holding {step}":
            raise SystemExit(f"the client did not open {step} connections")

    def go_on(self):
        self._client.stdin.write("\n")
        self._client.stdin.flush()

    def end(self):
        self._client.terminate()
        self._client.wait()
        self._client.stdin.close()
        self._client.stdout.close()


def measure(name, protocol, steps):
    """Resident KiB of a fresh proxy at each step."""
    with tempfile.TemporaryDirectory(prefix="vestibule-bench-") as folder:
        setup = Setup(folder)
        running = []
        try:
            running.append(setup.start_app())
            running.append(proxy := setup.start(name))
            cookie = open_session(name, proxy, setup.certificate) or STAND_IN
            holder = Holder(proxy, protocol, cookie, setup.certificate, steps)
            try:
                return list(resident_at_each(steps, holder, proxy))
            finally:
                holder.end()
        finally:
            for process in reversed(running):
                process.stop()


def resident_at_each(steps, holder, proxy):
    for step in steps:
        holder.wait_for(step)
        time.sleep(SETTLE)
        yield proxy.resident_kib()
        holder.go_on()


def slope(steps, resident):
    return (resident[-1] - resident[0]) / (steps[-1] - steps[0])


def arguments():
    parser = argparse.ArgumentParser(prog="benches/compare/memory", description=__doc__)
    parser.add_argument("--only", type=words(PROXIES), default=PROXIES)
    parser.add_argument("--protocols", type=words(("h1", "h2")), default=["h1", "h2"])
    parser.add_argument("--steps", default="1000,10000", help="connections held (1000,10000)")
    return parser.parse_args()


def main():
    clean_up_when_ended()
    chosen = arguments()
    steps = [int(step) for step in chosen.steps.split(",")]
    if len(steps) < 2:
        raise SystemExit("a slope needs two steps")
    may_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if steps[-1] > (fits := (may_open - SPARE) // 2):
        raise SystemExit(f"a process may open {may_open} files here: enough for --steps {steps[0]},{fits // 1000 * 1000}")
    kept = []
    for protocol in chosen.protocols:
        print(f"\n{protocol}: KiB resident at {steps} idle connections, and KiB for each one more")
        for name in chosen.only:
            resident = measure(name, protocol, steps)
            each = slope(steps, resident)
            kept.append({"protocol": protocol, "proxy": name, "steps": steps, "resident_kib": resident, "each": each})
            limit = TARGET_KIB.get(protocol) if name == "vestibule" else None
            verdict = f"  target: ≤ {limit}: {'met' if each <= limit else 'MISSED'}" if limit else ""
            print(f"  {name:10} {resident}  {each:6.1f}{verdict}", flush=True)
    report.write("memory", {**report.surroundings(chosen.only), "measurements": kept})


if __name__ == "__main__":
    main()
