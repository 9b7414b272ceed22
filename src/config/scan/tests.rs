//! The scan against the loader: what is refused, what is not, and that nothing slips past.

use proptest::prelude::*;

use super::*;
use crate::config::tree;

/// What gives YAML its structure.
const PARTS: [&str; 31] = [
    "\u{feff}", "#{\n", " # \"\n", "#, \"\n", "\r", "\u{2028}", "\u{a0}", "...\n", "a", "b: ", "c", ":",
    ": ", "\"", "'", "\"d\"", "{", "}", "[", "]", ",", " ", "\n", "\n", "\n  ", "- ", "--- ", "? ", "|\n",
    ">\n", "e: f",
];

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
        "--- \na: b\n",
        "{\"a\":\"x, &b\"}\n",
        "a:\n  - http://x:1\n  - :&x\n",
        "a: |\n  &x !y\n  \"\nb: >-\n  *x\n",
        "a: b\n  &x\n",
        "---a: b\n---b: c\n",
        "# \u{feff}\na: \"b\u{feff}\"\n",
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
        ("{\"a\":&x 1}\n", 5, "anchors"),
        ("{\"a\" :&x 1}\n", 6, "anchors"),
        ("{'a'\n:*x}\n", 6, "anchors"),
        ("\"a\":*x\n", 4, "anchors"),
        ("{[a]:&x 1}\n", 5, "anchors"),
        ("{\"a\":!!str 1}\n", 5, "tags"),
        ("[:!!str 1]\n", 2, "tags"),
        ("--- &x\na: 1\n", 4, "anchors"),
        ("--- !!map\na: 1\n", 4, "tags"),
        ("---\t&x\na: 1\n", 4, "anchors"),
        ("a: |\n  \"\nb: &x 1\n", 12, "anchors"),
        ("a: b\n  \"c\nd: &x 1\n", 13, "anchors"),
        ("%TAG ! x:\n", 0, "directives"),
        ("a: 1\n\u{feff}b: c\n", 5, "byte order mark"),
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

/// Every text of the tree, keys too.
fn texts(node: &tree::Node, found: &mut String) {
    match &node.value {
        tree::Value::Text(text) => found.push_str(text),
        tree::Value::List(nodes) => nodes.iter().for_each(|node| texts(node, found)),
        tree::Value::Map(entries) => entries.iter().for_each(|entry| {
            found.push_str(&entry.key);
            texts(&entry.node, found);
        }),
        tree::Value::Null | tree::Value::Bool(_) | tree::Value::Whole(_) | tree::Value::Number(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// What the loader takes for an anchor or a tag is in no text of its tree.
    #[test]
    fn nothing_is_eaten_by_the_loader_that_was_not_refused(
        parts in prop::collection::vec(prop::sample::select(&PARTS[..]), 2..14),
        mark in prop::sample::select(&["&q", "!q"][..]),
        place in any::<prop::sample::Index>(),
    ) {
        let place = place.index(parts.len());
        let text: String = parts[..place].iter().chain([&mark, &" "]).chain(&parts[place..]).copied().collect();
        if refusals(&text).is_empty() && let Ok(root) = tree::load(&text) {
            let mut found = String::new();
            texts(&root, &mut found);
            prop_assert!(found.contains(mark), "{text:?} is {root:?}");
        }
    }
}
