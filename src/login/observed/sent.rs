//! Whom a login form names. The rest of the form is looked over and not read: one field of it is a password.
//!
//! The app reads the same bytes with a parser of its own, and may not even look at the type that they are said to be of.
//! Where two parsers could find two names, or one of them a name and the other none, it is unclear whom the form names: a
//! field that is there twice, or in another spelling; what is encoded in ways that not everybody knows; what could be read
//! as another type.

use http::HeaderMap;
use http::HeaderName;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode;

use crate::login::observed::json;
use crate::login::observed::multipart;

/// So much of a form is looked at, and a longer one is nobody's.
pub const MOST_BYTES: usize = 16 * 1024;

/// Whom a form names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// Nobody: no parser finds the field, or anything in it.
    Nobody,
    /// This user.
    User(String),
    /// Whoever the app reads in it.
    Unclear,
}

impl Named {
    /// Whom a text names.
    pub(super) fn by(text: String) -> Self {
        if text.trim().is_empty() { Self::Nobody } else { Self::User(text) }
    }

    /// Unclear if `other` is so.
    fn unless(self, other: bool) -> Self {
        if other { Self::Unclear } else { self }
    }
}

/// Whom the `field` of a form of at most [`MOST_BYTES`] names: urlencoded, multipart or JSON.
pub(crate) fn named(field: &str, headers: &HeaderMap, body: &[u8]) -> Named {
    if body.is_empty() {
        return Named::Nobody;
    }
    let kind = only(headers, &CONTENT_TYPE).filter(|_| !headers.contains_key(CONTENT_ENCODING));
    let kind = kind.unwrap_or_default();
    let (essence, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    match essence.trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => {
            urlencoded(field, body).unwrap_or(Named::Unclear).unless(!in_utf8(parameters))
        }
        "application/json" => json::named(field, body).unless(!in_utf8(parameters) || hides(field, body)),
        "multipart/form-data" => {
            multipart::named(field, parameters, body).unwrap_or(Named::Unclear).unless(hides(field, body))
        }
        _ => Named::Unclear,
    }
}

/// Whether an app that takes every body for urlencoded would find the field in this one.
fn hides(field: &str, body: &[u8]) -> bool {
    // How the lines of multipart go on: a value in quotes is nobody's name.
    let plain = |pair: &&[u8]| !pair.starts_with(b" name=\"");
    body.split(|byte| b"&;".contains(byte)).filter(plain).any(|pair| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        let decoded: Vec<u8> = percent_decode(name).collect();
        name.len() < pair.len() && reads_as(field, &String::from_utf8_lossy(&decoded))
    })
}

/// Whether a body is one that nothing but the urlencoded form is written in: browsers escape what JSON, XML and the
/// lines of multipart are made of (WHATWG URL §5.2).
fn is_plainly_urlencoded(body: &[u8]) -> bool {
    body.iter().all(|byte| byte.is_ascii_graphic() && !b"{}[]<>\"\\;".contains(byte))
}

/// What a form says under one name, if nothing else in it could be read under that name.
#[derive(Debug, Default)]
pub(super) struct Sought {
    found: Option<String>,
    spoilt: bool,
}

impl Sought {
    /// Takes note of a pair: `value` gives what stands there, if that is text.
    pub(super) fn note(&mut self, field: &str, name: &str, value: impl FnOnce() -> Option<String>) {
        if name == field && self.found.is_none() {
            self.found = value();
            self.spoilt |= self.found.is_none();
        } else if reads_as(field, name) {
            self.spoilt = true;
        } else if alike("_charset_", name) {
            // Some decode the whole form as it says (RFC 7578 §4.6).
            self.spoilt |= !value().is_some_and(|value| is_utf8(&value));
        }
    }

    pub(super) fn result(self) -> Named {
        self.found.map_or(Named::Nobody, Named::by).unless(self.spoilt)
    }
}

/// Whether some framework could take `name` for `field`: in other letters, with other marks between them, as PHP spells it,
/// as one of several or of a group.
pub(super) fn reads_as(field: &str, name: &str) -> bool {
    let is_of = |group: &str, name: &str| {
        name.match_indices(['[', '\0']).any(|(end, _)| alike(group, name.get(..end).unwrap_or_default()))
    };
    alike(field, name) || is_of(field, name) || is_of(name, field)
}

