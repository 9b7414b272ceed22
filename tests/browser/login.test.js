// Logging in: there and back again, with several tabs, without a mouse, without scripts.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startBench } from "./support/bench.js";
import { atLogin, inApp, launch, profile, screenshot, sessionCookie, signIn } from "./support/browser.js";

let bench;
let browser;
before(async () => {
  bench = await startBench();
  browser = await launch(bench.certificateHash);
});
after(async () => {
  await browser?.close();
  await bench?.stop();
});

async function stranger(t, options) {
  const context = await profile(browser, options);
  t.after(() => context.close());
  return { context, page: await context.newPage() };
}

test("a deep link leads through the login page and back to itself", async (t) => {
  const { context, page } = await stranger(t);
  await page.goto(bench.url("/deep/link?a=1&b=%C3%BC#part"));
  await atLogin(page);
  await screenshot(page, "login");
  await signIn(page);
  await inApp(page);
  assert.equal(await page.textContent("#url"), "/deep/link?a=1b=%C3%BC");
  const cookie = await sessionCookie(context);
  assert.ok(cookie.httpOnly && cookie.secure && cookie.sameSite === "Lax" && cookie.expires === -1);
  assert.equal(await page.evaluate(() => document.cookie), "");
  await screenshot(page, "app");
});

test("a wrong password says so, keeps the name, and the right one still works", async (t) => {
  const { page } = await stranger(t);
  await page.goto(bench.url("/a"));
  await signIn(page, "alice", "certainly not this one");
  await atLogin(page);
  assert.ok(await page.locator("[role=alert]").first().isVisible());
  assert.equal(await page.inputValue("input[name=password]"), "");
  await screenshot(page, "login-error");
  await signIn(page);
  await inApp(page);
});

test("the Back button after login is no dead end", async (t) => {
  const { page } = await stranger(t);
  await page.goto(bench.url("/one"));
  await signIn(page);
  await inApp(page);
  await page.click("#next");
  await inApp(page);
  await page.goBack();
  await inApp(page);
  await page.goBack();
  const heading = await page.textContent("h1").catch(() => "");
  assert.doesNotMatch(heading ?? "", /error|forbidden|bad request|expired/i);
  await page.goto(bench.url("/two"));
  await inApp(page);
});

test("two tabs that wait at the login page can both log in", async (t) => {
  const { context, page } = await stranger(t);
  const second = await context.newPage();
  await page.goto(bench.url("/tab-one"));
  await second.goto(bench.url("/tab-two"));
  await signIn(page);
  await inApp(page);
  assert.equal(await page.textContent("#url"), "/tab-one");
  await signIn(second);
  await inApp(second);
  assert.equal(await second.textContent("#url"), "/tab-two");
  await page.reload();
  await inApp(page);
});

test("a tab that waited at the login page finds its way when another tab has logged in", async (t) => {
  const { context, page } = await stranger(t);
  const second = await context.newPage();
  await page.goto(bench.url("/tab-one"));
  await second.goto(bench.url("/tab-two"));
  await signIn(page);
  await inApp(page);
  await second.goto(bench.url("/tab-two"));
  await inApp(second);
});

test("everything can be done from the keyboard", async (t) => {
  const { page } = await stranger(t);
  await page.goto(bench.url("/keys"));
  const focused = (name) => page.evaluate((wanted) => document.activeElement?.getAttribute("name") === wanted, name);
  const tabTo = async (name) => {
    for (let step = 0; step < 10 && !(await focused(name)); step += 1) await page.keyboard.press("Tab");
    assert.ok(await focused(name), `${name} can be reached by Tab`);
  };
  await tabTo("username");
  await page.keyboard.type("alice");
  await tabTo("password");
  await page.keyboard.type("alice walks quietly past nineteen turnips");
  await page.keyboard.press("Enter");
  await inApp(page);
});

test("login, use and logout work without scripts", async (t) => {
  const { context, page } = await stranger(t, { javaScriptEnabled: false });
  await page.goto(bench.url("/no-script"));
  await signIn(page);
  await page.waitForSelector("#secret");
  await page.goto(bench.url("/.vestibule/logout"));
  await page.click("form [type=submit], form button:not([type=button])");
  await page.waitForLoadState("load");
  assert.equal(await sessionCookie(context), undefined);
});

test("the login page follows the system into the dark, and to a narrow screen", async (t) => {
  const brightness = async (colorScheme) => {
    const { page } = await stranger(t, { colorScheme, viewport: { width: 320, height: 640 } });
    await page.goto(bench.url("/dark"));
    await screenshot(page, `login-${colorScheme}-narrow`);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    assert.equal(overflow, false, "no sideways scrolling at 320 pixels");
    return page.evaluate(() => {
      const colours = [document.body, document.documentElement].map((one) => getComputedStyle(one).backgroundColor);
      const solid = colours.find((colour) => !/, 0\)$|transparent/.test(colour)) ?? "rgb(255, 255, 255)";
      return solid.match(/[\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0);
    });
  };
  assert.ok(await brightness("dark") < await brightness("light"));
});

test("the app's form works behind the gateway", async (t) => {
  const { page } = await stranger(t);
  await page.goto(bench.url("/form"));
  await signIn(page);
  const posts = bench.app.posts().length;
  await page.fill("input[name=note]", "buy turnips");
  await page.click("button");
  await page.waitForURL("**/note");
  assert.equal(bench.app.posts().length, posts + 1);
  assert.equal(bench.app.posts().at(-1).body, "note=buy+turnips");
  assert.equal(bench.app.posts().at(-1).headers.cookie, undefined);
});

test("a WebSocket of the app's page works", async (t) => {
  const { page } = await stranger(t);
  await page.goto(bench.url("/socket", "chat.test"));
  await signIn(page);
  await page.waitForFunction(() => document.getElementById("state")?.textContent === "echo: hello");
});

test("a browser with too many cookies is told what to do, and gets in once it did it", async (t) => {
  const { context, page } = await stranger(t);
  const crumbs = Array.from({ length: 12 }, (_, n) => ({ name: `crumb${n}`, value: "x".repeat(3500), url: bench.url("/") }));
  await context.addCookies(crumbs);
  for (const path of ["/crumbs", "/.vestibule/login"]) {
    const answer = await page.goto(bench.url(path));
    assert.equal(answer.status(), 431);
    assert.match(await page.textContent("[role=alert]"), /Delete this site's cookies/);
  }
  await context.clearCookies();
  await page.goto(bench.url("/crumbs"));
  await signIn(page);
  await inApp(page);
});
