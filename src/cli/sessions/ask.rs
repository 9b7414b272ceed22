//! One question to the admin socket, and its answer: an HTTP/1.1 request on a connection of its own.

use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::anyhow;
use anyhow::bail;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A gateway answers sooner than this, or something is wrong.
const PATIENCE: Duration = Duration::from_mins(1);

/// Far more than a page of sessions takes.
const MOST_BYTES: u64 = 16 << 20;

/// A gateway's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    patience: Duration,
}

#[derive(Deserialize)]
struct Refused {
    message: String,
}

impl Socket {
    /// The one at `path`.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, patience: PATIENCE }
    }

    /// Waits so long for an answer.
    pub(crate) fn waiting(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What the gateway answers.
    ///
    /// # Errors
    /// What the gateway said in place of an answer, or why it could not be asked.
    pub(crate) fn ask<T: DeserializeOwned>(&self, method: &str, target: &str) -> anyhow::Result<T> {
        let stream = UnixStream::connect(&self.path).map_err(|error| self.unreachable(&error))?;
        let talk = || converse(&stream, self.patience, method, target);
        let answer =
            talk().with_context(|| format!("the gateway at {} gave no answer", self.path.display()))?;
        let (status, body) = understood(&answer)
            .ok_or_else(|| anyhow!("what answers at {} is no gateway", self.path.display()))?;
        if !(200..300).contains(&status) {
            let refused: Refused = serde_json::from_slice(body)
                .with_context(|| format!("the gateway answered with the status {status}"))?;
            bail!(refused.message);
        }
        serde_json::from_slice(body)
            .context("the gateway's answer is not understood: is it of another version?")
    }

    fn unreachable(&self, error: &io::Error) -> anyhow::Error {
        let path = self.path.display();
        let is = |kinds: &[io::ErrorKind]| kinds.contains(&error.kind());
        if is(&[io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused]) {
            anyhow!(
                "no gateway answers at {path}: is it running? If its socket is elsewhere, name it with `--socket PATH`"
            )
        } else if is(&[io::ErrorKind::PermissionDenied]) {
            anyhow!("you may not use {path}: run this as the gateway's user, or as root")
        } else {
            anyhow!("cannot reach the gateway at {path}: {error}")
        }
    }
}

fn converse(mut stream: &UnixStream, patience: Duration, method: &str, target: &str) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Status and body of a whole answer.
fn understood(answer: &[u8]) -> Option<(u16, &[u8])> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(answer).ok()? else { return None };
    let told = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
    let told: usize = str::from_utf8(told.value).ok()?.parse().ok()?;
    let body = answer.get(length..).filter(|body| body.len() == told)?;
    Some((head.code?, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_is_understood() {
        let whole =
            b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(understood(whole), Some((404, &b"{}"[..])));
        for cut in 0..whole.len() {
            assert_eq!(understood(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(understood(b"SSH-2.0-OpenSSH_9.2\r\n"), None);
    }
}
