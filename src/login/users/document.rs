//! The users file's text: YAML in, YAML out, with what nobody changed left as it was written.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::MapAccess;
use serde::de::Visitor;

use crate::login::users::name_of;

/// What is wrong with a users file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1, if it is known.
    pub line: Option<usize>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl Problem {
    /// A problem with `key` of the user `name`, or with the user as such.
    pub(crate) fn at(text: &str, name: &str, key: Option<&str>, message: &str) -> Self {
        let message = format!("user {name:?}: {message}");
        let line = line_of(text, name, key, 0);
        Self { line, message }
    }

    /// A name that stands in the file twice.
    pub(crate) fn duplicate(text: &str, name: &str) -> Self {
        let line = line_of(text, name, None, 1).or_else(|| line_of(text, name, None, 0));
        let message = format!("user {name:?} is there twice; keep one");
        Self { line, message }
    }
}

/// An error text as it came, without the value it was about: that may be a password in the wrong place.
fn without_values(text: &str) -> String {
    // The line is told beside it.
    let text = text.split(" at line ").next().unwrap_or(text);
    match (text.split_once("invalid type: "), text.rsplit_once(", expected ")) {
        (Some((place, _)), Some((_, expected))) => format!("{place}this must be {expected}"),
        (_, _) => text.to_owned(),
    }
}

/// One user, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a block with a `password:` line, as `vestibule users add` writes it"
)]
pub struct Entry {
    /// The stored hash.
    pub password: String,
    /// The mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The name a person would say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Whether the password must be changed at the next login.
    #[serde(default, skip_serializing_if = "is_false")]
    pub must_change: bool,
    /// Whether nobody gets in.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disabled: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

/// All users, in the order they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a block with `users:` and a user a line below it")]
pub struct Document {
    #[serde(default, deserialize_with = "entries_in_order", serialize_with = "entries_as_map")]
    users: Vec<(String, Entry)>,
}

impl Document {
    /// Reads YAML. Names may still be there twice: what they mean is checked later.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let document: Option<Self> = serde_yaml::from_str(text).map_err(|error| Problem {
            line: error.location().map(|location| location.line()),
            message: without_values(&error.to_string()),
        })?;
        Ok(document.unwrap_or_default())
    }

    /// All users.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.users.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// The user of this name, in whichever Unicode form it is written.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.users.iter_mut().find(|(own, _)| name_of(own) == name_of(name)).map(|(_, entry)| entry)
    }

    /// Adds a user at the end; false if there is one of this name.
    pub fn add(&mut self, name: &str, entry: Entry) -> bool {
        let fresh = self.get_mut(name).is_none();
        if fresh {
            self.users.push((name.to_owned(), entry));
        }
        fresh
    }

    /// Removes a user; false if there is none of this name.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.users.len();
        self.users.retain(|(own, _)| name_of(own) != name_of(name));
        self.users.len() < before
    }

    /// The text of this document, where `old` is the text it was read from: users who did not change keep their lines
    /// with all comments. If the old text is laid out in a way that cannot be edited by lines, it is written anew.
    pub fn render(&self, old: &str) -> String {
        let edited = self.edited(old);
        match edited.as_deref().map(Self::parse) {
            Some(Ok(read_back)) if read_back == *self => edited.unwrap_or_default(),
            Some(Ok(_) | Err(_)) | None => written(self),
        }
    }

    fn edited(&self, old: &str) -> Option<String> {
        let before = Self::parse(old).ok()?;
        if before.users.is_empty() {
            // Only the comments above are worth keeping.
            let comments =
                old.lines().filter(|line| line.trim_start().starts_with('#') || line.trim().is_empty());
            let head: String = comments.flat_map(|line| [line, "\n"]).collect();
            return Some(head + &written(self));
        }
        let layout = Layout::of(old)?;
        let mut out = layout.head.concat();
        let mut blocks = layout.blocks.iter();
        for (name, entry) in &before.users {
            let block = blocks.next()?;
            match self.users.iter().find(|(own, _)| own == name) {
                Some((_, new)) if new == entry => out.extend(block.lines.iter().copied()),
                Some((_, new)) => {
                    out.push_str(&block_of(name, new)?);
                    out.extend(block.trailing().iter().copied());
                }
                None => {}
            }
        }
        for (name, entry) in &self.users {
            if !before.users.iter().any(|(own, _)| own == name) {
                end_line(&mut out);
                out.push_str(&block_of(name, entry)?);
            }
        }
        Some(out)
    }
}

/// A users file in block style, by lines: what stands above the first user, and each user's lines.
struct Layout<'a> {
    head: Vec<&'a str>,
    blocks: Vec<Block<'a>>,
}

struct Block<'a> {
    lines: Vec<&'a str>,
}

impl<'a> Layout<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let mut lines = text.split_inclusive('\n').peekable();
        let mut head = Vec::new();
        for line in lines.by_ref() {
            head.push(line);
            if line.trim_end() == "users:" {
                break;
            }
        }
        while let Some(line) = lines.next_if(|line| is_remark(line)) {
            head.push(line);
        }
        let indent = indent_of(lines.peek()?);
        let mut blocks: Vec<Block<'_>> = Vec::new();
        for line in lines {
            if !is_remark(line) && indent_of(line) == indent {
                blocks.push(Block { lines: Vec::new() });
            }
            blocks.last_mut()?.lines.push(line);
        }
        (indent > 0).then_some(Self { head, blocks })
    }
}

