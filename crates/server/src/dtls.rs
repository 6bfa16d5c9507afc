//! Who we are in DTLS: a certificate of our own making, kept in the data directory, so that it is
//! the same after a restart and associations that are up need not be made anew.
//!
//! No authority stands behind it and nobody asks for one: its fingerprint is in every description
//! (RFC 8122).

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base::Redacted;
use media_net::Certificate;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

const FILE: &str = "dtls.pem";
/// After so long a new one is made at the next start: a stolen key is not good for ever.
const AGE_MAX: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Real names would only tell who we are.
const NAME: &str = "hookflash";

/// The one that is there, or a new one; an error is for the operator.
pub(crate) fn certificate(data_dir: &Path) -> Result<Certificate, String> {
    let path = data_dir.join(FILE);
    if let Some(found) = read(&path) {
        return Ok(found);
    }
    let pem = make().map_err(|error| format!("certificate for DTLS: {error}"))?;
    write(&path, &pem).map_err(|error| format!("{}: {error}", path.display()))?;
    read(&path).ok_or_else(|| format!("{}: not what was written", path.display()))
}

/// `None` when there is none, or none of use: it is made anew.
fn read(path: &Path) -> Option<Certificate> {
    let modified = fs::metadata(path).and_then(|file| file.modified()).ok()?;
    let age = SystemTime::now().duration_since(modified).unwrap_or_default();
    let pem = fs::read(path).ok().filter(|_| age < AGE_MAX)?;
    let certificate = CertificateDer::from_pem_slice(&pem).ok()?.to_vec();
    let key = PrivatePkcs8KeyDer::from_pem_slice(&pem).ok()?.secret_pkcs8_der().to_vec();
    KeyPair::try_from(key.as_slice()).ok()?;
    Some(Certificate { certificate, key: Redacted::new(key) })
}

fn make() -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([NAME.to_owned()])?.self_signed(&key)?;
    Ok(certificate.pem() + &key.serialize_pem())
}

/// Whole or not at all, and for nobody else's eyes.
fn write(path: &Path, pem: &str) -> io::Result<()> {
    let part = path.with_extension("pem.part");
    let _ = fs::remove_file(&part);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    fs::rename(part, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_once_and_kept_private_and_made_anew_when_it_is_spoilt() {
        let dir = std::env::temp_dir().join(format!("hookflash-dtls-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let made = certificate(&dir).unwrap();
        assert_eq!(certificate(&dir).unwrap().certificate, made.certificate);
        let path = dir.join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{made:?}").contains(&format!("{:?}", made.key.reveal())));
        for spoilt in [String::new(), make().unwrap().replace("PRIVATE", "PUBLIC")] {
            fs::write(&path, spoilt).unwrap();
            let anew = certificate(&dir).unwrap();
            assert_ne!(anew.certificate, made.certificate);
        }
        let old = SystemTime::now() - AGE_MAX;
        fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        assert_ne!(certificate(&dir).unwrap().certificate, made.certificate);
        fs::remove_dir_all(&dir).unwrap();
    }
}
