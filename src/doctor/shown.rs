//! What a foreign server said, as it may stand in a report: no byte of it can play tricks on a terminal or fill a screen.

/// No quotation is longer, in characters of the original.
const LONGEST: usize = 80;

/// `bytes` with everything but printable ASCII written as an escape, and cut.
///
/// Only ASCII: what hides or reorders text (controls, bidirectional marks, look-alikes) is beyond it.
pub(crate) fn shown(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let kept = bytes.get(..LONGEST).unwrap_or(bytes);
    let cut = if kept.len() < bytes.len() { "…" } else { "" };
    // `escape_ascii` also escapes quotes and backslashes; quotes are harmless and common.
    let escaped = kept.escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'");
    format!("{escaped}{cut}")
}

/// A URL without what may be secret in it: user, query, fragment, what follows a semicolon in its path, and pieces of the
/// path that look like an id. Some apps carry a session there, others what somebody was mailed.
pub(crate) fn shown_url(url: &url::Url) -> String {
    format!("{}{}", shown(url.origin().ascii_serialization()), shown_path(url))
}

/// The path alone, in the same way.
pub(crate) fn shown_path(url: &url::Url) -> String {
    let path = url.path().split(';').next().unwrap_or_default();
    let more = if url.query().is_some() || path.len() < url.path().len() { "?…" } else { "" };
    format!("{}{more}", shown_pieces(path))
}

/// A path as it was written, without pieces that look like an id.
pub(crate) fn shown_pieces(path: &str) -> String {
    let pieces: Vec<String> = path.split('/').map(piece).collect();
    cut(&pieces.join("/"))
}

fn piece(text: &str) -> String {
    if is_id(text) { "…".to_owned() } else { text.as_bytes().escape_ascii().to_string() }
}

/// Whether a piece of a path may be an id: it is not short, and not made of words and small numbers alone. In doubt it is
/// one, since a report is passed around.
fn is_id(piece: &str) -> bool {
    const SHORT: usize = 10;
    let aspnet = piece.to_ascii_lowercase().starts_with("(s(");
    aspnet
        || piece.len() >= SHORT && !piece.split(['-', '_', '.']).all(|part| is_number(part) || is_word(part))
}

// A day, at most.
fn is_number(part: &str) -> bool {
    part.len() <= 8 && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether this is a word as paths have them: `settings`, `oauth2`, `Account`, or nothing.
fn is_word(part: &str) -> bool {
    let letters = part.trim_end_matches(|char: char| char.is_ascii_digit());
    let small = letters.strip_prefix(|char: char| char.is_ascii_uppercase()).unwrap_or(letters);
    letters.len() <= 13
        && part.len() - letters.len() <= 2
        && small.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let kept: String = chars.by_ref().take(LONGEST).collect();
    if chars.next().is_some() { kept + "…" } else { kept }
}

/// How a number of things is said.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quotation_cannot_play_tricks_on_a_terminal() {
        assert_eq!(shown(b"a\x1b[2J\r\n\x00b"), "a\\x1b[2J\\r\\n\\x00b");
        assert_eq!(shown("x\u{202e}y"), "x\\xe2\\x80\\xaey");
        assert_eq!(shown("say \"it's\""), "say \"it's\"");
    }

    #[test]
    fn a_quotation_is_short() {
        assert_eq!(shown([b'a'; 1000]).chars().count(), LONGEST + 1);
    }

    #[test]
    fn what_may_be_a_session_in_an_address_is_not_shown() {
        let url = url::Url::parse("https://ann:pw@app.example/x;jsessionid=1234?sid=5#f").unwrap();
        assert_eq!(shown_url(&url), "https://app.example/x?…");
        assert_eq!(shown_path(&url), "/x?…");
    }

    #[test]
    fn ids_in_paths_are_not_shown() {
        for (path, expected) in [
            ("/(S(lit3py55t21z5v55vlm25s55))/orders", "/…/orders"),
            ("/session/6b2f0c9d1e8a4f53b7/x", "/session/…/x"),
            ("/reset/Jq2c9U3m-8r0yPzK1xW7vT5bN4sD6gHhLfA_eQoIuYk", "/reset/…"),
            ("/blog/2026-11-a-long-title-of-words", "/blog/2026-11-a-long-title-of-words"),
            ("/vestibule-doctor-1", "/vestibule-doctor-1"),
            ("/wp-content/themes/twenty-twenty/style.css", "/wp-content/themes/twenty-twenty/style.css"),
            ("/Account/Resetpassword/step2", "/Account/Resetpassword/step2"),
            ("/.well-known/change-password", "/.well-known/change-password"),
            ("/static/jquery-3.7.1.min.js", "/static/jquery-3.7.1.min.js"),
            ("/reset/MzE.abc123-5f2e9d10c4", "/reset/…"),
        ] {
            let url = url::Url::parse(&format!("https://app.example{path}")).unwrap();
            assert_eq!(shown_path(&url), expected);
        }
    }

    proptest! {
        #[test]
        fn random_ids_of_any_usual_spelling_are_not_shown(bytes: [u8; 32]) {
            let base64 = |bytes: &[u8]| crate::crypto::base64url(bytes);
            let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
            let of = |letters: &[u8]| -> String {
                bytes.iter().map(|byte| char::from(letters[usize::from(*byte) % letters.len()])).collect()
            };
            let [a, b, c, d, e] = [(0, 4), (4, 6), (6, 8), (8, 10), (10, 16)].map(|(from, to)| hex(&bytes[from..to]));
            for id in [
                base64(&bytes[..16]), base64(&bytes[..24]), base64(&bytes),
                hex(&bytes[..8]), hex(&bytes), format!("{a}-{b}-{c}-{d}-{e}"),
                of(b"abcdefghijklmnopqrstuvwxyz234567"), of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
                of(b"abcdefghijklmnopqrstuvwxyz"), of(b"0123456789"),
            ] {
                prop_assert_eq!(shown_pieces(&format!("/reset/{id}/x")), "/reset/…/x", "{}", id);
            }
        }

        #[test]
        fn nothing_but_printable_text_comes_out(bytes: Vec<u8>) {
            let text = shown(&bytes);
            prop_assert!(text.chars().all(|char| char == '…' || (' '..='~').contains(&char)), "{text:?}");
        }
    }
}
