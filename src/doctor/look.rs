//! The passive look: a few strangers' visits, by GET alone and to one host.

use std::time::Duration;

use http::HeaderName;
use http::HeaderValue;
use http::header;
use url::Url;

use crate::crypto::random;
use crate::doctor::client::Ask;
use crate::doctor::client::Client;
use crate::doctor::client::Trouble;
use crate::doctor::jar::Jar;
use crate::doctor::old_tls;
use crate::doctor::seen::Seen;
use crate::doctor::seen::Visit;
use crate::doctor::shown::shown_path;

/// So many requests a passive look makes at most, the question about old TLS included.
pub(crate) const MOST_REQUESTS: usize = 20;
/// And no two of them within this time.
pub(crate) const PACE: Duration = Duration::from_millis(200);
/// And all of them within this.
pub(crate) const LONGEST: Duration = Duration::from_mins(1);

/// So many redirects are followed.
const MOST_REDIRECTS: usize = 4;
/// So many further strangers ask for a session.
const STRANGERS: usize = 4;
/// Origins that no site has a reason to trust: `invalid` is nobody's (RFC 6761 §6.4).
pub(crate) const FOREIGN: [&str; 2] = ["https://vestibule-doctor.invalid", "null"];

/// Looks, and notes what it sees; whatever is there when time is up counts.
pub(crate) async fn look(client: &mut Client, seen: &mut Seen, http_port: Option<u16>) {
    let url = seen.target.url().clone();
    if let Err(trouble) = walk(client, seen, url, |seen| &mut seen.front).await {
        seen.troubles.push(format!("{}: {trouble}", shown_path(seen.target.url())));
    }
    if seen.front.is_empty() {
        return;
    }
    plain(client, seen, http_port).await;
    old_tls(client, seen).await;
    login(client, seen).await;
    strangers(client, seen).await;
    foreign(client, seen).await;
    missing(client, seen).await;
}

/// Goes to `url` as a browser without cookies would, and on to where it leads.
async fn walk(
    client: &mut Client,
    seen: &mut Seen,
    url: Url,
    into: impl Fn(&mut Seen) -> &mut Vec<Visit>,
) -> Result<(), Trouble> {
    let (mut jar, mut url) = (Jar::default(), url);
    for _ in 0..=MOST_REDIRECTS {
        let mut ask = Ask::get(url.clone());
        if let Some(cookies) = jar.field(&url, seen.now) {
            ask = ask.with(header::COOKIE, cookies);
        }
        let visit = Visit::new(url.clone(), client.send(ask).await?, seen.now);
        jar.take(&visit, seen.now);
        let next = visit.leads_to();
        into(seen).push(visit);
        let Some(next) = next else { return Ok(()) };
        if !seen.target.may_follow(&url, &next) {
            seen.led_away.push(next);
            return Ok(());
        }
        url = next;
    }
    seen.troubles.push(format!(
        "{} leads on and on: {} redirects were followed",
        shown_path(&url),
        MOST_REDIRECTS
    ));
    Ok(())
}

/// The same page over plain HTTP, where https is what was named.
async fn plain(client: &mut Client, seen: &mut Seen, http_port: Option<u16>) {
    let url = seen.target.url();
    let port = http_port.or_else(|| (url.scheme() == "https" && url.port().is_none()).then_some(80));
    let Some(port) = port else { return };
    let mut plain = url.clone();
    if plain.set_scheme("http").is_err() || plain.set_port(Some(port)).is_err() {
        return;
    }
    let answer = client.send(Ask::get(plain.clone())).await;
    seen.plain = Some(answer.map(|answer| Visit::new(plain, answer, seen.now)));
}

async fn old_tls(client: &mut Client, seen: &mut Seen) {
    let url = seen.target.url();
    if url.scheme() == "https"
        && let Ok(socket) = client.turn(url).await
    {
        seen.old_tls = old_tls::speaks(socket, url).await;
    }
}

/// The page with the login: one that the front page links to, else where most have it. Nothing that could log out.
async fn login(client: &mut Client, seen: &mut Seen) {
    let Some(front) = seen.front.last() else { return };
    if front.page.login_form().is_some() {
        return;
    }
    let linked = front.page.links.iter().filter_map(|link| front.url.join(link).ok());
    let mut linked = linked.filter(|url| seen.target.may_follow(&front.url, url) && names_login(url));
    let guess = || front.url.join("/login").ok();
    let Some(url) = linked.next().or_else(guess) else { return };
    // A login that is elsewhere, or not there, is no trouble.
    drop(walk(client, seen, url, |seen| &mut seen.login).await);
    if seen.login.last().is_some_and(|visit| visit.page.login_form().is_none()) {
        let visits = std::mem::take(&mut seen.login);
        let telling = |visit: &Visit| {
            !visit.cookies.is_empty() || seen.elsewhere(std::slice::from_ref(visit)).is_some()
        };
        seen.login = visits.into_iter().filter(telling).collect();
    }
}

