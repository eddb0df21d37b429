//! Byte streams to an engine: unix socket, TCP, TLS, or `ssh`.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::cli::host::{Endpoint, Tls, Transport};

/// Any stream to an engine.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Opens one stream.
///
/// # Errors
/// The system's reason, or a sentence about certificates.
pub async fn connect(endpoint: &Endpoint) -> io::Result<Box<dyn Stream>> {
    match &endpoint.transport {
        Transport::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Transport::Tcp { host, port, tls, .. } => {
            let tcp = connect_tcp(host, *port).await?;
            match tls {
                None => Ok(Box::new(tcp)),
                Some(tls) => {
                    let config = tls_config(tls)?;
                    let name = ServerName::try_from(host.clone()).map_err(invalid)?;
                    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
                    Ok(Box::new(connector.connect(name, tcp).await?))
                }
            }
        }
        Transport::Ssh { destination, socket } => {
            Ok(Box::new(Dialled::start(destination, socket)?))
        }
    }
}

fn invalid(e: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, e.to_string())
}

/// Connects by address; names come from `/etc/hosts` only, because a static binary must not call
/// the C library's resolver.
async fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<std::net::IpAddr> = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => addresses_in_hosts(&std::fs::read_to_string("/etc/hosts")?, host),
    };
    let mut last = invalid(format!(
        "no address is known for {host}: give an IP address, or name it in /etc/hosts"
    ));
    for address in addresses {
        match TcpStream::connect((address, port)).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn addresses_in_hosts(text: &str, host: &str) -> Vec<std::net::IpAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or(""));
    let found = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    });
    let mut found: Vec<_> = found.collect();
    if found.is_empty() && host.eq_ignore_ascii_case("localhost") {
        found.push(std::net::Ipv4Addr::LOCALHOST.into());
    }
    found
}

fn tls_config(tls: &Tls) -> io::Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(invalid)?;
    let builder = if tls.verify {
        builder.with_root_certificates(roots(tls.ca.as_deref())?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked { provider }))
    };
    match &tls.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((cert, key)) => {
            let certs: Result<Vec<_>, _> =
                CertificateDer::pem_file_iter(cert).map_err(invalid)?.collect();
            let key = PrivateKeyDer::from_pem_file(key).map_err(invalid)?;
            builder.with_client_auth_cert(certs.map_err(invalid)?, key).map_err(invalid)
        }
    }
}

/// Where distributions keep the system's certificate authorities.
const SYSTEM_ROOTS: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

fn roots(ca: Option<&Path>) -> io::Result<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    let system = || SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.exists());
    if let Some(path) = ca.or_else(system) {
        for cert in CertificateDer::pem_file_iter(path).map_err(invalid)? {
            // One authority that rustls can't read must not spoil the others.
            drop(roots.add(cert.map_err(invalid)?));
        }
    }
    Ok(roots)
}

/// Takes any certificate: what `--tls` without `--tlsverify` asks for.
#[derive(Debug)]
struct Unchecked {
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl rustls::client::danger::ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The standard streams of `ssh HOST docker system dial-stdio`.
struct Dialled {
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    _child: Child,
}

impl Dialled {
    fn start(destination: &[String], socket: &str) -> io::Result<Self> {
        let mut command = Command::new("ssh");
        command.args(["-o", "ConnectTimeout=30", "-T"]).args(destination).arg("docker");
        if !socket.is_empty() {
            command.args(["--host", &format!("unix://{socket}")]);
        }
        command.args(["system", "dial-stdio"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // Ctrl-C is for the container or for us, not for the connection.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdout = stdout.ok_or_else(|| invalid("ssh has no standard output"))?;
        Ok(Dialled { stdin, stdout, _child: child })
    }
}

impl AsyncRead for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Half close: the other side sees the end of our input and may go on answering.
        if let Some(stdin) = &mut self.stdin {
            std::task::ready!(Pin::new(stdin).poll_flush(cx))?;
        }
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_hosts_file() {
        let hosts = "127.0.0.1 localhost\n10.0.0.7 far FAR.example # x\n::1 localhost";
        assert_eq!(
            addresses_in_hosts(hosts, "far.example"),
            ["10.0.0.7".parse::<std::net::IpAddr>().expect("valid")]
        );
        assert_eq!(addresses_in_hosts(hosts, "localhost").len(), 2);
        assert!(addresses_in_hosts(hosts, "x").is_empty());
    }
}
