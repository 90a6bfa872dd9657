//! Encryption of the way to Frigate: whom to trust.
//!
//! Frigate's own certificate is self-signed unless its owner changed that, so it is trusted by its
//! fingerprint, which says more than any authority would.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The authorities that the system trusts.
    System,
    /// These authorities, PEM.
    Authorities(Vec<u8>),
    /// The one certificate with this fingerprint.
    Fingerprint(Fingerprint),
}

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Reads 64 hexadecimal digits, with or without colons, as `openssl x509 -fingerprint -sha256`
    /// prints them.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u32> =
            text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
        let bytes: Vec<u8> =
            digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
        let is_whole = digits.len() == 64;
        bytes.try_into().ok().filter(|_| is_whole).map(Self)
    }
}

/// The client's side of TLS.
///
/// # Errors
/// The authorities are no certificates, in a sentence.
pub fn config(trust: &Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let verified = match trust {
        Trust::System => builder.with_root_certificates(system_roots()),
        Trust::Authorities(pem) => builder.with_root_certificates(roots(pem)?),
        Trust::Fingerprint(fingerprint) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { of: *fingerprint, provider })),
    };
    Ok(verified.with_no_client_auth())
}

/// What of the system's store can be read; a certificate that cannot be is trusted by nobody.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("no PEM certificate: {error}"))?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("holds no certificate (PEM)".to_owned());
    }
    Ok(roots)
}

/// Trusts one certificate, whoever made it, whatever its name and age. That the server has its key
/// is checked as ever.
#[derive(Debug)]
struct Pinned {
    of: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if <[u8; 32]>::from(Sha256::digest(certificate)) == self.of.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_64_digits() {
        let plain = "00ff".repeat(16);
        let with_colons = vec!["00:FF"; 16].join(":");
        assert_eq!(
            Fingerprint::parse(&plain),
            Some(Fingerprint([0, 255].repeat(16).try_into().unwrap()))
        );
        assert_eq!(Fingerprint::parse(&with_colons), Fingerprint::parse(&plain));
        for wrong in ["", "00", "zz", &plain[1..], &format!("{plain}0"), &format!("{plain}00")] {
            assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(config(&Trust::Authorities(b"nonsense".to_vec())).is_err());
        assert!(config(&Trust::System).is_ok());
    }
}
