//! A session as bytes, for stores that write it down: what is secret is not in it, and what is clear cannot be forged.
//!
//! A row is a byte for the format, the version of the session, a keyed hash of the gateway's, and the rest. The hash is
//! made over the session's id too, so that a row in another's place is no row (promise 1 of the contract). When it was
//! last seen is written apart, since that changes often. Whoever can write to a store can still put an earlier row of a
//! session back, or remove it.
//!
//! A row whose session keeps cookies of apps has its vault behind the rest, in a format of its own.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::crypto::Keys;
use crate::crypto::Mac;
use crate::identity::user::Profile;
use crate::identity::user::User;
use crate::identity::user::UserName;
use crate::net::ClientAddr;
use crate::net::Host;
use crate::session::agent::Family;
use crate::session::id::SessionId;
use crate::session::lifetime::Lifetime;
use crate::session::live::Session;
use crate::session::record::Record;
use crate::session::record::UserAgent;
use crate::session::token::TokenHash;
use crate::session::tokens::Course;
use crate::session::tokens::HostToken;
use crate::session::tokens::Next;
use crate::session::tokens::Renewal;
use crate::session::tokens::Retired;
use crate::session::tokens::Tokens;
use crate::session::vault::SealedJar;
use crate::session::vault::Vault;
use crate::session::vault::WrappedKey;

/// The forms of rows that this version writes and reads. It is the first byte of each. Earlier ones, of before the
/// first release, did not say which password a session began with, nor whether it is locked.
const PLAIN: u8 = 5;
const WITH_VAULT: u8 = 6;

/// Where a token stands on its way, as it is written.
const IN_FORCE: u8 = 0;
const WAITING: u8 = 1;
const CLOSED: u8 = 2;

/// The bytes before the body: format, version and keyed hash.
const HEAD: usize = 1 + 4 + 32;

/// The length of a last-seen time: milliseconds and a keyed hash.
pub const SEEN_LENGTH: usize = 8 + 32;

/// Writes sessions down and reads them again.
#[derive(Debug)]
pub struct Rows {
    session: Mac,
    seen: Mac,
}

impl Rows {
    /// Rows that are worth something to gateways with these keys alone.
    pub fn new(keys: &Keys) -> Self {
        Self { session: keys.mac("session row"), seen: keys.mac("session last seen") }
    }

    /// The row of a session with these tokens as its version `version`.
    #[expect(clippy::expect_used, reason = "numbers, texts and lists of known length can always be written")]
    #[expect(clippy::missing_panics_doc, reason = "it cannot happen")]
    pub fn write(&self, session: &Session, tokens: &Tokens, version: u32) -> Vec<u8> {
        let version = version.to_be_bytes();
        let mut body =
            postcard::to_stdvec(&Body::of(session.record(), tokens)).expect("a row can be written");
        let vault = tokens.vault().map(|vault| BodyOfVault::of(vault));
        if let Some(vault) = &vault {
            body.extend(postcard::to_stdvec(vault).expect("a vault can be written"));
        }
        let format = [if vault.is_some() { WITH_VAULT } else { PLAIN }];
        let tag = self.session.sign(&[&session.id().to_bytes(), &format, &version, &body]);
        [&format, version.as_slice(), &tag, &body].concat()
    }

