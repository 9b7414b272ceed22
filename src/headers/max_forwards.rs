//! How many more gateways an `OPTIONS` request may pass (RFC 9110 §7.6.2).

use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::header::MAX_FORWARDS;

/// Counts this gateway as one of those an `OPTIONS` request passes. `true` if it may go no further: it is for us to
/// answer. Of other methods, and where the field is no number, nothing is said.
pub fn ends_here(headers: &mut HeaderMap, method: &Method) -> bool {
    if method != Method::OPTIONS {
        return false;
    }
    let Some(left) = headers.get(MAX_FORWARDS).and_then(number) else { return false };
    match left.checked_sub(1) {
        None => true,
        Some(left) => {
            headers.insert(MAX_FORWARDS, HeaderValue::from(left));
            false
        }
    }
}

fn number(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    // A sign is no digit here, though it is one to Rust.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_options_are_counted() {
        for (method, field, ends, left) in [
            (Method::OPTIONS, "0", true, "0"),
            (Method::OPTIONS, "1", false, "0"),
            (Method::OPTIONS, "007", false, "6"),
            (Method::OPTIONS, "+0", false, "+0"),
            (Method::OPTIONS, "", false, ""),
            (Method::OPTIONS, "99999999999999999999", false, "99999999999999999999"),
            (Method::GET, "0", false, "0"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(MAX_FORWARDS, HeaderValue::from_str(field).unwrap());
            assert_eq!(ends_here(&mut headers, &method), ends, "{method} {field}");
            assert_eq!(headers.get(MAX_FORWARDS).unwrap(), left, "{method} {field}");
        }
        assert!(!ends_here(&mut HeaderMap::new(), &Method::OPTIONS));
    }
}
