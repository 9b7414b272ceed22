// A Redis server, and requests by the thousand beside what a browser does.

import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { freePort, Program } from "./processes.js";

export async function startRedis() {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-redis-"));
  const port = await freePort();
  const server = new Program("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]);
  await server.listening(port);
  return {
    url: `redis://127.0.0.1:${port}`,
    stop: async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/// Requests of one session over open connections, HTTP/2 with several at a time, until it is stopped. A gateway that goes
/// away meanwhile breaks connections off; what it has answered counts.
export class Load {
  constructor(bench, cookie) {
    this.answers = [0, 0, 0, 0];
    this.going = true;
    this.done = this.run(bench, cookie);
  }

  async run(bench, cookie) {
    while (this.going) {
      const clients = new Program("h2load", [
        "--duration=2", "--clients=4", "--max-concurrent-streams=4", `--connect-to=127.0.0.1:${bench.port}`,
        `--header=cookie: ${cookie}`, "--header=accept: text/html", bench.url("/load"),
      ]);
      // Its end is told before the last it said has come.
      await once(clients.child, "close");
      const line = /status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/.exec(clients.said);
      if (!line) throw new Error(`h2load told nothing:\n${clients.said}`);
      line.slice(1).forEach((count, place) => { this.answers[place] += Number(count); });
    }
  }

  /// How many answers there were, by the first figure of their status: 2, 3, 4, 5.
  async stop() {
    this.going = false;
    await this.done;
    return this.answers;
  }
}

/// The status of the answer to a page load with this cookie, on a connection of its own.
export function ask(bench, cookie, path = "/private") {
  return new Promise((resolve, reject) => {
    const headers = { host: `app.test:${bench.port}`, cookie, accept: "text/html" };
    const options = { host: "127.0.0.1", port: bench.port, servername: "app.test", rejectUnauthorized: false, agent: false };
    const asked = request({ ...options, path, headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode));
    });
    asked.on("error", reject);
    asked.end();
  });
}