    /// The session that was written as `row`, last seen at the time written as `seen`; nothing if either was not
    /// written for this id by a gateway with one of these keys.
    pub fn read(&self, id: SessionId, row: &[u8], seen: &[u8]) -> Option<Session> {
        let (head, body) = row.split_first_chunk::<HEAD>()?;
        let ([format], rest) = head.split_first_chunk::<1>()?;
        let (version, tag) = rest.split_first_chunk::<4>()?;
        let genuine = self.session.verify(&[&id.to_bytes(), &[*format], version, body], tag);
        if !genuine {
            return None;
        }
        let (body, behind): (Body<'_>, _) = postcard::take_from_bytes(body).ok()?;
        let vault = match *format {
            PLAIN => None,
            WITH_VAULT => Some(postcard::from_bytes::<BodyOfVault<'_>>(behind).ok()?.parse()),
            _ => return None,
        };
        let (record, tokens) = body.parse()?;
        let tokens = tokens.with_vault(vault);
        Some(Session::new(id, record, tokens, self.read_seen(id, seen)?, u32::from_be_bytes(*version)))
    }

    /// When this session was last seen, as bytes.
    pub fn write_seen(&self, id: SessionId, at: Timestamp) -> [u8; SEEN_LENGTH] {
        let millis = at.as_millis().to_be_bytes();
        let tag = self.seen.sign(&[&id.to_bytes(), &millis]);
        let mut out = [0; SEEN_LENGTH];
        out.iter_mut().zip(millis.into_iter().chain(tag)).for_each(|(to, from)| *to = from);
        out
    }

    /// The time that was written as `seen`; nothing if it was not written for this id by a gateway with one of
    /// these keys.
    pub fn read_seen(&self, id: SessionId, seen: &[u8]) -> Option<Timestamp> {
        let (millis, tag) = seen.split_first_chunk::<8>()?;
        let genuine = self.seen.verify(&[&id.to_bytes(), millis], tag);
        genuine.then(|| Timestamp::from_millis(u64::from_be_bytes(*millis)))
    }
}

/// The version a row says it is, before anyone has looked whether it is genuine: what a store compares.
pub fn version_of(row: &[u8]) -> Option<u32> {
    let head = row.split_first_chunk::<HEAD>()?.0;
    let (_, rest) = head.split_first_chunk::<1>()?;
    Some(u32::from_be_bytes(*rest.first_chunk()?))
}

/// What is in a row. The order of the fields is the format.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    /// Its key, with the realm.
    user: &'a str,
    email: Option<&'a str>,
    display_name: Option<&'a str>,
    groups: Vec<&'a str>,
    credential: u32,
    client: std::net::IpAddr,
    user_agent: Option<&'a str>,
    family: u8,
    began: u64,
    idle_secs: u64,
    absolute_secs: u64,
    resume_secs: u64,
    #[serde(borrow)]
    tokens: Vec<BodyOfHost<'a>>,
}

#[derive(Serialize, Deserialize)]
struct BodyOfHost<'a> {
    #[serde(borrow)]
    host: Cow<'a, str>,
    current: [u8; 32],
    issued: u64,
    course: u8,
    next: Option<([u8; 32], &'a str)>,
    retired: Vec<([u8; 32], u64)>,
}

/// What is kept of the apps' cookies: the data key under each token, and the jars by site.
#[derive(Serialize, Deserialize)]
struct BodyOfVault<'a> {
    #[serde(borrow)]
    keys: Vec<([u8; 32], &'a [u8])>,
    jars: Vec<(&'a str, &'a [u8])>,
    locked: bool,
}

impl<'a> BodyOfVault<'a> {
    fn of(vault: &'a Vault) -> Self {
        let keys = vault.keys().iter().map(|key| (*key.token.as_bytes(), &*key.sealed));
        let jars = vault.jars().iter().map(|jar| (&*jar.site, &*jar.sealed));
        Self { keys: keys.collect(), jars: jars.collect(), locked: vault.is_locked() }
    }

    fn parse(self) -> Vault {
        let keys = self
            .keys
            .into_iter()
            .map(|(token, sealed)| WrappedKey { token: TokenHash::from_bytes(token), sealed: sealed.into() });
        let jars = self
            .jars
            .into_iter()
            .map(|(site, sealed)| SealedJar { site: site.into(), sealed: sealed.into() });
        let vault = Vault::of(keys.collect(), jars.collect());
        if self.locked { vault.locked() } else { vault }
    }
}

impl<'a> Body<'a> {
    fn of(record: &'a Record, tokens: &'a Tokens) -> Self {
        let Record { user, client, user_agent, began, lifetime } = record;
        Self {
            user: user.name.key(),
            email: user.email(),
            display_name: user.display_name(),
            groups: user.groups().iter().map(|group| &**group).collect(),
            credential: user.credential(),
            client: ClientAddr::from(*client).0,
            user_agent: user_agent.as_deref().map(UserAgent::as_str),
            family: record.family().number(),
            began: began.as_millis(),
            idle_secs: lifetime.idle().as_secs(),
            absolute_secs: lifetime.absolute().as_secs(),
            resume_secs: lifetime.resume().as_secs(),
            tokens: tokens.hosts().iter().map(BodyOfHost::of).collect(),
        }
    }

