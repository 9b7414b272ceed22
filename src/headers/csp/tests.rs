//! Policies as apps write them, and what becomes of them.

use proptest::prelude::*;

use super::*;

const NEEDS: Needs<'static> = Needs {
    script: "https://a.test/s.js",
    hash: "sha256-HASH",
    asks: ["https://a.test/one", "https://a.test/two"],
};

fn headers(enforced: &[&str], reported: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in enforced {
        headers.append(CONTENT_SECURITY_POLICY, line.parse().unwrap());
    }
    for line in reported {
        headers.append(CONTENT_SECURITY_POLICY_REPORT_ONLY, line.parse().unwrap());
    }
    headers
}

fn lines(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    headers.get_all(name).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
}

fn widened(policy: &str) -> (String, Admitted) {
    let mut headers = headers(&[policy], &[]);
    let admitted = admit(&mut headers, &NEEDS, Nonces::Fresh).unwrap();
    (lines(&headers, &CONTENT_SECURITY_POLICY).remove(0), admitted)
}

const SCRIPT: &str = "https://a.test/s.js";
const ASKS: &str = "https://a.test/one https://a.test/two";

#[test]
fn what_allows_the_own_origin_stays_as_it_is() {
    for policy in [
        "default-src 'self'",
        "default-src *",
        "default-src https:",
        "default-src 'SELF'; script-src 'self' 'unsafe-inline'",
        "img-src 'none';  style-src x.test ;",
        "frame-ancestors 'none'",
        "script-src 'self'; connect-src *",
        "require-trusted-types-for 'script'; trusted-types 'none'",
        "sandbox allow-scripts allow-same-origin",
    ] {
        assert_eq!(widened(policy), (policy.to_owned(), Admitted::default()));
    }
}

#[test]
fn the_directive_that_decides_gets_one_address_more() {
    for (policy, expected) in [
        ("script-src cdn.test", format!("script-src cdn.test {SCRIPT}")),
        ("script-src 'none'", format!("script-src {SCRIPT}")),
        ("script-src", format!("script-src {SCRIPT}")),
        ("Script-Src CDN.test", format!("Script-Src CDN.test {SCRIPT}")),
        ("script-src 'unsafe-inline'", format!("script-src 'unsafe-inline' {SCRIPT}")),
        ("script-src-elem 'none'; script-src 'self'", format!("script-src-elem {SCRIPT}; script-src 'self'")),
        ("script-src 'sha256-abc='", format!("script-src 'sha256-abc=' {SCRIPT}")),
        // The second of the same name does not count.
        ("script-src a.test; script-src 'self'", format!("script-src a.test {SCRIPT}; script-src 'self'")),
        ("connect-src api.test", format!("connect-src api.test {ASKS}")),
        ("connect-src 'none'; img-src *", format!("connect-src {ASKS}; img-src *")),
    ] {
        assert_eq!(widened(policy), (expected, Admitted::default()), "{policy}");
    }
}

#[test]
fn what_falls_back_gets_directives_of_its_own_and_widens_nothing_else() {
    for (policy, expected) in [
        ("default-src 'none'", format!("default-src 'none'; script-src {SCRIPT}; connect-src {ASKS}")),
        (
            "default-src cdn.test 'unsafe-eval'; img-src *;",
            format!(
                "default-src cdn.test 'unsafe-eval'; img-src *; script-src cdn.test 'unsafe-eval' {SCRIPT}; connect-src cdn.test 'unsafe-eval' {ASKS}"
            ),
        ),
        (
            "default-src 'none'; script-src 'self'",
            format!("default-src 'none'; script-src 'self'; connect-src {ASKS}"),
        ),
        (
            "default-src 'none'; connect-src 'self'",
            format!("default-src 'none'; connect-src 'self'; script-src {SCRIPT}"),
        ),
    ] {
        assert_eq!(widened(policy), (expected, Admitted::default()), "{policy}");
    }
}

#[test]
fn a_nonce_is_used_where_there_is_one() {
    let with = |nonce: &str| Admitted { nonce: Some(nonce.to_owned()), hash: false };
    for policy in [
        "script-src 'nonce-r4nd0m=='",
        "script-src 'nonce-r4nd0m==' 'strict-dynamic' https: 'unsafe-inline'; connect-src 'self'",
        "default-src 'self' 'Nonce-r4nd0m=='",
        "script-src-elem 'nonce-r4nd0m=='; script-src 'none'",
    ] {
        assert_eq!(widened(policy), (policy.to_owned(), with("r4nd0m==")));
    }
    // None that would leave its attribute.
    let (policy, admitted) = widened("script-src 'nonce-\"><script>'");
    assert_eq!((policy.ends_with(SCRIPT), admitted), (true, Admitted::default()));
    // Nor one that loads no scripts.
    assert_eq!(widened("style-src 'nonce-abc'").1, Admitted::default());
}

#[test]
fn addresses_do_not_count_beside_strict_dynamic() {
    let hashed = Admitted { nonce: None, hash: true };
    for (policy, expected) in [
        (
            "script-src 'strict-dynamic' 'sha256-app'",
            "script-src 'strict-dynamic' 'sha256-app' 'sha256-HASH'",
        ),
        ("script-src 'self' 'Strict-Dynamic'", "script-src 'self' 'Strict-Dynamic' 'sha256-HASH'"),
        ("script-src 'strict-dynamic' 'sha256-HASH'", "script-src 'strict-dynamic' 'sha256-HASH'"),
    ] {
        assert_eq!(widened(policy), (expected.to_owned(), hashed.clone()));
    }
}

