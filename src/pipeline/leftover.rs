//! What apps left in a browser, taken out of it when the person changes.

use http::HeaderMap;
use http::HeaderValue;

use crate::headers::cookies;
use crate::headers::cookies::Found;
use crate::headers::left::Left;
use crate::pipeline::Gateway;
use crate::pipeline::kept::visitor::Visitors;

impl Gateway {
    /// The `Set-Cookie` lines that delete the apps' cookies of a browser that `goes` names: those it has sent, and those it
    /// is known to have for other paths.
    pub(crate) fn leftovers(&self, headers: &HeaderMap, goes: impl Fn(&[u8]) -> bool) -> Vec<HeaderValue> {
        let mut lines = cookies::expire_others(headers, &self.shared.reserved_cookies, &goes);
        lines.extend(Left::of(headers).expire(goes));
        lines
    }

    /// The lines that delete what was kept for its visitor while nobody was logged in.
    pub(crate) fn visitors_leftovers(&self, headers: &HeaderMap) -> Vec<HeaderValue> {
        let vaults = self.shared.vaults.iter().flatten();
        let brought = vaults.filter(|site| cookies::find(headers, site.cookie) != Found::None);
        brought.filter_map(Visitors::deletion).collect()
    }
}
