"""The app everybody proxies to, and the proxies, each configured to do as nearly the same work as it can."""

import os
import shutil
import subprocess
from pathlib import Path

from harness.processes import Process
from harness.processes import free_port

BODIES = {"100B": 100, "10KiB": 10 * 1024, "1MiB": 1024 * 1024}
PROXIES = ("vestibule", "nginx", "haproxy")
# Vestibule by where it keeps its sessions; by itself it keeps them on disk.
STORES = ("memory", "disk", "redis")
# Vestibule by who keeps the app's cookies: the browser, or the session.
KEEPERS = ("harden", "vault")
PASSWORD = "seventeen patient herons by the canal"
USER = "bench"

# Both sides of every proxied connection, with room to spare.
DESCRIPTORS = 24000

NGINX = """{user}
worker_processes {workers};
worker_rlimit_nofile {descriptors};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections {connections}; }}
http {{
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    default_type text/plain;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 600s;
    keepalive_requests 100000000;
    {inside}
}}
"""

APP = """access_log off;
    open_file_cache max=100 inactive=1h;
    open_file_cache_valid 1h;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {folder}/bodies;
        # Five cookies of usual lengths: a signed session, a token against forgery, three settings.
        location = /cookies {{
            add_header Set-Cookie "session={session}; Path=/; HttpOnly";
            add_header Set-Cookie "csrf={token}; Path=/";
            add_header Set-Cookie "lang=en-GB; Path=/; Max-Age=31536000";
            add_header Set-Cookie "theme=dark; Path=/; Max-Age=31536000";
            add_header Set-Cookie "seen=1790000000; Path=/; Max-Age=31536000";
            return 200 "five";
        }}
    }}"""

# proxy_max_temp_file_size 0: large answers are not written to disk on their way, which would only slow nginx down.
NGINX_PROXY = """access_log {log};
    upstream app {{ server 127.0.0.1:{app}; keepalive 512; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} ssl http2 backlog=4096;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        http2_max_requests 100000000;
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header Forwarded 'for=$remote_addr;host="$http_host";proto=https';
            proxy_set_header Via "1.1 bench";
            proxy_set_header X-Forwarded-User {user};
        }}
    }}"""

HAPROXY = """global
    nbthread {workers}
    maxconn 12000
    no strict-limits
    stats timeout 10s
    {log_to}
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
    http-reuse always
    {log}
frontend tls
    bind 127.0.0.1:{port} ssl crt {both} alpn h2,http/1.1 ssl-min-ver TLSv1.3 backlog 4096
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Real-IP %[src]
    http-request set-header Forwarded "for=%[src];host=\\"%[req.hdr(host)]\\";proto=https"
    http-request set-header Via "1.1 bench"
    http-request set-header X-Forwarded-User {user}
    default_backend app
backend app
    server app 127.0.0.1:{app}
"""

VESTIBULE = """state_dir: state
workers: {workers}
listen: {{ https: "127.0.0.1:{port}", admin: null }}
tls: {{ certificates: [{{ cert: {certificate}, key: {key} }}], min_version: "1.3" }}
session: {{ store: {store} }}
login: {{ password: {{ users: users.yaml }}, attempts: {{ per_address: 100000/1m }} }}
limits: {{ idle_timeout: 10m }}
log: {{ access: {access}, audit: audit.log }}
sites:
  - hosts: [localhost]
    upstream: http://127.0.0.1:{app}
    cookies: {cookies}
"""


