//! Requests as they stand on the wire, through writers that take a few bytes at a time.

use std::collections::VecDeque;
use std::future::poll_fn;

use http::Request;
use http_body::SizeHint;
use proptest::prelude::*;

use super::*;

/// A body of given pieces; between any two of them it has to be waited for.
#[derive(Debug)]
struct Pieces {
    left: VecDeque<Result<&'static [u8], RequestBodyError>>,
    length: Option<u64>,
    ready: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        self.ready = !self.ready;
        if self.ready {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = self.left.pop_front();
        Poll::Ready(piece.map(|piece| piece.map(|piece| Frame::data(Bytes::from_static(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Takes at most `most` bytes at once.
struct Narrow {
    most: usize,
    taken: Vec<u8>,
    writes: usize,
}

impl AsyncWrite for Narrow {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = bytes.len().min(self.most);
        self.taken.extend_from_slice(&bytes[..count]);
        self.writes += 1;
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let joined: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.poll_write(context, &joined)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

type Sent = (String, usize, Result<(), UploadError>);

fn send(
    pieces: &[Result<&'static [u8], RequestBodyError>],
    length: Option<u64>,
    most: usize,
    wait: bool,
) -> Sent {
    let head = Request::put("/x").body(()).unwrap().into_parts().0;
    let body = Pieces { left: pieces.iter().copied().collect(), length, ready: !wait };
    let mut upload = Upload::new(Vec::new(), &head, body);
    let mut wire = Narrow { most, taken: Vec::new(), writes: 0 };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let done = runtime.block_on(poll_fn(|context| upload.poll_send(&mut wire, context)));
    (String::from_utf8(wire.taken).unwrap(), wire.writes, done)
}

#[test]
fn a_body_is_framed_by_its_length_or_by_chunks() {
    for (pieces, length, lines) in [
        (&[][..], Some(0), "content-length: 0\r\n\r\n"),
        (&[Ok(&b"abc"[..]), Ok(b"de")], Some(5), "content-length: 5\r\n\r\nabcde"),
        (
            &[Ok(b"abc"), Ok(b""), Ok(b"0123456789abcdef")],
            None,
            "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
        ),
        (&[], None, "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ] {
        for most in [1, 7, 4096] {
            for wait in [false, true] {
                let (sent, _, done) = send(pieces, length, most, wait);
                assert!(done.is_ok(), "{lines:?}: {done:?}");
                assert_eq!(sent, format!("PUT /x HTTP/1.1\r\n{lines}"));
            }
        }
    }
}

#[test]
fn the_head_and_the_part_that_is_there_go_out_at_once() {
    let (_, writes, _) = send(&[Ok(b"abc")], Some(3), 4096, false);
    assert_eq!(writes, 1);
    let (_, writes, _) = send(&[Ok(b"abc")], None, 4096, false);
    assert_eq!(writes, 1);
}

#[test]
fn a_body_that_is_not_as_long_as_was_said_breaks_off() {
    for (pieces, length) in [
        (&[Ok(&b"abc"[..])][..], 4),
        (&[Ok(b"abc"), Ok(b"de")], 4),
        (&[Ok(b"abc"), Err(RequestBodyError::Broken)], 4),
    ] {
        let (sent, _, done) = send(pieces, Some(length), 4096, false);
        assert!(matches!(done, Err(UploadError::Body(RequestBodyError::Broken))), "{pieces:?}: {done:?}");
        assert!(sent.len() < "PUT /x HTTP/1.1\r\ncontent-length: 4\r\n\r\n".len() + 4, "{sent:?}");
    }
}

proptest! {
    #[test]
    fn chunks_come_out_alike_through_any_writer(sizes in prop::collection::vec(1_usize..60, 0..6), most in 1_usize..80) {
        const CONTENT: &[u8] = &[b'x'; 60];
        let pieces: Vec<_> = sizes.iter().map(|size| Ok(&CONTENT[..*size])).collect();
        let (sent, _, done) = send(&pieces, None, most, true);
        prop_assert!(done.is_ok());
        prop_assert_eq!(sent, send(&pieces, None, 4096, false).0);
    }
}
