//! The stream of requests on one HTTP/1 connection as a pure state machine: which bytes may pass, which must wait for the
//! rest of their head, and where the first bad one is. `guard` applies it to a connection.

mod head;

use crate::server::refusal::Refusal;
use crate::server::scanner::head::Framing;
use crate::server::scanner::head::Head;
pub(super) use crate::server::scanner::head::HeadLimits;
use crate::syntax::chunks::Chunks;
use crate::syntax::chunks::Step;

/// What is wrong with the bytes after the ones that pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A head that must be refused.
    Head(Refusal),
    /// A body whose framing is broken.
    Body(&'static str),
}

/// What part of a request the connection stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Between two requests.
    Between,
    /// In a head whose first byte has come.
    Head,
    /// In a body.
    Body,
    /// Behind a request for a WebSocket: not HTTP/1 any more.
    Opaque,
    /// Behind a fault.
    Ended,
}

#[derive(Debug)]
enum State {
    Head(Head),
    Length(u64),
    Chunked(Chunks),
    Opaque,
    Ended,
}

/// See the module. After a fault nothing passes any more.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    limits: HeadLimits,
    heads: u32,
}

impl Scanner {
    /// Before the first request.
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self { state: State::Head(Head::default()), limits, heads: 0 }
    }

    /// How many heads have passed.
    pub(super) fn heads(&self) -> u32 {
        self.heads
    }

    /// Where the connection stands.
    pub(super) fn place(&self) -> Place {
        match &self.state {
            State::Head(head) if head.has_begun() => Place::Head,
            State::Head(_) => Place::Between,
            State::Length(_) | State::Chunked(_) => Place::Body,
            State::Opaque => Place::Opaque,
            State::Ended => Place::Ended,
        }
    }

    /// Gives up: what comes now is not looked at.
    pub(super) fn end(&mut self) {
        self.state = State::Ended;
    }

    /// Reads `input` and tells how many of its bytes may pass, and what is wrong behind them. Bytes that neither pass nor
    /// are wrong belong to a head that is not complete: the next call must begin with them, followed by new ones.
    pub(super) fn scan(&mut self, input: &[u8]) -> (usize, Option<Fault>) {
        let mut passed = 0;
        loop {
            let rest = input.get(passed..).unwrap_or_default();
            if rest.is_empty() {
                return (passed, None);
            }
            match self.step(rest) {
                Ok(0) => return (passed, None),
                Ok(more) => passed += more,
                Err((before, fault)) => {
                    self.state = State::Ended;
                    return (passed + before, Some(fault));
                }
            }
        }
    }

    fn step(&mut self, rest: &[u8]) -> Result<usize, (usize, Fault)> {
        match &mut self.state {
            State::Head(head) => match head.advance(rest, self.limits) {
                Ok(None) => Ok(0),
                Ok(Some((length, framing))) => {
                    self.heads = self.heads.wrapping_add(1);
                    self.state = follows(framing);
                    Ok(length)
                }
                Err(refusal) => Err((0, Fault::Head(refusal))),
            },
            State::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left -= u64::try_from(here).unwrap_or(*left);
                if *left == 0 {
                    self.state = follows(Framing::Nothing);
                }
                Ok(here)
            }
            State::Chunked(chunks) => match chunks.advance(rest) {
                Step::More => Ok(rest.len()),
                Step::End(at) => {
                    self.state = follows(Framing::Nothing);
                    Ok(at)
                }
                Step::Fault(at, reason) => Err((at, Fault::Body(reason))),
            },
            State::Opaque => Ok(rest.len()),
            State::Ended => Ok(0),
        }
    }
}

fn follows(framing: Framing) -> State {
    match framing {
        Framing::Nothing => State::Head(Head::default()),
        Framing::Length(length) => State::Length(length),
        Framing::Chunked => State::Chunked(Chunks::of_request()),
        Framing::Opaque => State::Opaque,
    }
}

#[cfg(test)]
mod tests;
