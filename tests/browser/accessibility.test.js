// Every page of ours, in light and dark, as axe sees it; and the demo.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { binary, startBench } from "./support/bench.js";
import { assertAccessible, inApp, launch, profile, screenshot, sessionOver, signIn } from "./support/browser.js";
import { freePort, Program } from "./support/processes.js";

let bench;
let browser;
before(async () => {
  const evil = (app) => `<form method="post" action="${app}/payment/return"><button id="pay">Pay</button></form>`;
  bench = await startBench({ evil, session: { idle_timeout: "4s", absolute_timeout: "5m" } });
  browser = await launch(bench.certificateHash);
});
after(async () => {
  await browser?.close();
  await bench?.stop();
});

const click = "form [type=submit], form button:not([type=button])";

/// Each way leads an unknown visitor to one page of ours.
const ways = {
  "login": (page) => page.goto(bench.url("/x")),
  "login with an error": async (page) => {
    await page.goto(bench.url("/x"));
    await signIn(page, "alice", "certainly not this one");
  },
  "logout": async (page) => {
    await enter(page);
    await page.goto(bench.url("/.vestibule/logout"));
  },
  "signed out": async (page) => {
    await enter(page);
    await page.goto(bench.url("/.vestibule/logout"));
    await page.click(click);
    await page.waitForLoadState("load");
  },
  "password": async (page) => {
    await enter(page);
    await page.goto(bench.url("/.vestibule/password"));
  },
  "password with an error": async (page) => {
    await enter(page);
    await page.goto(bench.url("/.vestibule/password"));
    await page.fill("input[name=current]", "certainly not this one");
    for (const field of await page.locator("input[type=password]:not([name=current])").all()) await field.fill("short");
    // The browser's own check may stop a short one; the page is looked at either way.
    await page.click(click);
  },
  "sessions": async (page) => {
    const other = await profile(browser);
    const there = await other.newPage();
    await enter(there);
    await enter(page);
    await page.goto(bench.url("/.vestibule/sessions"));
    // Those of the tests before may be there as well.
    assert.ok(await page.locator("li").count() >= 2);
    await other.close();
  },
  "sessions after the end of one": async (page) => {
    const other = await profile(browser);
    const there = await other.newPage();
    await enter(there);
    await enter(page);
    await page.goto(bench.url("/.vestibule/sessions"));
    // By keyboard alone: to the button of the other session, and on.
    const button = page.getByRole("button", { name: "End", exact: true }).first();
    await button.focus();
    await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
    await page.getByRole("status").waitFor();
    await other.close();
  },
  "signed in beside an open page": async (page) => {
    await enter(page);
    await page.goto(bench.url("/.vestibule/signed-in"));
    await page.getByRole("status").waitFor();
  },
  "one more step": async (page) => {
    // It would go on at once by itself.
    await page.addInitScript(() => { HTMLFormElement.prototype.submit = () => undefined; });
    await page.goto(bench.url("/", "evil.test"));
    await Promise.all([page.waitForNavigation(), page.click("#pay")]);
  },
  "403": async (page) => {
    await enter(page);
    assert.equal((await page.goto(bench.url("/admins/x"))).status(), 403);
  },
  "404": async (page) => {
    await enter(page);
    assert.equal((await page.goto(bench.url("/.vestibule/nothing"))).status(), 404);
  },
  "502": async (page) => {
    await page.goto(bench.url("/", "gone.test"));
    await signIn(page);
    await page.waitForLoadState("load");
  },
  "session ended": async (page) => {
    await enter(page);
    await sessionOver(page);
    await page.goto(bench.url("/x"));
  },
};

async function enter(page) {
  await page.goto(bench.url("/start"));
  await signIn(page);
  await inApp(page);
}

for (const colorScheme of ["light", "dark"]) {
  describe(`in ${colorScheme}`, () => {
    for (const [name, way] of Object.entries(ways)) {
      test(`nobody is shut out of the page: ${name}`, async (t) => {
        const context = await profile(browser, { colorScheme, bypassCSP: true });
        t.after(() => context.close());
        const page = await context.newPage();
        await way(page);
        await screenshot(page, `a11y-${name.replaceAll(" ", "-")}-${colorScheme}`);
        assert.equal(await page.locator("h1").count(), 1);
        await assertAccessible(page, name);
      });
    }
  });
}

test("the demo can be looked at", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "vestibule-demo-"));
  const port = await freePort();
  const demo = new Program(binary, ["demo", "--listen", `127.0.0.1:${port}`], { cwd: folder });
  t.after(async () => {
    await demo.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  await demo.listening(port);
  const context = await profile(browser, { bypassCSP: true });
  t.after(() => context.close());
  const page = await context.newPage();
  const answer = await page.goto(`https://localhost:${port}/`);
  assert.ok(answer.status() < 400);
  await screenshot(page, "demo");
  await assertAccessible(page, "demo");
});
