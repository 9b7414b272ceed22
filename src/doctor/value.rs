//! What the bytes of a session cookie give away. Values themselves never leave this file: only their kind, and the names
//! of what is in them.

use data_encoding::BASE64;
use data_encoding::BASE64URL_NOPAD;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::clock::Timestamp;

/// What a value turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The part that must be unguessable; nothing where a signature vouches for the whole.
    pub(crate) id: Option<String>,
    /// What it means, each in a sentence; nothing is best.
    pub(crate) meaning: Vec<Meaning>,
}

/// Something that a value gives away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Its contents can be read by anybody: what they are, and the names in them.
    Readable { form: &'static str, names: Vec<String> },
    /// Its contents are packed objects of a language, which some readers run as code.
    Objects(&'static str),
    /// It holds the time at which it was made.
    Time(&'static str),
    /// A JWT: its algorithm, and whether it ends.
    Token { algorithm: String, ends: bool, names: Vec<String> },
    /// A UUID of this version.
    Uuid(char),
}

impl Reading {
    /// Reads a cookie's value.
    pub(crate) fn of(value: &str, now: Timestamp) -> Self {
        let decoded = percent_decode_str(value.trim_matches('"')).decode_utf8_lossy();
        let text = decoded.as_ref();
        if let Some(meaning) = token(text).or_else(|| signed(text)) {
            return Self { id: None, meaning: vec![meaning] };
        }
        if let Some(meaning) = packed(text) {
            return Self { id: None, meaning: vec![meaning] };
        }
        let id = express(text).unwrap_or(text);
        let mut meaning = Vec::new();
        meaning.extend(uuid(id));
        meaning.extend(time(id, now));
        Self { id: Some(id.to_owned()), meaning }
    }
}

impl Meaning {
    /// What it means for whoever sees the cookie.
    pub(crate) fn says(&self) -> String {
        match self {
            Self::Readable { form, names } => {
                format!("it is {form}: anybody who has the cookie reads {}", listed(names))
            }
            Self::Objects(form) => format!("it is {form}, which some readers run as code"),
            Self::Time(form) => format!("it holds {form}"),
            Self::Token { algorithm, ends, names } => {
                let end = if *ends { "ends by itself" } else { "never ends by itself" };
                format!(
                    "it is a JWT ({algorithm}) that {end}: anybody who has the cookie reads {}",
                    listed(names)
                )
            }
            Self::Uuid(version) => {
                format!("it is a UUID of version {version}, which standards do not count as a session's id")
            }
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "its contents".to_owned() } else { names.join(", ") }
}

/// JSON Web Token (RFC 7519).
fn token(text: &str) -> Option<Meaning> {
    let mut parts = text.split('.');
    let (head, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let head = json(&base64(head)?)?;
    if head.get("enc").is_some() {
        // Encrypted (RFC 7516): nothing in it can be read.
        return None;
    }
    let algorithm = head.get("alg")?.as_str()?;
    let claims = base64(claims).and_then(|claims| json(&claims)).unwrap_or(Value::Null);
    let known = algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric()) && algorithm.len() <= 12;
    Some(Meaning::Token {
        algorithm: if known { algorithm.to_owned() } else { "odd".to_owned() },
        ends: claims.get("exp").is_some(),
        names: names(&claims),
    })
}

/// Contents beside a signature: Flask's and itsdangerous' `contents.time.signature`, Django's with colons, Rails' `--`,
/// and plain ones (Express cookie-session signs in a second cookie).
fn signed(text: &str) -> Option<Meaning> {
    let (form, contents) = if let Some((contents, _)) = text.split_once("--") {
        ("signed and not sealed (Rails)", contents)
    } else if text.starts_with('.') && text.matches('.').count() == 3 {
        return Some(Meaning::Readable { form: "packed and signed, not sealed (Flask)", names: Vec::new() });
    } else if text.matches('.').count() == 2 {
        ("signed and not sealed (Flask)", text.split('.').next()?)
    } else if text.starts_with('.') && text.matches(':').count() == 2 {
        return Some(Meaning::Readable { form: "packed and signed, not sealed (Django)", names: Vec::new() });
    } else if text.matches(':').count() == 2 && !text.starts_with('{') {
        ("signed and not sealed (Django)", text.split(':').next()?)
    } else {
        ("readable (base64 of JSON)", text)
    };
    let contents = json(&base64(contents)?)?;
    if is_sealed(&contents) {
        return None;
    }
    contents.is_object().then(|| Meaning::Readable { form, names: names(&contents) })
}

/// Laravel's sealed values are JSON too, with nothing readable in them.
fn is_sealed(contents: &Value) -> bool {
    ["iv", "value", "mac"].iter().all(|name| contents.get(name).is_some())
}

/// Contents without any signature that were packed by a language.
fn packed(text: &str) -> Option<Meaning> {
    if let Some(contents) = json(text.as_bytes()).filter(Value::is_object) {
        return Some(Meaning::Readable { form: "JSON", names: names(&contents) });
    }
    let bytes = base64(text).filter(|bytes| bytes.len() >= 8);
    let bytes = bytes.as_deref().unwrap_or(text.as_bytes());
    let php = |bytes: &[u8]| {
        let counted = bytes.get(2).is_some_and(u8::is_ascii_digit);
        (bytes.starts_with(b"a:") || bytes.starts_with(b"O:")) && counted && bytes.ends_with(b"}")
    };
    match bytes {
        [0xAC, 0xED, 0, 5, ..] => Some(Meaning::Objects("a serialized Java object")),
        [0x80, 2..=5, .., b'.'] => Some(Meaning::Objects("a Python pickle")),
        [4, 8, b'{' | b'[' | b'o' | b'I', ..] => Some(Meaning::Objects("a marshalled Ruby object")),
        bytes if php(bytes) => Some(Meaning::Objects("a serialized PHP value")),
        _ => None,
    }
}

/// The id in `s:id.signature`, as express-session and connect write it.
fn express(text: &str) -> Option<&str> {
    let (id, signature) = text.strip_prefix("s:")?.rsplit_once('.')?;
    (!id.is_empty() && signature.len() >= 27).then_some(id)
}

/// A UUID with its version (RFC 9562 §4.2), with or without hyphens at their places.
fn uuid(id: &str) -> Option<Meaning> {
    let hyphens = [8, 13, 18, 23].iter().all(|at| id.as_bytes().get(*at) == Some(&b'-'));
    let digits = id.bytes().filter(u8::is_ascii_hexdigit).count();
    let version = char::from(*id.as_bytes().get(14)?);
    let fits = id.len() == 36 && hyphens && digits == 32 && ('1'..='8').contains(&version);
    fits.then_some(Meaning::Uuid(version))
}

/// The present time, in the forms that ids carry it in. Random digits look like it once in many thousand.
fn time(id: &str, now: Timestamp) -> Option<Meaning> {
    const DAY: u64 = 86_400;
    let near = |seconds: u64| seconds.abs_diff(now.as_secs()) < DAY;
    let hex = |text: Option<&str>| text.and_then(|text| u64::from_str_radix(text, 16).ok());
    for run in id.split(|char: char| !char.is_ascii_digit()) {
        let number = run.parse::<u64>().unwrap_or(0);
        let seconds = match run.len() {
            10 => number,
            13 => number / 1000,
            16 => number / 1_000_000,
            _ => continue,
        };
        if near(seconds) {
            return Some(Meaning::Time("the time at which it was made, in decimal digits"));
        }
    }
    if id.len() == 24 && hex(id.get(..8)).is_some_and(near) && hex(id.get(8..)).is_some() {
        return Some(Meaning::Time(
            "the time at which it was made (a MongoDB ObjectId, of which at most 64 bits are random)",
        ));
    }
    let seven = id.get(..8).zip(id.get(9..13)).map(|(high, low)| format!("{high}{low}"));
    if uuid(id) == Some(Meaning::Uuid('7')) && hex(seven.as_deref()).is_some_and(|ms| near(ms / 1000)) {
        return Some(Meaning::Time("the time at which it was made (a UUID of version 7)"));
    }
    if hex(id.get(..8)).is_some_and(near) && id.len() == 13 {
        return Some(Meaning::Time("the time at which it was made (PHP's uniqid)"));
    }
    None
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let bare = text.trim_end_matches('=');
    if bare.len() < 4 {
        return None;
    }
    let url_safe = bare.replace('+', "-").replace('/', "_");
    // Some writers leave bits over at the end.
    BASE64URL_NOPAD.decode(url_safe.as_bytes()).or_else(|_odd| BASE64.decode(text.as_bytes())).ok()
}

fn json(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

/// The names in an object that are plain words; a name can hold personal data too, where it is none.
fn names(contents: &Value) -> Vec<String> {
    const MOST: usize = 8;
    let plain = |name: &&String| {
        let legal = |byte: u8| byte.is_ascii_alphabetic() || b"_-.".contains(&byte);
        (1..=24).contains(&name.len()) && name.bytes().all(legal)
    };
    let object = contents.as_object();
    object
        .into_iter()
        .flat_map(|object| object.keys())
        .filter(plain)
        .take(MOST)
        .map(|name| format!("`{name}`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn read(value: &str) -> Reading {
        Reading::of(value, NOW)
    }

    fn says(value: &str) -> String {
        read(value).meaning.iter().map(Meaning::says).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn random_ids_of_real_frameworks_mean_nothing() {
        for value in [
            "q7hkjv1b8l3gqk0p6c5u2n9s4d", // PHP
            "1f0c9c3b6c0b4b6d9a3e5a7f2b8d4c6e",
            "Jq2c9U3m-8r0yPzK1xW7vT5bN4sD6gHhLfA_eQoIuYk", // 32 bytes, base64url
            "0123456789ABCDEF0123456789ABCDEF",
            "1000",
        ] {
            assert_eq!(says(value), "", "{value}");
            assert_eq!(read(value).id.as_deref(), Some(value));
        }
    }

    #[test]
    fn of_an_express_cookie_the_id_is_what_counts() {
        let value = "s%3A3xVb0dVjZ1mQ9sYp5tKcN7aRwE2hLfGu.9Z%2Fw2yX0c4l6mQ1rB8vT3kD5hJ7fA9sE0uI2oP4gNqM";
        let reading = read(value);
        assert_eq!(
            (reading.id.as_deref(), reading.meaning.len()),
            (Some("3xVb0dVjZ1mQ9sYp5tKcN7aRwE2hLfGu"), 0)
        );
    }

    #[test]
    fn readable_sessions_are_known_by_their_names_and_no_value_is_told() {
        // {"_fresh":true,"_user_id":"nora"}
        let flask = "eyJfZnJlc2giOnRydWUsIl91c2VyX2lkIjoibm9yYSJ9.aZx0Qg.4v6Jk0mYt2sQp8wR1bN5cV7dLxE";
        assert_eq!(
            says(flask),
            "it is signed and not sealed (Flask): anybody who has the cookie reads `_fresh`, `_user_id`"
        );
        assert_eq!(read(flask).id, None);
        let packed = ".eJwlzjEOwjAMAMC_ZGawE8du-QyKY1uwtnRC_J1KjDfdpzzyiONZ7u_jilt5vKzcC.aZx0Qg.4v6Jk0mYt2sQp8wR1bN5cV7dLxE";
        assert_eq!(
            says(packed),
            "it is packed and signed, not sealed (Flask): anybody who has the cookie reads its contents"
        );
        assert!(
            says("eyJ1c2VyIjoibm9yYSJ9").contains("base64 of JSON): anybody who has the cookie reads `user`")
        );
        assert!(says("%7B%22user%22%3A%22nora%22%7D").contains("it is JSON"));
        for value in [flask, "eyJ1c2VyIjoibm9yYSJ9"] {
            assert!(!says(value).contains("nora"));
        }
    }

    #[test]
    fn what_is_sealed_is_told_from_what_is_packed() {
        // {"alg":"dir","enc":"A256GCM"}
        assert_eq!(says("eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..aXZpdml2aXY.c2VhbGVk.dGFndGFndGFn"), "");
        let packed = ".eJxVjDsOwjAQBe_iGlm7tuMPJT1nsPbjkABKpHwqxN2RpRTQvpl5b1No39p8aFvLqGxuDoy5:1tY3Zq:4v6Jk0mYt2sQp8wR1bN5cV7dLxE";
        assert_eq!(
            says(packed),
            "it is packed and signed, not sealed (Django): anybody who has the cookie reads its contents"
        );
    }

    #[test]
    fn a_token_tells_its_algorithm_and_whether_it_ends() {
        // {"alg":"HS256"} . {"sub":"nora","exp":1}
        let ends = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJub3JhIiwiZXhwIjoxfQ.c2ln";
        assert_eq!(
            says(ends),
            "it is a JWT (HS256) that ends by itself: anybody who has the cookie reads `exp`, `sub`"
        );
        // {"alg":"none"} . {"sub":"nora"}
        assert!(says("eyJhbGciOiJub25lIn0.eyJzdWIiOiJub3JhIn0.").contains("JWT (none) that never ends"));
    }

    #[test]
    fn sealed_and_packed_contents_are_told_apart() {
        // {"iv":"a","value":"b","mac":"c"}
        assert_eq!(says("eyJpdiI6ImEiLCJ2YWx1ZSI6ImIiLCJtYWMiOiJjIn0="), "");
        assert!(says("rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcA==").contains("Java"));
        assert!(says("a:1:{s:4:\"user\";s:4:\"nora\";}").contains("PHP"));
    }

    #[test]
    fn times_are_found_in_every_form() {
        assert!(says("user-1700000012-8841").contains("decimal digits"));
        assert!(says("1700000012345.77").contains("decimal digits"));
        assert!(says("6553f10a1f0c9c3b6c0b4b6d").contains("ObjectId"));
        assert!(says("018bcfe5-6800-7cc3-98c4-dc0c0c07398f").contains("version 7"));
        assert!(says("3f2504e0-4f89-41d3-9a0c-0305e82c3301").contains("UUID of version 4"));
        assert_eq!(says("1500000012-not-now"), "");
    }

    proptest! {
        #[test]
        fn whatever_a_value_is_it_is_read_and_never_told(value in "\\PC{0,200}") {
            let text = says(&value);
            prop_assert!(text.is_ascii());
        }
    }
}