    fn parse(self) -> Option<(Record, Tokens)> {
        let profile = Profile {
            email: self.email.map(Box::from),
            display_name: self.display_name.map(Box::from),
            groups: self.groups.into_iter().map(Box::from).collect(),
        };
        let user = User::new(UserName::from_key(self.user)?, profile).known_by(self.credential);
        let family = Family::from_number(self.family);
        let agent = self.user_agent.and_then(|text| UserAgent::kept(text, family));
        let secs = Duration::from_secs;
        let record = Record {
            user: Arc::new(user),
            client: ClientAddr(self.client).into(),
            user_agent: agent.map(Box::new),
            began: Timestamp::from_millis(self.began),
            lifetime: Lifetime::new(secs(self.idle_secs), secs(self.absolute_secs))?
                .resumable_for(secs(self.resume_secs)),
        };
        let tokens: Option<Vec<_>> = self.tokens.into_iter().map(BodyOfHost::parse).collect();
        Some((record, Tokens::of_hosts(tokens?)))
    }
}

impl<'a> BodyOfHost<'a> {
    fn of(token: &'a HostToken) -> Self {
        let renewal = token.renewal();
        let next = renewal.and_then(|renewal| renewal.next.as_ref());
        let retired = renewal.map_or(&[][..], |renewal| &renewal.retired);
        Self {
            host: token.host.as_str().into(),
            current: *token.current.as_bytes(),
            issued: token.issued.as_millis(),
            course: if token.waits() {
                WAITING
            } else if token.is_closed() {
                CLOSED
            } else {
                IN_FORCE
            },
            next: next.map(|next| (*next.hash.as_bytes(), &*next.sealed)),
            retired: retired.iter().map(|old| (*old.hash.as_bytes(), old.at.as_millis())).collect(),
        }
    }

