// What pages of other people can make a browser do, and must not.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startBench } from "./support/bench.js";
import { atLogin, inApp, launch, profile, screenshot, sessionCookie, signIn } from "./support/browser.js";
import { waitUntil } from "./support/processes.js";

const evil = (app) => `<!doctype html><title>Win</title><h1 id="evil">You win</h1>
  <form id="note" method="post" action="${app}/note"><input name="note" value="planted"></form>
  <form id="plain" method="post" enctype="text/plain" action="${app}/note"><input name="{" value="}"></form>
  <form id="login" method="post" action="${app}/.vestibule/login">
    <input name="username" value="alice"><input name="password" value="alice walks quietly past nineteen turnips"></form>
  <form id="pay" method="post" action="${app}/payment/return?id=7"><input name="state" value="&quot;>&lt;script>bad"><input
    name="submit" value="ü"><button id="pay-button">Pay</button></form>
  <form id="logout" method="post" action="${app}/.vestibule/logout"></form>
  <a id="link" href="${app}/linked">a link</a>
  <img src="${app}/.vestibule/logout">`;

let bench;
let browser;
before(async () => {
  bench = await startBench({ evil });
  browser = await launch(bench.certificateHash);
});
after(async () => {
  await browser?.close();
  await bench?.stop();
});

async function visitor(t, signedIn) {
  const context = await profile(browser);
  t.after(() => context.close());
  const page = await context.newPage();
  if (signedIn) {
    await page.goto(bench.url("/start"));
    await signIn(page);
    await inApp(page);
  }
  return { context, page };
}

async function sends(page, form, host) {
  await page.goto(bench.url("/", host));
  await page.waitForSelector("#evil");
  const [answer] = await Promise.all([page.waitForNavigation(), page.evaluate((id) => document.getElementById(id).submit(), form)]);
  return answer.status();
}

for (const host of ["evil.test", "other.app.test"]) {
  for (const form of ["note", "plain"]) {
    test(`a form (${form}) on ${host} does not reach the app`, async (t) => {
      const { page } = await visitor(t, true);
      const before = bench.app.posts().length;
      assert.ok([401, 403].includes(await sends(page, form, host)));
      assert.equal(bench.app.posts().length, before);
    });
  }

  test(`a login form on ${host} logs nobody in`, async (t) => {
    const { context, page } = await visitor(t, false);
    assert.equal(await sends(page, "login", host), 403);
    assert.equal(await sessionCookie(context), undefined);
  });

  test(`a logout form on ${host} logs nobody out`, async (t) => {
    const { page } = await visitor(t, true);
    assert.ok([401, 403].includes(await sends(page, "logout", host)));
    await page.goto(bench.url("/still"));
    await inApp(page);
  });
}

for (const javaScriptEnabled of [true, false]) {
  test(`a payment's form arrives once, signed in (${javaScriptEnabled ? "by itself" : "by the button"})`, async (t) => {
    const { context, page } = await visitor(t, true);
    const noScript = await profile(browser, { javaScriptEnabled, storageState: await context.storageState() });
    t.after(() => noScript.close());
    const before = bench.app.posts().length;
    const window = await noScript.newPage();
    await window.goto(bench.url("/", "evil.test"));
    if (javaScriptEnabled) {
      await window.evaluate(() => HTMLFormElement.prototype.submit.call(document.getElementById("pay")));
    } else {
      await window.click("#pay-button");
      await window.waitForSelector("form button");
      await screenshot(window, "resubmit");
      assert.equal(bench.app.posts().length, before);
      await window.click("form button");
    }
    await inApp(window);
    const [seen, ...more] = bench.app.posts().slice(before);
    assert.deepEqual(more, []);
    assert.equal(seen.url, "/payment/return?id=7");
    assert.equal(seen.headers["x-forwarded-user"], "alice");
    assert.deepEqual([...new URLSearchParams(seen.body)], [["state", '"><script>bad'], ["submit", "ü"]]);
  });
}

