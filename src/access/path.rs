//! Paths and the patterns of rules: one reading of a path, or a refusal.
//!
//! A rule protects only if gateway and app read the same path. The request's bytes go to the app unchanged, so every
//! path that some app could read in another way (dot segments, doubled slashes, encoded delimiters, matrix
//! parameters) is refused here instead of being tidied up (RFC 9110 §7.7; HTTP-20).

mod spelling;

use std::borrow::Cow;
use std::fmt;

pub use crate::access::path::spelling::usual_spelling;

use crate::access::path::spelling::fold;

/// Why a path has no single reading. The answer is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum AmbiguousPath {
    /// It is empty or does not begin with a slash.
    NotAbsolute,
    /// It contains a control character, a space or a byte that must be percent-encoded.
    IllegalByte,
    /// It contains `\`, `;`, `?` or `#`.
    Delimiter,
    /// It contains one of these, `/`, `%` or a control character in percent-encoded form.
    EncodedDelimiter,
    /// A `%` is not followed by two hexadecimal digits.
    BadEscape,
    /// Its decoded form is not UTF-8.
    NotUtf8,
    /// It contains `//`.
    EmptySegment,
    /// One of its segments is `.` or `..`, encoded or not.
    DotSegment,
    /// Folding its full-width and other compatibility characters would give it another structure.
    Lookalike,
    /// It is of one site by its bytes, and of another of the same host if letter case, or dots and blanks at a name's
    /// end, do not count.
    BetweenSites,
}

impl AmbiguousPath {
    /// The reason for logs and answers.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotAbsolute => "the path does not begin with a slash",
            Self::IllegalByte => "the path contains a byte that must be percent-encoded",
            Self::Delimiter => "the path contains a backslash or semicolon",
            Self::EncodedDelimiter => "the path contains a percent-encoded delimiter or control character",
            Self::BadEscape => "the path contains an incomplete percent-escape",
            Self::NotUtf8 => "the path is not UTF-8",
            Self::EmptySegment => "the path contains an empty segment",
            Self::DotSegment => "the path contains a dot segment",
            Self::Lookalike => "the path contains look-alikes of dots or delimiters",
            Self::BetweenSites => "the path is nearly that of another site",
        }
    }
}

/// What gives a path its structure.
const DELIMITERS: [char; 6] = ['/', '\\', ';', '?', '#', '%'];

/// A path that gateway and app cannot read differently, percent-decoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath {
    text: Box<str>,
    /// The same, [`loose`]; nothing where that changes nothing.
    folded: Option<Box<str>>,
}

impl CanonicalPath {
    /// Reads the path of a request target, without its query.
    pub fn parse(raw: &str) -> Result<Self, AmbiguousPath> {
        if !raw.starts_with('/') {
            return Err(AmbiguousPath::NotAbsolute);
        }
        for byte in raw.bytes() {
            match byte {
                0..=b' ' | 0x7f.. => return Err(AmbiguousPath::IllegalByte),
                b'\\' | b';' | b'?' | b'#' => return Err(AmbiguousPath::Delimiter),
                _ => {}
            }
        }
        let decoded = decode(raw)?;
        check_segments(&decoded)?;
        let folded = fold(&decoded);
        if !decoded.is_ascii() && is_reshaped(&decoded, &folded) {
            return Err(AmbiguousPath::Lookalike);
        }
        let folded = unpadded(folded);
        let folded = (folded != decoded).then(|| folded.into());
        Ok(Self { text: decoded.into(), folded })
    }

    /// The percent-decoded path.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How the path is compared, [`loose`].
    fn folded(&self) -> &str {
        self.folded.as_deref().unwrap_or(&self.text)
    }

    /// Whether a segment names version control data or an environment file, which no app means to serve
    /// (ASVS 13.4.1): such requests are answered 404 and never reach the app.
    pub fn is_never_served(&self) -> bool {
        const NEVER: [&str; 4] = [".git", ".svn", ".hg", ".env"];
        // File systems that ignore case serve `.GIT` too.
        self.folded().split('/').any(|segment| NEVER.contains(&segment))
    }

    /// Whether some app could take the path for one at or below `mount`, as [`Pattern::matches_loosely`] has it.
    pub fn is_loosely_within(&self, mount: &str) -> bool {
        let stem = mount.strip_suffix('/').unwrap_or(mount);
        below(self.folded(), &loose(stem)).is_some()
    }

