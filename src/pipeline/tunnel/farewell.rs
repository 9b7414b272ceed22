//! The end of a tunnel whose session has ended: both sides are told so by a close frame where one may stand, and cut.

use std::io;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::crypto;
use crate::pipeline::tunnel::frames::Tracked;

/// A side that does not take its frame, or does not close in turn, is cut after this.
const PATIENCE: Duration = Duration::from_secs(1);

/// What stands in the close frame: 1008, the code for what a policy ends (RFC 6455 §7.4.1), and why.
const BODY: &[u8] = b"\x03\xf0session ended";

/// Parts from both. Nothing of what either still sends reaches the other.
pub(crate) async fn part<B, A>(browser: Tracked<B>, app: Tracked<A>)
where
    B: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    let sides = async { tokio::join!(close(browser, None), close(app, Some(crypto::random()))) };
    // Whether they heard of it, nobody is there to be told.
    drop(timeout(PATIENCE, sides).await);
}

/// Sends the frame if one may begin, masked as a browser's where `mask` is given, and waits for the other to close:
/// what it sends until then is read and thrown away, since a socket closed over unread bytes takes the frame back.
async fn close<T: AsyncRead + AsyncWrite + Unpin>(to: Tracked<T>, mask: Option<[u8; 4]>) -> io::Result<()> {
    let Tracked { mut side, sent } = to;
    if !sent.may_begin() {
        return Ok(());
    }
    side.write_all(&frame(mask)).await?;
    side.shutdown().await?;
    let mut unread = [0; 4096];
    while side.read(&mut unread).await? > 0 {}
    Ok(())
}

fn frame(mask: Option<[u8; 4]>) -> Vec<u8> {
    // The length is one byte's: a close frame has 125 bytes at most.
    let length = BODY.len().to_le_bytes()[0];
    match mask {
        None => [&[0x88, length], BODY].concat(),
        Some(mask) => {
            let masked = BODY.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
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
        for mask in [None, Some([1, 2, 3, 4])] {
            let frame = frame(mask);
            let mut passed = Frames::new();
            passed.pass(&frame[..frame.len() - 1]);
            assert_eq!(usize::from(frame[1] & 0x7f), BODY.len());
            passed.pass(&frame[frame.len() - 1..]);
            assert!(!passed.may_begin());
            assert_eq!(frame.len(), 2 + BODY.len() + if mask.is_some() { 4 } else { 0 });
        }
        assert_eq!(frame(Some([1, 2, 3, 4]))[6..8], [0x03 ^ 1, 0xf0 ^ 2]);
    }
}
