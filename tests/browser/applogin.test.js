// Apps with a login of their own, observed: people log in there, are idle, come back, open tabs, log out, and others follow.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startBench, startChat, startContacts, startDjango, startNotes, Witness } from "./support/bench.js";
import { launch, profile, sessionCookie, sessionOver, signOut } from "./support/browser.js";

const modes = ["harden", "vault", "pass"];

// How each is configured, where its login is, a page that says who is there, how that page is read, and how one logs out.
const apps = {
  notes: {
    start: startNotes,
    site: { login: { app: { user: { field: "name" }, success: { status: 302 } } }, logout: "/logout" },
    login: "/login",
    page: "/notes",
    fields: ["name", "secret"],
    who: (page) => page.textContent("#who"),
    leave: (page) => page.click("form[action='/logout'] button"),
  },
  chat: {
    start: startChat,
    site: { login: { app: { return_to: null, success: { status: 302, location: "/" } } }, logout: "/logout" },
    login: "/login",
    page: "/private",
    fields: ["username", "password"],
    who: async (page) => (await page.textContent("#secret")).split(" ")[1],
    // The app has a logout and no button for it: a form of its own page is as good.
    leave: (page) =>
      page.evaluate(() => {
        const form = Object.assign(document.createElement("form"), { method: "post", action: "/logout" });
        document.body.append(form);
        form.submit();
      }),
  },
  django: {
    start: startDjango,
    site: {
      login: { app: { page: "/admin/login/", success: { status: 302 } } },
      logout: "/admin/logout/",
      rules: [{ path: "/static/*", allow: "anyone" }],
    },
    scheme: "http",
    login: "/admin/login/",
    page: "/admin/",
    fields: ["username", "password"],
    who: async (page) => (await page.textContent("#user-tools strong")).trim(),
    leave: (page) => page.click("#logout-form button"),
  },
  contacts: {
    start: startContacts,
    site: {
      login: { app: { page: "/login/", success: { status: 302 } } },
      logout: "/logout/",
      rules: [{ path: "/static/*", allow: "anyone" }],
    },
    login: "/login/",
    page: "/users/userinfo/",
    fields: ["username", "password"],
    who: async (page) => /(Nora|Otto) Tester/.exec(await page.textContent("body"))?.[1].toLowerCase(),
    // A link in a menu that opens under the pointer.
    leave: (page) => page.evaluate(() => location.assign("/logout/")),
  },
};

// An app that logs in by script: its page asks by `fetch`, and knows its users by a cookie.
function board(request, response) {
  const known = /(?:^|; )board=(\w+)/.exec(request.headers.cookie ?? "")?.[1];
  if (request.url.startsWith("/api/login")) {
    response.setHeader("Content-Type", "application/json");
    const { email, password } = JSON.parse(request.body);
    const ok = password === "right";
    if (ok) response.setHeader("Set-Cookie", `board=${email.split("@")[0]}; Path=/`);
    else response.statusCode = 401;
    return JSON.stringify(ok ? { ok, user: { name: email.split("@")[0] } } : { ok });
  }
  if (!request.url.startsWith("/login")) return `<!doctype html><title>Board</title><p id="who">${known ?? "nobody"}</p>`;
  return `<!doctype html><title>Board</title><p id="says"></p><script>
    globalThis.logIn = async (email, password) => {
      const headers = { "Content-Type": "application/json" };
      const answer = await fetch("/api/login", { method: "POST", headers, body: JSON.stringify({ email, password }) });
      document.getElementById("says").textContent = (await answer.json()).ok ? "in" : "out";
    };
  </script>`;
}

