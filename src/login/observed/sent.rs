//! Whom a login form names. The rest of the form is looked over and not read: one field of it is a password.
//!
//! The app reads the same bytes with a parser of its own, and may not even look at the type that they are said to be of.
//! Where two parsers could find two names, nothing is found, and no session comes of it: a field that is there twice, or
//! once more in another spelling or in the address; what is encoded in ways that not everybody knows; what could be read as
//! another type.

use http::HeaderMap;
use http::HeaderName;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode;

use crate::login::observed::json;
use crate::login::observed::multipart;

/// So much of a form is looked at, and a longer one is nobody's.
pub const MOST_BYTES: usize = 16 * 1024;

/// The value of `field` in a form of at most [`MOST_BYTES`]: urlencoded, multipart or JSON.
pub(crate) fn user(field: &str, headers: &HeaderMap, query: Option<&str>, body: &[u8]) -> Option<String> {
    if headers.contains_key(CONTENT_ENCODING) || query.is_some_and(|query| is_in_query(field, query)) {
        return None;
    }
    let kind = only(headers, &CONTENT_TYPE)?;
    let (essence, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    match essence.trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => in_utf8(parameters).then(|| urlencoded(field, body))?,
        "application/json" => {
            in_utf8(parameters).then(|| json::text(field, body))?.filter(|_| !hides(field, body))
        }
        "multipart/form-data" => multipart::text(field, parameters, body).filter(|_| !hides(field, body)),
        _ => None,
    }
}

/// Whether an app that takes every body for urlencoded would find the field in this one.
fn hides(field: &str, body: &[u8]) -> bool {
    body.split(|byte| b"&;".contains(byte)).any(|pair| {
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

    pub(super) fn result(self) -> Option<String> {
        self.found.filter(|_| !self.spoilt)
    }
}

/// Whether some framework could take `name` for `field`: in other letters, with other marks between them, as PHP spells it,
/// as one of several or of a group.
fn reads_as(field: &str, name: &str) -> bool {
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

fn urlencoded(field: &str, body: &[u8]) -> Option<String> {
    if !is_plainly_urlencoded(body) {
        return None;
    }
    let mut sought = Sought::default();
    for pair in body.split(|byte| *byte == b'&') {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = decode(halves.next().unwrap_or_default())?;
        sought.note(field, &name, || decode(halves.next().unwrap_or_default()));
    }
    sought.result()
}

/// Whether a query names the field: an app may take the address for the form.
pub(crate) fn is_in_query(field: &str, query: &str) -> bool {
    let pairs = query.split(['&', ';']);
    let mut names = pairs.map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| decode(name.as_bytes()).is_none_or(|name| reads_as(field, &name)))
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

    fn sent(kind: &str, query: Option<&str>, body: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
        user("user_name", &headers, query, body.as_bytes())
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
            assert_eq!(sent(kind, Some("next=%2F&lang=de"), body).as_deref(), Some("Ada Ä"), "{body}");
        }
    }

    #[test]
    fn the_field_of_a_group_is_told_from_its_neighbours() {
        let found = |body: &str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, FORM.parse().unwrap())]);
            user("user[email]", &headers, None, body.as_bytes())
        };
        let form = "user%5Bemail%5D=ada&user%5Bpassword%5D=x";
        assert_eq!(found(form).as_deref(), Some("ada"));
        for more in ["user=eve", "user%5BEmail%5D=eve", "user%5Bemail%5D%5B%5D=eve", "user.email=eve"] {
            assert_eq!(found(&format!("{form}&{more}")), None, "{more}");
        }
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
                    let found = user("x", &headers, str::from_utf8(body).ok(), body);
                    assert!(found.is_none_or(|found| found.len() <= body.len()));
                }
            }
        }
    }

    #[test]
    fn what_could_be_two_names_is_none() {
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
            "password=x",
            "",
        ] {
            assert_eq!(sent(FORM, None, body), None, "{body}");
        }
        for query in ["user_name=eve", "a=1&USER_NAME=eve", "user%5Fname=eve", "a;user_name=x", "%FF=1"] {
            assert_eq!(sent(FORM, Some(query), "user_name=ada"), None, "{query}");
        }
        for kind in
            ["", "text/plain", "application/x-www-form-urlencoded; charset=utf-16", "application/jsonx"]
        {
            assert_eq!(sent(kind, None, "user_name=ada"), None, "{kind}");
        }
        let json = r#"{"user_name": "ada", "x": "&user_name=eve&"}"#;
        assert_eq!(sent("application/json", None, json), None);
        let multipart = format!(
            "--x\r\nContent-Disposition: form-data; name=\"user_name\"\r\n\r\nada\r\n{}&user%5Fname=eve&\r\n--x--",
            "--x\r\nContent-Disposition: form-data; name=\"y\"\r\n\r\n",
        );
        assert_eq!(sent("multipart/form-data; boundary=x", None, &multipart), None);
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, FORM.parse().unwrap())]);
        headers.append(CONTENT_TYPE, "application/json".parse().unwrap());
        assert_eq!(user("user_name", &headers, None, b"user_name=ada"), None);
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, FORM.parse().unwrap())]);
        headers.append(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(user("user_name", &headers, None, b"user_name=ada"), None);
    }
}
