//! A self-signed certificate of our own making, so that TLS works on the first day and without the internet. Browsers
//! warn about it, and they should; it says in its subject what it is.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rcgen::CertificateParams;
use rcgen::DistinguishedName;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rcgen::PKCS_ECDSA_P256_SHA256;
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use webpki::EndEntityCert;

use crate::clock::Timestamp;
use crate::files;
use crate::net::Host;
use crate::server::CertificateFiles;
use crate::server::certificate::CertificateError;
use crate::server::certificate::chain;
use crate::server::certificate::expiry;
use crate::server::certificate::names;
use crate::server::certificate::read;

const ORGANIZATION: &str = "Vestibule development certificate";
/// The addresses it is for, as hosts are written.
pub(super) const ADDRESSES: [&str; 2] = ["127.0.0.1", "[::1]"];

const DAY: Duration = Duration::from_hours(24);
// Browsers and the CA/Browser Forum look askance at anything older than a year.
const LIFE: Duration = Duration::from_hours(365 * 24);

/// Makes a certificate for `hosts`, `localhost`, 127.0.0.1 and `::1` where it is missing; makes it anew where it is ours
/// and over (or will be tomorrow), or not for all of `hosts`. Says whether it did. Never touches a foreign one.
pub fn ensure(files: &CertificateFiles, hosts: &[Host], now: Timestamp) -> Result<bool, CertificateError> {
    if files.cert.exists() && files.key.exists() && !is_worn(files, hosts, now)? {
        return Ok(false);
    }
    // One of a pair: somebody's own files, half in place. To make the other would hide that.
    if files.cert.exists() != files.key.exists() {
        let file = if files.cert.exists() { &files.key } else { &files.cert };
        read(file)?;
    }
    let (cert, key) = make(hosts, now).map_err(CertificateError::Generate)?;
    write(&files.key, key.as_bytes(), 0o600)?;
    write(&files.cert, cert.as_bytes(), 0o644)?;
    Ok(true)
}

/// Whether we made it.
pub(super) fn is_ours(leaf: &CertificateDer<'_>) -> bool {
    let Ok(leaf) = EndEntityCert::try_from(leaf) else {
        return false;
    };
    memchr::memmem::find(leaf.subject(), ORGANIZATION.as_bytes()).is_some()
}

fn is_worn(files: &CertificateFiles, hosts: &[Host], now: Timestamp) -> Result<bool, CertificateError> {
    let chain = chain(&read(&files.cert)?, &files.cert)?;
    let Some(leaf) = chain.first().filter(|leaf| is_ours(leaf)) else {
        return Ok(false);
    };
    let names = names(&chain, &files.cert)?;
    let is_address =
        |host: &Host| host.as_str().starts_with('[') || host.as_str().parse::<std::net::IpAddr>().is_ok();
    let covered = |host: &Host| is_address(host) || names.iter().any(|name| **name == *host.as_str());
    let over = expiry::not_after(leaf).is_none_or(|end| end <= now.after(DAY));
    Ok(over || !hosts.iter().all(covered))
}

fn make(hosts: &[Host], now: Timestamp) -> Result<(String, String), rcgen::Error> {
    let mut subjects: Vec<String> = Vec::new();
    let local = ["localhost"].into_iter().chain(ADDRESSES);
    for name in hosts.iter().map(Host::as_str).chain(local) {
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !subjects.contains(&name) {
            subjects.push(name);
        }
    }
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, ORGANIZATION);
    subject.push(DnType::CommonName, "localhost");
    let mut params = CertificateParams::new(subjects)?;
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let today = i64::try_from(now.as_secs()).unwrap_or(0);
    let today = OffsetDateTime::from_unix_timestamp(today).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    params.not_before = today - DAY;
    params.not_after = today - DAY + LIFE;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

// Whole or not at all: a gateway that watches the file must not see half of it.
fn write(file: &Path, contents: &[u8], mode: u32) -> Result<(), CertificateError> {
    let written = fs::create_dir_all(files::folder(file)).and_then(|()| files::replace(file, contents, mode));
    written.map_err(|source| CertificateError::Unwritable { file: file.to_owned(), source })
}