class Setup:
    """A temporary folder with a certificate, and what every server is started with."""

    def __init__(self, folder, workers=2, access_log=False):
        self.folder = Path(folder)
        self.workers = workers
        self.access_log = access_log
        self.certificate = self.folder / "cert.pem"
        self.key = self.folder / "cert.key"
        self.both = self.folder / "both.pem"
        self.app = None
        self.redis = None
        self._certify()

    def _certify(self):
        # A leaf, not an authority: strict clients refuse a server that shows an authority's certificate.
        settings = self.folder / "cert.conf"
        settings.write_text(
            "[req]\ndistinguished_name = name\nprompt = no\nx509_extensions = leaf\n[name]\nCN = localhost\n"
            "[leaf]\nbasicConstraints = critical, CA:FALSE\nsubjectKeyIdentifier = hash\n"
            "subjectAltName = DNS:localhost, IP:127.0.0.1\n"
        )
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-days", "2", "-config", settings, "-keyout", self.key, "-out", self.certificate]
        subprocess.run(command, check=True, capture_output=True)
        self.both.write_text(self.certificate.read_text() + self.key.read_text())
        self.key.chmod(0o600)
        self.both.chmod(0o600)

    def _subfolder(self, name):
        folder = self.folder / name
        folder.mkdir()
        return folder

    def start_app(self):
        folder = self._subfolder("app")
        bodies = self._subfolder("app/bodies")
        for name, size in BODIES.items():
            (bodies / name).write_bytes(b"x" * size)
        values = {"session": "s" * 120, "token": "t" * 64}
        self.app = self._nginx(folder, 1, APP.format(port=(port := free_port()), folder=folder, **values), port)
        return self.app

    def start(self, name, people=()):
        """One of the proxies; `people` can log in beside the usual user, where anybody can."""
        start = getattr(self, f"_{name}_proxy")
        return start(self._subfolder(name), people=people) if people else start(self._subfolder(name))

    def _nginx(self, folder, workers, inside, port):
        user = "user root;" if os.geteuid() == 0 else ""
        figures = {"workers": workers, "descriptors": DESCRIPTORS, "connections": DESCRIPTORS - 500}
        text = NGINX.format(user=user, folder=folder, inside=inside, **figures)
        (folder / "nginx.conf").write_text(text)
        return Process(["nginx", "-p", folder, "-c", folder / "nginx.conf"], folder, port)

    def _nginx_proxy(self, folder):
        log = f"{folder}/access.log" if self.access_log else "off"
        places = {"port": (port := free_port()), "app": self.app.port, "log": log, "user": USER}
        inside = NGINX_PROXY.format(certificate=self.certificate, key=self.key, **places)
        return self._nginx(folder, self.workers, inside, port)

    def _haproxy_proxy(self, folder):
        port = free_port()
        log_to = "log stdout format raw local0" if self.access_log else ""
        log = "log global\n    option httplog" if self.access_log else ""
        figures = {"workers": self.workers, "port": port, "app": self.app.port, "user": USER}
        (folder / "haproxy.cfg").write_text(HAPROXY.format(both=self.both, log_to=log_to, log=log, **figures))
        return Process(["haproxy", "-db", "-f", folder / "haproxy.cfg"], folder, port)

    def _memory_proxy(self, folder):
        return self._vestibule_proxy(folder, "memory")

    def _disk_proxy(self, folder):
        return self._vestibule_proxy(folder)

    def _redis_proxy(self, folder):
        return self._vestibule_proxy(folder, f'{{ redis: "redis://127.0.0.1:{self.redis.port}" }}')

    def _harden_proxy(self, folder):
        return self._vestibule_proxy(folder)

    def _vault_proxy(self, folder):
        return self._vestibule_proxy(folder, cookies="vault")

    def start_redis(self):
        folder = self._subfolder("redis-server")
        port = free_port()
        command = ["redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", folder, "--appendonly", "yes"]
        self.redis = Process(command, folder, port)
        return self.redis

    def _vestibule_proxy(self, folder, store="disk", cookies="harden", people=()):
        binary = vestibule()
        for name in (USER, *people):
            add = [binary, "users", "add", name, "--file", folder / "users.yaml"]
            subprocess.run(add, input=PASSWORD + "\n", text=True, check=True, capture_output=True)
        port = free_port()
        figures = {"workers": self.workers, "port": port, "app": self.app.port, "store": store}
        figures["cookies"] = cookies
        access = str(self.access_log).lower()
        text = VESTIBULE.format(certificate=self.certificate, key=self.key, access=access, **figures)
        (folder / "vestibule.yaml").write_text(text)
        return Process([binary, "serve", "--config", folder / "vestibule.yaml"], folder, port)


def vestibule():
    return Path(os.environ["VESTIBULE_BIN"]).resolve()


def version(name):
    """What the program says about itself, in one line."""
    command = {"nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"]}.get(name, [name, "--version"])
    if name == "vestibule":
        command = [vestibule(), "--version"]
    if not shutil.which(str(command[0])):
        return "not installed"
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    return ((done.stdout + done.stderr).strip().splitlines() or ["?"])[0]
