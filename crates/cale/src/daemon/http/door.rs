//! The connection under the HTTP server: a socket that can be taken back whole.
//!
//! Two things that hyper by itself doesn't do for attach and exec start:
//!
//! * **Hijack without being asked.** Clients that send no `Upgrade` header expect dockerd to take
//!   the connection over anyway and to answer a bare `200` without a length. The missing headers
//!   are added on the way in, and the `101` becomes that `200` on the way out.
//! * **Early end of input.** A client may send its input and close its direction before the
//!   answer comes. For every other request an end of file means that the client is gone and the
//!   work is to be dropped; for these two it is kept back until the connection is handed over.

use std::{
    io,
    os::fd::OwnedFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;

/// Bytes of a request head that are looked at; a longer one is left as it is.
const HEAD_MAX: usize = 32 * 1024;

/// What is under a connection.
#[derive(Debug)]
pub enum Wire {
    /// A unix socket.
    Unix(UnixStream),
    /// TCP.
    Tcp(TcpStream),
    /// TCP with TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    fn pinned(&mut self) -> Pin<&mut (dyn Both + Unpin)> {
        let stream: &mut (dyn Both + Unpin) = match self {
            Self::Unix(stream) => stream,
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.as_mut(),
        };
        Pin::new(stream)
    }

    /// The descriptor of the client's socket. TLS can't be handed over: a pair takes its place
    /// and a task copies between them.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        match self {
            Self::Unix(stream) => Ok(stream.into_std()?.into()),
            Self::Tcp(stream) => Ok(stream.into_std()?.into()),
            Self::Tls(mut stream) => {
                let (mut ours, theirs) = UnixStream::pair()?;
                tokio::spawn(async move {
                    // Either end's failure ends the session; there is nobody to tell.
                    let _ended = tokio::io::copy_bidirectional(&mut stream, &mut ours).await;
                });
                Ok(theirs.into_std()?.into())
            }
        }
    }
}

trait Both: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Both for T {}

/// What is known of the request that is being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The next bytes begin a request.
    Head,
    /// An ordinary request.
    Plain,
    /// Attach or exec start; nothing answered yet.
    Hijack {
        /// The client sent no `Upgrade` header.
        bare: bool,
    },
    /// Attach or exec start; answered.
    Answered,
}

/// A connection as hyper sees it.
#[derive(Debug)]
pub struct Door {
    wire: Wire,
    phase: Phase,
    /// Read from the wire, not yet given to hyper.
    inbound: BytesMut,
    /// Written by hyper, not yet on the wire.
    outbound: BytesMut,
    /// `inbound` is a head that isn't complete.
    gathering: bool,
}

impl Door {
    /// A fresh connection.
    pub fn new(wire: Wire) -> Self {
        Self {
            wire,
            phase: Phase::Head,
            inbound: BytesMut::new(),
            outbound: BytesMut::new(),
            gathering: false,
        }
    }

    /// The socket, and what was read from it but not given to hyper.
    pub fn into_parts(self) -> (Wire, Bytes) {
        (self.wire, self.inbound.freeze())
    }

    /// Judges what has come of a head; true when hyper may have it.
    fn examine(&mut self, ended: bool) -> bool {
        let wanted = match classify(&self.inbound) {
            Class::Other => {
                self.phase = Phase::Plain;
                return true;
            }
            Class::Unclear => !ended,
            Class::Hijack => match find(&self.inbound, b"\r\n\r\n") {
                Some(end) => {
                    let bare = !has_header(&self.inbound[..end], "upgrade");
                    if bare {
                        add_headers(&mut self.inbound);
                    }
                    self.phase = Phase::Hijack { bare };
                    return true;
                }
                None => !ended && self.inbound.len() < HEAD_MAX,
            },
        };
        if !wanted {
            self.phase = Phase::Plain;
        }
        !wanted
    }

