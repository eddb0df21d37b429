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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::{ClientConfig, pki_types::ServerName};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsConnector;

    use super::*;

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// Certificate and key, PEM, signed by `issuer`.
    fn signed(issuer: &CertifiedIssuer<'_, KeyPair>) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Whether a client with this certificate gets an answer through the acceptor.
    async fn answered(
        acceptor: &TlsAcceptor,
        trusted: &CertifiedIssuer<'_, KeyPair>,
        identity: Option<(String, String)>,
    ) -> bool {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect_timeout(&address, std::time::Duration::from_secs(5));
        let (server, _) = listener.accept().unwrap();
        let to_tokio = |stream: TcpStream| {
            stream.set_nonblocking(true).unwrap();
            tokio::net::TcpStream::from_std(stream).unwrap()
        };
        let (client, server) = (to_tokio(client.unwrap()), to_tokio(server));
        let mut roots = RootCertStore::empty();
        roots.add(trusted.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        let serve = async {
            let mut stream = acceptor.accept(server).await.ok()?;
            stream.write_all(b"hello").await.ok()?;
            stream.shutdown().await.ok()
        };
        let ask = async {
            let name = ServerName::try_from("localhost").unwrap();
            let connector = TlsConnector::from(Arc::new(config));
            let mut stream = connector.connect(name, client).await.ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await.ok()?;
            Some(text == "hello")
        };
        let (_, said) = tokio::join!(serve, ask);
        said.unwrap_or(false)
    }

    #[tokio::test]
    async fn only_certificates_of_the_authority_get_in() {
        let (ours, foreign) = (authority("ours"), authority("foreign"));
        let (certificate, key) = signed(&ours);
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut files = TlsFiles {
            certificate: write("cert.pem", &certificate),
            key: write("key.pem", &key),
            client_authority: Some(write("ca.pem", &ours.pem())),
        };
        let verifying = acceptor(&files).unwrap();
        assert!(answered(&verifying, &ours, Some(signed(&ours))).await);
        assert!(!answered(&verifying, &ours, Some(signed(&foreign))).await);
        assert!(!answered(&verifying, &ours, None).await);
        files.client_authority = None;
        assert!(answered(&acceptor(&files).unwrap(), &ours, None).await);
    }

    #[test]
    fn missing_and_empty_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        let files =
            TlsFiles { certificate: path.clone(), key: path.clone(), client_authority: None };
        let error = acceptor(&files).map(drop).unwrap_err();
        assert!(error.to_string().contains("cert.pem"), "{error}");
        std::fs::write(&path, "").unwrap();
        assert!(acceptor(&files).map(drop).unwrap_err().to_string().contains("cert.pem"));
    }
}
