// A form that is sent when the session is over, in front of an app with a token in its session: kept, confirmed, sent once.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { binary, password, startBench, startGuestbook, startNotes } from "./support/bench.js";
import { assertAccessible, launch, profile, screenshot, sessionOver, signIn, signOut } from "./support/browser.js";

const folder = mkdtempSync(join(tmpdir(), "vestibule-held-"));
const users = join(folder, "users.yaml");
let notes;
let guestbook;
let bench;
let desk;
let browser;
before(async () => {
  for (const name of ["alice", "bob"]) {
    execFileSync(binary, ["users", "add", name, "--file", users], { input: `${password}\n` });
  }
  notes = await startNotes();
  const site = (host, session) => ({ hosts: [host], upstream: notes.upstream, cookies: "vault", session });
  guestbook = await startGuestbook();
  // Long enough for all that is done in one session, also on a slow machine.
  const guests = (mode, cookies, session = {}) => ({
    hosts: [`${mode}.test`],
    upstream: guestbook.upstream,
    cookies,
    session: { idle_timeout: "8s", ...session },
  });
  const sites = [
    site("window.test", { resume_window: "10m" }),
    site("plain.test", {}),
    guests("harden", "harden"),
    guests("vault", "vault", { resume_window: "10m" }),
    guests("exposed", { default: "vault", expose: ["XSRF-TOKEN"] }, { resume_window: "10m" }),
  ];
  const session = { idle_timeout: "3s", absolute_timeout: "1h" };
  bench = await startBench({ sites, session, login: { password: { users } } });
  // One place to log in for all.
  const shared = [site("window.test", { resume_window: "10m" })];
  desk = await startBench({ sites: shared, session, login: { host: "login.test", password: { users } } });
  browser = await launch(bench.certificateHash);
});
after(async () => {
  await browser?.close();
  await Promise.all([bench?.stop(), desk?.stop()]);
  await Promise.all([notes?.stop(), guestbook?.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

const send = (page) => Promise.all([page.waitForNavigation(), page.click("button.main")]);

/// Fills the app's form in and sends it when the session has idled out; leaves the page at the login.
async function sendTooLate(page, host, text) {
  await page.goto(bench.url("/guestbook", host));
  await signIn(page);
  await page.waitForSelector("textarea");
  await page.fill("textarea", text);
  await sessionOver(page);
  await page.click("button");
  await page.waitForSelector("input[name=username]");
  assert.match(await page.textContent("main"), /What you sent is kept/);
}

const lines = (page, text) => page.locator("li", { hasText: text }).count();

test("the app takes it once, with its own session and token", async (t) => {
  const context = await profile(browser, { bypassCSP: true });
  t.after(() => context.close());
  const page = await context.newPage();
  const text = "words that took an hour";
  await sendTooLate(page, "window.test", text);
  await screenshot(page, "held-login");
  await signIn(page);
  await page.waitForSelector("dl");
  assert.match(await page.textContent("dl"), /\/guestbook.*2 fields: token, text/s);
  assert.ok(!(await page.content()).includes(text));
  await assertAccessible(page, "held form");
  await screenshot(page, "held-form");
  const [asks, second] = [page.url(), await context.newPage()];
  await second.goto(asks);
  // With the keyboard alone.
  await page.focus("button.main");
  await Promise.all([page.waitForURL(bench.url("/guestbook", "window.test")), page.keyboard.press("Enter")]);
  assert.equal(await lines(page, text), 1);
  // Another tab, the Back button, and the page's address once more.
  await send(second);
  assert.match(await second.textContent("main"), /It was sent a moment ago/);
  await assertAccessible(second, "nothing to send");
  await screenshot(second, "held-gone");
  await page.goBack();
  await page.goto(asks);
  assert.match(await page.textContent("main"), /It was sent a moment ago/);
  await page.goto(bench.url("/guestbook", "window.test"));
  assert.equal(await lines(page, text), 1);
});

test("a double click sends it once", async (t) => {
  const context = await profile(browser);
  t.after(() => context.close());
  const page = await context.newPage();
  const text = "clicked in a hurry";
  await sendTooLate(page, "window.test", text);
  await signIn(page);
  await page.waitForSelector("dl");
  await page.dblclick("button.main");
  await page.waitForURL((url) => url.pathname === "/guestbook");
  await page.goto(bench.url("/guestbook", "window.test"));
  assert.equal(await lines(page, text), 1);
});

test("without the window it is sent, and the app says what it thinks of its token", async (t) => {
  const context = await profile(browser);
  t.after(() => context.close());
  const page = await context.newPage();
  await sendTooLate(page, "plain.test", "a token of yesterday");
  await signIn(page);
  await page.waitForSelector("dl");
  await send(page);
  assert.equal(await page.textContent("#no"), "The token does not fit.");
  assert.equal(new URL(page.url()).pathname, "/guestbook");
});

test("the next person in the browser gets nothing of it", async (t) => {
  const context = await profile(browser);
  t.after(() => context.close());
  const page = await context.newPage();
  const text = "for nobody else";
  await sendTooLate(page, "window.test", text);
  await signIn(page, "bob");
  await page.waitForSelector("main");
  assert.match(await page.textContent("main"), /nothing to be sent any more/);
  await page.goto(bench.url("/guestbook", "window.test"));
  assert.equal(await lines(page, text), 0);
});

test("with a host for logins it is kept where it was sent, and the login there is enough", async (t) => {
  const context = await profile(browser);
  t.after(() => context.close());
  const page = await context.newPage();
  const text = "sent past a login elsewhere";
  const at = (path) => desk.url(path, "window.test");
  await page.goto(at("/guestbook"));
  assert.equal(new URL(page.url()).hostname, "login.test");
  await signIn(page);
  await page.waitForSelector("textarea");
  await page.fill("textarea", text);
  await sessionOver(page);
  await page.click("button");
  await page.waitForSelector("input[name=username]");
  assert.equal(new URL(page.url()).hostname, "login.test");
  await signIn(page);
  await page.waitForSelector("dl");
  assert.equal(new URL(page.url()).hostname, "window.test");
  await send(page);
  await page.goto(at("/guestbook"));
  assert.equal(await lines(page, text), 1);
});

for (const mode of ["harden", "vault", "exposed"]) {
  test(`a double-submit cookie with ${mode}: two tabs, a script, an idle end, and the next person`, async (t) => {
    const context = await profile(browser, { bypassCSP: true });
    t.after(() => context.close());
    const [page, second] = [await context.newPage(), await context.newPage()];
    const at = bench.url("/", `${mode}.test`);
    const sign = async (tab, line) => {
      await tab.fill("input[name=line]", line);
      await Promise.all([tab.waitForNavigation(), tab.click("button")]);
    };
    const counted = async (tab) => JSON.parse(await tab.textContent("body")).lines;
    await page.goto(at);
    await signIn(page);
    await page.waitForSelector("input[name=line]");
    await second.goto(at);
    await sign(page, "one");
    const first = await counted(page);
    await sign(second, "two");
    assert.equal(await counted(second), first + 1);

    // As Angular and axios do it.
    await page.goto(at);
    const status = await page.evaluate(async () => {
      const token = /XSRF-TOKEN=([^;]+)/.exec(document.cookie)?.[1];
      const headers = token ? { "X-XSRF-Token": decodeURIComponent(token) } : {};
      return (await fetch("/sign", { method: "POST", headers })).status;
    });
    assert.equal(status, mode === "vault" ? 403 : 200);

    await page.goto(at);
    await page.fill("input[name=line]", "kept over an idle end");
    await sessionOver(page);
    await Promise.all([page.waitForNavigation(), page.click("button")]);
    await signIn(page);
    await page.waitForSelector("dl");
    await send(page);
    assert.ok((await counted(page)) > first + 1);

    // What is open of the one before is worth nothing to the next.
    await second.goto(at);
    await second.waitForSelector("input[name=line]");
    await signOut(page, bench.url("", `${mode}.test`));
    await page.goto(at);
    await signIn(page, "bob");
    await page.waitForSelector("input[name=line]");
    await sign(second, "by the one before");
    assert.match(await second.textContent("body"), /csrf|token/i);
  });
}
