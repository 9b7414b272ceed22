// The warning before a session ends, in pages of apps that know nothing of it, with clocks of seconds.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";

import { binary, password, startBench, startNotes, Witness } from "./support/bench.js";
import { assertAccessible, atLogin, launch, profile, screenshot, signIn } from "./support/browser.js";
import { freePort, Program, waitUntil } from "./support/processes.js";

const folder = mkdtempSync(join(tmpdir(), "vestibule-warning-"));
const users = join(folder, "users.yaml");
const clocks = { idle_timeout: "8s", absolute_timeout: "5m", warn: { idle: "5s", absolute: "20s" } };
const brief = { idle_timeout: "25s", absolute_timeout: "25s", warn: { idle: "1s", absolute: "20s" } };
const observed = { user: { field: "name" }, success: { status: 302 } };

let notes;
let chat;
let app;
let bench;
let browser;
before(async () => {
  for (const name of ["alice", "bob"]) {
    execFileSync(binary, ["users", "add", name, "--file", users], { input: `${password}\n` });
  }
  notes = await startNotes();
  const port = await freePort();
  const express = resolve(import.meta.dirname, "../apps/express");
  chat = new Program(process.execPath, ["app.js"], { cwd: express, env: { ...process.env, PORT: String(port) } });
  await chat.listening(port);
  app = await new Witness(anyPage).start();
  const upstream = `http://127.0.0.1:${app.port}`;
  const sites = [
    { hosts: ["notes.test"], upstream: notes.upstream, session: { ...clocks, warn: { idle: "6s", absolute: "20s" } } },
    { hosts: ["observed.test"], upstream: notes.upstream, session: clocks, login: { app: observed } },
    { hosts: ["express.test"], upstream: `http://127.0.0.1:${port}`, session: clocks },
    { hosts: ["pages.test"], upstream, session: clocks, headers: { cache: "app" } },
    { hosts: ["ending.test"], upstream, session: brief },
    { hosts: ["long.test"], upstream, session: { idle_timeout: "40s", absolute_timeout: "10m", warn: "38s" } },
  ];
  bench = await startBench({ sites, login: { password: { users } }, session: { max_per_user: 1000 } });
  browser = await launch(bench.certificateHash);
});
after(async () => {
  await browser?.close();
  await bench?.stop();
  await Promise.all([notes?.stop(), chat?.stop(), app?.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

/// A page whose query says what its head and body are.
function anyPage(request, response) {
  const query = new URL(request.url, "http://app").searchParams;
  for (const policy of query.getAll("csp")) response.appendHeader("Content-Security-Policy", policy);
  if (query.has("cache")) response.setHeader("Cache-Control", query.get("cache"));
  if (query.has("tag")) {
    response.setHeader("ETag", query.get("tag"));
    if (request.headers["if-none-match"] === query.get("tag")) {
      response.statusCode = 304;
      return "";
    }
  }
  return `<!doctype html><html lang="en" dir="${query.get("dir") === "rtl" ? "rtl" : "ltr"}"><head><title>A page</title></head>
    <body><main><h1>A page of the app</h1><p id="who">${request.headers["x-forwarded-user"]}</p>
    <label>Text <textarea id="text"></textarea></label> <a href="/elsewhere">Elsewhere</a>
    <dialog id="modal"><p>The app's own dialog</p></dialog></main>${query.get("tail") ?? ""}`;
}

async function open(t, host, path = "/", options = {}) {
  const context = await profile(browser, options);
  t.after(() => context.close());
  const page = await context.newPage();
  const errors = [];
  page.on("console", (message) => {
    const icon = message.location().url.endsWith("/favicon.ico");
    if (message.type() === "error" && !icon) errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(bench.url(path, host));
  await signIn(page);
  return { context, page, errors, url: (place) => bench.url(place, host) };
}

const dialog = (page) => page.getByRole("alertdialog");
const warned = (page, title = "Are you still there?") => page.getByRole("alertdialog", { name: title }).waitFor();
const gone = (page) => dialog(page).waitFor({ state: "hidden" });
const focused = (page) => page.evaluate(() => {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return at?.id || at?.textContent;
});

/// Somebody turns to the page's window.
const look = async (page) => {
  await page.bringToFront();
  await page.evaluate(() => window.dispatchEvent(new Event("focus")));
};

const clocksOf = (page) => page.evaluate(() => fetch("/.vestibule/session").then((answer) => answer.json()));

async function logInToNotes(page, host = "notes.test") {
  await page.goto(bench.url("/login", host));
  await page.fill("input[name=name]", "nora");
  await page.fill("input[name=secret]", "nora-keeps-notes");
  await page.click("button");
  await page.waitForSelector("#who");
}

test("one key keeps somebody signed in, ten times in a row, and left alone the session ends", async (t) => {
  const { page, context, errors } = await open(t, "notes.test");
  await logInToNotes(page);
  for (let time = 0; time < 10; time += 1) {
    await warned(page);
    assert.equal(await focused(page), "Stay signed in");
    await page.keyboard.press("Enter");
    await gone(page);
  }
  await page.fill("input[name=text]", "half a thought");
  await page.evaluate(() => document.activeElement.blur());
  await warned(page);
  await warned(page, "You are signed out");
  assert.equal(await page.inputValue("input[name=text]"), "half a thought");

  // In a tab of its own, and what was typed is still there to be sent.
  const [tab] = await Promise.all([context.waitForEvent("page"), page.keyboard.press("Enter")]);
  await atLogin(tab);
  await signIn(tab);
  await tab.getByRole("heading", { name: "You are signed in" }).waitFor();
  await tab.close();
  await look(page);
  await gone(page);
  assert.equal(await page.inputValue("input[name=text]"), "half a thought");
  await page.press("input[name=text]", "Enter");
  await page.getByText("half a thought").waitFor();
  assert.deepEqual(errors, []);
});

test("where people log in to the app itself, they do so again beside the page", async (t) => {
  const context = await profile(browser);
  t.after(() => context.close());
  const page = await context.newPage();
  await logInToNotes(page, "observed.test");
  await page.fill("input[name=text]", "a thought kept");
  await page.evaluate(() => document.activeElement.blur());
  await warned(page, "You are signed out");
  const link = page.getByRole("link", { name: "Sign in" });
  const [tab] = await Promise.all([context.waitForEvent("page"), link.click()]);
  await tab.waitForURL((url) => url.pathname === "/login");
  await logInToNotes(tab, "observed.test");
  await tab.close();
  await look(page);
  await gone(page);
  await page.press("input[name=text]", "Enter");
  await page.getByText("a thought kept").waitFor();
});

test("an Express app's pages warn as well", async (t) => {
  const { page } = await open(t, "express.test");
  await warned(page);
  await page.getByRole("button", { name: "Stay signed in" }).click();
  await gone(page);
});

test("whoever types goes on typing", async (t) => {
  const { page } = await open(t, "pages.test");
  await page.focus("#text");
  const typing = (async () => {
    for (let letter = 0; letter < 60; letter += 1) await page.keyboard.type("a ", { delay: 50 });
  })();
  await warned(page);
  assert.equal(await focused(page), "text");
  const aloud = page.locator("vestibule-warning [aria-live]");
  await waitUntil(async () => /Are you still there.*F6/.test(await aloud.textContent()), "it is said aloud");
  await typing;
  assert.equal(await page.inputValue("#text"), "a ".repeat(60));

  // To it and back, and away, by keyboard alone.
  await page.keyboard.press("F6");
  assert.match(await focused(page), /^(Stay signed in|Sign in)$/);
  await page.keyboard.press("F6");
  assert.equal(await focused(page), "text");
  await page.keyboard.press("F6");
  await page.keyboard.press("Escape");
  await gone(page);
  assert.equal(await focused(page), "text");
});

test("what is done in one tab is known in all", async (t) => {
  const { page, context, url } = await open(t, "pages.test");
  const other = await context.newPage();
  await other.goto(url("/other"));
  await Promise.all([warned(page), warned(other)]);
  await other.getByRole("button", { name: "Stay signed in" }).click();
  await Promise.all([gone(page), gone(other)]);

  await Promise.all([warned(page), warned(other)]);
  // A page opened in another tab is use, and nobody is asked whether they are there.
  await Promise.all([gone(page), other.goto(url("/again"))]);

  await warned(page);
  const [leaving] = await Promise.all([context.waitForEvent("page"), page.getByRole("link", { name: "Sign out" }).click()]);
  await leaving.getByRole("button", { name: "Sign out" }).click();
  await leaving.getByRole("heading", { name: "You are signed out" }).waitFor();
  await other.reload();
  await Promise.all([atLogin(other), look(page)]);
  await warned(page, "You are signed out");
  await other.goto(url("/more"));
  await signIn(other, "bob");
  await warned(page, "Somebody else is signed in");
  assert.match(await dialog(page).textContent(), /made for alice, and now bob/);
});

test("at the end of the longest time one can sign in again beside the page", async (t) => {
  const { page, context } = await open(t, "ending.test");
  await page.fill("#text", "not yet finished");
  await page.evaluate(() => document.activeElement.blur());
  await warned(page, "Your session ends soon");
  assert.equal(await dialog(page).getByRole("button", { name: "Stay signed in" }).count(), 0);
  const began = await clocksOf(page);
  const [tab] = await Promise.all([context.waitForEvent("page"), page.getByRole("link", { name: "Sign in again" }).click()]);
  await atLogin(tab);
  await signIn(tab);
  await tab.getByRole("heading", { name: "You are signed in" }).waitFor();
  const now = await clocksOf(page);
  assert.ok(now.began > began.began && now.absolute_seconds_left > began.absolute_seconds_left);
  await tab.close();
  await look(page);
  await gone(page);
  assert.equal(await page.inputValue("#text"), "not yet finished");
});

describe("policies of the app's own", { concurrency: true }, () => {
  const nonce = "bm9uY2U";
  const policies = {
    "none": ["default-src 'none'"],
    "self": ["default-src 'self'; object-src 'none'"],
    "a nonce": [`default-src 'none'; script-src 'nonce-${nonce}' 'strict-dynamic'; connect-src 'self'`],
    "strict-dynamic alone": ["script-src 'strict-dynamic'; connect-src 'none'"],
    "several": ["script-src cdn.test, default-src 'none'", `script-src 'nonce-${nonce}'`],
    "trusted types": ["default-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"],
  };
  for (const [name, csp] of Object.entries(policies)) {
    test(`the warning needs no more than it is allowed: ${name}`, async (t) => {
      const query = new URLSearchParams(csp.map((policy) => ["csp", policy]));
      const { page, errors } = await open(t, "pages.test", `/?${query}`);
      await warned(page);
      await page.getByRole("button", { name: "Stay signed in" }).click();
      await gone(page);
      assert.deepEqual(errors, []);
      // It is styled, too.
      assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector("vestibule-warning")).position), "fixed");
    });
  }

  test("a page in a sandbox, and one that forbids it itself, are as they were", async (t) => {
    const meta = encodeURIComponent(`<meta http-equiv="Content-Security-Policy" content="script-src 'none'">`);
    const { page, errors } = await open(t, "pages.test", "/?csp=sandbox");
    assert.equal(await page.locator("script").count(), 0);
    assert.deepEqual(errors, []);
    await page.goto(bench.url(`/?tail=${meta}`, "pages.test"));
    await page.waitForLoadState("load");
    assert.equal(await page.locator("h1").textContent(), "A page of the app");
  });
});

test("pages that end where nobody would end them come to no harm", async (t) => {
  const { page, url } = await open(t, "pages.test");
  for (const tail of ["<!-- a comment", "<template><p>", "<select><option>", "<table><tr><td>", "<a href=\"", "<svg><g>", "<style>p {"]) {
    await page.goto(url(`/?tail=${encodeURIComponent(tail)}`));
    assert.equal(await page.locator("h1").textContent(), "A page of the app", tail);
    assert.doesNotMatch(await page.locator("body").innerText(), /vestibule/, tail);
  }
  await page.goto(url(`/?tail=${encodeURIComponent("<script>document.title = 'ran'")}`));
  assert.equal(await page.title(), "A page");
});

test("it survives an app that replaces its body, freezes what is shared, and has a modal of its own", async (t) => {
  const { page } = await open(t, "pages.test");
  await page.evaluate(() => {
    for (const type of [Object, Array, String, Promise, Map]) Object.freeze(type.prototype);
    document.body.replaceWith(document.createElement("body"));
    document.body.innerHTML = "<h1>Another view</h1><dialog id=modal><input id=inside></dialog>";
    const style = document.createElement("style");
    style.textContent = "* { display: none !important; color: red !important } html, body { display: block !important }";
    document.head.append(style);
    const script = document.createElement("script");
    script.src = document.querySelector("script")?.src ?? "/.vestibule/warning.js";
    document.head.append(script);
  });
  await warned(page);
  assert.equal(await dialog(page).count(), 1);
  await page.evaluate(() => { document.head.lastElementChild.previousElementSibling.remove(); document.getElementById("modal").showModal(); });
  await waitUntil(() => page.evaluate(() => !!document.querySelector("dialog vestibule-warning")), "it moves into the modal");
  await page.getByRole("button", { name: "Stay signed in" }).click();
  await gone(page);
});

test("little is asked, and a server that cannot be reached is not an end", async (t) => {
  const { page, url } = await open(t, "pages.test");
  const asked = [];
  page.on("request", (request) => { if (request.url().endsWith("/session")) asked.push(request.method()); });
  await page.goto(url("/quiet"));
  await warned(page);
  assert.ok(asked.length <= 2, `${asked.length} requests before the warning`);
  await page.route("**/.vestibule/session", (route) => route.fulfill({ status: 503, body: "busy" }));
  await page.getByRole("alertdialog", { name: "Your session may have ended" }).waitFor();
  await page.unroute("**/.vestibule/session");
  await warned(page, "You are signed out");
});

test("a page that nobody looks at asks nothing, and one that slept asks anew", async (t) => {
  const { page, url } = await open(t, "ending.test");
  const asked = [];
  page.on("request", (request) => { if (request.url().endsWith("/session")) asked.push(request.method()); });
  const hide = (hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await hide(true);
  // Longer than it takes until the first look at a page that somebody sees.
  await page.waitForTimeout(5000);
  assert.deepEqual(asked, []);
  await Promise.all([page.waitForRequest(url("/.vestibule/session")), hide(false)]);
  await warned(page, "Your session ends soon");
  // The time of day jumps, as after a sleep, or when somebody sets it: the server is asked, and counting goes on as it says.
  const before = asked.length;
  await page.evaluate(() => { const real = Date.now; Date.now = () => real() + 3_600_000; });
  await waitUntil(() => asked.length > before, "it asks anew");
  assert.match(await dialog(page).textContent(), /Time left: 0:[01]/);
});

test("an app whose paths begin elsewhere is warned as well", async (t) => {
  const base = encodeURIComponent('<base href="https://elsewhere.test/deep/">');
  const { page } = await open(t, "pages.test", `/?tail=${base}`);
  await warned(page);
  await page.getByRole("button", { name: "Stay signed in" }).click();
  await gone(page);
});

test("what was put away comes back for the last half minute alone", async (t) => {
  const { page } = await open(t, "long.test");
  await warned(page);
  await page.keyboard.press("Escape");
  await gone(page);
  const left = async () => (await clocksOf(page)).idle_seconds_left;
  assert.ok(await left() > 30);
  await warned(page, "Are you still there?");
  assert.ok(await left() <= 30);
});

test("without scripts the page is the app's own", async (t) => {
  const { page } = await open(t, "pages.test", "/", { javaScriptEnabled: false });
  assert.equal(await page.locator("h1").textContent(), "A page of the app");
  assert.doesNotMatch(await page.locator("body").innerText(), /vestibule/);
});

test("a page that the browser kept for the Back button asks anew", async (t) => {
  const kept = await launch(bench.certificateHash, { ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  t.after(() => kept.close());
  const context = await profile(kept);
  const page = await context.newPage();
  await page.goto(bench.url("/?cache=private", "pages.test"));
  await signIn(page);
  await page.fill("#text", "kept");
  await page.waitForResponse((answer) => answer.url().endsWith("/.vestibule/session"));
  await page.evaluate(() => { window.addEventListener("pageshow", (event) => { window.restored = event.persisted; }); });
  await page.goto(bench.url("/.vestibule/logout", "pages.test"));
  await page.click("form button");
  await page.waitForLoadState("load");
  await page.evaluate(() => history.go(-2));
  await page.waitForURL("**/?cache=private", { waitUntil: "commit" });
  assert.equal(await page.evaluate(() => window.restored), true);
  await warned(page, "You are signed out");
  assert.equal(await page.inputValue("#text"), "kept");
});

test("a page that has not changed is not sent again, and what scripts fetch is the app's own", async (t) => {
  const query = new URLSearchParams({ cache: "private, no-cache", tag: '"v1"' });
  const { page, url } = await open(t, "pages.test", `/?${query}`);
  const asked = (since) => app.seen.slice(since).filter((request) => request.url.includes("tag=")).map((request) => request.headers["if-none-match"]);
  const mark = app.seen.length;
  await page.goto(url("/between"));
  await page.goto(url(`/?${query}`));
  assert.deepEqual(asked(mark), ['"v1"']);
  assert.equal(await page.locator("script").count(), 1);
  await warned(page);

  // Kept for a while: what was opened is not what is fetched, in whichever order.
  const kept = new URLSearchParams({ cache: "private, max-age=60" });
  const fetched = () => page.evaluate((path) => fetch(path).then((answer) => answer.text()), `/?${kept}`);
  await page.goto(url(`/?${kept}`));
  assert.doesNotMatch(await fetched(), /warning\.js/);
  await page.goto(url("/between"));
  assert.doesNotMatch(await fetched(), /warning\.js/);
  await page.goto(url(`/?${kept}`));
  assert.equal(await page.locator("script").count(), 1);
});

describe("nobody is shut out", { concurrency: true }, () => {
  for (const colorScheme of ["light", "dark"]) {
    test(`of the warning, in ${colorScheme}`, async (t) => {
      const { page, url } = await open(t, "pages.test", "/", { colorScheme, bypassCSP: true, reducedMotion: "reduce" });
      await warned(page);
      await screenshot(page, `warning-idle-${colorScheme}`);
      await assertAccessible(page, "idle");
      await warned(page, "You are signed out");
      await screenshot(page, `warning-over-${colorScheme}`);
      await assertAccessible(page, "over");
      await page.setViewportSize({ width: 320, height: 480 });
      await page.goto(url("/?dir=rtl"));
      await signIn(page);
      await warned(page);
      await screenshot(page, `warning-small-rtl-${colorScheme}`);
      await assertAccessible(page, "small, from right to left");
    });

    test(`of that before the longest time, in ${colorScheme}`, async (t) => {
      const { page } = await open(t, "ending.test", "/", { colorScheme, bypassCSP: true, reducedMotion: "reduce" });
      await page.focus("#text");
      await warned(page, "Your session ends soon");
      await screenshot(page, `warning-absolute-${colorScheme}`);
      await assertAccessible(page, "absolute");
    });
  }
});
