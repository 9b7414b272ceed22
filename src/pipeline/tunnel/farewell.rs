//! The end of a tunnel that outlived its session: both sides are told so by a close frame where one may stand, and cut.

use std::io;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::crypto;
use crate::pipeline::tunnel::frames::Tracked;
use crate::session::lifetime::Why;

/// A side that does not take its frame, or does not close in turn, is cut after this.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a close frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// The session is over: 1008, the code for what a policy ends (RFC 6455 §7.4.1). Clients do not come back from it.
    Over,
    /// Nobody here can tell whether it is over: 1013, the code for what may be tried again later (IANA's registry).
    Unknown,
}

impl Farewell {
    /// What is to be said where the session ended for this reason.
    pub(crate) fn of(why: Why) -> Self {
        if why == Why::NotHeard { Self::Unknown } else { Self::Over }
    }

    /// The code and the words.
    fn body(self) -> &'static [u8] {
        match self {
            Self::Over => b"\x03\xf0session ended",
            Self::Unknown => b"\x03\xf5try again later",
        }
    }
}

/// Parts from both. Nothing of what either still sends reaches the other.
pub(crate) async fn part<B, A>(browser: Tracked<B>, app: Tracked<A>, says: Farewell)
where
    B: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    let sides = async { tokio::join!(close(browser, says, None), close(app, says, Some(crypto::random()))) };
    // Whether they heard of it, nobody is there to be told.
    drop(timeout(PATIENCE, sides).await);
}

/// Sends the frame if one may begin, masked as a browser's where `mask` is given, and waits for the other to close:
/// what it sends until then is read and thrown away, since a socket closed over unread bytes takes the frame back.
async fn close<T: AsyncRead + AsyncWrite + Unpin>(
    to: Tracked<T>,
    says: Farewell,
    mask: Option<[u8; 4]>,
) -> io::Result<()> {
    let Tracked { mut side, sent } = to;
    if !sent.may_begin() {
        return Ok(());
    }
    side.write_all(&frame(says, mask)).await?;
    side.shutdown().await?;
    let mut unread = [0; 4096];
    while side.read(&mut unread).await? > 0 {}
    Ok(())
}

fn frame(says: Farewell, mask: Option<[u8; 4]>) -> Vec<u8> {
    let body = says.body();
    // The length is one byte's: a close frame has 125 bytes at most.
    let length = body.len().to_le_bytes()[0];
    match mask {
        None => [&[0x88, length], body].concat(),
        Some(mask) => {
            let masked = body.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
            let head = [0x88, 0x80 | length];
            head.into_iter().chain(mask).chain(masked).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tunnel::frames::Frames;

    #[test]
    fn a_close_frame_is_whole_and_the_last() {
        for (says, mask) in
            [(Farewell::Over, None), (Farewell::Unknown, None), (Farewell::Over, Some([1, 2, 3, 4]))]
        {
            let (frame, length) = (frame(says, mask), says.body().len());
            let mut passed = Frames::new();
            passed.pass(&frame[..frame.len() - 1]);
            assert_eq!(usize::from(frame[1] & 0x7f), length);
            passed.pass(&frame[frame.len() - 1..]);
            assert!(!passed.may_begin());
            assert_eq!(frame.len(), 2 + length + if mask.is_some() { 4 } else { 0 });
        }
        assert_eq!(frame(Farewell::Over, Some([1, 2, 3, 4]))[6..8], [0x03 ^ 1, 0xf0 ^ 2]);
    }
}
