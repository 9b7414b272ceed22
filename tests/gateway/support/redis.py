"""A Redis server of the tests' own, which can be frozen, killed, cut off and led astray; and a Sentinel over some."""

import contextlib
import signal
import socket
import threading

from support.process import Process
from support.process import free_port
from support.waiting import wait_until


class RedisError(Exception):
    """What the server said instead of an answer."""


class Redis:
    """`settings` are the server's own, such as `appendonly="yes"`."""

    def __init__(self, folder, logs, name="redis", **settings):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.settings = {"port": self.port, "bind": "127.0.0.1", "dir": folder, "save": "", **settings}
        self._log = logs / f"{name}.log"
        self.process = None

    def start(self):
        words = [word for key, value in self.settings.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        self.process = Process(["redis-server", *words], self._log)
        wait_until(self.answers, "redis-server answers")
        return self

    def answers(self):
        try:
            return self.say("PING") == "PONG"
        except (OSError, RedisError):
            return False

    def say(self, *words):
        """One command, on a connection of its own."""
        return self._converse(words)[-1]

    def settle(self, password, *words):
        """The same where a password is asked for."""
        return self._converse(("AUTH", password), words)[-1]

    def _converse(self, *commands):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            with sock.makefile("rb") as reader:
                return [self._ask(sock, reader, words) for words in commands]

    @staticmethod
    def _ask(sock, reader, words):
        parts = [str(word).encode() for word in words]
        lines = [b"*%d\r\n" % len(parts), *(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)]
        sock.sendall(b"".join(lines))
        return _read(reader)

    def calls(self, command):
        """How often the server ran a command, those inside scripts included."""
        lines = self.say("INFO", "commandstats").splitlines()
        line = next((line for line in lines if line.startswith(f"cmdstat_{command}:")), None)
        return int(line.partition("calls=")[2].partition(",")[0]) if line else 0

    def freeze(self):
        self.process.child.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.child.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.child.kill()
        self.process.child.wait()
        self.process.stop()

    def stop(self):
        if self.process and self.process.alive():
            self.thaw()
            self.process.stop()


class Sentinel(Redis):
    """One Sentinel that alone decides over `master`, whom it calls `sessions`."""

    def __init__(self, folder, logs, master):
        super().__init__(folder, logs, "sentinel")
        self.file = folder / "sentinel.conf"
        self.file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor sessions 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds sessions 1000\n"
            "sentinel failover-timeout sessions 5000\n"
        )

    def start(self):
        self.process = Process(["redis-sentinel", self.file], self._log)
        wait_until(self.answers, "redis-sentinel answers")
        return self

    def replicas(self):
        return len(self.say("SENTINEL", "REPLICAS", "sessions"))

    def master(self):
        return int(self.say("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "sessions")[1])


class Relay:
    """A way to a port that can be made to swallow whatever is sent on it, as a broken network does."""

    def __init__(self, port):
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = threading.Event()
        self._open.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self):
        self._open.clear()

    def pass_on(self):
        self._open.set()

    def _accept(self):
        while True:
            client, _ = self._listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    def _copy(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _read(reader):
    line = reader.readline()
    if not line:
        raise ConnectionError("the server closed")
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"+":
        return rest
    if kind == b"-":
        raise RedisError(rest)
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == "-1" else reader.read(int(rest) + 2)[:-2].decode("utf-8", "replace")
    return None if rest == "-1" else [_read(reader) for _ in range(int(rest))]