const running = [];
let bench;
let browser;
before(async () => {
  const sites = [];
  for (const [name, app] of Object.entries(apps)) {
    const program = await app.start();
    running.push(program);
    const upstream = { servers: program.upstream, present_scheme: app.scheme ?? "https" };
    for (const cookies of modes) {
      const site = { hosts: [`${name}-${cookies}.test`], upstream, cookies, ...app.site };
      const session = { idle_timeout: "2s", absolute_timeout: "22s" };
      sites.push(site, { ...site, hosts: [`brief-${name}-${cookies}.test`], session });
    }
  }
  const witness = await new Witness(board).start();
  running.push(witness);
  const login = {
    app: {
      submit: "/api/login",
      user: { field: "email", json: "user.name" },
      success: { status: 200, json: { ok: true } },
    },
  };
  const upstream = `http://127.0.0.1:${witness.port}`;
  for (const cookies of modes) sites.push({ hosts: [`board-${cookies}.test`], upstream, cookies, login });
  bench = await startBench({ sites });
  browser = await launch(bench.certificateHash);
});
after(async () => {
  await browser?.close();
  await bench?.stop();
  await Promise.all(running.map((program) => program.stop()));
});

async function logIn(page, app, user) {
  assert.equal(new URL(page.url()).pathname, app.login);
  const [name, secret] = app.fields;
  await page.fill(`input[name=${name}]`, user);
  await page.fill(`input[name=${secret}]`, `${user}-keeps-notes`);
  await Promise.all([page.waitForNavigation(), page.press(`input[name=${secret}]`, "Enter")]);
  await page.waitForLoadState("load");
}

for (const [name, app] of Object.entries(apps)) {
  for (const mode of modes) {
    test(`${name} with ${mode}: in use, in two tabs, out, and the next person`, async (t) => {
      const context = await profile(browser);
      t.after(() => context.close());
      const page = await context.newPage();
      const at = (path) => bench.url(path, `${name}-${mode}.test`);
      await page.goto(at(app.page));
      await logIn(page, app, "nora");
      const first = await sessionCookie(context);
      assert.ok(first, "no session of the gateway");
      await page.goto(at(app.page));
      assert.equal(await app.who(page), "nora");
      if (mode === "vault") {
        for (const cookie of await context.cookies()) assert.match(cookie.name, /^__Host-Http-/);
      }

      const second = await context.newPage();
      await second.goto(at(app.page));
      assert.equal(await app.who(second), "nora");
      await Promise.all([app.leave(page), page.waitForNavigation()]);
      await page.waitForLoadState("load");
      assert.equal(await sessionCookie(context), undefined);
      await second.goto(at(app.page));
      await logIn(second, app, "otto");
      await second.goto(at(app.page));
      assert.equal(await app.who(second), "otto");
      await page.goto(at(app.page));
      assert.equal(await app.who(page), "otto");

      // By the gateway's own logout, and back: nothing of otto's greets nora.
      await signOut(second, at(""));
      await second.goto(at(app.page));
      await logIn(second, app, "nora");
      await second.goto(at(app.page));
      assert.equal(await app.who(second), "nora");
    });

    test(`${name} with ${mode}: idle, back again, and another after an idle end`, async (t) => {
      const context = await profile(browser);
      t.after(() => context.close());
      const page = await context.newPage();
      const at = (path) => bench.url(path, `brief-${name}-${mode}.test`);
      for (const user of ["nora", "nora", "otto"]) {
        await page.goto(at(app.page));
        await logIn(page, app, user);
        await page.goto(at(app.page));
        assert.equal(await app.who(page), user);
        await sessionOver(page);
      }
    });
  }
}

for (const mode of modes) {
  test(`an app that logs in by script, with ${mode}`, async (t) => {
    const context = await profile(browser);
    t.after(() => context.close());
    const page = await context.newPage();
    const at = (path) => bench.url(path, `board-${mode}.test`);
    await page.goto(at("/"));
    assert.equal(new URL(page.url()).pathname, "/login");
    const says = async (password) => {
      await page.evaluate((secret) => globalThis.logIn("nora@example.com", secret), password);
      return page.textContent("#says");
    };
    assert.equal(await says("wrong"), "out");
    assert.equal(await sessionCookie(context), undefined);
    assert.equal(await says("right"), "in");
    assert.ok(await sessionCookie(context), "no session of the gateway");
    await page.goto(at("/"));
    assert.equal(await page.textContent("#who"), "nora");
    const told = await page.evaluate(() => fetch("/.vestibule/session").then((answer) => answer.json()));
    assert.equal(told.user, "nora");
  });
}
