// An app whose cookies are kept on the server: in use, after a restart, and when the next person comes.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { binary, password, startBench, startNotes } from "./support/bench.js";
import { launch, profile, signIn, signOut } from "./support/browser.js";

const ours = /^__Host-Http-(session|pre|device|visit|left)$/;

const folder = mkdtempSync(join(tmpdir(), "vestibule-vault-"));
const users = join(folder, "users.yaml");
let notes;
let bench;
let browser;
before(async () => {
  for (const name of ["alice", "bob"]) {
    execFileSync(binary, ["users", "add", name, "--file", users], { input: `${password}\n` });
  }
  notes = await startNotes();
  const sites = [{ hosts: ["notes.test"], upstream: notes.upstream, cookies: "vault" }];
  bench = await startBench({ sites, login: { password: { users } } });
  browser = await launch(bench.certificateHash);
});
after(async () => {
  await browser?.close();
  await bench?.stop();
  await notes?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/// Everything a browser receives: heads and bodies.
function witness(context) {
  const received = [];
  const pending = [];
  context.on("response", (response) => {
    const note = async () => {
      received.push(JSON.stringify(await response.headersArray()));
      received.push(await response.text().catch(() => ""));
    };
    pending.push(note().catch(() => null));
  });
  return async () => {
    await Promise.all(pending);
    return received;
  };
}

test("the browser holds nothing of the app, and the next person gets nothing of it", async (t) => {
  const context = await profile(browser);
  t.after(() => context.close());
  const all = witness(context);
  const page = await context.newPage();
  const at = (path) => bench.url(path, "notes.test");

  await page.goto(at("/login"));
  await signIn(page);
  await page.fill("input[name=name]", "nora");
  await page.fill("input[name=secret]", "nora-keeps-notes");
  await page.click("button");
  await page.waitForSelector("#who");
  assert.equal(await page.textContent("#who"), "nora");

  // Two tabs at once, and a gateway that begins anew in between.
  const second = await context.newPage();
  await Promise.all([page.reload(), second.goto(at("/notes"))]);
  assert.equal(await second.textContent("#who"), "nora");
  await bench.restart();
  await page.goto(at("/notes"));
  assert.equal(await page.textContent("#who"), "nora");

  const stored = () => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }]);
  assert.equal(await page.evaluate(stored), '["",{},{}]');
  for (const cookie of await context.cookies()) assert.match(cookie.name, ours);
  const received = await all();
  // The app says what it holds: only now does a body have it in it.
  const held = await page.evaluate(() => fetch("/echo").then((answer) => answer.json()));
  const values = Object.entries(held.cookies);
  assert.ok(values.length > 0, "the app has no session");
  for (const [name, value] of values) {
    assert.ok(!received.some((text) => text.includes(`"${name}=`) || text.includes(value)), name);
  }

  await signOut(page, at(""));
  await page.goto(at("/notes"));
  await signIn(page, "bob");
  await page.waitForSelector("input[name=secret]");
  assert.equal(await page.$("#who"), null);
  assert.equal(new URL(page.url()).pathname, "/login");
});
