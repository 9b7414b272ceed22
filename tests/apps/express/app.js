// A small chat app as found in the wild: Express, express-session, passport with a password form, a WebSocket, an event
// stream, a service worker. It has been written for nobody's gateway. PORT says where it listens, SOCKET names a Unix
// socket instead.

import { createHash } from "node:crypto";
import { createServer } from "node:http";

import cookieSession from "cookie-session";
import express from "express";
import session from "express-session";
import passport from "passport";
import { Strategy } from "passport-local";
import { WebSocketServer } from "ws";

const accounts = new Map([["nora", "nora-keeps-notes"], ["otto", "otto-keeps-notes"]]);

passport.use(new Strategy((username, password, done) => {
  done(null, accounts.get(username) === password ? { name: username } : false);
}));
passport.serializeUser((user, done) => done(null, user.name));
passport.deserializeUser((name, done) => done(null, accounts.has(name) ? { name } : false));

const app = express();
// Where sessions live: on the `server`, there and set again with every answer (`rolling`), or in the `cookie`.
const sessions = process.env.SESSIONS ?? "server";
const secret = "chat-app-of-the-test-bench";
if (sessions === "cookie") {
  app.use(cookieSession({ name: "chat", keys: [secret], maxAge: 30 * 60 * 1000 }));
  // passport asks for what this kind of session has no need of.
  app.use((request, response, next) => {
    request.session.regenerate = (done) => done();
    request.session.save = (done) => done();
    next();
  });
} else {
  const rolling = sessions === "rolling" ? { rolling: true, cookie: { maxAge: 30 * 60 * 1000 } } : {};
  app.use(session({ secret, resave: false, saveUninitialized: true, ...rolling }));
}
app.use(passport.initialize());
app.use(passport.session());

function page(title, body) {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>` +
    `<body><h1>${title}</h1>${body}</body></html>`;
}

app.get("/", (request, response) => {
  request.session.visits = (request.session.visits ?? 0) + 1;
  const name = request.user?.name ?? "nobody";
  response.send(page("Chat", `<p id="who">${name}</p><p id="visits">${request.session.visits}</p>`));
});

app.get("/login", (request, response) => {
  response.send(page("Chat login", `<form method="post" action="/login">
    <label>Name <input name="username"></label>
    <label>Password <input name="password" type="password"></label><button>Log in</button></form>`));
});

app.post("/login", express.urlencoded({ extended: false }),
  passport.authenticate("local", { successRedirect: "/", failureRedirect: "/login" }));

app.post("/logout", (request, response, next) => {
  request.logout((error) => (error ? next(error) : response.redirect("/")));
});

// The request as this framework understood it.
app.all(["/echo", "/echo/{*rest}"], (request, response) => {
  const hash = createHash("sha256");
  let length = 0;
  request.on("data", (chunk) => { length += chunk.length; hash.update(chunk); });
  request.on("end", () => response.json({
    method: request.method,
    path: request.path,
    raw_uri: request.originalUrl,
    query: request.originalUrl.split("?").slice(1).join("?"),
    host: request.headers.host,
    headers: pairs(request.rawHeaders),
    parsed: request.headers,
    trailers: request.trailers,
    length,
    sha256: hash.digest("hex"),
  }));
});

function pairs(raw) {
  return raw.flatMap((name, index) => (index % 2 === 0 ? [[name, raw[index + 1]]] : []));
}

app.put("/files/:name", (request, response) => {
  let size = 0;
  request.on("data", (chunk) => { size += chunk.length; });
  request.on("end", () => response.status(201).json({ size }));
});

app.get("/private", (request, response) => {
  if (!request.user) return response.redirect("/login");
  response.send(page("Private", `<p id="secret">for ${request.user.name} only</p>`));
});

// Server-sent events: one at once, then one every `pause` milliseconds until the reader leaves or `count` is reached.
app.get("/events", (request, response) => {
  const pause = Number(request.query.pause ?? 100);
  const count = Number(request.query.count ?? Infinity);
  response.set({ "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  let number = 0;
  const tell = () => {
    response.write(`id: ${number}\ndata: tick ${number}\n\n`);
    number += 1;
    if (number >= count) { clearInterval(timer); response.end(); }
  };
  const timer = setInterval(tell, pause);
  tell();
  request.on("close", () => clearInterval(timer));
});

app.get("/worker", (request, response) => {
  response.send(page("Worker", `<p id="state">waiting</p><script>
    const state = document.getElementById("state");
    const scope = new URLSearchParams(location.search).get("scope") ?? "/";
    navigator.serviceWorker.register("/worker.js", { scope })
      .then(() => navigator.serviceWorker.ready)
      .then(() => { state.textContent = "registered"; }, (error) => { state.textContent = "refused: " + error.name; });
  </script>`));
});

// Answers every navigation below its scope itself: what a script planted in the app would do to a login page.
app.get("/worker.js", (request, response) => {
  response.set({ "Content-Type": "text/javascript", "Service-Worker-Allowed": "/" });
  response.send(`self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(clients.claim()));
self.addEventListener("fetch", (event) => {
  event.respondWith(new Response("<h1 id='covered'>covered by a worker</h1>", { headers: { "Content-Type": "text/html" } }));
});`);
});

app.get("/socket", (request, response) => {
  response.send(page("Socket", `<p id="state">opening</p><script>
    const state = document.getElementById("state");
    const socket = new WebSocket((location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/ws");
    socket.onopen = () => socket.send("hello");
    socket.onmessage = (event) => { state.textContent = event.data; };
    socket.onclose = (event) => { state.textContent = "closed"; };
  </script>`));
});

const server = createServer(app);
const sockets = new WebSocketServer({ noServer: true });

server.on("upgrade", (request, socket, head) => {
  if (!request.url.startsWith("/ws")) {
    socket.end("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    return;
  }
  sockets.handleUpgrade(request, socket, head, (client) => {
    client.send(JSON.stringify({ headers: pairs(request.rawHeaders) }));
    client.on("message", (data, isBinary) => client.send(isBinary ? data : `echo: ${data}`, { binary: isBinary }));
  });
});

if (process.env.SOCKET) server.listen(process.env.SOCKET);
else server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
