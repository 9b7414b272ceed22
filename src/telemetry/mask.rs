//! What of a request's target may stand in a log (ASVS 14.2.1, 16.2.5): everything but the values of parameters that
//! carry secrets.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Stands where a value was.
const MASK: &str = "***";

/// Where the gateway answers itself: no query value below it is anybody's business.
const OWN: &str = "/.vestibule/";

/// Parameters whose values open something. Those of OAuth and SAML, and the ids that old apps carry in URLs.
const SECRET: [&str; 21] = [
    "access_token",
    "api_key",
    "apikey",
    "assertion",
    "client_secret",
    "code",
    "id_token",
    "id_token_hint",
    "jsessionid",
    "logout_token",
    "passwd",
    "password",
    "phpsessid",
    "refresh_token",
    "return_to",
    "samlresponse",
    "secret",
    "sessionid",
    "sid",
    "state",
    "token",
];

/// `target` (a path, with its query if it has one) with the secret values replaced.
pub(crate) fn masked(target: &str) -> Cow<'_, str> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let own = query.is_some() && is_own(path);
    let secret = |pair: &str| own || names_a_secret(pair);
    let in_path = path.contains(';') && path.split([';', '/']).any(names_a_secret);
    let in_query = query.is_some_and(|query| query.split(['&', ';']).any(secret));
    if !in_path && !in_query {
        return Cow::Borrowed(target);
    }
    let mut out = String::with_capacity(target.len());
    mask_pairs(&mut out, path, [';', '/'], &names_a_secret);
    if let Some(query) = query {
        out.push('?');
        mask_pairs(&mut out, query, ['&', ';'], &secret);
    }
    Cow::Owned(out)
}

fn mask_pairs(out: &mut String, text: &str, separators: [char; 2], secret: &dyn Fn(&str) -> bool) {
    for piece in text.split_inclusive(separators) {
        let pair = piece.strip_suffix(separators).unwrap_or(piece);
        match pair.split_once('=') {
            Some((name, _)) if secret(pair) => {
                out.push_str(name);
                out.push('=');
                out.push_str(MASK);
            }
            // Without a name the whole of it may be the value.
            None if secret(pair) && !pair.is_empty() => out.push_str(MASK),
            Some(_) | None => out.push_str(pair),
        }
        out.push_str(piece.get(pair.len()..).unwrap_or_default());
    }
}

fn is_own(path: &str) -> bool {
    if !path.contains('%') {
        return path.contains(OWN);
    }
    percent_decode_str(path).decode_utf8_lossy().contains(OWN)
}

/// Whether `pair` is `name=value` with a name of the list, however it is spelled: `%63ode`, `CODE`, `token[]`.
fn names_a_secret(pair: &str) -> bool {
    let Some((name, _)) = pair.split_once('=') else {
        return false;
    };
    let name =
        if name.contains('%') { percent_decode_str(name).decode_utf8_lossy() } else { Cow::Borrowed(name) };
    let name = name.split('[').next().unwrap_or_default();
    SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_however_their_names_are_spelled() {
        for (target, expected) in [
            ("/cb?code=s3cret&x=1", "/cb?code=***&x=1"),
            ("/cb?x=1&state=s3cret", "/cb?x=1&state=***"),
            ("/cb?CODE=s3cret", "/cb?CODE=***"),
            ("/cb?%63ode=s3cret", "/cb?%63ode=***"),
            ("/cb?token[]=s3cret&token[a]=s3cret", "/cb?token[]=***&token[a]=***"),
            ("/cb?a=1;password=s3cret;b=2", "/cb?a=1;password=***;b=2"),
            ("/cb?id_token=s3=cret", "/cb?id_token=***"),
            ("/cb?return_to=/x?token=s3cret", "/cb?return_to=***"),
            ("/cb?SAMLResponse=s3cret", "/cb?SAMLResponse=***"),
            ("/a;jsessionid=s3cret/b;v=1?q=1", "/a;jsessionid=***/b;v=1?q=1"),
            ("/a;jsessionid=s3cret", "/a;jsessionid=***"),
            ("/.vestibule/login?anything=s3cret", "/.vestibule/login?anything=***"),
            ("/.vestibule/login?s3cret", "/.vestibule/login?***"),
            ("/%2evestibule/login?to=s3cret&", "/%2evestibule/login?to=***&"),
            ("//.vestibule/x?to=s3cret", "//.vestibule/x?to=***"),
        ] {
            assert_eq!(masked(target), expected);
        }
    }

    #[test]
    fn everything_else_stays_as_it_came() {
        for target in [
            "/",
            "*",
            "",
            "/a;v=1/b",
            "/a?",
            "/a?code",
            "/a?encode=1&tokens=2&q=token",
            "/code=1/x",
            "/.vestibule/login",
            "/a?x=%zz&&;=",
        ] {
            assert!(matches!(masked(target), Cow::Borrowed(same) if same == target), "{target}");
        }
    }
}
