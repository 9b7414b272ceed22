// One place to log in for two apps that nobody changed: Flask on notes.test, Express on chat.test, the login on
// login.test.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startBench, startNotes } from "./support/bench.js";
import { assertAccessible, atLogin, cookieName, inApp, launch, profile, screenshot, signIn, signOut } from "./support/browser.js";

let notes;
let bench;
let strict;
let browser;
before(async () => {
  notes = await startNotes();
  const sites = [{ hosts: ["notes.test"], upstream: notes.upstream }];
  bench = await startBench({ login: { host: "login.test" }, sites });
  strict = await startBench({
    login: { host: "login.test" },
    session: { cookie: { same_site: "strict" } },
    evil: (origin) => `<a id="link" href="${origin}/private?a=1&b=2">a link</a>`,
  });
  browser = await launch(bench.certificateHash);
});
after(async () => {
  await browser?.close();
  await Promise.all([bench?.stop(), strict?.stop()]);
  await notes?.stop();
});

async function stranger(t, options) {
  const context = await profile(browser, options);
  t.after(() => context.close());
  return { context, page: await context.newPage() };
}

async function signedIn(t, options) {
  const someone = await stranger(t, options);
  await someone.page.goto(bench.url("/echo", "notes.test"));
  await signIn(someone.page);
  await inNotes(someone.page);
  return someone;
}

function at(page, host, path) {
  const { hostname, pathname, search } = new URL(page.url());
  assert.equal(`${hostname}${pathname}${search}`, `${host}${path}`);
}

async function atDesk(page) {
  await atLogin(page);
  assert.equal(new URL(page.url()).hostname, "login.test");
}

/// What the app says of the request it got; both apps echo it.
async function echoed(page) {
  const told = JSON.parse(await page.textContent("body"));
  const field = (wanted) => told.headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
  return { user: field("x-forwarded-user"), cookie: field("cookie"), referer: field("referer") };
}

async function inNotes(page, path = "/echo", host = "notes.test") {
  await page.waitForURL((url) => url.hostname === host && url.pathname.startsWith("/echo"));
  at(page, host, path);
  assert.deepEqual((await echoed(page)).user, ["alice"]);
}

async function tokens(context) {
  const cookies = (await context.cookies()).filter(({ name }) => name === cookieName);
  return Object.fromEntries(cookies.map(({ domain, value }) => [domain, value]));
}

/// The addresses of all pages that a tab shows, redirects included.
function trail(page) {
  const all = [];
  page.on("response", (response) => {
    if (response.request().isNavigationRequest()) all.push({ url: new URL(response.url()), status: response.status() });
  });
  return all;
}

/// The address that the login's host sends this tab to, held up on its way.
async function intercept(page, url) {
  const client = await page.context().newCDPSession(page);
  await client.send("Fetch.enable", { patterns: [{ urlPattern: "*/.vestibule/handover*" }] });
  const held = new Promise((resolve) => client.once("Fetch.requestPaused", resolve));
  await Promise.all([
    page.goto(url).catch(() => null),
    held.then(({ requestId }) => client.send("Fetch.failRequest", { requestId, errorReason: "Aborted" })),
  ]);
  await client.send("Fetch.disable");
  return (await held).request.url;
}

test("a deep link leads to the one place to log in, and back to itself", async (t) => {
  const { context, page } = await stranger(t);
  await page.goto(bench.url("/echo/deep/link?a=1&b=%C3%BC", "notes.test"));
  await atDesk(page);
  assert.match(await page.textContent("main"), /to continue to notes\.test/);
  await screenshot(page, "login-host");
  await signIn(page);
  await inNotes(page, "/echo/deep/link?a=1&b=%C3%BC");
  const { cookie, referer } = await echoed(page);
  assert.deepEqual(cookie, []);
  assert.ok(referer.every((address) => !address.includes("code=")));
  assert.equal(await page.evaluate(() => document.cookie), "");
  const mine = await tokens(context);
  assert.deepEqual(Object.keys(mine).sort(), ["login.test", "notes.test"]);
  assert.notEqual(mine["login.test"], mine["notes.test"]);
});

test("the second app asks for nothing", async (t) => {
  const { context, page } = await signedIn(t);
  const seen = trail(page);
  await page.goto(bench.url("/echo/second?x=1", "chat.test"));
  await inNotes(page, "/echo/second?x=1", "chat.test");
  assert.ok(seen.every(({ url, status }) => status === 303 || url.pathname === "/echo/second"), "a page was shown on the way");
  assert.equal(new Set(Object.values(await tokens(context))).size, 3);
  await page.goto(bench.url("/", "login.test"));
  assert.match(await page.textContent("main"), /You are signed in as alice/);
  await screenshot(page, "login-host-signed-in");
  await page.click("text=chat.test");
  await page.waitForURL(bench.url("/", "chat.test"));
});

