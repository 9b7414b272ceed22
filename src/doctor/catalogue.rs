//! All checks: their names, what they stand for, and the setting that mends each.

pub mod active;

use crate::doctor::finding::Check;
use crate::doctor::finding::Mend;

const fn harden(says: &'static str) -> Mend {
    Mend { setting: "sites[].cookies", value: "harden", default: true, says }
}
const fn login(says: &'static str) -> Mend {
    Mend { setting: "sites[].login", value: "all", default: true, says }
}
const fn enforce(says: &'static str) -> Mend {
    Mend { setting: "sites[].mode", value: "enforce", default: true, says }
}
const VAULT: Option<Mend> = Some(Mend {
    setting: "sites[].cookies",
    value: "vault",
    default: false,
    says: "the app's cookies stay on the server: the browser gets the gateway's own alone, with 256 random bits, and what it \
           sends under the app's names counts for nothing",
});

/// Cookies travel over TLS only.
pub static COOKIE_SECURE: Check = Check {
    name: "cookie_secure",
    standard: "COOKIE-1",
    source: "ASVS 5.0 3.3.1, NIST SP 800-63B-4 §5.1.1",
    good: "every cookie is Secure",
    mend: Some(harden("every cookie of the app's becomes Secure")),
};
/// Scripts cannot read the session.
pub static COOKIE_HTTP_ONLY: Check = Check {
    name: "cookie_http_only",
    standard: "COOKIE-2",
    source: "ASVS 5.0 3.3.4, NIST SP 800-63B-4 §5.1.1",
    good: "the session cookie is HttpOnly",
    mend: Some(harden(
        "cookies of the app's whose names look like a session's become HttpOnly; with `vault` no script sees any",
    )),
};
/// The cookie stays on its host.
pub static COOKIE_HOST_ONLY: Check = Check {
    name: "cookie_host_only",
    standard: "COOKIE-3",
    source: "ASVS 5.0 3.3.3, RFC 6265bis §4.1.2.3",
    good: "the session cookie is for this host alone",
    mend: Some(harden("cookies of the app's lose their Domain, so they go to this host alone")),
};
/// No other host can plant it.
pub static COOKIE_PREFIX: Check = Check {
    name: "cookie_prefix",
    standard: "COOKIE-3",
    source: "ASVS 5.0 3.3.3, RFC 6265bis §4.1.3",
    good: "the session cookie's name begins with __Host-, so no other host can plant it",
    mend: VAULT,
};
/// Other sites' requests come without it.
pub static COOKIE_SAME_SITE: Check = Check {
    name: "cookie_same_site",
    standard: "COOKIE-5",
    source: "ASVS 5.0 3.3.2, NIST SP 800-63B-4 §5.1.1",
    good: "the session cookie says SameSite=Lax or Strict",
    mend: Some(harden(
        "cookies of the app's that say nothing become SameSite=Lax; one that says None stays so, but for `vault`",
    )),
};
/// It is gone with the browser.
pub static COOKIE_LIFETIME: Check = Check {
    name: "cookie_lifetime",
    standard: "COOKIE-6",
    source: "NIST SP 800-63B-4 §5.1, OWASP Session Management",
    good: "the session cookie is not kept when the browser is closed",
    mend: Some(Mend {
        setting: "session.absolute_timeout",
        value: "24h",
        default: true,
        says: "the gateway's session ends by its own clocks, whatever the app's cookie says",
    }),
};
/// Its name does not name the software.
pub static COOKIE_NAME: Check = Check {
    name: "cookie_name",
    standard: "SID-5",
    source: "OWASP Session Management",
    good: "the session cookie's name does not tell what software runs here",
    mend: VAULT,
};
/// It can be read one way only.
pub static COOKIE_GRAMMAR: Check = Check {
    name: "cookie_grammar",
    standard: "COOKIE-9",
    source: "RFC 6265bis §4.1.1, §5.6",
    good: "cookies are written so that every browser reads the same",
    mend: None,
};
/// It cannot be guessed.
pub static ID_ENTROPY: Check = Check {
    name: "id_entropy",
    standard: "SID-1",
    source: "ASVS 5.0 7.2.3 (128 bits), NIST SP 800-63B-4 §5.1 (64 bits)",
    good: "nothing low was seen in the session's id",
    mend: VAULT,
};
/// It means nothing.
pub static ID_MEANING: Check = Check {
    name: "id_meaning",
    standard: "SID-2",
    source: "NIST SP 800-63B-4 §5.1.1, OWASP Session Management",
    good: "the session's id means nothing",
    mend: VAULT,
};
/// One that was not issued is not taken.
pub static ID_ADOPTED: Check = Check {
    name: "id_adopted",
    standard: "SID-3",
    source: "OWASP Session Management (strict sessions)",
    good: "an id that the site did not issue is not taken over",
    mend: VAULT,
};
/// It lives in the cookie alone.
pub static ID_IN_URL: Check = Check {
    name: "id_in_url",
    standard: "SID-4",
    source: "ASVS 5.0 14.2.1, OWASP Session Management",
    good: "no session is carried in an address",
    mend: Some(login(
        "nobody reaches the app without the gateway's own session, which is in no address: the app's alone opens nothing",
    )),
};
/// No cache hands it to the next.
pub static ID_CACHED: Check = Check {
    name: "id_cached",
    standard: "COOKIE-17",
    source: "ASVS 5.0 14.3.2, OWASP Session Management",
    good: "answers that set a cookie are not kept by caches",
    mend: Some(Mend {
        setting: "sites[].headers.cache",
        value: "no-store",
        default: true,
        says: "protected pages that say nothing of caching are not kept, and `public` becomes private",
    }),
};
/// Nothing goes in the clear.
pub static HTTPS_ONLY: Check = Check {
    name: "https_only",
    standard: "TLS-8",
    source: "ASVS 5.0 12.2.1, NIST SP 800-63B-4 §5.1",
    good: "plain HTTP leads to https and does nothing else",
    mend: Some(Mend {
        setting: "listen.http_redirect",
        value: "\"0.0.0.0:80\"",
        default: false,
        says: "plain HTTP only leads to https (`listen.https`), without any cookie",
    }),
};
/// Browsers remember that.
pub static HSTS: Check = Check {
    name: "hsts",
    standard: "TLS-7",
    source: "ASVS 5.0 3.4.1, RFC 6797",
    good: "browsers are told to use https alone for a year or more",
    mend: Some(Mend {
        setting: "sites[].headers.hsts",
        value: "\"max-age=31536000\"",
        default: false,
        says: "every https answer says so, for a year; by default the gateway says a day, on port 443 alone",
    }),
};
/// The certificate is good.
pub static TLS_CERTIFICATE: Check = Check {
    name: "tls_certificate",
    standard: "TLS-4",
    source: "ASVS 5.0 12.2.2",
    good: "the certificate is trusted, for this name, and good for two weeks at least",
    mend: Some(Mend {
        setting: "tls.certificates",
        value: "[{ cert: app.pem, key: app.key }]",
        default: false,
        says: "files with a certificate of an authority that browsers know; new ones need no restart",
    }),
};
/// So is the protocol.
pub static TLS_VERSION: Check = Check {
    name: "tls_version",
    standard: "TLS-1",
    source: "ASVS 5.0 12.1.1",
    good: "TLS 1.2 or 1.3, and 1.1 is refused",
    mend: Some(Mend {
        setting: "tls.min_version",
        value: "\"1.2\"",
        default: true,
        says: "the gateway speaks nothing older",
    }),
};
/// No other site shows it in a frame.
pub static FRAMING: Check = Check {
    name: "framing",
    standard: "WEB-8",
    source: "ASVS 5.0 3.4.6",
    good: "other sites cannot show its pages in a frame",
    mend: Some(Mend {
        setting: "sites[].headers.frame_ancestors",
        value: "\"'self'\"",
        default: true,
        says: "only the site itself shows its pages in a frame; a frame-ancestors that the app sends stays",
    }),
};
/// Types are what they say.
pub static NOSNIFF: Check = Check {
    name: "nosniff",
    standard: "WEB-9",
    source: "ASVS 5.0 3.4.4",
    good: "browsers do not guess types (X-Content-Type-Options: nosniff)",
    mend: Some(enforce("every answer says nosniff")),
};
/// Addresses stay here.
pub static REFERRER_POLICY: Check = Check {
    name: "referrer_policy",
    standard: "WEB-10",
    source: "ASVS 5.0 3.4.5",
    good: "other sites are not told the addresses of its pages",
    mend: Some(enforce("every answer has a Referrer-Policy; what the app says itself stays")),
};
/// Other origins cannot read it.
pub static CORS: Check = Check {
    name: "cors",
    standard: "WEB-13",
    source: "ASVS 5.0 3.4.2",
    good: "no other origin is let in to read its pages",
    mend: Some(Mend {
        setting: "session.cookie.same_site",
        value: "lax",
        default: true,
        says: "what scripts of other sites ask for arrives without the gateway's session, so they read what strangers may",
    }),
};
/// Passwords travel in the body of a POST over TLS.
pub static LOGIN_FORM: Check = Check {
    name: "login_form",
    standard: "PWD-11",
    source: "ASVS 5.0 14.2.1, NIST SP 800-63B-4 §3.1.1.2",
    good: "the password is sent to this site, by POST, over TLS",
    mend: Some(login("the gateway asks for the password on a page of its own, by POST and over TLS alone")),
};
/// Versions are nobody's business.
pub static BANNER: Check = Check {
    name: "banner",
    standard: "LOG-11",
    source: "ASVS 5.0 13.4.6",
    good: "answers do not name the software and its version",
    mend: Some(enforce(
        "Server, X-Powered-By and others that name the software are taken out of every answer",
    )),
};
/// Errors say nothing, and are as safe as pages.
pub static ERROR_PAGE: Check = Check {
    name: "error_page",
    standard: "WEB-15",
    source: "ASVS 5.0 3.4, 16.5.1",
    good: "error pages have the same headers and tell nothing of the inside",
    mend: Some(enforce(
        "error pages get the headers that others have; what they show of the inside is the app's debug mode to switch off",
    )),
};

