"""Raw HTTP/2: frames as a test writes them, with h2 only for what a frame is made of."""

import ssl

import hpack
from hyperframe.frame import ContinuationFrame
from hyperframe.frame import DataFrame
from hyperframe.frame import Frame
from hyperframe.frame import GoAwayFrame
from hyperframe.frame import HeadersFrame
from hyperframe.frame import PingFrame
from hyperframe.frame import RstStreamFrame
from hyperframe.frame import SettingsFrame

from support.wire import Wire

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# What a peer that says nothing takes in one frame (RFC 9113 §6.5.2).
FRAME = 16384


class Stream:
    def __init__(self):
        self.headers = []
        self.body = b""
        self.reset = None
        self.ended = False

    @property
    def status(self):
        found = [value for name, value in self.headers if name == ":status"]
        return int(found[-1]) if found else None


class Http2:
    """One connection; it answers SETTINGS and PING, and checks nothing it sends."""

    def __init__(self, port, sni="rec.test"):
        self.wire = Wire(port, sni, alpn=("h2",))
        assert self.wire.sock.selected_alpn_protocol() == "h2"
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.streams = {}
        self.settings = {}
        self.goaway = None
        self.closed = False
        self._next = 1
        self._buffer = b""
        self.send_raw(PREFACE + SettingsFrame(0).serialize())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.close()

    def send_raw(self, data):
        self.wire.send(data)

    def open(self, headers, data=None, end=True, trailers=None):
        """Opens a stream with exactly these header pairs; returns its number."""
        number, self._next = self._next, self._next + 2
        self.streams[number] = Stream()
        block = self.encoder.encode([hpack.NeverIndexedHeaderTuple(name, value) for name, value in headers], huffman=False)
        flags = ["END_STREAM"] if end and data is None and trailers is None else []
        first, *more = [block[at : at + FRAME] for at in range(0, len(block), FRAME)]
        frames = [HeadersFrame(number, first, flags=flags), *(ContinuationFrame(number, piece) for piece in more)]
        frames[-1].flags.add("END_HEADERS")
        self.send_raw(b"".join(frame.serialize() for frame in frames))
        if data is not None:
            last = end and trailers is None
            self.send_raw(DataFrame(number, data, flags=["END_STREAM"] if last else []).serialize())
        if trailers is not None:
            block = self.encoder.encode(trailers, huffman=False)
            self.send_raw(HeadersFrame(number, block, flags=["END_HEADERS", "END_STREAM"]).serialize())
        return number

    def finish(self, number):
        """Reads until the stream ended, was reset, or the connection closed."""
        stream = self.streams[number]
        while not (stream.ended or stream.reset is not None or self.goaway is not None or self.closed):
            self._read()
        return stream

    def drain(self, seconds=1.0):
        """Reads what comes for a while."""
        patience = self.wire.sock.gettimeout()
        self.wire.sock.settimeout(seconds)
        try:
            while not self.closed:
                self._read()
        except TimeoutError:
            return
        finally:
            self.wire.sock.settimeout(patience)

    def read_one(self):
        """Reads one frame."""
        self._read()

    def _read(self):
        while len(self._buffer) < 9:
            self._receive()
            if self.closed:
                return
        frame, length = Frame.parse_frame_header(memoryview(self._buffer[:9]))
        while len(self._buffer) < 9 + length:
            self._receive()
            if self.closed:
                return
        frame.parse_body(memoryview(self._buffer[9 : 9 + length]))
        self._buffer = self._buffer[9 + length :]
        self._take(frame)

    def _receive(self):
        try:
            data = self.wire.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            data = b""
        self.closed = not data
        self._buffer += data

    def _take(self, frame):
        stream = self.streams.get(frame.stream_id)
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.settings.update(frame.settings)
            self.send_raw(SettingsFrame(0, flags=["ACK"]).serialize())
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self.send_raw(PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize())
        elif isinstance(frame, GoAwayFrame):
            self.goaway = frame.error_code
        elif isinstance(frame, HeadersFrame) and stream:
            stream.headers += [(str(name), str(value)) for name, value in self._decode(frame.data)]
            stream.ended = "END_STREAM" in frame.flags
        elif isinstance(frame, DataFrame) and stream:
            stream.body += frame.data
            stream.ended = "END_STREAM" in frame.flags
        elif isinstance(frame, RstStreamFrame) and stream:
            stream.reset = frame.error_code

    def _decode(self, block):
        pairs = self.decoder.decode(block, raw=True)
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]


def request(authority, path="/x", method="GET", scheme="https", extra=()):
    return [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path), *extra]
