//! Where a stream of WebSocket frames stands, from its bytes as they pass (RFC 6455 §5.2): a frame of ours may be put
//! between two of theirs, and nowhere else.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

/// A frame's head is two bytes, a longer length of eight, and a mask of four at most.
const LONGEST_HEAD: usize = 14;

const CLOSE: u8 = 0x8;

/// The frames that were written so far. Payloads are not looked at, and nothing is kept of them.
#[derive(Debug)]
pub(crate) struct Frames {
    head: [u8; LONGEST_HEAD],
    /// So many bytes of the next frame's head are known.
    known: usize,
    /// So many bytes of the current frame's payload are to come.
    payload: u64,
    closed: bool,
}

impl Frames {
    /// Before the first frame.
    pub(crate) const fn new() -> Self {
        Self { head: [0; LONGEST_HEAD], known: 0, payload: 0, closed: false }
    }

    /// Whether a frame may be put here: the last one is whole, and it was not the last of all.
    pub(crate) const fn may_begin(&self) -> bool {
        self.known == 0 && self.payload == 0 && !self.closed
    }

    /// Takes note of bytes that were written.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
            self.payload -= skipped as u64;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((next, rest)) = bytes.split_first() else { return };
            bytes = rest;
            if let Some(place) = self.head.get_mut(self.known) {
                *place = *next;
            }
            self.known += 1;
            if let Some(payload) = self.payload_of_head() {
                self.closed |= self.head[0] & 0xf == CLOSE;
                (self.known, self.payload) = (0, payload);
            }
        }
    }

    /// How long the payload is, once the head is whole.
    fn payload_of_head(&self) -> Option<u64> {
        let [_, second, long @ ..] = &self.head;
        let length = usize::from(second & 0x7f);
        let (more, payload) = match length {
            127 => (8, u64::from_be_bytes(*long.first_chunk()?)),
            126 => (2, u64::from(u16::from_be_bytes(*long.first_chunk()?))),
            short => (0, short as u64),
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        (self.known >= 2 && self.known == 2 + more + mask).then_some(payload)
    }
}

/// One side of a tunnel, and how far the frames are that it was sent.
#[derive(Debug)]
pub(crate) struct Tracked<T> {
    pub(crate) side: T,
    pub(crate) sent: Frames,
}

impl<T> Tracked<T> {
    /// Before the first frame.
    pub(crate) const fn new(side: T) -> Self {
        Self { side, sent: Frames::new() }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Tracked<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tracked<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.side).poll_write(context, bytes))?;
        self.sent.pass(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(mask | u8::try_from(length).unwrap()),
            126..0x1_0000 => {
                frame.push(mask | 0x7e);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7f);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // Bytes that would be heads of close frames, if they were taken for heads.
        frame.extend(vec![0x88; length + if masked { 4 } else { 0 }]);
        frame
    }

    #[test]
    fn a_frame_may_begin_between_two_and_nowhere_else_however_the_bytes_come() {
        let frames: Vec<_> = [0, 1, 125, 126, 300, 0xffff, 0x1_0000]
            .into_iter()
            .flat_map(|length| [frame(1, length, false), frame(2, length, true)])
            .collect();
        let ends: Vec<_> = frames
            .iter()
            .scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            })
            .collect();
        let all = frames.concat();
        for step in [1, 2, 3, 7, 14, 1000, 8192] {
            let (mut passed, mut at) = (Frames::new(), 0);
            for bytes in all.chunks(step) {
                passed.pass(bytes);
                at += bytes.len();
                assert_eq!(passed.may_begin(), ends.contains(&at), "{at} of {} by {step}", all.len());
            }
        }
    }

    #[test]
    fn nothing_follows_a_close_frame() {
        let mut passed = Frames::new();
        passed.pass(&frame(1, 5, false));
        assert!(passed.may_begin());
        passed.pass(&frame(8, 2, false));
        assert!(!passed.may_begin());
        let mut odd = Frames::new();
        odd.pass(&[0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        odd.pass(&[0; 4096]);
        assert!(!odd.may_begin());
    }
}
