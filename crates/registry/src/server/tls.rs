//! The server's certificate.

use std::{io, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::config::Tls;

/// Reads certificate and key.
///
/// # Errors
/// The files'; `InvalidData` for what is no certificate or doesn't fit the key.
pub fn acceptor(config: &Tls) -> io::Result<tokio_rustls::TlsAcceptor> {
    let invalid = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let chain = certificates(&config.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&std::fs::read(&config.key)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(invalid)?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(invalid)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server = builder.with_single_cert(chain, key).map_err(invalid)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(server).into())
}

fn certificates(path: &std::path::Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&std::fs::read(path)?).collect();
    let found = found.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if found.is_empty() {
        let why = format!("no certificate in {}", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(found)
}
