//! Ways to reach an engine: unix socket, TCP, a command's standard input and output (ssh).

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    process::Stdio,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::host::SshTarget;

/// A byte stream both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open connection.
pub type Io = Box<dyn Stream>;

/// A future that can be kept in a trait object.
type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Opens connections to one engine.
pub trait Dial: Send + Sync {
    /// A new connection.
    fn dial(&self) -> Pending<'_, io::Result<Io>>;
    /// The address for people.
    fn endpoint(&self) -> String;
}

/// A unix socket.
#[derive(Clone, Debug)]
pub struct UnixDial {
    /// Its path.
    pub path: PathBuf,
}

impl Dial for UnixDial {
    fn dial(&self) -> Pending<'_, io::Result<Io>> {
        Box::pin(async { Ok(Box::new(UnixStream::connect(&self.path).await?) as Io) })
    }

    fn endpoint(&self) -> String {
        format!("unix://{}", self.path.display())
    }
}

/// Turns a host name into addresses. Given from outside: a static glibc must not resolve.
pub type Resolve = Arc<dyn Fn(String) -> Pending<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// A TCP port, without TLS.
#[derive(Clone)]
pub struct TcpDial {
    host: String,
    port: u16,
    resolve: Resolve,
}

impl TcpDial {
    /// Knows addresses and `/etc/hosts`.
    pub fn new(host: String, port: u16) -> Self {
        let resolve: Resolve = Arc::new(|name| Box::pin(async move { from_hosts_file(&name) }));
        Self { host, port, resolve }
    }

    /// Resolves names by `resolve` instead.
    pub fn with_resolve(self, resolve: Resolve) -> Self {
        Self { resolve, ..self }
    }
}

impl Dial for TcpDial {
    fn dial(&self) -> Pending<'_, io::Result<Io>> {
        Box::pin(async {
            let addresses = match self.host.parse() {
                Ok(address) => vec![address],
                Err(_) => (self.resolve)(self.host.clone()).await?,
            };
            let mut last = io::Error::new(io::ErrorKind::NotFound, "no address for this host");
            for address in addresses {
                match TcpStream::connect(SocketAddr::new(address, self.port)).await {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        return Ok(Box::new(stream) as Io);
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
    }

    fn endpoint(&self) -> String {
        if self.host.contains(':') {
            format!("tcp://[{}]:{}", self.host, self.port)
        } else {
            format!("tcp://{}:{}", self.host, self.port)
        }
    }
}

fn from_hosts_file(name: &str) -> io::Result<Vec<IpAddr>> {
    if name == "localhost" {
        return Ok(vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])]);
    }
    let text = std::fs::read_to_string("/etc/hosts")?;
    let found: Vec<IpAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_ascii_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|word| word == name).then_some(address)
        })
        .collect();
    if found.is_empty() {
        let text = format!("host {name:?} is neither an address nor in /etc/hosts");
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(found)
}

/// `ssh` to a machine, where a command speaks to the engine's socket.
#[derive(Clone, Debug)]
pub struct SshDial {
    /// Which machine.
    pub target: SshTarget,
    /// The command there; `None`: `docker system dial-stdio`, which both engines have.
    pub remote: Option<Vec<String>>,
}

impl SshDial {
    fn arguments(&self) -> Vec<String> {
        let mut words = vec!["-o".to_owned(), "ConnectTimeout=30".to_owned(), "-T".to_owned()];
        if let Some(user) = &self.target.user {
            words.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(port) = self.target.port {
            words.extend(["-p".to_owned(), port.to_string()]);
        }
        words.extend(["--".to_owned(), self.target.host.clone()]);
        match &self.remote {
            Some(remote) => words.extend(remote.iter().cloned()),
            None => {
                words.push("docker".to_owned());
                if let Some(path) = &self.target.path {
                    words.push(format!("--host=unix://{}", quote(path)));
                }
                words.extend(["system", "dial-stdio"].map(str::to_owned));
            }
        }
        words
    }
}

/// ssh hands the words to a shell over there.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl Dial for SshDial {
    fn dial(&self) -> Pending<'_, io::Result<Io>> {
        Box::pin(async {
            let mut child = Command::new("ssh")
                .args(self.arguments())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let missing = || io::Error::other("ssh has no standard input or output");
            let input = child.stdin.take().ok_or_else(missing)?;
            let output = child.stdout.take().ok_or_else(missing)?;
            Ok(Box::new(CommandStream { _child: child, input: Some(input), output }) as Io)
        })
    }

    fn endpoint(&self) -> String {
        let user = self.target.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = self.target.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("ssh://{user}{}{port}", self.target.host)
    }
}

/// A child process as a connection; it ends when this is dropped.
struct CommandStream {
    _child: Child,
    /// `None` after the half close.
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl AsyncRead for CommandStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, buf)
    }
}

impl AsyncWrite for CommandStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_write(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Closing the pipe is what tells the other side.
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_gets_its_options_before_the_host() {
        let dial = SshDial {
            target: SshTarget {
                user: Some("me".into()),
                host: "box".into(),
                port: Some(22),
                path: Some("/run/it's.sock".into()),
            },
            remote: None,
        };
        let words = dial.arguments().join(" ");
        assert_eq!(
            words,
            r"-o ConnectTimeout=30 -T -l me -p 22 -- box docker --host=unix://'/run/it'\''s.sock' system dial-stdio"
        );
        assert_eq!(dial.endpoint(), "ssh://me@box:22");
    }

    #[test]
    fn localhost_needs_no_resolver() {
        assert_eq!(from_hosts_file("localhost").unwrap().len(), 2);
        assert!(from_hosts_file("no-such-host.invalid").is_err());
    }
}
