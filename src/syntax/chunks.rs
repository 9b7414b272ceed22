//! A chunked body's framing (RFC 9112 §7.1), read strictly: sizes without padding, line ends of two bytes, bounded
//! extensions and trailers, and no more wrapping than content.

use crate::syntax;

const MAX_SIZE_DIGITS: u8 = 16;
const MAX_EXTENSION: u32 = 256;
const MAX_EXTENSIONS: u32 = 16 * 1024;
const MAX_TRAILERS: u32 = 8 * 1024;
// Chunks of one byte cost five bytes of wrapping and a turn of every parser on the way. Bodies made of nothing else
// end here; bodies with some are fine.
const FREE_WRAPPING: u64 = 64 * 1024;
const WRAPPING_PER_DATA: u64 = 2;

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

/// What came of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// They all belong to the body, which goes on.
    More,
    /// The body ended after so many of them.
    End(usize),
    /// The byte after so many of them breaks the framing.
    Fault(usize, &'static str),
}

/// The next thing in some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Nothing but wrapping: all of them are read.
    Wrapping,
    /// Content from one place to another, which are read so far.
    Data(usize, usize),
    /// The body ended after so many of them.
    End(usize),
    /// The byte after so many of them breaks the framing.
    Fault(usize, &'static str),
}

/// How far a chunked body has been read.
#[derive(Clone, Debug)]
pub(crate) struct Chunks {
    at: At,
    digits: u8,
    left: u64,
    extension: u32,
    extensions: u32,
    trailers: u32,
    wrapping: u64,
    data: u64,
    thrifty: bool,
}

impl Chunks {
    /// Before the first size line of a request's body, which may not be made of wrapping.
    pub(crate) const fn of_request() -> Self {
        Self::new(true)
    }

    /// Before the first size line of an answer's body. An app may send byte by byte for as long as it likes.
    pub(crate) const fn of_answer() -> Self {
        Self::new(false)
    }

    const fn new(thrifty: bool) -> Self {
        Self {
            at: At::Size,
            digits: 0,
            left: 0,
            extension: 0,
            extensions: 0,
            trailers: 0,
            wrapping: 0,
            data: 0,
            thrifty,
        }
    }

    /// Goes on with `input`, all of it.
    pub(crate) fn advance(&mut self, input: &[u8]) -> Step {
        let mut read = 0;
        loop {
            match self.piece(input.get(read..).unwrap_or_default()) {
                Piece::Wrapping => return Step::More,
                Piece::Data(_, to) => read += to,
                Piece::End(at) => return Step::End(read + at),
                Piece::Fault(at, reason) => return Step::Fault(read + at, reason),
            }
        }
    }

    /// Goes on with `input` up to the end of the next content, or of the body. Must not be asked again after the end or
    /// a fault.
    pub(crate) fn piece(&mut self, input: &[u8]) -> Piece {
        for (at, byte) in input.iter().enumerate() {
            if self.at == At::Data {
                return self.content(at, input.len());
            }
            self.wrapping += 1;
            let ends = self.at == At::EndLf;
            match self.step(*byte) {
                Ok(next) => self.at = next,
                Err(reason) => return Piece::Fault(at, reason),
            }
            if ends {
                return Piece::End(at + 1);
            }
        }
        Piece::Wrapping
    }

    fn content(&mut self, from: usize, end: usize) -> Piece {
        let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(end - from);
        let counted = u64::try_from(here).unwrap_or(self.left);
        self.left -= counted;
        self.data = self.data.saturating_add(counted);
        if self.left == 0 {
            self.at = At::DataCr;
        }
        Piece::Data(from, from + here)
    }

    fn step(&mut self, byte: u8) -> Result<At, &'static str> {
        match (self.at, byte) {
            (At::Size, _) => self.size(byte),
            (At::Extension, b'\r') => Ok(At::SizeLf),
            (At::Extension, _) => self.extension(byte),
            (At::SizeLf, b'\n') => self.size_ends(),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::Size),
            (At::Data | At::DataCr | At::DataLf, _) => Err("chunk data beyond its size"),
            (At::TrailerStart, b'\r') | (At::EndLf, b'\n') => Ok(At::EndLf),
            (At::TrailerStart | At::TrailerName | At::TrailerValue | At::TrailerLf, _) => self.trailer(byte),
            (At::SizeLf | At::EndLf, _) => Err("malformed line end in a chunked body"),
        }
    }

    fn size(&mut self, byte: u8) -> Result<At, &'static str> {
        const MALFORMED: &str = "malformed chunk size";
        if let Some(digit) = char::from(byte).to_digit(16) {
            if self.digits == MAX_SIZE_DIGITS {
                return Err(MALFORMED);
            }
            self.digits += 1;
            self.left = (self.left << 4) | u64::from(digit);
            return Ok(At::Size);
        }
        match byte {
            b'\r' if self.digits > 0 => Ok(At::SizeLf),
            b';' if self.digits > 0 => Ok(At::Extension),
            _ => Err(MALFORMED),
        }
    }

    fn extension(&mut self, byte: u8) -> Result<At, &'static str> {
        self.extension += 1;
        self.extensions = self.extensions.saturating_add(1);
        if self.extension > MAX_EXTENSION || (self.thrifty && self.extensions > MAX_EXTENSIONS) {
            return Err("chunk extensions too long");
        }
        if !syntax::is_value(&[byte]) {
            return Err("control character in a chunk extension");
        }
        Ok(At::Extension)
    }

    fn size_ends(&mut self) -> Result<At, &'static str> {
        let fair = self.data.saturating_mul(WRAPPING_PER_DATA).saturating_add(FREE_WRAPPING);
        if self.thrifty && self.wrapping > fair {
            return Err("more chunk framing than content");
        }
        self.digits = 0;
        self.extension = 0;
        Ok(if self.left == 0 { At::TrailerStart } else { At::Data })
    }

    fn trailer(&mut self, byte: u8) -> Result<At, &'static str> {
        self.trailers += 1;
        if self.trailers > MAX_TRAILERS {
            return Err("trailers too long");
        }
        match (self.at, byte) {
            (At::TrailerName, b':') => Ok(At::TrailerValue),
            (At::TrailerStart | At::TrailerName, _) if syntax::is_token_byte(byte) => Ok(At::TrailerName),
            (At::TrailerValue, b'\r') => Ok(At::TrailerLf),
            (At::TrailerValue, _) if syntax::is_value(&[byte]) => Ok(At::TrailerValue),
            (At::TrailerLf, b'\n') => Ok(At::TrailerStart),
            _ => Err("malformed trailer"),
        }
    }
}
