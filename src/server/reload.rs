//! The certificates in use: found by name, and exchanged while the server runs when their files change.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::ClientHello;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;

use crate::clock::Timestamp;
use crate::crypto::sha256;
use crate::server::CertificateFiles;
use crate::server::certificate::CertificateError;
use crate::server::certificate::Entry;
use crate::server::certificate::read;

// Contents are compared, not times: Kubernetes swaps links, and network file systems and backups keep old dates.
const POLL: Duration = Duration::from_secs(2);

/// What came of a change of a certificate's files.
#[derive(Debug)]
pub enum CertificateEvent {
    /// New handshakes get the new certificate.
    Reloaded {
        /// The chain's file.
        file: PathBuf,
    },
    /// The new one cannot be used; the old one stays.
    ReloadFailed {
        /// The chain's file.
        file: PathBuf,
        /// What is wrong, and what to do.
        error: CertificateError,
    },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Certificates {
    table: ArcSwap<Table>,
    watched: Mutex<Vec<Watched>>,
    provider: Arc<CryptoProvider>,
}

impl Certificates {
    /// Loads all of `files`.
    pub(super) fn load(
        files: &[CertificateFiles],
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, CertificateError> {
        if files.is_empty() {
            return Err(CertificateError::None);
        }
        let (mut entries, mut watched) = (Vec::new(), Vec::new());
        for files in files {
            let (cert, key) = (read(&files.cert)?, read(&files.key)?);
            entries.push(Arc::new(Entry::new(files, &cert, &key, &provider)?));
            let seen = digest(&cert, &key);
            watched.push(Watched { files: files.clone(), used: seen, seen, told: seen });
        }
        Ok(Self { table: ArcSwap::from_pointee(Table::new(entries)), watched: Mutex::new(watched), provider })
    }

    /// The certificate for a name: exact, then wildcard; the first one for a client that named none, or an address.
    pub(super) fn find(&self, name: Option<&str>) -> Option<Arc<Entry>> {
        self.table.load().find(name).cloned()
    }

    /// When the first of them ends.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        self.table.load().entries.iter().filter_map(|entry| entry.expires()).min()
    }

    /// Follows the files for ever.
    pub(super) async fn watch(self: Arc<Self>, on_event: impl Fn(&CertificateEvent)) {
        loop {
            tokio::time::sleep(POLL).await;
            let me = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || me.look()).await {
                Ok(events) => events.iter().for_each(&on_event),
                Err(error) => tracing::error!(%error, "looking for new certificates failed"),
            }
        }
    }

    /// Looks at all files once and uses what is new.
    fn look(&self) -> Vec<CertificateEvent> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = self.table.load().entries.clone();
        let mut events = Vec::new();
        for (watched, entry) in watched.iter_mut().zip(&mut entries) {
            match watched.look(&self.provider) {
                None => {}
                Some(Ok(fresh)) => {
                    *entry = Arc::new(fresh);
                    events.push(CertificateEvent::Reloaded { file: watched.files.cert.clone() });
                }
                Some(Err(error)) => {
                    events.push(CertificateEvent::ReloadFailed { file: watched.files.cert.clone(), error });
                }
            }
        }
        if events.iter().any(|event| matches!(event, CertificateEvent::Reloaded { .. })) {
            self.table.store(Arc::new(Table::new(entries)));
        }
        events
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.find(hello.server_name())?.key()))
    }
}

type Digest = [u8; 32];

fn digest(cert: &[u8], key: &[u8]) -> Digest {
    sha256(&[sha256(cert), sha256(key)].concat())
}

/// Files with what they held when we looked last.
#[derive(Debug)]
struct Watched {
    files: CertificateFiles,
    used: Digest,
    seen: Digest,
    told: Digest,
}

impl Watched {
    // Chain and key are two files, and nobody replaces both at once: what does not fit is looked at once more before it
    // is called broken.
    fn look(&mut self, provider: &CryptoProvider) -> Option<Result<Entry, CertificateError>> {
        let contents = read(&self.files.cert).and_then(|cert| Ok((cert, read(&self.files.key)?)));
        let (now, fresh) = match contents {
            Ok((cert, key)) => {
                let now = digest(&cert, &key);
                if now == self.used {
                    (self.seen, self.told) = (now, now);
                    return None;
                }
                (now, Entry::new(&self.files, &cert, &key, provider))
            }
            Err(error) => ([0; 32], Err(error)),
        };
        let settled = std::mem::replace(&mut self.seen, now) == now;
        match fresh {
            Ok(entry) => {
                (self.used, self.told) = (now, now);
                Some(Ok(entry))
            }
            Err(error) if settled && self.told != now => {
                self.told = now;
                Some(Err(error))
            }
            Err(_unsettled_or_told) => None,
        }
    }
}