fn names_login(url: &Url) -> bool {
    let path = url.path().to_ascii_lowercase();
    let words = ["login", "log-in", "signin", "sign-in", "sign_in", "logon", "anmeld", "connexion"];
    words.iter().any(|word| path.contains(word)) && !path.contains("logout")
}

/// More visits to the page that gave the session, each without a cookie, and one with a made-up one.
async fn strangers(client: &mut Client, seen: &mut Seen) {
    let Some((visit, cookie)) = seen.session() else { return };
    let (url, name) = (visit.url.clone(), cookie.name.clone());
    let made_up = made_up_like(cookie.value.expose());
    for _ in 0..STRANGERS {
        let Ok(answer) = client.send(Ask::get(url.clone())).await else { return };
        seen.again.push(Visit::new(url.clone(), answer, seen.now));
    }
    let mut jar = Jar::default();
    jar.put((&name, &made_up), &url, seen.now);
    let Some(cookie) = jar.field(&url, seen.now) else { return };
    if let Ok(answer) = client.send(Ask::get(url.clone()).with(header::COOKIE, cookie)).await {
        seen.planted = Some((made_up, Visit::new(url, answer, seen.now)));
    }
}

/// A value that nobody's session can have.
pub(crate) fn made_up() -> String {
    data_encoding::HEXLOWER.encode(&random::<16>())
}

/// The same in the form of `value`, and with its beginning, since some apps take no other. So much of it is anew that it is
/// nobody's; where the form leaves too little for that, another.
pub(crate) fn made_up_like(value: &str) -> String {
    const ENOUGH: usize = 16;
    let is_hex = |char: char| char.is_ascii_digit() || matches!(char, 'a'..='f' | 'A'..='F');
    let all_hex = value.chars().all(|char| is_hex(char) || !char.is_ascii_alphanumeric());
    let kept = value.len() / 4;
    let mut escaped: u8 = 0;
    let mut anew: usize = 0;
    let mut other = |(at, char): (usize, char)| {
        if char == '%' {
            escaped = 3;
        }
        let is_escaped = escaped > 0;
        escaped = escaped.saturating_sub(1);
        let from: &[u8] = match char {
            _ if at < kept || is_escaped => return char,
            '0'..='9' => b"0123456789",
            'a'..='z' if all_hex => b"abcdef",
            'A'..='Z' if all_hex => b"ABCDEF",
            'a'..='z' => b"abcdefghijklmnopqrstuvwxyz",
            'A'..='Z' => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            _ => return char,
        };
        anew += 1;
        let [byte] = random::<1>();
        from.get(usize::from(byte) % from.len()).map_or(char, |byte| char::from(*byte))
    };
    let like: String = value.char_indices().map(&mut other).collect();
    if anew < ENOUGH { made_up() } else { like }
}

async fn foreign(client: &mut Client, seen: &mut Seen) {
    let Some(front) = seen.front.last() else { return };
    let url = front.url.clone();
    for origin in FOREIGN {
        let mut ask = Ask::get(url.clone()).with(header::ORIGIN, HeaderValue::from_static(origin));
        for (name, value) in
            [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")]
        {
            ask = ask.with(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let Ok(answer) = client.send(ask).await else { return };
        seen.foreign.push((origin, Visit::new(url.clone(), answer, seen.now)));
    }
}

async fn missing(client: &mut Client, seen: &mut Seen) {
    // Eight digits, which a report shows.
    let number = u32::from_be_bytes(random()) % 100_000_000;
    let path = format!("/vestibule-doctor-{number:08}");
    let Some(url) = seen.target.page(&path) else { return };
    if let Ok(answer) = client.send(Ask::get(url.clone())).await {
        seen.missing = Some(Visit::new(url, answer, seen.now));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_made_up_id_is_never_the_one_it_is_like(value in "[a-zA-Z0-9_.%~=é-]{0,64}") {
            let like = made_up_like(&value);
            let same = like.chars().zip(value.chars()).filter(|(one, other)| one == other).count();
            prop_assert!(like.len() != value.len() || value.chars().count() - same >= 4, "{} {}", like, value);
        }
    }

    #[test]
    fn a_made_up_id_has_the_form_of_the_real_one() {
        let like = made_up_like("node7~0a1b2c3d4e5f60718293a4b5");
        assert!(like.starts_with("node7~0") && like.len() == 30, "{like}");
        // Hardly anything is left to make up.
        let like = made_up_like("s%3A%3A%3A%3A%3A%3A%3A%3A%3A%3Ax.y");
        assert!(like.len() == 32 && like.bytes().all(|byte| byte.is_ascii_hexdigit()), "{like}");
    }
}
