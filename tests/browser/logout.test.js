// Logging out, and sessions that end by themselves.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startBench } from "./support/bench.js";
import { atLogin, inApp, launch, profile, screenshot, sessionCookie, sessionOver, signIn, signOut } from "./support/browser.js";

let bench;
let brief;
let browser;
before(async () => {
  bench = await startBench();
  brief = await startBench({ session: { idle_timeout: "3s", absolute_timeout: "30s" } });
  browser = await launch(bench.certificateHash);
});
after(async () => {
  await browser?.close();
  await bench?.stop();
  await brief?.stop();
});

async function signedIn(t, where, path = "/private") {
  const context = await profile(browser);
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(where.url(path));
  await signIn(page);
  await inApp(page);
  return { context, page };
}

test("logout asks, acts, and leaves no cookie", async (t) => {
  const { context, page } = await signedIn(t, bench);
  await page.goto(bench.url("/.vestibule/logout"));
  await screenshot(page, "logout");
  await signOut(page, bench.url(""));
  await screenshot(page, "signed-out");
  assert.equal(await sessionCookie(context), undefined);
  await page.goto(bench.url("/private"));
  await atLogin(page);
});

test("the Back button after logout shows nothing private", async (t) => {
  const { page } = await signedIn(t, bench);
  await page.click("#next");
  await inApp(page);
  await signOut(page, bench.url(""));
  for (let step = 0; step < 4; step += 1) {
    await page.goBack().catch(() => null);
    const text = await page.evaluate(() => document.body?.innerText ?? "");
    assert.doesNotMatch(text, /for alice only/);
  }
});

test("a site can have its local storage emptied at logout", async (t) => {
  const context = await profile(browser);
  t.after(() => context.close());
  const page = await context.newPage();
  for (const [host, left] of [["clear.test", null], ["app.test", "a draft"]]) {
    await page.goto(bench.url("/private", host));
    await signIn(page);
    await inApp(page);
    await page.evaluate(() => localStorage.setItem("note", "a draft"));
    await signOut(page, bench.url("", host));
    assert.equal(await page.evaluate(() => localStorage.getItem("note")), left, host);
  }
});

test("a stolen cookie is worth nothing after logout", async (t) => {
  const { context, page } = await signedIn(t, bench);
  const stolen = await sessionCookie(context);
  await signOut(page, bench.url(""));
  const thief = await profile(browser);
  t.after(() => thief.close());
  await thief.addCookies([{ name: stolen.name, value: stolen.value, url: bench.url("/"), secure: true, httpOnly: true }]);
  const there = await thief.newPage();
  await there.goto(bench.url("/private"));
  await atLogin(there);
});

test("logout in one tab is seen by the other", async (t) => {
  const { context, page } = await signedIn(t, bench);
  const other = await context.newPage();
  await other.goto(bench.url("/other"));
  await inApp(other);
  await signOut(page, bench.url(""));
  await other.click("#next");
  await atLogin(other);
  await signIn(other);
  await inApp(other);
  assert.equal(await other.textContent("#url"), "/next?page=2");
});

test("an open page whose session has ended leads to login and on to where it was going", async (t) => {
  const { page } = await signedIn(t, brief);
  // What a page's own script sees: an answer it can understand, not somebody else's login page.
  await sessionOver(page);
  const answer = await page.evaluate(() => fetch("/data").then(async (found) => [found.status, await found.json()]));
  assert.equal(answer[0], 401);
  await page.click("#next");
  await atLogin(page);
  await screenshot(page, "session-ended");
  await signIn(page);
  await inApp(page);
  assert.equal(await page.textContent("#url"), "/next?page=2");
});

test("a form sent after the session has ended is not lost in a redirect", async (t) => {
  const { context, page } = await signedIn(t, brief);
  await page.fill("input[name=note]", "written slowly");
  const before = brief.app.posts().length;
  await sessionOver(page);
  await Promise.all([page.waitForNavigation(), page.click("button")]);
  await atLogin(page);
  assert.match(await page.textContent("main"), /What you sent is kept/);
  assert.equal(brief.app.posts().length, before);
  await screenshot(page, "form-after-end");
  assert.ok(context);
});
