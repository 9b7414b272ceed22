//! Letters that some app or file system takes for the same, by whichever code points they are spelled.
//!
//! Much like the `NFKC_Casefold` of Unicode (Standard, §5.18): case, compatibility forms such as full-width letters,
//! and marks that stand beside their letter do not count, nor does what shows nothing; every blank is a space. macOS
//! decomposes names and drops what shows nothing, Windows and databases fold case and width.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

/// The text as it is compared.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        let upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
        return if upper { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) };
    }
    // By way of upper case, so that letters which only meet there (`ß` and `ss`) are one, and to that by way of lower
    // case, which `ẞ` alone has.
    let caseless = shown(text)
        .nfkd()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase);
    // A compatibility form may show a blank, and another case may be a composed letter.
    Cow::Owned(caseless.nfkd().map(blank).collect())
}

/// How keyboards spell `text`: each letter in one with its marks (NFC), and plain blanks. Nothing if it is spelled so. Full
/// width and what does not show are somebody's ordinary writing.
pub fn usual_spelling(text: &str) -> Option<String> {
    let usual: String = text.nfc().map(|char| if is_odd_blank(char) { ' ' } else { char }).collect();
    (usual != text).then_some(usual)
}

/// Blanks that come with text which was copied from a page. That between ideographs (U+3000) is typed.
fn is_odd_blank(char: char) -> bool {
    char.is_whitespace() && !matches!(char, ' ' | '\u{3000}')
}

fn shown(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|char| !is_ignorable(*char))
}

fn blank(char: char) -> char {
    if char.is_whitespace() { ' ' } else { char }
}

/// `Default_Ignorable_Code_Point` of Unicode's `DerivedCoreProperties.txt`.
fn is_ignorable(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}
