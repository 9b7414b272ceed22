// Programs that run beside the tests: their output is kept, and they are ended by their own process id.

import { spawn } from "node:child_process";
import { createServer, connect } from "node:net";

export async function waitUntil(probe, what, within = 15_000) {
  const deadline = Date.now() + within;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not within ${within} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => { socket.destroy(); resolve(true); });
    socket.on("error", () => resolve(false));
  });
}

export class Program {
  constructor(command, args, options = {}) {
    this.said = "";
    this.child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (data) => { this.said += data; });
    this.ended = new Promise((resolve) => this.child.on("exit", resolve));
    this.child.on("error", (error) => { this.said += String(error); });
  }

  get alive() {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async listening(port) {
    await waitUntil(async () => !this.alive || await accepts(port), `${this.child.spawnfile} listens`);
    if (!this.alive) throw new Error(`${this.child.spawnfile} did not start:\n${this.said}`);
  }

  async stop() {
    if (!this.alive) return;
    this.child.kill("SIGTERM");
    const patience = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
    await this.ended;
    clearTimeout(patience);
  }
}
