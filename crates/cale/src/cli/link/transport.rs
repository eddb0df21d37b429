//! How the engine of an endpoint is dialled: the ways of `api::client`, TLS around TCP, and an
//! engine started on demand.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use api::client::{Dial, Host, Io, SshDial, TcpDial, UnixDial};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::start;
use crate::cli::host::{Endpoint, Tls};

/// A future that can be kept in a trait object.
type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Dials an endpoint.
pub struct EngineDial {
    endpoint: Endpoint,
    inner: Box<dyn Dial>,
}

impl EngineDial {
    /// The way to dial `endpoint`.
    pub fn new(endpoint: Endpoint) -> Self {
        let inner: Box<dyn Dial> = match endpoint.address.clone() {
            Host::Unix(path) => Box::new(UnixDial { path }),
            Host::Ssh(target) => Box::new(SshDial { target, remote: None }),
            Host::Tcp { host, port } => {
                let tcp = TcpDial::new(host.clone(), port);
                match endpoint.tls.clone() {
                    None => Box::new(tcp),
                    Some(tls) => Box::new(TlsDial { tcp, host, tls }),
                }
            }
        };
        EngineDial { endpoint, inner }
    }
}

impl Dial for EngineDial {
    fn dial(&self) -> Pending<'_, io::Result<Io>> {
        Box::pin(async {
            let first = self.inner.dial().await;
            let away = |e: &io::Error| {
                matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
            };
            match first {
                Err(e) if self.endpoint.is_default && away(&e) => {
                    // The caller finds our error inside of the system's.
                    if start::engine(&self.endpoint).await.map_err(io::Error::other)? {
                        self.inner.dial().await
                    } else {
                        Err(e)
                    }
                }
                other => other,
            }
        })
    }

    fn endpoint(&self) -> String {
        self.endpoint.host.clone()
    }
}

struct TlsDial {
    tcp: TcpDial,
    host: String,
    tls: Tls,
}

impl Dial for TlsDial {
    fn dial(&self) -> Pending<'_, io::Result<Io>> {
        Box::pin(async {
            let config = tls_config(&self.tls)?;
            let name = ServerName::try_from(self.host.clone()).map_err(invalid)?;
            let tcp = self.tcp.dial().await?;
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            Ok(Box::new(connector.connect(name, tcp).await?) as Io)
        })
    }

    fn endpoint(&self) -> String {
        self.tcp.endpoint()
    }
}

fn invalid(e: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, e.to_string())
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
