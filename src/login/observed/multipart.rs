//! Forms as `multipart/form-data` (RFC 7578), as browsers write them and in no other way: whatever two parsers could read
//! differently is no form here.

use crate::login::observed::sent::Named;
use crate::login::observed::sent::Sought;
use crate::login::observed::sent::in_utf8;

/// Whom `field` names; files are passed over. Nothing if this is no such form.
pub(super) fn named(field: &str, parameters: &str, body: &[u8]) -> Option<Named> {
    let mut sought = Sought::default();
    for part in parts(&boundary(parameters)?, body)? {
        let end = memchr::memmem::find(part, b"\r\n\r\n")?;
        let (head, value) = (part.get(..end)?, part.get(end + 4..)?);
        let Part { name, is_text, .. } = Part::read(str::from_utf8(head).ok()?)?;
        let text = || String::from_utf8(value.to_vec()).ok();
        sought.note(field, &name, || text().filter(|_| is_text));
    }
    Some(sought.result())
}

/// A field of a form.
#[derive(Debug)]
pub(crate) struct Field {
    /// What it is called.
    pub(crate) name: String,
    /// Whether it is for a file.
    pub(crate) is_file: bool,
    /// Whether nothing stands in it.
    pub(crate) is_empty: bool,
}

/// All fields, in order.
pub(crate) fn fields(parameters: &str, body: &[u8]) -> Option<Vec<Field>> {
    let field = |part: &[u8]| {
        let end = memchr::memmem::find(part, b"\r\n\r\n")?;
        let Part { name, is_file, .. } = Part::read(str::from_utf8(part.get(..end)?).ok()?)?;
        Some(Field { name, is_file, is_empty: part.len() == end + 4 })
    };
    parts(&boundary(parameters)?, body)?.into_iter().map(field).collect()
}

/// RFC 2046 §5.1.1, of which browsers use letters, digits and hyphens.
fn boundary(parameters: &str) -> Option<String> {
    let (name, value) = parameters.trim().split_once('=')?;
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_'.".contains(&byte);
    let fits = (1..=70).contains(&value.len()) && value.bytes().all(plain);
    (name.eq_ignore_ascii_case("boundary") && fits).then(|| value.to_owned())
}

/// What stands between the delimiters, each with its head. The boundary stands nowhere else: some parsers end a part at one
/// that no line begins with, or behind half a line break.
fn parts<'a>(boundary: &str, body: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let first = format!("--{boundary}");
    let delimiter = format!("\r\n{first}");
    let mut rest = body.strip_prefix(first.as_bytes())?;
    let mut parts = Vec::new();
    while let Some(begun) = rest.strip_prefix(b"\r\n") {
        let end = memchr::memmem::find(begun, delimiter.as_bytes())?;
        parts.push(begun.get(..end)?);
        rest = begun.get(end + delimiter.len()..)?;
    }
    let end = rest.strip_prefix(b"--")?;
    let alone = memchr::memmem::find_iter(body, first.as_bytes()).count() == parts.len() + 1;
    (alone && (end.is_empty() || end == b"\r\n")).then_some(parts)
}

struct Part {
    name: String,
    is_text: bool,
    is_file: bool,
}

impl Part {
    fn read(head: &str) -> Option<Self> {
        let (mut name, mut is_text, mut file) = (None, true, false);
        for line in head.split("\r\n") {
            if line.contains(char::is_control) {
                return None;
            }
            let (field, value) = line.split_once(':')?;
            match field.to_ascii_lowercase().as_str() {
                "content-disposition" if name.is_none() => {
                    let (found, is_file) = disposition(value)?;
                    name = Some(found);
                    is_text &= !is_file;
                    file = is_file;
                }
                "content-type" => is_text &= in_utf8(value),
                _ => return None,
            }
        }
        Some(Self { name: name?, is_text, is_file: file })
    }
}

