//! The way to an answer's final head: bytes are gathered until it is whole, and interim answers are passed over. Pure:
//! it is given bytes as they come.

use std::sync::LazyLock;

use bytes::Bytes;
use bytes::BytesMut;
use http::StatusCode;
use memchr::memmem::Finder;

use crate::upstream::http1::parse;
use crate::upstream::http1::parse::BadAnswer;
use crate::upstream::http1::parse::Head;

/// Bytes of one head at most.
const MAX_HEAD: usize = 64 * 1024;

/// Interim answers before the final one at most: an app that sends them without end keeps its worker from the others.
const MAX_INTERIM: u8 = 16;

const END: &[u8] = b"\r\n\r\n";

/// Made once: its tables take longer to make than a head to search.
static FIND_END: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(END));

/// See the module.
#[derive(Debug)]
pub(crate) struct HeadReader {
    gathered: BytesMut,
    searched: usize,
    interim: u8,
    begun: bool,
    to_head: bool,
}

impl HeadReader {
    /// Before the first byte of the answer to a request, of a HEAD request if `to_head`.
    pub(crate) fn new(to_head: bool) -> Self {
        Self { gathered: BytesMut::new(), searched: 0, interim: 0, begun: false, to_head }
    }

    /// Whether a byte of an answer has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Takes more bytes. The final head comes with what was read behind it; nothing means that more is needed.
    pub(crate) fn read(&mut self, bytes: BytesMut) -> Result<Option<(Head, Bytes)>, BadAnswer> {
        self.begun |= !bytes.is_empty();
        if self.gathered.is_empty() {
            self.gathered = bytes;
        } else {
            self.gathered.extend_from_slice(&bytes);
        }
        while let Some(end) = self.end()? {
            let mut rest = std::mem::take(&mut self.gathered).freeze();
            self.searched = 0;
            let head = parse::parse(&rest.split_to(end), self.to_head)?;
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Some((head, rest)));
            }
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Err(BadAnswer::Malformed("interim answers without end"));
            }
            self.gathered = BytesMut::from(rest);
        }
        Ok(None)
    }

    /// Where the head ends, if all of it is there.
    fn end(&mut self) -> Result<Option<usize>, BadAnswer> {
        let start = b"HTTP/1.";
        if self.gathered.iter().zip(start).any(|(is, should)| is != should) {
            return Err(BadAnswer::Malformed("its start"));
        }
        let from = self.searched.saturating_sub(END.len() - 1);
        let found = FIND_END.find(self.gathered.get(from..).unwrap_or_default());
        let end = found.map(|at| from + at + END.len());
        self.searched = self.gathered.len();
        if end.unwrap_or(self.searched) > MAX_HEAD {
            return Err(BadAnswer::Malformed("its head is too long"));
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Outcome = Result<Option<(u16, Vec<(String, Vec<u8>)>, Vec<u8>)>, BadAnswer>;

    /// What is read of `input` in pieces that end at `cuts`; what follows the head is put together again.
    fn read(input: &[u8], cuts: &[usize]) -> Outcome {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
        ends.push(input.len());
        ends.sort_unstable();
        let (mut reader, mut from) = (HeadReader::new(false), 0);
        for end in ends {
            let piece = BytesMut::from(&input[from..end]);
            from = end;
            if let Some((head, rest)) = reader.read(piece)? {
                let fields = head.headers.iter();
                let fields = fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
                let rest = [&rest[..], &input[from..]].concat();
                return Ok(Some((head.status.as_u16(), fields.collect(), rest)));
            }
        }
        Ok(None)
    }

    #[test]
    fn interim_answers_are_passed_over_up_to_a_number() {
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let last = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nrest";
        for (count, fine) in [(0, true), (1, true), (16, true), (17, false), (10_000, false)] {
            let input = interim.repeat(count) + last;
            assert_eq!(read(input.as_bytes(), &[]).is_ok_and(|read| read.is_some()), fine, "{count}");
        }
    }

    #[test]
    fn a_head_that_never_ends_is_given_up() {
        let input = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(MAX_HEAD));
        assert!(read(input.as_bytes(), &[1000, 2000]).is_err());
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nX: y\r\n", &[]), Ok(None));
    }

    #[test]
    fn what_is_no_answer_is_seen_at_its_first_bytes() {
        for input in [&b"SSH-2.0"[..], b"\r\nHTTP/1.1 200 OK\r\n", b"HTTP/2", b"H2", b"\0"] {
            assert!(read(input, &[]).is_err(), "{input:?} was taken");
        }
    }

    proptest! {
        #[test]
        fn an_answer_is_read_alike_however_it_is_cut(
            interim in 0_usize..3,
            fields in prop::collection::vec(("[a-z-]{1,8}", "[ -~]{0,12}"), 0..6),
            cuts in prop::collection::vec(any::<usize>(), 0..10),
        ) {
            let fields: String = fields.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect();
            let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(interim);
            let input = [&interim, "HTTP/1.1 200 OK\r\n", &fields, "\r\nthe body"].concat();
            let once = read(input.as_bytes(), &[]);
            if let Ok(read) = &once {
                prop_assert_eq!(&read.as_ref().unwrap().2, b"the body");
            }
            prop_assert_eq!(read(input.as_bytes(), &cuts), once);
        }

        #[test]
        fn any_bytes_are_read_alike_however_they_are_cut(
            tail in "[a-zA-Z0-9:,/ \r\n\t\0.]{0,60}",
            cuts in prop::collection::vec(any::<usize>(), 0..10),
        ) {
            let input = format!("HTTP/1.1 200 OK\r\n{tail}\r\n\r\n");
            let every_byte: Vec<usize> = (0..input.len()).collect();
            let once = read(input.as_bytes(), &[]);
            prop_assert_eq!(&read(input.as_bytes(), &cuts), &once);
            prop_assert_eq!(&read(input.as_bytes(), &every_byte), &once);
        }
    }
}
