// The real gateway in front of an app that keeps count, a chat app, and a site of somebody who means harm.

import { execFileSync } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { freePort, Program, waitUntil } from "./processes.js";

const root = resolve(import.meta.dirname, "../../..");
export const binary = resolve(process.env.VESTIBULE_BIN ?? join(root, "target/debug/vestibule"));
export const output = resolve(process.env.TEST_OUTPUT ?? join(root, "tests/output"));

export const password = "alice walks quietly past nineteen turnips";

/// An app that remembers what it was asked, and answers with a page that says for whom; the page may set fields of its head.
export class Witness {
  constructor(page) {
    this.seen = [];
    this.server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => { body += chunk; });
      request.on("end", () => {
        request.body = body;
        this.seen.push({ method: request.method, url: request.url, headers: request.headers, body });
        response.setHeader("Content-Type", "text/html; charset=utf-8");
        response.end(page(request, response));
      });
    });
  }

  async start() {
    this.port = await freePort();
    await new Promise((resolve) => this.server.listen(this.port, "127.0.0.1", resolve));
    return this;
  }

  posts() {
    return this.seen.filter((request) => request.method === "POST");
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

function privatePage(request) {
  const user = request.headers["x-forwarded-user"] ?? "nobody";
  return `<!doctype html><html lang="en"><head><title>The app</title></head><body><main>
    <h1 id="secret">for ${user} only</h1><p id="url">${request.url.replace(/[<&]/g, "")}</p>
    <a id="next" href="/next?page=2">next</a>
    <form method="post" action="/note"><label>Note <input name="note"></label><button>Send</button></form>
    </main></body></html>`;
}

/// `evil` is the page that https://evil.test serves; it may name the app's origin. `login`, `sites` and `more` are added to
/// the configuration.
export async function startBench({ session = {}, login = {}, sites = [], more = {}, evil = () => "" } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-browser-"));
  const [port, admin, chatPort, nobody] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  const app = await new Witness(privatePage).start();
  const mischief = await new Witness(() => evil(`https://app.test:${port}`)).start();
  const express = resolve(root, "tests/apps/express");
  const chat = new Program(process.execPath, ["app.js"], { cwd: express, env: { ...process.env, PORT: String(chatPort) } });
  await chat.listening(chatPort);

  const users = join(folder, "users.yaml");
  const addUser = ["users", "add", "alice", "--file", users, "--groups", "staff"];
  execFileSync(binary, addUser, { input: `${password}\n` });

  const config = {
    state_dir: join(folder, "state"),
    listen: { https: `127.0.0.1:${port}`, admin: `127.0.0.1:${admin}` },
    tls: { certificates: [{ cert: join(folder, "cert.pem"), key: join(folder, "cert.key") }], generate: true },
    session,
    login: { password: { users }, attempts: { per_account: 50, per_address: "10000/15m" }, ...login },
    sites: [
      {
        hosts: ["app.test"],
        upstream: `http://127.0.0.1:${app.port}`,
        rules: [
          { path: "/admins/*", allow: { groups: ["admins"] } },
          { path: "/payment/return", cross_site: "resubmit" },
        ],
      },
      { hosts: ["clear.test"], upstream: `http://127.0.0.1:${app.port}`, headers: { clear_at_logout: "storage" } },
      { hosts: ["chat.test"], upstream: `http://127.0.0.1:${chatPort}` },
      { hosts: ["gone.test"], upstream: `http://127.0.0.1:${nobody}` },
      {
        hosts: ["evil.test", "other.app.test"],
        upstream: `http://127.0.0.1:${mischief.port}`,
        rules: [{ path: "/*", allow: "anyone" }],
      },
      ...sites,
    ],
    log: { format: "json", access: true, audit: "stderr" },
    ...more,
  };
  // JSON is YAML.
  writeFileSync(join(folder, "vestibule.yaml"), JSON.stringify(config, null, 2));
  const start = async () => {
    const program = new Program(binary, ["serve", "--config", join(folder, "vestibule.yaml")], { cwd: folder });
    await program.listening(port);
    await waitUntil(() => ready(admin), "the gateway is ready");
    return program;
  };
  const bench = { gateway: await start() };
  return Object.assign(bench, {
    port,
    admin,
    app,
    chatPort,
    restart: async () => {
      await bench.gateway.stop();
      bench.gateway = await start();
    },
    certificateHash: spkiHash(join(folder, "cert.pem")),
    url: (path, host = "app.test") => `https://${host}:${port}${path}`,
    stop: async () => {
      await Promise.all([bench.gateway.stop(), chat.stop(), app.stop(), mischief.stop()]);
      mkdirSync(output, { recursive: true });
      writeFileSync(join(output, `browser-gateway-${port}.log`), bench.gateway.said);
      rmSync(folder, { recursive: true, force: true });
    },
  });
}

/// The Flask app, on Flask's own server.
export async function startNotes() {
  const port = await freePort();
  const folder = resolve(root, "tests/apps/flask");
  const notes = new Program(resolve(root, "tests/.work/venv/bin/python"), ["app.py"], {
    cwd: folder,
    env: { ...process.env, PORT: String(port) },
  });
  await notes.listening(port);
  return { upstream: `http://127.0.0.1:${port}`, stop: () => notes.stop() };
}

/// The chat app, with its sessions on the server.
export async function startChat() {
  const port = await freePort();
  const folder = resolve(root, "tests/apps/express");
  const chat = new Program(process.execPath, ["app.js"], { cwd: folder, env: { ...process.env, PORT: String(port) } });
  await chat.listening(port);
  return { upstream: `http://127.0.0.1:${port}`, stop: () => chat.stop() };
}

/// The Django project, on Django's own server; nora and otto may enter its admin.
export async function startDjango() {
  const port = await freePort();
  const cwd = resolve(root, "tests/apps/django");
  const database = mkdtempSync(join(tmpdir(), "vestibule-django-"));
  const python = resolve(root, "tests/.work/venv/bin/python");
  const env = { ...process.env, DATABASE: join(database, "board.sqlite3") };
  execFileSync(python, ["manage.py", "migrate"], { cwd, env, stdio: "ignore" });
  for (const name of ["nora", "otto"]) {
    const known = {
      DJANGO_SUPERUSER_USERNAME: name,
      DJANGO_SUPERUSER_PASSWORD: `${name}-keeps-notes`,
      DJANGO_SUPERUSER_EMAIL: `${name}@example.com`,
    };
    const command = ["manage.py", "createsuperuser", "--noinput"];
    execFileSync(python, command, { cwd, env: { ...env, ...known }, stdio: "ignore" });
  }
  const django = new Program(python, ["manage.py", "runserver", "--noreload", `127.0.0.1:${port}`], { cwd, env });
  await django.listening(port);
  const stop = async () => {
    await django.stop();
    rmSync(database, { recursive: true, force: true });
  };
  return { upstream: `http://127.0.0.1:${port}`, stop };
}

/// Flask-AppBuilder in an environment of its own; nora and otto may do all.
export async function startContacts() {
  const port = await freePort();
  const cwd = resolve(root, "tests/apps/appbuilder");
  const folder = mkdtempSync(join(tmpdir(), "vestibule-appbuilder-"));
  const env = { ...process.env, PORT: String(port), DATABASE: join(folder, "contacts.sqlite3") };
  const contacts = new Program(resolve(root, "tests/.work/appbuilder/bin/python"), ["app.py"], { cwd, env });
  await contacts.listening(port);
  const stop = async () => {
    await contacts.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  return { upstream: `http://127.0.0.1:${port}`, stop };
}

/// The guestbook, whose forms are guarded by a double-submit cookie.
export async function startGuestbook() {
  const port = await freePort();
  const cwd = resolve(root, "tests/apps/express");
  const book = new Program(process.execPath, ["guarded.js"], { cwd, env: { ...process.env, PORT: String(port) } });
  await book.listening(port);
  return { upstream: `http://127.0.0.1:${port}`, stop: () => book.stop() };
}

async function ready(admin) {
  try {
    return (await fetch(`http://127.0.0.1:${admin}/health/ready`)).ok;
  } catch {
    return false;
  }
}

/// The hash Chromium wants to trust one certificate: unlike ignoring errors, it makes service workers possible.
export function spkiHash(file) {
  const key = new X509Certificate(readFileSync(file)).publicKey;
  return createHash("sha256").update(key.export({ type: "spki", format: "der" })).digest("base64");
}
