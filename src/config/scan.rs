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

/// What the parser makes of the next character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A value may begin.
    Fresh,
    /// A quoted text or a bracket has just been closed: what follows a colon is a value, also without a blank.
    Closed,
    /// Within text without quotes, which may go on over lines.
    Plain,
}

/// One pass over the text that knows just enough of YAML to tell where a value begins.
struct Scan<'a> {
    text: &'a str,
    chars: std::iter::Peekable<std::str::CharIndices<'a>>,
    /// Where the line begins.
    line: usize,
    /// Only white space so far on this line.
    indenting: bool,
    place: Place,
    /// Something other than comments was seen.
    content: bool,
    /// Open brackets.
    flow: usize,
    /// Dashes of nested lists on this line.
    dashes: usize,
    /// The least column of what belongs to the last key or dash outside of brackets.
    inner: usize,
    /// The column of the last value outside of brackets, which a colon makes a key.
    value: usize,
    found: Vec<Refusal>,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            chars: text.char_indices().peekable(),
            line: 0,
            indenting: true,
            place: Place::Fresh,
            content: false,
            flow: 0,
            dashes: 0,
            inner: 0,
            value: 0,
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
                _ if is_break(char) => self.new_line(at + char.len_utf8()),
                '\t' if self.indenting => {
                    self.refuse(
                        at,
                        "a tab stands in the indentation",
                        "indent with spaces: YAML knows no tabs",
                    );
                    break;
                }
                // The loader skips it wherever a line begins, and what is behind it stands there for a reader too.
                '\u{feff}' => self.refuse(
                    at,
                    "a byte order mark, which nobody sees, stands in the middle of the file",
                    "remove the character; files that were joined have it where the next one began",
                ),
                ' ' | '\t' => {}
                '#' if self.place != Place::Plain || is_blank(previous) => self.skip_comment(),
                _ => self.character(at, char),
            }
            previous = char;
        }
        self.found
    }

    fn new_line(&mut self, line: usize) {
        self.line = line;
        self.indenting = true;
        self.dashes = 0;
        if self.place == Place::Closed {
            self.place = Place::Fresh;
        }
    }

    fn skip_comment(&mut self) {
        self.place = Place::Fresh;
        self.skip_until(is_break);
    }

    fn skip_until(&mut self, end: impl Fn(char) -> bool) {
        while self.chars.next_if(|(_, char)| !end(*char)).is_some() {}
    }

    fn character(&mut self, at: usize, char: char) {
        let column = at - self.line;
        let first = std::mem::take(&mut self.indenting);
        let rest = self.text.get(at..).unwrap_or_default();
        let marker = rest.strip_prefix("---").is_some_and(|rest| rest.chars().next().is_none_or(is_blank));
        if column == 0 && marker {
            return self.document(at);
        }
        self.content = true;
        if first && self.flow == 0 && column < self.inner {
            self.place = Place::Fresh;
        }
        let next = self.chars.peek().map(|(_, next)| *next);
        let spaced = next.is_none_or(is_blank);
        if self.place == Place::Fresh {
            return self.begin(at, char, spaced);
        }
        match char {
            ':' if spaced || self.place == Place::Closed || self.flow > 0 && next.is_some_and(is_bracket) => {
                self.colon();
            }
            _ if self.flow > 0 && is_bracket(char) => self.bracket(char),
            _ => self.place = Place::Plain,
        }
    }

    /// The marker `---`, behind which a value may begin at once.
    fn document(&mut self, at: usize) {
        if self.content {
            self.refuse(
                at,
                "a second document begins here",
                "keep one document in the file: remove the line `---`",
            );
        }
        self.content = true;
        self.skip_until(is_blank);
        self.place = Place::Fresh;
        self.inner = 0;
    }

    /// A value, or what may stand before it.
    fn begin(&mut self, at: usize, char: char, spaced: bool) {
        let column = at - self.line;
        if self.flow == 0 {
            self.value = column;
        }
        match char {
            '"' | '\'' => {
                self.skip_quoted(char);
                self.place = Place::Closed;
            }
            '&' | '*' if !spaced => self.property(
                at,
                "anchors (`&name`) and aliases (`*name`) are not supported",
                "write the value out at each place; text that begins so needs quotes",
            ),
            '!' => self.property(
                at,
                "tags (`!name`) are not supported",
                "write the value alone; text that begins so needs quotes",
            ),
            '%' if column == 0 => {
                self.refuse(
                    at,
                    "directives (`%NAME`) are not supported",
                    "remove the line, and the line `---` that follows it",
                );
                self.skip_comment();
            }
            '|' | '>' if self.flow == 0 => self.skip_block(),
            '-' if spaced => {
                self.dashes += 1;
                self.inner = column + 1;
            }
            '?' if spaced || self.flow > 0 => self.inner = column + 1,
            ':' if spaced || self.flow > 0 => self.colon(),
            _ if is_bracket(char) => self.bracket(char),
            _ => self.place = Place::Plain,
        }
    }

    fn colon(&mut self) {
        if self.flow == 0 {
            self.inner = self.value + 1;
        }
        self.place = Place::Fresh;
    }

    fn bracket(&mut self, char: char) {
        self.place = Place::Fresh;
        match char {
            '[' | '{' => self.flow += 1,
            ']' | '}' => {
                self.flow = self.flow.saturating_sub(1);
                self.place = Place::Closed;
            }
            _ => {}
        }
    }

    /// Notes what stands before a value, and goes on to the value.
    fn property(&mut self, at: usize, text: &str, help: &str) {
        self.refuse(at, text, help);
        let within = self.flow > 0;
        self.skip_until(|char| is_blank(char) || within && is_bracket(char));
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

    /// Skips lines of text below `|` or `>`: blank ones, and those that stand deeper than their key.
    fn skip_block(&mut self) {
        loop {
            self.skip_until(is_break);
            let mut ahead = self.chars.clone();
            let Some((end, char)) = ahead.next() else { return };
            let line = end + char.len_utf8();
            let text = self.text.get(line..).unwrap_or_default();
            let column = text.len() - text.trim_start_matches(' ').len();
            let blank = text.get(column..).is_some_and(|rest| rest.starts_with(is_break));
            if !blank && column < self.inner.max(1) {
                return;
            }
            self.chars = ahead;
        }
    }

    fn refuse(&mut self, at: usize, text: &str, help: &str) {
        let length = self.text.get(at..).map_or(0, word_length);
        self.found.push(refusal(Some(at..at + length.max(1)), text, help));
    }
}

/// What ends a line in YAML 1.1, which the loader reads.
fn is_break(char: char) -> bool {
    matches!(char, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t') || is_break(char)
}

/// What gives a list or block in brackets its structure.
fn is_bracket(char: char) -> bool {
    matches!(char, '[' | ']' | '{' | '}' | ',')
}

#[cfg(test)]
mod tests;