/// The name, and whether it is a file. Browsers escape quotes and line breaks in both (HTML §4.10.22.8).
fn disposition(value: &str) -> Option<(String, bool)> {
    let rest = value.trim().strip_prefix("form-data")?.strip_prefix("; name=\"")?;
    let (name, rest) = rest.split_once('"')?;
    if name.contains(['\\', '%']) || name.chars().any(char::is_control) {
        return None;
    }
    let file = rest.strip_prefix("; filename=\"").and_then(|rest| rest.strip_suffix('"'));
    let clean = rest.is_empty() || file.is_some_and(|file| !file.contains(['"', '\\']));
    clean.then(|| (name.to_owned(), file.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = " boundary=----WebKitFormBoundaryAbc";

    fn form(parts: &[(&str, &str)]) -> String {
        let part = |(head, value): &(&str, &str)| {
            format!("------WebKitFormBoundaryAbc\r\n{head}\r\n\r\n{value}\r\n")
        };
        parts.iter().map(part).collect::<String>() + "------WebKitFormBoundaryAbc--\r\n"
    }

    fn found(body: &str) -> Option<String> {
        match named("user", KIND, body.as_bytes()) {
            Some(Named::User(name)) => Some(name),
            Some(Named::Unclear) | None => None,
            Some(Named::Nobody) => panic!("{body:?} may name somebody"),
        }
    }

    #[test]
    fn a_browsers_form_is_read() {
        let body = form(&[
            ("Content-Disposition: form-data; name=\"csrf\"", "x\r\n--y"),
            ("Content-Disposition: form-data; name=\"user\"", "ada"),
            (
                "Content-Disposition: form-data; name=\"photo\"; filename=\"a b.png\"\r\nContent-Type: image/png",
                "\u{0}",
            ),
        ]);
        assert_eq!(found(&body).as_deref(), Some("ada"));
        let quoted = named("user", " boundary=\"----WebKitFormBoundaryAbc\"", body.as_bytes());
        assert_eq!(quoted, Some(Named::User("ada".into())));
        assert_eq!(named("email", KIND, body.as_bytes()), Some(Named::Nobody));
    }

    #[test]
    fn what_is_not_written_as_browsers_do_is_not_read() {
        let user = ("Content-Disposition: form-data; name=\"user\"", "ada");
        for other in [
            ("Content-Disposition: form-data; name=\"user\"", "eve"),
            ("Content-Disposition: form-data; name=\"USER\"", "eve"),
            ("Content-Disposition: form-data; name=user", "eve"),
            ("Content-Disposition: form-data; name=\"us\\er\"", "eve"),
            ("Content-Disposition: form-data; name=\"x\"; name=\"user\"", "eve"),
            ("Content-Disposition: form-data; name=\"x\"; name*=utf-8''user", "eve"),
            (
                "Content-Disposition: form-data; name=\"x\"\r\nContent-Disposition: form-data; name=\"user\"",
                "eve",
            ),
            ("Content-Disposition: form-data; name=\"x\"\r\nContent-Transfer-Encoding: base64", "eve"),
            ("Content-Disposition: form-data; name=\"user\"; filename=\"x\"", "eve"),
            ("X: y", "eve"),
        ] {
            assert_eq!(found(&form(&[user, other])), None, "{other:?}");
        }
        let good = form(&[user]);
        for bad in [
            good.replace("--\r\n", ""),
            format!("preamble\r\n{good}"),
            format!("{good}epilogue"),
            good.replace("\r\n", "\n"),
            good.replace("ada", "ada\n------WebKitFormBoundaryAbc\r\n\r\nx"),
            good.replace("ada", "ada------WebKitFormBoundaryAbc"),
            good.replace("name=\"user\"", "name=\"user\"; filename=\"a\nContent-Disposition: x; name=user\""),
            good.replace("name=\"user\"", "name=\"user\"\n"),
            good.replace("name=\"user\"", "name=\"user\"; filename=\"a\""),
            good.replace("name=\"user\"", "name=\"user\"\r\nContent-Type: text/plain; charset=utf-7"),
        ] {
            assert_eq!(found(&bad), None, "{bad:?}");
        }
        for kind in
            ["", " boundary=", " boundary=a b", " charset=utf-8; boundary=x", " boundary=a; boundary=b"]
        {
            assert_eq!(named("user", kind, good.as_bytes()), None, "{kind:?}");
        }
    }
}
