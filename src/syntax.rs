//! HTTP/1 as bytes, for whoever reads it: which may stand where (RFC 9110 §5.5, §5.6.2; RFC 9112 §3.2), as tables, and how
//! chunks are framed.

pub(crate) mod chunks;
pub(crate) mod text;

/// Bytes of a target at most; more is answered with 414.
pub(crate) const MAX_TARGET: usize = 8 * 1024;
/// Bytes of a method at most; the longest registered one has 17.
pub(crate) const MAX_METHOD: usize = 32;

const TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
// What RFC 3986 lets into a path and a query.
const TARGET: [bool; 256] = table(b"!$%&'()*+,-./:;=?@[]_~");

/// Whether `bytes` is a method: a token without lower-case letters. Methods are case-sensitive, and all that exist are
/// written in capitals: a lower-case one is either a mistake or a try to slip past a rule.
pub(crate) fn is_method(bytes: &[u8]) -> bool {
    (1..=MAX_METHOD).contains(&bytes.len()) && is_token(bytes) && !bytes.iter().any(u8::is_ascii_lowercase)
}

/// Whether `bytes` is a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| holds(&TOKEN, *byte))
}

/// Whether `byte` may stand in a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    holds(&TOKEN, byte)
}

/// Whether `bytes` is a target that hyper will take whole: visible ASCII without `#`, which `http::Uri` cuts at without a
/// word. What is not plainly a path goes through `http::Uri` itself, so that nothing passes here and fails there.
pub(crate) fn is_target(bytes: &[u8]) -> bool {
    let plain = bytes.first() == Some(&b'/') && bytes.iter().all(|byte| holds(&TARGET, *byte));
    let visible = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
    plain || (bytes.iter().all(visible) && http::Uri::try_from(bytes).is_ok())
}

/// Whether `bytes` may be a field's value: no control character but the tab.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    // No early exit within a block: so the compiler makes it a few vector instructions.
    let bad = |byte: &u8| u8::from(*byte < b' ' && *byte != b'\t') | u8::from(*byte == 0x7F);
    let clean = |block: &[u8]| block.iter().fold(0, |found, byte| found | bad(byte)) == 0;
    bytes.chunks(64).all(clean)
}

/// `value` without the optional white space around it.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

fn holds(table: &[bool; 256], byte: u8) -> bool {
    table.get(usize::from(byte)).copied().unwrap_or(false)
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses an index beyond the end"
)]
const fn table(marks: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = true;
        }
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyper_can_take_every_target_that_passes() {
        for byte in 0..=255_u8 {
            for target in [vec![b'/', byte], vec![b'/', b'?', byte], vec![b'/', b'a', byte, b'b']] {
                if is_target(&target) {
                    let uri = http::Uri::try_from(target.as_slice()).unwrap();
                    assert_eq!(uri.to_string().as_bytes(), target, "byte {byte:#x} did not survive");
                }
            }
        }
        assert!(!is_target(b"/a#b") && !is_target(b"/\x7f") && !is_target("/\u{e9}".as_bytes()));
    }

    #[test]
    fn every_name_and_value_that_passes_is_one_for_the_header_map() {
        for byte in 0..=255_u8 {
            if is_token(&[byte]) {
                assert!(http::HeaderName::from_bytes(&[byte]).is_ok(), "name byte {byte:#x}");
            }
            if is_value(&[byte]) {
                assert!(http::HeaderValue::from_bytes(&[byte]).is_ok(), "value byte {byte:#x}");
            }
        }
        assert!(is_value(b"a\tb \xff") && !is_value(b"a\0b") && !is_value(b"a\rb") && !is_value(b"\x7f"));
    }

    #[test]
    fn methods_are_short_and_in_capitals() {
        assert!(is_method(b"GET") && is_method(b"M-SEARCH"));
        for bad in [&b""[..], b"get", b"GET?", b"G\tT", &[b'A'; 33]] {
            assert!(!is_method(bad), "{bad:?} passed for a method");
        }
    }

    #[test]
    fn trimming_takes_blanks_only() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
        assert_eq!(trim(b"\x0ba"), b"\x0ba");
    }
}
