//! TLS: which certificates we show and which we believe. Nothing here knows SIP. The certificates
//! that we show can be read anew while we run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
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

/// A certificate of ours, with its key.
#[derive(Debug)]
pub(crate) struct Identity {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Identity {
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Arc<Self>, BindError> {
        let current = RwLock::new(certified(cert, key)?);
        Ok(Arc::new(Self { cert: cert.into(), key: key.into(), current }))
    }

    /// Reads the files again; when they are no good, what was read before stays.
    fn renew(&self) -> Result<(), BindError> {
        let new = certified(&self.cert, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn now(&self) -> Arc<CertifiedKey> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(
        &self,
        _issuers: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(cert: &Path, key_file: &Path) -> Result<Arc<CertifiedKey>, BindError> {
    let certified = CertifiedKey::from_der(certificates(cert)?, key(key_file)?, &provider());
    certified.map(Arc::new).map_err(|error| fault(cert, error))
}

/// All certificates that we show.
#[derive(Clone, Debug, Default)]
pub struct Certificates(Vec<Arc<Identity>>);

impl Certificates {
    pub(crate) fn push(&mut self, identity: Arc<Identity>) {
        self.0.push(identity);
    }

    /// Reads all files again, for the connections to come; says how many there are.
    ///
    /// # Errors
    /// The first file that is no good. That certificate stays what it was, the others are renewed.
    pub fn renew(&self) -> Result<usize, BindError> {
        let renewed: Vec<_> = self.0.iter().map(|identity| identity.renew()).collect();
        renewed.into_iter().collect::<Result<Vec<()>, _>>().map(|all| all.len())
    }
}

/// How a listener greets.
pub(crate) fn server(
    files: &TlsFiles,
    identity: Arc<Identity>,
) -> Result<Arc<ServerConfig>, BindError> {
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
    Ok(Arc::new(builder.with_cert_resolver(identity)))
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
    identity: Option<Arc<Identity>>,
    by_name: BTreeMap<String, Arc<ClientConfig>>,
    // The system's authorities are read when first needed: they cost several milliseconds.
    default: OnceLock<Arc<ClientConfig>>,
}

impl TlsClients {
    pub(crate) fn new(config: &TlsClient) -> Result<Self, BindError> {
        let identity = config.identity.as_ref();
        // Shows faults of the files now rather than at the first call.
        let identity = identity.map(|(cert, key)| Identity::load(cert, key)).transpose()?;
        let default = OnceLock::new();
        if let Some(path) = &config.ca_file {
            // A new cell is empty: setting it cannot fail.
            let _ = default.set(client(roots(path)?, identity.clone())?);
        }
        let mut by_name = BTreeMap::new();
        for (name, path) in &config.ca_by_name {
            by_name.insert(name.to_ascii_lowercase(), client(roots(path)?, identity.clone())?);
        }
        Ok(Self { identity, by_name, default })
    }

    /// What we show, if anything.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.clone()
    }

    /// For a server that must prove to be `name`.
    pub(crate) fn find(&self, name: &ServerName<'_>) -> Result<Arc<ClientConfig>, BindError> {
        if let Some(config) = self.by_name.get(&name.to_str().to_ascii_lowercase()) {
            return Ok(config.clone());
        }
        if let Some(config) = self.default.get() {
            return Ok(config.clone());
        }
        let config = client(system_roots()?, self.identity.clone())?;
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

fn client(
    roots: Arc<RootCertStore>,
    identity: Option<Arc<Identity>>,
) -> Result<Arc<ClientConfig>, BindError> {
    let fault = |error: &dyn ToString| fault(Path::new("TLS client"), error.to_string());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| fault(&error))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(&error))?
        .with_webpki_verifier(verifier);
    Ok(Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(identity),
    }))
}
