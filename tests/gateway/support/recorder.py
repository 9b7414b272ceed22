"""An app that writes down the exact bytes it is sent and answers as a test tells it.

It reads strictly and guesses nothing: what it records is the judge of every attack. Unless a test says otherwise it
answers 200 with JSON that names connection and request, so that crossed answers can be proved.
"""

import contextlib
import json
import socket
import threading
from dataclasses import dataclass
from dataclasses import field


@dataclass
class Seen:
    """One request as it arrived; `complete` tells whether all of its body came."""

    connection: int
    number: int
    raw: bytes
    method: str
    target: str
    headers: list
    body: bytes = b""
    trailers: bytes = b""
    complete: bool = True
    reader: object = field(default=None, repr=False)

    def all(self, name):
        return [value for other, value in self.headers if other.lower() == name.lower()]

    def one(self, name):
        values = self.all(name)
        assert len(values) == 1, f"{name} should come once: {values}"
        return values[0]

    def names(self):
        return [name.lower() for name, _ in self.headers]


@dataclass
class Script:
    """What to answer: `reply` is bytes, or a function of (socket, request) that sends for itself.

    A function that wants more of the body reads it from `request.reader`.
    """

    reply: object
    keep: bool = True
    early: bool = False
    used: int = field(default=0)


class Recorder:
    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.upstream = f"http://127.0.0.1:{self.port}"
        self.seen = []
        self.broken = []
        self.connections = 0
        self._scripts = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def on(self, path, reply, keep=True, early=False):
        """Answers requests whose path is `path` with `reply`; `early` answers before the body is read."""
        self._scripts[path] = Script(reply, keep, early)

    def mark(self):
        with self._lock:
            return len(self.seen)

    def since(self, mark, complete=False):
        """The requests that came after `mark`; those of the canary are left out."""
        with self._lock:
            later = self.seen[mark:]
        return [seen for seen in later if seen.target != "/canary" and (seen.complete or not complete)]

    def last(self):
        with self._lock:
            return self.seen[-1]

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client, self.connections), daemon=True).start()

    def _serve(self, client, connection):
        client.settimeout(60)
        # The reader too, or the connection stays open.
        with client, client.makefile("rb") as reader, contextlib.suppress(OSError):
            number = 0
            while self._request(client, reader, connection, number):
                number += 1

    def _request(self, client, reader, connection, number):
        """Reads and answers one request; returns whether the connection goes on."""
        head = _read_head(reader)
        if not head:
            return False
        try:
            seen = _parse(head, connection, number)
        except ValueError:
            self.broken.append(head)
            client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return False
        seen.reader = reader
        script = self._scripts.get(seen.target.split("?")[0])
        if script and script.early:
            with self._lock:
                self.seen.append(seen)
            return self._answer(client, seen, script)
        if seen.all("Expect"):
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        seen.complete = _read_body(reader, seen)
        with self._lock:
            self.seen.append(seen)
        return seen.complete and self._answer(client, seen, script)

    def _answer(self, client, seen, script):
        if script is None:
            client.sendall(_default_answer(seen))
            return True
        script.used += 1
        if callable(script.reply):
            script.reply(client, seen)
        else:
            client.sendall(script.reply)
        return script.keep


def answer(status="200 OK", headers=(), body=b"ok\n"):
    """The bytes of an answer with a length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _default_answer(seen):
    body = json.dumps({"connection": seen.connection, "number": seen.number, "target": seen.target}).encode()
    sent = b"" if seen.method == "HEAD" else body
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + sent


def _read_head(reader):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline(65537)
        if not line.endswith(b"\n"):
            return b""
        head += line
        if head == b"\r\n":
            head = b""
    return head


def _parse(head, connection, number):
    lines = head[:-4].split(b"\r\n")
    method, target, version = lines[0].decode("latin-1").split(" ")
    if version != "HTTP/1.1":
        raise ValueError(version)
    headers = []
    for line in lines[1:]:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip() or "\n" in line.decode("latin-1"):
            raise ValueError(line)
        headers.append((name, value.strip(" \t")))
    return Seen(connection, number, head, method, target, headers)


def _read_body(reader, seen):
    """Reads the body by the one length the head must have; returns whether it came whole."""
    lengths, codings = seen.all("Content-Length"), seen.all("Transfer-Encoding")
    if len(lengths) + len(codings) > 1 or codings not in ([], ["chunked"]):
        return False
    if lengths:
        seen.body = reader.read(int(lengths[0]))
        return len(seen.body) == int(lengths[0])
    return not codings or _read_chunks(reader, seen)


def _read_chunks(reader, seen):
    parts = []
    while True:
        size_line = reader.readline(1024)
        seen.raw += size_line
        if not size_line.endswith(b"\r\n"):
            return False
        try:
            size = int(size_line.split(b";")[0], 16)
        except ValueError:
            return False
        if size == 0:
            break
        chunk = reader.read(size + 2)
        if len(chunk) != size + 2 or not chunk.endswith(b"\r\n"):
            return False
        parts.append(chunk[:-2])
        seen.body = b"".join(parts) if len(parts) < 64 else seen.body
    seen.body = b"".join(parts)
    while (line := reader.readline(65537)) != b"\r\n":
        if not line:
            return False
        seen.trailers += line
    return True