test("logging out of one app is logging out of both, at once", async (t) => {
  const { context, page } = await signedIn(t);
  const socket = await context.newPage();
  await socket.goto(bench.url("/socket", "chat.test"));
  await socket.waitForFunction(() => document.getElementById("state")?.textContent === "echo: hello");
  await signOut(page, bench.url("", "notes.test"));
  await socket.waitForFunction(() => document.getElementById("state")?.textContent === "closed");
  for (const host of ["notes.test", "chat.test"]) {
    await page.goto(bench.url("/echo", host));
    await atDesk(page);
  }
});

test("many tabs of two apps that are opened at once all arrive", async (t) => {
  const { context } = await signedIn(t);
  await context.clearCookies({ domain: "notes.test" });
  const tabs = await Promise.all(Array.from({ length: 8 }, () => context.newPage()));
  const goal = (number) => ({ host: number % 2 ? "chat.test" : "notes.test", path: `/echo/tab?n=${number}` });
  await Promise.all(tabs.map((tab, number) => tab.goto(bench.url(goal(number).path, goal(number).host))));
  for (const [number, tab] of tabs.entries()) {
    await inNotes(tab, goal(number).path, goal(number).host);
    await tab.reload();
    await inNotes(tab, goal(number).path, goal(number).host);
  }
});

test("tabs that wait at the login all find their way", async (t) => {
  const { context, page } = await stranger(t);
  const [second, third] = [await context.newPage(), await context.newPage()];
  await page.goto(bench.url("/echo/one", "notes.test"));
  await second.goto(bench.url("/echo/two", "chat.test"));
  await third.goto(bench.url("/echo/three", "notes.test"));
  await signIn(page);
  await inNotes(page, "/echo/one");
  await signIn(second);
  await inNotes(second, "/echo/two", "chat.test");
  await third.reload();
  await inNotes(third, "/echo/three");
});

test("going back, forth and loading anew is no dead end", async (t) => {
  const { page } = await stranger(t);
  const seen = trail(page);
  await page.goto(bench.url("/echo/one", "notes.test"));
  await signIn(page);
  await inNotes(page, "/echo/one");
  await page.goto(bench.url("/echo/two", "chat.test"));
  await inNotes(page, "/echo/two", "chat.test");
  for (let step = 0; step < 3; step += 1) {
    await page.goBack().catch(() => null);
    const text = await page.evaluate(() => document.body?.innerText ?? "");
    assert.doesNotMatch(text, /cannot|refused|error|went wrong/i);
  }
  const used = seen.find(({ url }) => url.pathname === "/.vestibule/handover").url.href;
  await page.goto(used);
  await page.waitForURL("**/echo/**");
  await page.reload();
  assert.deepEqual((await echoed(page)).user, ["alice"]);
});

test("an intercepted code is worth nothing in another browser", async (t) => {
  const { page } = await signedIn(t);
  const stolen = await intercept(page, bench.url("/echo/mine", "chat.test"));
  const thief = await stranger(t);
  await thief.page.goto(stolen);
  await atDesk(thief.page);
  assert.deepEqual(await tokens(thief.context), {});
  // Nor does one that has begun a login at that site itself get in by it.
  await thief.page.goto(bench.url("/echo", "chat.test"));
  await atDesk(thief.page);
  await thief.page.goto(stolen);
  await atDesk(thief.page);
  assert.deepEqual(await tokens(thief.context), {});
  // It was not spent.
  await page.goto(stolen);
  await inNotes(page, "/echo/mine", "chat.test");
});

test("a password is changed at the login's host", async (t) => {
  const { page } = await signedIn(t);
  await page.goto(bench.url("/.vestibule/password", "notes.test"));
  await page.waitForSelector("input[name=current]");
  assert.equal(new URL(page.url()).hostname, "login.test");
});

test("it works without scripts", async (t) => {
  const { page } = await stranger(t, { javaScriptEnabled: false });
  await page.goto(bench.url("/echo/plain", "notes.test"));
  await signIn(page);
  await inNotes(page, "/echo/plain");
});

test("the page that says where one is signed in is accessible", async (t) => {
  const { page } = await signedIn(t, { bypassCSP: true });
  await page.goto(bench.url("/", "login.test"));
  await assertAccessible(page, "signed in");
});

test("with strict cookies a link of another site leads in as well", async (t) => {
  const { page } = await stranger(t);
  await page.goto(strict.url("/", "evil.test"));
  await page.click("#link");
  await atDesk(page);
  await signIn(page);
  await inApp(page);
  at(page, "app.test", "/private?a=1&b=2");
  // The strict cookie does not come along from there, but the login's own does.
  await page.goto(strict.url("/", "evil.test"));
  await page.click("#link");
  await inApp(page);
  at(page, "app.test", "/private?a=1&b=2");
  await page.click("#next");
  await inApp(page);
});
