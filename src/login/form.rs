//! What a browser posts, and the tokens that prove a form came from our own page.

use std::time::Duration;

use percent_encoding::percent_decode;

use crate::clock::Timestamp;
use crate::crypto::Keys;
use crate::crypto::Mac;
use crate::crypto::Secret;
use crate::crypto::base64url;
use crate::crypto::from_base64url;
use crate::net::Host;

/// The fields of an `application/x-www-form-urlencoded` body. Values are wiped when dropped: one is a password.
#[derive(Debug)]
pub(crate) struct Form(Vec<(String, Secret<String>)>);

impl Form {
    /// More fields than any form of ours has.
    const MAX_FIELDS: usize = 32;

    /// Reads a body or a query; anything that is not UTF-8 after decoding is refused, never repaired, because a
    /// repaired password is another password.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        let fields = pairs
            .take(Self::MAX_FIELDS)
            .map(|pair| {
                let mut halves = pair.splitn(2, |byte| *byte == b'=');
                let name = decode(halves.next().unwrap_or_default())?;
                Some((name, Secret::new(decode(halves.next().unwrap_or_default())?)))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self(fields))
    }

    /// A form without fields.
    pub(crate) fn empty() -> Self {
        Self(Vec::new())
    }

    /// The value of the one field of this name; nothing if there is none, or more than one.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter().filter(|(own, _)| own == name);
        let (_, value) = all.next()?;
        all.next().is_none().then(|| value.expose().as_str())
    }

    /// Whether a field of this name is there at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| own == name)
    }
}

/// The fields of an app's form as they were written, for a page that sends it again. Nothing if it cannot go through a
/// page unchanged: more than `most` fields, what is not UTF-8, or a NUL, which no page can hold. Line breaks become those of all
/// forms (HTML §4.10.21.7).
pub fn posted_fields(body: &[u8], most: usize) -> Option<Vec<(String, String)>> {
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let fields = pairs
        .map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let mut half = || decode(halves.next().unwrap_or_default());
            Some((half()?, half()?)).filter(|(name, value)| !name.contains('\0') && !value.contains('\0'))
        })
        .map(|pair| pair.map(|(name, value)| (one_line_break(&name), one_line_break(&value))))
        .take(most + 1)
        .collect::<Option<Vec<_>>>()?;
    (fields.len() <= most).then_some(fields)
}

/// A browser makes CR LF of each line feed it sends, and of a carriage return it reads in a page a line feed.
fn one_line_break(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn decode(part: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(percent_decode(&spaced).collect()).ok()
}

/// Which form a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Logging in.
    Login,
    /// Logging out.
    Logout,
    /// Changing one's password.
    Password,
    /// Ending one's sessions.
    Sessions,
    /// Sending a form that was held, or dropping it.
    Held,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Login => b"login",
            Self::Logout => b"logout",
            Self::Password => b"password",
            Self::Sessions => b"sessions",
            Self::Held => b"held",
        }
    }
}

/// Who a form was shown to and what for.
#[derive(Clone, Debug)]
pub(crate) struct Shown<'a> {
    /// The pre-login cookie, or the reference of the session.
    pub(crate) holder: String,
    /// Which form.
    pub(crate) purpose: Purpose,
    /// On which host.
    pub(crate) host: &'a Host,
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Our own page for this browser, shown a short while ago.
    Good,
    /// Our own page for this browser, but from long ago.
    Old,
    /// No page of ours for this browser.
    Foreign,
}

/// Makes and checks form tokens (ASVS 3.5.1, SP 800-63B §5.1): keyed hashes, so that anonymous visitors cost no memory.
#[derive(Debug)]
pub(crate) struct Tokens(Mac);

impl Tokens {
    /// How long a form may lie open before it is shown again.
    pub(crate) const GOOD_FOR: Duration = Duration::from_mins(10);

    /// With a key derived from the gateway's.
    pub(crate) fn new(keys: &Keys) -> Self {
        Self(keys.mac("form token"))
    }

    /// A token for a form that is shown now.
    pub(crate) fn issue(&self, shown: &Shown<'_>, now: Timestamp) -> String {
        let issued = now.as_millis().to_be_bytes();
        let mut token = issued.to_vec();
        token.extend_from_slice(&self.0.sign(&parts(shown, &issued)));
        base64url(&token)
    }

