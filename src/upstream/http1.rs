//! HTTP/1.1 as it is spoken to an app: the request written straight to the socket and the answer read from it by the
//! future that waits for it, without a task or a channel between. What is said is judged by pure functions; strictly,
//! since whoever sends an answer that can be read in two ways is not to be trusted with the next.

pub(crate) mod body;
pub(crate) mod encode;
pub(crate) mod exchange;
pub(crate) mod head;
pub(crate) mod parse;
pub(crate) mod patience;
pub(crate) mod upload;