impl<'a> Block<'a> {
    /// Comments and blank lines at its end: they belong to what follows.
    fn trailing(&self) -> &[&'a str] {
        let own = self.lines.iter().rposition(|line| !is_remark(line)).map_or(0, |at| at + 1);
        self.lines.get(own..).unwrap_or_default()
    }
}

fn is_remark(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn end_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

fn block_of(name: &str, entry: &Entry) -> Option<String> {
    let yaml = serde_yaml::to_string(&BTreeMap::from([(name, entry)])).ok()?;
    let mut out = String::new();
    for line in yaml.lines() {
        writeln!(out, "  {line}").ok()?;
    }
    Some(out)
}

fn written(document: &Document) -> String {
    let blocks: String = document.users.iter().filter_map(|(name, entry)| block_of(name, entry)).collect();
    if blocks.is_empty() { "users: {}\n".to_owned() } else { format!("users:\n{blocks}") }
}

/// The line, from 1, on which `key` of the user `name` stands, or the user as such; `skip` so many of the same name.
fn line_of(text: &str, name: &str, key: Option<&str>, skip: usize) -> Option<usize> {
    let is_key = |line: &str, wanted: &str| {
        let line = line.trim_start();
        let bare = |quote: &str| {
            line.strip_prefix(quote)
                .and_then(|rest| rest.strip_prefix(wanted))
                .and_then(|rest| rest.strip_prefix(quote))
                .is_some_and(|rest| rest.trim_start().starts_with(':'))
        };
        bare("") || bare("'") || bare("\"")
    };
    let lines = || text.lines().enumerate();
    let (user, _) =
        lines().filter(|(_, line)| line.starts_with([' ', '\t']) && is_key(line, name)).nth(skip)?;
    let found = match key {
        Some(key) => lines()
            .skip(user + 1)
            .take_while(|(at, line)| {
                indent_of(line) > indent_of(text.lines().nth(user).unwrap_or_default()) || *at == user
            })
            .find(|(_, line)| is_key(line, key))
            .map_or(user, |(at, _)| at),
        None => user,
    };
    Some(found + 1)
}

fn entries_in_order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Entry)>, D::Error> {
    struct InOrder;

    impl<'de> Visitor<'de> for InOrder {
        type Value = Vec<(String, Entry)>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a map from user names to users")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(pair) = map.next_entry()? {
                all.push(pair);
            }
            Ok(all)
        }
    }

    deserializer.deserialize_any(InOrder)
}

fn entries_as_map<S: Serializer>(entries: &[(String, Entry)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|(name, entry)| (name, entry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Our people.\nusers:\n\n  # The boss.\n  alice:\n    password: one # rotated in May\n    groups: [admins]\n\n  # Temporary.\n  bob:\n    password: two\n    must_change: true\n  \"true\":\n    password: three\n";

    fn entry(password: &str) -> Entry {
        Entry { password: password.to_owned(), ..Entry::default() }
    }

    #[test]
    fn a_change_touches_only_the_lines_of_its_user() {
        let mut document = Document::parse(TEXT).unwrap();
        let bob = document.get_mut("bob").unwrap();
        "four".clone_into(&mut bob.password);
        bob.must_change = false;
        let expected = TEXT.replace("    password: two\n    must_change: true\n", "    password: four\n");
        assert_eq!(document.render(TEXT), expected);
    }

    #[test]
    fn a_changed_user_keeps_the_comments_that_follow() {
        let mut document = Document::parse(TEXT).unwrap();
        "four".clone_into(&mut document.get_mut("alice").unwrap().password);
        let text = document.render(TEXT);
        assert!(text.contains("# Temporary.\n  bob:"), "{text}");
        assert!(text.starts_with("# Our people.\n"), "{text}");
        assert_eq!(Document::parse(&text).unwrap(), document);
    }

    #[test]
    fn adding_and_removing_keep_the_rest() {
        let mut document = Document::parse(TEXT).unwrap();
        assert!(document.add("dora: x", entry("five")));
        assert!(!document.add("bob", entry("six")));
        assert!(document.remove("bob"));
        assert!(!document.remove("bob"));
        let text = document.render(TEXT.trim_end());
        assert_eq!(Document::parse(&text).unwrap(), document);
        assert!(text.contains("# rotated in May"), "{text}");
    }

    #[test]
    fn any_layout_can_be_edited() {
        for old in [
            "",
            "# Nobody yet.\n",
            "users: {}\n",
            "users:\n",
            "{users: {alice: {password: one}}}",
            "users: { alice: { password: one } }\n",
            "users:\n    alice: { password: one }\n",
            "---\nusers:\n  alice:\n    password: >-\n      one\n    name: |\n      two\n      three\n",
            "users:\n  alice: {\n  password: one }\n",
        ] {
            let mut document = Document::parse(old).unwrap();
            document.add("bob", entry("two"));
            let text = document.render(old);
            assert_eq!(Document::parse(&text).unwrap(), document, "{old:?} became {text:?}");
        }
        assert!(Document::default().render("# Nobody yet.\n").starts_with("# Nobody yet.\n"));
    }
}
