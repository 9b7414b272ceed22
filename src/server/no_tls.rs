//! The word to somebody who left the `s` out of the address: plain HTTP on the port of https. It is the one answer that does
//! not come from the pipeline. There is no request yet that could have one: nothing is parsed, and nothing echoed.

use std::io;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::server::socket::Socket;

const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 72\r\nConnection: close\r\n\r\n\
    This port speaks https: begin the address with https:// and try it again";

/// Tells, and gives the error that the connection ends with.
pub(super) async fn tell(mut socket: Socket) -> io::Error {
    let told = async {
        // Read, since closing with unread input makes the kernel throw the answer away.
        let mut request = [0; 4096];
        let _length = socket.read(&mut request).await?;
        socket.write_all(ANSWER).await?;
        socket.shutdown().await
    };
    told.await
        .err()
        .unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "plain HTTP where TLS is spoken"))
}
