//! Checks that need a login.

use crate::doctor::finding::Check;
use crate::doctor::finding::Mend;

const LOGIN: Option<Mend> = Some(Mend {
    setting: "sites[].login",
    value: "all",
    default: true,
    says: "only the gateway's own session opens the app: it comes in a cookie alone, has a new id after every login, and ends on the \
           server at logout, which is a POST",
});
const CSRF: Option<Mend> = Some(Mend {
    setting: "sites[].csrf",
    value: "same_origin",
    default: true,
    says: "requests of other sites that change something are refused before the app sees them",
});

/// The session is named anew at login.
pub static LOGIN_NEW_ID: Check = Check {
    name: "login_new_id",
    standard: "RENEW-1",
    source: "ASVS 5.0 7.2.4, OWASP Session Management",
    good: "the session gets a new id at login, and the old one opens nothing",
    mend: LOGIN,
};
/// One that was planted is not promoted.
pub static LOGIN_PLANTED_ID: Check = Check {
    name: "login_planted_id",
    standard: "RENEW-6",
    source: "OWASP Session Management (session fixation)",
    good: "an id that was planted before the login opens nothing after it",
    mend: LOGIN,
};
/// Logout ends the session on the server.
pub static LOGOUT_ENDS: Check = Check {
    name: "logout_ends",
    standard: "OUT-1",
    source: "ASVS 5.0 7.4.1, NIST SP 800-63B-4 §5.1",
    good: "after logout the old session cookie opens nothing",
    mend: LOGIN,
};
/// And in the browser.
pub static LOGOUT_CLEARS: Check = Check {
    name: "logout_clears",
    standard: "COOKIE-8",
    source: "ASVS 5.0 14.3.1, OWASP Session Management",
    good: "logout takes the session cookie out of the browser, or replaces it",
    mend: Some(Mend {
        setting: "sites[].cookies",
        value: "harden",
        default: true,
        says: "the gateway's logout expires the app's cookies too",
    }),
};
/// It is a POST.
pub static LOGOUT_BY_GET: Check = Check {
    name: "logout_by_get",
    standard: "OUT-2",
    source: "ASVS 5.0 3.5.3",
    good: "an address alone logs nobody out",
    mend: LOGIN,
};
/// Of the site's own.
pub static FOREIGN_LOGOUT: Check = Check {
    name: "foreign_logout",
    standard: "WEB-1",
    source: "ASVS 5.0 3.5.1, OWASP CSRF Prevention",
    good: "a form on another site's page cannot log out, so it is likely that others cannot be forged either",
    mend: CSRF,
};
/// So is the login.
pub static FOREIGN_LOGIN: Check = Check {
    name: "foreign_login",
    standard: "PWD-12",
    source: "ASVS 5.0 3.5.1, OWASP CSRF Prevention (login forms)",
    good: "a form on another site's page cannot log a browser in",
    mend: CSRF,
};
/// A stolen session is noticed.
pub static OTHER_BROWSER: Check = Check {
    name: "other_browser",
    standard: "BIND-1",
    source: "OWASP Session Management (binding), NIST SP 800-63B-4 §5.3 (MAY)",
    good: "the session does not work in another kind of browser",
    mend: Some(Mend {
        setting: "session.bind",
        value: "[user_agent]",
        default: false,
        says: "a session that turns up in another kind of browser asks for a new login",
    }),
};
/// Sessions of one user are counted.
pub static TWO_AT_ONCE: Check = Check {
    name: "two_at_once",
    standard: "CONC-1",
    source: "ASVS 5.0 7.1.2",
    good: "a second login ends the first session",
    mend: Some(Mend {
        setting: "session.max_per_user",
        value: "1",
        default: false,
        says: "a user has one session, and a new login ends the one before; by default there are ten",
    }),
};
/// Private pages are not kept.
pub static PRIVATE_CACHED: Check = Check {
    name: "private_cached",
    standard: "WEB-16",
    source: "ASVS 5.0 14.3.2, RFC 9111 §5.2.2.5",
    good: "the private page is not kept by caches, nor by the Back button",
    mend: Some(Mend {
        setting: "sites[].headers.cache",
        value: "no-store",
        default: true,
        says: "protected pages that say nothing of caching are no-store, and `public` becomes private",
    }),
};
/// The session counts in its cookie alone.
pub static ID_FROM_URL: Check = Check {
    name: "id_from_url",
    standard: "SID-4",
    source: "ASVS 5.0 14.2.1, OWASP Session Management",
    good: "a session in an address opens nothing",
    mend: LOGIN,
};

/// Those that need a login.
pub static ACTIVE: &[&Check] = &[
    &LOGIN_NEW_ID,
    &LOGIN_PLANTED_ID,
    &LOGOUT_ENDS,
    &LOGOUT_CLEARS,
    &LOGOUT_BY_GET,
    &FOREIGN_LOGOUT,
    &FOREIGN_LOGIN,
    &ID_FROM_URL,
    &PRIVATE_CACHED,
    &OTHER_BROWSER,
    &TWO_AT_ONCE,
];