/// Nobody reaches the app past the gateway; looked at where the app's address is told.
pub static APP_REACHABLE: Check = Check {
    name: "app_reachable",
    standard: "FWD-7",
    source: "RFC 9700 §4.13, ASVS 5.0 12.3",
    good: "the app cannot be reached from here but through the gateway",
    mend: Some(Mend {
        setting: "sites[].upstream",
        value: "\"unix:/run/app.sock\"",
        default: false,
        says: "an app on a unix socket or on loopback is reached by this machine alone; else a firewall must see to it",
    }),
};

/// Those that every look makes.
pub static PASSIVE: &[&Check] = &[
    &HTTPS_ONLY,
    &TLS_CERTIFICATE,
    &TLS_VERSION,
    &HSTS,
    &COOKIE_SECURE,
    &COOKIE_HTTP_ONLY,
    &COOKIE_SAME_SITE,
    &COOKIE_HOST_ONLY,
    &COOKIE_PREFIX,
    &COOKIE_LIFETIME,
    &COOKIE_NAME,
    &COOKIE_GRAMMAR,
    &ID_ENTROPY,
    &ID_MEANING,
    &ID_ADOPTED,
    &ID_IN_URL,
    &ID_CACHED,
    &LOGIN_FORM,
    &FRAMING,
    &NOSNIFF,
    &REFERRER_POLICY,
    &CORS,
    &BANNER,
    &ERROR_PAGE,
];
