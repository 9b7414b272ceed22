"""The unmodified apps of tests/apps, started as their own authors would start them."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from support.process import Process
from support.process import accepts
from support.process import free_port
from support.waiting import wait_until

APPS = Path(__file__).resolve().parents[2] / "apps"


class App:
    """A running app: `upstream` is what a gateway's configuration says about it."""

    def __init__(self, process, upstream):
        self.process = process
        self.upstream = upstream


def _ready(process, probe, name):
    wait_until(lambda: probe() or not process.alive(), f"{name} listens", within=20)
    assert process.alive(), f"{name} did not start:\n{process.said()}"


def _on_port(name, command, port, folder, logs, **environment):
    process = Process(command, logs / f"{name}.log", cwd=folder, env={**os.environ, **environment})
    _ready(process, lambda: accepts(port), name)
    return App(process, f"http://127.0.0.1:{port}")


def flask(logs, sessions="signed"):
    """Flask's development server: closes every connection after its answer."""
    port, name = free_port(), f"flask-{sessions}"
    more = {"PORT": str(port), "SESSIONS": sessions}
    return _on_port(name, [sys.executable, "app.py"], port, APPS / "flask", logs, **more)


def gunicorn(logs):
    """gunicorn with threads and its default keep-alive of 2 s."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "8", "app:app"]
    return _on_port("gunicorn", command, port, APPS / "flask", logs)


def gunicorn_unix(logs, folder):
    """gunicorn on a Unix socket."""
    path = folder / "notes.sock"
    command = [sys.executable, "-m", "gunicorn", "--bind", f"unix:{path}", "--threads", "8", "app:app"]
    process = Process(command, logs / "gunicorn-unix.log", cwd=APPS / "flask")
    _ready(process, lambda: _accepts_unix(path), "gunicorn on a Unix socket")
    return App(process, f"unix:{path}")


def gunicorn_tls(logs, cert, key):
    """gunicorn that speaks TLS itself, with the certificate given."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "4"]
    command += ["--certfile", cert, "--keyfile", key, "app:app"]
    app = _on_port(f"gunicorn-tls-{port}", command, port, APPS / "flask", logs)
    app.upstream = f"https://localhost:{port}"
    return app


def django(logs, folder):
    """Django's admin on its development server; nora and otto may enter."""
    port, manage = free_port(), [sys.executable, "manage.py"]
    more = {"DATABASE": str(folder / "board.sqlite3")}

    def run(*command, **environment):
        environment = {**os.environ, **more, **environment}
        subprocess.run([*manage, *command], cwd=APPS / "django", env=environment, check=True, capture_output=True)

    run("migrate")
    for name in ("nora", "otto"):
        known = {"USERNAME": name, "PASSWORD": f"{name}-keeps-notes", "EMAIL": f"{name}@example.com"}
        environment = {f"DJANGO_SUPERUSER_{key}": value for key, value in known.items()}
        run("createsuperuser", "--noinput", **environment)
    command = [*manage, "runserver", "--noreload", f"127.0.0.1:{port}"]
    return _on_port("django", command, port, APPS / "django", logs, **more)


def express(logs, sessions="server"):
    port, name = free_port(), f"express-{sessions}"
    more = {"PORT": str(port), "SESSIONS": sessions}
    return _on_port(name, [shutil.which("node"), "app.js"], port, APPS / "express", logs, **more)


def appbuilder(logs, folder):
    """Flask-AppBuilder on its development server, in an environment of its own; nora and otto may do all."""
    port, python = free_port(), APPS.parent / ".work/appbuilder/bin/python"
    more = {"PORT": str(port), "DATABASE": str(folder / "contacts.sqlite3")}
    return _on_port("appbuilder", [python, "app.py"], port, APPS / "appbuilder", logs, **more)


def guestbook(logs):
    """Express with a double-submit cookie."""
    port = free_port()
    return _on_port("guestbook", [shutil.which("node"), "guarded.js"], port, APPS / "express", logs, PORT=str(port))


def _accepts_unix(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return path.exists() and probe.connect_ex(str(path)) == 0