    fn parse(self) -> Option<HostToken> {
        let hash = TokenHash::from_bytes;
        let next = self.next.map(|(next, sealed)| Next { hash: hash(next), sealed: sealed.into() });
        let retired: Vec<_> = (self.retired.into_iter())
            .map(|(old, at)| Retired { hash: hash(old), at: Timestamp::from_millis(at) })
            .collect();
        let course = match (self.course, next, retired) {
            (WAITING, ..) => Some(Course::Waiting),
            (CLOSED, ..) => Some(Course::Closed),
            (IN_FORCE, None, retired) if retired.is_empty() => None,
            (IN_FORCE, next, retired) => Some(Course::Renewed(Renewal { next, retired })),
            _ => return None,
        };
        Some(HostToken {
            host: Arc::new(Host::parse(&self.host)?),
            current: hash(self.current),
            issued: Timestamp::from_millis(self.issued),
            course: course.map(Box::new),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Key;
    use crate::session::lifetime::Why;
    use crate::session::store::conformance::session_of;
    use crate::session::token::Token;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn session() -> Arc<Session> {
        session_of("ada", Lifetime::new(Duration::from_mins(30), Duration::from_hours(24)).unwrap(), at(100))
    }

    fn rows(newest: [u8; 32], older: &[[u8; 32]]) -> Rows {
        Rows::new(&Keys::new(Key::from_bytes(newest), older.iter().copied().map(Key::from_bytes).collect()))
    }

    #[test]
    fn a_session_survives_being_written_down() {
        let (rows, session) = (rows([1; 32], &[]), session());
        let first = session.tokens().hosts()[0].current;
        let [second, code] = [(); 2].map(|()| Token::generate().hash());
        let next = |hash| Next { hash, sealed: "sealed".into() };
        let promoted = session.tokens().offering(&first, next(second)).promoted(&second, at(105));
        let waiting = promoted.handing_over(Arc::new(Host::parse("other.example").unwrap()), code, at(106));
        let offering = promoted.offering(&second, next(code));
        let closed = waiting.closing(&[Arc::clone(&waiting.hosts()[0].host)]).unwrap();
        for tokens in [session.tokens(), promoted, waiting, offering, closed] {
            let (row, seen) = (rows.write(&session, &tokens, 7), rows.write_seen(session.id(), at(160)));
            let read = rows.read(session.id(), &row, &seen).unwrap();
            assert_eq!((read.tokens(), read.version(), version_of(&row)), (tokens, 7, Some(7)));
            assert_eq!(read.times().last_seen, at(160));
            assert_eq!(format!("{:?}", read.record()), format!("{:?}", session.record()));
        }
    }

    #[test]
    fn no_byte_of_it_can_be_changed_and_no_other_place_given_to_it() {
        let (rows, session, other) = (rows([1; 32], &[]), session(), session());
        let (row, seen) =
            (rows.write(&session, &session.tokens(), 0), rows.write_seen(session.id(), at(160)));
        assert!(rows.read(other.id(), &row, &rows.write_seen(other.id(), at(160))).is_none());
        assert!(rows.read(session.id(), &row, &rows.write_seen(other.id(), at(160))).is_none());
        for place in 0..row.len() {
            let mut forged = row.clone();
            forged[place] ^= 1;
            assert!(rows.read(session.id(), &forged, &seen).is_none(), "byte {place} of the row");
            assert!(rows.read(session.id(), &row[..place], &seen).is_none(), "{place} bytes of the row");
        }
        for place in 0..seen.len() {
            let mut forged = seen;
            forged[place] ^= 1;
            assert!(rows.read(session.id(), &row, &forged).is_none(), "byte {place} of the time");
        }
    }

    #[test]
    fn the_form_of_a_row_does_not_change_unnoticed() {
        let session = known();
        let (row, seen) = (KNOWN.0.as_bytes(), KNOWN.1.as_bytes());
        let bytes = |text: &[u8]| data_encoding::HEXLOWER.decode(text).unwrap();
        let written = rows([1; 32], &[]).write(&session, &session.tokens(), 7);
        assert_eq!(data_encoding::HEXLOWER.encode(&written), KNOWN.0);
        let read = rows([1; 32], &[]).read(session.id(), &bytes(row), &bytes(seen)).unwrap();
        assert_eq!((read.tokens(), read.version()), (session.tokens(), 7));
        assert_eq!(format!("{:?}", read.record()), format!("{:?}", session.record()));
    }

    #[test]
    fn a_vault_is_in_the_row_and_under_its_hash() {
        let (rows, session) = (rows([1; 32], &[]), session());
        let [key, jar] = [[3; 88], [4; 88]];
        let token = session.tokens().hosts()[0].current;
        let keys = vec![WrappedKey { token, sealed: key.into() }];
        let jars = vec![SealedJar { site: "app.example/".into(), sealed: jar.into() }];
        let tokens = session.tokens().with_vault(Some(Vault::of(keys, jars).locked()));
        let (row, seen) = (rows.write(&session, &tokens, 3), rows.write_seen(session.id(), at(160)));
        let read = rows.read(session.id(), &row, &seen).unwrap();
        assert_eq!((read.tokens(), version_of(&row)), (tokens, Some(3)));
        assert!(read.tokens().vault().is_some() && read.vault().is_none(), "it is not open");
        assert_eq!((read.is_locked(), read.why_ended()), (true, Some(Why::Idle)));
        for place in 0..row.len() {
            let mut forged = row.clone();
            forged[place] ^= 1;
            assert!(rows.read(session.id(), &forged, &seen).is_none(), "byte {place}");
            assert!(rows.read(session.id(), &row[..place], &seen).is_none(), "{place} bytes");
        }
    }

    /// A row and a last-seen time with keys of ones, for [`known`].
    const KNOWN: (&str, &str) = (
        "0500000007298cbf883e27e4ac28e00ec5463871e6251db042c600be98d9d0caa6c0592bd403616461010f6164614065\
         78616d706c652e636f6d0002057374616666076772c3b6c39f65eeff830600c000020701264d6f7a696c6c612f352e30\
         20285831313b204c696e7578292046697265666f782f3134302e3047a08d06880e80a30500010b6170702e6578616d70\
         6c650505050505050505050505050505050505050505050505050505050505050505e0c5080001060606060606060606\
         0606060606060606060606060606060606060606060606067365616c6564010707070707070707070707070707070707\
         070707070707070707070707070707d0f707",
        "00000000000271003d034d35f37d51c93800075adc1df21d66920ec903747d5726b984130d010ae9",
    );

    fn known() -> Session {
        let like = session();
        let host = Arc::new(Host::parse("app.example").unwrap());
        let next = Next { hash: TokenHash::from_bytes([6; 32]), sealed: "sealed".into() };
        let retired = vec![Retired { hash: TokenHash::from_bytes([7; 32]), at: at(130) }];
        let course = Course::Renewed(Renewal { next: Some(next), retired });
        let token = HostToken {
            host,
            current: TokenHash::from_bytes([5; 32]),
            issued: at(140),
            course: Some(Box::new(course)),
        };
        let tokens = Tokens::of_hosts(vec![token]);
        Session::new(SessionId::from_bytes([9; 8]), like.record().clone(), tokens, at(160), 7)
    }

    #[test]
    fn a_new_key_reads_what_an_older_one_wrote_and_no_other_does() {
        let session = session();
        let (old, new, strange) = (rows([1; 32], &[]), rows([2; 32], &[[1; 32]]), rows([2; 32], &[]));
        let (row, seen) = (old.write(&session, &session.tokens(), 0), old.write_seen(session.id(), at(160)));
        assert!(new.read(session.id(), &row, &seen).is_some());
        assert!(strange.read(session.id(), &row, &seen).is_none());
    }
}
