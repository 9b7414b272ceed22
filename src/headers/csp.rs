//! Content security policies of the app's pages, widened for one script of ours and the two places it asks, and for
//! nothing else (CSP Level 3).
//!
//! Every policy of an answer must allow what is loaded, those that only report too, or they would report us. Where a page
//! hands out a nonce the script carries it, and nothing is widened at all.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;
use http::header::CONTENT_SECURITY_POLICY_REPORT_ONLY;

/// What a page of the app's is to load for us.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// The address of the script, without a query: sources have none.
    pub script: &'a str,
    /// The script's hash, as in `sha256-…`.
    pub hash: &'a str,
    /// What the script asks for.
    pub asks: [&'a str; 2],
}

/// How the script's element must be written for the policies to let it run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// With this nonce: only base64 characters.
    pub nonce: Option<String>,
    /// With its hash as `integrity`.
    pub hash: bool,
}

/// Whether an element can carry a nonce: one that is kept and used again would be an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonces {
    /// The element is written for this answer.
    Fresh,
    /// It was written for an earlier one.
    Past,
}

/// Widens the policies of an answer as far as `needs` asks. Nothing, and nothing is changed, if the page is in a sandbox
/// where the script could do nothing, or has a policy that cannot be read.
pub fn admit(headers: &mut HeaderMap, needs: &Needs<'_>, nonces: Nonces) -> Option<Admitted> {
    if !headers.contains_key(CONTENT_SECURITY_POLICY)
        && !headers.contains_key(CONTENT_SECURITY_POLICY_REPORT_ONLY)
    {
        return Some(Admitted::default());
    }
    let names = [CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY];
    // Browsers read what we cannot.
    let unread = names.iter().flat_map(|name| headers.get_all(name)).any(|line| line.to_str().is_err());
    if unread || policies(headers, &CONTENT_SECURITY_POLICY).any(|policy| is_shut(&policy)) {
        return None;
    }
    let first_nonce = |name| policies(headers, name).find_map(|policy| policy.nonce().map(str::to_owned));
    let nonce = match nonces {
        Nonces::Fresh => names.iter().find_map(first_nonce),
        Nonces::Past => None,
    };
    let mut admitted = Admitted { nonce, hash: false };
    for name in names {
        widen(headers, &name, needs, &mut admitted);
    }
    Some(admitted)
}

fn widen(headers: &mut HeaderMap, name: &HeaderName, needs: &Needs<'_>, admitted: &mut Admitted) {
    let lines: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    let widened: Vec<HeaderValue> = lines
        .into_iter()
        .map(|line| {
            let Ok(text) = line.to_str() else { return line };
            let widened =
                |text| Policy::parse(text).widened(needs, admitted).unwrap_or_else(|| text.to_owned());
            let policies: Vec<String> = text.split(',').map(widened).collect();
            HeaderValue::try_from(policies.join(",")).unwrap_or(line)
        })
        .collect();
    headers.remove(name);
    for line in widened {
        headers.append(name, line);
    }
}

fn policies<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Policy<'a>> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(Policy::parse)
}

/// A sandbox in which no script runs, or only one that is of no origin and gets no answer from us.
fn is_shut(policy: &Policy<'_>) -> bool {
    let Some(place) = policy.find("sandbox") else { return false };
    let flags = policy.sources(place);
    let has = |flag: &str| flags.iter().any(|word| word.eq_ignore_ascii_case(flag));
    !(has("allow-scripts") && has("allow-same-origin"))
}

/// One policy: its directives, each a name and its sources.
struct Policy<'a>(Vec<Vec<&'a str>>);

/// What may load scripts, in the order in which a browser looks (CSP3 §6.8.4).
const SCRIPTS: [&str; 3] = ["script-src-elem", "script-src", "default-src"];

/// What may be asked by scripts.
const CONNECTIONS: [&str; 2] = ["connect-src", "default-src"];

impl<'a> Policy<'a> {
    fn parse(text: &'a str) -> Self {
        let words = |directive: &'a str| directive.split_ascii_whitespace().collect::<Vec<_>>();
        Self(text.split(';').map(words).filter(|words| !words.is_empty()).collect())
    }

