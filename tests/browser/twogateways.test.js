// Two gateways that share a Redis server, with people at browsers and as many requests beside them as the machine gives.
// LOAD_ROUNDS asks for a longer run; `tests/soak --gateways` does.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { startBench } from "./support/bench.js";
import { cookieName, inApp, launch, profile, sessionCookie, signIn, signOut } from "./support/browser.js";
import { ask, Load, startRedis } from "./support/load.js";
import { waitUntil } from "./support/processes.js";

const rounds = Number(process.env.LOAD_ROUNDS ?? 1);
const folder = mkdtempSync(join(tmpdir(), "vestibule-pair-"));

let redis;
let one;
let other;
let browser;
before(async () => {
  redis = await startRedis();
  const keys = join(folder, "keys");
  writeFileSync(keys, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 });
  const shared = { session: { store: { redis: redis.url }, max_per_user: 1000 }, more: { keys } };
  one = await startBench(shared);
  other = await startBench(shared);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await one?.stop();
  await other?.stop();
  await redis?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/// Somebody who is signed in at `bench`, in a profile of their own.
async function arrive(t, bench) {
  const context = await profile(browser);
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(bench.url("/private"));
  await signIn(page);
  await inApp(page);
  const { value } = await sessionCookie(context);
  return { page, cookie: `${cookieName}=${value}` };
}

/// Opens the app where the balancer leads just now, and must be in.
async function visit({ page }, bench, path = "/private") {
  await page.goto(bench.url(path));
  await inApp(page);
}

/// Has the gateways loaded with requests of a session of its own while `act` is done: nobody of them may be sent away.
async function underLoad(t, act) {
  const { cookie } = await arrive(t, one);
  const loads = [new Load(one, cookie), new Load(other, cookie)];
  try {
    await act();
  } finally {
    const answers = await Promise.all(loads.map((load) => load.stop()));
    t.diagnostic(`answers by 2xx, 3xx, 4xx, 5xx: ${answers.map((counts) => counts.join(" ")).join(" | ")}`);
    for (const [good, ...others] of answers) {
      assert.ok(good > 100, "there was no load to speak of");
      assert.deepEqual(others, [0, 0, 0]);
    }
  }
}

test("what one gateway ends is over on the other at once, under load, and nobody else's is", async (t) => {
  const people = [await arrive(t, one), await arrive(t, other)];
  const took = [];
  await underLoad(t, async () => {
    for (let round = 0; round < rounds; round += 1) {
      const leaving = await arrive(t, one);
      await visit(leaving, other);
      assert.equal(await ask(other, leaving.cookie), 200);
      await signOut(leaving.page, one.url(""));
      const began = performance.now();
      await waitUntil(async () => await ask(other, leaving.cookie) === 303, "the other refuses", 5000);
      took.push(performance.now() - began);
      for (const person of people) {
        await visit(person, one);
        await visit(person, other);
      }
    }
  });
  t.diagnostic(`from the end of a logout to its refusal elsewhere, ms: ${took.map(Math.round).join(" ")}`);
  assert.ok(Math.max(...took) < 1000, took.join(" "));
});

test("gateways are restarted one at a time, under load, and nobody is logged out", async (t) => {
  const people = [await arrive(t, one), await arrive(t, other)];
  await underLoad(t, async () => {
    for (let round = 0; round < rounds; round += 1) {
      for (const [stopped, serving] of [[one, other], [other, one]]) {
        let up = false;
        const restarted = stopped.restart().then(() => { up = true; });
        do {
          for (const person of people) await visit(person, serving, "/during");
        } while (!up);
        await restarted;
        people.push(await arrive(t, stopped));
        for (const person of people) {
          await visit(person, stopped);
          await visit(person, serving);
        }
      }
    }
  });
});
