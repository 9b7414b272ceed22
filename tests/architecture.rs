//! What must stay true of the code's shape: layers, sizes, headers, and that the map names every room.

#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test that cannot read the sources has failed"
)]

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The rooms by layer, lowest first; a room may import from lower layers and from its own room.
const LAYERS: &[&[&str]] = &[
    &["body", "clock", "crypto", "files", "net", "syntax"],
    &["headers", "identity", "pages", "vault"],
    &["access", "telemetry"],
    &["server", "session", "upstream"],
    &["route"],
    &["admin", "doctor", "login"],
    &["pipeline"],
    &["config"],
    &["app"],
    &["cli"],
];

/// `net` is used by everyone who names a host, also by the other leaves; leaves know nothing else of each other.
const LONGEST_FILE: usize = 500;

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    files.sort();
    files
}

fn room(path: &Path) -> String {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

fn imports(text: &str) -> Vec<String> {
    text.match_indices("crate::")
        .map(|(at, found)| {
            let rest = &text[at + found.len()..];
            rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        })
        .collect()
}

#[test]
fn a_room_imports_only_from_lower_layers() {
    let mut wrong = Vec::new();
    for file in sources() {
        let (own, text) = (room(&file), fs::read_to_string(&file).unwrap());
        let Some(own_layer) = layer(&own) else { continue };
        for import in imports(&text) {
            let allowed = import == own || layer(&import).is_some_and(|other| other < own_layer);
            let both_leaves = own_layer == 0 && import == "net";
            if !allowed && !both_leaves {
                wrong.push(format!("{}: crate::{import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the layers:\n{}", wrong.join("\n"));
}

#[test]
fn imports_are_written_so_that_the_layers_can_be_read() {
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        for form in ["crate::{", "super::super"] {
            assert!(!text.contains(form), "{} uses `{form}`", file.display());
        }
    }
}

#[test]
fn every_file_says_what_it_owns_and_none_is_long() {
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} does not open with //!", file.display());
        let lines = text.lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", file.display());
    }
}

#[test]
fn the_map_names_every_room_and_no_other() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    let mut named: Vec<_> = map
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut rooms: Vec<_> =
        sources().iter().map(|file| room(file)).filter(|room| room != "lib" && room != "main").collect();
    named.sort();
    rooms.sort();
    rooms.dedup();
    assert_eq!(named, rooms);
}

#[test]
fn every_room_has_a_layer() {
    for file in sources() {
        let room = room(&file);
        assert!(room == "lib" || room == "main" || layer(&room).is_some(), "{room} stands in no layer");
    }
}

/// Lines of code, without tests and comments, that have one of `words` in them.
fn lines_with(file: &Path, words: &[&str]) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap().lines();
    let code = code.filter(|line| !line.trim_start().starts_with("//"));
    let found = code.filter(|line| words.iter().any(|word| line.contains(word)));
    found.map(|line| format!("{}: {}", file.display(), line.trim())).collect()
}

#[test]
fn only_the_clock_reads_the_time_of_day_and_only_connections_measure_their_own() {
    let day = ["SystemTime", "OffsetDateTime::now", "clock_gettime", "UtcDateTime::now", "Boottime"];
    let mut wrong = Vec::new();
    for file in sources() {
        let room = room(&file);
        if room != "clock" {
            wrong.extend(lines_with(&file, &day));
        }
        if !["body", "pipeline", "server", "upstream"].contains(&room.as_str()) {
            wrong.extend(lines_with(&file, &["Instant::now", ".elapsed("]));
        }
    }
    assert!(wrong.is_empty(), "clocks that ARCHITECTURE.md does not know of:\n{}", wrong.join("\n"));
}

#[test]
fn no_store_knows_a_token() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/session/store");
    // The suite that stores are tried with makes tokens, to have something to hash.
    for file in sources().into_iter().filter(|file| !file.ends_with("conformance.rs")) {
        if file.starts_with(&root) || file == root.with_extension("rs") {
            let named = lines_with(&file, &["Token", "Secret"]);
            // What is made of hashes alone.
            let harmless = ["TokenHash", "TokenKey", "HostToken", "Tokens"];
            let rest =
                |line: &&String| harmless.iter().fold((*line).clone(), |line, word| line.replace(word, ""));
            let tokens = |line: &&String| ["Token", "Secret"].iter().any(|word| rest(line).contains(word));
            let other: Vec<_> = named.iter().filter(tokens).collect();
            assert!(other.is_empty(), "a store is given hashes alone (REST-1): {other:?}");
        }
    }
}