test("a page that cannot become ours is not sent for ever", async (t) => {
  const { page } = await visitor(t, true);
  const before = bench.app.posts().length;
  await page.goto(bench.url("/", "evil.test"));
  // A sandboxed window keeps its sandbox: even our own page in it is a stranger to us.
  await page.evaluate((action) => {
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts allow-popups allow-forms";
    frame.srcdoc = `<form method="post" target="_blank" action="${action}"><input name="a"></form><script>document.forms[0].submit()</script>`;
    document.body.append(frame);
  }, bench.url("/payment/return?once"));
  const sent = () => bench.gateway.said.split("\n").filter((line) => line.includes("/payment/return?once") && line.includes('"status"'));
  await waitUntil(() => sent().length > 1, "the second sending is refused");
  await page.goto(bench.url("/later"));
  assert.deepEqual(sent().map((line) => JSON.parse(line).status), [200, 403]);
  assert.equal(bench.app.posts().length, before);
});

test("a link on another site works for somebody who is logged in", async (t) => {
  const { page } = await visitor(t, true);
  await page.goto(bench.url("/", "evil.test"));
  await page.click("#link");
  await inApp(page);
});

test("another site can neither frame the app nor the login page", async (t) => {
  const { page } = await visitor(t, true);
  for (const path of ["/framed", "/.vestibule/login", "/.vestibule/logout"]) {
    await page.goto(bench.url("/", "evil.test"));
    const shown = await page.evaluate((src) => new Promise((resolve) => {
      const frame = document.createElement("iframe");
      frame.src = src;
      frame.onload = () => resolve("loaded");
      document.body.append(frame);
    }), bench.url(path));
    assert.equal(shown, "loaded");
    const inside = await page.frames()[1]?.evaluate(() => document.body.innerText).catch(() => "");
    assert.doesNotMatch(inside ?? "", /for alice only|password|sign out|log out/i, path);
  }
});

test("another site cannot open a WebSocket in somebody's name", async (t) => {
  const context = await profile(browser);
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(bench.url("/", "chat.test"));
  await signIn(page);
  await page.goto(bench.url("/", "evil.test"));
  const ended = await page.evaluate((url) => new Promise((resolve) => {
    const socket = new WebSocket(url);
    socket.onopen = () => resolve("open");
    socket.onerror = () => resolve("refused");
  }), bench.url("/ws", "chat.test").replace("https", "wss"));
  assert.equal(ended, "refused");
});

test("a script of another site can read nothing", async (t) => {
  const { page } = await visitor(t, true);
  await page.goto(bench.url("/", "evil.test"));
  for (const path of ["/private", "/.vestibule/session"]) {
    const read = await page.evaluate((url) => fetch(url, { credentials: "include" }).then((a) => a.text(), () => "blocked"), bench.url(path));
    assert.equal(read, "blocked");
  }
});

test("where no gateway stands, a service worker does cover the login page", async (t) => {
  const { page } = await visitor(t, false);
  const origin = `http://localhost:${bench.chatPort}`;
  await page.goto(`${origin}/worker`);
  await page.waitForFunction(() => document.getElementById("state")?.textContent === "registered");
  await page.goto(`${origin}/.vestibule/login`);
  assert.equal(await page.textContent("#covered"), "covered by a worker");
});

test("behind the gateway it is refused, and the login page stays our own", async (t) => {
  const { page } = await visitor(t, false);
  await page.goto(bench.url("/worker", "chat.test"));
  await signIn(page);
  await page.waitForFunction(() => /^(refused|registered)/.test(document.getElementById("state")?.textContent ?? ""));
  assert.match(await page.textContent("#state"), /^refused/);
  await page.context().clearCookies();
  await page.goto(bench.url("/", "chat.test"));
  await atLogin(page);
});

test("a page of the app cannot read our pages by script, nor frame them", async (t) => {
  const { page } = await visitor(t, true);
  const asked = await page.evaluate(() => fetch("/.vestibule/logout").then(async (a) => [a.status, await a.text()]));
  assert.ok(asked[0] >= 400, `${asked[0]}`);
  assert.doesNotMatch(asked[1], /type="hidden"/);
});
