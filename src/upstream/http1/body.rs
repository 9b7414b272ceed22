//! An answer's body, taken out of its framing: a pure state machine that is given bytes as they come.

use bytes::Buf;
use bytes::Bytes;

use crate::syntax::chunks::Chunks;
use crate::syntax::chunks::Piece;

/// How the end of an answer's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body, or one without a byte.
    Nothing,
    /// By its length.
    Length(u64),
    /// By its last chunk.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// Where a body stands.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// So many bytes are to come.
    Length(u64),
    /// Chunks are to come.
    Chunked(Chunks),
    /// Whatever comes belongs to it.
    UntilClose,
    /// It has ended.
    Ended,
}

/// The next thing in the bytes of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// A part of the content, without a copy.
    Data(Bytes),
    /// Nothing is left of the bytes, and the body goes on.
    More,
    /// The body has ended; what is left is not part of it.
    End,
}

impl Decoder {
    /// Before the first byte.
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Nothing => Self::Ended,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunks::of_answer()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Takes the next content out of `input`; an error tells what is wrong with its framing.
    pub(crate) fn decode(&mut self, input: &mut Bytes) -> Result<Decoded, &'static str> {
        match self {
            Self::Ended | Self::Length(0) => Ok(Decoded::End),
            Self::Length(_) | Self::UntilClose if input.is_empty() => Ok(Decoded::More),
            Self::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= u64::try_from(here).unwrap_or(*left);
                Ok(Decoded::Data(input.split_to(here)))
            }
            Self::UntilClose => Ok(Decoded::Data(std::mem::take(input))),
            Self::Chunked(chunks) => match chunks.piece(input) {
                Piece::Wrapping => {
                    input.clear();
                    Ok(Decoded::More)
                }
                Piece::Data(from, to) => {
                    input.advance(from);
                    Ok(Decoded::Data(input.split_to(to - from)))
                }
                Piece::End(at) => {
                    input.advance(at);
                    *self = Self::Ended;
                    Ok(Decoded::End)
                }
                Piece::Fault(_, reason) => Err(reason),
            },
        }
    }

    /// Whether the connection's end is the body's.
    pub(crate) fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// The bytes that are still to come, where it is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Ended => Some(0),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Content, bytes left over and fault of `input`, read in pieces that end at `cuts`.
    fn read(framing: Framing, input: &[u8], cuts: &[usize]) -> (Vec<u8>, usize, bool, Option<&'static str>) {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
        ends.push(input.len());
        ends.sort_unstable();
        let (mut decoder, mut content, mut from) = (Decoder::new(framing), Vec::new(), 0);
        for end in ends {
            let mut piece = Bytes::copy_from_slice(&input[from..end]);
            from = end;
            loop {
                match decoder.decode(&mut piece) {
                    Ok(Decoded::Data(data)) => content.extend_from_slice(&data),
                    Ok(Decoded::More) => break,
                    Ok(Decoded::End) => return (content, input.len() - from + piece.len(), true, None),
                    Err(reason) => return (content, 0, false, Some(reason)),
                }
            }
        }
        (content, 0, false, None)
    }

    #[test]
    fn bodies_end_where_their_framing_says() {
        for (framing, input, content, left, over) in [
            (Framing::Nothing, &b"extra"[..], &b""[..], 5, true),
            (Framing::Length(3), b"abcde", b"abc", 2, true),
            (Framing::Length(9), b"abc", b"abc", 0, false),
            (Framing::UntilClose, b"abc", b"abc", 0, false),
            (Framing::Chunked, b"3\r\nabc\r\n0\r\n\r\nHTTP", b"abc", 4, true),
            (Framing::Chunked, b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n", b"abcde", 0, true),
            (Framing::Chunked, b"3\r\nab", b"ab", 0, false),
            (Framing::Chunked, b"0\r\n\r", b"", 0, false),
        ] {
            let every_byte: Vec<usize> = (0..input.len()).collect();
            for cuts in [&[][..], &every_byte] {
                assert_eq!(read(framing, input, cuts), (content.to_vec(), left, over, None));
            }
        }
    }

    #[test]
    fn broken_chunks_are_seen() {
        for input in [
            &b"x\r\n"[..],
            b" 3\r\nabc\r\n",
            b"3\nabc\r\n",
            b"3 \r\nabc\r\n",
            b"0x3\r\nabc\r\n",
            b"-1\r\n",
            b"3\r\nabcd\r\n",
            b"3\r\nabc\n",
            b"11111111111111111\r\n",
            b"0\r\nA : b\r\n\r\n",
            b"0\r\n A: b\r\n\r\n",
            b"0\r\nA: \0\r\n\r\n",
            b"3;\0\r\nabc\r\n",
        ] {
            assert!(read(Framing::Chunked, input, &[]).3.is_some(), "{input:?} was taken");
        }
    }

    #[test]
    fn an_answer_may_come_byte_by_byte() {
        let input = [b"1\r\nx\r\n".repeat(100_000), b"0\r\n\r\n".to_vec()].concat();
        let (content, left, over, fault) = read(Framing::Chunked, &input, &[]);
        assert_eq!((content.len(), left, over, fault), (100_000, 0, true, None));
    }

    proptest! {
        #[test]
        fn what_is_wrapped_comes_out_however_it_is_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\nrest");
            prop_assert_eq!(read(Framing::Chunked, &wire, &cuts), (chunks.concat(), 4, true, None));
        }

        #[test]
        fn any_bytes_are_read_alike_however_they_are_cut(
            input in "[0-9a-f;:\r\n xX\0]{0,60}",
            length in 0_u64..80,
            cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            for framing in [Framing::Chunked, Framing::Length(length), Framing::UntilClose] {
                let once = read(framing, input.as_bytes(), &[]);
                prop_assert_eq!(read(framing, input.as_bytes(), &cuts), once);
            }
        }
    }
}
