//! One log line in either form, safe to read by people, terminals and parsers (ASVS 16.4.1, attacks N07).
//!
//! Whatever a value holds, a line stays one line with the fields it was given: quotes, backslashes, control
//! characters, and characters that reorder or hide text are written as JSON escapes in both forms, and a value longer
//! than [`MAX_VALUE_BYTES`] is cut.

use std::cell::Cell;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::net::ClientAddr;
use crate::syntax::text::is_hidden;
use crate::telemetry::Format;

/// No value takes more of a line than this, before escaping.
pub(crate) const MAX_VALUE_BYTES: usize = 2048;

/// What marks a value that was cut.
const CUT: &str = "…";

/// What a field is called, and whether the text form says so.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    /// `name=value` in text.
    Named(&'static str),
    /// The value alone in text: its place says what it is.
    Bare(&'static str),
}

/// A line being written to the end of a buffer.
pub(crate) struct Line<'a> {
    out: &'a mut Vec<u8>,
    format: Format,
}

impl<'a> Line<'a> {
    /// Begins a line with the time.
    pub(crate) fn open(out: &'a mut Vec<u8>, format: Format, now: Timestamp) -> Self {
        match format {
            Format::Text => moment(out, now),
            Format::Json => {
                out.extend_from_slice(b"{\"time\":\"");
                moment(out, now);
                out.push(b'"');
            }
        }
        Self { out, format }
    }

    /// Adds text of any origin.
    pub(crate) fn text(&mut self, key: Key, value: &str) {
        self.key(key);
        let kept = value.get(..value.floor_char_boundary(MAX_VALUE_BYTES)).unwrap_or(value);
        let cut = kept.len() < value.len();
        let quoted = self.format == Format::Json || cut || !reads_as_one_word(kept);
        if quoted {
            self.out.push(b'"');
        }
        escape(self.out, kept);
        if cut {
            self.out.extend_from_slice(CUT.as_bytes());
        }
        if quoted {
            self.out.push(b'"');
        }
    }

    /// Adds text if there is any. A bare field that is missing leaves a dash in its place, a named one is left out.
    pub(crate) fn maybe(&mut self, key: Key, value: Option<&str>) {
        match (value, key, self.format) {
            (Some(value), ..) => self.text(key, value),
            (None, Key::Bare(_), Format::Text) => self.out.extend_from_slice(b" -"),
            (None, Key::Named(_), _) | (None, _, Format::Json) => {}
        }
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, key: Key, value: u64) {
        self.key(key);
        decimal(self.out, value);
    }

    /// Adds a duration: in JSON as a number of milliseconds with three decimals.
    pub(crate) fn duration(&mut self, key: Key, value: Duration) {
        self.key(key);
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        decimal(self.out, micros / 1000);
        self.out.push(b'.');
        three_digits(self.out, micros % 1000);
        if self.format == Format::Text {
            self.out.extend_from_slice(b"ms");
        }
    }

    /// Adds an address.
    pub(crate) fn address(&mut self, key: Key, value: ClientAddr) {
        match value.0.to_canonical() {
            // By hand, because the usual way costs as much as the rest of an access line.
            IpAddr::V4(address) => {
                self.key(key);
                let quote: &[u8] = if self.format == Format::Json { b"\"" } else { b"" };
                self.out.extend_from_slice(quote);
                let [a, b, c, d] = address.octets();
                decimal(self.out, a.into());
                for octet in [b, c, d] {
                    self.out.push(b'.');
                    decimal(self.out, octet.into());
                }
                self.out.extend_from_slice(quote);
            }
            IpAddr::V6(address) => self.text(key, &address.to_string()),
        }
    }

    /// Ends the line.
    pub(crate) fn close(self) {
        if self.format == Format::Json {
            self.out.push(b'}');
        }
        self.out.push(b'\n');
    }

    fn key(&mut self, key: Key) {
        match (self.format, key) {
            (Format::Json, Key::Named(name) | Key::Bare(name)) => {
                self.out.extend_from_slice(b",\"");
                self.out.extend_from_slice(name.as_bytes());
                self.out.extend_from_slice(b"\":");
            }
            (Format::Text, Key::Named(name)) => {
                self.out.push(b' ');
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b'=');
            }
            (Format::Text, Key::Bare(_)) => self.out.push(b' '),
        }
    }
}

