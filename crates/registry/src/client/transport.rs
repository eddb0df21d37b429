//! Connections: TCP with a time limit, TLS with the right roots, pooled by hyper.

use std::{
    collections::HashMap,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;

use super::{
    hosts::{self, Endpoint, Hosts},
    resolve,
};
use crate::error::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The body that requests carry.
pub(crate) type RequestBody =
    http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, std::io::Error>;

/// One hyper client for each set of trust rules.
#[derive(Debug)]
pub(crate) struct Transport {
    hosts: Hosts,
    clients: Mutex<HashMap<Endpoint, Client<Connector, RequestBody>>>,
}

impl Transport {
    pub(crate) fn new(hosts: Hosts) -> Self {
        Self { hosts, clients: Mutex::default() }
    }

    pub(crate) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// The pooled client for an endpoint.
    pub(crate) fn client(&self, endpoint: &Endpoint) -> Result<Client<Connector, RequestBody>> {
        let mut clients = self.clients.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(client) = clients.get(endpoint) {
            return Ok(client.clone());
        }
        let tls = tls_config(&self.hosts, endpoint)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(Connector { tls: Arc::new(tls) });
        clients.insert(endpoint.clone(), client.clone());
        Ok(client)
    }
}

/// Roots of the system and of the endpoint's certificate directory; client certificate if there is
/// one; no verification where the endpoint is insecure.
fn tls_config(hosts: &Hosts, endpoint: &Endpoint) -> Result<rustls::ClientConfig> {
    let dir = hosts.certificates(&endpoint.authority);
    let extra = match &dir {
        Some(dir) => certificates(dir, "crt")?,
        None => Vec::new(),
    };
    let fault = |source| Error::Certificate {
        path: dir.as_ref().map_or_else(|| "the system".to_owned(), |dir| dir.display().to_string()),
        source,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(fault)?;
    let verified = if endpoint.insecure && extra.is_empty() {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(insecure::AcceptAny(provider)))
    } else {
        let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider)
            .map_err(fault)?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
    };
    match dir.as_deref().map(client_certificate).transpose()?.flatten() {
        Some((chain, key)) => verified.with_client_auth_cert(chain, key).map_err(fault),
        None => Ok(verified.with_no_client_auth()),
    }
}

fn certificates(dir: &Path, extension: &str) -> Result<Vec<CertificateDer<'static>>> {
    let mut found = Vec::new();
    for path in files(dir, extension)? {
        let pem = read(&path)?;
        found.extend(CertificateDer::pem_slice_iter(&pem).flatten());
    }
    Ok(found)
}

/// `NAME.cert` with `NAME.key`, as Docker's certs.d has them.
#[allow(clippy::type_complexity, reason = "the two parts of one certificate")]
fn client_certificate(
    dir: &Path,
) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>> {
    for path in files(dir, "cert")? {
        let key = path.with_extension("key");
        if !key.exists() {
            continue;
        }
        let chain = CertificateDer::pem_slice_iter(&read(&path)?).flatten().collect();
        if let Ok(key) = PrivateKeyDer::from_pem_slice(&read(&key)?) {
            return Ok(Some((chain, key)));
        }
    }
    Ok(None)
}

fn files(dir: &Path, extension: &str) -> Result<Vec<std::path::PathBuf>> {
    let fault = |source| Error::ReadCertificate { path: dir.display().to_string(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|source| Error::ReadCertificate { path: path.display().to_string(), source })
}

/// Opens connections for hyper.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    tls: Arc<rustls::ClientConfig>,
}

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = self.tls.clone();
        Box::pin(async move { connect(uri, tls).await })
    }
}

async fn connect(uri: Uri, tls: Arc<rustls::ClientConfig>) -> Result<Stream> {
    let secure = uri.scheme_str() == Some("https");
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let host = hosts::host_of(authority).to_owned();
    let tcp = tcp(authority, secure).await?;
    if !secure {
        return Ok(Stream::Plain(TokioIo::new(tcp)));
    }
    let name = match hosts::ip_of(&host) {
        Some(ip) => ServerName::IpAddress(ip.into()),
        None => ServerName::try_from(host.clone()).map_err(|_| Error::Host(host.clone()))?,
    };
    let connector = tokio_rustls::TlsConnector::from(tls);
    match tokio::time::timeout(CONNECT_TIMEOUT, connector.connect(name, tcp)).await {
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(TokioIo::new(stream)))),
        Ok(Err(source)) => Err(Error::Tls { host, source }),
        Err(_) => Err(Error::Timeout { host, seconds: CONNECT_TIMEOUT.as_secs() }),
    }
}

/// Tries every address in turn.
async fn tcp(authority: &str, secure: bool) -> Result<TcpStream> {
    let host = hosts::host_of(authority).to_owned();
    let mut last = Error::Host(authority.to_owned());
    for address in resolve::addresses(authority, secure).await? {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Only latency suffers when the option can't be set.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(source)) => last = Error::Connect { host: host.clone(), source },
            Err(_) => {
                last = Error::Timeout { host: host.clone(), seconds: CONNECT_TIMEOUT.as_secs() }
            }
        }
    }
    Err(last)
}

/// A connection with or without TLS.
pub(crate) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Certificates of registries that the administrator listed as insecure aren't checked.
mod insecure {
    use std::sync::Arc;

    use rustls::{
        DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    };

    #[derive(Debug)]
    pub(super) struct AcceptAny(pub(super) Arc<CryptoProvider>);

    impl ServerCertVerifier for AcceptAny {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
