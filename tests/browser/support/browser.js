// Chromium, and what people do with it.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { chromium } from "playwright-core";

import { output, password } from "./bench.js";
import { waitUntil } from "./processes.js";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const screens = join(output, "screens");

export const cookieName = "__Host-Http-session";

export function launch(certificateHash, options = {}) {
  const args = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP *.test 127.0.0.1",
  ];
  if (certificateHash) args.push(`--ignore-certificate-errors-spki-list=${certificateHash}`);
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args, ...options });
}

/// A browser profile of its own.
export async function profile(browser, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  context.setDefaultTimeout(15_000);
  return context;
}

export async function signIn(page, name = "alice", secret = password) {
  await page.fill("input[name=username]", name);
  await page.fill("input[name=password]", secret);
  await Promise.all([page.waitForLoadState("load"), page.click("form [type=submit], form button:not([type=button])")]);
}

export async function signOut(page, origin) {
  await page.goto(`${origin}/.vestibule/logout`);
  await page.click("form [type=submit], form button:not([type=button])");
  await page.waitForLoadState("load");
}

export async function sessionCookie(context) {
  return (await context.cookies()).find((cookie) => cookie.name === cookieName);
}

/// Waits until the session of an open page has ended by itself; asking does not keep it alive.
export async function sessionOver(page) {
  const alive = () => page.evaluate(() => fetch("/.vestibule/session").then((answer) => answer.json()));
  await waitUntil(async () => !(await alive()).authenticated, "the session ends as idle", 15_000);
}

export async function atLogin(page) {
  await page.waitForSelector("input[name=username]");
  assert.match(new URL(page.url()).pathname, /^\/\.vestibule\/login$/);
}

export async function inApp(page, name = "alice") {
  await page.waitForSelector("#secret");
  assert.equal(await page.textContent("#secret"), `for ${name} only`);
}

export async function screenshot(page, name) {
  mkdirSync(screens, { recursive: true });
  await page.screenshot({ path: join(screens, `${name}.png`), fullPage: true });
}

/// Fails with what axe finds; the page's context must be made with `bypassCSP`.
export async function assertAccessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  const told = violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map((node) => node.html).join("\n  ")}`);
  assert.deepEqual(told, [], `${name}:\n${told.join("\n")}`);
}
