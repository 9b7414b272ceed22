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

/// Whether a piece of a path is more like an id than a word: ASP.NET's `(S(…))`, and what is long with digits in it.
fn is_id(piece: &str) -> bool {
    const LONG: usize = 16;
    let digits = piece.bytes().filter(u8::is_ascii_digit).count();
    let words = piece.split(['-', '_', '.']).all(|word| word.len() < LONG);
    piece.to_ascii_lowercase().starts_with("(s(")
        || piece.len() >= LONG && digits >= 4 && !(words && digits < LONG)
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
        ] {
            let url = url::Url::parse(&format!("https://app.example{path}")).unwrap();
            assert_eq!(shown_path(&url), expected);
        }
    }

    proptest! {
        #[test]
        fn nothing_but_printable_text_comes_out(bytes: Vec<u8>) {
            let text = shown(&bytes);
            prop_assert!(text.chars().all(|char| char == '…' || (' '..='~').contains(&char)), "{text:?}");
        }
    }
}
