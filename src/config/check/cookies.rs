//! What becomes of an app's own cookies.

use crate::config::check::Check;
use crate::config::file::site::CookiesBlock;
use crate::config::file::site::SiteFile;
use crate::config::tree::At;
use crate::headers::app_cookies::AppCookies;
use crate::headers::app_cookies::Keeping;

/// The words for a site's cookies.
pub(super) fn cookies(file: &SiteFile, check: &mut Check<'_>) -> AppCookies {
    let none = CookiesBlock::default();
    let written = file.cookies.as_ref().map_or(&none, |given| &given.value.0);
    let mut cookies = AppCookies::all(written.default.as_ref().map_or(Keeping::Harden, |given| given.value));
    for (name, keeping) in written.per_cookie.iter().flat_map(|given| &given.value.0) {
        check_name("per_cookie", &name.value, name.at, check);
        if cookies.per_cookie.insert(name.value.as_str().into(), *keeping).is_some() {
            let what = format!("`cookies.per_cookie.{}` stands here twice", name.value);
            check.findings.error(name.at, what, "remove one of the two");
        }
    }
    for name in written.expose.iter().flat_map(|given| &given.value.values) {
        let text = name.value.0.as_str();
        check_name("expose", text, name.at, check);
        if cookies.of(text.as_bytes()) != Keeping::Vault {
            check.findings.error(
                name.at,
                format!("`cookies.expose`: `{text}` is not kept in the vault, so the browser has it anyway"),
                &format!("remove it, or write `default: vault` or `per_cookie: {{ {text}: vault }}`"),
            );
        }
        cookies.expose.insert(text.into());
    }
    cookies
}

/// RFC 6265bis §4.1.1: a cookie's name is a token.
fn check_name(key: &str, name: &str, at: At, check: &mut Check<'_>) {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        check.findings.error(
            at,
            format!("`cookies.{key}`: `{name}` is no name of a cookie"),
            "write the name as the app sets it, such as `csrftoken`; there are no patterns",
        );
    }
}
