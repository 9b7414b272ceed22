//! Certificates from real files.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;
use crate::server::tls::provider;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn files(directory: &Path, name: &str) -> CertificateFiles {
    CertificateFiles {
        cert: directory.join(format!("{name}.pem")),
        key: directory.join(format!("{name}.key")),
    }
}

fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

fn load(files: &CertificateFiles) -> Result<Entry, CertificateError> {
    Entry::new(files, &read(&files.cert)?, &read(&files.key)?, &provider())
}

#[test]
fn a_development_certificate_is_made_once_and_says_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path(), "new/dev");
    assert!(development::ensure(&files, &[host("app.test")], NOW).unwrap());
    let entry = load(&files).unwrap();
    assert!(entry.is_development());
    let life = entry.expires().unwrap().since(NOW);
    assert!(life > Duration::from_hours(300 * 24) && life <= Duration::from_hours(366 * 24));
    let names = ["app.test", "localhost", "127.0.0.1", "[::1]"].map(host);
    assert_eq!(certificate_names(&files).unwrap().hosts, names);
    assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!development::ensure(&files, &[host("app.test")], NOW).unwrap());
}

#[test]
fn a_development_certificate_is_renewed_when_it_is_over_or_for_too_few() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path(), "dev");
    assert!(development::ensure(&files, &[], NOW).unwrap());
    let later = NOW.after(Duration::from_hours(364 * 24));
    assert!(development::ensure(&files, &[], later).unwrap());
    assert!(!development::ensure(&files, &[host("127.0.0.1")], later).unwrap());
    assert!(development::ensure(&files, &[host("other.test")], later).unwrap());
    assert!(certificate_names(&files).unwrap().hosts.contains(&host("other.test")));
}

#[test]
fn a_foreign_certificate_is_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path(), "own");
    let key =
        rcgen::generate_simple_self_signed(vec!["own.test".to_owned(), "*.own.test".to_owned()]).unwrap();
    fs::write(&files.cert, key.cert.pem()).unwrap();
    assert!(
        development::ensure(&files, &[host("x.test")], NOW).is_err(),
        "a lone certificate was taken for missing"
    );
    fs::write(&files.key, key.signing_key.serialize_pem()).unwrap();
    assert!(!development::ensure(&files, &[host("x.test")], NOW).unwrap());
    let entry = load(&files).unwrap();
    assert!(!entry.is_development());
    assert_eq!(entry.names().join(" "), "own.test *.own.test");
    let names = certificate_names(&files).unwrap();
    assert_eq!((&*names.hosts, &*names.wildcards), (&[host("own.test")][..], &[host("own.test")][..]));
    for (name, covered) in [
        ("own.test", true),
        ("a.own.test", true),
        ("a.b.own.test", false),
        ("test", false),
        ("other.test", false),
    ] {
        assert_eq!(names.cover(&host(name)), covered, "{name}");
    }
}

#[test]
fn errors_name_the_file_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (files(directory.path(), "one"), files(directory.path(), "two"));
    let text = |files: &CertificateFiles| load(files).unwrap_err().to_string();
    assert!(text(&one).contains("one.pem") && text(&one).contains("tls.generate"));
    development::ensure(&one, &[], NOW).unwrap();
    development::ensure(&two, &[], NOW).unwrap();
    let mixed = CertificateFiles { cert: one.cert.clone(), key: two.key };
    assert!(text(&mixed).contains("two.key") && text(&mixed).contains("one.pem"));
    fs::write(&one.key, "not a key").unwrap();
    assert!(text(&one).contains("one.key") && text(&one).contains("not encrypted"));
    fs::write(&one.cert, "not a certificate").unwrap();
    assert!(text(&one).contains("one.pem holds no certificate"));
}