/// Certificates by name.
#[derive(Debug)]
struct Table {
    entries: Vec<Arc<Entry>>,
    exact: HashMap<Box<str>, usize>,
    // By what follows the `*.`.
    wildcard: HashMap<Box<str>, usize>,
}

impl Table {
    fn new(entries: Vec<Arc<Entry>>) -> Self {
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for (index, entry) in entries.iter().enumerate() {
            for name in entry.names() {
                // Where two are for one name, the one listed first is used.
                match name.strip_prefix("*.") {
                    Some(parent) => wildcard.entry(parent.into()).or_insert(index),
                    None => exact.entry(name.clone()).or_insert(index),
                };
            }
        }
        Self { entries, exact, wildcard }
    }

    fn find(&self, name: Option<&str>) -> Option<&Arc<Entry>> {
        let Some(name) = name else {
            return self.entries.first();
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let parent = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        let index = self.exact.get(name.as_str()).or_else(parent)?;
        self.entries.get(*index)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::server::tls::provider;

    fn write(directory: &Path, name: &str, subjects: &[&str]) -> CertificateFiles {
        let files = CertificateFiles {
            cert: directory.join(format!("{name}.pem")),
            key: directory.join(format!("{name}.key")),
        };
        let subjects: Vec<String> = subjects.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(subjects).unwrap();
        fs::write(&files.cert, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    fn first_name(certificates: &Certificates, name: Option<&str>) -> Option<String> {
        Some(certificates.find(name)?.names().first()?.to_string())
    }

    #[test]
    fn the_name_chooses_exact_before_wildcard() {
        let directory = tempfile::tempdir().unwrap();
        let one = write(directory.path(), "one", &["one.test", "*.wild.test"]);
        let two = write(directory.path(), "two", &["two.test", "x.wild.test", "one.test"]);
        let all = Certificates::load(&[one, two], Arc::new(provider())).unwrap();
        for (asked, found) in [
            (None, Some("one.test")),
            (Some("one.test"), Some("one.test")),
            (Some("ONE.test."), Some("one.test")),
            (Some("two.test"), Some("two.test")),
            (Some("x.wild.test"), Some("two.test")),
            (Some("y.wild.test"), Some("one.test")),
            (Some("a.y.wild.test"), None),
            (Some("wild.test"), None),
            (Some("other.test"), None),
            (Some("*.wild.test"), Some("one.test")),
        ] {
            assert_eq!(first_name(&all, asked).as_deref(), found, "asked for {asked:?}");
        }
    }

    #[test]
    fn a_new_certificate_is_used_and_a_broken_one_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let files = write(directory.path(), "one", &["one.test"]);
        let all = Certificates::load(&[files], Arc::new(provider())).unwrap();
        assert!(all.look().is_empty());
        let files = write(directory.path(), "one", &["new.test"]);
        assert!(matches!(all.look().as_slice(), [CertificateEvent::Reloaded { .. }]));
        assert_eq!(first_name(&all, None).as_deref(), Some("new.test"));
        assert!(all.look().is_empty());
        fs::write(&files.cert, "half a certifi").unwrap();
        assert!(all.look().is_empty(), "it may be half written");
        assert!(matches!(all.look().as_slice(), [CertificateEvent::ReloadFailed { .. }]));
        assert!(all.look().is_empty(), "told twice");
        assert_eq!(first_name(&all, None).as_deref(), Some("new.test"));
        fs::remove_file(&files.cert).unwrap();
        assert!(all.look().is_empty());
        assert!(matches!(all.look().as_slice(), [CertificateEvent::ReloadFailed { .. }]));
        write(directory.path(), "one", &["third.test"]);
        assert!(matches!(all.look().as_slice(), [CertificateEvent::Reloaded { .. }]));
        assert_eq!(first_name(&all, None).as_deref(), Some("third.test"));
    }
}
