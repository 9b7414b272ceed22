//! What YAML allows and a configuration does not: looked for in the text itself, before it is loaded, because a
//! loaded tree no longer shows it.
//!
//! Anchors, aliases and tags let a value come from somewhere a reader does not look (and grow a small file into a
//! huge one); a second document would be ignored; tabs and byte order marks are invisible.

use std::ops::Range;

/// A configuration of more bytes is none.
pub(crate) const MAX_BYTES: usize = 256 * 1024;
/// Blocks and lists inside each other; the deepest setting stands at seven.
pub(crate) const MAX_DEPTH: usize = 16;
/// Said by the loader when [`MAX_DEPTH`] is passed.
pub(crate) const TOO_DEEP: &str = "blocks and lists are nested too deeply";

/// Why a text is not a configuration's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) span: Option<Range<usize>>,
    pub(crate) text: String,
    pub(crate) help: String,
}

/// Everything in `text` that a configuration must not contain.
pub(crate) fn refusals(text: &str) -> Vec<Refusal> {
    if text.len() > MAX_BYTES {
        return vec![refusal(
            None,
            "the file is larger than 256 KiB",
            "a configuration is a few pages at most: is this the right file?",
        )];
    }
    if text.starts_with('\u{feff}') {
        return vec![refusal(
            Some(0..3),
            "the file begins with a byte order mark",
            "save it as UTF-8 without a byte order mark (BOM)",
        )];
    }
    Scan::new(text).run()
}

fn refusal(span: Option<Range<usize>>, text: &str, help: &str) -> Refusal {
    Refusal { span, text: text.to_owned(), help: help.to_owned() }
}

/// The loader's own error in words that help.
pub(crate) fn explain(text: &str, error: &serde_yaml::Error) -> Refusal {
    let message = error.to_string();
    let said = message.split(" at line ").next().unwrap_or(&message);
    let said = said.rsplit(": ").next().unwrap_or(said);
    let help = if said.contains("mapping values are not allowed") {
        "put a value that contains `: ` in quotes, and begin a block of settings on a line of its own"
    } else if said.contains("cannot start any token") {
        "put text that begins with `@`, `` ` `` or `%` in quotes"
    } else if said.contains("unexpected end of stream") || said.contains("end of stream") {
        "close the quote or bracket that is still open"
    } else if said == TOO_DEEP || said.contains("recursion limit") {
        "no setting stands deeper than seven levels: check the indentation and the brackets"
    } else {
        "check the indentation of this line and the one above it, and that quotes and brackets are closed"
    };
    let span = error.location().map(|location| word_at(text, location.index()));
    let text = if said == TOO_DEEP { said.to_owned() } else { format!("this is not YAML: {said}") };
    Refusal { span, text, help: help.to_owned() }
}

/// The bytes of the word that begins at the byte `start`; behind the end of the text, its last character.
pub(crate) fn word_at(text: &str, start: usize) -> Range<usize> {
    let last = text.char_indices().next_back().map_or(0, |(last, _)| last);
    let start = text.floor_char_boundary(start.min(last));
    let rest = text.get(start..).unwrap_or_default();
    start..start + word_length(rest)
}

fn word_length(rest: &str) -> usize {
    let mut chars = rest.chars();
    match chars.next() {
        None => 0,
        Some(quote @ ('"' | '\'')) => quoted_length(rest, quote),
        Some(bracket @ ('[' | '{' | '-')) if bracket != '-' || rest.starts_with("- ") => 1,
        Some(first) => {
            let end = rest.char_indices().find(|(at, char)| ends_word(rest, *at, *char));
            end.map_or_else(|| rest.trim_end().len(), |(at, _)| at).max(first.len_utf8())
        }
    }
}

fn ends_word(rest: &str, at: usize, char: char) -> bool {
    let after = rest.get(at + char.len_utf8()..).and_then(|rest| rest.chars().next());
    match char {
        '\n' | '\r' | ',' | ']' | '}' => true,
        ' ' => after.is_none_or(|next| next == '#' || next.is_whitespace()),
        ':' => after.is_none_or(char::is_whitespace),
        _ => false,
    }
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char == '\n' {
            return at;
        }
        if char == '\\' && quote == '"' {
            chars.next();
        } else if char == quote {
            match chars.peek() {
                Some((_, next)) if *next == quote && quote == '\'' => {
                    chars.next();
                }
                Some(_) | None => return at + 1,
            }
        }
    }
    rest.trim_end().len()
}

