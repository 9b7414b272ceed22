"""The load clients: h2load for requests, ab for full handshakes. Both send a fixed number and must get every answer."""

import re
import subprocess
from dataclasses import dataclass

# CPU is read at these two lines of h2load's: in between, connections are open on both sides, and what is half sent at
# the one is made up for by what is half sent at the other.
BEGIN = "progress: 10% done"
END = "progress: 90% done"
COUNTED = 0.8
# What browsers choose. Left to themselves the servers choose differently.
CIPHER = "TLS_AES_128_GCM_SHA256"
TIME_LIMIT = 300


@dataclass
class Sample:
    """One run against one proxy. CPU in microseconds per request, latencies in milliseconds."""

    user: float
    kernel: float
    rate: float
    p50: float
    p99: float
    tls: str = ""

    @property
    def cpu(self):
        return self.user + self.kernel


class Failed(SystemExit):
    """Not every request was answered as it should be."""


def requests(proxy, cell, cookie, size, folder):
    """HTTP/1.1 or HTTP/2 over connections that stay open."""
    count = cell.count
    log = folder / "requests.log"
    log.unlink(missing_ok=True)
    command = ["h2load", "-t", "1", "-n", count, "-c", cell.connections, "-m", cell.streams, "--log-file", log]
    command += [f"--tls13-ciphers={CIPHER}"]
    command += ["--h1"] if cell.protocol == "h1" else []
    command += ["-H", f"cookie: {cookie}", "--connect-to", f"127.0.0.1:{proxy.port}"]
    command += [f"https://localhost:{proxy.port}/{cell.body}"]
    with _started(command) as client:
        before = after = None
        said = ""
        for line in client.stdout:
            said += line
            if line.strip() == BEGIN:
                before = proxy.cpu_seconds()
            elif line.strip() == END:
                after = proxy.cpu_seconds()
    _expect(rf"requests: {count} total, {count} started, {count} done, {count} succeeded, 0 failed", said)
    _expect(rf"status codes: {count} 2xx", said)
    _expect(rf"\({count * size}\) data", said)
    user, kernel = ((late - early) * 1e6 / (count * COUNTED) for early, late in zip(before, after))
    rate = float(_expect(r"([\d.]+) req/s", said)[1])
    p50, p99 = _percentiles(_times(log))
    tls = " ".join(re.findall(r"(?:Cipher|Server Temp Key): (\S+)", said))
    return Sample(user, kernel, rate, p50, p99, tls)


def handshakes(proxy, cell, cookie, size, folder):
    """One request for each connection, and nothing resumed: ab never offers a session or a ticket again, as h2load and
    wrk do. It is told to send no server name (`-I`), because it would send the Host header's, port and all."""
    table = folder / "percentiles.csv"
    command = ["ab", "-q", "-d", "-S", "-I", "-f", "TLS1.3", "-n", cell.count, "-c", cell.connections, "-e", table]
    command += ["-s", "30", "-H", f"Host: localhost:{proxy.port}", "-H", f"Cookie: {cookie}"]
    command += [f"https://127.0.0.1:{proxy.port}/{cell.body}"]
    before = proxy.cpu_seconds()
    with _started(command) as client:
        said = client.stdout.read()
    after = proxy.cpu_seconds()
    _expect(rf"Complete requests:\s+{cell.count}\b", said)
    _expect(r"Failed requests:\s+0\b", said)
    _expect(rf"HTML transferred:\s+{cell.count * size} bytes", said)
    if "Non-2xx responses" in said:
        raise Failed(said)
    user, kernel = ((late - early) * 1e6 / cell.count for early, late in zip(before, after))
    rate = float(_expect(r"Requests per second:\s+([\d.]+)", said)[1])
    rows = dict(line.split(",") for line in table.read_text().splitlines()[1:])
    tls = _expect(r"SSL/TLS Protocol:\s+TLSv1.3,(\w+)", said)[1]
    return Sample(user, kernel, rate, float(rows["50"]), float(rows["99"]), tls)


@dataclass
class Latency:
    """Of requests at a steady rate, in milliseconds."""

    p50: float
    p99: float
    worst: float


def steadily(proxy, pace, cookie, folder):
    """HTTP/2 requests that come at a rate of their own, whatever the answers do."""
    connections, rate, seconds = pace
    log = folder / "requests.log"
    log.unlink(missing_ok=True)
    command = ["h2load", "-t", "1", "-D", seconds, "-c", connections, "-m", 32, "--log-file", log]
    command += [f"--rps={rate / connections}", f"--tls13-ciphers={CIPHER}"]
    command += ["-H", f"cookie: {cookie}", "--connect-to", f"127.0.0.1:{proxy.port}"]
    command += [f"https://localhost:{proxy.port}/100B"]
    with _started(command) as client:
        said = client.stdout.read()
    _expect(r"\b0 failed, 0 errored, 0 timeout", said)
    _expect(r"\b0 3xx, 0 4xx, 0 5xx", said)
    times = _times(log)
    if len(times) < rate * seconds * 0.9:
        raise Failed(f"{len(times)} answers where {rate * seconds} were due\n{said[-2500:]}")
    return Latency(*_percentiles(times), times[-1] / 1000)


class _started:
    """A client that is ended if it takes too long; its output is only trusted if it ended well."""

    def __init__(self, command):
        self._command = ["timeout", str(TIME_LIMIT)] + [str(part) for part in command]

    def __enter__(self):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self._client = subprocess.Popen(self._command, **options)
        return self._client

    def __exit__(self, kind, *_):
        if kind:
            self._client.terminate()
        status = self._client.wait()
        self._client.stdout.close()
        if status and not kind:
            raise Failed(f"{self._command[2]} ended with {status}")


def _expect(pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise Failed(f"not found: {pattern}\n{text[-2500:]}")
    return found


def _times(log):
    """Microseconds, in order, out of h2load's list: start, status and microseconds of every request."""
    return sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())


def _percentiles(times):
    return times[len(times) // 2] / 1000, times[len(times) * 99 // 100] / 1000
