"""A tiny HTTP/1 client that sends exactly the bytes it is given, over TLS or plain."""

import socket
import ssl
import time
from dataclasses import dataclass


@dataclass
class Response:
    version: str
    status: int
    reason: str
    headers: list
    body: bytes = b""

    def all(self, name):
        return [value for other, value in self.headers if other.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return ", ".join(values) if values else default

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        import json

        return json.loads(self.body)


def tls_context(alpn=("http/1.1",)):
    """Trusts anybody: the certificate is checked by the tests about certificates."""
    # Not the default context: it reads the system's authorities, which takes longer than the handshake.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    return context


class Closed(Exception):
    """The other side closed before a whole answer came."""


class Wire:
    """One connection."""

    def __init__(self, port, sni="app.test", tls=True, alpn=("http/1.1",), timeout=20):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls_context(alpn).wrap_socket(self.sock, server_hostname=sni)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass  # refused while we were still talking: the answer, if any, is what counts
        return self

    def response(self, method="GET"):
        """Reads one answer, interim ones skipped; raises Closed where none came."""
        while True:
            response = self._head()
            if response.status >= 200 or response.status == 101:
                break
        if method != "HEAD" and response.status not in (101, 204, 304):
            response.body = self._body(response)
        return response

    def responses(self):
        """Every answer until the other side closes or falls silent for a second."""
        found = []
        while True:
            try:
                found.append(self.response())
            except (Closed, TimeoutError):
                return found
            self.sock.settimeout(1)

    def closed(self, within=5.0):
        """Whether the other side closes within the time; what it sends until then is thrown away."""
        deadline = time.monotonic() + within
        self.sock.settimeout(0.2)
        while time.monotonic() < deadline:
            try:
                if not self._receive():
                    return True
            except (TimeoutError, ssl.SSLWantReadError):
                continue
        return False

    def read_until(self, wanted, within=10.0):
        """Reads until `wanted` came; returns everything up to its end."""
        deadline = time.monotonic() + within
        while wanted not in self.buffer:
            self.sock.settimeout(max(0.01, deadline - time.monotonic()))
            if not self._fill():
                raise Closed
        end = self.buffer.index(wanted) + len(wanted)
        found, self.buffer = self.buffer[:end], self.buffer[end:]
        return found

    def _receive(self):
        try:
            return self.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError, BrokenPipeError):
            return b""

    def _fill(self):
        data = self._receive()
        self.buffer += data
        return bool(data)

    def _line(self):
        while b"\r\n" not in self.buffer:
            if not self._fill():
                raise Closed
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _exactly(self, count):
        parts, missing = [], count
        while missing:
            if not self.buffer and not self._fill():
                raise Closed
            part, self.buffer = self.buffer[:missing], self.buffer[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _head(self):
        version, status, *reason = self._line().decode("latin-1").split(" ", 2)
        headers = []
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        return Response(version, int(status), "".join(reason), headers)

    def _body(self, response):
        if response.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self._line().split(b";")[0], 16):
                body += self._exactly(size)
                assert self._line() == b""
            while self._line():
                pass
            return body
        if (length := response.get("Content-Length")) is not None:
            return self._exactly(int(length))
        while self._fill():
            pass
        body, self.buffer = self.buffer, b""
        return body


def head(method, target, host, *lines, version="HTTP/1.1"):
    """The bytes of a request's head; `lines` may be text or raw bytes."""
    start = f"{method} {target} {version}\r\nHost: {host}\r\n".encode("latin-1")
    raw = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
    return start + b"".join(line + b"\r\n" for line in raw) + b"\r\n"