    /// Whether the path is `mount` itself or below it, by whole segments and byte for byte; `/` holds everything.
    pub fn is_within(&self, mount: &str) -> bool {
        let stem = mount.strip_suffix('/').unwrap_or(mount);
        let rest = self.text.strip_prefix(stem);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn check_segments(path: &str) -> Result<(), AmbiguousPath> {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        // Windows drops spaces at a name's end.
        match segment.trim_end_matches(' ') {
            "." | ".." => return Err(AmbiguousPath::DotSegment),
            _ if segment.is_empty() && segments.peek().is_some() => return Err(AmbiguousPath::EmptySegment),
            _ => {}
        }
    }
    Ok(())
}

/// Whether the structure of a path changes when its letters are folded, as some file systems and frameworks do before
/// they look at it.
fn is_reshaped(path: &str, folded: &str) -> bool {
    let delimiters = |text: &str| text.matches(DELIMITERS).count();
    delimiters(folded) != delimiters(path) || check_segments(folded).is_err()
}

/// Percent-decodes once, refusing what would act as a delimiter if somebody decoded again or decoded earlier.
fn decode(raw: &str) -> Result<Cow<'_, str>, AmbiguousPath> {
    if !raw.contains('%') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut bytes = raw.bytes();
    let mut decoded = Vec::with_capacity(raw.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(hex).ok_or(AmbiguousPath::BadEscape);
        let byte = digit()? << 4 | digit()?;
        if matches!(byte, b'/' | b'\\' | b';' | b'?' | b'#' | b'%' | 0..b' ' | 0x7f) {
            return Err(AmbiguousPath::EncodedDelimiter);
        }
        decoded.push(byte);
    }
    let text = String::from_utf8(decoded).map_err(|_malformed| AmbiguousPath::NotUtf8)?;
    if text.chars().any(char::is_control) {
        return Err(AmbiguousPath::EncodedDelimiter);
    }
    Ok(Cow::Owned(text))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It does not begin with a slash.
    #[error("a path begins with `/`")]
    NotAbsolute,
    /// `*` stands elsewhere than alone in the last segment.
    #[error("`*` may only be the whole last segment, as in `/static/*`")]
    Star,
    /// No request's path could match: it has an empty or dot segment.
    #[error("`//`, `.` and `..` never match, because such requests are refused")]
    Segment,
    /// No request's path could match: it has look-alikes of dots or delimiters.
    #[error(
        "look-alikes of dots, slashes and other delimiters never match, because such requests are refused"
    )]
    Lookalike,
    /// No request's path could match: it has a delimiter, an escape or a control character.
    #[error("`{0}` never matches: write the path decoded and without query or parameters")]
    Character(char),
}

/// The path of a rule: exact, or everything at and below a path (`/x/*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The path without `/*`.
    stem: Box<str>,
    /// The same in the folding of [`Pattern::matches_loosely`], without trailing slash.
    folded: Box<str>,
    /// Whether paths below match too.
    below: bool,
}

impl Pattern {
    /// Reads a pattern, written as the decoded path.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') {
            return Err(PatternError::NotAbsolute);
        }
        let (stem, below) = text.strip_suffix("/*").map_or((text, false), |stem| (stem, true));
        let illegal = |c: &char| matches!(c, '\\' | ';' | '?' | '#' | '%') || c.is_control();
        if let Some(character) = stem.chars().find(illegal) {
            return Err(PatternError::Character(character));
        }
        if stem.contains('*') {
            return Err(PatternError::Star);
        }
        let trimmed = stem.strip_suffix('/').filter(|_| !below).unwrap_or(stem);
        let mut segments = trimmed.split('/').skip(1);
        if segments.any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(PatternError::Segment);
        }
        if is_reshaped(trimmed, &fold(trimmed)) {
            return Err(PatternError::Lookalike);
        }
        Ok(Self { stem: stem.into(), folded: loose(trimmed).into(), below })
    }

    /// The pattern that every path matches, `/*`.
    pub fn everything() -> Self {
        Self { stem: "".into(), folded: "".into(), below: true }
    }

    /// The pattern for this path and all below it, if this one is for the path alone.
    pub fn with_below(&self) -> Option<Self> {
        let stem = self.stem.strip_suffix('/').unwrap_or(&self.stem);
        (!self.below).then(|| Self { stem: stem.into(), folded: self.folded.clone(), below: true })
    }

    /// Whether all that `other` matches is matched by this one, taken loosely.
    pub fn covers(&self, other: &Self) -> bool {
        match other.folded.strip_prefix(&*self.folded) {
            Some("") => self.below || !other.below,
            Some(rest) => self.below && rest.starts_with('/'),
            None => false,
        }
    }

    /// Whether both match the same, taken loosely.
    pub fn is_same(&self, other: &Self) -> bool {
        self.covers(other) && other.covers(self)
    }

    /// Whether `path` is the pattern's, byte for byte: for rules that open something.
    pub fn matches_exactly(&self, path: &CanonicalPath) -> bool {
        if self.below { path.is_within(&self.stem) } else { *path.text == *self.stem }
    }

    /// Whether some app could take `path` for the pattern's: without regard to letter case and trailing slash, as
    /// Express does, to dots and blanks at a name's end, as Windows does, and to how Unicode spells a letter, as file
    /// systems of macOS do. For rules that restrict something.
    pub fn matches_loosely(&self, path: &CanonicalPath) -> bool {
        below(path.folded(), &self.folded).is_some_and(|rest| self.below || rest == Rest::Nothing)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.stem)?;
        formatter.write_str(if self.below { "/*" } else { "" })
    }
}

/// What of a path is left below another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// Nothing, or a slash.
    Nothing,
    /// Something.
    More,
}

/// What is left of the folded `path` below the folded `stem`; nothing if it is not there.
fn below(path: &str, stem: &str) -> Option<Rest> {
    match path.strip_prefix(stem)? {
        "" | "/" => Some(Rest::Nothing),
        rest => rest.starts_with('/').then_some(Rest::More),
    }
}

/// Text of a path in the form in which what restricts is compared, the same for requests and patterns.
fn loose(text: &str) -> Cow<'_, str> {
    unpadded(fold(text))
}

/// The path without the dots and blanks at its names' ends, which file systems of Windows drop, and without blanks before
/// them, which some frameworks do (CVE-2016-5007).
fn unpadded(path: Cow<'_, str>) -> Cow<'_, str> {
    const PADDING: [char; 2] = ['.', ' '];
    let bare = |segment: &str| !segment.ends_with(PADDING) && !segment.starts_with(' ');
    if path.split('/').all(bare) {
        return path;
    }
    let trimmed = |segment: &str| segment.trim_end_matches(PADDING).trim_start_matches(' ').to_owned();
    Cow::Owned(path.split('/').map(trimmed).collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests;
