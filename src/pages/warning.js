// Warns before the session ends, in pages of an app that knows nothing of sessions (WCAG 2.2.1).
//
// What counts is what the server says: seconds left, counted down on a clock that nobody sets. Asking is not using: only
// a press of the button prolongs anything. The page is never loaded anew and never led away.
(() => {
  "use strict";
  const own = document.currentScript;
  const once = Symbol.for("vestibule.warning");
  if (!own || window.top !== window || window[once]) return;
  try {
    Object.defineProperty(window, once, { value: true });
  } catch {
    return;
  }

  const seconds = (name, otherwise) => Number(own.dataset[name]) || otherwise;
  const before = { idle: seconds("idle", 120), absolute: seconds("absolute", 300) };
  // Whole addresses: what the page's own paths are taken to begin with is the page's to say.
  const at = (path) => new URL(path, own.src).href;
  const STATUS = at("/.vestibule/session");
  const EXTEND = at("/.vestibule/session/extend");
  const SIGN_IN = "/.vestibule/login";
  // A page that was never told anything, since its policy forbids it, say, does not ask for ever.
  const GIVE_UP = 5;
  // Most pages are left sooner than this, and then nothing is asked at all.
  const FIRST_LOOK = 3;
  // What is said aloud while the time runs out: not each second.
  const MARKS = [60, 30, 10];
  const LAST_CALL = 30;

  let told = null; // what the server, or another tab of it, said last …
  let toldAt = 0; // … and when
  let askedAt = -Infinity;
  let askAt = now() + FIRST_LOOK;
  let asking = null;
  let failures = 0;
  let who = null; // whose page this is
  let dismissed = null;
  let drift = Date.now() / 1000 - now();
  let timer;
  let channel = null;
  let view = null;

  // Seconds on the page's own clock, which setting the time of day does not move.
  function now() {
    return performance.now() / 1000;
  }

  function left(limit) {
    return Math.max(0, told[limit] - (now() - toldAt));
  }

  // What there is to say at this moment.
  function phase() {
    if (!told || who === null) return "quiet";
    if (!told.authenticated) return "over";
    if (told.user !== who) return "other";
    if (left("idle") === 0 && failures > 0) return "unsure";
    if (left("absolute") <= before.absolute) return "absolute";
    return left("idle") <= before.idle ? "idle" : "quiet";
  }

  function take(said, at) {
    told = {
      authenticated: said.authenticated === true,
      user: said.user,
      idle: Number(said.idle_seconds_left) || 0,
      absolute: Number(said.absolute_seconds_left) || 0,
      signIn: /^\/\.vestibule\//.test(said.sign_in) ? said.sign_in : SIGN_IN,
    };
    toldAt = at;
    failures = 0;
    if (told.authenticated && who === null) who = told.user;
    const due = () => Math.min(told.idle - before.idle, told.absolute - before.absolute);
    switch (phase()) {
      case "quiet":
        // A page without a session has nothing to lose by one; nothing is asked until somebody looks at it again.
        askAt = told.authenticated ? at + Math.max(1, due()) : Infinity;
        break;
      case "idle":
      case "absolute":
        // Again when something is said aloud, when the time is up, and until the server says that it is.
        askAt = at + (told.idle > 0 ? Math.min(30, told.idle - (MARKS.find((mark) => mark < told.idle) ?? 0)) : 2);
        break;
      default:
        askAt = Infinity;
    }
  }

  // Asks the server, and tells the other tabs. Whether it answered.
  function ask(path = STATUS, method = "GET") {
    asking ??= (async () => {
      askedAt = now();
      try {
        const answer = await fetch(path, {
          method,
          cache: "no-store",
          credentials: "same-origin",
          redirect: "error",
          headers: { Accept: "application/json" },
          signal: AbortSignal.timeout?.(10_000),
        });
        // Anything else is not about the session: a 503 is not its end.
        if (answer.status !== 200 && answer.status !== 401) throw new Error(String(answer.status));
        const said = await answer.json();
        if (answer.status === 401) said.sign_in = said.login;
        take(said, askedAt);
        channel?.postMessage(said);
        return true;
      } catch {
        failures += 1;
        askAt = !told && failures >= GIVE_UP ? Infinity : now() + Math.min(60, 2 ** failures);
        return false;
      } finally {
        asking = null;
      }
    })();
    return asking;
  }

  async function tick() {
    clearTimeout(timer);
    if (document.hidden) return;
    // The two clocks part when the machine slept, or when somebody set the time: what is known may be old.
    const apart = Date.now() / 1000 - now();
    if (Math.abs(apart - drift) > 2) askAt = -Infinity;
    drift = apart;
    if (now() >= askAt) await ask();
    render();
    schedule();
  }

  function schedule() {
    clearTimeout(timer);
    if (document.hidden) return;
    let pause = Math.min(20, askAt - now());
    if (view?.open && told.authenticated) pause = Math.min(pause, left("idle") > 0 ? left("idle") % 1 + 0.02 : 1);
    timer = setTimeout(tick, Math.max(0.02, pause) * 1000);
  }

  // Somebody looks at the page again.
  function look() {
    if (document.hidden) return clearTimeout(timer);
    if (phase() !== "quiet" || now() - askedAt > 10) askAt = -Infinity;
    tick();
  }

  function listen() {
    try {
      channel ??= new BroadcastChannel("vestibule");
      channel.onmessage = ({ data }) => {
        // Another page of the app was opened: whoever is being warned may be wrong.
        if (!data) return phase() === "quiet" ? undefined : look();
        take(data, now());
        if (!document.hidden) render();
        schedule();
      };
    } catch {
      // Then each tab finds out by itself, when it is looked at.
    }
  }

  async function stay() {
    view.say("");
    for (const pause of [0, 1, 3]) {
      await new Promise((done) => setTimeout(done, pause * 1000));
      while (asking) await asking;
      if (await ask(EXTEND, "POST")) {
        render();
        if (phase() === "quiet") view.say("You stay signed in.");
        return schedule();
      }
      view.say("That did not reach the site. It is being tried again.");
    }
    view.say("The site cannot be reached just now. Try again in a moment.");
    schedule();
  }

  const clock = (time) => `${Math.floor(time / 60)}:${String(time % 60).padStart(2, "0")}`;
  const spoken = (time) => (time > 90 ? `${Math.round(time / 60)} minutes` : time >= 60 ? "1 minute" : `${time} seconds`);
  const STAYS = "This page and what you typed in it stay as they are.";

  const words = {
    idle: () => ({
      title: "Are you still there?",
      text: "Nothing has reached the site for a while, so you will soon be signed out.",
      stay: true,
    }),
    absolute: () => ({
      title: "Your session ends soon",
      text: `You signed in a long time ago, and no session lasts longer. Sign in again in a new tab to go on. ${STAYS}`,
      stay: left("idle") + 1 < left("absolute"),
      signIn: "Sign in again",
    }),
    over: () => ({
      title: "You are signed out",
      text: "Your session has ended. This page and what you typed in it are still here: sign in again in a new tab, then come back and go on.",
      signIn: "Sign in",
    }),
    other: () => ({
      title: "Somebody else is signed in",
      text: `This page was made for ${who}, and now ${told.user} is signed in in this browser. Copy what you need, and load the page again before you go on.`,
    }),
    unsure: () => ({
      title: "Your session may have ended",
      text: `The site cannot be reached just now to find out. ${STAYS} It is being tried again.`,
    }),
  };

  function render() {
    const what = phase();
    if (what === "quiet") {
      dismissed = null;
      view?.hide();
      return;
    }
    const counts = what === "idle" || what === "absolute";
    const time = counts ? Math.ceil(left("idle")) : null;
    const key = counts && time <= LAST_CALL ? `${what}, last call` : what;
    if (key === dismissed) return view?.hide();
    view ??= build();
    view.show(what, words[what](), time, () => { dismissed = key; });
  }

  function build() {
    const host = document.createElement("vestibule-warning");
    const root = host.attachShadow({ mode: "open" });
    try {
      // Made by script it needs no leave of the page's policy for styles.
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
      root.adoptedStyleSheets = [sheet];
    } catch {
      root.append(make("style", {}, STYLE));
    }
    const title = make("p", { id: "title" });
    const text = make("p", { id: "text" });
    const time = make("strong", { role: "timer" });
    const remaining = make("p", { id: "left" }, "Time left: ");
    remaining.append(time);
    const staying = make("button", { type: "button", class: "main" }, "Stay signed in");
    const link = make("a", { target: "_blank", rel: "noopener", class: "main" });
    const out = make("a", { target: "_blank", rel: "noopener", class: "plain", href: at("/.vestibule/logout") }, "Sign out");
    const close = make("button", { type: "button", class: "plain" }, "Close");
    const acts = make("div", { class: "acts" });
    acts.append(staying, link, out, close);
    const hint = make("p", { class: "hint" }, "F6 takes the keyboard here and back.");
    const note = make("p", { class: "note", role: "status" });
    const card = make("div", {
      class: "card", role: "alertdialog", "aria-labelledby": "title", "aria-describedby": "text", lang: "en", dir: "ltr", tabindex: "-1",
    });
    card.append(title, text, remaining, acts, note, hint);
    card.hidden = true;
    const aloud = make("p", { class: "aloud", "aria-live": "assertive", lang: "en" });
    root.append(card, aloud);
    let shown = null;
    let announced = Infinity;
    let away = () => undefined;
    let from = null; // where the keyboard was

    const say = (text) => setTimeout(() => { aloud.textContent = text; }, 150);
    const inside = () => document.activeElement === host;
    const first = () => [staying, link, close].find((act) => !act.hidden);

    function enter() {
      if (inside()) return;
      from = document.activeElement;
      first().focus({ preventScroll: true });
    }

    function leave() {
      if (inside() && from?.isConnected) from.focus({ preventScroll: true });
      if (inside()) root.activeElement?.blur();
    }

    // An open modal of the page's own makes all that is not in it dead; and what is in the top layer lies over all.
    function place() {
      const home = topmost() ?? document.documentElement;
      if (host.parentNode === home) return;
      home.append(host);
      try {
        host.popover = "manual";
        host.showPopover();
      } catch {
        // An older browser: then the highest of all places must do.
      }
    }

    const self = {
      open: false,
      say(text) {
        note.textContent = text;
        if (!self.open) say(text);
      },
      show(what, { title: heading, text: why, stay, signIn }, left, onDismiss) {
        place();
        away = onDismiss;
        staying.hidden = !stay;
        link.hidden = !signIn;
        link.textContent = signIn ?? "";
        link.href = at(told.signIn);
        remaining.hidden = left === null;
        out.hidden = left === null;
        if (left !== null) time.textContent = clock(left);
        title.textContent = heading;
        text.textContent = why;
        if (what !== shown || !self.open) {
          note.textContent = "";
          announced = left ?? Infinity;
          card.hidden = false;
          self.open = true;
          shown = what;
          // Whoever types goes on typing, and hears of it; whoever does not has the button at hand.
          const all = `${heading}. ${why}${left === null ? "" : ` Time left: ${spoken(left)}.`}`;
          if (isTyping()) say(`${all} Press F6 to go there.`);
          else if (inside()) {
            first().focus({ preventScroll: true });
            say(all);
          } else enter();
        }
        const mark = left === null ? undefined : MARKS.findLast((mark) => left <= mark && mark < announced);
        if (mark) {
          announced = mark;
          say(`You will be signed out in ${spoken(mark)}.`);
        }
      },
      hide() {
        if (!self.open) return;
        leave();
        self.open = false;
        card.hidden = true;
      },
    };

    const dismiss = () => { away(); self.hide(); schedule(); };
    staying.addEventListener("click", stay);
    close.addEventListener("click", dismiss);
    // What happens in here is no business of the page's: neither its shortcuts nor what holds its keyboard.
    for (const kind of ["keydown", "keyup", "keypress", "click", "focusin", "focusout"]) {
      root.addEventListener(kind, (event) => {
        if (kind === "keydown" && event.key === "Escape") dismiss();
        event.stopPropagation();
      });
    }
    document.addEventListener("keydown", (event) => {
      if (!self.open || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
      if (event.key === "F6") {
        event.preventDefault();
        if (inside()) leave();
        else enter();
      } else if (event.key === "Escape" && (document.activeElement ?? document.body) === document.body) {
        dismiss();
      }
    }, true);
    return self;
  }

  function make(name, attributes, text = "") {
    const element = document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
    element.textContent = text;
    return element;
  }

  function topmost() {
    try {
      return [...document.querySelectorAll("dialog:modal")].pop();
    } catch {
      return undefined;
    }
  }

  function isTyping() {
    let at = document.activeElement;
    while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
    return !!at && (at.isContentEditable || /^(input|textarea|select|iframe|frame|object|embed)$/i.test(at.localName));
  }

  const STYLE = `
    :host {
      all: initial !important; display: block !important; position: fixed !important; z-index: 2147483647 !important;
      inset: auto auto 0 0 !important; inset-inline: auto 0 !important; max-inline-size: 100vw !important;
      background: none !important; border: 0 !important; padding: 0 !important; margin: 0 !important; overflow: visible !important;
      color-scheme: light dark !important; pointer-events: none !important;
    }
    [hidden] { display: none !important; }
    * { box-sizing: border-box; }
    .card {
      --card: #ffffff; --ink: #1c2321; --soft: #55605b; --line: #7d8883; --accent: #1f5f4a; --on-accent: #ffffff; --strong: #174a39;
      pointer-events: auto; margin: 16px; padding: 1.25em 1.375em; width: 25em; max-width: calc(100vw - 32px);
      max-height: calc(100vh - 32px); max-height: calc(100dvh - 32px); overflow: auto;
      background: var(--card); color: var(--ink); border: 1px solid color-mix(in srgb, var(--line) 55%, transparent); border-radius: 1em;
      border-block-start: 4px solid var(--accent);
      box-shadow: 0 1px 2px rgb(0 0 0 / 8%), 0 12px 40px rgb(0 0 0 / 22%); text-align: start;
      font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; font-size: medium; line-height: 1.5;
    }
    @media (prefers-color-scheme: dark) {
      .card {
        --card: #1b211e; --ink: #e9eeeb; --soft: #a7b3ad; --line: #7f8c86; --accent: #86d3b4; --on-accent: #0d1b15; --strong: #a6e3ca;
      }
    }
    p { margin: 0.5em 0 0; overflow-wrap: anywhere; }
    #title { margin: 0; font-size: 1.1875em; line-height: 1.3; font-weight: 650; }
    #left strong { font-variant-numeric: tabular-nums; }
    .acts { display: flex; flex-wrap: wrap; gap: 0.5em; margin-block-start: 1em; }
    button, a {
      display: inline-block; min-height: 2.75em; padding: 0.5625em 1.125em; font: inherit; font-weight: 600; text-align: center;
      text-decoration: none; cursor: pointer; border-radius: 0.5em; border: 1px solid var(--accent);
    }
    .main { background: var(--accent); color: var(--on-accent); flex: 1 0 100%; }
    .main:hover { background: var(--strong); border-color: var(--strong); }
    .plain { background: none; color: var(--accent); }
    .plain:hover { background: color-mix(in srgb, var(--accent) 10%, transparent); }
    .note:empty { display: none; }
    .hint { color: var(--soft); font-size: 0.875em; }
    :focus { outline: none; }
    :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
    .aloud { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
    @media (hover: none) { .hint { display: none; } }
    @media (prefers-reduced-motion: no-preference) {
      .card { animation: come 0.2s ease-out; }
      @keyframes come { from { opacity: 0; transform: translateY(0.5em); } }
    }
    @media (forced-colors: active) { .card, .main { border: 2px solid; } }
    @media print { :host { display: none !important; } }
  `;

  document.addEventListener("visibilitychange", look);
  document.addEventListener("resume", look);
  window.addEventListener("focus", () => { if (phase() !== "quiet") look(); });
  window.addEventListener("pageshow", (event) => {
    listen();
    if (event.persisted) {
      askAt = -Infinity;
      tick();
    }
  });
  // An open channel would keep the page out of the browser's memory for the Back button.
  window.addEventListener("pagehide", () => {
    channel?.close();
    channel = null;
    clearTimeout(timer);
  });
  listen();
  channel?.postMessage(null);
  schedule();
})();
