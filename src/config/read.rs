//! From tree to shapes: each value is read as the type its key asks for, and whatever does not fit is noted and
//! skipped, so that one look at a file finds all its problems.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;

use crate::config::findings::Findings;
use crate::config::nearest;
use crate::config::tree::At;
use crate::config::tree::Entry;
use crate::config::tree::Node;
use crate::config::tree::Value;

/// A value that was written, and where.
#[derive(Clone, Debug)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) at: At,
}

impl<T: JsonSchema> JsonSchema for Given<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// What can be read from a node. `path` names the setting in messages.
pub(crate) trait Read: Sized {
    /// The value, or nothing after the reason was noted.
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self>;

    /// What `null` means here; nothing: as if the key were absent.
    fn null() -> Option<Self> {
        None
    }
}

/// A block of settings: its known keys are taken out one by one, all others were noted on opening.
pub(crate) struct Section<'a> {
    path: &'a str,
    entries: &'a [Entry],
}

/// The keys of a block: those of this version, and those of later ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    pub(crate) known: &'static [&'static str],
    /// Those of this version without which the block makes no sense.
    pub(crate) required: &'static [&'static str],
    /// Those that are required where another, named second, is not there.
    pub(crate) unless: &'static [(&'static str, &'static str)],
    /// Those that must not be there without a value: elsewhere that means the default, here it would open something.
    pub(crate) filled: &'static [&'static str],
    pub(crate) later: &'static [&'static str],
}

impl<'a> Section<'a> {
    /// Opens `node`, noting unknown, unsupported and repeated keys.
    pub(crate) fn open(node: &'a Node, path: &'a str, keys: Keys, findings: &mut Findings) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            let example = keys.known.first().copied().unwrap_or_default();
            wrong_type(
                node,
                path,
                "a block of settings",
                &format!("`{example}: …` on an indented line of its own"),
                findings,
            );
            return None;
        };
        let mut seen = BTreeSet::new();
        for entry in entries {
            if !seen.insert(entry.key.as_str()) {
                let full = join(path, &entry.key);
                findings.error(entry.at, format!("`{full}` stands here twice"), "remove one of the two");
            } else if !keys.known.contains(&&*entry.key) {
                unknown_key(entry, path, keys, findings);
            } else if keys.filled.contains(&&*entry.key) && matches!(entry.node.value, Value::Null) {
                let full = join(path, &entry.key);
                findings.error(
                    entry.at,
                    format!("`{full}` says nothing"),
                    "say what is meant, or remove the line",
                );
            }
        }
        let there = |key: &str| entries.iter().any(|entry| entry.key == key);
        let unless = keys.unless.iter().filter(|(_, instead)| !there(instead)).map(|(key, _)| key);
        for key in keys.required.iter().chain(unless).filter(|key| !there(key)) {
            let full = join(path, key);
            findings.error(node.at, format!("`{full}` is missing"), how_to_add(path, key));
        }
        Some(Self { path, entries })
    }

    /// The value of `key`.
    pub(crate) fn setting<T: Read>(&self, key: &str, findings: &mut Findings) -> Option<Given<T>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        let is_null = matches!(entry.node.value, Value::Null);
        let path = join(self.path, key);
        let value = if is_null { T::null() } else { T::read(&entry.node, &path, findings) };
        // A variable that is not set left `null` behind, and was told of.
        if value.is_none() && (!is_null || findings.concern(entry.node.at)) {
            findings.unread(path);
        }
        value.map(|value| Given { value, at: entry.node.at })
    }

    /// The block under `key`; one that is absent, empty or not readable is a block without settings.
    pub(crate) fn block<T: Read + Default>(&self, key: &str, findings: &mut Findings) -> T {
        self.setting(key, findings).map_or_else(T::default, |given| given.value)
    }
}