    /// What `token` is worth now.
    pub(crate) fn check(&self, token: &str, shown: &Shown<'_>, now: Timestamp) -> Standing {
        let decoded = from_base64url(token.as_bytes()).unwrap_or_default();
        let Some((issued, tag)) = decoded.split_first_chunk::<8>() else {
            return Standing::Foreign;
        };
        if !self.0.verify(&parts(shown, issued), tag) {
            return Standing::Foreign;
        }
        let age = now.since(Timestamp::from_millis(u64::from_be_bytes(*issued)));
        if age <= Self::GOOD_FOR { Standing::Good } else { Standing::Old }
    }
}

fn parts<'a>(shown: &'a Shown<'_>, issued: &'a [u8; 8]) -> [&'a [u8]; 4] {
    let host = shown.host.as_str().as_bytes();
    [shown.holder.as_bytes(), shown.purpose.label(), host, issued]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Key;

    #[test]
    fn a_form_is_decoded_as_browsers_encode_it() {
        let form = Form::parse(b"username=alice&password=a+b%2B%26%3D%C3%A9%00+&empty=&flag").unwrap();
        assert_eq!(form.get("username"), Some("alice"));
        assert_eq!(form.get("password"), Some("a b+&=\u{e9}\0 "));
        assert_eq!(form.get("empty"), Some(""));
        assert_eq!(form.get("flag"), Some(""));
        assert_eq!(form.get("other"), None);
        assert!(Form::parse(b"").unwrap().get("a").is_none());
    }

    #[test]
    fn the_fields_of_an_apps_form_keep_names_values_and_order() {
        let owned = |fields: &[(&str, &str)]| {
            Some(
                fields
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            posted_fields(b"b=1+%2B&a=%3C%22%C3%A9&b=2&flag&x=a%0D%0Ab%0Ac", 9),
            owned(&[("b", "1 +"), ("a", "<\"\u{e9}"), ("b", "2"), ("flag", ""), ("x", "a\nb\nc")])
        );
        assert_eq!(posted_fields(b"", 0), owned(&[]));
        for bad in [&b"a=%00"[..], b"a=%FF", b"a=1&b=2"] {
            assert!(posted_fields(bad, 1).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_field_given_twice_counts_as_not_given() {
        let form = Form::parse(b"password=one&password=two").unwrap();
        assert_eq!(form.get("password"), None);
        assert!(form.has("password"));
    }

    #[test]
    fn a_body_that_is_not_text_is_refused() {
        assert!(Form::parse(b"password=%FF").is_none());
        assert!(Form::parse(b"\xFF=a").is_none());
    }

    #[test]
    fn a_token_holds_for_its_holder_purpose_and_host_and_ten_minutes() {
        let tokens = Tokens::new(&Key::generate().into());
        let now = Timestamp::from_millis(50_000);
        let (app, other) = (Host::parse("app.example").unwrap(), Host::parse("other.example").unwrap());
        let shown = |holder: &str, purpose, host| Shown { holder: holder.to_owned(), purpose, host };
        let token = tokens.issue(&shown("pre", Purpose::Login, &app), now);
        let check = |shown: Shown<'_>, at| tokens.check(&token, &shown, at);
        let late = now.after(Tokens::GOOD_FOR);
        assert_eq!(check(shown("pre", Purpose::Login, &app), late), Standing::Good);
        let later = late.after(Duration::from_millis(1));
        assert_eq!(check(shown("pre", Purpose::Login, &app), later), Standing::Old);
        assert_eq!(check(shown("own", Purpose::Login, &app), now), Standing::Foreign);
        assert_eq!(check(shown("pre", Purpose::Logout, &app), now), Standing::Foreign);
        assert_eq!(check(shown("pre", Purpose::Login, &other), now), Standing::Foreign);
        for bad in ["", "AAAA", "!", "AAAAAAAAAAAAAAAA"] {
            let here = shown("pre", Purpose::Login, &app);
            assert_eq!(tokens.check(bad, &here, now), Standing::Foreign);
        }
    }
}
