//! What of a request's target may stand in a log (ASVS 14.2.1, 16.2.5): everything but the values of parameters that
//! carry secrets.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Stands where a value was.
const MASK: &str = "***";

/// Where the gateway answers itself: no query value below it is anybody's business.
const OWN: &str = "/.vestibule/";

/// Parameters whose values open something, in small letters and digits alone: those of OAuth, OIDC, SAML and CAS,
/// and the ids that old apps carry in URLs.
const SECRET: [&str; 18] = [
    "assertion",
    "code",
    "codeverifier",
    "idtokenhint",
    "jsessionid",
    "otp",
    "pass",
    "phpsessid",
    "pin",
    "returnto",
    "samlresponse",
    "sessionid",
    "sid",
    "sig",
    "signature",
    "state",
    "ticket",
    "totp",
];

/// What the names of others end in: `new_password`, `user[pwd]`, `csrf-token`, `apiKey`.
const SECRET_ENDS: [&str; 7] = ["apikey", "passphrase", "passwd", "password", "pwd", "secret", "token"];

/// So many times a value may be encoded within another. What is encoded more often is nothing that anybody reads.
const MOST_ENCODED: usize = 3;

/// `target` (a path, with its query if it has one) with the secret values replaced.
pub(crate) fn masked(target: &str) -> Cow<'_, str> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let own = query.is_some() && is_own(path);
    let secret = |pair: &str| own || is_secret(pair);
    let in_path = path.contains(';') && path.split([';', '/']).any(is_secret);
    let in_query = query.is_some_and(|query| query.split(['&', ';']).any(secret));
    if !in_path && !in_query {
        return Cow::Borrowed(target);
    }
    let mut out = String::with_capacity(target.len());
    mask_pairs(&mut out, path, [';', '/'], &is_secret);
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
    decoded(path).contains(OWN)
}

/// Whether `pair` is `name=value` with a value that opens something, or one in which an address with such a value is.
fn is_secret(pair: &str) -> bool {
    pair.split_once('=').is_some_and(|(name, value)| names_a_secret(name) || hides_a_secret(value))
}

/// Whether an address in a value has secrets of its own: `next=/reset%3Ftoken%3D…`.
fn hides_a_secret(value: &str) -> bool {
    let names = |pair: &str| pair.split_once('=').is_some_and(|(name, _)| names_a_secret(name));
    let mut text = Cow::Borrowed(value);
    for _ in 0..=MOST_ENCODED {
        if text.split(['?', '&', ';', '#']).any(names) {
            return true;
        }
        let decoded = decoded(&text);
        if decoded == text {
            return false;
        }
        text = Cow::Owned(decoded.into_owned());
    }
    true
}

/// Whether a name is one of the lists, however it is spelled: `%63ode`, `CODE`, `token[]`, `user[password]`.
fn names_a_secret(name: &str) -> bool {
    let name = decoded(name);
    let mut pieces = name.split(['[', ']', '.']);
    pieces.any(|piece| {
        // From its end, as half of the lists are about ends.
        let letters = || {
            let letters = piece.bytes().rev().filter(u8::is_ascii_alphanumeric);
            letters.map(|letter| letter.to_ascii_lowercase())
        };
        let is = |secret: &&str| letters().eq(secret.bytes().rev());
        let ends = |secret: &&str| letters().take(secret.len()).eq(secret.bytes().rev());
        SECRET.iter().any(is) || SECRET_ENDS.iter().any(ends)
    })
}

fn decoded(text: &str) -> Cow<'_, str> {
    if text.contains('%') { percent_decode_str(text).decode_utf8_lossy() } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use percent_encoding::NON_ALPHANUMERIC;
    use percent_encoding::utf8_percent_encode;
    use proptest::prelude::*;

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
            ("/in?pwd=s3cret&pass=s3cret&_pass=s3cret&PIN=s3", "/in?pwd=***&pass=***&_pass=***&PIN=***"),
            ("/in?user[password]=s3cret&user%5Bnew-pwd%5D=s", "/in?user[password]=***&user%5Bnew-pwd%5D=***"),
            ("/in?otp=s3&passphrase=s&code_verifier=s", "/in?otp=***&passphrase=***&code_verifier=***"),
            ("/in?apiKey=s3cret&csrf_token=s3cret", "/in?apiKey=***&csrf_token=***"),
            ("/in?next=/reset?token=s3cret&x=1", "/in?next=***&x=1"),
            ("/in?next=%2Freset%3Fx%3D1%26token%3Ds3cret", "/in?next=***"),
            ("/in?next=%252Freset%253Ftoken%253Ds3cret", "/in?next=***"),
            ("/in?u=https%3A%2F%2Fa.test%2Fx%3Bjsessionid%3Ds3", "/in?u=***"),
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
            "/a?discount=100%25&city=K%C3%B6ln",
            "/a?next=%2Fb%3Fx%3D1&compass=n&spin=1&zip_code=1&postcode=1",
        ] {
            assert!(matches!(masked(target), Cow::Borrowed(same) if same == target), "{target}");
        }
    }

    proptest! {
        #[test]
        fn no_value_of_a_secret_name_is_left(
            before in "[a-z]{0,3}(=[a-z%&;=?#]{0,8})?",
            name in "(user\\[)?(new_?)?(P|p)assword\\]?|_?pwd|TOKEN|x-token|code",
            depth in 0usize..=3,
        ) {
            let mut inner = format!("{name}=s3cret");
            for _ in 0..depth {
                inner = format!("next={}", utf8_percent_encode(&format!("/x?{inner}"), NON_ALPHANUMERIC));
            }
            let target = format!("/in?{before}&{inner}&last=1");
            prop_assert!(!masked(&target).contains("s3cret"), "{target}");
        }
    }
}
