//! The configuration, from its text to its problems: each file in `fixtures/config/bad` is refused with exactly the
//! text beside it, and each in `good` is taken with exactly the effective settings and warnings beside it.
//!
//! After a change of wording, `UPDATE_FIXTURES=1 cargo test --test config` writes the texts anew: read the diff.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;
use vestibule::config;
use vestibule::config::Loaded;
use vestibule::config::Outside;
use vestibule::config::Problems;
use vestibule::files::Exposed;
use vestibule::net::Host;
use vestibule::server::CertificateFiles;
use vestibule::server::CertificateNames;

fn variable(name: &str) -> Option<String> {
    let known = [("FILES", "../files"), ("LOOPBACK", "127.0.0.1")];
    let found = known.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| (*value).to_owned())
}

fn certificate_names(files: &CertificateFiles) -> Result<CertificateNames, String> {
    if files.cert.ends_with("cert.pem") {
        return Ok(CertificateNames {
            hosts: Host::parse("app.example.com").into_iter().collect(),
            wildcards: Vec::new(),
        });
    }
    if files.cert.ends_with("wildcard.pem") {
        return Ok(CertificateNames {
            hosts: Vec::new(),
            wildcards: Host::parse("example.org").into_iter().collect(),
        });
    }
    Err("there is no certificate in it".to_owned())
}

fn users(path: &Path) -> Result<(), String> {
    fs::read(path).map(drop).map_err(|error| error.to_string())
}

fn exposure(path: &Path, _state_dir: &Path) -> Option<Exposed> {
    path.ends_with("open.pem").then(|| Exposed {
        what: "can be read by everybody on this machine".to_owned(),
        mend: format!("`chmod 600 {}`", path.display()),
    })
}

const OUTSIDE: Outside<'static> = Outside {
    variable: &variable,
    certificate_names: &certificate_names,
    users: &users,
    exposure: &exposure,
};

fn load(path: &Path) -> Result<Loaded, Problems> {
    config::load(path, &OUTSIDE)
}

#[expect(clippy::unwrap_used, reason = "the fixtures are here")]
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new("tests/fixtures/config").join(folder);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension() == Some("yaml".as_ref())).collect();
    files.sort();
    files
}

/// Compares with the recorded text, or records it.
#[expect(clippy::unwrap_used, reason = "a record that cannot be written fails the test")]
fn recorded(path: &Path, extension: &str, text: &str) -> Result<(), String> {
    let record = path.with_extension(extension);
    let text = format!("{}\n", text.trim_end());
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&record, &text).unwrap();
    }
    let wanted = fs::read_to_string(&record).unwrap_or_default();
    if text == wanted {
        return Ok(());
    }
    Err(format!("{} says\n{wanted}\nbut there is\n{text}", record.display()))
}

