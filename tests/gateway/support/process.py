"""One program that runs beside the tests: started with its output in a file, ended by its own process id."""

import random
import signal
import socket
import subprocess
from pathlib import Path


class Process:
    def __init__(self, command, output: Path, **options):
        self.output = output
        output.parent.mkdir(parents=True, exist_ok=True)
        self._stdout = output.open("ab")
        self._stderr = output.with_suffix(".err").open("ab")
        self.child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=self._stderr,
            **options,
        )

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child.poll() is None

    def said(self):
        """Everything it has written to standard output and standard error."""
        return self.output.read_text("utf-8", "replace") + self.errors()

    def errors(self):
        return self.output.with_suffix(".err").read_text("utf-8", "replace")

    def terminate(self):
        self.child.send_signal(signal.SIGTERM)

    def stop(self, within=15.0):
        """SIGTERM, then SIGKILL for one that stays; returns the exit status."""
        if self.alive():
            self.terminate()
            try:
                self.child.wait(within)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self._stdout.close()
        self._stderr.close()
        return self.child.returncode


GIVEN = set()


def free_port():
    """Below the range that the system takes ports for outgoing connections from: there a free one may not stay so."""
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as probe:
            if port not in GIVEN and probe.connect_ex(("127.0.0.1", port)) != 0:
                GIVEN.add(port)
                return port


HELD = []


def dead_port():
    """Where nobody listens, and nobody can: it is taken, and refuses connections, until the tests end."""
    HELD.append(socket.socket())
    HELD[-1].bind(("127.0.0.1", 0))
    return HELD[-1].getsockname()[1]


def accepts(port):
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
