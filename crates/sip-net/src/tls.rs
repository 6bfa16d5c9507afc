//! TLS: which certificates we show and which we believe. Nothing here knows SIP.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::config::{BindError, TlsClient, TlsFiles};

/// Names of one certificate that are looked at.
const NAMES_MAX: usize = 64;

/// Where systems keep the authorities they trust.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn fault(path: &Path, reason: impl ToString) -> BindError {
    BindError::TlsFile { path: path.into(), reason: reason.to_string() }
}

fn read(path: &Path) -> Result<Vec<u8>, BindError> {
    fs::read(path).map_err(|error| fault(path, error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BindError> {
    let pem = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(fault(path, "holds no certificate")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(fault(path, error)),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, BindError> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|_| fault(path, "holds no private key in PEM form"))
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>, BindError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 {
        return Err(fault(path, "holds no usable authority"));
    }
    Ok(Arc::new(roots))
}

/// How a listener greets.
pub(crate) fn server(files: &TlsFiles) -> Result<Arc<ServerConfig>, BindError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(&files.cert, error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots(path)?, provider())
                .allow_unauthenticated()
                .build()
                .map_err(|error| fault(path, error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder
        .with_single_cert(certificates(&files.cert)?, key(&files.key)?)
        .map_err(|error| fault(&files.cert, error))?;
    Ok(Arc::new(config))
}

/// The DNS names (lower case) and SIP domains (RFC 5922 §7.1) of a verified client certificate.
pub(crate) fn names(certificate: &CertificateDer<'_>) -> Arc<[String]> {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else {
        return Arc::default();
    };
    let domains = certificate.valid_uri_names().filter_map(|uri| uri.strip_prefix("sip:"));
    let mut names: Vec<String> = certificate
        .valid_dns_names()
        .chain(domains)
        .take(NAMES_MAX)
        .map(str::to_ascii_lowercase)
        .collect();
    names.sort();
    names.dedup();
    names.into()
}

/// How we greet servers.
#[derive(Debug)]
pub(crate) struct TlsClients {
    identity: Option<(PathBuf, PathBuf)>,
    by_name: BTreeMap<String, Arc<ClientConfig>>,
    // The system's authorities are read when first needed: they cost several milliseconds.
    default: OnceLock<Arc<ClientConfig>>,
}

impl TlsClients {
    pub(crate) fn new(config: &TlsClient) -> Result<Self, BindError> {
        let identity = config.identity.clone();
        let default = OnceLock::new();
        if let Some(path) = &config.ca_file {
            // A new cell is empty: setting it cannot fail.
            let _ = default.set(client(roots(path)?, identity.as_ref())?);
        } else if let Some((cert, _)) = &identity {
            // Shows faults of the files now rather than at the first call.
            client_parts(cert, identity.as_ref())?;
        }
        let mut by_name = BTreeMap::new();
        for (name, path) in &config.ca_by_name {
            by_name.insert(name.to_ascii_lowercase(), client(roots(path)?, identity.as_ref())?);
        }
        Ok(Self { identity, by_name, default })
    }

    /// For a server that must prove to be `name`.
    pub(crate) fn find(&self, name: &ServerName<'_>) -> Result<Arc<ClientConfig>, BindError> {
        if let Some(config) = self.by_name.get(&name.to_str().to_ascii_lowercase()) {
            return Ok(config.clone());
        }
        if let Some(config) = self.default.get() {
            return Ok(config.clone());
        }
        let config = client(system_roots()?, self.identity.as_ref())?;
        Ok(self.default.get_or_init(|| config).clone())
    }
}

fn system_roots() -> Result<Arc<RootCertStore>, BindError> {
    if let Some(path) = std::env::var_os("SSL_CERT_FILE") {
        return roots(Path::new(&path));
    }
    let bundle = SYSTEM_BUNDLES.iter().map(Path::new).find(|path| path.exists());
    roots(bundle.unwrap_or(Path::new(SYSTEM_BUNDLES[0])))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client_parts(
    at: &Path,
    identity: Option<&(PathBuf, PathBuf)>,
) -> Result<Option<Identity>, BindError> {
    let Some((cert, key_file)) = identity else { return Ok(None) };
    let parts = (certificates(cert)?, key(key_file)?);
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_root_certificates(RootCertStore::empty())
                .with_client_auth_cert(parts.0.clone(), parts.1.clone_key())
        })
        .map_err(|error| fault(at, error))?;
    Ok(Some(parts))
}

fn client(
    roots: Arc<RootCertStore>,
    identity: Option<&(PathBuf, PathBuf)>,
) -> Result<Arc<ClientConfig>, BindError> {
    let at = identity.map_or(Path::new("TLS client"), |(cert, _)| cert);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| fault(at, error))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(at, error))?
        .with_webpki_verifier(verifier);
    let config = match client_parts(at, identity)? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| fault(at, error))?
        }
    };
    Ok(Arc::new(config))
}