fn how_to_add(path: &str, key: &str) -> &'static str {
    match key {
        "path" if path.ends_with("health") => "say what the servers are asked for, such as `path: /healthz`",
        "sites" => "name the app at least: `sites: [ { upstream: http://127.0.0.1:5000 } ]`",
        "upstream" => "say where the app is, such as `upstream: http://127.0.0.1:5000`",
        "servers" => "say where the app is, such as `servers: [http://127.0.0.1:5000]`",
        "path" if path.ends_with("logout") => "say where the app's logout is, such as `path: /logout`",
        "path" => "say which paths the rule is about, such as `path: /reports/*`",
        "allow" => {
            "say who may: `allow: anyone`, `authenticated`, `nobody`, `{ groups: [admins] }` or `{ users: [ann] }`"
        }
        "success" => {
            "say how the app answers a login that succeeds and no other, such as `success: { status: 302 }`"
        }
        "app" => "say how the app answers a login, such as `app: { success: { status: 302 } }`",
        "cert" => "name the file of the certificate chain, in PEM",
        "key" => "name the file of the private key, in PEM",
        "urls" => "say where the servers are, such as `urls: [rediss://redis.internal:6379]`",
        "master" => "say what the Sentinels call the servers, such as `master: mymaster`",
        _ => "add it",
    }
}

fn unknown_key(entry: &Entry, path: &str, keys: Keys, findings: &mut Findings) {
    let full = join(path, &entry.key);
    if entry.key == "<<" {
        findings.error(entry.at, "merge keys (`<<`) are not supported".to_owned(), "write the settings out");
    } else if keys.later.contains(&&*entry.key) {
        findings.later(entry.at, &full);
    } else {
        let meant = nearest::nearest(&entry.key, keys.known);
        if let Some(known) = meant {
            findings.unread(join(path, known));
        }
        let help = meant.map_or_else(
            || match crate::config::file::home_of(&entry.key) {
                Some(home) => format!("`{}` belongs {home}", entry.key),
                None => format!("known here: {}", keys.known.join(", ")),
            },
            |known| format!("did you mean `{known}`?"),
        );
        findings.error(entry.at, format!("`{full}` is not a setting"), &help);
    }
}

/// Notes that `node` is not `wanted`.
pub(crate) fn wrong_type(node: &Node, path: &str, wanted: &str, write: &str, findings: &mut Findings) {
    let found = match &node.value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("the truth value `{value}`"),
        Value::Whole(value) => format!("the number {value}"),
        Value::Number(value) => format!("the number {value}"),
        Value::Text(text) => format!("the text `{text}`"),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a block".to_owned(),
    };
    findings.error(node.at, format!("`{path}` must be {wanted}, but is {found}"), &format!("write {write}"));
}

/// The text of `node`; a number or truth value in its place needs quotes, since YAML may have changed it already.
pub(crate) fn text<'a>(
    node: &'a Node,
    path: &str,
    wanted: &str,
    write: &str,
    findings: &mut Findings,
) -> Option<&'a str> {
    match &node.value {
        Value::Text(text) => return Some(text),
        Value::Whole(_)
        | Value::Number(_)
        | Value::Bool(_)
        | Value::Null
        | Value::List(_)
        | Value::Map(_) => {
            wrong_type(node, path, wanted, write, findings);
        }
    }
    None
}

