//! Identity towards the app: strip every spelling a client may have sent, then set ours, in one call.
//!
//! Servers between us and the app's code fold header names (CGI and WSGI take `X_Forwarded_User` and
//! `x-forwarded-user` for one), and apps believe more names than the configured ones. So every name of the well-known
//! families goes, compared folded, whether or not there is an identity to set (FWD-1, FWD-2, attacks D01 to D07).

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use percent_encoding::AsciiSet;
use percent_encoding::CONTROLS;
use percent_encoding::utf8_percent_encode;

use crate::identity::user::User;

/// Everything but visible ASCII, and the two characters that would make a value ambiguous (FWD-5).
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b',');

/// The names of the header fields that tell the app who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// For the unique name.
    pub user: HeaderName,
    /// For the mail address.
    pub email: Option<HeaderName>,
    /// For the groups, joined by commas.
    pub groups: Option<HeaderName>,
    /// For the name a person would say.
    pub name: Option<HeaderName>,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        Self {
            user: HeaderName::from_static("x-forwarded-user"),
            email: Some(HeaderName::from_static("x-forwarded-email")),
            groups: Some(HeaderName::from_static("x-forwarded-groups")),
            name: Some(HeaderName::from_static("x-forwarded-preferred-username")),
        }
    }
}

impl IdentityHeaders {
    /// `Remote-User` and its relatives, which Authelia made known.
    pub fn remote_user() -> Self {
        Self {
            user: HeaderName::from_static("remote-user"),
            email: Some(HeaderName::from_static("remote-email")),
            groups: Some(HeaderName::from_static("remote-groups")),
            name: Some(HeaderName::from_static("remote-name")),
        }
    }

    /// `X-Auth-Request-User` and its relatives, which oauth2-proxy made known.
    pub fn x_auth_request() -> Self {
        Self {
            user: HeaderName::from_static("x-auth-request-user"),
            email: Some(HeaderName::from_static("x-auth-request-email")),
            groups: Some(HeaderName::from_static("x-auth-request-groups")),
            name: Some(HeaderName::from_static("x-auth-request-preferred-username")),
        }
    }

    /// Takes out every field that could tell an identity, whoever sent it, and sets those of `values`. Gives the
    /// names that were taken out.
    pub fn stamp(&self, headers: &mut HeaderMap, values: Option<&Values>) -> Vec<HeaderName> {
        let forged: Vec<HeaderName> = headers.keys().filter(|name| self.tells(name)).cloned().collect();
        for name in &forged {
            headers.remove(name);
        }
        if let Some(values) = values {
            headers.insert(self.user.clone(), values.user.clone());
            let optional =
                [(&self.email, &values.email), (&self.groups, &values.groups), (&self.name, &values.name)];
            for pair in optional {
                // What is not known is absent, never empty (FWD-9).
                if let (Some(name), Some(value)) = pair {
                    headers.insert(name.clone(), value.clone());
                }
            }
        }
        forged
    }

    /// Whether a field of this name could tell an app who somebody is, in any spelling.
    pub fn tells(&self, name: &HeaderName) -> bool {
        is_known(name.as_str()) || self.is_configured(name.as_str())
    }

    fn is_configured(&self, name: &str) -> bool {
        let optional = [&self.email, &self.groups, &self.name].into_iter().flatten();
        let mut names = std::iter::once(&self.user).chain(optional);
        names.any(|own| folded(own.as_str()).eq(folded(name)))
    }
}

/// A person's header values, encoded once for all requests of a session.
///
/// Values are UTF-8 with everything but visible ASCII percent-encoded, and `%` and `,` too; groups are joined by
/// commas. An app gets the text back by splitting at commas and decoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    user: HeaderValue,
    email: Option<HeaderValue>,
    groups: Option<HeaderValue>,
    name: Option<HeaderValue>,
}

impl Values {
    /// Encodes who `user` is.
    pub fn of(user: &User) -> Self {
        let text = |text: &str| Some(encode([text])).filter(|value| !value.is_empty());
        Self {
            user: encode([user.name.as_str()]),
            email: user.email().and_then(text),
            groups: Some(encode(user.groups().iter().map(|group| &**group)))
                .filter(|value| !value.is_empty()),
            name: user.display_name().and_then(text),
        }
    }
}

