//! The certificate of an endpoint, given or made.
//!
//! A made certificate is new on every start, and its private key never leaves memory: the file
//! that is written out says only whom to trust. It is a leaf and no authority, so that whoever
//! puts it into a bundle trusts this server and nothing else.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use time::OffsetDateTime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::{EndpointError, Tls};
use crate::codec::hex;
use crate::primitives::random;
use crate::secret::SecretBytes;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Days that a made certificate holds; some clients take none that holds for longer.
const DAYS: u32 = 825;

/// Sets TLS up for an endpoint that listens on `address`.
///
/// # Errors
/// A file of the certificate cannot be read, used or written.
pub(super) fn acceptor(tls: &Tls, address: Option<IpAddr>) -> Result<TlsAcceptor, EndpointError> {
    let config = match tls {
        Tls::Given { certificate, key } => given(certificate, key)?,
        Tls::SelfSigned { bundle } => {
            let (config, pem) = made(address)?;
            write_out(bundle, pem.as_bytes()).map_err(|source| EndpointError::Unwritable {
                path: bundle.clone(),
                source,
            })?;
            config
        }
    };
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn given(certificate: &Path, key: &Path) -> Result<ServerConfig, EndpointError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| EndpointError::Unreadable { path, source }
    };
    let pem = std::fs::read(certificate).map_err(unreadable(certificate))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| EndpointError::NoCertificate {
            path: certificate.to_owned(),
        })?;
    let pem = SecretBytes::new(std::fs::read(key).map_err(unreadable(key))?);
    let private =
        PrivateKeyDer::from_pem_slice(pem.expose()).map_err(|_| EndpointError::NoKey {
            path: key.to_owned(),
        })?;
    config(chain, private).map_err(|source| EndpointError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}

/// A new certificate for this machine and the address that is listened on, and its PEM.
fn made(address: Option<IpAddr>) -> Result<(ServerConfig, String), EndpointError> {
    let unmade = |source| EndpointError::Unmade { source };
    let mut names = vec![
        "localhost".to_owned(),
        Ipv4Addr::LOCALHOST.to_string(),
        Ipv6Addr::LOCALHOST.to_string(),
    ];
    // Whoever listens everywhere is called by the machine's name.
    let name = match address {
        Some(address) if address.is_unspecified() => {
            let machine = rustix::system::uname();
            let name = machine.nodename().to_string_lossy().into_owned();
            Some(name).filter(|name| name.is_ascii() && !name.is_empty())
        }
        address => address.map(|address| address.to_string()),
    };
    names.extend(name.filter(|name| !names.contains(name)));
    let mut parameters = CertificateParams::new(names).map_err(unmade)?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::CommonName, "rekeyfs");
    let now = OffsetDateTime::now_utc();
    // From yesterday on: the clock of a client may be behind.
    parameters.not_before = now - DAY;
    parameters.not_after = now + DAY * (DAYS - 1);
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let pair = KeyPair::generate().map_err(unmade)?;
    let certificate = parameters.self_signed(&pair).map_err(unmade)?;
    let private = PrivatePkcs8KeyDer::from(pair.serialize_der()).into();
    let config = config(vec![certificate.der().clone()], private)
        .map_err(|source| EndpointError::Tls { source })?;
    Ok((config, certificate.pem()))
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    // By name, so that it does not matter which other providers are linked in.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Writes a file that everybody may read, whole or not at all.
fn write_out(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", hex(&random::<8>())));
    let unfinished = PathBuf::from(unfinished);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&unfinished)
        .and_then(|mut file| {
            // Whatever the umask is.
            file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
            file.write_all(bytes)
        })
        .and_then(|()| std::fs::rename(&unfinished, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    #[test]
    fn a_made_certificate_is_written_out_for_everybody_to_read_and_its_key_is_not() {
        let dir = directory();
        let bundle = dir.path().join("bundle.pem");
        std::fs::write(&bundle, "of the last start").expect("write");
        let tls = Tls::SelfSigned {
            bundle: bundle.clone(),
        };
        acceptor(&tls, Some(Ipv4Addr::LOCALHOST.into())).expect("an acceptor");
        let text = std::fs::read_to_string(&bundle).expect("read");
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----"), "{text}");
        assert!(!text.contains("PRIVATE KEY"));
        let mode = std::fs::metadata(&bundle)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o644);
        let entries = std::fs::read_dir(dir.path()).expect("list").count();
        assert_eq!(entries, 1, "nothing unfinished is left");
    }

    #[test]
    fn a_bundle_that_cannot_be_written_is_an_error() {
        let dir = directory();
        let tls = Tls::SelfSigned {
            bundle: dir.path().join("nowhere").join("bundle.pem"),
        };
        let error = acceptor(&tls, None).err().expect("refused");
        assert!(matches!(error, EndpointError::Unwritable { .. }), "{error}");
    }

    #[test]
    fn a_given_certificate_is_used_with_its_own_key_only() {
        let dir = directory();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("write");
            path
        };
        let pair = KeyPair::generate().expect("a key");
        let other = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])
            .and_then(|parameters| parameters.self_signed(&pair))
            .expect("a certificate");
        let certificate = write("certificate.pem", &certificate.pem());
        let key = write("key.pem", &pair.serialize_pem());
        let other = write("other.pem", &other.serialize_pem());
        let empty = write("empty.pem", "");
        let missing = dir.path().join("missing.pem");
        let with = |certificate: &Path, key: &Path| {
            let tls = Tls::Given {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            };
            acceptor(&tls, None).err()
        };
        assert!(with(&certificate, &key).is_none());
        for (certificate, key, expected) in [
            (&certificate, &other, "certificate "),
            (&missing, &key, "No such file"),
            (&certificate, &missing, "No such file"),
            (&empty, &key, "holds no certificate"),
            (&key, &key, "holds no certificate"),
            (&certificate, &empty, "holds no private key"),
            (&certificate, &certificate, "holds no private key"),
        ] {
            let error = with(certificate, key).expect("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