/// Appends `text` as the inside of a JSON string in which nothing is invisible.
pub(crate) fn escape(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            hidden if is_hidden(hidden) => escape_by_number(out, hidden),
            shown => out.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn escape_by_number(out: &mut Vec<u8>, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(b"\\u");
        for shift in [12, 8, 4, 0] {
            let digit = char::from_digit(u32::from(*unit >> shift) & 0xf, 16).unwrap_or('0');
            out.extend_from_slice(digit.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn reads_as_one_word(text: &str) -> bool {
    !text.is_empty() && text != "-" && text.bytes().all(|byte| is_plain(byte) && byte != b' ')
}

/// RFC 3339 in UTC with milliseconds. All lines of one second share its text, made once per thread.
fn moment(out: &mut Vec<u8>, now: Timestamp) {
    const UNKNOWN: [u8; 19] = *b"9999-12-31T23:59:59";
    thread_local! { static SECOND: Cell<(u64, [u8; 19])> = const { Cell::new((u64::MAX, UNKNOWN)) } }
    let (second, mut text) = SECOND.get();
    if second != now.as_secs() {
        let mut full = String::new();
        let written = write!(full, "{now}").is_ok();
        text = full.as_bytes().first_chunk().copied().filter(|_| written).unwrap_or(UNKNOWN);
        SECOND.set((now.as_secs(), text));
    }
    out.extend_from_slice(&text);
    out.push(b'.');
    three_digits(out, now.as_millis() % 1000);
    out.push(b'Z');
}

fn decimal(out: &mut Vec<u8>, value: u64) {
    if value >= 10 {
        decimal(out, value / 10);
    }
    out.push(b'0' + u8::try_from(value % 10).unwrap_or(0));
}

fn three_digits(out: &mut Vec<u8>, value: u64) {
    for unit in [100, 10, 1] {
        out.push(b'0' + u8::try_from(value / unit % 10).unwrap_or(0));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What outsiders try to slip into a log (attacks N07).
    pub(crate) const INJECTIONS: [&str; 12] = [
        "line\r\nbreak",
        "\"},{\"event\":\"sys_startup\"",
        "back\\slash\\",
        "nul\0and\u{7f}delete",
        "\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}",
        "\u{9b}31m eight-bit \u{85}",
        "\u{202e}gnp.exe\u{202c}",
        "\u{2066}isolate\u{2069}\u{200f}\u{61c}",
        "para\u{2029}graph\u{2028}",
        "zero\u{200b}width\u{feff}\u{e0041}tag",
        "key=value level=INFO",
        "é plain but not ASCII 語",
    ];

    fn line(format: Format, fill: impl FnOnce(&mut Line<'_>)) -> String {
        let mut out = Vec::new();
        let mut line = Line::open(&mut out, format, Timestamp::from_millis(1_700_000_000_123));
        fill(&mut line);
        line.close();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn any_text_comes_back_from_a_json_parser_and_from_the_text_form() {
        for evil in INJECTIONS {
            let json = line(Format::Json, |line| line.text(Key::Named("path"), evil));
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(value["path"], evil);
            assert_eq!(value.as_object().unwrap().len(), 2, "{json}");

            let text = line(Format::Text, |line| line.text(Key::Named("path"), evil));
            let quoted = text.trim_end().split_once("path=").unwrap().1;
            assert_eq!(serde_json::from_str::<String>(quoted).unwrap(), evil);

            for written in [json, text] {
                let inside = written.strip_suffix('\n').unwrap();
                assert!(!inside.chars().any(is_hidden), "{inside:?}");
            }
        }
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let long = "é".repeat(MAX_VALUE_BYTES);
        let json = line(Format::Json, |line| line.text(Key::Named("reason"), &long));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let kept = value["reason"].as_str().unwrap().strip_suffix(CUT).unwrap();
        assert_eq!(kept, "é".repeat(MAX_VALUE_BYTES / 2));
    }

    #[test]
    fn the_text_form_quotes_only_what_is_not_one_word() {
        let text = line(Format::Text, |line| {
            line.text(Key::Bare("word"), "/a?b=c");
            line.text(Key::Named("two"), "a b");
            line.text(Key::Named("none"), "");
            line.text(Key::Bare("dash"), "-");
            line.maybe(Key::Bare("missing"), None);
            line.maybe(Key::Named("left_out"), None);
        });
        assert_eq!(text, "2023-11-14T22:13:20.123Z /a?b=c two=\"a b\" none=\"\" \"-\" -\n");
    }

    #[test]
    fn numbers_durations_and_addresses_have_one_form() {
        let client = |text: &str| ClientAddr(text.parse().unwrap());
        let text = line(Format::Text, |line| {
            line.number(Key::Bare("n"), 0);
            line.number(Key::Bare("n"), u64::MAX);
            line.duration(Key::Bare("d"), Duration::from_micros(12_034));
            line.address(Key::Bare("a"), client("::ffff:192.0.2.10"));
            line.address(Key::Bare("a"), client("2001:db8::1"));
        });
        let expected = "0 18446744073709551615 12.034ms 192.0.2.10 2001:db8::1\n";
        assert_eq!(text.split_once("Z ").unwrap().1, expected);
        let json = line(Format::Json, |line| {
            line.duration(Key::Bare("duration_ms"), Duration::from_micros(7));
            line.address(Key::Bare("client"), client("192.0.2.10"));
        });
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["duration_ms"], 0.007);
        assert_eq!(value["client"], "192.0.2.10");
    }

    #[test]
    fn the_time_follows_the_clock_in_both_directions_and_to_its_end() {
        let at = |millis| {
            let mut out = Vec::new();
            moment(&mut out, Timestamp::from_millis(millis));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(at(1_700_000_000_999), "2023-11-14T22:13:20.999Z");
        assert_eq!(at(1_700_000_001_000), "2023-11-14T22:13:21.000Z");
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert!(at(u64::MAX).starts_with("9999-12-31T23:59:59."));
    }
}