/// Percent-encodes and joins; the result has nothing that a field value may not have.
fn encode<'a>(texts: impl IntoIterator<Item = &'a str>) -> HeaderValue {
    let mut line = String::new();
    for text in texts {
        if !line.is_empty() {
            line.push(',');
        }
        line.extend(utf8_percent_encode(text, ENCODED));
    }
    HeaderValue::from_str(&line).unwrap_or_else(|_invalid| HeaderValue::from_static(""))
}

/// A name as the least careful server reads it: without case and without what stands between words.
fn folded(name: &str) -> impl Iterator<Item = u8> {
    let bytes = name.bytes().filter(|byte| !matches!(byte, b'-' | b'_' | b'.' | b' '));
    bytes.map(|byte| byte.to_ascii_lowercase())
}

/// Whether the name begins, folded, like those of a proxy or gateway that apps believe.
fn is_known(name: &str) -> bool {
    // By first letter, because nearly all names of a usual request begin otherwise.
    let families: &[&str] = match name.bytes().find(u8::is_ascii_alphanumeric) {
        Some(b'x' | b'X') => &[
            "xforwardeduser",
            "xforwardedemail",
            "xforwardedgroup",
            "xforwardedpreferredusername",
            "xforwardedaccesstoken",
            "xforwardedidtoken",
            "xforwardedname",
            "xauthrequest",
            "xauthuser",
            "xauthenticated",
            "xremote",
            "xwebauth",
            "xauthentik",
            "xauthelia",
            "xpomerium",
            "xvestibule",
            "xgoogiap",
            "xgoogauthenticated",
            "xamznoidc",
            "xmsclientprincipal",
            "xmstoken",
            "xconsumer",
            "xcredential",
            "xjwtassertion",
            "xclientcert",
            "xsslclient",
        ],
        Some(b'r' | b'R') => &["remoteuser", "remotegroup", "remotename", "remoteemail", "remoteident"],
        Some(b'c' | b'C') => &["cfaccess", "clientcert"],
        Some(b's' | b'S') => &["sslclient", "smuser"],
        Some(b'i' | b'I') => &["ivuser", "ivgroup", "ivcreds"],
        Some(b'o' | b'O') => &["oidcclaim", "oidcaccesstoken", "oidcidtoken"],
        Some(b'a' | b'A') => &["authuser", "authenticateduser"],
        Some(b't' | b'T') => &["tailscaleuser"],
        Some(_) | None => &[],
    };
    families.iter().any(|family| {
        let mut bytes = folded(name);
        family.bytes().all(|wanted| bytes.next() == Some(wanted))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::user::Profile;
    use crate::identity::user::UserName;

    fn user(name: &str) -> User {
        User::named(UserName::parse(name).unwrap())
    }

    fn request(names: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for name in names {
            headers
                .append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("forged"));
        }
        headers
    }

    #[test]
    fn every_spelling_of_every_family_is_stripped_with_and_without_identity() {
        for name in [
            "X-Forwarded-User",
            "X_Forwarded_User",
            "x-forwarded_user",
            "XForwardedUser",
            "X.Forwarded.User",
            "X-Forwarded-Email",
            "X-Forwarded-Groups",
            "X-Forwarded-Preferred-Username",
            "X-Forwarded-Access-Token",
            "X-Forwarded-Name",
            "X-Auth-Request-User",
            "X-Auth-Request-Redirect",
            "Remote-User",
            "REMOTE_USER",
            "Remote-Groups",
            "Remote-Name",
            "Remote-Email",
            "X-Remote-User",
            "X-Remote-Group",
            "X-WEBAUTH-USER",
            "X-Webauth-Role",
            "X-authentik-username",
            "X-Pomerium-Jwt-Assertion",
            "X-Vestibule-Assertion",
            "X-Goog-IAP-JWT-Assertion",
            "X-Goog-Authenticated-User-Email",
            "Cf-Access-Jwt-Assertion",
            "Cf-Access-Authenticated-User-Email",
            "SSL-Client-Cert",
            "SSL_CLIENT_S_DN",
            "Client-Cert",
            "X-Client-Cert-Dn",
            "iv-user",
            "iv_user",
            "iv-groups",
            "X-Amzn-Oidc-Data",
            "OIDC_CLAIM_sub",
            "_X-Remote-User",
        ] {
            let names = IdentityHeaders::default();
            for values in [None, Some(Values::of(&user("ada")))] {
                let mut headers = request(&["accept", name, name]);
                assert_eq!(names.stamp(&mut headers, values.as_ref()).len(), 1, "{name}");
                assert!(
                    !headers.values().any(|value| value == "forged" && headers["accept"] != value),
                    "{name}"
                );
                let seen: Vec<_> = headers.get_all("x-forwarded-user").iter().collect();
                let expected: Vec<&str> = values.iter().map(|_| "ada").collect();
                assert_eq!(seen, expected, "{name}");
            }
        }
    }

    #[test]
    fn the_configured_names_are_stripped_in_every_spelling_too() {
        let names = IdentityHeaders {
            user: HeaderName::from_static("my-user"),
            email: None,
            groups: Some(HeaderName::from_static("my_groups")),
            name: None,
        };
        let mut headers =
            request(&["My-User", "my_user", "MyUser", "my.user", "My-Groups", "my-email", "my-users"]);
        assert_eq!(names.stamp(&mut headers, Some(&Values::of(&user("ada")))).len(), 5);
        assert_eq!(headers["my-user"], "ada");
        assert!(headers.contains_key("my-email") && headers.contains_key("my-users"));
        assert!(!headers.contains_key("my-groups") && !headers.contains_key("my_groups"));
    }

    #[test]
    fn other_fields_stay() {
        let others = [
            "accept",
            "cookie",
            "authorization",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "sec-fetch-site",
            "x-requested-with",
            "x-csrf-token",
            "x-real-ip",
            "referer",
            "content-type",
            "if-match",
        ];
        let mut headers = request(&others);
        assert_eq!(IdentityHeaders::default().stamp(&mut headers, None).len(), 0);
        assert_eq!(headers, request(&others));
    }

    #[test]
    fn the_presets_set_the_names_that_apps_know() {
        let ada = Profile {
            email: Some("ada@example.org".into()),
            display_name: Some("Ada Lovelace".into()),
            groups: vec!["staff".into(), "a,b".into()],
        };
        let ada = User::new(UserName::parse("ada").unwrap(), ada);
        for (names, prefix, person) in [
            (IdentityHeaders::default(), "x-forwarded-", "preferred-username"),
            (IdentityHeaders::remote_user(), "remote-", "name"),
            (IdentityHeaders::x_auth_request(), "x-auth-request-", "preferred-username"),
        ] {
            let mut headers = HeaderMap::new();
            assert_eq!(names.stamp(&mut headers, Some(&Values::of(&ada))).len(), 0);
            let told = |name: &str| headers[format!("{prefix}{name}").as_str()].to_str().unwrap().to_owned();
            assert_eq!(told("user"), "ada");
            assert_eq!(told("email"), "ada@example.org");
            assert_eq!(told("groups"), "staff,a%2Cb");
            assert_eq!(told(person), "Ada%20Lovelace");
        }
    }

    #[test]
    fn values_are_unambiguous_and_absent_when_unknown() {
        for (name, value) in
            [("é,admin", "%C3%A9%2Cadmin"), ("50%", "50%25"), ("a b", "a%20b"), ("a\"b;c", "a\"b;c")]
        {
            assert_eq!(Values::of(&user(name)).user, value);
        }
        let nobody = Profile { email: Some("".into()), ..Profile::default() };
        let nobody = User::new(UserName::parse("ada").unwrap(), nobody);
        let mut headers = HeaderMap::new();
        IdentityHeaders::default().stamp(&mut headers, Some(&Values::of(&nobody)));
        assert_eq!(headers.len(), 1);
    }

    proptest! {
        #[test]
        fn folding_decides_whatever_stands_between_the_words(
            name in "[xX][-_.]{0,2}[fF]orwarded[-_.]{0,2}[uU]ser[-_.]{0,2}", other in "[a-z]{1,8}"
        ) {
            let mut headers = request(&[&name, &format!("k-{other}")]);
            prop_assert_eq!(IdentityHeaders::default().stamp(&mut headers, None).len(), 1);
            prop_assert_eq!(headers.len(), 1);
        }

        #[test]
        fn any_text_makes_a_value_that_decodes_to_itself(text in "\\PC{1,40}") {
            let value = encode([text.as_str()]);
            let line = value.to_str().unwrap();
            prop_assert!(!line.contains(',') && !line.contains(' '));
            prop_assert_eq!(percent_encoding::percent_decode_str(line).decode_utf8().unwrap(), text);
        }
    }
}