    fn poll_outbound(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbound.is_empty() {
            let written = ready!(self.wire.pinned().poll_write(cx, &self.outbound))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbound.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

enum Class {
    Other,
    /// Too short to say.
    Unclear,
    Hijack,
}

/// Looks at the request line.
fn classify(bytes: &[u8]) -> Class {
    const METHOD: &[u8] = b"POST ";
    let start = bytes.len().min(METHOD.len());
    if bytes[..start] != METHOD[..start] {
        return Class::Other;
    }
    let Some(line_end) = bytes.iter().position(|byte| *byte == b'\r') else {
        return if bytes.len() < HEAD_MAX { Class::Unclear } else { Class::Other };
    };
    let mut words = bytes[METHOD.len().min(line_end)..line_end].split(|byte| *byte == b' ');
    let target = words.next().unwrap_or_default();
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let mut parts = path.split(|byte| *byte == b'/').skip(1).peekable();
    // `/v1.41/containers/web/attach`
    parts.next_if(|part| {
        part.first() == Some(&b'v') && part[1..].first().is_some_and(u8::is_ascii_digit)
    });
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(b"containers"), Some(_), Some(b"attach"), None)
        | (Some(b"exec"), Some(_), Some(b"start"), None) => Class::Hijack,
        _ => Class::Other,
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn has_header(head: &[u8], name: &str) -> bool {
    head.split(|byte| *byte == b'\n').skip(1).any(|line| {
        let end = line.iter().position(|byte| *byte == b':').unwrap_or(0);
        line[..end].eq_ignore_ascii_case(name.as_bytes())
    })
}

/// Puts the headers that ask for an upgrade behind the request line.
fn add_headers(head: &mut BytesMut) {
    let Some(line_end) = find(head, b"\r\n") else { return };
    let rest = head.split_off(line_end + 2);
    head.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: tcp\r\n");
    head.unsplit(rest);
}

/// `101` with its upgrade headers → `200` without; `None`: it is another answer.
fn bare_answer(head: &[u8]) -> Option<Vec<u8>> {
    let end = find(head, b"\r\n\r\n")?;
    if !head.starts_with(b"HTTP/1.1 101") {
        return None;
    }
    let mut out = b"HTTP/1.1 200 OK\r\n".to_vec();
    for line in head[..end].split(|byte| *byte == b'\n').skip(1) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let name_end = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let name = line[..name_end].to_ascii_lowercase();
        if name != b"connection" && name != b"upgrade" {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&head[end + 4..]);
    Some(out)
}

impl AsyncRead for Door {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.gathering && !this.inbound.is_empty() {
                let len = buf.remaining().min(this.inbound.len());
                buf.put_slice(&this.inbound[..len]);
                this.inbound.advance(len);
                return Poll::Ready(Ok(()));
            }
            if this.phase != Phase::Head {
                let before = buf.filled().len();
                ready!(this.wire.pinned().poll_read(cx, buf))?;
                let ended = buf.filled().len() == before;
                if ended && matches!(this.phase, Phase::Hijack { .. }) {
                    // Nobody wakes us: the answer will be written, then the socket is taken.
                    return Poll::Pending;
                }
                return Poll::Ready(Ok(()));
            }
            let mut chunk = [0u8; 4096];
            let mut piece = ReadBuf::new(&mut chunk);
            ready!(this.wire.pinned().poll_read(cx, &mut piece))?;
            let ended = piece.filled().is_empty();
            this.inbound.extend_from_slice(piece.filled());
            if this.inbound.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.gathering = !this.examine(ended);
        }
    }
}

impl AsyncWrite for Door {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_outbound(cx))?;
        match this.phase {
            Phase::Hijack { bare } => {
                this.phase = Phase::Answered;
                if bare && let Some(answer) = bare_answer(bytes) {
                    this.outbound.extend_from_slice(&answer);
                    return Poll::Ready(Ok(bytes.len()));
                }
            }
            // An answer (or its beginning) is out: what comes next is a new request.
            Phase::Plain => this.phase = Phase::Head,
            Phase::Answered => this.phase = Phase::Head,
            Phase::Head => {}
        }
        this.wire.pinned().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_outbound(cx))?;
        self.wire.pinned().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_outbound(cx))?;
        self.wire.pinned().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn door() -> (Door, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Door::new(Wire::Unix(ours)), theirs)
    }

    async fn seen(request: &str) -> String {
        let (mut door, mut client) = door();
        for piece in request.as_bytes().chunks(7) {
            client.write_all(piece).await.unwrap();
        }
        let mut out = vec![0; 512];
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\n") {
            let n = door.read(&mut out).await.unwrap();
            got.extend_from_slice(&out[..n]);
        }
        String::from_utf8(got).unwrap()
    }

    #[tokio::test]
    async fn only_attach_and_exec_without_upgrade_get_the_headers() {
        let bare =
            seen("POST /v1.41/containers/x/attach?stream=1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(
            bare.contains("\r\nUpgrade: tcp\r\n") && bare.ends_with("Host: a\r\n\r\n"),
            "{bare}"
        );
        let asked = "POST /exec/x/start HTTP/1.1\r\nupgrade: tcp\r\n\r\n";
        assert_eq!(seen(asked).await, asked);
        for other in [
            "GET /containers/x/attach HTTP/1.1\r\n\r\n",
            "POST /containers/x/start HTTP/1.1\r\n\r\n",
            "POST /containers/x/attach/y HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(seen(other).await, other);
        }
    }

    #[tokio::test]
    async fn bare_hijacks_are_answered_by_200() {
        let (mut door, mut client) = door();
        client.write_all(b"POST /exec/x/start HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        let mut buffer = [0; 512];
        assert!(door.read(&mut buffer).await.unwrap() > 0);
        // The end of input is kept back.
        let more =
            tokio::time::timeout(std::time::Duration::from_millis(20), door.read(&mut buffer));
        assert!(more.await.is_err());
        let answer = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
        door.write_all(answer).await.unwrap();
        door.flush().await.unwrap();
        let n = client.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..n], b"HTTP/1.1 200 OK\r\nContent-Type: x\r\n\r\n");
    }

    #[tokio::test]
    async fn refusals_pass_and_the_connection_goes_on() {
        let (mut door, mut client) = door();
        client.write_all(b"POST /exec/x/start HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut buffer = [0; 512];
        assert!(door.read(&mut buffer).await.unwrap() > 0);
        door.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(door.read(&mut buffer).await.unwrap(), 0);
        let n = client.read(&mut buffer).await.unwrap();
        assert!(buffer[..n].starts_with(b"HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn other_requests_see_the_end_of_input() {
        let (mut door, mut client) = door();
        client.write_all(b"GET /events HTTP/1.1\r\n\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        let mut buffer = [0; 512];
        assert!(door.read(&mut buffer).await.unwrap() > 0);
        assert_eq!(door.read(&mut buffer).await.unwrap(), 0);
    }
}