/// Whether two names are the same but for the case of letters and for what is neither letter nor digit.
fn alike(one: &str, other: &str) -> bool {
    let letters = |text: &str| fold(&text.replace(|char: char| !char.is_alphanumeric(), ""));
    letters(one) == letters(other)
}

/// Letters without case. By way of upper case, so that letters which only meet there (`ſ` and `s`) are one.
pub(super) fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

fn urlencoded(field: &str, body: &[u8]) -> Option<Named> {
    if !is_plainly_urlencoded(body) {
        return None;
    }
    let mut sought = Sought::default();
    for pair in body.split(|byte| *byte == b'&') {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = decode(halves.next().unwrap_or_default())?;
        sought.note(field, &name, || decode(halves.next().unwrap_or_default()));
    }
    Some(sought.result())
}

/// Whether a query names the field: an app may take the address for the form.
pub(crate) fn is_in_query(field: &str, query: &str) -> bool {
    let pairs = query.split(['&', ';']);
    let mut names = pairs.map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| decode(name.as_bytes()).is_none_or(|name| reads_as(field, &name)))
}

/// Whether a query names the field, once and beyond doubt, and beside it nothing but the `other` parameter.
pub(crate) fn is_only_in_query(field: &str, other: Option<&str>, query: &str) -> bool {
    let mut fields = 0;
    let known = query.split('&').all(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name.as_bytes());
        fields += usize::from(name.as_deref() == Some(field));
        let known = name.is_some_and(|name| name == field || Some(&*name) == other);
        known && pair.contains('=') && decode(value.as_bytes()).is_some()
    });
    known && fields == 1 && is_plainly_urlencoded(query.as_bytes())
}

/// Nothing where an escape is none, or one of those that only some read (`%u0041`).
fn decode(part: &[u8]) -> Option<String> {
    let escapes = part.iter().enumerate().filter(|(_, byte)| **byte == b'%').map(|(at, _)| at + 1..at + 3);
    for escape in escapes {
        part.get(escape).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    }
    let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(percent_decode(&spaced).collect()).ok()
}

/// The one line of a field; nothing if there are two.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?.to_str().ok()?;
    lines.next().is_none().then_some(line)
}

/// Whether a type's parameters name no other alphabet than ours.
pub(super) fn in_utf8(parameters: &str) -> bool {
    parameters.split(';').all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.trim().eq_ignore_ascii_case("charset") || is_utf8(value.trim().trim_matches('"'))
    })
}