/// One pass over the text that knows just enough of YAML to tell where a value begins.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one place in the text")]
struct Scan<'a> {
    text: &'a str,
    chars: std::iter::Peekable<std::str::CharIndices<'a>>,
    /// Only white space so far on this line.
    indenting: bool,
    /// A value may begin here.
    fresh: bool,
    /// Something other than comments was seen.
    content: bool,
    /// Open brackets.
    flow: usize,
    /// Dashes of nested lists on this line.
    dashes: usize,
    found: Vec<Refusal>,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            chars: text.char_indices().peekable(),
            indenting: true,
            fresh: true,
            content: false,
            flow: 0,
            dashes: 0,
            found: Vec::new(),
        }
    }

    fn run(mut self) -> Vec<Refusal> {
        let mut previous = '\n';
        while let Some((at, char)) = self.chars.next() {
            if self.flow > MAX_DEPTH || self.dashes > MAX_DEPTH {
                self.refuse(at, TOO_DEEP, "no setting stands deeper than seven levels: check the brackets");
                break;
            }
            match char {
                '\n' => self.new_line(),
                '\t' if self.indenting => {
                    self.refuse(
                        at,
                        "a tab stands in the indentation",
                        "indent with spaces: YAML knows no tabs",
                    );
                    break;
                }
                ' ' | '\t' | '\r' => {}
                '#' if previous.is_whitespace() => self.skip_comment(),
                _ => self.character(at, char, previous),
            }
            previous = char;
        }
        self.found
    }

    fn new_line(&mut self) {
        self.indenting = true;
        self.fresh = true;
        self.dashes = 0;
    }

    fn skip_comment(&mut self) {
        while self.chars.next_if(|(_, char)| *char != '\n').is_some() {}
    }

    fn character(&mut self, at: usize, char: char, previous: char) {
        let next = self.chars.peek().map(|(_, next)| *next);
        let spaced = next.is_none_or(char::is_whitespace);
        let marker = previous == '\n' && self.text.get(at..).is_some_and(|rest| rest.starts_with("---"));
        if marker && self.content {
            self.refuse(
                at,
                "a second document begins here",
                "keep one document in the file: remove the line `---`",
            );
        }
        self.indenting = false;
        self.content = true;
        match char {
            '"' | '\'' if self.fresh => {
                self.skip_quoted(char);
                self.fresh = false;
            }
            '&' | '*' if self.fresh && !spaced => {
                self.refuse(
                    at,
                    "anchors (`&name`) and aliases (`*name`) are not supported",
                    "write the value out at each place; text that begins so needs quotes",
                );
                self.fresh = false;
            }
            '!' if self.fresh => {
                self.refuse(
                    at,
                    "tags (`!name`) are not supported",
                    "write the value alone; text that begins so needs quotes",
                );
                self.fresh = false;
            }
            '[' | '{' if self.fresh => self.flow += 1,
            ']' | '}' => {
                self.flow = self.flow.saturating_sub(1);
                self.fresh = false;
            }
            ',' => self.fresh = self.flow > 0,
            ':' => self.fresh = spaced,
            '-' | '?' if self.fresh && spaced => self.dashes += 1,
            _ => self.fresh = false,
        }
    }

    fn skip_quoted(&mut self, quote: char) {
        while let Some((_, char)) = self.chars.next() {
            let doubled = |next: Option<&(usize, char)>| next.is_some_and(|(_, next)| *next == quote);
            if char == '\\' && quote == '"' {
                self.chars.next();
            } else if char == quote && !(quote == '\'' && doubled(self.chars.peek())) {
                return;
            } else if char == quote {
                self.chars.next();
            }
        }
    }

    fn refuse(&mut self, at: usize, text: &str, help: &str) {
        let length = self.text.get(at..).map_or(0, word_length);
        self.found.push(refusal(Some(at..at + length.max(1)), text, help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_files_are_not_refused() {
        for text in [
            "---\na: b\n",
            "# *note &c !x\na: [x, {b: '*'}]\n",
            "a: this & that * 3 !\nb: /static/*\n",
            "- { path: /x/*, allow: anyone }\n",
            "a: it's\nb: \"tab\\t\\\" &x\"\n",
            "a: 'it''s &x'\n",
            "a: b\t# note\n",
        ] {
            assert_eq!(refusals(text), [], "{text:?}");
        }
    }

    #[test]
    fn hidden_meaning_is_refused_where_it_stands() {
        for (text, at, word) in [
            ("a: &x 1\n", 3, "anchors"),
            ("a: 1\nb: *x\n", 8, "anchors"),
            ("- [1, *x]\n", 6, "anchors"),
            ("a: !!str 1\n", 3, "tags"),
            ("a: 1\n---\nb: 2\n", 5, "second document"),
            ("a:\n\tb: 1\n", 3, "tab"),
        ] {
            let found = refusals(text);
            let [first] = &found[..] else {
                panic!("{text:?} gave {found:?}");
            };
            assert_eq!(first.span.as_ref().unwrap().start, at, "{text:?}");
            assert!(first.text.contains(word), "{text:?} gave {first:?}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_before_the_parser_sees_it() {
        for text in ["[".repeat(200_000), "- ".repeat(100_000), "{a: ".repeat(50_000)] {
            assert_eq!(refusals(&text)[0].text, TOO_DEEP);
        }
        assert!(refusals(&"a".repeat(MAX_BYTES + 1))[0].text.contains("larger"));
    }
}