    /// The directive of this name that counts: the first.
    fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|words| words.first().is_some_and(|word| word.eq_ignore_ascii_case(name)))
    }

    fn sources(&self, place: usize) -> &[&'a str] {
        self.0.get(place).and_then(|words| words.get(1..)).unwrap_or_default()
    }

    /// The directive that decides, of these.
    fn governing(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.find(name))
    }

    /// The first nonce by which a script may run here, if it can be written into an element.
    fn nonce(&self) -> Option<&'a str> {
        let sources = self.sources(self.governing(&SCRIPTS)?);
        sources.iter().find_map(|source| nonce_of(source))
    }

    /// The policy as it must be; nothing if that is as it is.
    fn widened(&self, needs: &Needs<'_>, admitted: &mut Admitted) -> Option<String> {
        let hash = format!("'{}'", needs.hash);
        let more = match self.governing(&SCRIPTS).map(|place| self.sources(place)) {
            None => Vec::new(),
            Some(sources) if carries(sources, admitted.nonce.as_deref()) => Vec::new(),
            // Addresses do not count there. A hash would void 'unsafe-inline', but so does this word.
            Some(sources) if has_word(sources, "'strict-dynamic'") => {
                admitted.hash = true;
                if sources.contains(&hash.as_str()) { Vec::new() } else { vec![hash.as_str()] }
            }
            Some(sources) if allows_own(sources) => Vec::new(),
            Some(_) => vec![needs.script],
        };
        let scripts = self.adding(&SCRIPTS, "script-src", &more);
        let more = match self.governing(&CONNECTIONS).map(|place| self.sources(place)) {
            None => &[][..],
            Some(sources) if allows_own(sources) => &[],
            Some(_) => &needs.asks,
        };
        let connections = self.adding(&CONNECTIONS, "connect-src", more);
        let changes: Vec<(Option<usize>, String)> = [scripts, connections].into_iter().flatten().collect();
        if changes.is_empty() {
            return None;
        }
        let found = |place| changes.iter().find(|(at, _)| *at == place).map(|(_, text)| text.clone());
        let old = self.0.iter().enumerate();
        let old = old.map(|(place, words)| found(Some(place)).unwrap_or_else(|| words.join(" ")));
        let new = changes.iter().filter(|(at, _)| at.is_none()).map(|(_, text)| text.clone());
        Some(old.chain(new).collect::<Vec<_>>().join("; "))
    }

    /// The directive that decides with `more` sources, and its place. What falls back on `default-src` gets one of its
    /// own, so that nothing else is widened; for scripts it is one that all browsers know.
    fn adding(&self, names: &[&str], own: &str, more: &[&str]) -> Option<(Option<usize>, String)> {
        let place = self.governing(names).filter(|_| !more.is_empty())?;
        let name = self.0.get(place)?.first()?;
        let is_default = name.eq_ignore_ascii_case("default-src");
        let kept = self.sources(place).iter().filter(|source| !source.eq_ignore_ascii_case("'none'"));
        let name = if is_default { own } else { name };
        let words: Vec<&str> =
            std::iter::once(name).chain(kept.copied()).chain(more.iter().copied()).collect();
        Some(((!is_default).then_some(place), words.join(" ")))
    }
}

fn nonce_of(source: &str) -> Option<&str> {
    let start = source.get(..7).filter(|start| start.eq_ignore_ascii_case("'nonce-"))?;
    let nonce = source.strip_prefix(start)?.strip_suffix('\'')?;
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
    (!nonce.is_empty() && nonce.bytes().all(base64)).then_some(nonce)
}

fn carries(sources: &[&str], nonce: Option<&str>) -> bool {
    nonce.is_some_and(|nonce| sources.iter().any(|source| nonce_of(source) == Some(nonce)))
}

fn has_word(sources: &[&str], word: &str) -> bool {
    sources.iter().any(|source| source.eq_ignore_ascii_case(word))
}

/// Whether addresses of the page's own origin are allowed by a source that anybody would write.
fn allows_own(sources: &[&str]) -> bool {
    ["'self'", "*", "https:"].iter().any(|word| has_word(sources, word))
}

#[cfg(test)]
mod tests;