#[test]
fn each_of_several_policies_must_allow_it() {
    let mut all = headers(
        &["script-src 'nonce-one', script-src cdn.test", "script-src 'nonce-two' 'strict-dynamic'"],
        &["default-src 'none'"],
    );
    let admitted = admit(&mut all, &NEEDS, Nonces::Fresh).unwrap();
    assert_eq!(admitted, Admitted { nonce: Some("one".to_owned()), hash: true });
    assert_eq!(
        lines(&all, &CONTENT_SECURITY_POLICY),
        [
            &*format!("script-src 'nonce-one',script-src cdn.test {SCRIPT}"),
            "script-src 'nonce-two' 'strict-dynamic' 'sha256-HASH'"
        ]
    );
    assert_eq!(
        lines(&all, &CONTENT_SECURITY_POLICY_REPORT_ONLY),
        [format!("default-src 'none'; script-src {SCRIPT}; connect-src {ASKS}")]
    );
}

#[test]
fn an_element_of_an_earlier_answer_has_no_new_nonce() {
    let mut all = headers(&["script-src 'nonce-new'"], &[]);
    assert_eq!(admit(&mut all, &NEEDS, Nonces::Past), Some(Admitted::default()));
    assert_eq!(lines(&all, &CONTENT_SECURITY_POLICY), [format!("script-src 'nonce-new' {SCRIPT}")]);
}

#[test]
fn a_sandbox_is_not_entered() {
    for policy in [
        "sandbox",
        "script-src 'none'; sandbox allow-forms",
        "sandbox allow-scripts",
        "default-src 'self', sandbox allow-same-origin",
    ] {
        let mut all = headers(&[policy], &[]);
        let before = all.clone();
        assert_eq!(admit(&mut all, &NEEDS, Nonces::Fresh), None, "{policy}");
        assert_eq!(all, before);
    }
    // One that only reports does not hold.
    assert!(admit(&mut headers(&[], &["sandbox"]), &NEEDS, Nonces::Fresh).is_some());
}

#[test]
fn a_policy_that_cannot_be_read_stays() {
    let mut all = HeaderMap::new();
    all.append(CONTENT_SECURITY_POLICY, HeaderValue::from_bytes(b"script-src \xff").unwrap());
    let before = all.clone();
    assert!(admit(&mut all, &NEEDS, Nonces::Fresh).is_none());
    assert_eq!(all, before);
    assert_eq!(admit(&mut HeaderMap::new(), &NEEDS, Nonces::Fresh), Some(Admitted::default()));
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_else_is_allowed(
        policies in prop::collection::vec(
            prop::collection::vec(
                (
                    prop::sample::select(vec!["default-src", "script-src", "script-src-elem", "connect-src", "img-src", "style-src"]),
                    prop::collection::vec(
                        prop::sample::select(vec![
                            "'self'", "'none'", "'strict-dynamic'", "'unsafe-inline'", "'nonce-abc'", "'nonce-def'", "*", "cdn.test",
                        ]),
                        0..4,
                    ),
                ),
                0..4,
            ),
            1..4,
        ),
    ) {
        let written: Vec<String> = policies
            .iter()
            .map(|directives| directives.iter().map(|(name, sources)| format!("{name} {}", sources.join(" "))).collect::<Vec<_>>().join("; "))
            .collect();
        let mut all = headers(&[&written.join(", ")], &[]);
        let admitted = admit(&mut all, &NEEDS, Nonces::Fresh).unwrap();
        let line = lines(&all, &CONTENT_SECURITY_POLICY).remove(0);
        let ours = [NEEDS.script, "'sha256-HASH'", NEEDS.asks[0], NEEDS.asks[1]];
        for (before, after) in written.iter().zip(line.split(',')) {
            let (before, after) = (Policy::parse(before), Policy::parse(after));
            for name in ["default-src", "script-src", "script-src-elem", "connect-src", "img-src", "style-src"] {
                let old = before.find(name).map(|place| before.sources(place));
                let Some(new) = after.find(name).map(|place| after.sources(place)) else {
                    prop_assert!(old.is_none(), "{name} is gone");
                    continue;
                };
                // What a new directive held before it was there.
                let fallback = before.find("default-src").map(|place| before.sources(place)).unwrap_or_default();
                let held = old.unwrap_or(fallback);
                prop_assert!(held.iter().all(|source| *source == "'none'" || new.contains(source)), "{name} lost a source");
                let added: Vec<_> = new.iter().filter(|source| !held.contains(source)).collect();
                prop_assert!(added.iter().all(|source| ours.contains(source)), "{added:?}");
                prop_assert!(added.is_empty() || ["script-src", "script-src-elem", "connect-src"].contains(&name));
            }
            // And the script may run.
            let sources = after.governing(&SCRIPTS).map(|place| after.sources(place));
            let runs = sources.is_none_or(|sources| {
                let listed = sources.contains(&NEEDS.script) || allows_own(sources);
                carries(sources, admitted.nonce.as_deref())
                    || sources.contains(&"'sha256-HASH'") && admitted.hash
                    || listed && !has_word(sources, "'strict-dynamic'")
            });
            prop_assert!(runs, "{}", line);
        }
    }
}