/// The one of `words` that stands in `node`. `later` names words of later versions; a block such as `{ redis: … }`
/// counts by its key.
pub(crate) fn choice<T: Copy>(
    node: &Node,
    path: &str,
    (words, later): (&[(&str, T)], &[&str]),
    findings: &mut Findings,
) -> Option<T> {
    let word = match &node.value {
        Value::Text(text) => text.as_str(),
        Value::Map(entries) => entries.first().map_or("", |entry| entry.key.as_str()),
        Value::Null | Value::Bool(_) | Value::Whole(_) | Value::Number(_) | Value::List(_) => "",
    };
    let is_block = matches!(node.value, Value::Map(_));
    if let Some((_, value)) = words.iter().find(|(known, _)| *known == word && !is_block) {
        return Some(*value);
    }
    if later.contains(&word) {
        findings.later(node.at, &format!("{path}: {word}"));
        return None;
    }
    // YAML took an unquoted `401` for a number.
    let word = match &node.value {
        Value::Whole(number) => number.to_string(),
        Value::Number(number) => number.clone(),
        Value::Text(_) | Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => word.to_owned(),
    };
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let quoted: Vec<String> = names.iter().map(|name| quote_if_needed(name)).collect();
    let nearest = nearest::nearest(&word, &names).map(quote_if_needed);
    let (wanted, write) = match (&*quoted, nearest) {
        ([only], _) => (format!("`{only}`"), format!("`{only}`")),
        (_, Some(name)) => (format!("one of {}", quoted.join(", ")), format!("`{name}`")),
        (_, None) => (format!("one of {}", quoted.join(", ")), "one of them".to_owned()),
    };
    wrong_type(node, path, &wanted, &write, findings);
    None
}

/// A word as it must be written for YAML to take it as text.
fn quote_if_needed(word: &str) -> String {
    if word.parse::<f64>().is_ok() {
        return format!("\"{word}\"");
    }
    word.to_owned()
}

/// `key` inside `path`.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        return key.to_owned();
    }
    format!("{path}.{key}")
}

impl Read for bool {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        let write = match &node.value {
            Value::Bool(value) => return Some(*value),
            Value::Text(text) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "1" => "`true`",
                "no" | "off" | "n" | "0" => "`false`",
                _ => "`true` or `false`, without quotes",
            },
            Value::Null | Value::Whole(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                "`true` or `false`"
            }
        };
        wrong_type(node, path, "`true` or `false`", write, findings);
        None
    }
}

impl Read for u64 {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        if let Value::Whole(value) = node.value {
            return Some(value);
        }
        wrong_type(node, path, "a whole number", "a number such as `100`, without quotes or unit", findings);
        None
    }
}

impl<T: Read> Read for Vec<Given<T>> {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        let Value::List(nodes) = &node.value else {
            wrong_type(node, path, "a list", "each item on a line of its own, beginning with `- `", findings);
            return None;
        };
        let items = nodes.iter().enumerate().filter_map(|(place, node)| {
            let path = format!("{path}[{place}]");
            let value = T::read(node, &path, findings);
            if value.is_none() {
                findings.unread(path);
            }
            value.map(|value| Given { value, at: node.at })
        });
        Some(items.collect())
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, with = "OneOrList<T>")]
pub(crate) struct OneOrMany<T: JsonSchema> {
    /// Those that could be read.
    pub(crate) values: Vec<Given<T>>,
    /// How many were written.
    written: usize,
}

impl<T: JsonSchema> OneOrMany<T> {
    /// Whether nothing was written: an empty list.
    pub(crate) fn is_empty(&self) -> bool {
        self.written == 0
    }
}

#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "exists for the schema alone")]
enum OneOrList<T> {
    One(T),
    List(Vec<T>),
}

impl<T: Read + JsonSchema> Read for OneOrMany<T> {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        let nodes = match &node.value {
            Value::List(nodes) => nodes.as_slice(),
            Value::Null
            | Value::Bool(_)
            | Value::Whole(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::Map(_) => std::slice::from_ref(node),
        };
        let is_list = matches!(node.value, Value::List(_));
        let items = nodes.iter().enumerate().filter_map(|(place, node)| {
            let path = if is_list { format!("{path}[{place}]") } else { path.to_owned() };
            let value = T::read(node, &path, findings)?;
            Some(Given { value, at: node.at })
        });
        Some(Self { values: items.collect(), written: nodes.len() })
    }
}

/// A value that `null` turns off, where leaving the key out means the default.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline)]
pub(crate) struct OrNull<T>(pub(crate) Option<T>);

impl<T: Read> Read for OrNull<T> {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        T::read(node, path, findings).map(|value| Self(Some(value)))
    }

    fn null() -> Option<Self> {
        Some(Self(None))
    }
}