fn is_utf8(charset: &str) -> bool {
    ["utf-8", "utf8"].iter().any(|utf8| charset.eq_ignore_ascii_case(utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";

    fn sent(kind: &str, body: &str) -> Named {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
        named("user_name", &headers, body.as_bytes())
    }

    #[test]
    fn the_field_is_found_among_the_others() {
        for (kind, body) in [
            (FORM, "csrf=x&user_name=Ada+%C3%84&password=p%26user_name%3Deve"),
            (FORM, "user_name=Ada+%C3%84&user_name2=eve&xuser_name=eve&remember"),
            (FORM, "_charset_=UTF-8&user_name=Ada+%C3%84&user=eve&name=eve"),
            ("Application/X-WWW-Form-Urlencoded; charset=\"UTF-8\"", "user_name=Ada+%C3%84"),
            (
                "application/json",
                r#"{"user_name": "Ada \u00c4", "password": "user_name", "list": [{"a": 1}]}"#,
            ),
            (
                "multipart/form-data; boundary=xYz",
                "--xYz\r\nContent-Disposition: form-data; name=\"user_name\"\r\n\r\nAda Ä\r\n--xYz--\r\n",
            ),
        ] {
            assert_eq!(sent(kind, body), Named::User("Ada Ä".into()), "{body}");
        }
    }

    #[test]
    fn the_field_of_a_group_is_told_from_its_neighbours() {
        let found = |body: &str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, FORM.parse().unwrap())]);
            named("user[email]", &headers, body.as_bytes())
        };
        let form = "user%5Bemail%5D=ada&user%5Bpassword%5D=x";
        assert_eq!(found(form), Named::User("ada".into()));
        assert_eq!(found("user%5Bpassword%5D=x"), Named::Nobody);
        for more in ["user=eve", "user%5BEmail%5D=eve", "user%5Bemail%5D%5B%5D=eve", "user.email=eve"] {
            assert_eq!(found(&format!("{form}&{more}")), Named::Unclear, "{more}");
        }
    }

    #[test]
    fn a_field_may_be_called_as_multipart_calls_all_fields() {
        let kind = HeaderMap::from_iter([(CONTENT_TYPE, "multipart/form-data; boundary=x".parse().unwrap())]);
        let found = |body: &str| named("name", &kind, body.as_bytes());
        let form = "--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nada\r\n--x--";
        assert_eq!(found(form), Named::User("ada".into()));
        assert_eq!(found(&form.replace("=\"name\"", "=\"lang\"")), Named::Nobody);
        assert_eq!(found(&form.replace("ada", "ada; name=eve")), Named::Unclear);
    }

    proptest::proptest! {
        #[test]
        fn no_form_breaks_the_reader(
            body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            text in "[-\r\n&=;{}\":x%a-f0-9]{0,80}",
        ) {
            for kind in [FORM, "application/json", "multipart/form-data; boundary=x"] {
                let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
                for body in [&body, text.as_bytes()] {
                    if let Named::User(found) = named("x", &headers, body) {
                        assert!(found.len() <= body.len());
                    }
                    is_only_in_query("x", None, &String::from_utf8_lossy(body));
                }
            }
        }
    }

    #[test]
    fn what_could_be_two_names_is_unclear() {
        for body in [
            "user_name=ada&user_name=eve",
            "user_name=ada&User_Name=eve",
            "USER_NAME=ada",
            "user_name=ada&user.name=eve",
            "user_name=ada&user+name=eve",
            "user_name=ada&user%5Fname=eve",
            "user_name=ada&user_name[]=eve",
            "user_name=ada&user_name%5Bx%5D=eve",
            "user_name=ada&user_name%00=eve",
            "user_name=ada&+user_name=eve",
            "user_name=ada;user_name=eve",
            "x=1;user_name=eve&user_name=ada",
            "{\"user_name\":\"eve\",\"x\":\"&user_name=ada&\"}",
            "<l user_name=\"eve\" x=\"&user_name=ada&\"/>",
            "--x\r\nContent-Disposition: form-data; name=\"user_name\"\r\n\r\neve&user_name=ada",
            "user_name=ada\n",
            "user_name=ada&%5Buser_name%5D=eve",
            "user_name=ada&user%5Bname=eve",
            "user_name=ada&user%5Bname%5D=eve",
            "user_name=ada&u%C5%BFer_name=eve",
            "user_name=ada&user%E2%80%8B_name=eve",
            "user_name=ada&%u0075ser_name=eve",
            "user_name=ada&x%=1",
            "user_name=ada&_charset_=utf-16",
            "_charset_=iso-8859-1&user_name=ada",
            "user_name=%FF",
            "user_name=ada&%FF=1",
        ] {
            assert_eq!(sent(FORM, body), Named::Unclear, "{body}");
        }
        for query in ["user_name=eve", "a=1&USER_NAME=eve", "user%5Fname=eve", "a;user_name=x", "%FF=1"] {
            assert!(is_in_query("user_name", query), "{query}");
        }
        for kind in
            ["", "text/plain", "application/x-www-form-urlencoded; charset=utf-16", "application/jsonx"]
        {
            assert_eq!(sent(kind, "user_name=ada"), Named::Unclear, "{kind}");
        }
        let json = r#"{"user_name": "ada", "x": "&user_name=eve&"}"#;
        assert_eq!(sent("application/json", json), Named::Unclear);
        let multipart = format!(
            "--x\r\nContent-Disposition: form-data; name=\"user_name\"\r\n\r\nada\r\n{}&user%5Fname=eve&\r\n--x--",
            "--x\r\nContent-Disposition: form-data; name=\"y\"\r\n\r\n",
        );
        assert_eq!(sent("multipart/form-data; boundary=x", &multipart), Named::Unclear);
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, FORM.parse().unwrap())]);
        headers.append(CONTENT_TYPE, "application/json".parse().unwrap());
        assert_eq!(named("user_name", &headers, b"user_name=ada"), Named::Unclear);
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, FORM.parse().unwrap())]);
        headers.append(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(named("user_name", &headers, b"user_name=ada"), Named::Unclear);
    }
}
