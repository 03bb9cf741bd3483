//! The TLS client of a connection, and its verification of the server's certificate.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use secrecy::ExposeSecret;
use tokio_rustls::TlsConnector;

use super::server_address::{PemFile, TlsMode, TlsOptions};
use crate::error::{Error, Result};

/// Creates the TLS client for the options.
pub(super) fn tls_connector(options: &TlsOptions) -> Result<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match options.mode {
        TlsMode::Disabled | TlsMode::Preferred | TlsMode::Required => {
            Arc::new(RelaxedCertVerifier { provider: provider.clone(), authorities: None })
        }
        TlsMode::VerifyCa => {
            let authorities = Some(authority_verifier(options, &provider)?);
            Arc::new(RelaxedCertVerifier { provider: provider.clone(), authorities })
        }
        TlsMode::VerifyIdentity => authority_verifier(options, &provider)?,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::usage("TLS cannot be set up").caused_by(error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => {
            let text = key.text.expose_secret().as_bytes();
            let key = PrivateKeyDer::from_pem_slice(text).map_err(|error| unusable_pem("ssl-key", key, error))?;
            builder
                .with_client_auth_cert(parse_certificates("ssl-cert", cert)?, key)
                .map_err(|error| Error::usage("ssl-cert and ssl-key do not fit together").caused_by(error))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Creates the verifier for certificates of the trusted authorities.
fn authority_verifier(options: &TlsOptions, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    match &options.ca {
        Some(pem) => {
            for certificate in parse_certificates("ssl-ca", pem)? {
                roots.add(certificate).map_err(|error| unusable_pem("ssl-ca", pem, error))?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| Error::usage("ssl-ca holds no usable certificate").caused_by(error))
}

/// Parses the certificates of a PEM file, of which there must be one.
fn parse_certificates(parameter: &'static str, pem: &PemFile) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.text.expose_secret().as_bytes()).collect();
    let found = found.map_err(|error| unusable_pem(parameter, pem, error))?;
    if found.is_empty() {
        return Err(Error::usage(format!("{parameter}: {} holds no certificate in PEM form", pem.path.display())));
    }
    Ok(found)
}

fn unusable_pem(
    parameter: &'static str,
    pem: &PemFile,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::usage(format!("{parameter}: cannot use {}", pem.path.display())).caused_by(error)
}

/// Verifies less than `verify-identity`. Without `authorities` (`preferred`, `required`) it accepts any certificate,
/// like MySQL's own clients. With them (`verify-ca`) it checks the chain and accepts any host name, because MySQL's
/// generated certificates contain none.
#[derive(Debug)]
struct RelaxedCertVerifier {
    provider: Arc<CryptoProvider>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for RelaxedCertVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        // The verifier checks the name only after the chain.
        match authorities.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