/// The number of cores is this machine's own.
fn without_workers(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("workers "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn bad_files_are_refused_with_all_their_problems() {
    let files = files("bad");
    assert!(files.len() >= 30);
    let mut wrong = Vec::new();
    for path in files {
        match load(&path) {
            Ok(_) => wrong.push(format!("{} was taken", path.display())),
            Err(problems) => wrong.extend(recorded(&path, "problems", &problems.to_string()).err()),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn good_files_take_effect_as_recorded() {
    let mut wrong = Vec::new();
    for path in files("good") {
        match load(&path) {
            Ok(loaded) => {
                let text = format!("{}\n\n{}", without_workers(&loaded.effective), loaded.warnings);
                wrong.extend(recorded(&path, "effective", &text).err());
            }
            Err(problems) => wrong.push(format!("{} was refused:\n{problems}", path.display())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_problem_says_what_to_write_instead() {
    for path in files("bad") {
        for problem in load(&path).unwrap_err().iter() {
            assert!(problem.help.is_some(), "{}: {}", path.display(), problem.text);
        }
    }
}

#[test]
fn the_example_loads_without_problems_or_warnings() {
    let loaded = load(Path::new("config.example.yaml")).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(loaded.config.sites.len(), 4);
}

#[test]
fn whoever_follows_the_help_for_a_proxy_is_not_told_more() {
    let load = |network: &str| {
        let text = format!(
            "{{listen: {{trusted_proxies: ['{network}']}}, tls: {{generate: true}}, sites: [{{upstream: 'http://127.0.0.1:5000', login: none}}]}}"
        );
        match config::parse(&text, Path::new("config.yaml"), &OUTSIDE) {
            Ok(loaded) => loaded.warnings,
            Err(problems) => problems,
        }
    };
    for network in [
        "0.0.0.0/0",
        "::/0",
        "0.0.0.0/1",
        "::/1",
        "::ffff:0.0.0.0/96",
        "::ffff:0.0.0.0/97",
        "::ffff:10.0.0.0/104",
    ] {
        let said = load(network);
        let help = said.iter().find_map(|problem| problem.help.clone()).unwrap();
        match help.strip_prefix("write `").and_then(|rest| rest.strip_suffix('`')) {
            Some(written) => assert!(load(written).is_empty(), "{network}: {help}"),
            None => assert_eq!(help, "name the networks of your own proxies alone", "{network}"),
        }
    }
}

/// Every key that `schema` describes, as a path such as `.sites.upstream.idle`, and what it says of it; lists add
/// nothing to a path.
fn keys_of_schema(schema: &Value, root: &Value, path: &str, keys: &mut BTreeMap<String, String>) {
    let reference = schema.get("$ref").and_then(Value::as_str);
    if let Some(target) = reference.and_then(|name| root.pointer(name.trim_start_matches('#'))) {
        keys_of_schema(target, root, path, keys);
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, below) in properties.into_iter().flatten() {
        let path = format!("{path}.{key}");
        keys_of_schema(below, root, &path, keys);
        keys.insert(path, below["description"].as_str().unwrap_or_default().replace('\n', " "));
    }
    let forms = schema.get("anyOf").and_then(Value::as_array);
    for below in forms.into_iter().flatten().chain(schema.get("items")) {
        keys_of_schema(below, root, path, keys);
    }
}

fn keys_of_example(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    for (key, below) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        keys_of_example(below, &path, keys);
        keys.insert(path);
    }
    for below in value.as_array().into_iter().flatten() {
        keys_of_example(below, path, keys);
    }
}

/// What the example's `session` could hold instead: there it is a comment, since both cannot stand.
fn alternatives() -> String {
    let example = fs::read_to_string("config.example.yaml").unwrap_or_default();
    let lines = example.lines().filter_map(|line| line.strip_prefix("  # ")).map(|line| format!("{line}\n"));
    lines.collect()
}

fn described() -> BTreeMap<String, String> {
    let schema = config::schema().to_value();
    let mut keys = BTreeMap::new();
    keys_of_schema(&schema, &schema, "", &mut keys);
    keys
}

/// The table below `## All settings` in `docs/configuration.md` is the schema's own words.
#[test]
fn the_documentation_lists_every_key_of_the_schema() {
    let (path, title) = (Path::new("docs/configuration.md"), "\n## All settings\n");
    let page = fs::read_to_string(path).unwrap();
    let (before, table) = page.split_once(title).unwrap_or((&page, ""));
    let rows: Vec<String> = described()
        .iter()
        .map(|(key, text)| format!("| `{}` | {} |", key.trim_start_matches('.'), text.replace('|', "\\|")))
        .collect();
    let wanted = format!("\n| key | meaning |\n|---|---|\n{}\n", rows.join("\n"));
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(path, format!("{before}{title}{wanted}")).unwrap();
    } else {
        assert_eq!(table, wanted, "run this test with UPDATE_FIXTURES=1");
    }
}

#[test]
fn the_example_names_every_key_of_the_schema_and_no_other() {
    let described: BTreeSet<String> = described().into_keys().collect();
    let example = serde_yaml::from_str(&fs::read_to_string("config.example.yaml").unwrap()).unwrap();
    let mut named = BTreeSet::new();
    keys_of_example(&example, "", &mut named);
    keys_of_example(&serde_yaml::from_str(&alternatives()).unwrap(), ".session", &mut named);
    assert!(described.len() > 80, "only {} keys: {described:?}", described.len());
    assert_eq!(named, described);
}

#[test]
fn every_key_of_the_schema_is_described() {
    fn look(value: &Value) {
        for (key, below) in value["properties"].as_object().into_iter().flatten() {
            assert!(below["description"].is_string(), "`{key}` says nothing: {below}");
        }
        let maps = value.as_object().into_iter().flat_map(|map| map.values());
        maps.chain(value.as_array().into_iter().flatten()).for_each(look);
    }
    look(&config::schema().to_value());
}

#[test]
fn a_file_that_is_missing_or_no_text_is_a_problem_too() {
    let missing = load(Path::new("tests/fixtures/config/none.yaml")).unwrap_err();
    assert!(missing.to_string().contains("--config"), "{missing}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin1.yaml");
    fs::write(&path, b"login: { theme: { title: \"Gr\xfc\xdfe\" } }").unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn a_file_of_keys_must_be_private_and_hold_keys() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (config, keys) = (folder.path().join("vestibule.yaml"), folder.path().join("keys"));
    let text =
        "keys: keys\ntls: { generate: true }\nsites: [ { upstream: http://127.0.0.1:5000, login: none } ]\n";
    fs::write(&config, text).unwrap();
    let said = |content: &str, mode: u32| {
        fs::write(&keys, content).unwrap();
        fs::set_permissions(&keys, fs::Permissions::from_mode(mode)).unwrap();
        load(&config).err().map(|problems| problems.to_string()).unwrap_or_default()
    };
    let key = "0123456789abcdef".repeat(4);
    assert_eq!(said(&key, 0o600), "");
    assert!(said(&key, 0o640).contains("chmod 600"));
    assert!(said("# none\n", 0o600).contains("no key"));
    let wrong = said("secret-words", 0o600);
    assert!(wrong.contains("line 1") && !wrong.contains("secret-words"), "{wrong}");
}

/// Damages `text` at a place: `what` is put in, and `cut` characters are taken out.
fn damaged(text: &str, place: usize, what: &str, cut: usize) -> String {
    let place = place % (text.chars().count() + 1);
    let before = text.chars().take(place);
    before.chain(what.chars()).chain(text.chars().skip(place + cut)).collect()
}

proptest::proptest! {
    /// Whatever a file says, it is taken or refused with problems that can be shown.
    #[test]
    fn no_text_breaks_the_loader(
        place in proptest::prelude::any::<usize>(),
        what in "[-:?,&*!|>'\"%@`#{}\\[\\]<~ \\t\\n\\ré\u{85}\u{2028}\u{1f600}a0]{0,4}",
        cut in 0usize..4,
        junk in "\\PC{0,40}",
    ) {
        let example = include_str!("../config.example.yaml");
        let rules = include_str!("fixtures/config/bad/rules.yaml");
        for text in [damaged(example, place, &what, cut), damaged(rules, place, &what, cut), junk] {
            if let Err(problems) = config::parse(&text, Path::new("config.yaml"), &OUTSIDE) {
                assert!(problems.to_string().contains("error: "), "{text:?}");
            }
        }
    }
}

#[test]
fn a_file_full_of_mistakes_is_answered_soon() {
    let mistakes: String = (0..3_000).flat_map(|number| [number.to_string(), ": x\n".to_owned()]).collect();
    let problems = config::parse(&mistakes, Path::new("config.yaml"), &OUTSIDE).unwrap_err();
    assert_eq!(problems.iter().count(), 100);
}
