"""The real binary with a configuration of its own, started and stopped like any operator would."""

import json
import os
import signal
import subprocess
from pathlib import Path

from support.process import Process
from support.process import free_port
from support.waiting import wait_until
from support.wire import Wire
from support.wire import head

ROOT = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("VESTIBULE_BIN") or ROOT / "target/debug/vestibule").resolve()

# Long enough for the rules about passwords, and in no list of common ones.
PASSWORDS = {
    name: f"{name} walks quietly past nineteen turnips"
    for name in ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "admin")
}
GROUPS = {"alice": "staff,writers", "admin": "admins"}


def run(*arguments, stdin="", folder=None, check=True):
    """Runs one command of the binary to its end."""
    done = subprocess.run(
        [str(BINARY), *map(str, arguments)],
        input=stdin,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"{arguments} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def add_user(users, name, password, groups=None):
    more = ["--groups", groups] if groups else []
    return run("users", "add", name, "--file", users, *more, stdin=password + "\n")


def make_users(path):
    for name, password in PASSWORDS.items():
        add_user(path, name, password, GROUPS.get(name))
    return path


class Gateway:
    """`sites` and `more` are the configuration; what is not said has the product's own defaults."""

    def __init__(self, folder, sites, users, logs, name="gateway", **more):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.users = users
        self.passwords = dict(PASSWORDS)
        self.port = free_port()
        self.admin_port = free_port()
        self.redirect_port = free_port()
        self.audit = folder / "audit.log"
        self.file = folder / "vestibule.yaml"
        self.config = {
            "state_dir": str(folder / "state"),
            "listen": {
                "https": f"127.0.0.1:{self.port}",
                "admin": f"127.0.0.1:{self.admin_port}",
                "http_redirect": f"127.0.0.1:{self.redirect_port}",
            },
            "tls": {
                "certificates": [{"cert": str(folder / "cert.pem"), "key": str(folder / "cert.key")}],
                "generate": True,
            },
            # Many tests log the same few people in, and leave them so.
            "session": {"max_per_user": 1000},
            "login": {
                "password": {"users": str(users)},
                # All tests come from one address, and many of them fail to log in on purpose.
                "attempts": {"per_account": 5, "per_address": "10000/15m"},
            },
            "sites": sites,
            "log": {"format": "json", "access": True, "audit": str(self.audit)},
        }
        for key, value in more.items():
            known = self.config.get(key)
            self.config[key] = {**known, **value} if isinstance(known, dict) else value
        self._log = logs / f"{name}.log"
        self.process = None
        # How the process is started, beside its command.
        self.popen = {}

    def write(self):
        # JSON is YAML.
        self.file.write_text(json.dumps(self.config, indent=2))
        return self.file

    def command(self):
        return [BINARY, "serve", "--config", self.file]

    def start(self, **environment):
        return self.run(self.command(), env={**os.environ, **environment})

    def run(self, command, **options):
        """Starts it by a command of the test's own."""
        self.write()
        self.process = Process(command, self._log, cwd=self.folder, **self.popen, **options)
        wait_until(lambda: self.ready() or not self.process.alive(), "the gateway is ready", within=20)
        assert self.process.alive(), f"the gateway did not start:\n{self.process.said()[-4000:]}"
        return self

    def ready(self):
        try:
            return self.ask_admin("/health/ready").status == 200
        except OSError:
            return False

    def ask_admin(self, path, method="GET", *lines):
        with Wire(self.admin_port, tls=False) as wire:
            wire.send(head(method, path, f"127.0.0.1:{self.admin_port}", "Connection: close", *lines))
            return wire.response(method)

    def figure(self, name):
        """What `/metrics` says of a figure without labels."""
        lines = self.ask_admin("/metrics").text.splitlines()
        [value] = [line.split()[1] for line in lines if line.startswith(f"{name} ")]
        return float(value)

    def ask_redirect(self, data):
        with Wire(self.redirect_port, tls=False) as wire:
            return wire.send(data).response()

    def wire(self, host="rec.test", **more):
        return Wire(self.port, host, **more)

    def authority(self, host="rec.test"):
        return f"{host}:{self.port}"

    def logged(self):
        """Everything the gateway has written anywhere: output, errors, audit file."""
        audit = self.audit.read_text("utf-8", "replace") if self.audit.exists() else ""
        return self.process.said() + audit

    def events(self):
        """The audit events so far, as written, oldest first."""
        if not self.audit.exists():
            return []
        return [json.loads(line) for line in self.audit.read_text("utf-8").splitlines() if line.strip()]

    def wait_event(self, *words, within=5.0):
        """Waits for an audit line that has all of `words`, and returns the last such line. An event that came before,
        from another test, is told apart by a word of its own."""

        def lines():
            return [line for line in self.audit_text().splitlines() if all(word in line for word in words)]

        wait_until(lines, f"audit event {' '.join(words)}", within)
        return lines()[-1]

    def audit_text(self):
        return self.audit.read_text("utf-8", "replace") if self.audit.exists() else ""

    def signal(self, number=signal.SIGTERM):
        self.process.child.send_signal(number)

    def stop(self):
        return self.process.stop() if self.process else None
