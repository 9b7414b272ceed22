//! The way from the browser on real sockets: what gets an answer, what gets a refusal, what gets cut, and when.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

mod drain;
mod http1;
mod limits;
mod support;
mod tls;
