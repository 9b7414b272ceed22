"""Processes of the comparison: started in a folder of their own, measured through /proc, ended by their id."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def clean_up_when_ended():
    """Makes SIGTERM an exception, so that what was started is stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A server and all processes it started itself."""

    def __init__(self, command, folder, port):
        self.port = port
        self._log = folder / "output.log"
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                [str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait_until_it_accepts(command[0])

    def _wait_until_it_accepts(self, name):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self._child.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        said = self._log.read_text("utf-8", "replace")[-2000:]
        self.stop()
        raise SystemExit(f"{name} does not accept connections on port {self.port}:\n{said}")

    def ids(self):
        """The process and its descendants."""
        found = [self._child.pid]
        for process in found:
            children = Path(f"/proc/{process}/task/{process}/children")
            found += [int(child) for child in children.read_text().split()] if children.exists() else []
        return found

    def cpu_seconds(self):
        """User and system time so far, over all processes and threads, those that ended included."""
        user = system = 0
        for process in self.ids():
            # The second field, the name in parentheses, may hold anything; what we need comes after it.
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            user += int(fields[11])
            system += int(fields[12])
        return user / TICKS, system / TICKS

    def resident_kib(self):
        return sum(int(Path(f"/proc/{process}/statm").read_text().split()[1]) for process in self.ids()) * PAGE_KIB

    def stop(self):
        for process in self.ids() if self._child.poll() is None else []:
            try:
                os.kill(process, signal.SIGTERM)
            except ProcessLookupError:
                pass
        try:
            self._child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
