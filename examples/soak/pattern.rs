//! Bytes that anybody can make again who knows the user, the request's number and the direction: what is sent up and
//! down, and what it is compared with.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;

use crate::plan::Size;

/// Bytes of one chunk of a body, so that bodies above it take several.
const CHUNK: u64 = 16 * 1024;

/// Which way bytes go.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// An endless, position-addressed sequence of bytes.
#[derive(Clone)]
pub(crate) struct Pattern {
    seed: u64,
}

impl Pattern {
    pub(crate) fn new(user: &str, request: u64, direction: Direction) -> Self {
        let way = match direction {
            Direction::Up => 0x5555,
            Direction::Down => 0xaaaa,
        };
        let seed = user.bytes().fold(mix(request ^ way), |seed, byte| mix(seed ^ u64::from(byte)));
        Self { seed }
    }

    /// `length` bytes from `offset` on.
    pub(crate) fn bytes(&self, offset: u64, length: usize) -> Bytes {
        let skip = usize::try_from(offset % 8).unwrap_or_default();
        let words = (skip + length).div_ceil(8) as u64;
        let first = offset / 8;
        let mut made = Vec::with_capacity(skip + length + 8);
        for word in first..first + words {
            made.extend_from_slice(&mix(self.seed.wrapping_add(word)).to_le_bytes());
        }
        Bytes::from(made).slice(skip..skip + length)
    }

    /// The checksum of the first `length` bytes.
    pub(crate) fn sum(&self, length: u64) -> String {
        let mut sum = Sum::new();
        let mut offset = 0;
        while offset < length {
            let step = CHUNK.min(length - offset);
            sum.add(&self.bytes(offset, usize::try_from(step).unwrap_or_default()));
            offset += step;
        }
        sum.finish()
    }
}

/// A checksum that grows.
pub(crate) struct Sum(digest::Context);

impl Sum {
    pub(crate) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> String {
        HEXLOWER.encode(self.0.finish().as_ref())
    }
}

/// So many bytes of a pattern as a body, with its length told beforehand or not.
pub(crate) struct PatternBody {
    pattern: Pattern,
    sent: u64,
    size: Size,
}

impl PatternBody {
    pub(crate) fn new(pattern: Pattern, size: Size) -> Self {
        Self { pattern, sent: 0, size }
    }
}

impl Body for PatternBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let step = CHUNK.min(self.size.bytes - self.sent);
        if step == 0 {
            return Poll::Ready(None);
        }
        let bytes = self.pattern.bytes(self.sent, usize::try_from(step).unwrap_or_default());
        self.sent += step;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.size.bytes
    }

    fn size_hint(&self) -> SizeHint {
        if self.size.told { SizeHint::with_exact(self.size.bytes - self.sent) } else { SizeHint::default() }
    }
}

/// A bijective scrambling of 64 bits (the finalizer of SplitMix64): neighbours become strangers.
pub(crate) fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
