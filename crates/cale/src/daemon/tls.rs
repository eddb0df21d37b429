//! TLS on TCP: the server's certificate, and whose client certificates are trusted.

use std::{path::Path, path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

use super::settings::TlsFiles;

/// TLS that can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or holds no PEM.
    #[error("cannot load {what} from {path}")]
    Load {
        /// Certificate, key, authority.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The file has no certificate.
    #[error("no certificate in {path}")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key don't fit, or are of a kind that isn't known.
    #[error("cannot use certificate and key")]
    Setup {
        /// Why.
        source: rustls::Error,
    },
    /// The authority's certificates are no good.
    #[error("cannot use the client authority in {path}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::server::VerifierBuilderError,
    },
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let load = |source| TlsError::Load { what, path: path.to_owned(), source };
    let list = CertificateDer::pem_file_iter(path)
        .map_err(load)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(load)?;
    if list.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned() });
    }
    Ok(list)
}

/// An acceptor for these files.
pub fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates("certificate", &files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| TlsError::Load {
        what: "key",
        path: files.key.clone(),
        source,
    })?;
    let setup = |source| TlsError::Setup { source };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(setup)?;
    let builder = match &files.client_authority {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("client authority", path)? {
                roots.add(certificate).map_err(setup)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|source| TlsError::Authority { path: path.clone(), source })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(setup)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
