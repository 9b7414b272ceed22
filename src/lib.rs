//! Vestibule: secure sessions for apps that never had them.
//!
//! A reverse-proxy session gateway. It ends TLS in front of an unmodified web app, sends people who are not logged in
//! to a login, gives the browser one hardened cookie, keeps the session on the server, and tells the app who is
//! calling in a header. `ARCHITECTURE.md` draws the map; the modules below stand in reading order, lowest layer first,
//! and a module imports only from layers above it in this list (`tests/architecture.rs` keeps it so).

// Leaves: time, keys, addresses, bodies, files, bytes.
pub mod body;
pub mod clock;
pub mod crypto;
pub mod files;
pub mod net;
mod syntax;

// Words: who somebody is, what headers say, what pages look like, what an app's cookies are.
pub mod headers;
pub mod identity;
pub mod pages;
pub mod vault;

// Rules: what is allowed, what is told.
pub mod access;
pub mod telemetry;

// Parts: sessions, the way to the app, the way from the browser.
pub mod server;
pub mod session;
pub mod upstream;

// Which app a request is for.
pub mod route;

// Conversations of our own: logging in and out; health and figures; a site looked at from outside.
pub mod admin;
pub mod doctor;
pub mod login;

// One request, from admission to answer.
pub mod pipeline;

// The whole: configuration, composition, commands.
pub mod app;
pub mod cli;
pub mod config;
