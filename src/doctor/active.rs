//! The active look: what only a login shows, with a test account and a recipe.

pub(crate) mod person;
pub mod recipe;
pub(crate) mod walk;

use crate::crypto::Secret;
use crate::doctor::active::person::ForeignLogin;
use crate::doctor::seen::Visit;

/// What came of it; what is nothing was not tried, or did not get that far.
#[derive(Default)]
pub(crate) struct Acted {
    /// The session cookie's name.
    pub(crate) session: Option<String>,
    /// The answers of a login in order, and the private page.
    pub(crate) inside: Vec<Visit>,
    /// Values of the session cookie.
    pub(crate) samples: Vec<Secret<String>>,
    /// The id before the login is the one after it.
    pub(crate) kept_id: Option<bool>,
    /// The id before the login opens the private page after it.
    pub(crate) old_id_opens: Option<bool>,
    /// A made-up id that was there at the login is the id after it.
    pub(crate) planted_kept: Option<bool>,
    /// And opens the private page.
    pub(crate) planted_opens: Option<bool>,
    /// The first login goes on after a second one.
    pub(crate) two_at_once: Option<bool>,
    /// The session works in another kind of browser.
    pub(crate) other_browser: Option<bool>,
    /// And in an address.
    pub(crate) id_from_url: Option<bool>,
    /// Another site's page can log out.
    pub(crate) foreign_logout: Option<bool>,
    /// So can an image.
    pub(crate) logout_by_get: Option<bool>,
    /// Another site's page can log in.
    pub(crate) foreign_login: Option<ForeignLogin>,
    /// Why the logout was not followed to its end: it goes on at another host.
    pub(crate) logout_elsewhere: Option<String>,
    /// Whoever logged out is still in.
    pub(crate) still_in: Option<bool>,
    /// The browser still has the session cookie after logging out.
    pub(crate) cookie_left: Option<bool>,
    /// The old session cookie opens the private page after logging out.
    pub(crate) old_opens: Option<bool>,
}
