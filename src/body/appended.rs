//! A page as it streams past, with something of ours after its last byte.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;

/// What a page in UTF-16 begins with, whatever its head says, and a blank in the same encoding.
const WIDE: [([u8; 2], [u8; 2]); 2] = [([0xfe, 0xff], [0x00, b' ']), ([0xff, 0xfe], [b' ', 0x00])];

/// A body with a tail. Nothing is held back, and a body that breaks off gets none: nobody could tell where it would land.
///
/// What has no byte is no page, and gets none either. A page in UTF-16 gets as many bytes of blanks: its length was told
/// before its first byte was seen.
#[derive(Debug)]
pub struct Appended<B> {
    body: B,
    tail: Bytes,
    start: Vec<u8>,
    sent: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Appended<B> {
    /// `body`, which has no trailers, and then `tail`, of an even number of bytes. `ahead` of it was read and goes out by
    /// another way.
    pub fn new(body: B, tail: Bytes, ahead: &[u8]) -> Self {
        let mut this = Self { body, tail, start: Vec::new(), sent: false };
        this.note(ahead);
        this
    }

    fn note(&mut self, data: &[u8]) {
        let missing = 2_usize.saturating_sub(self.start.len());
        self.start.extend(data.iter().take(missing));
    }

    fn take_tail(&mut self) -> Option<Bytes> {
        if std::mem::replace(&mut self.sent, true) || self.start.is_empty() {
            return None;
        }
        let wide = WIDE.iter().find(|(mark, _)| self.start == mark);
        Some(wide.map_or_else(|| self.tail.clone(), |(_, blank)| blank.repeat(self.tail.len() / 2).into()))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Appended<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        if this.sent {
            return Poll::Ready(None);
        }
        let next = ready!(Pin::new(&mut this.body).poll_frame(context));
        Poll::Ready(match next {
            None => this.take_tail().map(|tail| Ok(Frame::data(tail))),
            Some(Err(error)) => {
                this.sent = true;
                Some(Err(error))
            }
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.note(data);
                }
                Some(Ok(frame))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.sent || (self.start.is_empty() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() {
            return SizeHint::with_exact(0);
        }
        let more = u64::try_from(self.tail.len()).unwrap_or(u64::MAX);
        match self.body.size_hint().exact() {
            Some(length) => SizeHint::with_exact(length.saturating_add(more)),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::BodyExt;

    use super::*;

    struct Pieces(VecDeque<Result<&'static [u8], &'static str>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            Poll::Ready(
                self.0.pop_front().map(|piece| piece.map(|data| Frame::data(Bytes::from_static(data)))),
            )
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    async fn read(pieces: &[Result<&'static [u8], &'static str>]) -> (Vec<u8>, Option<&'static str>) {
        read_behind(b"", pieces).await
    }

    async fn read_behind(
        ahead: &[u8],
        pieces: &[Result<&'static [u8], &'static str>],
    ) -> (Vec<u8>, Option<&'static str>) {
        let pieces = Pieces(pieces.iter().copied().collect());
        let mut body = Appended::new(pieces, Bytes::from_static(b"tail"), ahead);
        let mut all = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => all.extend_from_slice(&frame.into_data().unwrap()),
                Err(error) => return (all, Some(error)),
            }
        }
        assert!(body.is_end_stream());
        (all, None)
    }

    #[tokio::test]
    async fn the_tail_comes_after_the_last_byte_of_a_whole_page() {
        for (pieces, expected) in [
            (&[Ok(&b"page"[..])][..], (&b"pagetail"[..], None)),
            (&[Ok(b"p"), Ok(b""), Ok(b"age")], (b"pagetail", None)),
            (&[], (b"", None)),
            (&[Ok(b"")], (b"", None)),
            (&[Ok(b"pa"), Err("broken"), Ok(b"ge")], (b"pa", Some("broken"))),
            (&[Ok(b"\xfe\xff\x00p")], (b"\xfe\xff\x00p\x00 \x00 ", None)),
            (&[Ok(b"\xff"), Ok(b"\xfep\x00")], (b"\xff\xfep\x00 \x00 \x00", None)),
            (&[Ok(b"\xfe")], (b"\xfetail", None)),
        ] {
            assert_eq!(read(pieces).await, (expected.0.to_vec(), expected.1));
        }
    }

    #[tokio::test]
    async fn what_was_read_ahead_belongs_to_the_page() {
        assert_eq!(read_behind(b"page", &[]).await, (b"tail".to_vec(), None));
        assert_eq!(read_behind(b"\xff", &[Ok(b"\xfep")]).await.0, b"\xfep \0 \0");
    }
}
