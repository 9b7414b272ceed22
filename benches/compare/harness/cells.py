"""What is measured: protocol × connections × body, and what we aim at."""

from dataclasses import dataclass

from harness.servers import BODIES

# Requests of one run over open connections. Enough that the kernel's clock of 10 ms a tick is below 1 % of the CPU.
COUNTS = {"100B": 60000, "10KiB": 40000, "1MiB": 1500}
# A single connection waits for each answer: fewer, or a run would take minutes.
COUNTS_OF_ONE = {"100B": 20000, "10KiB": 15000, "1MiB": 800}
HANDSHAKES = 4000
HANDSHAKES_OF_ONE = 1500
# HTTP/2 is measured with several streams a connection, as browsers use it; not so where there are 512 connections,
# because then thousands of requests at a time would measure queues.
CONNECTIONS = (1, 64, 512)


@dataclass(frozen=True)
class Cell:
    protocol: str
    connections: int
    body: str
    count: int
    streams: int = 1

    def title(self):
        each = f" × {self.streams} streams" if self.streams > 1 else ""
        return f"{self.protocol}, {self.connections} connections{each}, {self.body}"


@dataclass(frozen=True)
class Target:
    """Vestibule's CPU per request at most `limit` times the other's."""

    other: str
    limit: float


TARGETS = {
    ("h1", 64, "100B"): Target("nginx", 0.90),
    ("h2", 64, "100B"): Target("haproxy", 1.10),
    ("handshake", 64, "100B"): Target("nginx", 0.80),
}


def target(cell):
    return TARGETS.get((cell.protocol, cell.connections, cell.body))


def cells(protocols, connections, bodies, streams, scale):
    """Handshakes are measured with the smallest body alone: the others would only add what h1 measures already."""
    for protocol in protocols:
        for count in connections:
            for body in bodies if protocol != "handshake" else bodies[:1]:
                yield _cell(protocol, count, body, streams, scale)


def _cell(protocol, connections, body, streams, scale):
    if protocol == "handshake":
        number = HANDSHAKES_OF_ONE if connections == 1 else HANDSHAKES
        return Cell(protocol, connections, body, _tens(number * scale))
    number = (COUNTS_OF_ONE if connections == 1 else COUNTS)[body]
    # At least ten on each connection, so that nearly all handshakes lie before the part that is counted.
    number = max(number * scale, 10 * connections)
    return Cell(protocol, connections, body, _tens(number), streams if protocol == "h2" and connections <= 64 else 1)


def _tens(count):
    """h2load counts its progress in whole tenths."""
    return max(100, round(count / 10) * 10)


def quick(streams, scale):
    return [_cell(protocol, connections, body, streams, scale) for protocol, connections, body in TARGETS]


ALL = ("h1", "h2", "handshake"), CONNECTIONS, tuple(BODIES)
