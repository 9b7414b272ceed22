//! Who is asking, and how the app is told.

pub mod headers;
pub mod user;
