// A guestbook as found in the wild whose forms are guarded by a double-submit cookie: the token is in a cookie, and comes
// back in a field of the form, or in a header that a script fills from the cookie. PORT says where it listens.

import cookieParser from "cookie-parser";
import { doubleCsrf } from "csrf-csrf";
import express from "express";
import session from "express-session";

const app = express();
app.use(session({ name: "guests", secret: "guestbook-of-the-test-bench", resave: false, saveUninitialized: true }));
app.use(cookieParser());
app.use(express.urlencoded({ extended: false }));

const { generateCsrfToken, doubleCsrfProtection } = doubleCsrf({
  getSecret: () => "double-submit-of-the-test-bench",
  getSessionIdentifier: (request) => request.session.id,
  // Scripts read it, as those of Angular and axios do.
  cookieName: "XSRF-TOKEN",
  cookieOptions: { httpOnly: false, sameSite: "lax", secure: false, path: "/" },
  getCsrfTokenFromRequest: (request) => request.get("x-xsrf-token") ?? request.body?.token,
});

const lines = [];

app.get("/", (request, response) => {
  const token = generateCsrfToken(request, response);
  response.send(`<!doctype html><html lang="en"><title>Guests</title><form method="post" action="/sign">
    <input type="hidden" name="token" value="${token}"><input name="line"><button>Sign</button></form>
    <p id="count">${lines.length}</p></html>`);
});

app.post("/sign", doubleCsrfProtection, (request, response) => {
  lines.push(request.body?.line ?? "by script");
  response.json({ lines: lines.length });
});

app.use((error, request, response, next) => response.status(error.statusCode ?? 500).json({ error: error.message }));

app.listen(Number(process.env.PORT), "127.0.0.1");
